//! Gates across processes, and two operators at once.

use crate::support::Ground;

#[test]
fn without_a_terminal_a_gate_ends_the_process_and_another_shell_opens_it() {
    let ground = Ground::new();
    let slip = ground.homing(&["run", "failback.rhai", "--approve", "comlete"]).exit(2);
    slip.says(&["H344", "did you mean `complete`"]);
    let slip = ["run", "failback.rhai", "--inject", "web-01.snapshto=fail:1"];
    ground.homing(&slip).exit(2).says(&["H344"]);
    ground.homing(&["run", "failback.rhai"]).exit(4).says(&["homing approve", "complete"]);
    let run = ground.newest_run();
    ground.homing(&["resume", &run]).exit(4);
    ground.homing(&["approve", &run, "nothing"]).exit(2).says(&["H344", "complete"]);
    ground.homing(&["approve", &run, "complete", "--comment", "CHG-1"]).exit(0);
    ground.homing(&["resume", &run]).exit(4).says(&["commit"]);
    ground.homing(&["approve", &run, "commit"]).exit(0);
    ground.homing(&["resume", &run]).exit(0);
    ground.nothing_ran_twice(&run);
    let answered = ground.events(&run);
    let answer = answered.iter().find(|e| e["event"] == "gate_answered").unwrap();
    assert_eq!(answer["comment"], "CHG-1");
    ground.homing(&["resume", &run]).exit(2).says(&["over"]);
}

#[test]
fn a_rejected_gate_ends_the_run_with_10() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.homing(&["reject", &run, "complete"]).exit(0);
    ground.homing(&["resume", &run]).exit(10);
    for machine in ground.verified() {
        assert_eq!(machine["running_on"], "azure", "{machine}");
    }
    // It is over: its machines are free.
    ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(0);
}

#[test]
fn machines_that_wait_for_their_commit_are_listed_with_their_age() {
    let ground = Ground::new();
    assert_eq!(ground.homing(&["runs", "--pending", "--format", "json"]).exit(0).out.trim(), "[]");
    ground.homing(&["run", "failback-one.rhai", "--approve", "complete"]).exit(4);
    let run = ground.newest_run();
    let pending = || ground.homing(&["runs", "--pending", "--format", "json"]).exit(0).json();
    let waits = pending();
    assert_eq!((&waits[0]["machine"], &waits[0]["run"]), (&"web-01".into(), &run[..].into()));
    assert!(waits[0]["age_s"].as_f64().unwrap() < 600.0, "{waits}");
    assert_eq!(waits[0]["held_by"], run[..]);
    let page = ground.homing(&["runs", "--pending"]).exit(0).out;
    assert!(page.contains(&format!("homing status {run}")), "{page}");
    // Its run is over, and it waits all the same.
    ground.homing(&["cancel", &run]).exit(0);
    assert!(pending()[0]["held_by"].is_null());
    // Another one is to commit it, and waits for somebody.
    ground.homing(&["run", "commit.rhai"]).exit(4);
    let commits = ground.newest_run();
    let waits = pending();
    assert_eq!((&waits[0]["run"], &waits[0]["held_by"]), (&run[..].into(), &commits[..].into()));
    ground.homing(&["resume", &commits, "--approve", "all"]).exit(0);
    let said = ground.homing(&["runs", "--pending"]).exit(0);
    assert_eq!(said.out, "no machine waits for its commit\n");
}

#[test]
fn a_second_run_on_the_same_machines_is_busy() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    ground
        .homing(&["run", "failback-one.rhai", "-p", "machine=db-01"])
        .exit(6)
        .says(&["H341", &run]);
    // Another laptop: its own state folder, the same machines.
    let other = ["run", "failback-one.rhai", "-p", "machine=db-01", "--state", "other"];
    ground.homing(&other).exit(6).says(&[&run]);
    ground.homing(&["cancel", &run]).exit(0);
    ground.homing(&["resume", &run]).exit(2).says(&["over"]);
    ground.homing(&["run", "failback-one.rhai", "-p", "machine=db-01"]).exit(4);
}

#[test]
fn whoever_names_no_run_is_told_of_every_one_that_is_open() {
    let ground = Ground::new();
    let gate = |machine: &str| {
        let script = format!("{machine}.rhai");
        let text =
            format!("approve(\"Go?\", #{{ name: \"go\" }});\nsnapshot(vm(\"{machine}\"));\n");
        ground.write(&script, &text);
        ground.homing(&["run", &script]).exit(4);
        ground.newest_run()
    };
    let (first, second) = (gate("db-01"), gate("web-01"));
    let page = ground.homing(&["status"]).exit(0).out;
    let also = format!("Also open\n  homing status {first}  (db-01.rhai)\n");
    assert!(page.contains(&format!("Run {second} ")) && page.ends_with(&also), "{page}");
    let asked = ground.homing(&["status", &first]).exit(0).out;
    assert!(!asked.contains("Also open"), "{asked}");
}

#[test]
fn a_lab_that_is_thrown_away_leaves_no_open_run() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.homing(&["lab", "reset", "--yes"]).exit(0).says(&[&run, "is cancelled"]);
    assert_eq!(ground.runs()[0]["outcome"], "cancelled");
    // The next one finds its machines free.
    ground.homing(&["run", "failback.rhai"]).exit(4);
}

#[test]
fn a_gate_is_opened_while_the_process_waits() {
    let ground = Ground::new();
    let mut running =
        ground.start(&["run", "failback.rhai", "--on-gate", "wait", "--output", "jsonl"]);
    for gate in ["complete", "commit"] {
        let opened = running.until_event("gate_opened", gate);
        let run = opened["run"].as_str().unwrap();
        // Nothing is taken away from under a process at work.
        ground.homing(&["lab", "reset", "--yes"]).exit(6).says(&["H341", "homing cancel", run]);
        ground.homing(&["approve", run, gate]).exit(0);
    }
    assert_eq!(running.end(), 0);
}

#[test]
fn machines_left_at_home_by_a_rejected_commit_are_finished_by_the_commit_script() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai", "--approve", "complete"]).exit(4);
    let run = ground.newest_run();
    ground.homing(&["reject", &run, "commit"]).exit(0);
    ground.homing(&["resume", &run]).exit(10);
    ground.homing(&["run", "commit.rhai", "--approve", "all"]).exit(0);
    for machine in ground.verified() {
        assert_eq!(machine["protected"], "onprem_to_cloud", "{machine}");
    }
    ground.homing(&["run", "commit.rhai"]).exit(0).says(&["nothing to do"]);
}
