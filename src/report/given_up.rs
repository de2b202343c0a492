//! What was given up. By ways back: writes of machines that were started on one side in this run, and then on
//! the other again with nothing brought over; the plan was warned of it (H016). By declarations: what a side
//! that is lost wrote last. The end of a run says it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Json, MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::facts::Fact;
use crate::plan::graph::Plan;
use crate::plan::step::StepIx;
use crate::render::style::{Ink, Style};
use crate::report::Seen;
use crate::run::state::Status;

/// The rule that warns of it.
const RULE: &str = "H016";
/// Most machines named in one sentence.
const NAMED_MAX: usize = 6;

/// The machines of which a way back gave something up.
pub fn machines(seen: &Seen<'_>) -> BTreeSet<MachineName> {
    let names = seen.chains.keys().filter(|name| way_back(seen, name).is_some());
    names.map(|name| (*name).clone()).collect()
}

/// Machines of which a side was declared lost, by side and reason.
fn lost<'s>(seen: &'s Seen<'_>) -> BTreeMap<(Side, &'s str), Vec<&'s MachineName>> {
    let mut lost: BTreeMap<_, Vec<&MachineName>> = BTreeMap::new();
    for name in seen.chains.keys() {
        if let Some(declared) = declared_lost(seen, name) {
            lost.entry(declared).or_default().push(name);
        }
    }
    lost
}

/// The section of a page, by the plan's answer to the warning; nothing where nothing was given up.
pub(super) fn section(seen: &Seen<'_>, style: Style) -> String {
    let mut told: BTreeMap<(Side, Option<&str>), Vec<&MachineName>> = BTreeMap::new();
    for name in seen.chains.keys() {
        if let Some((side, back)) = way_back(seen, name) {
            told.entry((side, answer(seen.plan, back))).or_default().push(name);
        }
    }
    let lost = lost(seen);
    if told.is_empty() && lost.is_empty() {
        return String::new();
    }
    let mut page = style.heading("Given up");
    for ((side, reason), names) in lost {
        let text =
            format!("{}: what was written {} since the last transfer", some(&names), side.place());
        page.push_str(&style.inked_field(Ink::Warn, "declared", &text));
        page.push_str(&style.field("", reason));
    }
    for ((side, reason), names) in told {
        let text =
            format!("{}: what was written {} before the way back", some(&names), side.place());
        page.push_str(&style.inked_field(Ink::Warn, RULE, &text));
        let answer = reason.map_or_else(
            || "the plan was warned of it, and nobody answered".to_owned(),
            |reason| format!("answered in the plan: {reason}"),
        );
        page.push_str(&style.field("", &answer));
    }
    page
}

/// The side that a person gave up in this run, and why.
pub(super) fn declared_lost<'p>(seen: &Seen<'p>, machine: &MachineName) -> Option<(Side, &'p str)> {
    let done = seen.chains.get(machine)?.iter().find_map(|ix| {
        let step = seen.plan.step(*ix);
        match step.effect {
            Effect::DeclareLost(side) if seen.state.step(*ix).status == Status::Succeeded => {
                Some((side, step))
            }
            _ => None,
        }
    });
    done.map(|(side, step)| {
        (side, step.args.get("reason").and_then(Json::as_str).unwrap_or_default())
    })
}

/// The side that was left again, and the step that went back.
pub(super) fn way_back(seen: &Seen<'_>, machine: &MachineName) -> Option<(Side, StepIx)> {
    let mut newest = switched_before(seen.plan, machine);
    for ix in seen.chains.get(machine)? {
        let state = seen.state.step(*ix);
        let done = state.status == Status::Succeeded;
        match seen.plan.step(*ix).effect {
            Effect::Start(side) if done && newest == Some(side.other()) => {
                return Some((side.other(), *ix));
            }
            // One that failed may have run for a while.
            Effect::Start(side) if done || state.attempts > 0 => newest = Some(side),
            Effect::Transfer { .. } | Effect::Commit | Effect::CommitFailover if done => {
                newest = None;
            }
            _ => {}
        }
    }
    None
}

/// The side that an earlier run had switched the machine to, with no commit yet, or beside the other one: it has
/// been writing there.
fn switched_before(plan: &Plan, machine: &MachineName) -> Option<Side> {
    let observed = |fact: &str, value: &str| {
        plan.facts.contains(&Fact::new(machine.as_str(), fact, &Json::from(value)))
    };
    // On both sides, once a side that was given up is back: whatever is not kept is given up.
    let is_split = observed("cloud.power", "on") && observed("onprem.power", "on");
    if !is_split && !observed("commit", "pending") {
        return None;
    }
    [(Side::Cloud, "cloud"), (Side::Onprem, "home")]
        .into_iter()
        .find_map(|(side, word)| observed("where", word).then_some(side))
}

/// Why the plan's author goes back there all the same.
fn answer(plan: &Plan, back: StepIx) -> Option<&str> {
    let scope = plan.step(back).scope;
    let mut answers = plan.acknowledged.iter().filter(|answer| answer.code == RULE);
    let own = answers.find(|answer| plan.is_within(scope, answer.scope));
    own.map(|answer| answer.reason.as_str())
}

fn some(names: &[&MachineName]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED_MAX).map(|name| name.as_str()).collect();
    let hidden = names.len() - shown.len();
    let rest = if hidden > 0 { format!(" and {hidden} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}
