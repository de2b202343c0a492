//! A saved plan becomes a plan again: nothing in it is believed that can be checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use crate::base::{Digest, Json, MachineName, PlanId, StepId};
use crate::compile::prove;
use crate::compile::saved::args::{Earlier, check_args};
use crate::compile::saved::scopes::{self, ScopeRecord};
use crate::compile::saved::seal;
use crate::compile::saved::write::{self, VERSION};
use crate::diagnostic::{Diagnostic, any_error};
use crate::plan::estimate::{Estimates, History};
use crate::plan::facts::{Fact, FactLog, Facts};
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::policy::Policy;
use crate::plan::scope::{Acknowledgement, Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Origin, Reversibility, Step, StepIx};
use crate::primitives::contract::Subject;
use crate::source::Span;
use crate::verify::VerifiedPlan;

/// What came of reading a saved plan.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The plan, when it is what was saved and no rule refuses it.
    pub plan: Option<VerifiedPlan>,
    /// What it will cost by what is known now.
    pub estimates: Estimates,
    /// Its id: it runs once.
    pub plan_id: Option<PlanId>,
    /// The digest that it was reviewed with.
    pub digest: Option<Digest>,
    /// What it rests on, for [`crate::compile::stale::stale`].
    pub facts: BTreeSet<Fact>,
    /// The machines that its steps touch.
    pub machines: BTreeSet<MachineName>,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Deserialize)]
struct Document {
    plan_id: PlanId,
    digest: Digest,
    script: String,
    params: BTreeMap<String, Json>,
    steps: Vec<StepRecord>,
    scopes: Vec<ScopeRecord>,
    acknowledged: Vec<AcknowledgementRecord>,
    facts: Vec<FactRecord>,
    groups: Json,
    gates: Json,
    point_of_no_return: Json,
}

#[derive(Deserialize)]
struct StepRecord {
    id: StepId,
    primitive: String,
    machine: Option<MachineName>,
    args: Json,
    needs: Vec<StepId>,
    waits: Vec<StepId>,
    follows: Vec<StepId>,
    scope: String,
    undoes: Option<StepId>,
    guard: Json,
    reversibility: Reversibility,
    optional: bool,
    policy: Policy,
    source: SourceRecord,
}

#[derive(Deserialize)]
struct SourceRecord {
    #[serde(flatten)]
    at: PlaceRecord,
    via: Vec<PlaceRecord>,
}

#[derive(Deserialize)]
struct PlaceRecord {
    file: String,
    line: u32,
    column: u32,
}

#[derive(Deserialize)]
struct AcknowledgementRecord {
    code: String,
    reason: String,
    scope: String,
    source: PlaceRecord,
}

#[derive(Deserialize)]
struct FactRecord {
    subject: String,
    fact: String,
    value: Json,
}

/// How long steps took before, by script.
pub type Past<'a> = &'a dyn Fn(&str) -> History;

/// Reads a saved plan and proves it again, from the facts that it rests on. `facts` need not hold them:
/// whether they are still so is asked of [`crate::compile::stale::stale`].
pub fn load(text: &str, inventory: &Inventory, facts: &Facts, history: Past<'_>) -> Loaded {
    let document = match open(text) {
        Ok(document) => document,
        Err(wrong) => return Loaded { diagnostics: vec![wrong], ..Loaded::default() },
    };
    let plan_facts: BTreeSet<Fact> = document
        .facts
        .iter()
        .map(|one| Fact::new(one.subject.clone(), one.fact.clone(), &one.value))
        .collect();
    let log = FactLog::resting_on(facts, &plan_facts);
    let mut loaded = Loaded {
        plan_id: Some(document.plan_id.clone()),
        digest: Some(document.digest.clone()),
        facts: plan_facts.clone(),
        machines: document.steps.iter().filter_map(|step| step.machine.clone()).collect(),
        ..Loaded::default()
    };
    let mut plan = Plan {
        script: document.script.clone(),
        params: document.params.clone(),
        facts: plan_facts,
        ..Plan::default()
    };
    loaded.diagnostics = build(&mut plan, &document, inventory, &log);
    if any_error(&loaded.diagnostics) {
        return loaded;
    }
    let (verdict, estimates) = prove(plan, &log, inventory, &history(&document.script));
    loaded.estimates = estimates;
    loaded.diagnostics.extend(verdict.diagnostics);
    match verdict.plan {
        Some(proved) if *proved.digest() == document.digest => loaded.plan = Some(proved),
        Some(proved) => loaded.diagnostics.push(another_digest(&document.digest, proved.digest())),
        None => {}
    }
    loaded
}

const AGAIN: &str = "make the plan again from its script, and have it reviewed";

/// What was saved, byte for byte.
fn open(text: &str) -> Result<Document, Diagnostic> {
    let foreign = |error: serde_json::Error| {
        Diagnostic::error("H160", format!("this is no saved plan: {error}"))
            .help("a saved plan comes from `homing plan SCRIPT --out FILE`")
    };
    let json: Json = serde_json::from_str(text).map_err(foreign)?;
    match json.get("homing_plan") {
        None => {
            let help = "a saved plan comes from `homing plan SCRIPT --out FILE`";
            return Err(Diagnostic::error("H160", "this is no saved plan").help(help));
        }
        Some(version) if *version != VERSION => {
            let message = format!(
                "this plan is of version {version} of the format; this homing reads version {VERSION}"
            );
            return Err(Diagnostic::error("H161", message).help(AGAIN));
        }
        Some(_) => {}
    }
    if !seal::holds(text, &json) {
        let message = "this plan is not what was saved: something in the file was changed";
        return Err(Diagnostic::error("H162", message).help(AGAIN));
    }
    serde_json::from_value(json).map_err(foreign)
}

fn another_digest(saved: &Digest, now: &Digest) -> Diagnostic {
    let message = format!("the plan's digest was {saved} when it was saved, and is {now}");
    Diagnostic::error("H165", message).help(format!(
        "this homing, or this inventory, makes something else of the same steps: {AGAIN}"
    ))
}

/// Builds the steps and their scopes; what is wrong with them.
fn build(
    plan: &mut Plan,
    document: &Document,
    inventory: &Inventory,
    facts: &FactLog<'_>,
) -> Vec<Diagnostic> {
    let mut places: HashMap<&StepId, StepIx> = HashMap::new();
    for record in &document.steps {
        let earlier = Earlier { places: &places, steps: &plan.steps };
        match step(record, &earlier, inventory, facts) {
            Ok(step) => plan.steps.push(step),
            Err(reason) => {
                let message = format!("step `{}` of the saved plan: {reason}", record.id);
                let wrong = Diagnostic::error("H163", message).help(AGAIN);
                return vec![wrong.at(span(&record.source.at))];
            }
        }
        if places.insert(&record.id, index(plan.steps.len() - 1)).is_some() {
            return misfit(format!("the saved plan has two steps `{}`", record.id));
        }
    }
    let direct: Vec<&str> = document.steps.iter().map(|step| step.scope.as_str()).collect();
    let of_steps = match scopes::read(&document.scopes, &places, &direct) {
        Ok((scopes, of_steps)) => {
            plan.scopes = scopes;
            of_steps
        }
        Err(why) => return misfit(why),
    };
    plan.steps.iter_mut().zip(of_steps).for_each(|(step, scope)| step.scope = scope);
    let whole = conditions(plan, &places)
        .and_then(|()| undone(plan))
        .and_then(|()| acknowledge(plan, document))
        .and_then(|()| as_told(plan, document));
    whole.map_or_else(misfit, |()| Vec::new())
}

fn misfit(message: String) -> Vec<Diagnostic> {
    vec![Diagnostic::error("H164", message).help(AGAIN)]
}

/// The conditions of scopes read steps that stand before them.
fn conditions(plan: &Plan, places: &HashMap<&StepId, StepIx>) -> Result<(), String> {
    for scope in &plan.scopes {
        if let ScopeKind::When { cond, .. } = &scope.kind {
            let earlier = Earlier { places, steps: &plan.steps[..scope.first.at()] };
            earlier.reads(cond).map_err(|why| format!("a condition of the saved plan: {why}"))?;
        }
    }
    Ok(())
}

/// A step takes back only the same machine's step of its own kind, from a handler of an attempt around it.
fn undone(plan: &Plan) -> Result<(), String> {
    for step in &plan.steps {
        let Some(undone) = step.undoes.map(|ix| plan.step(ix)) else { continue };
        let handles = |scope: &Scope| match scope.kind {
            ScopeKind::Handler { of } => plan.is_within(undone.scope, of),
            _ => false,
        };
        let same = undone.machine == step.machine && undone.primitive == step.primitive;
        if !same || !plan.outwards(step.scope).any(|(_, scope)| handles(scope)) {
            let (id, undone) = (&step.id, &undone.id);
            return Err(format!("step `{id}` of the saved plan cannot take `{undone}` back"));
        }
    }
    Ok(())
}

fn acknowledge(plan: &mut Plan, document: &Document) -> Result<(), String> {
    let ids = scopes::ids(plan);
    for record in &document.acknowledged {
        let scope = ids.iter().position(|id| *id == record.scope);
        let scope = scope.and_then(|at| u32::try_from(at).ok()).map(ScopeIx);
        plan.acknowledged.push(Acknowledgement {
            code: record.code.clone(),
            reason: record.reason.clone(),
            scope: scope
                .ok_or_else(|| format!("the saved plan has no scope `{}`", record.scope))?,
            at: span(&record.source),
        });
    }
    Ok(())
}

/// What the file says beside the plan, for readers, is what the plan means.
fn as_told(plan: &Plan, document: &Document) -> Result<(), String> {
    let ids = scopes::ids(plan);
    let told = [
        ("groups", &document.groups, write::groups(plan)),
        ("gates", &document.gates, write::gates(plan)),
        ("point_of_no_return", &document.point_of_no_return, write::no_return(plan)),
    ];
    if let Some((what, ..)) = told.iter().find(|(_, said, is)| *said != is) {
        return Err(format!("`{what}` of the saved plan is not what its steps mean"));
    }
    // The ids of scopes are names in this file only: what they are called has to be what they are.
    if document.scopes.iter().map(ScopeRecord::id).ne(ids.iter().map(String::as_str)) {
        return Err("the scopes of the saved plan are not called what they are".to_owned());
    }
    for ((ix, step), record) in plan.iter().zip(&document.steps) {
        if scopes::guard(plan, ix, &ids) != record.guard {
            return Err(format!("the guard of step `{}` is not what its scopes mean", step.id));
        }
    }
    Ok(())
}

fn step(
    record: &StepRecord,
    earlier: &Earlier<'_>,
    inventory: &Inventory,
    facts: &FactLog<'_>,
) -> Result<Step, String> {
    let name = &record.primitive;
    let primitive = crate::primitives::find(name)
        .ok_or_else(|| format!("there is no primitive `{name}` in this homing"))?;
    let spec = primitive.spec();
    if let Some(machine) = record.machine.as_ref().filter(|m| !inventory.machines.contains_key(*m))
    {
        return Err(format!("machine `{machine}` is not in the inventory"));
    }
    if record.reversibility != spec.reversibility || record.policy.attempts == 0 {
        return Err(format!("it is not as `{name}` is"));
    }
    check_args(spec, record.machine.as_ref(), &record.args, earlier)?;
    let subject = Subject { machine: record.machine.as_ref(), inventory, facts };
    let effect = primitive.effect(&record.args, &record.policy, &subject).map_err(|wrong| {
        let wrong: Vec<String> = wrong.into_iter().map(|one| one.message).collect();
        wrong.join("; ")
    })?;
    Ok(Step {
        id: record.id.clone(),
        primitive: spec.name,
        kind: spec.kind,
        machine: record.machine.clone(),
        effect,
        args: record.args.clone().into(),
        needs: edges(&record.needs, earlier.places)?,
        waits: edges(&record.waits, earlier.places)?,
        follows: edges(&record.follows, earlier.places)?,
        // Known once every step is.
        scope: ScopeIx::PLAN,
        undoes: record.undoes.as_ref().map(|id| place(id, earlier.places)).transpose()?,
        reversibility: spec.reversibility,
        optional: record.optional,
        policy: Arc::new(record.policy.clone()),
        origin: Arc::new(Origin {
            at: span(&record.source.at),
            via: record.source.via.iter().map(span).collect(),
        }),
    })
}

fn edges(ids: &[StepId], places: &HashMap<&StepId, StepIx>) -> Result<Vec<StepIx>, String> {
    let edges = ids.iter().map(|id| place(id, places));
    let mut edges = edges.collect::<Result<Vec<StepIx>, String>>()?;
    edges.sort_unstable();
    edges.dedup();
    Ok(edges)
}

fn place(id: &StepId, places: &HashMap<&StepId, StepIx>) -> Result<StepIx, String> {
    places.get(id).copied().ok_or_else(|| format!("there is no step `{id}` before it"))
}

fn span(place: &PlaceRecord) -> Span {
    Span::point(place.file.as_str().into(), place.line, place.column)
}
