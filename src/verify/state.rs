//! What the proof knows of one machine at one point of a plan, and which step made it so.

use crate::base::Side;
use crate::plan::facts::{CommitState, ReplicaState};
use crate::plan::step::StepIx;

/// How one side of a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Twin {
    /// It runs.
    On,
    /// It is really off.
    Off,
    /// Nobody can say; counts as on.
    Unknown,
    /// There is no such side.
    Missing,
}

impl Twin {
    /// It may be running.
    pub fn may_run(self) -> bool {
        matches!(self, Twin::On | Twin::Unknown)
    }
}

/// Why something is as it is: the witness of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It was so when the plan was made.
    Observed,
    /// A step did it.
    Done(StepIx),
    /// A step that failed may have left it so.
    Failed(StepIx),
    /// A broken rule was reported and the proof goes on as if it had been kept: one mistake, one report.
    Assumed,
}

/// A value and its witness.
#[derive(Clone, Copy, Debug)]
pub struct Known<T> {
    /// The value.
    pub value: T,
    /// Its witness.
    pub cause: Cause,
}

impl<T> Known<T> {
    /// A value with its witness.
    pub fn new(value: T, cause: Cause) -> Known<T> {
        Known { value, cause }
    }

    /// What a reported rule should have ensured.
    pub fn assumed(value: T) -> Known<T> {
        Known::new(value, Cause::Assumed)
    }
}

/// One thing that a machine may be. Equal when the values are: witnesses do not count, so the states of
/// one machine stay few, however long its chain is.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// The side that holds the live data.
    pub active: Side,
    /// The cloud side.
    pub cloud: Known<Twin>,
    /// The on-prem side.
    pub onprem: Known<Twin>,
    /// What the passive side's disks are worth.
    pub replica: Known<ReplicaState>,
    /// Where the last switch stands.
    pub commit: Known<CommitState>,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        let values =
            |s: &State| (s.active, s.cloud.value, s.onprem.value, s.replica.value, s.commit.value);
        values(self) == values(other)
    }
}

impl State {
    /// One side.
    pub fn side(&self, side: Side) -> Known<Twin> {
        match side {
            Side::Cloud => self.cloud,
            Side::Onprem => self.onprem,
        }
    }

    /// The same with one side as given.
    #[must_use]
    pub fn with_side(mut self, side: Side, twin: Known<Twin>) -> State {
        match side {
            Side::Cloud => self.cloud = twin,
            Side::Onprem => self.onprem = twin,
        }
        self
    }

    /// The side that holds the live data is certainly off: nothing is being written.
    pub fn is_quiet(&self) -> bool {
        !self.side(self.active).value.may_run()
    }
}

/// A small set of states, in the order found.
#[derive(Clone, Debug, Default)]
pub struct StateSet(Vec<State>);

impl StateSet {
    /// A set of one.
    pub fn of(state: State) -> StateSet {
        StateSet(vec![state])
    }

    /// Takes a state in; one with the same values keeps its older witness.
    pub fn insert(&mut self, state: State) {
        if !self.0.contains(&state) {
            self.0.push(state);
        }
    }

    /// Takes all of another set in.
    pub fn join(&mut self, other: &StateSet) {
        other.iter().for_each(|state| self.insert(*state));
    }

    /// Takes every state out and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// In the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, State> {
        self.0.iter()
    }

    /// No path leads here.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
