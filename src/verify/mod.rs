//! Proof: no path through a plan loses data.
//!
//! In: a traced plan and what was observed. Out: a [`VerifiedPlan`], or the rules it breaks, at the
//! script's lines. Refuses to know: files, clocks, the names of primitives.
//!
//! [`step`] alone knows what a step does to a machine; each file in `rules` looks at the states before a
//! step; `pass` brings the two together, once over the plan.

mod observed;
mod pass;
mod report;
mod rules;
pub mod state;
pub mod step;

use crate::base::Digest;
use crate::diagnostic::{Diagnostic, Severity, any_error};
use crate::plan::digest::digest;
use crate::plan::facts::FactLog;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;

/// A plan that no rule refuses: the only ticket to showing, saving and running it.
#[derive(Clone, Debug)]
pub struct VerifiedPlan {
    plan: Plan,
    digest: Digest,
    warnings: Vec<Diagnostic>,
}

impl VerifiedPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it means.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What somebody should look at before it runs.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The codes of the rules that it was checked against.
    pub fn rules(&self) -> &'static [&'static str] {
        rules::CODES
    }
}

/// What came of proving a plan.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The plan, when no rule refuses it.
    pub plan: Option<VerifiedPlan>,
    /// What the rules found, in the order of the steps.
    pub diagnostics: Vec<Diagnostic>,
}

/// Proves a plan. What the rules read of `facts` becomes part of the plan's facts, and so of its digest.
pub fn verify(mut plan: Plan, facts: &FactLog<'_>, inventory: &Inventory) -> Verdict {
    let ground = rules::Ground { plan: &plan, facts, inventory };
    let diagnostics = pass::pass(&ground).diagnostics(&plan);
    plan.facts.append(&mut facts.recorded());
    if any_error(&diagnostics) {
        return Verdict { plan: None, diagnostics };
    }
    let digest = digest(&plan);
    let warnings = diagnostics.iter().filter(|found| found.severity == Severity::Warning).cloned();
    let warnings = warnings.collect();
    Verdict { plan: Some(VerifiedPlan { plan, digest, warnings }), diagnostics }
}
