//! `shutdown_azure_vm(m)`: turns the cloud machine off, for certain.

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::sides::MACHINE;
use crate::primitives::work::stopping::{self, Args, Stopped};
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "shutdown_azure_vm",
    doc: "Shuts the cloud machine down and returns when it is really off.\n\nGracefully first, then hard after `grace`. Where the provider can, it is fenced: only `start_azure_vm` starts it again. A machine that is off already, or absent, is success.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: stopping::OPTIONS,
    outputs: stopping::OUTPUTS,
    yields: Yields::Step,
    reversibility: Reversibility::Compensable,
    policy: stopping::POLICY,
    timeout_is_stall: false,
    optional: false,
    example: "shutdown_azure_vm(web, #{ grace: \"2m\" });",
};

/// See [`SPEC`].
pub(super) struct ShutdownAzureVm;

impl Primitive for ShutdownAzureVm {
    type Args = Args;
    type Out = Stopped;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        stopping::parse(args)
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Stop(Side::Cloud)
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        stopping::describe(args, "cloud")
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let title = "Shut {machine} down in the cloud, and keep it off";
        stopping::by_hand(title, args, Side::Cloud, subject, standing)
            .act("With Site Recovery do it all the same: its \"Complete Failover\" would also start the machine at home at once, which this book does later, in its turn.")
            .act("From inside the guest, or: portal > Virtual machines > {machine} > Stop; `az vm stop --name {machine} --resource-group <group>`. Give it {grace}.")
            .act("If it has not stopped by then, pull the plug: `az vm stop --skip-shutdown`. Write that down: its disks are then as after a power failure.")
            .act("Give up its place: `az vm deallocate --name {machine} --resource-group <group>`.")
            .act("Fence it, so that no schedule and no colleague starts it: put a read-only lock on it (portal > Locks, or `az lock create --lock-type ReadOnly`), and switch its automatic start off.")
            .verify("The portal shows Stopped (deallocated), and a few minutes later still; `az vm get-instance-view` says PowerState/deallocated.")
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::STOP
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Stopped, Failure> {
        stopping::stop(args, Side::Cloud, ctx).await
    }
}
