//! The state folder fills up, goes, cannot be made, or is there twice.

use std::fs;
use std::path::Path;

use rustix::io::Errno;

use super::{at_the_gate, is_home};
use crate::support::Ground;
use crate::support::dying::Call;
use crate::support::told::told;

const RUN: [&str; 6] = ["--state", "state", "run", "failback-one.rhai", "--on-gate", "wait"];

/// A run whose process waits at its first gate.
fn waiting() -> (Ground, crate::support::Running, String) {
    let ground = Ground::new();
    let mut running = ground.start(&[&RUN[..], &["--output", "jsonl"]].concat());
    let opened = running.until_event("gate_opened", "complete");
    (ground, running, opened["run"].as_str().unwrap().to_owned())
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let there = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copied(&path, &there);
        } else {
            fs::copy(&path, there).unwrap();
        }
    }
}

/// The last thing said, as one wide page would have it.
fn last_words(ground: &Ground) -> String {
    let path = ground.path().display().to_string();
    told(&ground.read("stderr.txt").replace(&path, "GROUND"))
}

#[test]
fn a_journal_without_room_begins_nothing_more_and_goes_on_with_room() {
    let (ground, running, run) = waiting();
    running.limit_files(4096);
    // The yes is another process's record; the run's own next one finds no room.
    ground.homing(&["--state", "state", "approve", &run, "complete"]).exit(0);
    assert_eq!(running.end(), 74, "{}", ground.read("stderr.txt"));
    insta::assert_snapshot!(last_words(&ground));
    let begun = |events: &[serde_json::Value]| {
        let started = |event: &&serde_json::Value| event["event"] == "attempt_started";
        events.iter().filter(started).count()
    };
    let events = ground.homing(&["--state", "state", "logs", &run, "--format", "json"]).exit(0);
    assert_eq!(begun(&events.lines()), 2, "the snapshot and its transfer");
    assert_eq!(ground.verified()[1]["cloud"], "running", "nothing was begun");
    ground.homing(&["--state", "state", "status", &run]).exit(0);
    ground.homing(&["--state", "state", "resume", &run, "--approve", "all"]).exit(0);
    ground.homing(&["--state", "state", "audit", &run]).exit(0);
    is_home(&ground);
}

#[test]
fn a_journal_on_a_full_disk_ends_the_run_in_order_and_goes_on_with_room() {
    let (ground, run) = at_the_gate("go");
    let (name, path, error) = ("write", "homing.db-wal", Some(Errno::NOSPC));
    let full = Call { name, path, nth: 12, error, ..Call::default() };
    let said =
        ground.homing_with(&["resume", &run, "--approve", "go"], &full.environment(ground.path()));
    let last = said.exit(74).err;
    let (_, last) = last.split_once("homing: ").unwrap();
    insta::assert_snapshot!(told(&format!("homing: {last}")));
    ground.homing(&["audit", &run]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    is_home(&ground);
}

#[test]
fn a_journal_that_another_one_replaced_is_not_written_to() {
    let (ground, running, run) = waiting();
    let (state, away) = (ground.path().join("state"), ground.path().join("away"));
    fs::rename(&state, &away).unwrap();
    copied(&away, &state);
    ground.homing(&["--state", "state", "approve", &run, "complete"]).exit(0);
    ground.homing(&["--state", "away", "approve", &run, "complete"]).exit(0);
    assert_eq!(running.end(), 74, "{}", ground.read("stderr.txt"));
    insta::assert_snapshot!(last_words(&ground));
    ground.homing(&["--state", "state", "resume", &run, "--approve", "all"]).exit(0);
    is_home(&ground);
}

#[test]
fn a_state_folder_that_cannot_be_made_or_read_begins_nothing() {
    let ground = Ground::new();
    ground.write("file", "no folder");
    let path = ground.path().display().to_string();
    let said = |state: &str, args: &[&str]| {
        let said = ground.wide(&[&["--state", state], args].concat()).exit(74);
        told(&said.err.replace(&path, "GROUND"))
    };
    insta::assert_snapshot!(said("file/state", &["run", "failback-one.rhai"]), @r"
    homing: H343: the state folder cannot be written: GROUND/file/state/locks: Not a directory (os error 20)
      check owner and permissions of the state folder, or choose another one with `--state`
    ");
    // Where nobody may make a folder, not even root: as on a disk that is mounted read-only.
    insta::assert_snapshot!(said("/proc/homing", &["run", "failback-one.rhai"]), @r"
    homing: H343: the state folder cannot be written: /proc/homing/locks: No such file or directory (os error 2)
      check owner and permissions of the state folder, or choose another one with `--state`
    ");
    ground.write("damaged/homing.db", "this was a journal, and a longer text than any header");
    insta::assert_snapshot!(said("damaged", &["resume"]), @r"
    homing: H343: the journal is damaged: file is not a database
      keep the file, restore a copy of the state folder; `sqlite3 homing.db .recover` shows what can be read
    ");
    assert!(!ground.path().join(".homing").exists(), "nothing was begun");
}

#[test]
fn of_a_state_folder_and_its_copy_only_the_one_resumed_last_may_act() {
    let (ground, running, run) = waiting();
    copied(&ground.path().join("state"), &ground.path().join("copy"));
    // On the other computer nobody owns the run: it is taken up there, and waits at its gate.
    ground.homing(&["--state", "copy", "resume", &run]).exit(4);
    ground.homing(&["--state", "state", "approve", &run, "complete"]).exit(0);
    assert_eq!(running.end(), 6, "{}", ground.read("stderr.txt"));
    insta::assert_snapshot!(last_words(&ground));
    assert_eq!(ground.verified()[1]["cloud"], "running", "nothing was begun");
    ground.homing(&["--state", "copy", "resume", &run, "--approve", "all"]).exit(0);
    is_home(&ground);
    // Whoever goes on from the old one all the same does no harm.
    ground.homing(&["--state", "state", "resume", &run, "--approve", "all"]).exit(1);
    is_home(&ground);
    assert_eq!(ground.verified()[1]["protected"], "onprem_to_cloud");
}
