//! Questions about the graph that a reviewer asks: what stands before a step, who is down at a gate.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::step::{Kind, StepIx};

/// Each gate examined costs one walk over the plan; a plan with more gates than this says less of each.
const GATES_EXAMINED_MAX: usize = 32;

/// All steps that must be settled before `ix`, itself left out; by place.
pub fn before(plan: &Plan, ix: StepIx) -> Vec<bool> {
    let mut found = vec![false; plan.steps.len()];
    let mut open = vec![ix];
    while let Some(at) = open.pop() {
        for (earlier, _) in plan.step(at).edges() {
            if !std::mem::replace(&mut found[earlier.at()], true) {
                open.push(earlier);
            }
        }
    }
    found
}

/// The last gate that must be settled before a step.
pub fn last_gate(plan: &Plan, ix: StepIx) -> Option<StepIx> {
    let before = before(plan, ix);
    gates(plan).into_iter().rev().find(|gate| before[gate.at()])
}

/// All gates, in order.
pub fn gates(plan: &Plan) -> Vec<StepIx> {
    plan.iter().filter(|(_, step)| step.kind == Kind::Gate).map(|(ix, _)| ix).collect()
}

/// For each gate the machines that are switched off before it and started only after it.
pub fn down_at_gates(plan: &Plan) -> BTreeMap<StepIx, BTreeSet<&MachineName>> {
    let sections = downtimes(plan);
    let gates = gates(plan).into_iter().take(GATES_EXAMINED_MAX);
    gates.map(|gate| (gate, down_at(plan, gate, &sections))).collect()
}

/// Every machine's stop with the start of its other side that follows.
fn downtimes(plan: &Plan) -> Vec<(&MachineName, StepIx, StepIx)> {
    let mut stopped: BTreeMap<&MachineName, (Side, StepIx)> = BTreeMap::new();
    let mut sections = Vec::new();
    for (ix, step) in plan.iter() {
        let Some(machine) = &step.machine else { continue };
        match step.effect {
            Effect::Stop(side) => {
                stopped.entry(machine).or_insert((side, ix));
            }
            Effect::Start(_) => {
                if let Some((_, stop)) = stopped.remove(machine) {
                    sections.push((machine, stop, ix));
                }
            }
            _ => {}
        }
    }
    sections
}

fn down_at<'a>(
    plan: &Plan,
    gate: StepIx,
    sections: &[(&'a MachineName, StepIx, StepIx)],
) -> BTreeSet<&'a MachineName> {
    let before_gate = before(plan, gate);
    let after_gate = after(plan, gate);
    let down =
        sections.iter().filter(|(_, stop, start)| before_gate[stop.at()] && after_gate[start.at()]);
    down.map(|(machine, ..)| *machine).collect()
}

/// All steps that come only after `ix`: edges point backwards, so one pass in order finds them.
fn after(plan: &Plan, ix: StepIx) -> Vec<bool> {
    let mut found = vec![false; plan.steps.len()];
    found[ix.at()] = true;
    for (at, step) in plan.iter().skip(ix.at() + 1) {
        found[at.at()] = step.edges().any(|(earlier, _)| found[earlier.at()]);
    }
    found
}
