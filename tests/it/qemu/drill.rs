//! The drill: real Linux guests write records in the cloud, come home, and prove every one of them.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::qemu::{QemuGround, guest_installed};

fn ground() -> QemuGround {
    let inventory = include_str!("../../../scripts/qemu.toml");
    QemuGround::new(inventory)
}

const RUN: [&str; 6] = ["run", "qemu-drill.rhai", "--approve", "all", "--output", "jsonl"];

#[track_caller]
fn all_home(ground: &QemuGround) {
    for machine in ground.verified() {
        assert_eq!(machine["lost"], 0, "{machine}");
        assert_eq!(machine["running_on"], "dc1", "{machine}");
        assert_eq!(machine["cloud"], "deleted", "{machine}");
        assert_eq!(machine["protected"], "onprem_to_cloud", "{machine}");
    }
}

/// The moments at which homing is killed in one run: in phase 1, at the end of phase 1, in each step of phase
/// 2, and after the point of no return.
const MOMENTS: &[(&str, &str)] = &[
    ("attempt_started", "transfer_delta.1"),
    ("attempt_started", "shutdown_azure_vm"),
    ("attempt_started", "transfer_delta.2"),
    ("attempt_started", "start_onprem_vm"),
    ("intent", "commit"),
    ("attempt_started", "reverse_replicate"),
];

#[test]
fn three_guests_come_home_though_homing_is_killed_in_every_phase() {
    if !guest_installed() {
        return;
    }
    let ground = ground();
    ground.homing(&["lab", "init"]).exit(0);
    let mut running = ground.start(&RUN);
    for (event, step) in MOMENTS {
        running.until_event(event, step);
        running.kill();
        let run = ground.newest_run();
        let again = ["resume", &run, "--approve", "all", "--output", "jsonl"];
        running = ground.start(&again);
    }
    assert_eq!(running.end(), 0, "{}", ground.read("stderr.txt"));
    ground.nothing_ran_twice(&ground.newest_run());
    all_home(&ground);
    ground.homing(&["lab", "reset", "--yes"]).exit(0);
}

/// Waits until a console has a line with these words.
#[track_caller]
fn until_said(console: &Path, words: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let said = std::fs::read(console).map(|text| String::from_utf8_lossy(&text).into_owned());
        let said = said.unwrap_or_default();
        if let Some(line) = said.lines().rev().find(|line| line.contains(words)) {
            return line.to_owned();
        }
        assert!(Instant::now() < deadline, "no `{words}` in\n{said}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// Waits until some of the source is on a replica that had nothing: on one disk the records, on the other one
/// their index, so whatever came first, something is missing. The rest would take the link minutes.
#[track_caller]
fn until_torn(replica: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut begins = vec![0; 1 << 20];
    let mut has_any = |disk: &str| {
        let mut file = std::fs::File::open(replica.join(disk)).unwrap();
        std::io::Read::read_exact(&mut file, &mut begins).unwrap();
        begins.iter().any(|byte| *byte != 0)
    };
    while !has_any("disk0.raw") && !has_any("disk1.raw") {
        assert!(Instant::now() < deadline, "nothing was sent");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_transfer_that_was_cancelled_leaves_a_machine_that_does_not_boot_and_homing_refuses_to() {
    if !guest_installed() {
        return;
    }
    let ground = ground();
    // One machine, and a link slow enough to be cut in the middle.
    let text = ground.read("homing.toml").replace(
        "provider = \"qemu\"\npath = \".homing/qemu/azure\"",
        "provider = \"qemu\"\nbandwidth = \"4KiB/s\"\npath = \".homing/qemu/azure\"",
    );
    let only = text.split("[machine.web-01]").next().unwrap().replace("\"32MiB\"", "\"16MiB\"");
    ground.write("homing.toml", &only);
    ground.homing(&["lab", "init"]).exit(0);
    let cloud = ground.machine("azure", None, "db-01").join("console.log");
    until_said(&cloud, "HOMING ack 200 ");
    ground.write("sync.rhai", "transfer_delta(snapshot(vm(\"db-01\")), #{ mode: \"full\" });");
    let running = ground.start(&["run", "sync.rhai", "--output", "jsonl"]);
    let home = ground.machine("dc1", Some("kvm-01"), "db-01");
    until_torn(&home);
    running.kill();
    let run = ground.newest_run();
    ground.homing(&["cancel", &run]).exit(9);

    // Homing refuses, in the proof and whatever a plan says.
    ground
        .write("boot.rhai", "let db = vm(\"db-01\"); shutdown_azure_vm(db); start_onprem_vm(db);");
    let said = ground.homing(&["plan", "boot.rhai"]).exit(3);
    assert!(said.err.contains("H003"), "{}", said.err);

    // Booted by hand, the guest itself finds what is missing.
    crate::support::qemu::quit_all(&home);
    boot_by_hand(&ground, &home);
    let verdict = until_said(&home.join("by-hand.log"), "HOMING refuses");
    assert!(!verdict.is_empty());
    ground.homing(&["lab", "reset", "--yes"]).exit(0);
}

/// Boots the disks of a folder with the practice guest, as somebody would who does not know.
fn boot_by_hand(ground: &QemuGround, folder: &Path) {
    let site = ground.path().join(".homing/qemu/azure");
    let initrd = std::fs::read_dir(&site).unwrap().flatten().map(|entry| entry.path());
    let initrd = initrd.into_iter().find(|path| path.extension().is_some_and(|e| e == "cpio"));
    let initrd = initrd.expect("an initramfs");
    let name = initrd.file_stem().unwrap().to_str().unwrap();
    let version = name.strip_prefix("practice-").unwrap().rsplit_once('-').unwrap().0;
    let mut line = std::process::Command::new("qemu-system-x86_64");
    line.args(["-accel", "tcg", "-m", "128", "-nodefaults", "-display", "none"])
        .args(["-serial", "file:by-hand.log", "-kernel", &format!("/boot/vmlinuz-{version}")])
        .args(["-initrd", initrd.to_str().unwrap()])
        .args(["-append", "console=ttyS0 quiet panic=-1 homing.once"])
        .current_dir(folder);
    for disk in ["disk0.raw", "disk1.raw"] {
        line.args(["-drive", &format!("file={disk},format=raw,if=virtio")]);
    }
    let ended = line.status().unwrap();
    assert!(ended.success(), "it powered itself off");
}
