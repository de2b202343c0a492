//! The hash chain: each record is hashed over the one before it, the first over the run and its plan.
//!
//! It shows that something was edited. It cannot show that the end was cut off by somebody who also
//! turned the head back; so reports print the head.

use blake3::Hasher;

use crate::base::RunId;

/// A link of the chain.
pub(super) type Link = [u8; 32];

/// Changes whenever the encoding does.
const VERSION: &str = "homing-journal-1";

/// The link before the first record: the run and exactly what it executes.
pub(super) fn origin(run: &RunId, plan_id: &str, digest: &str, plan: &str) -> Link {
    let mut hasher = Hasher::new();
    for text in [VERSION, run.as_str(), plan_id, digest, plan] {
        part(&mut hasher, text.as_bytes());
    }
    hasher.finalize().into()
}

/// The link of one record.
pub(super) fn next(before: &Link, seq: u64, body: &str) -> Link {
    let mut hasher = Hasher::new();
    hasher.update(before);
    hasher.update(&seq.to_le_bytes());
    part(&mut hasher, body.as_bytes());
    hasher.finalize().into()
}

/// As it is stored and printed.
pub(super) fn hex(link: &Link) -> String {
    blake3::Hash::from_bytes(*link).to_hex().to_string()
}

/// Read back; `None`: it is no link.
pub(super) fn of_hex(text: &str) -> Option<Link> {
    blake3::Hash::from_hex(text).ok().map(Into::into)
}

fn part(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
