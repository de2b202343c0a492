//! What the plans rest on.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Json, MachineName};
use crate::plan::facts::SELECTION;
use crate::plan::graph::Plan;
use crate::render::change::Edition;
use crate::render::change::entries::{Change, Kind, Told};

/// Facts that have another value, or that only one of the plans rests on. Those of a machine that only one
/// of them has steps for go with its steps.
pub(super) fn facts(old: &Edition<'_>, new: &Edition<'_>) -> Vec<Change> {
    let (before, after) = (known(old.plan), known(new.plan));
    let (machines_before, machines_after) = (old.plan.machines(), new.plan.machines());
    let one_sided: BTreeSet<&str> = machines_before
        .symmetric_difference(&machines_after)
        .map(|name: &&MachineName| name.as_str())
        .collect();
    let keys: BTreeSet<(&str, &str)> = before.keys().chain(after.keys()).copied().collect();
    let mut told = Told::default();
    for (fact, subject) in keys {
        let (was, is) = (before.get(&(fact, subject)), after.get(&(fact, subject)));
        let goes_along = (was.is_none() || is.is_none()) && one_sided.contains(subject);
        if was == is || goes_along {
            continue;
        }
        if subject == SELECTION {
            told.tell(selection(fact, was.copied(), is.copied()), None, None);
            continue;
        }
        let change = Change {
            before: was.copied().map(value),
            after: is.copied().map(value),
            ..Change::new(Kind::Fact, fact)
        };
        told.tell(change, Some(subject), None);
    }
    told.changes()
}

/// Values by fact and subject: the same fact of many machines in a row.
fn known(plan: &Plan) -> BTreeMap<(&str, &str), &str> {
    plan.facts.iter().map(|one| ((&*one.fact, &*one.subject), &*one.value)).collect()
}

fn value(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|_| Json::from(text))
}

/// Which machines a selection found: those that came or went, where both plans select.
fn selection(terms: &str, was: Option<&str>, is: Option<&str>) -> Change {
    let subject = match terms {
        "" => "machines".to_owned(),
        terms => format!("machines with `{terms}`"),
    };
    let found = |text: Option<&str>| -> BTreeSet<String> {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    };
    let (before, after) = (found(was), found(is));
    let own = |these: &BTreeSet<String>, those: &BTreeSet<String>| -> Json {
        these.difference(those).map(String::as_str).collect()
    };
    Change {
        before: was.map(|_| own(&before, &after)),
        after: is.map(|_| own(&after, &before)),
        ..Change::new(Kind::Selection, subject)
    }
}
