//! What is rehearsed: a plan, and its machines as they were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::{MachineName, Side, SiteName, Timestamp};
use crate::execute::{Sites, look};
use crate::observe::{Open, Unseen};
use crate::plan::facts::SELECTION;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::sites::model::Beginning;
use crate::sites::silent::both;

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
        let mut views: BTreeMap<Side, _> = views.into_iter().collect();
        let missing = || Err(Failure::permanent("the inventory lacks one of its sites"));
        let mut of = |side| views.remove(&side).unwrap_or_else(missing);
        // A side that is silent is given up by this plan, or it would be none.
        match both(of(Side::Cloud), of(Side::Onprem)) {
            Ok(sides) => drop(beginning.machines.insert(machine, sides)),
            Err(failure) => unseen.push(Unseen::new(&machine, failure)),
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
            // A plan that was proved without them needs none.
            Err(_) if !rests_on_hosts(plan, &site) => {}
            Err(failure) => unseen.push(Unseen::new(&site, failure)),
        }
    }
    if unseen.is_empty() { Ok(beginning) } else { Err(unseen) }
}

fn rests_on_hosts(plan: &Plan, site: &SiteName) -> bool {
    let of_site =
        |subject: &str| subject.split_once('/').is_some_and(|(of, _)| of == site.as_str());
    plan.facts.iter().any(|fact| of_site(&fact.subject))
}
