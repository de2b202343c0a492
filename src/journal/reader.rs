//! Reading runs without owning them.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use crate::base::{RunId, StepId, Timestamp};
use crate::journal::chain;
use crate::journal::trouble::JournalError;
use crate::run::event::Event;
use crate::run::outcome::Outcome;

/// A run as the journal's table has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunRow {
    /// The run.
    pub run: RunId,
    /// The plan it executes, by id.
    pub plan_id: String,
    /// What the plan means.
    pub digest: String,
    /// The script it came from.
    pub script: String,
    /// When it began.
    pub created_at: Timestamp,
    /// How many processes worked on it.
    pub epoch: u32,
    /// How many events it has.
    pub head_seq: u64,
    /// The hash of the last one.
    pub head_hash: String,
    /// How it stood when its process left it in order; `None` while one works on it, or after one died.
    pub outcome: Option<Outcome>,
}

const COLUMNS: &str =
    "id, plan_id, digest, script, created_at, epoch, head_seq, head_hash, outcome";

fn row(row: &Row<'_>) -> rusqlite::Result<Result<RunRow, String>> {
    let (id, created_at): (String, String) = (row.get(0)?, row.get(4)?);
    let outcome: Option<String> = row.get(8)?;
    let (Ok(run), Ok(created_at)) = (RunId::new(&id), created_at.parse::<Timestamp>()) else {
        return Ok(Err(format!("run `{id}` has no id or date")));
    };
    let outcome = match outcome.map(|word| serde_json::from_value(word.into())).transpose() {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Err(format!("run `{id}`: {error}"))),
    };
    Ok(Ok(RunRow {
        run,
        plan_id: row.get(1)?,
        digest: row.get(2)?,
        script: row.get(3)?,
        created_at,
        epoch: row.get(5)?,
        head_seq: row.get::<_, i64>(6)?.cast_unsigned(),
        head_hash: row.get(7)?,
        outcome,
    }))
}

/// Newest first.
pub(super) fn runs(connection: &Connection) -> Result<Vec<RunRow>, JournalError> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM run ORDER BY rowid DESC"))?;
    let rows = select.query_map([], row)?;
    rows.map(|row| row?.map_err(JournalError::Corrupt)).collect()
}

pub(super) fn run(connection: &Connection, id: &RunId) -> Result<RunRow, JournalError> {
    let mut select =
        connection.prepare_cached(&format!("SELECT {COLUMNS} FROM run WHERE id = ?1"))?;
    let found = select.query_row([id.as_str()], row).optional()?;
    found.ok_or_else(|| JournalError::NoSuchRun(id.clone()))?.map_err(JournalError::Corrupt)
}

pub(super) fn plan_text(connection: &Connection, id: &RunId) -> Result<String, JournalError> {
    let mut select = connection.prepare_cached("SELECT plan FROM run WHERE id = ?1")?;
    let found = select.query_row([id.as_str()], |row| row.get(0)).optional()?;
    found.ok_or_else(|| JournalError::NoSuchRun(id.clone()))
}

pub(super) fn events(
    connection: &Connection,
    id: &RunId,
    from_seq: u64,
) -> Result<Vec<Event>, JournalError> {
    let mut select = connection
        .prepare_cached("SELECT seq, body FROM event WHERE run = ?1 AND seq >= ?2 ORDER BY seq")?;
    let mut rows = select.query(params![id.as_str(), from_seq.cast_signed()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (seq, body): (i64, String) = (row.get(0)?, row.get(1)?);
        found.push(parse(id, seq.cast_unsigned(), &body)?);
    }
    Ok(found)
}

fn parse(id: &RunId, seq: u64, body: &str) -> Result<Event, JournalError> {
    let altered = |reason| JournalError::Altered { run: id.clone(), reason };
    let event: Event = serde_json::from_str(body)
        .map_err(|error| altered(format!("event {seq} is no event: {error}")))?;
    if event.seq == seq && event.run == *id {
        Ok(event)
    } else {
        Err(altered(format!("event {seq} says it is event {} of `{}`", event.seq, event.run)))
    }
}

/// All events of a run, each link of the chain proved, from the plan's text to the head.
pub(super) fn proved(
    connection: &Connection,
    id: &RunId,
) -> Result<(RunRow, Vec<Event>, chain::Link), JournalError> {
    let altered = |reason| JournalError::Altered { run: id.clone(), reason };
    let row = run(connection, id)?;
    let plan = plan_text(connection, id)?;
    let mut link = chain::origin(id, &row.plan_id, &row.digest, &plan);
    let mut select = connection
        .prepare_cached("SELECT seq, body, hash FROM event WHERE run = ?1 ORDER BY seq")?;
    let mut rows = select.query([id.as_str()])?;
    let mut found = Vec::with_capacity(usize::try_from(row.head_seq).unwrap_or(0));
    while let Some(record) = rows.next()? {
        let expected = found.len() as u64 + 1;
        let (seq, hash): (i64, String) = (record.get(0)?, record.get(2)?);
        let body = record.get_ref(1)?.as_str().map_err(|error| altered(error.to_string()))?;
        if seq.cast_unsigned() != expected {
            return Err(altered(format!("event {expected} is missing")));
        }
        link = chain::next(&link, expected, body);
        if chain::hex(&link) != hash {
            let first = "the plan, or event 1, is not what the run began with";
            let later = format!("event {expected} is not what was written");
            return Err(altered(if expected == 1 { first.into() } else { later }));
        }
        found.push(parse(id, expected, body)?);
    }
    if found.is_empty() || found.len() as u64 != row.head_seq || chain::hex(&link) != row.head_hash
    {
        let (has, should) = (found.len(), row.head_seq);
        return Err(altered(format!("it has {has} events, its head says {should}")));
    }
    Ok((row, found, link))
}

pub(super) fn checkpoint(
    connection: &Connection,
    id: &RunId,
    step: &StepId,
) -> Result<Option<Vec<u8>>, JournalError> {
    let mut select =
        connection.prepare_cached("SELECT cursor FROM checkpoint WHERE run = ?1 AND step = ?2")?;
    Ok(select.query_row([id.as_str(), step.as_str()], |row| row.get(0)).optional()?)
}

/// Notices that any other connection wrote to the journal, without reading it.
pub struct Watch {
    connection: Connection,
    last: i64,
}

impl Watch {
    pub(super) fn new(connection: Connection) -> Watch {
        // Nothing has been seen yet: the first look says yes.
        Watch { connection, last: -1 }
    }

    /// Whether something was written since the last look.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn changed(&mut self) -> Result<bool, JournalError> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        Ok(std::mem::replace(&mut self.last, version) != version)
    }
}
