//! A side that a person declares lost: only behind a gate (H001), one that somebody must answer (H020),
//! and nothing is read from it afterwards (H009).
//!
//! A declaration without a person is a split brain waiting to happen, and so counts as one: nobody has
//! made sure that the side is off. What the other side's replica lacks is given up by it: it may boot.

use crate::plan::effect::Effect;
use crate::plan::scope::ScopeKind;
use crate::plan::step::StepIx;
use crate::verify::rules::proof::is_ignored;
use crate::verify::rules::{Broken, Look, noun, place};
use crate::verify::state::{Known, Twin};

/// H001, H020: somebody looked and said so.
pub(super) fn declared_behind_a_gate(look: &Look<'_>) -> Option<Broken> {
    let Effect::DeclareLost(side) = look.act.effect else { return None };
    let repaired = *look.state;
    let (machine, noun) = (look.machine, noun(side));
    let help = "put a gate right before this step, with a `timeout` and without `on_timeout: \"go_on\"` \
                or `optional`";
    let Some(gate) = look.gate.filter(|gate| is_certain(look, *gate)) else {
        let message = format!(
            "split brain: the {noun} side of `{machine}` is declared lost and nobody is asked whether it \
             is really off"
        );
        return Some(Broken::new("H001", repaired, message, help));
    };
    if !is_ignored(look.ground.plan.step(gate)) {
        return None;
    }
    let message = format!(
        "the {noun} side of `{machine}` is declared lost behind a gate that goes on without an answer"
    );
    let mut broken = Broken::new("H020", repaired, message, help);
    broken.because.push((gate, "nobody needs to answer this".to_owned()));
    Some(broken)
}

/// Whoever comes to the step was let through by the gate: no guard passes it by, and no attempt goes on
/// where it was rejected.
fn is_certain(look: &Look<'_>, gate: StepIx) -> bool {
    let plan = look.ground.plan;
    let step = look.step();
    plan.outwards(plan.step(gate).scope).all(|(at, scope)| match scope.kind {
        ScopeKind::Plan | ScopeKind::Group { .. } | ScopeKind::Parallel => true,
        ScopeKind::When { .. }
        | ScopeKind::Attempt { .. }
        | ScopeKind::Handler { .. }
        | ScopeKind::Always { .. } => plan.is_within(step.scope, at),
    })
}

/// H009: nothing can be read from what is lost.
pub(super) fn reads_what_is_lost(look: &Look<'_>) -> Option<Broken> {
    let side = match look.act.effect {
        Effect::Snapshot | Effect::Transfer { .. } => look.state.active,
        Effect::Start(side) | Effect::Stop(side) => side,
        _ => return None,
    };
    let twin = look.state.side(side);
    if twin.value != Twin::Lost {
        return None;
    }
    let message = format!("`{}`: its side {} was declared lost", look.machine, place(side));
    let repaired = look.state.with_side(side, Known::assumed(Twin::Off));
    let help = "leave this step out; once the side is back, look at it and make another plan";
    Some(Broken::new("H009", repaired, message, help).because(
        twin.cause,
        "declared here",
        "tried here",
    ))
}
