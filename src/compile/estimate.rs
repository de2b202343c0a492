//! What a plan will cost: durations of steps laid over the graph. People's waits are left out.

use std::collections::BTreeMap;

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::estimate::{Estimates, History, MachineEstimate};
use crate::plan::facts::{FactLog, Facts};
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::step::{Kind, Step, StepIx};
use crate::primitives::contract::{Cost, Subject};
use crate::verify::{Downtime, VerifiedPlan};

/// The estimates of a plan: from the journal's history where there is one (the median), else from sizes
/// and rates. Limits on how many steps run at once are not counted in.
pub fn estimate(
    plan: &VerifiedPlan,
    inventory: &Inventory,
    facts: &Facts,
    history: &History,
) -> Estimates {
    let plan = plan.plan();
    let log = FactLog::resting_on(facts, &plan.facts);
    let past = medians(history);
    let mut from_history = false;
    let cost = |step: &Step| {
        let mut cost = computed(step, inventory, &log);
        let remembered = || past.get(step.primitive)?.get(step.machine.as_ref()?);
        if let Some(seconds) = remembered() {
            from_history = true;
            cost.seconds = *seconds;
        }
        cost
    };
    let costs: Vec<Cost> = plan.steps.iter().map(cost).collect();
    let times = schedule(plan, &costs);
    let makespan_s = times.iter().map(|time| time.end_s).fold(0.0, f64::max);
    let sections = sections(plan, &costs, &times);
    let machines = sections.into_iter().map(|(name, section)| (name.clone(), section.estimate));
    Estimates {
        makespan_s,
        machines: machines.collect(),
        critical_path: critical_path(plan, &times, makespan_s),
        step_s: costs.into_iter().map(|cost| cost.seconds).collect(),
        from_history,
    }
}

/// The downtimes of the machines that may not be down for ever, by sizes and rates.
pub fn downtimes(plan: &Plan, inventory: &Inventory, facts: &Facts) -> Vec<Downtime> {
    let limited = |name: &MachineName| {
        inventory.machines.get(name).is_some_and(|entry| entry.rto_s.is_some())
    };
    if !plan.machines().into_iter().any(limited) {
        return Vec::new();
    }
    let log = FactLog::resting_on(facts, &plan.facts);
    let costs: Vec<Cost> = plan.steps.iter().map(|step| computed(step, inventory, &log)).collect();
    let times = schedule(plan, &costs);
    let all = sections(plan, &costs, &times).into_iter().filter(|(name, _)| limited(name));
    let down = all.filter_map(|(name, section)| {
        let (stop, _) = section.off?;
        let seconds = section.estimate.downtime_s;
        Some(Downtime { machine: name.clone(), seconds, stop, gates: section.gates })
    });
    down.collect()
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

/// Half of the times it took no longer, seconds, by primitive and machine.
fn medians(history: &History) -> BTreeMap<&str, BTreeMap<&MachineName, f64>> {
    let mut medians: BTreeMap<&str, BTreeMap<&MachineName, f64>> = BTreeMap::new();
    for ((primitive, machine), times) in &history.durations_s {
        let mut times = times.clone();
        times.sort_by(f64::total_cmp);
        if let Some(median) = times.get(times.len() / 2) {
            medians.entry(primitive).or_default().insert(machine, *median);
        }
    }
    medians
}

/// When a step runs at the earliest, seconds after the start.
#[derive(Clone, Copy, Default)]
struct Time {
    start_s: f64,
    end_s: f64,
    /// The step that it waits for longest.
    after: Option<StepIx>,
}

fn schedule(plan: &Plan, costs: &[Cost]) -> Vec<Time> {
    let mut times: Vec<Time> = Vec::with_capacity(costs.len());
    for (ix, step) in plan.iter() {
        let mut time = Time::default();
        for (before, _) in step.edges() {
            let end_s = times[before.at()].end_s;
            if end_s >= time.start_s {
                time.start_s = end_s;
                time.after = Some(before);
            }
        }
        // When all goes well no handler has anything to do.
        let seconds = if plan.is_in_handler(step) { 0.0 } else { costs[ix.at()].seconds };
        time.end_s = time.start_s + seconds;
        times.push(time);
    }
    times
}

/// The longest path, as places: from the step that ends last back to one that waits for nothing. It leads
/// past handlers, which take no time.
fn critical_path(plan: &Plan, times: &[Time], makespan_s: f64) -> Vec<u32> {
    let last = times.iter().rposition(|time| time.end_s >= makespan_s).map(index);
    let path = std::iter::successors(last, |ix| times[ix.at()].after);
    let mut path: Vec<u32> =
        path.filter(|ix| !plan.is_in_handler(plan.step(*ix))).map(|ix| ix.0).collect();
    path.reverse();
    path
}

/// What the estimates of one machine are made of, while its steps go by.
#[derive(Default)]
struct Section {
    estimate: MachineEstimate,
    /// The step that turned it off first, on whichever side, and when.
    off: Option<(StepIx, f64)>,
    started: bool,
    checked: bool,
    /// Gates that it waits for while it is down.
    gates: Vec<StepIx>,
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
}

/// By machine. Both branches of a condition count: the estimate is the longer way.
fn sections<'a>(
    plan: &'a Plan,
    costs: &[Cost],
    times: &[Time],
) -> BTreeMap<&'a MachineName, Section> {
    let mut sections: BTreeMap<&MachineName, Section> = BTreeMap::new();
    for (ix, step) in plan.iter() {
        let Some(machine) = &step.machine else { continue };
        if plan.is_in_handler(step) {
            continue;
        }
        let (cost, time) = (costs[ix.at()], times[ix.at()]);
        let section = sections.entry(machine).or_default();
        section.wait(plan, ix, step);
        match (step.effect, section.off) {
            (Effect::Transfer { .. }, off) => {
                section.estimate.bytes += cost.bytes;
                if off.is_none() {
                    section.estimate.sync_s += cost.seconds;
                }
            }
            (Effect::Stop(_), None) => section.off = Some((ix, time.start_s)),
            (Effect::Start(_), Some((_, off_s))) if !section.started => {
                section.started = true;
                section.estimate.downtime_s = time.end_s - off_s;
            }
            (Effect::Check { .. }, Some((_, off_s))) if section.started && !section.checked => {
                section.checked = true;
                section.estimate.downtime_s = time.end_s - off_s;
            }
            _ => {}
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::saved::tests::{facts, inventory, proved, scoped};

    #[test]
    fn downtime_counts_from_the_stop_to_the_check_and_leaves_people_out() {
        let plan = proved();
        let by_hand = estimate(&plan, &inventory(), &facts(), &History::default());
        assert!(!by_hand.from_history);
        let web = by_hand.machines["web-01"];
        let of = |part: &str| {
            let at = plan.plan().steps.iter().position(|step| step.id.as_str() == part).unwrap();
            by_hand.step_s[at]
        };
        let section = ["stop", "final", "boot", "check"].map(|part| of(&format!("web-01.{part}")));
        assert!((web.downtime_s - section.iter().sum::<f64>()).abs() < 1e-9, "{web:?}");
        assert!((web.sync_s - of("web-01.first")).abs() < 1e-9);
        assert!(web.bytes > 0);
        assert_eq!(of("go"), 0.0);
        // One chain: the longest path is all of it.
        assert!((by_hand.makespan_s - by_hand.step_s.iter().sum::<f64>()).abs() < 1e-9);
        assert_eq!(by_hand.critical_path.len(), plan.plan().steps.len());
    }

    #[test]
    fn history_goes_before_sizes_and_rates() {
        let plan = proved();
        let step = &plan.plan().steps[1];
        let key = (step.primitive.to_owned(), step.machine.clone().unwrap());
        let history = History { durations_s: [(key, vec![9.0, 7.0, 8.0])].into() };
        let estimates = estimate(&plan, &inventory(), &facts(), &history);
        assert!(estimates.from_history);
        assert_eq!(estimates.step_s[1], 8.0);
    }

    #[test]
    fn handlers_take_no_time_and_lie_on_no_path() {
        let mut plan = scoped();
        // Written after an attempt that goes on: behind its handler too.
        (plan.steps[6].needs, plan.steps[6].follows) = (vec![index(3)], vec![index(2)]);
        let costs = vec![Cost { seconds: 10.0, ..Cost::default() }; plan.steps.len()];
        let times = schedule(&plan, &costs);
        let ends: Vec<f64> = times.iter().map(|time| time.end_s).collect();
        assert_eq!(ends, [10.0, 20.0, 30.0, 30.0, 30.0, 40.0, 40.0, 50.0, 60.0]);
        assert_eq!(critical_path(&plan, &times, 60.0), [0, 1, 2, 6, 7, 8]);
    }
}
