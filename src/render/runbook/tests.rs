//! What a runbook promises, over plans made by hand: many machines, hostile words, ways back, conditions.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::base::StepId;
use crate::plan::expr::Expr;
use crate::plan::step::{Kind, handle_to_json};
use crate::render::runbook::html::html;
use crate::render::runbook::markdown::markdown;
use crate::render::tests::{Sample, many};

fn book(sample: &Sample) -> Document {
    let hands = hands(&sample.plan, &sample.inventory, &Facts::default());
    document(&sample.review(), &hands, Some("2026-11-22T03:00:00Z".parse().unwrap()))
}

/// Every step stands in it exactly once, behind all that it waits for, and no row of a table waits for
/// another row of that table.
fn holds_every_step(plan: &Plan, document: &Document) {
    let by_id = plan.by_id();
    let mut place = vec![None; plan.steps.len()];
    for (at, task) in document.tasks().into_iter().enumerate() {
        for id in &task.steps {
            let known = place[by_id[id].at()].replace(at);
            assert_eq!(known, None, "{id} stands there twice");
        }
    }
    for (ix, step) in plan.iter() {
        let own = place[ix.at()].unwrap_or_else(|| panic!("{} is missing", step.id));
        for (before, _) in step.edges() {
            assert!(place[before.at()] < Some(own), "{} precedes what it needs", step.id);
        }
    }
}

#[test]
fn five_hundred_alike_are_told_once_with_a_row_each() {
    let names = many(500);
    let sample = Sample::failback(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let document = book(&sample);
    holds_every_step(&sample.plan, &document);
    assert_eq!(document.tasks().len(), 10, "eight steps and two gates");
    let page = markdown(&document);
    let rows = page.lines().filter(|line| line.starts_with('|')).count();
    let text = page.lines().count() - rows;
    assert!(rows < 4 * 500 + 40 && text < 250, "{text} lines and {rows} rows");
    // Nothing is left out on paper.
    for name in &names {
        assert!(page.matches(&format!("\n| {name} |")).count() >= 4, "{name}");
    }
}

/// Two machines that each try, go back, and are cleaned up; conditions; a text that asks for a number.
fn guarded() -> Sample {
    let mut sample = Sample::failback(&["web-01", "web-02"]);
    for first in [5, 9] {
        let attempt = ScopeKind::Attempt { all: false, then_continue: false };
        let of = sample.scope(attempt, first, first + 2);
        sample.scope(ScopeKind::Handler { of }, first + 2, first + 3);
        sample.scope(ScopeKind::Always { of }, first + 3, first + 4);
    }
    for (at, machine) in [(14, "web-01"), (16, "web-02")] {
        let cond = json!({ "of": format!("{machine}.check.1"), "output": "ok" });
        let cond: Arc<Expr> = Arc::new(serde_json::from_value(cond).unwrap());
        sample.scope(ScopeKind::When { cond: cond.clone(), is: true }, at, at + 1);
        sample.scope(ScopeKind::When { cond, is: false }, at + 1, at + 2);
    }
    for (at, machine) in [(1, "web-01"), (3, "web-02")] {
        let snapshot = StepId::new(format!("{machine}.snapshot.1")).unwrap();
        sample.plan.steps[at].args = json!({ "from": handle_to_json(&snapshot) }).into();
    }
    let deferred =
        json!({ "deferred": { "of": "web-01.transfer_delta.1", "output": "bytes_sent" } });
    sample.plan.steps[4].args =
        json!({ "message": { "text": ["Go on after ", deferred, " bytes?"] } }).into();
    sample
}

#[test]
fn ways_back_conditions_and_numbers_to_write_down_stand_where_they_belong() {
    let sample = guarded();
    let document = book(&sample);
    holds_every_step(&sample.plan, &document);
    insta::assert_snapshot!(markdown(&document));
}

const HOSTILE: &str = "<script>alert(1)</script> `x` | **y** [z](http://evil)\n## go\n- [x] done";

#[test]
fn nothing_that_a_script_says_becomes_form() {
    let mut sample = Sample::failback(&["web-01"]);
    let gate = sample.plan.steps.iter().position(|step| step.kind == Kind::Gate).unwrap();
    sample.plan.steps[gate].args = json!({ "message": HOSTILE, "approvers": [HOSTILE] }).into();
    sample.plan.script = HOSTILE.to_owned();
    sample.plan.params.insert(HOSTILE.to_owned(), json!(HOSTILE));
    let group = ScopeKind::Group { name: HOSTILE.to_owned() };
    sample.scope(group, 0, 2);
    let document = book(&sample);
    let page = html(&document);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(!page.contains("http-equiv") && !page.contains("src="), "nothing is fetched");
    let page = markdown(&document);
    for line in page.lines() {
        let bare = line.trim_start_matches(['>', ' ']);
        assert!(!bare.starts_with("## go") && !bare.starts_with("- [x]"), "{line}");
        let typed: Vec<&str> = line.split("``").collect();
        for text in typed.iter().step_by(2) {
            assert!(!text.contains("<script"), "{line}");
        }
    }
    let row = page.lines().find(|line| line.starts_with("| 2.1 |")).unwrap();
    let bars = row.replace("\\|", "").matches('|').count();
    assert_eq!(bars, 6, "five cells: {row}");
}

#[test]
fn boxes_have_names_and_the_page_needs_nothing_else() {
    let page = html(&book(&Sample::failback(&["db-01", "web-01"])));
    let boxes = page.matches("<input type=\"checkbox\"").count();
    let labelled = page.matches("<label><input type=\"checkbox\">").count();
    let named = page.matches("<input type=\"checkbox\" aria-label=").count();
    assert!(boxes > 20 && boxes == labelled + named, "{boxes} {labelled} {named}");
    assert!(!page.contains("<script") && !page.contains("href=\"http"), "it is one file");
    assert!(page.contains("break-inside: avoid"), "no step is cut on paper");
}

#[test]
fn a_way_back_goes_back_to_where_the_machine_stood_before_the_attempt() {
    let mut sample = Sample::failback(&["web-01"]);
    // Shutdown, copy, start, check: an attempt; then the check stands in its handler, as the last step.
    let of = sample.scope(ScopeKind::Attempt { all: false, then_continue: false }, 3, 6);
    sample.scope(ScopeKind::Handler { of }, 6, 7);
    let mut standings =
        Standings::new(&sample.plan, &FactLog::resting_on(&Facts::default(), &sample.plan.facts));
    let live: Vec<Option<Side>> =
        sample.plan.steps.iter().map(|step| standings.before(step).live).collect();
    let (cloud, home) = (Some(Side::Cloud), Some(Side::Onprem));
    assert_eq!(live[..6], [cloud, cloud, None, cloud, cloud, cloud]);
    assert_eq!((live[6], live[8]), (cloud, home), "in the handler; behind the attempt");
}
