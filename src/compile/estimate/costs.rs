//! What each step costs: by earlier runs where there were any, else by sizes, rates and round numbers.

use std::collections::HashMap;

use crate::base::{MachineName, StepId};
use crate::plan::estimate::{Basis, History};
use crate::plan::facts::FactLog;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::{Kind, Step};
use crate::primitives::contract::{Cost, Subject};

/// A step's cost, how slow it may be, and where that is known from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    pub cost: Cost,
    /// Nine times of ten no longer, seconds.
    pub slow_s: f64,
    pub basis: Basis,
}

/// In step order.
pub(super) fn expected(
    plan: &Plan,
    inventory: &Inventory,
    facts: &FactLog<'_>,
    history: &History,
) -> Vec<Expected> {
    let past = Past::of(history);
    let one = |step: &Step| {
        let cost = computed(step, inventory, facts);
        match past.seen(step) {
            Some(seen) => Expected {
                // What it shared its sites' links with then is in there already.
                cost: Cost { bytes: cost.bytes, ..Cost::seconds(seen.median_s) },
                slow_s: seen.slow_s,
                basis: Basis::Runs(seen.runs),
            },
            None => Expected { cost, slow_s: cost.seconds, basis: Basis::Sizes },
        }
    };
    plan.steps.iter().map(one).collect()
}

/// What a step costs by sizes and rates. Waiting for a person costs nothing.
fn computed(step: &Step, inventory: &Inventory, facts: &FactLog<'_>) -> Cost {
    if matches!(step.kind, Kind::Gate | Kind::Barrier) {
        return Cost::default();
    }
    let subject = Subject { machine: step.machine.as_ref(), inventory, facts };
    let primitive = crate::primitives::find(step.primitive);
    primitive.map_or(Cost::default(), |primitive| primitive.estimate(&step.args.json(), &subject))
}

#[derive(Clone, Copy)]
struct Seen {
    median_s: f64,
    slow_s: f64,
    runs: u32,
}

impl Seen {
    fn of(times_s: &[f64]) -> Option<Seen> {
        let mut sorted = times_s.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |tenths: usize| sorted.get((sorted.len() * tenths / 10).min(sorted.len() - 1));
        let runs = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
        if sorted.is_empty() {
            return None;
        }
        Some(Seen { median_s: *at(5)?, slow_s: *at(9)?, runs })
    }
}

/// The same step of the same script goes before other steps of its kind: a first copy says little of the last
/// changes.
struct Past<'a> {
    steps: HashMap<&'a StepId, Seen>,
    machines: HashMap<(&'a str, &'a MachineName), Seen>,
}

impl<'a> Past<'a> {
    fn of(history: &'a History) -> Past<'a> {
        let steps = history.steps.iter().filter_map(|(id, times)| Some((id, Seen::of(times)?)));
        let machines = history.machines.iter();
        let machines = machines.filter_map(|((primitive, machine), times)| {
            Some(((primitive.as_str(), machine), Seen::of(times)?))
        });
        Past { steps: steps.collect(), machines: machines.collect() }
    }

    fn seen(&self, step: &Step) -> Option<Seen> {
        if matches!(step.kind, Kind::Gate | Kind::Barrier | Kind::Timer) {
            return None;
        }
        let same = self.steps.get(&step.id);
        same.or_else(|| self.machines.get(&(step.primitive, step.machine.as_ref()?))).copied()
    }
}
