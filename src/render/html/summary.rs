//! What a reviewer must know before reading any step.

use maud::{Markup, html};

use crate::base::MachineName;
use crate::base::units::{show_bytes, show_seconds};
use crate::diagnostic::Diagnostic;
use crate::plan::step::StepIx;
use crate::render::fold::{count, counted};
use crate::render::html::{Page, scroll};
use crate::render::{guarded, told};

/// Most steps of the longest path that are named.
const PATH_MAX: usize = 12;
/// Most rows of a table here; what is left out is counted.
const ROWS_MAX: usize = 200;

/// The section.
pub fn summary(page: &Page<'_, '_>) -> Markup {
    html! {
        @if page.review.plan.nothing_to_do() {
            p .note { strong { "Nothing to do: " } "no step touches a machine or runs a command; no gate will open." }
        }
        dl .facts {
            (directions(page)) (irreversible(page)) (no_return(page)) (costs(page)) (longest_path(page)) (frame(page))
        }
        (gates(page)) (warnings(page)) (answered(page)) (guards(page))
    }
}

fn entry(term: &str, inner: &Markup) -> Markup {
    html! { div { dt { (term) } dd { (inner) } } }
}

/// `3: web-{01..03}`; of many names that do not count up only the first.
fn machines_in_words(machines: &[&MachineName]) -> String {
    counted(&machines.iter().map(|machine| machine.as_str()).collect::<Vec<_>>())
}

fn directions(page: &Page<'_, '_>) -> Markup {
    let directions = told::directions(page.review);
    let all: Vec<&MachineName> = page.review.plan.machines().into_iter().collect();
    let moved = html! {
        @if directions.is_empty() { "no machine changes sides" }
        @for direction in &directions {
            div {
                strong { (direction.way) }
                @if let Some((from, to)) = direction.sites { ", " (from.as_str()) " → " (to.as_str()) }
                ": " (count(direction.machines.len(), "machine"))
            }
        }
    };
    html! {
        (entry("Direction", &moved))
        (entry("Machines", &html! { (machines_in_words(&all)) }))
    }
}

fn irreversible(page: &Page<'_, '_>) -> Markup {
    let kinds = told::irreversible(page.review);
    let inner = html! {
        @if kinds.is_empty() { "nothing: every step can be taken back or done again" }
        @for (primitive, steps) in &kinds {
            @let machines: Vec<&MachineName> = steps.iter().filter_map(|step| step.machine.as_ref()).collect();
            div {
                strong .danger { (primitive) }
                @if !machines.is_empty() { " of " (machines_in_words(&machines)) }
                ": " (told::deed(page.review, primitive)) " "
                (page.links.place(&steps[0].origin.at))
            }
        }
    };
    entry("Irreversible", &inner)
}

fn no_return(page: &Page<'_, '_>) -> Markup {
    let inner = match (told::no_return(page.review), page.review.no_return) {
        (Some(told), Some(ix)) => html! {
            "from " (step(page, ix)) " on, in " a href={ "#wave-" (told.wave) } { "wave " (told.wave) } ", "
            (page.links.place(&told.step.origin.at)) "; "
            @match told.gate {
                Some(gate) => { "only after yes at gate " code { (gate.id.as_str()) } },
                None => strong .danger { "no gate stands before it" },
            }
        },
        _ => html! { "none: there is a way back from every step" },
    };
    entry("Point of no return", &inner)
}

/// A step by its id, as a link.
pub fn step(page: &Page<'_, '_>, ix: StepIx) -> Markup {
    let id = page.review.plan.step(ix).id.as_str();
    html! { a href={ "#" (page.links.step(page.review, ix)) } { code { (id) } } }
}

fn costs(page: &Page<'_, '_>) -> Markup {
    let estimates = page.review.estimates;
    let bytes = estimates.machines.values().fold(0_u64, |sum, one| sum.saturating_add(one.bytes));
    let worst = estimates.machines.iter().max_by(|a, b| a.1.downtime_s.total_cmp(&b.1.downtime_s));
    html! {
        (entry("Duration", &html! { (told::duration(page.review)) }))
        @if let Some((machine, worst)) = worst.filter(|(_, worst)| worst.downtime_s > 0.0) {
            (entry("Longest downtime", &html! {
                (show_seconds(worst.downtime_s)) " (" (machine.as_str()) "), "
                a href="#machines" { "every machine" }
            }))
        }
        (entry("Data to move", &html! { "at most " (show_bytes(bytes)) }))
    }
}

fn longest_path(page: &Page<'_, '_>) -> Markup {
    let steps = &page.review.plan.steps;
    let path: Vec<StepIx> =
        page.review.estimates.critical_path.iter().map(|at| StepIx(*at)).collect();
    let path: Vec<StepIx> = path.into_iter().filter(|ix| ix.at() < steps.len()).collect();
    if path.is_empty() {
        return html! {};
    }
    let hidden = path.len().saturating_sub(PATH_MAX);
    let head = if hidden == 0 { path.len() } else { PATH_MAX - 4 };
    let inner = html! {
        ol .path {
            @for ix in &path[..head] { li { (step(page, *ix)) } }
            @if hidden > 0 { li { "(" (path.len() - PATH_MAX) " more)" } }
            @if hidden > 0 { @for ix in &path[path.len() - 4..] { li { (step(page, *ix)) } } }
        }
    };
    entry("Longest path", &inner)
}

fn frame(page: &Page<'_, '_>) -> Markup {
    let (review, plan) = (page.review, page.review.plan);
    let limits = guarded::limit_texts(review);
    let steps =
        format!("{} in {}", count(plan.steps.len(), "step"), count(review.waves.len(), "wave"));
    html! {
        (entry("Steps", &html! { (steps) }))
        @if !limits.is_empty() {
            (entry("Limits", &html! { @for text in limits.iter().take(ROWS_MAX) { div { (text) } } }))
        }
        @if !plan.params.is_empty() {
            (entry("Parameters", &html! {
                @for (name, value) in &plan.params { div { code { (name) " = " (value.to_string()) } } }
            }))
        }
    }
}

fn gates(page: &Page<'_, '_>) -> Markup {
    let gates = told::gates(page.review);
    if gates.is_empty() {
        return html! { h3 { "Gates" } p { "None: nobody is asked." } };
    }
    let row = |gate: &told::Gate<'_>| {
        html! {
            tr {
                th scope="row" { a href={ "#step-" (gate.step.id.as_str()) } { code { (gate.step.id.as_str()) } } }
                td { (gate.asked) }
                td { @if gate.approvers.is_empty() { "whoever may write the state folder" } @else { (gate.approvers.join(", ")) } }
                td { (gate.limit_s.map_or("without limit".to_owned(), show_seconds)) }
                td { @if gate.silence_is_yes { strong .danger { "counts as YES" } } @else { "counts as no" } }
                td { @if gate.down.is_empty() { "no machine" } @else { (machines_in_words(&gate.down)) } }
                td { (page.links.place(&gate.step.origin.at)) }
            }
        }
    };
    let table = html! {
        table {
            caption { "Where people are asked" }
            thead { tr {
                th scope="col" { "Gate" } th scope="col" { "Question" } th scope="col" { "Who answers" }
                th scope="col" { "Open for" } th scope="col" { "No answer" }
                th scope="col" { "Down meanwhile" } th scope="col" { "Script" }
            } }
            tbody { @for gate in gates.iter().take(ROWS_MAX) { (row(gate)) } }
        }
    };
    html! {
        h3 { "Gates" } (scroll("Gates", &table))
        @if let Some(more) = more(gates.len()) { p .folded { (more) } }
    }
}

fn more(all: usize) -> Option<String> {
    (all > ROWS_MAX).then(|| format!("and {} more, which the JSON of the plan has", all - ROWS_MAX))
}

fn warnings(page: &Page<'_, '_>) -> Markup {
    let warnings = page.review.warnings;
    if warnings.is_empty() {
        return html! { h3 { "Warnings" } p { "None that nobody has answered." } };
    }
    let row = |warning: &Diagnostic| {
        html! {
            tr {
                th scope="row" { code { (warning.code) } }
                td { (warning.message) @if let Some(help) = &warning.help { div .muted { (help) } } }
                td {
                    @if let Some(at) = &warning.at { (page.links.place(at)) } @else { "-" }
                    @for other in warning.related.iter().take(4) {
                        div .muted { (other.message) " " (page.links.place(&other.at)) }
                    }
                }
            }
        }
    };
    let table = html! {
        table {
            caption { "What somebody should look at before saying yes" }
            thead { tr { th scope="col" { "Code" } th scope="col" { "What" } th scope="col" { "Where" } } }
            tbody { @for warning in warnings.iter().take(ROWS_MAX) { (row(warning)) } }
        }
    };
    html! {
        h3 { "Warnings" } (scroll("Warnings", &table))
        @if let Some(more) = more(warnings.len()) { p .folded { (more) } }
    }
}

fn answered(page: &Page<'_, '_>) -> Markup {
    let answers = &page.review.plan.acknowledged;
    if answers.is_empty() {
        return html! {};
    }
    let table = html! {
        table {
            caption { "Warnings that the script answers, with its reasons" }
            thead { tr { th scope="col" { "Code" } th scope="col" { "Reason" } th scope="col" { "Script" } } }
            tbody {
                @for one in answers.iter().take(ROWS_MAX) {
                    tr { th scope="row" { code { (one.code) } } td { (one.reason) } td { (page.links.place(&one.at)) } }
                }
            }
        }
    };
    html! {
        h3 { "Answered warnings" } (scroll("Answered warnings", &table))
        @if let Some(more) = more(answers.len()) { p .folded { (more) } }
    }
}

fn guards(page: &Page<'_, '_>) -> Markup {
    let guards = guarded::guard_texts(page.review);
    if guards.is_empty() {
        return html! {};
    }
    html! {
        h3 { "Ways back and conditions" }
        ul { @for text in guards.iter().take(ROWS_MAX) { li { (text) } } }
        @if let Some(more) = more(guards.len()) { p .folded { (more) } }
    }
}
