//! Beginning and taking up runs: the door of this room.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::base::{PlanId, RunId};
use crate::execute::claims::{self, Refused, Tokens};
use crate::execute::context::Sites;
use crate::execute::core::{Core, Manner, OnGate};
use crate::execute::driver::{Driver, Ended, Recheck, Surroundings};
use crate::execute::inject::Injection;
use crate::execute::workers::{LocalWorkers, Workers};
use crate::journal::{Journal, JournalError, NewRun, OwnedRun, Repeat};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::Step;
use crate::primitives;
use crate::run::command::{Asker, Command};
use crate::run::event::{Event, EventBody, Told};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::verify::VerifiedPlan;

/// What a run needs, new or not.
pub struct Setup {
    /// The journal of the state folder.
    pub journal: Journal,
    /// The ticket.
    pub plan: VerifiedPlan,
    /// Estimated seconds by step, in plan order; empty when unknown.
    pub step_s: Vec<f64>,
    /// The inventory.
    pub inventory: Arc<Inventory>,
    /// The sites.
    pub sites: Sites,
    /// Observes the plan's facts again.
    pub recheck: Arc<dyn Recheck>,
    /// Who makes attempts; `None`: this process.
    pub workers: Option<Arc<dyn Workers>>,
    /// Gates answered in advance, by name; `all` for every one.
    pub approve: Vec<String>,
    /// What to do at the other gates.
    pub on_gate: OnGate,
    /// Faults on demand.
    pub inject: Vec<Injection>,
    /// Who asks.
    pub by: Asker,
    /// Fires when the run should leave in order.
    pub interrupt: CancellationToken,
}

/// A plan as it was saved.
pub struct Saved {
    /// Its id.
    pub plan_id: PlanId,
    /// Its text: what a resume reads.
    pub text: String,
    /// It may run again once its earlier runs are over.
    pub again: bool,
}

/// Why a run could not begin, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The journal said no; [`JournalError::is_busy`] tells a busy run from a broken journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A run of another state folder holds a machine at its site.
    #[error("{message}")]
    Busy {
        /// What the site said.
        message: String,
        /// That run, when the site knows.
        run: Option<RunId>,
    },
    /// A site could not be asked for its machines.
    #[error("a machine cannot be claimed: {0}")]
    Site(Failure),
    /// The plan given is not the one that the run executes.
    #[error("run `{run}` executes plan {expected}, not {found}")]
    OtherPlan {
        /// The run.
        run: RunId,
        /// Its plan's digest.
        expected: String,
        /// The digest of the plan given.
        found: String,
    },
}

/// A run under way in this process.
pub struct RunHandle {
    /// The run.
    pub id: RunId,
    /// What happened before this process, for a reporter's fold.
    pub history: Vec<Event>,
    /// What happens from here on.
    pub told: Listener,
    /// How it ended; a journal that fails breaks it off.
    pub done: JoinHandle<Result<Ended, JournalError>>,
    journal: Journal,
    nudge: Arc<Notify>,
}

impl RunHandle {
    /// Something that can speak to the run while `told` and `done` are waited for.
    pub fn speaker(&self) -> Speaker {
        let (run, journal) = (self.id.clone(), self.journal.clone());
        Speaker { run, journal, nudge: self.nudge.clone() }
    }
}

/// Speaks to a run from inside its process, the same way as other processes do, only faster.
#[derive(Clone)]
pub struct Speaker {
    run: RunId,
    journal: Journal,
    nudge: Arc<Notify>,
}

impl Speaker {
    /// Posts a request.
    ///
    /// # Errors
    /// As [`Journal::post`].
    pub fn post(&self, command: &Command, by: &Asker) -> Result<i64, JournalError> {
        let id = self.journal.post(&self.run, command, by)?;
        self.nudge.notify_one();
        Ok(id)
    }
}

/// Hears a run: every event in order, progress as far as there is room for it.
pub struct Listener {
    queue: mpsc::Receiver<Told>,
    journal: Journal,
    run: RunId,
    seq: u64,
    missed: VecDeque<Event>,
}

/// What a listener may be behind before it has to read the journal.
const TOLD: usize = 1024;

impl Listener {
    /// The next thing said; `None` once the run has left. An event that found no room is read back
    /// from the journal: a slow listener stops nothing and misses nothing.
    ///
    /// # Errors
    /// When the journal cannot be read back.
    pub async fn next(&mut self) -> Result<Option<Told>, JournalError> {
        loop {
            if let Some(event) = self.missed.pop_front() {
                self.seq = event.seq;
                return Ok(Some(Told::Event(event)));
            }
            match self.queue.recv().await {
                Some(Told::Event(event)) if event.seq <= self.seq => {}
                Some(Told::Event(event)) if event.seq == self.seq + 1 => {
                    self.seq = event.seq;
                    return Ok(Some(Told::Event(event)));
                }
                Some(Told::Progress(progress)) => return Ok(Some(Told::Progress(progress))),
                Some(Told::Event(_)) | None => {
                    self.missed = self.journal.events(&self.run, self.seq + 1)?.into();
                    if self.missed.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Begins a run.
///
/// # Errors
/// Busy machines, a plan that ran already, a journal that cannot be written; then nothing has begun.
pub async fn start(setup: Setup, saved: Saved) -> Result<RunHandle, RunError> {
    let plan = setup.plan.plan();
    let machines = plan.changed_machines();
    let owned = setup.journal.create_run(&NewRun {
        plan_id: saved.plan_id,
        digest: setup.plan.digest().clone(),
        script: plan.script.clone(),
        plan: saved.text,
        approved: setup.approve.clone(),
        by: setup.by.clone(),
        machines: machines.iter().map(|machine| (*machine).clone()).collect(),
        repeat: repeat(plan, saved.again),
    })?;
    match claims::take(&setup.sites, &setup.inventory, &machines, owned.id(), true).await {
        Ok(tokens) => launch(setup, owned, tokens),
        Err(refused) => {
            owned.discard()?;
            Err(refused.into())
        }
    }
}

/// Takes a run up again: after a crash, a gate, an interruption, a failure.
///
/// # Errors
/// A living owner, a run that is over or was altered, busy machines.
pub async fn resume(setup: Setup, run: &RunId) -> Result<RunHandle, RunError> {
    let row = setup.journal.run(run)?;
    let found = setup.plan.digest().as_str();
    if row.digest != found {
        let (expected, found) = (row.digest, found.to_owned());
        return Err(RunError::OtherPlan { run: run.clone(), expected, found });
    }
    let mut owned = setup.journal.take(run)?;
    let machines = setup.plan.plan().changed_machines();
    match claims::take(&setup.sites, &setup.inventory, &machines, run, false).await {
        Ok(tokens) => launch(setup, owned, tokens),
        Err(refused) => {
            owned.append(EventBody::RunEnded { outcome: Outcome::Interrupted }).await?;
            Err(refused.into())
        }
    }
}

/// A plan that stops or deletes nothing may run as often as it likes.
fn repeat(plan: &Plan, again: bool) -> Repeat {
    let grave = |step: &Step| matches!(step.effect, Effect::Stop(_) | Effect::Commit);
    if !plan.steps.iter().any(grave) {
        Repeat::Freely
    } else if again {
        Repeat::WhenOver
    } else {
        Repeat::Never
    }
}

fn launch(setup: Setup, mut owned: OwnedRun, tokens: Tokens) -> Result<RunHandle, RunError> {
    let plan = Arc::new(setup.plan.plan().clone());
    let id = owned.id().clone();
    let mut history = owned.history();
    let mut state = RunState::new(&plan);
    for event in &history {
        state.apply(event).map_err(|illegal| JournalError::Altered {
            run: id.clone(),
            reason: illegal.to_string(),
        })?;
    }
    let manner = Manner {
        on_gate: setup.on_gate,
        advance: advance(&history, &setup.approve, &setup.by),
        is_stall: Box::new(is_stall),
        step_s: setup.step_s,
    };
    let core = Core::new(plan.clone(), id.clone(), state, &setup.inventory, manner);
    let (told, queue) = mpsc::channel(TOLD);
    // The record of this process's own beginning is news, not history.
    let first = history.pop().expect("BUG: an owned run has begun");
    let seq = history.len() as u64;
    let _ = told.try_send(Told::Event(first));
    let nudge = Arc::new(Notify::new());
    let local = || -> Arc<dyn Workers> {
        Arc::new(LocalWorkers {
            inventory: setup.inventory.clone(),
            sites: setup.sites.clone(),
            injections: setup.inject.clone().into(),
        })
    };
    let around = Surroundings {
        plan,
        inventory: setup.inventory.clone(),
        sites: setup.sites.clone(),
        recheck: setup.recheck,
        workers: setup.workers.unwrap_or_else(local),
        tokens,
        interrupt: setup.interrupt,
        nudge: nudge.clone(),
        told,
    };
    let journal = setup.journal;
    let driver = Driver::new(core, owned, journal.watch()?, around);
    let told =
        Listener { queue, journal: journal.clone(), run: id.clone(), seq, missed: VecDeque::new() };
    Ok(RunHandle { id, history, told, done: tokio::spawn(driver.drive()), journal, nudge })
}

/// Answers given before: by whoever began the run, and by whoever works on it now.
fn advance(history: &[Event], approve: &[String], by: &Asker) -> Vec<(String, Asker)> {
    let began = match history.first().map(|event| &event.body) {
        Some(EventBody::RunStarted { approved, by, .. }) => Some((approved, by)),
        _ => None,
    };
    let before = began.into_iter().flat_map(|(names, by)| names.iter().map(move |n| (n, by)));
    let now = approve.iter().map(|name| (name, by));
    before.chain(now).map(|(name, by)| (name.clone(), by.clone())).collect()
}

fn is_stall(step: &Step) -> bool {
    primitives::find(step.primitive).is_some_and(|known| known.spec().timeout_is_stall)
}

impl From<Refused> for RunError {
    fn from(refused: Refused) -> RunError {
        if refused.failure.code.as_deref() == Some("H301") || refused.holder.is_some() {
            RunError::Busy { message: refused.failure.message, run: refused.holder }
        } else {
            RunError::Site(refused.failure)
        }
    }
}
