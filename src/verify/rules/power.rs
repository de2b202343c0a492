//! H001: a machine never runs on both sides.

use crate::base::Side;
use crate::plan::effect::Effect;
use crate::plan::facts::ReplicaState;
use crate::verify::rules::lost::is_decided;
use crate::verify::rules::{Broken, Look, noun, place};
use crate::verify::state::{Cause, Known, Twin};

/// An earlier run was told that the twin is lost. Whether it is so today a person has to say again: it may have
/// been back, and may have written, while nobody looked.
fn still_lost(look: &Look<'_>, side: Side) -> Option<Broken> {
    if look.state.side(side).value == Twin::On || is_decided(look) {
        return None;
    }
    let other = side.other();
    let message = format!(
        "split brain: `{}` starts {}, and nobody is asked whether its {} side, which an earlier run gave up, is \
         still lost",
        look.machine,
        place(side),
        noun(other)
    );
    let help = "put a gate right before this step, with a `timeout` and without `on_timeout: \"go_on\"` or \
                `optional`";
    let repaired = look.state.with_side(other, Known::assumed(Twin::Lost));
    Some(Broken::new("H001", repaired, message, help))
}

/// A side starts while its twin may be running.
pub(super) fn split_brain(look: &Look<'_>) -> Option<Broken> {
    let Effect::Start(side) = look.act.effect else { return None };
    let other = side.other();
    let twin = look.state.side(other);
    if twin.value == Twin::Lost && twin.cause == Cause::Observed {
        return still_lost(look, side);
    }
    if !twin.value.may_run() {
        return None;
    }
    let how = match (twin.value, twin.cause) {
        (Twin::On, _) => format!("while it runs {}", place(other)),
        (_, Cause::Observed) => {
            format!(
                "while nobody can say whether it runs {}, which counts as running",
                place(other)
            )
        }
        _ => format!("while it may still run {}", place(other)),
    };
    let machine = look.machine;
    let message = format!("split brain: `{machine}` starts {} {how}", place(side));
    let help = format!(
        "turn the {} side off first, in a step that this one depends on and that is not `optional`",
        noun(other)
    );
    let mut repaired = look.state.with_side(other, Known::assumed(Twin::Off));
    // Had it been stopped in time, the last transfer would have been of a stopped machine.
    if repaired.replica.value == ReplicaState::Stale {
        repaired.replica = Known::assumed(ReplicaState::Current);
    }
    let running = format!("from here it runs {}", place(other));
    let unsure = format!("if this fails, it may run {}", place(other));
    Some(Broken::new("H001", repaired, message, help).because(twin.cause, &running, &unsure))
}
