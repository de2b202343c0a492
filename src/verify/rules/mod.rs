//! The rules: each looks at one state before one step. What a step does to a state is not their business.

mod commit;
mod power;
mod prerequisites;
mod replica;

use crate::base::{MachineName, Side};
use crate::plan::facts::{DirtyMark, FactLog};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::StepIx;
use crate::verify::state::{Cause, State};
use crate::verify::step::Act;

pub(super) use prerequisites::{host_connected, not_observed};

/// The codes that every plan is checked against.
pub const CODES: &[&str] = &["H001", "H002", "H003", "H004", "H006", "H007", "H008", "H009"];

/// What rules may look at besides a state.
pub(super) struct Ground<'a> {
    pub plan: &'a Plan,
    pub facts: &'a FactLog<'a>,
    pub inventory: &'a Inventory,
}

/// One state before one step.
pub(super) struct Look<'a> {
    pub ground: &'a Ground<'a>,
    pub machine: &'a MachineName,
    pub state: &'a State,
    pub act: &'a Act,
}

impl Look<'_> {
    /// The mark that a transfer of an earlier run left.
    pub fn dirty_mark(&self) -> Option<&DirtyMark> {
        self.ground.facts.peek().machines.get(self.machine)?.dirty.as_ref()
    }
}

/// A rule that a step breaks.
pub(super) struct Broken {
    pub code: &'static str,
    pub message: String,
    pub help: String,
    /// Steps that made it so, each with what it did.
    pub because: Vec<(StepIx, String)>,
    /// The state with which the proof goes on: as if the rule had been kept.
    pub repaired: State,
}

impl Broken {
    fn new(
        code: &'static str,
        repaired: State,
        message: String,
        help: impl Into<String>,
    ) -> Broken {
        Broken { code, message, help: help.into(), because: Vec::new(), repaired }
    }

    /// The same, with the step that made it so, when a step did: what it did when it succeeded, and what
    /// when it failed.
    fn because(mut self, cause: Cause, done: &str, failed: &str) -> Broken {
        match cause {
            Cause::Done(step) => self.because.push((step, done.to_owned())),
            Cause::Failed(step) => self.because.push((step, failed.to_owned())),
            Cause::Observed | Cause::Assumed => {}
        }
        self
    }
}

/// A rule.
type Rule = fn(&Look<'_>) -> Option<Broken>;

/// In this order; each sees what the ones before it repaired.
pub(super) const RULES: &[Rule] = &[
    commit::uses_what_was_deleted,
    prerequisites::side_exists,
    prerequisites::last_switch_committed,
    prerequisites::disks_stand_still,
    power::split_brain,
    replica::delta_onto_nothing,
    replica::fit_to_boot,
    commit::commits_too_early,
    prerequisites::something_to_commit,
    commit::reverses_too_early,
    prerequisites::protects_a_running_machine,
];

/// Where a side is, for a sentence.
fn place(side: Side) -> &'static str {
    match side {
        Side::Cloud => "in the cloud",
        Side::Onprem => "on-prem",
    }
}

/// What a side is called, for a sentence.
fn noun(side: Side) -> &'static str {
    match side {
        Side::Cloud => "cloud",
        Side::Onprem => "on-prem",
    }
}
