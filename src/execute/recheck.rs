//! Observing a plan's facts again while its run goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use crate::base::{MachineName, SiteName};
use crate::compile::stale::ChangedFact;
use crate::execute::context::Sites;
use crate::observe::{Unseen, changed_since};
use crate::plan::facts::Fact;
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::schedule::{Changed, Changes};

/// Observes again what a plan rests on.
#[async_trait]
pub trait Recheck: Send + Sync {
    /// What differs from these facts. Machines in `apart` are not compared: this very run has begun to
    /// change them, or they take no further step. A fact that cannot be observed differs. Machines in
    /// `may_drop` are to be left out when theirs differ.
    async fn changed(
        &self,
        facts: &BTreeSet<Fact>,
        apart: &BTreeSet<MachineName>,
        may_drop: &BTreeSet<MachineName>,
    ) -> Changes;
}

/// Asks the sites.
pub struct Observing {
    /// The sites.
    pub sites: Sites,
    /// The inventory.
    pub inventory: Arc<Inventory>,
}

#[async_trait]
impl Recheck for Observing {
    async fn changed(
        &self,
        facts: &BTreeSet<Fact>,
        apart: &BTreeSet<MachineName>,
        may_drop: &BTreeSet<MachineName>,
    ) -> Changes {
        let open = |name: &SiteName| {
            let missing = || Failure::permanent(format!("the inventory has no site `{name}`"));
            (self.sites)(name).ok_or_else(missing)
        };
        let changed = changed_since(&open, &self.inventory, facts, apart).await;
        sorted_out(changed, may_drop)
    }
}

/// What holds the run, and which machines are left out instead.
pub fn sorted_out(
    changed: Result<Vec<ChangedFact>, Vec<Unseen>>,
    may_drop: &BTreeSet<MachineName>,
) -> Changes {
    let mut changes = Changes::default();
    let changed = changed.unwrap_or_else(|unseen| {
        changes.hold = unseen.iter().map(|one| one.diagnostic().message.into()).collect();
        Vec::new()
    });
    for one in changed {
        if one.machines.is_empty() || !one.machines.is_subset(may_drop) {
            changes.hold.push(Changed { text: one.to_string(), machines: one.machines });
            continue;
        }
        for machine in &one.machines {
            changes.drop.entry(machine.clone()).or_insert_with(|| one.to_string());
        }
    }
    changes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Nothing ever differs.
    pub struct Unchanged;

    #[async_trait]
    impl Recheck for Unchanged {
        async fn changed(
            &self,
            _: &BTreeSet<Fact>,
            _: &BTreeSet<MachineName>,
            _: &BTreeSet<MachineName>,
        ) -> Changes {
            Changes::default()
        }
    }
}
