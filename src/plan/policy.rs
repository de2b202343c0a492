//! How often a step is tried and how long it may take.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Retries and time limits of one step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Tries in all, the first included; at least 1.
    pub attempts: u32,
    /// Longest wait before the second try, milliseconds; doubles from there (full jitter).
    pub first_ms: u64,
    /// Longest wait between two tries, milliseconds.
    pub max_ms: u64,
    /// Longest time of one attempt, milliseconds; for a transfer the longest time *without progress*.
    /// `None` (`null`): unlimited.
    pub timeout_ms: Option<u64>,
}

impl Policy {
    /// One try, as long as it takes.
    pub const ONCE: Policy = Policy { attempts: 1, first_ms: 0, max_ms: 0, timeout_ms: None };

    /// The upper bound of the wait before attempt `next` (2 is the first retry).
    pub fn backoff_max(&self, next: u32) -> Duration {
        let doublings = next.saturating_sub(2).min(32);
        Duration::from_millis(self.first_ms.saturating_mul(1 << doublings).min(self.max_ms))
    }
}
