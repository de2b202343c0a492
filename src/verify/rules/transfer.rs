//! H010, H011: how much a transfer moves, and whether it can read it.

use crate::plan::effect::{Effect, Mode};
use crate::plan::facts::ReplicaState;
use crate::plan::inventory::INVENTORY_FACT;
use crate::plan::reading::Value;
use crate::verify::rules::{Broken, Look};
use crate::verify::state::Cause;

/// H010: encrypted disks are read with a key.
pub(super) fn names_the_key(look: &Look<'_>) -> Option<Broken> {
    let Effect::Transfer { chosen, .. } = look.act.effect else { return None };
    let machine = look.machine;
    let ground = look.ground;
    if chosen.key || ground.facts.value(machine, "encrypted")? != Value::Bool(true) {
        return None;
    }
    let key = ground.inventory.value(machine, KEY)?;
    ground.facts.note(machine.as_str(), &format!("{INVENTORY_FACT}{KEY}"), key.clone());
    if !key.is_null() {
        return None;
    }
    let message = format!("the disks of `{machine}` are encrypted, and no key is named for them");
    let help =
        "name a key of the inventory: `key` on this step, or on the machine in the inventory";
    Some(Broken::new("H010", *look.state, message, help))
}

const KEY: &str = "key";

/// Site Recovery's advice: after a month elsewhere everything, before it what changed.
const AWAY_LONG: &str = "away_over(\"30d\")";
const SYNCED_LATELY: &str = "synced_within(\"30d\")";

/// H011: the mode that was chosen is not the one for the time it has been away.
pub(super) fn fits_the_month(look: &Look<'_>) -> Option<Broken> {
    let Effect::Transfer { mode, chosen, .. } = look.act.effect else { return None };
    let state = look.state;
    // What an earlier step of the plan brought over is not old.
    if !chosen.mode || chosen.in_downtime || state.replica.cause != Cause::Observed {
        return None;
    }
    let read = |fact| look.ground.facts.value(look.machine, fact) == Some(Value::Bool(true));
    let old = read(AWAY_LONG) && !read(SYNCED_LATELY);
    let good = matches!(state.replica.value, ReplicaState::Stale | ReplicaState::Current);
    let (why, help) = match (mode, old) {
        (Mode::Delta, true) => (
            "has been away for 30 days or more, and only what changed is sent: comparing its disks costs \
             more than it saves",
            "leave `mode` at \"auto\", or say \"full\"",
        ),
        (Mode::Full, false) if good => (
            "has a good replica less than 30 days old, and everything is sent",
            "leave `mode` at \"auto\", or say \"delta\"; where a full copy is meant in the downtime, say \
             `in_downtime: true`",
        ),
        _ => return None,
    };
    Some(Broken::new("H011", *state, format!("`{}` {why}", look.machine), help))
}

/// H011: everything is copied while the machine is down, and nobody said that it should be.
pub(super) fn full_in_the_downtime(look: &Look<'_>) -> Option<Broken> {
    let Effect::Transfer { mode: Mode::Full, chosen, .. } = look.act.effect else { return None };
    let state = look.state;
    let Cause::Done(stop) = state.side(state.active).cause else { return None };
    // A replica that was brought over before is compared, whatever `auto` said of the one before it.
    let brought = !chosen.mode && !matches!(state.replica.cause, Cause::Observed);
    let absent = state.replica.value == ReplicaState::Absent;
    if chosen.in_downtime || !state.is_quiet() || (brought && !absent) {
        return None;
    }
    let message = format!("everything is copied while `{}` is down", look.machine);
    let help = "transfer from a snapshot before the stop, so that only the last changes are left; or say \
                `in_downtime: true`";
    let mut broken = Broken::new("H011", *state, message, help);
    broken.because.push((stop, "its downtime begins here".to_owned()));
    Some(broken)
}
