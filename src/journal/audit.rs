//! Auditing: everything that was done to the records of a run, not only the first thing.
//!
//! Each record is judged by the number that it gives itself and the hash of the record before that one, wherever
//! they stand by now: so one that was changed is told from one that was moved, and both from one that is gone.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::base::RunId;
use crate::journal::chain::{self, Link};
use crate::journal::reader::{self, RunRow};
use crate::journal::trouble::JournalError;
use crate::run::event::Event;

/// The end of a journal as it was once printed: whoever turns the file back does not have the paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedHead {
    /// How many events there were.
    pub seq: u64,
    /// The hash of the last one, or how it begins.
    pub hash: String,
}

/// A text that is no head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no head: it is printed as NUMBER:HASH, e.g. 57:0f3a9c27d1b4")]
pub struct InvalidHead(String);

impl std::str::FromStr for PrintedHead {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<PrintedHead, InvalidHead> {
        let invalid = || InvalidHead(text.to_owned());
        let (seq, hash) = text.split_once(':').ok_or_else(invalid)?;
        let seq = seq.parse().map_err(|_| invalid())?;
        let is_hash = hash.len() >= HEAD_DIGITS_MIN && hash.chars().all(|c| c.is_ascii_hexdigit());
        if is_hash { Ok(PrintedHead { seq, hash: hash.to_lowercase() }) } else { Err(invalid()) }
    }
}

/// Fewer digits of a hash prove nothing.
const HEAD_DIGITS_MIN: usize = 12;

/// What the records of a run are worth.
#[derive(Clone, Debug)]
pub struct Audited {
    /// The run.
    pub row: RunRow,
    /// Its events, in the order of their own numbers, as far as they are events.
    pub events: Vec<Event>,
    /// What was done to them, one sentence each; empty: they are what was written.
    pub findings: Vec<String>,
}

struct Record {
    /// Where it stands.
    place: u64,
    /// What it says it is.
    seq: u64,
    body: String,
    hash: String,
    event: Option<Event>,
}

/// Reads all records of a run, and judges each.
pub(super) fn audit(
    connection: &Connection,
    run: &RunId,
    head: Option<&PrintedHead>,
) -> Result<Audited, JournalError> {
    let row = reader::run(connection, run)?;
    let plan = reader::plan_text(connection, run)?;
    let records = records(connection, run)?;
    let origin = chain::origin(run, &row.plan_id, &row.digest, &plan);
    let mut findings = Vec::new();
    let hashes: BTreeMap<u64, &str> =
        records.iter().map(|record| (record.seq, record.hash.as_str())).collect();
    for record in &records {
        findings.extend(judged(record, &origin, &hashes));
    }
    findings.extend(missing(&hashes, row.head_seq));
    findings.extend(ends(&row, &hashes));
    findings.extend(head.and_then(|head| printed(head, &hashes)));
    let mut events: Vec<Event> = records.into_iter().filter_map(|record| record.event).collect();
    events.sort_by_key(|event| event.seq);
    Ok(Audited { row, events, findings })
}

fn records(connection: &Connection, run: &RunId) -> Result<Vec<Record>, JournalError> {
    let mut select = connection
        .prepare_cached("SELECT seq, body, hash FROM event WHERE run = ?1 ORDER BY seq")?;
    let mut rows = select.query([run.as_str()])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let (place, body, hash): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let event: Option<Event> = serde_json::from_str(&body).ok();
        let event = event.filter(|event| event.run == *run);
        let place = place.cast_unsigned();
        let seq = event.as_ref().map_or(place, |event| event.seq);
        records.push(Record { place, seq, body, hash, event });
    }
    Ok(records)
}

fn judged(record: &Record, origin: &Link, hashes: &BTreeMap<u64, &str>) -> Option<String> {
    let Record { place, seq, body, hash, event } = record;
    if event.is_none() {
        return Some(format!("event {place} was changed: it is no event of this run any more"));
    }
    if seq != place {
        return Some(format!("event {seq} was moved: it stands where event {place} was"));
    }
    let before = match seq {
        1 => Some(*origin),
        _ => hashes.get(&(seq - 1)).and_then(|hash| chain::of_hex(hash)),
    };
    // Where the one before it is gone, that is said, and this one cannot be judged.
    let expected = chain::hex(&chain::next(&before?, *seq, body));
    if expected == *hash {
        return None;
    }
    Some(if *seq == 1 {
        "event 1, or the plan that the run executes, was changed".to_owned()
    } else {
        format!("event {seq} was changed")
    })
}

fn missing(hashes: &BTreeMap<u64, &str>, head_seq: u64) -> Option<String> {
    let last = hashes.keys().next_back().copied().unwrap_or(0).max(head_seq);
    let gone: Vec<u64> = (1..=last).filter(|seq| !hashes.contains_key(seq)).collect();
    match gone[..] {
        [] => None,
        [one] => Some(format!("event {one} was removed")),
        [first, .., last] if last - first + 1 == gone.len() as u64 => {
            Some(format!("events {first} to {last} were removed"))
        }
        [first, ..] => Some(format!("{} events were removed, event {first} first", gone.len())),
    }
}

fn ends(row: &RunRow, hashes: &BTreeMap<u64, &str>) -> Option<String> {
    let (seq, hash) = hashes.last_key_value()?;
    if *seq > row.head_seq {
        return Some(format!("the run's head says {} events; there are {seq}", row.head_seq));
    }
    (*seq == row.head_seq && *hash != row.head_hash)
        .then(|| "the run's head is not the hash of its last event".to_owned())
}

fn printed(head: &PrintedHead, hashes: &BTreeMap<u64, &str>) -> Option<String> {
    let PrintedHead { seq, hash } = head;
    match hashes.get(seq) {
        None => {
            let last = hashes.keys().next_back().copied().unwrap_or(0);
            Some(format!(
                "the end was cut off: it goes to event {last}, and a head of event {seq} was printed"
            ))
        }
        Some(found) if !found.starts_with(hash.as_str()) => {
            Some(format!("it was written anew: event {seq} is not the one whose hash was printed"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::tests::{ended, folder, new_run};
    use crate::run::outcome::Outcome;

    #[tokio::test]
    async fn an_audit_names_everything_that_was_done() {
        let f = folder();
        let mut owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let id = owned.id().clone();
        for _ in 0..6 {
            owned.append(ended(Outcome::Waiting)).await.unwrap();
        }
        drop(owned);
        let raw = Connection::open(f.state.join("homing.db")).unwrap();
        let head = f.journal.run(&id).unwrap().head_hash;
        let head = |seq: u64| PrintedHead { seq, hash: head[..12].to_owned() };
        let findings = |head: &PrintedHead| audit(&raw, &id, Some(head)).unwrap().findings;
        assert_eq!(findings(&head(7)), Vec::<String>::new());
        for (done, said) in [
            (
                "UPDATE run SET plan = plan || ' '",
                &["event 1, or the plan that the run executes, was changed"][..],
            ),
            (
                "UPDATE event SET body = replace(body, 'waiting', 'stale') WHERE seq = 4",
                &["event 4 was changed"],
            ),
            (
                "UPDATE event SET body = '{}' WHERE seq = 4",
                &["event 4 was changed: it is no event of this run any more"],
            ),
            ("DELETE FROM event WHERE seq = 4", &["event 4 was removed"]),
            ("DELETE FROM event WHERE seq IN (3, 4)", &["events 3 to 4 were removed"]),
            ("DELETE FROM event WHERE seq IN (3, 5)", &["2 events were removed, event 3 first"]),
            (
                "UPDATE event SET seq = 99 WHERE seq = 3; UPDATE event SET seq = 3 WHERE seq = 5;
                 UPDATE event SET seq = 5 WHERE seq = 99",
                &[
                    "event 5 was moved: it stands where event 3 was",
                    "event 3 was moved: it stands where event 5 was",
                ],
            ),
            (
                "DELETE FROM event WHERE seq = 7",
                &[
                    "event 7 was removed",
                    "the end was cut off: it goes to event 6, and a head of event 7 was printed",
                ],
            ),
            // Whoever turns the head back with it is found out by the paper alone.
            (
                "DELETE FROM event WHERE seq = 7;
                 UPDATE run SET head_seq = 6, head_hash = (SELECT hash FROM event WHERE seq = 6)",
                &["the end was cut off: it goes to event 6, and a head of event 7 was printed"],
            ),
            (
                "UPDATE run SET head_hash = 'x'",
                &["the run's head is not the hash of its last event"],
            ),
            ("UPDATE run SET head_seq = 6", &["the run's head says 6 events; there are 7"]),
        ] {
            raw.execute_batch(&format!("BEGIN; {done}")).unwrap();
            assert_eq!(findings(&head(7)), said, "{done}");
            raw.execute_batch("ROLLBACK").unwrap();
        }
        assert_eq!(
            findings(&head(6)),
            ["it was written anew: event 6 is not the one whose hash was printed"]
        );
        assert_eq!(f.journal.audit(&id, None).unwrap().events.len(), 7);
    }

    #[test]
    fn heads_are_read_or_refused() {
        let head: PrintedHead = "57:0F3a9c27d1b4".parse().unwrap();
        assert_eq!(head, PrintedHead { seq: 57, hash: "0f3a9c27d1b4".into() });
        for wrong in ["", "57", "57:", "57:0f3a", "x:0f3a9c27d1b4", "57:0f3a9c27d1bg"] {
            assert!(wrong.parse::<PrintedHead>().is_err(), "{wrong}");
        }
    }
}
