//! `kill -9` at chosen moments, then `resume`: nothing lost, nothing done twice.

use crate::support::Ground;

const RUN: [&str; 6] = ["run", "failback.rhai", "--approve", "all", "--output", "jsonl"];

#[track_caller]
fn finishes(ground: &Ground) {
    let run = ground.newest_run();
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    all_home(ground, &run);
}

#[track_caller]
fn all_home(ground: &Ground, run: &str) {
    for machine in ground.verified() {
        assert_eq!(machine["running_on"], "dc1", "{machine}");
        assert_eq!(machine["cloud"], "deleted", "{machine}");
        assert_eq!(machine["overlap"], false, "{machine}");
    }
    ground.nothing_ran_twice(run);
}

/// Moments of a run: an event, a part of a step's id.
const MOMENTS: &[(&str, &str)] = &[
    ("run_started", ""),
    ("attempt_started", "snapshot"),
    ("step_succeeded", "transfer_delta"),
    ("gate_answered", "complete"),
    ("attempt_started", "shutdown_azure_vm"),
    ("step_succeeded", "shutdown_azure_vm"),
    ("attempt_started", "transfer_delta.2"),
    ("attempt_started", "start_onprem_vm"),
    ("step_succeeded", "start_onprem_vm"),
    ("attempt_started", "commit"),
    ("intent", "commit"),
    ("step_succeeded", "commit"),
    ("attempt_started", "reverse_replicate"),
];

#[test]
fn at_chosen_moments() {
    for (event, step) in MOMENTS {
        let ground = Ground::new();
        let mut running = ground.start(&RUN);
        running.until_event(event, step);
        running.kill();
        finishes(&ground);
    }
}

#[test]
fn in_the_middle_of_a_transfer_which_goes_on_from_its_checkpoint() {
    let ground = Ground::with_bandwidth("3MiB/s");
    let args = ["run", "full-download.rhai", "-p", "tier=web", "--approve", "all"];
    let mut running = ground.start(&[&args[..], &["--output", "jsonl"]].concat());
    let halfway =
        |e: &serde_json::Value| e["progress"]["done"].as_u64().is_some_and(|d| d >= 4 << 20);
    running.until(halfway).expect("a transfer in flight");
    running.kill();
    let run = ground.newest_run();
    ground.edit("homing.toml", "3MiB/s", "400MiB/s");
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    ground.nothing_ran_twice(&run);
    assert_eq!(ground.verified()[1]["running_on"], "dc1");
}

#[test]
fn twice_in_one_run() {
    let ground = Ground::new();
    let mut running = ground.start(&RUN);
    running.until_event("attempt_started", "transfer_delta.1");
    running.kill();
    let run = ground.newest_run();
    let mut running = ground.start(&["resume", &run, "--approve", "all", "--output", "jsonl"]);
    running.until_event("attempt_started", "start_onprem_vm");
    running.kill();
    finishes(&ground);
}

#[test]
fn an_interrupted_run_ends_with_8_and_goes_on() {
    let ground = Ground::with_bandwidth("3MiB/s");
    let mut running = ground.start(&RUN);
    running.until_event("attempt_started", "transfer_delta.1");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end(), 8);
    ground.edit("homing.toml", "3MiB/s", "400MiB/s");
    finishes(&ground);
}
