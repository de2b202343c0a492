//! The runbook of every script we ship and of every situation: complete, in order, and as a person reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use homing::compile::waves::waves;
use homing::compile::{compile, point_of_no_return};
use homing::plan::estimate::History;
use homing::plan::facts::FactLog;
use homing::plan::graph::Plan;
use homing::plan::inventory::Inventory;
use homing::render::Review;
use homing::render::runbook::document::Document;
use homing::render::runbook::html::html;
use homing::render::runbook::markdown::markdown;
use homing::render::runbook::{document, hands};
use homing::source::MemoryWorld;
use homing::trace::Request;

use crate::support::Ground;
use crate::support::observed::{away, told};
use crate::support::situation::{ALIKE, Machines, inventory};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn shipped() -> Inventory {
    let path = root().join("scripts/homing.toml");
    homing::config::load(Utf8Path::from_path(&path).unwrap()).inventory.unwrap()
}

/// The book of a script, and its plan.
fn book(path: &Path, inventory: &Inventory, observed: &str) -> (Plan, Document) {
    let text = std::fs::read_to_string(path).unwrap();
    let script = Utf8PathBuf::from(path.file_name().unwrap().to_str().unwrap());
    let mut facts = away(inventory);
    told(&mut facts, observed);
    let compiled = compile(
        &Request {
            world: &MemoryWorld([(script.clone(), text)].into()),
            script: &script,
            params: &BTreeMap::new(),
            inventory,
            facts: &FactLog::new(&facts),
            allocated: None,
            spent: std::time::Duration::ZERO,
        },
        &History::default(),
    );
    let wrong: Vec<_> = compiled.diagnostics.iter().filter(|one| one.is_error()).collect();
    assert!(wrong.is_empty(), "{script}: {wrong:#?}");
    let verified =
        compiled.plan.unwrap_or_else(|| panic!("{script}: {:?}", compiled.missing_hosts));
    let plan = verified.plan();
    let estimates = compiled.estimates;
    let sentences = Review::sentences(plan, inventory, &facts);
    let (waves, no_return) = (waves(plan), point_of_no_return(plan));
    let review = Review::new(&verified, &estimates, inventory, sentences, waves, no_return);
    let hands = hands(plan, inventory, &facts);
    (plan.clone(), document(&review, &hands, facts.now))
}

fn scripts_in(folder: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|end| end == "rhai")).collect();
    all.sort();
    all
}

/// Machines for every situation: a shop of three tiers, an old one, a pilot's.
fn of_situations() -> Inventory {
    let tier = |names, tier, needs| Machines { names, tier, needs, ..ALIKE };
    let machines = [
        tier("db-{01..02}", "db", &[]),
        tier("app-{01..04}", "app", &["tier=db"]),
        tier("web-{01..06}", "web", &["tier=app"]),
        Machines { names: "erp-01", days: 95, ..ALIKE },
    ];
    let more = r#"
[key.shop]
file = "shop.key"

[commands.shop]
argv = ["/usr/local/bin/shop-answers", "*"]

[commands.page]
argv = ["/usr/local/bin/page"]

[commands.dns]
argv = ["/usr/local/bin/dns-switch", "*", "*"]
"#;
    let text =
        inventory("1GiB", &machines, more).replace("tier = \"", "estate = \"north\", tier = \"");
    let loaded = homing::config::read("homing.toml", &text, ".".into());
    let mut inventory = loaded.inventory.unwrap_or_else(|| panic!("{:#?}", loaded.diagnostics));
    inventory.machines.values_mut().for_each(|machine| machine.key = Some("shop".into()));
    inventory
}

/// Situations of machines that need nobody.
const ALONE: &[&str] = &["09-encrypted", "11-four-hundred"];

/// What has to be observed, where a situation is not that of machines that are away.
fn observed(script: &str) -> &'static str {
    match script {
        "02-full-download" => "// facts: erp-01 failed_over_at=2026-08-01T00:00:00Z",
        "04-alternate-host" => "// facts: dc1/hv-02 switches=prod,lan",
        "07-weekend" => "// facts: * synced_at=2026-11-21T20:00:00Z",
        "08-dns" => {
            "// facts: app-01 where=home cloud.power=off onprem.power=on\n\
             // facts: app-02 where=home cloud.power=off onprem.power=on\n\
             // facts: app-03 where=home cloud.power=off onprem.power=on\n\
             // facts: app-04 where=home cloud.power=off onprem.power=on"
        }
        "09-encrypted" => "// facts: * encrypted=true",
        "12-there-and-back" => {
            "// facts: * where=home cloud.power=off onprem.power=on protection=onprem_to_cloud"
        }
        _ => "",
    }
}

/// Each step exactly once, by itself or in a counted table, and never before what it waits for.
#[track_caller]
fn is_whole(plan: &Plan, document: &Document) {
    let by_id = plan.by_id();
    let mut place = vec![None; plan.steps.len()];
    for (at, task) in document.tasks().into_iter().enumerate() {
        assert!(!task.title.plain().contains(['{', '}']), "{:?}", task.title);
        for id in &task.steps {
            assert_eq!(place[by_id[id].at()].replace(at), None, "{id} stands there twice");
        }
    }
    for (ix, step) in plan.iter() {
        let own = place[ix.at()].unwrap_or_else(|| panic!("{} is missing", step.id));
        for (before, _) in step.edges() {
            let before = place[before.at()].unwrap();
            assert!(before < own, "{}: {before} is not before {own}", step.id);
        }
    }
    let page = markdown(document);
    let unfolded = document.tasks().into_iter().filter(|task| task.steps.len() == 1);
    for task in unfolded {
        let id = format!("(`{}`)", task.steps[0]);
        assert_eq!(page.matches(&id).count(), 1, "{id}");
    }
    assert!(html(document).ends_with("</html>\n"));
}

#[test]
fn every_step_of_every_script_stands_in_its_book_once_and_behind_what_it_needs() {
    let mut steps = 0;
    for path in scripts_in("scripts") {
        let (plan, document) = book(&path, &shipped(), "");
        is_whole(&plan, &document);
        steps += plan.steps.len();
    }
    let inventory = of_situations();
    for path in scripts_in("tests/situations") {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut inventory = inventory.clone();
        if ALONE.contains(&name) {
            inventory.machines.values_mut().for_each(|machine| machine.needs.clear());
        }
        let (plan, document) = book(&path, &inventory, observed(name));
        is_whole(&plan, &document);
        steps += plan.steps.len();
    }
    assert!(steps > 500, "{steps}");
}

#[test]
fn the_whole_lab_by_tiers_on_paper() {
    let (_, document) = book(&root().join("scripts/failback.rhai"), &shipped(), "");
    insta::assert_snapshot!(markdown(&document));
}

#[test]
fn a_way_back_a_command_and_a_word_to_somebody_on_paper() {
    let path = root().join("tests/situations/06-rollback.rhai");
    let (_, document) = book(&path, &of_situations(), "");
    insta::assert_snapshot!(markdown(&document));
}

#[test]
fn a_book_is_printed_or_written_whole_and_a_saved_plan_needs_no_site() {
    let ground = Ground::new();
    let said = ground.homing(&["runbook", "failback.rhai"]).exit(0);
    assert!(said.out.starts_with("# Runbook of failback.rhai\n"), "{}", said.out);
    let page = ground.homing(&["runbook", "failback.rhai", "--format", "html"]).exit(0).out;
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    ground.write("book.html", "an older one");
    let args = ["runbook", "std/failback", "-p", "machine=web-01", "--out", "book.html"];
    ground.homing(&args).exit(0).says(&["wrote `book.html`"]);
    assert!(ground.read("book.html").contains("Runbook of std/failback"));

    ground.homing(&["plan", "failback.rhai", "--out", "plan.json"]).exit(0);
    let saved = ground.homing(&["runbook", "plan.json"]).exit(0).out;
    assert!(saved.contains("those of the saved plan") && saved.contains("azure onto the replica"));
    ground.homing(&["runbook", "plan.json", "-p", "tier=web"]).exit(2).says(&["cannot change"]);

    let refused = ground.homing(&["runbook", "failback.rhai", "--out", "nowhere/book.md"]).exit(2);
    refused.says(&["cannot write `nowhere/book.md`"]);
    std::fs::create_dir(ground.path().join("taken.md")).unwrap();
    ground.homing(&["runbook", "failback.rhai", "--out", "taken.md"]).exit(2).says(&["taken.md"]);
    let left: Vec<_> = std::fs::read_dir(ground.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".taken") || name.starts_with(".book"))
        .collect();
    assert_eq!(left, Vec::<String>::new(), "nothing half-written is left");
}
