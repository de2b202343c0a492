//! Small pages, as text.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::diagnostic::Diagnostic;
use crate::plan::estimate::{Basis, StepEstimate};
use crate::render::tests::{Sample, many};

/// A sample whose steps take a second each, one after the other.
fn timed(machines: &[&str]) -> Sample {
    let mut sample = Sample::failback(machines);
    let step = |at: usize| StepEstimate {
        start_s: Some(at as f64),
        seconds: 1.0,
        slow_s: 1.5,
        basis: Basis::Sizes,
    };
    sample.estimates.steps = (0..sample.plan.steps.len()).map(step).collect();
    sample
}

fn texts(text: &str) -> Texts {
    [(Arc::from("failback.rhai"), Arc::from(text))].into()
}

/// What a reader reads: no tags, no style, no empty lines.
fn read(page: &str) -> String {
    let body = page.split("</style>").nth(1).unwrap();
    let mut text = String::new();
    for piece in body.split('<').skip(1) {
        let (tag, rest) = piece.split_once('>').unwrap();
        let inline = ["a", "/a", "code", "/code", "span", "/span", "strong", "/strong"];
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        text.push_str(if inline.contains(&name) || inline.contains(&tag) { "" } else { "\n" });
        text.push_str(rest);
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n").replace("&lt;", "<").replace("&gt;", ">")
}

#[test]
fn one_machine_reads_like_this() {
    let sample = timed(&["web-01"]);
    let text = "// comes home\n\n\n\n\n\n\n\n\nsnapshot(web);\ntransfer_delta(web);\n";
    insta::assert_snapshot!(read(&html(&sample.review(), &texts(text))));
}

#[test]
fn nothing_that_people_write_becomes_markup() {
    let mut sample = timed(&["web-01"]);
    let hostile = "</pre></style><script>alert('1')</script><img src=\"x\" onerror=x>&\"'";
    sample.sentences.iter_mut().for_each(|sentence| *sentence = hostile.to_owned());
    sample.plan.params.insert(hostile.to_owned(), json!(hostile));
    sample.plan.script = format!("{hostile}.rhai");
    sample.plan.steps[2].args = json!({ "message": hostile, "name": hostile }).into();
    sample.warnings.push(Diagnostic::warning("H005", hostile).help(hostile));
    let mut texts = texts(hostile);
    texts.insert(format!("{hostile}.rhai").into(), Arc::from(hostile));
    let page = html(&sample.review(), &texts);
    assert!(page.matches("&lt;script&gt;").count() > 12, "it stands there as text");
    for forbidden in ["<script", "<img", "onerror=\"", "</pre>", "javascript:"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    let ids = page.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert!(ids.clone().all(|id| !id.contains(char::is_whitespace) && !id.contains('&')));
}

#[test]
fn the_same_plan_is_the_same_page() {
    let sample = timed(&["db-01", "web-01", "web-02"]);
    let page = || html(&sample.review(), &texts("snapshot(web);\n"));
    assert_eq!(page(), page());
}

#[test]
fn a_thousand_machines_are_named_and_not_drawn_one_by_one() {
    let names = many(999);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = html(&timed(&names).review(), &texts(""));
    assert!(page.contains("web-001, web-002, web-003"), "every name");
    assert_eq!(page.matches("class=\"step ").count(), 10, "each step once");
    assert!(page.matches("<rect").count() < 900 && page.len() < 300_000, "{}", page.len());
    assert!(
        page.contains("that run the same lines of the script are one row"),
        "each at another time"
    );
}
