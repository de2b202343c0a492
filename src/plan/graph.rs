//! The plan: steps in the order written, edges to earlier steps only, and the facts it rests on.
//!
//! Because a handle exists only once its step was recorded, every edge points backwards: the order of
//! [`Plan::steps`] is a topological order, and a cycle cannot be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::{Json, MachineName, StepId};
use crate::plan::facts::Fact;
use crate::plan::step::{Kind, Step, StepIx};

/// What a script means. Immutable once traced.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The script, as the user named it.
    pub script: String,
    /// Every parameter with the value it had.
    pub params: BTreeMap<String, Json>,
    /// In the order written.
    pub steps: Vec<Step>,
    /// Named groups of steps, in the order written.
    pub groups: Vec<Group>,
    /// Facts that the script or a rule read, with their values; sorted, unique.
    pub facts: BTreeSet<Fact>,
}

/// A named scope: the steps written inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// First step.
    pub first: StepIx,
    /// One past the last step.
    pub end: StepIx,
}

impl Plan {
    /// A step.
    pub fn step(&self, ix: StepIx) -> &Step {
        &self.steps[ix.at()]
    }

    /// Steps with their places, in the order written.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (StepIx, &Step)> + ExactSizeIterator {
        self.steps.iter().enumerate().map(|(at, step)| (index(at), step))
    }

    /// Places by id.
    pub fn by_id(&self) -> HashMap<&StepId, StepIx> {
        self.iter().map(|(ix, step)| (&step.id, ix)).collect()
    }

    /// The machines it touches, sorted.
    pub fn machines(&self) -> BTreeSet<&MachineName> {
        self.steps.iter().filter_map(|step| step.machine.as_ref()).collect()
    }

    /// The machines it changes, sorted: those whose lease a run takes.
    pub fn changed_machines(&self) -> BTreeSet<&MachineName> {
        let changing = self.steps.iter().filter(|step| step.effect.changes_machine());
        changing.filter_map(|step| step.machine.as_ref()).collect()
    }

    /// No step touches a machine or runs a command: gates and waits alone.
    pub fn nothing_to_do(&self) -> bool {
        let idle = |kind| matches!(kind, Kind::Gate | Kind::Timer | Kind::Barrier);
        self.steps.iter().all(|step| step.machine.is_none() && idle(step.kind))
    }

    /// The steps that wait for each step, in order.
    pub fn dependents(&self) -> Vec<Vec<StepIx>> {
        let mut dependents = vec![Vec::new(); self.steps.len()];
        for (ix, step) in self.iter() {
            for before in step.needs.iter().chain(&step.waits) {
                dependents[before.at()].push(ix);
            }
        }
        dependents
    }
}

/// The place of the `at`th step. Plans are capped far below `u32::MAX` steps.
pub fn index(at: usize) -> StepIx {
    StepIx(u32::try_from(at).expect("BUG: a plan is capped below u32::MAX steps"))
}
