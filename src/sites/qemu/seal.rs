//! Seals: how the disk files of a machine that is off looked when homing let go of them.
//!
//! A file that looks otherwise was written by somebody else: what homing knows of it, the generation above
//! all, is no longer so. The seal is broken before any process opens the disks to write, and put on when the
//! process that did has ended in order; so of disks without one nobody knows who wrote to them last.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sites::files;

/// In a machine's folder.
const SEAL: &str = "seal.json";

/// How these files look now, as one text.
///
/// # Errors
/// When one of them cannot be looked at.
pub(super) fn look(files: &[PathBuf]) -> io::Result<String> {
    let mut seal = blake3::Hasher::new();
    for path in files {
        let found = std::fs::metadata(path).map_err(files::at(path))?;
        for number in [found.ino(), found.len()] {
            seal.update(&number.to_le_bytes());
        }
        for number in [found.mtime(), found.mtime_nsec()] {
            seal.update(&number.to_le_bytes());
        }
    }
    Ok(seal.finalize().to_hex()[..16].to_owned())
}

/// Puts the seal on, durably.
pub(super) fn put(folder: &Path, files: &[PathBuf]) -> io::Result<()> {
    files::save(&folder.join(SEAL), &look(files)?)
}

/// Breaks it, durably.
pub(super) fn lift(folder: &Path) -> io::Result<()> {
    files::remove(&folder.join(SEAL))
}

/// The seal that was put on; `None`: there is none.
pub(super) fn on(folder: &Path) -> io::Result<Option<String>> {
    files::load(&folder.join(SEAL))
}

/// The generation of disks that were `generation`, and that somebody else made look like `seen`.
pub(super) fn written(generation: &str, seen: &str) -> String {
    let base = generation.split('+').next().unwrap_or(generation);
    let hash = blake3::hash(format!("{generation} {seen}").as_bytes()).to_hex();
    format!("{base}+{}", &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_a_replaced_and_a_longer_file_look_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk0.raw");
        let all = [disk.clone()];
        std::fs::write(&disk, "one").unwrap();
        put(folder.path(), &all).unwrap();
        let sealed = on(folder.path()).unwrap().unwrap();
        assert_eq!(look(&all).unwrap(), sealed);
        let copy = folder.path().join("copy");
        std::fs::write(&copy, "one").unwrap();
        std::fs::rename(&copy, &disk).unwrap();
        let replaced = look(&all).unwrap();
        assert_ne!(replaced, sealed);
        std::fs::write(&disk, "four").unwrap();
        assert_ne!(look(&all).unwrap(), replaced);
        lift(folder.path()).unwrap();
        assert_eq!(on(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_generation_stays_short_however_often_others_write() {
        let once = written("cloud-1", "a");
        let twice = written(&once, "b");
        assert!(once.starts_with("cloud-1+") && once.len() == twice.len() && once != twice);
        assert_eq!(written("cloud-1", "a"), once, "whoever looks sees the same");
    }
}
