//! Compile, observe what was missing, compile again: until a plan rests on observed facts only.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use crate::base::{MachineName, SiteName};
use crate::compile::{Compiled, compile};
use crate::diagnostic::Diagnostic;
use crate::observe::{Open, Unseen, observe_hosts, observe_machines, sites_of};
use crate::plan::facts::{FactLog, Facts};
use crate::plan::inventory::Inventory;
use crate::source::World;
use crate::trace::Request;

/// Rounds of compiling at most: each reads facts that the one before asked for. A script that still asks
/// for more then chooses its machines by the facts of other machines, without end.
const ROUNDS_MAX: usize = 8;

/// What to compile; see [`Request`].
pub struct Asked<'a> {
    /// Reads the script and its imports.
    pub world: &'a dyn World,
    /// The script, relative to the plan's folder.
    pub script: &'a Utf8Path,
    /// `-p name=value`, as given.
    pub params: &'a BTreeMap<String, String>,
    /// Machines, sites, limits.
    pub inventory: &'a Inventory,
    /// Bytes allocated by the process right now.
    pub allocated: Option<fn() -> u64>,
}

/// Compiles a script with all the facts that it and the rules read. What a site could not tell is among
/// the diagnostics, and there is no plan then. The facts are those of the last round.
pub async fn compile_observed(asked: &Asked<'_>, open: Open<'_>) -> (Compiled, Facts) {
    let mut facts = Facts::default();
    let mut asked_sites: BTreeSet<SiteName> = BTreeSet::new();
    let mut round = 1;
    loop {
        let mut compiled = compile_once(asked, &facts);
        let machines: BTreeSet<MachineName> = missing(&compiled, asked.inventory, &facts);
        let mut sites = sites_of(&compiled.missing_hosts);
        sites.retain(|site| !asked_sites.contains(site));
        // Where a limit stopped it, another round would only run into the limit again.
        let stopped = compiled.diagnostics.iter().any(|found| found.code == "H140");
        if stopped || (machines.is_empty() && sites.is_empty()) {
            return (compiled, facts);
        }
        if round == ROUNDS_MAX {
            let names: Vec<&str> = machines.iter().map(MachineName::as_str).collect();
            let message = format!(
                "after {ROUNDS_MAX} rounds of observing, the script still asks for other machines: {}",
                names.join(", ")
            );
            let wrong = Diagnostic::error("H328", message).help(
                "do not choose machines by the facts of other machines more than a few times over",
            );
            compiled.diagnostics.push(wrong);
            compiled.plan = None;
            return (compiled, facts);
        }
        let mut unseen = observe_machines(open, asked.inventory, &machines, &mut facts).await;
        unseen.extend(observe_hosts(open, &sites, &mut facts).await);
        asked_sites.append(&mut sites);
        if !unseen.is_empty() {
            compiled.diagnostics.extend(unseen.iter().map(Unseen::diagnostic));
            compiled.plan = None;
            return (compiled, facts);
        }
        round += 1;
    }
}

fn compile_once(asked: &Asked<'_>, facts: &Facts) -> Compiled {
    let log = FactLog::new(facts);
    let request = Request {
        world: asked.world,
        script: asked.script,
        params: asked.params,
        inventory: asked.inventory,
        facts: &log,
        allocated: asked.allocated,
    };
    compile(&request)
}

/// Machines that were asked for, or that a step touches: rules read facts of those.
fn missing(compiled: &Compiled, inventory: &Inventory, facts: &Facts) -> BTreeSet<MachineName> {
    let touched = compiled.missing_machines.iter().chain(&compiled.machines);
    let unseen = touched.filter(|name| {
        inventory.machines.contains_key(*name) && !facts.machines.contains_key(*name)
    });
    unseen.cloned().collect()
}
