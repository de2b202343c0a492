//! The writer thread of one owned run: everything waiting goes into one transaction, then is acknowledged.
//!
//! Under load the queue fills while the disk syncs, so commits group by themselves; idle, each record
//! is durable at once. There is no timer.

use std::fs::File;
use std::sync::mpsc::{Receiver, Sender, SyncSender};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc::UnboundedSender;

use crate::base::{RunId, StepId, Timestamp};
use crate::journal::chain::{self, Link};
use crate::journal::schema::Anchor;
use crate::journal::trouble::JournalError;
use crate::journal::{claims, commands};
use crate::run::event::{Event, EventBody};

/// Records in one transaction. More would only make the first one wait.
const BATCH_MAX: usize = 256;

/// What is acknowledged: events of one transaction in order, or why there will be none any more.
pub(super) type Ack = Result<Vec<Event>, JournalError>;

pub(super) enum Job {
    Append { body: Box<EventBody>, command: Option<i64> },
    Dismiss { command: i64 },
    Save { step: StepId, cursor: Vec<u8>, done: SyncSender<Result<(), JournalError>> },
    Close,
}

/// Where the run's journal ends.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) epoch: u32,
    pub(super) seq: u64,
    pub(super) link: Link,
}

pub(super) struct Writer {
    pub(super) run: RunId,
    pub(super) connection: Connection,
    pub(super) anchor: Anchor,
    pub(super) head: Head,
    /// The owner's lock: given back when this thread can no longer write.
    pub(super) lock: File,
}

impl Writer {
    /// Until it is closed. After the first trouble it writes nothing more: a later record must never
    /// stand where an earlier one was refused.
    pub(super) fn work(mut self, jobs: &Receiver<Job>, acks: &UnboundedSender<Ack>) {
        let mut trouble: Option<JournalError> = None;
        while let Ok(first) = jobs.recv() {
            let rest = jobs.try_iter().take(BATCH_MAX - 1);
            let batch: Vec<Job> = std::iter::once(first).chain(rest).collect();
            let closing = batch.iter().any(|job| matches!(job, Job::Close));
            let result = match &trouble {
                Some(before) => Err(before.clone()),
                None => self.write(&batch),
            };
            trouble = result.as_ref().err().cloned();
            acknowledge(batch, result, acks);
            if closing {
                break;
            }
        }
        drop(self.lock);
    }

    fn write(&mut self, batch: &[Job]) -> Ack {
        self.anchor.holds()?;
        let inside = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        check_head(&inside, &self.run, &self.head)?;
        let mut head = self.head.clone();
        let mut events = Vec::new();
        for job in batch {
            match job {
                Job::Append { body, command } => {
                    events.push(append(&inside, &self.run, &mut head, body)?);
                    if let Some(id) = command {
                        commands::mark_applied(&inside, *id, head.seq)?;
                    }
                }
                Job::Dismiss { command } => commands::mark_applied(&inside, *command, head.seq)?,
                Job::Save { step, cursor, .. } => save(&inside, &self.run, &head, step, cursor)?,
                Job::Close => {}
            }
        }
        move_head(&inside, &self.run, &head)?;
        inside.commit()?;
        self.head = head;
        Ok(events)
    }
}

fn acknowledge(batch: Vec<Job>, result: Ack, acks: &UnboundedSender<Ack>) {
    let saved = result.as_ref().map(drop).map_err(JournalError::clone);
    for job in batch {
        if let Job::Save { done, .. } = job {
            // A saver that went away no longer needs the answer.
            let _ = done.send(saved.clone());
        }
    }
    if !matches!(&result, Ok(events) if events.is_empty()) {
        let _ = acks.send(result);
    }
}

/// The run's row says where its journal ends; once per transaction.
pub(super) fn move_head(
    inside: &Transaction<'_>,
    run: &RunId,
    head: &Head,
) -> Result<(), JournalError> {
    let mut update = inside
        .prepare_cached("UPDATE run SET epoch = ?2, head_seq = ?3, head_hash = ?4 WHERE id = ?1")?;
    let hash = chain::hex(&head.link);
    update.execute(params![run.as_str(), head.epoch, head.seq.cast_signed(), hash])?;
    Ok(())
}

/// Puts one event at the end of the chain; [`move_head`] follows.
pub(super) fn append(
    inside: &Transaction<'_>,
    run: &RunId,
    head: &mut Head,
    body: &EventBody,
) -> Result<Event, JournalError> {
    let seq = head.seq + 1;
    let event = Event { run: run.clone(), seq, at: Timestamp::now(), body: body.clone() };
    let text = serde_json::to_string(&event).expect("BUG: an event is plain data");
    head.seq = seq;
    head.link = chain::next(&head.link, seq, &text);
    let mut insert = inside
        .prepare_cached("INSERT INTO event (run, seq, body, hash) VALUES (?1, ?2, ?3, ?4)")?;
    let hash = chain::hex(&head.link);
    insert.execute(params![run.as_str(), seq.cast_signed(), text, hash])?;
    match body {
        EventBody::RunResumed { .. } => {
            inside.execute("UPDATE run SET outcome = NULL WHERE id = ?1", [run.as_str()])?;
        }
        EventBody::MachineGivenBack { machine } => claims::give_one_back(inside, run, machine)?,
        EventBody::RunEnded { outcome } => {
            let word = serde_json::to_value(outcome).expect("BUG: an outcome is a word");
            let word = word.as_str().expect("BUG: an outcome is a word");
            inside.execute(
                "UPDATE run SET outcome = ?2 WHERE id = ?1",
                params![run.as_str(), word],
            )?;
            if outcome.is_over() {
                claims::give_back(inside, run)?;
            }
        }
        _ => {}
    }
    Ok(event)
}

fn save(
    inside: &Transaction<'_>,
    run: &RunId,
    head: &Head,
    step: &StepId,
    cursor: &[u8],
) -> Result<(), JournalError> {
    let mut upsert = inside.prepare_cached(
        "INSERT INTO checkpoint (run, step, epoch, cursor) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (run, step) DO UPDATE SET epoch = excluded.epoch, cursor = excluded.cursor",
    )?;
    upsert.execute(params![run.as_str(), step.as_str(), head.epoch, cursor])?;
    Ok(())
}

fn check_head(inside: &Transaction<'_>, run: &RunId, head: &Head) -> Result<(), JournalError> {
    let mut select =
        inside.prepare_cached("SELECT epoch, head_seq, head_hash FROM run WHERE id = ?1")?;
    let stored: (u32, i64, String) =
        select.query_row([run.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let expected = (head.epoch, head.seq.cast_signed(), chain::hex(&head.link));
    if stored == expected { Ok(()) } else { Err(JournalError::HeadMoved(run.clone())) }
}

/// Saves cursors of one run from any thread.
#[derive(Clone)]
pub struct Saver {
    pub(super) jobs: Sender<Job>,
}

impl Saver {
    /// Returns once the cursor would survive a power loss. Blocking.
    ///
    /// # Errors
    /// When it could not be saved, or this process owns the run no longer.
    pub fn save(&self, step: &StepId, cursor: &[u8]) -> Result<(), JournalError> {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        let job = Job::Save { step: step.clone(), cursor: cursor.to_vec(), done };
        self.jobs.send(job).map_err(|_| JournalError::Closed)?;
        answer.recv().map_err(|_| JournalError::Closed)?
    }
}
