//! H013, H014, H015, H019: what a plan shows as it is written, whatever state its machines are in.

use std::collections::BTreeMap;

use foldhash::{HashSet, HashSetExt};

use crate::base::{Json, MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::inventory::INVENTORY_FACT;
use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Kind, Step, StepIx};
use crate::verify::guards::Table;
use crate::verify::observed::living;
use crate::verify::report::{Finding, Findings};
use crate::verify::rules::Ground;

/// Everything of this kind.
pub(in crate::verify) fn as_written(ground: &Ground<'_>, findings: &mut Findings) {
    let plan = ground.plan;
    let used = used(plan);
    for (ix, step) in plan.iter() {
        if waits_for_ever(step) {
            findings.add(unbounded(ix, step));
        }
        if step.effect == Effect::Snapshot && !used.contains(step.id.as_str()) {
            let machine = step.machine.as_ref().map_or("?", MachineName::as_str);
            let message = format!("`{machine}`: nothing uses this snapshot");
            let help = "give its handle to a transfer or a copy, or leave it out: it holds space";
            findings.add(Finding::new(ix, "H014", message, help));
        }
    }
    for scope in &plan.scopes {
        if scope.kind == ScopeKind::Parallel {
            unordered(plan, scope, findings);
        }
    }
}

/// Nobody needs to answer, nothing needs to hold. (Retries always have a limit.)
fn waits_for_ever(step: &Step) -> bool {
    matches!(step.kind, Kind::Gate | Kind::Poll) && step.policy.timeout_ms.is_none()
}

fn unbounded(ix: StepIx, step: &Step) -> Finding {
    let what = match step.kind {
        Kind::Gate => "stays open until somebody answers",
        _ => "waits until it holds",
    };
    let message = format!("`{}` {what}, however long that takes", step.id);
    Finding::new(
        ix,
        "H013",
        message,
        "give it a `timeout`: the run then ends and says what it waited for",
    )
}

/// The snapshots that somebody reads, by id.
fn used(plan: &Plan) -> HashSet<&str> {
    let reads = |step: &&Step| {
        matches!(step.effect, Effect::Transfer { from_snapshot: true, .. } | Effect::StartCopy)
    };
    let handles = plan.steps.iter().filter(reads).flat_map(|step| step.args.handles());
    handles.map(|(_, id)| id).collect()
}

/// H015: in a `parallel` each step that changes a machine comes after all steps of that machine before
/// it, and before all after it.
fn unordered(plan: &Plan, scope: &Scope, findings: &mut Findings) {
    let mut machines: BTreeMap<&MachineName, Vec<StepIx>> = BTreeMap::new();
    let mut shared = Vec::new();
    for ix in (scope.first.0..scope.end.0).map(StepIx) {
        match &plan.step(ix).machine {
            Some(machine) => machines.entry(machine).or_default().push(ix),
            None => shared.push(ix),
        }
    }
    for own in machines.values() {
        let changes = |ix: &StepIx| plan.step(*ix).effect.changes_machine();
        if own.len() > 1
            && own.iter().any(changes)
            && let Some((one, other)) = side_by_side(plan, own, &shared)
        {
            findings.add(collision(plan, one, other));
        }
    }
}

fn collision(plan: &Plan, one: StepIx, other: StepIx) -> Finding {
    let step = plan.step(other);
    let machine = step.machine.as_ref().map_or("?", MachineName::as_str);
    let message = format!(
        "`{machine}`: `{}` and `{}` may run at the same time, and one of them changes it",
        plan.step(one).id,
        step.id
    );
    let help = "take them out of the `parallel`, which is for checks and commands, or order them with \
                `.after(..)`";
    Finding::new(other, "H015", message, help).because(one, "nothing orders this before it")
}

/// Two steps of one machine of which one changes it, and which nothing orders. Each step is held against
/// the last change before it, each change against all since the one before: linear. Order through steps
/// of other machines is not looked for.
fn side_by_side(plan: &Plan, own: &[StepIx], shared: &[StepIx]) -> Option<(StepIx, StepIx)> {
    let mut all: Vec<StepIx> = own.iter().chain(shared).copied().collect();
    all.sort_unstable();
    // Known to come after the last change; and the ends since, which the next change must come after.
    let mut change: Option<StepIx> = None;
    let mut behind: HashSet<StepIx> = HashSet::new();
    let mut since: Vec<StepIx> = Vec::new();
    for ix in all {
        let step = plan.step(ix);
        let is_behind = change.is_none_or(|change| {
            step.edges().any(|(before, _)| before == change || behind.contains(&before))
        });
        if is_behind {
            behind.insert(ix);
        }
        if step.machine.is_none() {
            continue;
        }
        if !is_behind {
            return change.map(|change| (change, ix));
        }
        if step.effect.changes_machine() {
            let before = reached(plan, ix, &behind);
            if let Some(other) = since.iter().find(|other| !before.contains(other)) {
                return Some((*other, ix));
            }
            change = Some(ix);
            behind.clear();
            since.clear();
        } else {
            since.push(ix);
        }
    }
    None
}

/// What a step comes after, among some steps.
fn reached(plan: &Plan, from: StepIx, among: &HashSet<StepIx>) -> HashSet<StepIx> {
    let mut found = HashSet::new();
    let mut open = vec![from];
    while let Some(ix) = open.pop() {
        for (before, _) in plan.step(ix).edges() {
            if among.contains(&before) && found.insert(before) {
                open.push(before);
            }
        }
    }
    found
}

/// Where a machine runs, as far as a plan that goes well is concerned.
struct Section {
    /// `None`: it is down, or nobody knows it.
    runs: Option<Side>,
    /// The step that turned it off.
    stop: Option<StepIx>,
    /// The first step since whose failure leaves it down.
    exposed: Option<StepIx>,
}

/// H019: between the stop of a machine and its next start, every failure starts it again.
pub(in crate::verify) fn downtimes(
    ground: &Ground<'_>,
    table: &Table<'_>,
    (machine, steps): (&MachineName, &[StepIx]),
    findings: &mut Findings,
) {
    let plan = ground.plan;
    let turns = |at: &StepIx| matches!(plan.step(*at).effect, Effect::Stop(_) | Effect::Start(_));
    let Some(first) = steps.iter().position(turns) else { return };
    let runs = observed_running(ground, machine);
    let mut section = Section { runs, stop: None, exposed: None };
    for ix in &steps[first..] {
        let step = plan.step(*ix);
        if cleans_up(plan, step) {
            continue;
        }
        match step.effect {
            Effect::Stop(side) if section.runs == Some(side) => {
                section = Section { runs: None, stop: Some(*ix), exposed: None };
                rests_on_rto(ground, machine);
            }
            Effect::Start(side) => {
                section.expose(plan, table, (*ix, step), machine);
                if let (Some(stop), Some(exposed)) = (section.stop, section.exposed) {
                    findings.add(left_down(machine, stop, exposed));
                }
                section = Section { runs: Some(side), stop: None, exposed: None };
            }
            _ => section.expose(plan, table, (*ix, step), machine),
        }
    }
}

impl Section {
    /// Takes note of the first step whose failure, or whose answer, leaves the machine down. That a start
    /// itself may fail is no business of a handler: by then the other side may have taken writes.
    fn expose(
        &mut self,
        plan: &Plan,
        table: &Table<'_>,
        (ix, step): (StepIx, &Step),
        machine: &MachineName,
    ) {
        let Some(stop) = self.stop.filter(|_| self.exposed.is_none()) else { return };
        let fails = |step: &Step| {
            !step.optional
                && matches!(step.kind, Kind::Act | Kind::Poll | Kind::Gate)
                && !matches!(step.effect, Effect::Start(_) | Effect::Check { asserts: false, .. })
        };
        let gates = step.needs.iter().copied().filter(|at| *at > stop);
        let mut asked = gates.filter(|at| plan.step(*at).machine.is_none()).chain([ix]);
        self.exposed = asked.find(|at| {
            let step = plan.step(*at);
            fails(step) && !table.restarts(plan, step, machine)
        });
    }
}

fn cleans_up(plan: &Plan, step: &Step) -> bool {
    let is =
        |kind: &ScopeKind| matches!(kind, ScopeKind::Handler { .. } | ScopeKind::Always { .. });
    step.scope != ScopeIx::PLAN && plan.outwards(step.scope).any(|(_, scope)| is(&scope.kind))
}

/// The side that a machine was observed running on.
fn observed_running(ground: &Ground<'_>, machine: &MachineName) -> Option<Side> {
    let (side, power) = living(ground.facts, machine)?;
    (!power.is_off()).then_some(side)
}

/// How long it may be down is compared later, once somebody knows what its steps cost.
fn rests_on_rto(ground: &Ground<'_>, machine: &MachineName) {
    if let Some(rto) = ground.inventory.value(machine, RTO).filter(|rto| *rto != Json::Null) {
        ground.facts.note(machine.as_str(), &format!("{INVENTORY_FACT}{RTO}"), rto);
    }
}

const RTO: &str = "rto";

fn left_down(machine: &MachineName, stop: StepIx, exposed: StepIx) -> Finding {
    let message = format!("if this fails, `{machine}` stays down: no handler starts it again");
    let help = "put the stop and what follows, up to the start, into an `attempt` whose `on_failure` starts \
                the side that was turned off";
    Finding::new(exposed, "H019", message, help).because(stop, "its downtime begins here")
}
