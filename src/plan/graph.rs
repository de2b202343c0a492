//! The plan: steps in the order written, edges to earlier steps only, and the facts it rests on.
//!
//! Because a handle exists only once its step was recorded, every edge points backwards: the order of
//! [`Plan::steps`] is a topological order, and a cycle cannot be written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::HashSet;

use crate::base::{Json, MachineName, Side, StepId};
use crate::plan::effect::Effect;
use crate::plan::facts::{Fact, Power};
use crate::plan::scope::{Acknowledgement, Scope};
use crate::plan::step::{Kind, Step, StepIx};

/// What a script means. Immutable once traced.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The script, as the user named it.
    pub script: String,
    /// Every parameter with the value it had.
    pub params: BTreeMap<String, Json>,
    /// In the order written.
    pub steps: Vec<Step>,
    /// Runs of steps with a meaning of their own, an outer one before those in it; the first is the plan.
    pub scopes: Vec<Scope>,
    /// Warnings that the script answers, in the order written.
    pub acknowledged: Vec<Acknowledgement>,
    /// Facts that the script or a rule read, with their values; sorted, unique.
    pub facts: BTreeSet<Fact>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            script: String::new(),
            params: BTreeMap::new(),
            steps: Vec::new(),
            scopes: vec![Scope::plan()],
            acknowledged: Vec::new(),
            facts: BTreeSet::new(),
        }
    }
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
        sorted(self.steps.iter().filter_map(|step| step.machine.as_ref()))
    }

    /// The machines it changes, sorted: those whose lease a run takes.
    pub fn changed_machines(&self) -> BTreeSet<&MachineName> {
        let changing = self.steps.iter().filter(|step| step.effect.changes_machine());
        sorted(changing.filter_map(|step| step.machine.as_ref()))
    }

    /// The sides of machines that it does without: it declares them lost, or an earlier run did.
    pub fn without_sides(&self) -> BTreeSet<(MachineName, Side)> {
        let lost = Json::from(Power::Lost.word());
        let known = |fact: &Fact| {
            let side = match &*fact.fact {
                "cloud.power" => Side::Cloud,
                "onprem.power" => Side::Onprem,
                _ => return None,
            };
            let machine = MachineName::new(&*fact.subject).ok().filter(|_| fact.holds(&lost))?;
            Some((machine, side))
        };
        let mut sides = self.lost_sides();
        sides.extend(self.facts.iter().filter_map(known));
        sides
    }

    /// The sides of machines that it declares lost.
    pub fn lost_sides(&self) -> BTreeSet<(MachineName, Side)> {
        let side = |step: &Step| match (step.effect, &step.machine) {
            (Effect::DeclareLost(side), Some(machine)) => Some((machine.clone(), side)),
            _ => None,
        };
        self.steps.iter().filter_map(side).collect()
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
            for (before, _) in step.edges() {
                dependents[before.at()].push(ix);
            }
        }
        dependents
    }
}

/// A set of names, each of which comes many times.
fn sorted<'a>(names: impl Iterator<Item = &'a MachineName>) -> BTreeSet<&'a MachineName> {
    let each: HashSet<&MachineName> = names.collect();
    each.into_iter().collect()
}

/// The place of the `at`th step. Plans are capped far below `u32::MAX` steps.
pub fn index(at: usize) -> StepIx {
    StepIx(u32::try_from(at).expect("BUG: a plan is capped below u32::MAX steps"))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::effect::{Chosen, Effect, Mode};
    use crate::plan::policy::Policy;
    use crate::plan::scope::ScopeIx;
    use crate::plan::step::{Origin, Reversibility, handle_to_json};
    use crate::source::Span;

    /// Builds plans without a script: step `n` stands at line `n + 1` of `draft.rhai`.
    #[derive(Default)]
    pub(crate) struct Draft {
        pub plan: Plan,
        last: HashMap<MachineName, StepIx>,
        barrier: Option<StepIx>,
    }

    pub(crate) fn machine(name: &str) -> MachineName {
        MachineName::new(name).unwrap()
    }

    impl Draft {
        /// A step on a machine's chain.
        pub fn step(&mut self, name: &str, effect: Effect) -> StepIx {
            let name = machine(name);
            let mut needs: Vec<StepIx> = self.last.get(&name).copied().into_iter().collect();
            needs.extend(self.barrier);
            let id = format!("{name}.act.{}", self.plan.steps.len());
            let ix = self.push(&id, Kind::Act, Some(name.clone()), effect, needs, Vec::new());
            self.last.insert(name, ix);
            ix
        }

        /// A transfer that was given a snapshot.
        pub fn transfer_of(&mut self, name: &str, snapshot: StepIx) -> StepIx {
            let effect = Effect::Transfer {
                mode: Mode::Delta,
                from_snapshot: true,
                chosen: Chosen::NOTHING,
            };
            let ix = self.step(name, effect);
            self.give(ix, snapshot);
            ix
        }

        /// Gives a step the handle of another.
        pub fn give(&mut self, ix: StepIx, of: StepIx) {
            let handle = handle_to_json(&self.plan.step(of).id);
            let step = &mut self.plan.steps[ix.at()];
            step.args = serde_json::json!({ "source": handle }).into();
            step.needs.push(of);
            step.needs.sort_unstable();
            step.needs.dedup();
        }

        /// A gate over everything so far.
        pub fn gate(&mut self, name: &str) -> StepIx {
            let mut waits: Vec<StepIx> = self.last.values().copied().collect();
            waits.sort_unstable();
            let needs = self.barrier.into_iter().collect();
            let ix = self.push(name, Kind::Gate, None, Effect::Approved, needs, waits);
            self.barrier = Some(ix);
            ix
        }

        fn push(
            &mut self,
            id: &str,
            kind: Kind,
            machine: Option<MachineName>,
            effect: Effect,
            mut needs: Vec<StepIx>,
            waits: Vec<StepIx>,
        ) -> StepIx {
            needs.sort_unstable();
            needs.dedup();
            let ix = index(self.plan.steps.len());
            let line = ix.0 + 1;
            let reversibility = match effect {
                Effect::Commit => Reversibility::Irreversible,
                _ => Reversibility::Reversible,
            };
            self.plan.steps.push(Step {
                id: StepId::new(id).unwrap(),
                primitive: "act",
                kind,
                machine,
                args: serde_json::json!({}).into(),
                needs,
                waits,
                follows: Vec::new(),
                scope: ScopeIx::PLAN,
                undoes: None,
                effect,
                reversibility,
                optional: false,
                policy: Arc::new(Policy::ONCE),
                origin: Arc::new(Origin {
                    at: Span::point("draft.rhai".into(), line, 1),
                    via: [].into(),
                }),
            });
            ix
        }
    }

    #[test]
    fn a_plan_of_gates_alone_has_nothing_to_do() {
        let mut draft = Draft::default();
        draft.gate("go");
        assert!(draft.plan.nothing_to_do());
        draft.step("web-01", Effect::Snapshot);
        assert!(!draft.plan.nothing_to_do());
        assert_eq!(draft.plan.dependents()[0], [StepIx(1)]);
    }
}
