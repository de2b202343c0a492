//! Downtime sections: from the step that stops a machine to the end of its final transfer. One is entered only
//! when there is a slot for that transfer: twenty machines are not switched off to queue for four transfers.

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::step::{Kind, Step, StepIx};

/// A machine's stop and the transfer of its last changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub stop: StepIx,
    pub transfer: StepIx,
}

/// Every section whose transfer waits for nothing but its own machine once that is stopped. Where a plan makes
/// it wait for more (other machines, a person), a slot that is kept might be the one that those need: it is
/// taken when the transfer begins, as for any other.
pub(super) fn sections(plan: &Plan) -> Vec<Section> {
    let kept = all(plan).into_iter();
    kept.filter(|(section, machine)| waits_for_itself_alone(plan, *section, machine))
        .map(|(section, _)| section)
        .collect()
}

/// How many machines a plan takes down with no slot kept for their last changes.
pub fn stopped_together(plan: &Plan) -> usize {
    all(plan).len() - sections(plan).len()
}

/// Every stop with the transfer of what that leaves.
fn all(plan: &Plan) -> Vec<(Section, &MachineName)> {
    let mut found = Vec::new();
    let mut open: std::collections::HashMap<&MachineName, StepIx> = Default::default();
    for (ix, step) in plan.iter() {
        let Some(machine) = &step.machine else { continue };
        match step.effect {
            Effect::Stop(_) => drop(open.insert(machine, ix)),
            Effect::Transfer { from_snapshot: false, .. } => {
                let Some(stop) = open.remove(machine) else { continue };
                found.push((Section { stop, transfer: ix }, machine));
            }
            Effect::Start(_) => drop(open.remove(machine)),
            _ => {}
        }
    }
    found
}

fn waits_for_itself_alone(plan: &Plan, section: Section, machine: &MachineName) -> bool {
    let stop = plan.step(section.stop);
    let done_by_then = |ix: StepIx| stop.edges().any(|(before, _)| before == ix);
    let mut look = vec![section.transfer];
    while let Some(ix) = look.pop() {
        for (before, _) in plan.step(ix).edges() {
            let is_own = is_work_of(plan.step(before), machine);
            if !is_own && !done_by_then(before) {
                return false;
            }
            if is_own && before > section.stop {
                look.push(before);
            }
        }
    }
    true
}

fn is_work_of(step: &Step, machine: &MachineName) -> bool {
    step.machine.as_ref() == Some(machine) && step.kind != Kind::Gate
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Side;
    use crate::plan::effect::{Chosen, Mode};
    use crate::plan::graph::index;
    use crate::run::event::EventBody;
    use crate::run::outcome::Outcome;
    use crate::run::state::Status;
    use crate::schedule::trial::{Behaviour, Trial, plan, step};
    use crate::sites::look::tests::entry;

    const FINAL: Effect =
        Effect::Transfer { mode: Mode::Delta, from_snapshot: false, chosen: Chosen::NOTHING };
    const MACHINES: usize = 6;

    fn name(at: usize) -> MachineName {
        MachineName::new(format!("m{at}")).unwrap()
    }

    /// Of each machine its stop, its final transfer, its start; `together`: nothing is copied before all are off.
    fn trial(together: bool, seed: u64) -> Trial {
        let part = |of: usize, effect: Effect, needs: Vec<StepIx>| {
            let at = match effect {
                Effect::Stop(_) => of,
                Effect::Start(_) => 2 * MACHINES + of,
                _ => MACHINES + of,
            };
            Step { effect, machine: Some(name(of)), needs, ..step(at, Kind::Act) }
        };
        let stops = |of: usize| match together {
            true => (0..MACHINES).map(index).collect(),
            false => vec![index(of)],
        };
        let off = (0..MACHINES).map(|of| part(of, Effect::Stop(Side::Cloud), Vec::new()));
        let copied = (0..MACHINES).map(|of| part(of, FINAL, stops(of)));
        let on = (0..MACHINES)
            .map(|of| part(of, Effect::Start(Side::Onprem), vec![index(MACHINES + of)]));
        let mut trial = Trial::new(plan(off.chain(copied).chain(on).collect()), seed);
        trial.inventory.machines = (0..MACHINES).map(|of| (name(of), entry())).collect();
        trial.inventory.limits.transfers = 2;
        trial
    }

    /// The most machines that were stopped at once, and not copied yet.
    fn most_waiting(trial: &Trial) -> usize {
        let mut waiting: BTreeSet<usize> = BTreeSet::new();
        let mut most = 0;
        for event in &trial.events {
            let Some(ix) = event.body.step().and_then(|step| trial.state().place(step)) else {
                continue;
            };
            let (part, of) = (ix.at() / MACHINES, ix.at() % MACHINES);
            match (&event.body, part) {
                (EventBody::AttemptStarted { .. }, 0) => drop(waiting.insert(of)),
                (EventBody::StepSucceeded { .. } | EventBody::StepFailed { .. }, 1)
                | (EventBody::StepFailed { .. } | EventBody::AttemptFailed { .. }, 0) => {
                    waiting.remove(&of);
                }
                _ => {}
            }
            most = most.max(waiting.len());
        }
        most
    }

    #[test]
    fn no_more_machines_go_down_than_can_be_copied() {
        for seed in 0..40 {
            let mut trial = trial(false, seed);
            assert_eq!(sections(&trial.plan).len(), MACHINES);
            trial.behaviours[1] = Behaviour::Broken;
            trial.behaviours[2] = Behaviour::Flaky(2);
            trial.behaviours[MACHINES + 3] = Behaviour::Broken;
            trial.behaviours[MACHINES + 4] = Behaviour::Flaky(1);
            // It dies once, and the next process keeps to what it finds.
            assert_eq!(trial.process(Some(8)), None);
            assert_eq!(trial.resume(None), Some(Outcome::Failed));
            assert_eq!(most_waiting(&trial), 2);
            let on = trial.statuses().split_off(2 * MACHINES);
            let on = on.into_iter().filter(|status| *status == Status::Succeeded);
            assert_eq!(on.count(), MACHINES - 2);
        }
    }

    #[test]
    fn a_plan_that_stops_all_of_them_first_is_not_held_up() {
        for seed in 0..10 {
            let mut trial = trial(true, seed);
            assert_eq!(sections(&trial.plan), []);
            assert_eq!(stopped_together(&trial.plan), MACHINES);
            assert_eq!(trial.process(None), Some(Outcome::Succeeded));
            assert_eq!(most_waiting(&trial), MACHINES);
        }
    }
}
