//! H018: a machine starts after the machines that it needs.

use foldhash::{HashMap, HashMapExt};

use crate::base::{MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::facts::Power;
use crate::plan::graph::Plan;
use crate::plan::inventory::INVENTORY_FACT;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::settle::{Over, over};
use crate::plan::step::{Kind, Step, StepIx};
use crate::verify::observed::living;
use crate::verify::report::{Finding, Findings};
use crate::verify::rules::{Ground, rests_on_a_check};

/// What a step does to the life of its machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Stop,
    Start(Side),
    Check(Option<Side>),
}

/// Where a machine is stopped, started and checked, in order, handlers and clean-up left out (a way back
/// must not wait, and none of them happens when all goes well). Empty of one that is only looked at.
type Turns = Vec<(StepIx, Turn)>;

/// Every start comes after the start and check of what the machine needs; a machine that the plan neither
/// stops nor starts must be observed running, on either side.
pub(in crate::verify) struct Tiers<'a> {
    ground: &'a Ground<'a>,
    /// Of the machines that others need.
    turns: HashMap<&'a MachineName, Turns>,
    order: Order<'a>,
}

impl<'a> Tiers<'a> {
    pub fn new(ground: &'a Ground<'a>) -> Tiers<'a> {
        let order = Order { plan: ground.plan, after: HashMap::new() };
        Tiers { ground, turns: HashMap::new(), order }
    }

    /// The starts of one machine.
    pub fn in_order(
        &mut self,
        (machine, steps): (&MachineName, &[StepIx]),
        findings: &mut Findings,
    ) {
        let (ground, plan) = (self.ground, self.ground.plan);
        let is_start = |at: &&StepIx| matches!(plan.step(**at).effect, Effect::Start(_));
        let mut starts = steps.iter().filter(is_start).peekable();
        let Some(entry) = starts.peek().and_then(|_| ground.inventory.machines.get(machine)) else {
            return;
        };
        if let Some(needs) = entry.value(NEEDS) {
            ground.facts.note(machine.as_str(), &format!("{INVENTORY_FACT}{NEEDS}"), needs);
        }
        for ix in starts.filter(|at| !is_way_out(plan, plan.step(**at).scope)) {
            for needed in &entry.needs {
                let turns = self.turns.entry(needed).or_insert_with(|| turns_of(ground, needed));
                let start = (*ix, plan.step(*ix));
                let finding = match turns.is_empty() {
                    true => not_running(ground, (*ix, machine), needed),
                    false => out_of_order(plan, &mut self.order, start, needed, turns),
                };
                finding.into_iter().for_each(|finding| findings.add(finding));
            }
        }
    }
}

const NEEDS: &str = "needs";

fn is_way_out(plan: &Plan, scope: ScopeIx) -> bool {
    let cleans_up =
        |kind: &ScopeKind| matches!(kind, ScopeKind::Handler { .. } | ScopeKind::Always { .. });
    scope != ScopeIx::PLAN && plan.outwards(scope).any(|(_, scope)| cleans_up(&scope.kind))
}

fn turns_of(ground: &Ground<'_>, machine: &MachineName) -> Turns {
    let plan = ground.plan;
    let turn = |step: &Step| match step.effect {
        Effect::Stop(_) => Some(Turn::Stop),
        Effect::Start(side) => Some(Turn::Start(side)),
        Effect::Check { side, asserts: true } if !step.optional => Some(Turn::Check(side)),
        Effect::Nothing if !step.optional && rests_on_a_check(ground, step) => {
            Some(Turn::Check(None))
        }
        _ => None,
    };
    let steps = ground.lanes.find(machine).iter().map(|at| (*at, plan.step(*at)));
    let steps = steps.filter(|(_, step)| !is_way_out(plan, step.scope));
    let turns: Turns = steps.filter_map(|(at, step)| Some((at, turn(step)?))).collect();
    let moves = turns.iter().any(|(_, turn)| !matches!(turn, Turn::Check(_)));
    if moves { turns } else { Turns::new() }
}

fn not_running(
    ground: &Ground<'_>,
    (ix, machine): (StepIx, &MachineName),
    needed: &MachineName,
) -> Option<Finding> {
    let (_, power) = living(ground.facts, needed)?;
    if power == Power::On {
        return None;
    }
    let message = format!("`{machine}` starts and needs `{needed}`, which does not run");
    let help = format!("start and check `{needed}` before this step");
    Some(Finding::new(ix, "H018", message, help))
}

fn out_of_order(
    plan: &Plan,
    order: &mut Order<'_>,
    (ix, step): (StepIx, &Step),
    needed: &MachineName,
    turns: &[(StepIx, Turn)],
) -> Option<Finding> {
    let before = &turns[..turns.partition_point(|(at, _)| *at < ix)];
    let last = before.iter().rposition(|(_, turn)| !matches!(turn, Turn::Check(_)));
    let (why, cause) = match last.map(|at| (before[at], &before[at + 1..])) {
        None => ("is moved only after it", turns.first().map(|(at, _)| *at)),
        Some(((at, Turn::Stop), _)) => ("is stopped before it and not started again", Some(at)),
        Some(((at, _), _)) if plan.step(at).optional => {
            ("is started in a step that is `optional`", Some(at))
        }
        Some(((at, start), checks)) => {
            let same = |turn: &Turn| match (start, turn) {
                (Turn::Start(side), Turn::Check(asked)) => asked.is_none_or(|asked| asked == side),
                _ => false,
            };
            let proves = |check: StepIx| is_met(plan, check, step, turns);
            let mut checks = checks.iter().filter(|(_, turn)| same(turn)).map(|(at, _)| *at);
            match checks.clone().next() {
                None => ("is started and not checked", Some(at)),
                Some(_) if checks.any(|at| proves(at) && order.is_after(ix, at)) => return None,
                Some(first) => ("need not have succeeded by then", Some(first)),
            }
        }
    };
    let machine = step.machine.as_ref()?;
    let message = match why.starts_with("need ") {
        true => format!("`{machine}` starts and needs `{needed}`, whose start and check {why}"),
        false => format!("`{machine}` starts and needs `{needed}`, which {why}"),
    };
    let help = format!(
        "start and check `{needed}` first, in steps that must succeed, and let this one come `.after` that \
         check; or let the library's tiers write the order"
    );
    let finding = Finding::new(ix, "H018", message, help);
    Some(match cause {
        Some(at) => finding.because(at, format!("what becomes of `{needed}`")),
        None => finding,
    })
}

/// Where the check is left out by a guard, the start is left out too, or the machine was not stopped.
fn is_met(plan: &Plan, check: StepIx, start: &Step, turns: &[(StepIx, Turn)]) -> bool {
    let guards = plan.guards(plan.step(check));
    let stops = || turns.iter().filter(|(_, turn)| *turn == Turn::Stop).map(|(at, _)| *at);
    guards.iter().all(|(guard, _)| {
        plan.is_within(start.scope, *guard)
            || stops().all(|at| plan.is_within(plan.step(at).scope, *guard))
    })
}

/// What comes after a step for certain, remembered: each step is asked once per step before it.
struct Order<'a> {
    plan: &'a Plan,
    after: HashMap<StepIx, HashMap<StepIx, bool>>,
}

impl Order<'_> {
    /// Whether `step` begins only when `before` has succeeded.
    fn is_after(&mut self, step: StepIx, before: StepIx) -> bool {
        let plan = self.plan;
        // Most often the order was written at the step itself.
        if needed(plan.step(step)).any(|ix| ix == before) {
            return true;
        }
        let known = self.after.entry(before).or_default();
        let mut open = vec![step];
        while let Some(&at) = open.last() {
            if known.contains_key(&at) {
                open.pop();
                continue;
            }
            let needed: Vec<StepIx> = needed(plan.step(at)).filter(|ix| *ix >= before).collect();
            if needed.contains(&before) || needed.iter().any(|ix| known.get(ix) == Some(&true)) {
                known.insert(at, true);
            } else if let Some(next) = needed.iter().find(|ix| !known.contains_key(ix)) {
                open.push(*next);
            } else {
                known.insert(at, false);
            }
        }
        known.get(&step) == Some(&true)
    }
}

/// What must have succeeded before a step begins. A barrier holds over a machine that failed unless it
/// was told to go on; at a gate a person decides with the name before them.
fn needed(step: &Step) -> impl Iterator<Item = StepIx> {
    let holds = step.kind != Kind::Barrier || over(step, 1) == Over::Hold;
    let waits = step.waits.iter().filter(move |_| holds);
    step.needs.iter().chain(waits).copied()
}
