//! A site that is silent as a whole: nothing is planned with it but that a person gives it up.

use crate::support::Ground;
use crate::support::told::told;

/// The site answers nothing from now on.
fn silence(ground: &Ground, site: &str) {
    let table = format!("[site.{site}]");
    ground.edit("homing.toml", &table, &format!("{table}\nconnected = false"));
}

/// It is back.
fn mend(ground: &Ground) {
    ground.edit("homing.toml", "\nconnected = false", "");
}

/// The way out of a message of H327, with a gate.
fn given_up(side: &str, then: &str) -> String {
    format!(
        "let db = vm(\"db-01\");\n\
         approve(\"Give it up?\", #{{ name: \"lost\", timeout: \"1h\" }});\n\
         declare_lost(db, #{{ side: \"{side}\", reason: \"it burns\" }});\n{then}"
    )
}

/// A cloud that is silent, and a plan `lost.rhai` that gives its side up and then does this.
fn without_cloud(then: &str) -> Ground {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    silence(&ground, "azure");
    ground.write("lost.rhai", &given_up("cloud", then));
    ground
}

/// The same script with a gate before its first step.
fn asked(script: &str) -> String {
    script.replacen('\n', "\napprove(\"Sure?\", #{ name: \"sure\", timeout: \"1h\" });\n", 1)
}

#[test]
fn a_cloud_that_is_silent_is_given_up_and_the_copy_at_home_runs() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("sync.rhai", "transfer_delta(snapshot(vm(\"db-01\")));");
    ground.homing(&["run", "sync.rhai"]).exit(0);
    let script = given_up("cloud", "start_onprem_vm(db);\ncheck(db);\n");
    ground.write("lost.rhai", &script);
    // While it answers, and runs, it is not lost.
    ground
        .homing(&["run", "lost.rhai", "--approve", "all"])
        .exit(3)
        .says(&["H009", "while it runs"]);

    silence(&ground, "azure");
    let refused = ground.wide(&["plan", "sync.rhai"]).exit(3);
    insta::assert_snapshot!("cannot_be_observed", refused.err);
    ground.homing(&["plan", "lost.rhai", "--out", "plan.json"]).exit(0);
    ground.homing(&["rehearse", "plan.json", "--runs", "20", "--kill"]).exit(0);
    // On paper too nobody is told to look where nobody sees.
    let book = ground.homing(&["runbook", "lost.rhai"]).exit(0).out;
    assert!(book.contains("First see: db-01 was given up at azure"), "{book}");
    assert!(
        !book.contains("exists in the cloud") && !book.contains("If you cannot see it"),
        "{book}"
    );
    // It was only the line: the plan does not hold any more.
    mend(&ground);
    ground.homing(&["run", "plan.json", "--approve", "all"]).exit(5).says(&["cloud.power"]);
    silence(&ground, "azure");
    let ran = ground.wide(&["run", "plan.json", "--approve", "all"]).exit(0);
    insta::assert_snapshot!("the_cloud_is_given_up", told(&ran.err));

    // Nothing more is asked of it: the machine is planned for, and committed, without.
    ground.write(
        "commit.rhai",
        "let db = vm(\"db-01\");\ncheck(db);\n\
         approve(\"Commit?\", #{ name: \"c\", timeout: \"1h\" });\ncommit(db);\n",
    );
    ground.homing(&["run", "commit.rhai", "--approve", "all"]).exit(0);
    let status = ground.homing(&["status", &ground.newest_run()]).exit(0);
    assert!(status.out.contains("on-prem alone; cloud given up"), "{}", status.out);
    // The region is back, and with it a machine that writes: it is seen, and nothing is deleted by itself.
    mend(&ground);
    let status = ground.homing(&["status", &ground.newest_run()]).exit(0);
    assert!(status.out.contains("ON BOTH SIDES"), "{}", status.out);
    ground.homing(&["run", "commit.rhai", "--approve", "all"]).exit(3).says(&["H009"]);
}

#[test]
fn a_data_centre_that_is_silent_is_given_up_and_taken_back() {
    let ground = Ground::new();
    let home = ["run", "std/failback", "-p", "machine=db-01", "--approve", "all"];
    ground.homing(&home).exit(0);
    let script = given_up("onprem", "start_azure_vm(db);\ncheck(db);\ncommit_failover(db);\n");
    ground.write("lost.rhai", &script);
    silence(&ground, "dc1");
    let killed = ["run", "lost.rhai", "--approve", "all", "--inject", "db-01.declare_lost=kill"];
    ground.homing(&killed).exit(-1);
    let run = ground.newest_run();
    // Whoever goes on and injects the same, dies of the same.
    ground.homing(&[&["resume", &run][..], &killed[2..]].concat()).exit(-1);
    // In between it answers, and runs: then it is not lost.
    mend(&ground);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(1).says(&["H331"]);
    silence(&ground, "dc1");
    ground.homing(&["retry", &run, "db-01.declare_lost.1"]).exit(0);
    let ran = ground.wide(&["resume", &run, "--approve", "all"]).exit(0);
    insta::assert_snapshot!("the_data_centre_is_given_up", told(&ran.err));
    ground.nothing_ran_twice(&run);

    // A machine of the cloud like any other, stopped and started while nobody sees the other side.
    ground.write(
        "again.rhai",
        "let db = vm(\"db-01\");\nshutdown_azure_vm(db);\nstart_azure_vm(db);\ncheck(db);\n",
    );
    ground.homing(&["run", "again.rhai"]).exit(3).says(&["H001", "still lost"]);
    ground.write("again.rhai", &asked(&ground.read("again.rhai")));
    ground.homing(&["run", "again.rhai", "--approve", "all"]).exit(0);
    // Stopped, and planned for anew: it is the machine, and no replica of the one that is lost.
    ground.write("off.rhai", "shutdown_azure_vm(vm(\"db-01\"));");
    ground.homing(&["run", "off.rhai"]).exit(0);
    ground.write("on.rhai", &asked("let db = vm(\"db-01\");\nstart_azure_vm(db);\ncheck(db);\n"));
    ground.homing(&["run", "on.rhai", "--approve", "all"]).exit(0);

    // The data centre is back: its machine is turned off, and then brought home as a failback is.
    mend(&ground);
    ground.write("off.rhai", "shutdown_onprem_vm(vm(\"db-01\"));");
    ground.homing(&["run", "off.rhai"]).exit(0);
    ground.homing(&home).exit(0);
    let report = ground.homing(&["lab", "verify", "--format", "json"]).exit(1).json();
    assert_eq!(report["machines"][0]["running_on"], "dc1", "{report}");
    let status = ground.homing(&["status", &ground.newest_run()]).exit(0);
    assert!(status.out.contains("safe on-prem and protected"), "{}", status.out);
}

#[test]
fn a_run_that_a_silent_site_stops_is_ended_and_another_plan_brings_the_machine_up() {
    let ground = Ground::new();
    ground.write("lost.rhai", &given_up("cloud", "start_onprem_vm(db);\ncheck(db);\n"));
    let kill = ["--approve", "all", "--inject", "db-01.transfer_delta.2=kill"];
    ground
        .homing(&[&["run", "failback-one.rhai", "-p", "machine=db-01"][..], &kill].concat())
        .exit(-1);
    let run = ground.newest_run();
    silence(&ground, "azure");
    let resumed = ground.wide(&["resume", &run]).exit(9);
    insta::assert_snapshot!("not_resumed", told(&resumed.err));
    // The replica is whole or not begun: the final transfer was never started.
    let replanned = ["replan", &run, "lost.rhai", "--approve", "all"];
    ground.homing(&replanned).exit(0);
    let status = ground.homing(&["status", &ground.newest_run()]).exit(0);
    assert!(status.out.contains("on-prem alone; cloud given up"), "{}", status.out);
    ground.homing(&["status", &run]).exit(0);
    ground.homing(&["resume", &run]).exit(2).says(&["over"]);
}

#[test]
fn no_way_back_leads_to_a_side_that_nobody_reaches() {
    let ground = without_cloud("start_onprem_vm(db);\ncheck(db);\n");
    let fails = ["--approve", "all", "--inject", "db-01.start_onprem_vm=permanent"];
    ground.homing(&[&["run", "lost.rhai"][..], &fails].concat()).exit(9);
    let run = ground.newest_run();
    ground.homing(&["rollback", &run]).exit(3).says(&["H009", "declared lost", "is as it was"]);
    ground.homing(&["retry", &run, "db-01.start_onprem_vm.1"]).exit(0);
    ground.homing(&["resume", &run]).exit(0);
}

#[test]
fn a_loss_that_one_plan_declared_holds_for_the_next() {
    let ground = without_cloud("");
    ground.homing(&["run", "lost.rhai", "--approve", "all"]).exit(0);
    let status = ground.wide(&["status", &ground.newest_run()]).exit(0);
    assert!(status.out.contains("NOT started; other side given up"), "{}", status.out);
    let up = "let db = vm(\"db-01\");\nstart_onprem_vm(db);\ncheck(db);\n";
    ground.write("up.rhai", up);
    // It may have been back meanwhile, and written, while nobody looked.
    ground.homing(&["run", "up.rhai"]).exit(3).says(&["H001", "still lost"]);
    ground.write("up.rhai", &asked(up));
    ground.homing(&["run", "up.rhai", "--approve", "all"]).exit(0);
}

/// A cloud that was given up is back, and its machine had gone on all the while.
fn split() -> Ground {
    let ground = without_cloud("start_onprem_vm(db);\ncheck(db);\n");
    ground.homing(&["run", "lost.rhai", "--approve", "all"]).exit(0);
    mend(&ground);
    let status = ground.wide(&["status"]).exit(0);
    assert!(status.out.contains("SPLIT: each side has its own writes"), "{}", status.out);
    let keep = "homing run std/decide -p machines=db-01 -p keep=cloud";
    assert!(status.out.contains(keep), "{}", status.out);
    let pending = ground.homing(&["runs", "--pending"]).exit(0);
    assert!(pending.out.contains("on BOTH sides"), "{}", pending.out);
    ground
}

#[test]
fn what_status_says_to_type_decides() {
    for keep in ["cloud", "onprem"] {
        let ground = split();
        let keeps = format!("keep={keep}");
        let decide = ["run", "std/decide", "-p", "machines=db-01", "-p", &keeps];
        ground.homing(&decide).exit(4);
        ground.homing(&["resume", &ground.newest_run(), "--approve", "all"]).exit(0);
        if keep == "cloud" {
            lives_in_the_cloud(&ground);
        } else {
            let status = ground.homing(&["status"]).exit(0);
            assert!(status.out.contains("safe on-prem; cloud disks kept"), "{}", status.out);
        }
    }
}

#[test]
fn a_loss_that_is_over_excuses_nothing_the_next_time() {
    let ground = without_cloud("");
    ground.homing(&["run", "lost.rhai", "--approve", "all"]).exit(0);
    mend(&ground);
    // Homing copies from it: it is at work again.
    ground.write("sync.rhai", "transfer_delta(snapshot(vm(\"db-01\")));");
    ground.homing(&["run", "sync.rhai"]).exit(0);
    silence(&ground, "azure");
    let up = "let db = vm(\"db-01\");\nstart_onprem_vm(db);\ncheck(db);\n";
    ground.write("up.rhai", &asked(up));
    ground.homing(&["run", "up.rhai", "--approve", "all"]).exit(3).says(&["H327"]);
}

#[test]
fn a_side_that_was_decided_against_is_no_copy_of_the_one_that_is_silent() {
    let ground = split();
    let keep = "let db = vm(\"db-01\");\nshutdown_onprem_vm(db);\nstart_azure_vm(db);\n";
    ground.write("keep.rhai", &asked(keep));
    ground.homing(&["run", "keep.rhai", "--approve", "all"]).exit(0);
    silence(&ground, "azure");
    let lost = ["run", "lost.rhai", "--approve", "all"];
    ground.homing(&lost).exit(3).says(&["H004", "it can never be started"]);
    // Once it is a copy again, it may be.
    mend(&ground);
    ground.write("sync.rhai", "transfer_delta(snapshot(vm(\"db-01\")));");
    ground.homing(&["run", "sync.rhai"]).exit(0);
    silence(&ground, "azure");
    ground.homing(&lost).exit(0);
}

/// The machine's newest data is in the cloud, and whatever is planned from now on knows it.
#[track_caller]
fn lives_in_the_cloud(ground: &Ground) {
    ground.write("off.rhai", "shutdown_azure_vm(vm(\"db-01\"));");
    let off = ground.homing(&["run", "off.rhai"]).exit(0);
    assert!(off.err.contains("safe on cloud disks alone"), "{}", off.err);
    ground.write("up.rhai", "start_onprem_vm(vm(\"db-01\"));");
    ground.homing(&["plan", "up.rhai"]).exit(3).says(&["H003"]);
    ground.write("up.rhai", "let db = vm(\"db-01\");\nstart_azure_vm(db);\ncheck(db);\n");
    ground.homing(&["run", "up.rhai"]).exit(0);
    ground.homing(&["run", "std/failback", "-p", "machine=db-01", "--approve", "all"]).exit(0);
}

#[test]
fn whoever_rolls_a_loss_back_decides_for_the_side_that_came_back() {
    let ground = split();
    ground.homing(&["rollback", &ground.newest_run(), "--approve", "all"]).exit(0);
    lives_in_the_cloud(&ground);
}

#[test]
fn a_person_decides_between_two_sides_with_writes_of_their_own() {
    let ground = split();
    let keep = "let db = vm(\"db-01\");\nshutdown_onprem_vm(db);\nstart_azure_vm(db);\n";
    ground.write("keep.rhai", keep);
    // A way back before the commit is a warning; after it, a person is asked.
    ground.homing(&["plan", "keep.rhai"]).exit(3).says(&["H002", "keeps it there"]);
    let asked =
        keep.replacen('\n', "\napprove(\"Keep it?\", #{ name: \"k\", timeout: \"1h\" });\n", 1);
    ground.write("keep.rhai", &asked);
    ground.homing(&["run", "keep.rhai", "--approve", "all"]).exit(0).says(&["H016"]);
    lives_in_the_cloud(&ground);
}

#[test]
fn machines_are_adopted_at_the_site_that_answers() {
    let ground = Ground::new();
    ground.homing(&["run", "failback-one.rhai", "-p", "machine=db-01"]).exit(4);
    silence(&ground, "azure");
    let elsewhere = |args: &[&str]| ground.homing(&[args, &["--state", "other"]].concat());
    ground.write("lost.rhai", &given_up("cloud", "start_onprem_vm(db);\ncheck(db);\n"));
    let lost = ["run", "lost.rhai", "--approve", "all"];
    elsewhere(&lost).exit(6).says(&["homing adopt"]);
    elsewhere(&["adopt", "--yes"]).exit(0).says(&["not looked at", "1 taken over"]);
    elsewhere(&lost).exit(0);
}
