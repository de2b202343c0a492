//! `homing audit`: the records of a real run, as they were written and as somebody would like them to be.

use rusqlite::Connection;

use crate::support::Ground;

#[test]
fn what_was_done_to_a_run_is_named_and_an_end_cut_off_is_found_by_its_printed_head() {
    let ground = Ground::new();
    let said = ground.homing(&["run", "failback-one.rhai", "--approve", "all"]).exit(0);
    let run = ground.newest_run();
    let talk = said.says(&["Journal head "]).err;
    let head = talk.lines().find_map(|line| line.strip_prefix("Journal head ")).unwrap();
    let prints = |args: &[&str], code: i32, parts: &[&str]| {
        let said = ground.homing(args).exit(code);
        assert!(parts.iter().all(|part| said.out.contains(part)), "{}", said.out);
    };
    prints(&["audit", &run, "--head", head], 0, &["Nothing was altered", head]);
    let audit = ground.homing(&["audit", &run, "--format", "json"]).exit(0).json();
    assert_eq!((&audit["outcome"], &audit["head"]), (&"succeeded".into(), &head.into()));
    ground.homing(&["audit", &run, "--head", "57"]).exit(2).says(&["NUMBER:HASH"]);
    ground.homing(&["audit", "r0000-nobody"]).exit(2).says(&["there is no run"]);

    let journal = Connection::open(ground.path().join(".homing/homing.db")).unwrap();
    let last = audit["events"].as_u64().unwrap();
    // Somebody who knows the chain makes a shorter journal of it that closes.
    let shorter = format!(
        "DELETE FROM event WHERE run = '{run}' AND seq = {last};
         UPDATE run SET head_seq = {last} - 1, outcome = NULL,
           head_hash = (SELECT hash FROM event WHERE run = '{run}' AND seq = {last} - 1)"
    );
    journal.execute_batch(&shorter).unwrap();
    prints(&["audit", &run], 0, &["is not over"]);
    let found = ["THIS RUN WAS ALTERED", "the end was cut off"];
    prints(&["audit", &run, "--head", head], 5, &found);
    journal
        .execute_batch("UPDATE event SET body = replace(body, 'web-01.check.1', 'web-01.chock.1') WHERE body LIKE '%step_succeeded%web-01.check.1%'")
        .unwrap();
    prints(&["audit", &run], 5, &["was changed", "cannot be resumed"]);
    ground.homing(&["resume", &run]).exit(5).says(&["was altered"]);
}
