//! What goes into the core and what comes out: closed, owned, and serializable where it leaves the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Json, MachineName, RunId, Side, StepId, Timestamp};
use crate::journal::Waiting;
use crate::plan::step::StepIx;
use crate::run::event::{Event, EventBody};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;

/// One attempt to make. Complete: a worker on another host needs nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepId,
    /// The process that orders it.
    pub epoch: u32,
    /// Which try, from 1. A try that a dead process left behind is made again under its number.
    pub attempt: u32,
    /// What to do, by name.
    pub primitive: String,
    /// On which machine.
    pub machine: Option<MachineName>,
    /// How, as the plan has it.
    pub args: Arc<Json>,
    /// Outputs of the steps whose handles stand in `args`, by argument.
    pub inputs: BTreeMap<String, Arc<Json>>,
    /// Outputs of the steps that deferred values in `args` read.
    pub outputs: BTreeMap<StepId, Arc<Json>>,
    /// When it will be stopped, if it has a time limit of its own.
    pub deadline: Option<Timestamp>,
    /// How long the attempt may take, milliseconds; `None` when unlimited or limited by its progress.
    pub time_limit_ms: Option<u64>,
    /// The cursor that an earlier try saved.
    pub cursor: Option<Vec<u8>>,
    /// What an earlier try announced to delete.
    pub intended: Option<Json>,
    /// The run's claim of the machine, per side.
    pub tokens: BTreeMap<Side, u64>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The step.
    pub step: StepId,
    /// Which try.
    pub attempt: u32,
    /// Its outputs, or why not.
    pub result: Result<Json, Failure>,
}

/// A fact that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Which, and how: a sentence.
    pub text: String,
    /// The machines that it speaks of; none: it cannot be said.
    pub machines: BTreeSet<MachineName>,
}

impl From<String> for Changed {
    fn from(text: String) -> Changed {
        Changed { text, machines: BTreeSet::new() }
    }
}

/// What differs from the facts that a plan rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What holds the run.
    pub hold: Vec<Changed>,
    /// Machines to leave out, and why.
    pub drop: BTreeMap<MachineName, String>,
}

/// What the core is told.
#[derive(Debug)]
pub enum Input {
    /// The journal has been folded and requests that waited are in: go.
    Begin,
    /// An event became durable.
    Appended(Event),
    /// An attempt ended.
    Report(Report),
    /// An attempt got on.
    Progressed(StepId),
    /// An attempt announces what it will delete.
    Intent {
        /// The step.
        step: StepId,
        /// Ids and generations.
        deletes: Json,
    },
    /// A person asks for something.
    Command(Waiting),
    /// The facts have been observed again.
    Rechecked {
        /// What asked for it.
        why: Why,
        /// What differs from what was reviewed.
        changes: Changes,
    },
    /// The touched machines have been looked at.
    Looked {
        /// What a person is needed for, one sentence each.
        dangers: Vec<String>,
    },
    /// The machines have been given back at their sites.
    Released,
    /// A machine that takes no further step has been given back at its sites.
    GivenBack(MachineName),
    /// It is as late as the core asked to be woken.
    Tick,
    /// The process was asked to stop.
    Interrupt,
}

/// What the driver is asked to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Journal it; `Appended` follows.
    Append {
        /// The event.
        body: EventBody,
        /// The request that it answers.
        command: Option<i64>,
    },
    /// Mark a request as taken in: nothing follows from it.
    Dismiss(i64),
    /// Make an attempt; `Report` follows.
    Start(Box<Order>),
    /// Ask an attempt to stop at its next safe point.
    Cancel(StepId),
    /// Drop an attempt: it was asked to stop long ago and does not. `Report` follows. What it began at a site
    /// may still happen: before the next attempt on that machine it is claimed anew, which fences that out.
    Abandon(StepId),
    /// Observe the facts again; `Rechecked` follows.
    Recheck(Why),
    /// Look at the touched machines; `Looked` follows.
    Look,
    /// Give the machines back at their sites; `Released` follows.
    Release,
    /// Give one machine back, which takes no further step; `GivenBack` follows.
    GiveBack(MachineName),
    /// The run has left in order; it is journalled.
    Done(Outcome),
}

/// Why facts are observed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The process begins to work on the run.
    Begin,
    /// A gate opened.
    Opened(StepIx),
    /// A gate got a yes.
    Answered(StepIx),
    /// A step is about to turn a machine off or delete one.
    Before(StepIx),
}
