//! `approve([m,] message)`: a gate.

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Param, Spec, Takes, Yields};
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::MACHINE_OR_NONE;
use crate::run::failure::Failure;

const fn opt(name: &'static str, ty: OptType, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, ty, default, required: false, doc }
}

static SPEC: Spec = Spec {
    name: "approve",
    doc: "Waits for a person.\n\nWithout a machine it waits for everything written before it in its scope, and everything after waits for it. Answer on the terminal, with `homing approve RUN NAME`, or in advance with `--approve NAME`. `timeout` is how long it stays open; then `on_timeout` holds.",
    kind: Kind::Gate,
    params: &[
        MACHINE_OR_NONE,
        Param { name: "message", takes: Takes::Message, optional: false, doc: "what is asked" },
    ],
    options: &[
        opt(
            "approvers",
            OptType::Texts,
            "anyone",
            "who is asked; shown with the question (names are not authenticated)",
        ),
        opt("name", OptType::Name, "approve and a number", "what `homing approve RUN NAME` takes"),
        opt(
            "on_timeout",
            OptType::OneOf(&["go_on", "reject"]),
            "reject",
            "what an unanswered gate counts as; never `go_on` before an irreversible step",
        ),
    ],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "approve(\"Complete failover\", #{ name: \"complete\", timeout: \"8h\" });",
};

/// See [`SPEC`].
pub(super) struct Approve;

/// The question.
pub(super) struct Args {
    message: String,
    approvers: Vec<String>,
    goes_on: bool,
}

impl Primitive for Approve {
    type Args = Args;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let message = options.text("message").unwrap_or_default();
        if message.trim().is_empty() {
            options.refuse(
                "a gate asks nothing",
                "say what a person is to decide: `approve(\"Complete failover\")`",
            );
        }
        let parsed = Args {
            message,
            approvers: options.texts("approvers").unwrap_or_default(),
            goes_on: options.text("on_timeout").as_deref() == Some("go_on"),
        };
        options.finish(parsed)
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Approved
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        let who = if args.approvers.is_empty() {
            "a person".to_owned()
        } else {
            args.approvers.join(" or ")
        };
        let unanswered = if args.goes_on { " (unanswered, it goes on)" } else { "" };
        format!("wait for {who}: {}{unanswered}", args.message)
    }

    fn by_hand(args: &Args, _: &Subject<'_>, _: &Standing) -> ByHand {
        let hand = ByHand::new("{question}").given("question", args.message.clone());
        let hand = if args.approvers.is_empty() {
            hand.act("Whoever is responsible answers, with a name that can be asked later.")
        } else {
            hand.act("{approvers} answers, and nobody else.")
                .given("approvers", args.approvers.join(" or "))
        };
        if args.goes_on {
            hand.act("No answer in time counts as yes.")
        } else {
            hand.act("No answer in time counts as no.")
        }
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        Cost::default()
    }

    async fn run(args: &Args, _: &dyn Ctx) -> Result<Done, Failure> {
        Err(Failure::permanent(format!(
            "`{}` is answered by a person, not by running it",
            args.message
        ))
        .help("answer it with `homing approve RUN GATE`"))
    }
}
