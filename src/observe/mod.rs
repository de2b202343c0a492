//! Observing: what the sites say of machines and hosts, as facts; and compiling until nothing is
//! missing.
//!
//! In: names, an inventory, opened sites. Out: [`Facts`], compiled plans, facts that changed. Refuses
//! to know: how plans are stored or run, exit codes. Looks only: changes nothing, creates nothing.

pub mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::base::{MachineName, SiteName, Timestamp};
use crate::compile::stale::{ChangedFact, stale};
use crate::diagnostic::Diagnostic;
use crate::plan::facts::{Fact, Facts, HostFacts, HostKey, MachineFacts, SELECTION};
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::sites::Site;
use crate::sites::look::look;

/// Opens a site of the inventory.
pub type Open<'a> = &'a (dyn Fn(&SiteName) -> Result<Arc<dyn Site>, Failure> + Sync);

/// Machines looked at side by side: enough to hide a cloud's latency, few enough not to be throttled.
const LOOKS_MAX: usize = 32;

/// What could not be observed, by machine or site, with what its site said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// The machine, or the site whose hosts were asked for.
    pub subject: String,
    /// Why.
    pub failure: Failure,
}

impl Unseen {
    /// For the person who wants to plan.
    pub fn diagnostic(&self) -> Diagnostic {
        let Unseen { subject, failure } = self;
        let way_out =
            failure.help.as_deref().unwrap_or("see that its site can be reached, then try again");
        Diagnostic::error("H327", format!("`{subject}` cannot be observed: {}", failure.message))
            .help(way_out)
    }
}

/// Looks at machines, many side by side, and adds what is seen to `facts`. Names that the inventory does
/// not have are left out: tracing reports those.
pub async fn observe_machines<'n>(
    open: Open<'_>,
    inventory: &Inventory,
    names: impl IntoIterator<Item = &'n MachineName>,
    facts: &mut Facts,
) -> Vec<Unseen> {
    facts.now.get_or_insert_with(Timestamp::now);
    let mut unseen = Vec::new();
    let mut looks: JoinSet<(MachineName, Result<MachineFacts, Failure>)> = JoinSet::new();
    for name in names {
        let Some(entry) = inventory.machines.get(name).cloned() else { continue };
        let (cloud, onprem) = match (open(&entry.cloud), open(&entry.onprem)) {
            (Ok(cloud), Ok(onprem)) => (cloud, onprem),
            (Err(failure), _) | (_, Err(failure)) => {
                unseen.push(Unseen { subject: name.to_string(), failure });
                continue;
            }
        };
        while looks.len() >= LOOKS_MAX {
            take(&mut looks, facts, &mut unseen).await;
        }
        let name = name.clone();
        looks.spawn(async move {
            let seen = look(cloud.as_ref(), onprem.as_ref(), &name, &entry).await;
            (name, seen)
        });
    }
    while !looks.is_empty() {
        take(&mut looks, facts, &mut unseen).await;
    }
    unseen.sort_by(|a, b| a.subject.cmp(&b.subject));
    unseen
}

async fn take(
    looks: &mut JoinSet<(MachineName, Result<MachineFacts, Failure>)>,
    facts: &mut Facts,
    unseen: &mut Vec<Unseen>,
) {
    match looks.join_next().await {
        Some(Ok((name, Ok(seen)))) => drop(facts.machines.insert(name, seen)),
        Some(Ok((name, Err(failure)))) => {
            unseen.push(Unseen { subject: name.to_string(), failure });
        }
        Some(Err(ended)) => {
            if let Ok(panic) = ended.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
        }
        None => {}
    }
}

/// Looks at all hosts of some sites and adds them to `facts`.
pub async fn observe_hosts<'n>(
    open: Open<'_>,
    sites: impl IntoIterator<Item = &'n SiteName>,
    facts: &mut Facts,
) -> Vec<Unseen> {
    facts.now.get_or_insert_with(Timestamp::now);
    let mut unseen = Vec::new();
    for name in sites {
        let hosts: Result<BTreeMap<_, HostFacts>, Failure> = match open(name) {
            Ok(site) => site.hosts().await,
            Err(failure) => Err(failure),
        };
        match hosts {
            Ok(hosts) => {
                let keyed = hosts.into_iter().map(|(host, seen)| ((name.clone(), host), seen));
                facts.hosts.extend(keyed);
            }
            Err(failure) => unseen.push(Unseen { subject: name.to_string(), failure }),
        }
    }
    unseen
}

/// Observes again what a plan rests on, and says what is no longer so. Of `touched` machines nothing is
/// expected: the run that asks has begun to change them.
///
/// # Errors
/// What could not be observed.
pub async fn changed_since(
    open: Open<'_>,
    inventory: &Inventory,
    plan_facts: &BTreeSet<Fact>,
    touched: &BTreeSet<MachineName>,
) -> Result<Vec<ChangedFact>, Vec<Unseen>> {
    let subjects: BTreeSet<&str> = plan_facts.iter().map(|fact| &*fact.subject).collect();
    let selects = subjects.contains(SELECTION);
    let named = |name: &&MachineName| {
        selects || (subjects.contains(name.as_str()) && !touched.contains(*name))
    };
    let names: Vec<&MachineName> = inventory.machines.keys().filter(named).collect();
    let sites: BTreeSet<SiteName> =
        subjects.iter().filter_map(|subject| site_of(subject)).collect();
    let mut facts = Facts::default();
    let mut unseen = observe_machines(open, inventory, names, &mut facts).await;
    unseen.extend(observe_hosts(open, &sites, &mut facts).await);
    if unseen.is_empty() { Ok(stale(plan_facts, touched, &facts, inventory)) } else { Err(unseen) }
}

fn site_of(subject: &str) -> Option<SiteName> {
    SiteName::new(subject.split_once('/')?.0).ok()
}

/// The sites of some hosts.
fn sites_of(hosts: &BTreeSet<HostKey>) -> BTreeSet<SiteName> {
    hosts.iter().map(|(site, _)| site.clone()).collect()
}
