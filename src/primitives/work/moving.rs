//! Moving a machine's disks from the side that holds the live data to the other: what both transfers
//! share.

use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::base::{Side, SyncId, Timestamp};
use crate::plan::effect::Mode;
use crate::plan::facts::{DirtyMark, Facts, Power, Protection};
use crate::primitives::contract::Ctx;
use crate::primitives::work::keys;
use crate::primitives::work::sides::{Sides, active};
use crate::primitives::work::taken::Taken;
use crate::run::failure::Failure;
use crate::sites::secret::Secret;
use crate::sites::sync::{self, End, Order, Report, Synced};
use crate::sites::{SideView, look, narrow};
use crate::transfer::limiter::Limiter;

/// What to move, and how.
pub struct What<'a> {
    /// `None`: the machine's own disks, which are off.
    pub snapshot: Option<Taken>,
    /// Bytes per second.
    pub bandwidth: Option<u64>,
    /// The inventory's key by name; `None`: the machine's.
    pub key: Option<&'a str>,
}

/// What was moved.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    pub blocks_changed: u64,
    pub bytes_scanned: u64,
    pub bytes_sent: u64,
    pub duration: f64,
    pub method: &'static str,
    pub mode: Mode,
    pub rate: u64,
}

/// Brings the replica up to the source; `mode` is asked of the machine's facts as they are now.
pub async fn bring_up(
    what: &What<'_>,
    ctx: &dyn Ctx,
    mode: impl Fn(&Facts) -> Mode + Send,
) -> Result<Moved, Failure> {
    let sides = Sides::open(ctx)?;
    let (cloud, onprem) = sides.look_both().await?;
    let from = active(&cloud, &onprem);
    let (live, passive) = by_side(from, &cloud, &onprem);
    is_there(&sides, from, live)?;
    is_no_way_back(&sides, from, live)?;
    if let Some(taken) = &what.snapshot
        && taken.side != from
    {
        let message = format!(
            "the snapshot is of the {} side of `{}`, but the live data is on the {from} side now",
            taken.side, sides.machine
        );
        return Err(Failure::refused("H326", message)
            .help("take a new snapshot and transfer that; nothing was written"));
    }
    let facts = look::facts_now(sides.machine, look::combine(&cloud, &onprem, sides.entry));
    let mode = mode(&facts);
    if mode == Mode::Delta && !passive.has_disks {
        let message = format!(
            "`{}` has no replica on its {} side: a delta has nothing to compare with",
            sides.machine,
            from.other()
        );
        return Err(Failure::refused("H325", message)
            .help("transfer with `mode: \"full\"` (or leave `mode` out); nothing was written"));
    }
    let synced = match synchronize(&sides, from, (live, passive), what, mode, ctx).await {
        Err(failure) => return Err(over_a_snapshot(&sides, from, what, failure, ctx).await),
        Ok(synced) => synced,
    };
    end_losses(&sides, &cloud, &onprem).await?;
    let until = what.snapshot.as_ref().map(|taken| taken.at);
    release_superseded(&sides, from, until, synced.tracking.as_deref()).await?;
    Ok(moved(synced))
}

/// Sends the running on-prem side's changes to the base in the cloud and protects it. `true`: there was
/// no base, so everything was sent.
pub async fn protect(allow_initial: bool, ctx: &dyn Ctx) -> Result<(Moved, bool), Failure> {
    let sides = Sides::open(ctx)?;
    let (cloud, onprem) = sides.look_both().await?;
    may_protect(&sides, &cloud, &onprem)?;
    let is_initial = !cloud.has_disks;
    if is_initial && !allow_initial {
        let message = format!(
            "there is no base of `{}` in the cloud: all of its disks would have to be sent",
            sides.machine
        );
        return Err(Failure::refused("H320", message).help(
            "if that is meant: `reverse_replicate(m, #{ allow_initial: true })`; nothing was sent",
        ));
    }
    let mode = if is_initial { Mode::Full } else { Mode::Delta };
    let sync = SyncId::of(ctx.key());
    let home = sides.disks(Side::Onprem)?;
    let synced = if sync::is_done(&cloud, &sync) {
        Synced { moved: None, mode, method: "done", tracking: None }
    } else {
        let fence = sides.fence(Side::Onprem)?;
        let snapshot = home.snapshot(sides.at(Side::Onprem), &fence).await?;
        let taken =
            Taken { id: snapshot.id, side: Side::Onprem, at: snapshot.at, bytes: snapshot.bytes };
        let what = What { snapshot: Some(taken), bandwidth: None, key: None };
        synchronize(&sides, Side::Onprem, (&onprem, &cloud), &what, mode, ctx).await?
    };
    end_losses(&sides, &cloud, &onprem).await?;
    // The machine goes on running: no snapshot is left to slow it down, unless the tracking needs it.
    let needed = tracking_of(&sides.look(Side::Cloud).await?);
    release_superseded(&sides, Side::Onprem, None, needed.as_deref()).await?;
    let machines = sides.machines(Side::Onprem)?;
    let fence = sides.fence(Side::Onprem)?;
    machines.protect(sides.at(Side::Onprem), Protection::OnpremToCloud, &fence).await?;
    Ok((moved(synced), is_initial))
}

fn by_side<'v>(
    from: Side,
    cloud: &'v SideView,
    onprem: &'v SideView,
) -> (&'v SideView, &'v SideView) {
    match from {
        Side::Cloud => (cloud, onprem),
        Side::Onprem => (onprem, cloud),
    }
}

/// Why it failed, in words that help: a snapshot that somebody deleted is not taken again under its name,
/// or a checkpoint would be believed that was made of another moment.
async fn over_a_snapshot(
    sides: &Sides<'_>,
    from: Side,
    what: &What<'_>,
    failure: Failure,
    ctx: &dyn Ctx,
) -> Failure {
    let (Some(taken), false) = (&what.snapshot, failure.may_retry()) else { return failure };
    let Ok(disks) = sides.disks(from) else { return failure };
    let kept = disks.snapshots(sides.at(from)).await;
    let is_gone = kept.is_ok_and(|kept| kept.iter().all(|(snapshot, _)| snapshot.id != taken.id));
    if !is_gone || failure.code.is_some() {
        return failure;
    }
    let (machine, run) = (sides.machine, ctx.run());
    let message = format!(
        "the snapshot of `{machine}` that this step reads is gone: somebody deleted it, or its site gave it up"
    );
    Failure::permanent(message).help(format!(
        "this run cannot take it again: `homing cancel {run}`, then run the script once more (to let other machines go on: `homing exclude {run} {machine} --reason \"..\"`)"
    ))
}

/// Live data that somebody deleted cannot be copied, and what is left of the machine is only a replica.
fn is_there(sides: &Sides<'_>, from: Side, live: &SideView) -> Result<(), Failure> {
    // Where the machine itself is left, its site knows best which disk is missing.
    if live.power == Power::Unknown || live.has_disks || live.exists {
        return Ok(());
    }
    let (machine, other) = (sides.machine, from.other());
    Err(Failure::refused(
        "H325",
        format!("the disks of `{machine}` on its {from} side are gone: somebody deleted them outside homing. Its {other} side is only a replica; nothing was written to it"),
    )
    .help(format!("bring the {from} side back (its site may keep deleted disks, or a backup), then retry the step. If they are lost, `declare_lost` in a plan of its own starts the {other} side from its last verified transfer")))
}

/// Both sides were at work in it: none of them is lost.
async fn end_losses(sides: &Sides<'_>, cloud: &SideView, onprem: &SideView) -> Result<(), Failure> {
    sides.end_loss(Side::Cloud, cloud).await?;
    sides.end_loss(Side::Onprem, onprem).await
}

/// Until a switch is committed the other side is the way back: nothing may be written over it.
fn is_no_way_back(sides: &Sides<'_>, from: Side, live: &SideView) -> Result<(), Failure> {
    if live.committed {
        return Ok(());
    }
    let other = from.other();
    Err(Failure::refused(
        "H319",
        format!("the last switch of `{}` (to its {from} side) is not committed: its {other} side is the way back and is not written over", sides.machine),
    )
    .help("commit first; or go back to the other side. Nothing was written"))
}

fn may_protect(sides: &Sides<'_>, cloud: &SideView, onprem: &SideView) -> Result<(), Failure> {
    let machine = sides.machine;
    if active(cloud, onprem) != Side::Onprem || cloud.power != Power::Off {
        return Err(Failure::refused(
            "H319",
            format!("`{machine}` is not home: its cloud side holds the live data, or runs"),
        )
        .help("bring it home and commit first, or turn the cloud side off; nothing was sent"));
    }
    if cloud.exists && !sync_target_only(cloud) {
        return Err(Failure::refused(
            "H319",
            format!(
                "the cloud side of `{machine}` still exists: it is the way back until it is deleted"
            ),
        )
        .help("`commit(m)` first (again, if one was interrupted); if it is committed, and this machine was given up and came back, `transfer_delta(snapshot(m))` makes it the replica: then protect. Nothing was sent"));
    }
    is_no_way_back(sides, Side::Onprem, onprem)
}

/// A machine definition around a replica that homing synchronized is no way back.
fn sync_target_only(cloud: &SideView) -> bool {
    cloud.replica.is_some()
}

async fn synchronize(
    sides: &Sides<'_>,
    from: Side,
    (live, passive): (&SideView, &SideView),
    what: &What<'_>,
    mode: Mode,
    ctx: &dyn Ctx,
) -> Result<Synced, Failure> {
    let end = |side: Side, view| -> Result<End<'_>, Failure> {
        let (site, disks, at) = (sides.site(side), sides.disks(side)?, sides.at(side));
        Ok(End { site, disks, at, view, fence: sides.fence(side)? })
    };
    let key = match what.key.or(sides.entry.key.as_deref()) {
        Some(name) => Some(keys::load(ctx.inventory(), name).await?),
        None => None,
    };
    let order = Order {
        from: end(from, live)?,
        to: end(from.other(), passive)?,
        snapshot: what.snapshot.as_ref().map(|taken| &taken.id),
        mode,
        key: key.as_ref().map(Secret::bytes),
        limiters: limiters(sides, what.bandwidth, ctx),
        mark: DirtyMark {
            sync: SyncId::of(ctx.key()),
            run: ctx.run().to_string(),
            step: ctx.step().to_string(),
        },
        cursor: ctx.checkpoint(),
    };
    sync::synchronize(&order, &Through(ctx)).await
}

/// The step's own limit, and those that each site's transfers share.
pub fn limiters(sides: &Sides<'_>, own: Option<u64>, ctx: &dyn Ctx) -> Vec<Arc<Limiter>> {
    let own = own.map(|rate| Arc::new(Limiter::new(rate)));
    let sites = [&sides.entry.cloud, &sides.entry.onprem].into_iter();
    let shared = sites.filter_map(|site| {
        let rate = ctx.inventory().sites.get(site)?.bandwidth?;
        Some(narrow::shared(site, rate))
    });
    own.into_iter().chain(shared).collect()
}

/// Snapshots older than the one just transferred (all, after a transfer from the stopped disks) have
/// nothing more to give, except the one that the next delta builds on.
async fn release_superseded(
    sides: &Sides<'_>,
    side: Side,
    until: Option<Timestamp>,
    needed: Option<&str>,
) -> Result<(), Failure> {
    let disks = sides.disks(side)?;
    for (snapshot, _) in disks.snapshots(sides.at(side)).await? {
        let is_older = until.is_none_or(|until| snapshot.at < until);
        if is_older && needed != Some(snapshot.id.as_str()) {
            disks.release(sides.at(side), &snapshot.id, &sides.fence(side)?).await?;
        }
    }
    Ok(())
}

fn tracking_of(view: &SideView) -> Option<String> {
    match &view.replica {
        Some(crate::sites::ReplicaMark::Synced { stamp, .. }) => stamp.tracking.clone(),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn moved(synced: Synced) -> Moved {
    let Synced { moved, mode, method, .. } = synced;
    let figures = moved.map(|moved| {
        let seconds = moved.duration.as_secs_f64();
        let rate = (moved.bytes_scanned as f64 / seconds.max(0.001)) as u64;
        (moved.blocks_changed, moved.bytes_scanned, moved.bytes_sent, seconds, rate)
    });
    let (blocks_changed, bytes_scanned, bytes_sent, duration, rate) = figures.unwrap_or_default();
    Moved { blocks_changed, bytes_scanned, bytes_sent, duration, method, mode, rate }
}

/// A running primitive's powers, as a synchronization asks for them.
pub struct Through<'a>(pub &'a dyn Ctx);

impl Report for Through<'_> {
    fn cancelled(&self) -> &CancellationToken {
        self.0.cancelled()
    }

    fn progress(&self, done: u64, total: u64, sent: u64, note: &str) {
        self.0.progress(done, total, sent, note);
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        self.0.save(cursor)
    }
}
