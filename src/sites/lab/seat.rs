//! One side of one machine at a site: its folders, its lock, its fence, its state.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{HostName, Json, MachineName, RunId, Side, SiteName, Timestamp};
use crate::plan::facts::Power;
use crate::plan::inventory::{KeySource, MachineEntry};
use crate::run::failure::Failure;
use crate::sites::lab::disk::disk_path;
use crate::sites::lab::guest::control::{self, Request};
use crate::sites::lab::settings::{MachineSettings, Settings};
use crate::sites::lab::state::{Lease, State};
use crate::sites::lab::{files, launch};
use crate::sites::registry::Tools;
use crate::sites::secret::{self, Secret};
use crate::sites::{At, Claim, Fence, SideView};

/// An opened site.
pub(super) struct Place {
    pub name: SiteName,
    pub settings: Settings,
    pub tools: Tools,
    pub keys: BTreeMap<String, KeySource>,
    /// The folders of all sites of this provider, with whether they track changes.
    pub sites: BTreeMap<SiteName, (PathBuf, bool)>,
    /// The machines that creating the lab would create.
    pub machines: BTreeSet<MachineName>,
}

/// One side of one machine.
#[derive(Clone)]
pub(super) struct Seat {
    pub place: Arc<Place>,
    pub machine: MachineName,
    pub side: Side,
    pub entry: MachineEntry,
    pub settings: MachineSettings,
}

/// A system error as an operating error.
pub(super) fn io<T>(result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| files::failure(&error))
}

impl Seat {
    /// The seat that a call is about.
    pub(super) fn new(place: &Arc<Place>, at: At<'_>) -> Result<Seat, Failure> {
        let settings = crate::sites::lab::settings::of_machine(at.machine.as_str(), at.entry)
            .map_err(|wrong| Failure::permanent(wrong.message))?;
        Ok(Seat {
            place: Arc::clone(place),
            machine: at.machine.clone(),
            side: at.side,
            entry: at.entry.clone(),
            settings,
        })
    }

    /// Where its state is kept.
    fn records(&self) -> PathBuf {
        self.place.settings.folder.join("machines").join(self.machine.as_str())
    }

    /// The file that says all of it.
    pub(super) fn state_path(&self) -> PathBuf {
        self.records().join("state.json")
    }

    fn claim_path(&self) -> PathBuf {
        self.records().join("claim.json")
    }

    /// The host that it lives on, or would.
    pub(super) fn host(&self, state: &State) -> Option<HostName> {
        (self.side == Side::Onprem)
            .then(|| state.host.clone().unwrap_or_else(|| self.entry.host.clone()))
    }

    /// Where its disks are, or would be.
    pub(super) fn folder(&self, state: &State) -> PathBuf {
        let site = &self.place.settings.folder;
        match self.host(state) {
            Some(host) => site.join("hosts").join(host.as_str()).join(self.machine.as_str()),
            None => site.join("disks").join(self.machine.as_str()),
        }
    }

    /// The log of its client, outside both sites.
    pub(super) fn client_log(&self) -> PathBuf {
        let own = &self.place.settings.folder;
        let site = self.place.sites.get(&self.entry.cloud).map_or(own, |(folder, _)| folder);
        let above = site.parent().unwrap_or(site);
        above.join("clients").join(format!("{}.log", self.machine))
    }

    /// Whether its cloud side tracks changes.
    pub(super) fn cloud_tracks(&self) -> bool {
        self.place.sites.get(&self.entry.cloud).is_some_and(|(_, tracks)| *tracks)
    }

    /// Keeps every other process away from this side until the returned lock is dropped.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        io(files::make_folder(&self.records()))?;
        io(files::lock(&self.records().join("lock")))
    }

    /// Keeps every other measurement of this side away until the returned lock is dropped.
    pub(super) fn measuring(&self) -> Result<File, Failure> {
        io(files::make_folder(&self.records()))?;
        io(files::lock(&self.records().join("measure.lock")))
    }

    /// The durable state; a machine that was never here is absent.
    pub(super) fn state(&self) -> Result<State, Failure> {
        Ok(io(files::load(&self.state_path()))?.unwrap_or_else(State::absent))
    }

    /// Replaces the durable state.
    pub(super) fn save(&self, state: &State) -> Result<(), Failure> {
        io(files::save(&self.state_path(), state))
    }

    fn lease(&self) -> Result<Lease, Failure> {
        Ok(io(files::load(&self.claim_path()))?.unwrap_or_default())
    }

    /// Locks this side, and refuses unless the fence holds.
    pub(super) fn act(&self, fence: &Fence) -> Result<(File, State), Failure> {
        let lock = self.lock()?;
        self.check(fence)?;
        Ok((lock, self.state()?))
    }

    /// Refuses unless the claim is this run's, with this token.
    pub(super) fn check(&self, fence: &Fence) -> Result<(), Failure> {
        let lease = self.lease()?;
        if lease.run.as_ref() == Some(&fence.run) && lease.token == fence.token {
            return Ok(());
        }
        let holder = match &lease.run {
            Some(run) if *run == fence.run => "a newer process of the same run".to_owned(),
            Some(run) => format!("run {run}"),
            None => "nobody".to_owned(),
        };
        let message = format!(
            "{} at {} is held by {holder}, not by this process (token {}, now {})",
            self.machine, self.place.name, fence.token, lease.token
        );
        Err(Failure::refused("H302", message).help("see `homing runs`: another process took over"))
    }

    /// See `Claims::claim`.
    pub(super) fn claim(&self, run: &RunId) -> Result<Claim, Failure> {
        // A step of another run may hold the lock for a while: say so at once instead of waiting.
        self.refuse_other(&self.lease()?, run)?;
        let _lock = self.lock()?;
        let lease = self.lease()?;
        self.refuse_other(&lease, run)?;
        let lease = Lease { run: Some(run.clone()), token: lease.token + 1 };
        io(files::save(&self.claim_path(), &lease))?;
        Ok(Claim { run: run.clone(), token: lease.token })
    }

    fn refuse_other(&self, lease: &Lease, run: &RunId) -> Result<(), Failure> {
        match &lease.run {
            Some(holder) if holder != run => {
                let message =
                    format!("{} at {} is held by run {holder}", self.machine, self.place.name);
                let help = format!("`homing resume {holder}` or `homing cancel {holder}` first");
                Err(Failure::refused("H301", message).help(help))
            }
            _ => Ok(()),
        }
    }

    /// See `Claims::unclaim`.
    pub(super) fn unclaim(&self, run: &RunId) -> Result<(), Failure> {
        if self.lease()?.run.as_ref() != Some(run) {
            return Ok(());
        }
        let _lock = self.lock()?;
        let lease = self.lease()?;
        if lease.run.as_ref() == Some(run) {
            io(files::save(&self.claim_path(), &Lease { run: None, ..lease }))?;
        }
        Ok(())
    }

    /// Whether its host can be reached; a side without hosts always can.
    pub(super) fn is_reachable(&self, state: &State) -> bool {
        let known = |host| self.place.settings.hosts.get(&host);
        self.host(state)
            .is_none_or(|host| known(host).is_some_and(|says| says.connected != Some(false)))
    }

    /// Refuses when its host cannot be reached.
    pub(super) fn reach(&self, state: &State) -> Result<(), Failure> {
        if self.is_reachable(state) {
            return Ok(());
        }
        let host = self.host(state).map(|host| host.to_string()).unwrap_or_default();
        let message = format!("host {host} of {} is not connected", self.place.name);
        Err(Failure::refused("H309", message).help("connect it, or use another host"))
    }

    /// Whether it runs.
    pub(super) fn is_running(&self, state: &State) -> Result<bool, Failure> {
        launch::is_alive(&self.folder(state))
    }

    /// Whether all its disks are there.
    pub(super) fn has_disks(&self, state: &State) -> bool {
        let folder = self.folder(state);
        let whole = |disk| disk_path(&folder, disk).is_file();
        !state.disks.is_empty() && (0..state.disks.len()).all(whole)
    }

    /// See `Site::look`.
    pub(super) fn look(&self) -> Result<SideView, Failure> {
        let lease = self.lease()?;
        let Some(mut state) = io(files::load::<State>(&self.state_path()))? else {
            return Ok(self.unborn(lease));
        };
        state.host = self.host(&state);
        if !self.is_reachable(&state) {
            // A replica that cannot be reached is no replica; what may run there nobody knows.
            let passive = state.replica.is_some() || state.fenced || !state.exists;
            let power = if passive { Power::Off } else { Power::Unknown };
            state.exists &= !passive;
            return Ok(state.view(power, false, lease));
        }
        let power = if self.is_running(&state)? { Power::On } else { Power::Off };
        let has_disks = self.has_disks(&state);
        Ok(state.view(power, has_disks, lease))
    }

    /// What is seen of a machine that creating the lab will create.
    fn unborn(&self, lease: Lease) -> SideView {
        // A machine that a run once held and that has no state was deleted from outside: it does not
        // wait to be created.
        if lease.token > 0 || !self.place.machines.contains(&self.machine) {
            let state = State { host: self.host(&State::absent()), ..State::absent() };
            return state.view(Power::Off, false, lease);
        }
        let tracks = self.cloud_tracks();
        let now = Timestamp::now();
        let state = State::initial(self.side, &self.entry, &self.settings, tracks, now);
        let power = if self.side == Side::Cloud { Power::On } else { Power::Off };
        let encrypted = self.settings.is_encrypted(&self.entry);
        SideView { encrypted, ..state.view(power, true, lease) }
    }

    /// Asks the guest.
    pub(super) fn ask(
        &self,
        state: &State,
        request: &Request,
        patience: Duration,
    ) -> Result<Json, Failure> {
        control::ask(&self.folder(state), request, patience).map_err(|error| {
            let message =
                format!("{} at {} does not answer: {error}", self.machine, self.place.name);
            Failure::transient(message)
        })
    }

    /// The key of its disks by the inventory, when they are encrypted.
    pub(super) fn key(&self) -> Result<Option<[u8; 32]>, Failure> {
        if !self.settings.is_encrypted(&self.entry) {
            return Ok(None);
        }
        let name = self.entry.key.as_deref().unwrap_or_default();
        let Some(source) = self.place.keys.get(name) else {
            let message = format!(
                "the disks of {} are encrypted, and there is no key `{name}`",
                self.machine
            );
            return Err(Failure::refused("H308", message).help("add it to the inventory's keys"));
        };
        Ok(Some(disk_key(&secret::read_key(source)?)))
    }

    /// Its disk files.
    pub(super) fn disk_files(&self, state: &State) -> Vec<PathBuf> {
        let folder = self.folder(state);
        (0..state.disks.len()).map(|disk| disk_path(&folder, disk)).collect()
    }
}

/// The key that a secret stands for.
pub(super) fn disk_key(secret: &Secret) -> [u8; 32] {
    blake3::derive_key("homing 2026 lab disk key", secret.bytes())
}

/// What is kept beside disks to know their key by.
pub(super) fn key_check(machine: &MachineName, key: &[u8; 32]) -> String {
    let check = blake3::keyed_hash(key, machine.as_str().as_bytes()).to_hex();
    check.as_str()[..32].to_owned()
}
