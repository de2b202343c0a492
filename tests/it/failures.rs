//! Steps that fail: what is tried again, what a person is told, how a run goes on.

use crate::support::Ground;

#[test]
fn a_transient_fault_is_tried_again_and_the_run_succeeds() {
    let ground = Ground::new();
    let args = ["run", "failback.rhai", "--approve", "all", "--output", "jsonl"];
    let inject = ["--inject", "web-01.transfer_delta=fail:2"];
    let said = ground.homing(&[&args[..], &inject].concat()).exit(0);
    let failed = |step: &str| {
        let lines = said.lines();
        lines.iter().filter(|e| e["event"] == "attempt_failed" && e["step"] == step).count()
    };
    assert_eq!(failed("web-01.transfer_delta.1"), 2);
    assert_eq!(failed("web-02.transfer_delta.1"), 0);
    ground.verified();
}

#[test]
fn a_failure_before_the_downtime_leaves_every_machine_up_and_retry_goes_on() {
    let ground = Ground::new();
    let args = ["run", "failback.rhai", "--approve", "all"];
    let inject = ["--inject", "web-01.snapshot=permanent"];
    let said = ground.homing(&[&args[..], &inject].concat()).exit(1);
    let run = ground.newest_run();
    let said = said.says(&["web-01.snapshot.1", &format!("homing retry {run}")]);
    drop(said);
    let status = ground.homing(&["status"]).exit(0);
    assert!(
        status.out.contains("in the cloud") && status.out.contains("homing retry"),
        "{}",
        status.out
    );
    ground.homing(&["retry", &run, "web-01.snapshot.2"]).exit(2).says(&["web-01.snapshot.1"]);
    ground.homing(&["retry", &run, "web-02.snapshot.1"]).exit(2).says(&["has not failed"]);
    ground.homing(&["retry", &run, "web-01.snapshot.1"]).exit(0).says(&["homing resume"]);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    for machine in ground.verified() {
        assert_eq!(machine["running_on"], "dc1", "{machine}");
    }
}

#[test]
fn a_failure_in_the_downtime_ends_with_9_and_says_which_machine_is_down() {
    let ground = Ground::new();
    let args = ["run", "failback.rhai", "--approve", "all"];
    let inject = ["--inject", "db-01.start_onprem_vm=permanent"];
    let said = ground.homing(&[&args[..], &inject].concat()).exit(9);
    said.says(&["db-01.start_onprem_vm.1", "db-01", "down"]);
    let run = ground.newest_run();
    let status = ground.homing(&["status", &run, "--format", "json"]).exit(0).json();
    assert_eq!(status["machines"].as_array().unwrap().len(), 3, "{status}");
    ground.homing(&["retry", &run, "db-01.start_onprem_vm.1"]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    ground.nothing_ran_twice(&run);
    ground.verified();
}

#[test]
fn an_optional_step_that_fails_is_an_exception() {
    let ground = Ground::new();
    ground.write(
        "probe.rhai",
        "let m = vm(\"web-01\");\ncheck(m, #{ optional: true });\ntransfer_delta(snapshot(m));\n",
    );
    let inject = ["--inject", "web-01.check=permanent"];
    ground.homing(&[&["run", "probe.rhai"][..], &inject].concat()).exit(7);
}

#[test]
fn a_run_is_followed_from_another_shell() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    let mut running = ground.start(&["resume", &run, "--on-gate", "wait", "--output", "jsonl"]);
    running.until_event("run_resumed", "");
    let mut following = ground.start(&["logs", &run, "--follow", "--format", "json"]);
    following.until_event("run_resumed", "");
    ground.homing(&["reject", &run, "complete"]).exit(0);
    following.until_event("gate_answered", "complete");
    following.until_event("run_ended", "");
    assert_eq!((following.end(), running.end()), (0, 10));
}
