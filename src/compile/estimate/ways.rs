//! Which steps an estimate leaves out: handlers, for all goes well, and of two branches the one that is
//! not taken.

use std::collections::HashMap;

use crate::plan::graph::{Plan, index};
use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
use crate::plan::step::StepIx;
use crate::primitives::contract::Cost;

/// One way through the plan, as the steps that it leaves out.
#[derive(PartialEq)]
pub(super) struct Way(Vec<bool>);

impl Way {
    /// Whether it leads through a step.
    pub fn takes(&self, ix: StepIx) -> bool {
        !self.0[ix.at()]
    }

    fn leave_out(&mut self, scope: &Scope) {
        self.0[scope.first.at()..scope.end.at()].fill(true);
    }
}

/// The way through the longer branch of every condition, and the one through the other branches: a
/// machine may be down for longer there. A condition has one value for all machines under it.
pub(super) fn ways(plan: &Plan, costs: &[Cost]) -> [Way; 2] {
    let handlers = || Way(plan.steps.iter().map(|step| plan.is_in_handler(step)).collect());
    let [mut longer, mut other] = [handlers(), handlers()];
    // From the inside out: how long a branch is depends on those in it.
    for (when, otherwise) in branches(plan).into_iter().rev() {
        let seconds = |scope: &Scope| length_s(plan, costs, &longer, scope);
        let (taken, left) =
            if seconds(otherwise) > seconds(when) { (otherwise, when) } else { (when, otherwise) };
        longer.leave_out(left);
        other.leave_out(taken);
    }
    [longer, other]
}

/// Every `when` with its `otherwise`, an outer one before those in it.
fn branches(plan: &Plan) -> Vec<(&Scope, &Scope)> {
    let mut open: HashMap<(ScopeIx, StepIx), &Scope> = HashMap::new();
    let mut pairs = Vec::new();
    for scope in &plan.scopes {
        match &scope.kind {
            ScopeKind::When { is: true, .. } => {
                open.insert((scope.parent, scope.end), scope);
            }
            ScopeKind::When { is: false, cond } => {
                let before = open.remove(&(scope.parent, scope.first));
                let is_its = |when: &&Scope| matches!(&when.kind, ScopeKind::When { cond: known, .. } if known == cond);
                pairs.extend(before.filter(is_its).map(|when| (when, scope)));
            }
            _ => {}
        }
    }
    pairs
}

/// How long a branch takes by itself, seconds.
fn length_s(plan: &Plan, costs: &[Cost], way: &Way, scope: &Scope) -> f64 {
    let first = scope.first.at();
    let mut ends: Vec<f64> = Vec::with_capacity(scope.end.at() - first);
    for (at, step) in plan.steps.iter().enumerate().take(scope.end.at()).skip(first) {
        let inside = step.edges().filter(|(before, _)| before.at() >= first);
        let start = inside.map(|(before, _)| ends[before.at() - first]).fold(0.0, f64::max);
        let seconds = if way.takes(index(at)) { costs[at].seconds } else { 0.0 };
        ends.push(start + seconds);
    }
    ends.into_iter().fold(0.0, f64::max)
}
