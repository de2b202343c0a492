//! How a machine can stand: its sides, its replica, its last switch, its protection; each with the word that
//! facts have for it.

use serde::{Deserialize, Serialize};

/// Whether a side runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs.
    On,
    /// It is really off.
    Off,
    /// Nobody can say; counts as on.
    Unknown,
    /// A person gave it up, and nobody sees it since; counts as off. No site says so: it takes both sides.
    Lost,
}

impl Power {
    /// As facts say it.
    pub fn word(self) -> &'static str {
        match self {
            Power::On => "on",
            Power::Off => "off",
            Power::Unknown => "unknown",
            Power::Lost => "lost",
        }
    }

    /// It certainly does not run, or somebody answers for that.
    pub fn is_off(self) -> bool {
        matches!(self, Power::Off | Power::Lost)
    }
}

/// What the replica's disks are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// There are no disks.
    Absent,
    /// The site could not say.
    Unknown,
    /// A transfer began and has not been verified: booting it may not work.
    Dirty,
    /// It was booted or written outside a transfer: its history is void, its blocks may be anything.
    Diverged,
    /// A verified copy of an earlier moment.
    Stale,
    /// A verified copy of the stopped source, which has not booted since.
    Current,
}

impl ReplicaState {
    /// As facts say it.
    pub fn word(self) -> &'static str {
        match self {
            ReplicaState::Absent => "absent",
            ReplicaState::Unknown => "unknown",
            ReplicaState::Dirty => "dirty",
            ReplicaState::Diverged => "diverged",
            ReplicaState::Stale => "stale",
            ReplicaState::Current => "current",
        }
    }
}

/// Where the last failover stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitState {
    /// The machine was switched over; the other side still exists and waits for its commit.
    Pending,
    /// Its commit began, and has not deleted the other side yet: there is only forward.
    Begun,
    /// The last failover was committed.
    Committed,
}

impl CommitState {
    /// As facts say it.
    pub fn word(self) -> &'static str {
        match self {
            CommitState::Pending => "pending",
            CommitState::Begun => "begun",
            CommitState::Committed => "committed",
        }
    }
}

/// Which way changes are replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// The on-prem machine is protected towards the cloud.
    OnpremToCloud,
    /// Nothing is protected.
    None,
}

impl Protection {
    /// As facts say it.
    pub fn word(self) -> &'static str {
        match self {
            Protection::OnpremToCloud => "onprem_to_cloud",
            Protection::None => "none",
        }
    }
}
