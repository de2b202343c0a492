//! Disks that fail while a replica is written.

use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{HOME, at_the_gate, is_home};
use crate::support::dying::Call;
use crate::support::told::told;
use crate::support::{Ground, Running};

const SOURCE: &str = ".homing/lab/azure/disks/web-01";
const REPLICA: &str = ".homing/lab/dc1/hosts/hv-01/web-01/disk0.raw";
const MARK: &str = ".homing/lab/dc1/machines/web-01/state.json";
/// Most bytes of a file where there is no room for a whole disk.
const ROOM: u64 = 4 << 20;

/// The final transfer of a stopped machine, of which the first bytes are on their way over a slow link.
fn in_the_final_transfer(link: &str) -> (Ground, String, Running) {
    let ground = Ground::new();
    ground.write("home.rhai", HOME);
    ground.homing(&["run", "home.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.edit("homing.toml", "400MiB/s", link);
    let mut running = ground.start(&["resume", &run, "--approve", "go", "--output", "jsonl"]);
    running.until_event("attempt_started", "transfer_delta.2");
    // Its source is open by the time that the replica is marked.
    let begun = Instant::now();
    while !ground.read(MARK).contains("transfer_delta.2") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the replica is never marked");
        std::thread::yield_now();
    }
    ground.edit("homing.toml", link, "400MiB/s");
    (ground, run, running)
}

/// Why the first try failed, and how the run stands since.
fn failures(ground: &Ground, run: &str) -> String {
    let events = ground.events(run);
    let first = events.iter().find(|event| !event["failure"].is_null()).unwrap();
    let status = ground.wide(&["status", run]).exit(0).out;
    let said = format!("homing: {}\n{status}", first["failure"]["message"].as_str().unwrap());
    told(&said.replace(&ground.path().display().to_string(), "GROUND"))
}

/// The dirty replica boots for nobody; what the message says to type goes on.
#[track_caller]
fn goes_on(ground: &Ground, run: &str, step: &str) {
    ground.write("start.rhai", "let m = vm(\"web-01\");\nstart_onprem_vm(m);\n");
    ground.homing(&["check", "start.rhai"]).exit(3).says(&["H003"]);
    ground.homing(&["retry", run, step]).exit(0).says(&["homing resume"]);
    ground.homing(&["resume", run, "--approve", "all"]).exit(0);
    is_home(ground);
}

/// The way that needs neither root nor a disk of its own: a limit on the size of the process's files, which
/// the system keeps like a full disk (EFBIG for ENOSPC). That both are one to a transfer is tested there.
#[test]
fn no_room_where_the_replica_is() {
    let (ground, run) = at_the_gate("go");
    let args = ["resume", &run, "--approve", "go", "--output", "jsonl"];
    let running = ground.start(&args);
    running.limit_files(ROOM);
    assert_eq!(running.end(), 9, "{}", ground.read("stderr.txt"));
    insta::assert_snapshot!(failures(&ground, &run));
    goes_on(&ground, &run, "web-01.transfer_delta.2");
}

/// What a disk does that is ill: from that call on.
fn ill(name: &'static str, path: &'static str, nth: u64, error: Errno) -> Call {
    Call { name, path, nth, error: Some(error), ..Call::default() }
}

/// The run goes on over a disk that is ill, fails, and goes on once it is well.
#[track_caller]
fn fails_and_goes_on(call: Call) -> String {
    let (ground, run) = at_the_gate("go");
    let env = call.environment(ground.path());
    ground.homing_with(&["resume", &run, "--approve", "go"], &env).exit(9);
    let said = failures(&ground, &run);
    goes_on(&ground, &run, "web-01.transfer_delta.2");
    said
}

#[test]
fn a_source_disk_that_cannot_be_read_in_its_middle() {
    insta::assert_snapshot!(fails_and_goes_on(ill("read", SOURCE, 5, Errno::IO)));
}

#[test]
fn a_replica_that_cannot_be_written() {
    insta::assert_snapshot!(fails_and_goes_on(ill("write", REPLICA, 5, Errno::IO)));
}

#[test]
fn a_disk_that_is_full_where_the_replica_is() {
    insta::assert_snapshot!(fails_and_goes_on(ill("write", REPLICA, 5, Errno::NOSPC)));
}

#[test]
fn a_source_that_goes_in_the_middle_of_its_final_transfer() {
    let (ground, run, running) = in_the_final_transfer("3MiB/s");
    let away = ["disks", "machines"].map(|part| {
        let from = ground.path().join(".homing/lab/azure").join(part).join("web-01");
        let to = ground.path().join(format!("away-{part}"));
        fs::rename(&from, &to).unwrap();
        (to, from)
    });
    assert_eq!(running.end(), 9, "{}", ground.read("stderr.txt"));
    insta::assert_snapshot!(failures(&ground, &run));
    // As long as it is gone, what is left is a replica: it is no source, and it does not boot.
    ground.homing(&["retry", &run, "web-01.transfer_delta.2"]).exit(0);
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(9);
    insta::assert_snapshot!(told(&said.err));
    for (from, to) in away {
        let _ = fs::remove_dir_all(&to);
        fs::rename(from, to).unwrap();
    }
    goes_on(&ground, &run, "web-01.transfer_delta.2");
}

#[test]
fn a_key_that_is_the_wrong_one_and_one_that_is_not_there() {
    let ground = Ground::new();
    let inventory = ground.read("homing.toml");
    let (before, after) = inventory.split_once("[machine.web-01]").unwrap();
    let after = after.replacen("lab = { ", "lab = { encrypted = true, ", 1);
    let machine = format!("[machine.web-01]\nkey = \"shop\"{after}");
    ground.write("homing.toml", &format!("{before}{machine}\n[key.shop]\nfile = \"shop.key\"\n"));
    ground.write("home.rhai", HOME);
    ground.write("shop.key", "the right one");
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("shop.key", "another one");
    let said = ground.wide(&["run", "home.rhai", "--approve", "all"]).exit(1);
    insta::assert_snapshot!(told(&said.err));
    let run = ground.newest_run();
    fs::remove_file(ground.path().join("shop.key")).unwrap();
    ground.homing(&["retry", &run, "web-01.transfer_delta.1"]).exit(0);
    let said = ground.wide(&["resume", &run, "--approve", "all"]).exit(1);
    let path = ground.path().display().to_string();
    insta::assert_snapshot!(told(&said.err.replace(&path, "GROUND")));
    ground.write("shop.key", "the right one");
    ground.homing(&["retry", &run, "web-01.transfer_delta.1"]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
    is_home(&ground);
}
