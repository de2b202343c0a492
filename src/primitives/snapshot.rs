//! `snapshot(m)`: a point-in-time copy of the side that runs.

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Output, Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::sides::{MACHINE, Sides, active};
use crate::primitives::work::taken::Taken;
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "snapshot",
    doc: "Takes a point-in-time copy of the machine's disks on the side that holds the live data; the machine keeps running.\n\nGive the handle to `transfer_delta`. A later verified transfer releases the snapshots it supersedes.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[],
    outputs: &[
        Output { name: "id", ty: "text", doc: "the snapshot's id at its site" },
        Output { name: "side", ty: "text", doc: "`cloud` or `onprem`: where it is" },
        Output { name: "at", ty: "text", doc: "when it was taken, RFC 3339" },
        Output { name: "bytes", ty: "bytes", doc: "all disks together" },
    ],
    yields: Yields::Snapshot,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 5, first_ms: 1_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: false,
    optional: false,
    example: "let point = snapshot(web);",
};

/// See [`SPEC`].
pub(super) struct Snapshot;

impl Primitive for Snapshot {
    type Args = ();
    type Out = Taken;
    const SPEC: &'static Spec = &SPEC;

    fn parse(_: &Json) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    fn effect((): &(), _: &Subject<'_>) -> Effect {
        Effect::Snapshot
    }

    fn describe((): &(), subject: &Subject<'_>) -> String {
        let told = subject.machine.and_then(|name| subject.facts.told(name, "where"));
        let side = match told.as_ref().and_then(Json::as_str) {
            Some("cloud") => "cloud",
            Some("home") => "on-prem",
            _ => "active",
        };
        format!("take a snapshot of the {side} disks; the machine keeps running")
    }

    fn by_hand((): &(), subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let hand = hands::of_machine("Take a snapshot of {machine}'s disks", subject, standing);
        let hand = match standing.live {
            Some(Side::Onprem) => hand
                .act("On {host}, take one snapshot of all of {machine}'s disks together ({disks}), so that they show one moment; the machine keeps running. Hyper-V: `Checkpoint-VM -Name {machine} -SnapshotName <name>`; KVM: `virsh snapshot-create-as {machine} <name> --disk-only --atomic`.")
                .verify("The snapshot is listed (Hyper-V Manager: Checkpoints; `virsh snapshot-list {machine}`), and {machine} still serves."),
            Some(Side::Cloud) => hand
                .act("At {cloud}, take a snapshot of every disk of {machine} ({disks}); the machine keeps running. Azure, once for each disk: `az snapshot create --resource-group <group> --name <name> --source <disk> --incremental true`.")
                .act("With Site Recovery this and the copy after it are one action: do nothing here.")
                .verify("Every disk has its snapshot, complete (Azure: provisioning state Succeeded, completion 100 %), and {machine} still serves."),
            None => hand
                .act("Find out where {machine} runs, at {cloud} or on {host}, and take a snapshot of every disk there ({disks}); the machine keeps running.")
                .verify("Every disk has its snapshot, complete, and {machine} still serves."),
        };
        hand.act("Put {machine}, the date and the time into the snapshot's name.")
            .note("name of each disk's snapshot")
            .danger("Disks that were not taken in the same moment do not fit together: what is copied from them may be brought up to date later, but never started.")
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    async fn run(_: &(), ctx: &dyn Ctx) -> Result<Taken, Failure> {
        let sides = Sides::open(ctx)?;
        let (cloud, onprem) = sides.look_both().await?;
        let side = active(&cloud, &onprem);
        let taken = sides.disks(side)?.snapshot(sides.at(side), &sides.fence(side)?).await?;
        Ok(Taken { id: taken.id, side, at: taken.at, bytes: taken.bytes })
    }
}
