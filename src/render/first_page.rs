//! The first page: what a reviewer must know before reading any step.

use crate::base::MachineName;
use crate::base::units::show_seconds;
use crate::diagnostic::Diagnostic;
use crate::plan::step::Step;
use crate::render::fold::{count, counted, names};
use crate::render::style::{Ink, Style};
use crate::render::{Review, guarded, machines, told};

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
    irreversible,
    no_return,
    duration,
    longest_path,
    guarded::limits,
    digest,
    gates,
    machines::machines,
    warnings,
    guarded::guarded,
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
    let told = |direction: &told::Direction<'_>| {
        let sites = direction.sites.map_or(String::new(), |(from, to)| format!(", {from} -> {to}"));
        format!("{}{sites}: {}", direction.way, count(direction.machines.len(), "machine"))
    };
    let moved: Vec<String> = told::directions(review).iter().map(told).collect();
    let way = if moved.is_empty() { "no machine changes sides".into() } else { moved.join("; ") };
    let all = fold_machines(&review.plan.machines().into_iter().collect::<Vec<_>>());
    let steps = count(review.plan.steps.len(), "step");
    let waves = count(review.waves.len(), "wave");
    let mut page = style.field("Direction", &way);
    page.push_str(&style.field("Machines", &format!("{all}; {steps} in {waves}")));
    page
}

fn irreversible(review: &Review<'_>, style: Style) -> String {
    let kinds = told::irreversible(review);
    if kinds.is_empty() {
        return style.field("Irreversible", "nothing: every step can be taken back or done again");
    }
    let lines = kinds.iter().map(|(primitive, steps)| {
        let machines: Vec<&MachineName> = steps.iter().filter_map(|s| s.machine.as_ref()).collect();
        let deed = told::deed(review, primitive);
        let of = if machines.is_empty() {
            String::new()
        } else {
            format!(" of {}", fold_machines(&machines))
        };
        let text = format!("{primitive}{of}: {deed} ({})", place(steps[0]));
        style.inked_field(Ink::Danger, "Irreversible", &text)
    });
    capped(lines.collect(), review, style)
}

fn no_return(review: &Review<'_>, style: Style) -> String {
    let Some(told) = told::no_return(review) else {
        return style.field("No return", "never: there is a way back from every step");
    };
    let estimate = review.no_return.and_then(|ix| review.estimates.steps.get(ix.at())?.start_s);
    let when = estimate.map_or(String::new(), |s| format!(", {} after the start", about(s)));
    let guard = told.gate.map_or_else(
        || "NO gate stands before it".to_owned(),
        |gate| format!("only after yes at gate `{}`", gate.id),
    );
    let text = format!(
        "from {} on ({}, wave {}{when}); {guard}",
        told.step.id,
        place(told.step),
        told.wave
    );
    style.inked_field(Ink::Danger, "No return", &text)
}

fn about(seconds: f64) -> String {
    format!("about {}", show_seconds(seconds))
}

fn duration(review: &Review<'_>, style: Style) -> String {
    style.field("Duration", &told::duration(review))
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
    let text = if ids.len() <= PATH_MAX || review.full {
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
    let gates = told::gates(review);
    if gates.is_empty() {
        return style.heading("Gates") + "  none: nobody is asked\n";
    }
    let line = |gate: &told::Gate<'_>| {
        style.inked_field(Ink::Command, gate.step.id.as_str(), &self::gate(gate))
    };
    let lines = gates.iter().map(line);
    style.heading("Gates (a person answers)") + capped(lines.collect(), review, style).as_str()
}

fn gate(gate: &told::Gate<'_>) -> String {
    let limit = gate.limit_s.map_or_else(
        || "waits without limit".to_owned(),
        |limit_s| format!("waits at most {}", show_seconds(limit_s)),
    );
    let silence =
        if gate.silence_is_yes { "no answer counts as YES" } else { "no answer counts as no" };
    let who = match gate.approvers.as_slice() {
        [] => "whoever may write the state folder".to_owned(),
        some => some.join(", "),
    };
    let asked = gate.asked.trim_end_matches('.');
    let mut text = format!("{asked} ({}); {limit} for {who}, {silence}", place(gate.step));
    if !gate.down.is_empty() {
        text.push_str(&format!("; DOWN meanwhile: {}", fold_machines(&gate.down)));
    }
    text
}

fn warnings(review: &Review<'_>, style: Style) -> String {
    if review.warnings.is_empty() {
        return String::new();
    }
    let lines = review.warnings.iter().map(|w| style.inked_field(Ink::Warn, &w.code, &warning(w)));
    style.heading("Warnings") + capped(lines.collect(), review, style).as_str()
}

fn warning(warning: &Diagnostic) -> String {
    let place =
        warning.at.as_ref().map_or(String::new(), |at| format!(" ({}:{})", at.file, at.line));
    let help = warning.help.as_ref().map_or(String::new(), |help| format!("; {help}"));
    format!("{}{place}{help}", warning.message)
}

fn facts(review: &Review<'_>, style: Style) -> String {
    let title = style.heading("Facts it rests on (observed again before it runs)");
    let facts = told::facts(review);
    if facts.is_empty() {
        return title + "  none\n";
    }
    let lines = facts.iter().map(|alike| {
        let text = if alike.is_selection() {
            selection(alike.fact, alike.value)
        } else {
            format!("{} = {} of {}", alike.fact, alike.value, names(alike.subjects.iter().copied()))
        };
        style.fill("  ", "      ", &text) + "\n"
    });
    title + capped(lines.collect(), review, style).as_str()
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
pub fn capped(lines: Vec<String>, review: &Review<'_>, style: Style) -> String {
    let most = if review.full { usize::MAX } else { LINES_MAX };
    let hidden = lines.len().saturating_sub(most);
    let mut page: String = lines.into_iter().take(most).collect();
    if hidden > 0 {
        let text = format!("and {hidden} more: `--full` lists them all");
        page.push_str(&format!("  {}\n", style.paint(Ink::Dim, &text)));
    }
    page
}

/// `3: web-{01..03}`.
pub fn fold_machines(machines: &[&MachineName]) -> String {
    counted(&machines.iter().map(|machine| machine.as_str()).collect::<Vec<_>>())
}
