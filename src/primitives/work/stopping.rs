//! What both shutdowns share: graceful, then hard, then fenced.

use std::time::Duration;

use serde::Serialize;

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::facts::Power;
use crate::plan::policy::Policy;
use crate::primitives::contract::{ByHand, Ctx, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output};
use crate::primitives::work::hands;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::Sides;
use crate::run::failure::Failure;

/// How long a guest may take to stop by itself when the script says nothing.
const GRACE_DEFAULT: Duration = Duration::from_secs(120);

/// Stopping is worth many tries: the machine may already be half down.
pub const POLICY: Policy =
    Policy { attempts: 5, first_ms: 2_000, max_ms: 60_000, timeout_ms: Some(1_800_000) };

pub const OPTIONS: &[Opt] = &[Opt {
    name: "grace",
    ty: OptType::Duration,
    default: "2m",
    required: false,
    doc: "how long the guest may take to stop by itself before the plug is pulled",
}];

pub const OUTPUTS: &[Output] = &[Output {
    name: "forced",
    ty: "bool",
    doc: "the guest did not stop in time and the plug was pulled (its disks are crash-consistent)",
}];

/// How to stop.
pub struct Args {
    pub grace: Duration,
}

/// How it stopped.
#[derive(Serialize)]
pub struct Stopped {
    forced: bool,
}

pub fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
    let mut options = Options::new(args);
    let grace = options.duration("grace").unwrap_or(GRACE_DEFAULT);
    options.finish(Args { grace })
}

pub fn describe(args: &Args, side: &str) -> String {
    let grace = humantime::format_duration(args.grace);
    format!(
        "shut down the {side} machine (hard after {grace}) and keep it off; its downtime begins"
    )
}

/// What both shutdowns have in common for a person.
pub fn by_hand(
    title: &'static str,
    args: &Args,
    side: Side,
    subject: &Subject<'_>,
    standing: &Standing,
) -> ByHand {
    let hand = hands::of_machine(title, subject, standing)
        .given("grace", humantime::format_duration(args.grace).to_string())
        .note("time it was off: its downtime begins")
        .note("plug pulled? yes or no")
        .danger("Off is what you have seen to be off. A machine that does not answer, or of which the site cannot say, counts as running: go no further with it.");
    match hands::address(subject, side) {
        Some(address) => {
            hand.verify("Nothing answers at {address} any more.").given("address", address)
        }
        None => hand,
    }
}

/// Stops one side. A side that does not exist is off for certain.
pub async fn stop(args: &Args, side: Side, ctx: &dyn Ctx) -> Result<Stopped, Failure> {
    let sides = Sides::open(ctx)?;
    let own = sides.look(side).await?;
    if !own.exists {
        return Ok(Stopped { forced: false });
    }
    // Of a twin that is out of reach nothing is known, so nothing is changed.
    if let Ok(twin) = sides.look(side.other()).await {
        sides.end_loss(side.other(), &twin).await?;
        if twin.power == Power::On {
            sides.end_loss(side, &own).await?;
        }
    }
    ctx.progress(0, 0, 0, "stopping");
    let power = sides.power(side)?;
    let forced = power.stop(sides.at(side), args.grace, &sides.fence(side)?).await?;
    Ok(Stopped { forced })
}
