//! H004, H006, H007: what may be deleted when, and what is gone afterwards.

use crate::base::Side;
use crate::plan::effect::Effect;
use crate::plan::facts::{CommitState, ReplicaState};
use crate::verify::rules::{Broken, Look, noun};
use crate::verify::state::{Cause, Known, Proof, Twin};

/// H004: the commit deletes the cloud side, so the machine must live on-prem by then, and there alone.
pub(super) fn commits_too_early(look: &Look<'_>) -> Option<Broken> {
    let state = look.state;
    let alive = state.active == Side::Onprem && state.onprem.value == Twin::On;
    if look.act.effect != Effect::Commit || (alive && !state.cloud.value.may_run()) {
        return None;
    }
    if alive {
        return Some(beside_a_running_twin(look));
    }
    let why = match (state.active, state.onprem.value) {
        (Side::Cloud, _) => {
            "its on-prem side has not taken over: this would delete the only good copy"
        }
        (Side::Onprem, Twin::Unknown) => "its on-prem side may not be running",
        (Side::Onprem, _) => "its on-prem side does not run",
    };
    let message = format!("`{}` is committed while {why}", look.machine);
    let help =
        "commit only after a step that starts the on-prem side (and better, one that checks it)";
    let mut repaired = *state;
    repaired.active = Side::Onprem;
    repaired.onprem = Known::assumed(Twin::On);
    repaired.commit = Known::assumed(CommitState::Pending);
    repaired.replica = Known::assumed(ReplicaState::Stale);
    repaired.proof = Known::assumed(Proof::Given);
    let broken = Broken::new("H004", repaired, message, help);
    let cause = if state.active == Side::Cloud { state.cloud.cause } else { state.onprem.cause };
    Some(broken.because(cause, "this is the last that changed it", "if this fails, it may not run"))
}

/// What the cloud side writes, nobody brings home.
fn beside_a_running_twin(look: &Look<'_>) -> Broken {
    let cloud = look.state.cloud;
    let may = if cloud.value == Twin::On { "runs" } else { "may be running" };
    let message = format!(
        "`{}` is committed while its cloud side {may}: what it writes there would be deleted",
        look.machine
    );
    let help = "look which side is right, and turn the cloud side off before this step";
    let repaired = look.state.with_side(Side::Cloud, Known::assumed(Twin::Off));
    let broken = Broken::new("H004", repaired, message, help);
    broken.because(cloud.cause, "from here it runs there", "if this fails, it may run there")
}

/// H006: protection in the other direction begins once the failback is committed.
pub(super) fn reverses_too_early(look: &Look<'_>) -> Option<Broken> {
    let state = look.state;
    let home = state.active == Side::Onprem && state.commit.value == CommitState::Committed;
    if look.act.effect != Effect::ReverseReplicate || home {
        return None;
    }
    let why = if state.active == Side::Cloud {
        "it still lives in the cloud"
    } else {
        "its failback is not committed"
    };
    let message = format!("`{}` is protected towards the cloud again while {why}", look.machine);
    let mut repaired = *state;
    repaired.active = Side::Onprem;
    repaired.onprem = Known::assumed(Twin::On);
    repaired.commit = Known::assumed(CommitState::Committed);
    let broken = Broken::new("H006", repaired, message, "commit the failback first");
    let failed = "if this fails, the failback may not be committed";
    Some(broken.because(state.commit.cause, "the switch that waits for its commit", failed))
}

/// H007: a side or a snapshot that an earlier step of this plan deleted.
pub(super) fn uses_what_was_deleted(look: &Look<'_>) -> Option<Broken> {
    let mut repaired = *look.state;
    let (what, cause) = match look.act.effect {
        Effect::Transfer { .. } => {
            let deleted_by = look.act.snapshot?.deleted_by?;
            repaired.protected = true;
            ("the snapshot".to_owned(), Cause::Done(deleted_by))
        }
        effect => {
            let side = side_used(effect)?;
            let twin = look.state.side(side);
            if twin.value != Twin::Deleted || creates_it(look, side) {
                return None;
            }
            repaired = repaired.with_side(side, Known::assumed(Twin::Off));
            if effect == Effect::Commit {
                repaired.commit = Known::assumed(CommitState::Pending);
            }
            if let Effect::Start(side) = effect {
                // One report is enough: it does not start, so neither twin nor replica matters.
                repaired = repaired.with_side(side.other(), Known::assumed(Twin::Off));
                repaired.replica = Known::assumed(ReplicaState::Current);
            }
            (format!("the {} side", noun(side)), twin.cause)
        }
    };
    let message = format!("`{}`: this step uses {what}, which is deleted by then", look.machine);
    let help = "put this step before the deletion, or leave it out";
    let broken = Broken::new("H007", repaired, message, help);
    Some(broken.because(cause, "deleted here", "even if this fails, it may be deleted"))
}

/// The start makes the machine there anew: its disks are a replica that was written since, and only what
/// that replica is worth counts.
pub(super) fn creates_it(look: &Look<'_>, side: Side) -> bool {
    let state = look.state;
    let starts = look.act.effect == Effect::Start(side) && side == Side::Cloud;
    starts && state.active != side && state.written
}

/// The side that must be there for the step to make sense.
pub(super) fn side_used(effect: Effect) -> Option<Side> {
    match effect {
        Effect::Stop(side) | Effect::Start(side) | Effect::Check { side: Some(side), .. } => {
            Some(side)
        }
        Effect::Commit | Effect::CommitFailover => Some(Side::Cloud),
        Effect::ReverseReplicate => Some(Side::Onprem),
        Effect::Nothing
        | Effect::Approved
        | Effect::Snapshot
        | Effect::ReleaseSnapshot
        | Effect::Transfer { .. }
        | Effect::Check { side: None, .. }
        | Effect::DeclareLost(_)
        | Effect::StartCopy
        | Effect::DeleteCopy
        | Effect::CreateOnprem { .. } => None,
    }
}
