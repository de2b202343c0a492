//! H009: what must hold before a step can be tried at all.

use crate::base::{MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::facts::{CommitState, FactLog, ReplicaState};
use crate::plan::inventory::Inventory;
use crate::verify::rules::commit::{creates_it, side_used};
use crate::verify::rules::{Broken, Look, noun, place};
use crate::verify::state::{Cause, Known, Twin};

/// A message and its way out, where there is no state to speak of.
pub(in crate::verify) type Missing = (String, &'static str);

/// Nothing is known of the machine: nothing can be proved.
pub(in crate::verify) fn not_observed(machine: &MachineName) -> Missing {
    let message = format!("`{machine}` could not be observed, so nothing can be proved about it");
    (message, "see that both of its sites answer, and that the inventory has it")
}

/// The on-prem host that holds the replica must be there.
pub(in crate::verify) fn host_connected(
    machine: &MachineName,
    facts: &FactLog<'_>,
    inventory: &Inventory,
) -> Option<Missing> {
    let site = &inventory.machines.get(machine)?.onprem;
    let host = facts.read(machine, "host")?;
    let host = crate::base::HostName::new(host.as_str()?).ok()?;
    let why = match facts.host_connected(&(site.clone(), host.clone())) {
        Some(true) => return None,
        Some(false) => "is not connected",
        None => "is not known at its site",
    };
    let message = format!("`{machine}`: its on-prem host `{site}/{host}` {why}");
    Some((message, "connect the host, or create the machine on another one before this step"))
}

/// A side that was not there when the plan was made.
pub(super) fn side_exists(look: &Look<'_>) -> Option<Broken> {
    // A commit without a cloud side is a commit without a switch; that rule says it better.
    let side = side_used(look.act.effect).filter(|_| look.act.effect != Effect::Commit)?;
    let twin = look.state.side(side);
    if twin.value != Twin::Missing || creates_it(look, side) {
        return None;
    }
    let message = format!("`{}` does not exist {}", look.machine, place(side));
    let help = match side {
        Side::Cloud => "leave this step out: its cloud side is gone, or never was",
        Side::Onprem => "create it there before this step",
    };
    let repaired = look.state.with_side(side, Known::assumed(Twin::Off));
    Some(Broken::new("H009", repaired, message, help))
}

/// Nothing is copied over the side that still waits for its commit.
pub(super) fn last_switch_committed(look: &Look<'_>) -> Option<Broken> {
    let copies = matches!(look.act.effect, Effect::Snapshot | Effect::Transfer { .. });
    if !copies || look.state.commit.value == CommitState::Committed {
        return None;
    }
    let message = match look.state.active {
        Side::Cloud => format!("`{}`: its last failover is not committed", look.machine),
        Side::Onprem => {
            format!("`{}` runs on-prem already, and that failback is not committed", look.machine)
        }
    };
    let help = match look.state.active {
        Side::Cloud => "commit the failover before this step, or where it was made",
        Side::Onprem => {
            "commit the failback before this step; if a run brought it home, `homing resume` that run"
        }
    };
    let mut repaired = *look.state;
    repaired.commit = Known::assumed(CommitState::Committed);
    let broken = Broken::new("H009", repaired, message, help);
    let failed = "even if this fails, it may have switched";
    Some(broken.because(look.state.commit.cause, "the switch that waits for its commit", failed))
}

/// A transfer reads disks that stand still, and writes disks that nobody uses.
pub(super) fn disks_stand_still(look: &Look<'_>) -> Option<Broken> {
    let (from_snapshot, source) = match look.act.effect {
        Effect::Transfer { from_snapshot, .. } => (from_snapshot, look.state.active),
        // Its changes are read from the machine as it runs. Where it comes too early, H006 says so.
        Effect::ReverseReplicate if look.state.active == Side::Onprem => (true, Side::Onprem),
        _ => return None,
    };
    let moving = |side: Side| look.state.side(side).value.may_run();
    let (side, message, help) = if !from_snapshot && moving(source) {
        let message = format!(
            "`{}`: the final changes are copied while it may run {}",
            look.machine,
            place(source)
        );
        (source, message, "turn it off before, or transfer from a snapshot")
    } else if moving(source.other()) {
        let message = format!(
            "`{}`: its {} disks are written while it may run there",
            look.machine,
            noun(source.other())
        );
        (source.other(), message, "turn that side off before")
    } else {
        return None;
    };
    let cause = look.state.side(side).cause;
    // What is copied from a running machine is of an earlier moment all the same: the source stays on.
    let repaired = if side == source {
        *look.state
    } else {
        look.state.with_side(side, Known::assumed(Twin::Off))
    };
    let broken = Broken::new("H009", repaired, message, help);
    Some(broken.because(cause, "from here it runs", "if this fails, it may run"))
}

/// A commit ends a switch that waits for it; a failover's also needs the machine to run where it went.
pub(super) fn something_to_commit(look: &Look<'_>) -> Option<Broken> {
    let commit = look.state.commit;
    let settled = commit.value == CommitState::Committed && commit.cause != Cause::Assumed;
    let (side, what) = match look.act.effect {
        Effect::Commit => (Side::Onprem, "failback"),
        Effect::CommitFailover => (Side::Cloud, "failover"),
        _ => return None,
    };
    let machine = look.machine;
    let mut repaired = *look.state;
    repaired.commit = Known::assumed(CommitState::Pending);
    if look.state.active == side && settled {
        let message = format!("`{machine}`: there is nothing to commit, its {what} is committed");
        return Some(Broken::new("H009", repaired, message, "leave this step out").because(
            commit.cause,
            "committed here",
            "even if this fails, it may be committed",
        ));
    }
    let twin = look.state.side(side);
    let runs = look.state.active == side && twin.value == Twin::On;
    if side == Side::Onprem || runs {
        // That the on-prem side must run before it is committed is a rule of its own.
        return None;
    }
    repaired.active = side;
    repaired = repaired.with_side(side, Known::assumed(Twin::On));
    let message =
        format!("`{machine}`: its failover is committed while it may not run in the cloud");
    let broken = Broken::new("H009", repaired, message, "start it in the cloud before this step");
    Some(broken.because(twin.cause, "turned off here", "if this fails, it may not run"))
}

/// Disks in the cloud that a commit deleted exist again once the machine is protected.
pub(super) fn protected_towards(look: &Look<'_>) -> Option<Broken> {
    let state = look.state;
    let towards = matches!(look.act.effect, Effect::Transfer { .. })
        && state.active == Side::Onprem
        && matches!(state.cloud.value, Twin::Missing | Twin::Deleted)
        && !state.protected;
    if !towards {
        return None;
    }
    let observed = || look.ground.facts.read(look.machine, "protection");
    if state.cloud.value == Twin::Missing && observed().is_some_and(|p| p == "onprem_to_cloud") {
        return None;
    }
    let message = format!(
        "`{}` has nothing in the cloud to transfer to: it is not protected towards the cloud",
        look.machine
    );
    let mut repaired = *state;
    repaired.protected = true;
    let help = "protect it in that direction before this step";
    let broken = Broken::new("H009", repaired, message, help);
    let failed = "even if this fails, it may be deleted";
    Some(broken.because(state.cloud.cause, "deleted here", failed))
}

/// A machine changes its host only while it lives in the cloud and stands still at home.
pub(super) fn moves_what_lives_there(look: &Look<'_>) -> Option<Broken> {
    let state = look.state;
    let moves = look.act.effect == Effect::CreateOnprem { moves: true };
    if !moves || (state.active == Side::Cloud && !state.onprem.value.may_run()) {
        return None;
    }
    let why = if state.active == Side::Cloud { "it may run on-prem" } else { "it lives on-prem" };
    let message = format!("`{}` is given another host while {why}", look.machine);
    let mut repaired = *state;
    repaired.active = Side::Cloud;
    repaired = repaired.with_side(Side::Onprem, Known::assumed(Twin::Off));
    repaired.replica = Known::assumed(ReplicaState::Stale);
    let help = "create it on another host only while it lives in the cloud and is off on-prem";
    let broken = Broken::new("H009", repaired, message, help);
    Some(broken.because(state.onprem.cause, "from here it runs", "if this fails, it may run"))
}

/// Protection starts from a machine that runs.
pub(super) fn protects_a_running_machine(look: &Look<'_>) -> Option<Broken> {
    let onprem = look.state.onprem;
    if look.act.effect != Effect::ReverseReplicate || onprem.value == Twin::On {
        return None;
    }
    let message =
        format!("`{}` is protected while its on-prem side may not be running", look.machine);
    let repaired = look.state.with_side(Side::Onprem, Known::assumed(Twin::On));
    Some(Broken::new("H009", repaired, message, "start it on-prem before this step").because(
        onprem.cause,
        "turned off here",
        "if this fails, it may not run",
    ))
}
