//! Whether a person is needed for the machines of a run, as their sites see them now.

use std::collections::BTreeSet;

use crate::base::{MachineName, RunId, Side};
use crate::execute::claims::{Tokens, look};
use crate::execute::context::Sites;
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::schedule::{danger, no_longer_held, not_up};
use crate::sites::SideView;

/// The machines that a run was begun on.
#[derive(Debug, Default)]
pub struct Touched {
    /// Which.
    pub machines: BTreeSet<MachineName>,
    /// The claims that it holds.
    pub tokens: Tokens,
    /// Those that it gave back: of these only counts whether they run, unless another run has taken them since.
    pub given_back: BTreeSet<MachineName>,
}

/// What a person is needed for among the machines that a run was begun on.
pub async fn dangers(
    sites: &Sites,
    inventory: &Inventory,
    touched: &Touched,
    run: &RunId,
) -> Vec<String> {
    let looked = look(sites, inventory, touched.machines.iter()).await;
    let judge = |(machine, views): &(MachineName, Vec<_>)| {
        if touched.given_back.contains(machine) {
            return not_up(machine, views).filter(|_| !held_by_another(views, run));
        }
        let tokens = touched.tokens.get(machine);
        tokens
            .and_then(|ours| no_longer_held(machine, views, ours))
            .or_else(|| danger(machine, views))
    };
    looked.iter().filter_map(judge).collect()
}

fn held_by_another(views: &[(Side, Result<SideView, Failure>)], run: &RunId) -> bool {
    let claims = views.iter().filter_map(|(_, view)| view.as_ref().ok()?.claim.as_ref());
    claims.into_iter().any(|claim| claim.run != *run)
}
