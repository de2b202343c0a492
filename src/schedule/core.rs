//! The engine without its hands: inputs in, actions out, no clock, no I/O, no luck.
//!
//! State changes only through durable events (`Appended`), by the one fold. What stands beside the fold
//! here is derived from it, or is about this process alone: who is in flight and what has been asked of
//! the journal. The driver may die after any action; a new core over the same events goes on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{MachineName, RunId, Timestamp};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::{Step, StepIx};
use crate::run::command::Asker;
use crate::run::event::{Event, EventBody};
use crate::run::outcome::Outcome;
use crate::run::settled::Bars;
use crate::run::state::{RunState, Status};
use crate::schedule::frontier::{Frontier, longest_paths};
use crate::schedule::order::{Action, Input, Why};
use crate::schedule::outcome::{Standing, half_committed};
use crate::schedule::ready::Ready;
use crate::schedule::sections::Section;
use crate::schedule::window::Windows;

/// Records that may wait for the journal before more steps are begun.
const IN_FLIGHT_MAX: usize = 1024;

/// What to do at a gate that nobody answered in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGate {
    /// Wait: somebody will answer.
    Ask,
    /// Leave in order once nothing else can run.
    Exit,
}

/// How a core is to go about it.
pub struct Manner {
    /// What to do at gates.
    pub on_gate: OnGate,
    /// Gates answered in advance (`all`: every one), with who did.
    pub advance: Vec<(String, Asker)>,
    /// Whether a step's timeout counts from its last progress.
    pub is_stall: Box<dyn Fn(&Step) -> bool + Send>,
    /// Estimated seconds by step; empty when unknown.
    pub step_s: Vec<f64>,
}

/// What this process is doing about a step right now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Facts are observed before it.
    Rechecking,
    /// A record that begins, opens, answers or retries it is on its way to the journal.
    Recording,
    /// A worker is at it.
    Running { deadline: Option<Timestamp>, asked: Option<Asked> },
    /// How it ended is on its way to the journal.
    Ending,
    /// Between two attempts.
    Backoff { until: Timestamp },
    /// Its window is not open yet; it holds no tokens.
    Early { until: Timestamp },
    /// Time passes.
    Timing { until: Timestamp },
    /// A gate that nobody has answered.
    Open { until: Option<Timestamp> },
    /// Facts are observed after a gate's yes.
    Answered,
}

/// Why an attempt was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    TooLong,
    /// And it did not stop.
    Unheard,
    RunStops,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Requests that waited are taken in.
    Waking,
    Going,
    /// At rest; the ending takes its steps.
    Ending,
}

/// One run, as this process drives it.
pub struct Core {
    pub(super) plan: Arc<Plan>,
    run: RunId,
    pub(super) state: RunState,
    pub(super) manner: Manner,
    pub(super) frontier: Frontier,
    /// What keeps steps from beginning beside their edges.
    pub(super) bars: Bars,
    pub(super) windows: Windows,
    pub(super) ready: Ready,
    pub(super) phases: BTreeMap<StepIx, Phase>,
    timers: BinaryHeap<Reverse<(Timestamp, StepIx)>>,
    /// Phases that keep a run going whatever happens.
    busy: usize,
    /// Backoffs, timers and windows: they keep a run going unless it stops.
    resting: usize,
    unacked: usize,
    pub(super) rechecks: usize,
    /// Records on their way after which it is derived anew who may start: nothing starts before.
    pub(super) reshaping: usize,
    /// Machines that take no further step, and are held yet.
    pub(super) to_give_back: Vec<MachineName>,
    /// Those that are being given back.
    pub(super) giving_back: BTreeSet<MachineName>,
    life: Life,
    pub(super) begun: bool,
    interrupted: bool,
    /// `CancelAsked` or `RunHeld` is on its way.
    pub(super) stop_recorded: bool,
    dangers: Vec<String>,
    pub(super) now: Timestamp,
    pub(super) out: Vec<Action>,
}

impl Core {
    /// Over a run's fold so far.
    pub fn new(
        plan: Arc<Plan>,
        run: RunId,
        state: RunState,
        inventory: &Inventory,
        manner: Manner,
    ) -> Core {
        let priorities = longest_paths(&plan, &manner.step_s);
        Core {
            frontier: Frontier::new(&plan),
            bars: Bars::default(),
            windows: Windows::of(&plan, state.started_at.unwrap_or(Timestamp::UNIX_EPOCH)),
            ready: Ready::new(&plan, inventory, priorities),
            plan,
            run,
            state,
            manner,
            phases: BTreeMap::new(),
            timers: BinaryHeap::new(),
            busy: 0,
            resting: 0,
            unacked: 0,
            rechecks: 0,
            reshaping: 0,
            to_give_back: Vec::new(),
            giving_back: BTreeSet::new(),
            life: Life::Waking,
            begun: false,
            interrupted: false,
            stop_recorded: false,
            dangers: Vec::new(),
            now: Timestamp::UNIX_EPOCH,
            out: Vec::new(),
        }
    }

    /// The fold, as far as it is durable.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Records that the journal has not acknowledged yet.
    pub fn unacked(&self) -> usize {
        self.unacked
    }

    /// What a person is needed for, once the run came to rest.
    pub fn dangers(&self) -> &[String] {
        &self.dangers
    }

    pub(super) fn run_id(&self) -> &RunId {
        &self.run
    }

    pub(super) fn is_going(&self) -> bool {
        self.life == Life::Going
    }

    pub(super) fn is_ending(&self) -> bool {
        self.life == Life::Ending
    }

    /// When to wake it with `Tick`.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one input in; says what is to be done about it.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Action> {
        self.now = now;
        match input {
            Input::Begin => self.begin(),
            Input::Appended(event) => self.appended(&event),
            Input::Report(report) => self.reported(report),
            Input::Progressed(step) => self.progressed(&step),
            Input::Intent { step, deletes } => self.append(EventBody::Intent { step, deletes }),
            Input::Command(asked) => self.asked(asked),
            Input::Rechecked { why, changes } => self.rechecked(why, changes),
            Input::Looked { dangers } => self.looked(dangers),
            Input::GivenBack(machine) => {
                self.append(EventBody::MachineGivenBack { machine });
            }
            Input::Released => self.end(self.standing().outcome(!self.dangers.is_empty())),
            Input::Tick => self.tick(),
            Input::Interrupt => {
                self.interrupted = true;
                self.stop_attempts();
            }
        }
        self.go_on();
        std::mem::take(&mut self.out)
    }

    fn begin(&mut self) {
        self.life = Life::Going;
        if self.plan.nothing_to_do() && self.state.steps.iter().all(|s| s.started_at.is_none()) {
            self.life = Life::Ending;
            return self.end(Outcome::Succeeded);
        }
        let held = self.state.excluded.difference(&self.state.given_back);
        self.to_give_back = held.cloned().collect();
        self.rebuild();
        self.recheck(Why::Begin);
    }

    /// Starts what may start; ends when nothing more can come.
    fn go_on(&mut self) {
        if self.life != Life::Going {
            return;
        }
        self.give_back();
        if self.begun && !self.stops() {
            self.end_sections();
            while self.unacked < IN_FLIGHT_MAX
                && self.reshaping == 0
                && let Some(ix) = self.ready.next()
            {
                self.start(ix);
            }
        }
        if self.is_at_rest() {
            self.life = Life::Ending;
            let standing = self.standing();
            if standing.needs_a_look() {
                self.out.push(Action::Look);
            } else {
                self.conclude();
            }
        }
    }

    /// Downtime sections that are over make room for others.
    fn end_sections(&mut self) {
        let (frontier, state, phases) = (&self.frontier, &self.state, &self.phases);
        self.ready.end_sections(|Section { stop, transfer }| {
            let stopped = may_be_off(state.step(stop).status);
            let has_tokens = |ix| holds_tokens(phases.get(&ix));
            let is_entered = has_tokens(stop) || stopped && frontier.settled(transfer).is_none();
            !is_entered && !has_tokens(transfer)
        });
    }

    fn is_at_rest(&self) -> bool {
        let working = self.busy + self.unacked + self.rechecks + self.giving_back.len();
        let quiet = working == 0;
        if !quiet || self.stops() {
            return quiet;
        }
        let open = self.phases.len() > self.resting;
        let waits = open && self.manner.on_gate == OnGate::Ask;
        self.begun && self.resting == 0 && self.ready.is_empty() && !waits
    }

    /// Nothing new may start.
    pub(super) fn stops(&self) -> bool {
        self.interrupted
            || self.stop_recorded
            || self.state.cancel_asked
            || !self.state.held.is_empty()
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.plan, &self.state, self.interrupted)
    }

    fn looked(&mut self, dangers: Vec<String>) {
        self.dangers = dangers;
        let half = half_committed(&self.plan, &self.state);
        self.dangers.extend(half.iter().map(|machine| format!("{machine} is half committed")));
        self.conclude();
    }

    fn conclude(&mut self) {
        let outcome = self.standing().outcome(!self.dangers.is_empty());
        if outcome.is_over() {
            // First the machines, then the record: a run that is over never comes back to do it.
            self.out.push(Action::Release);
        } else {
            self.end(outcome);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.append(EventBody::RunEnded { outcome });
    }

    /// Journals the next attempt; it starts once that is durable.
    pub(super) fn attempt(&mut self, ix: StepIx) {
        let stands = self.state.step(ix);
        // A try that a dead or stopped process left behind is no failure: it keeps its number.
        let again = u32::from(stands.status != Status::Running);
        let attempt = (stands.attempts + again).max(1);
        self.set(ix, Phase::Recording);
        self.append(EventBody::AttemptStarted {
            step: self.plan.step(ix).id.clone(),
            attempt,
            epoch: self.state.epoch,
        });
    }

    /// When a step's time is up, counted from `from`.
    pub(super) fn limit_from(&self, ix: StepIx, from: Timestamp) -> Option<Timestamp> {
        let limit_ms = self.plan.step(ix).policy.timeout_ms?;
        Some(later(from, Duration::from_millis(limit_ms)))
    }

    pub(super) fn append(&mut self, body: EventBody) {
        self.append_for(body, None);
    }

    pub(super) fn append_for(&mut self, body: EventBody, command: Option<i64>) {
        self.unacked += 1;
        self.out.push(Action::Append { body, command });
    }

    pub(super) fn recheck(&mut self, why: Why) {
        self.rechecks += 1;
        self.out.push(Action::Recheck(why));
    }

    /// A durable event: fold it, then act on it.
    fn appended(&mut self, event: &Event) {
        self.unacked -= 1;
        self.state.apply(event).unwrap_or_else(|illegal| panic!("BUG: {illegal}"));
        match &event.body {
            EventBody::RunEnded { outcome } => self.out.push(Action::Done(*outcome)),
            EventBody::CancelAsked { .. } => self.stop_attempts(),
            EventBody::MachineExcluded { machine, .. } => {
                self.to_give_back.push(machine.clone());
                self.stop_attempts_on(machine);
                self.reshaped();
            }
            EventBody::MachineGivenBack { machine } => {
                self.giving_back.remove(machine);
                if self.is_going() {
                    self.rebuild();
                }
            }
            body => {
                if let Some(ix) = body.step().and_then(|step| self.state.place(step)) {
                    self.step_appended(ix, body);
                }
            }
        }
    }

    /// Asks every attempt to stop at its next safe point.
    fn stop_attempts(&mut self) {
        for (ix, phase) in &mut self.phases {
            if let Phase::Running { asked: asked @ None, .. } = phase {
                *asked = Some(Asked::RunStops);
                self.out.push(Action::Cancel(self.plan.step(*ix).id.clone()));
            }
        }
    }

    /// Gives a step up for this process, its tokens with it; the fold keeps where it stands.
    pub(super) fn leave(&mut self, ix: StepIx) {
        self.clear(ix);
        self.ready.release(ix);
    }

    pub(super) fn set(&mut self, ix: StepIx, phase: Phase) {
        self.clear(ix);
        match phase {
            Phase::Backoff { until } | Phase::Early { until } | Phase::Timing { until } => {
                self.resting += 1;
                self.wake_at(until, ix);
            }
            Phase::Open { until } => until.into_iter().for_each(|at| self.wake_at(at, ix)),
            Phase::Running { deadline, .. } => {
                self.busy += 1;
                deadline.into_iter().for_each(|at| self.wake_at(at, ix));
            }
            _ => self.busy += 1,
        }
        self.phases.insert(ix, phase);
    }

    pub(super) fn clear(&mut self, ix: StepIx) {
        match self.phases.remove(&ix) {
            None | Some(Phase::Open { .. }) => {}
            Some(Phase::Backoff { .. } | Phase::Early { .. } | Phase::Timing { .. }) => {
                self.resting -= 1;
            }
            Some(_) => self.busy -= 1,
        }
    }

    pub(super) fn wake_at(&mut self, at: Timestamp, ix: StepIx) {
        self.timers.push(Reverse((at, ix)));
    }

    fn tick(&mut self) {
        while let Some(Reverse((at, _))) = self.timers.peek()
            && *at <= self.now
        {
            let Some(Reverse((_, ix))) = self.timers.pop() else { return };
            self.time_is_up(ix);
        }
    }
}

/// Whether a machine may be off whose stop stands like this: a try that a dead process left behind counts.
pub(super) fn may_be_off(stop: Status) -> bool {
    matches!(stop, Status::Running | Status::Succeeded)
}

/// Whether a step in this phase has taken its tokens.
fn holds_tokens(phase: Option<&Phase>) -> bool {
    !matches!(phase, None | Some(Phase::Backoff { .. } | Phase::Early { .. }))
}

/// `from` and `wait` later, or the end of time.
pub(super) fn later(from: Timestamp, wait: Duration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}
