//! `run_command([m,] #{ argv, .. })`: a listed program, here, on the machine's host or inside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Spec, Yields};
use crate::primitives::work::hands;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::{MACHINE_OR_NONE, Sides};
use crate::primitives::work::{commands, cost};
use crate::run::failure::{Class, Failure};
use crate::sites::commands::Ran;

const fn opt(name: &'static str, ty: OptType, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, ty, default, required: false, doc }
}

static SPEC: Spec = Spec {
    name: "run_command",
    doc: "Runs a program of the inventory's allow-list (`[commands.*]`, `*` stands for any one argument), never a shell. A status other than 0 fails the step.\n\n`on` says where: `homing` (this computer, in the inventory's folder), `host` (the machine's on-prem host) or `guest` (inside the machine, on the side that runs). Its environment is `PATH`, what `env` gives, and `HOMING_RUN`, `HOMING_STEP`, `HOMING_STEP_KEY` (the same for every attempt of the step: give it to whatever the command creates, to recognise it) and `HOMING_MACHINE`. At most 64 KiB of what it prints are kept, in the journal: it should print no secrets. A step that is stopped or takes longer than `timeout` kills it with everything in its process group.\n\nUnless it is `repeatable`, a command whose end nobody saw (homing died, or killed it) is not run again: a person looks first. `undo` is the command that takes it back when the enclosing `attempt` fails.",
    kind: Kind::Act,
    params: &[MACHINE_OR_NONE],
    options: &[
        Opt {
            name: "argv",
            ty: OptType::Texts,
            default: "",
            required: true,
            doc: "the program and its arguments",
        },
        opt("env", OptType::TextMap, "none", "more variables of its environment"),
        opt(
            "on",
            OptType::OneOf(&["homing", "host", "guest"]),
            "`homing`",
            "where it runs; `host` and `guest` need a machine",
        ),
        opt(
            "repeatable",
            OptType::Bool,
            "false",
            "running it again does no harm: after a crash it is, and `retry` counts",
        ),
        opt(
            "undo",
            OptType::Texts,
            "none",
            "the command that takes it back; needs an enclosing `attempt`",
        ),
    ],
    outputs: &[
        Output { name: "status", ty: "int", doc: "its exit status" },
        Output { name: "stdout", ty: "text", doc: "what it printed, at most 64 KiB" },
    ],
    yields: Yields::Step,
    reversibility: Reversibility::Compensable,
    policy: Policy { attempts: 1, first_ms: 1_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: false,
    optional: false,
    example: "run_command(web, #{ argv: [\"/usr/local/bin/dns-switch\", \"onprem\"], timeout: \"1m\" });",
};

/// See [`SPEC`].
pub(super) struct RunCommand;

/// What to run, and where.
pub(super) struct Args {
    argv: Vec<String>,
    undo: Option<Vec<String>>,
    env: BTreeMap<String, String>,
    on: On,
    repeatable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Homing,
    Host,
    Guest,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    status: i32,
    stdout: String,
}

impl Primitive for RunCommand {
    type Args = Args;
    type Out = Done;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let argv = options.texts("argv").unwrap_or_default();
        let undo = options.texts("undo");
        let is_empty = args.get("argv").is_some() && argv.is_empty();
        if is_empty || undo.as_ref().is_some_and(Vec::is_empty) {
            options.refuse("a command without a program", "write `argv: [\"/path/to/it\", ..]`");
        }
        let env = options.text_map("env").unwrap_or_default();
        for name in env.keys().filter(|name| !may_be_set(name)) {
            options.refuse(
                format!("`env` may not set `{name}`"),
                "names of `HOMING_*` are given by homing; `PATH` and `LD_*` choose what runs, which the allow-list decides",
            );
        }
        let on = match options.text("on").as_deref() {
            Some("host") => On::Host,
            Some("guest") => On::Guest,
            _ => On::Homing,
        };
        let repeatable = options.flag("repeatable").unwrap_or(false);
        options.finish(Args { argv, undo, env, on, repeatable })
    }

    fn fits(args: &Args, _: &Policy, subject: &Subject<'_>) -> Result<(), Vec<Diagnostic>> {
        let all = [Some(&args.argv).filter(|argv| !argv.is_empty()), args.undo.as_ref()];
        let all = all.into_iter().flatten();
        let mut wrong: Vec<Diagnostic> =
            all.filter_map(|argv| commands::listed(subject.inventory, argv).err()).collect();
        if args.on != On::Homing && subject.machine.is_none() {
            let message = "a command on a host or inside a machine needs a machine";
            wrong.push(Diagnostic::error("H190", message).help("run_command(m, #{ .. })"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe(args: &Args, subject: &Subject<'_>) -> String {
        let place = match (args.on, subject.entry()) {
            (On::Host, Some(entry)) => format!(" on {}", entry.host),
            (On::Guest, _) => " inside the machine".to_owned(),
            _ => String::new(),
        };
        let undo = args.undo.as_ref();
        let undo =
            undo.map_or(String::new(), |undo| format!(" (taken back by {})", undo.join(" ")));
        let again = if args.repeatable { "" } else { ", once" };
        format!("run {}{place}{again}{undo}", args.argv.join(" "))
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let title = match args.on {
            On::Homing => "Run a command",
            On::Host => "Run a command on {host}",
            On::Guest => "Run a command inside {machine}",
        };
        let hand = match subject.machine {
            Some(_) => hands::of_machine(title, subject, standing),
            None => ByHand::new(title),
        };
        let hand = match args.on {
            On::Homing => hand.act("On the computer that homing runs on, or one like it, word by word and without a shell: {words}"),
            On::Host => hand.act("On {host}, word by word and without a shell: {words}"),
            On::Guest => hand.act("Inside {machine}, on the side that runs, word by word and without a shell: {words}"),
        };
        let hand = hand.given("words", quoted(&args.argv));
        // Values may be secrets.
        let names: Vec<&str> = args.env.keys().map(String::as_str).collect();
        let hand = if names.is_empty() {
            hand
        } else {
            hand.act("Set its variables {variables} as the script does; what they hold is not printed here.")
                .given("variables", names.join(", "))
        };
        let hand = match &args.undo {
            Some(undo) => hand
                .act("Only if these steps are to be taken back later: {undo}")
                .given("undo", quoted(undo)),
            None => hand,
        };
        let hand = hand.verify("It ended with status 0, and what it is for has happened.");
        if args.repeatable {
            hand.note("status, last line it printed")
        } else {
            hand.note("status, last line it printed").danger("Run it once. If you did not see how it ended, do not run it again: look first whether it did its work.")
        }
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    fn rehearsed(_: &Args) -> Option<Done> {
        Some(Done { status: 0, stdout: String::new() })
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Done, Failure> {
        commands::allowed(ctx.inventory(), &args.argv)?;
        match begun(ctx)? {
            Some(Mark::Ended(Ran { status: 0, stdout, .. })) => {
                return Ok(Done { status: 0, stdout });
            }
            Some(Mark::Begun) if !args.repeatable => return Err(unknown_end(args)),
            _ => {}
        }
        // A dropped attempt must not leave a command behind.
        let stop = ctx.cancelled().child_token();
        let _ends_with_us = stop.clone().drop_guard();
        ctx.progress(0, 0, 0, "running");
        let ran = match spawn(args, ctx, stop).await {
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Refused) => {
                keep(ctx, &Mark::NotStarted)?;
                return Err(failure);
            }
            ran => ran?,
        };
        keep(ctx, &Mark::Ended(ran.clone()))?;
        if ran.status == 0 {
            return Ok(Done { status: 0, stdout: ran.stdout });
        }
        Err(bad_end(args, &ran))
    }
}

/// Word by word, so that it can be typed: what is no plain word stands in quotes.
fn quoted(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn may_be_set(name: &str) -> bool {
    let is_a_name = !name.is_empty() && !name.contains(['=', '\0']);
    is_a_name && name != "PATH" && !name.starts_with("LD_") && !name.starts_with("HOMING_")
}

/// How far an attempt came: its checkpoint.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mark {
    /// It was about to be started; nobody saw its end.
    Begun,
    /// It could not be started.
    NotStarted,
    /// It ended.
    Ended(Ran),
}

fn begun(ctx: &dyn Ctx) -> Result<Option<Mark>, Failure> {
    let Some(saved) = ctx.checkpoint() else { return Ok(None) };
    let unreadable = |error| Failure::permanent(format!("the command's checkpoint: {error}"));
    serde_json::from_slice(&saved).map(Some).map_err(unreadable)
}

/// Saving waits for the disk: the runtime's other tasks must not wait with it.
fn keep(ctx: &dyn Ctx, mark: &Mark) -> Result<(), Failure> {
    let cursor = serde_json::to_vec(mark).expect("BUG: a mark is plain data");
    tokio::task::block_in_place(|| ctx.save(&cursor))
}

/// Durably begun, then started, where it belongs. A permanent failure: it was not started.
async fn spawn(args: &Args, ctx: &dyn Ctx, stop: CancellationToken) -> Result<Ran, Failure> {
    let command = commands::command(&args.argv, args.env.clone(), ctx);
    if args.on == On::Homing {
        keep(ctx, &Mark::Begun)?;
        return commands::here(command, ctx, stop).await;
    }
    let sides = Sides::open(ctx)?;
    let side = match args.on {
        On::Guest => sides.running().await?,
        On::Homing | On::Host => Side::Onprem,
    };
    let commands = sides.commands(side)?;
    keep(ctx, &Mark::Begun)?;
    if args.on == On::Guest {
        commands.in_guest(sides.at(side), &command, &stop).await
    } else {
        commands.on_host(sides.at(side), &command, &stop).await
    }
}

fn unknown_end(args: &Args) -> Failure {
    let shown = args.argv.join(" ");
    Failure::refused(
        "H329",
        format!("`{shown}` was begun by an earlier attempt, and nobody saw how it ended: it is not run again"),
    )
    .help("look whether it did its work; if it did (or you do it now by hand), `homing cancel RUN` and plan what is left; a command that may run twice says `repeatable: true`")
}

fn bad_end(args: &Args, ran: &Ran) -> Failure {
    let shown = args.argv.join(" ");
    let said = ran.complaint.trim().lines().next_back().unwrap_or_default();
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let message = format!("`{shown}` ended with status {}{said}", ran.status);
    let failure = if args.repeatable { Failure::transient } else { Failure::permanent };
    failure(message).help("mend what it complains about; `homing retry RUN STEP` runs it again")
}
