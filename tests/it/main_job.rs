//! The main job: a tier of machines with real disks and live writers comes home.

use serde_json::Value;

use crate::support::Ground;

#[track_caller]
fn came_home(machine: &Value) {
    assert_eq!(machine["lost"], 0, "{machine}");
    assert!(machine["acknowledged"].as_u64().unwrap() > 0, "{machine}");
    assert_eq!(machine["running_on"], "dc1", "{machine}");
    assert_eq!(machine["overlap"], false, "{machine}");
    assert_eq!(machine["cloud"], "deleted", "{machine}");
    assert_eq!(machine["onprem"], "running", "{machine}");
    assert_eq!(machine["protected"], "onprem_to_cloud", "{machine}");
    assert!(machine["downtime_s"].as_f64().unwrap() > 0.0, "{machine}");
}

#[test]
fn the_whole_lab_comes_home_and_nothing_is_lost() {
    let ground = Ground::new();
    let said = ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(0);
    assert!(said.out.contains("web-02") || said.err.contains("web-02"), "{}", said.err);
    let machines = ground.verified();
    assert_eq!(machines.len(), 3);
    machines.iter().for_each(came_home);
    let run = ground.newest_run();
    ground.nothing_ran_twice(&run);
    let reversed = ground.events(&run).into_iter().filter(|event| {
        event["event"] == "step_succeeded"
            && event["step"].to_string().contains("reverse_replicate")
    });
    let reversed: Vec<Value> = reversed.collect();
    assert_eq!(reversed.len(), 3);
    for event in reversed {
        assert_eq!(event["outputs"]["mode"], "changes", "{event}");
        let sent = event["outputs"]["bytes_sent"].as_u64().unwrap();
        assert!(sent < 8 << 20, "only changes are sent: {event}");
    }
    let again = ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(0);
    assert!(again.err.contains("nothing to do"), "{}", again.err);
}

#[test]
fn one_tier_at_a_time_and_one_machine_by_hand() {
    let ground = Ground::new();
    // The webs need a running db: it may stay in the cloud.
    ground.homing(&["run", "failback.rhai", "-p", "tier=web", "--approve", "all"]).exit(0);
    let machines = ground.verified();
    assert_eq!(machines[0]["running_on"], "azure");
    machines[1..].iter().for_each(came_home);
    ground.homing(&["run", "failback-one.rhai", "-p", "machine=db-01", "--approve", "all"]).exit(0);
    ground.verified().iter().for_each(came_home);
}

#[test]
fn an_alternate_host_and_a_full_download() {
    let ground = Ground::new();
    let args = ["run", "alternate-host.rhai", "-p", "machine=web-01", "-p", "host=hv-02"];
    ground.homing(&[&args[..], &["--approve", "all"]].concat()).exit(0);
    ground.homing(&["run", "full-download.rhai", "-p", "tier=web", "--approve", "all"]).exit(0);
    let machines = ground.verified();
    assert_eq!(machines[0]["running_on"], "azure");
    machines[1..].iter().for_each(came_home);
    let status = ground.homing(&["check", "failback.rhai"]).exit(0);
    drop(status);
    assert!(ground.path().join(".homing/lab/dc1/hosts/hv-02/web-01").is_dir());
}
