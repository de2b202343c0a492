//! The forward pass: once over the steps in their order, which is topological, with the few states that
//! each machine may be in at that point. Linear in steps.
//!
//! A machine's `live` states are those in which its last step let the next one start: it succeeded, or
//! it was `optional` and failed. Its `stopped` states are all others in which the chain may have come to
//! rest. A step that does not need its machine's last step starts from both; a failure handler will
//! start from the stopped ones of its attempt, a guard will fork and join the live ones.

use std::collections::HashMap;

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::graph::{Plan, index};
use crate::plan::step::{Kind, Step, StepIx, handle_from_json};
use crate::verify::observed::observed;
use crate::verify::report::{Finding, Findings};
use crate::verify::rules::{self, Ground, Look, RULES};
use crate::verify::state::{State, StateSet};
use crate::verify::step::{Act, SnapshotUse, failed, succeeded};

/// Where one machine may be, at one point of the plan.
struct Flow {
    live: StateSet,
    stopped: StateSet,
    /// Its last step that can hold back the next one.
    last: Option<StepIx>,
    /// From this step on, no state has the source running: a snapshot taken since is of the last moment.
    quiet_since: Option<StepIx>,
    /// The last step that deletes every snapshot taken before.
    all_snapshots_deleted_by: Option<StepIx>,
    /// Snapshots that were given up one by one, and by which step.
    released: HashMap<StepIx, StepIx>,
    host_asked: bool,
}

impl Flow {
    fn new(state: State) -> Flow {
        Flow {
            live: StateSet::of(state),
            stopped: StateSet::default(),
            last: None,
            quiet_since: state.is_quiet().then(|| index(0)),
            all_snapshots_deleted_by: None,
            released: HashMap::new(),
            host_asked: false,
        }
    }

    fn look_at_quiet(&mut self, next: StepIx) {
        if !self.live.iter().all(State::is_quiet) {
            self.quiet_since = None;
        } else if self.quiet_since.is_none() {
            self.quiet_since = Some(next);
        }
    }

    fn snapshot_use(&self, snapshot: StepIx) -> SnapshotUse {
        let with_all = self.all_snapshots_deleted_by.filter(|by| snapshot < *by);
        SnapshotUse {
            is_current: self.quiet_since.is_some_and(|since| since <= snapshot),
            deleted_by: with_all.or_else(|| self.released.get(&snapshot).copied()),
        }
    }
}

/// Everything the rules find in a plan.
pub(super) fn pass(ground: &Ground<'_>) -> Findings {
    let mut walk = Walk {
        ground,
        snapshots: snapshots(ground.plan),
        flows: HashMap::new(),
        findings: Findings::default(),
        next: StateSet::default(),
    };
    for (ix, step) in ground.plan.iter() {
        if let Some(machine) = &step.machine {
            walk.step(ix, step, machine);
        }
    }
    walk.findings
}

fn snapshots(plan: &Plan) -> HashMap<&str, StepIx> {
    let taken = plan.iter().filter(|(_, step)| step.effect == Effect::Snapshot);
    taken.map(|(ix, step)| (step.id.as_str(), ix)).collect()
}

struct Walk<'a> {
    ground: &'a Ground<'a>,
    /// The steps that take a snapshot, by id: what handles name.
    snapshots: HashMap<&'a str, StepIx>,
    /// `None`: the machine was not observed, which has been reported.
    flows: HashMap<&'a MachineName, Option<Flow>>,
    findings: Findings,
    /// Room for the states after a step, used again for every step.
    next: StateSet,
}

impl<'a> Walk<'a> {
    fn step(&mut self, ix: StepIx, step: &'a Step, machine: &'a MachineName) {
        // Nobody's state, and a machine that only such steps name is none of the plan's facts.
        let idle = matches!(
            step.effect,
            Effect::Nothing | Effect::Approved | Effect::Check { side: None, .. }
        );
        if idle && !self.flows.contains_key(machine) {
            return;
        }
        let ground = self.ground;
        let findings = &mut self.findings;
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
        if flow.last.is_some_and(|last| !starts_after(ground.plan, step, last)) {
            flow.live.join(&flow.stopped);
            flow.look_at_quiet(ix);
        }
        let snapshot = snapshot_of(step, &self.snapshots).map(|at| flow.snapshot_use(at));
        let act = Act { at: ix, effect: step.effect, snapshot };
        flow.stopped.join(&flow.live);
        self.next.clear();
        for state in flow.live.iter() {
            let kept = check(ground, machine, state, &act, findings);
            self.next.insert(succeeded(kept, &act));
            for left in failed(kept, &act) {
                flow.stopped.insert(left);
                if step.optional {
                    self.next.insert(left);
                }
            }
        }
        std::mem::swap(&mut flow.live, &mut self.next);
        flow.look_at_quiet(index(ix.at() + 1));
        record(flow, ix, step, &self.snapshots);
    }
}

/// What the rules say of one state before one step; the state with which the proof goes on.
fn check(
    ground: &Ground<'_>,
    machine: &MachineName,
    state: &State,
    act: &Act,
    findings: &mut Findings,
) -> State {
    let mut state = *state;
    for rule in RULES {
        if let Some(broken) = rule(&Look { ground, machine, state: &state, act }) {
            state = broken.repaired;
            findings.add(Finding::broken(act.at, broken));
        }
    }
    state
}

/// What a step does to the machine's snapshots and its chain.
fn record(flow: &mut Flow, ix: StepIx, step: &Step, snapshots: &HashMap<&str, StepIx>) {
    match step.effect {
        Effect::Commit => flow.all_snapshots_deleted_by = Some(ix),
        Effect::ReleaseSnapshot => {
            if let Some(snapshot) = snapshot_of(step, snapshots) {
                flow.released.insert(snapshot, ix);
            }
        }
        // From now on its home is a host that was chosen; the step itself refuses one that is not there.
        Effect::CreateOnprem { .. } => flow.host_asked = true,
        _ => {}
    }
    if step.kind != Kind::Notify {
        flow.last = Some(ix);
    }
}

/// The step starts only if `last` let it: directly, or through one step between (a barrier that needs
/// it). An edge farther away is not looked for: the answer is then the careful one.
fn starts_after(plan: &Plan, step: &Step, last: StepIx) -> bool {
    let needs = |step: &Step| step.needs.binary_search(&last).is_ok();
    needs(step) || step.needs.iter().any(|between| needs(plan.step(*between)))
}

fn needs_host(effect: Effect) -> bool {
    use crate::base::Side::Onprem;
    matches!(effect, Effect::Transfer { .. } | Effect::Start(Onprem) | Effect::Stop(Onprem))
}

/// The step whose snapshot this one was given.
fn snapshot_of(step: &Step, snapshots: &HashMap<&str, StepIx>) -> Option<StepIx> {
    let uses = matches!(
        step.effect,
        Effect::Transfer { from_snapshot: true, .. } | Effect::ReleaseSnapshot
    );
    let args = step.args.as_object().filter(|_| uses)?;
    args.values().filter_map(handle_from_json).find_map(|id| snapshots.get(id).copied())
}
