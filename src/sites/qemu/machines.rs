//! Creating, deleting and marking machines.

use async_trait::async_trait;

use crate::base::{HostName, Side};
use crate::plan::facts::Protection;
use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::qemu::seat::Seat;
use crate::sites::qemu::site::QemuSite;
use crate::sites::state::State;
use crate::sites::{At, Doomed, Fence, Lost, Machines, NewMachine};

#[async_trait]
impl Machines for QemuSite {
    async fn create(&self, at: At<'_>, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let seat = self.seat(at)?;
        let (new, fence) = (new.clone(), fence.clone());
        blocking(move || seat.create(&new, &fence)).await
    }

    async fn doomed(&self, at: At<'_>) -> Result<Doomed, Failure> {
        let seat = self.seat(at)?;
        blocking(move || seat.doomed()).await
    }

    async fn delete(&self, at: At<'_>, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at)?;
        let (generation, fence) = (generation.to_owned(), fence.clone());
        blocking(move || seat.delete(&generation, &fence)).await
    }

    async fn set_committed(&self, at: At<'_>, fence: &Fence) -> Result<(), Failure> {
        self.change(at, fence, |state| state.committed = true).await
    }

    async fn set_lost_twin(
        &self,
        at: At<'_>,
        lost: Option<&Lost>,
        fence: &Fence,
    ) -> Result<(), Failure> {
        let lost = lost.cloned();
        self.change(at, fence, |state| state.lost_twin = lost).await
    }

    async fn set_superseded(&self, at: At<'_>, is: bool, fence: &Fence) -> Result<(), Failure> {
        self.change(at, fence, move |state| state.superseded = is).await
    }

    async fn protect(&self, at: At<'_>, to: Protection, fence: &Fence) -> Result<(), Failure> {
        self.change(at, fence, move |state| state.protection = to).await
    }
}

impl QemuSite {
    async fn change(
        &self,
        at: At<'_>,
        fence: &Fence,
        change: impl FnOnce(&mut State) + Send + 'static,
    ) -> Result<(), Failure> {
        let seat = self.seat(at)?;
        let fence = fence.clone();
        blocking(move || {
            let (_lock, state) = seat.act(&fence)?;
            state.known(&seat.here())?;
            let mut changed = state.clone();
            change(&mut changed);
            if changed == state { Ok(()) } else { seat.records.save(&changed) }
        })
        .await
    }
}

impl Seat {
    fn create(&self, new: &NewMachine, fence: &Fence) -> Result<bool, Failure> {
        let (_lock, state) = self.act(fence)?;
        if new.path.is_some() {
            let message =
                format!("{} keeps its machines' disks in its own folder", self.place.name);
            return Err(Failure::permanent(message).help("leave `path` out"));
        }
        let home = self.host(&state);
        let host = new.host.clone().filter(|_| self.side == Side::Onprem).or_else(|| home.clone());
        let network = new.network.clone().or_else(|| self.network(&state));
        let made = state.created(home.as_ref(), host.clone(), network.clone(), &fence.key);
        let Some((created, moves)) = made else {
            return Ok(state.created_by.as_ref() == Some(&fence.key));
        };
        self.fits(host.as_ref(), network.as_deref())?;
        if moves {
            self.may_move(&state, &created)?;
        }
        let generation = match created.generation.as_str() {
            "" => self.new_generation()?,
            known => known.to_owned(),
        };
        io(files::make_folder(&self.folder(&created)))?;
        self.records.save(&State {
            generation,
            cpus: new.cpus.or(created.cpus),
            memory_bytes: new.memory_bytes.or(created.memory_bytes),
            ..created
        })?;
        Ok(true)
    }

    /// The switch that the machine is on.
    fn network(&self, state: &State) -> Option<String> {
        state.network.clone().or_else(|| self.settings.network.clone())
    }

    /// What `-netdev` takes for the switch that it is on.
    pub(super) fn netdev(&self, state: &State) -> Result<Option<&str>, Failure> {
        let Some(network) = self.network(state) else { return Ok(None) };
        let host = self.host(state);
        self.fits(host.as_ref(), Some(&network))?;
        let hosts = &self.place.settings.hosts;
        let switches = host.and_then(|host| hosts.get(&host)).map(|host| &host.switches);
        Ok(switches.and_then(|all| all.get(&network)).map(String::as_str))
    }

    /// Refuses a host that is unknown, or has no such switch. A site without hosts has no switches: a
    /// machine there is on no network.
    fn fits(&self, host: Option<&HostName>, network: Option<&str>) -> Result<(), Failure> {
        let Some(host) = host else { return Ok(()) };
        let known = &self.place.settings.hosts;
        let Some(says) = known.get(host) else {
            let message = format!("{} has no host {host}", self.place.name);
            let names: Vec<&str> = known.keys().map(HostName::as_str).collect();
            let help = format!("its hosts are: {}", names.join(", "));
            return Err(Failure::refused("H309", message).help(help));
        };
        match network {
            Some(switch) if !says.switches.contains_key(switch) => {
                let message = format!("host {host} has no virtual switch `{switch}`");
                let names: Vec<&str> = says.switches.keys().map(String::as_str).collect();
                let help = format!("it has: {}; add one of that name", names.join(", "));
                Err(Failure::refused("H310", message).help(help))
            }
            _ => Ok(()),
        }
    }

    /// A machine may go to another host only when what it leaves behind is a replica at most, and nothing
    /// of anybody lies where it goes.
    fn may_move(&self, from: &State, to: &State) -> Result<(), Failure> {
        let host = |state| self.host(state).map(|host| host.to_string()).unwrap_or_default();
        if !from.is_replica_at_most() || self.is_running(from)? {
            let message = format!("{} lives on {}, with data of its own", self.machine, host(from));
            return Err(Failure::permanent(message).help("bring it to the cloud first"));
        }
        self.close(from)?;
        let lies = State { disks: self.entry.disks.clone(), ..to.clone() };
        if self.is_sealed(&lies)? {
            // What an earlier stay left there, untouched since, is nobody's.
            io(files::remove_folder(&self.folder(&lies)))?;
        }
        match self.disk_files(&lies).into_iter().find(|file| file.exists()) {
            None => Ok(()),
            Some(there) => {
                let message =
                    format!("there is a disk of {} on {} already", self.machine, host(to));
                let help =
                    format!("move {} out of the way: it is not written over", there.display());
                Err(Failure::permanent(message).help(help))
            }
        }
    }

    fn doomed(&self) -> Result<Doomed, Failure> {
        let state = self.state()?;
        let files = self.disk_files(&state);
        let names = files.iter().filter_map(|file| Some(file.file_name()?.to_str()?.to_owned()));
        let snapshots = self.snapshots()?.into_iter().map(|(snapshot, _)| snapshot.id);
        Ok(Doomed { snapshots: snapshots.collect(), disks_kept: names.collect() })
    }

    fn delete(&self, generation: &str, fence: &Fence) -> Result<(), Failure> {
        let (_lock, state) = self.act(fence)?;
        state.known(&self.here())?;
        state.may_delete(&self.here(), self.is_running(&state)?, generation)?;
        let state = self.close(&state)?;
        self.forget_snapshots(&state)?;
        if state.exists || !state.fenced {
            self.records.save(&State { tracking: None, ..state.deleted() })?;
        }
        Ok(())
    }
}
