//! Who would be left down if machines were taken out of a run now.

use std::collections::BTreeSet;

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::scope::ScopeKind;
use crate::plan::settle::{Passage, Settled, passage};
use crate::plan::step::Step;
use crate::run::state::RunState;

/// The other machines that the rest of the plan would stop, or has stopped, and not start again: what starts
/// them waits for a machine in `out`. Those that are left down without that too are not named.
pub fn stranded<'a>(
    plan: &'a Plan,
    state: &RunState,
    out: &BTreeSet<MachineName>,
) -> BTreeSet<&'a MachineName> {
    let anyway = down(plan, state, &BTreeSet::new());
    let mut down = down(plan, state, out);
    down.retain(|machine| !anyway.contains(machine) && !out.contains(*machine));
    down
}

/// The machines that are off when all that is left to do has gone well.
fn down<'a>(
    plan: &'a Plan,
    state: &RunState,
    out: &BTreeSet<MachineName>,
) -> BTreeSet<&'a MachineName> {
    let settled = state.settled(plan);
    let mut outcomes: Vec<Settled> = Vec::with_capacity(settled.len());
    let mut down = BTreeSet::new();
    for (ix, step) in plan.iter() {
        let is_out = step.machine.as_ref().is_some_and(|machine| out.contains(machine));
        let is_blocked = || {
            step.edges()
                .any(|(before, edge)| passage(edge, outcomes[before.at()]) == Passage::Closed)
        };
        let outcome = match settled[ix.at()] {
            Some(outcome) => outcome,
            None if is_out => Settled::Excluded,
            None if is_blocked() => Settled::Blocked,
            None if is_handler(plan, step) => Settled::GuardFalse,
            None => Settled::Succeeded,
        };
        outcomes.push(outcome);
        match (step.effect, &step.machine) {
            (Effect::Stop(_), Some(machine)) if outcome == Settled::Succeeded => {
                down.insert(machine);
            }
            (Effect::Start(_), Some(machine)) if outcome == Settled::Succeeded => {
                down.remove(machine);
            }
            _ => {}
        }
    }
    down
}

fn is_handler(plan: &Plan, step: &Step) -> bool {
    plan.outwards(step.scope).any(|(_, scope)| matches!(scope.kind, ScopeKind::Handler { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side;
    use crate::plan::graph::index;
    use crate::plan::step::Kind;
    use crate::schedule::trial::{plan, step};

    fn name(of: &str) -> MachineName {
        MachineName::new(of).unwrap()
    }

    /// A database and a web server that needs it: both off, then on, the database first.
    fn tiers() -> Plan {
        let part = |at: usize, of: &str, effect, needs: &[usize]| Step {
            machine: Some(name(of)),
            effect,
            needs: needs.iter().copied().map(index).collect(),
            ..step(at, Kind::Act)
        };
        let plan = plan(vec![
            part(0, "web", Effect::Stop(Side::Cloud), &[]),
            part(1, "db", Effect::Stop(Side::Cloud), &[0]),
            part(2, "db", Effect::Start(Side::Onprem), &[1]),
            part(3, "web", Effect::Start(Side::Onprem), &[0, 2]),
        ]);
        plan.as_ref().clone()
    }

    #[test]
    fn who_waits_for_a_machine_that_is_taken_out_stays_down() {
        let plan = tiers();
        let state = RunState::new(&plan);
        let without = |out: &[&str]| {
            let out = out.iter().map(|of| name(of)).collect();
            stranded(&plan, &state, &out).into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(without(&["db"]), [name("web")]);
        assert_eq!(without(&["web"]), [], "the database is never stopped then");
        assert_eq!(without(&["db", "web"]), []);
        assert_eq!(without(&[]), []);
    }
}
