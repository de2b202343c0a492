//! The provider of machines that are QEMU processes on this computer.
//!
//! In: calls of the [`Site`](crate::sites::Site) traits. Out: processes, QMP commands, blocks over NBD.
//! Refuses to know: plans, runs, and what a cloud is; a site that stands for the cloud is served alike.
//!
//! A machine is one process ([`process`]) that outlives homing and is found again by the lock it holds and
//! the socket it listens on. When its guest ends, the process stays: it has the disks open, so nobody boots
//! them by mistake, and it knows what changed on them ([`tracking`]). The disks of a machine without a
//! process are served by a daemon of QEMU's for as long as somebody reads or writes them ([`serve`]). Either
//! way blocks travel over NBD ([`nbd`]), so one transfer engine serves this provider and every other.
//!
//! A snapshot is one moment of all disks ([`snapshots`]); it is crash-consistent, as after a power failure.
//! Disks that somebody else wrote to while the machine was off show it ([`seal`]).
//!
//! # A site's folder
//! ```text
//! machines/<machine>/               the records of this side (sites/records.rs)
//! disks/<machine>/                  a cloud site: the machine's folder
//! hosts/<host>/<machine>/           an on-prem site: the same, under the host's name
//!     disk0.qcow2 ..                its disks, or disk0.raw; put them here, and homing finds them
//!     lock  qmp.sock  nbd.sock      held and listened on by its process
//!     disks.lock  disks.sock ..     the same of the daemon
//!     console.log  qemu.log         what its guest prints, what QEMU complains of
//!     snapshots/<id>/               what was overwritten since
//!     seal.json                     how the disks looked when homing let go of them (seal.rs)
//!     manifests.json                of the replica, deleted before every boot
//! accel.json                        whether KVM really runs code here (accel.rs)
//! ```

mod accel;
mod arguments;
mod disks;
mod guest;
mod line;
mod machines;
mod measure;
mod monitor;
mod nbd;
mod power;
mod practice;
mod process;
mod qmp;
mod seal;
mod seat;
mod serve;
mod settings;
mod site;
mod snapshots;
mod socket;
mod tools;
mod tracking;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{HostName, MachineName, SiteName};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::inventory::{Inventory, MachineEntry};
use crate::sites::Site;
use crate::sites::practice::Practice;

pub(in crate::sites) use settings::{KEYS, NAME};

/// Opens one site.
pub(in crate::sites) fn open(
    name: &SiteName,
    inventory: &Inventory,
) -> Result<Arc<dyn Site>, Vec<Diagnostic>> {
    Ok(Arc::new(site::QemuSite { place: Arc::new(place(name, inventory)?) }))
}

/// What is wrong with this provider's part of the machines.
pub(in crate::sites) fn check_machines(inventory: &Inventory) -> Vec<Diagnostic> {
    let folder = inventory.folder.as_std_path();
    let mut wrong = Vec::new();
    for (name, entry) in inventory.machines.iter() {
        if !is_ours(inventory, &entry.cloud) && !is_ours(inventory, &entry.onprem) {
            continue;
        }
        let read = settings::of_machine(name.as_str(), entry, folder);
        let settings = read.map_err(|found| wrong.extend(found)).unwrap_or_default();
        let both = is_ours(inventory, &entry.cloud) && is_ours(inventory, &entry.onprem);
        if settings.is_practice() && !both {
            let message =
                format!("`machine.{name}.{NAME}`: a `practice` guest lives at two {NAME} sites");
            wrong.push(
                Diagnostic::error("H232", message).help("leave `guest` out, or change its sites"),
            );
        }
        let Some(onprem) = inventory.sites.get(&entry.onprem).filter(|site| site.provider == NAME)
        else {
            continue;
        };
        let Ok(site) = settings::of_site(&entry.onprem, onprem, inventory) else { continue };
        let says = site.hosts.get(&entry.host);
        if says.is_none() {
            let message =
                format!("`machine.{name}`: `{}` has no host `{}`", entry.onprem, entry.host);
            wrong.push(Diagnostic::error("H233", message).help(instead(entry, &site)));
        }
        if let (Some(network), Some(host)) = (&settings.network, says)
            && !host.switches.contains_key(network)
        {
            let message =
                format!("`machine.{name}.{NAME}`: host `{}` has no switch `{network}`", entry.host);
            wrong.push(Diagnostic::error("H232", message).help(format!(
                "add it to `hosts.{}.switches` of site.{}",
                entry.host, entry.onprem
            )));
        }
    }
    wrong
}

fn instead(entry: &MachineEntry, site: &settings::Settings) -> String {
    let known: Vec<&str> = site.hosts.keys().map(HostName::as_str).collect();
    match did_you_mean(entry.host.as_str(), known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("its `hosts` are: {}", known.join(", ")),
    }
}

/// The practice machines of an inventory whose settings are right, if it has any.
pub(in crate::sites) fn practice(inventory: &Inventory) -> Option<Box<dyn Practice>> {
    let machines: BTreeMap<_, _> =
        practises(inventory).map(|(name, entry)| (name.clone(), entry.clone())).collect();
    if machines.is_empty() {
        return None;
    }
    let ours = inventory.sites.keys().filter(|name| is_ours(inventory, name));
    let places = ours.map(|name| Some((name.clone(), Arc::new(place(name, inventory).ok()?))));
    Some(Box::new(practice::Ground { places: places.collect::<Option<_>>()?, machines }))
}

/// The machines with a practice guest.
fn practises(inventory: &Inventory) -> impl Iterator<Item = (&MachineName, &MachineEntry)> {
    let folder = inventory.folder.as_std_path();
    inventory.machines.iter().filter(move |(name, entry)| {
        let both = is_ours(inventory, &entry.cloud) && is_ours(inventory, &entry.onprem);
        let settings = settings::of_machine(name.as_str(), entry, folder);
        both && settings.is_ok_and(|settings| settings.is_practice())
    })
}

fn is_ours(inventory: &Inventory, site: &SiteName) -> bool {
    inventory.sites.get(site).is_some_and(|site| site.provider == NAME)
}

fn place(name: &SiteName, inventory: &Inventory) -> Result<seat::Place, Vec<Diagnostic>> {
    let entry = inventory.sites.get(name).expect("BUG: a site of the inventory");
    Ok(seat::Place {
        name: name.clone(),
        settings: settings::of_site(name, entry, inventory)?,
        inventory_folder: inventory.folder.as_std_path().to_owned(),
        practises: practises(inventory).map(|(name, _)| name.clone()).collect(),
    })
}
