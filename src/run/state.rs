//! The fold of a run's events: the only state machine. Live run, resume, `status` and reports all use it.

use std::collections::BTreeSet;
use std::sync::Arc;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use crate::base::{Json, MachineName, StepId, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::expr::steps_read;
use crate::plan::facts::Fact;
use crate::plan::graph::{Plan, index};
use crate::plan::scope::{Scope, ScopeKind};
use crate::plan::settle::Settled;
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::command::Asker;
use crate::run::event::{Answer, Event, EventBody};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::settled::derive;

/// Where one step stands. `apply` makes all transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun, or asked to be tried again.
    #[default]
    Pending,
    /// An attempt is in flight, or was when its process died.
    Running,
    /// Between two attempts.
    Backoff,
    /// A gate that waits for a person.
    Open,
    /// Its postcondition holds.
    Succeeded,
    /// Failed for good.
    Failed,
    /// A gate that got a no.
    Rejected,
    /// Left out: by its guard, or because its attempt did not fail.
    Skipped,
}

/// One step of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepState {
    /// Where it stands.
    pub status: Status,
    /// Tries begun since the last `retry`.
    pub attempts: u32,
    /// First try, or when the gate opened.
    pub started_at: Option<Timestamp>,
    /// When it settled.
    pub ended_at: Option<Timestamp>,
    /// What it found or made.
    pub outputs: Option<Arc<Json>>,
    /// Why its last try failed.
    pub failure: Option<Failure>,
    /// What it announced to delete.
    pub intent: Option<Json>,
    /// The person who left it out.
    pub skipped_by: Option<Asker>,
    /// How a gate was answered.
    pub answer: Option<Answer>,
    /// When an open gate counts as rejected.
    pub expires_at: Option<Timestamp>,
    /// What a gate asks, as it was asked when it opened.
    pub message: Option<String>,
}

impl StepState {
    /// It was begun at least once: an attempt was made, or a gate was opened.
    pub fn is_begun(&self) -> bool {
        self.started_at.is_some()
    }
}

/// Why a step may not be tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAgain {
    /// There is nothing to try again.
    #[error("it has not failed")]
    NotFailed,
    /// Its machine was taken out.
    #[error("its machine takes no further step in this run")]
    Excluded,
    /// Its attempt has been answered for already.
    #[error("its attempt is over: `{0}` was begun because of how it came out")]
    Handled(StepId),
}

/// Whether two facts are the same one, whatever their values.
pub fn is_same(one: &Fact, other: &Fact) -> bool {
    (&one.subject, &one.fact) == (&other.subject, &other.fact)
}

/// Why a step may not be left out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSkipped {
    /// It was begun, and is not over.
    #[error("it was begun, and has not failed")]
    Begun,
    /// It asks people, or waits for others.
    #[error("it does nothing by itself: answer it, or exclude the machines that it waits for")]
    Idle,
    /// It has announced what it deletes.
    #[error("it has begun to delete: there is only forward")]
    Deletes,
    /// Another step reads what it puts out.
    #[error("`{0}` needs what it puts out")]
    Read(StepId),
    /// Its machine was taken out, or its failure has been answered for.
    #[error(transparent)]
    NotAgain(#[from] NotAgain),
}

/// An event that cannot follow the ones before it: the journal and the plan do not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} cannot follow the events before it: {reason}")]
pub struct Illegal {
    /// The event.
    pub seq: u64,
    /// Why not.
    pub reason: String,
}

/// The state of a run: a pure function of its plan and its events.
#[derive(Clone, Debug)]
pub struct RunState {
    /// By step, in plan order.
    pub steps: Vec<StepState>,
    /// The last event applied; 0 before the first.
    pub seq: u64,
    /// The process that owns it: grows by one with every resume.
    pub epoch: u32,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When its process last left it in order.
    pub ended_at: Option<Timestamp>,
    /// How it stood then; `None` while a process owns it, or after one died.
    pub outcome: Option<Outcome>,
    /// Gates answered in advance.
    pub approved: Vec<String>,
    /// Somebody asked to end it for good.
    pub cancel_asked: bool,
    /// Facts that changed, when it is held.
    pub held: Vec<String>,
    /// Machines that take no further step in this run.
    pub excluded: BTreeSet<MachineName>,
    /// Those of them that the run holds no longer.
    pub given_back: BTreeSet<MachineName>,
    /// Facts that changed and were accepted, each with the value that it counts with.
    pub accepted: Vec<Fact>,
    places: Arc<HashMap<StepId, StepIx>>,
}

impl RunState {
    /// A run of `plan` before its first event.
    pub fn new(plan: &Plan) -> RunState {
        let places = plan.iter().map(|(ix, step)| (step.id.clone(), ix)).collect();
        RunState {
            steps: vec![StepState::default(); plan.steps.len()],
            seq: 0,
            epoch: 0,
            started_at: None,
            ended_at: None,
            outcome: None,
            approved: Vec::new(),
            cancel_asked: false,
            held: Vec::new(),
            excluded: BTreeSet::new(),
            given_back: BTreeSet::new(),
            accepted: Vec::new(),
            places: Arc::new(places),
        }
    }

    /// The place of a step by its id.
    pub fn place(&self, step: &StepId) -> Option<StepIx> {
        self.places.get(step).copied()
    }

    /// One step.
    pub fn step(&self, ix: StepIx) -> &StepState {
        &self.steps[ix.at()]
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// [`Illegal`], and then nothing has changed, when the event cannot follow.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        let illegal = |reason: String| Illegal { seq: event.seq, reason };
        if event.seq != self.seq + 1 {
            return Err(illegal(format!("event {} was expected", self.seq + 1)));
        }
        match event.body.step() {
            Some(id) => {
                let ix = self.place(id).ok_or_else(|| illegal(format!("no step `{id}`")))?;
                let before = self.step(ix).status;
                let Some(after) = next(before, &event.body) else {
                    return Err(illegal(format!("`{id}` is {before:?}")));
                };
                record(&mut self.steps[ix.at()], after, event);
            }
            None => self.apply_to_run(event).map_err(illegal)?,
        }
        self.seq = event.seq;
        Ok(())
    }

    fn apply_to_run(&mut self, event: &Event) -> Result<(), String> {
        match &event.body {
            EventBody::RunStarted { approved, .. } => {
                if self.seq != 0 {
                    return Err("a run starts once".into());
                }
                self.started_at = Some(event.at);
                self.epoch = 1;
                self.approved.clone_from(approved);
            }
            EventBody::RunResumed { epoch } => {
                if *epoch != self.epoch + 1 {
                    return Err(format!("epoch {} was expected", self.epoch + 1));
                }
                if self.outcome.is_some_and(Outcome::is_over) {
                    return Err("the run is over".into());
                }
                self.epoch = *epoch;
                self.outcome = None;
                self.ended_at = None;
                self.held.clear();
            }
            EventBody::RunHeld { changed } => self.held.clone_from(changed),
            EventBody::FactAccepted { fact, .. } => {
                self.accepted.retain(|known| !is_same(known, fact));
                self.accepted.push(fact.clone());
            }
            EventBody::CancelAsked { .. } => self.cancel_asked = true,
            EventBody::MachineExcluded { machine, .. } => {
                self.excluded.insert(machine.clone());
            }
            EventBody::MachineGivenBack { machine } => {
                if !self.excluded.contains(machine) {
                    return Err(format!("`{machine}` was not taken out"));
                }
                self.given_back.insert(machine.clone());
            }
            EventBody::RunEnded { outcome } => {
                self.outcome = Some(*outcome);
                self.ended_at = Some(event.at);
            }
            _ => return Err("BUG: an event about a step".into()),
        }
        Ok(())
    }

    /// The steps that people left out.
    pub fn left_out(&self) -> Vec<StepIx> {
        let skipped = self.steps.iter().enumerate().filter(|(_, step)| step.skipped_by.is_some());
        skipped.map(|(at, _)| index(at)).collect()
    }

    /// The facts that the run rests on: those of its plan, with what was accepted since.
    pub fn facts(&self, plan: &Plan) -> BTreeSet<Fact> {
        let accepted = |fact: &Fact| self.accepted.iter().any(|other| is_same(other, fact));
        let kept = plan.facts.iter().filter(|fact| !accepted(fact));
        kept.chain(&self.accepted).cloned().collect()
    }

    /// Whether a person may have a step tried again: one that failed, or a start that succeeded and whose
    /// machine has died since (starting one that runs changes nothing).
    ///
    /// # Errors
    /// Why not, and what to do instead, for a person.
    pub fn may_retry(&self, plan: &Plan, ix: StepIx) -> Result<(), NotAgain> {
        let step = plan.step(ix);
        match self.step(ix).status {
            Status::Failed => {}
            Status::Succeeded if matches!(step.effect, Effect::Start(_)) => {}
            _ => return Err(NotAgain::NotFailed),
        }
        if self.is_excluded(step) {
            return Err(NotAgain::Excluded);
        }
        match self.follow_up(plan, ix) {
            Some(by) => Err(NotAgain::Handled(plan.step(by).id.clone())),
            None => Ok(()),
        }
    }

    /// Whether a person may leave a step out: one that failed, or was never begun.
    ///
    /// # Errors
    /// Why not.
    pub fn may_skip(&self, plan: &Plan, ix: StepIx) -> Result<(), NotSkipped> {
        let (step, stands) = (plan.step(ix), self.step(ix));
        if matches!(step.kind, Kind::Gate | Kind::Barrier) {
            return Err(NotSkipped::Idle);
        }
        if stands.intent.is_some() {
            return Err(NotSkipped::Deletes);
        }
        match stands.status {
            Status::Failed => self.may_retry(plan, ix)?,
            Status::Pending if !stands.is_begun() => {}
            _ => return Err(NotSkipped::Begun),
        }
        let reads = |other: &&Step| {
            let handles = other.args.handles().any(|(_, id)| id == step.id.as_str());
            handles || steps_read(&other.args.json()).iter().any(|(_, id)| *id == step.id)
        };
        match plan.steps[ix.at() + 1..].iter().find(reads) {
            Some(other) => Err(NotSkipped::Read(other.id.clone())),
            None => Ok(()),
        }
    }

    /// A step that was begun because of how a step's attempt came out: its handler, its clean-up, or what
    /// goes on behind it.
    fn follow_up(&self, plan: &Plan, ix: StepIx) -> Option<StepIx> {
        let step = plan.step(ix);
        let goes_on =
            |scope: &Scope| matches!(scope.kind, ScopeKind::Attempt { then_continue: true, .. });
        let left = plan.attempts_around(step.scope).filter(|(_, scope)| goes_on(scope)).last();
        let behind = |at: StepIx, other: &Step| {
            left.is_some_and(|(_, scope)| at >= scope.end) && other.machine == step.machine
        };
        let mut after = plan.iter().skip(ix.at() + 1).filter(|(at, other)| {
            let stands = self.step(*at);
            let begun = stands.is_begun() || stands.status == Status::Failed;
            begun && (behind(*at, other) || plan.handles(other, ix))
        });
        after.next().map(|(at, _)| at)
    }

    /// Its machine takes no further step in this run.
    pub fn is_excluded(&self, step: &Step) -> bool {
        step.machine.as_ref().is_some_and(|machine| self.excluded.contains(machine))
    }

    /// The run does not hold its machine any more: what a process that died had begun stays as it is.
    pub fn is_given_back(&self, step: &Step) -> bool {
        step.machine.as_ref().is_some_and(|machine| self.given_back.contains(machine))
    }

    /// A required step that failed for good, or a gate that got a no, of a machine that is still in the run.
    pub fn has_failed(&self, step: &Step, ix: StepIx) -> bool {
        let failed = match self.step(ix).status {
            Status::Failed => !step.optional,
            Status::Rejected => true,
            _ => false,
        };
        failed && !self.is_excluded(step)
    }

    /// How every step is settled for those that depend on it: `None` while more may come.
    /// Blocked is derived here and never journalled.
    pub fn settled(&self, plan: &Plan) -> Vec<Option<Settled>> {
        derive(plan, self, |_| false).settled
    }
}

/// Every legal transition of a step; all else is refused.
fn next(before: Status, event: &EventBody) -> Option<Status> {
    use EventBody as E;
    match (before, event) {
        // A resumed process tries an in-flight step again under the same key.
        (Status::Pending | Status::Backoff | Status::Running, E::AttemptStarted { .. }) => {
            Some(Status::Running)
        }
        (Status::Running, E::AttemptFailed { .. }) => Some(Status::Backoff),
        (Status::Running, E::StepSucceeded { .. }) => Some(Status::Succeeded),
        (Status::Pending | Status::Running | Status::Backoff, E::StepFailed { .. }) => {
            Some(Status::Failed)
        }
        // Barriers and timers settle without an attempt.
        (Status::Pending, E::StepSucceeded { attempt: 0, .. }) => Some(Status::Succeeded),
        // What may be tried again is the core's decision (`RunState::may_retry`).
        (Status::Failed | Status::Succeeded | Status::Skipped, E::StepRetried { .. }) => {
            Some(Status::Pending)
        }
        (Status::Pending, E::GateOpened { .. }) => Some(Status::Open),
        (Status::Open, E::GateAnswered { answer, .. }) => Some(match answer {
            Answer::Approved | Answer::ApprovedInAdvance | Answer::WentOn => Status::Succeeded,
            Answer::Rejected | Answer::TimedOut => Status::Rejected,
        }),
        (Status::Running, E::Intent { .. }) => Some(Status::Running),
        (Status::Pending, E::StepSkipped { .. })
        | (Status::Failed, E::StepSkipped { by: Some(_), .. }) => Some(Status::Skipped),
        _ => None,
    }
}

fn record(step: &mut StepState, after: Status, event: &Event) {
    step.status = after;
    match &event.body {
        EventBody::AttemptStarted { attempt, .. } => {
            step.attempts = *attempt;
            step.started_at.get_or_insert(event.at);
        }
        EventBody::AttemptFailed { failure, .. } => step.failure = Some(failure.clone()),
        EventBody::StepSucceeded { outputs, .. } => {
            step.outputs = Some(Arc::new(outputs.clone()));
            step.failure = None;
            step.started_at.get_or_insert(event.at);
            step.ended_at = Some(event.at);
        }
        EventBody::StepFailed { failure, .. } => {
            step.failure = Some(failure.clone());
            step.ended_at = Some(event.at);
        }
        EventBody::StepRetried { .. } => {
            step.attempts = 0;
            step.ended_at = None;
            step.skipped_by = None;
        }
        EventBody::StepSkipped { by, .. } => {
            step.skipped_by.clone_from(by);
            step.ended_at = Some(event.at);
        }
        EventBody::GateOpened { expires_at, message, .. } => {
            step.message = Some(message.clone());
            step.started_at = Some(event.at);
            step.expires_at = *expires_at;
        }
        EventBody::GateAnswered { answer, .. } => {
            step.answer = Some(*answer);
            step.ended_at = Some(event.at);
        }
        EventBody::Intent { deletes, .. } => step.intent = Some(deletes.clone()),
        _ => {}
    }
}
