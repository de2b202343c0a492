//! Whether a run kept its promises: by its events, and by what became of the machines.

use std::collections::HashSet;

use crate::base::StepId;
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::run::event::{Event, EventBody};
use crate::run::outcome::Outcome;
use crate::schedule::rederived;
use crate::sites::model::World;

/// Every promise that was broken; `None` as outcome: it never came to an end.
pub(super) fn broken(
    plan: &Plan,
    events: &[Event],
    world: &World,
    outcome: Option<Outcome>,
) -> Vec<String> {
    let mut broken = world.broken();
    broken.extend(repeated(events));
    broken.extend(rederived(plan, events).1);
    let Some(outcome) = outcome else {
        broken.push("the run never came to an end, although everything was well again".to_owned());
        return broken;
    };
    broken.extend(dishonest(plan, world, outcome));
    broken
}

/// A step that succeeded is not tried again, unless a person asks for it.
fn repeated(events: &[Event]) -> Vec<String> {
    let mut succeeded: HashSet<&StepId> = HashSet::new();
    let mut broken = Vec::new();
    for event in events {
        match &event.body {
            EventBody::StepSucceeded { step, .. } if !succeeded.insert(step) => {
                broken.push(format!("{step} succeeded twice"));
            }
            EventBody::AttemptStarted { step, .. } if succeeded.contains(step) => {
                broken.push(format!("{step} had succeeded, and was tried again"));
            }
            EventBody::StepRetried { step, .. } => drop(succeeded.remove(step)),
            _ => {}
        }
    }
    broken
}

/// An outcome says where the machines are: they are.
fn dishonest(plan: &Plan, world: &World, outcome: Outcome) -> Vec<String> {
    let promises_up = match outcome {
        Outcome::Failed | Outcome::Rejected => true,
        Outcome::Succeeded | Outcome::SucceededWithExceptions => ends_running(plan),
        _ => false,
    };
    // A run that has no doubts does not look once more at what it started and checked.
    let unseen = matches!(outcome, Outcome::Succeeded | Outcome::SucceededWithExceptions);
    let down =
        world.down().into_iter().filter(|(_, by_power)| promises_up && !(unseen && *by_power));
    down.map(|(machine, _)| format!("the run {outcome}, and {machine} runs nowhere")).collect()
}

/// Whether every machine that the plan stops is started again by it.
fn ends_running(plan: &Plan) -> bool {
    let stops = plan.steps.iter().filter(|step| matches!(step.effect, Effect::Stop(_)));
    let mut stopped = stops.filter_map(|step| step.machine.as_ref());
    stopped.all(|machine| {
        let mut own = plan.steps.iter().filter(|step| step.machine.as_ref() == Some(machine));
        own.any(|step| matches!(step.effect, Effect::Start(_)))
    })
}
