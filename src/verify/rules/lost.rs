//! A side that a person declares lost: only behind a gate (H001), one that somebody must answer (H020), never
//! the only good copy (H004), nor what runs or all there is; and nothing is read from it afterwards (H009).
//!
//! A declaration without a person is a split brain waiting to happen, and so counts as one: nobody has
//! made sure that the side is off. What the other side's replica lacks is given up by it: it may boot.

use crate::plan::effect::Effect;
use crate::plan::facts::ReplicaState;
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

/// H009: what runs is not lost, and of a machine without any side nothing is left.
pub(super) fn declared_of_what_runs(look: &Look<'_>) -> Option<Broken> {
    let Effect::DeclareLost(side) = look.act.effect else { return None };
    let (own, twin) = (look.state.side(side), look.state.side(side.other()));
    let (machine, noun) = (look.machine, noun(side));
    let (message, help, cause) = match (own.value, twin.value) {
        (Twin::On, _) => (
            format!("`{machine}`: its {noun} side is declared lost while it runs {}", place(side)),
            "switch over as planned: turn it off, transfer, start the other side; nothing is lost then",
            own.cause,
        ),
        (_, Twin::Lost) => (
            format!("`{machine}`: both of its sides are declared lost: nothing is left of it"),
            "leave one of them out",
            twin.cause,
        ),
        _ => return None,
    };
    let broken = Broken::new("H009", *look.state, message, help);
    Some(broken.because(cause, "it is so from here on", "if this fails, it may be so"))
}

/// H004: what is left can never be started.
pub(super) fn declared_of_the_only_copy(look: &Look<'_>) -> Option<Broken> {
    let Effect::DeclareLost(side) = look.act.effect else { return None };
    let replica = look.state.replica;
    let boots = matches!(replica.value, ReplicaState::Stale | ReplicaState::Current);
    if look.state.active != side || boots {
        return None;
    }
    let mut repaired = *look.state;
    repaired.replica = Known::assumed(ReplicaState::Stale);
    let message = format!(
        "`{}`: its {} side is declared lost, and what is left {} is {}: it can never be started",
        look.machine,
        noun(side),
        place(side.other()),
        replica.value.word()
    );
    let help =
        "do not give the only good copy up: wait for its site, or restore its disks from a backup";
    let broken = Broken::new("H004", repaired, message, help);
    Some(broken.because(replica.cause, "this left it so", "if this fails, it is left so"))
}

/// A person said yes right before the step.
pub(super) fn is_decided(look: &Look<'_>) -> bool {
    let gate = look.gate.filter(|gate| is_certain(look, *gate));
    gate.is_some_and(|gate| !is_ignored(look.ground.plan.step(gate)))
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
