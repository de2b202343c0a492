//! How every step is settled, derived from a run's fold and its plan's scopes: what is blocked, what holds,
//! where attempts failed. Live run, resume and reports use the same rules; the engine applies them one
//! settled step at a time, [`derive`] to the whole fold at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::base::MachineName;
use crate::plan::graph::Plan;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::settle::{Edge, Over, Passage, Settled, over, passage};
use crate::plan::step::{Step, StepIx};
use crate::run::state::{RunState, Status};

/// Where attempts failed, as far as their steps have settled.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    by_scope: HashMap<ScopeIx, Attempt>,
}

#[derive(Clone, Debug, Default)]
struct Attempt {
    /// A required step without a machine failed.
    shared: bool,
    /// A required step of any machine failed.
    required: bool,
    /// It failed for at least one machine.
    somebody: bool,
    /// What the steps without a machine came to; begun: a step of anybody was.
    nobody: Own,
    machines: HashMap<MachineName, Own>,
}

/// What one machine's steps in an attempt came to.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    failed: bool,
    stuck: bool,
    begun: bool,
    /// Something of it was blocked by what came before the attempt.
    kept_out: bool,
}

impl Own {
    /// What was never begun needs no handler.
    fn has_failed(self) -> bool {
        self.failed || (self.stuck && self.begun)
    }
}

impl Attempts {
    /// Takes in how a step settled; again is no harm. `outside`: see [`outside`].
    pub fn note(&mut self, plan: &Plan, ix: StepIx, outcome: Settled, begun: bool, outside: u32) {
        let step = plan.step(ix);
        let failed = matches!(outcome, Settled::Failed | Settled::Rejected);
        let stuck = matches!(outcome, Settled::Blocked | Settled::Excluded);
        let mut escapes = true;
        for (depth, (scope, attempt)) in plan.attempts_around(step.scope).enumerate() {
            let tally = self.by_scope.entry(scope).or_default();
            let kept_out = stuck && depth < outside as usize;
            tally.nobody.begun |= begun;
            match &step.machine {
                None => {
                    tally.shared |= failed && escapes;
                    tally.nobody.kept_out |= kept_out;
                }
                Some(machine) => {
                    let own = match tally.machines.get_mut(machine) {
                        Some(own) => own,
                        None => tally.machines.entry(machine.clone()).or_default(),
                    };
                    own.failed |= failed && escapes;
                    own.stuck |= stuck && escapes;
                    own.begun |= begun;
                    own.kept_out |= kept_out;
                    tally.somebody |= own.has_failed();
                }
            }
            tally.required |= failed && escapes;
            // What is handled and goes on is no failure of the scopes around.
            escapes &= !goes_on(&attempt.kind);
        }
    }

    /// Whether an attempt failed for a machine (`None`: for anybody), once its steps have settled.
    pub fn failed_for(&self, plan: &Plan, attempt: ScopeIx, machine: Option<&MachineName>) -> bool {
        let Some(tally) = self.by_scope.get(&attempt) else { return false };
        let all = matches!(plan.scope(attempt).kind, ScopeKind::Attempt { all: true, .. });
        let own = |machine| tally.machines.get(machine).is_some_and(|own: &Own| own.has_failed());
        tally.shared || (all && tally.required) || machine.map_or(tally.somebody, own)
    }
}

fn goes_on(kind: &ScopeKind) -> bool {
    matches!(kind, ScopeKind::Attempt { then_continue: true, .. })
}

/// What keeps steps from beginning beside their edges: scopes that halted, machines that were taken out,
/// attempts that were rolled back.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    halted: HashSet<ScopeIx>,
    handled: HashMap<ScopeIx, Handled>,
}

#[derive(Clone, Debug, Default)]
struct Handled {
    everybody: bool,
    machines: HashSet<MachineName>,
}

impl Bars {
    /// Read from the fold.
    pub fn of(plan: &Plan, state: &RunState) -> Bars {
        let mut bars = Bars::default();
        for (ix, step) in plan.iter() {
            if state.has_failed(step, ix) {
                bars.failed(plan, ix);
            }
            if state.step(ix).is_begun() || state.step(ix).status == Status::Failed {
                bars.handled(plan, step);
            }
        }
        bars
    }

    /// A required step failed: the scopes that halt now.
    pub fn failed(&mut self, plan: &Plan, ix: StepIx) -> Vec<ScopeIx> {
        let mut news = Vec::new();
        let mut behind: Vec<ScopeIx> = Vec::new();
        for (at, scope) in plan.outwards(plan.step(ix).scope) {
            match &scope.kind {
                ScopeKind::Handler { of } | ScopeKind::Always { of } => behind.push(*of),
                _ if behind.contains(&at) => continue,
                _ => {}
            }
            let all = matches!(scope.kind, ScopeKind::Attempt { all: true, .. });
            if (all || scope.rules.halt) && self.halted.insert(at) {
                news.push(at);
            }
            if goes_on(&scope.kind) {
                break;
            }
        }
        news
    }

    /// A handler began: what it rolls back does not begin any more, whoever is tried again or taken out.
    fn handled(&mut self, plan: &Plan, step: &Step) {
        for (_, scope) in plan.outwards(step.scope) {
            let ScopeKind::Handler { of } = scope.kind else { continue };
            let all = matches!(plan.scope(of).kind, ScopeKind::Attempt { all: true, .. });
            let handled = self.handled.entry(of).or_default();
            match &step.machine {
                Some(machine) if !all => {
                    handled.machines.insert(machine.clone());
                }
                _ => handled.everybody = true,
            }
        }
    }

    /// Whether a scope has halted for a step in it.
    pub fn halts(&self, plan: &Plan, step: &Step) -> bool {
        !self.halted.is_empty()
            && plan
                .exemptions(step.scope)
                .any(|(at, _, exempt)| !exempt && self.halted.contains(&at))
    }

    /// How a step that has not been begun will settle without ever beginning.
    pub fn bar(&self, plan: &Plan, state: &RunState, ix: StepIx) -> Option<Settled> {
        let step = plan.step(ix);
        if state.is_excluded(step) {
            return Some(Settled::Excluded);
        }
        let begun = state.step(ix).is_begun();
        let barred = (!begun && self.halts(plan, step)) || self.is_rolled_back(plan, step);
        barred.then_some(Settled::Blocked)
    }

    fn is_rolled_back(&self, plan: &Plan, step: &Step) -> bool {
        let over = |scope: &ScopeIx| {
            let own = |handled: &Handled| {
                step.machine.as_ref().is_some_and(|machine| handled.machines.contains(machine))
            };
            self.handled.get(scope).is_some_and(|handled| handled.everybody || own(handled))
        };
        !self.handled.is_empty() && plan.attempts_around(step.scope).any(|(at, _)| over(&at))
    }
}

/// The machines and the steps without one behind a step's `waits` edges that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Casualties<'a> {
    /// By name.
    pub machines: BTreeSet<&'a MachineName>,
    /// In plan order.
    pub steps: Vec<StepIx>,
}

impl<'a> Casualties<'a> {
    /// Of one step.
    pub fn of(
        plan: &'a Plan,
        step: &'a Step,
        settled: impl Fn(StepIx) -> Option<Settled>,
    ) -> Casualties<'a> {
        let mut casualties = Casualties::default();
        for before in &step.waits {
            let how = settled(*before).map(|how| passage(Edge::Waits, how));
            if how != Some(Passage::Casualty) {
                continue;
            }
            match &plan.step(*before).machine {
                Some(machine) => {
                    casualties.machines.insert(machine);
                }
                None => casualties.steps.push(*before),
            }
        }
        casualties
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.machines.len() + self.steps.len()
    }

    /// Their names, machines first.
    pub fn names(&self, plan: &Plan) -> Vec<String> {
        let machines = self.machines.iter().map(ToString::to_string);
        machines.chain(self.steps.iter().map(|ix| plan.step(*ix).id.to_string())).collect()
    }
}

/// How many of the attempts around a step, innermost first, the step that blocks it lies outside of.
/// `before` says the same of that one, where it was blocked itself.
pub fn outside(plan: &Plan, step: &Step, blocked_by: StepIx, before: u32) -> u32 {
    if step.scope == ScopeIx::PLAN {
        return 0;
    }
    let around = |scope: ScopeIx| plan.attempts_around(scope).map(|(at, _)| at).collect::<Vec<_>>();
    let (own, others) = (around(step.scope), around(plan.step(blocked_by).scope));
    let common = own.iter().filter(|at| others.contains(at)).count();
    let inherited = (before as usize).saturating_sub(others.len() - common);
    u32::try_from(own.len() - common + inherited).unwrap_or(u32::MAX)
}

/// Whether an edge into a handler or clean-up, or past an attempt that goes on, leads nowhere: the attempt
/// was never begun for the machine, since what came before it failed. There is nothing to handle, and
/// nothing to go on from.
pub fn is_never_entered(plan: &Plan, attempts: &Attempts, before: StepIx, step: &Step) -> bool {
    let inside: Vec<ScopeIx> = plan.attempts_around(step.scope).map(|(at, _)| at).collect();
    let left = plan.attempts_around(plan.step(before).scope).filter(|(at, _)| !inside.contains(at));
    left.last().is_some_and(|(at, _)| {
        let own = attempts.by_scope.get(&at).and_then(|tally| match &step.machine {
            Some(machine) => tally.machines.get(machine),
            None => Some(&tally.nobody),
        });
        own.is_some_and(|own| own.kept_out && !own.begun)
    })
}

/// A run's steps as they stand for each other.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// By step: `None` while more may come.
    pub settled: Vec<Option<Settled>>,
    /// By step: it waits for nothing but for somebody to decide over casualties.
    pub held: Vec<bool>,
    /// By step: see [`outside`].
    pub outside: Vec<u32>,
    /// Where attempts failed.
    pub attempts: Attempts,
}

/// How every step stands. `in_flight`: steps that the fold does not know to have begun, but that will have.
pub fn derive(plan: &Plan, state: &RunState, in_flight: impl Fn(StepIx) -> bool) -> Derived {
    let bars = Bars::of(plan, state);
    let mut derived = Derived::default();
    for (ix, step) in plan.iter() {
        let (mut holds, mut outside) = (false, 0);
        let own = match state.step(ix).status {
            Status::Succeeded => Some(Settled::Succeeded),
            Status::Skipped if state.step(ix).skipped_by.is_some() => {
                Some(Settled::SkippedByPerson)
            }
            Status::Skipped => Some(Settled::GuardFalse),
            Status::Running | Status::Backoff if state.is_given_back(step) => {
                Some(Settled::Excluded)
            }
            Status::Running | Status::Backoff => None,
            Status::Failed | Status::Rejected | Status::Open if state.is_excluded(step) => {
                Some(Settled::Excluded)
            }
            Status::Failed if step.optional => Some(Settled::OptionalFailed),
            Status::Failed => Some(Settled::Failed),
            Status::Rejected => Some(Settled::Rejected),
            Status::Open => None,
            Status::Pending if in_flight(ix) => None,
            Status::Pending => match pending(plan, step, &derived, bars.bar(plan, state, ix)) {
                Pending::Settled(how, kept_out) => {
                    outside = kept_out;
                    Some(how)
                }
                Pending::Held => {
                    holds = true;
                    None
                }
                Pending::Free | Pending::Waits => None,
            },
        };
        if let Some(how) = own {
            derived.attempts.note(plan, ix, how, state.step(ix).is_begun(), outside);
        }
        derived.outside.push(outside);
        derived.settled.push(own);
        derived.held.push(holds);
    }
    derived
}

enum Pending {
    Free,
    Waits,
    Held,
    /// And how many attempts around it what blocks it lies outside of.
    Settled(Settled, u32),
}

/// A step that will never begin is settled once the steps of its own machine before it are: nothing of that
/// machine goes on behind its back.
fn pending(plan: &Plan, step: &Step, derived: &Derived, bar: Option<Settled>) -> Pending {
    let (mut closed, mut casualty, mut waits, mut own_waits) = (false, false, false, false);
    let (mut never_entered, mut kept_out) = (false, 0);
    for (before, edge) in step.edges() {
        let own = plan.step(before).machine == step.machine;
        let from = derived.outside[before.at()];
        match derived.settled[before.at()] {
            None => {
                let held = derived.held[before.at()];
                waits |= !(held && edge == Edge::Follows);
                own_waits |= own && !held;
            }
            Some(how) => match passage(edge, how) {
                Passage::Closed => {
                    closed = true;
                    kept_out = kept_out.max(outside(plan, step, before, from));
                }
                Passage::Casualty => casualty = true,
                Passage::Open
                    if own
                        && is_doubtful(edge, how)
                        && is_never_entered(plan, &derived.attempts, before, step) =>
                {
                    never_entered = true;
                    kept_out = kept_out.max(outside(plan, step, before, from));
                }
                Passage::Open => {}
            },
        }
    }
    if bar.is_some() || closed {
        return if own_waits {
            Pending::Waits
        } else {
            Pending::Settled(bar.unwrap_or(Settled::Blocked), kept_out)
        };
    }
    if waits {
        return Pending::Waits;
    }
    if never_entered {
        return Pending::Settled(Settled::Blocked, kept_out);
    }
    let settled = |before: StepIx| derived.settled[before.at()];
    let holds = casualty && over(step, Casualties::of(plan, step, settled).count()) == Over::Hold;
    if holds { Pending::Held } else { Pending::Free }
}

/// Whether what an edge lets pass may come from an attempt that was never begun.
pub fn is_doubtful(edge: Edge, how: Settled) -> bool {
    edge == Edge::Follows && matches!(how, Settled::Blocked | Settled::Excluded)
}
