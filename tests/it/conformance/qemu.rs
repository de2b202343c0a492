//! Machines of QEMU, with real guests under emulation.

use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use homing::base::Side;

use super::ground::{Ground, MACHINE, practice, work};
use crate::support::qemu::{crash, guest_installed, quit_all, status, tool};

/// Change tracking that survives a process in the cloud, none that does at home; two hosts.
const INVENTORY: &str = r#"
[site.azure]
provider = "qemu"
path = "qemu/azure"
accel = "tcg"

[site.dc1]
provider = "qemu"
path = "qemu/dc1"
format = "raw"
accel = "tcg"
hosts = { hv-01 = { switches = { prod = "user" } }, hv-02 = { switches = { prod = "user" } } }

[machine.web-01]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["16MiB", "16MiB"]
qemu = { guest = "practice", memory = "96MiB" }
"#;

/// Files that come and go with processes.
const OF_PROCESSES: &[&str] = &[
    "seal.json",
    "lock",
    "qmp.sock",
    "nbd.sock",
    "qemu.log",
    "disks.lock",
    "disks.sock",
    "disks.nbd.sock",
    "disks.log",
    "console.log",
];

/// A site in a temporary folder.
pub struct QemuGround {
    /// Removed last.
    _folder: tempfile::TempDir,
    path: Utf8PathBuf,
}

impl QemuGround {
    fn machine(&self, side: Side) -> PathBuf {
        let site = match side {
            Side::Cloud => "qemu/azure/disks",
            Side::Onprem => "qemu/dc1/hosts/hv-01",
        };
        self.path.join(site).join(MACHINE).into_std_path_buf()
    }
}

impl Ground for QemuGround {
    fn is_here() -> bool {
        guest_installed()
    }

    fn new() -> QemuGround {
        let folder = crate::support::folder();
        let path = Utf8Path::from_path(folder.path()).expect("a UTF-8 path").to_owned();
        let ground = QemuGround { _folder: folder, path };
        std::fs::write(ground.file(), INVENTORY).expect("a folder of its own");
        assert!(work(practice(&ground.file()).init()).expect("guests"), "it was created");
        ground
    }

    fn folder(&self) -> &Utf8Path {
        &self.path
    }

    fn guests(&self, side: Side) -> usize {
        let site = self.path.join(if side == Side::Cloud { "qemu/azure" } else { "qemu/dc1" });
        let processes = Path::new("/proc").read_dir().expect("a list of processes").flatten();
        let folders = processes.filter_map(|process| {
            let folder = std::fs::read_link(process.path().join("cwd")).ok()?;
            let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
            (folder.starts_with(&site) && name.starts_with("qemu-system")).then_some(folder)
        });
        // One whose guest has ended only holds the disks.
        let is_over = |folder: &PathBuf| {
            status(&folder.join("qmp.sock")).is_some_and(|said| said == "shutdown")
        };
        folders.filter(|folder| !is_over(folder)).count()
    }

    fn disconnect(&self, _: Side) -> bool {
        // It is this very computer. A process that hangs is tested apart (tests/it/qemu).
        false
    }

    fn reconnect(&self, _: Side) {}

    fn write_behind(&self, side: Side, offset: u64, data: &[u8]) {
        let (disk, format) = match side {
            Side::Cloud => ("disk0.qcow2", "qcow2"),
            Side::Onprem => ("disk0.raw", "raw"),
        };
        let (folder, given) = (self.machine(side), self.path.join("given"));
        // While the machine's process is left, it keeps every stranger out.
        crash(&folder);
        std::fs::write(&given, data).expect("a folder of its own");
        let write = format!("write -s {given} {offset} {}", data.len());
        tool(&["qemu-io", "-f", format, "-c", &write, disk], &folder);
        std::fs::remove_file(&given).expect("it was just written");
    }

    fn sees_strangers(&self) -> bool {
        true
    }

    fn snapshots_survive(&self) -> bool {
        false
    }

    fn moments(&self) -> u32 {
        2
    }

    fn files(&self) -> std::collections::BTreeSet<PathBuf> {
        let comes_and_goes = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            OF_PROCESSES.contains(&name)
                || path.ends_with("snapshots")
                || name.starts_with("practice-")
        };
        super::ground::walked(self).into_iter().filter(|path| !comes_and_goes(path)).collect()
    }
}

impl Drop for QemuGround {
    fn drop(&mut self) {
        quit_all(self.path.as_std_path());
    }
}

conforms!(crate::conformance::qemu::QemuGround);
