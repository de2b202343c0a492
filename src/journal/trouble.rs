//! What can go wrong with the journal, each with what an operator does about it.

use crate::base::{MachineName, PlanId, RunId};
use crate::run::outcome::Outcome;

/// The journal said no, or could not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// No room left.
    #[error("the disk of the state folder is full ({0})")]
    Full(String),
    /// The folder or the file may not be written.
    #[error("the state folder cannot be written: {0}")]
    Unwritable(String),
    /// The file is no journal any more.
    #[error("the journal is damaged: {0}")]
    Corrupt(String),
    /// Another process holds the file for longer than it should.
    #[error("the journal is locked by another program: {0}")]
    Locked(String),
    /// The disk failed.
    #[error("the journal cannot be read or written: {0}")]
    Io(String),
    /// The file that this process has open is no longer where others would look for it.
    #[error("the journal is gone: {0} was removed or replaced while the run went on")]
    Gone(camino::Utf8PathBuf),
    /// Written by a newer homing.
    #[error("the journal has format {found}, this homing reads up to {known}")]
    Newer {
        /// The file's format.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// No run has that id.
    #[error("there is no run `{0}`")]
    NoSuchRun(RunId),
    /// A living process owns the run.
    #[error("another process is working on run `{0}`")]
    Owned(RunId),
    /// An open run holds one of the machines.
    #[error("run `{run}` is not over and holds `{machine}`")]
    MachineBusy {
        /// The machine.
        machine: MachineName,
        /// The run that holds it.
        run: RunId,
    },
    /// A saved plan runs once.
    #[error("plan `{plan_id}` ran already, as run `{run}`")]
    AlreadyRan {
        /// The plan.
        plan_id: PlanId,
        /// The latest run of it.
        run: RunId,
        /// That run is not over.
        open: bool,
    },
    /// The run ended for good.
    #[error("run `{run}` is over: {outcome}")]
    Over {
        /// The run.
        run: RunId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Somebody wrote to a run that this process owns.
    #[error("another process wrote to run `{0}` although this one owns it")]
    HeadMoved(RunId),
    /// The chain of hashes does not close.
    #[error("run `{run}` was altered: {reason}")]
    Altered {
        /// The run.
        run: RunId,
        /// Where it breaks.
        reason: String,
    },
    /// The writer has stopped after an earlier trouble, or was closed.
    #[error("the journal of this run is closed")]
    Closed,
}

impl JournalError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            JournalError::Full(_) => "make room on that disk, then `homing resume`: nothing that was acknowledged is lost".into(),
            JournalError::Unwritable(_) => "check owner and permissions of the state folder, or choose another one with `--state`".into(),
            JournalError::Corrupt(_) => "keep the file, restore a copy of the state folder; `sqlite3 homing.db .recover` shows what can be read".into(),
            JournalError::Locked(_) => "close the program that has the file open (a `sqlite3` shell inside a transaction, a backup), then try again".into(),
            JournalError::Io(_) => "check the disk of the state folder (`dmesg`) and the limits on files (`ulimit -f`), then `homing resume`: nothing that was acknowledged is lost".into(),
            JournalError::Gone(_) => "put the state folder back where it was (a copy with all its files will do), then `homing resume`: what was acknowledged before is in it".into(),
            JournalError::Newer { .. } => "use the newer homing that wrote it, or another state folder with `--state`".into(),
            JournalError::NoSuchRun(_) => "`homing runs` lists them; is `--state` the right folder?".into(),
            JournalError::Owned(run) => format!("watch it with `homing logs {run} --follow`; it can be taken over only once that process is dead"),
            JournalError::MachineBusy { run, .. } => format!("finish it with `homing resume {run}`, or end it with `homing cancel {run}`"),
            JournalError::AlreadyRan { run, open: true, .. } => format!("go on with it: `homing resume {run}`"),
            JournalError::AlreadyRan { .. } => "make a new plan, or run this one again with `--again`".into(),
            JournalError::Over { .. } => "make a new plan for what is left to do".into(),
            JournalError::HeadMoved(run) => format!("find the other program that writes to the state folder (was it copied?), then `homing resume {run}`"),
            JournalError::Altered { .. } => "the plan or the journal of this run was edited: restore the state folder from a copy, or make a new plan from what is observed now".into(),
            JournalError::Closed => "see the trouble reported before this one".into(),
        }
    }

    /// Another process or another run is in the way; nothing is broken.
    pub fn is_busy(&self) -> bool {
        matches!(self, JournalError::Owned(_) | JournalError::MachineBusy { .. })
    }

    pub(super) fn of_file(path: &camino::Utf8Path, error: &std::io::Error) -> JournalError {
        let what = format!("{path}: {error}");
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => JournalError::Full(what),
            std::io::ErrorKind::PermissionDenied
            | std::io::ErrorKind::NotFound
            | std::io::ErrorKind::ReadOnlyFilesystem
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::AlreadyExists => JournalError::Unwritable(what),
            _ => JournalError::Io(what),
        }
    }
}

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> JournalError {
        use rusqlite::ErrorCode as C;
        let what = error.to_string();
        match error.sqlite_error_code() {
            Some(C::DiskFull) => JournalError::Full(what),
            Some(C::ReadOnly | C::CannotOpen | C::PermissionDenied) => {
                JournalError::Unwritable(what)
            }
            Some(C::DatabaseBusy | C::DatabaseLocked) => JournalError::Locked(what),
            Some(C::SystemIoFailure) => JournalError::Io(what),
            Some(C::DatabaseCorrupt | C::NotADatabase) => JournalError::Corrupt(what),
            _ => JournalError::Corrupt(format!("unexpected answer of the store: {what}")),
        }
    }
}
