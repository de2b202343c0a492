//! The ground gives way under a run: its journal, its lab, its inventory; and people who ask twice.

use std::fs;

use crate::support::told::told;
use crate::support::{Ground, Running};

const FULL: [&str; 6] = ["run", "full-download.rhai", "--approve", "all", "--output", "jsonl"];

/// A full download that moves its first bytes over a slow link.
fn under_way(ground: &Ground) -> Running {
    let mut running = ground.start(&FULL);
    let moving = |e: &serde_json::Value| e["progress"]["done"].as_u64().is_some_and(|d| d > 0);
    running.until(moving).expect("a transfer in flight");
    running
}

#[test]
fn a_journal_that_is_taken_away_stops_its_run_and_brought_back_lets_it_go_on() {
    let ground = Ground::with_bandwidth("2MiB/s");
    let state = ground.path().join("state");
    let mut args = vec!["--state", "state"];
    args.extend(FULL);
    let mut running = ground.start(&args);
    let moving = |e: &serde_json::Value| e["progress"]["done"].as_u64().is_some_and(|d| d > 0);
    running.until(moving).expect("a transfer in flight");
    let away = ground.path().join("away");
    fs::rename(&state, &away).unwrap();
    assert_eq!(running.end(), 74, "{}", ground.read("stderr.txt"));
    let said = ground.read("stderr.txt").replace(&ground.path().display().to_string(), "GROUND");
    insta::assert_snapshot!(told(&said), @r"
    homing: H343: the journal is gone: GROUND/state/homing.db was removed or replaced while the run went on
      put the state folder back where it was (a copy with all its files will do), then `homing resume`: what was acknowledged before is in it
      run `RUN` began nothing after that, and what was at work was asked to stop; once the journal is back, `homing status RUN` says where every machine stands, `homing resume RUN` goes on
    ");
    fs::rename(&away, &state).unwrap();
    ground.edit("homing.toml", "2MiB/s", "400MiB/s");
    ground.homing(&["--state", "state", "resume", "--approve", "all"]).exit(0);
    assert_eq!(ground.verified()[1]["running_on"], "dc1");
}

#[test]
fn a_lab_deleted_under_a_run_is_no_machine_that_is_up_and_safe() {
    let ground = Ground::with_bandwidth("2MiB/s");
    let running = under_way(&ground);
    fs::remove_dir_all(ground.path().join(".homing/lab/azure")).unwrap();
    fs::remove_dir_all(ground.path().join(".homing/lab/dc1")).unwrap();
    assert_eq!(running.end(), 9, "{}", ground.read("stderr.txt"));
    let run = ground.newest_run();
    ground.homing(&["resume", &run, "--approve", "all"]).exit(9).says(&["web-01 is down"]);
}

#[test]
fn one_run_that_cannot_be_read_does_not_hide_the_others() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.homing(&["cancel", &run]).exit(0);
    ground.homing(&["run", "failback-one.rhai", "-p", "machine=db-01"]).exit(4);
    ground.edit("homing.toml", "machine.web-02", "machine.web-09");
    let said = ground.homing(&["runs", "--format", "json"]).exit(0).says(&[&run, "web-02"]);
    assert_eq!(said.json().as_array().unwrap().len(), 1);
    ground.edit("homing.toml", "machine.web-09", "machine.web-02");
}

#[test]
fn the_first_answer_at_a_gate_counts_and_the_second_is_told_so() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.homing(&["approve", &run, "complete"]).exit(0);
    for second in ["approve", "reject"] {
        ground.homing(&[second, &run, "complete"]).exit(2).says(&["answered already"]);
    }
    ground.homing(&["resume", &run]).exit(4);
    ground.homing(&["approve", &run, "complete"]).exit(2).says(&["approved already"]);
}

#[test]
fn resume_or_run_finds_a_run_that_left_nothing_to_plan() {
    let ground = Ground::new();
    let again = ["run", "failback.rhai", "--resume-or-run"];
    ground.homing(&["run", "failback.rhai", "--approve", "complete"]).exit(4);
    let run = ground.newest_run();
    // Every machine is at home by now, so the script selects none; the run still waits for its commit.
    ground.homing(&again).exit(4);
    ground.homing(&["approve", &run, "commit"]).exit(0);
    ground.homing(&again).exit(0);
    assert_eq!(ground.newest_run(), run);
    assert_eq!(ground.verified()[0]["cloud"], "deleted");
    ground.homing(&again).exit(0).says(&["nothing to do"]);
}

#[test]
fn a_machine_that_died_at_home_has_its_data_there() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai", "--approve", "complete"]).exit(4);
    let run = ground.newest_run();
    ground.kill_guest("web-01");
    let status = ground.homing(&["status", &run]).exit(0);
    assert!(status.out.contains("safe on on-prem disks alone"), "{}", status.out);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(9).says(&["web-01 is down"]);
    // One way out: give the run up, and bring the machine up where its data is.
    ground.homing(&["cancel", &run]).exit(9).says(&["web-01 is down"]);
    let script = "let web = vm(\"web-01\"); start_onprem_vm(web); check(web);\n\
                  approve(\"Commit\", #{ name: \"commit\", timeout: \"1h\" });\n\
                  commit(web); reverse_replicate(web);\n";
    ground.write("up.rhai", script);
    ground.homing(&["run", "up.rhai", "--approve", "all"]).exit(0);
    assert_eq!(ground.verified()[1]["protected"], "onprem_to_cloud");
}

#[test]
fn a_machine_that_died_at_home_is_started_again_by_the_same_run() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai", "--approve", "complete"]).exit(4);
    let run = ground.newest_run();
    ground.kill_guest("web-01");
    ground.homing(&["resume", &run, "--approve", "all"]).exit(9).says(&["H316", "homing retry"]);
    ground.homing(&["retry", &run, "web-01.start_onprem_vm.1"]).exit(0);
    ground.homing(&["retry", &run, "web-01.commit.1"]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    for machine in ground.verified() {
        assert_eq!(machine["protected"], "onprem_to_cloud", "{machine}");
    }
    let checked_again = ground
        .events(&run)
        .into_iter()
        .filter(|event| event["event"] == "attempt_started" && event["step"] == "web-01.check.2");
    assert_eq!(
        checked_again.count(),
        2,
        "what rests on the start waits until the check holds again"
    );
}
