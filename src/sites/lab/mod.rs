//! The provider of the lab: sites in folders, with real disk images and real processes on them.
//!
//! In: calls of the [`Site`](crate::sites::Site) traits. Out: files, processes, measurements. Refuses to
//! know: plans, runs, and what a cloud is.
//!
//! A running machine is a process of its own ([`guest`]) that writes numbered, checksummed records
//! ([`ledger`]) and tells its client of each ([`client`]). So what a failback promises can be measured:
//! which acknowledged writes the live disks hold, and how long nobody was served. A write is
//! acknowledged once it is in the system's page cache: it survives every kill of any process, but the
//! lab does not simulate a power loss of the computer that it runs on.
//!
//! # A site's folder
//! ```text
//! machines/<machine>/lock           held by whoever changes anything of this side
//!                    state.json     what is durably known of it (state.rs)
//!                    claim.json     the run that holds it, and the token
//! disks/<machine>/                  a cloud site: the machine's folder
//! hosts/<host>/<machine>/           an on-prem site: the same, on the host that the machine lives on
//!     disk0.raw ..                  its disks, sparse
//!     disk0.epochs .. tracking.json change tracking (tracking.rs)
//!     snapshots/<id>/               copies of what was overwritten since (cow.rs)
//!     manifests.json                of the replica, deleted before every boot
//!     lock                          held by the guest for as long as it lives: that is "it runs"
//!     control.sock  guest.log       its ears and its mouth
//! hosts/<host>/<machine>.copy.<id>/  an isolated copy: disks, lock and ears of its own (copies.rs)
//! ```
//! Beside the cloud site's folder, outside both sites: `clients/<machine>.log`, what the machine's client
//! was told (client.rs), and `.lab.lock`, held while the lab is created or deleted.

mod client;
mod commands;
mod copies;
mod cow;
mod disk;
mod disks;
mod faults;
mod guest;
mod init;
mod launch;
mod ledger;
mod machines;
mod measure;
mod power;
mod practice;
mod seat;
mod settings;
mod site;
mod tracking;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{HostName, SiteName};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::inventory::{Inventory, MachineEntry};
use crate::sites::Site;
use crate::sites::practice::Practice;
use crate::sites::registry::Tools;

pub(in crate::sites) use launch::GUEST;
pub(in crate::sites) use settings::{KEYS, NAME};

/// Opens one site.
pub(in crate::sites) fn open(
    name: &SiteName,
    inventory: &Inventory,
    tools: &Tools,
) -> Result<Arc<dyn Site>, Vec<Diagnostic>> {
    let place = place(name, inventory, tools)?;
    let striker = faults::Striker::new(place.settings.faults.clone());
    Ok(Arc::new(site::LabSite { place: Arc::new(place), striker }))
}

/// What is wrong with this provider's part of the machines.
pub(in crate::sites) fn check_machines(inventory: &Inventory) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    for (name, entry) in inventory.machines.iter() {
        if is_site(inventory, &entry.cloud) || is_site(inventory, &entry.onprem) {
            wrong.extend(settings::of_machine(name.as_str(), entry).err());
        }
        let onprem = inventory.sites.get(&entry.onprem).filter(|site| site.provider == NAME);
        let Some(onprem) = onprem else { continue };
        let Ok(site) = settings::of_site(&entry.onprem, onprem, inventory) else { continue };
        if !site.hosts.contains_key(&entry.host) {
            let message =
                format!("`machine.{name}`: `{}` has no host `{}`", entry.onprem, entry.host);
            let known: Vec<&str> = site.hosts.keys().map(HostName::as_str).collect();
            let help = match did_you_mean(entry.host.as_str(), known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("its `hosts` are: {}", known.join(", ")),
            };
            wrong.push(Diagnostic::error("H233", message).help(help));
        }
    }
    wrong
}

/// The lab of an inventory whose settings are right.
pub(in crate::sites) fn practice(
    inventory: &Inventory,
    tools: &Tools,
) -> Option<Box<dyn Practice>> {
    let of = |side: fn(&Inventory, &MachineEntry) -> bool| {
        let machines = inventory.machines.iter().filter(|(_, entry)| side(inventory, entry));
        machines.map(|(name, entry)| (name.clone(), entry.clone())).collect::<BTreeMap<_, _>>()
    };
    let (machines, halves) = (of(is_ours), of(is_half_ours));
    let ours = inventory.sites.iter().filter(|(_, entry)| entry.provider == NAME);
    let places =
        ours.map(|(name, _)| Some((name.clone(), Arc::new(place(name, inventory, tools).ok()?))));
    let places: BTreeMap<_, _> = places.collect::<Option<_>>()?;
    if places.is_empty() {
        return None;
    }
    Some(Box::new(practice::Lab { places, machines, halves }))
}

/// Runs this process as a guest.
pub(in crate::sites) fn guest_process() -> i32 {
    guest::main()
}

fn is_ours(inventory: &Inventory, entry: &MachineEntry) -> bool {
    is_site(inventory, &entry.cloud) && is_site(inventory, &entry.onprem)
}

/// Its cloud side is a lab's, its home is not: the lab creates and measures the one.
fn is_half_ours(inventory: &Inventory, entry: &MachineEntry) -> bool {
    is_site(inventory, &entry.cloud) && !is_site(inventory, &entry.onprem)
}

fn is_site(inventory: &Inventory, site: &SiteName) -> bool {
    inventory.sites.get(site).is_some_and(|site| site.provider == NAME)
}

fn place(
    name: &SiteName,
    inventory: &Inventory,
    tools: &Tools,
) -> Result<seat::Place, Vec<Diagnostic>> {
    let entry = inventory.sites.get(name).expect("BUG: a site of the inventory");
    let settings = settings::of_site(name, entry, inventory)?;
    let ours = inventory.sites.iter().filter(|(_, entry)| entry.provider == NAME);
    let sites: BTreeMap<SiteName, (PathBuf, bool)> = ours
        .filter_map(|(name, entry)| {
            let settings = settings::of_site(name, entry, inventory).ok()?;
            Some((name.clone(), (settings.folder, settings.change_tracking)))
        })
        .collect();
    let machines = inventory.machines.iter().filter(|(_, entry)| is_site(inventory, &entry.cloud));
    let machines: BTreeSet<_> = machines.map(|(name, _)| name.clone()).collect();
    Ok(seat::Place {
        name: name.clone(),
        settings,
        tools: tools.clone(),
        keys: inventory.keys.clone(),
        sites,
        machines,
    })
}
