//! A plan played through with a clock of its own: by the scheduler that will run it, under its limits. Every
//! step works, every gate is answered at once, and no time window is waited for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::base::{Json, PlanId, RunId, Timestamp};
use crate::compile::estimate::links::Links;
use crate::compile::estimate::ways::Way;
use crate::plan::args::Args;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::policy::Policy;
use crate::plan::scope::{Rules, Scope, ScopeKind};
use crate::plan::step::{Kind, Step, StepIx};
use crate::primitives::contract::Cost;
use crate::run::command::Asker;
use crate::run::event::{Event, EventBody};
use crate::run::state::RunState;
use crate::schedule::{Action, Changes, Core, Input, Manner, OnGate, Report};

/// When a step runs, seconds after the run's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Time {
    pub start_s: f64,
    pub end_s: f64,
    /// The step whose end let it begin: one that it waits for, or one that left it room.
    pub after: Option<StepIx>,
}

/// Plays one way through the plan.
pub(super) fn play(plan: &Plan, inventory: &Inventory, costs: &[Cost], way: &Way) -> Vec<Time> {
    Play::new(plan, inventory, costs, way).through()
}

/// The same plan with nothing in it that waits for people, windows or outputs.
fn bare(plan: &Plan, costs: &[Cost], way: &Way) -> Plan {
    // Only a timer's arguments tell the scheduler anything; a gate's message may want outputs that nobody has.
    let (nothing, policy) = (Args::from(json!({})), Arc::new(Policy::ONCE));
    let step = |(ix, step): (StepIx, &Step)| {
        let args = if step.kind == Kind::Timer {
            let seconds = if way.takes(ix) { costs[ix.at()].seconds } else { 0.0 };
            json!({ "duration": format!("{}ns", nanos(seconds)) }).into()
        } else {
            nothing.clone()
        };
        Step { args, policy: policy.clone(), optional: false, ..step.clone() }
    };
    let scope = |scope: &Scope| {
        let Rules { halt, at_most, at_most_per_host, .. } = scope.rules;
        let kind = match &scope.kind {
            // Which branch is taken was decided when the way was chosen.
            ScopeKind::When { .. } => ScopeKind::Parallel,
            kind => kind.clone(),
        };
        let rules = Rules { halt, at_most, at_most_per_host, ..Rules::default() };
        Scope { kind, rules, ..scope.clone() }
    };
    Plan {
        steps: plan.iter().map(step).collect(),
        scopes: plan.scopes.iter().map(scope).collect(),
        ..Plan::default()
    }
}

/// What comes at a moment, besides what the scheduler itself asks to be woken for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Coming {
    /// A step begins to use the links.
    Sends(StepIx),
    /// A step is done.
    Done(StepIx),
}

/// Nanoseconds since the beginning.
type Nanos = u64;

struct Play<'a> {
    plan: Arc<Plan>,
    costs: &'a [Cost],
    way: &'a Way,
    core: Core,
    links: Links<'a>,
    coming: BinaryHeap<Reverse<(Nanos, Coming)>>,
    now: Nanos,
    run: RunId,
    seq: u64,
    times: Vec<Time>,
    /// The step that ended last.
    last: Option<StepIx>,
}

impl<'a> Play<'a> {
    fn new(plan: &Plan, inventory: &'a Inventory, costs: &'a [Cost], way: &'a Way) -> Play<'a> {
        let plan = Arc::new(bare(plan, costs, way));
        let run = RunId::new("r0").expect("BUG: a name");
        let nobody = || Asker { who: "nobody".into(), from: "an estimate".into() };
        let mut state = RunState::new(&plan);
        let begun = EventBody::RunStarted {
            plan_id: PlanId::new("p0").expect("BUG: a name"),
            digest: String::new(),
            script: String::new(),
            approved: Vec::new(),
            by: nobody(),
        };
        let first = Event { run: run.clone(), seq: 1, at: moment(0), body: begun };
        state.apply(&first).expect("BUG: a run begins so");
        let manner = Manner {
            on_gate: OnGate::Ask,
            advance: vec![("all".to_owned(), nobody())],
            is_stall: Box::new(|_| false),
            step_s: costs.iter().map(|cost| cost.seconds).collect(),
        };
        Play {
            core: Core::new(plan.clone(), run.clone(), state, inventory, manner),
            links: Links::new(inventory),
            coming: BinaryHeap::new(),
            now: 0,
            run,
            seq: 1,
            times: vec![Time::default(); plan.steps.len()],
            last: None,
            plan,
            costs,
            way,
        }
    }

    fn through(mut self) -> Vec<Time> {
        self.feed(Input::Begin);
        while let Some(next) = self.next() {
            let sent = self.links.pass(seconds(next - self.now));
            self.now = next;
            for ix in sent {
                self.done(ix);
            }
            while let Some(Reverse((at, what))) = self.coming.peek().copied()
                && at <= self.now
            {
                self.coming.pop();
                match what {
                    Coming::Sends(ix) => {
                        self.links.begin(ix, self.plan.step(ix), &self.costs[ix.at()]);
                    }
                    Coming::Done(ix) => self.done(ix),
                }
            }
            self.feed(Input::Tick);
        }
        self.times
    }

    /// The next moment at which something happens.
    fn next(&self) -> Option<Nanos> {
        let coming = self.coming.peek().map(|Reverse((at, _))| *at);
        let sent = self.links.next_s().map(|left_s| self.now.saturating_add(nanos(left_s)));
        let woken = self
            .core
            .wakes_at()
            .map(|at| u64::try_from(at.duration_since(moment(0)).as_nanos()).unwrap_or_default());
        let next = [coming, sent, woken].into_iter().flatten().min()?;
        Some(next.max(self.now))
    }

    fn done(&mut self, ix: StepIx) {
        let report =
            Report { step: self.plan.step(ix).id.clone(), attempt: 1, result: Ok(Json::Null) };
        self.feed(Input::Report(report));
    }

    /// Gives the scheduler one input, and whatever follows from it at the same moment.
    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for action in self.core.handle(input, moment(self.now)) {
                inputs.extend(self.answer(action));
            }
        }
    }

    fn answer(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Append { body, .. } => {
                self.note(&body);
                self.seq += 1;
                let (run, seq, at) = (self.run.clone(), self.seq, moment(self.now));
                Some(Input::Appended(Event { run, seq, at, body }))
            }
            Action::Start(order) => {
                let ix = self.core.state().place(&order.step)?;
                self.start(ix);
                None
            }
            Action::Recheck(why) => Some(Input::Rechecked { why, changes: Changes::default() }),
            Action::Look => Some(Input::Looked { dangers: Vec::new() }),
            Action::Release => Some(Input::Released),
            Action::GiveBack(machine) => Some(Input::GivenBack(machine)),
            Action::Cancel(_) | Action::Abandon(_) | Action::Dismiss(_) | Action::Done(_) => None,
        }
    }

    fn start(&mut self, ix: StepIx) {
        let cost = &self.costs[ix.at()];
        let on_links_s = cost.on_links_s();
        let (after_s, what) = if !self.way.takes(ix) {
            (0.0, Coming::Done(ix))
        } else if on_links_s > 0.0 {
            (cost.seconds - on_links_s, Coming::Sends(ix))
        } else {
            (cost.seconds, Coming::Done(ix))
        };
        self.coming.push(Reverse((self.now.saturating_add(nanos(after_s)), what)));
    }

    /// When steps begin and end, and why then.
    fn note(&mut self, body: &EventBody) {
        let Some(ix) = body.step().and_then(|step| self.core.state().place(step)) else { return };
        let now_s = seconds(self.now);
        match body {
            EventBody::AttemptStarted { .. } | EventBody::GateOpened { .. } => {
                self.begins(ix, now_s);
            }
            EventBody::StepSucceeded { attempt: 0, .. } | EventBody::StepSkipped { .. } => {
                self.begins(ix, now_s);
                self.ends(ix, now_s);
            }
            EventBody::StepSucceeded { .. } | EventBody::GateAnswered { .. } => {
                self.ends(ix, now_s);
            }
            _ => {}
        }
    }

    fn begins(&mut self, ix: StepIx, now_s: f64) {
        let last = self.plan.step(ix).edges().map(|(before, _)| before);
        let last =
            last.max_by(|a, b| self.times[a.at()].end_s.total_cmp(&self.times[b.at()].end_s));
        let waited_for = last.filter(|before| self.times[before.at()].end_s >= now_s);
        // Nothing that it waits for ended just now: it had no room until somebody else did.
        let after = waited_for.or(self.last.filter(|_| now_s > 0.0)).or(last);
        self.times[ix.at()] = Time { start_s: now_s, end_s: now_s, after };
    }

    fn ends(&mut self, ix: StepIx, now_s: f64) {
        self.times[ix.at()].end_s = now_s;
        self.last = Some(ix);
    }
}

fn moment(nanos: Nanos) -> Timestamp {
    Timestamp::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos)).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}

/// Rounded up: whoever waits for so long has waited long enough.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an estimate")]
fn nanos(seconds: f64) -> Nanos {
    (seconds.max(0.0) * 1e9).ceil() as Nanos
}
