//! The command lines: of a machine's QEMU, and of the daemon that serves the disks of a machine without one.

use std::path::PathBuf;

use serde_json::json;

use crate::base::MachineName;
use crate::sites::qemu::process::Role;
use crate::sites::qemu::settings::Format;

/// What a machine's console prints goes here, boot after boot.
pub(super) const CONSOLE: &str = "console.log";

/// Everything that a machine's QEMU is told.
pub(super) struct Machine<'a> {
    pub name: &'a MachineName,
    pub accel: &'a str,
    pub memory_bytes: u64,
    pub cpus: u32,
    pub format: Format,
    /// How many disks it has.
    pub disks: usize,
    /// What `-netdev` takes for its switch.
    pub netdev: Option<&'a str>,
    pub kernel: Option<&'a PathBuf>,
    pub initrd: Option<&'a PathBuf>,
    pub append: Option<&'a str>,
    /// A guest that reboots itself goes on, instead of ending.
    pub reboots: bool,
    pub args: &'a [String],
}

/// The file of a disk in a machine's folder.
pub(super) fn disk_file(disk: usize, format: Format) -> String {
    format!("disk{disk}.{}", format.as_str())
}

/// The node of a disk.
pub(super) fn node(disk: usize) -> String {
    format!("disk{disk}")
}

/// A machine's QEMU: it waits before the first instruction, and stays when its guest ends.
pub(super) fn machine(machine: &Machine<'_>) -> Vec<String> {
    let mut line = Line(Vec::new());
    line.add("-name", format!("guest={}", machine.name));
    line.flag("-nodefaults").flag("-no-user-config").add("-display", "none");
    line.flag("-S").flag("-no-shutdown");
    if !machine.reboots {
        line.flag("-no-reboot");
    }
    line.add("-accel", machine.accel);
    if machine.accel == "kvm" && !machine.args.iter().any(|arg| arg == "-cpu") {
        line.add("-cpu", "host");
    }
    line.add("-m", format!("{}M", machine.memory_bytes.div_ceil(1 << 20)));
    line.add("-smp", machine.cpus.to_string());
    line.add("-qmp", format!("unix:{},server=on,wait=off", Role::Machine.socket()));
    line.add("-chardev", format!("file,id=console,path={CONSOLE},append=on"));
    line.add("-serial", "chardev:console");
    for disk in 0..machine.disks {
        line.disk("-blockdev", disk, machine.format, Access::Write);
        // A kernel that is given is the first thing to boot.
        let first = if disk == 0 && machine.kernel.is_none() { ",bootindex=0" } else { "" };
        let node = node(disk);
        line.add("-device", format!("virtio-blk-pci,drive={node},serial={node}{first}"));
    }
    if let Some(netdev) = machine.netdev {
        line.add("-netdev", format!("{netdev},id=homing0"));
        let mac = mac(machine.name);
        line.add("-device", format!("virtio-net-pci,netdev=homing0,mac={mac}"));
    }
    if let Some(kernel) = machine.kernel {
        line.add("-kernel", kernel.display().to_string());
    }
    if let Some(initrd) = machine.initrd {
        line.add("-initrd", initrd.display().to_string());
    }
    if let Some(append) = machine.append {
        line.add("-append", append);
    }
    line.0.extend(machine.args.iter().cloned());
    line.0
}

/// Whether disks are opened to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nobody can write through it.
    Read,
    /// It can be written.
    Write,
}

/// The daemon that serves disks.
pub(super) fn daemon(disks: usize, format: Format, access: Access) -> Vec<String> {
    let mut line = Line(Vec::new());
    let socket = Role::Disks.socket();
    line.add("--chardev", format!("socket,id=control,path={socket},server=on,wait=off"));
    line.add("--monitor", "chardev=control");
    for disk in 0..disks {
        line.disk("--blockdev", disk, format, access);
    }
    line.0
}

struct Line(Vec<String>);

impl Line {
    fn add(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    fn flag(&mut self, option: &str) -> &mut Line {
        self.0.push(option.to_owned());
        self
    }

    fn disk(&mut self, option: &str, disk: usize, format: Format, access: Access) {
        let read_only = access == Access::Read;
        let file = format!("file{disk}");
        let open = json!({
            "driver": "file", "filename": disk_file(disk, format), "node-name": file,
            "read-only": read_only, "discard": "unmap",
        });
        let as_disk = json!({
            "driver": format.as_str(), "file": file, "node-name": node(disk),
            "read-only": read_only, "discard": "unmap",
        });
        self.add(option, open.to_string());
        self.add(option, as_disk.to_string());
    }
}

/// The same address on both sides of a machine, and another for every machine.
fn mac(name: &MachineName) -> String {
    let hash = blake3::hash(name.as_str().as_bytes());
    let [a, b, c, ..] = hash.as_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}
