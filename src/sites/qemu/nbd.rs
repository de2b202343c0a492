//! NBD: a disk that a QEMU process exports, as a source and a sink of blocks. Blocking.
//!
//! In: an export's socket and name. Out: a disk that many threads read and write. Refuses to know:
//! machines, and how the export came to be.
//!
//! **Connections** are opened when a thread finds none idle, up to a limit, and have one request each.
//! A server that does not promise that a flush covers what other connections wrote gets one connection.
//!
//! **A lost connection** of a disk that can be written is the disk's end: what the server confirmed but
//! did not flush may be lost with it, and another server on the same socket would flush without that. So
//! every later call fails, and whoever opens the disk again knows that nothing unflushed is to be
//! believed. A disk that is only read connects anew, to the same process.

mod hello;
mod link;

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Pid;

use crate::sites::qemu::nbd::hello::Terms;
use crate::sites::qemu::nbd::link::{Extent, Link, Trouble};
use crate::transfer::blocks::{BLOCK_BYTES, BlockSink, BlockSource};

/// Longest that one request, or the making of a connection, may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of one read or write: a server's own limit may be lower.
const REQUEST_BYTES: u32 = 32 << 20;
/// Most bytes of one request to zero: where no hole can be made, so many zeroes are written in the time
/// of one request.
const ZERO_BYTES: u64 = 128 << 20;
/// Most bytes of one question for extents.
const STATUS_BYTES: u64 = 1 << 30;
/// Most questions for the extents of one disk: enough for a PiB.
const QUESTIONS_MAX: usize = 1 << 20;
/// Most ranges that are made of the answers, 16 bytes each; a test need not fill 256 MiB to see it.
const RANGES_MAX: usize = if cfg!(test) { 1 << 12 } else { 1 << 24 };

/// The context that says where data is, and its flag for what reads as zeroes.
const ALLOCATION: &str = "base:allocation";
const ALLOCATION_ZERO: u32 = 1 << 1;
/// The context that a bitmap has, and its flag for what was written.
const DIRTY_BITMAP: &str = "qemu:dirty-bitmap:";
const DIRTY: u32 = 1;

/// Where an exported disk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Export {
    /// The server's unix socket, a path of any length.
    pub(super) socket: PathBuf,
    /// The export's name at that server.
    pub(super) name: String,
}

impl Export {
    /// The blocks that the export's dirty bitmap called `bitmap` covers, sorted, disjoint, as large as
    /// they can be; whole blocks of [`BLOCK_BYTES`], but for the disk's end. `None` when the export has
    /// no such bitmap: then anything may have changed. Takes one connection more than the disks have.
    ///
    /// # Errors
    /// As [`NbdDisk::open`].
    pub(super) fn dirty_ranges(&self, bitmap: &str) -> io::Result<Option<Vec<Range<u64>>>> {
        let context = format!("{DIRTY_BITMAP}{bitmap}");
        let mut link = self.link(&context, PATIENCE).map_err(|error| self.named(&error))?;
        if !link.has_context() {
            link.close();
            return Ok(None);
        }
        let bytes = link.terms().bytes;
        let ask = |offset, len| link.status(offset, len);
        let ranges = list(bytes, ask, |flags| flags & DIRTY != 0);
        let ranges = ranges.map_err(|trouble| self.named(&trouble.error()))?;
        link.close();
        Ok(ranges)
    }

    fn link(&self, context: &str, patience: Duration) -> io::Result<Link> {
        Link::open(&self.socket, &self.name, context, patience)
    }

    fn named(&self, error: &io::Error) -> io::Error {
        let message = format!("export `{}` at {}: {error}", self.name, self.socket.display());
        io::Error::new(error.kind(), message)
    }
}

/// A disk behind an export.
#[derive(Debug)]
pub(super) struct NbdDisk {
    export: Export,
    patience: Duration,
    terms: Terms,
    server: Pid,
    /// The server says where data is.
    has_map: bool,
    connections_max: usize,
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Link>,
    /// Idle or in use or being made.
    open: usize,
    /// One was lost that may have written.
    lost: bool,
}

impl NbdDisk {
    /// Opens the export, for writing too when the server allows that, with at most `connections` (one at
    /// least): no more than the server takes at once, or threads wait in vain for one more.
    ///
    /// # Errors
    /// All errors name the export. `NotFound`: no such socket or export; `ConnectionRefused`: nobody
    /// listens; `TimedOut`: the server does not answer within 60 s; `InvalidData`: it is no NBD server.
    pub(super) fn open(export: Export, connections: usize) -> io::Result<NbdDisk> {
        NbdDisk::open_within(export, connections, PATIENCE)
    }

    fn open_within(export: Export, connections: usize, patience: Duration) -> io::Result<NbdDisk> {
        let link = export.link(ALLOCATION, patience).map_err(|error| export.named(&error))?;
        let terms = *link.terms();
        Ok(NbdDisk {
            patience,
            terms,
            server: link.peer().map_err(|error| export.named(&error))?,
            has_map: link.has_context(),
            connections_max: if terms.can_multi_conn() { connections.max(1) } else { 1 },
            pool: Mutex::new(Pool { idle: vec![link], open: 1, lost: false }),
            freed: Condvar::new(),
            export,
        })
    }

    /// Does one request on a connection of its own.
    fn request<T>(&self, act: impl FnOnce(&mut Link) -> Result<T, Trouble>) -> io::Result<T> {
        let mut link = self.take()?;
        let done = act(&mut link);
        self.give_back(if matches!(done, Err(Trouble::Broken(_))) { None } else { Some(link) });
        done.map_err(|trouble| self.export.named(&trouble.error()))
    }

    fn take(&self) -> io::Result<Link> {
        let mut pool = self.pool();
        loop {
            if pool.lost {
                let message = "a connection was lost before: open the disk again";
                let error = io::Error::new(ErrorKind::ConnectionAborted, message);
                return Err(self.export.named(&error));
            }
            if let Some(link) = pool.idle.pop() {
                return Ok(link);
            }
            if pool.open < self.connections_max {
                pool.open += 1;
                break;
            }
            // Every connection in use comes back within the time of a request.
            pool = self.freed.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        drop(pool);
        self.connect().map_err(|error| {
            self.give_back(None);
            self.export.named(&error)
        })
    }

    fn connect(&self) -> io::Result<Link> {
        let link = self.export.link(ALLOCATION, self.patience)?;
        let is_same = (link.peer()?, *link.terms()) == (self.server, self.terms);
        if !is_same || link.has_context() != self.has_map {
            let message = "it is not the disk that it was when it was opened";
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        Ok(link)
    }

    /// Returns a connection for the next request; `None`: it was lost.
    fn give_back(&self, link: Option<Link>) {
        let mut pool = self.pool();
        match link {
            Some(link) => pool.idle.push(link),
            None => {
                pool.open -= 1;
                pool.lost |= !self.terms.is_read_only();
            }
        }
        drop(pool);
        // All: one may have to learn that there is nothing to wait for.
        self.freed.notify_all();
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inside(&self, offset: u64, len: u64) -> io::Result<()> {
        let min = u64::from(self.terms.block_min);
        let end = offset.checked_add(len).filter(|end| *end <= self.terms.bytes);
        let message = if end.is_none() {
            "beyond the disk's end".to_owned()
        } else if !offset.is_multiple_of(min) || !len.is_multiple_of(min) {
            format!("{len} bytes at {offset} are not whole blocks of {min} bytes")
        } else {
            return Ok(());
        };
        Err(self.export.named(&io::Error::new(ErrorKind::InvalidInput, message)))
    }

    fn may_write(&self, offset: u64, len: u64) -> io::Result<()> {
        if self.terms.is_read_only() {
            let error = io::Error::new(ErrorKind::PermissionDenied, "it is exported read-only");
            return Err(self.export.named(&error));
        }
        self.inside(offset, len)
    }

    /// Most bytes of one request, a multiple of the smallest block.
    fn request_bytes(&self) -> usize {
        let Terms { block_min, block_max, .. } = self.terms;
        let bytes = block_max.min(REQUEST_BYTES);
        (bytes - bytes % block_min) as usize
    }

    fn unsupported(&self, what: &str) -> io::Error {
        self.export.named(&io::Error::new(ErrorKind::Unsupported, format!("it cannot {what}")))
    }
}

impl BlockSource for NbdDisk {
    fn bytes(&self) -> u64 {
        self.terms.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inside(offset, buffer.len() as u64)?;
        let mut at = offset;
        for piece in buffer.chunks_mut(self.request_bytes()) {
            self.request(|link| link.read(at, piece))?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        if !self.has_map {
            return Ok(None);
        }
        let ask = |offset, len| self.request(|link| link.status(offset, len));
        // What is not allocated may still read as what lies below it.
        list(self.terms.bytes, ask, |flags| flags & ALLOCATION_ZERO == 0)
    }
}

impl BlockSink for NbdDisk {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.may_write(offset, data.len() as u64)?;
        let mut at = offset;
        for piece in data.chunks(self.request_bytes()) {
            self.request(|link| link.write(at, piece))?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.may_write(offset, len)?;
        if !self.terms.can_zero() {
            return Err(self.unsupported("zero ranges"));
        }
        let end = offset + len;
        let mut at = offset;
        while at < end {
            let bytes = (end - at).min(ZERO_BYTES);
            let piece = u32::try_from(bytes).expect("BUG: a piece is short");
            self.request(|link| link.zero(at, piece))?;
            at += bytes;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        if self.terms.is_read_only() {
            return Ok(());
        }
        if !self.terms.can_flush() {
            return Err(self.unsupported("make writes durable"));
        }
        self.request(Link::flush)
    }
}

impl Drop for NbdDisk {
    fn drop(&mut self) {
        let pool = self.pool.get_mut().unwrap_or_else(PoisonError::into_inner);
        pool.idle.drain(..).for_each(Link::close);
    }
}

/// The whole blocks of a disk that extents with such flags touch, in ranges as large as can be. `None`:
/// the list has no end, or is too long to be of use.
fn list<E>(
    bytes: u64,
    mut ask: impl FnMut(u64, u32) -> Result<Vec<Extent>, E>,
    counts: impl Fn(u32) -> bool,
) -> Result<Option<Vec<Range<u64>>>, E> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    for _ in 0..QUESTIONS_MAX {
        if at == bytes {
            return Ok(Some(ranges));
        }
        let len = u32::try_from((bytes - at).min(STATUS_BYTES)).expect("BUG: a piece is short");
        for (len, flags) in ask(at, len)? {
            let end = (at + u64::from(len)).min(bytes);
            if at < end && counts(flags) {
                let start = at - at % BLOCK_BYTES;
                let end = end.next_multiple_of(BLOCK_BYTES).min(bytes);
                match ranges.last_mut() {
                    Some(last) if start <= last.end => last.end = last.end.max(end),
                    _ => ranges.push(start..end),
                }
            }
            at = end;
        }
        if ranges.len() > RANGES_MAX {
            break;
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
