//! Machines that hold marks of runs which no journal here knows: their state folder is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{MachineName, RunId, Side};
use crate::execute::claims::{Ask, Over, Refused, all_sides, each, leave, take};
use crate::execute::context::Sites;
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::sites::SideView;

/// What a machine's sites say of it.
#[derive(Clone, Debug)]
pub struct Marked {
    /// Both sides, as far as they could be asked.
    pub views: Vec<(Side, Result<SideView, Failure>)>,
    /// Unknown runs that claim it or took a snapshot of it; none where a known one claims it.
    pub runs: BTreeSet<RunId>,
}

/// Looks at every machine of the inventory; `known`: a run that is no stranger.
pub async fn marks(
    sites: &Sites,
    inventory: &Inventory,
    known: &Over,
) -> BTreeMap<MachineName, Marked> {
    let look = |ask: Ask| async move {
        let view = ask.site.look(ask.at()).await?;
        let snapshots = match ask.site.disks() {
            Some(disks) => disks.snapshots(ask.at()).await?,
            None => Vec::new(),
        };
        let takers: Vec<RunId> = snapshots.into_iter().map(|(_, taker)| taker).collect();
        Ok((view, takers))
    };
    let mut marked: BTreeMap<MachineName, Marked> = BTreeMap::new();
    for (machine, side, answer) in each(sites, inventory, inventory.machines.keys(), look).await {
        let nothing = || Marked { views: Vec::new(), runs: BTreeSet::new() };
        let marked = marked.entry(machine).or_insert_with(nothing);
        let view = answer.map(|(view, takers): (SideView, _)| {
            let holder = view.claim.iter().map(|claim| claim.run.clone());
            marked.runs.extend(holder.chain(takers).filter(|run| !known(run)));
            view
        });
        marked.views.push((side, view));
    }
    for marked in marked.values_mut() {
        let claims = marked.views.iter().filter_map(|(_, view)| view.as_ref().ok()?.claim.as_ref());
        if claims.into_iter().any(|claim| known(&claim.run)) {
            marked.runs.clear();
        }
    }
    marked
}

/// Takes these machines from the runs that nobody knows, deletes the snapshots those took, and gives the
/// machines free. A process that still works for such a run is refused at its next change.
///
/// # Errors
/// The first refusal: another process was faster.
pub async fn adopt(
    sites: &Sites,
    inventory: &Inventory,
    machines: &BTreeSet<&MachineName>,
    by: &RunId,
    gone: &Over,
) -> Result<(), Refused> {
    // A site that does not answer now is adopted once it does.
    let tokens = take(sites, inventory, machines, by, true, gone, &all_sides(machines)).await?;
    leave(sites, inventory, &tokens, by, gone).await;
    Ok(())
}
