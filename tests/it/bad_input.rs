//! Bad input: a clear error with a code, the right exit code, and nothing lost.

use crate::support::Ground;

/// A script, the exit code of `check`, and what it must say.
const SCRIPTS: &[(&str, i32, &[&str])] = &[
    ("let x = ;", 3, &["H1", "bad.rhai:1"]),
    ("snapshto(vm(\"web-01\"));", 3, &["did you mean `snapshot`"]),
    ("snapshot(vm(\"web-1\"));", 3, &["did you mean `web-01`"]),
    ("transfer_delta(vm(\"web-01\"), #{ mod: \"full\" });", 3, &["did you mean `mode`"]),
    ("import \"bad\" as me;", 3, &["circular"]),
    ("import \"../out\" as out;", 3, &["H1"]),
    ("commit(vm(\"web-01\"));", 3, &["H004", "bad.rhai:1:1"]),
    (
        "let m = vm(\"web-01\");\nshutdown_azure_vm(m);\nstart_onprem_vm(m);",
        3,
        &["H002", "bad.rhai:3:1"],
    ),
    ("start_onprem_vm(vm(\"web-01\"));", 3, &["H001", "bad.rhai:1:1"]),
    ("reverse_replicate(vm(\"web-01\"));", 3, &["H006", "bad.rhai:1:1"]),
];

#[test]
fn scripts_are_refused_at_their_line() {
    let ground = Ground::new();
    for (script, code, parts) in SCRIPTS {
        ground.write("bad.rhai", script);
        ground.homing(&["check", "bad.rhai"]).exit(*code).says(parts);
        ground.homing(&["run", "bad.rhai"]).exit(*code);
    }
    assert!(!ground.path().join(".homing").exists(), "nothing was created");
}

#[test]
fn usage_and_inventory_end_with_2() {
    let ground = Ground::new();
    ground.homing(&["run", "nothing.rhai"]).exit(2).says(&["H150", "nothing.rhai"]);
    ground.homing(&["lab", "verify"]).exit(2).says(&["H345", "homing lab init"]);
    ground
        .homing(&["check", "failback.rhai", "-p", "teir=web"])
        .exit(2)
        .says(&["did you mean `tier`"]);
    ground.homing(&["check", "failback.rhai", "-p", "tier"]).exit(2);
    let unsaid = ["cancel", "r-unknown", "--reason", " "];
    ground.homing(&unsaid).exit(2).says(&["say why"]);
    ground.homing(&["resume", "r-unknown"]).exit(2).says(&["H340", "there are no runs"]);
    let edits: &[(&str, &str, &str)] = &[
        ("writes_per_second = 100", "writes_per_sec = 100", "writes_per_sec"),
        ("\"8MiB\", \"4MiB\"", "\"8Mib/x\"", "H205"),
        ("cloud = \"azure\"", "cloud = \"azur\"", "did you mean `azure`"),
        ("tags = { tier = \"db\" }", "tag = { tier = \"db\" }", "did you mean `tags`"),
        ("provider = \"lab\"", "provider = \"azure\"", "H230"),
    ];
    let good = ground.read("homing.toml");
    for (from, to, part) in edits {
        ground.edit("homing.toml", from, to);
        ground.homing(&["check", "failback.rhai"]).exit(2).says(&[part, "homing.toml:"]);
        ground.write("homing.toml", &good);
    }
}

#[test]
fn a_saved_plan_is_refused_when_a_byte_or_a_fact_changed_and_runs_once() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    let plan = ["plan", "failback-one.rhai", "-p", "machine=web-01", "--out", "plan.json"];
    ground.homing(&plan).exit(0);
    let text = ground.read("plan.json");
    let at = text.find("web-01").unwrap() + 5;
    let mut edited = text.clone().into_bytes();
    edited[at] = b'2';
    ground.write("edited.json", std::str::from_utf8(&edited).unwrap());
    ground.homing(&["run", "edited.json", "--approve", "all"]).exit(3).says(&["H16"]);
    ground.homing(&["run", "plan.json", "--approve", "all"]).exit(0);
    ground.homing(&["run", "plan.json", "--approve", "all"]).exit(2).says(&["--again"]);
    // The same machine in another plan, saved before it came home.
    ground.homing(&["lab", "reset", "--yes"]).exit(0);
    ground.homing(&["lab", "init"]).exit(0);
    ground.homing(&plan).exit(0);
    ground
        .homing(&["run", "failback-one.rhai", "-p", "machine=web-01", "--approve", "all"])
        .exit(0);
    ground
        .homing(&["run", "plan.json", "--approve", "all"])
        .exit(5)
        .says(&["H342", "web-01", "cloud"]);
}

#[test]
fn a_state_folder_that_cannot_be_written_ends_with_74() {
    let ground = Ground::new();
    ground.write("file", "in the way");
    ground.homing(&["lab", "init"]).exit(0);
    let said = ground.homing(&["run", "failback.rhai", "--state", "file/state"]);
    said.exit(74).says(&["H343", "file/state"]);
}
