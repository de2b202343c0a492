//! Which open run holds which machine, in this state folder; and who owns a run.
//!
//! The first is a table, changed in the transaction that begins or ends a run. The second is a lock
//! that the kernel gives back when its process dies: never a pid, never a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;

use camino::Utf8Path;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::base::{MachineName, RunId};
use crate::journal::trouble::JournalError;

/// Takes the machines for a run, or says which open run holds one.
pub(super) fn take(
    inside: &Transaction<'_>,
    run: &RunId,
    machines: &[MachineName],
) -> Result<(), JournalError> {
    if let Some((machine, run)) = holder(inside, machines)? {
        return Err(JournalError::MachineBusy { machine, run });
    }
    let mut insert = inside.prepare_cached("INSERT INTO claim (machine, run) VALUES (?1, ?2)")?;
    for machine in machines {
        insert.execute(params![machine.as_str(), run.as_str()])?;
    }
    Ok(())
}

/// Gives everything back that a run holds.
pub(super) fn give_back(inside: &Transaction<'_>, run: &RunId) -> Result<(), JournalError> {
    inside.execute("DELETE FROM claim WHERE run = ?1", [run.as_str()])?;
    Ok(())
}

/// The same of one machine.
pub(super) fn give_one_back(
    inside: &Transaction<'_>,
    run: &RunId,
    machine: &MachineName,
) -> Result<(), JournalError> {
    inside.execute(
        "DELETE FROM claim WHERE run = ?1 AND machine = ?2",
        [run.as_str(), machine.as_str()],
    )?;
    Ok(())
}

/// The first of these machines that an open run holds, with that run.
pub(super) fn holder<'a>(
    connection: &Connection,
    machines: impl IntoIterator<Item = &'a MachineName>,
) -> Result<Option<(MachineName, RunId)>, JournalError> {
    let mut select = connection.prepare_cached("SELECT run FROM claim WHERE machine = ?1")?;
    for machine in machines {
        let held: Option<String> =
            select.query_row([machine.as_str()], |row| row.get(0)).optional()?;
        if let Some(run) = held {
            let run = RunId::new(run).map_err(|wrong| JournalError::Corrupt(wrong.to_string()))?;
            return Ok(Some((machine.clone(), run)));
        }
    }
    Ok(None)
}

/// A probe holds the lock for microseconds; an owner until it ends.
const TRIES_MAX: u32 = 1000;

/// Becomes the owner of a run for as long as the file lives.
pub(super) fn own(state: &Utf8Path, run: &RunId) -> Result<File, JournalError> {
    let file = lock_file(state, run)?;
    for _ in 0..TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            Err(TryLockError::Error(error)) => {
                return Err(JournalError::of_file(&path(state, run), &error));
            }
        }
    }
    Err(JournalError::Owned(run.clone()))
}

/// Whether a living process owns the run.
pub(super) fn is_owned(state: &Utf8Path, run: &RunId) -> Result<bool, JournalError> {
    match lock_file(state, run)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(JournalError::of_file(&path(state, run), &error)),
    }
}

fn path(state: &Utf8Path, run: &RunId) -> camino::Utf8PathBuf {
    state.join("locks").join(format!("{run}.lock"))
}

fn lock_file(state: &Utf8Path, run: &RunId) -> Result<File, JournalError> {
    let path = path(state, run);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options.open(&path).map_err(|error| JournalError::of_file(&path, &error))
}
