//! The machines' leases at their own sites, taken before anything is changed and kept until the run is over.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::base::{MachineName, RunId, Side, SnapshotId, StepId, StepKey};
use crate::execute::context::Sites;
use crate::plan::inventory::{Inventory, MachineEntry};
use crate::run::failure::Failure;
use crate::sites::{At, Fence, SideView, Site};

/// Sites asked at once.
const AT_ONCE: usize = 16;

/// The fencing tokens of a run, by machine and side.
pub type Tokens = BTreeMap<MachineName, BTreeMap<Side, u64>>;

/// Whether a run is over, as far as anybody here knows: what it left behind at a site that could not be asked
/// then is nobody's.
pub type Over = Arc<dyn Fn(&RunId) -> bool + Send + Sync>;

/// Sides without which a run goes on when they are silent: it declares them lost, or an earlier run did.
pub type LostSides = BTreeSet<(MachineName, Side)>;

/// Every side of these machines: for whoever begins nothing with them.
pub fn all_sides(machines: &BTreeSet<&MachineName>) -> LostSides {
    let both =
        |name: &&MachineName| [Side::Cloud, Side::Onprem].map(|side| ((*name).clone(), side));
    machines.iter().flat_map(both).collect()
}

/// A claim that was not given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What the site said.
    pub failure: Failure,
    /// The run that holds the machine, if that is why.
    pub holder: Option<RunId>,
}

/// Claims both sides of every machine for a run; none are kept when one is refused and `fresh` says
/// that the run has held nothing before. What a run left claimed that is over is taken from it. A silent
/// side is left out where it is `lost`: a person gave it up, or is about to.
///
/// # Errors
/// The first refusal.
pub async fn take(
    sites: &Sites,
    inventory: &Inventory,
    machines: &BTreeSet<&MachineName>,
    run: &RunId,
    fresh: bool,
    over: &Over,
    lost: &LostSides,
) -> Result<Tokens, Refused> {
    let claim = |ask: Ask| {
        let (run, over) = (run.clone(), over.clone());
        let is_lost = lost.contains(&(ask.machine.clone(), ask.side));
        async move {
            let Some(claims) = ask.site.claims() else { return Ok(None) };
            let failure = match claims.claim(ask.at(), &run).await {
                Ok(claim) => return Ok(Some(claim.token)),
                Err(failure) => failure,
            };
            if failure.is_silence() && is_lost {
                return Ok(None);
            }
            let view = ask.site.look(ask.at()).await.ok();
            let holder = view.and_then(|view| view.claim).map(|claim| claim.run);
            match holder.filter(|other| *other != run) {
                Some(gone) if over(&gone) => match taken_over(&ask, &gone, &run).await {
                    Ok(token) => Ok(Some(token)),
                    Err(failure) => Err(Refused { failure, holder: Some(gone) }),
                },
                holder => Err(Refused { failure, holder }),
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
        give_back(sites, inventory, &tokens, run).await;
    }
    Err(refused)
}

async fn taken_over(ask: &Ask, gone: &RunId, run: &RunId) -> Result<u64, Failure> {
    let claims = ask.site.claims().ok_or_else(|| Failure::permanent("it cannot be claimed"))?;
    claims.unclaim(ask.at(), gone).await?;
    Ok(claims.claim(ask.at(), run).await?.token)
}

/// Ends what a run has at the sites: the snapshots that it took go, and those that runs left there which
/// are over; then its machines are given back. What a site does not do now is left to the next run.
pub async fn leave(
    sites: &Sites,
    inventory: &Inventory,
    tokens: &Tokens,
    run: &RunId,
    over: &Over,
) {
    let release = |ask: Ask| {
        let token = tokens.get(&ask.machine).and_then(|sides| sides.get(&ask.side)).copied();
        let (run, over) = (run.clone(), over.clone());
        async move { release_snapshots(&ask, run, token?, &over).await.err() }
    };
    for (machine, side, failed) in each(sites, inventory, tokens.keys(), release).await {
        if let Some(failure) = failed {
            tracing::warn!(
                "snapshots of {machine} may be left at its {side} side: {failure}; the next run deletes them"
            );
        }
    }
    give_back(sites, inventory, tokens, run).await;
}

async fn release_snapshots(ask: &Ask, run: RunId, token: u64, over: &Over) -> Result<(), Failure> {
    let Some(disks) = ask.site.disks() else { return Ok(()) };
    let all = disks.snapshots(ask.at()).await?.into_iter();
    let unused = all.filter(|(_, taker)| *taker == run || over(taker));
    let unused: Vec<SnapshotId> = unused.map(|(snapshot, _)| snapshot.id).collect();
    let step = StepId::new(LAST_STEP).expect("BUG: a legal id");
    let key = StepKey::of(&run, &step);
    let fence = Fence { run, token, step, key };
    for id in unused {
        disks.release(ask.at(), &id, &fence).await?;
    }
    Ok(())
}

/// What the end of a run does at sites is done under this name.
const LAST_STEP: &str = "end";

/// Gives machines back. A site that cannot be asked keeps its claim until it is asked again.
async fn give_back(sites: &Sites, inventory: &Inventory, tokens: &Tokens, run: &RunId) {
    let unclaim = |ask: Ask| {
        let run = run.clone();
        async move {
            match ask.site.claims() {
                Some(claims) => claims.unclaim(ask.at(), &run).await,
                None => Ok(()),
            }
        }
    };
    // Without any token it was never claimed here, but maybe by this run's earlier process.
    let may_hold = |machine: &MachineName, side: Side| {
        tokens.get(machine).is_none_or(|held| held.is_empty() || held.contains_key(&side))
    };
    for (machine, side, answer) in each(sites, inventory, tokens.keys(), unclaim).await {
        if let Err(failure) = answer
            && may_hold(&machine, side)
        {
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

/// The run that holds a machine at one of its sites by another claim than ours (`Some(None)`: nobody holds it
/// any more); `None`: our claims hold, as far as can be seen.
pub async fn taken_by(
    sites: &Sites,
    inventory: &Inventory,
    machine: &MachineName,
    ours: &BTreeMap<Side, u64>,
) -> Option<Option<RunId>> {
    let looked = look(sites, inventory, std::iter::once(machine)).await;
    let views = looked.into_iter().flat_map(|(_, views)| views);
    let claims = views.filter_map(|(side, view)| Some((side, view.ok()?.claim)));
    let mut lost = claims.filter(|(side, claim)| {
        ours.get(side).is_some_and(|token| claim.as_ref().map(|claim| claim.token) != Some(*token))
    });
    lost.next().map(|(_, claim)| claim.map(|claim| claim.run))
}

/// One side of one machine at its site.
pub(super) struct Ask {
    machine: MachineName,
    side: Side,
    entry: MachineEntry,
    pub(super) site: Arc<dyn Site>,
}

impl Ask {
    pub(super) fn at(&self) -> At<'_> {
        At { machine: &self.machine, side: self.side, entry: &self.entry }
    }
}

/// Asks for both sides of every machine, some at once.
pub(super) async fn each<'a, T, Asking, Answer>(
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
    // In an order of their own, not of their answers: of several refusals the same one is told.
    let mut all = tasks.join_all().await;
    all.sort_by(|(one, a, _): &(MachineName, Side, T), (other, b, _)| (one, a).cmp(&(other, b)));
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::base::{HostName, SiteName};
    use crate::plan::facts::HostFacts;
    use crate::plan::inventory::Addresses;
    use crate::sites::look::tests::view;
    use crate::sites::{Claim, Claims, Disks, Machines, PowerSwitch};

    /// A site that can only be claimed.
    struct Leases {
        name: SiteName,
        held: Mutex<BTreeMap<MachineName, RunId>>,
    }

    #[async_trait]
    impl Site for Leases {
        fn name(&self) -> &SiteName {
            &self.name
        }
        async fn look(&self, at: At<'_>) -> Result<SideView, Failure> {
            let holder = self.held.lock().unwrap().get(at.machine).cloned();
            let claim = holder.map(|run| Claim { run, token: 7 });
            Ok(SideView { claim, ..view("g1") })
        }
        async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
            Ok(BTreeMap::new())
        }
        fn claims(&self) -> Option<&dyn Claims> {
            Some(self)
        }
        fn power(&self) -> Option<&dyn PowerSwitch> {
            None
        }
        fn disks(&self) -> Option<&dyn Disks> {
            None
        }
        fn machines(&self) -> Option<&dyn Machines> {
            None
        }
    }

    #[async_trait]
    impl Claims for Leases {
        async fn claim(&self, at: At<'_>, run: &RunId) -> Result<Claim, Failure> {
            let mut held = self.held.lock().unwrap();
            let holder = held.entry(at.machine.clone()).or_insert_with(|| run.clone());
            if holder != run {
                return Err(Failure::permanent(format!("held by {holder}")));
            }
            Ok(Claim { run: run.clone(), token: 7 })
        }
        async fn unclaim(&self, at: At<'_>, run: &RunId) -> Result<(), Failure> {
            let mut held = self.held.lock().unwrap();
            if held.get(at.machine) == Some(run) {
                held.remove(at.machine);
            }
            Ok(())
        }
    }

    fn leases(name: &str) -> Arc<Leases> {
        Arc::new(Leases { name: SiteName::new(name).unwrap(), held: Mutex::default() })
    }

    #[tokio::test]
    async fn both_sides_of_all_machines_or_nothing() {
        let (azure, dc1) = (leases("azure"), leases("dc1"));
        let entry = MachineEntry {
            cloud: azure.name.clone(),
            onprem: dc1.name.clone(),
            host: HostName::new("hv-01").unwrap(),
            disks: Vec::new(),
            tags: BTreeMap::new(),
            needs: Vec::new(),
            rto_s: None,
            key: None,
            address: Addresses::default(),
            settings: BTreeMap::new(),
        };
        let names: Vec<_> = (0..40).map(|n| MachineName::new(format!("m{n}")).unwrap()).collect();
        let inventory = Inventory {
            machines: names.iter().map(|name| (name.clone(), entry.clone())).collect(),
            ..Inventory::default()
        };
        let by_name = [azure.clone(), dc1.clone()];
        let sites: Sites = Arc::new(move |name| {
            let found = by_name.iter().find(|site| site.name == *name)?;
            Some(found.clone() as Arc<dyn Site>)
        });
        let machines: BTreeSet<_> = names.iter().collect();
        let (mine, other) = (RunId::new("r1").unwrap(), RunId::new("r2").unwrap());
        let over: Over = Arc::new(|run| run.as_str() == "r0");
        let none = LostSides::new();
        let held = || (azure.held.lock().unwrap().len(), dc1.held.lock().unwrap().len());

        let tokens = take(&sites, &inventory, &machines, &mine, true, &over, &none).await.unwrap();
        assert_eq!(held(), (40, 40));
        assert!(tokens.values().all(|sides| sides.len() == 2 && sides[&Side::Cloud] == 7));
        give_back(&sites, &inventory, &tokens, &mine).await;
        assert_eq!(held(), (0, 0));

        dc1.held.lock().unwrap().insert(names[3].clone(), other.clone());
        let refused =
            take(&sites, &inventory, &machines, &mine, true, &over, &none).await.unwrap_err();
        assert!(refused.failure.message.contains("r2"), "{refused:?}");
        assert_eq!(held(), (0, 1), "what was taken is given back, what is another's is left");
        take(&sites, &inventory, &machines, &mine, false, &over, &none).await.unwrap_err();
        assert_eq!(held(), (40, 40), "a run that held them before keeps them");

        dc1.held.lock().unwrap().insert(names[3].clone(), RunId::new("r0").unwrap());
        take(&sites, &inventory, &machines, &mine, false, &over, &none).await.unwrap();
        assert_eq!(dc1.held.lock().unwrap()[&names[3]], mine, "taken from a run that is over");
    }
}
