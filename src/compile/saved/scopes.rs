//! Scopes of a saved plan: out under readable ids (`attempt.1`), and back only if they fit the steps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::base::StepId;
use crate::compile::saved::document::{GuardRecord, KindRecord, ScopeRecord};
use crate::plan::graph::{Plan, index};
use crate::plan::scope::{Rules, Scope, ScopeIx, ScopeKind};
use crate::plan::step::StepIx;

/// The ids of a plan's scopes: what they are, and a number among their like.
pub(super) fn ids(plan: &Plan) -> Vec<Arc<str>> {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    let id = |scope: &Scope| -> Arc<str> {
        let word = match scope.kind {
            ScopeKind::Plan => return "plan".into(),
            ScopeKind::Group { .. } => "group",
            ScopeKind::Parallel => "parallel",
            ScopeKind::Attempt { .. } => "attempt",
            ScopeKind::Handler { .. } => "handler",
            ScopeKind::Always { .. } => "always",
            ScopeKind::When { .. } => "when",
        };
        let number = known.entry(word).or_default();
        *number += 1;
        format!("{word}.{number}").into()
    };
    plan.scopes.iter().map(id).collect()
}

/// Every scope, an outer one before those in it.
pub(super) fn write(plan: &Plan, ids: &[Arc<str>]) -> Vec<ScopeRecord> {
    let id = |ix: ScopeIx| ids[ix.at()].clone();
    let record = |(at, scope): (usize, &Scope)| {
        let is_plan = at == ScopeIx::PLAN.at();
        let (first, end) =
            if is_plan { (0, plan.steps.len()) } else { (scope.first.at(), scope.end.at()) };
        let mut record = ScopeRecord {
            all: None,
            cond: None,
            first: plan.steps.get(first).map(|step| step.id.clone()),
            id: ids[at].clone(),
            is: None,
            kind: KindRecord::Plan,
            name: None,
            of: None,
            rules: scope.rules.clone(),
            steps: end - first,
            then_continue: None,
            within: (!is_plan).then(|| id(scope.parent)),
        };
        record.kind = match &scope.kind {
            ScopeKind::Plan => KindRecord::Plan,
            ScopeKind::Group { name } => {
                record.name = Some(name.clone());
                KindRecord::Group
            }
            ScopeKind::Parallel => KindRecord::Parallel,
            ScopeKind::Attempt { all, then_continue } => {
                (record.all, record.then_continue) = (Some(*all), Some(*then_continue));
                KindRecord::Attempt
            }
            ScopeKind::Handler { of } => {
                record.of = Some(id(*of));
                KindRecord::Handler
            }
            ScopeKind::Always { of } => {
                record.of = Some(id(*of));
                KindRecord::Always
            }
            ScopeKind::When { cond, is } => {
                (record.cond, record.is) = (Some(cond.clone()), Some(*is));
                KindRecord::When
            }
        };
        record
    };
    plan.scopes.iter().enumerate().map(record).collect()
}

/// Why a step may be left out, for a reader: in words, and the scopes that decide, outermost first.
pub(super) fn guard(plan: &Plan, ix: StepIx, ids: &[Arc<str>]) -> Option<GuardRecord> {
    let step = plan.step(ix);
    let guards = plan.guards(step);
    let mut words: Vec<String> = guards.iter().map(|(_, scope)| in_words(scope, ids)).collect();
    if let Some(undone) = step.undoes {
        words.push(format!("if {} was begun", plan.step(undone).id));
    }
    let scopes = guards.iter().map(|(ix, _)| ids[ix.at()].clone());
    (!words.is_empty())
        .then(|| GuardRecord { scopes: scopes.collect(), text: words.join(", and ") })
}

fn in_words(scope: &Scope, ids: &[Arc<str>]) -> String {
    match &scope.kind {
        ScopeKind::When { cond, is: true } => format!("when {cond}"),
        ScopeKind::When { cond, is: false } => format!("when not {cond}"),
        ScopeKind::Handler { of } => format!("if {} failed", ids[of.at()]),
        _ => String::new(),
    }
}

/// The scopes that these records are, when they fit the steps: each one unbroken run of steps, inside
/// the scope around it. `direct` says for each step the scope that it is written in.
///
/// # Errors
/// What does not fit, in a sentence.
pub(super) fn read(
    records: &[ScopeRecord],
    places: &HashMap<&StepId, StepIx>,
    direct: &[&str],
) -> Result<(Vec<Scope>, Vec<ScopeIx>), String> {
    let mut known: HashMap<&str, ScopeIx> = HashMap::new();
    let mut scopes: Vec<Scope> = Vec::with_capacity(records.len());
    for record in records {
        let scope = scope(record, &scopes, &known, places, direct.len())
            .map_err(|why| format!("scope `{}` of the saved plan: {why}", record.id))?;
        let ix = ScopeIx(u32::try_from(scopes.len()).map_err(|_| "it has too many scopes")?);
        if known.insert(&record.id, ix).is_some() {
            return Err(format!("the saved plan has two scopes `{}`", record.id));
        }
        scopes.push(scope);
    }
    let of_steps = direct.iter().map(|id| {
        known.get(id).copied().ok_or_else(|| format!("the saved plan has no scope `{id}`"))
    });
    let of_steps = of_steps.collect::<Result<Vec<ScopeIx>, String>>()?;
    unbroken(&scopes, &of_steps).map_err(|at| {
        format!("scope `{}` of the saved plan is no run of its steps", records[at].id)
    })?;
    Ok((scopes, of_steps))
}

fn scope(
    record: &ScopeRecord,
    before: &[Scope],
    known: &HashMap<&str, ScopeIx>,
    places: &HashMap<&StepId, StepIx>,
    steps: usize,
) -> Result<Scope, String> {
    let place = |name: &str| {
        known.get(name).copied().ok_or_else(|| format!("there is no scope `{name}` before it"))
    };
    let Some(within) = &record.within else {
        let whole = record.steps == steps && before.is_empty();
        return match record.kind {
            KindRecord::Plan if whole => {
                Ok(Scope { rules: rules(&record.rules)?, ..Scope::plan() })
            }
            _ => Err("it is in no other, and not the plan".to_owned()),
        };
    };
    let parent = place(within)?;
    let first = match &record.first {
        Some(id) => places.get(id).ok_or_else(|| format!("there is no step `{id}`"))?.at(),
        None => steps,
    };
    let end = first.checked_add(record.steps).filter(|end| *end <= steps);
    let end = end.ok_or("it has more steps than the plan")?;
    let attempt = |name: &str| {
        let of = place(name)?;
        let attempt = &before[of.at()];
        let fits = matches!(attempt.kind, ScopeKind::Attempt { .. })
            && attempt.parent == parent
            && attempt.end.at() <= first;
        fits.then_some(of).ok_or_else(|| format!("`{name}` is no attempt before it"))
    };
    let kind = kind(record, &attempt)?;
    let (first, end) = (index(first), index(end));
    Ok(Scope { kind, parent, first, end, rules: rules(&record.rules)? })
}

fn kind(
    record: &ScopeRecord,
    attempt: &dyn Fn(&str) -> Result<ScopeIx, String>,
) -> Result<ScopeKind, String> {
    fn its<T: Clone>(field: &Option<T>, name: &str) -> Result<T, String> {
        field.clone().ok_or_else(|| format!("its `{name}` is missing"))
    }
    let of = || attempt(&its(&record.of, "of")?);
    Ok(match record.kind {
        KindRecord::Plan => return Err("the plan is in no other".to_owned()),
        KindRecord::Group => ScopeKind::Group { name: its(&record.name, "name")? },
        KindRecord::Parallel => ScopeKind::Parallel,
        KindRecord::Attempt => ScopeKind::Attempt {
            all: its(&record.all, "all")?,
            then_continue: its(&record.then_continue, "then_continue")?,
        },
        KindRecord::Handler => ScopeKind::Handler { of: of()? },
        KindRecord::Always => ScopeKind::Always { of: of()? },
        KindRecord::When => {
            ScopeKind::When { cond: its(&record.cond, "cond")?, is: its(&record.is, "is")? }
        }
    })
}

fn rules(rules: &Rules) -> Result<Rules, String> {
    match (rules.at_most, rules.at_most_per_host) {
        (Some(0), _) | (_, Some(0)) => Err("it lets no step begin".to_owned()),
        _ => Ok(rules.clone()),
    }
}

/// Whether each scope holds as many steps as its range, all of them in the range: then it is that run.
///
/// # Errors
/// The place of a scope that does not.
fn unbroken(scopes: &[Scope], of_steps: &[ScopeIx]) -> Result<(), usize> {
    let mut held = vec![0_usize; scopes.len()];
    for (at, of) in of_steps.iter().enumerate() {
        let scope = &scopes[of.at()];
        let inside = (scope.first.at()..scope.end.at()).contains(&at);
        if !inside && *of != ScopeIx::PLAN {
            return Err(of.at());
        }
        held[of.at()] += 1;
    }
    // An inner one stands behind the one around it.
    for (at, scope) in scopes.iter().enumerate().skip(1).rev() {
        let parent = &scopes[scope.parent.at()];
        let inside = scope.parent == ScopeIx::PLAN
            || (parent.first <= scope.first && scope.end <= parent.end);
        if !inside || held[at] != scope.end.at() - scope.first.at() {
            return Err(at);
        }
        held[scope.parent.at()] += held[at];
    }
    Ok(())
}
