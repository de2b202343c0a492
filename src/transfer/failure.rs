//! Why a transfer ended early, and what the engine may do about it.

use std::io;

use crate::run::failure::Failure;

/// Why a transfer ended early. Disks count from 0, offsets are bytes from a disk's beginning.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// Nothing was read or written.
    #[error("disk {disk}: the source has {source_bytes} bytes, the sink {sink_bytes}")]
    Size {
        /// Which.
        disk: usize,
        /// The source's size.
        source_bytes: u64,
        /// The sink's size.
        sink_bytes: u64,
    },
    /// The source could not be read, or asked for its ranges.
    #[error("disk {disk}: cannot read the source at byte {offset}: {error}")]
    Read {
        /// Which.
        disk: usize,
        /// Where.
        offset: u64,
        /// Why.
        error: io::Error,
    },
    /// The sink could not be read, to compare or to verify, or asked for its ranges.
    #[error("disk {disk}: cannot read the sink at byte {offset}: {error}")]
    ReadBack {
        /// Which.
        disk: usize,
        /// Where.
        offset: u64,
        /// Why.
        error: io::Error,
    },
    /// The sink could not be written.
    #[error("disk {disk}: cannot write the sink at byte {offset}: {error}")]
    Write {
        /// Which.
        disk: usize,
        /// Where.
        offset: u64,
        /// Why.
        error: io::Error,
    },
    /// The sink has no room left, or may not grow.
    #[error("disk {disk}: no room left on the sink, at byte {offset}: {error}")]
    Full {
        /// Which.
        disk: usize,
        /// Where.
        offset: u64,
        /// What the system calls it.
        error: io::Error,
    },
    /// What was written may not survive a power loss. The cursor remembers it, so that a resumed transfer
    /// writes it again; a transfer without that cursor would compare with what only memory may hold.
    #[error(
        "disk {disk}: the sink could not make durable what was written after byte {offset}: {error}"
    )]
    Flush {
        /// Which.
        disk: usize,
        /// How far the saved cursor is.
        offset: u64,
        /// Why.
        error: io::Error,
    },
    /// The sink keeps answering with something else than it was given.
    #[error(
        "disk {disk}: what was written at byte {offset} reads back differently, {writes} times"
    )]
    Verify {
        /// Which.
        disk: usize,
        /// The first block that differs.
        offset: u64,
        /// How often it was written.
        writes: u32,
    },
    /// The watcher said so. What was moved is checkpointed.
    #[error("stopped at a safe point")]
    Cancelled,
    /// The cursor could not be kept.
    #[error("disk {disk}: the checkpoint at byte {offset} could not be saved: {failure}")]
    Save {
        /// Which.
        disk: usize,
        /// Where.
        offset: u64,
        /// Why.
        failure: Failure,
    },
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Failure {
        let message = error.to_string();
        match error {
            TransferError::Cancelled => Failure::cancelled(),
            TransferError::Save { failure, .. } => Failure { message, ..failure },
            TransferError::Full { .. } => Failure::permanent(message)
                .help("make room where the replica's disks are (or lift the limit: `ulimit -f`, a quota), then retry the step: it goes on from its last checkpoint; until it has verified nothing boots from the replica"),
            TransferError::Size { .. } => Failure::permanent(message)
                .help("the replica's disks must have the sizes that the inventory gives them"),
            TransferError::Verify { .. } => Failure::permanent(message)
                .help("the target does not keep what it is given: check its storage and memory, then retry the step; until it has verified nothing boots from the replica"),
            TransferError::Read { .. } => Failure::transient(message)
                .help("see to the storage that the source's disks are on, then retry the step; until it has verified nothing boots from the replica"),
            TransferError::ReadBack { .. }
            | TransferError::Write { .. }
            | TransferError::Flush { .. } => Failure::transient(message)
                .help("see to the storage that the replica's disks are on, then retry the step; until it has verified nothing boots from the replica"),
            TransferError::Thread(_) => Failure::transient(message),
        }
    }
}
