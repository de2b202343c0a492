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

mod audit;
mod chain;
mod claims;
mod commands;
mod history;
mod owned;
mod reader;
mod schema;
mod trouble;
mod writer;

pub use audit::{Audited, InvalidHead, PrintedHead};
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
use crate::plan::estimate::History;
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
    /// Whether there is a journal in that state folder; looking creates nothing.
    pub fn exists(state: &Utf8Path) -> bool {
        // What cannot be looked at is for opening it to explain.
        state.join(schema::FILE_NAME).as_std_path().try_exists().unwrap_or(true)
    }

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
        let anchor = schema::Anchor::of(&self.path)?;
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
        Ok(OwnedRun::new(self.clone(), vec![event], Writer { run, connection, anchor, head, lock }))
    }

    /// Takes a run up again whose process is dead or left: proves its journal, and journals the taking.
    ///
    /// # Errors
    /// When a living process owns it, it is over, or it was altered.
    pub fn take(&self, run: &RunId) -> Result<OwnedRun, JournalError> {
        reader::run(&self.read(), run)?;
        let lock = claims::own(&self.state, run)?;
        let mut connection = schema::connect(&self.path)?;
        let anchor = schema::Anchor::of(&self.path)?;
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
        let writer = Writer { run: run.clone(), connection, anchor, head, lock };
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

    /// How long steps took in the newest runs: those of this script, and any of a machine.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn history(&self, script: &str) -> Result<History, JournalError> {
        history::history(&self.read(), script)
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

    /// Everything that was done to the records of a run; `head`: as it was once printed.
    ///
    /// # Errors
    /// `NoSuchRun`, or when the journal cannot be read.
    pub fn audit(&self, run: &RunId, head: Option<&PrintedHead>) -> Result<Audited, JournalError> {
        let connection = self.read();
        let inside = connection.unchecked_transaction()?;
        audit::audit(&inside, run, head)
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
            "SELECT id FROM run WHERE plan_id = ?1 ORDER BY rowid DESC LIMIT 1",
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

#[cfg(test)]
mod power;

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    pub(super) struct Folder {
        _temp: tempfile::TempDir,
        pub(super) state: Utf8PathBuf,
        pub(super) journal: Journal,
    }

    pub(super) fn folder() -> Folder {
        let temp = tempfile::tempdir().unwrap();
        let state = Utf8PathBuf::from_path_buf(temp.path().join("state")).unwrap();
        let journal = Journal::open(&state).unwrap();
        Folder { _temp: temp, state, journal }
    }

    fn asker() -> Asker {
        Asker { who: "op".into(), from: "here".into() }
    }

    pub(super) fn new_run(plan_id: &str, machine: &str) -> NewRun {
        NewRun {
            plan_id: PlanId::new(plan_id).unwrap(),
            digest: Digest::new("abc").unwrap(),
            script: "failback.rhai".into(),
            plan: "{\"homing_plan\":1}".into(),
            approved: Vec::new(),
            by: asker(),
            machines: vec![MachineName::new(machine).unwrap()],
            repeat: Repeat::Never,
        }
    }

    pub(super) fn ended(outcome: Outcome) -> EventBody {
        EventBody::RunEnded { outcome }
    }

    #[tokio::test]
    async fn events_are_there_again_in_another_process() {
        let f = folder();
        let mut owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let id = owned.id().clone();
        let written = owned.append(ended(Outcome::Waiting)).await.unwrap();
        assert_eq!((written.seq, owned.history().len()), (2, 1));
        drop(owned);
        let journal = Journal::open(&f.state).unwrap();
        assert_eq!(journal.run(&id).unwrap().outcome, Some(Outcome::Waiting));
        assert_eq!(journal.events(&id, 2).unwrap(), [written]);
        let mut again = journal.take(&id).unwrap();
        assert_eq!((again.epoch(), again.history().len()), (2, 3));
        assert_eq!(journal.run(&id).unwrap().outcome, None, "somebody works on it");
        assert_eq!(journal.verify_chain(&id).unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_run_has_one_owner() {
        let f = folder();
        let owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let id = owned.id().clone();
        let other = Journal::open(&f.state).unwrap();
        assert!(other.is_owned(&id).unwrap());
        assert_eq!(other.take(&id).err(), Some(JournalError::Owned(id.clone())));
        drop(owned);
        assert!(!other.is_owned(&id).unwrap());
        assert!(other.take(&id).is_ok());
    }

    #[tokio::test]
    async fn every_altered_byte_is_found() {
        let f = folder();
        let owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let id = owned.id().clone();
        drop(owned);
        drop(f.journal.take(&id).unwrap());
        let raw = Connection::open(f.state.join("homing.db")).unwrap();
        for (alter, restore) in [
            ("UPDATE run SET plan = plan || ' '", "UPDATE run SET plan = rtrim(plan)"),
            ("UPDATE run SET digest = 'abd'", "UPDATE run SET digest = 'abc'"),
            (
                "UPDATE event SET body = replace(body, 'here', 'hero') WHERE seq = 1",
                "UPDATE event SET body = replace(body, 'hero', 'here') WHERE seq = 1",
            ),
            ("UPDATE run SET head_seq = 3", "UPDATE run SET head_seq = 2"),
            ("UPDATE event SET seq = 9 WHERE seq = 2", "UPDATE event SET seq = 2 WHERE seq = 9"),
        ] {
            raw.execute_batch(alter).unwrap();
            let refused = f.journal.take(&id).err();
            assert!(matches!(refused, Some(JournalError::Altered { .. })), "{alter}: {refused:?}");
            raw.execute_batch(restore).unwrap();
            f.journal.verify_chain(&id).unwrap();
        }
    }

    #[tokio::test]
    async fn a_stranger_at_the_head_stops_the_owner() {
        let f = folder();
        let mut owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let id = owned.id().clone();
        let raw = Connection::open(f.state.join("homing.db")).unwrap();
        raw.execute_batch("UPDATE run SET epoch = 2").unwrap();
        let moved = Err(JournalError::HeadMoved(id));
        assert_eq!(owned.append(ended(Outcome::Failed)).await, moved);
        raw.execute_batch("UPDATE run SET epoch = 1").unwrap();
        assert_eq!(
            owned.append(ended(Outcome::Failed)).await,
            moved,
            "it never goes on after that"
        );
        let step = StepId::new("web-01.copy.1").unwrap();
        assert_eq!(owned.saver().save(&step, b"x"), moved.map(drop));
    }

    #[tokio::test]
    async fn machines_are_held_until_the_run_is_over() {
        let f = folder();
        let mut first = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let busy = f.journal.create_run(&new_run("p2", "web-01")).err().unwrap();
        assert!(busy.is_busy() && busy.to_string().contains(first.id().as_str()), "{busy}");
        let web = MachineName::new("web-01").unwrap();
        first.append(ended(Outcome::Failed)).await.unwrap();
        assert!(f.journal.machines_claimed([&web]).unwrap().is_some(), "it may be resumed");
        let id = first.id().clone();
        drop(first);
        let mut again = f.journal.take(&id).unwrap();
        again.append(ended(Outcome::Cancelled)).await.unwrap();
        assert_eq!(f.journal.machines_claimed([&web]).unwrap(), None);
        drop(again);
        assert!(matches!(f.journal.take(&id).err(), Some(JournalError::Over { .. })));
        let unused = f.journal.create_run(&new_run("p2", "web-01")).unwrap();
        unused.discard().unwrap();
        assert_eq!(f.journal.runs().unwrap().len(), 1);
        assert_eq!(f.journal.machines_claimed([&web]).unwrap(), None);
    }

    #[tokio::test]
    async fn a_saved_plan_runs_once_unless_allowed() {
        let f = folder();
        let mut first = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let again = |repeat| {
            let new = NewRun { repeat, ..new_run("p1", "web-02") };
            f.journal.create_run(&new).map(|owned| owned.discard().unwrap())
        };
        for repeat in [Repeat::Never, Repeat::WhenOver] {
            let refused = again(repeat);
            assert!(matches!(refused, Err(JournalError::AlreadyRan { open: true, .. })));
        }
        first.append(ended(Outcome::Succeeded)).await.unwrap();
        assert!(matches!(again(Repeat::Never), Err(JournalError::AlreadyRan { open: false, .. })));
        again(Repeat::WhenOver).unwrap();
        again(Repeat::Freely).unwrap();
    }

    #[tokio::test]
    async fn cursors_and_requests_are_kept() {
        let f = folder();
        let mut owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let step = StepId::new("web-01.copy.1").unwrap();
        assert_eq!(owned.checkpoint(&step).unwrap(), None);
        owned.saver().save(&step, b"one").unwrap();
        owned.saver().save(&step, b"two").unwrap();
        assert_eq!(owned.checkpoint(&step).unwrap().unwrap(), b"two");
        let mut watch = f.journal.watch().unwrap();
        watch.changed().unwrap();
        assert!(!watch.changed().unwrap());
        let cancel = Command::Cancel { reason: None };
        let other = Journal::open(&f.state).unwrap();
        let id = other.post(owned.id(), &cancel, &asker()).unwrap();
        assert!(watch.changed().unwrap());
        assert_eq!(owned.commands().unwrap()[0].command, cancel);
        owned.submit(EventBody::CancelAsked { by: asker(), reason: None }, Some(id));
        owned.acked().await.unwrap();
        assert_eq!(owned.commands().unwrap(), []);
        let nobody = RunId::new("r0").unwrap();
        let refused = other.post(&nobody, &cancel, &asker());
        assert_eq!(refused, Err(JournalError::NoSuchRun(nobody)));
    }

    #[tokio::test]
    async fn a_journal_that_was_taken_away_acknowledges_nothing() {
        let f = folder();
        let mut owned = f.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let (file, away) = (f.state.join("homing.db"), f.state.join("away.db"));
        std::fs::rename(&file, &away).unwrap();
        let gone = JournalError::Gone(file.clone());
        assert_eq!(owned.append(ended(Outcome::Failed)).await, Err(gone.clone()));
        std::fs::copy(&away, &file).unwrap();
        let step = StepId::new("web-01.copy.1").unwrap();
        assert_eq!(owned.saver().save(&step, b"x"), Err(gone), "another file is not the same one");
    }

    #[test]
    fn the_folder_is_for_its_owner_alone() {
        let f = folder();
        let mode = |path: &Utf8Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&f.state), 0o700);
        for entry in f.state.read_dir_utf8().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(mode(entry.path()) & 0o077, 0, "{}", entry.path());
        }
    }

    #[test]
    fn a_folder_that_cannot_be_is_a_clean_error() {
        let f = folder();
        let below_a_file = f.state.join("homing.db").join("state");
        let refused = Journal::open(&below_a_file).err().unwrap();
        assert!(matches!(refused, JournalError::Unwritable(_)), "{refused:?}");
        assert!(refused.help().contains("--state"));
        let state = f.state.join("other");
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("homing.db"), "no journal at all, but a longer text").unwrap();
        assert!(matches!(Journal::open(&state).err(), Some(JournalError::Corrupt(_))));
    }
}
