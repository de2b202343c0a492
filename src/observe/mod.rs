//! Observing: what the sites say of machines and hosts, as facts; and compiling until nothing is
//! missing.
//!
//! In: names, an inventory, opened sites. Out: [`Facts`], compiled plans, facts that changed. Refuses
//! to know: how plans are stored or run, exit codes. Looks only: changes nothing, creates nothing.

pub mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::base::{Json, MachineName, Side, SiteName, Timestamp};
use crate::compile::stale::{ChangedFact, stale};
use crate::diagnostic::Diagnostic;
use crate::plan::facts::{Fact, Facts, HostFacts, HostKey, MachineFacts, Power, SELECTION};
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::sites::Site;
use crate::sites::look::{Looked, look};

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
    /// What is known all the same, where only one side of a machine is silent.
    pub one_sided: Option<Box<OneSided>>,
}

/// A machine of which one side is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneSided {
    /// The machine.
    pub machine: MachineName,
    /// The side that is silent.
    pub silent: Side,
    /// The machine for a person who gives that side up: seen on the other one, assumed on this.
    pub facts: MachineFacts,
}

impl Unseen {
    /// Nothing is known of it.
    pub fn new(subject: &impl ToString, failure: Failure) -> Unseen {
        Unseen { subject: subject.to_string(), failure, one_sided: None }
    }

    /// Adds to `facts` what is known all the same; whether that is anything.
    pub fn take_in(&self, facts: &mut Facts) -> bool {
        let Some(seen) = self.one_sided.as_deref() else { return false };
        facts.machines.insert(seen.machine.clone(), seen.facts.clone());
        true
    }

    /// For the person who wants to plan.
    pub fn diagnostic(&self) -> Diagnostic {
        let Unseen { subject, failure, one_sided } = self;
        let found = format!("`{subject}` cannot be observed: {}", failure.message);
        let way_out =
            failure.help.as_deref().unwrap_or("see that its site can be reached, then try again");
        let given_up = one_sided.as_ref().map(|seen| {
            let side = seen.silent;
            format!("; if its {side} side is gone for good, a plan may say so: `approve(\"..\"); declare_lost(vm(\"{}\"), #{{ side: \"{side}\", reason: \"..\" }});`", seen.machine)
        });
        Diagnostic::error("H327", found).help(format!("{way_out}{}", given_up.unwrap_or_default()))
    }
}

/// Looks at machines, many side by side, and adds what is seen to `facts`: both sides, but for one that a
/// person gave up. Names that the inventory does not have are left out: tracing reports those.
pub async fn observe_machines<'n>(
    open: Open<'_>,
    inventory: &Inventory,
    names: impl IntoIterator<Item = &'n MachineName>,
    facts: &mut Facts,
) -> Vec<Unseen> {
    facts.now.get_or_insert_with(Timestamp::now);
    let mut unseen = Vec::new();
    let mut looks: JoinSet<(MachineName, Result<Looked, Failure>)> = JoinSet::new();
    for name in names {
        let Some(entry) = inventory.machines.get(name).cloned() else { continue };
        let (cloud, onprem) = match (open(&entry.cloud), open(&entry.onprem)) {
            (Ok(cloud), Ok(onprem)) => (cloud, onprem),
            (Err(failure), _) | (_, Err(failure)) => {
                unseen.push(Unseen::new(name, failure));
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

/// Machines for a page, as far as they can be seen, and what could not be.
pub async fn look_around<'n>(
    open: Open<'_>,
    inventory: &Inventory,
    names: impl IntoIterator<Item = &'n MachineName>,
) -> (Facts, Vec<Unseen>) {
    let mut facts = Facts::default();
    let unseen = observe_machines(open, inventory, names, &mut facts).await;
    for one in &unseen {
        one.take_in(&mut facts);
    }
    (facts, unseen)
}

async fn take(
    looks: &mut JoinSet<(MachineName, Result<Looked, Failure>)>,
    facts: &mut Facts,
    unseen: &mut Vec<Unseen>,
) {
    match looks.join_next().await {
        Some(Ok((name, Ok(Looked { facts: seen, unseen: None })))) => {
            facts.machines.insert(name, seen);
        }
        Some(Ok((name, Ok(Looked { facts: seen, unseen: Some((side, failure)) })))) => {
            let one = OneSided { machine: name.clone(), silent: side, facts: seen };
            unseen.push(Unseen { one_sided: Some(Box::new(one)), ..Unseen::new(&name, failure) });
        }
        Some(Ok((name, Err(failure)))) => unseen.push(Unseen::new(&name, failure)),
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
            Err(failure) => unseen.push(Unseen::new(name, failure)),
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
    unseen.retain(|one| !rests_on_silence(plan_facts, one, &mut facts));
    unseen.extend(observe_hosts(open, &sites, &mut facts).await);
    if unseen.is_empty() { Ok(stale(plan_facts, touched, &facts, inventory)) } else { Err(unseen) }
}

/// Whether the plan was made while that side was silent already; then the rest of the machine is compared.
fn rests_on_silence(plan_facts: &BTreeSet<Fact>, unseen: &Unseen, facts: &mut Facts) -> bool {
    let Some(seen) = unseen.one_sided.as_deref() else { return false };
    let unknown = Json::from(Power::Unknown.word());
    let silence = Fact::new(seen.machine.as_str(), format!("{}.power", seen.silent), &unknown);
    plan_facts.contains(&silence) && unseen.take_in(facts)
}

fn site_of(subject: &str) -> Option<SiteName> {
    SiteName::new(subject.split_once('/')?.0).ok()
}

/// The sites of some hosts.
fn sites_of(hosts: &BTreeSet<HostKey>) -> BTreeSet<SiteName> {
    hosts.iter().map(|(site, _)| site.clone()).collect()
}
