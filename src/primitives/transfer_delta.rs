//! `transfer_delta(snapshot | m)`: brings the replica up to its source.

use crate::base::units::show_bytes;
use crate::base::{Json, Side};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::{Chosen, Effect, Mode};
use crate::plan::facts::Facts;
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::contract::{ByHand, Cost, Ctx, Primitive, Standing, Subject};
use crate::primitives::spec::{Opt, OptType, Output, Param, Spec, Takes, Yields};
use crate::primitives::work::cost;
use crate::primitives::work::hands;
use crate::primitives::work::moving::{self, Moved, What};
use crate::primitives::work::options::Options;
use crate::primitives::work::taken::Taken;
use crate::run::failure::Failure;

const fn opt(name: &'static str, ty: OptType, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, ty, default, required: false, doc }
}

static SPEC: Spec = Spec {
    name: "transfer_delta",
    doc: "Brings the replica, the disks of the side that does not run, up to a snapshot or to the stopped machine, and verifies it.\n\nOf a machine given by itself the disks are read as they are: it must be off. Before the first byte is written the replica is marked dirty at its own site; nothing boots it until the transfer has verified. An interrupted transfer goes on from its checkpoint. `timeout` is the longest time without progress.",
    kind: Kind::Act,
    params: &[Param {
        name: FROM,
        takes: Takes::MachineOrSnapshot,
        optional: false,
        doc: "a snapshot's handle, or the machine itself, which must be off",
    }],
    options: &[
        opt("bandwidth", OptType::Rate, "the sites' own", "most bytes per second, e.g. `200MiB/s`"),
        opt(
            "in_downtime",
            OptType::Bool,
            "false",
            "a full transfer while the machine is down is meant so",
        ),
        opt("key", OptType::Key, "the machine's", "the inventory's key that opens encrypted disks"),
        opt(
            "mode",
            OptType::OneOf(&["auto", "delta", "full"]),
            "auto",
            "`delta` sends only what changed (change tracking, manifest or checksums); `full` sends everything and compares nothing; `auto` is full when there is no replica, or the machine has been away for 30 days and was not synchronized within them",
        ),
    ],
    outputs: &[
        Output { name: "blocks_changed", ty: "int", doc: "blocks of 64 KiB written" },
        Output { name: "bytes_scanned", ty: "bytes", doc: "looked at" },
        Output { name: "bytes_sent", ty: "bytes", doc: "written to the replica" },
        Output { name: "duration", ty: "seconds", doc: "time spent moving, all attempts together" },
        Output {
            name: "method",
            ty: "text",
            doc: "`tracking`, `manifest`, `checksums` or `full`; `done`: an attempt before had finished",
        },
        Output { name: "mode", ty: "text", doc: "`delta` or `full`" },
        Output { name: "rate", ty: "bytes", doc: "bytes scanned per second" },
    ],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy { attempts: 8, first_ms: 2_000, max_ms: 120_000, timeout_ms: Some(600_000) },
    timeout_is_stall: true,
    optional: false,
    example: "transfer_delta(snapshot(web), #{ mode: \"auto\", bandwidth: \"200MiB/s\" });",
};

const FROM: &str = "from";

/// See [`SPEC`].
pub(super) struct TransferDelta;

/// What to move, and how.
pub(super) struct Args {
    from_snapshot: bool,
    /// `None`: auto.
    mode: Option<Mode>,
    bandwidth: Option<u64>,
    key: Option<String>,
    in_downtime: bool,
}

impl Primitive for TransferDelta {
    type Args = Args;
    type Out = Moved;
    const SPEC: &'static Spec = &SPEC;

    fn parse(args: &Json) -> Result<Args, Vec<Diagnostic>> {
        let mut options = Options::new(args);
        let mode = match options.text("mode").as_deref() {
            Some("delta") => Some(Mode::Delta),
            Some("full") => Some(Mode::Full),
            Some("auto") | None => None,
            Some(other) => {
                options.refuse(format!("no mode is called `{other}`"), "`auto`, `delta` or `full`");
                None
            }
        };
        let parsed = Args {
            from_snapshot: options.handle(FROM),
            mode,
            bandwidth: options.rate("bandwidth"),
            key: options.text("key"),
            in_downtime: options.flag("in_downtime").unwrap_or(false),
        };
        options.finish(parsed)
    }

    fn effect(args: &Args, subject: &Subject<'_>) -> Effect {
        let (mode, _) = resolve(args.mode, |fact| subject.fact(fact));
        let chosen = Chosen {
            mode: args.mode.is_some(),
            in_downtime: args.in_downtime,
            key: args.key.is_some(),
        };
        Effect::Transfer { mode, from_snapshot: args.from_snapshot, chosen }
    }

    fn describe(args: &Args, subject: &Subject<'_>) -> String {
        let (mode, why) = resolve(args.mode, |fact| peek(subject, fact));
        let what = match mode {
            Mode::Delta => "send what changed",
            Mode::Full => "send everything",
        };
        let from = if args.from_snapshot { "in the snapshot" } else { "on the stopped disks" };
        let size = show_bytes(cost::disk_bytes(subject));
        let limit = args
            .bandwidth
            .map_or(String::new(), |rate| format!(", {}/s at most", show_bytes(rate)));
        let key = args.key.as_ref().map_or(String::new(), |name| format!(", key `{name}`"));
        let meant = if args.in_downtime { ", in the downtime if need be" } else { "" };
        format!("{what} {from} to the replica ({why}; {size} of disks{limit}{key}{meant})")
    }

    fn by_hand(args: &Args, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        let (mode, _) = resolve(args.mode, |fact| subject.fact(fact));
        let title = match (args.from_snapshot, mode) {
            (true, Mode::Delta) => "Bring {machine}'s replica up to date from the snapshot",
            (true, Mode::Full) => "Copy {machine}'s snapshot in full onto its replica",
            (false, Mode::Delta) => "Send {machine}'s last changes from its stopped disks",
            (false, Mode::Full) => "Copy {machine}'s stopped disks in full onto its replica",
        };
        let mut hand = hands::of_machine(title, subject, standing);
        if !args.from_snapshot {
            hand = hand
                .first("{machine} is off on the side that ran, seen now, and nobody can start it.")
                .first("{machine} is off on the other side too: nothing writes to its replica.");
        }
        hand = hand.act("Mark the replica DIRTY, before the first byte is written: a note on its machine, \"being copied, do not start\", and here the time.");
        hand = moved(hand, args, mode, standing.live);
        let key = args.key.clone().or_else(|| subject.entry()?.key.clone());
        if let Some(key) = key {
            hand = hand
                .act("The disks are encrypted: open them with the key that the inventory calls {key}. Ask its keeper for it; it stands nowhere in this book.")
                .given("key", key);
        }
        if let Some(rate) = args.bandwidth {
            let limit = "Send no more than {rate}: other machines share the line.";
            hand = hand.act(limit).given("rate", format!("{}/s", show_bytes(rate)));
        }
        hand.verify("For every disk the checksum over the whole disk is the same on both sides, or the tool says that it has verified the copy. Only then take the mark DIRTY away.")
            .note("bytes sent")
            .note("time it was verified")
            .danger("A copy that was broken off, or was not verified, is DIRTY and must never be started: it may not boot, or boot with wrong data. Copy again until it verifies.")
    }

    fn estimate(args: &Args, subject: &Subject<'_>) -> Cost {
        let (mode, _) = resolve(args.mode, |fact| peek(subject, fact));
        cost::transfer(subject, mode, args.bandwidth)
    }

    async fn run(args: &Args, ctx: &dyn Ctx) -> Result<Moved, Failure> {
        let what = What {
            snapshot: if args.from_snapshot { Taken::of_input(ctx, FROM)? } else { None },
            bandwidth: args.bandwidth,
            key: args.key.as_deref(),
        };
        if args.from_snapshot && what.snapshot.is_none() {
            return Err(Failure::permanent("the snapshot's step left no outputs"));
        }
        let machine = ctx.machine().cloned();
        let fact = |facts: &Facts, name: &str| facts.get(machine.as_ref()?, name);
        moving::bring_up(&what, ctx, |facts| resolve(args.mode, |name| fact(facts, name)).0).await
    }
}

/// What is copied, from where to where, with the tools that operators have.
fn moved(hand: ByHand, args: &Args, mode: Mode, live: Option<Side>) -> ByHand {
    let hand = match mode {
        Mode::Full => hand.act("Copy everything ({size}); compare nothing first."),
        Mode::Delta => hand.act("Send only what changed since the last verified copy: by the tool's change tracking (between two incremental snapshots, RCT, a dirty bitmap), else by comparing (`rsync --inplace --no-whole-file`). If you are not sure that the tracking is unbroken, copy everything."),
    };
    let hand = match live {
        Some(Side::Cloud) => from_cloud(hand, args),
        Some(Side::Onprem) => hand
            .act_if(args.from_snapshot, "With Site Recovery the vault sends changes all the time: see that its last recovery point is young, and do nothing.")
            .act_if(!args.from_snapshot, "With Site Recovery the vault does this copy when the machine is started in the cloud: do nothing here.")
            .act("Otherwise copy from {host} onto the disks that are kept at {cloud} ({disks}). Azure takes a fixed VHD: `az disk grant-access` with access level Write, then `azcopy copy`, then `az disk revoke-access`."),
        None => hand.act("Copy from the side that ran last onto the other one ({disks}): between {cloud} and {host}. Be sure of the direction before you begin: the wrong one destroys the live data."),
    };
    if args.from_snapshot {
        return hand;
    }
    hand.danger("Until this is verified neither side may be started, except to go back to the side that ran.")
}

fn from_cloud(hand: ByHand, args: &Args) -> ByHand {
    hand
        .act_if(args.from_snapshot, "With Site Recovery: vault > Replicated items > {machine} > Planned failover, from Azure to on-premises, \"Synchronize data before failover\". Go on when its job waits for \"Complete Failover\"; do not press that yet.")
        .act_if(!args.from_snapshot, "With Site Recovery \"Complete Failover\" does this copy together with the start: do nothing here, and press it at the step that starts the machine at home.")
        .act("Otherwise copy from {cloud} onto the replica on {host} ({disks}). Azure: open each disk or snapshot for reading (`az snapshot grant-access` or `az disk grant-access`, access level Read), fetch it with `azcopy copy`, and close it again (`revoke-access`); what arrives is a fixed VHD, the disk with a footer of 512 bytes behind it.")
}

/// A fact for a sentence: read, not recorded.
fn peek(subject: &Subject<'_>, fact: &str) -> Option<Json> {
    subject.facts.told(subject.machine?, fact)
}

/// The rule of `auto`, with its reason. Plan and run both ask it, of the facts they see; only a replica
/// that an earlier step has brought up to date by then makes a run do less than its plan said.
fn resolve(mode: Option<Mode>, fact: impl Fn(&str) -> Option<Json>) -> (Mode, &'static str) {
    if let Some(mode) = mode {
        return (mode, "as the script says");
    }
    if fact("replica").is_some_and(|replica| replica == "absent") {
        return (Mode::Full, "auto: there is no replica yet");
    }
    let holds = |name| fact(name).is_some_and(|value| value == true);
    if holds(AWAY_LONG) && !holds(SYNCED_LATELY) {
        return (Mode::Full, "auto: away for 30 days or more and not synchronized since");
    }
    (Mode::Delta, "auto: there is a replica to compare with")
}

/// Site Recovery's advice: after a month elsewhere comparing costs more than it saves.
const AWAY_LONG: &str = "away_over(\"30d\")";
const SYNCED_LATELY: &str = "synced_within(\"30d\")";

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(replica: &str, away: bool, synced: bool) -> Mode {
        let facts = move |name: &str| {
            Some(match name {
                "replica" => Json::from(replica),
                AWAY_LONG => away.into(),
                SYNCED_LATELY => synced.into(),
                other => panic!("{other}"),
            })
        };
        resolve(None, facts).0
    }

    #[test]
    fn auto_is_full_only_without_a_usable_replica() {
        assert_eq!(auto("absent", false, false), Mode::Full);
        assert_eq!(auto("stale", true, false), Mode::Full);
        assert_eq!(auto("stale", true, true), Mode::Delta, "an earlier step synchronized it");
        for replica in ["stale", "dirty", "diverged", "current"] {
            assert_eq!(auto(replica, false, false), Mode::Delta, "{replica}");
        }
        assert_eq!(resolve(Some(Mode::Delta), |_| Some("absent".into())).0, Mode::Delta);
    }
}
