//! The machines' leases at their own sites, taken before anything is changed and kept until the run is over.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::base::{MachineName, RunId, Side};
use crate::execute::context::Sites;
use crate::plan::inventory::{Inventory, MachineEntry};
use crate::run::failure::Failure;
use crate::sites::{At, SideView, Site};

/// Sites asked at once.
const AT_ONCE: usize = 16;

/// The fencing tokens of a run, by machine and side.
pub type Tokens = BTreeMap<MachineName, BTreeMap<Side, u64>>;

/// A claim that was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the site said.
    pub failure: Failure,
    /// The run that holds the machine, if that is why.
    pub holder: Option<RunId>,
}

/// Claims both sides of every machine for a run; none are kept when one is refused and `fresh` says
/// that the run has held nothing before.
///
/// # Errors
/// The first refusal.
pub async fn take(
    sites: &Sites,
    inventory: &Inventory,
    machines: &BTreeSet<&MachineName>,
    run: &RunId,
    fresh: bool,
) -> Result<Tokens, Refused> {
    let claim = |ask: Ask| {
        let run = run.clone();
        async move {
            let Some(claims) = ask.site.claims() else { return Ok(None) };
            match claims.claim(ask.at(), &run).await {
                Ok(claim) => Ok(Some(claim.token)),
                Err(failure) => {
                    let view = ask.site.look(ask.at()).await.ok();
                    let holder = view.and_then(|view| view.claim).map(|claim| claim.run);
                    Err(Refused { failure, holder: holder.filter(|other| *other != run) })
                }
            }
        }
    };
    let mut tokens = Tokens::new();
    let mut refused = None;
    for (machine, side, answer) in each(sites, inventory, machines.iter().copied(), claim).await {
        match answer {
            Ok(Some(token)) => {
                tokens.entry(machine).or_default().insert(side, token);
            }
            Ok(None) => {}
            Err(failure) => refused = refused.or(Some(failure)),
        }
    }
    let Some(refused) = refused else { return Ok(tokens) };
    if fresh {
        give_back(sites, inventory, tokens.keys(), run).await;
    }
    Err(refused)
}

/// Gives machines back. A site that cannot be asked keeps its claim until it is asked again.
pub async fn give_back<'a>(
    sites: &Sites,
    inventory: &Inventory,
    machines: impl Iterator<Item = &'a MachineName>,
    run: &RunId,
) {
    let unclaim = |ask: Ask| {
        let run = run.clone();
        async move {
            match ask.site.claims() {
                Some(claims) => claims.unclaim(ask.at(), &run).await,
                None => Ok(()),
            }
        }
    };
    for (machine, side, answer) in each(sites, inventory, machines, unclaim).await {
        if let Err(failure) = answer {
            tracing::warn!("{machine} could not be given back at its {side} site: {failure}");
        }
    }
}

/// Both sides of every machine, as their sites see them.
pub async fn look<'a>(
    sites: &Sites,
    inventory: &Inventory,
    machines: impl Iterator<Item = &'a MachineName>,
) -> Vec<(MachineName, Vec<(Side, Result<SideView, Failure>)>)> {
    let look = |ask: Ask| async move { ask.site.look(ask.at()).await };
    let mut by_machine: BTreeMap<MachineName, Vec<_>> = BTreeMap::new();
    for (machine, side, view) in each(sites, inventory, machines, look).await {
        by_machine.entry(machine).or_default().push((side, view));
    }
    by_machine.into_iter().collect()
}

/// One side of one machine at its site.
struct Ask {
    machine: MachineName,
    side: Side,
    entry: MachineEntry,
    site: Arc<dyn Site>,
}

impl Ask {
    fn at(&self) -> At<'_> {
        At { machine: &self.machine, side: self.side, entry: &self.entry }
    }
}

/// Asks for both sides of every machine, some at once.
async fn each<'a, T, Asking, Answer>(
    sites: &Sites,
    inventory: &Inventory,
    machines: impl Iterator<Item = &'a MachineName>,
    asking: Asking,
) -> Vec<(MachineName, Side, T)>
where
    T: Send + 'static,
    Asking: Fn(Ask) -> Answer,
    Answer: Future<Output = T> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for machine in machines {
        let Some(entry) = inventory.machines.get(machine) else { continue };
        for side in [Side::Cloud, Side::Onprem] {
            let Some(site) = sites(entry.site(side)) else { continue };
            let ask = Ask { machine: machine.clone(), side, entry: entry.clone(), site };
            let (machine, room, answer) = (machine.clone(), room.clone(), asking(ask));
            tasks.spawn(async move {
                let _place = room.acquire_owned().await.expect("BUG: it is never closed");
                (machine, side, answer.await)
            });
        }
    }
    tasks.join_all().await
}
