//! The dry run of every script we ship, over the inventory we ship and machines that are away: what a
//! reviewer reads.

use std::collections::BTreeSet;
use std::path::Path;

use camino::Utf8Path;
use homing::compile::waves::waves;
use homing::compile::{compile, point_of_no_return};
use homing::plan::estimate::History;
use homing::plan::facts::FactLog;
use homing::plan::inventory::Inventory;
use homing::render::Review;
use homing::render::style::Style;
use homing::render::text::{By, text};
use homing::source::MemoryWorld;
use homing::trace::{Request, stdlib_docs};

use crate::support::observed::{away, told};

/// Most columns of a page.
const COLUMNS: usize = 80;

fn scripts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts"))
}

fn inventory() -> Inventory {
    let path = scripts().join("homing.toml");
    let loaded = homing::config::load(Utf8Path::from_path(&path).unwrap());
    assert_eq!(loaded.diagnostics, []);
    loaded.inventory.unwrap()
}

/// The page of `homing plan`, and holds it to what every page promises.
fn page(script: &str, given: &[(&str, &str)], observed: &str) -> String {
    let text = std::fs::read_to_string(scripts().join(script)).unwrap_or_default();
    let (page, mistakes) = compiled(script, &text, given, observed);
    assert_eq!(mistakes, Vec::<String>::new(), "{script}");
    page
}

/// The page of a script's text, empty where it was refused; and what was found, by code and message.
fn compiled(
    script: &str,
    text_of_it: &str,
    given: &[(&str, &str)],
    observed: &str,
) -> (String, Vec<String>) {
    let world = MemoryWorld([(script.into(), text_of_it.to_owned())].into());
    let inventory = inventory();
    let mut facts = away(&inventory);
    told(&mut facts, observed);
    let params = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let compiled = compile(
        &Request {
            world: &world,
            script: script.into(),
            params: &params,
            inventory: &inventory,
            facts: &FactLog::new(&facts),
            allocated: None,
            spent: std::time::Duration::ZERO,
        },
        &History::default(),
    );
    let found = compiled.diagnostics.iter().map(|one| format!("{}: {}", one.code, one.message));
    let found = found.collect();
    let Some(verified) = compiled.plan else { return (String::new(), found) };
    let plan = verified.plan();
    let estimates = compiled.estimates;
    let sentences = Review::sentences(plan, &inventory, &facts);
    let (waves, no_return) = (waves(plan), point_of_no_return(plan));
    let review = Review::new(&verified, &estimates, &inventory, sentences, waves, no_return);
    let page = text(&review, By::Wave, Style::PLAIN);
    let wide: Vec<&str> = page.lines().filter(|line| line.chars().count() > COLUMNS).collect();
    assert_eq!(wide, Vec::<&str>::new(), "{script}");
    (page, found)
}

/// Every function of the standard library, each used as its own text says. `main` is what `homing run
/// std/failback -p machine=web-01` traces.
const LIBRARY: &[(&str, &str)] = &[
    ("std/checks::port", "checks::port(vm(\"web-01\"), 443);"),
    ("std/checks::settled", "checks::settled(vm(\"web-01\"), \"5m\");"),
    ("std/checks::web", "checks::web(vm(\"web-01\"), \"/health\");"),
    ("std/decide::keep", "decide::keep(vms(\"tier=web\"), \"onprem\", #{ grace: \"1m\" });"),
    ("std/decide::main", "-p machines=web-01 -p keep=cloud"),
    ("std/drill::main", "-p machine=web-01"),
    ("std/drill::rehearse", "drill::rehearse(vm(\"web-01\"));"),
    ("std/failback::main", "-p machine=web-01"),
    ("std/failback::planned", "failback::planned(vm(\"web-01\"), #{ grace: \"3m\" });"),
    (
        "std/failback::switch_over",
        "let web = vm(\"web-01\");\nfailback::synchronize(web);\n\
         failback::switch_over(web, #{ check: |m| check(m, #{ hold: \"30s\" }) });",
    ),
    (
        "std/failback::synchronize",
        "for m in vms(\"\") { failback::synchronize(m, #{ bandwidth: \"50MiB/s\" }); }",
    ),
    (
        "std/failback::to_alternate_host",
        "failback::to_alternate_host(vm(\"web-02\"), #{ host: \"hv-01\", network: \"prod\" });",
    ),
    ("std/failover::main", "-p machine=web-01"),
    ("std/failover::planned", "failover::planned(vm(\"web-01\"));"),
    ("std/failover::switch_over", "failover::switch_over(vm(\"web-01\"));"),
    ("std/failover::synchronize", "failover::synchronize(vm(\"web-01\"));"),
    (
        "std/rollback::back",
        "rollback::back([vm(\"web-01\"), vm(\"web-02\")], #{ gate: false, grace: \"1m\" });",
    ),
    ("std/rollback::main", "-p machines=web-01,web-02"),
    (
        "std/waves::canary",
        "let o = #{ first: 1, hold: \"5m\", size: 2 };\n\
         waves::canary(vms(\"\"), o, |m| failback::synchronize(m));",
    ),
    (
        "std/waves::run",
        "waves::run(vms(\"\"), #{ size: 2, max_failed: 1 }, |m| failback::synchronize(m));",
    ),
    ("std/waves::tiers", "waves::tiers(vms(\"\"), #{ check: |m| check(m, #{ every: \"5s\" }) });"),
];

fn of_library(function: &str, uses: &str) -> (String, Vec<String>) {
    let (module, name) = function.split_once("::").unwrap();
    let observed = match module {
        // A failover begins at home.
        "std/failover" => {
            "// facts: web-01 where=home cloud.power=off onprem.power=on protection=onprem_to_cloud"
        }
        // A side that was given up is back, and runs.
        "std/decide" => {
            "// facts: web-01 where=home cloud.power=on onprem.power=on commit=committed\n\
             // facts: web-02 where=cloud cloud.power=on onprem.power=on"
        }
        // One machine was switched over, and the other one only stopped.
        "std/rollback" => {
            "// facts: web-01 where=home cloud.power=off onprem.power=on commit=pending\n\
             // facts: web-02 cloud.power=off"
        }
        _ => "",
    };
    if name == "main" {
        let given = uses.split("-p ").filter_map(|given| given.trim().split_once('='));
        return compiled(module, "", &given.collect::<Vec<_>>(), observed);
    }
    let modules: BTreeSet<String> = stdlib_docs().into_iter().map(|one| one.module).collect();
    let used = modules.iter().filter_map(|module| {
        let short = module.strip_prefix("std/")?;
        uses.contains(&format!("{short}::")).then(|| format!("import \"{module}\" as {short};\n"))
    });
    let text = format!("{}{uses}\n", used.collect::<String>());
    compiled("library.rhai", &text, &[], observed)
}

#[test]
fn every_function_of_the_library_has_a_page_here() {
    let there: BTreeSet<String> =
        stdlib_docs().iter().map(|one| format!("{}::{}", one.module, one.name)).collect();
    let here: BTreeSet<String> = LIBRARY.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(here, there, "each needs a line in LIBRARY, and its snapshot");
    for (name, uses) in LIBRARY {
        let (page, mistakes) = of_library(name, uses);
        assert_eq!(mistakes, Vec::<String>::new(), "{name}");
        insta::assert_snapshot!(name.replace("::", ".").replace('/', "."), page);
    }
}

#[test]
fn every_script_we_ship_has_a_page_here() {
    let shipped = std::fs::read_dir(scripts()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = shipped
        .filter(|path| path.extension().is_some_and(|extension| extension == "rhai"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    let here =
        ["alternate-host", "commit", "failback", "failback-one", "full-download", "qemu-drill"];
    assert_eq!(names, here);
}

#[test]
fn the_drill_with_real_guests() {
    insta::assert_snapshot!(page("qemu-drill.rhai", &[], ""));
}

#[test]
fn the_whole_lab_by_tiers() {
    insta::assert_snapshot!(page("failback.rhai", &[], ""));
}

#[test]
fn one_tier() {
    insta::assert_snapshot!(page("failback.rhai", &[("tier", "db")], ""));
}

#[test]
fn everybody_is_home() {
    let home = "// facts: * where=home cloud.exists=false cloud.power=off onprem.power=on";
    insta::assert_snapshot!(page("failback.rhai", &[], home));
}

#[test]
fn one_machine_by_hand() {
    insta::assert_snapshot!(page("failback-one.rhai", &[], ""));
}

#[test]
fn another_host() {
    let given = [("machine", "web-02"), ("host", "hv-01")];
    insta::assert_snapshot!(page("alternate-host.rhai", &given, ""));
}

#[test]
fn everything_in_the_downtime() {
    insta::assert_snapshot!(page("full-download.rhai", &[], ""));
}

#[test]
fn a_commit_that_was_left_open() {
    let open = "// facts: * where=home cloud.power=off onprem.power=on commit=pending";
    insta::assert_snapshot!(page("commit.rhai", &[], open));
}
