//! The dirty replica: after a kill in the middle of a transfer nothing boots from it.

use crate::support::Ground;

/// Starts the stopped machine at home whatever the plan before it did.
const START: &str = "let m = vm(\"web-01\");\nshutdown_azure_vm(m);\nstart_onprem_vm(m);\n";

fn killed_in_the_middle() -> (Ground, String) {
    let ground = Ground::with_bandwidth("3MiB/s");
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("again.rhai", "transfer_delta(snapshot(vm(\"web-01\")));\n");
    ground.homing(&["plan", "again.rhai", "--out", "before.json"]).exit(0);
    let args = ["run", "full-download.rhai", "-p", "tier=web", "--approve", "all"];
    let mut running = ground.start(&[&args[..], &["--output", "jsonl"]].concat());
    let halfway =
        |e: &serde_json::Value| e["progress"]["done"].as_u64().is_some_and(|d| d >= 3 << 20);
    running.until(halfway).expect("a transfer in flight");
    running.kill();
    let run = ground.newest_run();
    (ground, run)
}

#[test]
fn no_script_and_no_saved_plan_boots_it_and_each_refusal_says_the_way_out() {
    let (ground, run) = killed_in_the_middle();
    ground.write("start.rhai", START);
    for command in ["check", "plan", "run"] {
        let refused = ground.homing(&[command, "start.rhai"]).exit(3);
        refused.says(&["H003", "start.rhai:3:1", &run, "homing resume"]);
    }
    ground.homing(&["run", "before.json"]).exit(5).says(&["replica", "web-01"]);
    ground.edit("homing.toml", "3MiB/s", "400MiB/s");
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    assert_eq!(ground.verified()[1]["running_on"], "dc1");
}
