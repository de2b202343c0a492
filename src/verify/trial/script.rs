//! Scripts with conditions and attempts, drawn at random.

use std::collections::BTreeMap;

use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::plan::facts::{FactLog, MachineFacts};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::source::MemoryWorld;
use crate::trace::{Request, trace};
use crate::verify::tests::facts_of;

/// One thing that a script may say; everything stands on a line of its own.
#[derive(Clone, Debug)]
pub enum Said {
    Does(usize, bool, bool),
    When(usize, Vec<Said>, Vec<Said>),
    Attempt { all: bool, goes_on: bool, body: Vec<Said>, handler: Vec<Said>, always: Vec<Said> },
}

pub const WORDS: [&str; 12] = [
    "shutdown_azure_vm(M)",
    "transfer_delta(M)",
    "start_onprem_vm(M)",
    "shutdown_azure_vm(M)",
    "transfer_delta(M)",
    "start_azure_vm(M)",
    "shutdown_onprem_vm(M)",
    "check(M)",
    "commit(M)",
    "transfer_delta(M, #{ mode: \"full\", in_downtime: true })",
    "transfer_delta(of_M)",
    "delete_snapshot(of_M)",
];

fn does() -> impl Strategy<Value = Said> {
    let optional = proptest::bool::weighted(0.1);
    (0..WORDS.len(), proptest::bool::weighted(0.15), optional)
        .prop_map(|(word, on_db, optional)| Said::Does(word, on_db, optional))
}

pub fn said() -> impl Strategy<Value = Vec<Said>> {
    let some = |max| proptest::collection::vec(does(), 0..max);
    let inner = move || {
        prop_oneof![
            3 => does(),
            1 => (0..2_usize, some(3), some(2)).prop_map(|(c, on, off)| Said::When(c, on, off)),
            1 => (some(3), some(2)).prop_map(|(body, handler)| Said::Attempt {
                all: false, goes_on: true, body, handler, always: Vec::new(),
            }),
        ]
    };
    let tried = proptest::collection::vec(inner(), 1..4);
    let one = prop_oneof![
        3 => does(),
        1 => (0..2_usize, some(3), some(3)).prop_map(|(c, on, off)| Said::When(c, on, off)),
        2 => (any::<bool>(), any::<bool>(), tried, some(3), prop_oneof![Just(Vec::new()), some(2).boxed()])
            .prop_map(|(all, goes_on, body, handler, always)| Said::Attempt {
                all, goes_on, body, handler, always,
            }),
    ];
    proptest::collection::vec(one, 1..4)
}

pub fn write(said: &[Said], out: &mut String) {
    for one in said {
        match one {
            Said::Does(word, on_db, optional) => {
                let with = if *optional { ", #{ optional: true })" } else { ")" };
                let machine = if *on_db { "db" } else { "web" };
                let word = WORDS[*word].replace('M', machine);
                let word = if word.contains('{') { word } else { word.replace(')', with) };
                out.push_str(&word);
                out.push_str(";\n");
            }
            Said::When(cond, on, off) => {
                out.push_str(&format!("when(c{cond}.ok, || {{\n"));
                write(on, out);
                out.push_str("}).otherwise(|| {\n");
                write(off, out);
                out.push_str("});\n");
            }
            Said::Attempt { all, goes_on, body, handler, always } => {
                let scope = if *all { "all" } else { "machine" };
                out.push_str(&format!("attempt(#{{ scope: \"{scope}\" }}, || {{\n"));
                write(body, out);
                out.push_str("}).on_failure(|| {\n");
                write(handler, out);
                out.push_str("})");
                out.push_str(if *goes_on { ".then_continue()" } else { "" });
                if !always.is_empty() {
                    out.push_str(".always(|| {\n");
                    write(always, out);
                    out.push_str("})");
                }
                out.push_str(";\n");
            }
        }
    }
}

pub fn count(said: &[Said]) -> usize {
    let inside = |one: &Said| match one {
        Said::Does(..) => 1,
        Said::When(_, on, off) => count(on) + count(off),
        Said::Attempt { body, handler, always, .. } => count(body) + count(handler) + count(always),
    };
    said.iter().map(inside).sum()
}

/// The plan of a script; `None`: the language refuses it.
pub fn traced(said: &[Said], inventory: &Inventory, facts: &MachineFacts) -> Option<Plan> {
    let mut script = String::from(
        "let web = vm(\"web-01\");\nlet db = vm(\"db-01\");\n\
         let c0 = check(web, #{ assert: false, optional: false });\n\
         let c1 = check(web, #{ assert: false });\n",
    );
    let mut written = String::new();
    write(said, &mut written);
    for (name, machine) in [("of_web", "web"), ("of_db", "db")] {
        if written.contains(name) {
            script.push_str(&format!("let {name} = snapshot({machine});\n"));
        }
    }
    script.push_str(&written);
    let world = MemoryWorld([("a.rhai".into(), script)].into());
    let facts = facts_of(facts.clone());
    let traced = trace(&Request {
        world: &world,
        script: "a.rhai".into(),
        params: &BTreeMap::new(),
        inventory,
        facts: &FactLog::new(&facts),
        allocated: None,
        spent: std::time::Duration::ZERO,
    });
    (!crate::diagnostic::any_error(&traced.diagnostics)).then_some(traced.plan)
}
