//! Estimates: from sizes and rates at first, from earlier runs once there are any, and `show` holds them
//! against what came of them.

use serde_json::{Value, json};

use crate::support::Ground;

fn plan(ground: &Ground) -> Value {
    ground.homing(&["plan", "failback.rhai", "--format", "json"]).exit(0).json()
}

fn step<'a>(of: &'a Value, id: &str) -> &'a Value {
    of["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

#[test]
fn what_steps_took_is_what_the_next_plan_expects() {
    let ground = Ground::new();
    let before = plan(&ground);
    assert_eq!(step(&before, "web-01.start_onprem_vm.1")["basis"], "sizes");
    let page = |command: &[&str]| ground.homing(command).exit(0).out;
    assert!(page(&["plan", "failback.rhai"]).contains("not from earlier runs"));

    ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(0);
    let run = ground.newest_run();
    let shown = ground.homing(&["show", &run, "--format", "json"]).exit(0).json();
    let start = step(&shown, "web-01.start_onprem_vm.1");
    assert_eq!(start["estimate_s"], 30.0, "a round number, for nobody knew better");
    assert!(shown["worked_s"].as_f64().unwrap() < shown["makespan_s"].as_f64().unwrap(), "{shown}");
    assert_eq!(step(&shown, "web-01.start_azure_vm.1")["estimate_s"], Value::Null, "left out");
    assert!(page(&["show", &run]).contains("by the estimate"));

    ground.homing(&["lab", "reset", "--yes"]).exit(0);
    let after = plan(&ground);
    assert_eq!(step(&after, "web-01.start_onprem_vm.1")["basis"], json!({ "runs": 1 }));
    assert_eq!(step(&after, "web-01.start_azure_vm.1")["basis"], "sizes", "it was never needed");
    let expected = step(&after, "web-01.start_onprem_vm.1")["estimate_s"].as_f64().unwrap();
    assert!(expected < 30.0, "{expected}");
    assert!(after["makespan_s"].as_f64() < before["makespan_s"].as_f64());
    assert_eq!(after["digest"], before["digest"], "an estimate means nothing");
    assert!(!page(&["plan", "failback.rhai"]).contains("not from earlier runs"));
}
