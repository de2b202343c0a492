//! Two operators at once, answers given twice, and a plan that is replaced under its run.

use crate::support::Ground;
use crate::support::told::told;

const ONE: [&str; 4] = ["run", "failback-one.rhai", "-p", "machine=db-01"];

#[test]
fn of_two_operators_one_gets_the_machine() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    let (one, two) = std::thread::scope(|scope| {
        let run = || ground.wide(&ONE);
        let other = scope.spawn(run);
        (run(), other.join().unwrap())
    });
    let (winner, loser) = if one.code == 4 { (one, two) } else { (two, one) };
    assert_eq!((winner.code, loser.code), (4, 6), "{}\n{}", winner.err, loser.err);
    insta::assert_snapshot!(told(&loser.err), @r"
    homing: H341: run `RUN` is not over and holds `db-01`
      finish it with `homing resume RUN`, or end it with `homing cancel RUN`
    ");
    // The other one from a laptop of their own: only the machine's site knows.
    let laptop = ground.wide(&[&ONE[..], &["--state", "laptop"]].concat()).exit(6);
    insta::assert_snapshot!(told(&laptop.err), @r"
    homing: H341: db-01 at azure is held by run RUN
      run `RUN` holds it; where that run was begun: homing resume RUN, or homing cancel RUN
      if its state folder is lost: homing adopt
    ");
    let run = ground.newest_run();
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    assert_eq!(ground.verified()[0]["running_on"], "dc1");
}

#[test]
fn of_two_processes_that_resume_a_run_one_gets_it() {
    let ground = Ground::new();
    ground.homing(&ONE).exit(4);
    let run = ground.newest_run();
    let resume = ["resume", run.as_str(), "--on-gate", "wait", "--output", "jsonl"];
    let mut owner = ground.start(&resume);
    owner.until_event("run_resumed", "");
    let second = ground.wide(&["resume", &run]).exit(6);
    insta::assert_snapshot!(told(&second.err), @r"
    homing: H341: another process is working on run `RUN`
      watch it with `homing logs RUN --follow`; it can be taken over only once that process is dead
    ");
    owner.kill();
    let (one, two) = std::thread::scope(|scope| {
        let resume = || ground.wide(&["resume", &run, "--approve", "all"]);
        let other = scope.spawn(resume);
        (resume(), other.join().unwrap())
    });
    // The second comes while the first is at work, or after it has ended.
    let mut codes = [one.code, two.code];
    codes.sort_unstable();
    assert!(codes == [0, 6] || codes == [0, 2], "{}\n{}", one.err, two.err);
    ground.nothing_ran_twice(&run);
    assert_eq!(ground.verified()[0]["running_on"], "dc1");
}

#[test]
fn the_first_answer_at_a_gate_is_the_one() {
    let ground = Ground::new();
    ground.homing(&ONE).exit(4);
    let run = ground.newest_run();
    ground.homing(&["approve", &run, "complete"]).exit(0);
    let twice = ground.wide(&["approve", &run, "complete"]).exit(2);
    insta::assert_snapshot!(told(&twice.err), @r"
    homing: the gate `complete` of run `RUN` was answered already, which waits for the run to go on
      homing status RUN
    ");
    ground.homing(&["resume", &run]).exit(4);
    let late = ground.wide(&["reject", &run, "complete"]).exit(2);
    insta::assert_snapshot!(told(&late.err), @r"
    homing: the gate `complete` of run `RUN` was approved already
      homing status RUN
    ");
    ground.homing(&["reject", &run, "commit"]).exit(0);
    ground.homing(&["approve", &run, "commit"]).exit(2).says(&["was answered already"]);
    ground.homing(&["resume", &run]).exit(10);
    let over = ground.wide(&["approve", &run, "commit"]).exit(2);
    insta::assert_snapshot!(told(&over.err), @r"
    homing: run `RUN` is over
      homing show RUN
    ");
    assert_eq!(ground.verified()[0]["cloud"], "off", "nothing was deleted");
}

#[test]
fn a_plan_that_is_replaced_under_its_run_changes_nothing_in_it() {
    let ground = Ground::new();
    ground.homing(&["plan", "failback-one.rhai", "--out", "plan.json"]).exit(0);
    ground.homing(&["run", "plan.json"]).exit(4);
    let run = ground.newest_run();
    let other = "let web = vm(\"web-01\");\ntransfer_delta(snapshot(web));\n";
    ground.write("failback-one.rhai", other);
    ground.homing(&["plan", "failback-one.rhai", "--out", "plan.json"]).exit(0);
    let busy = ground.wide(&["run", "plan.json"]).exit(6);
    insta::assert_snapshot!(told(&busy.err), @r"
    homing: H341: run `RUN` is not over and holds `web-01`
      finish it with `homing resume RUN`, or end it with `homing cancel RUN`
    ");
    ground.write("plan.json", "rubbish");
    std::fs::remove_file(ground.path().join("failback-one.rhai")).unwrap();
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    let web = &ground.verified()[1];
    assert_eq!(web["protected"], "onprem_to_cloud", "as the stored plan says: {web}");
    ground.homing(&["run", "plan.json"]).exit(3).says(&["H160", "this is no saved plan"]);
    let over = ground.wide(&["resume", &run]).exit(2);
    insta::assert_snapshot!(told(&over.err), @r"
    homing: H340: run `RUN` is over: succeeded
      make a new plan for what is left to do
    ");
}
