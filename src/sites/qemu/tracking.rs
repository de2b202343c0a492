//! Change tracking by dirty bitmaps.
//!
//! Every point in time that a later transfer may ask about has a bitmap of its own on every disk, which
//! goes on recording: a snapshot's (`at-` and its id), and that of a boot (the sync it booted from, or `off-` and the
//! generation that was off before). Asking takes nothing away, so a transfer that failed asks again. The
//! newest [`POINTS_MAX`] are kept; what an older one would have told, comparing tells.
//!
//! The names hold the epoch: another one begins whenever nobody can be sure any more that nothing was missed
//! (the side became a replica, or somebody else wrote to its disks). A bitmap of another epoch, or one that
//! QEMU calls inconsistent, because a process that used it died, says nothing and is thrown away.

use serde_json::json;

use crate::base::Json;
use crate::run::failure::Failure;
use crate::sites::Changes;
use crate::sites::files::{self, io};
use crate::sites::qemu::line::node;
use crate::sites::qemu::monitor::{Bitmap, Monitor};
use crate::sites::qemu::settings::Format;
use crate::sites::state::{State, Tracking};
use crate::transfer::blocks::BLOCK_BYTES;

/// The point of a practice machine's first boot.
pub(super) const FIRST: &str = "first";
/// Most points kept of a machine.
const POINTS_MAX: usize = 8;
/// All bitmaps that are homing's begin so.
const OURS: &str = "homing.";
/// A copy of a bitmap, made to be read.
const COPY: &str = "homing.copy";

/// Whether bitmaps outlive the process: they are kept in the file.
pub(super) fn survives(format: Format) -> bool {
    format == Format::Qcow2
}

/// The point of a machine that is off.
pub(super) fn off(state: &State) -> String {
    format!("off-{}", state.generation)
}

fn name(epoch: &str, point: &str) -> String {
    format!("{OURS}{epoch}.{point}")
}

/// A new point: what is to be done to the disks at its moment, what may be done after it, and the points
/// that there are then.
pub(super) struct NewPoint {
    /// For one transaction.
    pub actions: Vec<(&'static str, Json)>,
    /// Bitmaps to be removed before: too old to be kept, or left by an attempt at this very point.
    pub void: Vec<String>,
    /// The points with the new one.
    pub tracking: Tracking,
}

/// Begins a point on all disks of a machine.
pub(super) fn begin(state: &State, point: &str, format: Format) -> Result<NewPoint, Failure> {
    let mut tracking = match state.tracking.clone() {
        Some(tracking) => tracking,
        None => Tracking { epoch: io(files::random())?, points: Vec::new() },
    };
    tracking.points.retain(|known| known != point);
    tracking.points.push(point.to_owned());
    let surplus = tracking.points.len().saturating_sub(POINTS_MAX);
    let dropped: Vec<String> = tracking.points.drain(..surplus).collect();
    let epoch = &tracking.epoch;
    let void = dropped.iter().map(String::as_str).chain([point]);
    let void = void.map(|point| name(epoch, point)).collect();
    let name = name(epoch, point);
    let add = |disk| {
        let data = json!({
            "node": node(disk), "name": name, "granularity": BLOCK_BYTES,
            "persistent": survives(format),
        });
        ("block-dirty-bitmap-add", data)
    };
    Ok(NewPoint { actions: (0..state.disks.len()).map(add).collect(), void, tracking })
}

/// Removes bitmaps by name, where they are.
pub(super) fn remove(monitor: &mut Monitor, disks: usize, names: &[String]) -> Result<(), Failure> {
    for node in (0..disks).map(node) {
        for bitmap in monitor.bitmaps(&node)? {
            if names.contains(&bitmap.name) {
                let which = json!({ "node": node, "name": bitmap.name });
                monitor.ask("block-dirty-bitmap-remove", which)?;
            }
        }
    }
    Ok(())
}

/// Throws away what says nothing (any more), and tells which points are left. Disks on which another
/// program left a bitmap in use are refused: it may still count on what it knows of them.
pub(super) fn clean(
    monitor: &mut Monitor,
    state: &State,
    here: &str,
) -> Result<Option<Tracking>, Failure> {
    let mut kept = state.tracking.clone();
    for node in (0..state.disks.len()).map(node) {
        let mut there = Vec::new();
        for bitmap in monitor.bitmaps(&node)? {
            if !bitmap.name.starts_with(OURS) {
                foreign(&bitmap.name, bitmap.inconsistent, &node, here)?;
                continue;
            }
            let is_known = kept.as_ref().is_some_and(|tracking| {
                tracking.points.iter().any(|point| name(&tracking.epoch, point) == bitmap.name)
            });
            if is_known && !bitmap.inconsistent {
                there.push(bitmap.name);
            } else {
                let which = json!({ "node": node, "name": bitmap.name });
                monitor.ask("block-dirty-bitmap-remove", which)?;
            }
        }
        if let Some(tracking) = &mut kept {
            let epoch = tracking.epoch.clone();
            tracking.points.retain(|point| there.contains(&name(&epoch, point)));
        }
    }
    Ok(kept)
}

fn foreign(bitmap: &str, is_in_use: bool, node: &str, here: &str) -> Result<(), Failure> {
    if !is_in_use {
        return Ok(());
    }
    let message = format!(
        "{node} of {here} holds a bitmap `{bitmap}` that another program left in use: it ended without \
         closing the disk, or it tracks changes that homing must not disturb"
    );
    Err(Failure::refused("H347", message).help(format!(
        "nothing was written. If that program (a backup, mostly) is done with it: \
         qemu-img bitmap --remove FILE {bitmap}"
    )))
}

/// What changed on all disks since a point; `None`: nobody knows.
pub(super) fn changes(
    monitor: &mut Monitor,
    state: &State,
    point: &str,
) -> Result<Option<Vec<Changes>>, Failure> {
    let Some(tracking) = &state.tracking else { return Ok(None) };
    if !tracking.points.iter().any(|known| known == point) {
        return Ok(None);
    }
    let name = name(&tracking.epoch, point);
    let mut all = Vec::new();
    for disk in 0..state.disks.len() {
        match read(monitor, disk, &name)? {
            Some(changes) => all.push(changes),
            None => return Ok(None),
        }
    }
    Ok(Some(all))
}

/// A bitmap that records cannot be served as it is, so a copy of it is.
fn read(monitor: &mut Monitor, disk: usize, name: &str) -> Result<Option<Changes>, Failure> {
    let node = node(disk);
    let there = monitor.bitmaps(&node)?;
    let speaks = |bitmap: &&Bitmap| bitmap.name == name && bitmap.recording && !bitmap.inconsistent;
    if !there.iter().any(|bitmap| speaks(&bitmap)) {
        return Ok(None);
    }
    let export = format!("changes{disk}");
    let copy = json!({ "node": node, "name": COPY });
    if there.iter().any(|bitmap| bitmap.name == COPY) {
        // A crash left it.
        monitor.unexport(&export)?;
        monitor.ask("block-dirty-bitmap-remove", copy.clone())?;
    }
    monitor.at_once(&[
        (
            "block-dirty-bitmap-add",
            json!({ "node": node, "name": COPY, "granularity": BLOCK_BYTES, "disabled": true }),
        ),
        ("block-dirty-bitmap-merge", json!({ "node": node, "target": COPY, "bitmaps": [name] })),
    ])?;
    let served = monitor.export(&export, &node, false, Some(COPY))?;
    let ranges = io(served.dirty_ranges(COPY));
    monitor.unexport(&export)?;
    monitor.ask("block-dirty-bitmap-remove", copy)?;
    ranges
}
