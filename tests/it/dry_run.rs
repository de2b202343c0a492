//! The dry run of every script we ship, over the inventory we ship and machines that are away: what a
//! reviewer reads.

use std::path::Path;

use camino::Utf8Path;
use homing::compile::estimate::estimate;
use homing::compile::waves::waves;
use homing::compile::{compile, point_of_no_return};
use homing::plan::estimate::History;
use homing::plan::facts::FactLog;
use homing::plan::inventory::Inventory;
use homing::render::Review;
use homing::render::style::Style;
use homing::render::text::text;
use homing::source::MemoryWorld;
use homing::trace::Request;

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
    let path = scripts().join(script);
    let files = std::fs::read_to_string(&path).into_iter().map(|text| (script.into(), text));
    let world = MemoryWorld(files.collect());
    let inventory = inventory();
    let mut facts = away(&inventory);
    told(&mut facts, observed);
    let params = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let compiled = compile(&Request {
        world: &world,
        script: script.into(),
        params: &params,
        inventory: &inventory,
        facts: &FactLog::new(&facts),
        allocated: None,
    });
    assert_eq!(compiled.diagnostics, [], "{script}");
    let verified = compiled.plan.unwrap();
    let plan = verified.plan();
    let estimates = estimate(&verified, &inventory, &facts, &History::default());
    let sentences = Review::sentences(plan, &inventory, &facts);
    let (waves, no_return) = (waves(plan), point_of_no_return(plan));
    let review = Review::new(&verified, &estimates, &inventory, sentences, waves, no_return);
    let page = text(&review, Style::PLAIN);
    let wide: Vec<&str> = page.lines().filter(|line| line.chars().count() > COLUMNS).collect();
    assert_eq!(wide, Vec::<&str>::new(), "{script}");
    page
}

#[test]
fn every_script_we_ship_has_a_page_here() {
    let shipped = std::fs::read_dir(scripts()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = shipped
        .filter(|path| path.extension().is_some_and(|extension| extension == "rhai"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["alternate-host", "commit", "failback", "failback-one", "full-download"]);
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

#[test]
fn the_library_without_a_script() {
    insta::assert_snapshot!(page("std/failback", &[("machine", "db-01")], ""));
}
