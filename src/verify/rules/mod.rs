//! The rules: each looks at one state before one step, or at the plan as it is written. What a step does
//! to a state is not their business.

mod commit;
mod hosts;
mod lost;
mod power;
mod prerequisites;
mod proof;
mod replica;
mod tiers;
mod transfer;
mod written;

use foldhash::HashMap;
use std::cell::OnceCell;

use crate::base::{MachineName, Side, StepId};
use crate::diagnostic::Severity;
use crate::plan::facts::{DirtyMark, FactLog};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::{Step, StepIx};
use crate::verify::lanes::Lanes;
use crate::verify::state::{Cause, State};
use crate::verify::step::Act;

pub(super) use prerequisites::{host_connected, not_observed};
pub(super) use proof::{is_ignored, rests_on_a_check};
pub(super) use tiers::Tiers;
pub(super) use written::{as_written, downtimes};

/// The codes that every plan is checked against.
pub const CODES: &[&str] = &[
    "H001", "H002", "H003", "H004", "H005", "H006", "H007", "H008", "H009", "H010", "H011", "H012",
    "H013", "H014", "H015", "H016", "H017", "H018", "H019", "H020",
];

/// Those that somebody should look at, and may answer; all others refuse the plan.
const WARNINGS: &[&str] = &["H005", "H011", "H013", "H014", "H016", "H017", "H019"];

/// How bad it is to break a rule.
pub(super) fn severity(code: &str) -> Severity {
    if WARNINGS.contains(&code) { Severity::Warning } else { Severity::Error }
}

/// What rules may look at besides a state.
pub(super) struct Ground<'a> {
    pub plan: &'a Plan,
    pub facts: &'a FactLog<'a>,
    pub inventory: &'a Inventory,
    pub lanes: Lanes<'a>,
    /// Places by id, once somebody asks.
    places: OnceCell<HashMap<StepId, StepIx>>,
}

impl<'a> Ground<'a> {
    pub fn new(plan: &'a Plan, facts: &'a FactLog<'a>, inventory: &'a Inventory) -> Ground<'a> {
        Ground { plan, facts, inventory, lanes: Lanes::of(plan), places: OnceCell::new() }
    }

    /// The place of a step.
    pub fn place(&self, id: &StepId) -> Option<StepIx> {
        let named = || self.plan.iter().map(|(ix, step)| (step.id.clone(), ix)).collect();
        self.places.get_or_init(named).get(id).copied()
    }
}

/// One state before one step.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub ground: &'a Ground<'a>,
    pub machine: &'a MachineName,
    pub state: &'a State,
    pub act: &'a Act,
    /// The gate that opened last before the step.
    pub gate: Option<StepIx>,
}

impl Look<'_> {
    /// The step.
    pub fn step(&self) -> &Step {
        self.ground.plan.step(self.act.at)
    }

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
    transfer::fits_the_month,
    hosts::fits_the_host,
    commit::uses_what_was_deleted,
    prerequisites::side_exists,
    lost::reads_what_is_lost,
    lost::declared_of_what_runs,
    lost::declared_of_the_only_copy,
    prerequisites::last_switch_committed,
    prerequisites::protected_towards,
    prerequisites::disks_stand_still,
    prerequisites::moves_what_lives_there,
    power::split_brain,
    replica::delta_onto_nothing,
    replica::fit_to_boot,
    transfer::full_in_the_downtime,
    commit::commits_too_early,
    prerequisites::something_to_commit,
    proof::commits_unproven,
    commit::reverses_too_early,
    prerequisites::protects_a_running_machine,
];

/// Rules that do not look at the state: asked once per step that can be reached.
pub(super) const STEP_RULES: &[Rule] = &[transfer::names_the_key, lost::declared_behind_a_gate];

/// Where a side is, for a sentence.
fn place(side: Side) -> &'static str {
    side.place()
}

/// What a side is called, for a sentence.
fn noun(side: Side) -> &'static str {
    match side {
        Side::Cloud => "cloud",
        Side::Onprem => "on-prem",
    }
}
