//! A plan becomes its document.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Json, MachineName, PlanId, StepId};
use crate::compile::point_of_no_return;
use crate::compile::saved::document::{
    AcknowledgementRecord, AnsweredRecord, Document, FactRecord, GroupRecord, MachineRecord,
    PlaceRecord, SourceRecord, StepRecord, VERSION,
};
use crate::compile::saved::{scopes, seal};
use crate::diagnostic::flat::Flat;
use crate::plan::estimate::Estimates;
use crate::plan::graph::{Plan, index};
use crate::plan::scope::Scope;
use crate::plan::step::{Kind, StepIx};
use crate::source::Span;
use crate::verify::VerifiedPlan;

/// The document that `plan --out` and `plan --format json` write: on one line or pretty, it reads back.
pub fn save(verified: &VerifiedPlan, estimates: &Estimates, plan_id: &PlanId) -> Document {
    let plan = verified.plan();
    let id = |ix: StepIx| plan.step(ix).id.clone();
    let scope_ids = scopes::ids(plan);
    let machines: BTreeMap<MachineName, MachineRecord> =
        estimates.machines.iter().map(|(name, one)| (name.clone(), one.into())).collect();
    let acknowledged = plan.acknowledged.iter().map(|one| AcknowledgementRecord {
        code: one.code.clone(),
        reason: one.reason.clone(),
        scope: scope_ids[one.scope.at()].clone(),
        source: place(&one.at),
    });
    let answered = verified.acknowledged().iter().map(|one| AnsweredRecord {
        reason: one.reason.clone(),
        warning: Flat::from(&one.warning),
    });
    let mut document = Document {
        acknowledged: acknowledged.collect(),
        answered: answered.collect(),
        critical_path: estimates.critical_path.iter().map(|at| id(StepIx(*at))).collect(),
        digest: verified.digest().clone(),
        facts: facts(plan),
        gates: gates(plan),
        groups: groups(plan),
        homing_plan: VERSION,
        machines,
        makespan_s: estimates.makespan_s,
        params: plan.params.clone(),
        plan_id: plan_id.clone(),
        point_of_no_return: no_return(plan),
        queued: estimates.queued,
        rules: verified.rules().iter().map(|code| Cow::Borrowed(*code)).collect(),
        scopes: scopes::write(plan, &scope_ids),
        script: plan.script.clone(),
        seal: None,
        steps: plan.iter().map(|(ix, _)| step(plan, ix, &scope_ids, estimates)).collect(),
        warnings: verified.warnings().iter().map(Flat::from).collect(),
    };
    document.seal = Some(seal::seal(&document));
    document
}

/// Steps of a plan that is written for people.
const INDENTED_STEPS_MAX: usize = 10_000;

impl Document {
    /// On one line.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("BUG: a plan is plain data")
    }

    /// For a file that people look into, with a newline at its end; nobody looks into a large one.
    pub fn pretty(&self) -> String {
        if self.is_large() {
            return self.text() + "\n";
        }
        serde_json::to_string_pretty(self).expect("BUG: a plan is plain data") + "\n"
    }

    /// It is written on one line: indenting would more than double it.
    pub fn is_large(&self) -> bool {
        self.steps.len() > INDENTED_STEPS_MAX
    }
}

/// The ids of its gates.
pub(super) fn gates(plan: &Plan) -> Vec<StepId> {
    let gates = plan.steps.iter().filter(|step| step.kind == Kind::Gate);
    gates.map(|gate| gate.id.clone()).collect()
}

/// Its named groups that hold steps.
pub(super) fn groups(plan: &Plan) -> Vec<GroupRecord> {
    let held = plan.groups().filter(|(_, group)| group.first < group.end);
    held.map(|(name, one)| group(plan, name, one)).collect()
}

/// The first step after which there is only forward.
pub(super) fn no_return(plan: &Plan) -> Option<StepId> {
    point_of_no_return(plan).map(|ix| plan.step(ix).id.clone())
}

fn facts(plan: &Plan) -> Vec<FactRecord> {
    let value = |text: &str| -> Json {
        serde_json::from_str(text).expect("BUG: a fact's value is canonical JSON")
    };
    let record = |fact: &crate::plan::facts::Fact| FactRecord {
        fact: fact.fact.clone(),
        subject: fact.subject.clone(),
        value: value(&fact.value),
    };
    plan.facts.iter().map(record).collect()
}

fn step(plan: &Plan, ix: StepIx, scope_ids: &[Arc<str>], estimates: &Estimates) -> StepRecord {
    let step = plan.step(ix);
    let ids = |edges: &[StepIx]| -> Vec<StepId> {
        edges.iter().map(|ix| plan.step(*ix).id.clone()).collect()
    };
    let at = &step.origin.at;
    let estimate = estimates.steps.get(ix.at());
    StepRecord {
        args: step.args.shared(),
        basis: estimate.map(|one| one.basis.into()),
        estimate_s: estimate.map(|one| one.seconds),
        follows: ids(&step.follows),
        guard: scopes::guard(plan, ix, scope_ids),
        id: step.id.clone(),
        machine: step.machine.clone(),
        needs: ids(&step.needs),
        optional: step.optional,
        policy: step.policy.clone(),
        primitive: Cow::Borrowed(step.primitive),
        reversibility: step.reversibility,
        scope: scope_ids[step.scope.at()].clone(),
        slow_s: estimate.map(|one| one.slow_s),
        source: SourceRecord {
            column: at.column,
            file: at.file.clone(),
            line: at.line,
            via: step.origin.via.iter().map(place).collect(),
        },
        start_s: estimate.and_then(|one| one.start_s),
        undoes: step.undoes.map(|ix| plan.step(ix).id.clone()),
        waits: ids(&step.waits),
    }
}

fn place(span: &Span) -> PlaceRecord {
    PlaceRecord { column: span.column, file: span.file.clone(), line: span.line }
}

fn group(plan: &Plan, name: &str, group: &Scope) -> GroupRecord {
    let ids = (group.first.at()..group.end.at()).map(|at| plan.step(index(at)).id.clone());
    GroupRecord { name: name.to_owned(), steps: ids.collect() }
}
