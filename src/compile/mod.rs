//! Compiling: from a script, or a saved plan, to a plan that is proved, with its estimates.
//!
//! In: what to trace, or a saved plan's text; facts; the inventory. Out: a
//! [`crate::verify::VerifiedPlan`] or diagnostics, and what has to be observed before there can be more.
//! Refuses to know: files, sites, how anything is drawn. It never fails.

pub mod answered;
mod estimate;
pub mod saved;
pub mod stale;
pub mod waves;

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::base::{MachineName, Side};
use crate::compile::estimate::{Estimated, estimate};
use crate::diagnostic::{Diagnostic, any_error};
use crate::plan::effect::Effect;
use crate::plan::estimate::{Estimates, History};
use crate::plan::facts::{FactLog, HostKey};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::StepIx;
use crate::source::Texts;
use crate::trace::{ParamDecl, Request, trace};
use crate::verify::{Verdict, VerifiedPlan, verify};

/// What came of compiling a script.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The plan, when nothing is missing and nothing refuses it.
    pub plan: Option<VerifiedPlan>,
    /// What it will cost.
    pub estimates: Estimates,
    /// Everything found, sorted by place; what has no place comes first.
    pub diagnostics: Vec<Diagnostic>,
    /// Every text that was read, by the name in spans.
    pub texts: Texts,
    /// Every file that was read, or looked for inside the plan's folder, relative to it.
    pub files: BTreeSet<Utf8PathBuf>,
    /// The parameters that the script declares.
    pub params: Vec<ParamDecl>,
    /// Machines that were never observed: observe them and compile again. Until then nothing is proved.
    pub missing_machines: BTreeSet<MachineName>,
    /// Hosts that were never observed. A plan may be refused for lack of them.
    pub missing_hosts: BTreeSet<HostKey>,
    /// Machines that steps touch.
    pub machines: BTreeSet<MachineName>,
    /// Sides of machines that steps declare lost.
    pub lost: BTreeSet<(MachineName, Side)>,
    /// What the next round of the same script is to be told: see [`Request::spent`].
    pub spent: Duration,
}

/// Traces a script, then proves and estimates the plan. What is read of the request's facts becomes part of it.
pub fn compile(request: &Request<'_>, history: &History) -> Compiled {
    let traced = trace(request);
    let Request { facts, inventory, .. } = *request;
    let mut missing_machines = facts.missing();
    let observed = &facts.peek().machines;
    let known = |name: &&MachineName| inventory.machines.contains_key(*name);
    let unseen = traced.machines.iter().filter(known).filter(|name| !observed.contains_key(*name));
    missing_machines.extend(unseen.cloned());
    let mut missing_hosts = traced.missing_hosts;
    // Tracing stops at a fact that nobody observed: which of those machines it will change is not known yet.
    let mut changed = traced.plan.changed_machines();
    changed.extend(&missing_machines);
    missing_hosts.extend(homes_unseen(changed, facts, inventory));
    let lost = traced.plan.lost_sides();
    let (mut diagnostics, acknowledged) = answered::part(&traced.plan, traced.diagnostics);
    let (mut plan, mut estimates) = (None, Estimates::default());
    if !any_error(&diagnostics) && missing_machines.is_empty() {
        let (verdict, costs) = prove(traced.plan, facts, inventory, history);
        let verdict = verdict.and_answered(acknowledged);
        estimates = costs;
        // A rule may ask for a machine that the plan only needs.
        missing_machines = facts.missing();
        if missing_machines.is_empty() {
            plan = verdict.plan;
            diagnostics.extend(verdict.diagnostics);
        }
    }
    diagnostics.sort_by(|a, b| a.at.cmp(&b.at));
    Compiled {
        plan,
        estimates,
        diagnostics,
        texts: traced.texts,
        files: traced.files,
        params: traced.params,
        spent: traced.spent,
        missing_machines,
        missing_hosts,
        machines: traced.machines,
        lost,
    }
}

/// Proves a plan, estimates it, and holds its downtimes against the inventory.
fn prove(
    plan: Plan,
    facts: &FactLog<'_>,
    inventory: &Inventory,
    history: &History,
) -> (Verdict, Estimates) {
    let verdict = verify(plan, facts, inventory);
    let Some(proved) = &verdict.plan else { return (verdict, Estimates::default()) };
    let Estimated { estimates, downtimes } = estimate(proved.plan(), inventory, facts, history);
    (verdict.with_downtimes(&downtimes, inventory), estimates)
}

/// The homes of these machines, as far as nothing at all is known of their sites' hosts. A host that is
/// missing at a site whose hosts are known is simply not there.
fn homes_unseen(
    machines: BTreeSet<&MachineName>,
    facts: &FactLog<'_>,
    inventory: &Inventory,
) -> BTreeSet<HostKey> {
    let observed = facts.peek();
    let sites: BTreeSet<_> = observed.hosts.keys().map(|(site, _)| site).collect();
    let home = |name: &MachineName| {
        let entry = inventory.machines.get(name)?;
        let site = &entry.onprem;
        // Of a machine that was not observed either, so that both are asked for at once.
        let host = observed.machines.get(name).map_or(&entry.host, |facts| &facts.host);
        (!sites.contains(site)).then(|| (site.clone(), host.clone()))
    };
    machines.into_iter().filter_map(home).collect()
}

/// The first step after which there is only forward.
pub fn point_of_no_return(plan: &Plan) -> Option<StepIx> {
    let ends = |effect| matches!(effect, Effect::Commit | Effect::DeclareLost(_));
    plan.iter().find(|(_, step)| ends(step.effect)).map(|(ix, _)| ix)
}
