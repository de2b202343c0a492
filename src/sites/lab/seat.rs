//! One side of one machine at a site: its folders, its lock, its fence, its state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{HostName, Json, MachineName, Side, SiteName, Timestamp};
use crate::plan::facts::Power;
use crate::plan::inventory::{KeySource, MachineEntry};
use crate::run::failure::Failure;
use crate::sites::lab::disk::disk_path;
use crate::sites::lab::guest::control::{self, Request};
use crate::sites::lab::launch;
use crate::sites::lab::settings::{MachineSettings, Settings};
use crate::sites::lab::tracking::FIRST_TRACKING;
use crate::sites::records::{Lease, Records};
use crate::sites::registry::Tools;
use crate::sites::secret::{self, Secret};
use crate::sites::state::State;
use crate::sites::{At, SideView};

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
    pub records: Records,
    pub machine: MachineName,
    pub side: Side,
    pub entry: MachineEntry,
    pub settings: MachineSettings,
}

impl Seat {
    /// The seat that a call is about.
    pub(super) fn new(place: &Arc<Place>, at: At<'_>) -> Result<Seat, Failure> {
        let settings = crate::sites::lab::settings::of_machine(at.machine.as_str(), at.entry)
            .map_err(|wrong| Failure::permanent(wrong.message))?;
        Ok(Seat {
            place: Arc::clone(place),
            records: Records::new(&place.name, &place.settings.folder, at.machine),
            machine: at.machine.clone(),
            side: at.side,
            entry: at.entry.clone(),
            settings,
        })
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
        let lease = self.records.lease()?;
        let Some(mut state) = self.records.recorded()? else {
            return self.unborn(lease);
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
    fn unborn(&self, lease: Lease) -> Result<SideView, Failure> {
        if self.was_held()? || !self.place.machines.contains(&self.machine) {
            let state = State { host: self.host(&State::absent()), ..State::absent() };
            return Ok(state.view(Power::Off, false, lease));
        }
        let state = self.initial(Timestamp::now());
        let power = if self.side == Side::Cloud { Power::On } else { Power::Off };
        let encrypted = self.settings.is_encrypted(&self.entry);
        Ok(SideView { encrypted, ..state.view(power, true, lease) })
    }

    /// Whether a run ever held the machine, at any of the lab's sites. One that has no state was deleted from
    /// outside then: it does not wait to be created, and what is left of it is not written over.
    pub(super) fn was_held(&self) -> Result<bool, Failure> {
        for (name, (folder, _)) in &self.place.sites {
            if Records::new(name, folder, &self.machine).lease()?.token > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The state that creating the lab gives it.
    pub(super) fn initial(&self, now: Timestamp) -> State {
        let at = self.settings.failed_over_at(now).unwrap_or(now);
        let tracking = self.cloud_tracks().then(|| format!("{FIRST_TRACKING}.0"));
        State::initial(self.side, &self.entry, at, tracking)
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
