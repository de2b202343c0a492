//! Isolated copies: a machine's snapshot, booted apart from everything, to see whether it would run.
//!
//! A copy is whole in itself: it has its own disks, which nothing else reads or writes, and stands in no
//! network that leads anywhere. The machine, its replica and its snapshots stay as they are. A copy
//! belongs to the run that made it and is found again by its id after any crash.
//!
//! Life of a copy: [`Copies::make`] (its disks, empty), [`fill`] (a snapshot's blocks, verified, from a
//! checkpoint after a crash), [`Copies::start`] (from here on nobody but the copy writes to its disks),
//! [`Copies::delete`], possible at any moment before or after.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::{CopyId, HostName, MachineName, RunId, Timestamp};
use crate::run::failure::Failure;
use crate::sites::narrow::narrow;
use crate::sites::sync::{Report, move_blocks, turn_of};
use crate::sites::{At, Fence, Site, Source};
use crate::transfer::blocks::BlockSink;
use crate::transfer::limiter::Limiter;
use crate::transfer::{Disk, Mode, Moved, Request};

/// Where a copy is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewCopy {
    /// On this host; `None`: where the machine lives at home.
    pub host: Option<HostName>,
    /// On this isolated switch; `None`: the host's first one, or none at all.
    pub network: Option<String>,
}

/// A copy, as its site sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyView {
    /// Its id.
    pub id: CopyId,
    /// The machine it is a copy of.
    pub machine: MachineName,
    /// The run that made it.
    pub run: RunId,
    /// When it was begun.
    pub at: Timestamp,
    /// Where it is.
    pub host: HostName,
    /// The isolated switch it is on; `None`: it is connected to nothing.
    pub network: Option<String>,
    /// All its disks together, bytes.
    pub bytes: u64,
    /// It runs.
    pub running: bool,
}

/// A copy that has its place.
pub struct Made {
    /// The copy.
    pub copy: CopyView,
    /// Its disks to fill, in the snapshot's order; `None`: they are filled, and its own by now.
    pub disks: Option<Vec<Arc<dyn BlockSink>>>,
}

/// Running isolated copies of machines. `at` is always the machine's side at this site.
#[async_trait]
pub trait Copies: Send + Sync {
    /// Makes room for a copy with disks of these sizes: the copy of this fence's key, found again when it
    /// was made before. Copies of the machine that other runs left behind are deleted first: the machine
    /// is claimed, so those runs are over.
    ///
    /// # Errors
    /// Refused before anything is written: H309 when the host is unknown or not connected, H310 when it
    /// has no such switch, H336 when that leads out, H337 when there is not enough room.
    async fn make(
        &self,
        at: At<'_>,
        new: &NewCopy,
        disks: &[u64],
        fence: &Fence,
    ) -> Result<Made, Failure>;

    /// Boots a copy whose disks are filled; one that runs is left alone. It proves its disks first.
    ///
    /// # Errors
    /// Permanent when they do not boot, or when there is no such copy.
    async fn start(&self, at: At<'_>, id: &CopyId, fence: &Fence) -> Result<CopyView, Failure>;

    /// Asks for a sign that the copy's own application lives, for as long as `patience`.
    ///
    /// # Errors
    /// Transient when there is none yet; permanent when there is no such copy.
    async fn sign_of_life(
        &self,
        at: At<'_>,
        id: &CopyId,
        patience: Duration,
    ) -> Result<String, Failure>;

    /// All copies of the machine, half made ones too, by id.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn list(&self, at: At<'_>) -> Result<Vec<CopyView>, Failure>;

    /// Ends a copy and deletes it with its disks, however far it was made; one that is gone is gone.
    ///
    /// # Errors
    /// When it may still be there.
    async fn delete(&self, at: At<'_>, id: &CopyId, fence: &Fence) -> Result<(), Failure>;
}

/// Fills the disks of a copy at `site` from a snapshot, verified. `limiters` all hold; `cursor` is what `report` was
/// last given by an earlier attempt.
///
/// # Errors
/// What a transfer can meet; the same step tried again goes on from its checkpoint.
pub async fn fill(
    site: &dyn Site,
    copy: &CopyView,
    source: &Source,
    sinks: Vec<Arc<dyn BlockSink>>,
    limiters: &[Arc<Limiter>],
    cursor: Option<Vec<u8>>,
    report: &dyn Report,
) -> Result<Moved, Failure> {
    // An attempt that was given up may still have its thread at a write: never two at one copy.
    let turn = Arc::new(turn_of(site, &copy.machine).lock_owned().await);
    let shared = limiters.get(1..).unwrap_or_default();
    let disks = source.disks.iter().zip(sinks).map(|(source, sink)| Disk {
        source: source.clone(),
        sink: narrow(sink, shared, report.cancelled().clone()),
        changed: None,
        manifest: None,
    });
    let cursor = cursor.and_then(|saved| saved.strip_prefix(b"\n").map(<[u8]>::to_vec));
    // A cursor tells of these very disks: not of a copy that was made and deleted before.
    let identity = format!("copy of {} begun {}", source.generation, copy.at);
    let request = Request {
        cursor,
        limiter: limiters.first().cloned(),
        manifests: false,
        ..Request::new(identity, disks.collect(), Mode::Full)
    };
    move_blocks(request, Vec::new(), turn, report).await
}
