//! How long steps took in earlier runs, for estimates. Nothing here is proof: the chain is not asked.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::Connection;
use serde::Deserialize;

use crate::base::{MachineName, StepId, Timestamp};
use crate::journal::reader;
use crate::journal::trouble::JournalError;
use crate::plan::estimate::History;

/// Earlier runs than these say nothing of today any more.
const RUNS_MAX: usize = 20;
/// Once that many records were read, no older run is looked at.
const RECORDS_MAX: u64 = 250_000;

/// As much of a record as is needed here.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    step: Option<Cow<'a, str>>,
}

/// What the newest runs tell: of a script by its name, and of every machine.
pub(super) fn history(connection: &Connection, script: &str) -> Result<History, JournalError> {
    let mut history = History::default();
    let mut records = 0;
    let mut newest = Vec::new();
    for row in reader::runs(connection)?.into_iter().take(RUNS_MAX) {
        records += row.head_seq;
        newest.push(row);
        if records >= RECORDS_MAX {
            break;
        }
    }
    for row in newest.iter().rev() {
        let same = file_name(&row.script) == file_name(script);
        for (step, seconds) in durations_s(connection, row.run.as_str())? {
            if let Some(key) = primitive_and_machine(&step) {
                history.machines.entry(key).or_default().push(seconds);
            }
            if let (true, Ok(step)) = (same, StepId::new(step)) {
                history.steps.entry(step).or_default().push(seconds);
            }
        }
    }
    Ok(history)
}

/// A script is the same wherever it is called from.
fn file_name(script: &str) -> &str {
    script.rsplit('/').next().unwrap_or(script)
}

/// The last try of each step that succeeded, seconds.
fn durations_s(connection: &Connection, run: &str) -> Result<Vec<(String, f64)>, JournalError> {
    let mut select =
        connection.prepare_cached("SELECT body FROM event WHERE run = ?1 ORDER BY seq")?;
    let mut rows = select.query([run])?;
    let mut begun: HashMap<String, Timestamp> = HashMap::new();
    let mut took = Vec::new();
    while let Some(row) = rows.next()? {
        // A record that is none is named by whoever reads the run; an estimate goes on without it.
        let body: String = row.get(0)?;
        let Ok(record) = serde_json::from_str::<Record<'_>>(&body) else { continue };
        let (Some(step), Ok(at)) = (record.step, record.at.parse::<Timestamp>()) else { continue };
        match &*record.event {
            "attempt_started" => {
                begun.insert(step.into_owned(), at);
            }
            "step_succeeded" => {
                if let Some(from) = begun.remove(&*step) {
                    took.push((step.into_owned(), at.duration_since(from).as_secs_f64().max(0.0)));
                }
            }
            _ => {}
        }
    }
    Ok(took)
}

/// Of a step whose id was not given by hand: `web-01.snapshot.2`.
fn primitive_and_machine(step: &str) -> Option<(String, MachineName)> {
    let (rest, number) = step.rsplit_once('.')?;
    let (machine, primitive) = rest.split_once('.')?;
    let counted = number.bytes().all(|byte| byte.is_ascii_digit()) && !primitive.contains('.');
    counted.then(|| Some((primitive.to_owned(), MachineName::new(machine).ok()?)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counted_steps_are_of_a_kind() {
        let of = |step: &str| primitive_and_machine(step).map(|(kind, m)| format!("{kind} {m}"));
        assert_eq!(of("web-01.snapshot.2").as_deref(), Some("snapshot web-01"));
        for other in ["complete", "barrier.1", "web-01.last", "web-01.last.copy", "a.b.c.1"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
