//! What a plan would do differently than another one: said, as data, and in the exit code.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use homing::base::{MachineName, PlanId};
use homing::compile::saved::{Unproved, save};
use homing::compile::{compile, point_of_no_return};
use homing::plan::estimate::{Estimates, History};
use homing::plan::facts::FactLog;
use homing::plan::inventory::Inventory;
use homing::render::change::{Change, Edition, Kind, change};
use homing::source::MemoryWorld;
use homing::trace::Request;
use homing::verify::VerifiedPlan;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq};
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::{Value, json};

use crate::support::Ground;
use crate::support::observed::{away, machine};

/// Statements that make plans: `M` is a machine, `N` a number.
const STATEMENTS: &[&str] = &[
    "check(M);",
    "check(M, #{ timeout: \"Nm\" });",
    "check(M, #{ id: \"own-N\", assert: false });",
    "check(M, #{ optional: true });",
    "check(M, #{ retry: #{ attempts: N } });",
    "transfer_delta(snapshot(M));",
    "transfer_delta(snapshot(M), #{ mode: \"full\" });",
    "wait(M, \"Ns\");",
    "approve(\"Go\", #{ name: \"gate-N\", timeout: \"1h\" });",
    "group(\"group N\", || { check(M); });",
    "parallel(|| { check(M); wait(M, \"Ns\"); });",
    "when(check(M, #{ assert: false }).ok, || { wait(M, \"Ns\"); });",
    "when(check(M, #{ assert: false }).ok, || { check(M); }).otherwise(|| { check(M); });",
    "attempt(|| { check(M); }).on_failure(|| { wait(M, \"Ns\"); });",
    "attempt(#{ scope: \"all\" }, || { check(M); }).always(|| { wait(M, \"Ns\"); });",
    "policy(#{ at_most: N });",
    "policy(#{ on_failure: \"halt\" });",
    "acknowledge(\"H013\", \"reason N\");",
    "notify(#{ text: \"text N\", webhook: \"https://pager.example/\" });",
    "if M.replica == \"stale\" { check(M); }",
    "if M.away_over(\"Nd\") { check(M); } else { wait(M, \"1s\"); }",
    "let sent = transfer_delta(snapshot(M)); fail_if(sent.bytes_sent > N, `M sent ${sent.bytes_sent}`);",
];
const MACHINES: &[&str] = &["web", "two", "db"];

/// A statement, its machine, its number.
type Line = (usize, usize, usize);

fn script(lines: &[Line]) -> String {
    let mut script = String::from(
        "let web = vm(\"web-01\");\nlet two = vm(\"web-02\");\nlet db = vm(\"db-01\");\n",
    );
    for (statement, machine, number) in lines {
        let line = STATEMENTS[statement % STATEMENTS.len()];
        let line = line.replace('N', &(number + 1).to_string());
        let line = line.replace("M sent", "${M} sent");
        script.push_str(&line.replace('M', MACHINES[machine % MACHINES.len()]));
        script.push('\n');
    }
    script
}

fn inventory() -> Inventory {
    let entry = |needs: &[&str]| machine(&[("tier", "web")], needs);
    let machines =
        [("db-01", entry(&[])), ("web-01", entry(&["db-01"])), ("web-02", entry(&["db-01"]))];
    let machines = machines.map(|(name, entry)| (MachineName::new(name).unwrap(), entry)).into();
    Inventory { machines, ..Inventory::default() }
}

/// A plan with what it is compared by.
struct Made {
    plan: VerifiedPlan,
    estimates: Estimates,
}

impl Made {
    fn edition(&self) -> Edition<'_> {
        Edition::new(&self.plan, &self.estimates, point_of_no_return(self.plan.plan()))
    }

    fn saved(&self) -> Unproved {
        let plan_id = PlanId::new("p-1").unwrap();
        Unproved::read(&save(&self.plan, &self.estimates, &plan_id).pretty()).unwrap()
    }
}

fn made(script: String) -> Option<Made> {
    let world = MemoryWorld([("plan.rhai".into(), script)].into());
    let inventory = inventory();
    let observed = away(&inventory);
    let compiled = compile(
        &Request {
            world: &world,
            script: "plan.rhai".into(),
            params: &BTreeMap::new(),
            inventory: &inventory,
            facts: &FactLog::new(&observed),
            allocated: None,
            spent: Duration::ZERO,
        },
        &History::default(),
    );
    let plan = compiled.plan?;
    Some(Made { plan, estimates: compiled.estimates })
}

fn meaning(changes: &[Change]) -> Vec<String> {
    changes.iter().filter(|one| one.meaning).map(Change::line).collect()
}

/// Scripts of one to seven lines, what is done to them, where, and with what other line.
fn edits() -> impl Strategy<Value = (Vec<Line>, u8, usize, Line)> {
    let line = || (0..STATEMENTS.len(), 0..MACHINES.len(), 0..4_usize);
    (proptest::collection::vec(line(), 1..8), 0..4_u8, 0..8_usize, line())
}

fn edited(lines: &[Line], edit: u8, at: usize, other: Line) -> Vec<Line> {
    let (mut lines, at) = (lines.to_vec(), at % lines.len());
    match edit {
        0 => lines.insert(at, other),
        1 => drop(lines.remove(at)),
        2 => lines[at] = other,
        _ => {
            let with = other.0 % lines.len();
            lines.swap(at, with);
        }
    }
    lines
}

#[test]
fn something_is_told_exactly_where_the_digests_differ() {
    let (compared, equal, unexplained) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let config = ProptestConfig {
        cases: 64,
        max_shrink_iters: 64,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let judged = TestRunner::new(config).run(&edits(), |(lines, edit, at, other)| {
        let after = edited(&lines, edit, at, other);
        let both = (made(script(&lines)), made(script(&after)));
        let (Some(before), Some(after)) = both else { return Ok(()) };
        let same = before.plan.digest() == after.plan.digest();
        let told = change(&before.edition(), &after.edition());
        prop_assert_eq!(meaning(&told).is_empty(), same, "{:#?}\n{}", told, script(&lines));
        // Saved and read without the inventory, it is compared the same.
        let (old, new) = (before.saved(), after.saved());
        prop_assert_eq!(&change(&Edition::saved(&old), &after.edition()), &told);
        prop_assert_eq!(&change(&Edition::saved(&old), &Edition::saved(&new)), &told);
        let back = change(&after.edition(), &before.edition());
        prop_assert_eq!(meaning(&back).is_empty(), same);
        compared.set(compared.get() + 1);
        equal.set(equal.get() + u32::from(same));
        let last_resort = told.iter().any(|one| one.kind == Kind::Other);
        unexplained.set(unexplained.get() + u32::from(last_resort));
        Ok(())
    });
    judged.unwrap_or_else(|wrong| panic!("{wrong}"));
    let (compared, equal, unexplained) = (compared.get(), equal.get(), unexplained.get());
    println!("{compared} compared, {equal} equal, {unexplained} told by the last resort");
    assert!(compared > 40 && equal > 5, "{compared} compared, {equal} equal");
    assert!(unexplained * 10 < compared, "{unexplained} of {compared} not explained");
}

#[test]
fn the_statements_of_the_property_make_plans() {
    for statement in 0..STATEMENTS.len() {
        let script = script(&[(statement, 0, 1)]);
        assert!(made(script.clone()).is_some(), "{script}");
    }
}

/// The lines of meaning between two scripts.
fn lines(old: &str, new: &str) -> Vec<String> {
    let head = "let web = vm(\"web-01\");\nlet two = vm(\"web-02\");\nlet db = vm(\"db-01\");\n";
    let made = |script: &str| made(format!("{head}{script}")).expect(script);
    let (old, new) = (made(old), made(new));
    meaning(&change(&old.edition(), &new.edition()))
}

#[test]
fn what_stands_in_another_order_and_means_the_same_is_not_told() {
    assert_eq!(
        lines(
            "check(web); check(db); wait(web, \"1s\");",
            "check(db); check(web);\n\n// later\nwait(web, \"1s\");"
        ),
        [""; 0]
    );
    assert_eq!(lines("group(\"a\", || check(web));", "group(\"b\", || check(web));"), [""; 0]);
}

#[test]
fn each_kind_of_difference_has_its_words() {
    // Handles and conditions are what they are, not a number that shifted.
    assert_eq!(
        lines(
            "let s = snapshot(web); transfer_delta(s);",
            "snapshot(web); let s = snapshot(web); transfer_delta(s);"
        ),
        ["+ snapshot (web-01)"]
    );
    let sent = lines("snapshot(web);", "let s = snapshot(web); transfer_delta(s);");
    assert_eq!(sent[0], "+ transfer_delta of the snapshot web-01.snapshot.1 (web-01)");
    assert!(sent[1..].iter().all(|line| line.starts_with("+ fact ")), "{sent:#?}");
    assert_eq!(
        lines(
            "let s = snapshot(web); snapshot(web); transfer_delta(s);",
            "snapshot(web); let s = snapshot(web); transfer_delta(s);"
        ),
        ["> moved: snapshot (web-01)"]
    );
    assert_eq!(
        lines("check(web, #{ id: \"seen\" });", "check(web, #{ id: \"alive\" });"),
        ["~ check: called web-01.seen -> web-01.alive (web-01)"]
    );
    let facts = lines(
        "check(web); check(two);",
        "for m in [web, two] { if m.encrypted == false && m.away_over(\"3d\") { check(m); } }",
    );
    assert_eq!(
        facts,
        [
            "+ fact away_over(\"3d\"): true (2: web-01, web-02)",
            "+ fact encrypted: false (2: web-01, web-02)",
        ]
    );
    assert_eq!(
        lines(
            "let c = check(web, #{ assert: false }); when(c.ok, || { wait(web, \"1s\"); });",
            "let c = check(web, #{ assert: false }); when(!c.ok, || { wait(web, \"1s\"); });"
        ),
        ["~ wait: when web-01.check.1.ok -> when not web-01.check.1.ok (web-01)"]
    );
    assert_eq!(
        lines("check(web); wait(web, \"1s\");", "parallel(|| { check(web); wait(web, \"1s\"); });"),
        ["~ wait: waits no longer for web-01.check.1 (web-01)"]
    );
    assert_eq!(
        lines(
            "policy(#{ at_most: 2 }); check(web);",
            "acknowledge(\"H013\", \"so be it\"); policy(#{ at_most: 3 }); check(web);"
        ),
        ["- limit at most 2 at once", "+ limit at most 3 at once", "+ answer to H013: so be it"]
    );
}

#[test]
fn what_nothing_else_tells_is_told_by_the_steps() {
    let waits =
        |first: &str| format!("check(web, #{{ retry: #{{ attempts: 3, first: \"{first}\" }} }});");
    let told = lines(&waits("1s"), &waits("2s"));
    assert!(told.len() == 1 && told[0].contains("2.0s to "), "{told:?}");
    let limit = "policy(#{ at_most: 2 });";
    let groups = |one: &str, other: &str| {
        format!(
            "group(\"a\", || {{ {one} check(web); }}); group(\"b\", || {{ {other} check(two); }});"
        )
    };
    assert_eq!(
        lines(&groups(limit, ""), &groups("", limit)),
        [
            "~ limits, scopes, numbers or edges of web-01.check.1, web-02.check.1 (2: web-01, web-02)"
        ]
    );
}

const BEFORE: &str = "let ms = vms(\"tier=web\");\nfor m in ms { transfer_delta(snapshot(m)); }\nfor m in ms { check(m); }\n";

#[test]
fn a_saved_plan_is_compared_with_the_script_and_with_another_one() {
    let ground = Ground::new();
    ground.write("plan.rhai", BEFORE);
    ground.homing(&["plan", "plan.rhai", "--out", "old.json"]).exit(0);
    let said = ground.homing(&["plan", "plan.rhai", "--diff", "old.json"]).exit(0);
    assert!(said.out.contains("Nothing changed in what is done"), "{}", said.out);

    let after = BEFORE.replace("snapshot(m)", "snapshot(m), #{ mode: \"full\" }");
    ground.write("plan.rhai", &(after + "fail_if(check(vm(\"db-01\")).ok, \"it is up\");\n"));
    let said = ground.homing(&["plan", "plan.rhai", "--diff", "old.json", "--out", "new.json"]);
    let said = said.exit(5);
    let paired = ground.homing(&["diff", "old.json", "new.json"]).exit(5);
    for page in [&said.out, &paired.out] {
        assert!(page.contains("2: web-01, web-02"), "folded over the machines: {page}");
        assert!(page.contains("mode: \"full\"") && page.contains("+ fail_if"), "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        assert!(!page.contains('\u{1b}'), "no colour where no terminal is");
    }
    let inked = ground.homing(&["--color", "always", "diff", "old.json", "new.json"]).exit(5);
    assert!(inked.out.contains("\u{1b}["), "{}", inked.out);

    let data = ground.homing(&["diff", "old.json", "new.json", "--format", "json"]).exit(5).json();
    assert_eq!(data["changed"], true);
    let old: Value = serde_json::from_str(&ground.read("old.json")).unwrap();
    assert_eq!(
        data["old"],
        json!({ "name": "old.json", "script": "plan.rhai", "digest": old["digest"] })
    );
    let changes = data["changes"].as_array().unwrap();
    let changed = changes.iter().find(|one| one["kind"] == "step_changed").unwrap();
    assert_eq!(changed["subject"], "transfer_delta");
    assert_eq!(changed["machines"], json!(["web-01", "web-02"]));
    assert_eq!(changed["steps"], json!(["web-01.transfer_delta.1", "web-02.transfer_delta.1"]));
    assert_eq!(changed["meaning"], true);
    assert_eq!(
        (&changed["source"]["file"], &changed["source"]["line"]),
        (&json!("plan.rhai"), &json!(2))
    );
    for one in changes
        .iter()
        .filter(|one| ["downtime", "duration", "warning"].contains(&one["kind"].as_str().unwrap()))
    {
        assert_eq!(one["meaning"], false, "{one}");
    }
    let again = ["plan", "plan.rhai", "--diff", "old.json", "--format", "json"];
    assert_eq!(ground.homing(&again).exit(5).json()["changes"], data["changes"]);
}

#[test]
fn an_old_plan_is_understood_without_its_machines_and_without_an_inventory() {
    let ground = Ground::new();
    ground.write("plan.rhai", BEFORE);
    ground.homing(&["plan", "plan.rhai", "--out", "old.json"]).exit(0);
    let inventory = ground.read("homing.toml");
    let at = inventory.find("[machine.web-02]").unwrap();
    ground.write("homing.toml", &inventory[..at]);
    let said = ground.homing(&["plan", "plan.rhai", "--diff", "old.json", "--out", "new.json"]);
    let said = said.exit(5);
    for line in ["- check (web-02)", "~ machines with `tier=web`: without web-02"] {
        assert!(said.out.contains(line), "no `{line}` in\n{}", said.out);
    }
    assert!(!said.out.contains("fact replica"), "they went with their machine: {}", said.out);
    // It cannot be run, though: its machine is gone.
    ground.homing(&["run", "old.json"]).exit(3).says(&["H163", "web-02"]);
    std::fs::remove_file(ground.path().join("homing.toml")).unwrap();
    let paired = ground.homing(&["diff", "old.json", "new.json"]).exit(5);
    assert!(paired.out.contains("- check (web-02)"), "{}", paired.out);
    ground.homing(&["diff", "old.json", "old.json"]).exit(0);
}
