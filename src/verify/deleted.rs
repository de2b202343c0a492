//! What became of a machine's snapshots: which step may have deleted one before another step uses it.

use foldhash::HashMap;

use crate::plan::graph::Plan;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Step, StepIx};
use crate::verify::guards::Table;

/// Deletions in branches that are told apart; of any more each counts in every branch.
const APART_MAX: usize = 4;

/// Steps that delete the same, each with the scope whose conditions it is done under.
#[derive(Default)]
struct Deletions(Vec<(StepIx, ScopeIx)>);

impl Deletions {
    fn add(&mut self, by: StepIx, scope: ScopeIx) {
        let mut under = scope;
        if self.0.len() == APART_MAX {
            under = ScopeIx::PLAN;
        }
        if under == ScopeIx::PLAN {
            self.0.clear();
        }
        self.0.push((by, under));
    }

    /// The last one that may have been done where a step of `scope` is.
    fn before(&self, plan: &Plan, table: &Table<'_>, scope: ScopeIx) -> Option<StepIx> {
        let mut last_first = self.0.iter().rev();
        last_first.find(|(_, under)| !table.exclude(plan, *under, scope)).map(|(by, _)| *by)
    }
}

/// The deletions of one machine's snapshots so far.
#[derive(Default)]
pub(super) struct Deleted {
    /// Of every snapshot taken before.
    all: Deletions,
    /// Of one.
    one: HashMap<StepIx, Deletions>,
}

impl Deleted {
    /// Nothing was deleted.
    pub fn clear(&mut self) {
        self.all.0.clear();
        self.one.clear();
    }

    /// A step deletes every snapshot that there is.
    pub fn all(&mut self, by: StepIx, step: &Step) {
        self.all.add(by, step.scope);
    }

    /// A step gives one snapshot up.
    pub fn one(&mut self, snapshot: StepIx, by: StepIx, step: &Step) {
        self.one.entry(snapshot).or_default().add(by, step.scope);
    }

    /// The step that may have deleted a snapshot before `user` comes to use it.
    pub fn before(
        &self,
        plan: &Plan,
        table: &Table<'_>,
        snapshot: StepIx,
        user: &Step,
    ) -> Option<StepIx> {
        let with_all = self.all.before(plan, table, user.scope).filter(|by| snapshot < *by);
        with_all.or_else(|| self.one.get(&snapshot)?.before(plan, table, user.scope))
    }
}
