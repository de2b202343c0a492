//! Where one machine may be, at one point of the plan.
//!
//! Its `live` states are those in which its last step let the next one start: it succeeded, or it was
//! `optional` and failed. Its `stopped` states are all others in which the chain may have come to rest.
//! A guard forks the live states and joins them behind it. An attempt keeps the stopped states of its
//! body apart: its handler starts from them, and what follows starts from the body's success, with
//! `then_continue` also from the handler's. Clean-up starts from all of them, each remembering whether
//! its chain goes on afterwards.

use crate::base::MachineName;
use crate::plan::graph::{Plan, index};
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::settle::{Over, over};
use crate::plan::step::{Kind, Step, StepIx};
use crate::verify::deleted::Deleted;
use crate::verify::guards::{Guard, Table};
use crate::verify::state::{State, StateSet};
use crate::verify::step::SnapshotUse;

/// Clean-ups inside one another that are told apart; of deeper ones every state goes on.
const ASIDE_MAX: u8 = 8;

/// One machine on its way through the plan.
#[derive(Default)]
pub(super) struct Flow {
    pub live: StateSet,
    pub stopped: StateSet,
    /// What the next step must need for only the live states to lead to it.
    chain: Vec<StepIx>,
    /// The innermost scope of its last step.
    scope: ScopeIx,
    /// Scopes it is in, outermost first; an attempt stays until its handlers and clean-up are behind.
    frames: Vec<Frame>,
    /// From this step on, no live state has the source running: a snapshot taken since is of the last
    /// moment.
    quiet_since: Option<StepIx>,
    /// What became of its snapshots.
    pub deleted: Deleted,
    /// The gate that opened last before this point.
    pub gate: Option<StepIx>,
    pub host_asked: bool,
}

struct Frame {
    scope: ScopeIx,
    kind: Inside,
}

enum Inside {
    Other,
    When { guard: Guard, bypass: StateSet, quiet: Option<StepIx> },
    Parallel { fork: Vec<StepIx>, stopped: StateSet, ends: Vec<StepIx> },
    Attempt(Box<Attempt>),
}

/// An attempt, as far as it got.
struct Attempt {
    phase: Phase,
    then_continue: bool,
    /// It is for all, and others have steps in it: their failure is this machine's too.
    for_all: bool,
    /// Its last step that fails for everybody.
    shared: Option<StepIx>,
    /// The last such step that this machine's steps need: their success implies its.
    covered: Option<StepIx>,
    /// What had come to rest before it.
    outer: StateSet,
    /// The body succeeded.
    success: StateSet,
    /// The body failed (until a handler takes these on), or its handler did.
    failures: StateSet,
    /// What a step behind it must need: the body's end, or with `then_continue` the handler's.
    chain: Vec<StepIx>,
    quiet: Option<StepIx>,
    /// A machine that was rolled back since another one failed goes on behind it all the same.
    exposed: bool,
    /// None of the body's steps is this machine's: what stopped it before does not keep its clean-up out.
    absent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Body,
    Handler,
    Always,
}

impl Flow {
    /// Puts a machine at the beginning of the plan. The room that the one before it took is used again.
    pub fn begin(&mut self, state: State) {
        self.live.clear();
        self.live.insert(state);
        self.stopped.clear();
        self.chain.clear();
        self.scope = ScopeIx::PLAN;
        self.frames.clear();
        self.quiet_since = state.is_quiet().then(|| index(0));
        self.deleted.clear();
        self.gate = None;
        self.host_asked = false;
    }

    pub fn look_at_quiet(&mut self, next: StepIx) {
        if !self.live.iter().all(State::is_quiet) {
            self.quiet_since = None;
        } else if self.quiet_since.is_none() {
            self.quiet_since = Some(next);
        }
    }

    pub fn snapshot_use(
        &self,
        plan: &Plan,
        table: &Table<'_>,
        snapshot: StepIx,
        user: &Step,
    ) -> SnapshotUse {
        SnapshotUse {
            is_current: self.quiet_since.is_some_and(|since| since <= snapshot),
            deleted_by: self.deleted.before(plan, table, snapshot, user),
        }
    }

    /// Brings the states to just before a step: scopes left and entered, and a step that does not need
    /// what came before it starts from where that stopped, too.
    pub fn arrive(
        &mut self,
        plan: &Plan,
        table: &Table<'_>,
        machine: &MachineName,
        ix: StepIx,
        step: &Step,
    ) {
        if step.scope == self.scope {
            return self.follow(plan, ix, step);
        }
        self.scope = step.scope;
        let mut path: Vec<ScopeIx> = plan.outwards(step.scope).map(|(ix, _)| ix).collect();
        path.pop();
        path.reverse();
        let (kept, covered) = self.common(plan, &path);
        while self.frames.len() > kept {
            self.close(table, machine, ix);
        }
        let mut followed = false;
        for scope in path.drain(..).skip(covered) {
            followed |= self.turn(plan, table, machine, scope, (ix, step));
            if !followed {
                self.follow(plan, ix, step);
                followed = true;
            }
            self.open(plan, table, machine, (scope, ix));
        }
        if !followed {
            self.follow(plan, ix, step);
        }
    }

    /// How many frames stay, and how much of the path they cover.
    fn common(&self, plan: &Plan, path: &[ScopeIx]) -> (usize, usize) {
        let mut at = 0;
        for (kept, frame) in self.frames.iter().enumerate() {
            let Some(next) = path.get(at) else { return (kept, at) };
            if frame.scope == *next {
                at += 1;
            } else if cleans_up(plan, *next) != Some(frame.scope) {
                return (kept, at);
            }
        }
        (self.frames.len(), at)
    }

    /// Joins what a step that does not follow the chain may start from.
    fn follow(&mut self, plan: &Plan, ix: StepIx, step: &Step) {
        if starts_after(plan, step, &self.chain) {
            return;
        }
        let inside = self.frames.iter().rev().find_map(|frame| match &frame.kind {
            Inside::Parallel { fork, stopped, .. } => Some((fork, stopped)),
            _ => None,
        });
        if let Some((fork, outer)) = inside {
            if starts_after(plan, step, fork) {
                // Side by side with the step before: nothing of that one's outcome changes the machine.
                if !step.effect.changes_machine() {
                    return;
                }
            } else {
                self.live.join(outer);
            }
        }
        self.live.join(&self.stopped);
        self.look_at_quiet(ix);
    }

    /// From an attempt's body to its handler, and on to its clean-up. Says whether it turned.
    fn turn(
        &mut self,
        plan: &Plan,
        table: &Table<'_>,
        machine: &MachineName,
        scope: ScopeIx,
        (ix, step): (StepIx, &Step),
    ) -> bool {
        let Some(of) = cleans_up(plan, scope) else { return false };
        if self.frames.last().is_none_or(|frame| frame.scope != of) {
            // None of the attempt's own steps is this machine's.
            self.follow(plan, ix, step);
            self.open(plan, table, machine, (of, ix));
            if let Some(Frame { kind: Inside::Attempt(attempt), .. }) = self.frames.last_mut() {
                attempt.absent = true;
            }
        }
        let is_handler = matches!(plan.scope(scope).kind, ScopeKind::Handler { .. });
        let depth = u8::try_from(self.frames.len()).unwrap_or(u8::MAX);
        let Some(Frame { kind: Inside::Attempt(attempt), .. }) = self.frames.last_mut() else {
            return false;
        };
        let bit = bit(depth);
        let aside = |state: &State| State { aside: state.aside | bit, ..*state };
        let now = (&mut self.live, &mut self.stopped, &mut self.chain, self.quiet_since);
        match (attempt.phase, is_handler) {
            (Phase::Handler, true) | (Phase::Always, false) => return false,
            (Phase::Body, true) => {
                attempt.end_body(now);
                self.live = std::mem::take(&mut attempt.failures);
                attempt.phase = Phase::Handler;
            }
            // A handler written behind the clean-up: everything may lead to it.
            (Phase::Always, true) if attempt.then_continue => self.live.join(&self.stopped),
            (Phase::Always, true) => self.stopped.iter().for_each(|s| self.live.insert(aside(s))),
            (Phase::Body | Phase::Handler, false) => {
                let (on, off) = attempt.outcome(now);
                self.live = on;
                off.iter().for_each(|s| self.live.insert(aside(s)));
                if attempt.absent {
                    attempt.outer.iter().for_each(|s| self.live.insert(aside(s)));
                }
                self.quiet_since = later(self.quiet_since, attempt.quiet);
                attempt.phase = Phase::Always;
            }
        }
        self.chain.clear();
        self.look_at_quiet(ix);
        true
    }

    fn open(
        &mut self,
        plan: &Plan,
        table: &Table<'_>,
        machine: &MachineName,
        (scope, ix): (ScopeIx, StepIx),
    ) {
        let kind = match &plan.scope(scope).kind {
            ScopeKind::When { .. } => match table.guard(scope) {
                Some(guard) => {
                    let (inside, bypass) = fork(&self.live, guard);
                    self.live = inside;
                    Inside::When { guard, bypass, quiet: self.quiet_since }
                }
                None => Inside::Other,
            },
            ScopeKind::Parallel => Inside::Parallel {
                fork: self.chain.clone(),
                stopped: std::mem::take(&mut self.stopped),
                ends: Vec::new(),
            },
            ScopeKind::Attempt { all, then_continue } => Inside::Attempt(Box::new(Attempt {
                phase: Phase::Body,
                then_continue: *then_continue,
                for_all: *all && table.is_of_others(scope, machine),
                shared: table.shared(scope),
                covered: None,
                outer: std::mem::take(&mut self.stopped),
                success: StateSet::default(),
                failures: StateSet::default(),
                chain: Vec::new(),
                quiet: None,
                exposed: false,
                absent: false,
            })),
            ScopeKind::Plan
            | ScopeKind::Group { .. }
            | ScopeKind::Handler { .. }
            | ScopeKind::Always { .. } => Inside::Other,
        };
        self.frames.push(Frame { scope, kind });
        self.look_at_quiet(ix);
    }

    fn close(&mut self, table: &Table<'_>, machine: &MachineName, ix: StepIx) {
        let depth = u8::try_from(self.frames.len()).unwrap_or(u8::MAX);
        let frame = self.frames.pop().expect("BUG: a frame is closed once");
        match frame.kind {
            Inside::Other => {}
            Inside::When { guard, bypass, quiet } => {
                if !bypass.is_empty() {
                    self.quiet_since = later(self.quiet_since, quiet);
                }
                self.live.join(&bypass);
                if table.is_met_last(machine, guard.cond, frame.scope) {
                    let forget = |s: State| State { guards: s.guards.without(guard.cond), ..s };
                    self.live = self.live.map(forget);
                    self.stopped = self.stopped.map(forget);
                }
            }
            Inside::Parallel { fork, stopped, ends } => {
                self.stopped.join(&stopped);
                self.chain = if ends.is_empty() { fork } else { ends };
            }
            Inside::Attempt(attempt) => self.finish(*attempt, depth),
        }
        self.look_at_quiet(ix);
    }

    /// Behind an attempt: its success goes on, and with `then_continue` what was handled.
    fn finish(&mut self, mut attempt: Attempt, depth: u8) {
        let bit = bit(depth);
        if attempt.phase == Phase::Always {
            let went = std::mem::take(&mut self.live);
            for state in went.iter() {
                let onwards = State { aside: state.aside & !bit, ..*state };
                if state.aside & bit == 0 {
                    self.live.insert(onwards);
                } else {
                    self.stopped.insert(onwards);
                }
            }
            attempt.chain.append(&mut self.chain);
        } else {
            let now = (&mut self.live, &mut self.stopped, &mut self.chain, self.quiet_since);
            let (on, off) = attempt.outcome(now);
            self.live = on;
            self.stopped.join(&off);
            self.quiet_since = attempt.quiet;
        }
        self.stopped.join(&attempt.outer);
        self.chain = attempt.chain;
    }

    /// Takes note that a step was placed behind what came before.
    pub fn placed(&mut self, plan: &Plan, ix: StepIx, step: &Step) {
        for frame in &mut self.frames {
            match &mut frame.kind {
                Inside::Parallel { ends, .. } => {
                    ends.retain(|end| step.needs.binary_search(end).is_err());
                    ends.push(ix);
                }
                Inside::Attempt(attempt) if attempt.phase == Phase::Body => {
                    let shared = step.needs.iter().filter(|at| plan.step(**at).machine.is_none());
                    attempt.covered = attempt.covered.max(shared.max().copied());
                }
                _ => {}
            }
        }
        self.chain.clear();
        self.chain.push(ix);
    }

    /// Something else than the chain may keep the step from beginning.
    pub fn may_be_blocked(&self, table: &Table<'_>, step: &Step) -> bool {
        !step.waits.is_empty()
            || step.needs.iter().any(|needed| !self.chain.contains(needed))
            || (step.scope != ScopeIx::PLAN && table.is_halting(step.scope))
    }
}

/// Where a flow is: live and stopped states, chain, and since when it is quiet.
type Now<'a> = (&'a mut StateSet, &'a mut StateSet, &'a mut Vec<StepIx>, Option<StepIx>);

impl Attempt {
    fn end_body(&mut self, (live, stopped, chain, quiet): Now<'_>) {
        self.success = std::mem::take(live);
        self.failures = std::mem::take(stopped);
        self.chain = std::mem::take(chain);
        self.quiet = quiet;
        let apart = self.shared.filter(|shared| self.covered.is_none_or(|known| known < *shared));
        if self.for_all || apart.is_some() {
            self.failures.join(&self.success);
        }
        // Behind the attempt a step needs that one too; else what was handled leads to it.
        self.chain.extend(apart);
        self.exposed = self.for_all && apart.is_none();
    }

    /// What goes on behind it, and what has come to rest.
    fn outcome(&mut self, now: Now<'_>) -> (StateSet, StateSet) {
        let handled = if self.phase == Phase::Body {
            self.end_body(now);
            if self.then_continue {
                // Nothing handles it: it goes on from where it failed.
                self.chain.clear();
            }
            std::mem::take(&mut self.failures)
        } else {
            let (live, stopped, chain, quiet) = now;
            self.failures = std::mem::take(stopped);
            if self.then_continue {
                self.chain = std::mem::take(chain);
                self.quiet = later(self.quiet, quiet);
            }
            std::mem::take(live)
        };
        let mut on = std::mem::take(&mut self.success);
        let mut off = std::mem::take(&mut self.failures);
        if self.then_continue || self.exposed {
            on.join(&handled);
        }
        if self.exposed && !self.then_continue {
            // The next step only follows the handler: its failure lets it begin, too.
            on.join(&off);
        }
        if !self.then_continue {
            off.join(&handled);
        }
        (on, off)
    }
}

/// The attempt whose handler or clean-up a scope is.
fn cleans_up(plan: &Plan, scope: ScopeIx) -> Option<ScopeIx> {
    match plan.scope(scope).kind {
        ScopeKind::Handler { of } | ScopeKind::Always { of } => Some(of),
        _ => None,
    }
}

/// The states in which the guard lets in, and those in which it does not.
fn fork(live: &StateSet, guard: Guard) -> (StateSet, StateSet) {
    let (mut inside, mut bypass) = (StateSet::default(), StateSet::default());
    for state in live.iter() {
        let with = |value| State { guards: state.guards.with(guard.cond, value), ..*state };
        match state.guards.value(guard.cond) {
            Some(value) if value == guard.is => inside.insert(*state),
            Some(_) => bypass.insert(*state),
            None => {
                inside.insert(with(guard.is));
                bypass.insert(with(!guard.is));
            }
        }
    }
    (inside, bypass)
}

/// Quiet on both ways: since the later of the two.
fn later(one: Option<StepIx>, other: Option<StepIx>) -> Option<StepIx> {
    one.zip(other).map(|(a, b)| a.max(b))
}

fn bit(depth: u8) -> u8 {
    if depth < ASIDE_MAX { 1 << depth } else { 0 }
}

/// The step starts only if all of `chain` let it: directly, or through one step between (a barrier that
/// needs it, or does not go on without it). An edge farther away is not looked for: the answer is then
/// the careful one.
fn starts_after(plan: &Plan, step: &Step, chain: &[StepIx]) -> bool {
    chain.iter().all(|last| {
        let has = |edges: &[StepIx]| edges.binary_search(last).is_ok();
        let through = |between: &Step| {
            let stays = || between.kind == Kind::Barrier && over(between, 1) != Over::GoOn;
            has(&between.needs) || (has(&between.waits) && stays())
        };
        has(&step.needs) || step.needs.iter().any(|between| through(plan.step(*between)))
    })
}
