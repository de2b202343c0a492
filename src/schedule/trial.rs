//! A core on trial: a journal that is a list, workers that are instant, a clock that jumps. The naive
//! specification of a run stands beside it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::base::{MachineName, RunId, StepId, Timestamp};
use crate::journal::Waiting;
use crate::plan::effect::Effect;
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::policy::Policy;
use crate::plan::scope::{Scope, ScopeKind};
use crate::plan::settle::{Edge, Passage, Settled, passage};
use crate::plan::step::{Kind, Origin, Reversibility, Step, StepIx};
use crate::run::command::{Asker, Command};
use crate::run::event::{Event, EventBody};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::state::{RunState, Status};
use crate::schedule::core::{Core, Manner, OnGate, Phase};
use crate::schedule::order::Changes;
use crate::schedule::order::{Action, Input, Report, Why};
use crate::schedule::scoped::outputs;
use crate::source::Span;

/// How a step behaves under test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Behaviour {
    Works,
    /// Fails that many times, then works.
    Flaky(u32),
    Broken,
    /// Ends only when it is asked to.
    Hangs,
    /// Does not even then.
    Deaf,
}

/// A step that does nothing, named `s<n>`.
pub(crate) fn step(at: usize, kind: Kind) -> Step {
    Step {
        id: StepId::new(format!("s{at}")).unwrap(),
        primitive: "nothing",
        kind,
        machine: None,
        args: serde_json::json!({ "duration": "10s", "message": "go on?" }).into(),
        needs: Vec::new(),
        waits: Vec::new(),
        follows: Vec::new(),
        scope: Default::default(),
        undoes: None,
        effect: if kind == Kind::Gate { Effect::Approved } else { Effect::Nothing },
        reversibility: Reversibility::Reversible,
        optional: false,
        policy: Arc::new(Policy { attempts: 3, first_ms: 100, max_ms: 1000, timeout_ms: None }),
        origin: Arc::new(Origin { at: Span::point("test".into(), 1, 1), via: Arc::new([]) }),
    }
}

pub(super) fn plan(steps: Vec<Step>) -> Arc<Plan> {
    Arc::new(Plan { script: "test".into(), steps, ..Plan::default() })
}

pub(crate) fn asker() -> Asker {
    Asker { who: "op".into(), from: "here".into() }
}

/// One run on trial, over as many processes as it takes.
pub(super) struct Trial {
    pub(super) plan: Arc<Plan>,
    pub(super) inventory: Inventory,
    pub(super) behaviours: Vec<Behaviour>,
    pub(super) advance: bool,
    pub(super) on_gate: OnGate,
    pub(super) events: Vec<Event>,
    pub(super) now: Timestamp,
    /// What is found changed when facts are observed at these moments.
    pub(super) stale_at: Option<Why>,
    /// Machines whose facts are found changed, and who are left out for it.
    pub(super) drop: BTreeMap<MachineName, String>,
    /// Commands, each put in when that many events are durable.
    pub(super) commands: BTreeMap<usize, Command>,
    /// Commands that wait for the next process.
    pub(super) waiting: Vec<Command>,
    /// Interrupts when that many events are durable.
    pub(super) interrupt_at: Option<usize>,
    seed: u64,
    in_flight: Vec<StepId>,
}

impl Trial {
    pub(super) fn new(plan: Arc<Plan>, seed: u64) -> Trial {
        let behaviours = vec![Behaviour::Works; plan.steps.len()];
        let mut trial = Trial {
            plan,
            inventory: Inventory::default(),
            behaviours,
            advance: true,
            on_gate: OnGate::Exit,
            events: Vec::new(),
            now: "2026-11-22T00:00:00Z".parse().unwrap(),
            stale_at: None,
            drop: BTreeMap::new(),
            commands: BTreeMap::new(),
            waiting: Vec::new(),
            interrupt_at: None,
            seed,
            in_flight: Vec::new(),
        };
        trial.journal(EventBody::RunStarted {
            plan_id: crate::base::PlanId::new("p1").unwrap(),
            digest: "d".into(),
            script: "test".into(),
            approved: Vec::new(),
            by: asker(),
        });
        trial
    }

    fn journal(&mut self, body: EventBody) -> Event {
        let run = RunId::new("r1").unwrap();
        let event = Event { run, seq: self.events.len() as u64 + 1, at: self.now, body };
        self.events.push(event.clone());
        event
    }

    pub(super) fn state(&self) -> RunState {
        let mut state = RunState::new(&self.plan);
        for event in &self.events {
            state.apply(event).unwrap();
        }
        state
    }

    pub(super) fn statuses(&self) -> Vec<Status> {
        self.state().steps.iter().map(|step| step.status).collect()
    }

    /// A new process takes the run up.
    pub(super) fn resume(&mut self, crash_at: Option<usize>) -> Option<Outcome> {
        let epoch = self.state().epoch + 1;
        self.journal(EventBody::RunResumed { epoch });
        self.process(crash_at)
    }

    /// One process, until the run has left, or the process dies with that many events durable.
    pub(super) fn process(&mut self, crash_at: Option<usize>) -> Option<Outcome> {
        let manner = Manner {
            on_gate: self.on_gate,
            advance: self.advance.then(|| ("all".to_owned(), asker())).into_iter().collect(),
            is_stall: Box::new(|_| false),
            step_s: Vec::new(),
        };
        let run = RunId::new("r1").unwrap();
        let mut core = Core::new(self.plan.clone(), run, self.state(), &self.inventory, manner);
        self.in_flight.clear();
        let mut inputs = VecDeque::new();
        let mut outcome = None;
        for command in std::mem::take(&mut self.waiting) {
            let waiting = Waiting { id: 1, command, by: asker(), at: self.now };
            for action in core.handle(Input::Command(waiting), self.now) {
                self.perform(&core, action, &mut inputs);
            }
        }
        while let Some(input) = inputs.pop_front() {
            assert_eq!(core.handle(input, self.now), [], "nothing is done before it begins");
        }
        inputs.push_back(Input::Begin);
        for _ in 0..100_000 {
            if crash_at.is_some_and(|at| self.events.len() >= at) {
                return None;
            }
            let Some(input) = self.pick(&mut inputs) else {
                if outcome.is_some() {
                    return outcome;
                }
                let at = core.wakes_at().expect("a core at rest has ended or waits for time");
                self.now = self.now.max(at);
                inputs.push_back(Input::Tick);
                continue;
            };
            for action in core.handle(input, self.now) {
                outcome = self.perform(&core, action, &mut inputs).or(outcome);
            }
            self.compare(&core);
        }
        panic!("it goes on for ever");
    }

    /// Records come back in order; all else in any order.
    fn pick(&mut self, inputs: &mut VecDeque<Input>) -> Option<Input> {
        let others: Vec<usize> = (0..inputs.len())
            .filter(|at| !matches!(inputs[*at], Input::Appended(_)))
            .chain((0..inputs.len()).find(|at| matches!(inputs[*at], Input::Appended(_))))
            .collect();
        let choice = self.random(others.len().max(1) as u64) as usize;
        let input = inputs.remove(*others.get(choice)?)?;
        if let Input::Report(report) = &input {
            self.in_flight.retain(|step| *step != report.step);
        }
        Some(input)
    }

    fn perform(
        &mut self,
        core: &Core,
        action: Action,
        inputs: &mut VecDeque<Input>,
    ) -> Option<Outcome> {
        match action {
            Action::Append { body, .. } => {
                self.check(core, &body);
                let event = self.journal(body);
                inputs.push_back(Input::Appended(event));
                if let Some(command) = self.commands.remove(&self.events.len()) {
                    let waiting = Waiting { id: 1, command, by: asker(), at: self.now };
                    inputs.push_back(Input::Command(waiting));
                }
                if self.interrupt_at == Some(self.events.len()) {
                    inputs.push_back(Input::Interrupt);
                }
            }
            Action::Start(order) => {
                self.in_flight.push(order.step.clone());
                assert!(self.in_flight.len() <= self.inventory.limits.concurrency as usize);
                let ix = core.state().place(&order.step).unwrap();
                let result = match self.behaviours[ix.at()] {
                    Behaviour::Works => Ok(outputs(&order.step)),
                    Behaviour::Flaky(times) if order.attempt > times => Ok(outputs(&order.step)),
                    Behaviour::Flaky(_) => Err(Failure::transient("lost contact")),
                    Behaviour::Broken => Err(Failure::permanent("it cannot work")),
                    Behaviour::Hangs | Behaviour::Deaf => return None,
                };
                let (step, attempt) = (order.step, order.attempt);
                inputs.push_back(Input::Report(Report { step, attempt, result }));
            }
            Action::Cancel(step) => {
                if self.in_flight.contains(&step) && self.hangs(core, &step) {
                    let attempt = core.state().step(core.state().place(&step).unwrap()).attempts;
                    let result = Err(Failure::cancelled());
                    inputs.push_back(Input::Report(Report { step, attempt, result }));
                }
            }
            Action::Abandon(step) => {
                let attempt = core.state().step(core.state().place(&step).unwrap()).attempts;
                let result = Err(Failure::cancelled());
                inputs.push_back(Input::Report(Report { step, attempt, result }));
            }
            Action::Recheck(why) => {
                let stale = self.stale_at == Some(why);
                let changed = stale.then(|| "replica of web-01 changed".to_owned().into());
                let hold = changed.into_iter().collect();
                let changes = Changes { hold, drop: self.drop.clone() };
                inputs.push_back(Input::Rechecked { why, changes });
            }
            Action::Look => inputs.push_back(Input::Looked { dangers: Vec::new() }),
            Action::Release => inputs.push_back(Input::Released),
            Action::GiveBack(machine) => inputs.push_back(Input::GivenBack(machine)),
            Action::Dismiss(_) => {}
            Action::Done(outcome) => return Some(outcome),
        }
        None
    }

    fn hangs(&self, core: &Core, step: &StepId) -> bool {
        core.state().place(step).is_some_and(|ix| self.behaviours[ix.at()] == Behaviour::Hangs)
    }

    /// Nothing begins before everything that it waits for, in a scope that has halted, or beside what it
    /// rolls back.
    fn check(&self, core: &Core, body: &EventBody) {
        let begins =
            matches!(body, EventBody::AttemptStarted { .. } | EventBody::GateOpened { .. });
        if !begins {
            return;
        }
        let ix = core.state().place(body.step().unwrap()).unwrap();
        let settled = core.state().settled(&self.plan);
        let step = self.plan.step(ix);
        let open = |edge, before: &StepIx| {
            settled[before.at()].is_some_and(|how| passage(edge, how) == Passage::Open)
        };
        assert!(step.needs.iter().all(|before| open(Edge::Needs, before)), "{}", step.id);
        assert!(step.waits.iter().all(|before| open(Edge::Waits, before)), "{}", step.id);
        let begun = core.state().step(ix).is_begun();
        assert!(begun || !self.has_halted(core.state(), step), "{} begins all the same", step.id);
        let rolled_back = self.plan.iter().filter(|(body, _)| self.plan.handles(step, *body));
        for (body, other) in rolled_back.filter(|(_, other)| other.machine == step.machine) {
            let id = &other.id;
            assert!(settled[body.at()].is_some(), "{} begins while {id} may go on", step.id);
        }
    }

    /// A step that counts failed in a scope around this one that halts then.
    fn has_halted(&self, state: &RunState, step: &Step) -> bool {
        let plan = &self.plan;
        let halting = plan.exemptions(step.scope).filter(|(_, scope, exempt)| {
            let all = matches!(scope.kind, ScopeKind::Attempt { all: true, .. });
            !exempt && (all || scope.rules.halt)
        });
        let goes_on = |s: &Scope| matches!(s.kind, ScopeKind::Attempt { then_continue: true, .. });
        halting.into_iter().any(|(at, ..)| {
            plan.iter().any(|(ix, other)| {
                let mut between = plan.outwards(other.scope).take_while(|(inner, _)| *inner != at);
                state.has_failed(other, ix)
                    && plan.is_within(other.scope, at)
                    && !between.any(|(_, scope)| goes_on(scope))
            })
        })
    }

    /// At a quiet moment what was kept up one step at a time is what the whole fold says.
    fn compare(&self, core: &Core) {
        let quiet = |phase: &Phase| !matches!(phase, Phase::Answered | Phase::Rechecking);
        if core.unacked() > 0 || !core.is_going() || !core.phases.values().all(quiet) {
            return;
        }
        let folded = core.state().settled(&self.plan);
        for (ix, step) in self.plan.iter() {
            assert_eq!(core.frontier.settled(ix), folded[ix.at()], "{}", step.id);
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        // A linear congruential generator: the interleaving must only be varied and repeatable.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
        (self.seed >> 33) % below
    }
}

/// What a run must come to, said as simply as possible: one step after the other.
pub(super) fn specified(plan: &Plan, behaviours: &[Behaviour]) -> Vec<Status> {
    let mut settled: Vec<Option<Settled>> = Vec::new();
    let mut statuses = Vec::new();
    for (ix, step) in plan.iter() {
        let edges = step.needs.iter().map(|b| (Edge::Needs, b));
        let edges = edges.chain(step.waits.iter().map(|b| (Edge::Waits, b)));
        let passages: Vec<_> =
            edges.map(|(edge, b)| settled[b.at()].map(|how| passage(edge, how))).collect();
        let (status, how) = if passages.contains(&Some(Passage::Closed)) {
            (Status::Pending, Some(Settled::Blocked))
        } else if passages.iter().any(|p| *p != Some(Passage::Open)) {
            (Status::Pending, None)
        } else {
            let acts = matches!(step.kind, Kind::Act | Kind::Poll | Kind::Notify);
            let fails = match behaviours[ix.at()] {
                Behaviour::Works => false,
                Behaviour::Flaky(times) => times >= step.policy.attempts,
                Behaviour::Broken | Behaviour::Hangs | Behaviour::Deaf => true,
            };
            match (acts && fails, step.optional) {
                (false, _) => (Status::Succeeded, Some(Settled::Succeeded)),
                (true, true) => (Status::Failed, Some(Settled::OptionalFailed)),
                (true, false) => (Status::Failed, Some(Settled::Failed)),
            }
        };
        settled.push(how);
        statuses.push(status);
    }
    statuses
}

/// A random plan and how its steps behave, from bytes: three per step.
pub(super) fn random_plan(bytes: &[u8]) -> (Arc<Plan>, Vec<Behaviour>) {
    let mut steps: Vec<Step> = Vec::new();
    let mut behaviours = Vec::new();
    for (at, genes) in bytes.chunks_exact(3).enumerate() {
        let kind = match genes[0] % 12 {
            0 => Kind::Gate,
            1 | 2 => Kind::Barrier,
            3 => Kind::Timer,
            4 => Kind::Notify,
            5 => Kind::Poll,
            _ => Kind::Act,
        };
        let mut step = step(at, kind);
        step.optional = genes[0] >= 230;
        let mut before: Vec<StepIx> =
            (0..at).filter(|b| (usize::from(genes[1]) + b * 37) % 7 < 2).map(index).collect();
        let waits = matches!(kind, Kind::Gate | Kind::Barrier) || genes[2] % 5 == 0;
        if waits {
            step.needs = before.split_off(before.len() - before.len() / 4);
            step.waits = before;
        } else {
            step.needs = before;
        }
        behaviours.push(match genes[2] {
            0..=15 => Behaviour::Broken,
            16..=40 => Behaviour::Flaky(u32::from(genes[2] % 4)),
            _ => Behaviour::Works,
        });
        steps.push(step);
    }
    (plan(steps), behaviours)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schedule::times::gated;

    fn outcome_of(statuses: &[Status], plan: &Plan) -> Outcome {
        let at = |ix: StepIx| statuses[ix.at()];
        if plan.iter().any(|(ix, step)| at(ix) == Status::Failed && !step.optional) {
            Outcome::Failed
        } else if plan
            .iter()
            .any(|(ix, step)| at(ix) == Status::Failed && step.kind != Kind::Notify)
        {
            Outcome::SucceededWithExceptions
        } else {
            Outcome::Succeeded
        }
    }

    /// A new process, unless the dead one had finished the run.
    fn go_on(trial: &mut Trial, crash_at: Option<usize>) -> Option<Outcome> {
        let over = trial.state().outcome.filter(|outcome| outcome.is_over());
        over.or_else(|| trial.resume(crash_at))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn the_scheduler_does_what_is_specified(
            bytes in proptest::collection::vec(any::<u8>(), 3..90),
            seed in any::<u64>(),
            concurrency in 1_u32..5,
        ) {
            let (plan, behaviours) = random_plan(&bytes);
            prop_assume!(!plan.nothing_to_do());
            let mut trial = Trial::new(plan.clone(), seed);
            trial.inventory.limits.concurrency = concurrency;
            trial.behaviours = behaviours.clone();
            let outcome = trial.process(None).unwrap();
            let specified = specified(&plan, &behaviours);
            prop_assert_eq!(trial.statuses(), specified.clone());
            prop_assert_eq!(outcome, outcome_of(&specified, &plan));
        }

        #[test]
        fn a_process_may_die_after_any_record(
            bytes in proptest::collection::vec(any::<u8>(), 3..36),
            seed in any::<u64>(),
        ) {
            let (plan, behaviours) = random_plan(&bytes);
            prop_assume!(!plan.nothing_to_do());
            let specified = specified(&plan, &behaviours);
            for crash_at in 2.. {
                let mut trial = Trial::new(plan.clone(), seed);
                trial.behaviours = behaviours.clone();
                if trial.process(Some(crash_at)).is_some() {
                    break;
                }
                // The second process dies too, a little later.
                let again = go_on(&mut trial, Some(crash_at + 4));
                let outcome = again.or_else(|| go_on(&mut trial, None));
                // The fold itself refuses to begin a step that has succeeded.
                prop_assert_eq!(trial.statuses(), specified.clone());
                prop_assert_eq!(outcome, Some(outcome_of(&specified, &plan)));
            }
        }
    }

    #[test]
    fn changed_facts_hold_the_run_at_every_moment_they_are_observed() {
        let mut trial = gated();
        trial.stale_at = Some(Why::Begin);
        assert_eq!(trial.process(None), Some(Outcome::Stale));
        assert!(trial.statuses().iter().all(|status| *status == Status::Pending));
        trial.stale_at = Some(Why::Opened(StepIx(1)));
        assert_eq!(trial.resume(None), Some(Outcome::Stale));
        trial.stale_at = Some(Why::Answered(StepIx(1)));
        trial.advance = true;
        assert_eq!(trial.resume(None), Some(Outcome::Stale));
        assert_eq!(trial.statuses()[2], Status::Pending, "nothing follows the gate");
        trial.stale_at = None;
        assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
        let mut stop = step(0, Kind::Act);
        stop.effect = Effect::Stop(crate::base::Side::Cloud);
        let mut trial = Trial::new(plan(vec![stop]), 1);
        trial.stale_at = Some(Why::Before(StepIx(0)));
        assert_eq!(trial.process(None), Some(Outcome::Stale));
        assert_eq!(trial.statuses(), [Status::Pending], "the machine was not stopped");
    }

    #[test]
    fn a_hanging_attempt_is_stopped_retried_and_given_up() {
        let mut hanging = step(0, Kind::Act);
        hanging.policy =
            Arc::new(Policy { timeout_ms: Some(5000), ..hanging.policy.as_ref().clone() });
        let stands_still = |behaviour: Behaviour| {
            let mut trial = Trial::new(plan(vec![hanging.clone()]), 1);
            trial.behaviours = vec![behaviour];
            let from = trial.now;
            assert_eq!(trial.process(None), Some(Outcome::Failed));
            let step = &trial.state().steps[0];
            assert_eq!(step.attempts, 3);
            (trial.now.duration_since(from).as_secs(), step.failure.clone().unwrap().message)
        };
        let (took_s, said) = stands_still(Behaviour::Hangs);
        assert!((15..60).contains(&took_s) && said == "not done after 5.0s", "{took_s} {said}");
        let (took_s, said) = stands_still(Behaviour::Deaf);
        assert!(took_s >= 3 * 65, "{took_s}");
        assert!(said.ends_with("its site does not answer, and may do it yet"), "{said}");
    }

    #[test]
    fn an_interrupted_attempt_is_no_failure_and_a_cancelled_run_is_over() {
        let trial = || {
            let mut trial = Trial::new(plan(vec![step(0, Kind::Act), step(1, Kind::Act)]), 3);
            trial.behaviours = vec![Behaviour::Hangs, Behaviour::Works];
            trial
        };
        let mut stopped = trial();
        stopped.interrupt_at = Some(3);
        assert_eq!(stopped.process(None), Some(Outcome::Interrupted));
        stopped.interrupt_at = None;
        stopped.behaviours[0] = Behaviour::Works;
        assert_eq!(stopped.resume(None), Some(Outcome::Succeeded));
        assert_eq!(stopped.state().steps[0].attempts, 1, "the try kept its number");
        let mut cancelled = trial();
        cancelled.commands.insert(3, Command::Cancel { reason: None });
        assert_eq!(cancelled.process(None), Some(Outcome::Cancelled));
    }

    #[test]
    fn a_retry_opens_what_a_failure_had_closed() {
        let (first, mut second, mut barrier) =
            (step(0, Kind::Act), step(1, Kind::Act), step(2, Kind::Barrier));
        second.needs = vec![StepIx(0)];
        barrier.waits = vec![StepIx(1)];
        let mut trial = Trial::new(plan(vec![first, second, barrier]), 1);
        trial.behaviours[0] = Behaviour::Broken;
        assert_eq!(trial.process(None), Some(Outcome::Failed));
        assert_eq!(trial.resume(None), Some(Outcome::Failed), "nobody asked for another try");
        trial.behaviours[0] = Behaviour::Works;
        trial.waiting.push(Command::Retry { step: StepId::new("s0").unwrap() });
        trial.waiting.push(Command::Retry { step: StepId::new("s0").unwrap() });
        assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
    }
}
