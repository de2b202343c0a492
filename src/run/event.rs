//! What happened in a run: durable, ordered, chained. One family, owned and serializable.

use serde::{Deserialize, Serialize};

use crate::base::{
    Json, MachineName, PlanId, RunId, Side, SiteName, SnapshotId, StepId, Timestamp,
};
use crate::plan::facts::Fact;
use crate::run::command::Asker;
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;

/// One durable event, as the journal holds it and `--output jsonl` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The run.
    pub run: RunId,
    /// Counts from 1 without gaps.
    pub seq: u64,
    /// When it was journalled.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum EventBody {
    /// The run began.
    RunStarted {
        /// The plan it executes.
        plan_id: PlanId,
        /// What the plan means.
        digest: String,
        /// The script it came from.
        script: String,
        /// Gates answered in advance, by name; `all` for every one.
        approved: Vec<String>,
        /// Who began it.
        by: Asker,
    },
    /// A step is about to be tried. Journalled before anything is done.
    AttemptStarted {
        /// The step.
        step: StepId,
        /// Counts from 1.
        attempt: u32,
        /// The process that tries: grows by one with every resume.
        epoch: u32,
    },
    /// A try failed and another will follow.
    AttemptFailed {
        /// The step.
        step: StepId,
        /// Which try.
        attempt: u32,
        /// Why.
        failure: Failure,
        /// Milliseconds until the next try.
        retry_in_ms: u64,
    },
    /// A step's postcondition holds.
    StepSucceeded {
        /// The step.
        step: StepId,
        /// Which try.
        attempt: u32,
        /// What it found or made.
        outputs: Json,
    },
    /// A step failed for good.
    StepFailed {
        /// The step.
        step: StepId,
        /// The last try; 0 when it was never tried.
        attempt: u32,
        /// Why.
        failure: Failure,
    },
    /// A step was left out, in order: by its guard, or because there was nothing to handle or undo.
    StepSkipped {
        /// The step.
        step: StepId,
        /// Why, for a person.
        reason: String,
        /// The person who left it out; `None`: the plan itself did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Asker>,
    },
    /// A machine takes no further step in this run.
    MachineExcluded {
        /// The machine.
        machine: MachineName,
        /// Why.
        reason: String,
        /// Who decided.
        by: Asker,
    },
    /// Nothing of such a machine was under way any more: from here on another run may take it.
    MachineGivenBack {
        /// The machine.
        machine: MachineName,
    },
    /// A person asked to try a failed step again; its tries count anew.
    StepRetried {
        /// The step.
        step: StepId,
        /// Who asked.
        by: Asker,
    },
    /// A gate waits for a person.
    GateOpened {
        /// The gate.
        step: StepId,
        /// What is asked.
        message: String,
        /// When it will count as rejected.
        expires_at: Option<Timestamp>,
    },
    /// A gate was answered.
    GateAnswered {
        /// The gate.
        step: StepId,
        /// How.
        answer: Answer,
        /// Who.
        by: Asker,
        /// Why.
        comment: Option<String>,
    },
    /// What a step will delete, journalled before the first deletion.
    Intent {
        /// The step.
        step: StepId,
        /// What will be deleted: a [`Deletes`], as data.
        deletes: Json,
    },
    /// The run waits: facts changed since the plan was made.
    RunHeld {
        /// What changed, one sentence each.
        changed: Vec<String>,
    },
    /// A fact that changed counts from here on with the value that it has by now; the plan was proved with it.
    FactAccepted {
        /// The fact, with that value.
        fact: Fact,
        /// Why.
        reason: String,
        /// Who decided.
        by: Asker,
    },
    /// A person asked to end the run for good.
    CancelAsked {
        /// Who.
        by: Asker,
        /// Why.
        reason: Option<String>,
    },
    /// Another process took the run up again.
    RunResumed {
        /// Its epoch.
        epoch: u32,
    },
    /// The owning process left the run in order.
    RunEnded {
        /// How the run stands.
        outcome: Outcome,
    },
}

/// A machine's side that is about to be deleted for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletes {
    /// The machine.
    pub machine: MachineName,
    /// Its side that goes.
    pub side: Side,
    /// Where that is.
    pub site: SiteName,
    /// The side's boot and disk state: in another one it is not deleted.
    pub generation: String,
    /// Its snapshots: they go too.
    pub snapshots: Vec<SnapshotId>,
    /// Its disks that stay, as the base of protection.
    pub disks_kept: Vec<String>,
}

/// How a gate was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes, by a person at that moment.
    Approved,
    /// Yes, before the run began.
    ApprovedInAdvance,
    /// No.
    Rejected,
    /// Nobody answered in time, which counts as no.
    TimedOut,
    /// Nobody answered in time, and the plan goes on then.
    WentOn,
}

impl EventBody {
    /// The step it speaks of.
    pub fn step(&self) -> Option<&StepId> {
        use EventBody as E;
        match self {
            E::AttemptStarted { step, .. }
            | E::AttemptFailed { step, .. }
            | E::StepSucceeded { step, .. }
            | E::StepFailed { step, .. }
            | E::StepRetried { step, .. }
            | E::StepSkipped { step, .. }
            | E::GateOpened { step, .. }
            | E::GateAnswered { step, .. }
            | E::Intent { step, .. } => Some(step),
            E::RunStarted { .. }
            | E::RunHeld { .. }
            | E::FactAccepted { .. }
            | E::CancelAsked { .. }
            | E::MachineExcluded { .. }
            | E::MachineGivenBack { .. }
            | E::RunResumed { .. }
            | E::RunEnded { .. } => None,
        }
    }
}

/// What a running attempt says of itself. Lossy: it may be dropped, it is never journalled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The step.
    pub step: StepId,
    /// Bytes or units done.
    pub done: u64,
    /// Of how many; 0 when unknown.
    pub total: u64,
    /// Bytes sent so far (less than done when most was equal).
    pub sent: u64,
    /// A word for the view: `comparing`, `verifying`.
    pub note: String,
}

/// What a reporter is told: durable events in order, and progress between them.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// It is in the journal already.
    Event(Event),
    /// It may be missing.
    Progress(Progress),
}
