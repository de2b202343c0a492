//! Creating, deleting and marking machines.

use async_trait::async_trait;

use crate::base::Side;
use crate::plan::facts::Protection;
use crate::run::failure::Failure;
use crate::sites::model::site::{Here, ModelSite};
use crate::sites::model::world::Seat;
use crate::sites::state::State;
use crate::sites::{At, Doomed, Fence, Lost, Machines, NewMachine};

#[async_trait]
impl Machines for ModelSite {
    async fn create(&self, at: At<'_>, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let site = self.name.clone();
        let home = Some(at.entry.host.clone()).filter(|_| at.side == Side::Onprem);
        self.act(at, "create", |here| {
            here.check(fence)?;
            let state = &here.seat().state;
            let lives_on = state.host.clone().or_else(|| home.clone());
            let host = new.host.clone().filter(|_| home.is_some()).or_else(|| lives_on.clone());
            let network = new.network.clone().or_else(|| state.network.clone());
            let made = state.created(lives_on.as_ref(), host.clone(), network.clone(), &fence.key);
            let Some((created, moves)) = made else {
                return Ok(here.seat().state.created_by.as_ref() == Some(&fence.key));
            };
            if let Some(host) = &host {
                let hosts = here.inner.hosts.get(&site);
                let Some(says) = hosts.and_then(|h| h.get(host)).filter(|h| h.connected) else {
                    let message = format!("host {host} of {site} is unknown or not connected");
                    return Err(Failure::refused("H309", message));
                };
                if let Some(switch) = network.filter(|switch| !says.switches.contains(switch)) {
                    let message = format!("host {host} has no virtual switch `{switch}`");
                    return Err(Failure::refused("H310", message));
                }
            }
            place(here, created, moves)?;
            let whose = here.whose.clone();
            here.inner.effect(&whose, "create", &fence.key);
            Ok(true)
        })
        .await
    }

    async fn doomed(&self, at: At<'_>) -> Result<Doomed, Failure> {
        self.act(at, "doomed", |here| {
            let seat = here.seat();
            Ok(Doomed {
                snapshots: seat.snapshots.iter().map(|kept| kept.snapshot.id.clone()).collect(),
                disks_kept: (0..seat.disks.len()).map(|disk| format!("disk{disk}")).collect(),
            })
        })
        .await
    }

    async fn delete(&self, at: At<'_>, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let (generation, fence) = (generation.to_owned(), fence.clone());
        self.act_alone(at, "delete", move |here| {
            here.known(&fence)?;
            let name = here.name.clone();
            let seat = here.seat();
            seat.state.may_delete(&name, seat.on, &generation)?;
            seat.snapshots.clear();
            seat.tracking = None;
            if !seat.state.exists {
                return Ok(());
            }
            seat.state = seat.state.deleted();
            let (machine, side) = here.whose.clone();
            let twin = here.inner.seats.get(&(machine.clone(), side.other()));
            let content = twin.map(Seat::content).unwrap_or_default();
            here.inner.ledger.deletes(&machine, side, &content);
            here.inner.effect(&(machine, side), "delete", &fence.key);
            Ok(())
        })
        .await
    }

    async fn set_committed(&self, at: At<'_>, fence: &Fence) -> Result<(), Failure> {
        self.change(at, "set_committed", fence, |state| state.committed = true).await
    }

    async fn set_lost_twin(
        &self,
        at: At<'_>,
        lost: Option<&Lost>,
        fence: &Fence,
    ) -> Result<(), Failure> {
        let lost = lost.cloned();
        self.change(at, "set_lost_twin", fence, |state| state.lost_twin = lost).await
    }

    async fn set_superseded(&self, at: At<'_>, is: bool, fence: &Fence) -> Result<(), Failure> {
        self.change(at, "set_superseded", fence, move |state| state.superseded = is).await
    }

    async fn protect(&self, at: At<'_>, to: Protection, fence: &Fence) -> Result<(), Failure> {
        self.change(at, "protect", fence, |state| state.protection = to).await
    }
}

impl ModelSite {
    async fn change(
        &self,
        at: At<'_>,
        operation: &'static str,
        fence: &Fence,
        change: impl FnOnce(&mut State) + Send,
    ) -> Result<(), Failure> {
        self.act(at, operation, |here| {
            here.known(fence)?;
            change(&mut here.seat().state);
            Ok(())
        })
        .await
    }
}

fn place(here: &mut Here<'_>, created: State, moves: bool) -> Result<(), Failure> {
    let name = here.name.clone();
    let seat = here.seat();
    if moves {
        if seat.on || !seat.state.is_replica_at_most() {
            let message = format!("{name} lives elsewhere, with data of its own");
            return Err(Failure::permanent(message).help("bring it to the cloud first"));
        }
        seat.disks.clear();
        (seat.manifests, seat.tracking) = (None, None);
    }
    seat.state = created;
    if here.seat().state.generation.is_empty() {
        here.seat().state.generation = here.inner.fresh(&here.whose.1.to_string());
    }
    Ok(())
}
