//! The data plane: ranges in, verified ranges moved, a resumable cursor out.
//!
//! In: sources and sinks of blocks. Out: [`Moved`] and a manifest. Refuses to know: plans, runs,
//! providers, where a cursor is kept. Blocking: [`copy`] is called on a thread that may wait.
//!
//! **What success proves.** Every range that was written or zeroed was read back from the sink, with the
//! hash that it had when it was read from the source; then all sinks were flushed. A block that was *not*
//! written rests on one of these: both sides were read and equal (compare); its hash is the one that the
//! sink's manifest has; change tracking says that it did not change; both sides call it a hole. The first
//! is proof here and now, the others are as good as those who said so. Not proven: that the sink's medium
//! keeps what it confirmed. Reading back may be served from the sink's memory, since it precedes the flush.
//!
//! **A crash** costs at most one checkpoint interval of sent bytes: the cursor is saved only when all
//! before it is flushed. It is bound to the transfer's identity, mode, sizes and ranges. A cursor of
//! something else means that something else wrote to the sink: it is not believed, and neither are the
//! sink's manifest and change tracking; both sides are compared. A resumed transfer's figures add up over
//! its attempts, because the cursor carries them; only what a killed attempt did beyond its last cursor, and
//! the next one finds equal already, is counted by neither. Hashes it does not carry (they have no bound): where a
//! manifest is wanted, the sink's part before the cursor is read again and hashed.
//!
//! **Memory**: two buffers of 1 MiB per worker, a record for each of at most 1024 unsaved pieces, the
//! ranges that the sources and sinks themselves list, and the manifests (16 bytes per 64 KiB of disk).

pub mod blocks;
mod cursor;
pub mod failure;
pub mod file;
pub mod limiter;
mod mover;
mod pump;
mod ranges;

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::run::failure::Failure;
use crate::transfer::blocks::{BLOCK_BYTES, BlockHash, BlockSink, BlockSource, Manifest};
use crate::transfer::cursor::{Cursor, Fingerprint};
use crate::transfer::failure::TransferError;
use crate::transfer::limiter::Limiter;
use crate::transfer::mover::{Judge, Lane};
use crate::transfer::pump::{Pump, State};
use crate::transfer::ranges::{CHUNK_BYTES, Extents, Position, Todo, WorkList};

/// Bytes sent between two checkpoints unless a request says otherwise.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;
/// Most workers of one transfer; each has 2 MiB of buffers.
pub const WORKERS_MAX: usize = 64;

/// One disk to bring up to its source.
pub struct Disk {
    /// What it should become.
    pub source: Arc<dyn BlockSource>,
    /// What it is.
    pub sink: Arc<dyn BlockSink>,
    /// Change tracking: nothing but these ranges differs. In any order; ignored by [`Mode::Full`].
    pub changed: Option<Vec<Range<u64>>>,
    /// The hashes of what the sink held before this transfer's first attempt, provided that nothing but
    /// its attempts wrote there since; one that does not fit the disk's size is ignored.
    pub manifest: Option<Manifest>,
}

/// Whether to look for differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Send everything that is not a hole; compare nothing.
    Full,
    /// Send what changed: by change tracking, else by the manifest, else by comparing both sides.
    Delta,
}

/// What to move, and how.
pub struct Request {
    /// What the sources' content is, e.g. generation and snapshot: another content, another identity.
    /// A cursor is believed for the same identity only.
    pub identity: String,
    /// The disks, in an order that later attempts keep.
    pub disks: Vec<Disk>,
    /// Whether to look for differences.
    pub mode: Mode,
    /// What [`Watcher::save`] was last given by an earlier attempt.
    pub cursor: Option<Vec<u8>>,
    /// The limit on bytes sent; share it among transfers that share a link.
    pub limiter: Option<Arc<Limiter>>,
    /// Threads that move pieces, 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Most bytes sent between two checkpoints.
    pub checkpoint_bytes: u64,
    /// Manifests are wanted: a resumed transfer then reads again what was moved, to hash it.
    pub manifests: bool,
}

impl Request {
    /// A request with defaults: no cursor, no limit, two workers, manifests wanted.
    pub fn new(identity: impl Into<String>, disks: Vec<Disk>, mode: Mode) -> Request {
        Request {
            identity: identity.into(),
            disks,
            mode,
            cursor: None,
            limiter: None,
            workers: 2,
            checkpoint_bytes: CHECKPOINT_BYTES,
            manifests: true,
        }
    }
}

/// Who looks on while a transfer runs; called from its threads.
pub trait Watcher: Sync {
    /// Asked between pieces and while waiting: `true` ends the transfer at a checkpoint.
    fn cancelled(&self) -> bool;

    /// So many bytes of `total` are behind the last saved cursor, and so many were sent for it.
    fn progress(&self, done: u64, total: u64, sent: u64, note: &str);

    /// Keeps the cursor, durably, before it returns.
    ///
    /// # Errors
    /// When it may be lost; the transfer then ends.
    fn save(&self, cursor: &[u8]) -> Result<(), Failure>;
}

/// What a finished transfer did, all its attempts together.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Bytes of the sources that were looked at: read, or known to be a hole.
    pub bytes_scanned: u64,
    /// Bytes given to the sinks, zeroes apart, repeated writes included.
    pub bytes_sent: u64,
    /// Blocks written or zeroed.
    pub blocks_changed: u64,
    /// Time spent moving, waits for the limiter included, pauses between attempts not.
    pub duration: Duration,
    /// By disk. `None` when not wanted, or when change tracking left blocks out whose hashes nobody gave.
    pub manifests: Vec<Option<Manifest>>,
}

/// Brings every sink up to its source, verified and durable when it returns.
///
/// # Errors
/// [`TransferError`]; then the sinks are worth nothing by themselves, but what was moved before the
/// last saved cursor need not be moved again.
pub fn copy(request: &Request, watcher: &dyn Watcher) -> Result<Moved, TransferError> {
    let began = Instant::now();
    check_sizes(request)?;
    let fingerprint = fingerprint(request);
    let believed = request.cursor.as_ref().map(|bytes| Cursor::open(bytes, &fingerprint));
    let cursor = believed
        .clone()
        .flatten()
        .unwrap_or_else(|| Cursor { compare_all: believed.is_some(), ..Cursor::default() });
    let prepared: Result<Vec<_>, _> =
        (0..request.disks.len()).map(|disk| prepare(request, disk, cursor.compare_all)).collect();
    let (lanes, todo): (Vec<Lane<'_>>, Vec<Todo>) = prepared?.into_iter().unzip();
    let interval_bytes = request.checkpoint_bytes.max(BLOCK_BYTES);
    let pump = Pump {
        lanes: &lanes,
        watcher,
        limiter: request.limiter.as_deref(),
        fingerprint: &fingerprint,
        interval_bytes,
        total_bytes: todo.iter().map(|todo| todo.extents.bytes()).sum(),
        began,
        seconds_before: cursor.seconds,
        state: Mutex::new(State::new(work_list(todo, &cursor, interval_bytes), &cursor)),
        moved_on: Condvar::new(),
    };
    if !matches!(believed, Some(Some(_))) {
        // Before the first byte: whoever comes next must see that this transfer touched the sinks.
        pump.save(&cursor)?;
    }
    let cursor = pump.run(request.workers.min(WORKERS_MAX))?;
    Ok(Moved {
        bytes_scanned: cursor.figures.bytes_scanned,
        bytes_sent: cursor.figures.bytes_sent,
        blocks_changed: cursor.figures.blocks_changed,
        duration: Duration::try_from_secs_f64(cursor.seconds).unwrap_or_default(),
        manifests: lanes.into_iter().map(manifest).collect(),
    })
}

fn check_sizes(request: &Request) -> Result<(), TransferError> {
    for (disk, Disk { source, sink, .. }) in request.disks.iter().enumerate() {
        let (source_bytes, sink_bytes) = (source.bytes(), sink.bytes());
        if source_bytes != sink_bytes {
            return Err(TransferError::Size { disk, source_bytes, sink_bytes });
        }
    }
    Ok(())
}

fn fingerprint(request: &Request) -> Fingerprint {
    let mode = match request.mode {
        Mode::Full => "full",
        Mode::Delta => "delta",
    };
    let tracked: Vec<_> = request
        .disks
        .iter()
        .map(|disk| (disk.source.bytes(), tracked(request.mode, disk)))
        .collect();
    let disks =
        tracked.iter().map(|(bytes, changed)| (*bytes, changed.as_ref().map(Extents::ranges)));
    Fingerprint::of(&request.identity, mode, disks)
}

fn tracked(mode: Mode, disk: &Disk) -> Option<Extents> {
    let changed = disk.changed.as_ref().filter(|_| mode == Mode::Delta)?;
    Some(Extents::covering(changed.iter().cloned(), disk.source.bytes()))
}

fn prepare(
    request: &Request,
    disk: usize,
    compare_all: bool,
) -> Result<(Lane<'_>, Todo), TransferError> {
    let of = &request.disks[disk];
    let bytes = of.source.bytes();
    let whole = Extents::whole(bytes);
    let known = of.manifest.as_ref().filter(|manifest| manifest.fits(bytes) && !compare_all);
    let tracked = tracked(request.mode, of).filter(|_| !compare_all);
    let judge = match (request.mode, &tracked, known) {
        (Mode::Full, _, _) | (Mode::Delta, Some(_), None) => Judge::Blind,
        (Mode::Delta, _, Some(manifest)) => Judge::Manifest(manifest),
        (Mode::Delta, None, None) => Judge::Compare,
    };
    let extents = tracked.unwrap_or_else(|| whole.clone());
    let hashes = if extents == whole {
        Some(vec![BlockHash::default(); blocks_of(bytes)])
    } else {
        known.map(|manifest| manifest.hashes.clone())
    };
    let hashes = hashes.filter(|_| request.manifests).map(Mutex::new);
    let source_data = of
        .source
        .data_ranges()
        .map_err(|error| TransferError::Read { disk, offset: 0, error })?
        .map(|ranges| Extents::covering(ranges.into_iter(), bytes));
    let sink_data = of
        .sink
        .data_ranges()
        .map_err(|error| TransferError::ReadBack { disk, offset: 0, error })?
        .map(|ranges| Extents::covering(ranges.into_iter(), bytes));
    let todo = Todo { extents, source_data, wants_hashes: hashes.is_some() };
    let (source, sink) = (&*of.source, &*of.sink);
    Ok((Lane { disk, source, sink, judge, sink_data, hashes }, todo))
}

fn work_list(todo: Vec<Todo>, cursor: &Cursor, interval_bytes: u64) -> WorkList {
    // Several pieces to an interval, or the workers would take turns instead of working side by side.
    let piece_bytes = (interval_bytes / 8).clamp(BLOCK_BYTES, CHUNK_BYTES);
    WorkList {
        todo,
        piece_bytes: piece_bytes - piece_bytes % BLOCK_BYTES,
        resumed_at: cursor.at,
        doubtful_to: cursor.doubtful_to,
        next: Position::default(),
    }
}

fn manifest(lane: Lane<'_>) -> Option<Manifest> {
    let hashes = lane.hashes?.into_inner().unwrap_or_else(PoisonError::into_inner);
    Some(Manifest { bytes: lane.source.bytes(), hashes })
}

fn blocks_of(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(BLOCK_BYTES)).expect("BUG: a manifest fits into memory")
}

#[cfg(test)]
mod tests;
