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
    /// There was no such side when the plan was made.
    Missing,
    /// A commit of this plan deleted it, or may have.
    Deleted,
    /// A person declared it lost: it is off for good, and nothing can be read from it.
    Lost,
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

/// What vouches for the side that runs: what a commit rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nobody looked since it started.
    None,
    /// Somebody looked, and the plan goes on whatever was seen.
    Ignored,
    /// A check succeeded or a person agreed since it started.
    Given,
}

/// Guards remembered at once, per machine; of any more both outcomes are taken together.
pub const GUARDS_MAX: usize = 4;

/// What a state knows of conditions: which were met on the way here, and how they came out. A condition
/// has one value in a run, so what is known stays true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards([u32; GUARDS_MAX]);

impl Guards {
    /// How a condition came out, if it was met.
    pub fn value(&self, cond: u32) -> Option<bool> {
        let lane = self.0.iter().find(|lane| **lane >> 1 == cond + 1)?;
        Some(lane & 1 == 1)
    }

    /// The same, with a condition's value; unchanged when there is no room.
    #[must_use]
    pub fn with(mut self, cond: u32, value: bool) -> Guards {
        if let Some(lane) = self.0.iter_mut().find(|lane| **lane == 0) {
            *lane = (cond + 1) << 1 | u32::from(value);
            self.0.sort_unstable_by(|a, b| b.cmp(a));
        }
        self
    }

    /// The same, without a condition that nothing will ask for any more.
    #[must_use]
    pub fn without(mut self, cond: u32) -> Guards {
        if let Some(lane) = self.0.iter_mut().find(|lane| **lane >> 1 == cond + 1) {
            *lane = 0;
            self.0.sort_unstable_by(|a, b| b.cmp(a));
        }
        self
    }
}

/// One thing that a machine may be. Equal when the values are, so the states of one machine stay few,
/// however long its chain is. Of witnesses only that counts which a rule asks for ([`State::asked`]): two
/// states taken for one, which some rule tells apart, would hide what is wrong with the other.
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
    /// What vouches for the side that runs.
    pub proof: Known<Proof>,
    /// This plan protects it towards the cloud.
    pub protected: bool,
    /// The passive side's disks were written as a replica since the last switch: a cloud side that is
    /// gone is made anew from them.
    pub written: bool,
    /// What is known of guards.
    pub guards: Guards,
    /// Clean-ups that it only passes through: behind them its chain has come to rest. One bit each.
    pub aside: u8,
}

impl PartialEq for State {
    fn eq(&self, other: &State) -> bool {
        let sides = |s: &State| (s.active, s.cloud.value, s.onprem.value);
        let rest = |s: &State| (s.replica.value, s.commit.value, s.proof.value);
        let plan = |s: &State| (s.protected, s.written, s.asked());
        sides(self) == sides(other)
            && rest(self) == rest(other)
            && plan(self) == plan(other)
            && self.guards == other.guards
            && self.aside == other.aside
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

    /// What rules decide by witnesses: the replica is as it was observed, a step of the plan made the
    /// active side what it is, the commit was taken for granted after a report.
    fn asked(&self) -> (bool, bool, bool) {
        (
            self.replica.cause == Cause::Observed,
            matches!(self.side(self.active).cause, Cause::Done(_)),
            self.commit.cause == Cause::Assumed,
        )
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

    /// Every state changed, those that became equal taken together.
    #[must_use]
    pub fn map(&self, change: impl Fn(State) -> State) -> StateSet {
        let mut changed = StateSet::default();
        self.iter().for_each(|state| changed.insert(change(*state)));
        changed
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
