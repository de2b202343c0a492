//! Waves: a plan cut at the barriers that hold back everything.

use crate::plan::graph::Plan;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, StepIx};

/// The steps of a plan, in waves and in order: each wave ends with a step that everything after it waits
/// for (a gate, a barrier), or with the plan. No wave is empty.
pub fn waves(plan: &Plan) -> Vec<Vec<StepIx>> {
    let mut waves: Vec<Vec<StepIx>> = Vec::new();
    let mut wave = Vec::new();
    for (ix, step) in plan.iter() {
        wave.push(ix);
        let holds_back = step.machine.is_none() && step.kind != Kind::Notify;
        if holds_back && !in_a_scope(plan, ix) {
            waves.push(std::mem::take(&mut wave));
        }
    }
    if !wave.is_empty() {
        waves.push(wave);
    }
    waves
}

/// A barrier in a scope holds back that scope alone.
fn in_a_scope(plan: &Plan, ix: StepIx) -> bool {
    plan.step(ix).scope != ScopeIx::PLAN
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
        plan.scopes.push(Scope { kind: ScopeKind::Parallel, ..Scope::plan() });
        plan.steps[1].scope = ScopeIx(1);
        assert_eq!(sizes(&plan), [4, 1]);
        assert!(waves(&Plan::default()).is_empty());
    }
}
