//! What the inventory says to this provider, of a site and of a machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::units::parse_size;
use crate::base::{HostName, SiteName};
use crate::diagnostic::Diagnostic;
use crate::plan::inventory::{
    Inventory, InventoryKey, MACHINE_TABLE, MachineEntry, SITE_TABLE, SiteEntry,
};
use crate::sites::qemu::{arguments, guest};
use crate::sites::settings;

/// The provider's name in an inventory, and of its table of a machine.
pub(in crate::sites) const NAME: &str = "qemu";

const HOST: &str = "hosts = { HOST = { .. } } of a qemu site";
const MACHINE: &str = "qemu = { .. } of a machine";
/// The only word that `guest` takes.
const PRACTICE: &str = "practice";
/// Memory of a machine that says nothing of it, bytes.
const MEMORY_DEFAULT: u64 = 512 << 20;
/// Least memory of a machine, bytes.
const MEMORY_MIN: u64 = 16 << 20;
/// Most disks of a machine: what a practice guest takes, and the names of a snapshot's nodes.
const DISKS_MAX: usize = guest::DISKS_MAX;

/// Every key that this provider reads, for the reference.
#[rustfmt::skip]
pub(in crate::sites) static KEYS: &[InventoryKey] = &[
    InventoryKey::new(SITE_TABLE, "path", "path", "required by `qemu`", "`qemu`: the folder that the site is; its machines' disks lie in it"),
    InventoryKey::new(SITE_TABLE, "hosts", "table of tables", "none", "`qemu`: the names its on-prem machines live under, all on this computer"),
    InventoryKey::new(SITE_TABLE, "format", "`qcow2` or `raw`", "qcow2", "`qemu`: of disks that it makes, and of those it finds; with `raw`, change tracking ends with the process"),
    InventoryKey::new(SITE_TABLE, "accel", "`auto`, `kvm` or `tcg`", "auto", "`qemu`: what runs the processors; `auto` tries whether KVM really runs code, once per boot of this computer"),
    InventoryKey::new(SITE_TABLE, "program", "text", "qemu-system-x86_64", "`qemu`: the emulator, a name in PATH or a path"),
    InventoryKey::new(HOST, "switches", "table of texts", "none", "its virtual switches, each with what `-netdev` takes: `prod = \"bridge,br=br0\"`"),
    InventoryKey::new(MACHINE_TABLE, "qemu", "table", "none", "how it is run by QEMU"),
    InventoryKey::new(MACHINE, "memory", "size", "512MiB", "its memory"),
    InventoryKey::new(MACHINE, "cpus", "int, 1 to 255", "1", "its processors"),
    InventoryKey::new(MACHINE, "network", "text", "none", "the switch of its host that it is on"),
    InventoryKey::new(MACHINE, "kernel", "path", "none", "a Linux kernel to boot directly; without it the firmware boots the first disk"),
    InventoryKey::new(MACHINE, "initrd", "path", "none", "the kernel's initial RAM disk"),
    InventoryKey::new(MACHINE, "append", "text", "none", "the kernel's command line"),
    InventoryKey::new(MACHINE, "args", "list of texts", "none", "more arguments for QEMU, of those that cannot take a disk or the control away from homing"),
    InventoryKey::new(MACHINE, "guest", "`practice`", "none", "`lab init` creates this machine with a guest of homing's that writes and proves records; it brings kernel, initrd and append"),
];

/// A site's own settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The site's folder.
    pub folder: PathBuf,
    /// The names its machines live under; none: they live in the site itself.
    pub hosts: BTreeMap<HostName, Host>,
    /// Of its disks.
    pub format: Format,
    /// What runs the processors.
    pub accel: Accel,
    /// The emulator.
    pub program: PathBuf,
}

/// `hosts = { kvm-01 = { switches = { prod = "bridge,br=br0" } } }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Host {
    /// Its virtual switches, with what `-netdev` takes for each.
    pub switches: BTreeMap<String, String>,
}

/// How a disk is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// QEMU's own: change tracking survives its process.
    #[default]
    Qcow2,
    /// Byte for byte.
    Raw,
}

impl Format {
    /// As QEMU calls it, and the end of a disk's file name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Format::Qcow2 => "qcow2",
            Format::Raw => "raw",
        }
    }
}

/// What runs the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Accel {
    /// KVM where it really runs code, else TCG.
    #[default]
    Auto,
    /// The processor itself.
    Kvm,
    /// Emulation.
    Tcg,
}

/// `qemu = { memory = "1GiB", .. }`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MachineSettings {
    memory: Option<String>,
    cpus: Option<u32>,
    /// The switch it is on.
    pub network: Option<String>,
    /// A kernel to boot directly.
    pub kernel: Option<PathBuf>,
    /// Its initial RAM disk.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub append: Option<String>,
    /// More arguments for QEMU.
    pub args: Vec<String>,
    guest: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    path: Option<PathBuf>,
    hosts: BTreeMap<HostName, Host>,
    format: Format,
    accel: Accel,
    program: Option<PathBuf>,
}

/// Reads a site's settings.
pub(super) fn of_site(
    name: &SiteName,
    entry: &SiteEntry,
    inventory: &Inventory,
) -> Result<Settings, Vec<Diagnostic>> {
    let place = format!("site.{name}");
    let known = settings::known(KEYS, SITE_TABLE);
    let (raw, mut wrong) = settings::read::<Raw>(&place, &entry.settings, &known);
    let Some(raw) = raw else { return Err(wrong) };
    for (host, says) in &raw.hosts {
        for (switch, netdev) in &says.switches {
            if let Err(why) = arguments::netdev(netdev) {
                let message = format!("`{place}.hosts.{host}.switches.{switch}`: {why}");
                let help = "write it like `bridge,br=br0`, `tap,ifname=tap0,script=no` or `user`";
                wrong.push(Diagnostic::error("H231", message).help(help));
            }
        }
    }
    match raw.path {
        Some(path) if wrong.is_empty() => Ok(Settings {
            folder: inventory.folder.as_std_path().join(path),
            hosts: raw.hosts,
            format: raw.format,
            accel: raw.accel,
            program: raw.program.unwrap_or_else(|| "qemu-system-x86_64".into()),
        }),
        Some(_) => Err(wrong),
        None => {
            let message = format!("`{place}` has no `path`: the folder that this site is");
            let help =
                format!("add `path = \".homing/{NAME}/{name}\"` (relative to the inventory)");
            wrong.push(Diagnostic::error("H231", message).help(help));
            Err(wrong)
        }
    }
}

/// Reads this provider's table of a machine; relative paths are relative to the inventory's `folder`.
pub(super) fn of_machine(
    name: &str,
    entry: &MachineEntry,
    folder: &Path,
) -> Result<MachineSettings, Vec<Diagnostic>> {
    let place = format!("machine.{name}.{NAME}");
    let wrong = |why: String| Diagnostic::error("H232", format!("`{place}`: {why}"));
    let mut settings = MachineSettings::default();
    let mut found = Vec::new();
    if let Some(table) = entry.settings.get(NAME) {
        let known = settings::known(KEYS, MACHINE);
        let (read, unread) = settings::read::<MachineSettings>(&place, table, &known);
        found = unread;
        settings = read.unwrap_or_default();
    }
    found.extend(settings.mistakes().into_iter().map(&wrong));
    if entry.key.is_some() {
        let message = "it names a `key`, but this provider does not encrypt disks";
        found.push(wrong(message.to_owned()).help("leave `key` out, or encrypt inside the guest"));
    }
    if entry.disks.len() > DISKS_MAX {
        found.push(wrong(format!("{} disks are more than {DISKS_MAX}", entry.disks.len())));
    }
    if settings.is_practice() && entry.disks.iter().any(|bytes| *bytes < guest::DISK_BYTES_MIN) {
        found.push(wrong("a `practice` guest needs 16MiB on every disk".to_owned()));
    }
    for path in [&mut settings.kernel, &mut settings.initrd].into_iter().flatten() {
        *path = folder.join(&path);
    }
    if found.is_empty() { Ok(settings) } else { Err(found) }
}

impl MachineSettings {
    fn mistakes(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match self.memory.as_deref().map(parse_size) {
            Some(Err(error)) => wrong.push(format!("`memory`: {error}")),
            Some(Ok(bytes)) if bytes < MEMORY_MIN => {
                wrong.push("`memory` is less than 16MiB".to_owned());
            }
            _ => {}
        }
        if self.cpus.is_some_and(|cpus| !(1..=255).contains(&cpus)) {
            wrong.push("`cpus` may be 1 to 255".to_owned());
        }
        if self.kernel.is_none() && (self.initrd.is_some() || self.append.is_some()) {
            wrong.push("`initrd` and `append` need a `kernel`".to_owned());
        }
        match self.guest.as_deref() {
            None => {}
            Some(PRACTICE) if self.kernel.is_none() => {}
            Some(PRACTICE) => wrong.push("a `practice` guest brings its own `kernel`".to_owned()),
            Some(other) => wrong.push(format!("there is no guest `{other}`, only `{PRACTICE}`")),
        }
        wrong.extend(arguments::extra(&self.args).err());
        wrong
    }

    /// Its memory, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        let memory = self.memory.as_deref().and_then(|text| parse_size(text).ok());
        memory.unwrap_or(MEMORY_DEFAULT)
    }

    /// Its processors.
    pub(super) fn cpus(&self) -> u32 {
        self.cpus.unwrap_or(1)
    }

    /// Whether its guest is homing's own, for practice.
    pub(super) fn is_practice(&self) -> bool {
        self.guest.is_some()
    }
}
