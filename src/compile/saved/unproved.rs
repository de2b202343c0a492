//! A saved plan as it was written, for comparing it with another one.
//!
//! Neither the inventory nor the sites are asked: its machines may be gone since. So nothing is known of
//! what its steps do, and nothing is proved of it.

use crate::base::{Digest, SharedTexts};
use crate::compile::saved::document::Document;
use crate::compile::saved::read::{another_digest, begun, build, open};
use crate::diagnostic::{Diagnostic, any_error};
use crate::plan::digest::digest;
use crate::plan::estimate::Estimates;
use crate::plan::graph::Plan;
use crate::plan::step::StepIx;

/// A plan that nobody has proved. It is neither shown nor run: both take a
/// [`crate::verify::VerifiedPlan`], and no way leads there from here.
#[derive(Clone, Debug)]
pub struct Unproved {
    plan: Plan,
    digest: Digest,
    warnings: Vec<Diagnostic>,
    estimates: Estimates,
    no_return: Option<StepIx>,
}

impl Unproved {
    /// Reads a saved plan that is byte for byte what was saved, and whose steps have its digest.
    ///
    /// # Errors
    /// H160 to H165, as [`crate::compile::saved::load`] without what needs the inventory.
    pub fn read(text: &str) -> Result<Unproved, Vec<Diagnostic>> {
        let document = open(text).map_err(|wrong| vec![wrong])?;
        let mut texts = SharedTexts::default();
        let mut plan = begun(&document, &mut texts);
        let wrong = build(&mut plan, &document, None, &mut texts);
        if any_error(&wrong) {
            return Err(wrong);
        }
        let found = digest(&plan);
        if found != document.digest {
            return Err(vec![another_digest(&document.digest, &found)]);
        }
        let estimates = document.estimates(&plan);
        let no_return = document.point_of_no_return.as_ref();
        let no_return = no_return.and_then(|id| plan.by_id().get(id).copied());
        let Document { digest, warnings, .. } = document;
        let warnings = warnings.into_iter().map(Diagnostic::from).collect();
        Ok(Unproved { plan, digest, warnings, estimates, no_return })
    }

    /// What was saved. The effects of its steps are not known.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it means.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What nobody had answered when it was saved.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// What it was thought to cost; of a file that says less, as far as it does.
    pub fn estimates(&self) -> &Estimates {
        &self.estimates
    }

    /// The first step after which there was only forward.
    pub fn no_return(&self) -> Option<StepIx> {
        self.no_return
    }
}
