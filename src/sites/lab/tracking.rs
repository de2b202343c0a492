//! Change tracking: for every block of 64 KiB the epoch in which it was last written.
//!
//! A point in time is `<id>.<epoch>`: everything written later has a higher epoch, because a snapshot
//! and a boot each begin a new one. Asking what changed since a point takes nothing away, so a transfer
//! that failed asks again; the id of the sync that a machine booted from is the point 0. The epoch of a
//! block is written before the block, so a killed guest has told of every write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::SyncId;
use crate::sites::Changes;
use crate::sites::files;
use crate::transfer::blocks::BLOCK_BYTES;

/// The id of the change tracking that a created machine has.
pub(super) const FIRST_TRACKING: &str = "first";

/// `tracking.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    /// Another one means: other disks.
    id: String,
    /// The sync whose state the disks were in at epoch 0.
    base: Option<SyncId>,
    /// Blocks written now get this epoch.
    epoch: u32,
}

/// The tracking of a machine that runs.
pub(super) struct Tracker {
    folder: PathBuf,
    point: Point,
    maps: Vec<File>,
    last: Vec<Vec<u32>>,
}

/// Begins to track disks that are in the state `base`; whatever was tracked before is void.
pub(super) fn begin(
    folder: &Path,
    id: &str,
    base: Option<SyncId>,
    disks: &[u64],
) -> io::Result<()> {
    forget(folder)?;
    for (disk, bytes) in disks.iter().enumerate() {
        let path = map_path(folder, disk);
        let map = File::create(&path).map_err(files::at(&path))?;
        map.set_len(bytes.div_ceil(BLOCK_BYTES) * 4)?;
        map.sync_all()?;
    }
    files::save(&point_path(folder), &Point { id: id.to_owned(), base, epoch: 0 })
}

/// Stops tracking: nobody knows any more what changed.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    files::remove(&point_path(folder))
}

/// The point in time of the disks of a machine that is off.
pub(super) fn token(folder: &Path) -> io::Result<Option<String>> {
    let point: Option<Point> = files::load(&point_path(folder))?;
    Ok(point.map(|point| format!("{}.{}", point.id, point.epoch)))
}

/// What changed since a point; `None` when that point is unknown.
pub(super) fn changes(
    folder: &Path,
    since: &str,
    disks: &[u64],
) -> io::Result<Option<Vec<Changes>>> {
    let Some(point) = files::load::<Point>(&point_path(folder))? else { return Ok(None) };
    let epoch = match since.rsplit_once('.') {
        Some((id, epoch)) if id == point.id => epoch.parse().ok(),
        _ => None,
    };
    let is_base = point.base.as_ref().is_some_and(|base| base.as_str() == since);
    let Some(epoch) = epoch.or(is_base.then_some(0)) else { return Ok(None) };
    if epoch > point.epoch {
        return Ok(None);
    }
    let changed = disks.iter().enumerate().map(|(disk, bytes)| {
        let map = read_map(&map_path(folder, disk), *bytes)?;
        Ok(ranges(&map, epoch, *bytes))
    });
    changed.collect::<io::Result<Vec<Changes>>>().map(Some)
}

impl Tracker {
    /// Opens the tracking of a machine that is about to run, in a new epoch.
    pub(super) fn open(folder: &Path, disks: &[u64]) -> io::Result<Option<Tracker>> {
        let Some(point) = files::load::<Point>(&point_path(folder))? else { return Ok(None) };
        let mut maps = Vec::new();
        let mut last = Vec::new();
        for (disk, bytes) in disks.iter().enumerate() {
            let path = map_path(folder, disk);
            maps.push(OpenOptions::new().write(true).open(&path).map_err(files::at(&path))?);
            last.push(read_map(&path, *bytes)?);
        }
        let mut tracker = Tracker { folder: folder.to_owned(), point, maps, last };
        tracker.next()?;
        Ok(Some(tracker))
    }

    /// Ends the epoch: the point in time that was.
    pub(super) fn next(&mut self) -> io::Result<String> {
        let ended = format!("{}.{}", self.point.id, self.point.epoch);
        let next = Point { epoch: self.point.epoch + 1, ..self.point.clone() };
        files::save(&point_path(&self.folder), &next)?;
        self.point = next;
        Ok(ended)
    }

    /// Notes that a range is about to be written.
    pub(super) fn touch(&mut self, disk: usize, offset: u64, len: u64) -> io::Result<()> {
        for block in offset / BLOCK_BYTES..(offset + len).div_ceil(BLOCK_BYTES) {
            let last = &mut self.last[disk][usize::try_from(block).map_err(io::Error::other)?];
            if *last != self.point.epoch {
                self.maps[disk].write_all_at(&self.point.epoch.to_le_bytes(), block * 4)?;
                *last = self.point.epoch;
            }
        }
        Ok(())
    }
}

fn point_path(folder: &Path) -> PathBuf {
    folder.join("tracking.json")
}

fn map_path(folder: &Path, disk: usize) -> PathBuf {
    folder.join(format!("disk{disk}.epochs"))
}

fn read_map(path: &Path, bytes: u64) -> io::Result<Vec<u32>> {
    let map = std::fs::read(path).map_err(files::at(path))?;
    let blocks = bytes.div_ceil(BLOCK_BYTES);
    if map.len() as u64 != blocks * 4 {
        let message = format!("{} bytes for {blocks} blocks", map.len());
        return Err(files::at(path)(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    let words = map.as_chunks::<4>().0;
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

fn ranges(map: &[u32], since: u32, bytes: u64) -> Changes {
    let mut found: Changes = Vec::new();
    for (block, _) in map.iter().enumerate().filter(|(_, epoch)| **epoch > since) {
        let start = block as u64 * BLOCK_BYTES;
        let end = (start + BLOCK_BYTES).min(bytes);
        match found.last_mut() {
            Some(before) if before.end == start => before.end = end,
            _ => found.push(start..end),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISKS: [u64; 1] = [1 << 20];
    const B: u64 = BLOCK_BYTES;

    #[test]
    fn every_write_is_told_after_a_crash_and_asking_takes_nothing_away() {
        let folder = tempfile::tempdir().unwrap();
        let sync = SyncId::new("sync-1").unwrap();
        begin(folder.path(), "t", Some(sync), &DISKS).unwrap();
        let mut tracker = Tracker::open(folder.path(), &DISKS).unwrap().unwrap();
        tracker.touch(0, 4096, 4096).unwrap();
        let point = tracker.next().unwrap();
        tracker.touch(0, 2 * B - 1, 2).unwrap();
        drop(tracker); // as a kill would

        let since = |token: &str| changes(folder.path(), token, &DISKS).unwrap();
        for _ in 0..2 {
            assert_eq!(since(&point), Some(vec![vec![B..3 * B]]));
            assert_eq!(since("sync-1"), Some(vec![vec![0..3 * B]]));
        }
        let now = token(folder.path()).unwrap().unwrap();
        assert_eq!(since(&now), Some(vec![vec![]]), "nothing since the machine went off");
        Tracker::open(folder.path(), &DISKS).unwrap().unwrap().touch(0, 0, 1).unwrap();
        assert_eq!(since(&now), Some(vec![vec![0..B]]), "a boot begins a new epoch");
    }

    #[test]
    fn an_unknown_point_is_not_an_empty_answer() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(changes(folder.path(), "t.0", &DISKS).unwrap(), None);
        begin(folder.path(), "t", None, &DISKS).unwrap();
        for unknown in ["other.0", "t.9", "t.", "sync-1", ""] {
            assert_eq!(changes(folder.path(), unknown, &DISKS).unwrap(), None, "{unknown}");
        }
        assert!(changes(folder.path(), "t.0", &DISKS).unwrap().is_some());
        forget(folder.path()).unwrap();
        assert_eq!(changes(folder.path(), "t.0", &DISKS).unwrap(), None);
    }
}
