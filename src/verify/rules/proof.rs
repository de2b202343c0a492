//! H005, H020: what a commit rests on. It deletes the way back, so somebody should have looked at the
//! machine since it started, and what was seen must count.

use crate::plan::effect::Effect;
use crate::plan::expr::{Expr, steps_read};
use crate::plan::scope::ScopeKind;
use crate::plan::step::Step;
use crate::verify::rules::{Broken, Ground, Look};
use crate::verify::state::{Cause, Known, Proof};

/// A check that succeeded or a person who agreed comes between start and commit, and nothing goes on
/// without.
pub(super) fn commits_unproven(look: &Look<'_>) -> Option<Broken> {
    let proof = look.state.proof;
    if look.act.effect != Effect::Commit || proof.value == Proof::Given || is_guarded(look) {
        return None;
    }
    let mut repaired = *look.state;
    repaired.proof = Known::assumed(Proof::Given);
    let machine = look.machine;
    if proof.value == Proof::Ignored {
        let message = format!(
            "`{machine}` is committed whatever became of the only step that vouches for it: its failure is \
             ignored"
        );
        let help = "let that step be required (no `optional`, no `on_timeout: \"go_on\"`, and the commit \
                    only where it succeeded), or put another check or gate between";
        return Some(Broken::new("H020", repaired, message, help).because(
            proof.cause,
            "the commit rests on this, and goes on unanswered",
            "the commit rests on this, and goes on if it fails",
        ));
    }
    let message = format!(
        "`{machine}` is committed and nobody has looked at it since it started: an unproven point of no \
         return"
    );
    let help = "put a check, a person's approval, or both between start and commit";
    let started = match proof.cause {
        Cause::Observed => look.state.onprem.cause,
        cause => cause,
    };
    let broken = Broken::new("H005", repaired, message, help);
    Some(broken.because(started, "started here", "if this fails, it may have started"))
}

/// Its failure, or nobody's answer, lets the plan go on.
pub(in crate::verify) fn is_ignored(step: &Step) -> bool {
    let goes_on = step.args.get("on_timeout").is_some_and(|way| way == "go_on");
    step.optional || goes_on
}

/// The commit happens only as a check came out.
fn is_guarded(look: &Look<'_>) -> bool {
    let guards = look.ground.plan.guards(look.step());
    guards.iter().any(|(_, scope)| match &scope.kind {
        ScopeKind::When { cond, .. } => reads_a_check(look.ground, cond, look.step()),
        _ => false,
    })
}

fn reads_a_check(ground: &Ground<'_>, cond: &Expr, step: &Step) -> bool {
    cond.steps().into_iter().any(|id| is_check(ground, id, step))
}

fn is_check(ground: &Ground<'_>, id: &crate::base::StepId, of: &Step) -> bool {
    ground.place(id).is_some_and(|at| {
        let read = ground.plan.step(at);
        matches!(read.effect, Effect::Check { .. }) && read.machine == of.machine
    })
}

/// A step that succeeds only as a check of its machine came out: `wait_until`, `fail_if`.
pub(in crate::verify) fn rests_on_a_check(ground: &Ground<'_>, step: &Step) -> bool {
    let read = step.args.data().map_or_else(Vec::new, steps_read);
    !read.is_empty() && read.iter().any(|(_, id)| is_check(ground, id, step))
}
