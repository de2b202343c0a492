//! What a step does to its machine, in the words of the verifier. Primitives say it; rules read it; no
//! rule names a primitive.

use serde::{Deserialize, Serialize};

use crate::base::Side;

/// How much a transfer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Only what changed: by change tracking, manifest or checksums. Needs a replica.
    Delta,
    /// Everything; compares nothing.
    Full,
}

/// What a script said about a transfer of its own accord.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chosen {
    /// Its mode was written, not left to `auto`.
    pub mode: bool,
    /// It may be a full one although the machine is down meanwhile.
    pub in_downtime: bool,
    /// It names the key of encrypted disks.
    pub key: bool,
}

impl Chosen {
    /// Nothing was said.
    pub const NOTHING: Chosen = Chosen { mode: false, in_downtime: false, key: false };
}

/// What a step does to its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing that a rule cares about: a wait, a command, a notification.
    Nothing,
    /// A person looked (a gate).
    Approved,
    /// A point-in-time copy of the active side.
    Snapshot,
    /// Gives a snapshot up.
    ReleaseSnapshot,
    /// Brings the passive side's disks up to the source: the snapshot it was given, or the machine.
    Transfer {
        /// How much it moves.
        mode: Mode,
        /// From a snapshot (a point in the past), not from the machine's disks as they are.
        from_snapshot: bool,
        /// What the script said about the way it is done.
        chosen: Chosen,
    },
    /// Turns a side off, for certain.
    Stop(Side),
    /// Boots a side.
    Start(Side),
    /// Proves that a side lives. `asserts`: the step fails when it does not.
    Check {
        /// The side asked; `None`: the one that runs at that point.
        side: Option<Side>,
        /// A dead machine fails the step.
        asserts: bool,
    },
    /// Deletes the cloud side for good.
    Commit,
    /// Ends a switch to the cloud; deletes nothing.
    CommitFailover,
    /// A person declares that this side is gone: nobody can turn it off, and its last writes are given up.
    DeclareLost(Side),
    /// Starts an isolated copy from a snapshot; the machine stays as it is.
    StartCopy,
    /// Deletes an isolated copy.
    DeleteCopy,
    /// Protects the running on-prem side towards the cloud again.
    ReverseReplicate,
    /// Creates the on-prem machine on a host, if it does not exist.
    CreateOnprem {
        /// Its home changes to another host: the replica stays behind.
        moves: bool,
    },
}

impl Effect {
    /// Whether the step changes the machine or its disks (and so needs the machine's lease).
    pub fn changes_machine(self) -> bool {
        !matches!(
            self,
            Effect::Nothing
                | Effect::Approved
                | Effect::Check { .. }
                | Effect::StartCopy
                | Effect::DeleteCopy
        )
    }
}
