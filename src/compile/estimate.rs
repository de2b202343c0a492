//! What a plan will cost: durations of steps laid over the graph. People's waits are left out.

use std::collections::BTreeMap;

use crate::base::MachineName;
use crate::compile::ways::{Way, ways};
use crate::plan::effect::Effect;
use crate::plan::estimate::{Basis, Estimates, History, MachineEstimate, StepEstimate};
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
    let mut bases = Vec::with_capacity(plan.steps.len());
    let cost = |step: &Step| {
        let mut cost = computed(step, inventory, &log);
        let remembered = || past.get(step.primitive)?.get(step.machine.as_ref()?);
        bases.push(match remembered() {
            Some(seconds) => {
                cost.seconds = *seconds;
                Basis::Runs(1)
            }
            None => Basis::Sizes,
        });
        cost
    };
    let costs: Vec<Cost> = plan.steps.iter().map(cost).collect();
    let ways = ways(plan, &costs);
    let [longer, _] = &ways;
    let times = schedule(plan, &costs, longer);
    let makespan_s = times.iter().map(|time| time.end_s).fold(0.0, f64::max);
    let sections = longest_sections(plan, &costs, &ways);
    let machines = sections.into_iter().map(|(name, section)| (name.clone(), section.estimate));
    let step = |((at, cost), basis): ((usize, &Cost), Basis)| StepEstimate {
        start_s: longer.takes(index(at)).then(|| times[at].start_s),
        seconds: cost.seconds,
        slow_s: cost.seconds,
        basis,
    };
    Estimates {
        makespan_s,
        steps: costs.iter().enumerate().zip(bases).map(step).collect(),
        machines: machines.collect(),
        critical_path: critical_path(longer, &times, makespan_s),
    }
}

/// The downtimes of the machines that may not be down for ever, by sizes and rates.
pub fn downtimes(plan: &Plan, inventory: &Inventory, facts: &Facts) -> Vec<Downtime> {
    let limited = |name: &MachineName| {
        inventory.machines.get(name).is_some_and(|entry| entry.rto_s.is_some())
    };
    if inventory.machines.values().all(|entry| entry.rto_s.is_none()) {
        return Vec::new();
    }
    let log = FactLog::resting_on(facts, &plan.facts);
    let costs: Vec<Cost> = plan.steps.iter().map(|step| computed(step, inventory, &log)).collect();
    let all = longest_sections(plan, &costs, &ways(plan, &costs));
    let all = all.into_iter().filter(|(name, _)| limited(name));
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

fn schedule(plan: &Plan, costs: &[Cost], way: &Way) -> Vec<Time> {
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
        let seconds = if way.takes(ix) { costs[ix.at()].seconds } else { 0.0 };
        time.end_s = time.start_s + seconds;
        times.push(time);
    }
    times
}

/// The longest path, as places: from the step that ends last back to one that waits for nothing. It leads
/// past what is left out, which takes no time.
fn critical_path(way: &Way, times: &[Time], makespan_s: f64) -> Vec<u32> {
    let last = times.iter().rposition(|time| time.end_s >= makespan_s).map(index);
    let path = std::iter::successors(last, |ix| times[ix.at()].after);
    let mut path: Vec<u32> = path.filter(|ix| way.takes(*ix)).map(|ix| ix.0).collect();
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

/// By machine, of the way on which it is down for longer; it copies as much as on any.
fn longest_sections<'a>(
    plan: &'a Plan,
    costs: &[Cost],
    ways: &[Way; 2],
) -> BTreeMap<&'a MachineName, Section> {
    let [mut longest, other] =
        ways.each_ref().map(|way| sections(plan, costs, &schedule(plan, costs, way), way));
    for (name, section) in other {
        let known = longest.entry(name).or_default();
        let [ours, theirs] = [known.estimate, section.estimate];
        if theirs.downtime_s > ours.downtime_s {
            *known = section;
        }
        known.estimate.sync_s = ours.sync_s.max(theirs.sync_s);
        known.estimate.bytes = ours.bytes.max(theirs.bytes);
    }
    longest
}

fn sections<'a>(
    plan: &'a Plan,
    costs: &[Cost],
    times: &[Time],
    way: &Way,
) -> BTreeMap<&'a MachineName, Section> {
    let mut sections: BTreeMap<&MachineName, Section> = BTreeMap::new();
    for (ix, step) in plan.iter() {
        let Some(machine) = &step.machine else { continue };
        if !way.takes(ix) {
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
            (Effect::Stop(_), None) => {
                section.off = Some((ix, time.start_s));
                section.estimate.down_from_s = Some(time.start_s);
            }
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
        assert_eq!(by_hand.remembered().0, 0);
        let web = by_hand.machines["web-01"];
        let of = |part: &str| {
            let at = plan.plan().steps.iter().position(|step| step.id.as_str() == part).unwrap();
            by_hand.steps[at].seconds
        };
        let section = ["stop", "final", "boot", "check"].map(|part| of(&format!("web-01.{part}")));
        assert!((web.downtime_s - section.iter().sum::<f64>()).abs() < 1e-9, "{web:?}");
        assert!((web.sync_s - of("web-01.first")).abs() < 1e-9);
        assert!(web.bytes > 0);
        assert_eq!(of("go"), 0.0);
        // One chain: the longest path is all of it.
        assert!((by_hand.makespan_s - by_hand.step_s().iter().sum::<f64>()).abs() < 1e-9);
        assert_eq!(by_hand.critical_path.len(), plan.plan().steps.len());
    }

    #[test]
    fn history_goes_before_sizes_and_rates() {
        let plan = proved();
        let step = &plan.plan().steps[1];
        let key = (step.primitive.to_owned(), step.machine.clone().unwrap());
        let history = History { durations_s: [(key, vec![9.0, 7.0, 8.0])].into() };
        let estimates = estimate(&plan, &inventory(), &facts(), &history);
        assert_eq!(estimates.remembered().0, 1);
        assert_eq!(estimates.steps[1].seconds, 8.0);
    }

    #[test]
    fn handlers_take_no_time_and_lie_on_no_path() {
        let mut plan = scoped();
        // Written after an attempt that goes on: behind its handler too.
        (plan.steps[6].needs, plan.steps[6].follows) = (vec![index(3)], vec![index(2)]);
        let costs = vec![Cost { seconds: 10.0, ..Cost::default() }; plan.steps.len()];
        let [way, _] = ways(&plan, &costs);
        let times = schedule(&plan, &costs, &way);
        let ends: Vec<f64> = times.iter().map(|time| time.end_s).collect();
        // The last but one is the `otherwise` of the one before it.
        assert_eq!(ends, [10.0, 20.0, 30.0, 30.0, 30.0, 40.0, 40.0, 40.0, 50.0]);
        assert_eq!(critical_path(&way, &times, 50.0), [0, 1, 2, 6, 8]);
    }

    #[test]
    fn of_two_branches_the_longer_one_counts() {
        let plan = scoped();
        let [then, otherwise] = [6, 7];
        for (then_s, otherwise_s) in [(10.0, 20.0), (20.0, 10.0)] {
            let mut costs = vec![Cost::default(); plan.steps.len()];
            (costs[then].seconds, costs[otherwise].seconds) = (then_s, otherwise_s);
            let ends = ways(&plan, &costs).map(|way| {
                let times = schedule(&plan, &costs, &way);
                times.iter().map(|time| time.end_s).fold(0.0, f64::max)
            });
            assert_eq!(ends, [20.0, 10.0]);
        }
    }
}
