//! Six more situations of an operator, written from the reference alone: planned at full size, run small.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use homing::plan::effect::Effect;
use homing::plan::graph::Plan;
use homing::plan::step::Kind;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::situation::{ALIKE, Machines, Situation, inventory, steps_of};

/// A shop: databases, and web servers that need them.
const SHOP: [Machines<'static>; 2] = [
    Machines { names: "db-{01..02}", tier: "db", ..ALIKE },
    Machines { names: "web-{01..03}", tier: "web", needs: &["tier=db"], host: "hv-02", ..ALIKE },
];

/// The same with more of everything.
const LARGE_SHOP: [Machines<'static>; 2] = [
    Machines { names: "db-{01..20}", tier: "db", ..ALIKE },
    Machines { names: "web-{01..80}", tier: "web", needs: &["tier=db"], host: "hv-02", ..ALIKE },
];

/// Another script of the situations beside the one of this ground.
fn with(ground: &Situation, script: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/situations/");
    ground.write(script, &fs::read_to_string(format!("{folder}{script}")).unwrap());
}

/// Steps of a plan that a failure alone starts.
fn handlers(plan: &Value) -> BTreeSet<String> {
    let scopes = plan["scopes"].as_array().unwrap();
    let of = |scope: &Value| {
        let found = scopes.iter().find(|known| known["id"] == *scope).unwrap();
        found["kind"] == "handler"
    };
    let steps = plan["steps"].as_array().unwrap().iter();
    let in_handlers = steps.filter(|step| of(&step["scope"]));
    in_handlers.map(|step| step["id"].as_str().unwrap().to_owned()).collect()
}

/// The moments when events of that kind happened to steps of that name.
fn moments(ground: &Situation, run: &str, event: &str, step: &str) -> Vec<Timestamp> {
    let events = ground.events(run);
    let fitting = events.iter().filter(|found| {
        found["event"] == event && found["step"].as_str().is_some_and(|id| id.contains(step))
    });
    fitting.map(|found| found["at"].as_str().unwrap().parse().unwrap()).collect()
}

/// So long from now, as a parameter takes it.
fn from_now(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

#[test]
fn s07_a_night_turns_nothing_off_and_a_failure_is_its_machines_alone() {
    let full = Situation::full("07-nightly", &LARGE_SHOP);
    let plan = full.proved(&[]);
    assert_eq!(steps_of(&plan, "transfer_delta").len(), 200);
    assert_eq!(
        (&plan["gates"], &plan["point_of_no_return"]),
        (&Value::Array(vec![]), &Value::Null)
    );
    assert!(plan["machines"].as_object().unwrap().values().all(|one| one["downtime_s"] == 0.0));

    let night = Situation::small("07-nightly", &SHOP);
    let unattended = ["--resume-or-run", "--output", "jsonl"];
    night.run(&[], &[&unattended[..], &["--inject", "web-03.snapshot=permanent"]].concat()).exit(1);
    let stood = night.statuses();
    assert_eq!(stood["web-03.snapshot.1"], "failed");
    assert_eq!(stood["web-02.transfer_delta.1"], "succeeded");
    night.all_at("azure", "");
}

#[test]
fn s07_a_weekend_is_proved_for_all_machines() {
    let full = Situation::full("07-weekend", &LARGE_SHOP);
    let plan = full.proved_from("* synced_at=2026-11-21T23:00:00Z");
    assert_eq!(plan.machines().len(), 100);
    assert_eq!(count(&plan, Effect::Commit), 100);
    assert_eq!(plan.steps.iter().filter(|step| step.kind == Kind::Gate).count(), 1);
}

/// The steps of a plan with that effect.
fn count(plan: &Plan, effect: Effect) -> usize {
    plan.steps.iter().filter(|step| step.effect == effect).count()
}

#[test]
fn s07_a_weekend_builds_on_its_night_and_stays_in_its_window() {
    let weekend = Situation::small("07-weekend", &SHOP);
    with(&weekend, "07-nightly.rhai");
    // Nobody may begin what the night did not prepare.
    let refused = weekend.run(&[], &[]).exit(3);
    assert!(refused.err.contains("H146") && refused.err.contains("07-nightly"), "{}", refused.err);
    weekend.homing(&["run", "07-nightly.rhai", "--resume-or-run", "--output", "jsonl"]).exit(0);
    let plan = weekend.proved(&[]);
    assert_eq!(plan["gates"], serde_json::json!(["commit"]));
    assert_eq!(plan["point_of_no_return"], "db-01.commit.1");
    let rules = &plan["scopes"][0]["rules"];
    assert!(rules["not_before"].is_object() || rules["not_before"].is_string(), "{rules}");

    // Too late: everything stays where it is.
    let past = [format!("opens={}", from_now(-7200)), format!("closes={}", from_now(-3600))];
    let late = weekend.run(&[&past[0], &past[1], "hold=100ms"], &[]);
    assert!(late.err.contains("H350"), "{}", late.err);
    assert_eq!(late.code, 1);
    weekend.all_at("azure", "");
    weekend.homing(&["cancel", &weekend.newest_run()]);

    let (opens, closes) = (from_now(2), from_now(3600));
    let window = [format!("opens={opens}"), format!("closes={closes}")];
    weekend.run(&[&window[0], &window[1], "hold=100ms"], &[]).exit(0);
    let run = weekend.newest_run();
    let began = moments(&weekend, &run, "attempt_started", ".");
    let opens: Timestamp = opens.parse().unwrap();
    assert!(began.iter().all(|at| *at >= opens), "{began:?}");
    weekend.all_at("dc1", "");
    // The web servers stopped before their databases did, and started behind them.
    let stops =
        |tier| moments(&weekend, &run, "step_succeeded", &format!("{tier}-01.shutdown_azure"));
    assert!(stops("web")[0] < stops("db")[0]);
}

/// The shop, and a name service that writes down what it is told.
fn named_shop(disk: &str, machines: &[Machines<'_>]) -> (Situation, String) {
    let more = "\n[commands.dns]\nargv = [\"/SWITCH\", \"*\", \"*\"]\n";
    let ground = Situation::new("08-dns", &inventory(disk, machines, more));
    let program = ground.path().join("dns-switch");
    ground.write("dns-switch", "#!/bin/sh\necho \"$@\" >> names.txt\n");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let program = program.display().to_string();
    ground.edit("homing.toml", "/SWITCH", &program);
    (ground, format!("dns={program}"))
}

#[test]
fn s08_a_name_moves_between_the_tiers() {
    let (full, dns) = named_shop("1GiB", &LARGE_SHOP);
    let plan = full.proved(&[&dns]);
    assert_eq!(plan["gates"], serde_json::json!(["move", "commit"]));
    assert_eq!(plan["point_of_no_return"], "db-01.commit.1");
    assert!(handlers(&plan).contains("dns.undo"), "{:?}", handlers(&plan));

    let (shop, dns) = named_shop("2MiB", &SHOP);
    shop.run(&[&dns, "ttl=100ms"], &[]).exit(0);
    assert_eq!(shop.read("names.txt"), "db.shop onprem\n");
    shop.all_at("dc1", "");
    let run = shop.newest_run();
    let moved = moments(&shop, &run, "step_succeeded", "dns")[0];
    assert!(moments(&shop, &run, "step_succeeded", "db-02.check")[0] <= moved);
    assert!(moments(&shop, &run, "attempt_started", "web-01.start_onprem")[0] >= moved);
}

#[test]
fn s08_a_failure_behind_the_name_takes_it_back_with_the_machines() {
    let (shop, dns) = named_shop("2MiB", &SHOP);
    let fault = ["--inject", "web-02.transfer_delta.2=permanent"];
    let said = shop.run(&[&dns, "ttl=100ms"], &fault).exit(1);
    let said =
        said.says(&["Given up", "db-01, db-02: what was written on-prem", "no web server runs"]);
    assert!(!said.err.contains("LOST"), "{}", said.err);
    assert_eq!(shop.read("names.txt"), "db.shop onprem\ndb.shop cloud\n");
    shop.back_in_azure(5);
    let stood = shop.statuses();
    assert_eq!(stood["dns.undo"], "succeeded");
    assert!(!stood["db-01.commit.1"].contains("succeeded"), "{stood:?}");
}

#[test]
fn s08_a_failure_before_the_name_leaves_it_alone() {
    let (shop, dns) = named_shop("2MiB", &SHOP);
    shop.run(&[&dns, "ttl=100ms"], &["--inject", "db-02.check.1=permanent"]).exit(1);
    assert!(!shop.path().join("names.txt").exists());
    shop.back_in_azure(5);
}

#[test]
fn s08_once_orders_are_taken_at_home_nothing_goes_back() {
    let (shop, dns) = named_shop("2MiB", &SHOP);
    let said = shop.run(&[&dns, "ttl=100ms"], &["--inject", "web-02.check.2=permanent"]).exit(1);
    assert!(!said.err.contains("Given up"), "{}", said.err);
    assert_eq!(shop.read("names.txt"), "db.shop onprem\n");
    // Nothing is lost: every machine works at home, and the gate was not passed without that one.
    shop.all_at("dc1", "");
    assert_ne!(shop.statuses()["web-01.commit.1"], "succeeded");
}

const RIGHT: &str = "and another one for the web";

/// Machines under two keys.
fn vault(disk: &str, machines: &str) -> Situation {
    let under = |names, more| Machines { names, more, ..ALIKE };
    let (db, web) = (format!("db-{machines}"), format!("web-{machines}"));
    let all = [under(&db, "key = \"tier1\""), under(&web, "key = \"tier2\"")];
    let keys = "\n[key.tier1]\nfile = \"tier1.key\"\n[key.tier2]\nfile = \"tier2.key\"\n";
    let text = inventory(disk, &all, keys).replace("days ago\"", "days ago\", encrypted = true");
    let ground = Situation::new("09-encrypted", &text);
    ground.write("tier1.key", "correct horse battery staple");
    ground.write("tier2.key", RIGHT);
    ground
}

#[test]
fn s09_encrypted_disks_come_home_under_their_own_keys() {
    let plan = vault("1GiB", "{01..20}").proved(&[]);
    assert_eq!(plan["gates"], serde_json::json!(["move", "commit"]));

    let ground = vault("2MiB", "{01..02}");
    let said = ground.run(&["hold=100ms"], &["--output", "jsonl"]).exit(0);
    ground.all_at("dc1", "");
    let kept = ground.homing(&["logs", &ground.newest_run(), "--format", "json"]).exit(0).out;
    for text in [&said.out, &said.err, &kept] {
        assert!(!text.contains("horse"), "{text}");
    }
}

#[test]
fn s09_a_wrong_key_is_refused_while_the_machine_runs() {
    let ground = vault("2MiB", "{01..02}");
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("tier2.key", "not the one that they were made with");
    let said = ground.run(&["hold=100ms"], &[]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("H308"), "{}", said.err);
    assert_eq!(ground.statuses()["web-01.transfer_delta.1"], "failed");
    // To look at its disks the lab needs the right one.
    ground.write("tier2.key", RIGHT);
    ground.all_at("azure", "");
}

/// What a drill must not leave: folders of copies, their processes, snapshots.
#[track_caller]
fn nothing_is_left(ground: &Situation) {
    let hosts = fs::read_dir(ground.path().join(".homing/lab/dc1/hosts")).unwrap();
    let entries = hosts.flat_map(|host| fs::read_dir(host.unwrap().path()).unwrap());
    let copies: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".copy."))
        .collect();
    assert_eq!(copies, Vec::<PathBuf>::new());
    assert_eq!(ground.snapshots(), Vec::<String>::new());
    let said = ground.homing(&["lab", "status", "--format", "json"]).exit(0).json();
    assert_eq!(said["copies"], serde_json::json!([]), "{said}");
    // No process works in this ground but the machines, one each.
    let mine = ground.path().canonicalize().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = fs::read(entry.unwrap().path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&mine.display().to_string()).then_some(line)
    });
    let strange: Vec<String> = processes.filter(|line| line.contains(".copy.")).collect();
    assert_eq!(strange, Vec::<String>::new());
    ground.all_at("azure", "");
}

#[test]
fn s10_a_drill_leaves_nothing_whether_it_succeeds_or_fails() {
    let plan = Situation::full("10-drill", &LARGE_SHOP).proved(&[]);
    assert_eq!(steps_of(&plan, "delete_copy").len(), 100);
    assert_eq!(
        (&plan["gates"], &plan["point_of_no_return"]),
        (&Value::Array(vec![]), &Value::Null)
    );

    let drill = Situation::small("10-drill", &SHOP);
    drill.run(&["hold=200ms"], &[]).exit(0);
    nothing_is_left(&drill);
    for fault in ["web-02.start_copy=permanent", "db-01.check.2=permanent"] {
        drill.run(&["hold=200ms"], &["--inject", fault]).exit(1);
        nothing_is_left(&drill);
        assert_eq!(drill.statuses()["db-01.delete_copy.1"], "succeeded");
        drill.homing(&["cancel", &drill.newest_run()]);
    }
}

/// So many machines of one estate on both hosts, `pilot` of the first half.
fn estate(disk: &str, half: u32) -> Situation {
    let digits = if half > 99 { "001" } else { "01" };
    let names = |start: &str, from: &str, to: u32| format!("{start}-{{{from}..{to}}}");
    let (pilot, north, south) = (
        names("a", digits, half / 5),
        names("b", digits, half - half / 5),
        names("c", digits, half),
    );
    let on = |names, tier, host| Machines { names, tier, host, ..ALIKE };
    let all = [
        on(pilot.as_str(), "pilot", "hv-01"),
        on(&north, "app", "hv-01"),
        on(&south, "app", "hv-02"),
    ];
    let text = inventory(disk, &all, "");
    let text = text.replace("tags = { ", "tags = { estate = \"north\", ");
    Situation::new("11-four-hundred", &text)
}

/// Most steps of a primitive that were at work at once.
fn at_once(ground: &Situation, run: &str, primitive: &str) -> usize {
    let (mut now, mut most) = (BTreeSet::new(), 0);
    for event in ground.events(run) {
        let Some(step) = event["step"].as_str().filter(|id| id.contains(primitive)) else {
            continue;
        };
        match event["event"].as_str().unwrap() {
            "attempt_started" => now.insert(step.to_owned()),
            "step_succeeded" | "attempt_failed" => now.remove(step),
            _ => continue,
        };
        most = most.max(now.len());
    }
    most
}

#[test]
fn s11_four_hundred_machines_make_a_plan() {
    let plan = estate("1GiB", 200).proved(&[]);
    assert_eq!(plan["machines"].as_object().unwrap().len(), 400);
    assert_eq!(steps_of(&plan, "commit").len(), 400);
    assert_eq!(plan["groups"].as_array().unwrap().len(), 10);
    assert_eq!(plan["gates"], serde_json::json!(["begin"]));
    let rules = &plan["scopes"][0]["rules"];
    assert_eq!((&rules["at_most"], &rules["at_most_per_host"]), (&40.into(), &4.into()));
}

#[test]
fn s11_forty_machines_come_home_under_limits_and_those_at_home_are_skipped() {
    let ground = estate("2MiB", 20);
    ground.run(&["tags=tier=pilot", "percent=100", "hold=50ms"], &[]).exit(0);
    ground.all_at("dc1", "a");
    let plan = ground.proved(&[]);
    assert_eq!(steps_of(&plan, "commit").len(), 36);
    ground.run(&["percent=25", "at_most=6", "per_host=3", "hold=50ms"], &[]).exit(0);
    ground.all_at("dc1", "");
    let run = ground.newest_run();
    assert!((2..=6).contains(&at_once(&ground, &run, ".")), "{}", at_once(&ground, &run, "."));
    assert_eq!(ground.proved(&[])["machines"], serde_json::json!({}));
}

#[test]
fn s12_there_and_back() {
    let home = "* where=home cloud.power=off onprem.power=on protection=onprem_to_cloud";
    let plan = Situation::full("12-there-and-back", &LARGE_SHOP).proved_from(home);
    assert_eq!((plan.machines().len(), count(&plan, Effect::CommitFailover)), (100, 100));
    assert_eq!(count(&plan, Effect::Commit), 100);

    let ground = Situation::small("12-there-and-back", &SHOP);
    let homewards = "import \"std/waves\" as waves;\nlet all = vms();\nwaves::tiers(all);\n\
        for m in all { commit(m); reverse_replicate(m); }\n";
    ground.write("home.rhai", homewards);
    ground.homing(&["run", "home.rhai"]).exit(0);
    ground.all_at("dc1", "");
    let plan = ground.proved(&[]);
    assert_eq!(plan["gates"], serde_json::json!(["home"]));
    assert_eq!(plan["point_of_no_return"], "db-01.commit.1");

    // There, and a person is asked before the way back.
    let said = ground.run(&["stay=200ms"], &["--on-gate", "exit"]).exit(4);
    assert!(said.err.contains("home") || said.out.contains("home"), "{}", said.err);
    ground.all_at("azure", "");
    let run = ground.newest_run();
    ground.homing(&["approve", &run, "home"]).exit(0);
    ground.homing(&["resume", &run]).exit(0);
    ground.all_at("dc1", "");
    ground.nothing_ran_twice(&run);
    for machine in ["db-01", "web-03"] {
        let sent = ground.events(&run);
        let ways = sent.iter().filter(|e| {
            e["event"] == "step_succeeded"
                && e["step"]
                    .as_str()
                    .is_some_and(|id| id.starts_with(&format!("{machine}.transfer_delta")))
        });
        let modes: Vec<&Value> = ways.map(|e| &e["outputs"]["mode"]).collect();
        assert_eq!(modes.len(), 4);
        assert!(modes.iter().all(|mode| **mode == "delta"), "{modes:?}");
    }
}
