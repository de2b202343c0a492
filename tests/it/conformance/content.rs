//! Whole disks in memory: read, compared block by block, held against what a site says has changed. And
//! single writes. Sources and sinks block: they are used where blocking is no harm, as transfers do.

use std::sync::Arc;

use homing::sites::{Changes, Source};
use homing::transfer::blocks::{BLOCK_BYTES, BlockSink, BlockSource};
use tokio::task::block_in_place;

/// All bytes of all disks.
pub struct Content(Vec<Vec<u8>>);

/// Reads a source as a whole.
pub fn read(source: &Source) -> Content {
    Content(block_in_place(|| source.disks.iter().map(read_disk).collect()))
}

fn read_disk(disk: &Arc<dyn BlockSource>) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.bytes()).expect("a small disk")];
    let mut at = 0;
    for part in bytes.chunks_mut(1 << 20) {
        disk.read_at(at, part).expect("a disk that can be read");
        at += part.len() as u64;
    }
    bytes
}

impl Content {
    /// The blocks in which the two differ, by disk.
    pub fn differences(&self, other: &Content) -> Vec<Changes> {
        let sizes = |content: &Content| content.0.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(self), sizes(other), "the same disks");
        let of_disk = |(one, two): (&Vec<u8>, &Vec<u8>)| {
            let block = usize::try_from(BLOCK_BYTES).expect("a small block");
            let blocks = one.chunks(block).zip(two.chunks(block)).enumerate();
            let differing = blocks.filter(|(_, (one, two))| one != two);
            differing
                .map(|(index, (one, _))| {
                    let start = index as u64 * BLOCK_BYTES;
                    start..start + one.len() as u64
                })
                .collect()
        };
        self.0.iter().zip(&other.0).map(of_disk).collect()
    }

    /// Fails unless both are the same, byte for byte.
    #[track_caller]
    pub fn is(&self, other: &Content, what: &str) {
        let differences = self.differences(other);
        assert!(differences.iter().all(Vec::is_empty), "{what}: they differ in {differences:?}");
    }

    /// Every byte of every disk, as changes.
    pub fn all(&self) -> Vec<Changes> {
        self.0.iter().map(|disk| std::iter::once(0..disk.len() as u64).collect()).collect()
    }
}

/// Writes to a sink.
pub fn write(sink: &Arc<dyn BlockSink>, offset: u64, data: &[u8]) -> std::io::Result<()> {
    block_in_place(|| sink.write_at(offset, data).and_then(|()| sink.flush()))
}

/// Makes a range of a sink zeroes.
pub fn zero(sink: &Arc<dyn BlockSink>, offset: u64, len: u64) -> std::io::Result<()> {
    block_in_place(|| sink.zero_at(offset, len))
}

/// What a sink holds there.
pub fn at(sink: &Arc<dyn BlockSink>, offset: u64, len: usize) -> Vec<u8> {
    let mut found = vec![0; len];
    block_in_place(|| sink.read_at(offset, &mut found)).expect("a disk that can be read");
    found
}

/// How many bytes the changes are.
pub fn bytes(changes: &[Changes]) -> u64 {
    changes.iter().flatten().map(|range| range.end - range.start).sum()
}

/// Fails unless `told` is sorted and disjoint and holds all of `needed`.
#[track_caller]
pub fn covers(told: &[Changes], needed: &[Changes], what: &str) {
    assert_eq!(told.len(), needed.len(), "{what}: one list per disk");
    for (disk, (told, needed)) in told.iter().zip(needed).enumerate() {
        let order = told.windows(2).all(|pair| pair[0].end <= pair[1].start);
        assert!(order, "{what}: disk {disk}: not sorted and disjoint: {told:?}");
        for range in needed {
            let mut at = range.start;
            for piece in told.iter().filter(|piece| piece.start < range.end) {
                if piece.start <= at && at < piece.end {
                    at = piece.end;
                }
            }
            assert!(at >= range.end, "{what}: disk {disk}: {range:?} is not in {told:?}");
        }
    }
}
