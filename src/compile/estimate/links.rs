//! What goes over the sites' links at the same time shares what they let through.

use std::collections::BTreeMap;

use crate::base::SiteName;
use crate::plan::inventory::Inventory;
use crate::plan::step::{Step, StepIx};
use crate::primitives::contract::Cost;

/// A remainder of work below this is none, seconds.
const NOTHING_S: f64 = 1e-9;

/// Transfers under way.
pub(super) struct Links<'a> {
    inventory: &'a Inventory,
    active: Vec<Transfer<'a>>,
}

struct Transfer<'a> {
    step: StepIx,
    /// The sites that it goes over and that have a limit, with it.
    sites: Vec<(&'a SiteName, f64)>,
    /// Bytes per second when nothing else goes on.
    rate: f64,
    /// What is left, in seconds at that rate.
    left_s: f64,
    /// The part of its rate that it has now.
    speed: f64,
}

impl<'a> Links<'a> {
    /// Nothing goes on.
    pub(super) fn new(inventory: &'a Inventory) -> Links<'a> {
        Links { inventory, active: Vec::new() }
    }

    /// A step begins to send.
    pub(super) fn begin(&mut self, ix: StepIx, step: &Step, cost: &Cost) {
        let entry = step.machine.as_ref().and_then(|name| self.inventory.machines.get(name));
        let mut names: Vec<&SiteName> =
            entry.into_iter().flat_map(|entry| [&entry.cloud, &entry.onprem]).collect();
        names.dedup();
        let limit =
            |name: &'a SiteName| Some((name, self.inventory.sites.get(name)?.bandwidth? as f64));
        let sites = names.into_iter().filter_map(limit).collect();
        let (rate, left_s) = (cost.rate as f64, cost.on_links_s());
        self.active.push(Transfer { step: ix, sites, rate, left_s, speed: 1.0 });
        self.share();
    }

    /// Seconds until the first of them is through, if nothing else happens.
    pub(super) fn next_s(&self) -> Option<f64> {
        self.active.iter().map(|one| one.left_s / one.speed).min_by(f64::total_cmp)
    }

    /// That much time goes by; those that are through.
    pub(super) fn pass(&mut self, seconds: f64) -> Vec<StepIx> {
        for one in &mut self.active {
            one.left_s -= seconds * one.speed;
        }
        let is_through = |one: &Transfer<'_>| one.left_s <= NOTHING_S;
        let through: Vec<StepIx> =
            self.active.iter().filter(|one| is_through(one)).map(|one| one.step).collect();
        if !through.is_empty() {
            self.active.retain(|one| !is_through(one));
            self.share();
        }
        through
    }

    /// Each site's bandwidth goes to those that use it by what they could take alone.
    fn share(&mut self) {
        let mut wanted: BTreeMap<&SiteName, f64> = BTreeMap::new();
        for one in &self.active {
            for (site, _) in &one.sites {
                *wanted.entry(site).or_default() += one.rate;
            }
        }
        for one in &mut self.active {
            let shares = one.sites.iter().map(|(site, limit)| limit / wanted[site]);
            one.speed = shares.fold(1.0, f64::min);
        }
    }
}
