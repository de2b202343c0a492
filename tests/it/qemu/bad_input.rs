//! What can be wrong with QEMU and with disk files: each with a clear error, and nothing lost.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::qemu::{FAILBACK, ONE, with_disks};
use crate::support::qemu::{QemuGround, crash, installed, listener, tell, tool};

const SYNC: &str = r#"
let web = vm("web-01");
create_onprem_vm(web);
transfer_delta(web, #{ retry: #{ attempts: 1 } });
"#;

/// What the disks in the cloud hold, as QEMU's own tool reads it.
fn content(ground: &QemuGround) -> String {
    let folder = ground.machine("azure", None, "web-01");
    tool(&["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "disk0.qcow2", "check.raw"], &folder);
    blake3::hash(&std::fs::read(folder.join("check.raw")).unwrap()).to_hex().to_string()
}

#[test]
fn without_qemu_the_message_says_what_to_install() {
    let ground = QemuGround::new(ONE);
    let folder = ground.machine("azure", None, "web-01");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("disk0.qcow2"), "").unwrap();
    std::fs::write(folder.join("disk1.qcow2"), "").unwrap();
    ground.write("p.rhai", FAILBACK);
    let nowhere = [("PATH", ground.path().join("nowhere"))];
    let said = ground.homing_with(&["run", "p.rhai", "--approve", "all"], &nowhere).exit(9);
    said.says(&["`qemu-system-x86_64` is not installed", "apt-get install qemu-system-x86"]);
}

#[test]
fn a_disk_that_is_gone_is_named() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    let before = content(&ground);
    std::fs::remove_file(ground.machine("azure", None, "web-01").join("disk1.qcow2")).unwrap();
    ground.write("p.rhai", SYNC);
    let said = ground.homing(&["run", "p.rhai", "--approve", "all"]).exit(9);
    said.says(&["has lost a disk", "disk1.qcow2", "put the file back"]);
    assert_eq!(content(&ground), before);
}

/// A program that has the first disk open.
fn other_program(folder: &Path) -> Child {
    let mut other = Command::new("qemu-system-x86_64")
        .args(["-machine", "none", "-display", "none", "-nodefaults", "-qmp", "stdio"])
        .args(["-blockdev", "driver=qcow2,node-name=d,file.driver=file,file.filename=disk0.qcow2"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It greets once it has the disk open.
    let out = other.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut String::new()).unwrap();
    other
}

#[test]
fn a_disk_that_another_program_has_open_is_left_alone() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    let folder = ground.machine("azure", None, "web-01");
    let mut other = other_program(&folder);
    ground.write("p.rhai", SYNC);
    let said = ground.homing(&["run", "p.rhai", "--approve", "all"]);
    other.kill().unwrap();
    other.wait().unwrap();
    let said = said.exit(9).says(&["H346", "in use by another program", "fuser -v"]);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    // Then it goes on where it stood.
    let run = ground.newest_run();
    ground.homing(&["retry", &run, "web-01.transfer_delta.1"]).exit(0);
    ground.homing(&["resume", &run]).exit(0);
}

/// Leaves a bitmap of a backup program in a disk, in use, as a program that was killed does.
fn foreign_bitmap(folder: &Path) {
    tool(&["qemu-img", "bitmap", "--add", "disk0.qcow2", "backup-7"], folder);
    let mut other = other_program(folder);
    other.kill().unwrap();
    other.wait().unwrap();
    let info = tool(&["qemu-img", "info", "disk0.qcow2"], folder);
    assert!(info.contains("in-use"), "{info}");
}

#[test]
fn a_disk_on_which_another_program_counts_is_not_written() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    let folder = ground.machine("azure", None, "web-01");
    foreign_bitmap(&folder);
    let before = content(&ground);
    ground.write("p.rhai", FAILBACK);
    let said = ground.homing(&["run", "p.rhai", "--approve", "all"]).exit(9);
    said.says(&["H347", "`backup-7`", "qemu-img bitmap --remove"]);
    assert_eq!(content(&ground), before, "nothing ran");
    tool(&["qemu-img", "bitmap", "--remove", "disk0.qcow2", "backup-7"], &folder);
    let run = ground.newest_run();
    ground.homing(&["retry", &run, "web-01.start_azure_vm.1"]).exit(0);
    ground.homing(&["resume", &run, "--approve", "all"]).exit(0);
}

#[test]
fn bitmaps_of_a_process_that_was_killed_are_void_and_disks_are_compared() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    let folder = ground.machine("azure", None, "web-01");
    // The second boot has the first one's bitmaps open.
    let sync = r#"
        let web = vm("web-01");
        start_azure_vm(web);
        create_onprem_vm(web);
        transfer_delta(snapshot(web));
        shutdown_azure_vm(web, #{ grace: "100ms" });
    "#;
    ground.write("sync.rhai", sync);
    ground.homing(&["run", "sync.rhai", "--approve", "all"]).exit(0);
    ground.write("start.rhai", "start_azure_vm(vm(\"web-01\"));");
    ground.homing(&["run", "start.rhai", "--approve", "all"]).exit(0);
    // The qcow2 files keep bitmaps that are in use.
    crash(&folder);
    assert!(tool(&["qemu-img", "info", "disk0.qcow2"], &folder).contains("in-use"));
    ground.write("final.rhai", "let web = vm(\"web-01\"); shutdown_azure_vm(web); transfer_delta(web); start_onprem_vm(web);");
    ground.homing(&["run", "final.rhai", "--approve", "all"]).exit(0);
    let run = ground.newest_run();
    let steps = ground.homing(&["show", &run, "--format", "json"]).json()["steps"].clone();
    let moved = steps.as_array().unwrap().iter().find(|s| s["id"] == "web-01.transfer_delta.1");
    assert_eq!(moved.unwrap()["outputs"]["method"], "manifest", "not by a void bitmap");
}

#[test]
fn a_snapshot_that_is_ended_while_it_is_read_is_no_moment() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    let slow = ONE.replacen("accel = \"tcg\"", "accel = \"tcg\"\nbandwidth = \"1MiB/s\"", 1);
    ground.write("homing.toml", &slow);
    let script = r#"
        let web = vm("web-01");
        start_azure_vm(web);
        create_onprem_vm(web);
        transfer_delta(snapshot(web), #{ retry: #{ attempts: 2, first: "100ms" } });
    "#;
    ground.write("p.rhai", script);
    let mut running = ground.start(&["run", "p.rhai", "--output", "jsonl"]);
    let id = running.until_event("step_succeeded", "snapshot")["outputs"]["id"].clone();
    let moved = |e: &serde_json::Value| e["progress"]["sent"].as_u64().is_some_and(|sent| sent > 0);
    running.until(moved).expect("a transfer in flight");
    let job = format!("s0-{}", id.as_str().unwrap());
    let cancel = format!(
        "{{\"execute\":\"block-job-cancel\",\"arguments\":{{\"device\":\"{job}\",\"force\":true}}}}"
    );
    tell(&ground.machine("azure", None, "web-01").join("qmp.sock"), &[&cancel]);
    assert_eq!(running.end(), 9);
    let said = ground.read("stderr.txt");
    assert!(said.contains("is gone"), "and the second attempt finds it gone: {said}");
    let status = ground.homing(&["status"]).exit(0);
    assert!(status.out.contains("dirty"), "nothing boots from it: {}", status.out);
}

#[test]
fn a_disk_written_behind_the_back_is_no_replica_any_more() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    ground.write(
        "sync.rhai",
        "let web = vm(\"web-01\"); create_onprem_vm(web); transfer_delta(web);",
    );
    ground.homing(&["run", "sync.rhai", "--approve", "all"]).exit(0);
    let home = ground.machine("dc1", Some("kvm-01"), "web-01");
    tool(&["qemu-io", "-f", "raw", "-c", "write -P 1 5M 64k", "disk0.raw"], &home);
    ground.write("start.rhai", "let web = vm(\"web-01\"); start_onprem_vm(web);");
    let said = ground.homing(&["run", "start.rhai", "--approve", "all"]).exit(3);
    assert!(said.err.contains("H00"), "the proof sees it: {}", said.err);
    // The next transfer trusts nothing of it.
    ground.homing(&["run", "sync.rhai", "--approve", "all"]).exit(0);
    let cloud = ground.machine("azure", None, "web-01");
    let argv = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", "disk0.raw"];
    let other = cloud.join("disk0.qcow2").display().to_string();
    tool(&[&argv[..], &[other.as_str()]].concat(), &home);
}

#[test]
fn what_the_inventory_cannot_mean_is_said_before_anything_runs() {
    let ground = QemuGround::new(ONE);
    ground.write("p.rhai", FAILBACK);
    for (from, to, says) in [
        ("memory = \"32MiB\"", "memory = \"32MB/s\"", "`memory`"),
        ("memory = \"32MiB\"", "memory = \"1MiB\"", "less than 16MiB"),
        ("memory = \"32MiB\"", "memry = \"32MiB\"", "did you mean `memory`"),
        ("memory = \"32MiB\"", "args = [\"-drive\", \"x\"]", "`-drive` is not allowed"),
        ("memory = \"32MiB\"", "guest = \"windows\"", "`windows`"),
        ("memory = \"32MiB\"", "initrd = \"x\"", "need a `kernel`"),
        ("memory = \"32MiB\"", "network = \"prod\"", "switch `prod`"),
        ("format = \"raw\"", "format = \"vhd\"", "unknown variant `vhd`"),
        ("accel = \"tcg\"", "accel = \"fast\"", "unknown variant `fast`"),
        ("path = \".homing/qemu/azure\"", "", "has no `path`"),
        ("dc1/kvm-01", "dc1/kvm-02", "`kvm-02`"),
        ("kvm-01 = {}", "kvm-01 = { switches = { prod = \"tcp:1\" } }", "`tcp:1`"),
    ] {
        assert!(ONE.contains(from), "{from}");
        ground.write("homing.toml", &ONE.replacen(from, to, 1));
        ground.homing(&["plan", "p.rhai"]).exit(2).says(&[says]);
    }
}

#[test]
fn a_guest_that_ignores_the_power_button_loses_its_plug_and_nothing_else() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    ground.write("p.rhai", FAILBACK);
    ground.homing(&["run", "p.rhai", "--approve", "all"]).exit(0);
    let run = ground.newest_run();
    let steps = ground.homing(&["show", &run, "--format", "json"]).json()["steps"].clone();
    let stop = steps.as_array().unwrap().iter().find(|s| s["id"] == "web-01.shutdown_azure_vm.1");
    assert_eq!(stop.unwrap()["outputs"]["forced"], true);
}

#[test]
fn a_process_that_hangs_may_run_and_loses_its_plug() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    ground.write("start.rhai", "start_azure_vm(vm(\"web-01\"));");
    ground.homing(&["run", "start.rhai", "--approve", "all"]).exit(0);
    let socket = ground.machine("azure", None, "web-01").join("qmp.sock");
    let process = listener(&socket);
    rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    // Its twin is not started beside it.
    let twin = "let web = vm(\"web-01\"); create_onprem_vm(web); start_onprem_vm(web);";
    ground.write("twin.rhai", twin);
    let said = ground.homing(&["plan", "twin.rhai"]).exit(3);
    assert!(said.err.contains("H001"), "{}", said.err);
    let off = "shutdown_azure_vm(vm(\"web-01\"), #{ grace: \"100ms\" });";
    ground.write("off.rhai", off);
    ground.homing(&["run", "off.rhai", "--approve", "all"]).exit(0);
    let lock = std::fs::File::open(socket.with_file_name("lock")).unwrap();
    assert!(lock.try_lock_shared().is_ok(), "it is gone");
}
