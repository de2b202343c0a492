//! A run that this process owns: the only way to add events.

use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::base::{RunId, StepId};
use crate::journal::Journal;
use crate::journal::commands::Waiting;
use crate::journal::trouble::JournalError;
use crate::journal::writer::{Ack, Job, Saver, Writer};
use crate::run::event::{Event, EventBody};

/// A run that this process owns until it is dropped.
pub struct OwnedRun {
    id: RunId,
    epoch: u32,
    history: Vec<Event>,
    journal: Journal,
    // Both queues are bounded by what the core has in flight: it waits for acknowledgements.
    jobs: Sender<Job>,
    acks: UnboundedReceiver<Ack>,
    thread: Option<JoinHandle<()>>,
}

impl OwnedRun {
    pub(super) fn new(journal: Journal, history: Vec<Event>, writer: Writer) -> OwnedRun {
        let (jobs, queue) = std::sync::mpsc::channel();
        let (answers, acks) = tokio::sync::mpsc::unbounded_channel();
        let (id, epoch) = (writer.run.clone(), writer.head.epoch);
        let thread = std::thread::spawn(move || writer.work(&queue, &answers));
        OwnedRun { id, epoch, history, journal, jobs, acks, thread: Some(thread) }
    }

    /// The run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Which process in a row this one is, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Everything that happened before it was taken, the taking itself included.
    pub fn history(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.history)
    }

    /// Hands an event to the writer; [`OwnedRun::acked`] says when it is durable. `command` is the
    /// request that it answers, marked as taken in within the same transaction.
    pub fn submit(&self, body: EventBody, command: Option<i64>) {
        // A writer that is gone says so through `acked`.
        let _ = self.jobs.send(Job::Append { body: Box::new(body), command });
    }

    /// Marks a request as taken in although nothing follows from it.
    pub fn dismiss(&self, command: i64) {
        let _ = self.jobs.send(Job::Dismiss { command });
    }

    /// The next events that became durable, in order.
    ///
    /// # Errors
    /// When no event of this process will become durable any more.
    pub async fn acked(&mut self) -> Result<Vec<Event>, JournalError> {
        self.acks.recv().await.unwrap_or(Err(JournalError::Closed))
    }

    /// Adds one event and waits until it is durable; nothing else may be in flight.
    ///
    /// # Errors
    /// When it is not.
    pub async fn append(&mut self, body: EventBody) -> Result<Event, JournalError> {
        self.submit(body, None);
        let mut events = self.acked().await?;
        Ok(events.pop().expect("BUG: an acknowledgement holds what was submitted"))
    }

    /// For transfer threads.
    pub fn saver(&self) -> Saver {
        Saver { jobs: self.jobs.clone() }
    }

    /// The cursor that an earlier attempt of a step saved.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn checkpoint(&self, step: &StepId) -> Result<Option<Vec<u8>>, JournalError> {
        self.journal.checkpoint(&self.id, step)
    }

    /// Requests that wait to be taken in.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn commands(&self) -> Result<Vec<Waiting>, JournalError> {
        self.journal.commands(&self.id)
    }

    /// Takes a run back that has begun and done nothing: its machines turned out to be busy elsewhere.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn discard(mut self) -> Result<(), JournalError> {
        self.close();
        self.journal.forget_unused(&self.id)
    }

    fn close(&mut self) {
        let _ = self.jobs.send(Job::Close);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("BUG: the journal's writer panicked");
        }
    }
}

impl Drop for OwnedRun {
    /// Waits for the last transaction and gives the run back.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
    }
}
