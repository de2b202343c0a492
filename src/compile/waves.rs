//! Waves: a plan cut at the barriers that hold back everything.

use crate::plan::graph::Plan;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, StepIx};

/// The steps of a plan, in waves and in order: each wave ends with a step that everything after it waits
/// for (a gate, a barrier), or with the plan. No wave is empty.
pub fn waves(plan: &Plan) -> Vec<Vec<StepIx>> {
    let held = held_back_from(plan);
    let mut waves: Vec<Vec<StepIx>> = Vec::new();
    let mut wave = Vec::new();
    for (ix, step) in plan.iter() {
        wave.push(ix);
        let is_barrier = step.machine.is_none() && step.kind != Kind::Notify;
        // A barrier in a scope holds back that scope alone; one over a few steps only what needs it.
        let holds_back = held[ix.at()] > ix.at();
        if is_barrier && step.scope == ScopeIx::PLAN && holds_back {
            waves.push(std::mem::take(&mut wave));
        }
    }
    if !wave.is_empty() {
        waves.push(wave);
    }
    waves
}

/// For each step: how many steps, from the first on, hold at least one that each later step waits for by
/// itself. Where that is more than the places before the step, all of them come after it.
fn held_back_from(plan: &Plan) -> Vec<usize> {
    let mut least = usize::MAX;
    let mut held = vec![least; plan.steps.len()];
    for (ix, step) in plan.iter().rev() {
        held[ix.at()] = least;
        // One that waits for nothing is held back by nothing.
        let last = step.edges().map(|(before, _)| before.at() + 1).max();
        least = least.min(last.unwrap_or(0));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side;
    use crate::plan::effect::Effect;
    use crate::plan::graph::tests::Draft;
    use crate::plan::scope::{Scope, ScopeKind};

    #[test]
    fn waves_end_at_the_barriers_of_the_plan() {
        let mut draft = Draft::default();
        draft.step("web-01", Effect::Snapshot);
        draft.gate("inner");
        draft.step("web-01", Effect::Stop(Side::Cloud));
        draft.gate("outer");
        draft.step("web-01", Effect::Commit);
        let mut plan = draft.plan;
        let sizes = |plan: &Plan| waves(plan).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&plan), [2, 2, 1]);
        // A barrier over one machine holds back only what needs it.
        let mut few = plan.clone();
        few.steps[2].needs.clear();
        assert_eq!(sizes(&few), [4, 1]);
        plan.scopes.push(Scope { kind: ScopeKind::Parallel, ..Scope::plan() });
        plan.steps[1].scope = ScopeIx(1);
        assert_eq!(sizes(&plan), [4, 1]);
        assert!(waves(&Plan::default()).is_empty());
    }
}
