//! The order of a runbook: the plan's own, cut into sheets. A sheet is what one machine does in one go, or what
//! many machines do alike without waiting for each other, so that a person may fill it row by row.

use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::base::{MachineName, StepId};
use crate::plan::graph::{Plan, index};
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::{Step, StepIx};
use crate::primitives::contract::ByHand;
use crate::render::steps::nameless;
use crate::render::words;

/// Steps that machines take alike.
pub struct Sheet<'a> {
    /// One row for each machine; a step without a machine is a row by itself.
    pub rows: Vec<Row<'a>>,
    /// Steps in a row.
    pub len: usize,
    /// The scopes that hold it together with other sheets, outermost first.
    pub shared: Vec<ScopeIx>,
    machines: BTreeSet<&'a MachineName>,
}

/// An unbroken run of a machine's steps.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Whose steps they are.
    pub machine: Option<&'a MachineName>,
    /// The place of the first.
    pub first: usize,
}

impl Row<'_> {
    /// The step at that place of the row.
    pub fn step(&self, at: usize) -> StepIx {
        index(self.first + at)
    }
}

/// Which machines the steps of a scope are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About<'a> {
    Nobody,
    One(&'a MachineName),
    Many,
}

impl<'a> About<'a> {
    fn and(self, machine: &'a MachineName) -> About<'a> {
        match self {
            About::Nobody => About::One(machine),
            About::One(known) if known == machine => self,
            _ => About::Many,
        }
    }
}

/// Cuts each wave into sheets.
pub struct Cutter<'a> {
    plan: &'a Plan,
    hands: &'a [ByHand],
    about: Vec<About<'a>>,
}

impl<'a> Cutter<'a> {
    /// For a plan; `hands` in step order.
    pub fn new(
        plan: &'a Plan,
        hands: &'a [ByHand],
        by_id: &HashMap<&StepId, StepIx>,
    ) -> Cutter<'a> {
        let mut about = vec![About::Nobody; plan.scopes.len()];
        for step in &plan.steps {
            let Some(machine) = &step.machine else { continue };
            for (scope, _) in plan.outwards(step.scope) {
                about[scope.at()] = about[scope.at()].and(machine);
            }
        }
        // A handler that only tells somebody is still its machine's handler.
        for (at, scope) in plan.scopes.iter().enumerate() {
            if about[at] != About::Nobody {
                continue;
            }
            about[at] = match &scope.kind {
                ScopeKind::Handler { of } | ScopeKind::Always { of } => about[of.at()],
                ScopeKind::When { cond, .. } => {
                    let read = cond.steps().into_iter().filter_map(|id| by_id.get(id));
                    let machines = read.filter_map(|ix| plan.step(*ix).machine.as_ref());
                    machines.fold(About::Nobody, About::and)
                }
                _ => About::Nobody,
            };
        }
        Cutter { plan, hands, about }
    }

    /// The sheets of a wave, in order.
    pub fn sheets(&self, wave: &[StepIx]) -> Vec<Sheet<'a>> {
        let mut sheets: Vec<Sheet<'a>> = Vec::new();
        let mut at = 0;
        while at < wave.len() {
            let first = wave[at];
            let machine = self.owner(self.plan.step(first));
            let shared = self.shared(first, machine);
            let same = |ix: &&StepIx| {
                let owner = self.owner(self.plan.step(**ix));
                machine.is_some() && owner == machine && self.shared(**ix, owner) == shared
            };
            let len = 1 + wave[at + 1..].iter().take_while(same).count();
            self.place(Row { machine, first: first.at() }, len, shared, &mut sheets);
            at += len;
        }
        sheets
    }

    /// Puts a run of steps into the last sheet, as far as it does the same, or begins a new one.
    fn place(&self, row: Row<'a>, len: usize, shared: Vec<ScopeIx>, sheets: &mut Vec<Sheet<'a>>) {
        let Some(machine) = row.machine else {
            sheets.push(Sheet { rows: vec![row], len, shared, machines: BTreeSet::new() });
            return;
        };
        let takes = |last: &&mut Sheet<'a>| {
            let like = last.rows[0];
            like.machine.is_some()
                && last.shared == shared
                && last.len <= len
                && !last.machines.contains(machine)
                && self.waits_for_none(last.rows[0].first, row, last.len)
                && self.alike(like, row, last.len, shared.len())
        };
        let Some(last) = sheets.last_mut().filter(takes) else {
            sheets.push(Sheet { rows: vec![row], len, shared, machines: [machine].into() });
            return;
        };
        last.machines.insert(machine);
        last.rows.push(row);
        let done = last.len;
        if done < len {
            let rest = Row { machine: row.machine, first: row.first + done };
            sheets.push(Sheet {
                rows: vec![rest],
                len: len - done,
                shared,
                machines: [machine].into(),
            });
        }
    }

    /// The machine that a step belongs to: its own, or that of the innermost scope around it that has any.
    fn owner(&self, step: &'a Step) -> Option<&'a MachineName> {
        let of_scope = || {
            let around = self.plan.outwards(step.scope).map(|(scope, _)| scope);
            let around = around.filter(|scope| *scope != ScopeIx::PLAN);
            let mut around = around.map(|scope| self.about[scope.at()]);
            match around.find(|about| *about != About::Nobody)? {
                About::One(machine) => Some(machine),
                About::Nobody | About::Many => None,
            }
        };
        step.machine.as_ref().or_else(of_scope)
    }

    /// The scopes around a step, outermost first.
    pub fn path(&self, ix: StepIx) -> Vec<ScopeIx> {
        let around = self.plan.outwards(self.plan.step(ix).scope).map(|(scope, _)| scope);
        let mut path: Vec<ScopeIx> = around.filter(|scope| *scope != ScopeIx::PLAN).collect();
        path.reverse();
        path
    }

    fn shared(&self, ix: StepIx, machine: Option<&MachineName>) -> Vec<ScopeIx> {
        let own = |scope: &ScopeIx| match self.about[scope.at()] {
            About::One(only) => Some(only) == machine,
            About::Nobody | About::Many => false,
        };
        let mut path = self.path(ix);
        let shared = path.iter().take_while(|scope| !own(scope)).count();
        path.truncate(shared);
        path
    }

    /// No step of the row waits for one of the rows above it.
    fn waits_for_none(&self, sheet: usize, row: Row<'_>, len: usize) -> bool {
        let mut edges =
            (0..len).flat_map(|at| self.plan.step(row.step(at)).edges()).map(|(ix, _)| ix.at());
        edges.all(|before| before < sheet || before >= row.first)
    }

    fn alike(&self, like: Row<'_>, row: Row<'_>, len: usize, outer: usize) -> bool {
        (0..len).all(|at| {
            let (a, b) = (like.step(at), row.step(at));
            self.same_step(a, b) && self.same_scopes(like, row, at, len, outer)
        })
    }

    fn same_step(&self, a: StepIx, b: StepIx) -> bool {
        let (x, y) = (self.plan.step(a), self.plan.step(b));
        let (one, other) = (&self.hands[a.at()], &self.hands[b.at()]);
        x.primitive == y.primitive
            && x.machine.is_some() == y.machine.is_some()
            && x.optional == y.optional
            && x.policy.timeout_ms == y.policy.timeout_ms
            && x.undoes.is_some() == y.undoes.is_some()
            && one.lines().eq(other.lines())
            && one.given.iter().map(|(name, _)| name).eq(other.given.iter().map(|(name, _)| name))
    }

    /// The scopes around two steps of rows, inside what their sheet shares, begin, end and read alike.
    fn same_scopes(
        &self,
        like: Row<'_>,
        row: Row<'_>,
        at: usize,
        len: usize,
        outer: usize,
    ) -> bool {
        if self.plan.step(like.step(at)).scope == self.plan.step(row.step(at)).scope {
            return true;
        }
        let (a, b) = (self.path(like.step(at)), self.path(row.step(at)));
        let same = |(a, b): (&ScopeIx, &ScopeIx)| {
            let (x, y) = (self.plan.scope(*a), self.plan.scope(*b));
            let ends = |end: StepIx, row: Row<'_>| end.at().wrapping_sub(row.first);
            let title = |scope, row: Row<'_>| {
                nameless(&words::heading(self.plan, scope, None), row.machine)
            };
            ends(x.first, like) == ends(y.first, row)
                && ends(x.end, like) == ends(y.end, row)
                && ends(y.end, row) <= len
                && title(*a, like) == title(*b, row)
        };
        a.len() == b.len() && a.iter().zip(&b).skip(outer).all(same)
    }
}
