//! `rollback`, `replan`, `adopt`: another plan on machines that a run holds, or that a lost one held.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Ground;
use crate::support::dying::Call;

/// Where each machine runs.
fn places(ground: &Ground) -> BTreeMap<String, String> {
    let said = ground.homing(&["lab", "verify", "--format", "json"]).json();
    let word = |machine: &Value, key: &str| machine[key].as_str().unwrap_or("nowhere").to_owned();
    let machines = said["machines"].as_array().unwrap().iter();
    machines.map(|one| (word(one, "machine"), word(one, "running_on"))).collect()
}

fn at(db: &str, web_1: &str, web_2: &str) -> BTreeMap<String, String> {
    [("db-01", db), ("web-01", web_1), ("web-02", web_2)]
        .map(|(machine, place)| (machine.to_owned(), place.to_owned()))
        .into()
}

#[test]
fn one_machine_goes_back_while_its_run_lives_and_goes_on_without_it() {
    let ground = Ground::new();
    let options = ["--approve", "complete", "--on-gate", "wait", "--output", "jsonl"];
    let mut running = ground.start(&[&["run", "failback.rhai"][..], &options].concat());
    running.until_event("gate_opened", "commit");
    let run = ground.newest_run();
    ground.homing(&["rollback", &run, "web-20"]).exit(2).says(&["did you mean `web-02`?"]);
    let back = ground.homing(&["rollback", &run, "web-02", "--approve", "rollback"]).exit(0);
    back.says(&["web-02 takes no further step", "given up on a way back", "Given up"]);
    assert_eq!(places(&ground), at("dc1", "dc1", "azure"));
    // Nobody's any more: any plan may take it, while the run holds the others.
    ground.write("copy.rhai", "transfer_delta(snapshot(vm(\"web-02\")));\n");
    ground.homing(&["run", "copy.rhai"]).exit(0);
    ground.edit("copy.rhai", "web-02", "web-01");
    ground.homing(&["run", "copy.rhai"]).exit(3).says(&[&run, "and holds `web-01`"]);
    ground.homing(&["approve", &run, "commit"]).exit(0);
    assert_eq!(running.end(), 7);
    assert_eq!(places(&ground), at("dc1", "dc1", "azure"));
    ground.homing(&["audit", &run]).exit(0);
    let none = ground.homing(&["rollback", &run]).exit(0);
    none.says(&["db-01 is committed: it has no way back", "nothing to do"]);
    assert_eq!(ground.snapshots(), [""; 0]);
}

#[test]
fn a_run_that_died_in_the_downtime_is_taken_back_without_a_question() {
    let ground = Ground::new();
    let mut running =
        ground.start(&["run", "failback.rhai", "--approve", "all", "--output", "jsonl"]);
    running.until_event("step_succeeded", "db-01.shutdown_azure_vm");
    running.kill();
    let run = ground.newest_run();
    ground.homing(&["rollback", &run, "--reason", "not tonight"]).exit(0);
    assert!(ground.homing(&["logs", &run]).exit(0).out.contains("not tonight"));
    ground.homing(&["resume", &run]).exit(2).says(&["is over"]);
    for machine in ground.verified() {
        assert_eq!(machine["running_on"], "azure", "{machine}");
    }
    ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(0);
}

#[test]
fn a_run_that_failed_is_replaced_by_a_plan_that_leaves_nobody_down() {
    let ground = Ground::new();
    let broken = ["--inject", "web-01.start_onprem_vm=permanent"];
    let args = [&["run", "failback.rhai", "--approve", "all"][..], &broken].concat();
    ground.homing(&args).exit(9).says(&["homing rollback"]);
    let run = ground.newest_run();
    let as_it_was = || ground.homing(&["status", &run]).exit(0).out.contains("homing resume");

    ground.write("wrong.rhai", "start_azure_vm(vm(\"web-01\")).after(nobody);\n");
    ground
        .homing(&["replan", &run, "wrong.rhai"])
        .exit(3)
        .says(&["nothing was begun", "is as it was"]);
    ground.write("empty.rhai", "// nothing\n");
    ground.homing(&["replan", &run, "empty.rhai"]).exit(3).says(&["nothing to do", "is as it was"]);
    ground.write("other.rhai", "commit(vm(\"db-01\"));\n");
    ground
        .homing(&["replan", &run, "other.rhai"])
        .exit(3)
        .says(&["web-01 is down", "homing cancel"]);
    let forward = "let web = vm(\"web-01\");\nstart_onprem_vm(web);\ncheck(web);\n";
    ground.write("forward.rhai", forward);
    let other = ["--expect", "0000"];
    ground.homing(&[&["replan", &run, "forward.rhai"][..], &other].concat()).exit(5);
    assert!(as_it_was());

    ground.homing(&["replan", &run, "forward.rhai"]).exit(0).says(&["is over"]);
    ground.homing(&["resume", &run]).exit(2).says(&["is over"]);
    for machine in ground.verified() {
        assert_eq!(machine["running_on"], "dc1", "{machine}");
    }
    assert_eq!(ground.snapshots(), [""; 0]);
}

#[test]
fn machines_of_a_lost_state_folder_are_adopted_and_a_process_that_lives_on_is_fenced_out() {
    let ground = Ground::with_bandwidth("3MiB/s");
    let options = ["-p", "tier=web", "--approve", "all", "--output", "jsonl", "--state", "lost"];
    let mut running = ground.start(&[&["run", "full-download.rhai"][..], &options].concat());
    let halfway = |e: &Value| e["progress"]["done"].as_u64().is_some_and(|d| d >= 3 << 20);
    running.until(halfway).expect("a transfer in flight");
    let refused = ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(6);
    refused.says(&["if its state folder is lost: homing adopt"]);

    let listed = ground.homing(&["adopt", "--format", "json"]).exit(0).json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[0]["machine"], "web-01");
    ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(6);
    let taken = ground.homing(&["adopt", "--yes"]).exit(0);
    assert!(taken.out.contains("dirty"), "{}", taken.out);
    taken.says(&["2 taken over", "homing plan"]);
    assert_eq!(running.end(), 6, "{}", ground.read("stderr.txt"));
    assert!(ground.read("stderr.txt").contains("H302"), "{}", ground.read("stderr.txt"));
    assert!(ground.homing(&["adopt"]).exit(0).out.contains("nothing to adopt"));

    let boot = "let m = vm(\"web-01\");\nshutdown_azure_vm(m);\nstart_onprem_vm(m);\n";
    ground.write("boot.rhai", boot);
    ground.homing(&["plan", "boot.rhai"]).exit(3).says(&["H003"]);
    ground.edit("homing.toml", "3MiB/s", "400MiB/s");
    ground.homing(&["run", "failback.rhai", "--approve", "all"]).exit(0);
    assert_eq!(ground.verified().len(), 3);
    assert_eq!(ground.snapshots(), [""; 0]);
}

#[test]
fn nobody_is_left_out_whom_others_need_to_come_up_again() {
    let ground = Ground::new();
    ground.homing(&["run", "failback.rhai"]).exit(4);
    let run = ground.newest_run();
    let out = |machines: &[&str]| {
        ground.homing(&[&["exclude", &run][..], machines, &["--reason", "broken"]].concat())
    };
    out(&["db-01"]).exit(3).says(&["would stop web-01, web-02", "homing replan"]);
    ground.homing(&["rollback", &run, "db-01"]).exit(3).says(&["would stop web-01, web-02"]);
    out(&["db-01", "web-01", "web-02"]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(7);
    assert_eq!(places(&ground), at("azure", "azure", "azure"));
}

/// A run of one machine whose process dies in its downtime.
fn died_in_the_downtime() -> (Ground, String) {
    let ground = Ground::new();
    let mut running =
        ground.start(&["run", "failback-one.rhai", "--approve", "all", "--output", "jsonl"]);
    running.until_event("step_succeeded", "web-01.shutdown_azure_vm");
    running.kill();
    let run = ground.newest_run();
    (ground, run)
}

#[test]
fn a_run_that_is_cancelled_in_the_downtime_says_who_is_down_and_the_way_back() {
    let (ground, run) = died_in_the_downtime();
    ground.homing(&["cancel", &run]).exit(9).says(&["web-01 is down"]);
    let status = ground.homing(&["status", &run]).exit(0).out;
    assert!(status.contains(&format!("homing rollback {run}")), "{status}");
    ground.homing(&["rollback", &run]).exit(0);
    assert_eq!(places(&ground), at("azure", "azure", "azure"));
}

#[test]
fn a_machine_that_is_left_out_in_its_downtime_is_brought_back_by_the_command_that_status_names() {
    let (ground, run) = died_in_the_downtime();
    ground.homing(&["exclude", &run, "web-01", "--reason", "broken"]).exit(0);
    let status = ground.homing(&["status", &run]).exit(0).out;
    assert!(status.contains("not taken in yet") && status.contains("exclude web-01"), "{status}");
    ground.homing(&["resume", &run, "--approve", "all"]).exit(9).says(&["web-01 is down"]);
    let status = ground.homing(&["status", &run]).exit(0).out;
    assert!(status.contains(&format!("homing rollback {run} web-01")), "{status}");
    ground.homing(&["rollback", &run, "web-01"]).exit(0);
    assert_eq!(places(&ground), at("azure", "azure", "azure"));
}

/// A run whose process died inside the deletions of its commit.
fn half_committed() -> (Ground, String) {
    let ground = Ground::new();
    ground.homing(&["run", "failback-one.rhai", "--approve", "complete"]).exit(4);
    let run = ground.newest_run();
    let dies = Call { name: "remove", path: "/azure/", nth: 1, ..Call::default() };
    let args = ["resume", &run, "--approve", "commit"];
    ground.homing_with(&args, &dies.environment(ground.path())).exit(-1);
    (ground, run)
}

#[test]
fn of_a_machine_that_is_half_committed_there_is_only_forward() {
    let (ground, run) = half_committed();
    let forward = ["web-01 is half committed", "only forward", "homing resume"];
    ground.homing(&["cancel", &run]).exit(2).says(&forward);
    ground.homing(&["replan", &run, "commit.rhai"]).exit(2).says(&forward);
    ground.homing(&["exclude", &run, "web-01", "--reason", "x"]).exit(2).says(&forward);
    ground.homing(&["rollback", &run]).exit(2).says(&["web-01 is committed: it has no way back"]);
    let pending = ground.homing(&["runs", "--pending"]).exit(0).out;
    assert!(pending.contains("web-01"), "{pending}");
    ground.homing(&["resume", &run]).exit(0);
    assert_eq!(ground.verified()[1]["cloud"], "deleted");
}

#[test]
fn a_commit_whose_state_folder_is_lost_half_way_is_finished_by_another_run() {
    let (ground, _) = half_committed();
    let elsewhere = |args: &[&str]| ground.homing(&[args, &["--state", "other"]].concat());
    elsewhere(&["adopt", "--yes"]).exit(0);
    ground.write(
        "back.rhai",
        "let m = vm(\"web-01\");\nshutdown_onprem_vm(m);\nstart_azure_vm(m);\n",
    );
    elsewhere(&["plan", "back.rhai"]).exit(3).says(&["back.rhai"]);
    elsewhere(&["run", "commit.rhai", "--approve", "all"]).exit(0);
    let web = &ground.verified()[1];
    assert_eq!((&web["cloud"], &web["protected"]), (&"deleted".into(), &"onprem_to_cloud".into()));
}

#[test]
fn a_run_goes_on_though_nobody_listens_any_more() {
    let ground = Ground::new();
    let mut command = ground.command(&["run", "failback-one.rhai"]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_machine_rolled_back_out_of_its_final_transfer_does_not_hold_its_run_up() {
    let ground = Ground::new();
    ground.write(
        "flat.rhai",
        "import \"std/failback\" as failback;\n\
         for m in [vm(\"db-01\"), vm(\"web-02\")] { failback::synchronize(m); }\n\
         approve(\"Go\", #{ name: \"go\", timeout: \"1h\" });\n\
         for m in [vm(\"db-01\"), vm(\"web-02\")] { failback::switch_over(m, #{ mode: \"full\" }); }\n",
    );
    ground.edit(
        "homing.toml",
        "hv-02\"\ndisks = [\"8MiB\"]\ntags = { tier = \"web\" }\nneeds = [\"db-01\"]",
        "hv-02\"\ndisks = [\"8MiB\"]\ntags = { tier = \"web\" }",
    );
    ground.homing(&["run", "flat.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.edit("homing.toml", "400MiB/s", "3MiB/s");
    let mut running = ground.start(&["resume", &run, "--approve", "all", "--output", "jsonl"]);
    let moves = |e: &Value| {
        e["step"] == "web-02.transfer_delta.2" && e["progress"]["sent"].as_u64() > Some(1 << 20)
    };
    running.until(moves).expect("the final transfer in flight");
    ground.homing(&["rollback", &run, "web-02"]).exit(0);
    assert_eq!(running.end(), 7, "{}", ground.read("stderr.txt"));
    assert_eq!(places(&ground), at("dc1", "azure", "azure"));
    let status = ground.homing(&["status", &run]).exit(0).out;
    assert!(!status.contains("homing rollback"), "{status}");
}

#[test]
fn a_run_with_nothing_left_to_do_but_a_machine_that_is_down_can_be_ended() {
    let (ground, run) = died_in_the_downtime();
    ground.homing(&["exclude", &run, "web-01", "--reason", "broken"]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(9);
    ground.homing(&["cancel", &run]).exit(9).says(&["was cancelled", "web-01 is down"]);
    ground.homing(&["resume", &run]).exit(2).says(&["is over"]);
}
