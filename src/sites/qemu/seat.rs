//! One side of one machine at a site: its folders, its processes, and how it stands.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{HostName, MachineName, Side, SiteName, Timestamp};
use crate::plan::facts::Power;
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::files::{self, io};
use crate::sites::qemu::line::disk_file;
use crate::sites::qemu::monitor::{Monitor, Status};
use crate::sites::qemu::process::{self, Role};
use crate::sites::qemu::settings::{self, MachineSettings, Settings};
use crate::sites::qemu::{seal, tracking};
use crate::sites::records::{Lease, Records};
use crate::sites::state::State;
use crate::sites::{At, Fence, ReplicaMark, SideView};

/// An opened site.
pub(super) struct Place {
    pub name: SiteName,
    pub settings: Settings,
    /// What relative paths of the inventory are relative to.
    pub inventory_folder: PathBuf,
    /// The machines that `lab init` would create.
    pub practises: BTreeSet<MachineName>,
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
        let folder = &place.inventory_folder;
        let settings = settings::of_machine(at.machine.as_str(), at.entry, folder)
            .map_err(|wrong| Failure::permanent(wrong[0].message.clone()))?;
        Ok(Seat {
            place: Arc::clone(place),
            records: Records::new(&place.name, &place.settings.folder, at.machine),
            machine: at.machine.clone(),
            side: at.side,
            entry: at.entry.clone(),
            settings,
        })
    }

    /// This side in words.
    pub(super) fn here(&self) -> String {
        self.records.here()
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

    /// The files of its disks.
    pub(super) fn disk_files(&self, state: &State) -> Vec<PathBuf> {
        let folder = self.folder(state);
        let format = self.place.settings.format;
        (0..state.disks.len()).map(|disk| folder.join(disk_file(disk, format))).collect()
    }

    /// Whether all its disks are there.
    pub(super) fn has_disks(&self, state: &State) -> bool {
        !state.disks.is_empty() && self.disk_files(state).iter().all(|file| file.is_file())
    }

    /// How it stands, by the records and by its disks.
    pub(super) fn state(&self) -> Result<State, Failure> {
        match self.records.recorded()? {
            Some(recorded) => self.as_it_is(recorded),
            None => self.found(),
        }
    }

    /// Locks this side, refuses unless the fence holds, and records what a person put here or did to it.
    pub(super) fn act(&self, fence: &Fence) -> Result<(File, State), Failure> {
        let (lock, _) = self.records.act(fence)?;
        let state = self.state()?;
        if state.exists && self.records.recorded()?.as_ref() != Some(&state) {
            self.records.save(&state)?;
            self.seal(&state)?;
        } else if self.lies_open(&state)? {
            self.seal(&state)?;
        }
        Ok((lock, state))
    }

    /// Whether a crash kept the seal from being put on. Of a dirty replica that means more: see `doubted`.
    fn lies_open(&self, state: &State) -> Result<bool, Failure> {
        let folder = self.folder(state);
        Ok(!matches!(state.replica, Some(ReplicaMark::Dirty { .. }))
            && io(seal::on(&folder))?.is_none()
            && !process::is_alive(&folder, Role::Machine)?
            && !process::is_alive(&folder, Role::Disks)?)
    }

    /// A machine that a person made: its disks are here, and homing never heard of it.
    fn found(&self) -> Result<State, Failure> {
        let found = State { disks: self.entry.disks.clone(), ..State::absent() };
        let there: Vec<PathBuf> =
            self.disk_files(&found).into_iter().filter(|file| file.is_file()).collect();
        if there.is_empty() {
            return Ok(State::absent());
        }
        let generation = format!("found+{}", io(seal::look(&there))?);
        Ok(State { exists: true, generation, host: self.host(&State::absent()), ..found })
    }

    /// Disks that were written by somebody else are another generation, and nobody knows what changed.
    fn as_it_is(&self, recorded: State) -> Result<State, Failure> {
        let folder = self.folder(&recorded);
        if !self.has_disks(&recorded) || process::is_alive(&folder, Role::Machine)? {
            return Ok(recorded);
        }
        let Some(sealed) = io(seal::on(&folder))? else { return Ok(recorded) };
        let seen = io(seal::look(&self.disk_files(&recorded)))?;
        if seen == sealed { Ok(recorded) } else { Ok(written(recorded, &seen)) }
    }

    /// A replica of which nobody knows who wrote to it since the transfer into it broke off: its process
    /// died with homing, so that its disks lay open.
    pub(super) fn doubted(&self, state: State) -> Result<State, Failure> {
        let folder = self.folder(&state);
        if !self.has_disks(&state)
            || process::is_alive(&folder, Role::Disks)?
            || io(seal::on(&folder))?.is_some()
        {
            return Ok(state);
        }
        let seen = io(seal::look(&self.disk_files(&state)))?;
        let state = written(state, &seen);
        self.records.save(&state)?;
        Ok(state)
    }

    /// Whether the disks are there as homing left them.
    pub(super) fn is_sealed(&self, state: &State) -> Result<bool, Failure> {
        let Some(sealed) = io(seal::on(&self.folder(state)))? else { return Ok(false) };
        Ok(self.has_disks(state) && io(seal::look(&self.disk_files(state)))? == sealed)
    }

    /// Seals the disks as they are now: no process has them open to write.
    pub(super) fn seal(&self, state: &State) -> Result<(), Failure> {
        if self.has_disks(state) {
            io(seal::put(&self.folder(state), &self.disk_files(state)))?;
        }
        Ok(())
    }

    /// How its process stands; `None`: it has none.
    pub(super) fn process(&self, state: &State) -> Result<Option<Status>, Failure> {
        let folder = self.folder(state);
        if !process::is_alive(&folder, Role::Machine)? {
            return Ok(None);
        }
        match Monitor::open(&folder, Role::Machine).and_then(|mut monitor| monitor.status()) {
            Ok(status) => Ok(Some(status)),
            // It may have ended meanwhile.
            Err(_) if !process::is_alive(&folder, Role::Machine)? => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Whether its guest runs; a process that waits before its first instruction, or whose guest has ended,
    /// is a machine that is off.
    pub(super) fn is_running(&self, state: &State) -> Result<bool, Failure> {
        Ok(matches!(self.process(state)?, Some(Status::Running(_))))
    }

    /// Ends every process that has the disks of a machine that is off open, and seals them. A process that
    /// goes takes with it what changed on raw disks, and all snapshots.
    pub(super) fn close(&self, state: &State) -> Result<State, Failure> {
        let folder = self.folder(state);
        // A process that ends writes what it knows of qcow2 disks into them: that is no stranger.
        io(seal::lift(&folder))?;
        process::end(&folder, Role::Disks)?;
        process::end(&folder, Role::Machine)?;
        self.seal(state)?;
        let survives = tracking::survives(self.place.settings.format);
        let tracking = state.tracking.clone().filter(|_| survives);
        Ok(State { tracking, ..state.clone() })
    }

    /// See `Site::look`.
    pub(super) fn look(&self) -> Result<SideView, Failure> {
        let lease = self.records.lease()?;
        if let Some(view) = self.unborn(&lease)? {
            return Ok(view);
        }
        let mut state = self.state()?;
        state.host = self.host(&state);
        let power = match self.is_running(&state) {
            Ok(true) => Power::On,
            Ok(false) => Power::Off,
            // It lives and cannot be asked.
            Err(_) => Power::Unknown,
        };
        let has_disks = self.has_disks(&state);
        Ok(state.view(power, has_disks, lease))
    }

    /// What is seen of a practice machine that `lab init` will create, or has begun to. One that a run once
    /// held, and that has no records, was deleted from outside: it does not wait to be created.
    fn unborn(&self, lease: &Lease) -> Result<Option<SideView>, Failure> {
        if !self.place.practises.contains(&self.machine) || lease.token > 0 {
            return Ok(None);
        }
        let is_unborn = match self.records.recorded()? {
            Some(state) => state.first_boot_due,
            None => !self.found()?.exists,
        };
        let power = if self.side == Side::Cloud { Power::On } else { Power::Off };
        Ok(is_unborn.then(|| self.initial(Timestamp::now()).view(power, true, lease.clone())))
    }

    /// The state that creating the practice ground gives it.
    pub(super) fn initial(&self, now: Timestamp) -> State {
        State::initial(self.side, &self.entry, now, Some(tracking::FIRST.to_owned()))
    }

    /// Another one than ever before.
    pub(super) fn new_generation(&self) -> Result<String, Failure> {
        Ok(format!("{}-{}", self.side, io(files::random())?))
    }
}

fn written(state: State, seen: &str) -> State {
    State { generation: seal::written(&state.generation, seen), tracking: None, ..state }
}
