//! What is rehearsed: a plan, and its machines as they were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{MachineName, Side, SiteName, Timestamp};
use crate::execute::{Sites, look};
use crate::observe::{Open, Unseen};
use crate::plan::facts::SELECTION;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::sites::model::{Beginning, Sides};

/// Everything that all rehearsals of a plan share.
pub struct Stage {
    /// The plan; verified.
    pub plan: Arc<Plan>,
    /// By step in plan order, seconds: half of the times no longer, nine of ten no longer.
    pub step_s: Vec<(f64, f64)>,
    /// The inventory.
    pub inventory: Arc<Inventory>,
    /// How it all begins.
    pub beginning: Beginning,
    /// When.
    pub at: Timestamp,
}

/// Looks at the machines that the plan rests on, and at the hosts of their sites.
///
/// # Errors
/// What could not be seen.
pub async fn looked_at(
    plan: &Plan,
    inventory: &Inventory,
    open: Open<'_>,
    sites: &Sites,
) -> Result<Beginning, Vec<Unseen>> {
    let subjects: BTreeSet<&str> = plan.facts.iter().map(|fact| &*fact.subject).collect();
    let selects = subjects.contains(SELECTION);
    let own = plan.machines();
    // The facts of all these are observed again while the plan runs.
    let wanted =
        |name: &&MachineName| selects || own.contains(name) || subjects.contains(name.as_str());
    let machines = inventory.machines.keys().filter(wanted);
    let mut beginning = Beginning::default();
    let mut unseen = Vec::new();
    for (machine, views) in look(sites, inventory, machines).await {
        let mut seen = BTreeMap::new();
        for (side, view) in views {
            match view {
                Ok(view) => drop(seen.insert(side, view)),
                Err(failure) => unseen.push(Unseen { subject: machine.to_string(), failure }),
            }
        }
        if let (Some(cloud), Some(onprem)) = (seen.remove(&Side::Cloud), seen.remove(&Side::Onprem))
        {
            beginning.machines.insert(machine, Sides { cloud, onprem });
        }
    }
    let homes = beginning.machines.keys().map(|name| inventory.machines[name].onprem.clone());
    let homes: BTreeSet<SiteName> = homes.collect();
    for site in homes {
        let hosts = match open(&site) {
            Ok(opened) => opened.hosts().await,
            Err(failure) => Err(failure),
        };
        match hosts {
            Ok(hosts) => drop(beginning.hosts.insert(site, hosts)),
            Err(failure) => unseen.push(Unseen { subject: site.to_string(), failure }),
        }
    }
    if unseen.is_empty() { Ok(beginning) } else { Err(unseen) }
}
