//! Reading and writing disks: snapshots, sources, changes, and the replica's mark.

use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::base::{MachineName, RunId, Side, SnapshotId, SyncId};
use crate::plan::facts::DirtyMark;
use crate::run::failure::Failure;
use crate::sites::model::disk::{BLOCKS, Disk, Gatekeeper, Still, Written};
use crate::sites::model::site::{Here, ModelSite};
use crate::sites::model::world::{Kept, Tracking, World};
use crate::sites::{At, Changes, Disks, Fence, ReplicaMark, Snapshot, Source, SyncStamp};
use crate::transfer::blocks::{BLOCK_BYTES, BlockSink, BlockSource, Manifest};

#[async_trait]
impl Disks for ModelSite {
    async fn snapshot(&self, at: At<'_>, fence: &Fence) -> Result<Snapshot, Failure> {
        self.act(at, "snapshot", |here| {
            here.check(fence)?;
            snapshot(here, fence)
        })
        .await
    }

    async fn snapshots(&self, at: At<'_>) -> Result<Vec<(Snapshot, RunId)>, Failure> {
        self.act(at, "snapshots", |here| {
            let kept = here.seat().snapshots.iter();
            Ok(kept.map(|kept| (kept.snapshot.clone(), kept.run.clone())).collect())
        })
        .await
    }

    async fn release(&self, at: At<'_>, id: &SnapshotId, fence: &Fence) -> Result<(), Failure> {
        self.act(at, "release", |here| {
            here.check(fence)?;
            here.seat().snapshots.retain(|kept| kept.snapshot.id != *id);
            Ok(())
        })
        .await
    }

    async fn source(&self, at: At<'_>, from: Option<&SnapshotId>) -> Result<Source, Failure> {
        let gate = self.gate(at, None);
        self.act(at, "source", |here| source(here, from, &gate)).await
    }

    async fn changes(
        &self,
        at: At<'_>,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        self.act(at, "changes", |here| {
            to.map_or(Ok(()), |id| find(here, id).map(drop))?;
            let Some(tracking) = &here.seat().tracking else { return Ok(None) };
            let Some(epoch) = tracking.epoch_of(since) else { return Ok(None) };
            let changed = tracking.last.iter().map(|last| {
                let later = last.iter().filter(|(_, at)| **at > epoch);
                later.map(|(block, _)| block * BLOCK_BYTES..(block + 1) * BLOCK_BYTES).collect()
            });
            Ok(Some(changed.collect()))
        })
        .await
    }

    async fn begin_sync(&self, at: At<'_>, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure> {
        let home = at.entry.host.clone();
        self.act(at, "begin_sync", |here| {
            here.check(fence)?;
            if here.seat().on {
                let message = format!("{} runs: it is no replica", here.name);
                return Err(Failure::refused("H306", message).help("shut it down first"));
            }
            let Some((mut state, takes_over)) = here.seat().state.begin_sync(mark) else {
                return Ok(());
            };
            if here.whose.1 == Side::Onprem {
                state.host.get_or_insert(home);
            }
            if state.generation.is_empty() {
                state.generation = here.inner.fresh(&here.whose.1.to_string());
            }
            let seat = here.seat();
            if takes_over {
                seat.manifests = None;
            }
            (seat.tracking, seat.state) = (None, state);
            Ok(())
        })
        .await
    }

    async fn sink(
        &self,
        at: At<'_>,
        sync: &SyncId,
        fence: &Fence,
    ) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let gate = self.gate(at, Some((fence.clone(), sync.clone())));
        let sizes = at.entry.disks.clone();
        self.act(at, "sink", |here| {
            here.check(fence)?;
            let name = here.name.clone();
            let seat = here.seat();
            seat.state.marked(&name, sync)?;
            seat.disks.resize_with(sizes.len(), || Arc::new(Mutex::new(Disk::default())));
            seat.state.disks = sizes;
            let written = |disk: &Arc<Mutex<Disk>>| -> Arc<dyn BlockSink> {
                Arc::new(Written { disk: disk.clone(), gate: gate.clone() })
            };
            Ok(seat.disks.iter().map(written).collect())
        })
        .await
    }

    async fn end_sync(
        &self,
        at: At<'_>,
        stamp: &SyncStamp,
        manifests: &[Manifest],
        fence: &Fence,
    ) -> Result<(), Failure> {
        self.act(at, "end_sync", |here| {
            here.check(fence)?;
            let name = here.name.clone();
            let seat = here.seat();
            let Some(state) = seat.state.end_sync(&name, stamp)? else { return Ok(()) };
            seat.manifests = Some((state.generation.clone(), manifests.to_vec()));
            seat.state = state;
            Ok(())
        })
        .await
    }

    async fn manifests(&self, at: At<'_>, sync: &SyncId) -> Result<Option<Vec<Manifest>>, Failure> {
        self.act(at, "manifests", |here| {
            let seat = here.seat();
            let is_of = |generation: &String| *generation == seat.state.generation;
            let kept = seat.manifests.clone().filter(|(generation, _)| is_of(generation));
            let kept = kept.filter(|_| seat.has_disks() && seat.state.trusts_manifests(sync));
            Ok(kept.map(|(_, manifests)| manifests))
        })
        .await
    }

    async fn unlock(&self, at: At<'_>, key: Option<&[u8]>) -> Result<(), Failure> {
        self.act(at, "unlock", |here| {
            if here.seat().state.key_check.is_none() || key.is_some() {
                return Ok(());
            }
            let message = format!("the disks of {} are encrypted, and no key was given", here.name);
            Err(Failure::refused("H308", message).help("name it: `key: \"..\"`"))
        })
        .await
    }
}

impl ModelSite {
    /// Asks the meddler before every block, and before every written one whether it may still be written:
    /// this fence holds, the mark is this sync's, and the power has not gone since the disk was opened.
    pub(super) fn gate(&self, at: At<'_>, writer: Option<(Fence, SyncId)>) -> Gatekeeper {
        let (world, machine, side) = (self.world.clone(), at.machine.clone(), at.side);
        let whose = (machine.clone(), side);
        let losses = world.losses(&whose);
        Arc::new(move |is_write| {
            world.meddler.block(&machine, side, is_write)?;
            if world.losses(&whose) != losses {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the host went down"));
            }
            match &writer {
                Some((fence, sync)) if is_write => world.permits(&whose, fence, sync),
                _ => Ok(()),
            }
        })
    }
}

impl World {
    fn losses(&self, whose: &(MachineName, Side)) -> u64 {
        self.still().seats.get(whose).map_or(0, |seat| seat.losses)
    }

    fn permits(&self, whose: &(MachineName, Side), fence: &Fence, sync: &SyncId) -> io::Result<()> {
        let inner = self.still();
        let Some(seat) = inner.seats.get(whose) else { return Ok(()) };
        let name = whose.0.to_string();
        let held = seat.lease.check(&name, fence).and_then(|()| seat.state.marked(&name, sync));
        held.map_err(|failure| io::Error::new(io::ErrorKind::PermissionDenied, failure))
    }
}

fn find<'a>(here: &'a mut Here<'_>, id: &SnapshotId) -> Result<&'a Kept, Failure> {
    let message = format!("{} has no snapshot {id} (any more)", here.name);
    let found = here.seat().snapshots.iter().find(|kept| kept.snapshot.id == *id);
    found.ok_or_else(|| Failure::permanent(message).help("take another one"))
}

fn snapshot(here: &mut Here<'_>, fence: &Fence) -> Result<Snapshot, Failure> {
    let id = SnapshotId::new(fence.key.as_str());
    let id = id.map_err(|error| Failure::permanent(error.to_string()))?;
    let (name, at) = (here.name.clone(), here.inner.at);
    let seat = here.seat();
    if let Some(taken) = seat.snapshots.iter().find(|kept| kept.snapshot.id == id) {
        return Ok(taken.snapshot.clone());
    }
    if !seat.has_disks() {
        return Err(Failure::permanent(format!("{name} has no disks to take a snapshot of")));
    }
    if matches!(seat.state.replica, Some(ReplicaMark::Dirty { .. })) {
        let message = format!("{name} is in the middle of a transfer: no moment to keep");
        return Err(Failure::permanent(message).help("resume that transfer first"));
    }
    let generation = seat.state.generation.clone();
    let bytes = seat.state.disks.iter().sum();
    let snapshot = Snapshot { id, generation, at, bytes };
    let (content, tracking) = (seat.content(), seat.next_epoch());
    let run = fence.run.clone();
    seat.snapshots.push(Kept { snapshot: snapshot.clone(), run, content, tracking });
    let whose = here.whose.clone();
    here.inner.effect(&whose, "snapshot", &fence.key);
    Ok(snapshot)
}

fn source(
    here: &mut Here<'_>,
    from: Option<&SnapshotId>,
    gate: &Gatekeeper,
) -> Result<Source, Failure> {
    let still = |content: &std::collections::BTreeMap<u64, u64>| -> Arc<dyn BlockSource> {
        debug_assert!(content.keys().all(|block| *block < BLOCKS), "BUG: a block past the end");
        Arc::new(Still { content: content.clone(), gate: gate.clone() })
    };
    if let Some(id) = from {
        let kept = find(here, id)?;
        return Ok(Source {
            disks: kept.content.iter().map(still).collect(),
            generation: kept.snapshot.generation.clone(),
            stopped: false,
            tracking: kept.tracking.clone(),
        });
    }
    let name = here.name.clone();
    let seat = here.seat();
    if seat.on {
        let message = format!("{name} runs: its disks cannot be read as they are");
        return Err(Failure::refused("H305", message).help("take a snapshot, or stop it"));
    }
    if !seat.has_disks() {
        return Err(Failure::permanent(format!("{name} has no disks to read")));
    }
    Ok(Source {
        disks: seat.content().iter().map(still).collect(),
        generation: seat.state.generation.clone(),
        stopped: true,
        tracking: seat.tracking.as_ref().map(Tracking::point),
    })
}
