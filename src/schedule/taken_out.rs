//! Machines that are taken out of a run while it goes on: what is under way on them, and giving them back.

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::step::{Step, StepIx};
use crate::run::state::Status;
use crate::schedule::core::{Asked, Core, Phase, may_be_off};
use crate::schedule::order::Action;

impl Core {
    /// Machines that take no further step are others' once nothing of theirs is under way.
    pub(super) fn give_back(&mut self) {
        let (phases, plan, state) = (&self.phases, &self.plan, &self.state);
        let is_under_way = |machine: &MachineName| {
            let own = |step: &Step| step.machine.as_ref() == Some(machine);
            let works = phases.iter().any(|(ix, phase)| {
                own(plan.step(*ix)) && !matches!(phase, Phase::Open { .. } | Phase::Early { .. })
            });
            // Of what has begun to delete there is only forward, whoever began it.
            let deletes = |(ix, step): (StepIx, &Step)| {
                let stands = state.step(ix);
                let begun = matches!(stands.status, Status::Running | Status::Backoff);
                begun && stands.intent.is_some() && own(step)
            };
            works || plan.iter().any(deletes)
        };
        let free = self.to_give_back.extract_if(.., |machine| !is_under_way(machine));
        for machine in free {
            self.giving_back.insert(machine.clone());
            self.out.push(Action::GiveBack(machine));
        }
    }

    /// It is too late to begin anything of its machine.
    pub(super) fn is_given_back(&self, step: &Step) -> bool {
        step.machine.as_ref().is_some_and(|machine| self.giving_back.contains(machine))
    }

    /// Asks the attempts on a machine to stop that takes no further step and is down: nobody waits for the rest
    /// of a transfer then. But of what has begun to delete there is only forward.
    pub(super) fn stop_attempts_on(&mut self, machine: &MachineName) {
        if !self.is_down(machine) {
            return;
        }
        for (ix, phase) in &mut self.phases {
            let step = self.plan.step(*ix);
            let deletes = self.state.step(*ix).intent.is_some();
            if let Phase::Running { asked: asked @ None, .. } = phase
                && step.machine.as_ref() == Some(machine)
                && !deletes
            {
                *asked = Some(Asked::RunStops);
                self.out.push(Action::Cancel(step.id.clone()));
            }
        }
    }

    fn is_down(&self, machine: &MachineName) -> bool {
        let own = self.plan.iter().filter(|(_, step)| step.machine.as_ref() == Some(machine));
        let mut switched =
            own.filter_map(|(ix, step)| match (step.effect, self.state.step(ix).status) {
                (Effect::Stop(_), status) if may_be_off(status) => Some(true),
                (Effect::Start(_), Status::Succeeded) => Some(false),
                _ => None,
            });
        switched.next_back().unwrap_or(false)
    }
}
