//! Reading and writing disks: snapshots, sources, changes, and the replica's mark.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::base::{RunId, SnapshotId, SyncId, Timestamp};
use crate::plan::facts::DirtyMark;
use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::lab::cow::{self, Kept};
use crate::sites::lab::disk::{Still, Written, disk_path, replicas};
use crate::sites::lab::guest::control::Request;
use crate::sites::lab::seat::{Seat, disk_key, key_check};
use crate::sites::lab::site::LabSite;
use crate::sites::lab::{launch, tracking};
use crate::sites::manifests;
use crate::sites::secret::Secret;
use crate::sites::state::State;
use crate::sites::{At, Changes, Disks, Fence, ReplicaMark, Snapshot, Source, SyncStamp};
use crate::transfer::blocks::{BlockSink, Manifest};

/// Longest that a guest may take over one request.
const ANSWER_TIME: Duration = Duration::from_secs(30);

#[async_trait]
impl Disks for LabSite {
    async fn snapshot(&self, at: At<'_>, fence: &Fence) -> Result<Snapshot, Failure> {
        let seat = self.seat(at, "snapshot").await?;
        let fence = fence.clone();
        blocking(move || seat.snapshot(&fence)).await
    }

    async fn snapshots(&self, at: At<'_>) -> Result<Vec<(Snapshot, RunId)>, Failure> {
        let seat = self.seat(at, "snapshots").await?;
        blocking(move || {
            let kept = io(cow::list(&seat.folder(&seat.records.state()?)))?;
            Ok(kept.into_iter().map(|kept| (kept.snapshot, kept.run)).collect())
        })
        .await
    }

    async fn release(&self, at: At<'_>, id: &SnapshotId, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "release").await?;
        let (id, fence) = (id.clone(), fence.clone());
        blocking(move || {
            let (_lock, state) = seat.records.act(&fence)?;
            seat.release(&state, &id)
        })
        .await
    }

    async fn source(&self, at: At<'_>, from: Option<&SnapshotId>) -> Result<Source, Failure> {
        let seat = self.seat(at, "source").await?;
        let from = from.cloned();
        blocking(move || seat.source(from.as_ref())).await
    }

    async fn changes(
        &self,
        at: At<'_>,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        let seat = self.seat(at, "changes").await?;
        let (since, to) = (since.to_owned(), to.cloned());
        blocking(move || seat.changes(&since, to.as_ref())).await
    }

    async fn begin_sync(&self, at: At<'_>, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "begin_sync").await?;
        let (mark, fence) = (mark.clone(), fence.clone());
        blocking(move || seat.begin_sync(&mark, &fence)).await
    }

    async fn sink(
        &self,
        at: At<'_>,
        sync: &SyncId,
        fence: &Fence,
    ) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let seat = self.seat(at, "sink").await?;
        let (sync, fence) = (sync.clone(), fence.clone());
        blocking(move || seat.sink(&sync, &fence)).await
    }

    async fn end_sync(
        &self,
        at: At<'_>,
        stamp: &SyncStamp,
        manifests: &[Manifest],
        fence: &Fence,
    ) -> Result<(), Failure> {
        let seat = self.seat(at, "end_sync").await?;
        let (stamp, manifests, fence) = (stamp.clone(), manifests.to_vec(), fence.clone());
        blocking(move || seat.end_sync(&stamp, &manifests, &fence)).await
    }

    async fn manifests(&self, at: At<'_>, sync: &SyncId) -> Result<Option<Vec<Manifest>>, Failure> {
        let seat = self.seat(at, "manifests").await?;
        let sync = sync.clone();
        blocking(move || seat.manifests(&sync)).await
    }

    async fn unlock(&self, at: At<'_>, key: Option<&[u8]>) -> Result<(), Failure> {
        let seat = self.seat(at, "unlock").await?;
        let key = key.map(|key| Secret::new(key.to_vec()));
        blocking(move || seat.unlock(key.as_ref())).await
    }
}

impl Seat {
    fn snapshot(&self, fence: &Fence) -> Result<Snapshot, Failure> {
        let (_lock, state) = self.records.act(fence)?;
        self.reach(&state)?;
        let id = SnapshotId::new(fence.key.as_str())
            .map_err(|error| Failure::permanent(error.to_string()))?;
        let kept = self.take(&state, id, |snapshot| Kept {
            snapshot,
            run: fence.run.clone(),
            key: fence.key.clone(),
            tracking: None,
        })?;
        Ok(kept.snapshot)
    }

    /// Takes a snapshot, by the guest when there is one.
    pub(super) fn take(
        &self,
        state: &State,
        id: SnapshotId,
        keep: impl FnOnce(Snapshot) -> Kept,
    ) -> Result<Kept, Failure> {
        let folder = self.folder(state);
        if let Some(taken) = io(cow::find(&folder, &id))? {
            return Ok(taken);
        }
        let here = format!("{} at {}", self.machine, self.place.name);
        if !self.has_disks(state) {
            return Err(Failure::permanent(format!("{here} has no disks to take a snapshot of")));
        }
        if io(cow::list(&folder))?.len() >= cow::SNAPSHOTS_MAX {
            let message =
                format!("{here} has {} snapshots, the most it may have", cow::SNAPSHOTS_MAX);
            return Err(Failure::permanent(message).help("delete some of them"));
        }
        let mut kept = keep(Snapshot {
            id,
            generation: state.generation.clone(),
            at: Timestamp::now(),
            bytes: state.disks.iter().sum(),
        });
        if launch::runs(&folder)? {
            let answer = self.ask(state, &Request::Snapshot(Box::new(kept)), ANSWER_TIME)?;
            return serde_json::from_value(answer)
                .map_err(|error| Failure::transient(format!("{here} answered: {error}")));
        }
        if matches!(state.replica, Some(ReplicaMark::Dirty { .. })) {
            let message = format!("{here} is in the middle of a transfer: no moment to keep");
            return Err(Failure::permanent(message).help("resume that transfer first"));
        }
        kept.tracking = io(tracking::token(&folder))?;
        io(cow::create(&folder, &kept, &state.disks))?;
        Ok(kept)
    }

    /// Gives a snapshot up, by the guest when there is one.
    pub(super) fn release(&self, state: &State, id: &SnapshotId) -> Result<(), Failure> {
        self.reach(state)?;
        if launch::runs(&self.folder(state))? {
            return self.ask(state, &Request::Release(id.clone()), ANSWER_TIME).map(drop);
        }
        io(cow::remove(&self.folder(state), id))
    }

    /// See `Disks::source`.
    pub(super) fn source(&self, from: Option<&SnapshotId>) -> Result<Source, Failure> {
        let state = self.records.state()?;
        self.reach(&state)?;
        let folder = self.folder(&state);
        let here = format!("{} at {}", self.machine, self.place.name);
        let Some(id) = from else {
            if self.is_running(&state)? {
                let message = format!("{here} runs: its disks cannot be read as they are");
                return Err(Failure::refused("H305", message).help("take a snapshot, or stop it"));
            }
            if !self.has_disks(&state) {
                return Err(Failure::permanent(format!("{here} has no disks to read")));
            }
            return Ok(Source {
                disks: io(Still::open_all(&folder, &state.disks))?,
                tracking: io(tracking::token(&folder))?,
                generation: state.generation,
                stopped: true,
            });
        };
        let Some(kept) = io(cow::find(&folder, id))? else {
            let message = format!("{here} has no snapshot {id} (any more)");
            return Err(Failure::permanent(message).help("take another one"));
        };
        Ok(Source {
            disks: io(cow::views(&folder, id, &state.disks))?,
            generation: kept.snapshot.generation,
            stopped: false,
            tracking: kept.tracking,
        })
    }

    fn changes(
        &self,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        let state = self.records.state()?;
        self.reach(&state)?;
        let folder = self.folder(&state);
        if let Some(id) = to
            && io(cow::find(&folder, id))?.is_none()
        {
            let message = format!("{} has no snapshot {id} (any more)", self.machine);
            return Err(Failure::permanent(message).help("take another one"));
        }
        // What changed after the snapshot is told too: a superset of the question is a right answer.
        io(tracking::changes(&folder, since, &state.disks))
    }

    fn begin_sync(&self, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure> {
        let (_lock, state) = self.records.act(fence)?;
        self.reach(&state)?;
        if launch::runs(&self.folder(&state))? {
            let message = format!("{} runs at {}: it is no replica", self.machine, self.place.name);
            return Err(Failure::refused("H306", message).help("shut it down first"));
        }
        let Some((mut state, takes_over)) = state.begin_sync(mark) else { return Ok(()) };
        if takes_over {
            io(manifests::forget(&self.folder(&state)))?;
        }
        // Its own history ends here: it becomes what its twin is.
        io(tracking::forget(&self.folder(&state)))?;
        state.host = self.host(&state);
        if state.generation.is_empty() {
            state.generation = self.new_generation()?;
        }
        self.records.save(&state)
    }

    fn sink(&self, sync: &SyncId, fence: &Fence) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let (_lock, mut state) = self.records.act(fence)?;
        self.reach(&state)?;
        state.marked(&self.records.here(), sync)?;
        if state.disks != self.entry.disks || !self.has_disks(&state) {
            self.make_disks(&mut state)?;
        }
        let written = io(Written::open(&self.folder(&state), &state.disks, None))?;
        Ok(replicas(written, &self.records.permit(fence, sync)))
    }

    /// Makes the disks that are missing, sparse, and keeps the check of their key.
    fn make_disks(&self, state: &mut State) -> Result<(), Failure> {
        let folder = self.folder(state);
        io(files::make_folder(&folder))?;
        for (disk, bytes) in self.entry.disks.iter().enumerate() {
            let path = disk_path(&folder, disk);
            let make = || -> std::io::Result<()> {
                let mut options = std::fs::OpenOptions::new();
                let file = options.write(true).create(true).truncate(false).open(&path)?;
                file.set_len(*bytes)?;
                file.sync_all()
            };
            io(make().map_err(files::at(&path)))?;
            io(files::sync_parent(&path))?;
        }
        state.disks.clone_from(&self.entry.disks);
        state.key_check = self.key()?.map(|key| key_check(&self.machine, &key));
        self.records.save(state)
    }

    fn end_sync(
        &self,
        stamp: &SyncStamp,
        manifests: &[Manifest],
        fence: &Fence,
    ) -> Result<(), Failure> {
        let (_lock, state) = self.records.act(fence)?;
        self.reach(&state)?;
        let Some(state) = state.end_sync(&self.records.here(), stamp)? else { return Ok(()) };
        io(manifests::save(&self.folder(&state), &state.generation, manifests))?;
        self.records.save(&state)
    }

    fn manifests(&self, sync: &SyncId) -> Result<Option<Vec<Manifest>>, Failure> {
        let state = self.records.state()?;
        self.reach(&state)?;
        if !state.trusts_manifests(sync) || !self.has_disks(&state) {
            return Ok(None);
        }
        io(manifests::load(&self.folder(&state), &state.generation))
    }

    fn unlock(&self, key: Option<&Secret>) -> Result<(), Failure> {
        let Some(check) = self.records.state()?.key_check else { return Ok(()) };
        let here = format!("the disks of {} at {}", self.machine, self.place.name);
        match key {
            None => {
                let message = format!("{here} are encrypted, and no key was given");
                Err(Failure::refused("H308", message).help("name it: `key: \"..\"`"))
            }
            Some(key) if key_check(&self.machine, &disk_key(key)) != check => {
                let message = format!("the key does not open {here}");
                Err(Failure::refused("H308", message)
                    .help("nothing was read or written; put the right key where the inventory's `[key]` says, or name another one, then retry the step"))
            }
            Some(_) => Ok(()),
        }
    }
}
