//! Reading and writing disks: sources, changes, and the replica's mark.

use std::sync::Arc;

use async_trait::async_trait;

use crate::base::{RunId, SnapshotId, SyncId};
use crate::plan::facts::DirtyMark;
use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::guarded::Guarded;
use crate::sites::manifests;
use crate::sites::qemu::line::{Access, disk_file, node};
use crate::sites::qemu::monitor::Monitor;
use crate::sites::qemu::process::{self, Role};
use crate::sites::qemu::seat::Seat;
use crate::sites::qemu::serve::{self, Served};
use crate::sites::qemu::settings::Format;
use crate::sites::qemu::site::QemuSite;
use crate::sites::qemu::{seal, tools, tracking};
use crate::sites::state::State;
use crate::sites::{At, Changes, Disks, Fence, Snapshot, Source, SyncStamp};
use crate::transfer::blocks::{BlockSink, BlockSource, Manifest};

#[async_trait]
impl Disks for QemuSite {
    async fn snapshot(&self, at: At<'_>, fence: &Fence) -> Result<Snapshot, Failure> {
        let seat = self.seat(at)?;
        let fence = fence.clone();
        blocking(move || seat.snapshot(&fence)).await
    }

    async fn snapshots(&self, at: At<'_>) -> Result<Vec<(Snapshot, RunId)>, Failure> {
        let seat = self.seat(at)?;
        blocking(move || seat.snapshots()).await
    }

    async fn release(&self, at: At<'_>, id: &SnapshotId, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at)?;
        let (id, fence) = (id.clone(), fence.clone());
        blocking(move || {
            let (_lock, state) = seat.act(&fence)?;
            seat.release(&state, &id)
        })
        .await
    }

    async fn source(&self, at: At<'_>, from: Option<&SnapshotId>) -> Result<Source, Failure> {
        let seat = self.seat(at)?;
        let from = from.cloned();
        blocking(move || match from {
            Some(id) => seat.source_of_snapshot(&id),
            None => seat.source_off(),
        })
        .await
    }

    async fn changes(
        &self,
        at: At<'_>,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        let seat = self.seat(at)?;
        let (since, to) = (since.to_owned(), to.cloned());
        blocking(move || seat.changes(&since, to.as_ref())).await
    }

    async fn begin_sync(&self, at: At<'_>, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at)?;
        let (mark, fence) = (mark.clone(), fence.clone());
        blocking(move || seat.begin_sync(&mark, &fence)).await
    }

    async fn sink(
        &self,
        at: At<'_>,
        sync: &SyncId,
        fence: &Fence,
    ) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let seat = self.seat(at)?;
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
        let seat = self.seat(at)?;
        let (stamp, manifests, fence) = (stamp.clone(), manifests.to_vec(), fence.clone());
        blocking(move || seat.end_sync(&stamp, &manifests, &fence)).await
    }

    async fn manifests(&self, at: At<'_>, sync: &SyncId) -> Result<Option<Vec<Manifest>>, Failure> {
        let seat = self.seat(at)?;
        let sync = sync.clone();
        blocking(move || {
            let state = seat.state()?;
            if !state.trusts_manifests(&sync) || !seat.has_disks(&state) {
                return Ok(None);
            }
            io(manifests::load(&seat.folder(&state), &state.generation))
        })
        .await
    }

    /// Disks of this provider are not encrypted: every key fits, and none is needed.
    async fn unlock(&self, _: At<'_>, _: Option<&[u8]>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Seat {
    /// The disks of a machine that is off, by its own process where there is one left.
    pub(super) fn source_off(&self) -> Result<Source, Failure> {
        let state = self.state()?;
        let here = self.here();
        let process = self.process(&state)?;
        if self.is_running(&state)? {
            let message = format!("{here} runs: its disks cannot be read as they are");
            return Err(Failure::refused("H305", message).help("take a snapshot, or stop it"));
        }
        self.all_there(&state)?;
        let disks = match process {
            Some(_) => {
                let mut monitor = Monitor::open(&self.folder(&state), Role::Machine)?;
                let lend = |disk| {
                    let node = node(disk);
                    serve::lend(monitor.export(&node, &node, false, None)?, None)
                };
                (0..state.disks.len()).map(lend).collect::<Result<Vec<_>, Failure>>()?
            }
            None => serve::disks(&self.served(&state, Access::Read)?, state.disks.len())?,
        };
        Ok(Source {
            disks: disks.into_iter().map(|disk| Arc::new(disk) as Arc<dyn BlockSource>).collect(),
            tracking: Some(tracking::off(&state)),
            generation: state.generation,
            stopped: true,
        })
    }

    fn all_there(&self, state: &State) -> Result<(), Failure> {
        let here = self.here();
        if state.disks.is_empty() {
            return Err(Failure::permanent(format!("{here} has no disks to read")));
        }
        match self.disk_files(state).into_iter().find(|file| !file.is_file()) {
            None => Ok(()),
            Some(missing) => {
                let message = format!("{here} has lost a disk: there is no {}", missing.display());
                Err(Failure::permanent(message)
                    .help("nothing was written; put the file back, or look where it went"))
            }
        }
    }

    fn served(&self, state: &State, access: Access) -> Result<Arc<Served>, Failure> {
        let format = self.place.settings.format;
        Served::open(&self.folder(state), self.disk_files(state), format, access)
    }

    fn changes(
        &self,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        let state = self.state()?;
        if let Some(id) = to {
            self.kept(&state, id)?;
        }
        if !self.has_disks(&state) {
            return Ok(None);
        }
        // Nobody else may read a bitmap at the same time.
        let _lock = self.records.lock()?;
        let state = self.state()?;
        let process = self.process(&state)?;
        if since == tracking::off(&state) && !self.is_running(&state)? {
            return Ok(Some(vec![Changes::new(); state.disks.len()]));
        }
        match process {
            // What changed after the snapshot is told too: a superset of the question is a right answer.
            Some(_) => {
                let mut monitor = Monitor::open(&self.folder(&state), Role::Machine)?;
                tracking::changes(&mut monitor, &state, since)
            }
            None if state.tracking.is_some() => {
                let served = self.served(&state, Access::Read)?;
                tracking::changes(&mut served.monitor()?, &state, since)
            }
            None => Ok(None),
        }
    }

    fn begin_sync(&self, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure> {
        let (_lock, state) = self.act(fence)?;
        if self.is_running(&state)? {
            let message = format!("{} runs: it is no replica", self.here());
            return Err(Failure::refused("H306", message).help("shut it down first"));
        }
        // Now, so that the first boot, in the downtime, need not wait for the trial.
        self.accel()?;
        let Some((state, takes_over)) = state.begin_sync(mark) else { return Ok(()) };
        let state = self.close(&state)?;
        if takes_over {
            io(manifests::forget(&self.folder(&state)))?;
        }
        self.forget_snapshots(&state)?;
        let host = self.host(&state);
        let generation = match state.generation.as_str() {
            "" => self.new_generation()?,
            known => known.to_owned(),
        };
        // Its own history ends here: it becomes what its twin is.
        self.records.save(&State { host, generation, tracking: None, ..state })
    }

    fn sink(&self, sync: &SyncId, fence: &Fence) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let (_lock, state) = self.act(fence)?;
        state.marked(&self.here(), sync)?;
        let state = self.make_disks(&self.doubted(state)?)?;
        io(seal::lift(&self.folder(&state)))?;
        let served = self.served(&state, Access::Write)?;
        tracking::clean(&mut served.monitor()?, &state, &self.here())?;
        let permit = self.records.permit(fence, sync);
        let disks = serve::disks(&served, state.disks.len())?.into_iter();
        let guard =
            |sink| Arc::new(Guarded { sink, permit: Arc::clone(&permit) }) as Arc<dyn BlockSink>;
        Ok(disks.map(guard).collect())
    }

    /// Makes the disks that are missing, sparse.
    fn make_disks(&self, state: &State) -> Result<State, Failure> {
        let made = State { disks: self.entry.disks.clone(), ..state.clone() };
        let folder = self.folder(&made);
        if state.disks != made.disks || !self.has_disks(&made) {
            io(files::make_folder(&folder))?;
            for (disk, bytes) in made.disks.iter().enumerate() {
                make_disk(&folder, disk, self.place.settings.format, *bytes)?;
            }
            self.records.save(&made)?;
        }
        Ok(made)
    }

    fn end_sync(
        &self,
        stamp: &SyncStamp,
        manifests: &[Manifest],
        fence: &Fence,
    ) -> Result<(), Failure> {
        let (_lock, state) = self.act(fence)?;
        let Some(state) = state.end_sync(&self.here(), stamp)? else { return Ok(()) };
        // From here on nobody may write: the disks are closed and sealed before the mark goes.
        process::end(&self.folder(&state), Role::Disks)?;
        io(manifests::save(&self.folder(&state), &state.generation, manifests))?;
        self.seal(&state)?;
        self.records.save(&state)
    }
}

/// Makes an empty disk, if there is none, durably.
pub(super) fn make_disk(
    folder: &std::path::Path,
    disk: usize,
    format: Format,
    bytes: u64,
) -> Result<(), Failure> {
    let name = disk_file(disk, format);
    let path = folder.join(&name);
    if path.exists() {
        return Ok(());
    }
    let begun = format!("{name}.new");
    let bytes = bytes.to_string();
    tools::run(
        &[tools::IMAGE_TOOL, "create", "-q", "-f", format.as_str(), &begun, &bytes],
        folder,
    )?;
    let keep = || {
        let begun = folder.join(&begun);
        std::fs::File::open(&begun)?.sync_all()?;
        std::fs::rename(&begun, &path)?;
        files::sync_parent(&path)
    };
    io(keep().map_err(files::at(&path)))
}
