//! Creating, deleting and marking machines.

use async_trait::async_trait;
use serde_json::json;

use crate::base::{HostName, Json, Side};
use crate::plan::facts::Protection;
use crate::run::failure::Failure;
use crate::sites::lab::seat::{Seat, io, shown};
use crate::sites::lab::site::{LabSite, blocking};
use crate::sites::lab::state::State;
use crate::sites::lab::{cow, files, tracking};
use crate::sites::{At, Fence, Machines, NewMachine};

#[async_trait]
impl Machines for LabSite {
    async fn create(&self, at: At<'_>, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let seat = self.seat(at, "create").await?;
        let (new, fence) = (new.clone(), fence.clone());
        blocking(move || seat.create(&new, &fence)).await
    }

    async fn inventory_of(&self, at: At<'_>) -> Result<Json, Failure> {
        let seat = self.seat(at, "inventory_of").await?;
        blocking(move || seat.inventory()).await
    }

    async fn delete(&self, at: At<'_>, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "delete").await?;
        let (generation, fence) = (generation.to_owned(), fence.clone());
        blocking(move || seat.delete(&generation, &fence)).await
    }

    async fn set_committed(&self, at: At<'_>, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "set_committed").await?;
        let fence = fence.clone();
        blocking(move || seat.change(&fence, |state| state.committed = true)).await
    }

    async fn protect(&self, at: At<'_>, to: Protection, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "protect").await?;
        let fence = fence.clone();
        blocking(move || seat.change(&fence, |state| state.protection = to)).await
    }
}

impl Seat {
    fn change(&self, fence: &Fence, change: impl FnOnce(&mut State)) -> Result<(), Failure> {
        let (_lock, state) = self.act(fence)?;
        let mut changed = state.clone();
        change(&mut changed);
        if changed == state { Ok(()) } else { self.save(&changed) }
    }

    fn create(&self, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let (_lock, state) = self.act(fence)?;
        let host = new.host.clone().or_else(|| self.host(&state));
        let stays = self.side == Side::Cloud || host == self.host(&state);
        if state.exists && stays {
            return Ok(state.created_by.as_ref() == Some(&fence.key));
        }
        if let Some(host) = &host {
            self.fits(host, new.network.as_deref())?;
        }
        let mut created = State {
            exists: true,
            host,
            network: new.network.clone(),
            created_by: Some(fence.key.clone()),
            generation: state.generation.clone(),
            ..state.clone()
        };
        if !stays {
            self.may_leave(&state)?;
            created = State {
                disks: Vec::new(),
                replica: None,
                booted: None,
                key_check: None,
                generation: String::new(),
                ..created
            };
            // What an earlier stay may have left on that host is nobody's.
            io(files::remove_folder(&self.folder(&created)))?;
        }
        if created.generation.is_empty() {
            created.generation = self.new_generation()?;
        }
        io(files::make_folder(&self.folder(&created)))?;
        self.save(&created)?;
        Ok(true)
    }

    /// Refuses a host that is unknown or not connected, or has no such switch.
    fn fits(&self, host: &HostName, network: Option<&str>) -> Result<(), Failure> {
        let known = &self.place.settings.hosts;
        let Some(says) = known.get(host).filter(|says| says.connected != Some(false)) else {
            let message = format!("host {host} of {} is unknown or not connected", self.place.name);
            let names: Vec<&str> = known.keys().map(HostName::as_str).collect();
            let help = format!("this site has: {}", names.join(", "));
            return Err(Failure::refused("H309", message).help(help));
        };
        match network {
            Some(switch) if !says.switches.contains(switch) => {
                let message = format!("host {host} has no virtual switch `{switch}`");
                let names: Vec<&str> = says.switches.iter().map(String::as_str).collect();
                let help = format!("it has: {}; create one of that name", names.join(", "));
                Err(Failure::refused("H310", message).help(help))
            }
            _ => Ok(()),
        }
    }

    /// A machine may go to another host only when what it leaves behind is a replica at most.
    fn may_leave(&self, state: &State) -> Result<(), Failure> {
        let live = state.replica.is_none() && state.booted.is_some() && !state.disks.is_empty();
        if live || (self.is_reachable(state) && self.is_running(state)?) {
            let host = self.host(state).map(|host| host.to_string()).unwrap_or_default();
            let message = format!("{} lives on {host}, with data of its own", self.machine);
            return Err(Failure::permanent(message).help("bring it to the cloud first"));
        }
        Ok(())
    }

    fn inventory(&self) -> Result<Json, Failure> {
        let state = self.state()?;
        let snapshots = io(cow::list(&self.folder(&state)))?.into_iter().map(|kept| {
            json!({
                "id": kept.snapshot.id,
                "generation": kept.snapshot.generation,
                "run": kept.run,
            })
        });
        Ok(json!({
            "machine": self.machine,
            "site": self.place.name,
            "side": self.side,
            "exists": state.exists,
            "generation": state.generation,
            "snapshots": snapshots.collect::<Vec<_>>(),
            "disks_kept_as_base": self.disk_files(&state).iter().map(|d| shown(d)).collect::<Vec<_>>(),
        }))
    }

    fn delete(&self, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let (_lock, state) = self.act(fence)?;
        self.reach(&state)?;
        let here = format!("{} at {}", self.machine, self.place.name);
        if self.is_running(&state)? {
            let message = format!("{here} runs: it is not deleted");
            return Err(Failure::refused("H311", message).help("shut it down first"));
        }
        if state.generation != generation {
            let message = format!(
                "{here} was booted or written since this was decided: its generation is {}, not {generation}",
                state.generation
            );
            return Err(Failure::refused("H311", message).help("look at it; plan again"));
        }
        let folder = self.folder(&state);
        for kept in io(cow::list(&folder))? {
            io(cow::remove(&folder, &kept.snapshot.id))?;
        }
        io(tracking::forget(&folder))?;
        if state.exists || !state.fenced {
            self.save(&State { exists: false, fenced: true, ..state })?;
        }
        Ok(())
    }
}
