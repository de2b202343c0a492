//! What a plan will cost: it is played through by the scheduler that will run it, with durations of earlier
//! runs, or of sizes and rates. People's waits are left out.

mod costs;
mod links;
mod play;
mod sections;
mod ways;

use std::collections::BTreeMap;

use crate::base::MachineName;
use crate::compile::estimate::costs::{Expected, expected};
use crate::compile::estimate::play::{Time, play};
use crate::compile::estimate::sections::{Section, longer, sections};
use crate::compile::estimate::ways::{Way, ways};
use crate::plan::estimate::{Estimates, History, StepEstimate};
use crate::plan::facts::FactLog;
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::step::StepIx;
use crate::primitives::contract::Cost;
use crate::schedule::stopped_together;
use crate::verify::Downtime;

/// What a plan will cost, with the downtime of every machine that goes down.
pub(super) struct Estimated {
    pub estimates: Estimates,
    pub downtimes: Vec<Downtime>,
}

/// Estimates a plan: under the limits of the run, of sites and links, of the plan's own policies.
pub(super) fn estimate(
    plan: &Plan,
    inventory: &Inventory,
    facts: &FactLog<'_>,
    history: &History,
) -> Estimated {
    let expected = expected(plan, inventory, facts, history);
    let costs: Vec<Cost> = expected.iter().map(|one| one.cost).collect();
    let [way, other] = ways(plan, &costs);
    let times = play(plan, inventory, &costs, &way);
    let mut longest = sections(plan, facts, &costs, &times, &way);
    if other != way {
        let times = play(plan, inventory, &costs, &other);
        longest = longer(longest, sections(plan, facts, &costs, &times, &other));
    }
    let makespan_s = times.iter().map(|time| time.end_s).fold(0.0, f64::max);
    let estimates = Estimates {
        makespan_s,
        machines: longest.iter().map(|(name, one)| ((*name).clone(), one.estimate)).collect(),
        critical_path: critical_path(&way, &times, makespan_s),
        steps: expected.iter().zip(&times).enumerate().map(|one| step(one, &way)).collect(),
        queued: queued(plan, inventory),
    };
    Estimated { estimates, downtimes: downtimes(longest) }
}

/// Machines that a plan stops together, where there are more of them than slots.
fn queued(plan: &Plan, inventory: &Inventory) -> u32 {
    let together = u32::try_from(stopped_together(plan)).unwrap_or(u32::MAX);
    if together > inventory.limits.transfers { together } else { 0 }
}

fn step((at, (expected, time)): (usize, (&Expected, &Time)), way: &Way) -> StepEstimate {
    let is_taken = way.takes(index(at));
    StepEstimate {
        start_s: is_taken.then_some(time.start_s),
        // Longer than alone, where it shares the links.
        seconds: if is_taken { time.end_s - time.start_s } else { expected.cost.seconds },
        slow_s: expected.slow_s.max(time.end_s - time.start_s),
        basis: expected.basis,
    }
}

fn downtimes(sections: BTreeMap<&MachineName, Section>) -> Vec<Downtime> {
    let down = sections.into_iter().filter_map(|(name, section)| {
        let (stop, _) = section.off?;
        let seconds = section.estimate.downtime_s;
        Some(Downtime { machine: name.clone(), seconds, stop, gates: section.gates })
    });
    down.collect()
}

/// The longest path, as places: from the step that ends last back to one that waits for nothing. It leads
/// past what is left out, which takes no time.
fn critical_path(way: &Way, times: &[Time], makespan_s: f64) -> Vec<u32> {
    let last = times.iter().rposition(|time| time.end_s >= makespan_s).map(index);
    let path = std::iter::successors(last, |ix| times[ix.at()].after);
    let mut path: Vec<u32> =
        path.take(times.len()).filter(|ix| way.takes(*ix)).map(|ix: StepIx| ix.0).collect();
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::saved::tests::{costs, inventory, proved, scoped};
    use crate::plan::estimate::Basis;

    #[test]
    fn downtime_counts_from_the_stop_to_the_check_and_leaves_people_out() {
        let plan = proved();
        let by_hand = costs(&plan, &History::default());
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
        let mut history =
            History { machines: [(key, vec![9.0, 7.0, 8.0])].into(), ..History::default() };
        let estimates = costs(&plan, &history);
        assert_eq!(estimates.remembered().0, 2, "of both copies");
        let of = |estimates: &Estimates| (estimates.steps[1].seconds, estimates.steps[1].slow_s);
        assert_eq!(of(&estimates), (8.0, 9.0));
        assert_eq!(estimates.steps[1].basis, Basis::Runs(3));
        // The same step of the same script says more.
        history.steps.insert(step.id.clone(), vec![2.0]);
        assert_eq!(of(&costs(&plan, &history)), (2.0, 2.0));
    }

    #[test]
    fn handlers_take_no_time_and_lie_on_no_path() {
        let mut plan = scoped();
        // Written after an attempt that goes on: behind its handler too.
        (plan.steps[6].needs, plan.steps[6].follows) = (vec![index(3)], vec![index(2)]);
        let costs = vec![Cost { seconds: 10.0, ..Cost::default() }; plan.steps.len()];
        let [way, _] = ways(&plan, &costs);
        let times = play(&plan, &inventory(), &costs, &way);
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
                let times = play(&plan, &inventory(), &costs, &way);
                times.iter().map(|time| time.end_s).fold(0.0, f64::max)
            });
            assert_eq!(ends, [20.0, 10.0]);
        }
    }
}
