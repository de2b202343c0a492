//! One attempt over very many machines: what the engine does grows with the plan, and no faster.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::{Json, MachineName, RunId, Timestamp};
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::scope::{Rules, Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::event::{Event, EventBody};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::schedule::core::{Core, Manner, OnGate};
use crate::schedule::order::Changes;
use crate::schedule::order::{Action, Input, Report};
use crate::schedule::trial::{asker, step};

/// Two steps per machine in the body (for all: and one that joins them), one to roll back, one to clean up,
/// one behind it, as a tracer writes them.
fn plan(machines: usize, all: bool) -> Plan {
    let mut plan = Plan { script: "wide".into(), ..Plan::default() };
    let mut write = |scope: u32, m: Option<usize>, before: [&[usize]; 3]| {
        let at = plan.steps.len();
        let kind = if m.is_some() { Kind::Act } else { Kind::Barrier };
        let places = |list: &[usize]| list.iter().copied().map(index).collect::<Vec<StepIx>>();
        plan.steps.push(Step {
            machine: m.map(|m| MachineName::new(format!("m{m}")).unwrap()),
            needs: places(before[0]),
            waits: places(before[1]),
            follows: places(before[2]),
            scope: ScopeIx(scope),
            args: serde_json::json!({ "on_failed": "fail" }).into(),
            ..step(at, kind)
        });
        at
    };
    let mut ends = Vec::new();
    for m in 0..machines {
        let first = write(1, Some(m), [&[], &[], &[]]);
        ends.push(write(1, Some(m), [&[first], &[], &[]]));
    }
    let join: Vec<usize> = all.then(|| write(1, None, [&[], &ends, &[]])).into_iter().collect();
    let with = |own: &[usize]| [own, &join].concat();
    let back: Vec<_> =
        (0..machines).map(|m| write(2, Some(m), [&[], &[], &with(&[ends[m]])])).collect();
    let cleaned: Vec<_> =
        (0..machines).map(|m| write(3, Some(m), [&[], &[], &with(&[ends[m], back[m]])])).collect();
    for m in 0..machines {
        write(0, Some(m), [&with(&[ends[m], cleaned[m]]), &[], &[]]);
    }
    let of = ScopeIx(1);
    let body = ScopeKind::Attempt { all, then_continue: false };
    let mut first = 0;
    for (kind, steps) in [
        (body, 2 * machines + join.len()),
        (ScopeKind::Handler { of }, machines),
        (ScopeKind::Always { of }, machines),
    ] {
        let (from, end) = (index(first), index(first + steps));
        let rules = Rules::default();
        plan.scopes.push(Scope { kind, parent: ScopeIx::PLAN, first: from, end, rules });
        first += steps;
    }
    plan
}

/// Runs it, every machine that many apart failing in its last step; gives the records and the edges looked at.
fn run(machines: usize, all: bool, apart: usize) -> (usize, u64) {
    let plan = Arc::new(plan(machines, all));
    let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let run = RunId::new("r1").unwrap();
    let mut records = 0;
    let mut event = |body: EventBody| {
        records += 1;
        Event { run: run.clone(), seq: records, at: now, body }
    };
    let mut state = RunState::new(&plan);
    let begins = EventBody::RunStarted {
        plan_id: crate::base::PlanId::new("p1").unwrap(),
        digest: "d".into(),
        script: "wide".into(),
        approved: Vec::new(),
        by: asker(),
    };
    state.apply(&event(begins)).unwrap();
    let manner = Manner {
        on_gate: OnGate::Exit,
        advance: Vec::new(),
        is_stall: Box::new(|_| false),
        step_s: Vec::new(),
    };
    let mut core = Core::new(plan.clone(), run.clone(), state, &Inventory::default(), manner);
    let mut inputs = VecDeque::from([Input::Begin]);
    let mut outcome = None;
    while let Some(input) = inputs.pop_front() {
        for action in core.handle(input, now) {
            inputs.push_back(match action {
                Action::Append { body, .. } => Input::Appended(event(body)),
                Action::Start(order) => {
                    let at = core.state().place(&order.step).unwrap().at();
                    let broken = at % 2 == 1 && at < 2 * machines && (at / 2).is_multiple_of(apart);
                    let result = if broken {
                        Err(Failure::permanent("it cannot work"))
                    } else {
                        Ok(Json::Null)
                    };
                    Input::Report(Report { step: order.step, attempt: order.attempt, result })
                }
                Action::Recheck(why) => Input::Rechecked { why, changes: Changes::default() },
                Action::Look => Input::Looked { dangers: Vec::new() },
                Action::Release => Input::Released,
                Action::GiveBack(machine) => Input::GivenBack(machine),
                Action::Done(how) => {
                    outcome = Some(how);
                    continue;
                }
                Action::Cancel(_) | Action::Abandon(_) | Action::Dismiss(_) => continue,
            });
        }
    }
    assert_eq!(outcome, Some(Outcome::Failed));
    (records as usize, core.frontier.visited)
}

#[test]
fn ten_times_the_machines_in_one_attempt_cost_ten_times_as_much() {
    for (machines, all, apart) in [(20_000, false, 2), (5_000, true, 500)] {
        let (few, many) = (run(machines / 10, all, apart), run(machines, all, apart));
        assert!(few.1 > machines as u64 / 10, "something was counted: {few:?}");
        // Each plan begins, ends and joins but once.
        assert!(many.0 <= 10 * few.0 + 10, "records: {few:?}, {many:?}");
        assert!(many.1 <= 10 * few.1 + 10, "edges: {few:?}, {many:?}");
    }
}
