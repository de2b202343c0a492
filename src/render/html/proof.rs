//! What the plan rests on: facts that were observed, and rules that hold.

use maud::{Markup, html};

use crate::diagnostic::codes::find;
use crate::render::fold::count;
use crate::render::html::steps::subjects;
use crate::render::html::{Page, scroll};
use crate::render::told;

/// Most rows of facts.
const ROWS_MAX: usize = 2000;

/// Facts, those alike once.
pub fn facts(page: &Page<'_, '_>) -> Markup {
    let facts = told::facts(page.review);
    if facts.is_empty() {
        return html! { p { "None." } };
    }
    let hidden = facts.len().saturating_sub(ROWS_MAX);
    let table = html! {
        table {
            caption { "Observed when the plan was made; observed again before it runs, and a difference stops it" }
            thead { tr { th scope="col" { "Fact" } th scope="col" { "Value" } th scope="col" { "Of" } } }
            tbody { @for fact in facts.iter().take(ROWS_MAX) { (row(fact)) } }
        }
    };
    html! {
        details {
            summary { (count(page.review.plan.facts.len(), "fact")) ", " (facts.len()) " different" }
            (scroll("Facts", &table))
            @if hidden > 0 { p .folded { "and " (hidden) " more, which the JSON of the plan has" } }
        }
    }
}

fn row(fact: &told::Alike<'_>) -> Markup {
    if !fact.is_selection() {
        return html! {
            tr { th scope="row" { code { (fact.fact) } } td { code { (fact.value) } } td { (subjects(&fact.subjects)) } }
        };
    }
    let found: Vec<String> = serde_json::from_str(fact.value).unwrap_or_default();
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    html! {
        tr {
            th scope="row" { code { "vms(" (format!("{:?}", fact.fact)) ")" } }
            td { "finds " (count(found.len(), "machine")) }
            td { (subjects(&found)) }
        }
    }
}

/// Every rule, and what came of it in this plan.
pub fn rules(page: &Page<'_, '_>) -> Markup {
    let table = html! {
        table {
            caption { "Proved over every path: each condition true and false, each step failing, each way back" }
            thead { tr { th scope="col" { "Rule" } th scope="col" { "What must not happen" } th scope="col" { "Here" } } }
            tbody { @for code in page.review.rules { (rule(page, code)) } }
        }
    };
    html! { (scroll("Rules", &table)) p .muted { code { "homing explain H001" } " says what a rule means, with a wrong and a right example." } }
}

fn rule(page: &Page<'_, '_>, code: &str) -> Markup {
    let warned = page.review.warnings.iter().filter(|warning| warning.code == code).count();
    let answered = page.review.plan.acknowledged.iter().any(|one| one.code == code);
    html! {
        tr {
            th scope="row" { code { (code) } }
            td { (find(code).map_or("", |known| known.title)) }
            td {
                @match (warned, answered) {
                    (0, false) => "not found",
                    (0, true) => "answered by the script",
                    (places, _) => strong .warn { "WARNING at " (count(places, "place")) },
                }
            }
        }
    }
}
