//! Transfers between disks in memory that fail, lose power and run full, and between real files: every
//! mode, stopped at every save.

use std::io;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};

use proptest::prelude::*;

use super::*;
use crate::run::failure::Class;
use crate::transfer::blocks::block_hash;
use crate::transfer::file::{FileSink, FileSource};

const B: u64 = BLOCK_BYTES;

/// A disk in memory behind a volatile cache, with faults.
struct Memory {
    content: RwLock<Vec<u8>>,
    /// What a power loss would leave.
    durable: Mutex<Vec<u8>>,
    /// Written and not yet flushed. A failed flush forgets it, as Linux does.
    dirty: Mutex<Vec<Range<usize>>>,
    is_sparse: bool,
    read: AtomicU64,
    written: AtomicU64,
    /// Bytes of room left for writes.
    room: AtomicI64,
    /// How many writes from now on are garbled.
    garbled: AtomicUsize,
    failing_flushes: AtomicUsize,
    unreadable: AtomicBool,
}

impl Memory {
    fn new(content: Vec<u8>, is_sparse: bool) -> Arc<Memory> {
        Arc::new(Memory {
            durable: Mutex::new(content.clone()),
            content: RwLock::new(content),
            dirty: Mutex::default(),
            is_sparse,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            room: AtomicI64::new(i64::MAX),
            garbled: AtomicUsize::new(0),
            failing_flushes: AtomicUsize::new(0),
            unreadable: AtomicBool::new(false),
        })
    }

    fn content(&self) -> Vec<u8> {
        self.content.read().unwrap().clone()
    }

    fn durable(&self) -> Vec<u8> {
        self.durable.lock().unwrap().clone()
    }

    fn lose_power(&self) {
        self.dirty.lock().unwrap().clear();
        *self.content.write().unwrap() = self.durable();
    }

    fn put(&self, offset: u64, data: &[u8]) {
        let range = offset as usize..offset as usize + data.len();
        self.content.write().unwrap()[range.clone()].copy_from_slice(data);
        self.dirty.lock().unwrap().push(range);
    }
}

impl BlockSource for Memory {
    fn bytes(&self) -> u64 {
        self.content.read().unwrap().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.unreadable.load(SeqCst) {
            return Err(io::Error::other("a scratch"));
        }
        self.read.fetch_add(buffer.len() as u64, SeqCst);
        let from = offset as usize;
        buffer.copy_from_slice(&self.content.read().unwrap()[from..from + buffer.len()]);
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        const PAGE: u64 = 4096;
        let content = self.content.read().unwrap();
        let pages = content.chunks(PAGE as usize).zip((0..).step_by(PAGE as usize));
        let data = pages.filter(|(page, _)| page.iter().any(|byte| *byte != 0));
        Ok(self.is_sparse.then(|| data.map(|(_, at)| at..at + PAGE).collect()))
    }
}

impl BlockSink for Memory {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let len = data.len() as u64;
        if self.room.fetch_sub(len as i64, SeqCst) < len as i64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.written.fetch_add(len, SeqCst);
        let mut data = data.to_vec();
        if self.garbled.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            *data.last_mut().unwrap() ^= 1;
        }
        self.put(offset, &data);
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.put(offset, &vec![0; len as usize]);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap());
        if self.failing_flushes.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(io::Error::other("a lost cache"));
        }
        let content = self.content.read().unwrap();
        let mut durable = self.durable.lock().unwrap();
        for range in dirty {
            durable[range.clone()].copy_from_slice(&content[range]);
        }
        Ok(())
    }
}

/// Keeps the cursor; dies or cancels when told to.
#[derive(Default)]
struct Keeper {
    cursor: Mutex<Option<Vec<u8>>>,
    saves: AtomicUsize,
    fail_at: Option<usize>,
    cancel_at: Option<usize>,
    told: Mutex<Vec<(u64, u64, u64)>>,
}

impl Watcher for Keeper {
    fn cancelled(&self) -> bool {
        self.cancel_at.is_some_and(|at| self.saves.load(SeqCst) >= at)
    }

    fn progress(&self, done: u64, total: u64, sent: u64, _note: &str) {
        self.told.lock().unwrap().push((done, total, sent));
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        if self.fail_at == Some(self.saves.fetch_add(1, SeqCst)) {
            return Err(Failure::transient("the journal is gone"));
        }
        *self.cursor.lock().unwrap() = Some(cursor.to_vec());
        Ok(())
    }
}

impl Keeper {
    fn cursor(&self) -> Option<Vec<u8>> {
        self.cursor.lock().unwrap().clone()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Full,
    Compare,
    Manifest,
    Tracked,
    TrackedManifest,
}

const WAYS: [Way; 5] = [Way::Full, Way::Compare, Way::Manifest, Way::Tracked, Way::TrackedManifest];

/// Two states of a disk: what the sink has, what the source has.
struct Case {
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Case {
    /// Random data, data turned into holes, holes into data, equal holes, a short last block.
    fn usual() -> Case {
        let len = (40 * B + 4096) as usize;
        let mut old: Vec<u8> = (0..len).map(|i| (i * 31 + i / 999) as u8 | 1).collect();
        let block = |i: u64| (i * B) as usize..((i + 1) * B) as usize;
        for i in [4, 5, 6, 20, 21] {
            old[block(i)].fill(0);
        }
        let mut new = old.clone();
        for i in [0, 5, 13, 14, 30] {
            new[block(i)].iter_mut().for_each(|byte| *byte ^= 0x55);
        }
        for i in [9, 10, 33] {
            new[block(i)].fill(0);
        }
        new[len - 1] ^= 7;
        Case { old, new }
    }

    fn changed(&self) -> Vec<Range<u64>> {
        let (old, new) = (self.old.chunks(B as usize), self.new.chunks(B as usize));
        let pairs = old.zip(new).zip(0..);
        pairs.filter(|((a, b), _)| a != b).map(|(_, i)| i * B..(i + 1) * B).collect()
    }

    fn changed_blocks(&self) -> u64 {
        self.changed().len() as u64
    }

    fn disk(&self, way: Way, source: &Arc<Memory>, sink: &Arc<Memory>) -> Disk {
        let is_tracked = matches!(way, Way::Tracked | Way::TrackedManifest);
        let is_known = matches!(way, Way::Manifest | Way::TrackedManifest);
        Disk {
            source: source.clone(),
            sink: sink.clone(),
            changed: is_tracked.then(|| self.changed()),
            manifest: is_known.then(|| manifest_of(&self.old)),
        }
    }
}

fn manifest_of(content: &[u8]) -> Manifest {
    let hashes = content.chunks(B as usize).map(block_hash).collect();
    Manifest { bytes: content.len() as u64, hashes }
}

fn request(way: Way, disks: Vec<Disk>) -> Request {
    let mode = if way == Way::Full { Mode::Full } else { Mode::Delta };
    Request { checkpoint_bytes: 2 * B, ..Request::new("g1", disks, mode) }
}

fn assert_moved(way: Way, case: &Case, sink: &Memory, moved: &Moved) {
    assert!(sink.content() == case.new, "{way:?}: the sink is the source");
    assert!(sink.durable() == case.new, "{way:?}: durably");
    let expected = (way != Way::Tracked).then(|| manifest_of(&case.new));
    assert!(moved.manifests == [expected], "{way:?}: the manifest is true");
}

#[test]
fn every_way_makes_the_sink_the_source() {
    let case = Case::usual();
    for way in WAYS {
        for (source_sparse, sink_sparse) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let source = Memory::new(case.new.clone(), source_sparse);
            let sink = Memory::new(case.old.clone(), sink_sparse);
            let request = request(way, vec![case.disk(way, &source, &sink)]);
            let keeper = Keeper::default();
            let moved = copy(&request, &keeper).unwrap();
            assert_moved(way, &case, &sink, &moved);
            assert_eq!(moved.bytes_sent, sink.written.load(SeqCst));
            let told = keeper.told.lock().unwrap();
            let (done, total, sent) = *told.last().unwrap();
            assert_eq!((done, sent), (total, moved.bytes_sent));
            if way != Way::Full {
                assert_eq!(moved.blocks_changed, case.changed_blocks(), "{way:?}");
            }
            if matches!(way, Way::Tracked | Way::TrackedManifest) {
                let blocks = case.changed_blocks();
                assert!(source.read.load(SeqCst) <= blocks * B, "{way:?} reads what changed");
            }
            if matches!(way, Way::Manifest) {
                let written = moved.blocks_changed * B;
                assert!(sink.read.load(SeqCst) <= written, "only to verify");
            }
        }
    }
}

#[test]
fn full_onto_a_fresh_sink_writes_no_zeroes_and_reads_only_to_verify() {
    let case = Case { old: vec![0; (40 * B + 4096) as usize], ..Case::usual() };
    for source_sparse in [true, false] {
        let source = Memory::new(case.new.clone(), source_sparse);
        let sink = Memory::new(case.old.clone(), true);
        let request = request(Way::Full, vec![case.disk(Way::Full, &source, &sink)]);
        let moved = copy(&request, &Keeper::default()).unwrap();
        assert_moved(Way::Full, &case, &sink, &moved);
        assert_eq!(moved.blocks_changed, case.changed_blocks());
        assert_eq!(sink.read.load(SeqCst), moved.bytes_sent);
    }
}

#[test]
fn a_transfer_that_dies_at_any_save_goes_on_after_a_kill_and_after_a_power_loss() {
    let case = Case::usual();
    for (way, power_fails) in WAYS.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        let undisturbed = {
            let source = Memory::new(case.new.clone(), true);
            let sink = Memory::new(case.old.clone(), true);
            copy(&request(way, vec![case.disk(way, &source, &sink)]), &Keeper::default()).unwrap()
        };
        for fail_at in 0.. {
            let source = Memory::new(case.new.clone(), true);
            let sink = Memory::new(case.old.clone(), true);
            let first = Keeper { fail_at: Some(fail_at), ..Keeper::default() };
            let request = request(way, vec![case.disk(way, &source, &sink)]);
            let Err(error) = copy(&request, &first) else {
                assert!(fail_at > 3, "{way:?}: there were checkpoints to fail at");
                break;
            };
            assert!(matches!(error, TransferError::Save { .. }), "{error}");
            if power_fails {
                sink.lose_power();
            }
            let request = Request { cursor: first.cursor(), ..request };
            let moved = copy(&request, &Keeper::default()).unwrap();
            assert_moved(way, &case, &sink, &moved);
            assert_eq!(moved.bytes_scanned, undisturbed.bytes_scanned, "{way:?} at {fail_at}");
            let sent_again = sink.written.load(SeqCst).saturating_sub(undisturbed.bytes_sent);
            assert!(sent_again <= request.checkpoint_bytes, "{way:?}: {sent_again} again");
            // What the first attempt did beyond its cursor may be found equal, and is not counted then.
            let uncounted = undisturbed.bytes_sent - moved.bytes_sent;
            let may_be_equal = way == Way::Compare;
            assert!(uncounted == 0 || may_be_equal && uncounted <= request.checkpoint_bytes);
            // Nor are the three blocks that became holes, once they are holes.
            let blocks = undisturbed.blocks_changed - moved.blocks_changed;
            assert!(blocks <= 3 + uncounted.div_ceil(B), "{way:?} at {fail_at}: {blocks}");
        }
    }
}

#[test]
fn cancelling_at_any_checkpoint_keeps_what_was_done() {
    let case = Case::usual();
    for cancel_at in 0..6 {
        let source = Memory::new(case.new.clone(), false);
        let sink = Memory::new(case.old.clone(), true);
        let keeper = Keeper { cancel_at: Some(cancel_at), ..Keeper::default() };
        let request = request(Way::Full, vec![case.disk(Way::Full, &source, &sink)]);
        assert!(matches!(copy(&request, &keeper), Err(TransferError::Cancelled)));
        assert_eq!(sink.durable(), sink.content(), "flushed on the way out");
        let request = Request { cursor: keeper.cursor(), ..request };
        let moved = copy(&request, &Keeper::default()).unwrap();
        assert_moved(Way::Full, &case, &sink, &moved);
        assert_eq!(sink.written.load(SeqCst), moved.bytes_sent, "nothing was sent twice");
    }
}

#[test]
fn a_foreign_or_damaged_cursor_voids_what_was_known_of_the_sink() {
    let case = Case::usual();
    // Something else wrote where tracking and manifest see no change.
    let mut spoilt = case.old.clone();
    spoilt[(25 * B) as usize] ^= 1;
    let foreign = {
        let source = Memory::new(spoilt.clone(), false);
        let sink = Memory::new(case.old.clone(), false);
        let keeper = Keeper { cancel_at: Some(2), ..Keeper::default() };
        let disks = vec![case.disk(Way::Full, &source, &sink)];
        let other = Request { identity: "g0".into(), ..request(Way::Full, disks) };
        copy(&other, &keeper).unwrap_err();
        keeper.cursor().unwrap()
    };
    for cursor in [foreign, b"rubbish".to_vec(), vec![]] {
        for way in WAYS {
            let source = Memory::new(case.new.clone(), false);
            let sink = Memory::new(spoilt.clone(), false);
            let disk = || vec![case.disk(way, &source, &sink)];
            // It dies early, and what it leaves is a cursor of its own: the doubt must survive.
            let first = Keeper { cancel_at: Some(2), ..Keeper::default() };
            let begun = Request { cursor: Some(cursor.clone()), ..request(way, disk()) };
            assert!(matches!(copy(&begun, &first), Err(TransferError::Cancelled)));
            let resumed = Request { cursor: first.cursor(), ..request(way, disk()) };
            let moved = copy(&resumed, &Keeper::default()).unwrap();
            assert_moved(Way::Compare, &case, &sink, &moved);
        }
    }
}

#[test]
fn a_failed_flush_makes_the_next_attempt_write_again_what_memory_pretends_to_hold() {
    let case = Case::usual();
    for way in WAYS {
        let source = Memory::new(case.new.clone(), true);
        let sink = Memory::new(case.old.clone(), true);
        sink.failing_flushes.store(1, SeqCst);
        let keeper = Keeper::default();
        let request = request(way, vec![case.disk(way, &source, &sink)]);
        let error = copy(&request, &keeper).unwrap_err();
        assert!(matches!(error, TransferError::Flush { disk: 0, .. }), "{error}");
        let request = Request { cursor: keeper.cursor(), ..request };
        let moved = copy(&request, &Keeper::default()).unwrap();
        assert_moved(way, &case, &sink, &moved);
    }
}

#[test]
fn an_attempt_that_finds_everything_equal_still_flushes() {
    let case = Case::usual();
    let source = Memory::new(case.new.clone(), true);
    let sink = Memory::new(case.old.clone(), true);
    sink.put(0, &case.new); // Written by a process that died before its flush.
    let request = request(Way::Compare, vec![case.disk(Way::Compare, &source, &sink)]);
    let moved = copy(&request, &Keeper::default()).unwrap();
    assert_eq!(moved.bytes_sent, 0);
    assert_moved(Way::Compare, &case, &sink, &moved);
}

#[test]
fn a_full_sink_says_so_and_goes_on_once_there_is_room() {
    let case = Case::usual();
    let source = Memory::new(case.new.clone(), true);
    let sink = Memory::new(case.old.clone(), true);
    sink.room.store((10 * B) as i64, SeqCst);
    let keeper = Keeper::default();
    let request = request(Way::Full, vec![case.disk(Way::Full, &source, &sink)]);
    let error = copy(&request, &keeper).unwrap_err();
    assert!(matches!(error, TransferError::Full { disk: 0, offset, .. } if offset >= 8 * B));
    let failure = Failure::from(error);
    assert!(failure.class == Class::Permanent && failure.help.is_some());
    sink.room.store(i64::MAX, SeqCst);
    let request = Request { cursor: keeper.cursor(), ..request };
    let moved = copy(&request, &Keeper::default()).unwrap();
    assert_moved(Way::Full, &case, &sink, &moved);
    let again = sink.written.load(SeqCst) - moved.bytes_sent;
    assert!(again <= request.checkpoint_bytes, "{again} bytes were sent again");
}

#[test]
fn a_byte_garbled_on_the_way_is_written_again_and_forever_garbled_ones_are_an_error() {
    let case = Case::usual();
    for way in WAYS {
        let source = Memory::new(case.new.clone(), true);
        let sink = Memory::new(case.old.clone(), true);
        sink.garbled.store(2, SeqCst);
        let disk = || vec![case.disk(way, &source, &sink)];
        let moved = copy(&request(way, disk()), &Keeper::default()).unwrap();
        assert_moved(way, &case, &sink, &moved);
    }
    let source = Memory::new(case.new.clone(), true);
    let sink = Memory::new(case.old.clone(), true);
    sink.garbled.store(usize::MAX, SeqCst);
    let one = Request {
        workers: 1,
        ..request(Way::Compare, vec![case.disk(Way::Compare, &source, &sink)])
    };
    let error = copy(&one, &Keeper::default()).unwrap_err();
    assert!(matches!(error, TransferError::Verify { disk: 0, offset: 0, writes: 3 }), "{error}");
    assert_eq!(sink.written.load(SeqCst), 3 * B, "a bounded number of times");
}

#[test]
fn read_errors_name_their_disk_and_side() {
    let case = Case::usual();
    let good = || (Memory::new(case.new.clone(), true), Memory::new(case.old.clone(), true));
    let ((a, b), (c, d)) = (good(), good());
    let disks = || vec![case.disk(Way::Compare, &a, &b), case.disk(Way::Compare, &c, &d)];
    c.unreadable.store(true, SeqCst);
    let error = copy(&request(Way::Compare, disks()), &Keeper::default()).unwrap_err();
    assert!(matches!(error, TransferError::Read { disk: 1, offset: 0, .. }), "{error}");
    assert_eq!(Failure::from(error).class, Class::Transient);
    c.unreadable.store(false, SeqCst);
    d.unreadable.store(true, SeqCst);
    let error = copy(&request(Way::Compare, disks()), &Keeper::default()).unwrap_err();
    assert!(matches!(error, TransferError::ReadBack { disk: 1, .. }), "{error}");
}

#[test]
fn disks_of_different_sizes_are_refused_before_anything_is_saved() {
    let (source, sink) = (Memory::new(vec![1; 8192], true), Memory::new(vec![1; 4096], true));
    let disk = Disk { source, sink, changed: None, manifest: None };
    let keeper = Keeper::default();
    let error = copy(&Request::new("g1", vec![disk], Mode::Full), &keeper).unwrap_err();
    assert!(matches!(error, TransferError::Size { disk: 0, .. }));
    assert_eq!(keeper.cursor(), None);
}

#[test]
fn empty_disks_and_no_disks_are_moved_at_once() {
    let empty = Case { old: vec![], new: vec![] };
    let (source, sink) = (Memory::new(vec![], true), Memory::new(vec![], true));
    let one = request(Way::Compare, vec![empty.disk(Way::Compare, &source, &sink)]);
    let moved = copy(&one, &Keeper::default()).unwrap();
    assert_eq!(moved.manifests, [Some(Manifest { bytes: 0, hashes: vec![] })]);
    let none = copy(&request(Way::Full, vec![]), &Keeper::default()).unwrap();
    assert_eq!(none.bytes_scanned, 0);
}

#[test]
fn a_wait_for_bandwidth_ends_when_cancelled() {
    struct Impatient(AtomicUsize);
    impl Watcher for Impatient {
        fn cancelled(&self) -> bool {
            self.0.fetch_add(1, SeqCst) > 20
        }
        fn progress(&self, _: u64, _: u64, _: u64, _: &str) {}
        fn save(&self, _: &[u8]) -> Result<(), Failure> {
            Ok(())
        }
    }
    let case = Case::usual();
    let (source, sink) = (Memory::new(case.new.clone(), true), Memory::new(case.old.clone(), true));
    let slow = Request {
        limiter: Some(Arc::new(Limiter::new(1))),
        ..request(Way::Full, vec![case.disk(Way::Full, &source, &sink)])
    };
    let error = copy(&slow, &Impatient(AtomicUsize::new(0))).unwrap_err();
    assert!(matches!(error, TransferError::Cancelled), "{error}");
}

#[test]
fn files_with_holes_become_alike_and_stay_sparse() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let bytes = 512 * B + 4096;
    let source = FileSink::create(&at("source"), bytes).unwrap();
    source.write_at(3 * B, &vec![3; (2 * B) as usize]).unwrap();
    source.write_at(bytes - 100, &[9; 100]).unwrap();
    let sink = FileSink::create(&at("sink"), bytes).unwrap();
    sink.write_at(100 * B, &vec![1; (50 * B) as usize]).unwrap();
    for mode in [Mode::Full, Mode::Delta] {
        let disk = Disk {
            source: Arc::new(FileSource::open(&at("source")).unwrap()),
            sink: Arc::new(FileSink::open(&at("sink")).unwrap()),
            changed: None,
            manifest: None,
        };
        let moved = copy(&Request::new("g1", vec![disk], mode), &Keeper::default()).unwrap();
        let content = std::fs::read(at("sink")).unwrap();
        assert!(content == std::fs::read(at("source")).unwrap());
        assert_eq!(moved.manifests, [Some(manifest_of(&content))]);
        let data = FileSource::open(&at("sink")).unwrap().data_ranges().unwrap().unwrap();
        let held: u64 = data.iter().map(|range| range.end - range.start).sum();
        assert!(held <= 4 * B, "the stale bytes' room was given back, {held} are left");
    }
}

/// Blocks as small numbers: 0 is a zero block.
fn disk_of(blocks: &[u8], tail: usize) -> Vec<u8> {
    let mut content: Vec<u8> = Vec::new();
    for (i, kind) in blocks.iter().enumerate() {
        content
            .extend((0..B as usize).map(|at| if *kind == 0 { 0 } else { kind ^ (at + i) as u8 }));
    }
    content.extend(std::iter::repeat_n(blocks.first().copied().unwrap_or(7), tail));
    content
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_disks_end_up_alike_whatever_stops_the_transfer(
        disks in prop::collection::vec(
            (prop::collection::vec((0u8..3, 0u8..3), 0..24), 0usize..3, any::<(bool, bool)>()),
            1..4,
        ),
        way in prop::sample::select(WAYS.to_vec()),
        stops in prop::collection::vec((0usize..6, any::<bool>()), 0..4),
        workers in 1usize..4,
        interval in 1u64..8,
    ) {
        let cases: Vec<Case> = disks.iter().map(|(blocks, tail, _)| {
            let (old, new): (Vec<u8>, Vec<u8>) = blocks.iter().copied().unzip();
            Case { old: disk_of(&old, tail * 4096), new: disk_of(&new, tail * 4096) }
        }).collect();
        let memories: Vec<_> = cases.iter().zip(&disks).map(|(case, (_, _, sparse))| {
            (Memory::new(case.new.clone(), sparse.0), Memory::new(case.old.clone(), sparse.1))
        }).collect();
        let ask = |cursor| {
            let pairs = cases.iter().zip(&memories);
            let disks = pairs.map(|(case, (a, b))| case.disk(way, a, b)).collect();
            Request { workers, cursor, checkpoint_bytes: interval * B, ..request(way, disks) }
        };
        let mut cursor = None;
        for (fail_at, power_fails) in stops {
            let keeper = Keeper { fail_at: Some(fail_at), ..Keeper::default() };
            let _ended = copy(&ask(cursor.clone()), &keeper);
            cursor = keeper.cursor().or(cursor);
            if power_fails {
                memories.iter().for_each(|(_, sink)| sink.lose_power());
            }
        }
        let moved = copy(&ask(cursor), &Keeper::default()).unwrap();
        for ((case, (_, sink)), manifest) in cases.iter().zip(&memories).zip(&moved.manifests) {
            prop_assert!(sink.content() == case.new && sink.durable() == case.new);
            if let Some(manifest) = manifest {
                prop_assert!(*manifest == manifest_of(&case.new));
            } else {
                prop_assert_eq!(way, Way::Tracked);
            }
        }
    }
}
