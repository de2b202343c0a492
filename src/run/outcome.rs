//! How a run stands when its process leaves it.

use serde::{Deserialize, Serialize};

/// The outcome of a run (§ 14 of the plan format; exit codes are the entrance's business).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every required step's postcondition held.
    Succeeded,
    /// The same, but something was skipped, excluded, or failed though optional.
    SucceededWithExceptions,
    /// A required step failed; every machine is up and its data safe.
    Failed,
    /// A required step failed and a machine is down, dirty or half committed.
    FailedUnsafe,
    /// A gate waits for a person.
    Waiting,
    /// A fact changed since the plan was made.
    Stale,
    /// Another process owns the run, or another run the machine. Never journalled.
    Busy,
    /// Stopped in order; resumable.
    Interrupted,
    /// Cancelled for good.
    Cancelled,
    /// A gate was rejected or timed out.
    Rejected,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Outcome::Succeeded => "succeeded",
            Outcome::SucceededWithExceptions => "succeeded with exceptions",
            Outcome::Failed => "failed",
            Outcome::FailedUnsafe => "failed, and a person is needed",
            Outcome::Waiting => "waits at a gate",
            Outcome::Stale => "stale",
            Outcome::Busy => "busy",
            Outcome::Interrupted => "interrupted",
            Outcome::Cancelled => "cancelled",
            Outcome::Rejected => "rejected",
        })
    }
}

impl Outcome {
    /// The run is over: it cannot be resumed and holds no lease.
    pub fn is_over(self) -> bool {
        use Outcome::{Cancelled, Rejected, Succeeded, SucceededWithExceptions};
        matches!(self, Succeeded | SucceededWithExceptions | Cancelled | Rejected)
    }
}
