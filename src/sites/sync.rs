//! One synchronization: the disks of one side of a machine become those of the other.
//!
//! The order is the safety: unlock both ends; set the durable dirty mark; move and verify; see that a
//! stopped source really stayed off; clear the mark. A crash at any point leaves the mark set, or a
//! finished synchronization that the next attempt recognises.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::sync::CancellationToken;

use crate::base::{MachineName, SnapshotId, SyncId, Timestamp};
use crate::plan::effect::Mode;
use crate::plan::facts::{DirtyMark, Power};
use crate::run::failure::Failure;
use crate::sites::narrow::narrow;
use crate::sites::{At, Changes, Disks, Fence, ReplicaMark, SideView, Site, Source, SyncStamp};
use crate::transfer::blocks::Manifest;
use crate::transfer::failure::TransferError;
use crate::transfer::limiter::Limiter;
use crate::transfer::{self, Disk, Moved, Request, Watcher};

/// One end of a synchronization.
pub struct End<'a> {
    /// The site.
    pub site: &'a dyn Site,
    /// Its disks.
    pub disks: &'a dyn Disks,
    /// The side.
    pub at: At<'a>,
    /// What it looked like before the synchronization.
    pub view: &'a SideView,
    /// What every change there carries.
    pub fence: Fence,
}

/// What to synchronize.
pub struct Order<'a> {
    /// Where the live data is.
    pub from: End<'a>,
    /// The replica.
    pub to: End<'a>,
    /// The source's snapshot; `None`: its disks, which are off.
    pub snapshot: Option<&'a SnapshotId>,
    /// Compare, or send everything. A resumed synchronization keeps the mode it began with.
    pub mode: Mode,
    /// Opens encrypted disks.
    pub key: Option<&'a [u8]>,
    /// All of them hold.
    pub limiters: Vec<Arc<Limiter>>,
    /// What is left beside the replica until it is verified.
    pub mark: DirtyMark,
    /// What [`Report::save`] was last given by an earlier attempt.
    pub cursor: Option<Vec<u8>>,
}

/// Who looks on.
pub trait Report: Send + Sync {
    /// Fires when it should end at its next checkpoint.
    fn cancelled(&self) -> &CancellationToken;

    /// Bytes done, of how many, and bytes sent for it.
    fn progress(&self, done: u64, total: u64, sent: u64, note: &str);

    /// Keeps the cursor, durably, before it returns.
    ///
    /// # Errors
    /// When it may be lost.
    fn save(&self, cursor: &[u8]) -> Result<(), Failure>;
}

/// A finished synchronization.
pub struct Synced {
    /// What it moved; `None`: an earlier attempt had finished it.
    pub moved: Option<Moved>,
    /// What it was told, or began with.
    pub mode: Mode,
    /// How the changes were found: `tracking`, `manifest`, `checksums`, `full`, or `done`.
    pub method: &'static str,
    /// The point in the source's change tracking that the next one builds on.
    pub tracking: Option<String>,
}

/// Whether `sync` has verified this replica already, and it is still what it was.
pub fn is_done(view: &SideView, sync: &SyncId) -> bool {
    matches!(&view.replica, Some(ReplicaMark::Synced { stamp, own_generation })
        if stamp.sync == *sync && *own_generation == view.generation)
}

/// Synchronizes.
///
/// # Errors
/// Whatever a site refuses, and what a transfer can meet. The replica may stay dirty; the same step
/// tried again goes on from its checkpoint.
pub async fn synchronize(order: &Order<'_>, report: &dyn Report) -> Result<Synced, Failure> {
    let Order { from, to, mark, .. } = order;
    // An attempt that was given up may still have its thread at a write: never two at one replica.
    let turn = Arc::new(turn_of(to.site, to.at.machine).lock_owned().await);
    unlock(order).await?;
    let source = from.disks.source(from.at, order.snapshot).await?;
    if let Some(done) = finished_before(order, &source) {
        return Ok(done);
    }
    let (mode, cursor) = begun_with(order);
    to.disks.begin_sync(to.at, mark, &to.fence).await?;
    let found = find_changes(order, mode).await?;
    let method = found.method;
    let tracking = source.tracking.clone();
    let request = request(order, &source, found, mode, cursor, report).await?;
    let header = serde_json::to_vec(&Header { mode }).expect("BUG: a mode is plain data");
    let moved = move_blocks(request, header, turn.clone(), report).await?;
    if let Some(id) = order.snapshot {
        still_kept(from.disks, from.at, id).await?;
    }
    if source.stopped {
        stayed_off(from, &source).await?;
    }
    let stamp = SyncStamp {
        sync: mark.sync.clone(),
        source_generation: source.generation,
        is_final: source.stopped,
        tracking: tracking.clone(),
        at: Timestamp::now(),
    };
    let manifests: Option<Vec<Manifest>> = moved.manifests.iter().cloned().collect();
    to.disks.end_sync(to.at, &stamp, &manifests.unwrap_or_default(), &to.fence).await?;
    Ok(Synced { moved: Some(moved), mode, method, tracking })
}

pub(super) type Turn = OwnedMutexGuard<()>;
/// By site, as the one that this process opened, and machine.
type Turns = BTreeMap<(usize, MachineName), Arc<tokio::sync::Mutex<()>>>;

static TURNS: Mutex<Turns> = Mutex::new(BTreeMap::new());

/// Held by whoever writes to this machine's disks at a site.
pub(super) fn turn_of(site: &dyn Site, machine: &MachineName) -> Arc<tokio::sync::Mutex<()>> {
    let site = std::ptr::from_ref(site).cast::<()>().addr();
    let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
    turns.retain(|_, turn| Arc::strong_count(turn) > 1);
    turns.entry((site, machine.clone())).or_default().clone()
}

/// The right key or none, on both ends, before the first byte.
async fn unlock(order: &Order<'_>) -> Result<(), Failure> {
    order.from.disks.unlock(order.from.at, order.key).await?;
    if order.to.view.has_disks {
        order.to.disks.unlock(order.to.at, order.key).await?;
    }
    Ok(())
}

fn finished_before(order: &Order<'_>, source: &Source) -> Option<Synced> {
    let Some(ReplicaMark::Synced { stamp, .. }) = &order.to.view.replica else { return None };
    let same = stamp.source_generation == source.generation && stamp.is_final == source.stopped;
    (same && is_done(order.to.view, &order.mark.sync)).then(|| Synced {
        moved: None,
        mode: order.mode,
        method: "done",
        tracking: stamp.tracking.clone(),
    })
}

/// The mode goes before the transfer's own cursor: what `auto` finds differs once a replica is there.
#[derive(Serialize, Deserialize)]
struct Header {
    mode: Mode,
}

fn begun_with(order: &Order<'_>) -> (Mode, Option<Vec<u8>>) {
    let begun = order.cursor.as_ref().and_then(|saved| {
        let at = saved.iter().position(|byte| *byte == b'\n')?;
        let header: Header = serde_json::from_slice(&saved[..at]).ok()?;
        Some((header.mode, Some(saved[at + 1..].to_vec())))
    });
    begun.unwrap_or((order.mode, None))
}

struct Found {
    method: &'static str,
    changes: Option<Vec<Changes>>,
    manifests: Option<Vec<Manifest>>,
}

/// The best way to know what changed: tracking, manifest, or comparing.
async fn find_changes(order: &Order<'_>, mode: Mode) -> Result<Found, Failure> {
    if mode == Mode::Full {
        return Ok(Found { method: "full", changes: None, manifests: None });
    }
    let Order { from, to, .. } = order;
    let changes = match since(from.view, to.view) {
        Some(since) => from.disks.changes(from.at, since, order.snapshot).await?,
        None => None,
    };
    let manifests = to.disks.manifests(to.at, &order.mark.sync).await?;
    let method = match (&changes, &manifests) {
        (Some(_), _) => "tracking",
        (None, Some(_)) => "manifest",
        (None, None) => "checksums",
    };
    Ok(Found { method, changes, manifests })
}

/// The point in the source's change tracking that the replica's disks are at (or a subset of the
/// changes since was written to them).
fn since<'a>(from: &'a SideView, to: &'a SideView) -> Option<&'a str> {
    let stamp = match &to.replica {
        Some(ReplicaMark::Synced { stamp, own_generation }) => {
            return stamp.tracking.as_deref().filter(|_| *own_generation == to.generation);
        }
        Some(ReplicaMark::Dirty { before, .. }) => before.as_ref(),
        None => None,
    };
    if let Some(stamp) = stamp {
        return stamp.tracking.as_deref();
    }
    // The base that the source itself booted from, untouched since.
    let booted = from.booted.as_ref()?;
    let is_base = booted.is_final && booted.source_generation == to.generation;
    (to.has_disks && is_base).then_some(booted.sync.as_str())
}

async fn request(
    order: &Order<'_>,
    source: &Source,
    found: Found,
    mode: Mode,
    cursor: Option<Vec<u8>>,
    report: &dyn Report,
) -> Result<Request, Failure> {
    let Order { to, mark, .. } = order;
    let sinks = to.disks.sink(to.at, &mark.sync, &to.fence).await?;
    let count = source.disks.len();
    if sinks.len() != count {
        let message = format!("the source has {count} disks, the replica {}", sinks.len());
        return Err(Failure::permanent(message)
            .help("the inventory's `disks` must list what the machine has"));
    }
    let listed = |lists: usize| lists == 0 || lists == count;
    let changes = found.changes.unwrap_or_default();
    let manifests = found.manifests.unwrap_or_default();
    if !listed(changes.len()) || !listed(manifests.len()) {
        return Err(Failure::permanent("a site lists changes of another number of disks")
            .help("transfer with `mode: \"full\"`"));
    }
    let (mut changes, mut manifests) = (changes.into_iter(), manifests.into_iter());
    let pairs = source.disks.iter().zip(sinks);
    let disks = pairs.map(|(source, sink)| Disk {
        source: source.clone(),
        sink: narrow(sink, order.limiters.get(1..).unwrap_or_default(), report.cancelled().clone()),
        changed: changes.next(),
        manifest: manifests.next(),
    });
    let snapshot = order.snapshot.map_or("", SnapshotId::as_str);
    // The replica's own: whoever else writes to it between two attempts makes it another one, and then the
    // cursor of what was written before is not believed.
    let replica = to.site.look(to.at).await?.generation;
    let identity = format!("{} {snapshot} {replica}", source.generation);
    let mode = match mode {
        Mode::Delta => transfer::Mode::Delta,
        Mode::Full => transfer::Mode::Full,
    };
    let limiter = order.limiters.first().cloned();
    Ok(Request { cursor, limiter, ..Request::new(identity, disks.collect(), mode) })
}

/// A source that booted during its own final transfer has newer writes: the replica stays dirty.
async fn stayed_off(from: &End<'_>, source: &Source) -> Result<(), Failure> {
    let now = from.site.look(from.at).await?;
    if now.power == Power::Off && now.generation == source.generation {
        return Ok(());
    }
    let machine = from.at.machine;
    if !now.exists || !now.has_disks {
        let message = format!(
            "the {} side of `{machine}` went while its stopped disks were read: somebody deleted it; the replica stays dirty",
            from.at.side
        );
        return Err(Failure::refused("H325", message)
            .help("bring it back as it was, then retry the step: it goes on where it was; until then nothing boots"));
    }
    Err(Failure::refused(
        "H313",
        format!("the {} side of `{machine}` was started while its stopped disks were read: the replica is not final", from.at.side),
    )
    .help("find out who started it, shut it down, and transfer again"))
}

/// A snapshot whose site had to give it up while it was read (no room for what was overwritten, or somebody
/// ended it) may have shown newer blocks: what was read of it is no moment.
///
/// # Errors
/// Transient: the same step tried again finds it gone, and says so.
pub async fn still_kept(disks: &dyn Disks, at: At<'_>, id: &SnapshotId) -> Result<(), Failure> {
    if disks.snapshots(at).await?.iter().any(|(snapshot, _)| snapshot.id == *id) {
        return Ok(());
    }
    let message = format!("the snapshot {id} of `{}` went while it was read", at.machine);
    Err(Failure::transient(message)
        .help("see that there is room where the machine's snapshots are; nothing may boot from what was copied"))
}

/// What the copying threads tell the task that waits for them.
enum Word {
    Progress { done: u64, total: u64, sent: u64, note: String },
    Save { cursor: Vec<u8>, reply: SyncSender<Result<(), Failure>> },
}

/// Lives on the copying threads; ends them when nobody waits any more.
struct Bridge {
    header: Vec<u8>,
    cancelled: CancellationToken,
    words: mpsc::Sender<Word>,
}

impl Watcher for Bridge {
    fn cancelled(&self) -> bool {
        self.cancelled.is_cancelled() || self.words.is_closed()
    }

    fn progress(&self, done: u64, total: u64, sent: u64, note: &str) {
        // Lossy by contract.
        let _ = self.words.try_send(Word::Progress { done, total, sent, note: note.to_owned() });
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        let (reply, answer) = sync_channel(1);
        let cursor = [self.header.as_slice(), b"\n", cursor].concat();
        let sent = self.words.blocking_send(Word::Save { cursor, reply });
        sent.map_err(|_| Failure::cancelled())?;
        loop {
            match answer.recv_timeout(GIVEN_UP_CHECK) {
                Ok(saved) => return saved,
                // A word that was under way while its hearer went is neither heard nor dropped.
                Err(RecvTimeoutError::Timeout) if !self.words.is_closed() => {}
                // Nobody waits for this transfer any more: end it.
                Err(_) => return Err(Failure::cancelled()),
            }
        }
    }
}

/// How often a thread that waits for an answer looks whether anybody is left to give it.
const GIVEN_UP_CHECK: Duration = Duration::from_millis(100);

/// Words on their way: progress is dropped beyond that, a save waits.
const WORDS_MAX: usize = 16;

/// Moves blocks on threads that may wait. What `report` saves is `header`, a new line, the cursor.
pub(super) async fn move_blocks(
    request: Request,
    header: Vec<u8>,
    turn: Arc<Turn>,
    report: &dyn Report,
) -> Result<Moved, Failure> {
    let (words, mut heard) = mpsc::channel(WORDS_MAX);
    let bridge = Bridge { header, cancelled: report.cancelled().clone(), words };
    let copying = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        transfer::copy(&request, &bridge)
    });
    while let Some(word) = heard.recv().await {
        match word {
            Word::Progress { done, total, sent, note } => report.progress(done, total, sent, &note),
            Word::Save { cursor, reply } => {
                let _ = reply.send(save(report, &cursor));
            }
        }
    }
    match copying.await {
        Ok(Ok(moved)) => Ok(moved),
        Ok(Err(TransferError::Cancelled)) => Err(Failure::cancelled()),
        Ok(Err(_)) if report.cancelled().is_cancelled() => Err(Failure::cancelled()),
        Ok(Err(error)) => Err(error.into()),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::cancelled()),
        },
    }
}

/// Saving waits for the disk: the runtime's other tasks must not wait with it.
fn save(report: &dyn Report, cursor: &[u8]) -> Result<(), Failure> {
    use tokio::runtime::{Handle, RuntimeFlavor};
    if Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(|| report.save(cursor))
    } else {
        report.save(cursor)
    }
}
