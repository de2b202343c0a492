//! `delete_copy(copy)`: the end of a drill.

use crate::base::{Json, Side, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Param, Spec, Takes, Yields};
use crate::primitives::work::hands;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::Sides;
use crate::primitives::work::{copied, cost};
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "delete_copy",
    doc: "Ends an isolated copy and deletes it with its disks, however far it was made.\n\nMeant for `always`: a copy whose start failed or was cut off half-way is deleted as well; one that is gone is gone.",
    kind: Kind::Act,
    params: &[Param {
        name: COPY,
        takes: Takes::Copy,
        optional: false,
        doc: "the copy's handle, as `start_copy` returns it",
    }],
    options: &[],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 5, first_ms: 1_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: false,
    optional: false,
    example: "delete_copy(copy);",
};

const COPY: &str = "copy";

/// See [`SPEC`].
pub(super) struct DeleteCopy;

impl Primitive for DeleteCopy {
    /// The step that started it: its key is the copy's id, even where that step put nothing out.
    type Args = Option<StepId>;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Option<StepId>, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let step = options.handle_of(COPY);
        if step.is_none() {
            options.refuse("no copy was given", "write `delete_copy(start_copy(snapshot(m)))`");
        }
        options.finish(step)
    }

    fn effect(_: &Option<StepId>, _: &Subject<'_>) -> Effect {
        Effect::DeleteCopy
    }

    fn describe(_: &Option<StepId>, _: &Subject<'_>) -> String {
        "delete the isolated copy with its disks".to_owned()
    }

    fn by_hand(_: &Option<StepId>, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        hands::of_machine("Delete {machine}'s isolated copy", subject, standing)
            .first("What you are about to delete is called {machine}-copy, or as you wrote it down; it is not {machine}.")
            .act("Turn the copy off, delete it, and delete its disks: `Stop-VM -TurnOff`, `Remove-VM`, then the files; KVM: `virsh destroy`, `virsh undefine --remove-all-storage`. Do it however far it was made.")
            .verify("The copy and its disks are gone from the host; {machine} itself is as before.")
            .danger("Read the name twice: {machine} itself has nearly the same one.")
    }

    fn estimate(_: &Option<StepId>, _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    async fn run(step: &Option<StepId>, ctx: &dyn Ctx) -> Result<Done, Failure> {
        let step = step.as_ref().expect("BUG: parsed arguments name the copy's step");
        let id = copied::id_of(ctx, step);
        let sides = Sides::open(ctx)?;
        let copies = sides.copies(Side::Onprem)?;
        let fence = sides.fence(Side::Onprem)?;
        copies.delete(sides.at(Side::Onprem), &id, &fence).await?;
        Ok(Done {})
    }
}
