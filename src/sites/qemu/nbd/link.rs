//! One NBD connection, with one request at a time.
//!
//! In: requests. Out: their answers, each within the connection's patience. Refuses to know: other
//! connections, and what the export is for.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::sites::qemu::nbd::hello::{self, Terms, number, readable, strange};
use crate::sites::qemu::socket::Wire;

const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECT: u16 = 2;
const FLUSH: u16 = 3;
const WRITE_ZEROES: u16 = 6;
const BLOCK_STATUS: u16 = 7;

const PART_IS_LAST: u16 = 1;
const PART_NONE: u16 = 0;
const PART_DATA: u16 = 1;
const PART_HOLE: u16 = 2;
const PART_STATUS: u16 = 5;
/// A bit that all kinds of errors have.
const PART_ERROR: u16 = 1 << 15;

/// Longest list of extents in one answer, bytes: QEMU's own limit.
const STATUS_BYTES_MAX: u32 = 4 + (1 << 20);
/// Longest error, bytes: two numbers and a text of at most 4096 bytes, with room to spare.
const ERROR_BYTES_MAX: u32 = 8 << 10;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server said no; the connection is as good as before.
    Refused(io::Error),
    /// The connection is lost, or nothing that comes from it can be believed any more.
    Broken(io::Error),
}

impl Trouble {
    /// What it was, whatever became of the connection.
    pub(super) fn error(self) -> io::Error {
        match self {
            Trouble::Refused(error) | Trouble::Broken(error) => error,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Broken(error)
    }
}

/// A stretch of an export: its bytes, and the flags that a context has for it.
pub(super) type Extent = (u32, u32);

/// A connection to an export.
#[derive(Debug)]
pub(super) struct Link {
    wire: BufReader<Wire>,
    terms: Terms,
    context: Option<u32>,
    /// Longest that one request may take.
    pub(super) patience: Duration,
    /// Of the last request.
    cookie: u64,
}

impl Link {
    /// Connects to the export called `name`; `context` is what [`Link::status`] answers.
    ///
    /// # Errors
    /// As [`Wire::dial`]; `NotFound` also when the server has no such export; `TimedOut` also when it
    /// serves others and has no place for one more.
    pub(super) fn open(
        socket: &Path,
        name: &str,
        context: &str,
        patience: Duration,
    ) -> io::Result<Link> {
        let mut wire = BufReader::new(Wire::dial(socket, Instant::now() + patience)?);
        let (terms, context) = hello::greet(&mut wire, name, context)?;
        Ok(Link { wire, terms, context, patience, cookie: 0 })
    }

    /// What the export is.
    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether the server offers the context.
    pub(super) fn has_context(&self) -> bool {
        self.context.is_some()
    }

    /// The server's process.
    ///
    /// # Errors
    /// As [`Wire::peer`].
    pub(super) fn peer(&self) -> io::Result<Pid> {
        self.wire.get_ref().peer()
    }

    /// Fills `buffer` from `offset`.
    pub(super) fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), Trouble> {
        self.ask(READ, offset, length(buffer), &[])?;
        let mut filled = 0;
        // QEMU sends the parts of an answer in their order, so that none can be missing unseen.
        self.answer(|wire, kind, len| {
            let head = if kind == PART_HOLE { 12 } else { 8 };
            if kind != PART_DATA && kind != PART_HOLE || len < head {
                return Err(strange(&format!("a part of kind {kind} in the answer to a read")));
            }
            let at = number(wire).map(u64::from_be_bytes)?;
            let bytes = match kind {
                PART_HOLE => number(wire).map(u32::from_be_bytes)?,
                _ => len - head,
            };
            let rest = &mut buffer[filled..];
            let fits = bytes > 0 && bytes as usize <= rest.len();
            if !fits || at != offset + filled as u64 || kind == PART_HOLE && len != head {
                return Err(strange(&format!("{bytes} bytes at {at} that were not asked for")));
            }
            let part = &mut rest[..bytes as usize];
            filled += part.len();
            if kind == PART_HOLE {
                part.fill(0);
                return Ok(());
            }
            wire.read_exact(part)
        })?;
        if filled < buffer.len() {
            return Err(strange("a read that was answered in part").into());
        }
        Ok(())
    }

    /// Writes all of `data` at `offset`.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Trouble> {
        self.ask(WRITE, offset, length(data), data)?;
        self.answer(no_content)
    }

    /// Makes a range read as zeroes; it may become a hole.
    pub(super) fn zero(&mut self, offset: u64, len: u32) -> Result<(), Trouble> {
        self.ask(WRITE_ZEROES, offset, len, &[])?;
        self.answer(no_content)
    }

    /// Makes durable what was written.
    pub(super) fn flush(&mut self) -> Result<(), Trouble> {
        self.ask(FLUSH, 0, 0, &[])?;
        self.answer(no_content)
    }

    /// The extents from `offset` on, at least one and none empty; the server may tell of less than `len`
    /// bytes, or of more.
    pub(super) fn status(&mut self, offset: u64, len: u32) -> Result<Vec<Extent>, Trouble> {
        self.ask(BLOCK_STATUS, offset, len, &[])?;
        let context = self.context;
        let mut extents = Vec::new();
        self.answer(|wire, kind, len| {
            let is_list = kind == PART_STATUS && len <= STATUS_BYTES_MAX && len % 8 == 4;
            if !is_list || !extents.is_empty() {
                return Err(strange(&format!("a part of kind {kind} in the answer to a status")));
            }
            if Some(number(wire).map(u32::from_be_bytes)?) != context {
                return Err(strange("the status of another context"));
            }
            for _ in 0..len / 8 {
                let bytes = number(wire).map(u32::from_be_bytes)?;
                extents.push((bytes, number(wire).map(u32::from_be_bytes)?));
            }
            Ok(())
        })?;
        if extents.is_empty() || extents.iter().any(|(bytes, _)| *bytes == 0) {
            return Err(strange("a status of nothing").into());
        }
        Ok(extents)
    }

    /// Says goodbye, and does not wait for anything.
    pub(super) fn close(mut self) {
        // The server sees the end of the connection in any case.
        drop(self.ask(DISCONNECT, 0, 0, &[]));
    }

    fn ask(&mut self, command: u16, offset: u64, len: u32, data: &[u8]) -> io::Result<()> {
        self.cookie += 1;
        let mut head = Vec::with_capacity(28);
        head.extend(REQUEST_MAGIC.to_be_bytes());
        head.extend(0u16.to_be_bytes());
        head.extend(command.to_be_bytes());
        head.extend(self.cookie.to_be_bytes());
        head.extend(offset.to_be_bytes());
        head.extend(len.to_be_bytes());
        let wire = self.wire.get_mut();
        wire.until(Instant::now() + self.patience);
        wire.write_all(&head)?;
        wire.write_all(data)
    }

    /// Reads the answer to the last request; `content` takes each part of it that is no error.
    fn answer(
        &mut self,
        mut content: impl FnMut(&mut BufReader<Wire>, u16, u32) -> io::Result<()>,
    ) -> Result<(), Trouble> {
        let mut refused = None;
        // Ends: each part has content that was asked for, or is the last one, or the time is up.
        loop {
            let magic = number(&mut self.wire).map(u32::from_be_bytes)?;
            if magic == SIMPLE_REPLY_MAGIC {
                let error = number(&mut self.wire).map(u32::from_be_bytes)?;
                self.check_cookie()?;
                if error != 0 {
                    refused = Some(refusal(error, ""));
                }
                break;
            }
            if magic != STRUCTURED_REPLY_MAGIC {
                return Err(strange("no reply begins like this").into());
            }
            let flags = number(&mut self.wire).map(u16::from_be_bytes)?;
            let kind = number(&mut self.wire).map(u16::from_be_bytes)?;
            self.check_cookie()?;
            let len = number(&mut self.wire).map(u32::from_be_bytes)?;
            if kind & PART_ERROR != 0 {
                refused = Some(self.error(len)?);
            } else if kind != PART_NONE {
                content(&mut self.wire, kind, len)?;
            } else if len != 0 || flags & PART_IS_LAST == 0 {
                return Err(strange("a part of nothing").into());
            }
            if flags & PART_IS_LAST != 0 {
                break;
            }
        }
        refused.map_or(Ok(()), |error| Err(Trouble::Refused(error)))
    }

    fn check_cookie(&mut self) -> io::Result<()> {
        if number(&mut self.wire).map(u64::from_be_bytes)? == self.cookie {
            Ok(())
        } else {
            Err(strange("the answer to another request"))
        }
    }

    fn error(&mut self, len: u32) -> io::Result<io::Error> {
        if !(6..=ERROR_BYTES_MAX).contains(&len) {
            return Err(strange(&format!("an error of {len} bytes")));
        }
        let mut part = vec![0; len as usize];
        self.wire.read_exact(&mut part)?;
        let mut rest = &part[..];
        let error = number(&mut rest).map(u32::from_be_bytes)?;
        let words = usize::from(number(&mut rest).map(u16::from_be_bytes)?);
        let Some(words) = rest.get(..words) else {
            return Err(strange("an error that is longer than it is"));
        };
        Ok(refusal(error, &readable(words)))
    }
}

fn no_content(_: &mut BufReader<Wire>, kind: u16, _: u32) -> io::Result<()> {
    Err(strange(&format!("a part of kind {kind} where nothing was asked for")))
}

fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("BUG: requests are split")
}

/// What the server says no with. The numbers are the protocol's, whatever the server's system is.
fn refusal(error: u32, words: &str) -> io::Error {
    let (kind, meaning) = match error {
        1 => (ErrorKind::PermissionDenied, "it must not be written"),
        5 => (ErrorKind::Other, "input/output error"),
        12 => (ErrorKind::OutOfMemory, "out of memory"),
        22 => (ErrorKind::InvalidInput, "not a request it can carry out"),
        28 => (ErrorKind::StorageFull, "no space left for it"),
        75 => (ErrorKind::InvalidInput, "too much at once"),
        95 => (ErrorKind::Unsupported, "not supported"),
        108 => (ErrorKind::ConnectionAborted, "the server is shutting down"),
        _ => (ErrorKind::Other, "an error"),
    };
    let separator = if words.is_empty() { "" } else { ": " };
    io::Error::new(kind, format!("{meaning} (NBD error {error}){separator}{words}"))
}
