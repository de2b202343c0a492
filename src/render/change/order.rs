//! Order: what a step waits for now, and did not, where both plans have both of them.

use std::collections::BTreeSet;

use crate::base::StepId;
use crate::plan::graph::Plan;
use crate::plan::step::{Kind, Step, StepIx};
use crate::render::Review;
use crate::render::change::steps::{Same, Told};

/// Differences of order between machines, and between machines and gates. Of one machine's own steps
/// those are told that moved.
pub(super) fn order(old: &Review<'_>, new: &Review<'_>, same: &Same) -> Vec<String> {
    let known = |ix: StepIx| same.to_new.contains_key(&ix);
    let before = barriers(old.plan, known);
    let after = barriers(new.plan, |ix| same.to_old.contains_key(&ix));
    let mut told = Told::default();
    for (ix, step) in new.plan.iter() {
        let Some(was) = same.to_old.get(&ix) else { continue };
        let barrier = before[was.at()].map(|at| same.to_new[&at]);
        if step.machine.is_some() && barrier != after[ix.at()] {
            let (was, is) = (shown(new.plan, barrier), shown(new.plan, after[ix.at()]));
            let line = format!("~ {}: behind {is}, was behind {was}", step.primitive);
            told.tell(line, step.machine.as_ref());
        }
        let others = of_others(old.plan, old.plan.step(*was));
        let others = others.into_iter().filter_map(|at| same.to_new.get(&at).copied());
        let others: BTreeSet<StepIx> = others.collect();
        let now: BTreeSet<StepIx> = of_others(new.plan, step)
            .into_iter()
            .filter(|at| same.to_old.contains_key(at))
            .collect();
        for (word, ids) in [
            ("waits no longer for", difference(new.plan, &others, &now)),
            ("waits now for", difference(new.plan, &now, &others)),
        ] {
            if !ids.is_empty() {
                let line = format!("~ {}: {word} {}", step.primitive, some(&ids));
                told.tell(line, step.machine.as_ref());
            }
        }
    }
    told.lines().collect()
}

/// Most steps that are named in one line.
const NAMED_MAX: usize = 3;

fn some(ids: &[&StepId]) -> String {
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

fn shown(plan: &Plan, ix: Option<StepIx>) -> String {
    ix.map_or("no gate".to_owned(), |ix| format!("`{}`", plan.step(ix).id))
}

/// The steps of other machines that a machine's step waits for by itself.
fn of_others(plan: &Plan, step: &Step) -> Vec<StepIx> {
    if step.machine.is_none() {
        return Vec::new();
    }
    let other = |ix: &StepIx| {
        let before = &plan.step(*ix).machine;
        before.is_some() && *before != step.machine
    };
    step.edges().map(|(ix, _)| ix).filter(other).collect()
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
