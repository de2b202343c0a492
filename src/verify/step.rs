//! What one step makes of a machine's state: when it succeeds, and when it fails. The only place that
//! knows; rules only look.

use crate::base::Side;
use crate::plan::effect::{Effect, Mode};
use crate::plan::facts::{CommitState, ReplicaState};
use crate::plan::step::StepIx;
use crate::verify::state::{Cause, Known, State, Twin};

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
}

/// The state after the step succeeded. On and off are not changed twice: a start or stop of a side that
/// is in that state already does nothing.
pub fn succeeded(mut state: State, act: &Act) -> State {
    let done = Cause::Done(act.at);
    match act.effect {
        Effect::Nothing
        | Effect::Approved
        | Effect::Check { .. }
        | Effect::Snapshot
        | Effect::ReleaseSnapshot
        | Effect::StartCopy
        | Effect::DeleteCopy
        | Effect::ReverseReplicate => state,
        Effect::Transfer { .. } => {
            state.replica = Known::new(transferred(&state, act), done);
            state
        }
        Effect::Stop(side) if state.side(side).value == Twin::Off => state,
        Effect::Stop(side) => state.with_side(side, Known::new(Twin::Off, done)),
        Effect::Start(side) if state.active == side && state.side(side).value == Twin::On => state,
        Effect::Start(side) => started(state, side, Twin::On, done),
        Effect::Commit => {
            state.commit = Known::new(CommitState::Committed, done);
            state.with_side(Side::Cloud, Known::new(Twin::Missing, done))
        }
        Effect::CommitFailover => {
            state.commit = Known::new(CommitState::Committed, done);
            state
        }
        Effect::DeclareLost(side) => state.with_side(side, Known::new(Twin::Off, done)),
        Effect::CreateOnprem { .. } if state.onprem.value == Twin::Missing => {
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
            let mut dirty = state;
            dirty.replica = Known::new(ReplicaState::Dirty, cause);
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
        Effect::Commit => [state, state.with_side(Side::Cloud, Known::new(Twin::Missing, cause))],
        Effect::CreateOnprem { .. } | Effect::CommitFailover | Effect::DeclareLost(_) => {
            [state, succeeded(state, act)]
        }
        Effect::Nothing
        | Effect::Approved
        | Effect::Check { .. }
        | Effect::Snapshot
        | Effect::ReleaseSnapshot
        | Effect::StartCopy
        | Effect::DeleteCopy
        | Effect::ReverseReplicate => [state; 2],
    }
}

/// What a verified transfer leaves: a copy of stopped disks is current, any other is of an earlier moment.
fn transferred(state: &State, act: &Act) -> ReplicaState {
    let of_the_last_moment = act.snapshot.is_none_or(|snapshot| snapshot.is_current);
    if state.is_quiet() && of_the_last_moment { ReplicaState::Current } else { ReplicaState::Stale }
}

/// The machine runs on `side`, for all we know: that side holds the live data from now on, and the other
/// side's disks are of an earlier moment.
fn started(mut state: State, side: Side, twin: Twin, cause: Cause) -> State {
    if state.active == side {
        if state.replica.value == ReplicaState::Current {
            state.replica = Known::new(ReplicaState::Stale, cause);
        }
    } else {
        state.active = side;
        state.replica = Known::new(ReplicaState::Stale, cause);
        state.commit = Known::new(CommitState::Pending, cause);
    }
    state.with_side(side, Known::new(twin, cause))
}

/// A transfer that sends changes only.
pub fn is_delta(effect: Effect) -> bool {
    matches!(effect, Effect::Transfer { mode: Mode::Delta, .. })
}
