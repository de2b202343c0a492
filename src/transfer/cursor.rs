//! How far a transfer got, in a form that only the same transfer believes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::transfer::ranges::Position;

/// The first word of every cursor; another layout gets another one.
const VERSION: &str = "homing-cursor-1";

/// What has been done, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) bytes_scanned: u64,
    pub(super) bytes_sent: u64,
    pub(super) blocks_changed: u64,
}

impl Figures {
    pub(super) fn add(&mut self, more: Figures) {
        self.bytes_scanned += more.bytes_scanned;
        self.bytes_sent += more.bytes_sent;
        self.blocks_changed += more.blocks_changed;
    }
}

/// Of what a cursor is the cursor: everything that decides which ranges are moved, and from what.
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// `disks`: each one's size and, when only these are looked at, its changed ranges.
    pub(super) fn of<'a>(
        identity: &str,
        mode: &str,
        disks: impl Iterator<Item = (u64, Option<&'a [Range<u64>]>)>,
    ) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_derive_key(VERSION);
        let number = |hasher: &mut blake3::Hasher, number: u64| {
            hasher.update(&number.to_le_bytes());
        };
        for text in [identity, mode] {
            number(&mut hasher, text.len() as u64);
            hasher.update(text.as_bytes());
        }
        for (bytes, changed) in disks {
            number(&mut hasher, bytes);
            number(&mut hasher, changed.map_or(u64::MAX, |ranges| ranges.len() as u64));
            for range in changed.unwrap_or_default() {
                number(&mut hasher, range.start);
                number(&mut hasher, range.end);
            }
        }
        Fingerprint(*hasher.finalize().as_bytes())
    }
}

/// A durable position. All before it is verified on the sink, flushed, and in the figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Everything before it is done.
    pub(super) at: Position,
    /// A flush failed: up to here the sink's memory may say what its disk does not hold.
    pub(super) doubtful_to: Position,
    /// Another transfer touched the sink before: neither its manifest nor change tracking hold.
    pub(super) compare_all: bool,
    /// Of all attempts, up to `at`.
    pub(super) figures: Figures,
    /// Of all attempts.
    pub(super) seconds: f64,
}

impl Cursor {
    /// The bytes to keep: one line with the seal, one with what a person may want to read.
    pub(super) fn seal(&self, of: &Fingerprint) -> Vec<u8> {
        let body = serde_json::to_string(self).expect("BUG: a cursor is plain data");
        format!("{VERSION} {}\n{body}", seal(of, &body)).into_bytes()
    }

    /// Reads it back; `None` unless it is whole, of this version and of exactly this transfer.
    pub(super) fn open(bytes: &[u8], of: &Fingerprint) -> Option<Cursor> {
        let (head, body) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        let (version, sealed) = head.split_once(' ')?;
        let fits = version == VERSION && sealed == seal(of, body);
        fits.then(|| serde_json::from_str(body).ok()).flatten()
    }
}

/// Keyed with the fingerprint: one hash says that it is undamaged and that it is ours.
fn seal(of: &Fingerprint, body: &str) -> String {
    blake3::keyed_hash(&of.0, body.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(identity: &str, changed: Option<&[Range<u64>]>) -> Fingerprint {
        Fingerprint::of(identity, "delta", [(1 << 20, changed)].into_iter())
    }

    #[test]
    fn a_cursor_opens_for_its_own_transfer_only() {
        let cursor =
            Cursor { at: Position { disk: 1, offset: 65536 }, seconds: 1.5, ..Cursor::default() };
        let bytes = cursor.seal(&fingerprint("g1", None));
        assert_eq!(Cursor::open(&bytes, &fingerprint("g1", None)), Some(cursor));
        for other in [fingerprint("g2", None), fingerprint("g1", Some(&[0..65536, 131072..196608]))]
        {
            assert_eq!(Cursor::open(&bytes, &other), None);
        }
    }

    #[test]
    fn a_cursor_with_any_byte_changed_is_none() {
        let of = fingerprint("g1", None);
        let bytes = Cursor::default().seal(&of);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Cursor::open(&bad, &of), None, "byte {at}");
            assert_eq!(Cursor::open(&bytes[..at], &of), None, "cut at {at}");
        }
    }
}
