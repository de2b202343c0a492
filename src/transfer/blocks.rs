//! What a transfer reads from and writes to. Blocking by design: transfers run on their own threads.

use std::io;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Bytes per block: the unit of comparing, of manifests and of change tracking.
pub const BLOCK_BYTES: u64 = 64 << 10;

/// A disk at one moment, read at any place by many threads.
pub trait BlockSource: Send + Sync {
    /// The disk's size, a multiple of 4096.
    fn bytes(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// When any of it cannot be read; the buffer is worthless then.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The ranges that may hold anything but zeroes, sorted and disjoint; `None` when unknown.
    ///
    /// # Errors
    /// When the source cannot be asked.
    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        Ok(None)
    }
}

/// A disk that is brought up to a source. Also read: to compare and to verify.
pub trait BlockSink: BlockSource {
    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// When any of it cannot be written, `StorageFull` when there is no room.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes `len` bytes at `offset` read as zeroes, giving their room back where it can.
    ///
    /// # Errors
    /// As `write_at`.
    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Returns once everything written so far would survive a power loss.
    ///
    /// # Errors
    /// When it may not: the transfer must then not trust any of it.
    fn flush(&self) -> io::Result<()>;
}

/// The hash of every block of a disk, as a verified transfer left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The disk's size.
    pub bytes: u64,
    /// BLAKE3 of each block of [`BLOCK_BYTES`], first 16 bytes; the last block may be short.
    pub hashes: Vec<BlockHash>,
}

/// The hash of one block as a [`Manifest`] holds it: the first 16 bytes of its BLAKE3.
pub type BlockHash = [u8; 16];

/// Hashes one block.
pub fn block_hash(block: &[u8]) -> BlockHash {
    let mut short = BlockHash::default();
    short.copy_from_slice(&blake3::hash(block).as_bytes()[..16]);
    short
}

impl Manifest {
    /// Whether it can be the manifest of a disk of `bytes`.
    pub fn fits(&self, bytes: u64) -> bool {
        self.bytes == bytes && self.hashes.len() as u64 == bytes.div_ceil(BLOCK_BYTES)
    }
}
