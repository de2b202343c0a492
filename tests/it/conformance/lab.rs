//! The lab, as the first provider of the suite.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};
use homing::base::Side;

use super::ground::{Ground, MACHINE, practice, work};

/// Two small disks, two hosts.
const INVENTORY: &str = r#"
[site.azure]
provider = "lab"
path = "lab/azure"

[site.dc1]
provider = "lab"
path = "lab/dc1"
hosts = { hv-01 = { switches = ["prod"], connected = true }, hv-02 = { switches = ["prod"] } }

[machine.web-01]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["4MiB", "2MiB"]
lab = { writes_per_second = 200 }
"#;

/// What of it says that home can be reached.
const CONNECTED: [&str; 2] = ["connected = true", "connected = false"];

/// A lab in a temporary folder.
pub struct LabGround {
    /// Removed last.
    _folder: tempfile::TempDir,
    path: Utf8PathBuf,
}

impl LabGround {
    /// The site's folder.
    fn site(&self, side: Side) -> Utf8PathBuf {
        self.path.join(if side == Side::Cloud { "lab/azure" } else { "lab/dc1" })
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).expect("a folder of its own");
    }
}

impl Ground for LabGround {
    fn new() -> LabGround {
        let folder = crate::support::folder();
        let path = Utf8Path::from_path(folder.path()).expect("a UTF-8 path").to_owned();
        let ground = LabGround { _folder: folder, path };
        ground.write(INVENTORY);
        assert!(work(practice(&ground.file()).init()).expect("a lab"), "it was created");
        ground
    }

    fn folder(&self) -> &Utf8Path {
        &self.path
    }

    fn guests(&self, side: Side) -> usize {
        let processes = Path::new("/proc").read_dir().expect("a list of processes");
        // A guest works in the folder of its machine.
        let at_work = processes
            .flatten()
            .filter_map(|process| std::fs::read_link(process.path().join("cwd")).ok());
        let site = self.site(side);
        at_work.filter(|cwd| cwd.starts_with(&site) && cwd.ends_with(MACHINE)).count()
    }

    fn disconnect(&self, side: Side) -> bool {
        if side == Side::Onprem {
            self.write(&INVENTORY.replace(CONNECTED[0], CONNECTED[1]));
        }
        side == Side::Onprem
    }

    fn reconnect(&self, _: Side) {
        self.write(INVENTORY);
    }

    fn moments(&self) -> u32 {
        12
    }

    fn write_behind(&self, side: Side, offset: u64, data: &[u8]) {
        let folder = if side == Side::Cloud { "disks" } else { "hosts/hv-01" };
        let disk = self.site(side).join(folder).join(MACHINE).join("disk0.raw");
        let disk = File::options().write(true).open(disk).expect("a disk");
        disk.write_all_at(data, offset).expect("a disk that can be written");
    }

    fn sees_strangers(&self) -> bool {
        // Its guests prove their disks when they boot; a disk at rest is not watched.
        false
    }
}

impl Drop for LabGround {
    fn drop(&mut self) {
        // Guests outlive this process by design.
        drop(work(practice(&self.file()).reset()));
    }
}

conforms!(crate::conformance::lab::LabGround, with copies and commands);
