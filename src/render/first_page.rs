//! The first page: what a reviewer must know before reading any step.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::units::{show_bytes, show_seconds};
use crate::base::{MachineName, Side};

use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::estimate::MachineEstimate;
use crate::plan::expr::described;
use crate::plan::facts::SELECTION;
use crate::plan::scope::ScopeKind;
use crate::plan::step::{Reversibility, Step, StepIx};
use crate::render::fold::{count, counted, names};
use crate::render::style::{Ink, Style};
use crate::render::table::Table;
use crate::render::{Review, guarded, path};

/// Most machines in the table; the others are one row.
const MACHINES_MAX: usize = 10;
/// Most lines of gates, warnings, facts, irreversible kinds of step: what is left out is counted.
const LINES_MAX: usize = 24;
/// Most steps of the longest path that are named.
const PATH_MAX: usize = 8;

/// One section of the page; empty when it has nothing to say.
type Section = fn(&Review<'_>, Style) -> String;

/// The page, top to bottom.
const SECTIONS: &[Section] = &[
    title,
    direction,
    guarded::limits,
    irreversible,
    no_return,
    duration,
    longest_path,
    digest,
    gates,
    machines,
    guarded::guarded,
    warnings,
    guarded::answered,
    facts,
];

/// The first page.
pub fn first_page(review: &Review<'_>, style: Style) -> String {
    SECTIONS.iter().map(|section| section(review, style)).collect()
}

/// Where a step was written: `failback.rhai:12`.
pub fn place(step: &Step) -> String {
    format!("{}:{}", step.origin.at.file, step.origin.at.line)
}

fn title(review: &Review<'_>, style: Style) -> String {
    let plan = review.plan;
    let mut page = style.paint(Ink::Title, &format!("Plan of {}", plan.script));
    page.push('\n');
    let params: Vec<String> = plan.params.iter().map(|(name, v)| format!("{name} = {v}")).collect();
    if !params.is_empty() {
        page.push_str(&style.field("Parameters", &params.join(", ")));
    }
    if plan.nothing_to_do() {
        let text = "no step touches a machine or runs a command; no gate will open";
        page.push_str(&style.inked_field(Ink::Warn, "Nothing to do", text));
    }
    page
}

fn direction(review: &Review<'_>, style: Style) -> String {
    let plan = review.plan;
    // What a failure would start again is no direction of the plan.
    let goes_back = |step: &Step| {
        plan.guards(step).iter().any(|(_, scope)| matches!(scope.kind, ScopeKind::Handler { .. }))
    };
    let started = |side| {
        let starts = plan.steps.iter().filter(move |step| step.effect == Effect::Start(side));
        let starts = starts.filter(|step| !goes_back(step));
        starts.filter_map(|step| step.machine.as_ref()).collect::<BTreeSet<_>>()
    };
    let (home, away) = (started(Side::Onprem), started(Side::Cloud));
    let ways = [("home (cloud to on-prem)", home), ("to the cloud (from on-prem)", away)];
    let moved: Vec<String> = ways
        .iter()
        .filter(|(_, machines)| !machines.is_empty())
        .map(|(way, machines)| format!("{way}: {}", count(machines.len(), "machine")))
        .collect();
    let way = if moved.is_empty() { "no machine changes sides".into() } else { moved.join("; ") };
    let all = fold_machines(&plan.machines().into_iter().collect::<Vec<_>>());
    let mut page = style.field("Direction", &way);
    page.push_str(&style.field("Machines", &all));
    let steps =
        format!("{} in {}", count(plan.steps.len(), "step"), count(review.waves.len(), "wave"));
    page.push_str(&style.field("Steps", &steps));
    page
}

fn irreversible(review: &Review<'_>, style: Style) -> String {
    let mut kinds: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in &review.plan.steps {
        if step.reversibility == Reversibility::Irreversible {
            kinds.entry(step.primitive).or_default().push(step);
        }
    }
    if kinds.is_empty() {
        return style.field("Irreversible", "nothing: every step can be taken back or done again");
    }
    let lines = kinds.iter().map(|(primitive, steps)| {
        let machines: Vec<&MachineName> = steps.iter().filter_map(|s| s.machine.as_ref()).collect();
        let text = format!("{primitive} of {} ({})", fold_machines(&machines), place(steps[0]));
        style.inked_field(Ink::Danger, "Irreversible", &text)
    });
    capped(lines.collect(), style)
}

fn no_return(review: &Review<'_>, style: Style) -> String {
    let Some(ix) = review.no_return else {
        return style.field("No return", "never: there is a way back from every step");
    };
    let step = review.plan.step(ix);
    let wave = review.waves.iter().position(|wave| wave.contains(&ix)).map_or(0, |at| at + 1);
    let before = path::before(review.plan, ix);
    let gates = path::gates(review.plan);
    let gate = gates.iter().rev().find(|gate| before[gate.at()]);
    let guard = gate.map_or_else(
        || "NO gate stands before it".to_owned(),
        |gate| format!("gate `{}` stands before it", review.plan.step(*gate).id),
    );
    let text = format!("from {} on ({}, wave {wave}); {guard}", step.id, place(step));
    style.inked_field(Ink::Danger, "No return", &text)
}

fn duration(review: &Review<'_>, style: Style) -> String {
    let estimates = review.estimates;
    let basis = if estimates.remembered().0 > 0 {
        "estimated from earlier runs, where there are none from sizes and rates"
    } else {
        "estimated from sizes and rates, not from earlier runs"
    };
    let gates = path::gates(review.plan).len();
    let people = if gates == 0 { "" } else { ", waiting at gates left out" };
    style.field("Duration", &format!("{}{people}; {basis}", show_seconds(estimates.makespan_s)))
}

fn longest_path(review: &Review<'_>, style: Style) -> String {
    let path = &review.estimates.critical_path;
    let ids: Vec<&str> = path
        .iter()
        .filter_map(|at| review.plan.steps.get(*at as usize))
        .map(|step| step.id.as_str())
        .collect();
    if ids.is_empty() {
        return String::new();
    }
    let text = if ids.len() <= PATH_MAX {
        ids.join(" > ")
    } else {
        let (head, tail) = (&ids[..PATH_MAX - 2], &ids[ids.len() - 2..]);
        let hidden = ids.len() - PATH_MAX;
        format!("{} > ({hidden} more) > {}", head.join(" > "), tail.join(" > "))
    };
    style.field("Longest path", &text)
}

fn digest(review: &Review<'_>, style: Style) -> String {
    // Not filled: 64 characters that are compared by eye stay in one piece.
    format!("  {}        {}\n", style.paint(Ink::Title, "Digest"), review.digest)
}

fn gates(review: &Review<'_>, style: Style) -> String {
    let gates = path::gates(review.plan);
    if gates.is_empty() {
        return style.heading("Gates") + "  none: nobody is asked\n";
    }
    let down = path::down_at_gates(review.plan);
    let lines = gates.iter().map(|ix| {
        let machines: Vec<&MachineName> = down.get(ix).into_iter().flatten().copied().collect();
        let id = review.plan.step(*ix).id.as_str();
        style.inked_field(Ink::Command, id, &gate(review, *ix, &machines))
    });
    style.heading("Gates") + capped(lines.collect(), style).as_str()
}

fn gate(review: &Review<'_>, ix: StepIx, down: &[&MachineName]) -> String {
    let step = review.plan.step(ix);
    let limit = step.policy.timeout_ms.map_or_else(
        || "waits without limit".to_owned(),
        |ms| format!("waits at most {}", show_seconds(ms as f64 / 1000.0)),
    );
    // What is known only later stands as its source.
    let args = step.args.json();
    let args = described(&args);
    let asked = args.get("message").and_then(|text| text.as_str());
    let asked = asked.unwrap_or_else(|| review.sentence(ix));
    let silence = match step.args.get("on_timeout").and_then(|word| word.as_str()) {
        Some("go_on") => "no answer counts as YES",
        _ => "no answer counts as no",
    };
    let who: Vec<&str> = step
        .args
        .get("approvers")
        .and_then(|list| list.as_array())
        .map_or_else(Vec::new, |list| list.iter().filter_map(|name| name.as_str()).collect());
    let who =
        if who.is_empty() { "whoever may write the state folder".into() } else { who.join(", ") };
    let mut text =
        format!("{} ({}); {limit} for {who}, {silence}", asked.trim_end_matches('.'), place(step),);
    if !down.is_empty() {
        text.push_str(&format!("; DOWN meanwhile: {}", fold_machines(down)));
    }
    text
}

fn machines(review: &Review<'_>, style: Style) -> String {
    let estimates = &review.estimates.machines;
    if estimates.is_empty() {
        return String::new();
    }
    let rto = |machine: &MachineName| review.inventory.machines.get(machine).and_then(|e| e.rto_s);
    let over = |machine: &MachineName, e: &MachineEstimate| {
        rto(machine).is_some_and(|rto| e.downtime_s > rto)
    };
    let mut order: Vec<(&MachineName, &MachineEstimate)> = estimates.iter().collect();
    if order.len() > MACHINES_MAX {
        // Only the worst are named: over their limit first, then the longest downtime.
        order.sort_by(|(a, x), (b, y)| {
            (over(b, y), y.downtime_s)
                .partial_cmp(&(over(a, x), x.downtime_s))
                .expect("BUG: a finite estimate")
        });
    }
    let (named, others) = order.split_at(order.len().min(MACHINES_MAX));
    let mut rows: Vec<Vec<String>> = named
        .iter()
        .map(|(machine, e)| {
            let limit = rto(machine).map_or("-".into(), show_seconds);
            let mark = if over(machine, e) { "  OVER" } else { "" };
            row(machine.as_str(), e, &format!("{limit}{mark}"))
        })
        .collect();
    rows.extend(rest(others));
    let over_count = order.iter().filter(|(machine, e)| over(machine, e)).count();
    let table = Table {
        header: vec!["machine", "sync", "downtime", "bytes at most", "rto"],
        rows,
        amounts: &[1, 2, 3],
    };
    let mut page = style.heading("Machines") + indented(&table.text(style)).as_str();
    if over_count > 0 {
        let text = format!("the downtime of {} exceeds its rto", count(over_count, "machine"));
        page.push_str(&style.inked_field(Ink::Warn, "Over", &text));
    }
    page
}

fn row(name: &str, estimate: &MachineEstimate, rto: &str) -> Vec<String> {
    let MachineEstimate { downtime_s, sync_s, bytes, .. } = *estimate;
    vec![name.into(), show_seconds(sync_s), show_seconds(downtime_s), show_bytes(bytes), rto.into()]
}

/// One row for all that are not named: the longest times, the bytes together.
fn rest(others: &[(&MachineName, &MachineEstimate)]) -> Option<Vec<String>> {
    let most = others.iter().map(|(_, e)| **e).reduce(|a, b| MachineEstimate {
        downtime_s: a.downtime_s.max(b.downtime_s),
        sync_s: a.sync_s.max(b.sync_s),
        bytes: a.bytes.saturating_add(b.bytes),
        down_from_s: None,
    })?;
    Some(row(&format!("{} others, at most", others.len()), &most, ""))
}

fn warnings(review: &Review<'_>, style: Style) -> String {
    if review.warnings.is_empty() {
        return String::new();
    }
    let lines = review.warnings.iter().map(|w| style.inked_field(Ink::Warn, &w.code, &warning(w)));
    style.heading("Warnings") + capped(lines.collect(), style).as_str()
}

fn warning(warning: &Diagnostic) -> String {
    let place =
        warning.at.as_ref().map_or(String::new(), |at| format!(" ({}:{})", at.file, at.line));
    let help = warning.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
    format!("{}{place}{help}", warning.message)
}

fn facts(review: &Review<'_>, style: Style) -> String {
    let mut alike: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for fact in &review.plan.facts {
        alike.entry((&fact.fact, &fact.value)).or_default().push(&fact.subject);
    }
    let title = style.heading("Facts it rests on (observed again before it runs)");
    if alike.is_empty() {
        return title + "  none\n";
    }
    let lines = alike.iter().map(|((fact, value), subjects)| {
        let text = match subjects.as_slice() {
            [SELECTION] => selection(fact, value),
            _ => format!("{fact} = {value} of {}", names(subjects.iter().copied())),
        };
        style.fill("  ", "      ", &text) + "\n"
    });
    title + capped(lines.collect(), style).as_str()
}

/// Which machines `vms(..)` found.
fn selection(terms: &str, found: &str) -> String {
    let found: Vec<String> = serde_json::from_str(found).unwrap_or_default();
    let found = counted(&found.iter().map(String::as_str).collect::<Vec<_>>());
    match terms {
        "" => format!("every machine of the inventory: {found}"),
        _ => format!("machines with `{terms}`: {found}"),
    }
}

/// The first lines; how many more there are.
pub fn capped(lines: Vec<String>, style: Style) -> String {
    let hidden = lines.len().saturating_sub(LINES_MAX);
    let mut page: String = lines.into_iter().take(LINES_MAX).collect();
    if hidden > 0 {
        let text = format!("and {hidden} more: `homing plan --format json` has them all");
        page.push_str(&format!("  {}\n", style.paint(Ink::Dim, &text)));
    }
    page
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!(" {line}\n")).collect()
}

/// `3: web-{01..03}`.
pub fn fold_machines(machines: &[&MachineName]) -> String {
    counted(&machines.iter().map(|machine| machine.as_str()).collect::<Vec<_>>())
}
