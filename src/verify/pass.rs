//! The forward pass: once over the steps in their order, which is topological, with the few states that
//! each machine may be in at that point. Linear in steps.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::graph::{Plan, index};
use crate::plan::step::{Kind, Step, StepIx};
use crate::verify::flow::Flow;
use crate::verify::guards::Table;
use crate::verify::observed::observed;
use crate::verify::report::{Finding, Findings};
use crate::verify::rules::{self, Ground, Look, RULES, STEP_RULES};
use crate::verify::state::{Cause, Proof, State, StateSet};
use crate::verify::step::{Act, failed, succeeded};

/// What the rules find in a plan, machine by machine.
pub(super) fn pass<'a>(ground: &'a Ground<'a>, table: &'a Table<'a>, findings: &mut Findings) {
    let mut walk = Walk {
        ground,
        table,
        snapshots: snapshots(ground.plan),
        flows: HashMap::new(),
        findings,
        busy: OnceCell::new(),
        next: StateSet::default(),
    };
    for (ix, step) in ground.plan.iter() {
        if let Some(machine) = &step.machine {
            walk.step(ix, step, machine);
        }
    }
}

/// Nobody's state needs to be known for it.
fn is_idle(step: &Step) -> bool {
    matches!(step.effect, Effect::Nothing | Effect::Approved | Effect::Check { side: None, .. })
}

fn busy(plan: &Plan) -> HashSet<&MachineName> {
    let busy = plan.steps.iter().filter(|step| !is_idle(step));
    busy.filter_map(|step| step.machine.as_ref()).collect()
}

fn snapshots(plan: &Plan) -> HashMap<&str, StepIx> {
    let taken = plan.iter().filter(|(_, step)| step.effect == Effect::Snapshot);
    taken.map(|(ix, step)| (step.id.as_str(), ix)).collect()
}

struct Walk<'a, 'f> {
    ground: &'a Ground<'a>,
    table: &'a Table<'a>,
    /// The steps that take a snapshot, by id: what handles name.
    snapshots: HashMap<&'a str, StepIx>,
    /// `None`: the machine was not observed, which has been reported.
    flows: HashMap<&'a MachineName, Option<Flow>>,
    findings: &'f mut Findings,
    /// Machines that some step does more with than look, once somebody asks.
    busy: OnceCell<HashSet<&'a MachineName>>,
    /// Room for the states after a step, used again for every step.
    next: StateSet,
}

impl<'a> Walk<'a, '_> {
    fn step(&mut self, ix: StepIx, step: &'a Step, machine: &'a MachineName) {
        let ground = self.ground;
        // A machine that only such steps name is none of the plan's facts.
        if is_idle(step) && !self.flows.contains_key(machine) {
            let busy = self.busy.get_or_init(|| busy(ground.plan));
            if !busy.contains(machine) {
                return;
            }
        }
        let findings = &mut *self.findings;
        let flow = self.flows.entry(machine).or_insert_with(|| {
            let state = observed(ground.facts, machine);
            if state.is_none() {
                findings.add(Finding::plain(ix, rules::not_observed(machine)));
            }
            state.map(Flow::new)
        });
        let Some(flow) = flow else { return };
        if !flow.host_asked && needs_host(step.effect) {
            flow.host_asked = true;
            let host = rules::host_connected(machine, ground.facts, ground.inventory);
            host.into_iter().for_each(|missing| findings.add(Finding::plain(ix, missing)));
        }
        flow.arrive(ground.plan, self.table, machine, ix, step);
        approved(ground, flow, step);
        let snapshot = snapshot_of(step, &self.snapshots).map(|at| flow.snapshot_use(at));
        let vouches = vouches(ground, step);
        let act = Act { at: ix, effect: step.effect, snapshot, vouches };
        if flow.may_be_blocked(self.table, step) {
            flow.stopped.join(&flow.live);
        }
        self.next.clear();
        for (nth, state) in flow.live.iter().enumerate() {
            let look = Look { ground, machine, state, act: &act, gate: flow.gate };
            let kept = check(look, nth == 0, findings);
            self.next.insert(succeeded(kept, &act));
            let after_failure = if step.optional { &mut self.next } else { &mut flow.stopped };
            failed(kept, &act).into_iter().for_each(|left| after_failure.insert(left));
        }
        std::mem::swap(&mut flow.live, &mut self.next);
        flow.look_at_quiet(index(ix.at() + 1));
        record(ground.plan, flow, (ix, step), &self.snapshots);
    }
}

/// What the rules say of one state before one step; the state with which the proof goes on. Rules that do
/// not look at the state are asked once per step.
fn check(look: Look<'_>, is_first: bool, findings: &mut Findings) -> State {
    if is_first {
        for broken in STEP_RULES.iter().filter_map(|rule| rule(&look)) {
            findings.add(Finding::broken(look.act.at, broken));
        }
    }
    let mut state = *look.state;
    for rule in RULES {
        if let Some(broken) = rule(&Look { state: &state, ..look }) {
            state = broken.repaired;
            findings.add(Finding::broken(look.act.at, broken));
        }
    }
    state
}

/// What a step does to the machine's snapshots and its chain.
fn record(
    plan: &Plan,
    flow: &mut Flow,
    (ix, step): (StepIx, &Step),
    snapshots: &HashMap<&str, StepIx>,
) {
    match step.effect {
        Effect::Commit => flow.all_snapshots_deleted_by = Some(ix),
        Effect::ReleaseSnapshot => {
            if let Some(snapshot) = snapshot_of(step, snapshots) {
                flow.released.insert(snapshot, ix);
            }
        }
        // From now on its home is a host that was chosen, and looked at.
        Effect::CreateOnprem { .. } => flow.host_asked = true,
        Effect::Approved => flow.gate = Some(ix),
        _ => {}
    }
    if step.kind != Kind::Notify {
        flow.placed(plan, ix, step);
    }
}

/// A gate of no machine that opened since the machine's last step: somebody looked.
fn approved(ground: &Ground<'_>, flow: &mut Flow, step: &Step) {
    let plan = ground.plan;
    for at in &step.needs {
        let gate = plan.step(*at);
        if gate.machine.is_some() || gate.effect != Effect::Approved {
            continue;
        }
        flow.gate = flow.gate.max(Some(*at));
        let act =
            Act { at: *at, effect: gate.effect, snapshot: None, vouches: vouches(ground, gate) };
        flow.live = flow.live.map(|state| match state.side(state.active).cause {
            Cause::Done(since) | Cause::Failed(since) if since > *at => state,
            _ => succeeded(state, &act),
        });
    }
}

/// What the success of a step says of the side that runs.
fn vouches(ground: &Ground<'_>, step: &Step) -> Proof {
    match step.effect {
        Effect::Check { asserts: true, .. } => Proof::Given,
        Effect::Approved if rules::is_ignored(step) => Proof::Ignored,
        Effect::Approved => Proof::Given,
        Effect::Nothing if rules::rests_on_a_check(ground, step) => Proof::Given,
        _ => Proof::None,
    }
}

fn needs_host(effect: Effect) -> bool {
    use crate::base::Side::Onprem;
    matches!(effect, Effect::Transfer { .. } | Effect::Start(Onprem) | Effect::Stop(Onprem))
}

/// The step whose snapshot this one was given.
fn snapshot_of(step: &Step, snapshots: &HashMap<&str, StepIx>) -> Option<StepIx> {
    let uses = matches!(
        step.effect,
        Effect::Transfer { from_snapshot: true, .. } | Effect::ReleaseSnapshot | Effect::StartCopy
    );
    let mut handles = step.args.handles().filter(|_| uses);
    handles.find_map(|(_, id)| snapshots.get(id).copied())
}
