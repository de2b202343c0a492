//! `start_azure_vm(m)`: the way back before the commit, or the cloud side of a failover.

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{Cost, Ctx, Primitive, Subject};
use crate::primitives::spec::{Spec, Yields};
use crate::primitives::work::booting::{self, Started};
use crate::primitives::work::cost;
use crate::primitives::work::sides::{MACHINE, Sides};
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "start_azure_vm",
    doc: "Starts the cloud machine again, from its own disks as it left them: the rollback of a failback that is not committed.\n\nRefuses while the on-prem side runs, and once a commit began. Writes that the on-prem side took are lost on this way back. A machine that runs already is success.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[],
    outputs: booting::OUTPUTS,
    yields: Yields::Step,
    reversibility: Reversibility::Compensable,
    policy: booting::POLICY,
    timeout_is_stall: false,
    optional: false,
    example: "start_azure_vm(web);",
};

/// See [`SPEC`].
pub(super) struct StartAzureVm;

impl Primitive for StartAzureVm {
    type Args = ();
    type Out = Started;
    const SPEC: &'static Spec = &SPEC;

    fn parse(_: &Json) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn effect((): &(), _: &Subject<'_>) -> Effect {
        Effect::Start(Side::Cloud)
    }

    fn describe((): &(), _: &Subject<'_>) -> String {
        "start the cloud machine again from its own disks; its downtime ends".to_owned()
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        cost::START
    }

    async fn run(_: &(), ctx: &dyn Ctx) -> Result<Started, Failure> {
        booting::start(&Sides::open(ctx)?, Side::Cloud, ctx).await
    }
}
