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

#[test]
fn a_cloud_that_is_silent_is_given_up_and_the_copy_at_home_runs() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("sync.rhai", "transfer_delta(snapshot(vm(\"db-01\")));");
    ground.homing(&["run", "sync.rhai"]).exit(0);
    let script = given_up("cloud", "start_onprem_vm(db);\ncheck(db);\n");
    ground.write("lost.rhai", &script);
    // While it answers, the declaration of one that runs is refused, and nothing happened.
    ground.homing(&["run", "lost.rhai", "--approve", "all"]).exit(1).says(&["H331"]);
    ground.homing(&["cancel", &ground.newest_run()]).exit(0);

    silence(&ground, "azure");
    let refused = ground.wide(&["plan", "sync.rhai"]).exit(3);
    insta::assert_snapshot!("cannot_be_observed", refused.err);
    ground.homing(&["plan", "lost.rhai", "--out", "plan.json"]).exit(0);
    ground.homing(&["rehearse", "plan.json", "--runs", "20", "--kill"]).exit(0);
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
    ground.homing(&["run", "again.rhai"]).exit(0);
    // Stopped, and planned for anew: it is the machine, and no replica of the one that is lost.
    ground.write("off.rhai", "shutdown_azure_vm(vm(\"db-01\"));");
    ground.homing(&["run", "off.rhai"]).exit(0);
    ground.write("on.rhai", "let db = vm(\"db-01\");\nstart_azure_vm(db);\ncheck(db);\n");
    ground.homing(&["run", "on.rhai"]).exit(0);

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
