//! One piece: read, judged, written, read back.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::transfer::Watcher;
use crate::transfer::blocks::{
    BLOCK_BYTES, BlockHash, BlockSink, BlockSource, Manifest, block_hash,
};
use crate::transfer::cursor::Figures;
use crate::transfer::failure::TransferError;
use crate::transfer::limiter::Limiter;
use crate::transfer::ranges::{CHUNK_BYTES, Extents, Piece, Work};

/// How often a range is written before a sink that answers with something else is given up.
const WRITES_MAX: u32 = 3;

/// How the blocks that differ are told from the others.
#[derive(Clone, Copy)]
pub(super) enum Judge<'a> {
    /// Not at all: each is written.
    Blind,
    /// By the hashes of what the sink holds.
    Manifest(&'a Manifest),
    /// By reading the sink.
    Compare,
}

/// One disk, as the workers see it.
pub(super) struct Lane<'a> {
    pub(super) disk: usize,
    pub(super) source: &'a dyn BlockSource,
    pub(super) sink: &'a dyn BlockSink,
    pub(super) judge: Judge<'a>,
    /// Where the sink held anything but zeroes when the transfer began; `None`: anywhere.
    pub(super) sink_data: Option<Extents>,
    /// The manifest that comes of it, unless some blocks' hashes will stay unknown.
    pub(super) hashes: Option<Mutex<Vec<BlockHash>>>,
}

impl Lane<'_> {
    /// The sink says that nothing but zeroes was there, and so far nobody wrote there.
    fn is_sink_hole(&self, range: &Range<u64>) -> bool {
        self.sink_data.as_ref().is_some_and(|data| !data.touch(range))
    }

    fn keep(&self, offset: u64, hashes: &[BlockHash]) {
        if let Some(all) = &self.hashes {
            let first = index(offset / BLOCK_BYTES);
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all[first..first + hashes.len()].copy_from_slice(hashes);
        }
    }
}

/// Neighbouring blocks of a chunk that are written in one go.
struct Change {
    blocks: Range<usize>,
    is_zero: bool,
}

/// A worker's tools: two buffers of one chunk each, whatever the disks' sizes.
pub(super) struct Mover<'a> {
    watcher: &'a dyn Watcher,
    limiter: Option<&'a Limiter>,
    ours: Vec<u8>,
    theirs: Vec<u8>,
    zero: BlockHash,
}

impl<'a> Mover<'a> {
    pub(super) fn new(watcher: &'a dyn Watcher, limiter: Option<&'a Limiter>) -> Mover<'a> {
        let buffer = vec![0; index(CHUNK_BYTES)];
        let zero = block_hash(&buffer[..index(BLOCK_BYTES)]);
        Mover { watcher, limiter, ours: buffer.clone(), theirs: buffer, zero }
    }

    /// Does what the piece asks for. On return its part of the sink is proven, not yet durable.
    pub(super) fn handle(
        &mut self,
        lane: &Lane<'_>,
        piece: &Piece,
    ) -> Result<Figures, TransferError> {
        let mut figures = Figures::default();
        for start in piece.range.clone().step_by(index(CHUNK_BYTES)) {
            let chunk = start..piece.range.end.min(start + CHUNK_BYTES);
            if piece.work == Work::Rehash {
                self.rehash(lane, &chunk)?;
            } else {
                figures.add(self.move_chunk(lane, piece, &chunk)?);
            }
        }
        Ok(figures)
    }

    fn rehash(&mut self, lane: &Lane<'_>, chunk: &Range<u64>) -> Result<(), TransferError> {
        let hashes = if lane.is_sink_hole(chunk) {
            self.zero_hashes(len(chunk))
        } else {
            let theirs = &mut self.theirs[..len(chunk)];
            read_sink(lane, chunk.start, theirs)?;
            hashes_of(theirs)
        };
        lane.keep(chunk.start, &hashes);
        Ok(())
    }

    fn move_chunk(
        &mut self,
        lane: &Lane<'_>,
        piece: &Piece,
        chunk: &Range<u64>,
    ) -> Result<Figures, TransferError> {
        let mut figures = Figures { bytes_scanned: chunk.end - chunk.start, ..Figures::default() };
        if piece.is_hole && piece.work != Work::Rewrite && lane.is_sink_hole(chunk) {
            // Most of a sparse disk: neither side is touched.
            lane.keep(chunk.start, &self.zero_hashes(len(chunk)));
            return Ok(figures);
        }
        let ours = &mut self.ours[..len(chunk)];
        let hashes = if piece.is_hole {
            ours.fill(0);
            self.zero_hashes(len(chunk))
        } else {
            lane.source.read_at(chunk.start, ours).map_err(|error| TransferError::Read {
                disk: lane.disk,
                offset: chunk.start,
                error,
            })?;
            hashes_of(ours)
        };
        for change in self.changes(lane, piece, chunk, &hashes)? {
            let hashes = &hashes[change.blocks.clone()];
            figures.bytes_sent += self.write(lane, chunk, &change, hashes)?;
            figures.blocks_changed += hashes.len() as u64;
        }
        lane.keep(chunk.start, &hashes);
        Ok(figures)
    }

    /// The blocks of a chunk in `ours` that have to be written, neighbours together.
    fn changes(
        &mut self,
        lane: &Lane<'_>,
        piece: &Piece,
        chunk: &Range<u64>,
        hashes: &[BlockHash],
    ) -> Result<Vec<Change>, TransferError> {
        let trusts_holes = piece.work != Work::Rewrite;
        let judge = if trusts_holes { lane.judge } else { Judge::Blind };
        let (full, short) = (self.zero, zero_hash(self.zero, len(chunk) % index(BLOCK_BYTES)));
        let ours = &self.ours[..len(chunk)];
        let theirs = &mut self.theirs[..len(chunk)];
        if matches!(judge, Judge::Compare) {
            read_sink(lane, chunk.start, theirs)?;
        }
        let mut changes: Vec<Change> = Vec::new();
        for (i, hash) in hashes.iter().enumerate() {
            let bytes = i * index(BLOCK_BYTES)..ours.len().min((i + 1) * index(BLOCK_BYTES));
            let offset = chunk.start + bytes.start as u64;
            let block = offset..offset + bytes.len() as u64;
            let is_zero = [full, short].contains(hash);
            let differs = match judge {
                Judge::Blind => !(is_zero && trusts_holes && lane.is_sink_hole(&block)),
                Judge::Manifest(known) => known.hashes[index(offset / BLOCK_BYTES)] != *hash,
                Judge::Compare => ours[bytes.clone()] != theirs[bytes],
            };
            match changes.last_mut() {
                _ if !differs => {}
                Some(last) if last.blocks.end == i && last.is_zero == is_zero => {
                    last.blocks.end = i + 1;
                }
                _ => changes.push(Change { blocks: i..i + 1, is_zero }),
            }
        }
        Ok(changes)
    }

    /// Writes a change and reads it back until the sink has what the source had; the bytes sent.
    fn write(
        &mut self,
        lane: &Lane<'_>,
        chunk: &Range<u64>,
        change: &Change,
        hashes: &[BlockHash],
    ) -> Result<u64, TransferError> {
        let from = change.blocks.start * index(BLOCK_BYTES);
        let to = len(chunk).min(change.blocks.end * index(BLOCK_BYTES));
        let (offset, bytes) = (chunk.start + from as u64, (to - from) as u64);
        let mut sent = 0;
        let mut wrong = 0;
        for _ in 0..WRITES_MAX {
            let written = if change.is_zero {
                lane.sink.zero_at(offset, bytes)
            } else {
                self.wait_for_room(bytes)?;
                sent += bytes;
                lane.sink.write_at(offset, &self.ours[from..to])
            };
            written.map_err(|error| write_error(lane.disk, offset, error))?;
            let theirs = &mut self.theirs[from..to];
            read_sink(lane, offset, theirs)?;
            match hashes_of(theirs).iter().zip(hashes).position(|(theirs, ours)| theirs != ours) {
                None => return Ok(sent),
                Some(block) => wrong = block as u64 * BLOCK_BYTES,
            }
        }
        Err(TransferError::Verify { disk: lane.disk, offset: offset + wrong, writes: WRITES_MAX })
    }

    /// The hashes of so many bytes of nothing.
    fn zero_hashes(&self, bytes: usize) -> Vec<BlockHash> {
        let block = index(BLOCK_BYTES);
        (0..bytes).step_by(block).map(|at| zero_hash(self.zero, block.min(bytes - at))).collect()
    }

    fn wait_for_room(&self, bytes: u64) -> Result<(), TransferError> {
        match self.limiter {
            Some(limiter) if !limiter.take(bytes, || self.watcher.cancelled()) => {
                Err(TransferError::Cancelled)
            }
            _ => Ok(()),
        }
    }
}

/// The hash of `bytes` of zeroes; `full` is that of a whole block, so that only a disk's last is hashed.
fn zero_hash(full: BlockHash, bytes: usize) -> BlockHash {
    if bytes as u64 == BLOCK_BYTES { full } else { block_hash(&vec![0; bytes]) }
}

fn hashes_of(bytes: &[u8]) -> Vec<BlockHash> {
    bytes.chunks(index(BLOCK_BYTES)).map(block_hash).collect()
}

fn read_sink(lane: &Lane<'_>, offset: u64, buffer: &mut [u8]) -> Result<(), TransferError> {
    lane.sink.read_at(offset, buffer).map_err(|error| TransferError::ReadBack {
        disk: lane.disk,
        offset,
        error,
    })
}

fn write_error(disk: usize, offset: u64, error: io::Error) -> TransferError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            TransferError::Full { disk, offset, error }
        }
        _ => TransferError::Write { disk, offset, error },
    }
}

fn len(range: &Range<u64>) -> usize {
    index(range.end - range.start)
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("BUG: fits into memory")
}
