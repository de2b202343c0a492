//! `wait([m,] duration)`: lets time pass.

use std::time::Duration;

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Param, Spec, Takes, Yields};
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::MACHINE_OR_NONE;
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "wait",
    doc: "Lets time pass.\n\nWith a machine it joins that machine's chain; without one it is a barrier in its scope. A wait that was interrupted begins again.",
    kind: Kind::Timer,
    params: &[
        MACHINE_OR_NONE,
        Param { name: "duration", takes: Takes::Duration, optional: false, doc: "how long" },
    ],
    options: &[],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "wait(\"30s\");",
};

/// See [`SPEC`].
pub(super) struct Wait;

/// How long.
pub(super) struct Args {
    duration: Duration,
}

impl Primitive for Wait {
    type Args = Args;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let duration = options.duration("duration").unwrap_or_default();
        options.finish(Args { duration })
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        format!("wait {}", humantime::format_duration(args.duration))
    }

    fn by_hand(args: &Args, _: &Subject<'_>, _: &Standing) -> ByHand {
        ByHand::new("Wait {duration}")
            .given("duration", humantime::format_duration(args.duration).to_string())
            .act("Let {duration} pass by a clock, from now. If you were interrupted, begin again.")
            .note("from when, to when")
    }

    fn estimate(args: &Args, _: &Subject<'_>) -> Cost {
        Cost::seconds(args.duration.as_secs_f64())
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Done, Failure> {
        tokio::select! {
            () = tokio::time::sleep(args.duration) => Ok(Done {}),
            () = ctx.cancelled().cancelled() => Err(Failure::cancelled()),
        }
    }
}
