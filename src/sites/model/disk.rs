//! A disk as its blocks' versions: small whatever its size, and yet really read, compared and written.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::transfer::blocks::{BLOCK_BYTES, BlockSink, BlockSource};

/// Blocks that a disk has in the model; its size in the inventory counts for estimates alone.
pub(super) const BLOCKS: u64 = 16;
const BLOCK: usize = BLOCK_BYTES as usize;
/// What no machine ever writes: half of one block and half of another.
const TORN: u64 = u64::MAX;

/// By block, which write it holds; a block that is missing was never written.
pub(super) type Content = BTreeMap<u64, u64>;

/// A disk that is written: what was flushed, and what a power loss would take.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    flushed: Content,
    /// `None`: zeroed.
    unflushed: BTreeMap<u64, Option<u64>>,
}

impl Disk {
    pub fn of(content: Content) -> Disk {
        Disk { flushed: content, unflushed: BTreeMap::new() }
    }

    /// As a reader sees it.
    pub fn content(&self) -> Content {
        let mut content = self.flushed.clone();
        for (block, version) in &self.unflushed {
            match version {
                Some(version) => content.insert(*block, *version),
                None => content.remove(block),
            };
        }
        content
    }

    /// A machine's own write, durable when it is told so.
    pub fn write(&mut self, block: u64, version: u64) {
        self.flushed.insert(block, version);
    }

    fn put(&mut self, block: u64, version: u64) {
        self.unflushed.insert(block, Some(version).filter(|version| *version != 0));
    }

    fn version(&self, block: u64) -> u64 {
        match self.unflushed.get(&block) {
            Some(version) => version.unwrap_or(0),
            None => self.flushed.get(&block).copied().unwrap_or(0),
        }
    }

    fn flush(&mut self) {
        self.flushed = self.content();
        self.unflushed.clear();
    }

    /// The power went: of what was not flushed, every `nth` block was not written after all.
    pub fn lose_power(&mut self, nth: u64) {
        self.unflushed.retain(|block, _| block % nth.max(1) != 0);
        self.flush();
    }
}

/// The bytes of a version of a block: told apart from any other at both ends and in between.
fn render(version: u64, block: &mut [u8]) {
    let word = version.to_le_bytes();
    block.fill(word.iter().fold(0, |sum, byte| sum ^ byte));
    block[..8].copy_from_slice(&word);
    block[BLOCK - 8..].copy_from_slice(&word);
}

/// The version that these bytes are.
fn parse(block: &[u8]) -> u64 {
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("BUG: eight bytes"));
    let (first, last) = (word(&block[..8]), word(&block[BLOCK - 8..]));
    if first == last { first } else { TORN }
}

fn read(version: impl Fn(u64) -> u64, offset: u64, buffer: &mut [u8]) {
    let mut block_bytes = vec![0; BLOCK];
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let inside = (at % BLOCK_BYTES) as usize;
        let len = rest.len().min(BLOCK - inside);
        render(version(at / BLOCK_BYTES), &mut block_bytes);
        let (now, later) = rest.split_at_mut(len);
        now.copy_from_slice(&block_bytes[inside..inside + len]);
        rest = later;
        at += len as u64;
    }
}

fn ranges(content: &Content) -> Vec<Range<u64>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    for start in content.keys().map(|block| block * BLOCK_BYTES) {
        match found.last_mut() {
            Some(before) if before.end == start => before.end += BLOCK_BYTES,
            _ => found.push(start..start + BLOCK_BYTES),
        }
    }
    found
}

/// Asked before every block that is read (`false`) or written (`true`): may it be?
pub(super) type Gatekeeper = Arc<dyn Fn(bool) -> io::Result<()> + Send + Sync>;

/// A disk at one moment.
pub(super) struct Still {
    pub content: Content,
    pub gate: Gatekeeper,
}

impl BlockSource for Still {
    fn bytes(&self) -> u64 {
        BLOCKS * BLOCK_BYTES
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (self.gate)(false)?;
        read(|block| self.content.get(&block).copied().unwrap_or(0), offset, buffer);
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        Ok(Some(ranges(&self.content)))
    }
}

/// A disk that is brought up to another one.
pub(super) struct Written {
    pub disk: Arc<Mutex<Disk>>,
    pub gate: Gatekeeper,
}

impl Written {
    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockSource for Written {
    fn bytes(&self) -> u64 {
        BLOCKS * BLOCK_BYTES
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (self.gate)(false)?;
        let disk = self.disk();
        read(|block| disk.version(block), offset, buffer);
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        Ok(Some(ranges(&self.disk().content())))
    }
}

impl BlockSink for Written {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut at = offset;
        let mut rest = data;
        let mut block_bytes = vec![0; BLOCK];
        while !rest.is_empty() {
            (self.gate)(true)?;
            let mut disk = self.disk();
            let inside = (at % BLOCK_BYTES) as usize;
            let len = rest.len().min(BLOCK - inside);
            render(disk.version(at / BLOCK_BYTES), &mut block_bytes);
            block_bytes[inside..inside + len].copy_from_slice(&rest[..len]);
            disk.put(at / BLOCK_BYTES, parse(&block_bytes));
            rest = &rest[len..];
            at += len as u64;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        let bytes = usize::try_from(len).map_err(io::Error::other)?;
        self.write_at(offset, &vec![0; bytes])
    }

    fn flush(&self) -> io::Result<()> {
        (self.gate)(true)?;
        self.disk().flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Gatekeeper {
        Arc::new(|_| Ok(()))
    }

    #[test]
    fn what_is_copied_is_the_same_version_and_half_a_copy_is_none() {
        let source = Still { content: [(3, 77), (4, 78)].into(), gate: open() };
        let disk = Arc::new(Mutex::new(Disk::default()));
        let sink = Written { disk: disk.clone(), gate: open() };
        let mut bytes = vec![0; 2 * BLOCK];
        source.read_at(3 * BLOCK_BYTES, &mut bytes).unwrap();
        sink.write_at(3 * BLOCK_BYTES, &bytes).unwrap();
        assert_eq!(disk.lock().unwrap().content(), source.content);
        assert_eq!(source.data_ranges().unwrap(), sink.data_ranges().unwrap());
        sink.write_at(4 * BLOCK_BYTES, &bytes[..BLOCK / 2]).unwrap();
        assert_eq!(disk.lock().unwrap().content()[&4], TORN);
    }

    #[test]
    fn a_power_loss_takes_what_was_not_flushed() {
        let disk = Arc::new(Mutex::new(Disk::of([(0, 1), (1, 1)].into())));
        let sink = Written { disk: disk.clone(), gate: open() };
        let mut bytes = vec![0; BLOCK];
        render(2, &mut bytes);
        sink.write_at(0, &bytes).unwrap();
        sink.flush().unwrap();
        sink.zero_at(BLOCK_BYTES, BLOCK_BYTES).unwrap();
        assert_eq!(disk.lock().unwrap().content(), Content::from([(0, 2)]));
        disk.lock().unwrap().lose_power(1);
        assert_eq!(disk.lock().unwrap().content(), Content::from([(0, 2), (1, 1)]));
    }
}
