//! An isolated copy's handle: the step that starts a copy names it, whatever became of that step.

use crate::base::{CopyId, StepId, StepKey};
use crate::primitives::contract::Ctx;

/// The copy that `step` of this run starts.
pub fn id_of(ctx: &dyn Ctx, step: &StepId) -> CopyId {
    CopyId::of(&StepKey::of(ctx.run(), step))
}
