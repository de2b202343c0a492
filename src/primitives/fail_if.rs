//! `fail_if(cond, message)`: fails where something that is known only then is so.

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Param, Spec, Takes, Yields};
use crate::primitives::work::options::Options;
use crate::run::failure::Failure;

static SPEC: Spec = Spec {
    name: "fail_if",
    doc: "Fails while the plan runs, if a condition on what steps have put out holds; `require` is its twin at plan time.\n\nIt is not tried again: what it looks at is in the past. It waits for the steps that it reads and belongs to their machine when that is one.",
    kind: Kind::Act,
    params: &[
        Param {
            name: "condition",
            takes: Takes::Condition,
            optional: false,
            doc: "a condition on outputs, e.g. `sent.bytes_sent > 1000000`",
        },
        Param {
            name: "message",
            takes: Takes::Message,
            optional: false,
            doc: "what to say when it holds",
        },
    ],
    options: &[],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "fail_if(last.bytes_sent > 10000000, `too much changed on ${web}`);",
};

/// See [`SPEC`].
pub(super) struct FailIf;

/// When to fail, and what to say.
pub(super) struct Args {
    condition: Condition,
    message: String,
}

/// A condition before and after it is known.
enum Condition {
    Source(String),
    Holds(bool),
}

impl Primitive for FailIf {
    type Args = Args;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let message = options.text("message").unwrap_or_default();
        if message.trim().is_empty() {
            options
                .refuse("a failure that says nothing", "say what is wrong as the second argument");
        }
        let condition = match args.get("condition") {
            Some(Json::Bool(holds)) => Condition::Holds(*holds),
            Some(Json::String(source)) => Condition::Source(source.clone()),
            other => {
                let shown = other.map_or("nothing".to_owned(), Json::to_string);
                options.refuse(
                    format!("`fail_if` was given {shown}"),
                    "it takes a condition on what steps put out, e.g. `sent.bytes_sent > 1000`",
                );
                Condition::Holds(true)
            }
        };
        options.finish(Args { condition, message })
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        match &args.condition {
            Condition::Source(source) => format!("fail if {source}: {}", args.message),
            Condition::Holds(true) => format!("fail: {}", args.message),
            Condition::Holds(false) => "go on".to_owned(),
        }
    }

    fn by_hand(args: &Args, _: &Subject<'_>, _: &Standing) -> ByHand {
        let hand =
            ByHand::new("Stop here if something holds").given("message", args.message.clone());
        match &args.condition {
            Condition::Source(source) => hand
                .given("condition", source.clone())
                .act("Look at what you wrote down: does {condition} hold?")
                .act("If it holds, this step has FAILED: {message}")
                .verify("It does not hold."),
            Condition::Holds(true) => hand.act("This step always FAILS: {message}"),
            Condition::Holds(false) => hand.act("There is nothing to look at. Go on."),
        }
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        Cost::default()
    }

    async fn run(args: &Args, _: &dyn Ctx) -> Result<Done, Failure> {
        match &args.condition {
            Condition::Holds(false) => Ok(Done {}),
            Condition::Holds(true) => Err(Failure::refused("H330", args.message.clone())
                .help("the script says that it must not go on like this: see the outputs that it names with `homing show RUN`")),
            Condition::Source(text) => {
                Err(Failure::permanent(format!("the condition is neither true nor false, but `{text}`")))
            }
        }
    }
}
