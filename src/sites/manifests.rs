//! A replica's manifests, kept beside its disks: believed with the same generation only.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sites::files;
use crate::transfer::blocks::Manifest;

/// `manifests.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of the replica, when they were kept.
    generation: String,
    /// One per disk.
    manifests: Vec<Manifest>,
}

/// Keeps them, durably, as those of a replica of this generation.
pub(in crate::sites) fn save(
    folder: &Path,
    generation: &str,
    manifests: &[Manifest],
) -> io::Result<()> {
    let kept = Kept { generation: generation.to_owned(), manifests: manifests.to_vec() };
    files::save(&path(folder), &kept)
}

/// Those that were kept of this generation.
pub(in crate::sites) fn load(folder: &Path, generation: &str) -> io::Result<Option<Vec<Manifest>>> {
    let kept: Option<Kept> = files::load(&path(folder))?;
    Ok(kept.filter(|kept| kept.generation == generation).map(|kept| kept.manifests))
}

/// Forgets them, durably.
pub(in crate::sites) fn forget(folder: &Path) -> io::Result<()> {
    files::remove(&path(folder))
}

fn path(folder: &Path) -> PathBuf {
    folder.join("manifests.json")
}
