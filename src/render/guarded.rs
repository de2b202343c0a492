//! What the first page says of conditions, ways back, limits and answered warnings: which machines are
//! guarded against what, before any step is read.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::MachineName;
use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
use crate::plan::step::Step;
use crate::render::Review;
use crate::render::first_page::{capped, fold_machines, place};
use crate::render::fold::count;
use crate::render::steps::nameless;
use crate::render::style::{Ink, Style};
use crate::render::words;

/// What holds for scopes as a whole: limits, windows, deadlines.
pub fn limits(review: &Review<'_>, style: Style) -> String {
    let lines = limit_texts(review);
    let lines = lines.iter().map(|text| style.inked_field(Ink::Title, "Limits", text));
    capped(lines.collect(), review, style)
}

/// The same, a sentence each.
pub fn limit_texts(review: &Review<'_>) -> Vec<String> {
    let plan = review.plan;
    let mut alike: BTreeMap<(String, String), usize> = BTreeMap::new();
    for (at, scope) in plan.scopes.iter().enumerate() {
        let rules = words::rules(&scope.rules).join("; ");
        if rules.is_empty() {
            continue;
        }
        let where_ = match (at, first(review, scope)) {
            (0, _) => String::new(),
            (_, Some(step)) => format!(" (in what begins at {})", place(step)),
            (_, None) => continue,
        };
        *alike.entry((where_, rules)).or_default() += 1;
    }
    let text = |((where_, rules), scopes): (&(String, String), &usize)| {
        let each = if *scopes > 1 { format!(", in each of {scopes}") } else { String::new() };
        format!("{rules}{where_}{each}")
    };
    alike.iter().map(text).collect()
}

/// One kind of guard, of however many machines.
#[derive(Default)]
struct Guard<'a> {
    machines: BTreeSet<&'a MachineName>,
    steps: usize,
}

/// Which steps have a way back, a clean-up, a condition.
pub fn guarded(review: &Review<'_>, style: Style) -> String {
    let texts = guard_texts(review);
    if texts.is_empty() {
        return String::new();
    }
    let lines = texts.iter().map(|text| style.fill("  ", "      ", text) + "\n");
    style.heading("Guarded") + capped(lines.collect(), review, style).as_str()
}

/// The same, a sentence each.
pub fn guard_texts(review: &Review<'_>) -> Vec<String> {
    let plan = review.plan;
    let mut guards: BTreeMap<(String, String), Guard<'_>> = BTreeMap::new();
    for (at, scope) in plan.scopes.iter().enumerate() {
        let Some(begin) = first(review, scope) else { continue };
        let machines = machines(review, scope);
        let only = (machines.len() == 1).then(|| machines.first().copied()).flatten();
        let Some(title) = title(review, at, scope) else { continue };
        let key = (place(begin), nameless(&title, only));
        let guard = guards.entry(key).or_default();
        guard.machines.extend(machines);
        guard.steps += scope.end.at() - scope.first.at();
    }
    let text = |((place, title), guard): (&(String, String), &Guard<'_>)| {
        let machines: Vec<&MachineName> = guard.machines.iter().copied().collect();
        let of = if machines.is_empty() {
            String::new()
        } else {
            format!(" of {}", fold_machines(&machines))
        };
        format!("{title}: {}{of} ({place})", count(guard.steps, "step"))
    };
    guards.iter().map(text).collect()
}

/// What guards the steps of a scope, when something does.
fn title(review: &Review<'_>, at: usize, scope: &Scope) -> Option<String> {
    let plan = review.plan;
    let has = |wanted: fn(&ScopeKind) -> Option<ScopeIx>| {
        let mut with_steps = plan.scopes.iter().filter(|other| other.first < other.end);
        with_steps.any(|other| wanted(&other.kind).is_some_and(|of| of.at() == at))
    };
    match &scope.kind {
        ScopeKind::Attempt { all, then_continue } => {
            let who = if *all {
                "a failure of one concerns all"
            } else {
                "a failure concerns its machine"
            };
            let handled = has(|kind| match kind {
                ScopeKind::Handler { of } => Some(*of),
                _ => None,
            });
            let cleaned = has(|kind| match kind {
                ScopeKind::Always { of } => Some(*of),
                _ => None,
            });
            let back = match (handled, then_continue) {
                (true, true) => ", has a way back, and goes on behind it",
                (true, false) => ", has a way back",
                (false, _) => ", NO way back",
            };
            let clean = if cleaned { ", is cleaned up" } else { "" };
            Some(format!("attempt: {who}{back}{clean}"))
        }
        ScopeKind::When { cond, is: true } => Some(format!("when {}", words::condition(cond))),
        ScopeKind::When { cond, is: false } => Some(format!("unless {}", words::condition(cond))),
        _ => None,
    }
}

/// The warnings that the script answers, with its reasons.
pub fn answered(review: &Review<'_>, style: Style) -> String {
    let answers = &review.plan.acknowledged;
    if answers.is_empty() {
        return String::new();
    }
    let line = |code: &str, reason: &str, places: &[String]| {
        let (place, more) = (&places[0], places.len() - 1);
        let more = if more == 0 { String::new() } else { format!(" and {more} more times") };
        style.inked_field(Ink::Warn, code, &format!("answered: {reason} ({place}{more})"))
    };
    let mut alike: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for one in answers {
        let place = format!("{}:{}", one.at.file, one.at.line);
        alike.entry((&one.code, &one.reason)).or_default().push(place);
    }
    let lines = alike.iter().map(|((code, reason), places)| line(code, reason, places));
    style.heading("Answered warnings") + capped(lines.collect(), review, style).as_str()
}

fn first<'a>(review: &Review<'a>, scope: &Scope) -> Option<&'a Step> {
    (scope.first < scope.end).then(|| review.plan.step(scope.first))
}

fn machines<'a>(review: &Review<'a>, scope: &Scope) -> BTreeSet<&'a MachineName> {
    let steps = &review.plan.steps[scope.first.at()..scope.end.at()];
    steps.iter().filter_map(|step| step.machine.as_ref()).collect()
}
