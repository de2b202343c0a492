//! `reverse_replicate(m)`: protects the machine at home towards the cloud again.

use serde::Serialize;

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::{Effect, Mode};
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::moving;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::MACHINE;
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "reverse_replicate",
    doc: "Protects the on-prem machine towards the cloud again, after `commit`.\n\nSends only what changed since the final transfer, onto the base that `commit` kept; the machine keeps running. Without a usable base everything would have to be sent: that is refused unless `allow_initial` is true. `timeout` is the longest time without progress.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[Opt {
        name: "allow_initial",
        ty: OptType::Bool,
        default: "false",
        required: false,
        doc: "send everything when there is no base in the cloud",
    }],
    outputs: &[
        Output { name: "bytes_sent", ty: "bytes", doc: "written to the cloud" },
        Output { name: "mode", ty: "text", doc: "`changes` or `initial`" },
    ],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 8, first_ms: 2_000, max_ms: 120_000, timeout_ms: Some(600_000) },
    timeout_is_stall: true,
    optional: false,
    example: "reverse_replicate(web);",
};

/// See [`SPEC`].
pub(super) struct ReverseReplicate;

/// What is allowed.
pub(super) struct Args {
    allow_initial: bool,
}

/// What was sent.
#[derive(Serialize)]
pub(super) struct Replicated {
    bytes_sent: u64,
    mode: &'static str,
}

impl Primitive for ReverseReplicate {
    type Args = Args;
    type Out = Replicated;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let allow_initial = options.flag("allow_initial").unwrap_or(false);
        options.finish(Args { allow_initial })
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::ReverseReplicate
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        let what = if args.allow_initial { "send changes (or everything)" } else { "send changes" };
        format!(
            "protect on-prem towards the cloud again: {what} since the switch; the machine keeps running"
        )
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let hand = hands::of_machine("Protect {machine} again, from {onprem} to {cloud}", subject, standing)
            .first("{machine} runs on {host}, and its machine at {cloud} is deleted (its commit is done).")
            .act("With Site Recovery: vault > Replicated items > {machine} > Reverse replicate.")
            .act("Otherwise let your replication tool send what changed on {host} since the machine was switched off at {cloud} onto the base that was kept there; the machine keeps running.");
        let hand = if args.allow_initial {
            hand.act("If there is no usable base, send everything ({size}).")
        } else {
            hand.act("If there is no usable base, stop: everything would have to be sent ({size}), which nobody has agreed to. Ask.")
        };
        hand.verify("The vault, or the tool, shows the machine as protected, with a first recovery point that is younger than this step.")
            .note("bytes sent")
            .danger("Until then nothing protects {machine}: what happens to {host} happens to its only copy.")
    }

    fn estimate(_: &Args, subject: &Subject<'_>) -> Cost {
        cost::transfer(subject, Mode::Delta, None)
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Replicated, Failure> {
        let (moved, is_initial) = moving::protect(args.allow_initial, ctx).await?;
        let mode = if is_initial { "initial" } else { "changes" };
        Ok(Replicated { bytes_sent: moved.bytes_sent, mode })
    }
}
