//! The forward pass: for each machine once over its steps in their order, which is topological, with the
//! few states that it may be in at that point. Linear in steps.

use foldhash::{HashMap, HashMapExt};

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::graph::{Plan, index};
use crate::plan::step::{Kind, Step, StepIx};
use crate::verify::flow::Flow;
use crate::verify::guards::Table;
use crate::verify::observed::observed;
use crate::verify::report::{Finding, Findings};
use crate::verify::rules::{self, Ground, Look, RULES, STEP_RULES, Tiers};
use crate::verify::state::{Cause, Proof, State, StateSet};
use crate::verify::step::{Act, failed, succeeded};

/// What the rules find in a plan, machine by machine.
pub(super) fn pass<'a>(ground: &'a Ground<'a>, table: &'a Table<'a>, findings: &mut Findings) {
    let mut walk = Walk {
        ground,
        table,
        flow: Flow::default(),
        snapshots: HashMap::new(),
        findings,
        next: StateSet::default(),
    };
    let mut tiers = Tiers::new(ground);
    for (machine, steps) in ground.lanes.iter() {
        walk.machine(machine, steps);
        tiers.in_order((machine, steps), walk.findings);
        rules::downtimes(ground, table, (machine, steps), walk.findings);
    }
}

/// Nobody's state needs to be known for it.
fn is_idle(step: &Step) -> bool {
    matches!(step.effect, Effect::Nothing | Effect::Approved | Effect::Check { side: None, .. })
}

struct Walk<'a, 'f> {
    ground: &'a Ground<'a>,
    table: &'a Table<'a>,
    findings: &'f mut Findings,
    /// Where the machine may be.
    flow: Flow,
    /// The machine's steps that take a snapshot, by id: what handles name.
    snapshots: HashMap<&'a str, StepIx>,
    /// Room for the states after a step, used again for every step.
    next: StateSet,
}

impl<'a> Walk<'a, '_> {
    fn machine(&mut self, machine: &'a MachineName, steps: &[StepIx]) {
        let plan = self.ground.plan;
        // A machine that only such steps name is none of the plan's facts.
        if steps.iter().all(|at| is_idle(plan.step(*at))) {
            return;
        }
        let Some(state) = observed(self.ground.facts, machine) else {
            return self.findings.add(Finding::plain(steps[0], rules::not_observed(machine)));
        };
        self.flow.begin(state);
        self.snapshots.clear();
        for at in steps {
            self.step(*at, plan.step(*at), machine);
        }
    }

    fn step(&mut self, ix: StepIx, step: &'a Step, machine: &'a MachineName) {
        let (ground, table) = (self.ground, self.table);
        let (flow, findings) = (&mut self.flow, &mut *self.findings);
        if !flow.host_asked && needs_host(step.effect) {
            flow.host_asked = true;
            let host = rules::host_connected(machine, ground.facts, ground.inventory);
            host.into_iter().for_each(|missing| findings.add(Finding::plain(ix, missing)));
        }
        flow.arrive(ground.plan, table, machine, ix, step);
        approved(ground, flow, step);
        let given = snapshot_of(step, &self.snapshots);
        let snapshot = given.map(|at| flow.snapshot_use(ground.plan, table, at, step));
        let vouches = vouches(ground, step);
        let act = Act { at: ix, effect: step.effect, snapshot, vouches };
        if flow.may_be_blocked(table, step) {
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
        if step.effect == Effect::Snapshot {
            self.snapshots.insert(step.id.as_str(), ix);
        }
        record(ground.plan, flow, (ix, step), given);
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
fn record(plan: &Plan, flow: &mut Flow, (ix, step): (StepIx, &Step), given: Option<StepIx>) {
    match (step.effect, given) {
        (Effect::Commit, _) => flow.deleted.all(ix, step),
        (Effect::ReleaseSnapshot, Some(snapshot)) => flow.deleted.one(snapshot, ix, step),
        // From now on its home is a host that was chosen, and looked at.
        (Effect::CreateOnprem { .. }, _) => flow.host_asked = true,
        (Effect::Approved, _) => flow.gate = Some(ix),
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
