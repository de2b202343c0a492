//! Order: what a step waits for now, and did not, where both plans have both of them.

use std::collections::BTreeSet;

use crate::base::{MachineName, StepId};
use crate::plan::graph::Plan;
use crate::plan::step::{Kind, Step, StepIx};
use crate::render::change::Edition;
use crate::render::change::entries::{self, Change, Told};
use crate::render::change::steps::Same;

/// Differences of order between machines, and between machines and gates. Of one machine's own steps
/// those are told that moved; where no step came, went or moved, every edge is.
pub(super) fn order(old: &Edition<'_>, new: &Edition<'_>, same: &Same<'_>) -> Vec<Change> {
    let before = barriers(old.plan, |ix| same.to_new.contains_key(&ix));
    let after = barriers(new.plan, |ix| same.to_old.contains_key(&ix));
    let whole = same.touched.is_empty();
    let mut told = Told::default();
    for (ix, step) in new.plan.iter() {
        let Some(was) = same.to_old.get(&ix) else { continue };
        let mut tell = |kind, fill: &dyn Fn(Change) -> Change| {
            let change = fill(Change::new(kind, step.primitive).at(&step.origin.at));
            told.tell(change, step.machine.as_ref().map(MachineName::as_str), Some(&step.id));
        };
        let barrier = before[was.at()].map(|at| same.to_new[&at]);
        let other_gate = step.machine.is_some() && barrier != after[ix.at()];
        if other_gate {
            let shown = |at: Option<StepIx>| at.map(|at| format!("`{}`", new.plan.step(at).id));
            let (was, is) = (shown(barrier), shown(after[ix.at()]));
            tell(entries::Kind::Gate, &|change| Change {
                before: was.clone().map(Into::into),
                after: is.clone().map(Into::into),
                ..change
            });
        }
        let all = whole && !other_gate;
        let others = edges(old.plan, old.plan.step(*was), all);
        let others = others.into_iter().filter_map(|at| same.to_new.get(&at).copied());
        let others: BTreeSet<StepIx> = others.collect();
        let now: BTreeSet<StepIx> = edges(new.plan, step, all)
            .into_iter()
            .filter(|at| same.to_old.contains_key(at))
            .collect();
        let (gone, come) =
            (difference(new.plan, &others, &now), difference(new.plan, &now, &others));
        if !gone.is_empty() {
            tell(entries::Kind::Order, &|change| change.removed(some(&gone)));
        }
        if !come.is_empty() {
            tell(entries::Kind::Order, &|change| change.added(some(&come)));
        }
    }
    told.changes()
}

/// Most steps that are named in one line.
const NAMED_MAX: usize = 3;

/// Some ids, the rest counted.
pub(super) fn some(ids: &[&StepId]) -> String {
    let named: Vec<&str> = ids.iter().take(NAMED_MAX).map(|id| id.as_str()).collect();
    let more = ids.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", named.join(", "))
}

fn difference<'a>(
    plan: &'a Plan,
    these: &BTreeSet<StepIx>,
    those: &BTreeSet<StepIx>,
) -> Vec<&'a StepId> {
    these.difference(those).map(|ix| &plan.step(*ix).id).collect()
}

/// The steps that a step waits for by itself: all, or a machine's step those of other machines.
fn edges(plan: &Plan, step: &Step, all: bool) -> Vec<StepIx> {
    if step.machine.is_none() && !all {
        return Vec::new();
    }
    let other = |ix: &StepIx| {
        let before = &plan.step(*ix).machine;
        before.is_some() && *before != step.machine
    };
    step.edges().map(|(ix, _)| ix).filter(|ix| all || other(ix)).collect()
}

/// For each step the last step without a machine, of those `known`, that it comes after.
fn barriers(plan: &Plan, known: impl Fn(StepIx) -> bool) -> Vec<Option<StepIx>> {
    let mut last: Vec<Option<StepIx>> = Vec::with_capacity(plan.steps.len());
    for (_, step) in plan.iter() {
        let holds = |ix: StepIx| {
            let before = plan.step(ix);
            before.machine.is_none() && before.kind != Kind::Notify && known(ix)
        };
        let behind = step.edges().map(|(ix, _)| if holds(ix) { Some(ix) } else { last[ix.at()] });
        last.push(behind.max().flatten());
    }
    last
}
