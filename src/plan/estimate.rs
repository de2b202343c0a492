//! Estimates: stored beside a plan, never in its digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::MachineName;

/// What the journal remembers of earlier runs: how long a primitive took on a machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Seconds, by (primitive, machine), oldest first.
    pub durations_s: BTreeMap<(String, MachineName), Vec<f64>>,
}

/// What a plan will cost, in time and bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Seconds per step, in step order.
    pub step_s: Vec<f64>,
    /// From the first start to the last end, waits for people left out, seconds.
    pub makespan_s: f64,
    /// By machine.
    pub machines: BTreeMap<MachineName, MachineEstimate>,
    /// Steps of the longest path, in order, as places.
    pub critical_path: Vec<u32>,
    /// Some durations come from the journal's history; else all come from sizes and rates.
    pub from_history: bool,
}

/// What one machine will cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineEstimate {
    /// From its shutdown to its start and check, gates left out, seconds.
    pub downtime_s: f64,
    /// Copying while it runs, seconds.
    pub sync_s: f64,
    /// Bytes to move at most.
    pub bytes: u64,
}
