//! `notify(#{ text, command | webhook })`: tells someone.

use std::process::Stdio;
use std::time::Duration;

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Done, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Spec, Yields};
use crate::primitives::work::commands;
use crate::primitives::work::cost;
use crate::primitives::work::http::{self, Ask, Url};
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::MACHINE_OR_NONE;
use crate::run::failure::Failure;

const fn opt(name: &'static str, ty: OptType, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, ty, default, required: false, doc }
}

static SPEC: Spec = Spec {
    name: "notify",
    doc: "Tells someone, by a command or a webhook; never holds back what follows, and its failure is an exception only.\n\nA command must be on the inventory's allow-list (`[commands.*]`, `*` stands for any one argument) and is never given to a shell; the text is in its environment as `HOMING_TEXT`.",
    kind: Kind::Notify,
    params: &[MACHINE_OR_NONE],
    options: &[
        opt("command", OptType::Texts, "none", "the command and its arguments"),
        Opt { name: "text", ty: OptType::Message, default: "", required: true, doc: "what to say" },
        opt(
            "webhook",
            OptType::Text,
            "none",
            "an `https://` or `http://` address that gets `{\"text\": ..}` by POST",
        ),
    ],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 3, first_ms: 1_000, max_ms: 10_000, timeout_ms: Some(30_000) },
    timeout_is_stall: false,
    optional: true,
    example: "notify(#{ text: \"tier web is home\", command: [\"/usr/local/bin/page\", \"ops\"] });",
};

/// See [`SPEC`].
pub(super) struct Notify;

/// What to say, and how.
pub(super) struct Args {
    text: String,
    way: Way,
}

enum Way {
    Command(Vec<String>),
    Webhook(Url),
    /// `parse` refused it already.
    Neither,
}

impl Primitive for Notify {
    type Args = Args;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let text = options.text("text").unwrap_or_default();
        let way = match (options.texts("command"), options.text("webhook")) {
            (Some(argv), None) if !argv.is_empty() => Way::Command(argv),
            (None, Some(url)) => match Url::parse(&url) {
                Ok(url) => Way::Webhook(url),
                Err(why) => {
                    options.refuse(
                        why,
                        "or call a program of the inventory's allow-list with `command`",
                    );
                    Way::Neither
                }
            },
            _ => {
                options.refuse(
                    "a notification goes one way",
                    "give either `command: [\"..\"]` or `webhook: \"https://..\"`",
                );
                Way::Neither
            }
        };
        options.finish(Args { text, way })
    }

    fn fits(args: &Args, _: &Policy, subject: &Subject<'_>) -> Result<(), Vec<Diagnostic>> {
        match &args.way {
            Way::Command(argv) => {
                commands::listed(subject.inventory, argv).map_err(|one| vec![one])
            }
            Way::Webhook(_) | Way::Neither => Ok(()),
        }
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        match &args.way {
            Way::Command(argv) => format!("tell {}: {}", argv.join(" "), args.text),
            Way::Webhook(url) => format!("tell {url}: {}", args.text),
            Way::Neither => args.text.clone(),
        }
    }

    fn by_hand(args: &Args, _: &Subject<'_>, _: &Standing) -> ByHand {
        let hand = ByHand::new("Tell them: {text}").given("text", args.text.clone());
        match &args.way {
            Way::Command(argv) => hand
                .act("Homing would call {command}: call it, or telephone whoever that reaches.")
                .given("command", argv.join(" ")),
            // Such addresses often hold a secret behind the host's name.
            Way::Webhook(url) => hand
                .act("Homing would post it to {place}: telephone whoever reads that.")
                .given("place", url.host()),
            Way::Neither => hand,
        }
        .note("who was told")
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    fn rehearsed(_: &Args) -> Option<Done> {
        Some(Done {})
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Done, Failure> {
        match &args.way {
            Way::Command(argv) => call(argv, &args.text, ctx).await?,
            Way::Webhook(url) => {
                let body = serde_json::json!({ "text": args.text, "run": ctx.run().as_str() });
                post(url, body.to_string()).await?;
            }
            Way::Neither => return Err(Failure::permanent("no way to tell anyone was given")),
        }
        Ok(Done {})
    }
}

async fn call(argv: &[String], text: &str, ctx: &dyn Ctx) -> Result<(), Failure> {
    commands::allowed(ctx.inventory(), argv)?;
    let child = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .env("HOMING_TEXT", text)
        .env("HOMING_RUN", ctx.run().as_str())
        .env("HOMING_KEY", ctx.key().as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    let ended = tokio::select! {
        ended = child => ended,
        () = ctx.cancelled().cancelled() => return Err(Failure::cancelled()),
    };
    let shown = argv.join(" ");
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::transient(format!("`{shown}` ended with {status}"))),
        Err(error) => Err(Failure::permanent(format!("`{shown}` cannot be started: {error}"))),
    }
}

/// Longest wait for a webhook's answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);

async fn post(url: &Url, body: String) -> Result<(), Failure> {
    match http::request(Ask::Post(body), url, ANSWER_PATIENCE).await {
        Ok(200..=299) => Ok(()),
        Ok(429) => Err(Failure::throttled(format!("{url} asks for patience"), 5)),
        Ok(status) => Err(Failure::transient(format!("{url} answered {status}"))),
        Err(why) => Err(Failure::transient(why)),
    }
}
