//! Creating, deleting and marking machines.

use async_trait::async_trait;

use crate::base::{HostName, Side};
use crate::plan::facts::Protection;
use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::lab::seat::Seat;
use crate::sites::lab::site::LabSite;
use crate::sites::lab::{cow, launch, tracking};
use crate::sites::state::State;
use crate::sites::{At, Doomed, Fence, Lost, Machines, NewMachine};

#[async_trait]
impl Machines for LabSite {
    async fn create(&self, at: At<'_>, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let seat = self.seat(at, "create").await?;
        let (new, fence) = (new.clone(), fence.clone());
        blocking(move || seat.create(&new, &fence)).await
    }

    async fn doomed(&self, at: At<'_>) -> Result<Doomed, Failure> {
        let seat = self.seat(at, "doomed").await?;
        blocking(move || seat.doomed()).await
    }

    async fn delete(&self, at: At<'_>, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "delete").await?;
        let (generation, fence) = (generation.to_owned(), fence.clone());
        blocking(move || seat.delete(&generation, &fence)).await
    }

    async fn set_committed(&self, at: At<'_>, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "set_committed").await?;
        let fence = fence.clone();
        blocking(move || seat.records.change(&fence, |state| state.committed = true)).await
    }

    async fn set_lost_twin(
        &self,
        at: At<'_>,
        lost: Option<&Lost>,
        fence: &Fence,
    ) -> Result<(), Failure> {
        let seat = self.seat(at, "set_lost_twin").await?;
        let (lost, fence) = (lost.cloned(), fence.clone());
        blocking(move || seat.records.change(&fence, |state| state.lost_twin = lost)).await
    }

    async fn set_superseded(&self, at: At<'_>, is: bool, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "set_superseded").await?;
        let fence = fence.clone();
        blocking(move || seat.records.change(&fence, move |state| state.superseded = is)).await
    }

    async fn protect(&self, at: At<'_>, to: Protection, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "protect").await?;
        let fence = fence.clone();
        blocking(move || seat.records.change(&fence, |state| state.protection = to)).await
    }
}

impl Seat {
    fn create(&self, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let (_lock, state) = self.records.act(fence)?;
        let home = self.host(&state);
        let host = new.host.clone().filter(|_| self.side == Side::Onprem).or_else(|| home.clone());
        let network = new.network.clone().or_else(|| self.network(&state));
        let made = state.created(home.as_ref(), host.clone(), network.clone(), &fence.key);
        let Some((mut created, moves)) = made else {
            self.reach(&state)?;
            return Ok(state.created_by.as_ref() == Some(&fence.key));
        };
        if let Some(host) = &host {
            self.fits(host, network.as_deref())?;
        }
        if moves {
            self.may_leave(&state)?;
            // What an earlier stay may have left on that host is nobody's.
            io(files::remove_folder(&self.folder(&created)))?;
        }
        if created.generation.is_empty() {
            created.generation = self.new_generation()?;
        }
        io(files::make_folder(&self.folder(&created)))?;
        self.records.save(&created)?;
        Ok(true)
    }

    /// The switch that the machine is on: the one it was created with, else its home's, which has only
    /// one in a lab that does not say otherwise.
    fn network(&self, state: &State) -> Option<String> {
        let of_home = || match self.place.settings.hosts.get(&self.entry.host) {
            Some(home) if home.switches.len() == 1 => home.switches.first().cloned(),
            _ => None,
        };
        state.network.clone().or_else(of_home)
    }

    /// Refuses a host that is unknown or not connected, or has no such switch.
    pub(super) fn fits(&self, host: &HostName, network: Option<&str>) -> Result<(), Failure> {
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
        if !state.is_replica_at_most() || (self.is_reachable(state) && self.is_running(state)?) {
            let host = self.host(state).map(|host| host.to_string()).unwrap_or_default();
            let message = format!("{} lives on {host}, with data of its own", self.machine);
            return Err(Failure::permanent(message).help("bring it to the cloud first"));
        }
        Ok(())
    }

    fn doomed(&self) -> Result<Doomed, Failure> {
        let state = self.records.state()?;
        let kept = io(cow::list(&self.folder(&state)))?;
        let files = self.disk_files(&state);
        let names = files.iter().filter_map(|file| Some(file.file_name()?.to_str()?.to_owned()));
        Ok(Doomed {
            snapshots: kept.into_iter().map(|kept| kept.snapshot.id).collect(),
            disks_kept: names.collect(),
        })
    }

    fn delete(&self, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let (_lock, state) = self.records.act(fence)?;
        state.known(&self.records.here())?;
        self.reach(&state)?;
        let is_running = launch::runs(&self.folder(&state))?;
        state.may_delete(&self.records.here(), is_running, generation)?;
        let folder = self.folder(&state);
        io(cow::remove_all(&folder))?;
        io(tracking::forget(&folder))?;
        if state.exists || !state.fenced {
            self.records.save(&state.deleted())?;
        }
        Ok(())
    }
}
