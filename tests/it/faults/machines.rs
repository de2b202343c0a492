//! What somebody does to a machine, its snapshots or its host while a run is not looking.

use std::fs;

use homing::base::Side;

use super::{at_the_gate, is_home};
use crate::support::Ground;
use crate::support::hand::Hand;
use crate::support::told::told;

/// Cancels the run and brings the machine home by that script.
#[track_caller]
fn anew(ground: &Ground, run: &str, script: &str) {
    // 9: it is over, and a machine is down.
    let cancelled = ground.homing(&["cancel", run]);
    assert!([0, 9].contains(&cancelled.code), "{}", cancelled.err);
    ground.homing(&["run", script, "--approve", "all"]).exit(0);
    is_home(ground);
}

#[test]
fn a_snapshot_that_somebody_deletes_before_it_is_read() {
    let ground = Ground::new();
    ground.write("home.rhai", super::HOME);
    ground.write(
        "late.rhai",
        "let web = vm(\"web-01\");\nlet point = snapshot(web);\n\
         approve(\"Go on?\", #{ name: \"go\", timeout: \"1h\" });\ntransfer_delta(point);\n",
    );
    ground.homing(&["run", "late.rhai"]).exit(4);
    let run = ground.newest_run();
    let snapshots = ground.path().join(".homing/lab/azure/disks/web-01/snapshots");
    for entry in fs::read_dir(snapshots).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(1);
    insta::assert_snapshot!(told(&said.err));
    anew(&ground, &run, "home.rhai");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_somebody_starts_after_its_final_transfer() {
    let (ground, run) = at_the_gate("start");
    let hand = Hand::at(&ground, "web-01");
    hand.start(Side::Cloud).await;
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(1);
    insta::assert_snapshot!("while_it_runs", told(&said.err));
    // Off again: it does not run twice, but the replica lacks what it wrote.
    hand.stop(Side::Cloud).await;
    ground.homing(&["retry", &run, "web-01.start_onprem_vm.1"]).exit(0);
    let said = ground.wide(&["resume", &run]).exit(9);
    insta::assert_snapshot!("off_again", told(&said.err));
    ground.write("again.rhai", AGAIN);
    anew(&ground, &run, "again.rhai");
}

/// What the message says: shut down (it is off, and stays so), transfer again, start.
const AGAIN: &str = "let web = vm(\"web-01\");\nshutdown_azure_vm(web);\ntransfer_delta(web);\n\
    start_onprem_vm(web);\ncheck(web);\n";

#[test]
fn a_machine_that_somebody_deletes_after_its_final_transfer() {
    let (ground, run) = at_the_gate("start");
    for part in ["disks", "machines"] {
        let folder = ground.path().join(".homing/lab/azure").join(part).join("web-01");
        fs::remove_dir_all(folder).unwrap();
    }
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(9);
    insta::assert_snapshot!(told(&said.err));
    ground.write("lost.rhai", LOST);
    anew(&ground, &run, "lost.rhai");
}

#[test]
fn a_machine_that_somebody_deletes_before_its_downtime() {
    let (ground, run) = at_the_gate("go");
    for part in ["disks", "machines"] {
        let folder = ground.path().join(".homing/lab/azure").join(part).join("web-01");
        fs::remove_dir_all(folder).unwrap();
    }
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(9);
    insta::assert_snapshot!(told(&said.err));
    ground.homing(&["cancel", &run]).exit(9);
    ground.write("up.rhai", "let web = vm(\"web-01\");\nstart_onprem_vm(web);\n");
    ground.homing(&["run", "up.rhai"]).exit(3).says(&["H002"]);
    // What was written since the last copy went with the machine, and nobody says otherwise.
    ground.write("lost.rhai", LOST);
    ground.homing(&["run", "lost.rhai", "--approve", "all"]).exit(0).says(&["were LOST"]);
    let report = ground.homing(&["lab", "verify", "--format", "json"]).exit(1).json();
    assert_eq!(report["machines"][1]["running_on"], "dc1", "{report}");
}

/// What the message says when a side is gone for good.
const LOST: &str = "let web = vm(\"web-01\");\n\
    approve(\"Give it up?\", #{ name: \"lost\", timeout: \"1h\" });\n\
    declare_lost(web, #{ side: \"cloud\", reason: \"deleted by mistake\" });\n\
    start_onprem_vm(web);\ncheck(web);\n";

#[test]
fn a_host_that_is_cut_off_in_the_downtime() {
    let (ground, run) = at_the_gate("start");
    ground.edit("homing.toml", "hv-01 = { switches", "hv-01 = { connected = false, switches");
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(5);
    insta::assert_snapshot!(told(&said.err));
    ground.edit("homing.toml", "connected = false, ", "");
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    is_home(&ground);
}
