//! `homing skip`: a step is left out by a person, where the rest of the plan holds without it.

use crate::support::Ground;

#[test]
fn a_step_that_nothing_rests_on_is_left_out_and_the_outcome_says_so() {
    let ground = Ground::new();
    let script = "let web = vm(\"web-01\");\ncheck(web);\ntransfer_delta(snapshot(web));\n";
    ground.write("look.rhai", script);
    ground.homing(&["run", "look.rhai", "--inject", "web-01.check=permanent"]).exit(1);
    let run = ground.newest_run();
    let skip = |step: &str| ground.homing(&["skip", &run, step, "--reason", "seen by eye"]);
    skip("web-01.chek.1").exit(2).says(&["did you mean `web-01.check.1`"]);
    skip("web-01.snapshot.1").exit(2).says(&["web-01.transfer_delta.1", "needs what it puts out"]);
    skip("web-01.check.1").exit(0).says(&["homing resume"]);
    ground.homing(&["resume", &run]).exit(7).says(&["left it out: seen by eye"]);
    let events = ground.events(&run);
    let skipped = events.iter().find(|event| event["event"] == "step_skipped").unwrap();
    assert!(skipped["by"]["who"].is_string(), "{skipped}");
    skip("web-01.check.1").exit(2).says(&["over"]);
    ground.homing(&["audit", &run]).exit(0);
}

#[test]
fn a_step_that_the_proof_rests_on_is_not_left_out() {
    let ground = Ground::new();
    ground.homing(&["run", "failback-one.rhai"]).exit(4);
    let run = ground.newest_run();
    let skip = |step: &str| ground.homing(&["skip", &run, step, "--reason", "no time"]);
    skip("web-01.transfer_delta.2").exit(3).says(&["H0", "the plan is not safe", "homing status"]);
    skip("complete").exit(2).says(&["answer it"]);
    skip("web-01.snapshot.1").exit(2).says(&["it was begun"]);
    // A person looks at the machine before the commit: no rule needs the check as well.
    skip("web-01.check.1").exit(0).says(&["left out"]);
}
