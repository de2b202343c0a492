//! Snapshots: a moment of a running machine's disks, kept by its own process.
//!
//! Before the guest overwrites a block, QEMU copies what was there into a file beside the disk (a fleecing
//! backup job); read through that file, the disks are what they were at the moment of the snapshot, which is
//! one transaction over all of them. The snapshot of a machine that is off is its disks themselves.
//!
//! Either ends with the machine's next boot, and the first kind with its process: what is left of it then is
//! a record, so that it can be given up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base::{RunId, SnapshotId, Timestamp};
use crate::run::failure::Failure;
use crate::sites::files::{self, io};
use crate::sites::qemu::line::node;
use crate::sites::qemu::monitor::{Monitor, Status};
use crate::sites::qemu::process::Role;
use crate::sites::qemu::seat::Seat;
use crate::sites::qemu::serve;
use crate::sites::qemu::{tools, tracking};
use crate::sites::state::State;
use crate::sites::{Fence, ReplicaMark, Snapshot, Source};
use crate::transfer::blocks::BlockSource;

/// Most snapshots of a machine: each makes every first write to a block dearer.
const SNAPSHOTS_MAX: usize = 16;
/// Beside the disks.
const FOLDER: &str = "snapshots";
/// In a snapshot's own folder; written before its moment, removed last.
const RECORD: &str = "snapshot.json";

/// `snapshot.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub snapshot: Snapshot,
    run: RunId,
    /// Of a machine that is off.
    is_still: bool,
    /// The point in change tracking that it is.
    tracking: String,
}

impl Seat {
    /// See `Disks::snapshot`.
    pub(super) fn snapshot(&self, fence: &Fence) -> Result<Snapshot, Failure> {
        let (_lock, state) = self.act(fence)?;
        let id = SnapshotId::new(fence.key.as_str())
            .map_err(|error| Failure::permanent(error.to_string()))?;
        if let Ok(kept) = self.kept(&state, &id) {
            return Ok(kept.snapshot);
        }
        let here = self.here();
        if !self.has_disks(&state) {
            return Err(Failure::permanent(format!("{here} has no disks to take a snapshot of")));
        }
        // What a crash left of it.
        self.release(&state, &id)?;
        if io(list(&self.folder(&state)))?.len() >= SNAPSHOTS_MAX {
            let message = format!("{here} has {SNAPSHOTS_MAX} snapshots, the most it may have");
            return Err(Failure::permanent(message).help("delete some of them"));
        }
        let running = self.is_running(&state)?;
        if !running && matches!(state.replica, Some(ReplicaMark::Dirty { .. })) {
            let message = format!("{here} is in the middle of a transfer: no moment to keep");
            return Err(Failure::permanent(message).help("resume that transfer first"));
        }
        let snapshot = Snapshot {
            id: id.clone(),
            generation: state.generation.clone(),
            at: Timestamp::now(),
            bytes: state.disks.iter().sum(),
        };
        let tracking = if running { point_of(&id) } else { tracking::off(&state) };
        let kept = Kept {
            snapshot: snapshot.clone(),
            run: fence.run.clone(),
            is_still: !running,
            tracking,
        };
        let folder = folder_of(&self.folder(&state), &id);
        io(files::make_folder(&folder))?;
        io(files::save(&folder.join(RECORD), &kept))?;
        if running {
            self.freeze(&state, &id, &folder)?;
        }
        Ok(snapshot)
    }

    /// The moment itself, on all disks at once, and the change tracking's point of it.
    fn freeze(&self, state: &State, id: &SnapshotId, folder: &Path) -> Result<(), Failure> {
        let mut monitor = Monitor::open(&self.folder(state), Role::Machine)?;
        let new = tracking::begin(state, &point_of(id), self.place.settings.format)?;
        let mut actions = new.actions;
        for (disk, bytes) in state.disks.iter().enumerate() {
            let file = format!("disk{disk}.qcow2");
            let bytes = bytes.to_string();
            tools::run(&[tools::IMAGE_TOOL, "create", "-q", "-f", "qcow2", &file, &bytes], folder)?;
            let node_name = node_of(id, disk);
            let file = format!("{FOLDER}/{id}/{file}");
            let options = json!({
                "driver": "qcow2", "node-name": node_name, "backing": node(disk),
                "file": { "driver": "file", "filename": file },
            });
            monitor.ask("blockdev-add", options)?;
            let job = json!({
                "job-id": node_name, "device": node(disk), "target": node_name, "sync": "none",
            });
            actions.push(("blockdev-backup", job));
        }
        // Before the moment: a point that is known and has no bitmap says nothing, the other way round
        // nobody would ever remove it.
        self.records.save(&State { tracking: Some(new.tracking), ..state.clone() })?;
        tracking::remove(&mut monitor, state.disks.len(), &new.void)?;
        monitor.at_once(&actions)
    }

    /// See `Disks::snapshots`.
    pub(super) fn snapshots(&self) -> Result<Vec<(Snapshot, RunId)>, Failure> {
        let state = self.state()?;
        let all = io(list(&self.folder(&state)))?.into_iter();
        // What is left of one whose moment is gone is cleared by the next boot, at the latest.
        let readable = all.filter(|kept| self.kept(&state, &kept.snapshot.id).is_ok());
        Ok(readable.map(|kept| (kept.snapshot, kept.run)).collect())
    }

    /// A snapshot whose moment can still be read.
    ///
    /// # Errors
    /// Permanent, when it cannot (any more).
    pub(super) fn kept(&self, state: &State, id: &SnapshotId) -> Result<Kept, Failure> {
        let here = self.here();
        let gone = |why: &str| {
            let message = format!("{here} has no snapshot {id} (any more){why}");
            Failure::permanent(message).help("take another one: run the plan again")
        };
        let folder = self.folder(state);
        let kept: Option<Kept> = io(files::load(&folder_of(&folder, id).join(RECORD)))?;
        let kept = kept.ok_or_else(|| gone(""))?;
        let over = ": the machine was booted since, or its process has ended";
        if kept.snapshot.generation != state.generation {
            return Err(gone(over));
        }
        let is_there = match (kept.is_still, self.process(state)?) {
            (true, process) => !matches!(process, Some(Status::Running(_))),
            (false, None) => false,
            (false, Some(_)) => {
                let jobs = Monitor::open(&folder, Role::Machine)?.jobs()?;
                (0..state.disks.len()).all(|disk| jobs.contains(&node_of(id, disk)))
            }
        };
        if is_there { Ok(kept) } else { Err(gone(over)) }
    }

    /// See `Disks::source`, of a snapshot.
    pub(super) fn source_of_snapshot(&self, id: &SnapshotId) -> Result<Source, Failure> {
        let state = self.state()?;
        let kept = self.kept(&state, id)?;
        if kept.is_still {
            return Ok(Source {
                stopped: false,
                tracking: Some(kept.tracking),
                ..self.source_off()?
            });
        }
        let mut monitor = Monitor::open(&self.folder(&state), Role::Machine)?;
        let disks = (0..state.disks.len()).map(|disk| {
            let node = node_of(id, disk);
            let lent = serve::lend(monitor.export(&node, &node, false, None)?, None)?;
            Ok(Arc::new(lent) as Arc<dyn BlockSource>)
        });
        Ok(Source {
            disks: disks.collect::<Result<_, Failure>>()?,
            generation: kept.snapshot.generation,
            stopped: false,
            tracking: Some(kept.tracking),
        })
    }

    /// Gives a snapshot up, however much of it there is.
    pub(super) fn release(&self, state: &State, id: &SnapshotId) -> Result<(), Failure> {
        let folder = self.folder(state);
        let own = folder_of(&folder, id);
        if !own.is_dir() {
            return Ok(());
        }
        if self.process(state)?.is_some() {
            let mut monitor = Monitor::open(&folder, Role::Machine)?;
            for disk in 0..state.disks.len() {
                let node = node_of(id, disk);
                monitor.unexport(&node)?;
                if monitor.jobs()?.contains(&node) {
                    monitor.end_job(&node)?;
                }
                if monitor.has_node(&node)? {
                    monitor.ask("blockdev-del", json!({ "node-name": node }))?;
                }
            }
        }
        io(forget(&own))
    }

    /// Removes what is left of all snapshots of a machine without a process.
    pub(super) fn forget_snapshots(&self, state: &State) -> Result<(), Failure> {
        let folder = self.folder(state);
        for kept in io(list(&folder))? {
            io(forget(&folder_of(&folder, &kept.snapshot.id)))?;
        }
        Ok(())
    }
}

/// Its point in change tracking, which outlives it.
fn point_of(id: &SnapshotId) -> String {
    format!("at-{id}")
}

/// A snapshot's node, and the job that keeps it: QEMU's names have 31 characters at most.
fn node_of(id: &SnapshotId, disk: usize) -> String {
    format!("s{disk}-{id}")
}

fn folder_of(machine: &Path, id: &SnapshotId) -> PathBuf {
    machine.join(FOLDER).join(id.as_str())
}

/// All there are, oldest first.
fn list(machine: &Path) -> std::io::Result<Vec<Kept>> {
    let mut all: Vec<Kept> = Vec::new();
    for entry in machine.join(FOLDER).read_dir().into_iter().flatten() {
        all.extend(files::load::<Kept>(&entry?.path().join(RECORD))?);
    }
    all.sort_by_key(|kept| kept.snapshot.at);
    Ok(all)
}

/// Its record goes last: what tells of the rest.
fn forget(own: &Path) -> std::io::Result<()> {
    for entry in own.read_dir().into_iter().flatten() {
        let path = entry?.path();
        if !path.ends_with(RECORD) {
            files::remove(&path)?;
        }
    }
    files::remove_folder(own)
}
