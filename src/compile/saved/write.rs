//! A plan as JSON. Stable and versioned: other tools read it.

use serde_json::{Map, json};

use crate::base::{Json, PlanId, StepId};
use crate::compile::point_of_no_return;
use crate::compile::saved::scopes;
use crate::compile::saved::seal::seal;
use crate::diagnostic::Diagnostic;
use crate::plan::estimate::Estimates;
use crate::plan::graph::{Plan, index};
use crate::plan::scope::Scope;
use crate::plan::step::{Kind, StepIx};
use crate::source::Span;
use crate::verify::VerifiedPlan;

/// The version of the format. The second one has scopes: who knows only the first would take a step of a
/// handler for one that is always done.
pub(super) const VERSION: u64 = 2;

/// The document that `plan --out` and `plan --format json` write: on one line or pretty, it reads back.
pub fn save(verified: &VerifiedPlan, estimates: &Estimates, plan_id: &PlanId) -> Json {
    let plan = verified.plan();
    let id = |ix: StepIx| plan.step(ix).id.as_str();
    let scope_ids = scopes::ids(plan);
    let machines = estimates.machines.iter().map(|(name, machine)| {
        let estimate = json!({
            "downtime_s": machine.downtime_s,
            "sync_s": machine.sync_s,
            "bytes": machine.bytes,
        });
        (name.to_string(), estimate)
    });
    let facts = plan.facts.iter().map(|fact| {
        let value: Json =
            serde_json::from_str(&fact.value).expect("BUG: a fact's value is canonical JSON");
        json!({ "subject": fact.subject, "fact": fact.fact, "value": value })
    });
    let mut document = json!({
        "homing_plan": VERSION,
        "plan_id": plan_id,
        "digest": verified.digest(),
        "script": plan.script,
        "params": plan.params,
        "steps": plan.iter().map(|(ix, _)| step(plan, ix, &scope_ids, estimates)).collect::<Json>(),
        "scopes": scopes::write(plan, &scope_ids),
        "groups": groups(plan),
        "acknowledged": plan.acknowledged.iter().map(|one| json!({
            "code": one.code,
            "reason": one.reason,
            "scope": scope_ids[one.scope.at()],
            "source": place(&one.at),
        })).collect::<Json>(),
        "machines": machines.collect::<Map<_, _>>(),
        "gates": gates(plan),
        "facts": facts.collect::<Json>(),
        "critical_path": estimates.critical_path.iter().map(|at| id(StepIx(*at))).collect::<Json>(),
        "makespan_s": estimates.makespan_s,
        "point_of_no_return": no_return(plan),
        "rules": verified.rules(),
        "warnings": verified.warnings().iter().map(Diagnostic::flat).collect::<Json>(),
    });
    seal(&mut document);
    document
}

/// The ids of its gates.
pub(super) fn gates(plan: &Plan) -> Json {
    let gates = plan.steps.iter().filter(|step| step.kind == Kind::Gate);
    gates.map(|gate| gate.id.as_str()).collect()
}

/// Its named groups that hold steps.
pub(super) fn groups(plan: &Plan) -> Json {
    let held = plan.groups().filter(|(_, group)| group.first < group.end);
    held.map(|(name, one)| group(plan, name, one)).collect()
}

/// The first step after which there is only forward.
pub(super) fn no_return(plan: &Plan) -> Json {
    json!(point_of_no_return(plan).map(|ix| plan.step(ix).id.as_str()))
}

fn step(plan: &Plan, ix: StepIx, scope_ids: &[String], estimates: &Estimates) -> Json {
    let step = plan.step(ix);
    let ids =
        |edges: &[StepIx]| -> Vec<&StepId> { edges.iter().map(|ix| &plan.step(*ix).id).collect() };
    let at = &step.origin.at;
    json!({
        "id": step.id,
        "primitive": step.primitive,
        "machine": step.machine,
        "args": step.args.json(),
        "needs": ids(&step.needs),
        "waits": ids(&step.waits),
        "follows": ids(&step.follows),
        "scope": scope_ids[step.scope.at()],
        "undoes": step.undoes.map(|ix| &plan.step(ix).id),
        "guard": scopes::guard(plan, ix, scope_ids),
        "reversibility": step.reversibility,
        "optional": step.optional,
        "policy": *step.policy,
        "source": {
            "file": &*at.file,
            "line": at.line,
            "column": at.column,
            "via": step.origin.via.iter().map(place).collect::<Json>(),
        },
        "estimate_s": estimates.steps.get(ix.at()).map(|one| one.seconds),
    })
}

fn place(span: &Span) -> Json {
    json!({ "file": &*span.file, "line": span.line, "column": span.column })
}

fn group(plan: &Plan, name: &str, group: &Scope) -> Json {
    let ids = (group.first.at()..group.end.at()).map(|at| plan.step(index(at)).id.as_str());
    json!({ "name": name, "steps": ids.collect::<Json>() })
}
