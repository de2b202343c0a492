//! A saved plan becomes a plan again: nothing in it is believed that can be checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use crate::base::{Digest, Json, MachineName, PlanId, StepId};
use crate::compile::saved::seal;
use crate::compile::saved::write::VERSION;
use crate::diagnostic::{Diagnostic, any_error, did_you_mean};
use crate::plan::expr::is_deferred;
use crate::plan::facts::{Fact, FactLog, Facts};
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::policy::Policy;
use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Origin, Reversibility, Step, StepIx};
use crate::primitives::contract::Subject;
use crate::primitives::spec::{Opt, OptType, Spec, Takes};
use crate::source::Span;
use crate::verify::{VerifiedPlan, verify};

/// What came of reading a saved plan.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The plan, when it is what was saved and no rule refuses it.
    pub plan: Option<VerifiedPlan>,
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
    groups: Vec<GroupRecord>,
    facts: Vec<FactRecord>,
}

#[derive(Deserialize)]
struct StepRecord {
    id: StepId,
    primitive: String,
    machine: Option<MachineName>,
    args: Json,
    needs: Vec<StepId>,
    waits: Vec<StepId>,
    guard: Option<Json>,
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
struct GroupRecord {
    name: String,
    steps: Vec<StepId>,
}

#[derive(Deserialize)]
struct FactRecord {
    subject: String,
    fact: String,
    value: Json,
}

/// Reads a saved plan and proves it again, from the facts that it rests on. `facts` need not hold them:
/// whether they are still so is asked of [`crate::compile::stale::stale`].
pub fn load(text: &str, inventory: &Inventory, facts: &Facts) -> Loaded {
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
    let verdict = verify(plan, &log, inventory);
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

/// Builds the steps; what is wrong with them.
fn build(
    plan: &mut Plan,
    document: &Document,
    inventory: &Inventory,
    facts: &FactLog<'_>,
) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    let mut places: HashMap<&StepId, StepIx> = HashMap::new();
    for record in &document.steps {
        match step(record, &places, inventory, facts) {
            Ok(step) => plan.steps.push(step),
            Err(reason) => {
                let message = format!("step `{}` of the saved plan: {reason}", record.id);
                wrong.push(
                    Diagnostic::error("H163", message).help(AGAIN).at(span(&record.source.at)),
                );
                return wrong;
            }
        }
        if places.insert(&record.id, index(plan.steps.len() - 1)).is_some() {
            let message = format!("the saved plan has two steps `{}`", record.id);
            wrong.push(Diagnostic::error("H164", message).help(AGAIN));
            return wrong;
        }
    }
    for group in &document.groups {
        match group_of(group, &places) {
            Some(group) => plan.scopes.push(group),
            None => {
                let message =
                    format!("group `{}` of the saved plan is no run of its steps", group.name);
                wrong.push(Diagnostic::error("H164", message).help(AGAIN));
            }
        }
    }
    wrong
}

fn group_of(record: &GroupRecord, places: &HashMap<&StepId, StepIx>) -> Option<Scope> {
    let at: Option<Vec<usize>> =
        record.steps.iter().map(|id| places.get(id).map(|ix| ix.at())).collect();
    let at = at?;
    let (first, last) = (*at.first()?, *at.last()?);
    let whole = at.iter().copied().eq(first..=last);
    let kind = ScopeKind::Group { name: record.name.clone() };
    whole.then(|| Scope { kind, first: index(first), end: index(last + 1), ..Scope::plan() })
}

fn step(
    record: &StepRecord,
    places: &HashMap<&StepId, StepIx>,
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
    if record.guard.is_some() {
        return Err("it has a guard, which this homing cannot execute".to_owned());
    }
    if record.reversibility != spec.reversibility || record.policy.attempts == 0 {
        return Err(format!("it is not as `{name}` is"));
    }
    check_args(spec, &record.args)?;
    let subject = Subject { machine: record.machine.as_ref(), inventory, facts };
    let checked = primitive.check(&record.args);
    checked.and_then(|()| primitive.fits(&record.args, &subject)).map_err(|wrong| {
        let wrong: Vec<String> = wrong.into_iter().map(|one| one.message).collect();
        wrong.join("; ")
    })?;
    Ok(Step {
        id: record.id.clone(),
        primitive: spec.name,
        kind: spec.kind,
        machine: record.machine.clone(),
        effect: primitive.effect(&record.args, &subject),
        args: Arc::new(record.args.clone()),
        needs: edges(&record.needs, places)?,
        waits: edges(&record.waits, places)?,
        follows: Vec::new(),
        scope: ScopeIx::PLAN,
        undoes: None,
        reversibility: spec.reversibility,
        optional: record.optional,
        policy: Arc::new(record.policy.clone()),
        origin: Origin {
            at: span(&record.source.at),
            via: record.source.via.iter().map(span).collect(),
        },
    })
}

fn edges(ids: &[StepId], places: &HashMap<&StepId, StepIx>) -> Result<Vec<StepIx>, String> {
    let place = |id: &StepId| {
        places.get(id).copied().ok_or_else(|| format!("there is no step `{id}` before it"))
    };
    let mut edges = ids.iter().map(place).collect::<Result<Vec<StepIx>, String>>()?;
    edges.sort_unstable();
    edges.dedup();
    Ok(edges)
}

fn span(place: &PlaceRecord) -> Span {
    Span::point(place.file.as_str().into(), place.line, place.column)
}

/// Arguments by the spec: every one known, none missing, each of its type.
fn check_args(spec: &Spec, args: &Json) -> Result<(), String> {
    let args = args.as_object().ok_or("its arguments are no object")?;
    let params = || spec.params.iter().filter(|param| param.takes != Takes::Machine);
    let known = || params().map(|param| param.name).chain(spec.options.iter().map(|one| one.name));
    for (name, value) in args {
        let option = spec.options.iter().find(|option| option.name == name);
        if option.is_some_and(|option| !fits(option, value)) {
            return Err(format!("its option `{name}` cannot be {value}"));
        }
        if !known().any(|one| one == name) {
            let meant = did_you_mean(name, known());
            let hint = meant.map(|meant| format!(" (`{meant}`?)")).unwrap_or_default();
            return Err(format!("it has no option `{name}`{hint}"));
        }
    }
    let missing = spec.options.iter().filter(|one| one.required).map(|one| one.name);
    match missing.into_iter().find(|name| !args.contains_key(*name)) {
        Some(name) => Err(format!("its option `{name}` is missing")),
        None => Ok(()),
    }
}

fn fits(option: &Opt, value: &Json) -> bool {
    match option.ty {
        OptType::Bool => value.is_boolean(),
        OptType::Int { min, max } => value.as_i64().is_some_and(|n| (min..=max).contains(&n)),
        OptType::Texts => value.as_array().is_some_and(|items| items.iter().all(Json::is_string)),
        OptType::Retry => value.is_object(),
        OptType::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        OptType::TextMap => {
            value.as_object().is_some_and(|texts| texts.values().all(Json::is_string))
        }
        OptType::Message => value.is_string() || is_deferred(value),
        OptType::Text
        | OptType::Name
        | OptType::Duration
        | OptType::Size
        | OptType::Rate
        | OptType::Host
        | OptType::Key => value.is_string(),
    }
}
