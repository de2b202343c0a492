//! `shutdown_onprem_vm(m)`: turns the on-prem machine off, for certain.

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
    name: "shutdown_onprem_vm",
    doc: "Shuts the on-prem machine down and returns when it is really off.\n\nGracefully first, then hard after `grace`. Where the provider can, it is fenced: only `start_onprem_vm` starts it again. A machine that is off already, or absent, is success.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: stopping::OPTIONS,
    outputs: stopping::OUTPUTS,
    yields: Yields::Step,
    reversibility: Reversibility::Compensable,
    policy: stopping::POLICY,
    timeout_is_stall: false,
    optional: false,
    example: "shutdown_onprem_vm(web, #{ grace: \"2m\" });",
};

/// See [`SPEC`].
pub(super) struct ShutdownOnpremVm;

impl Primitive for ShutdownOnpremVm {
    type Args = Args;
    type Out = Stopped;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        stopping::parse(args)
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Stop(Side::Onprem)
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        stopping::describe(args, "on-prem")
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let title = "Shut {machine} down at home, and keep it off";
        stopping::by_hand(title, args, Side::Onprem, subject, standing)
            .act("From inside the guest, or on {host}: Hyper-V Manager > Shut Down, `Stop-VM -Name {machine}`; KVM: `virsh shutdown {machine}`. Give it {grace}.")
            .act("If it has not stopped by then, pull the plug: `Stop-VM -Name {machine} -TurnOff`; KVM: `virsh destroy {machine}`. Write that down: its disks are then as after a power failure.")
            .act("Fence it: `Set-VM -Name {machine} -AutomaticStartAction Nothing`; KVM: `virsh autostart --disable {machine}`; in a cluster take its role offline. Put \"do not start\" into its notes.")
            .verify("`Get-VM -Name {machine}` says Off, KVM's `virsh domstate {machine}` says shut off; a few minutes later still.")
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::STOP
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Stopped, Failure> {
        stopping::stop(args, Side::Onprem, ctx).await
    }
}
