//! A saved plan becomes a plan again: nothing in it is believed that can be checked.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;

use crate::base::{Digest, Json, MachineName, PlanId, SharedTexts, StepId};
use crate::compile::prove;
use crate::compile::saved::args::{Earlier, check_args};
use crate::compile::saved::document::{
    AnsweredRecord, Document, PlaceRecord, SourceRecord, StepRecord, VERSION,
};
use crate::compile::saved::{scopes, seal, write};
use crate::diagnostic::{Diagnostic, any_error, codes};
use crate::plan::effect::Effect;
use crate::plan::estimate::{Estimates, History};
use crate::plan::facts::{Fact, FactLog, Facts};
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::Inventory;
use crate::plan::scope::{Acknowledgement, Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Origin, Step, StepIx};
use crate::primitives::contract::Subject;
use crate::source::Span;
use crate::verify::{Acknowledged, VerifiedPlan};

/// What came of reading a saved plan.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The plan, when it is what was saved and no rule refuses it.
    pub plan: Option<VerifiedPlan>,
    /// What it will cost by what is known now.
    pub estimates: Estimates,
    /// What it was thought to cost when it was saved.
    pub reviewed: Estimates,
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

/// What a step is held against: what it does depends on its machine.
pub(super) struct Ground<'a> {
    pub inventory: &'a Inventory,
    pub facts: &'a FactLog<'a>,
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
    let mut texts = SharedTexts::default();
    let mut plan = begun(&document, &mut texts);
    let log = FactLog::resting_on(facts, &plan.facts);
    let mut loaded = Loaded {
        plan_id: Some(document.plan_id.clone()),
        digest: Some(document.digest.clone()),
        facts: plan.facts.clone(),
        machines: document.steps.iter().filter_map(|step| step.machine.clone()).collect(),
        ..Loaded::default()
    };
    let ground = Ground { inventory, facts: &log };
    loaded.diagnostics = build(&mut plan, &document, Some(&ground), &mut texts);
    if any_error(&loaded.diagnostics) {
        return loaded;
    }
    loaded.reviewed = document.estimates(&plan);
    let Document { digest, answered, .. } = document;
    let (mut verdict, estimates) = prove(plan, &log, inventory, &history(&document.script));
    loaded.estimates = estimates;
    if let Some(proved) = &verdict.plan {
        match still_answered(answered, proved) {
            Ok(answered) => verdict = verdict.and_answered(answered),
            Err(why) => {
                loaded.diagnostics.extend(misfit(why));
                return loaded;
            }
        }
    }
    loaded.diagnostics.extend(verdict.diagnostics);
    match verdict.plan {
        Some(proved) if *proved.digest() == digest => loaded.plan = Some(proved),
        Some(proved) => loaded.diagnostics.push(another_digest(&digest, proved.digest())),
        None => {}
    }
    loaded
}

/// What is to be done about most of it.
const AGAIN: &str = "make the plan again from its script, and have it reviewed";
const WHERE_FROM: &str = "a saved plan comes from `homing plan SCRIPT --out FILE`";

/// Which format it is.
#[derive(Deserialize)]
struct Head {
    homing_plan: Option<Json>,
}

/// What was saved, byte for byte.
pub(super) fn open(text: &str) -> Result<Document, Diagnostic> {
    let foreign = |error: serde_json::Error| {
        let message = match text.trim() {
            "" => "this is no saved plan: the file is empty".to_owned(),
            _ => format!("this is no saved plan: {error}"),
        };
        Diagnostic::error("H160", message).help(WHERE_FROM)
    };
    let head: Head = serde_json::from_str(text).map_err(foreign)?;
    match head.homing_plan {
        None => return Err(Diagnostic::error("H160", "this is no saved plan").help(WHERE_FROM)),
        Some(version) if version != VERSION => return Err(another_version(&version)),
        Some(_) => {}
    }
    if !seal::holds(text) {
        let message = "this plan is not what was saved: something in the file was changed";
        return Err(Diagnostic::error("H162", message).help(AGAIN));
    }
    serde_json::from_str(text).map_err(foreign)
}

fn another_version(version: &Json) -> Diagnostic {
    let message = format!(
        "this plan is of version {version} of the format; this homing reads version {VERSION}"
    );
    let newer = version.as_u64().is_some_and(|version| version > VERSION);
    let help = if newer { "a newer homing saved it: read it with that one" } else { AGAIN };
    Diagnostic::error("H161", message).help(help)
}

pub(super) fn another_digest(saved: &Digest, now: &Digest) -> Diagnostic {
    let message = format!("the plan's digest was {saved} when it was saved, and is {now}");
    Diagnostic::error("H165", message).help(format!(
        "this homing, or this inventory, makes something else of the same steps: {AGAIN}"
    ))
}

/// All of a plan but its steps and their scopes.
pub(super) fn begun(document: &Document, texts: &mut SharedTexts) -> Plan {
    let facts = document.facts.iter().map(|one| Fact {
        subject: texts.share(&one.subject),
        fact: texts.share(&one.fact),
        value: texts.share_value(&one.value),
    });
    Plan {
        facts: facts.collect(),
        script: document.script.clone(),
        params: document.params.clone(),
        ..Plan::default()
    }
}

/// Builds the steps and their scopes; what is wrong with them. Without a ground nothing is known of what
/// they do, and nothing of their arguments is checked.
pub(super) fn build(
    plan: &mut Plan,
    document: &Document,
    ground: Option<&Ground<'_>>,
    texts: &mut SharedTexts,
) -> Vec<Diagnostic> {
    let mut places: HashMap<&StepId, StepIx> = HashMap::new();
    plan.steps.reserve_exact(document.steps.len());
    for record in &document.steps {
        let earlier = Earlier { places: &places, steps: &plan.steps };
        match step(record, &earlier, ground, texts) {
            Ok(step) => plan.steps.push(step),
            Err(reason) => {
                let message = format!("step `{}` of the saved plan: {reason}", record.id);
                let wrong = Diagnostic::error("H163", message).help(AGAIN);
                return vec![wrong.at(origin(&record.source, texts).at)];
            }
        }
        if places.insert(&record.id, index(plan.steps.len() - 1)).is_some() {
            return misfit(format!("the saved plan has two steps `{}`", record.id));
        }
    }
    let direct: Vec<&str> = document.steps.iter().map(|step| &*step.scope).collect();
    let of_steps = match scopes::read(&document.scopes, &places, &direct) {
        Ok((scopes, of_steps)) => {
            plan.scopes = scopes;
            of_steps
        }
        Err(why) => return misfit(why),
    };
    plan.steps.iter_mut().zip(of_steps).for_each(|(step, scope)| step.scope = scope);
    let ids = scopes::ids(plan);
    let whole = conditions(plan, &places)
        .and_then(|()| undone(plan))
        .and_then(|()| acknowledge(plan, document, &ids))
        .and_then(|()| as_told(plan, document, &ids, ground.is_some()));
    whole.map_or_else(misfit, |()| Vec::new())
}

pub(super) fn misfit(message: String) -> Vec<Diagnostic> {
    vec![Diagnostic::error("H164", message).help(AGAIN)]
}

/// The warnings about the script's text that it answers: the others were found again.
///
/// # Errors
/// One that the script does not answer, in a sentence.
fn still_answered(
    records: Vec<AnsweredRecord>,
    proved: &VerifiedPlan,
) -> Result<Vec<Acknowledged>, String> {
    let all = records
        .into_iter()
        .map(|one| Acknowledged { warning: Diagnostic::from(one.warning), reason: one.reason });
    let answers = &proved.plan().acknowledged;
    let mut new = Vec::new();
    for one in all.filter(|one| !proved.acknowledged().contains(one)) {
        let is_so = |code: &str, reason: &str| code == one.warning.code && reason == one.reason;
        let known = codes::find(&one.warning.code).is_some() && !one.warning.is_error();
        if !known || !answers.iter().any(|answer| is_so(&answer.code, &answer.reason)) {
            let code = one.warning.code;
            return Err(format!("the saved plan answers no warning `{code}` with that reason"));
        }
        new.push(one);
    }
    Ok(new)
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

fn acknowledge(plan: &mut Plan, document: &Document, ids: &[Arc<str>]) -> Result<(), String> {
    for record in &document.acknowledged {
        let scope = ids.iter().position(|id| *id == record.scope);
        let scope = scope.and_then(|at| u32::try_from(at).ok()).map(ScopeIx);
        plan.acknowledged.push(Acknowledgement {
            code: record.code.clone(),
            reason: record.reason.clone(),
            scope: scope
                .ok_or_else(|| format!("the saved plan has no scope `{}`", record.scope))?,
            at: span(&record.source, record.source.file.clone()),
        });
    }
    Ok(())
}

/// What the file says beside the plan, for readers, is what the plan means.
fn as_told(
    plan: &Plan,
    document: &Document,
    ids: &[Arc<str>],
    effects_known: bool,
) -> Result<(), String> {
    let told = [
        ("groups", document.groups == write::groups(plan)),
        ("gates", document.gates == write::gates(plan)),
        (
            "point_of_no_return",
            !effects_known || document.point_of_no_return == write::no_return(plan),
        ),
    ];
    if let Some((what, _)) = told.iter().find(|(_, same)| !same) {
        return Err(format!("`{what}` of the saved plan is not what its steps mean"));
    }
    // The ids of scopes are names in this file only: what they are called has to be what they are.
    if document.scopes.iter().map(|scope| &scope.id).ne(ids) {
        return Err("the scopes of the saved plan are not called what they are".to_owned());
    }
    for ((ix, step), record) in plan.iter().zip(&document.steps) {
        if scopes::guard(plan, ix, ids) != record.guard {
            return Err(format!("the guard of step `{}` is not what its scopes mean", step.id));
        }
    }
    Ok(())
}

fn step(
    record: &StepRecord,
    earlier: &Earlier<'_>,
    ground: Option<&Ground<'_>>,
    texts: &mut SharedTexts,
) -> Result<Step, String> {
    let name = &record.primitive;
    let primitive = crate::primitives::find(name)
        .ok_or_else(|| format!("there is no primitive `{name}` in this homing"))?;
    let spec = primitive.spec();
    let effect = match ground {
        Some(ground) => effect(record, earlier, ground)?,
        None => Effect::Nothing,
    };
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
        policy: record.policy.clone(),
        origin: Arc::new(origin(&record.source, texts)),
    })
}

/// What a step does, once it is as its primitive is.
fn effect(
    record: &StepRecord,
    earlier: &Earlier<'_>,
    ground: &Ground<'_>,
) -> Result<Effect, String> {
    let Ground { inventory, facts } = ground;
    let name = &record.primitive;
    let primitive = crate::primitives::find(name).ok_or("it has no primitive")?;
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
    primitive.effect(&record.args, &record.policy, &subject).map_err(|wrong| {
        let wrong: Vec<String> = wrong.into_iter().map(|one| one.message).collect();
        wrong.join("; ")
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

/// The same few files stand in very many places.
fn origin(source: &SourceRecord, texts: &mut SharedTexts) -> Origin {
    let SourceRecord { column, file, line, via } = source;
    let at = Span::point(texts.share(file), *line, *column);
    Origin { at, via: via.iter().map(|one| span(one, texts.share(&one.file))).collect() }
}

fn span(place: &PlaceRecord, file: Arc<str>) -> Span {
    Span::point(file, place.line, place.column)
}
