//! Disks that fail while a replica is written.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::{HOME, at_the_gate, is_home};
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

#[test]
fn a_source_disk_that_cannot_be_read_in_its_middle() {
    let (ground, run, running) = in_the_final_transfer("2MiB/s");
    let disk = ground.path().join(SOURCE).join("disk0.raw");
    let whole = fs::read(&disk).unwrap();
    fs::File::options().write(true).open(&disk).unwrap().set_len(6 << 20).unwrap();
    assert_eq!(running.end(), 9, "{}", ground.read("stderr.txt"));
    insta::assert_snapshot!(failures(&ground, &run));
    fs::write(&disk, whole).unwrap();
    goes_on(&ground, &run, "web-01.transfer_delta.2");
}

/// A file in memory that the system lets nobody write to stands where the replica's disk was.
#[test]
fn a_replica_that_cannot_be_written() {
    let (ground, run) = at_the_gate("go");
    let sealed = fs::File::from(memfd_create("sealed", MemfdFlags::ALLOW_SEALING).unwrap());
    sealed.set_len(8 << 20).unwrap();
    fcntl_add_seals(&sealed, SealFlags::WRITE).unwrap();
    let disk = ground.path().join(REPLICA);
    let kept = ground.path().join("kept.raw");
    fs::rename(&disk, &kept).unwrap();
    let fd = sealed.as_raw_fd();
    let sealed_path = PathBuf::from(format!("/proc/{}/fd/{fd}", std::process::id()));
    std::os::unix::fs::symlink(sealed_path, &disk).unwrap();
    ground.homing(&["resume", &run, "--approve", "go"]).exit(9);
    insta::assert_snapshot!(failures(&ground, &run));
    fs::remove_file(&disk).unwrap();
    fs::rename(&kept, &disk).unwrap();
    goes_on(&ground, &run, "web-01.transfer_delta.2");
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
