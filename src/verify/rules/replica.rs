//! H002, H003, H008, H016: what a replica must be before it is booted, or written by changes alone.
//!
//! Starting the side that a switch came from, before that switch is committed, is a way back and meant:
//! it loses what the other side wrote since, which H016 says. H002 is for every other start from disks
//! that are older than the last writes: nothing was brought over after the stop, the source ran again
//! since, or the switch is committed, so that there is no way back but another transfer.

use crate::base::Side;
use crate::plan::effect::{Chosen, Effect, Mode};
use crate::plan::facts::ReplicaState;
use crate::verify::rules::lost::is_decided;
use crate::verify::rules::{Broken, Look, noun, place};
use crate::verify::state::{Cause, Known, State, Twin};
use crate::verify::step::is_way_back;

/// The passive side boots from its replica: it must be a verified copy of the stopped machine.
pub(super) fn fit_to_boot(look: &Look<'_>) -> Option<Broken> {
    let Effect::Start(side) = look.act.effect else { return None };
    if side == look.state.active {
        return None;
    }
    // A copy that somebody booted half written is nothing to keep.
    let is_dirty = look.state.replica.value == ReplicaState::Dirty;
    if look.state.side(side).value == Twin::On && !is_dirty {
        return Some(keeps_what_runs(look, side));
    }
    if is_way_back(look.state, side) {
        return Some(gives_writes_up(look, side));
    }
    let mut repaired = *look.state;
    repaired.replica = Known::assumed(ReplicaState::Current);
    match look.state.replica.value {
        ReplicaState::Current => None,
        ReplicaState::Stale => Some(lost_writes(look, side, repaired)),
        ReplicaState::Dirty
        | ReplicaState::Diverged
        | ReplicaState::Unknown
        | ReplicaState::Absent => Some(dirty_boot(look, side, repaired)),
    }
}

/// It runs there already, beside the side that it was switched to or without it. Whoever says "start" keeps
/// what it wrote there: for a person to decide.
fn keeps_what_runs(look: &Look<'_>, side: Side) -> Broken {
    let (machine, left) = (look.machine, place(side.other()));
    let message = format!(
        "`{machine}` runs {} already, and this plan keeps it there: what it wrote {left} since it was switched \
         is lost",
        place(side)
    );
    if is_decided(look) {
        let help = "keep it only where that is accepted; `acknowledge` this with the reason";
        return Broken::new("H016", *look.state, message, help);
    }
    let help = "a person decides which side is right: put a gate right before this step, with a `timeout` and \
                without `on_timeout: \"go_on\"` or `optional`";
    Broken::new("H002", *look.state, message, help)
}

/// The way back. The proof goes on from the state as it is.
fn gives_writes_up(look: &Look<'_>, side: Side) -> Broken {
    let (machine, left) = (look.machine, place(side.other()));
    let message = format!(
        "`{machine}` goes back and starts {} as the switch left it: what it wrote {left} since is lost",
        place(side)
    );
    let mut help =
        "go back only where that is accepted: in a handler, or behind a gate that says so; \
                    `acknowledge` this with the reason"
            .to_owned();
    let replica = look.state.replica;
    if replica.value == ReplicaState::Diverged && replica.cause == Cause::Observed {
        // Only its site knows whether they rest since the switch: a loss was declared then.
        help += &format!(
            ". Its disks {} were found diverged: the run starts it only if they rest since a loss was \
             declared, and refuses with H304 if they were booted or written since; then only a transfer \
             brings it back",
            place(side)
        );
    }
    let done = format!("from here it writes {left}");
    let failed = format!("even if this fails, it may have written {left}");
    Broken::new("H016", *look.state, message, help).because(
        look.state.replica.cause,
        &done,
        &failed,
    )
}

fn lost_writes(look: &Look<'_>, side: Side, repaired: State) -> Broken {
    let cause = look.state.replica.cause;
    let (machine, source) = (look.machine, place(side.other()));
    let switched = matches!(
        cause,
        Cause::Done(at) | Cause::Failed(at)
            if matches!(look.ground.plan.step(at).effect, Effect::Start(_))
    );
    let when = match cause {
        Cause::Observed => " (nothing in this plan brings them up to date)",
        _ => "",
    };
    let message = format!(
        "lost writes: `{machine}` starts {} from disks older than its last writes {source}{when}",
        place(side)
    );
    let help = format!(
        "after the {} side is off and before this step, transfer the final changes from the stopped \
         machine, in a step that is not `optional`",
        noun(side.other())
    );
    let done = if switched {
        format!("from here it writes {source}, and nothing brings those writes back")
    } else {
        "this copies an earlier moment; what is written later is not in it".to_owned()
    };
    let failed = format!("even if this fails, it may have written {source}");
    Broken::new("H002", repaired, message, help).because(cause, &done, &failed)
}

fn dirty_boot(look: &Look<'_>, side: Side, repaired: State) -> Broken {
    let replica = look.state.replica;
    let mark = look.dirty_mark().filter(|_| replica.cause == Cause::Observed);
    let again = "transfer again before this step, in a step that is not `optional`";
    let (why, help) = match (replica.value, mark) {
        (ReplicaState::Dirty, Some(mark)) => (
            format!(
                "a replica that step `{}` of run `{}` began to write and never verified",
                mark.step, mark.run
            ),
            format!("finish that transfer with `homing resume {}`, or {again}", mark.run),
        ),
        (ReplicaState::Dirty, None) => (
            "a replica whose transfer may not have finished; it may not boot".to_owned(),
            format!("start only where the transfer succeeded, or {again}"),
        ),
        (ReplicaState::Diverged, _) => (
            "a replica that was booted or written outside a transfer".to_owned(),
            format!("its blocks may be anything: {again}"),
        ),
        (ReplicaState::Absent, _) => (
            "a replica that does not exist".to_owned(),
            format!("there is nothing to boot: {again}"),
        ),
        _ => (
            "a replica of which its site cannot say what it holds".to_owned(),
            format!("look at its site, or {again}"),
        ),
    };
    let message = format!("dirty boot: `{}` starts {} from {why}", look.machine, place(side));
    let failed = "if this fails, the replica is left half written, and the plan goes on";
    Broken::new("H003", repaired, message, help).because(replica.cause, "left so here", failed)
}

/// A transfer of changes needs something that changed.
pub(super) fn delta_onto_nothing(look: &Look<'_>) -> Option<Broken> {
    // What is left to `auto` is decided when the step runs, of what is there then.
    let says_delta = matches!(
        look.act.effect,
        Effect::Transfer { mode: Mode::Delta, chosen: Chosen { mode: true, .. }, .. }
    );
    if !says_delta || look.state.replica.value != ReplicaState::Absent {
        return None;
    }
    let passive = look.state.active.other();
    let message = format!(
        "`{}` has no replica {} that changes could be applied to",
        look.machine,
        place(passive)
    );
    let mut repaired = *look.state;
    repaired.replica = Known::assumed(ReplicaState::Stale);
    let help = "let `mode` be \"auto\" or \"full\"; where the machine itself is missing there, create it \
                before";
    let failed = "if this fails, there may be none";
    let broken = Broken::new("H008", repaired, message, help);
    Some(broken.because(look.state.replica.cause, "from here the replica is left behind", failed))
}
