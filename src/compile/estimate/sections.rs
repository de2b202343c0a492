//! How long each machine copies and how long it is down, of a plan that was played through.

use std::collections::BTreeMap;

use crate::base::MachineName;
use crate::compile::estimate::play::Time;
use crate::compile::estimate::ways::Way;
use crate::plan::effect::Effect;
use crate::plan::estimate::MachineEstimate;
use crate::plan::facts::{FactLog, Power};
use crate::plan::graph::Plan;
use crate::plan::step::{Kind, Step, StepIx};
use crate::primitives::contract::Cost;

/// What the estimates of one machine are made of.
#[derive(Default)]
pub(super) struct Section {
    pub estimate: MachineEstimate,
    /// The step that turned it off first, on whichever side, and when.
    pub off: Option<(StepIx, f64)>,
    /// It did not run when the plan was made.
    down_before: bool,
    started: bool,
    checked: bool,
    /// Gates that it waits for while it is down.
    pub gates: Vec<StepIx>,
}

impl Section {
    fn is_down(&self) -> bool {
        self.off.is_some() && !self.started
    }

    /// Takes note of the gates that a step waits for.
    fn wait(&mut self, plan: &Plan, ix: StepIx, step: &Step) {
        let Some((off, _)) = self.off.filter(|_| self.is_down()) else { return };
        let asked = step.needs.iter().copied().chain([ix]);
        let gates = asked.filter(|at| *at > off && plan.step(*at).kind == Kind::Gate);
        self.gates.extend(gates);
        self.gates.dedup();
    }

    fn take(&mut self, step: &Step, ix: StepIx, cost: &Cost, time: Time) {
        match (step.effect, self.down_since()) {
            (Effect::Transfer { .. }, _) => {
                self.estimate.bytes += cost.bytes;
                if self.off.is_none() {
                    self.estimate.sync_s += time.end_s - time.start_s;
                }
            }
            (Effect::Stop(_), _) if self.off.is_none() => {
                self.off = Some((ix, time.start_s));
                self.estimate.down_from_s = Some(time.start_s);
            }
            (Effect::Start(_), Some(since_s)) if !self.started => {
                self.started = true;
                self.estimate.down_from_s = Some(since_s);
                self.estimate.downtime_s = time.end_s - since_s;
            }
            (Effect::Check { .. }, Some(since_s)) if self.started && !self.checked => {
                self.checked = true;
                self.estimate.downtime_s = time.end_s - since_s;
            }
            _ => {}
        }
    }

    /// When it went down: by a step, or before the first one.
    fn down_since(&self) -> Option<f64> {
        self.off.map(|(_, at_s)| at_s).or(self.down_before.then_some(0.0))
    }
}

/// By machine; `facts`: what was known when the plan was made.
pub(super) fn sections<'a>(
    plan: &'a Plan,
    facts: &FactLog<'_>,
    costs: &[Cost],
    times: &[Time],
    way: &Way,
) -> BTreeMap<&'a MachineName, Section> {
    let mut sections: BTreeMap<&MachineName, Section> = BTreeMap::new();
    for (ix, step) in plan.iter() {
        let Some(machine) = step.machine.as_ref().filter(|_| way.takes(ix)) else { continue };
        let section = sections.entry(machine).or_insert_with(|| Section {
            down_before: is_down(facts, machine),
            ..Section::default()
        });
        section.wait(plan, ix, step);
        section.take(step, ix, &costs[ix.at()], times[ix.at()]);
    }
    sections
}

/// Nobody saw it run where its data is.
fn is_down(facts: &FactLog<'_>, machine: &MachineName) -> bool {
    let told = |fact: &str| facts.told(machine, fact);
    let power = match told("where") {
        Some(side) if side == "cloud" => told("cloud.power"),
        Some(_) => told("onprem.power"),
        None => None,
    };
    power.is_some_and(|power| power != Power::On.word())
}

/// Of two ways, for each machine the one on which it is down for longer; it copies as much as on any.
pub(super) fn longer<'a>(
    mut sections: BTreeMap<&'a MachineName, Section>,
    other: BTreeMap<&'a MachineName, Section>,
) -> BTreeMap<&'a MachineName, Section> {
    for (name, section) in other {
        let known = sections.entry(name).or_default();
        let [ours, theirs] = [known.estimate, section.estimate];
        if theirs.downtime_s > ours.downtime_s {
            *known = section;
        }
        known.estimate.sync_s = ours.sync_s.max(theirs.sync_s);
        known.estimate.bytes = ours.bytes.max(theirs.bytes);
    }
    sections
}
