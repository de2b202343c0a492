//! `declare_lost(m, #{ side, reason })`: a person gives a side up that nobody can shut down.

use std::time::Duration;

use serde::Serialize;

use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::facts::Power;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Spec, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::options::Options;
use crate::primitives::work::sides::{MACHINE, Sides};
use crate::run::failure::Failure;
use crate::sites::{Lost, SideView};

/// For a guest that came up between the look and the fence.
const GRACE: Duration = Duration::from_secs(120);

const fn needed(name: &'static str, ty: OptType, doc: &'static str) -> Opt {
    Opt { name, ty, default: "", required: true, doc }
}

static SPEC: Spec = Spec {
    name: "declare_lost",
    doc: "Declares one side of the machine lost: the unplanned failover, when that side cannot be shut down. What it wrote after the last transfer is given up.\n\n**Irreversible**, and for a person to decide: put a gate before it. It refuses a side that is seen to run. A side that can be reached and is off is fenced there. The side that is left gets a durable mark, with the reason: it may then boot from its last verified copy though that is not a final one, and be committed, while nobody can say whether the lost side runs. When homing starts the lost side again, the mark is gone.\n\nThe site of the lost side may be silent as a whole: then a plan may give that side up, and do nothing else with it. What homing assumes of it is the worse of what may be: that it runs, and that it holds the live data unless the side that is left runs. A site that answers again before the step stops it.",
    kind: Kind::Act,
    params: &[MACHINE],
    options: &[
        needed("reason", OptType::Text, "why, for whoever reads it later"),
        needed("side", OptType::OneOf(&["cloud", "onprem"]), "the side that is lost"),
    ],
    outputs: &[Output {
        name: "fenced",
        ty: "bool",
        doc: "it could be reached, was off, and cannot be started but by homing",
    }],
    yields: Yields::Step,
    reversibility: Reversibility::Irreversible,
    policy: Policy { attempts: 5, first_ms: 1_000, max_ms: 60_000, timeout_ms: Some(600_000) },
    timeout_is_stall: false,
    optional: false,
    example: "declare_lost(web, #{ side: \"onprem\", reason: \"the data centre burns\" });",
};

/// See [`SPEC`].
pub(super) struct DeclareLost;

/// What is lost.
pub(super) struct Args {
    /// The side and why; both are required options.
    given: Option<(Side, String)>,
}

/// What could be done about it.
#[derive(Serialize)]
pub(super) struct Declared {
    fenced: bool,
}

impl Primitive for DeclareLost {
    type Args = Args;
    type Out = Declared;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let reason = options.text("reason");
        if reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
            options.refuse(
                "a loss without a reason",
                "say why in `reason`: it is kept with the machine",
            );
        }
        let side = match options.text("side").as_deref() {
            Some("cloud") => Some(Side::Cloud),
            Some("onprem") => Some(Side::Onprem),
            _ => None,
        };
        let given = side.zip(reason);
        options.finish(Args { given })
    }

    fn effect(args: &Args, _: &Subject<'_>) -> Effect {
        args.given.as_ref().map_or(Effect::Nothing, |(side, _)| Effect::DeclareLost(*side))
    }

    fn describe(args: &Args, subject: &Subject<'_>) -> String {
        let Some((side, reason)) = &args.given else { return "give up nothing".to_owned() };
        let seen = subject.machine.and_then(|name| subject.facts.peek().machines.get(name));
        let unseen = seen.is_some_and(|seen| seen.side(*side).power == Power::Unknown);
        let unseen = if unseen { ", which may still run and take writes," } else { "" };
        let since = match seen.map(|seen| seen.synced_at) {
            Some(Some(at)) => at.strftime(", of %F %H:%M UTC").to_string(),
            Some(None) => ", and when that was is not on record".to_owned(),
            None => String::new(),
        };
        format!(
            "GIVE UP the {side} side{unseen} with what it wrote since the last transfer{since}: {reason}"
        )
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let hand = hands::of_machine("GIVE UP {machine} at {lost}", subject, standing);
        let Some((side, reason)) = &args.given else {
            return hand.given("lost", "no side").act("There is nothing to give up.");
        };
        let lost = match side {
            Side::Cloud => hand.value("cloud"),
            Side::Onprem => hand.value("host"),
        };
        let lost = lost.unwrap_or_default().to_owned();
        hand.given("lost", lost)
            .given("reason", reason.clone())
            .first("The reason still holds: {reason}")
            .first("Somebody who may decide it has said yes, on this paper.")
            .act("Try once more to reach {machine} at {lost}. If it can be reached, it is not lost: stop, and shut it down instead.")
            .act("Cut it off, so that it cannot come back by itself: its power, its network, its automatic start, as far as anybody there can.")
            .act("Put a note on the machine at the other side: \"its twin at {lost} was given up\", with the reason, the date and your name.")
            .verify("It does not answer, and somebody who sees the place says that it is off or cut off.")
            .note("who said so, and when")
            .note("time of the last verified copy")
            .danger("What it wrote since the last verified copy is lost for good.")
            .danger("If it comes back, turn it off before it takes a single write: two running sides destroy each other's data.")
    }

    fn estimate(_: &Args, _: &Subject<'_>) -> Cost {
        cost::CALL
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Declared, Failure> {
        let Some((lost, reason)) = &args.given else {
            return Err(Failure::permanent("no side, or no reason, was given"));
        };
        let sides = Sides::open(ctx)?;
        let (lost, left) = (*lost, lost.other());
        let seen = seen(&sides, lost).await?;
        if seen.as_ref().is_some_and(|seen| seen.power == Power::On) {
            return Err(runs(&sides, lost));
        }
        let is_off = |seen: &SideView| seen.exists && seen.power == Power::Off;
        let is_in_reach = seen.as_ref().is_some_and(is_off);
        if is_in_reach {
            sides.power(lost)?.stop(sides.at(lost), GRACE, &sides.fence(lost)?).await?;
        }
        let own = sides.look(left).await?;
        // An older run's mark may speak of a loss that was over since.
        if own.lost_twin.as_ref().is_none_or(|mark| mark.run != *ctx.run()) {
            let (run, reason) = (ctx.run().clone(), reason.clone());
            let mark = Lost { run, reason, live_from: live_from(&own, seen.as_ref()) };
            let fence = sides.fence(left)?;
            sides.machines(left)?.set_lost_twin(sides.at(left), Some(&mark), &fence).await?;
        }
        Ok(Declared { fenced: is_in_reach })
    }
}

/// The side that is lost; `None`: its site was silent already when the run took the machine, and is.
async fn seen(sides: &Sides<'_>, lost: Side) -> Result<Option<SideView>, Failure> {
    let is_held = sides.fence(lost).is_ok();
    match sides.look(lost).await {
        Ok(_) if !is_held => Err(Failure::permanent(format!(
            "the {lost} side of `{}` answers again: it may not be lost; nothing was changed",
            sides.machine
        ))
        .help("end this run (`homing cancel`) and plan anew, from what is seen now")),
        Ok(seen) => Ok(Some(seen)),
        Err(failure) if failure.is_silence() && !is_held => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// From which turn on the side that is left holds the live data: its own, where it does so already.
fn live_from(own: &SideView, lost: Option<&SideView>) -> u64 {
    match lost {
        Some(lost) if own.turn > lost.turn => own.turn,
        Some(lost) => lost.turn + 1,
        None if own.power == Power::On => own.turn,
        None => own.turn + 1,
    }
}

fn runs(sides: &Sides<'_>, side: Side) -> Failure {
    let machine = sides.machine;
    let message =
        format!("the {side} side of `{machine}` runs: it is not lost; nothing was changed");
    let shutdown = match side {
        Side::Cloud => "shutdown_azure_vm",
        Side::Onprem => "shutdown_onprem_vm",
    };
    Failure::refused("H331", message).help(format!(
        "plan the switch instead: `{shutdown}(m)`, `transfer_delta(m)`, then start the other side; nothing is lost then"
    ))
}
