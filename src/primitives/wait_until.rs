//! `wait_until(cond, #{ every })`: looks again and again until a condition holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::units::parse_duration;
use crate::base::{Json, MachineName, RunId, Side, SiteName, StepId, StepKey};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::expr::{Expr, NoValue};
use crate::plan::inventory::Inventory;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::find;
use crate::primitives::spec::{Opt, OptType, Output, Param, Spec, Takes, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::options::Options;
use crate::run::failure::Failure;
use crate::sites::{Fence, Site};

const EVERY_DEFAULT: Duration = Duration::from_secs(5);
/// Shortest pause between two looks.
const EVERY_MIN: Duration = Duration::from_millis(10);
/// Longest that one probe may look for a sign, on top of what it has to hold.
const LOOK_MAX: Duration = Duration::from_secs(6);
/// Shortest that a probe is given: a machine's application may write once a second.
const LOOK_MIN: Duration = Duration::from_secs(2);

static SPEC: Spec = Spec {
    name: "wait_until",
    doc: "Waits until a condition on what checks put out holds: each look runs those checks again, briefly, and never fails by them.\n\nWhat the condition reads of other steps stays as it was. Without `timeout` it waits for as long as it takes (rule H013 warns); with one the step fails when the time is up.",
    kind: Kind::Poll,
    params: &[Param {
        name: "condition",
        takes: Takes::Until,
        optional: false,
        doc: "a condition on outputs, e.g. `check(web, #{ assert: false }).ok`",
    }],
    options: &[Opt {
        name: "every",
        ty: OptType::Duration,
        default: "5s",
        required: false,
        doc: "the pause between two looks",
    }],
    outputs: &[Output { name: "looks", ty: "int", doc: "how often it looked" }],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "wait_until(check(web, #{ assert: false }).ok, #{ every: \"10s\", timeout: \"30m\" });",
};

/// See [`SPEC`].
pub(super) struct WaitUntil;

/// What to wait for.
pub(super) struct Args {
    until: Expr,
    probes: Vec<Probe>,
    every: Duration,
}

/// A poll that the condition reads, as it stands in the arguments.
#[derive(Clone, Debug, Deserialize)]
struct Probe {
    step: StepId,
    primitive: String,
    machine: Option<MachineName>,
    args: Json,
}

/// How it came about.
#[derive(serde::Serialize)]
pub(super) struct Held {
    looks: u64,
}

impl Primitive for WaitUntil {
    type Args = Args;
    type Out = Held;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let every = options.duration("every").unwrap_or(EVERY_DEFAULT).max(EVERY_MIN);
        let until = args.get("condition").and_then(|given| given.get("until"));
        let until = until.and_then(|until| serde_json::from_value(until.clone()).ok());
        let probes = args.get("probes").cloned().unwrap_or_else(|| Json::Array(Vec::new()));
        let probes = serde_json::from_value(probes).ok();
        let (Some(until), Some(probes)) = (until, probes) else {
            options.refuse(
                "`wait_until` was given no condition",
                "it takes one on what steps put out, e.g. `check(web, #{ assert: false }).ok`",
            );
            let never = Args { until: Expr::value(false), probes: Vec::new(), every };
            return options.finish(never);
        };
        options.finish(Args { until, probes, every })
    }

    fn effect(_: &Args, _: &Subject<'_>) -> Effect {
        Effect::Nothing
    }

    fn describe(args: &Args, _: &Subject<'_>) -> String {
        let every = humantime::format_duration(args.every);
        format!("wait until {}, looking every {every}", args.until)
    }

    fn by_hand(args: &Args, _: &Subject<'_>, _: &Standing) -> ByHand {
        let hand = ByHand::new("Wait until {condition}")
            .given("condition", args.until.to_string())
            .given("every", humantime::format_duration(args.every).to_string());
        let hand = if args.probes.is_empty() {
            hand.act("Look every {every} whether {condition} holds.")
        } else {
            let looked: Vec<&str> = args.probes.iter().map(|probe| probe.step.as_str()).collect();
            hand.act(
                "Every {every}, look again as the step {probes} tells, until {condition} holds.",
            )
            .given("probes", looked.join(", "))
        };
        hand.verify("It holds.").note("time it held")
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    fn rehearsed(args: &Args) -> Option<Held> {
        (!args.probes.is_empty()).then_some(Held { looks: 1 })
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Held, Failure> {
        // Ends a little before the engine would, so that it can still say what it saw.
        let limit = ctx.time_limit();
        let deadline = limit.map(|limit| {
            Instant::now() + limit.saturating_sub(Duration::from_secs(1).min(limit / 10))
        });
        tokio::select! {
            held = until(args, ctx, deadline) => held,
            () = ctx.cancelled().cancelled() => Err(Failure::cancelled()),
        }
    }
}

async fn until(args: &Args, ctx: &dyn Ctx, deadline: Option<Instant>) -> Result<Held, Failure> {
    let mut looks = 0;
    loop {
        let seen = look(args, ctx, deadline).await?;
        looks += 1;
        let outputs = |step: &StepId| seen.get(step).cloned().or_else(|| ctx.output(step));
        match args.until.holds(&outputs) {
            Ok(true) => return Ok(Held { looks }),
            Ok(false) => {}
            Err(NoValue::NotThere(_))
                if !args.probes.is_empty() && seen.len() < args.probes.len() => {}
            Err(why) => return Err(Failure::permanent(why.to_string())),
        }
        let note = said(&seen, args);
        ctx.progress(0, 0, 0, &note);
        if deadline.is_some_and(|deadline| Instant::now() + args.every >= deadline) {
            let limit = ctx.time_limit().unwrap_or_default();
            let limit = humantime::format_duration(limit);
            return Err(Failure::timed_out(format!("not so within {limit}: {note}")).help(
                "look at the machine; `homing retry RUN STEP` waits again, a longer `timeout` waits longer",
            ));
        }
        tokio::time::sleep(args.every).await;
    }
}

/// The last thing that was seen, for a person.
fn said(seen: &BTreeMap<StepId, Arc<Json>>, args: &Args) -> String {
    let detail = |outputs: &Arc<Json>| outputs.get("detail")?.as_str().map(str::to_owned);
    let details: Vec<String> = seen.values().filter_map(detail).collect();
    if details.is_empty() { format!("`{}` is false", args.until) } else { details.join("; ") }
}

/// Runs every probe once. One that could not look is left out this time.
async fn look(
    args: &Args,
    ctx: &dyn Ctx,
    deadline: Option<Instant>,
) -> Result<BTreeMap<StepId, Arc<Json>>, Failure> {
    let mut seen = BTreeMap::new();
    for probe in &args.probes {
        let primitive = find(&probe.primitive)
            .filter(|known| known.spec().kind == Kind::Poll)
            .ok_or_else(|| Failure::permanent(format!("`{}` is no probe", probe.primitive)))?;
        let mut told = probe.args.clone();
        if let Some(told) = told.as_object_mut() {
            told.insert("assert".to_owned(), Json::Bool(false));
        }
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let limit = patience(&told, args.every).min(left.unwrap_or(Duration::MAX));
        let again = Again { ctx, probe, args: &told, limit };
        match primitive.run(&told, &again).await {
            Ok(outputs) => drop(seen.insert(probe.step.clone(), Arc::new(outputs))),
            Err(failure) if failure.may_retry() => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(seen)
}

/// How long one look may take: as long as the probe must hold, and a little more.
fn patience(probe: &Json, every: Duration) -> Duration {
    let hold = probe.get("hold").and_then(Json::as_str).and_then(|text| parse_duration(text).ok());
    hold.unwrap_or_default().saturating_add(every.clamp(LOOK_MIN, LOOK_MAX))
}

/// The powers of a probe that looks again: its own step and machine, and nothing that it may keep.
struct Again<'a> {
    ctx: &'a dyn Ctx,
    probe: &'a Probe,
    args: &'a Json,
    limit: Duration,
}

#[async_trait]
impl Ctx for Again<'_> {
    fn run(&self) -> &RunId {
        self.ctx.run()
    }

    fn step(&self) -> &StepId {
        &self.probe.step
    }

    fn key(&self) -> &StepKey {
        self.ctx.key()
    }

    fn machine(&self) -> Option<&MachineName> {
        self.probe.machine.as_ref()
    }

    fn inventory(&self) -> &Inventory {
        self.ctx.inventory()
    }

    fn site(&self, site: &SiteName) -> Result<Arc<dyn Site>, Failure> {
        self.ctx.site(site)
    }

    fn fence(&self, _: Side) -> Result<Fence, Failure> {
        Err(Failure::permanent("a probe changes nothing"))
    }

    fn input(&self, param: &str) -> Option<Arc<Json>> {
        let step = crate::plan::step::handle_from_json(self.args.get(param)?)?;
        self.ctx.output(&StepId::new(step).ok()?)
    }

    fn output(&self, step: &StepId) -> Option<Arc<Json>> {
        self.ctx.output(step)
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.limit)
    }

    fn cancelled(&self) -> &CancellationToken {
        self.ctx.cancelled()
    }

    fn progress(&self, done: u64, total: u64, sent: u64, note: &str) {
        self.ctx.progress(done, total, sent, note);
    }

    fn checkpoint(&self) -> Option<Vec<u8>> {
        None
    }

    fn save(&self, _: &[u8]) -> Result<(), Failure> {
        Err(Failure::permanent("a probe keeps nothing"))
    }

    async fn intend(&self, _: Json) -> Result<(), Failure> {
        Err(Failure::permanent("a probe deletes nothing"))
    }

    fn intended(&self) -> Option<Json> {
        None
    }
}
