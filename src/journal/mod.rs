//! The journal: what happened in every run, durable before anybody acts on it.
//!
//! In: events of runs this process owns, requests of people. Out: the same, in order, proved unaltered.
//! Refuses to know: what a plan means, who executes it, exit codes.
//!
//! One SQLite file, `<state>/homing.db` (WAL, `synchronous=FULL`); `sqlite3` opens it. Its tables:
//!
//! | table | one row per | columns |
//! |---|---|---|
//! | `run` | run | `id, plan_id, digest, script, plan` (the saved plan as given)`, created_at, epoch` (processes that worked on it)`, head_seq, head_hash, outcome` |
//! | `event` | event | `run, seq` (from 1, no gaps)`, body` (JSON as `homing logs` prints it)`, hash` |
//! | `checkpoint` | step with a cursor | `run, step, epoch, cursor`; overwritten |
//! | `command` | request of a person | `id, run, body, who, host, at, applied_seq` (NULL while it waits); `who` is not authenticated |
//! | `claim` | machine that an open run holds | `machine, run` |
//!
//! `hash` of an event is BLAKE3 over the hash before it, its number and its body; before the first
//! stands the hash of the run's id and its plan. Beside the file, `locks/<run>.lock` is held by the
//! process that owns the run. Folder and files can be read by their owner alone.

mod chain;
mod claims;
mod commands;
mod owned;
mod reader;
mod schema;
mod trouble;
mod writer;

pub use commands::Waiting;
pub use owned::OwnedRun;
pub use reader::{RunRow, Watch};
pub use trouble::JournalError;
pub use writer::Saver;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use camino::{Utf8Path, Utf8PathBuf};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::base::{Digest, MachineName, PlanId, RunId, StepId, Timestamp};
use crate::journal::writer::{Head, Writer};
use crate::run::command::{Asker, Command};
use crate::run::event::{Event, EventBody};
use crate::run::outcome::Outcome;

/// How often a plan may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Once: the plan id must be new.
    Never,
    /// Again, once its earlier runs are over.
    WhenOver,
    /// As often as wanted: it stops and deletes nothing.
    Freely,
}

/// A run to begin.
pub struct NewRun {
    /// The plan's id.
    pub plan_id: PlanId,
    /// What it means.
    pub digest: Digest,
    /// The script it came from.
    pub script: String,
    /// The saved plan, as it was given: what a resume reads.
    pub plan: String,
    /// Gates answered in advance, by name; `all` for every one.
    pub approved: Vec<String>,
    /// Who begins it.
    pub by: Asker,
    /// The machines it changes.
    pub machines: Vec<MachineName>,
    /// How often the plan may run.
    pub repeat: Repeat,
}

/// The journal of one state folder. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    state: Arc<Utf8Path>,
    path: Arc<Utf8Path>,
    connection: Arc<Mutex<Connection>>,
}

impl Journal {
    /// Opens the journal of a state folder, making both when they are missing.
    ///
    /// # Errors
    /// When the folder cannot be written or the file is none of ours.
    pub fn open(state: &Utf8Path) -> Result<Journal, JournalError> {
        let path: Utf8PathBuf = schema::prepare(state)?;
        let connection = schema::connect(&path)?;
        Ok(Journal {
            state: state.into(),
            path: path.into(),
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Begins a run: its row, its machines' claims and its first event, all or nothing.
    ///
    /// # Errors
    /// When the plan ran already, an open run holds a machine, or nothing can be written.
    pub fn create_run(&self, new: &NewRun) -> Result<OwnedRun, JournalError> {
        let mut connection = schema::connect(&self.path)?;
        let inside = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        refuse_repeat(&inside, new)?;
        let run = fresh_id(&inside)?;
        let lock = claims::own(&self.state, &run)?;
        let (plan_id, digest) = (new.plan_id.as_str(), new.digest.as_str());
        let mut head =
            Head { epoch: 1, seq: 0, link: chain::origin(&run, plan_id, digest, &new.plan) };
        inside.execute(
            "INSERT INTO run (id, plan_id, digest, script, plan, created_at, epoch, head_seq, head_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, 0, ?7)",
            params![
                run.as_str(),
                plan_id,
                digest,
                new.script,
                new.plan,
                Timestamp::now().to_string(),
                chain::hex(&head.link)
            ],
        )?;
        claims::take(&inside, &run, &new.machines)?;
        let begun = EventBody::RunStarted {
            plan_id: new.plan_id.clone(),
            digest: digest.to_owned(),
            script: new.script.clone(),
            approved: new.approved.clone(),
            by: new.by.clone(),
        };
        let event = writer::append(&inside, &run, &mut head, &begun)?;
        writer::move_head(&inside, &run, &head)?;
        inside.commit()?;
        Ok(OwnedRun::new(self.clone(), vec![event], Writer { run, connection, head, lock }))
    }

    /// Takes a run up again whose process is dead or left: proves its journal, and journals the taking.
    ///
    /// # Errors
    /// When a living process owns it, it is over, or it was altered.
    pub fn take(&self, run: &RunId) -> Result<OwnedRun, JournalError> {
        reader::run(&self.read(), run)?;
        let lock = claims::own(&self.state, run)?;
        let mut connection = schema::connect(&self.path)?;
        let inside = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (row, mut history, link) = reader::proved(&inside, run)?;
        if let Some(outcome) = row.outcome.filter(|outcome| outcome.is_over()) {
            return Err(JournalError::Over { run: run.clone(), outcome });
        }
        let mut head = Head { epoch: row.epoch + 1, seq: row.head_seq, link };
        let resumed = EventBody::RunResumed { epoch: head.epoch };
        history.push(writer::append(&inside, run, &mut head, &resumed)?);
        writer::move_head(&inside, run, &head)?;
        inside.commit()?;
        let writer = Writer { run: run.clone(), connection, head, lock };
        Ok(OwnedRun::new(self.clone(), history, writer))
    }

    /// All runs, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read; so for all that follow.
    pub fn runs(&self) -> Result<Vec<RunRow>, JournalError> {
        reader::runs(&self.read())
    }

    /// One run.
    ///
    /// # Errors
    /// `NoSuchRun`.
    pub fn run(&self, run: &RunId) -> Result<RunRow, JournalError> {
        reader::run(&self.read(), run)
    }

    /// The saved plan of a run, as it was given.
    ///
    /// # Errors
    /// `NoSuchRun`.
    pub fn plan_text(&self, run: &RunId) -> Result<String, JournalError> {
        reader::plan_text(&self.read(), run)
    }

    /// Events of a run from one number on.
    ///
    /// # Errors
    /// `Altered` when a record is no event.
    pub fn events(&self, run: &RunId, from_seq: u64) -> Result<Vec<Event>, JournalError> {
        reader::events(&self.read(), run, from_seq)
    }

    /// Proves that plan and events of a run are what was written; gives the events.
    ///
    /// # Errors
    /// `Altered`, saying where.
    pub fn verify_chain(&self, run: &RunId) -> Result<Vec<Event>, JournalError> {
        // In one transaction: a living owner may be writing.
        let connection = self.read();
        let inside = connection.unchecked_transaction()?;
        Ok(reader::proved(&inside, run)?.1)
    }

    /// The cursor that a step saved last.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn checkpoint(&self, run: &RunId, step: &StepId) -> Result<Option<Vec<u8>>, JournalError> {
        reader::checkpoint(&self.read(), run, step)
    }

    /// Asks the owner of a run for something; the owner may come later.
    ///
    /// # Errors
    /// `NoSuchRun`; `Over` when nobody will ever answer.
    pub fn post(&self, run: &RunId, command: &Command, by: &Asker) -> Result<i64, JournalError> {
        let connection = self.read();
        if let Some(outcome) = reader::run(&connection, run)?.outcome.filter(|o| o.is_over()) {
            return Err(JournalError::Over { run: run.clone(), outcome });
        }
        commands::insert(&connection, run, command, by)
    }

    /// Requests that wait for the owner of a run.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn commands(&self, run: &RunId) -> Result<Vec<Waiting>, JournalError> {
        commands::waiting(&self.read(), run)
    }

    /// The first of these machines that an open run of this state folder holds, with that run.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn machines_claimed<'a>(
        &self,
        machines: impl IntoIterator<Item = &'a MachineName>,
    ) -> Result<Option<(MachineName, RunId)>, JournalError> {
        claims::holder(&self.read(), machines)
    }

    /// Whether a living process works on the run.
    ///
    /// # Errors
    /// When its lock cannot be asked.
    pub fn is_owned(&self, run: &RunId) -> Result<bool, JournalError> {
        claims::is_owned(&self.state, run)
    }

    /// Notices writes of other processes.
    ///
    /// # Errors
    /// When the journal cannot be opened once more.
    pub fn watch(&self) -> Result<Watch, JournalError> {
        Ok(Watch::new(schema::connect(&self.path)?))
    }

    fn forget_unused(&self, run: &RunId) -> Result<(), JournalError> {
        let mut connection = self.read();
        let inside = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        assert_eq!(reader::run(&inside, run)?.head_seq, 1, "BUG: only a run that did nothing");
        claims::give_back(&inside, run)?;
        for table in ["command", "checkpoint", "event"] {
            inside.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run.as_str()])?;
        }
        inside.execute("DELETE FROM run WHERE id = ?1", [run.as_str()])?;
        Ok(inside.commit()?)
    }

    fn read(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().expect("BUG: a reader of the journal panicked")
    }
}

fn refuse_repeat(inside: &Transaction<'_>, new: &NewRun) -> Result<(), JournalError> {
    if new.repeat == Repeat::Freely {
        return Ok(());
    }
    let earlier: Option<String> = inside
        .query_row(
            "SELECT id FROM run WHERE plan_id = ?1 ORDER BY created_at DESC LIMIT 1",
            [new.plan_id.as_str()],
            |row| row.get(0),
        )
        .optional()?;
    let Some(id) = earlier else { return Ok(()) };
    let run = RunId::new(id).map_err(|wrong| JournalError::Corrupt(wrong.to_string()))?;
    let open = !reader::run(inside, &run)?.outcome.is_some_and(Outcome::is_over);
    if new.repeat == Repeat::WhenOver && !open {
        return Ok(());
    }
    Err(JournalError::AlreadyRan { plan_id: new.plan_id.clone(), run, open })
}

/// `r1122-k3v9pt`: the day for people, the rest so that no two runs share it.
fn fresh_id(inside: &Transaction<'_>) -> Result<RunId, JournalError> {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    loop {
        // The standard library's own source of randomness: seeded by the system, per value.
        let random = RandomState::new().hash_one(0_u8);
        let letter = |at: u32| char::from(ALPHABET[(random >> (5 * at)) as usize & 31]);
        let tail: String = (0..6).map(letter).collect();
        let id = format!("r{}-{tail}", Timestamp::now().strftime("%m%d"));
        let taken = inside.query_row("SELECT 1 FROM run WHERE id = ?1", [&id], |_| Ok(()));
        if taken.optional()?.is_none() {
            return Ok(RunId::new(id).expect("BUG: letters, digits and a dash"));
        }
    }
}
