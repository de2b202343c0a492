//! What a person asks of a run, from any process.

use serde::{Deserialize, Serialize};

use crate::base::{MachineName, StepId};
use crate::plan::facts::Fact;

/// A request to the process that owns a run; stored in the journal until it is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Let a gate open.
    Approve {
        /// The gate.
        gate: StepId,
        /// Why, or a change ticket.
        comment: Option<String>,
    },
    /// Say no at a gate.
    Reject {
        /// The gate.
        gate: StepId,
        /// Why.
        comment: Option<String>,
    },
    /// Try a failed step again.
    Retry {
        /// The step.
        step: StepId,
    },
    /// Leave a step out: a person answers for what it was to do.
    Skip {
        /// The step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// Let a machine take no further step; what waited for it goes on without it.
    Exclude {
        /// The machine.
        machine: MachineName,
        /// Why.
        reason: String,
    },
    /// Go on although a fact is no longer what it was when the plan was reviewed.
    Accept {
        /// The fact, with the value that it has now.
        fact: Fact,
        /// Why.
        reason: String,
    },
    /// Stop at safe points, for good.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
}

impl Command {
    /// In words, for a person who looks at the run.
    pub fn words(&self) -> String {
        match self {
            Command::Approve { gate, .. } => format!("approve {gate}"),
            Command::Reject { gate, .. } => format!("reject {gate}"),
            Command::Retry { step } => format!("retry {step}"),
            Command::Skip { step, .. } => format!("skip {step}"),
            Command::Exclude { machine, .. } => format!("exclude {machine}"),
            Command::Accept { fact, .. } => format!("accept {}: {}", fact.subject, fact.fact),
            Command::Cancel { .. } => "cancel".to_owned(),
        }
    }
}

/// Who asked, as far as a machine can tell. Not authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The login name.
    pub who: String,
    /// The host it was asked from.
    pub from: String,
}
