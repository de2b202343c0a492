//! Rehearsals through the whole product: whatever becomes of one, neither a copy, nor its process, nor a
//! snapshot is left, and the machine goes on.

use std::fs;
use std::path::PathBuf;

use crate::support::Ground;

/// The folders of copies.
fn copies(ground: &Ground) -> Vec<PathBuf> {
    let hosts = fs::read_dir(ground.path().join(".homing/lab/dc1/hosts")).unwrap();
    let entries = hosts.flat_map(|host| fs::read_dir(host.unwrap().path()).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().contains(".copy.")).collect()
}

/// The lock of the only copy there is: its process holds it for as long as it lives.
fn life(ground: &Ground) -> fs::File {
    let [copy] = copies(ground).try_into().expect("one copy");
    fs::File::open(copy.join("lock")).unwrap()
}

#[track_caller]
fn nothing_is_left(ground: &Ground) {
    assert_eq!(copies(ground), Vec::<PathBuf>::new());
    assert_eq!(ground.snapshots(), Vec::<String>::new());
    let said = ground.homing(&["lab", "status", "--format", "json"]).exit(0).json();
    assert_eq!(said["copies"], serde_json::json!([]), "{said}");
    for machine in ground.verified() {
        assert_eq!(machine["running_on"], "azure", "{machine}");
    }
}

const DRILL: [&str; 6] = ["run", "std/drill", "-p", "machine=web-01", "-p", "hold=300ms"];

#[test]
fn a_rehearsal_needs_no_script_and_leaves_nothing() {
    let ground = Ground::new();
    let said = ground.homing(&[&DRILL[..], &["--output", "jsonl"]].concat()).exit(0);
    let done = |step: &str| {
        said.lines().iter().any(|e| e["event"] == "step_succeeded" && e["step"] == step)
    };
    assert!(done("web-01.start_copy.1") && done("web-01.delete_copy.1"), "{}", said.out);
    nothing_is_left(&ground);
}

#[test]
fn a_rehearsal_that_fails_anywhere_leaves_nothing() {
    for (step, fault) in [
        ("web-01.start_copy", "permanent"),
        ("web-01.check", "permanent"),
        ("web-01.start_copy", "fail:2"),
        ("web-01.delete_copy", "fail:2"),
    ] {
        let ground = Ground::new();
        let inject = format!("{step}={fault}");
        let said = ground.homing(&[&DRILL[..], &["--inject", &inject]].concat());
        said.exit(if fault == "permanent" { 1 } else { 0 });
        nothing_is_left(&ground);
    }
}

#[test]
fn a_check_of_the_copy_that_does_not_hold_fails_the_rehearsal_only() {
    let ground = Ground::new();
    ground.write(
        "drill.rhai",
        r#"import "std/drill" as drill;
           let m = vm("web-01");
           drill::rehearse(m, #{ host: "hv-02", check: |copy| {
               check(copy);
               fail_if(check(copy, #{ hold: "200ms" }).ok, "the application does not know its name");
           } });"#,
    );
    let said = ground.homing(&["run", "drill.rhai"]).exit(1);
    said.says(&["does not know its name"]);
    nothing_is_left(&ground);
    ground.homing(&["cancel", &ground.newest_run()]).exit(0);
    ground.edit("drill.rhai", "\"hv-02\"", "\"hv-02\", network: \"prod\"");
    ground.homing(&["run", "drill.rhai"]).exit(3).says(&["H012", "isolated switch"]);
    nothing_is_left(&ground);
}

#[test]
fn a_rehearsal_that_was_killed_is_resumed_and_leaves_nothing() {
    let drill = [&DRILL[..], &["--output", "jsonl"]].concat();
    for (event, step) in [
        ("attempt_started", "snapshot"),
        ("attempt_started", "start_copy"),
        ("step_succeeded", "start_copy"),
        ("attempt_started", "check"),
        ("attempt_started", "delete_copy"),
        ("step_succeeded", "delete_copy"),
    ] {
        let ground = Ground::new();
        let mut running = ground.start(&drill);
        running.until_event(event, step);
        running.kill();
        let run = ground.newest_run();
        ground.homing(&["resume", &run]).exit(0);
        ground.nothing_ran_twice(&run);
        nothing_is_left(&ground);
    }
}

#[test]
fn what_a_cancelled_rehearsal_leaves_is_shown_and_goes_with_the_next() {
    let ground = Ground::new();
    let mut running =
        ground.start(&[&DRILL[..4], &["-p", "hold=1h", "--output", "jsonl"]].concat());
    running.until_event("step_succeeded", "start_copy");
    running.kill();
    let run = ground.newest_run();
    ground.homing(&["cancel", &run]).exit(0);
    let life = life(&ground);
    let status = ground.homing(&["lab", "status"]).exit(0);
    assert!(status.out.contains("an isolated copy runs on hv-01, made by run"), "{}", status.out);
    assert!(life.try_lock().is_err(), "it outlives its run");
    ground.homing(&DRILL).exit(0);
    assert_eq!(copies(&ground), Vec::<PathBuf>::new());
    life.try_lock().unwrap();
    ground.verified();
}
