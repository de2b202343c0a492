//! `barrier([handles])`: waits for other steps.

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Param, Spec, Takes, Yields};
use crate::primitives::work::options::Options;
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "barrier",
    doc: "Waits for everything written before it in its scope, and holds everything after it back.\n\nWith a list of handles it waits for just those. Where machines failed before it, it holds the run until somebody decides, unless `on_failed` or `max_failed` decide beforehand.",
    kind: Kind::Barrier,
    params: &[Param {
        name: "handles",
        takes: Takes::Handles,
        optional: true,
        doc: "what to wait for; left out: everything before it in its scope",
    }],
    options: &[
        Opt {
            name: "max_failed",
            ty: OptType::Int { min: 0, max: 1_000_000 },
            default: "0",
            required: false,
            doc: "so many machines may have failed before it, and it goes on without them; with more `on_failed` holds, and there `go_on` counts as `hold`",
        },
        Opt {
            name: "on_failed",
            ty: OptType::OneOf(&["fail", "go_on", "hold"]),
            default: "hold",
            required: false,
            doc: "what failed machines mean: wait for a decision (`homing retry`, `exclude`), go on without them, or fail",
        },
    ],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "barrier();",
};

/// See [`SPEC`].
pub(super) struct Barrier;

/// What failed machines mean; the engine reads the arguments themselves.
pub(super) struct Args {
    on_failed: Option<String>,
    max_failed: Option<i64>,
}

impl Primitive for Barrier {
    type Args = Args;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let parsed = Args {
            on_failed: options.text("on_failed"),
            max_failed: args.get("max_failed").and_then(Json::as_i64),
        };
        options.finish(parsed)
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        let said = match (args.max_failed, args.on_failed.as_deref()) {
            (None, Some("go_on")) => ", and go on without machines that failed".to_owned(),
            (None, Some("fail")) => ", and fail if one of them failed".to_owned(),
            (None, _) => String::new(),
            (Some(most), Some("fail")) => {
                format!(", and fail if more than {most} machines failed")
            }
            (Some(most), _) => format!(", and go on without at most {most} machines that failed"),
        };
        format!("wait for the steps before{said}")
    }

    fn by_hand(args: &Args, _: &Subject<'_>, _: &Standing) -> ByHand {
        let hand = ByHand::new("Wait here until every step above is ticked or crossed out");
        let hand = match (args.max_failed, args.on_failed.as_deref()) {
            (None, Some("go_on")) => hand.act("Go on without the machines that failed; cross them out in what follows."),
            (None, Some("fail")) => hand.act("If one machine failed, this step has FAILED too."),
            (None, _) => hand.act("If one machine failed, do not go on by yourself: whoever is responsible decides whether to repair it or to cross it out."),
            (Some(_), Some("fail")) => hand.act("If more than {most} machines failed, this step has FAILED too. With fewer go on without them."),
            (Some(_), _) => hand.act("If more than {most} machines failed, do not go on by yourself: whoever is responsible decides. With fewer go on without them."),
        };
        let hand = match args.max_failed {
            Some(most) => hand.given("most", most.to_string()),
            None => hand,
        };
        hand.verify("No row above is left open.").note("machines that are crossed out")
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        Cost::default()
    }

    async fn run(_: &Args, _: &dyn Ctx) -> Result<Done, Failure> {
        Ok(Done {})
    }
}
