//! `barrier([handles])`: waits for other steps.

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{Cost, Ctx, Done, Primitive, Subject};
use crate::primitives::spec::{Param, Spec, Takes, Yields};
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "barrier",
    doc: "Waits for everything written before it in its scope, and holds everything after it back.\n\nWith a list of handles it waits for just those.",
    kind: Kind::Barrier,
    params: &[Param {
        name: "handles",
        takes: Takes::Handles,
        optional: true,
        doc: "what to wait for; left out: everything before it in its scope",
    }],
    options: &[],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "barrier();",
};

/// See [`SPEC`].
pub(super) struct Barrier;

impl Primitive for Barrier {
    type Args = ();
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(_: &Json) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn effect((): &(), _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe((): &(), _: &Subject<'_>) -> String {
        "wait for the steps before".to_owned()
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        Cost::default()
    }

    async fn run(_: &(), _: &dyn Ctx) -> Result<Done, Failure> {
        Ok(Done {})
    }
}
