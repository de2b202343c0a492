//! Six situations of an operator, written from the reference alone: planned at full size with the defaults,
//! and run on small disks with short waits, the ways back too.

use serde_json::Value;

use crate::support::Said;
use crate::support::situation::{ALIKE, Machines, Situation, inventory, steps_of};

/// The steps of the plan with that primitive, each with its machine.
fn machines_of(plan: &Value, primitive: &str) -> Vec<String> {
    steps_of(plan, primitive).iter().map(|id| id.split('.').next().unwrap().to_owned()).collect()
}

fn arg(plan: &Value, step: &str, name: &str) -> Value {
    let steps = plan["steps"].as_array().unwrap();
    let found = steps.iter().find(|one| one["id"] == step).unwrap_or_else(|| panic!("no {step}"));
    found["args"][name].clone()
}

const WEB: Machines<'static> = Machines { names: "web-01", ..ALIKE };

#[test]
fn one_machine_comes_home_by_delta() {
    let plan = Situation::full("01-one-machine", &[WEB]).proved(&[]);
    assert_eq!(plan["gates"], serde_json::json!(["switch", "commit"]));
    assert_eq!(plan["point_of_no_return"], "web-01.commit.1");
    for transfer in steps_of(&plan, "transfer_delta") {
        assert_eq!(arg(&plan, &transfer, "mode"), "delta", "{transfer}");
    }

    let one = Situation::small("01-one-machine", &[WEB]);
    one.run(&["patience=20s"], &[]).exit(0);
    one.all_at("dc1", "web");
    one.nothing_ran_twice(&one.newest_run());
    assert_eq!(one.statuses()["web-01.start_azure_vm.1"], "skipped");
}

#[test]
fn after_three_months_everything_is_downloaded_before_the_downtime() {
    let away = |days| [Machines { names: "erp-01", tier: "erp", days, ..ALIKE }];
    let plan = Situation::full("02-full-download", &away(95)).proved(&[]);
    assert_eq!(arg(&plan, "erp-01.download", "mode"), "full");
    assert_eq!(arg(&plan, "erp-01.transfer_delta.1", "mode"), "delta");
    assert_eq!(plan["gates"], serde_json::json!(["switch", "commit"]));

    let fresh = Situation::full("02-full-download", &away(80));
    fresh.homing(&["plan", "02-full-download.rhai"]).exit(3).says(&["H146", "less than three"]);

    let erp = Situation::small("02-full-download", &away(95));
    erp.run(&["patience=20s"], &[]).exit(0);
    erp.all_at("dc1", "erp");
    let events = erp.events(&erp.newest_run());
    let download = events
        .iter()
        .find(|event| event["event"] == "step_succeeded" && event["step"] == "erp-01.download");
    assert_eq!(download.expect("the download")["outputs"]["mode"], "full", "{events:#?}");
}

/// Two databases, four application servers that need them, six web servers that need those.
fn shop() -> [Machines<'static>; 3] {
    let tier = |names, tier, needs| Machines { names, tier, needs, ..ALIKE };
    [
        tier("db-{01..02}", "db", &[]),
        tier("app-{01..04}", "app", &["tier=db"]),
        tier("web-{01..06}", "web", &["tier=app"]),
    ]
}

const SHORT: [&str; 5] =
    ["warm_db=300ms", "warm_app=300ms", "warm_web=300ms", "look=100ms", "patience=20s"];

#[test]
fn a_shop_of_three_tiers_comes_home_tier_by_tier() {
    let plan = Situation::full("03-three-tiers", &shop()).proved(&[]);
    assert_eq!(plan["gates"], serde_json::json!(["close", "tier-2", "tier-3", "open", "commit"]));
    assert_eq!(plan["machines"].as_object().unwrap().len(), 12);
    assert_eq!(arg(&plan, "db-01.check.1", "hold"), "10m");
    assert_eq!(arg(&plan, "web-06.check.1", "hold"), "2m");
    assert_eq!(steps_of(&plan, "commit").len(), 12);

    let shop = Situation::small("03-three-tiers", &shop());
    shop.run(&SHORT, &[]).exit(0);
    for tier in ["db", "app", "web"] {
        shop.all_at("dc1", tier);
    }
    // The order in which they started: no tier before the one that it needs.
    let events = shop.events(&shop.newest_run());
    let started = events.iter().filter(|event| event["event"] == "step_succeeded");
    let started: Vec<&str> = started
        .map(|event| event["step"].as_str().unwrap())
        .filter(|step| step.contains("start_onprem_vm"))
        .map(|step| step.split('-').next().unwrap())
        .collect();
    assert_eq!(started, [&["db"; 2][..], &["app"; 4], &["web"; 6]].concat());
}

#[test]
fn one_web_server_that_does_not_warm_up_takes_the_whole_shop_back() {
    let shop = Situation::small("03-three-tiers", &shop());
    let said = shop.run(&SHORT, &["--inject", "web-04.check.1=permanent"]).exit(1);
    says_what_it_gave_up(said, "the shop is closed until the gate");
    shop.back_in_azure(12);
    let statuses = shop.statuses();
    assert!(!statuses.iter().any(|(id, status)| id.contains("commit") && status == "succeeded"));
    let back = statuses.iter().filter(|(id, _)| id.contains("start_azure_vm"));
    assert!(back.clone().count() == 12 && back.clone().all(|(_, s)| s == "succeeded"));
}

/// A run that went back does not call everything safe: it says what it gave up, and by which answer.
#[track_caller]
fn says_what_it_gave_up(said: Said, answer: &str) -> Said {
    let said = said.says(&[
        "a way back gave writes up",
        "Given up",
        "H016",
        "given up on a way back",
        answer,
    ]);
    for word in ["LOST", "its data safe"] {
        assert!(!said.err.contains(word), "{}", said.err);
    }
    said
}

#[test]
fn a_gate_that_is_refused_takes_the_whole_shop_back() {
    let shop = Situation::small("03-three-tiers", &shop());
    shop.run(&SHORT, &["--approve", "close", "--on-gate", "exit"]).exit(4);
    let run = shop.newest_run();
    shop.homing(&["reject", &run, "tier-2"]).exit(0);
    shop.homing(&["resume", &run]).exit(10);
    shop.back_in_azure(12);
    let statuses = shop.statuses();
    assert_eq!(statuses["db-01.start_onprem_vm.1"], "succeeded");
    assert_eq!(statuses["app-01.start_onprem_vm.1"], "blocked");
    assert_eq!(statuses["app-01.start_azure_vm.1"], "succeeded");
}

#[test]
fn another_host_takes_the_machine() {
    let plan = Situation::full("04-alternate-host", &[WEB]).proved(&[]);
    assert_eq!(arg(&plan, "web-01.create_onprem_vm.1", "host"), "hv-02");
    assert_eq!(plan["point_of_no_return"], "web-01.commit.1");
    assert_eq!(plan["gates"], serde_json::json!(["web-01-complete", "web-01-commit"]));

    let other = Situation::small("04-alternate-host", &[WEB]);
    other.run(&["patience=20s"], &[]).exit(0);
    other.all_at("dc1", "web");
    assert!(other.path().join(".homing/lab/dc1/hosts/hv-02/web-01").exists());
    // From now on that host is its home.
    let again = other.homing(&["plan", "04-alternate-host.rhai"]).exit(3);
    again.says(&["H146", "lives on hv-02 already"]);
}

fn web(names: &'static str) -> [Machines<'static>; 1] {
    [Machines { names, ..ALIKE }]
}

#[test]
fn a_canary_holds_out_and_the_others_follow_in_waves() {
    let plan = Situation::full("05-canary", &web("web-{001..201}")).proved(&[]);
    assert_eq!(plan["point_of_no_return"], Value::Null);
    assert_eq!(arg(&plan, "web-001.check.2", "hold"), "30m");
    let groups = plan["groups"].as_array().unwrap();
    // The canary, and 200 machines twenty by twenty.
    assert_eq!(groups.len(), 11, "{groups:#?}");

    let small = Situation::small("05-canary", &web("web-{01..11}"));
    small.run(&["hold=500ms", "patience=20s"], &[]).exit(0);
    small.all_at("dc1", "web");
}

#[test]
fn a_failure_in_a_wave_is_the_last_wave() {
    let small = Situation::small("05-canary", &web("web-{01..11}"));
    let fault = ["--inject", "web-05.check.1=permanent"];
    small.run(&["hold=500ms", "patience=20s"], &fault).exit(1);
    let found = small.whereabouts();
    let home: Vec<&str> =
        found.iter().filter(|(_, at)| *at == "dc1").map(|(name, _)| name.as_str()).collect();
    assert_eq!(home, ["web-01", "web-02", "web-03", "web-04", "web-05"]);
    let statuses = small.statuses();
    // Its synchronization goes one wave ahead, and no further.
    assert_eq!(statuses["web-06.transfer_delta.1"], "succeeded");
    assert_eq!(statuses["web-06.shutdown_azure_vm.1"], "blocked");
    assert_eq!(statuses["web-08.snapshot.1"], "blocked");
}

#[test]
fn a_canary_that_does_not_hold_out_is_alone() {
    let small = Situation::small("05-canary", &web("web-{01..03}"));
    let fault = ["--inject", "web-01.check.2=permanent"];
    small.run(&["hold=500ms", "patience=20s"], &fault).exit(1);
    let found = small.whereabouts();
    assert_eq!(
        (&*found["web-01"], &*found["web-02"], &*found["web-03"]),
        ("dc1", "azure", "azure")
    );
}

/// The shop's own program answers as told, and a page is a file.
fn with_shop(disk: &str, answer: &str) -> Situation {
    let programs = r#"
[commands.shop]
argv = ["ANSWER", "*"]

[commands.page]
argv = ["PAGE"]
"#;
    let page = if disk == "2MiB" { "/bin/true" } else { "/usr/local/bin/page" };
    let programs = programs.replace("ANSWER", answer).replace("PAGE", page);
    Situation::new("06-rollback", &inventory(disk, &[WEB], &programs))
}

#[test]
fn an_application_that_does_not_answer_at_home_goes_on_in_azure() {
    let plan = with_shop("1GiB", "/usr/local/bin/shop-answers").proved(&[]);
    assert_eq!(plan["gates"], serde_json::json!(["switch", "open", "commit"]));
    assert_eq!(machines_of(&plan, "start_azure_vm"), ["web-01"]);
    assert_eq!(plan["point_of_no_return"], "web-01.commit.1");

    let bad = with_shop("2MiB", "/bin/false");
    let said = bad.run(&["answers=/bin/false", "page=/bin/true", "patience=300ms"], &[]).exit(1);
    says_what_it_gave_up(said, "no user reaches the machine")
        .says(&["homing cancel", "homing plan 06-rollback.rhai"]);
    bad.back_in_azure(1);
    let status = bad.homing(&["status", "--format", "json"]).exit(0).json();
    let web = &status["machines"][0];
    assert_eq!((&web["gave_up"], &web["data_safe"]), (&"onprem".into(), &false.into()), "{web}");
    let statuses = bad.statuses();
    for (step, status) in [
        ("web-01.application", "failed"),
        ("web-01.shutdown_onprem_vm.1", "succeeded"),
        ("web-01.back-in-azure", "succeeded"),
        ("web-01.notify.1", "succeeded"),
        ("web-01.commit.1", "blocked"),
    ] {
        assert_eq!(statuses[step], status, "{step}");
    }
}

#[test]
fn an_application_that_answers_at_home_stays_there() {
    let good = with_shop("2MiB", "/bin/true");
    good.run(&["answers=/bin/true", "page=/bin/true", "patience=20s"], &[]).exit(0);
    good.all_at("dc1", "web");
    assert_eq!(good.statuses()["web-01.start_azure_vm.1"], "skipped");
}
