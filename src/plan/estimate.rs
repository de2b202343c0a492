//! Estimates: stored beside a plan, never in its digest.

use std::collections::BTreeMap;

use crate::base::{MachineName, StepId};

/// What the journal remembers of earlier runs: how long the successful try of a step took, seconds, oldest
/// first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Of the same script, by step.
    pub steps: BTreeMap<StepId, Vec<f64>>,
    /// Of any script, by primitive and machine.
    pub machines: BTreeMap<(String, MachineName), Vec<f64>>,
}

/// What a plan will cost, in time and bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimates {
    /// In step order.
    pub steps: Vec<StepEstimate>,
    /// From the first start to the last end, waits for people left out, seconds.
    pub makespan_s: f64,
    /// By machine.
    pub machines: BTreeMap<MachineName, MachineEstimate>,
    /// Steps of the longest path, in order, as places.
    pub critical_path: Vec<u32>,
    /// Machines that go down without a slot for their last changes, since the plan stops them together, where
    /// they are more than may be copied at once: some of them queue while they are down.
    pub queued: u32,
}

impl Estimates {
    /// Seconds per step, in step order.
    pub fn step_s(&self) -> Vec<f64> {
        self.steps.iter().map(|step| step.seconds).collect()
    }

    /// How many of its steps were seen in earlier runs, of how many that take any time.
    pub fn remembered(&self) -> (usize, usize) {
        let costly = self.steps.iter().filter(|step| step.seconds > 0.0);
        let seen = costly.clone().filter(|step| matches!(step.basis, Basis::Runs(_)));
        (seen.count(), costly.count())
    }
}

/// What one step will cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepEstimate {
    /// When it starts, seconds after the run's start, waits for people left out; `None`: a step that is
    /// left out where all goes well (a handler), or of the branch that is not taken.
    pub start_s: Option<f64>,
    /// How long it takes, seconds: half of the times no longer.
    pub seconds: f64,
    /// Nine times of ten no longer, seconds; never less than `seconds`.
    pub slow_s: f64,
    /// Where this comes from.
    pub basis: Basis,
}

/// Where an estimate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Sizes, rates, and round numbers.
    #[default]
    Sizes,
    /// How long it took in that many earlier runs.
    Runs(u32),
}

/// What one machine will cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MachineEstimate {
    /// From its shutdown to its start and check, gates left out, seconds.
    pub downtime_s: f64,
    /// When it goes down, seconds after the run's start; `None`: it never does.
    pub down_from_s: Option<f64>,
    /// Copying while it runs, seconds.
    pub sync_s: f64,
    /// Bytes to move at most.
    pub bytes: u64,
}
