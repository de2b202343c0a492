//! `snapshot(m)`: a point-in-time copy of the side that runs.

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{Cost, Ctx, Primitive, Subject};
use crate::primitives::spec::{Output, Spec, Yields};
use crate::primitives::work::cost;
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
        let facts = subject.machine.and_then(|name| subject.facts.peek().machines.get(name));
        let side = match facts.map(|facts| facts.active) {
            Some(Side::Cloud) => "cloud",
            Some(Side::Onprem) => "on-prem",
            None => "active",
        };
        format!("take a snapshot of the {side} disks; the machine keeps running")
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
