//! Which of the facts that a plan rests on are no longer so.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::{HostName, Json, MachineName, SiteName};
use crate::plan::facts::{Fact, Facts, SELECTION};
use crate::plan::inventory::{INVENTORY_FACT, Inventory, Term};

/// A fact that changed since the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedFact {
    /// A machine, `site/host`, or [`SELECTION`].
    pub subject: String,
    /// The fact, as the plan records it.
    pub fact: String,
    /// What it was when the plan was made, as JSON text.
    pub was: String,
    /// What it is, as JSON text; `None`: it cannot be observed any more.
    pub is: Option<String>,
    /// The machines that it speaks of: of a selection those that came or went.
    #[serde(skip)]
    pub machines: BTreeSet<MachineName>,
}

impl std::fmt::Display for ChangedFact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ChangedFact { subject, fact, was, is, .. } = self;
        let is = is.as_deref().unwrap_or("unknown");
        match (subject.as_str(), fact.as_str()) {
            (SELECTION, "") => write!(f, "the machines were {was}, and are {is}"),
            (SELECTION, terms) => write!(f, "the machines of `{terms}` were {was}, and are {is}"),
            _ => write!(f, "{subject}: {fact} was {was}, and is {is}"),
        }
    }
}

/// The facts of `plan_facts` that are no longer so, sorted. Machines in `touched` were changed by the run
/// that asks: nothing is expected of them any more, neither their facts nor their place in a selection.
pub fn stale(
    plan_facts: &BTreeSet<Fact>,
    touched: &BTreeSet<MachineName>,
    facts: &Facts,
    inventory: &Inventory,
) -> Vec<ChangedFact> {
    let changed = |fact: &Fact| {
        let is = current(fact, facts, inventory);
        let same = match (&is, &*fact.subject) {
            (Some(is), SELECTION) => untouched(&fact.value, touched) == untouched_of(is, touched),
            (Some(is), _) => fact.holds(is),
            (None, _) => false,
        };
        (!same).then(|| ChangedFact {
            subject: fact.subject.to_string(),
            fact: fact.fact.to_string(),
            was: fact.value.to_string(),
            machines: spoken_of(fact, is.as_ref()),
            is: is.map(|value| value.to_string()),
        })
    };
    plan_facts.iter().filter(|fact| !touched.contains(&*fact.subject)).filter_map(changed).collect()
}

fn spoken_of(fact: &Fact, is: Option<&Json>) -> BTreeSet<MachineName> {
    if &*fact.subject != SELECTION {
        return MachineName::new(&fact.subject).into_iter().collect();
    }
    let nobody = BTreeSet::new();
    let was = untouched(&fact.value, &nobody).unwrap_or_default();
    let is = is.and_then(|is| untouched_of(is, &nobody)).unwrap_or_default();
    let moved = was.iter().filter(|name| !is.contains(name));
    let moved = moved.chain(is.iter().filter(|name| !was.contains(name)));
    moved.filter_map(|name| MachineName::new(name).ok()).collect()
}

fn untouched(names: &str, touched: &BTreeSet<MachineName>) -> Option<Vec<String>> {
    untouched_of(&serde_json::from_str(names).ok()?, touched)
}

/// A selection's names without those of `touched`.
fn untouched_of(names: &Json, touched: &BTreeSet<MachineName>) -> Option<Vec<String>> {
    let names = names.as_array()?.iter().filter_map(Json::as_str);
    Some(names.filter(|name| !touched.contains(*name)).map(str::to_owned).collect())
}

/// The value that a recorded fact has now.
fn current(fact: &Fact, facts: &Facts, inventory: &Inventory) -> Option<Json> {
    if &*fact.subject == SELECTION {
        return selection(&fact.fact, facts, inventory);
    }
    if let Some((site, host)) = fact.subject.split_once('/') {
        let key = (SiteName::new(site).ok()?, HostName::new(host).ok()?);
        return facts.host(&key, &fact.fact);
    }
    let machine = MachineName::new(&fact.subject).ok()?;
    match fact.fact.strip_prefix(INVENTORY_FACT) {
        Some(name) => inventory.value(&machine, name),
        None => facts.get(&machine, &fact.fact),
    }
}

/// The machines that `tier=web, os!=windows where=cloud` selects, by name.
fn selection(text: &str, facts: &Facts, inventory: &Inventory) -> Option<Json> {
    let (terms, place) = match text.rsplit_once("where=") {
        Some((terms, place @ ("cloud" | "home"))) => (terms.trim(), Some(place)),
        _ => (text, None),
    };
    let terms = Term::parse_all(terms).ok()?;
    let mut names = Vec::new();
    for name in inventory.select(&terms) {
        let is_there = match place {
            Some(place) => facts.get(name, "where")? == place,
            None => true,
        };
        if is_there {
            names.push(Json::from(name.as_str()));
        }
    }
    Some(Json::from(names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::saved::tests::{facts, inventory};
    use crate::plan::facts::ReplicaState;

    #[test]
    fn only_what_changed_is_named() {
        let (mut facts, mut inventory) = (facts(), inventory());
        let names = Json::from(vec!["db-01", "web-01"]);
        let plan_facts: BTreeSet<Fact> = [
            Fact::new("web-01", "replica", &"stale".into()),
            Fact::new("web-01", "away_over(\"30d\")", &false.into()),
            Fact::new("web-01", "inventory.tags", &serde_json::json!({ "tier": "web" })),
            Fact::new("web-01", "inventory.rto", &Json::Null),
            Fact::new("web-01", "inventory.needs", &Json::from(vec!["db-01"])),
            Fact::new("vms", "", &names),
            Fact::new("vms", "where=cloud", &names),
            Fact::new("vms", "tier=web where=cloud", &Json::from(vec!["web-01"])),
            Fact::new("dc1/hv-01", "connected", &true.into()),
        ]
        .into();
        assert_eq!(stale(&plan_facts, &BTreeSet::new(), &facts, &inventory), []);

        let web = MachineName::new("web-01").unwrap();
        facts.machines.get_mut(&web).unwrap().replica = ReplicaState::Dirty;
        inventory.machines.get_mut(&web).unwrap().tags.clear();
        facts.hosts.clear();
        let changed = stale(&plan_facts, &BTreeSet::new(), &facts, &inventory);
        let moved =
            |at: usize| changed[at].machines.iter().map(MachineName::as_str).collect::<Vec<_>>();
        assert_eq!((moved(0), moved(1)), (vec![], vec!["web-01"]));
        assert_eq!(moved(2), ["web-01"]);
        let said: Vec<String> = changed.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "dc1/hv-01: connected was true, and is unknown",
                "the machines of `tier=web where=cloud` were [\"web-01\"], and are []",
                "web-01: inventory.tags was {\"tier\":\"web\"}, and is {}",
                "web-01: replica was \"stale\", and is \"dirty\"",
            ]
        );
    }
}
