//! Proof: no path through a plan loses data.
//!
//! In: a traced plan and what was observed. Out: a [`VerifiedPlan`], or the rules it breaks, at the
//! script's lines. Refuses to know: files, clocks, the names of primitives.

use crate::base::Digest;
use crate::diagnostic::Diagnostic;
use crate::plan::graph::Plan;

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
}
