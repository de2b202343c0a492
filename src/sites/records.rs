//! The records of one side of a machine, in a folder of its own at its site: its durable state, the claim
//! of a run on it, and the lock that whoever changes anything of it holds.
//!
//! ```text
//! <site>/machines/<machine>/lock         held while anything of this side is changed
//!                           state.json   what is durably known of it (state.rs)
//!                           claim.json   the run that holds it, and the token
//! ```

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{MachineName, RunId, SiteName, SyncId};
use crate::run::failure::Failure;
use crate::sites::files::io;
use crate::sites::guarded::Permit;
use crate::sites::state::State;
use crate::sites::{Claim, Fence, files};

/// `claim.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::sites) struct Lease {
    /// Who holds it.
    pub run: Option<RunId>,
    /// Grows with every claim.
    pub token: u64,
}

impl Lease {
    /// As callers see it.
    pub(in crate::sites) fn claim(self) -> Option<Claim> {
        let token = self.token;
        self.run.map(|run| Claim { run, token })
    }

    /// As a run has it that takes the side `here`, unless another one holds it.
    pub(in crate::sites) fn taken(&self, here: &str, run: &RunId) -> Result<Lease, Failure> {
        match &self.run {
            Some(holder) if holder != run => {
                let message = format!("{here} is held by run {holder}");
                let help = format!("`homing resume {holder}` or `homing cancel {holder}` first");
                Err(Failure::refused("H301", message).help(help))
            }
            _ => Ok(Lease { run: Some(run.clone()), token: self.token + 1 }),
        }
    }

    /// Refuses unless the claim of the side `here` is this run's, with this token.
    pub(in crate::sites) fn check(&self, here: &str, fence: &Fence) -> Result<(), Failure> {
        if self.run.as_ref() == Some(&fence.run) && self.token == fence.token {
            return Ok(());
        }
        let holder = match &self.run {
            Some(run) if *run == fence.run => "a newer process of the same run".to_owned(),
            Some(run) => format!("run {run}"),
            None => "nobody".to_owned(),
        };
        let message = format!(
            "{here} is held by {holder}, not by this process (token {}, now {})",
            fence.token, self.token
        );
        Err(Failure::refused("H302", message).help("see `homing runs`: another process took over"))
    }
}

/// Where one side of one machine is recorded.
#[derive(Clone, Debug)]
pub(in crate::sites) struct Records {
    pub site: SiteName,
    pub machine: MachineName,
    folder: PathBuf,
}

impl Records {
    /// Of `machine` at the site in the folder `site_folder`.
    pub(in crate::sites) fn new(
        site: &SiteName,
        site_folder: &std::path::Path,
        machine: &MachineName,
    ) -> Records {
        let folder = site_folder.join("machines").join(machine.as_str());
        Records { site: site.clone(), machine: machine.clone(), folder }
    }

    /// The side in words.
    pub(in crate::sites) fn here(&self) -> String {
        format!("{} at {}", self.machine, self.site)
    }

    fn state_path(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    fn claim_path(&self) -> PathBuf {
        self.folder.join("claim.json")
    }

    /// Keeps every other process away from this side until the returned lock is dropped.
    pub(in crate::sites) fn lock(&self) -> Result<File, Failure> {
        self.lock_named("lock")
    }

    /// The same for one matter of this side alone.
    pub(in crate::sites) fn lock_named(&self, name: &str) -> Result<File, Failure> {
        io(files::make_folder(&self.folder))?;
        io(files::lock(&self.folder.join(name)))
    }

    /// The durable state; `None`: nothing was ever recorded.
    pub(in crate::sites) fn recorded(&self) -> Result<Option<State>, Failure> {
        io(files::load(&self.state_path()))
    }

    /// The durable state; a machine that was never here is absent.
    pub(in crate::sites) fn state(&self) -> Result<State, Failure> {
        Ok(self.recorded()?.unwrap_or_else(State::absent))
    }

    /// Replaces the durable state.
    pub(in crate::sites) fn save(&self, state: &State) -> Result<(), Failure> {
        io(files::save(&self.state_path(), state))
    }

    /// Deletes all of it.
    pub(in crate::sites) fn forget(&self) -> Result<(), Failure> {
        io(files::remove_folder(&self.folder))
    }

    /// Who claims it.
    pub(in crate::sites) fn lease(&self) -> Result<Lease, Failure> {
        Ok(io(files::load(&self.claim_path()))?.unwrap_or_default())
    }

    /// Locks this side, and refuses unless the fence holds.
    pub(in crate::sites) fn act(&self, fence: &Fence) -> Result<(File, State), Failure> {
        // Before the lock too: a machine that nobody claims gets no folder.
        self.check(fence)?;
        let lock = self.lock()?;
        self.check(fence)?;
        Ok((lock, self.state()?))
    }

    /// Changes the durable state, under the fence.
    pub(in crate::sites) fn change(
        &self,
        fence: &Fence,
        change: impl FnOnce(&mut State),
    ) -> Result<(), Failure> {
        let (_lock, state) = self.act(fence)?;
        state.known(&self.here())?;
        let mut changed = state.clone();
        change(&mut changed);
        if changed == state { Ok(()) } else { self.save(&changed) }
    }

    /// Refuses unless the claim is this run's, with this token.
    pub(in crate::sites) fn check(&self, fence: &Fence) -> Result<(), Failure> {
        self.lease()?.check(&self.here(), fence)
    }

    /// Asked before every write to the replica: this fence still holds, and the mark is this sync's.
    pub(in crate::sites) fn permit(&self, fence: &Fence, sync: &SyncId) -> Permit {
        let (records, fence, sync) = (self.clone(), fence.clone(), sync.clone());
        Arc::new(move || {
            let marked = || records.state()?.marked(&records.here(), &sync);
            records
                .check(&fence)
                .and_then(|()| marked())
                .map_err(|failure| io::Error::new(io::ErrorKind::PermissionDenied, failure))
        })
    }

    /// See `Claims::claim`.
    pub(in crate::sites) fn claim(&self, run: &RunId) -> Result<Claim, Failure> {
        // A step of another run may hold the lock for a while: say so at once instead of waiting.
        self.lease()?.taken(&self.here(), run)?;
        let _lock = self.lock()?;
        let lease = self.lease()?.taken(&self.here(), run)?;
        io(files::save(&self.claim_path(), &lease))?;
        Ok(Claim { run: run.clone(), token: lease.token })
    }

    /// See `Claims::unclaim`.
    pub(in crate::sites) fn unclaim(&self, run: &RunId) -> Result<(), Failure> {
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
}
