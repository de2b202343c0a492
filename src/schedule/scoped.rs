//! Random plans with scopes on trial, as a tracer would write them, beside the naive specification.

use std::sync::Arc;

use crate::base::{MachineName, StepId};
use crate::plan::expr::Expr;
use crate::plan::graph::{Plan, index};
use crate::plan::scope::{Rules, Scope, ScopeIx, ScopeKind};
use crate::plan::settle::{Edge, Over, Passage, Settled, over, passage};
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::settled::is_doubtful;
use crate::run::state::Status;
use crate::schedule::trial::{Behaviour, step};

pub(super) const MACHINES: usize = 3;

pub(super) fn machine(m: usize) -> MachineName {
    MachineName::new(format!("m{m}")).unwrap()
}

/// Writes plans with the edges that a script's scopes mean.
#[derive(Default)]
pub(super) struct Weaver {
    pub(super) plan: Plan,
    pub(super) behaviours: Vec<Behaviour>,
    scope: ScopeIx,
    /// What the next step of each machine depends on.
    tails: [Vec<(StepIx, Edge)>; MACHINES],
    /// What only the next barrier depends on.
    loose: Vec<(StepIx, Edge)>,
}

impl Weaver {
    /// Opens a scope and gives its place; `close` ends it.
    pub(super) fn open(&mut self, kind: ScopeKind, rules: Rules) -> ScopeIx {
        let at = index(self.plan.steps.len());
        let scope = Scope { kind, parent: self.scope, first: at, end: at, rules };
        self.plan.scopes.push(scope);
        self.scope = ScopeIx(self.plan.scopes.len() as u32 - 1);
        self.scope
    }

    pub(super) fn close(&mut self) {
        let scope = &mut self.plan.scopes[self.scope.at()];
        scope.end = index(self.plan.steps.len());
        self.scope = scope.parent;
    }

    /// A step of a machine, after what was written before on it.
    pub(super) fn act(&mut self, m: usize, behaviour: Behaviour) -> StepIx {
        let edges = std::mem::take(&mut self.tails[m]);
        let ix = self.push(Some(m), Kind::Act, &edges, behaviour);
        self.tails[m] = vec![(ix, Edge::Needs)];
        ix
    }

    /// A barrier over every machine.
    pub(super) fn barrier(&mut self, args: crate::base::Json) -> StepIx {
        let mut edges = std::mem::take(&mut self.loose);
        for tail in &self.tails {
            edges.extend(tail.iter().map(|(ix, edge)| {
                let own = self.plan.step(*ix).machine.is_some();
                (*ix, if own && *edge == Edge::Needs { Edge::Waits } else { *edge })
            }));
        }
        let ix = self.push(None, Kind::Barrier, &edges, Behaviour::Works);
        self.plan.steps[ix.at()].args = args.into();
        self.tails = std::array::from_fn(|_| vec![(ix, Edge::Needs)]);
        ix
    }

    fn push(
        &mut self,
        m: Option<usize>,
        kind: Kind,
        edges: &[(StepIx, Edge)],
        behaviour: Behaviour,
    ) -> StepIx {
        let ix = index(self.plan.steps.len());
        let of = |wanted| {
            let mut all: Vec<_> =
                edges.iter().filter(|(_, edge)| *edge == wanted).map(|(ix, _)| *ix).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        self.plan.steps.push(Step {
            machine: m.map(machine),
            needs: of(Edge::Needs),
            waits: of(Edge::Waits),
            follows: of(Edge::Follows),
            scope: self.scope,
            ..step(ix.at(), kind)
        });
        self.behaviours.push(behaviour);
        ix
    }

    /// An attempt with its body; then handlers and clean-up for some machines (bits of `handled`, `always`).
    pub(super) fn attempt(
        &mut self,
        all: bool,
        then_continue: bool,
        rules: Rules,
        body: impl FnOnce(&mut Weaver),
        handled: [Option<Behaviour>; MACHINES],
        always: [Option<Behaviour>; MACHINES],
    ) -> ScopeIx {
        let before = self.tails.clone();
        let attempt = self.open(ScopeKind::Attempt { all, then_continue }, rules);
        let first = index(self.plan.steps.len());
        body(self);
        self.close();
        let inside = |(ix, _): &(StepIx, Edge)| *ix >= first;
        let ends: [Vec<(StepIx, Edge)>; MACHINES] =
            std::array::from_fn(|m| self.ends(first, Some(&machine(m))));
        let shared = self.ends(first, None);
        let every: Vec<_> = ends.iter().flatten().copied().collect();
        let mut after = self.tails.clone();
        if then_continue {
            after.iter_mut().flatten().filter(|one| inside(one)).for_each(|one| {
                one.1 = Edge::Follows;
            });
        }
        self.loose.retain(|_| !then_continue);
        self.open(ScopeKind::Handler { of: attempt }, Rules::default());
        let mut last = ends.clone();
        for (m, behaviour) in handled.into_iter().enumerate() {
            let Some(behaviour) = behaviour else { continue };
            if before[m] == self.tails[m] {
                continue;
            }
            self.tails[m] = if all { every.clone() } else { ends[m].clone() };
            self.tails[m].extend(shared.iter().copied());
            self.act(m, Behaviour::Works);
            let end = self.act(m, behaviour);
            last[m].push((end, Edge::Follows));
            if then_continue {
                after[m].push((end, Edge::Needs));
            } else {
                self.loose.push((end, Edge::Waits));
            }
        }
        self.close();
        self.open(ScopeKind::Always { of: attempt }, Rules::default());
        for (m, behaviour) in always.into_iter().enumerate() {
            let Some(behaviour) = behaviour else { continue };
            if before[m] == after[m] {
                continue;
            }
            self.tails[m] = last[m].clone();
            let end = self.act(m, behaviour);
            after[m].push((end, Edge::Needs));
        }
        self.close();
        self.tails = after;
        attempt
    }

    /// The steps of a machine since then that no later one of it needs.
    fn ends(&self, first: StepIx, machine: Option<&MachineName>) -> Vec<(StepIx, Edge)> {
        let own = || {
            let since = self.plan.iter().skip(first.at());
            since.filter(|(_, step)| step.machine.as_ref() == machine)
        };
        let last = |ix: &StepIx| !own().any(|(_, step)| step.needs.contains(ix));
        own().map(|(ix, _)| ix).filter(last).map(|ix| (ix, Edge::Follows)).collect()
    }

    /// A guarded step of a machine, on what its last step put out.
    pub(super) fn when(&mut self, m: usize, is: bool, behaviour: Behaviour) {
        let reads = self.tails[m].iter().find(|(ix, edge)| {
            *edge == Edge::Needs && self.plan.step(*ix).machine.is_some() && ix.at() > 0
        });
        let Some((read, _)) = reads.copied() else { return };
        let step = &self.plan.step(read);
        if step.scope != self.scope {
            return;
        }
        let output = "even".into();
        let cond = Arc::new(Expr::Output { of: step.id.clone(), output });
        self.open(ScopeKind::When { cond, is }, Rules::default());
        self.act(m, behaviour);
        self.close();
    }
}

/// What a step that works puts out.
pub(super) fn outputs(step: &StepId) -> crate::base::Json {
    let number: usize = step.as_str().trim_start_matches('s').parse().unwrap();
    serde_json::json!({ "even": number.is_multiple_of(2) })
}

/// A random plan, and how its steps behave.
pub(super) fn random(genes: &[u8], halting: bool) -> Weaver {
    let mut weaver = Weaver::default();
    let mut genes = genes.iter().copied();
    if halting && genes.next().is_some_and(|gene| gene % 4 == 0) {
        weaver.plan.scopes[0].rules.halt = true;
    }
    while let Some(gene) = genes.next() {
        write(&mut weaver, gene, &mut genes, halting, 0);
    }
    weaver
}

fn behaves(gene: u8) -> Behaviour {
    match gene % 8 {
        0 => Behaviour::Broken,
        1 => Behaviour::Flaky(1),
        _ => Behaviour::Works,
    }
}

fn write(
    weaver: &mut Weaver,
    gene: u8,
    genes: &mut impl Iterator<Item = u8>,
    halting: bool,
    depth: usize,
) {
    let mut next = || genes.next().unwrap_or(7);
    let m = usize::from(gene / 16) % MACHINES;
    match gene % 16 {
        0..=6 => {
            weaver.act(m, behaves(next()));
        }
        7 | 8 => {
            weaver.barrier(match next() % 6 {
                0 => serde_json::json!({ "on_failed": "go_on" }),
                1 => serde_json::json!({ "on_failed": "fail" }),
                2 => serde_json::json!({ "max_failed": 1 }),
                3 => serde_json::json!({ "max_failed": 1, "on_failed": "fail" }),
                _ => serde_json::json!({}),
            });
        }
        9..=11 => weaver.when(m, gene.is_multiple_of(2), behaves(next())),
        _ if depth < 2 => {
            let (shape, who, long) = (next(), next(), 1 + next() % 5);
            let all = halting && shape % 4 == 0;
            let rules = Rules { halt: halting && shape % 4 == 1, ..Rules::default() };
            let mut some =
                |bits: u8| std::array::from_fn(|m| (bits >> m & 1 == 1).then(|| behaves(next())));
            let (handled, always) = (some(who), some(who >> 4));
            let body = |weaver: &mut Weaver| {
                for _ in 0..long {
                    let Some(gene) = genes.next() else { return };
                    // Its own type would nest without end.
                    let mut rest: Box<dyn Iterator<Item = u8>> = Box::new(genes.by_ref().take(6));
                    write(weaver, gene, &mut rest, halting, depth + 1);
                }
            };
            weaver.attempt(all, shape & 16 != 0, rules, body, handled, always);
        }
        _ => {}
    }
}

/// What a run of a plan that never halts must come to, one step after the other.
pub(super) fn specified(plan: &Plan, behaviours: &[Behaviour]) -> Vec<Status> {
    let mut naive = Naive { plan, settled: Vec::new(), statuses: Vec::new(), held: Vec::new() };
    for (ix, step) in plan.iter() {
        let (status, how, held) = naive.one(step, behaviours[ix.at()]);
        naive.statuses.push(status);
        naive.settled.push(how);
        naive.held.push(held);
    }
    naive.statuses
}

struct Naive<'a> {
    plan: &'a Plan,
    settled: Vec<Option<Settled>>,
    statuses: Vec<Status>,
    held: Vec<bool>,
}

impl Naive<'_> {
    fn one(&self, step: &Step, behaviour: Behaviour) -> (Status, Option<Settled>, bool) {
        let pending = |how, held| (Status::Pending, how, held);
        let unsettled = |before: StepIx| self.settled[before.at()].is_none();
        let own = |before: StepIx| self.plan.step(before).machine == step.machine;
        let passes = |(before, edge): (StepIx, Edge)| {
            self.settled[before.at()].map(|how| passage(edge, how))
        };
        if step.edges().any(|one| passes(one) == Some(Passage::Closed)) {
            let goes_on = step.edges().any(|(b, _)| own(b) && unsettled(b) && !self.held[b.at()]);
            return pending((!goes_on).then_some(Settled::Blocked), false);
        }
        let still = |(b, edge): (StepIx, Edge)| {
            unsettled(b) && !(edge == Edge::Follows && self.held[b.at()])
        };
        if step.edges().any(still) {
            return pending(None, false);
        }
        if step.follows.iter().any(|b| own(*b) && self.was_never_entered(*b, step)) {
            return pending(Some(Settled::Blocked), false);
        }
        let mut lost: Vec<_> = step
            .waits
            .iter()
            .filter(|b| passes((**b, Edge::Waits)) == Some(Passage::Casualty))
            .map(|b| self.plan.step(*b).machine.clone().ok_or(*b))
            .collect();
        lost.sort();
        lost.dedup();
        let over = over(step, lost.len());
        if over == Over::Hold {
            return pending(None, true);
        }
        if self.is_left_out(step) {
            return (Status::Skipped, Some(Settled::GuardFalse), false);
        }
        let acts = step.kind == Kind::Act && matches!(behaviour, Behaviour::Broken);
        if acts || over == Over::Fail {
            (Status::Failed, Some(Settled::Failed), false)
        } else {
            (Status::Succeeded, Some(Settled::Succeeded), false)
        }
    }

    fn is_left_out(&self, step: &Step) -> bool {
        self.plan.guards(step).iter().any(|(_, scope)| match &scope.kind {
            ScopeKind::When { cond, is } => {
                cond.holds(&|step| Some(Arc::new(outputs(step)))) != Ok(*is)
            }
            ScopeKind::Handler { of } => !self.failed(*of, step.machine.as_ref()),
            _ => false,
        })
    }

    /// The steps of an attempt's body whose failures are its own.
    fn body(&self, attempt: ScopeIx) -> impl Iterator<Item = (usize, &Step, bool)> {
        let known = self.plan.steps[..self.settled.len()].iter().enumerate();
        known.filter_map(move |(at, step)| {
            let around: Vec<_> = self.plan.attempts_around(step.scope).collect();
            let depth = around.iter().position(|(at, _)| *at == attempt)?;
            let goes_on = |(_, scope): &(ScopeIx, &Scope)| {
                matches!(scope.kind, ScopeKind::Attempt { then_continue: true, .. })
            };
            Some((at, step, !around[..depth].iter().any(goes_on)))
        })
    }

    fn failed(&self, attempt: ScopeIx, machine: Option<&MachineName>) -> bool {
        let failed = |at: usize| self.settled[at] == Some(Settled::Failed);
        let for_one = |wanted: &MachineName| {
            let own = || self.body(attempt).filter(|(_, s, _)| s.machine.as_ref() == Some(wanted));
            let stuck = |at: usize| self.settled[at] == Some(Settled::Blocked);
            let begun = own()
                .any(|(at, ..)| !matches!(self.statuses[at], Status::Pending | Status::Skipped));
            own().any(|(at, _, counts)| counts && (failed(at) || (begun && stuck(at))))
        };
        let shared =
            self.body(attempt).any(|(at, s, counts)| counts && s.machine.is_none() && failed(at));
        let machines = (0..MACHINES).map(self::machine);
        shared
            || match machine {
                Some(machine) => for_one(machine),
                None => machines.into_iter().any(|machine| for_one(&machine)),
            }
    }

    /// Nothing of the machine began in the attempt that this edge leaves, and a cause lies before it: whatever
    /// else failed in there for everybody, this machine had no part in it.
    fn was_never_entered(&self, before: StepIx, step: &Step) -> bool {
        let inside: Vec<_> = self.plan.attempts_around(step.scope).map(|(at, _)| at).collect();
        let mut left: Vec<_> =
            self.plan.attempts_around(self.plan.step(before).scope).map(|(at, _)| at).collect();
        left.retain(|at| !inside.contains(at));
        let Some(attempt) = left.last() else { return false };
        let mut own = self
            .body(*attempt)
            .filter(|(_, other, _)| step.machine.is_none() || other.machine == step.machine);
        let idle =
            own.all(|(at, ..)| matches!(self.statuses[at], Status::Pending | Status::Skipped));
        let is_in = |ix: StepIx| {
            self.plan.attempts_around(self.plan.step(ix).scope).any(|(at, _)| at == *attempt)
        };
        let is_kept_out = |at: usize| {
            self.settled[at] == Some(Settled::Blocked)
                && self.causes(index(at)).iter().any(|cause| !is_in(*cause))
        };
        let mut stuck = self.body(*attempt).filter(|(_, other, _)| other.machine == step.machine);
        self.settled[before.at()] == Some(Settled::Blocked)
            && idle
            && stuck.any(|(at, ..)| is_kept_out(at))
    }

    /// The steps that failed and so, over however many others, block this one.
    fn causes(&self, blocked: StepIx) -> Vec<StepIx> {
        let closes = |(before, edge): &(StepIx, Edge)| {
            self.settled[before.at()].is_some_and(|how| {
                let never = is_doubtful(*edge, how)
                    && self.plan.step(*before).machine == self.plan.step(blocked).machine;
                passage(*edge, how) == Passage::Closed || never
            })
        };
        let closed = self.plan.step(blocked).edges().filter(closes);
        closed
            .flat_map(|(before, _)| match self.settled[before.at()] {
                Some(Settled::Blocked) => self.causes(before),
                _ => vec![before],
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::run::outcome::Outcome;
    use crate::schedule::trial::Trial;

    fn trial(weaver: &Weaver, seed: u64) -> Trial {
        let mut trial = Trial::new(Arc::new(weaver.plan.clone()), seed);
        trial.behaviours.clone_from(&weaver.behaviours);
        trial
    }

    /// Processes that die after that many records each, until one ends the run.
    fn to_the_end(trial: &mut Trial, crash_at: usize) -> Outcome {
        let mut ended = trial.process(Some(crash_at));
        for more in 1..100 {
            if let Some(outcome) = ended {
                return outcome;
            }
            let over = trial.state().outcome.filter(|outcome| outcome.is_over());
            ended = over.or_else(|| trial.resume((more < 3).then_some(crash_at + 5 * more)));
        }
        panic!("it never ends");
    }

    /// `PROPTEST_CASES` may ask for more.
    fn config() -> ProptestConfig {
        let asked = ProptestConfig::default();
        let cases = asked.cases.max(400);
        // Some plans have nothing to do.
        let max_global_rejects = asked.max_global_rejects.max(cases);
        ProptestConfig { failure_persistence: None, cases, max_global_rejects, ..asked }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn scopes_mean_what_is_specified(
            genes in proptest::collection::vec(any::<u8>(), 4..80),
            seed in any::<u64>(),
            concurrency in 1_u32..5,
        ) {
            let weaver = random(&genes, false);
            prop_assume!(!weaver.plan.nothing_to_do());
            let mut trial = trial(&weaver, seed);
            trial.inventory.limits.concurrency = concurrency;
            trial.process(None).unwrap();
            let specified = specified(&weaver.plan, &weaver.behaviours);
            prop_assert_eq!(trial.statuses(), specified);
        }

        #[test]
        fn a_process_may_die_anywhere_in_a_scope(
            genes in proptest::collection::vec(any::<u8>(), 4..50),
            seed in any::<u64>(),
            crash_at in 2_usize..60,
        ) {
            let weaver = random(&genes, false);
            prop_assume!(!weaver.plan.nothing_to_do());
            let outcome = trial(&weaver, seed).process(None);
            let mut dying = trial(&weaver, seed);
            prop_assert_eq!(Some(to_the_end(&mut dying, crash_at)), outcome);
            prop_assert_eq!(dying.statuses(), specified(&weaver.plan, &weaver.behaviours));
        }

        #[test]
        fn what_halts_begins_nothing_and_rolls_back_what_it_began(
            genes in proptest::collection::vec(any::<u8>(), 4..60),
            seed in any::<u64>(),
            crash_at in 2_usize..80,
        ) {
            let weaver = random(&genes, true);
            prop_assume!(!weaver.plan.nothing_to_do());
            // The trial itself checks every beginning.
            let mut trial = trial(&weaver, seed);
            to_the_end(&mut trial, crash_at);
            prop_assert_eq!(handlers_that_lie(&weaver.plan, &trial.statuses()), Vec::<String>::new());
        }
    }

    /// Handlers that ran though nothing failed for their machine, or did not though something had.
    fn handlers_that_lie(plan: &Plan, statuses: &[Status]) -> Vec<String> {
        let lies = |step: &Step, at: usize| {
            let of = plan.outwards(step.scope).find_map(|(_, scope)| match scope.kind {
                ScopeKind::Handler { of } => Some(of),
                _ => None,
            });
            let Some(of) = of else { return false };
            let ScopeKind::Attempt { all, .. } = plan.scope(of).kind else { return false };
            // An attempt in it that goes on keeps its failures to itself, not what it began.
            let handled = |other: &Step| {
                let mut around = plan.attempts_around(other.scope).take_while(|(at, _)| *at != of);
                around.any(|(_, scope)| {
                    matches!(scope.kind, ScopeKind::Attempt { then_continue: true, .. })
                })
            };
            let concerns = |other: &Step| {
                let mut inside = plan.attempts_around(other.scope);
                let touches = all || other.machine.is_none() || other.machine == step.machine;
                touches && inside.any(|(at, _)| at == of)
            };
            let body = || plan.iter().filter(|(_, other)| concerns(other));
            let fails = |ix: StepIx| statuses[ix.at()] == Status::Failed;
            let failed = body().any(|(ix, other)| fails(ix) && !handled(other));
            let ran = matches!(statuses[at], Status::Succeeded | Status::Failed);
            let own = body().filter(|(_, other)| other.machine == step.machine);
            let (begun, left): (Vec<_>, Vec<_>) =
                own.partition(|(ix, _)| statuses[ix.at()] != Status::Pending);
            let stuck = !begun.is_empty() && !left.is_empty();
            (ran && !failed && !stuck) || (statuses[at] == Status::Skipped && failed)
        };
        let lying = plan.iter().filter(|(ix, step)| lies(step, ix.at()));
        lying.map(|(_, step)| step.id.to_string()).collect()
    }
}
