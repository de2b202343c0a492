//! What people ask of runs: any process inserts, only the owner takes in.

use rusqlite::{Connection, params};

use crate::base::{RunId, Timestamp};
use crate::journal::trouble::JournalError;
use crate::run::command::{Asker, Command};

/// A request that waits for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the queue.
    pub id: i64,
    /// What is asked.
    pub command: Command,
    /// By whom.
    pub by: Asker,
    /// When it was asked.
    pub at: Timestamp,
}

pub(super) fn insert(
    connection: &Connection,
    run: &RunId,
    command: &Command,
    by: &Asker,
) -> Result<i64, JournalError> {
    let body = serde_json::to_string(command).expect("BUG: a command is plain data");
    connection.execute(
        "INSERT INTO command (run, body, who, host, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run.as_str(), body, by.who, by.from, Timestamp::now().to_string()],
    )?;
    Ok(connection.last_insert_rowid())
}

/// In the order asked.
pub(super) fn waiting(connection: &Connection, run: &RunId) -> Result<Vec<Waiting>, JournalError> {
    let mut select = connection.prepare_cached(
        "SELECT id, body, who, host, at FROM command WHERE run = ?1 AND applied_seq IS NULL ORDER BY id",
    )?;
    let mut rows = select.query([run.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, body, at): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let wrong = |why: String| JournalError::Corrupt(format!("command {id}: {why}"));
        found.push(Waiting {
            id,
            command: serde_json::from_str(&body).map_err(|error| wrong(error.to_string()))?,
            by: Asker { who: row.get(2)?, from: row.get(3)? },
            at: at.parse().map_err(|error: jiff::Error| wrong(error.to_string()))?,
        });
    }
    Ok(found)
}

pub(super) fn mark_applied(
    connection: &Connection,
    id: i64,
    head_seq: u64,
) -> Result<(), JournalError> {
    let mut update =
        connection.prepare_cached("UPDATE command SET applied_seq = ?2 WHERE id = ?1")?;
    update.execute(params![id, head_seq.cast_signed()])?;
    Ok(())
}
