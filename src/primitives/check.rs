//! `check(m | target)`: proves that something lives.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::base::{Json, Side, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Param, Spec, Takes, Yields};
use crate::primitives::work::hands;
use crate::primitives::work::http::Url;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::Sides;
use crate::primitives::work::{commands, copied, cost, probing};
use crate::run::failure::Failure;

const fn opt(name: &'static str, ty: OptType, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, ty, default, required: false, doc }
}

/// How long a check tries when neither the script nor a policy says.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(300);
const EVERY_DEFAULT: Duration = Duration::from_secs(1);
/// Longest wait for one probe's answer.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// The same for a command, which may ask many things.
const COMMAND_PATIENCE: Duration = Duration::from_secs(60);

static SPEC: Spec = Spec {
    name: "check",
    doc: "Probes until the machine, its isolated copy or an address answers, or `timeout` has passed.\n\nWithout a probe it asks the provider for the machine's sign of life; a copy is in no network and is always asked so. `tcp` and `http` need the machine's `address` in the inventory. `command` runs a program of the inventory's allow-list on this computer, never a shell; status 0 counts, and it is killed after a minute. An `https://` target must show a certificate that this computer trusts: by its own store, or by the file that `SSL_CERT_FILE` names. Without `side` it asks the side that runs at that point. The step fails when nothing answers in time; with `assert: false` it succeeds and says so in `ok`.",
    kind: Kind::Poll,
    params: &[
        Param {
            name: MACHINE,
            takes: Takes::MachineOrCopy,
            optional: true,
            doc: "the machine, whose chain it joins, or an isolated copy of one; left out, the step is a barrier in its scope",
        },
        Param {
            name: "target",
            takes: Takes::Text,
            optional: true,
            doc: "instead of a machine: `host:port`, `https://host/path` or `http://host:port/path`",
        },
    ],
    options: &[
        opt("assert", OptType::Bool, "true", "fail when nothing answers in time"),
        opt(
            "command",
            OptType::Texts,
            "none",
            "run this listed program and its arguments; status 0 is a good answer",
        ),
        opt("every", OptType::Duration, "1s", "the pause between two probes"),
        opt(
            "hold",
            OptType::Duration,
            "0s",
            "it must go on answering for this long, a part of its `timeout`; shorter than `every`: two answers, one `every` apart",
        ),
        opt(
            "http",
            OptType::Text,
            "none",
            "GET this path at the machine's address, e.g. `:8080/health`",
        ),
        opt(
            "ledger",
            OptType::Bool,
            "false",
            "ask the machine's own application (the default probe does too)",
        ),
        opt("side", OptType::OneOf(&["cloud", "onprem"]), "the side that runs", "the side to ask"),
        opt(
            "status",
            OptType::Int { min: 100, max: 599 },
            "any 2xx",
            "the HTTP status that counts",
        ),
        opt(
            "tcp",
            OptType::Int { min: 1, max: 65_535 },
            "none",
            "connect to this port at the machine's address",
        ),
    ],
    outputs: &[
        Output { name: "detail", ty: "text", doc: "what answered, or why nothing did" },
        Output { name: "ok", ty: "bool", doc: "it answered" },
    ],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 1, first_ms: 0, max_ms: 0, timeout_ms: Some(300_000) },
    timeout_is_stall: false,
    optional: false,
    example: "check(web, #{ tcp: 443, timeout: \"5m\" });",
};

const MACHINE: &str = "machine";

/// See [`SPEC`].
pub(super) struct Check;

/// What to ask, and for how long.
pub(super) struct Args {
    probe: Probe,
    /// The step that started the copy that is asked instead of its machine.
    copy: Option<StepId>,
    side: Option<Side>,
    every: Duration,
    hold: Duration,
    asserts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Probe {
    SignOfLife,
    /// A port at the machine's address.
    Port(u32),
    /// A path (perhaps with a port before it) at the machine's address.
    Path(String, Option<u32>),
    /// `host:port`.
    Address(String),
    Web(Url, Option<u32>),
    /// A program on this computer.
    Command(Vec<String>),
}

impl Probe {
    /// Longest wait for one answer.
    fn patience(&self) -> Duration {
        if matches!(self, Probe::Command(_)) { COMMAND_PATIENCE } else { PROBE_PATIENCE }
    }
}

/// What it found.
#[derive(Serialize)]
pub(super) struct Checked {
    detail: String,
    ok: bool,
}

impl Primitive for Check {
    type Args = Args;
    type Out = Checked;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let probe = probe(&mut options);
        let copy = options.handle_of(MACHINE);
        let is_asked_itself = options.text("side").is_none() && probe == Probe::SignOfLife;
        if copy.is_some() && !is_asked_itself {
            options.refuse(
                "an isolated copy is in no network and has no sides",
                "write `check(copy)`: its provider is asked for its sign of life",
            );
        }
        let side = match options.text("side").as_deref() {
            Some("cloud") => Some(Side::Cloud),
            Some("onprem") => Some(Side::Onprem),
            _ => None,
        };
        let parsed = Args {
            probe,
            copy,
            side,
            every: options
                .duration("every")
                .unwrap_or(EVERY_DEFAULT)
                .max(Duration::from_millis(10)),
            hold: options.duration("hold").unwrap_or_default(),
            asserts: options.flag("assert").unwrap_or(true),
        };
        options.finish(parsed)
    }

    fn fits(args: &Args, policy: &Policy, subject: &Subject<'_>) -> Result<(), Vec<Diagnostic>> {
        let listed = match &args.probe {
            Probe::Command(argv) => commands::listed(subject.inventory, argv),
            _ => Ok(()),
        };
        let wrong: Vec<Diagnostic> =
            listed.err().into_iter().chain(never_passes(args, policy)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn effect(args: &Args, subject: &Subject<'_>) -> Effect {
        match subject.machine.filter(|_| args.copy.is_none()) {
            Some(_) => Effect::Check { side: args.side, asserts: args.asserts },
            None => Effect::Nothing,
        }
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        let what = match &args.probe {
            Probe::SignOfLife if args.copy.is_some() => {
                "the isolated copy's application gives a sign of life".to_owned()
            }
            Probe::SignOfLife => "its application gives a sign of life".to_owned(),
            Probe::Port(port) => format!("port {port} answers"),
            Probe::Path(path, status) => format!("http {path} answers{}", shown(*status)),
            Probe::Address(address) => format!("{address} answers"),
            Probe::Web(url, status) => format!("{url} answers{}", shown(*status)),
            Probe::Command(argv) => format!("{} succeeds", argv.join(" ")),
        };
        let side = args.side.map_or(String::new(), |side| format!(" on its {side} side"));
        let hold = if args.hold.is_zero() {
            String::new()
        } else {
            format!(", and goes on for {}", humantime::format_duration(args.hold))
        };
        let unless = if args.asserts { "" } else { " (only noted, never a failure)" };
        format!("check that {what}{side}{hold}{unless}")
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let hand = match (subject.machine, args.copy.is_some()) {
            (Some(_), true) => {
                hands::of_machine("Look at {machine}'s isolated copy", subject, standing)
            }
            (Some(_), false) => {
                hands::of_machine("Look whether {machine} works", subject, standing)
            }
            (None, _) => ByHand::new("Look whether something answers"),
        };
        let side = args.side.or(standing.live);
        let hand = asked(hand, args, subject, side);
        let hand = if args.hold.is_zero() {
            hand.verify("It answered.")
        } else {
            hand.verify("It answered, and went on answering for {hold}.")
                .given("hold", humantime::format_duration(args.hold).to_string())
        };
        if args.asserts {
            hand.note("what answered").danger("If nothing answers in time, this step has FAILED: do not tick it because the machine \"should be fine\".")
        } else {
            hand.note("`ok`: yes or no, and what answered")
                .act("Whatever comes of it, this step counts as done: write down yes or no.")
        }
    }

    fn estimate(args: &Args, _: &Subject<'_>) -> Cost {
        Cost::seconds(cost::CALL.seconds + args.hold.as_secs_f64())
    }

    fn rehearsed(args: &Args) -> Option<Checked> {
        let at_the_site = matches!(args.probe, Probe::SignOfLife);
        (!at_the_site).then(|| Checked { detail: "taken as good: a rehearsal".into(), ok: true })
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Checked, Failure> {
        let limit = ctx.time_limit().unwrap_or(PATIENCE_DEFAULT);
        let deadline = Instant::now() + probing_time(limit);
        let (ok, detail) = tokio::select! {
            seen = until(args, ctx, deadline) => seen?,
            () = ctx.cancelled().cancelled() => return Err(Failure::cancelled()),
        };
        if !ok && args.asserts {
            let limit = humantime::format_duration(limit);
            return Err(Failure::timed_out(format!("no good answer within {limit}: {detail}"))
                .help("look at the machine; `homing retry RUN STEP` checks again, a longer `timeout` waits longer"));
        }
        Ok(Checked { detail, ok })
    }
}

/// What a person looks at, for each way to ask.
fn asked(hand: ByHand, args: &Args, subject: &Subject<'_>, side: Option<Side>) -> ByHand {
    let at = side.and_then(|side| hands::address(subject, side));
    let at = at.unwrap_or_else(|| "its address on the side that runs".to_owned());
    let status = |wanted: Option<u32>| {
        wanted.map_or("a status from 200 to 299".to_owned(), |status| format!("status {status}"))
    };
    match &args.probe {
        Probe::SignOfLife if args.copy.is_some() => hand
            .act("On its console, log in and see that its application runs and can read its data. It is in no network: nothing can be asked from outside."),
        Probe::SignOfLife => match side {
            Some(Side::Cloud) => hand.act("At {cloud}: the portal shows Running; log in, and see that its application works and its newest data are there."),
            Some(Side::Onprem) => hand.act("On {host}: Hyper-V Manager says Heartbeat: OK, or its console shows the login; log in, and see that its application works and its newest data are there."),
            None => hand.act("On the side that runs: log in, and see that its application works and its newest data are there."),
        },
        Probe::Port(port) => hand
            .act("See that port {port} answers at {at}: `nc -vz <address> <port>`, or `Test-NetConnection`.")
            .given("port", port.to_string())
            .given("at", at),
        Probe::Path(path, wanted) => hand
            .act("Open http://{at}{path} (a port may stand before the path): it must answer with {status}.")
            .given("at", at)
            .given("path", path.clone())
            .given("status", status(*wanted)),
        Probe::Address(address) => hand
            .act("See that {address} answers: `nc -vz <address> <port>`, or `Test-NetConnection`.")
            .given("address", address.clone()),
        Probe::Web(url, wanted) => hand
            .act("Open {address}: it must answer with {status}.")
            .given("address", url.to_string())
            .given("status", status(*wanted)),
        Probe::Command(argv) => hand
            .act("On the computer that homing runs on, or one like it: {words} must end with status 0.")
            .given("words", argv.join(" ")),
    }
}

/// It ends a little before the engine would end it, so that it can still say what it saw.
fn probing_time(limit: Duration) -> Duration {
    limit.saturating_sub(Duration::from_secs(1).min(limit / 10))
}

/// It would have to go on answering for longer than it is asked.
fn never_passes(args: &Args, policy: &Policy) -> Option<Diagnostic> {
    let limit = Duration::from_millis(policy.timeout_ms?);
    if args.hold.is_zero() || args.hold < probing_time(limit) {
        return None;
    }
    let [hold, limit] = [args.hold, limit].map(humantime::format_duration);
    let message = format!(
        "this check never passes: its `hold` of {hold} takes all of its `timeout` of {limit}"
    );
    let help =
        "give it a `timeout` that is longer than the `hold` by the time it may take to answer";
    Some(Diagnostic::error("H190", message).help(help))
}

fn shown(status: Option<u32>) -> String {
    status.map_or(String::new(), |status| format!(" {status}"))
}

fn probe(options: &mut Options<'_>) -> Probe {
    let status = options.int("status");
    let mut probes = Vec::new();
    if let Some(port) = options.int("tcp") {
        probes.push(Probe::Port(port));
    }
    if let Some(path) = options.text("http") {
        if !path.starts_with(['/', ':']) {
            options.refuse(
                format!("`{path}` is no path"),
                "write it like `/health` or `:8080/health`",
            );
        }
        probes.push(Probe::Path(path, status));
    }
    if let Some(argv) = options.texts("command") {
        if argv.is_empty() {
            options.refuse("a command without a program", "write `command: [\"/path/to/it\", ..]`");
        }
        probes.push(Probe::Command(argv));
    }
    if options.flag("ledger") == Some(true) {
        probes.push(Probe::SignOfLife);
    }
    if let Some(target) = options.text("target") {
        probes.push(target_probe(&target, status, options));
    }
    if probes.len() > 1 {
        options.refuse("a check asks one thing", "write one `check` for each probe");
    }
    let probe = probes.pop().unwrap_or(Probe::SignOfLife);
    if status.is_some() && !matches!(probe, Probe::Path(..) | Probe::Web(..)) {
        options.refuse(
            "`status` needs an http probe",
            "give `http: \"/health\"`, or leave `status` out",
        );
    }
    probe
}

fn target_probe(target: &str, status: Option<u32>, options: &mut Options<'_>) -> Probe {
    if target.contains("://") {
        match Url::parse(target) {
            Ok(url) => return Probe::Web(url, status),
            Err(why) => options.refuse(why, "or `host:port` to see whether something listens"),
        }
    } else if target.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        options.refuse(
            format!("`{target}` is no address"),
            "write `host:port` or `https://host/path`",
        );
    }
    Probe::Address(target.to_owned())
}

/// A probe with less time than this may not get to the reason why nothing answers.
const CUT_SHORT: Duration = Duration::from_secs(1);

/// Probes until it has answered for as long as it must, or the deadline.
async fn until(args: &Args, ctx: &dyn Ctx, deadline: Instant) -> Result<(bool, String), Failure> {
    let sides = ctx.machine().map(|_| Sides::open(ctx)).transpose()?;
    let mut answers_since: Option<Instant> = None;
    let mut why_not: Option<String> = None;
    loop {
        let longest = args.probe.patience();
        let patience = longest.min(deadline.saturating_duration_since(Instant::now()));
        let asked = once(args, ctx, sides.as_ref(), patience);
        let seen = tokio::time::timeout(longest + args.every, asked).await;
        let seen = seen.unwrap_or_else(|_| Err(Failure::transient("no answer")));
        let detail = match seen {
            Ok(detail) => {
                let since = *answers_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= args.hold {
                    return Ok((true, detail));
                }
                detail
            }
            Err(failure) if failure.may_retry() => {
                answers_since = None;
                // A probe that the deadline cuts short says less than the one before it.
                match why_not.take().filter(|_| patience < CUT_SHORT) {
                    Some(before) => before,
                    None => failure.message,
                }
            }
            Err(failure) => return Err(failure),
        };
        why_not = answers_since.is_none().then(|| detail.clone());
        ctx.progress(0, 0, 0, &detail);
        if Instant::now() + args.every >= deadline {
            return Ok((false, detail));
        }
        tokio::time::sleep(args.every).await;
    }
}

async fn once(
    args: &Args,
    ctx: &dyn Ctx,
    sides: Option<&Sides<'_>>,
    patience: Duration,
) -> Result<String, Failure> {
    match (&args.probe, sides) {
        (Probe::Address(address), _) => probing::connect(address, patience).await,
        (Probe::Web(url, status), _) => probing::get(url, *status, patience).await,
        (Probe::Command(argv), _) => probing::command(argv, ctx, patience).await,
        (Probe::SignOfLife, Some(sides)) => {
            if let Some(step) = &args.copy {
                let (copies, at) = (sides.copies(Side::Onprem)?, sides.at(Side::Onprem));
                return copies.sign_of_life(at, &copied::id_of(ctx, step), patience).await;
            }
            let side = side(args, sides).await?;
            sides.power(side)?.sign_of_life(sides.at(side), patience).await
        }
        (Probe::Port(port), Some(sides)) => {
            let address = address(args, sides).await?;
            probing::connect(&format!("{address}:{port}"), patience).await
        }
        (Probe::Path(path, status), Some(sides)) => {
            let address = address(args, sides).await?;
            let (port, path) = path.split_at(path.find('/').unwrap_or(path.len()));
            let path = if path.is_empty() { "/" } else { path };
            let url = Url::new(&format!("{address}{port}"), path).map_err(Failure::permanent)?;
            probing::get(&url, *status, patience).await
        }
        (_, None) => Err(Failure::permanent("a check needs a machine or an address")),
    }
}

/// The side asked: given, or the one that runs now.
async fn side(args: &Args, sides: &Sides<'_>) -> Result<Side, Failure> {
    match args.side {
        Some(side) => Ok(side),
        None => sides.running().await,
    }
}

async fn address(args: &Args, sides: &Sides<'_>) -> Result<String, Failure> {
    let side = side(args, sides).await?;
    let known = &sides.entry.address;
    let address = match side {
        Side::Cloud => &known.cloud,
        Side::Onprem => &known.onprem,
    };
    address.clone().ok_or_else(|| {
        let machine = sides.machine;
        Failure::permanent(format!("the inventory has no `{side}` address of `{machine}`"))
            .help(format!("add `address = {{ {side} = \"..\" }}` to [machine.{machine}], or check without `tcp` and `http`"))
    })
}
