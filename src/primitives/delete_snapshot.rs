//! `delete_snapshot(s)`: gives a snapshot up before a transfer does.

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Param, Spec, Takes, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::Sides;
use crate::primitives::work::taken::Taken;
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "delete_snapshot",
    doc: "Deletes a snapshot.\n\nSeldom needed: a verified transfer releases the snapshots it supersedes, and `commit` deletes the rest.",
    kind: Kind::Act,
    params: &[Param {
        name: "snapshot",
        takes: Takes::Snapshot,
        optional: false,
        doc: "the snapshot's handle",
    }],
    options: &[],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Irreversible,
    policy: Policy { attempts: 5, first_ms: 1_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: false,
    optional: false,
    example: "delete_snapshot(point);",
};

/// See [`SPEC`].
pub(super) struct DeleteSnapshot;

impl Primitive for DeleteSnapshot {
    type Args = ();
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<(), Vec<Diagnostic>> {
        let mut options = Options::new(args);
        if !options.handle("snapshot") {
            options.refuse("no snapshot was given", "write `delete_snapshot(snapshot(m))`");
        }
        options.finish(())
    }

    fn effect((): &(), _: &Subject<'_>) -> Effect {
        Effect::ReleaseSnapshot
    }

    fn describe((): &(), _: &Subject<'_>) -> String {
        "delete the snapshot".to_owned()
    }

    fn by_hand((): &(), subject: &Subject<'_>, standing: &Standing) -> ByHand {
        hands::of_machine("Delete {machine}'s snapshot", subject, standing)
            .first("Nothing copies from it any more, and no later step of this book needs it.")
            .act("Delete the snapshot of every disk by the names that you wrote down. Azure: `az snapshot delete --name <name> --resource-group <group>`; Hyper-V: `Remove-VMSnapshot`; KVM: `virsh snapshot-delete`.")
            .verify("The snapshots are gone from the list; {machine} is as before.")
            .danger("A deleted snapshot does not come back. Delete by the written names only, never \"all of them\".")
    }

    fn estimate((): &(), _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    async fn run(_: &(), ctx: &dyn Ctx) -> Result<Done, Failure> {
        let sides = Sides::open(ctx)?;
        let taken = Taken::of_input(ctx, "snapshot")?
            .ok_or_else(|| Failure::permanent("the snapshot's step left no outputs"))?;
        let disks = sides.disks(taken.side)?;
        disks.release(sides.at(taken.side), &taken.id, &sides.fence(taken.side)?).await?;
        Ok(Done {})
    }
}
