//! The ground: names, ids, units and the two sides of a machine. Imports nothing from the crate.
//!
//! In: text. Out: validated values. Refuses to know: files, clocks, plans.

pub mod moment;
mod names;
mod shared;
pub mod units;

pub use names::{
    CopyId, Digest, HostName, InvalidName, MachineName, PlanId, RunId, SiteName, SnapshotId,
    StepId, StepKey, SyncId,
};
pub use shared::{Shared, SharedTexts};

use serde::{Deserialize, Serialize};

/// Untyped data: options of a step, outputs of a step, provider settings.
pub type Json = serde_json::Value;

/// A moment in time; written as RFC 3339 in UTC.
pub type Timestamp = jiff::Timestamp;

/// One of the two places a protected machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The machine in the cloud (where it ran during the disaster).
    Cloud,
    /// The machine on-premises (home).
    Onprem,
}

impl Side {
    /// The twin side.
    pub fn other(self) -> Side {
        match self {
            Side::Cloud => Side::Onprem,
            Side::Onprem => Side::Cloud,
        }
    }

    /// Where that is, for a sentence.
    pub fn place(self) -> &'static str {
        match self {
            Side::Cloud => "in the cloud",
            Side::Onprem => "on-prem",
        }
    }

    /// As scripts and facts write it: `cloud`, `onprem`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Cloud => "cloud",
            Side::Onprem => "onprem",
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
