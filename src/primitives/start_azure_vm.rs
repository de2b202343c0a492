//! `start_azure_vm(m)`: the way back before the commit, or the cloud side of a failover.

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Spec, Yields};
use crate::primitives::work::booting::{self, Started};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
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

    fn by_hand((): &(), subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let hand = hands::of_machine("Start {machine} in the cloud", subject, standing);
        let is_lost = standing.lost == Some(Side::Onprem);
        let hand = if is_lost {
            hand.first("{machine} was given up on {host}, and it is cut off there as far as anybody can: if it can be seen again, stop and ask.")
        } else {
            hand.first(
                "{machine} is off on {host}: look at it now. If you cannot see it, do not go on.",
            )
        };
        let hand = if is_lost && standing.live == Some(Side::Onprem) {
            hand.first("Its disks at {cloud} are not marked DIRTY: their last copy was verified, or nothing was copied onto them since they left.")
                .act("With Site Recovery: vault > Replicated items > {machine} > Failover (not the planned one), to the latest recovery point; do not shut the source down first.")
                .act("Otherwise, if the machine does not exist there yet, create it from its kept disks (`az vm create --attach-os-disk <disk>`), with its size and its network as written down.")
        } else if standing.live == Some(Side::Onprem) {
            hand.first("Its disks at {cloud} are not marked DIRTY: the last copy was verified, and was made from the stopped disks.")
                .first("The machine on {host} was not started since that copy began.")
                .act("With Site Recovery: vault > Replicated items > {machine} > Planned failover, from on-premises to Azure; it sends the last changes and starts the machine. Watch it to its end.")
.act("Otherwise, if the machine does not exist there yet, create it from its kept disks (`az vm create --attach-os-disk <disk>`), with its size and its network as written down.")
        } else {
            hand.first("No commit of {machine} was begun: its machine at {cloud} and all of its disks are still there.")
                .act("With Site Recovery cancel the failover job that waits for \"Complete Failover\" first; the replica at home is then DIRTY.")
                .danger("What the machine wrote on {host} since it ran there is lost on this way back, if it ran there at all.")
        };
        hand.act("Take its fence away (the lock), then: portal > Virtual machines > {machine} > Start; `az vm start --name {machine} --resource-group <group>`.")
            .verify("The portal shows Running, the agent's status is Ready, and you can log in.")
            .note("time it ran: its downtime ends")
            .danger("Never start {machine} here while it runs, or may run, on {host}: both would take writes, and one half of them is lost.")
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        cost::START
    }

    async fn run(_: &(), ctx: &dyn Ctx) -> Result<Started, Failure> {
        booting::start(&Sides::open(ctx)?, Side::Cloud, ctx).await
    }
}
