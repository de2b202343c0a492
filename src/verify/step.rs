//! What one step makes of a machine's state: when it succeeds, and when it fails. The only place that
//! knows; rules only look.

use crate::base::Side;
use crate::plan::effect::Effect;
use crate::plan::facts::{CommitState, ReplicaState};
use crate::plan::step::StepIx;
use crate::verify::state::{Cause, Known, Proof, State, Twin};

/// The snapshot that a transfer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotUse {
    /// The source has certainly not run since it was taken.
    pub is_current: bool,
    /// The step that may have deleted it before.
    pub deleted_by: Option<StepIx>,
}

/// A step, as far as a machine's state is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// Its place.
    pub at: StepIx,
    /// What it does.
    pub effect: Effect,
    /// The snapshot it was given.
    pub snapshot: Option<SnapshotUse>,
    /// What its success says of the side that runs.
    pub vouches: Proof,
}

/// The state after the step succeeded. On and off are not changed twice: a start or stop of a side that
/// is in that state already does nothing.
pub fn succeeded(mut state: State, act: &Act) -> State {
    let done = Cause::Done(act.at);
    match act.effect {
        Effect::Nothing | Effect::Approved | Effect::Check { .. } => looked(state, act, done),
        Effect::Snapshot | Effect::ReleaseSnapshot | Effect::StartCopy | Effect::DeleteCopy => {
            state
        }
        Effect::ReverseReplicate => {
            state.protected = true;
            state.written = true;
            if state.replica.value != ReplicaState::Current {
                state.replica = Known::new(ReplicaState::Stale, done);
            }
            state
        }
        Effect::Transfer { .. } => {
            state.replica = Known::new(transferred(&state, act), done);
            state.written = true;
            state
        }
        Effect::Stop(side) if state.side(side).value == Twin::Off => state,
        Effect::Stop(side) => state.with_side(side, Known::new(Twin::Off, done)),
        Effect::Start(side) if state.active == side && state.side(side).value == Twin::On => state,
        Effect::Start(side) => started(state, side, Twin::On, done),
        Effect::Commit => {
            state.commit = Known::new(CommitState::Committed, done);
            state.protected = false;
            deleted(state, done)
        }
        Effect::CommitFailover => {
            state.commit = Known::new(CommitState::Committed, done);
            state
        }
        Effect::DeclareLost(side) => declared_lost(state, side, done),
        Effect::CreateOnprem { moves } if moves || state.onprem.value == Twin::Missing => {
            if moves {
                state.replica = Known::new(ReplicaState::Absent, done);
                state.written = false;
            }
            state.with_side(Side::Onprem, Known::new(Twin::Off, done))
        }
        Effect::CreateOnprem { .. } => state,
    }
}

/// The states that a failed step may leave. A step may fail before it did anything, half-way, or after
/// everything was done; of two states that no rule tells apart the worse one stands for both.
pub fn failed(state: State, act: &Act) -> [State; 2] {
    let cause = Cause::Failed(act.at);
    match act.effect {
        Effect::Transfer { .. } => {
            let dirty = dirty(state, cause);
            // A replica that was not there may still not be there; else dirty is the worse one.
            let untouched = state.replica.value == ReplicaState::Absent;
            [dirty, if untouched { state } else { dirty }]
        }
        Effect::Stop(side) if state.side(side).value == Twin::Off => [state; 2],
        Effect::Stop(side) => [state.with_side(side, Known::new(Twin::Unknown, cause)); 2],
        Effect::Start(side) if state.active == side && state.side(side).value == Twin::On => {
            [state; 2]
        }
        Effect::Start(side) => {
            let refused = state.with_side(side, Known::new(Twin::Unknown, cause));
            [refused, started(state, side, Twin::Unknown, cause)]
        }
        Effect::Commit => [state, deleted(state, cause)],
        Effect::ReverseReplicate => [state, dirty(state, cause)],
        Effect::CreateOnprem { .. } | Effect::CommitFailover => {
            [state, worded(succeeded(state, act), cause)]
        }
        Effect::Nothing | Effect::Approved | Effect::Check { .. } => {
            [doubted(state, act, cause); 2]
        }
        Effect::DeclareLost(_)
        | Effect::Snapshot
        | Effect::ReleaseSnapshot
        | Effect::StartCopy
        | Effect::DeleteCopy => [state; 2],
    }
}

/// The replica was begun and perhaps not finished.
fn dirty(mut state: State, cause: Cause) -> State {
    state.replica = Known::new(ReplicaState::Dirty, cause);
    state.written = true;
    state
}

/// The cloud side is gone, with what its disks were worth.
fn deleted(mut state: State, cause: Cause) -> State {
    state.written = false;
    state.with_side(Side::Cloud, Known::new(Twin::Deleted, cause))
}

/// The same, whatever was done with the step's failure as its witness.
fn worded(mut state: State, cause: Cause) -> State {
    let Cause::Failed(at) = cause else { return state };
    let done = Cause::Done(at);
    for known in [&mut state.replica.cause, &mut state.commit.cause, &mut state.onprem.cause] {
        if *known == done {
            *known = cause;
        }
    }
    state
}

/// Somebody looked at the machine, and it was well.
fn looked(mut state: State, act: &Act, done: Cause) -> State {
    if act.vouches == Proof::Given || state.proof.value == Proof::None {
        state.proof = match act.vouches {
            Proof::None => state.proof,
            given => Known::new(given, done),
        };
    }
    state
}

/// Somebody looked, it was not well, and the plan may go on all the same.
fn doubted(mut state: State, act: &Act, cause: Cause) -> State {
    if act.vouches != Proof::None && state.proof.value == Proof::None {
        state.proof = Known::new(Proof::Ignored, cause);
    }
    state
}

/// Nothing will ever be read from that side again: what the other one has is all there is.
fn declared_lost(mut state: State, side: Side, done: Cause) -> State {
    if state.active == side && state.replica.value == ReplicaState::Stale {
        state.replica = Known::new(ReplicaState::Current, done);
    }
    state.with_side(side, Known::new(Twin::Lost, done))
}

/// What a verified transfer leaves: a copy of stopped disks is current, any other is of an earlier moment.
fn transferred(state: &State, act: &Act) -> ReplicaState {
    let of_the_last_moment = act.snapshot.is_none_or(|snapshot| snapshot.is_current);
    if state.is_quiet() && of_the_last_moment { ReplicaState::Current } else { ReplicaState::Stale }
}

/// The machine runs on `side`, for all we know: that side holds the live data from now on, and the other
/// side's disks are of an earlier moment. A switch that was not committed is taken back by starting the
/// side it came from: then nothing waits for a commit, and the disks that were left have diverged.
fn started(mut state: State, side: Side, twin: Twin, cause: Cause) -> State {
    state.proof = Known::new(Proof::None, cause);
    if state.active == side {
        if state.replica.value == ReplicaState::Current {
            state.replica = Known::new(ReplicaState::Stale, cause);
        }
    } else {
        // One that runs there already was never copied from the other side.
        let back = is_way_back(&state, side) || state.side(side).value == Twin::On;
        let left = if back { ReplicaState::Diverged } else { ReplicaState::Stale };
        let commit = if back { CommitState::Committed } else { CommitState::Pending };
        state.active = side;
        state.replica = Known::new(left, cause);
        state.commit = Known::new(commit, cause);
        state.protected = false;
        state.written = false;
    }
    state.with_side(side, Known::new(twin, cause))
}

/// Starting this side takes back a switch that waits for its commit.
pub fn is_way_back(state: &State, side: Side) -> bool {
    state.active != side
        && state.commit.value == CommitState::Pending
        && matches!(state.replica.value, ReplicaState::Stale | ReplicaState::Diverged)
}
