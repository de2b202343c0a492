//! Disks as raw sparse files: read, written, and brought up to a source.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use crate::sites::files;
use crate::sites::guarded::{Guarded, Permit};
use crate::sites::lab::cow::Attached;
use crate::sites::lab::tracking::Tracker;
use crate::transfer::blocks::{BlockSink, BlockSource};

/// The file of a disk in a machine's folder.
pub(super) fn disk_path(folder: &Path, disk: usize) -> PathBuf {
    folder.join(format!("disk{disk}.raw"))
}

/// A disk that nobody writes to.
pub(super) struct Still {
    file: File,
    bytes: u64,
}

impl Still {
    /// Opens one disk.
    pub(super) fn open(folder: &Path, disk: usize, bytes: u64) -> io::Result<Still> {
        let path = disk_path(folder, disk);
        let file = File::open(&path).map_err(files::at(&path))?;
        let found = file.metadata()?.len();
        if found != bytes {
            let message = format!("it has {found} bytes, not {bytes}");
            return Err(files::at(&path)(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(Still { file, bytes })
    }

    /// Opens all disks.
    pub(super) fn open_all(folder: &Path, disks: &[u64]) -> io::Result<Vec<Arc<dyn BlockSource>>> {
        let open = |(disk, bytes): (usize, &u64)| -> io::Result<Arc<dyn BlockSource>> {
            Ok(Arc::new(Still::open(folder, disk, *bytes)?))
        };
        disks.iter().enumerate().map(open).collect()
    }
}

impl BlockSource for Still {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        data_ranges(&self.file, self.bytes).map(Some)
    }
}

/// Disks that are written to: before every write, snapshots keep what was there and tracking is told.
pub(super) struct Written {
    files: Vec<File>,
    disks: Vec<u64>,
    before: Mutex<Before>,
}

/// What happens before a write.
pub(super) struct Before {
    /// Open snapshots.
    pub snapshots: Attached,
    /// Change tracking, when it is on.
    pub tracker: Option<Tracker>,
}

impl Written {
    /// Opens all disks of a machine for writing.
    pub(super) fn open(
        folder: &Path,
        disks: &[u64],
        tracker: Option<Tracker>,
    ) -> io::Result<Written> {
        let open = |disk| {
            let path = disk_path(folder, disk);
            OpenOptions::new().read(true).write(true).open(&path).map_err(files::at(&path))
        };
        let snapshots = Attached::open(folder, disks.len())?;
        Ok(Written {
            files: (0..disks.len()).map(open).collect::<io::Result<_>>()?,
            disks: disks.to_vec(),
            before: Mutex::new(Before { snapshots, tracker }),
        })
    }

    /// What happens before writes, while nothing is written.
    pub(super) fn before(&self) -> std::sync::MutexGuard<'_, Before> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, disk: usize, offset: u64, len: u64) -> io::Result<()> {
        if offset + len > self.disks[disk] {
            let message = format!("{len} bytes at {offset} are past the end of disk {disk}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut before = self.before();
        before.snapshots.keep(disk, &self.files[disk], offset, len)?;
        match &mut before.tracker {
            Some(tracker) => tracker.touch(disk, offset, len),
            None => Ok(()),
        }
    }

    /// Writes to one disk.
    pub(super) fn write(&self, disk: usize, offset: u64, data: &[u8]) -> io::Result<()> {
        self.prepare(disk, offset, data.len() as u64)?;
        self.files[disk].write_all_at(data, offset)
    }

    /// Makes a range of one disk zeroes, as a hole where the file system can.
    fn zero(&self, disk: usize, offset: u64, len: u64) -> io::Result<()> {
        self.prepare(disk, offset, len)?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.files[disk], hole, offset, len) {
            Err(Errno::OPNOTSUPP) => write_zeroes(&self.files[disk], offset, len),
            other => other.map_err(io::Error::from),
        }
    }
}

fn write_zeroes(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let zeroes = [0; 64 << 10];
    let mut done = 0;
    while done < len {
        let part = zeroes.len().min(usize::try_from(len - done).unwrap_or(usize::MAX));
        file.write_all_at(&zeroes[..part], offset + done)?;
        done += part as u64;
    }
    Ok(())
}

/// The disks of a replica, each written only while `permit` says so.
pub(super) fn replicas(written: Written, permit: &Permit) -> Vec<Arc<dyn BlockSink>> {
    let written = Arc::new(written);
    let disks = (0..written.disks.len()).map(|disk| -> Arc<dyn BlockSink> {
        let sink = Replica { written: Arc::clone(&written), disk };
        Arc::new(Guarded { sink, permit: Arc::clone(permit) })
    });
    disks.collect()
}

/// One disk of a replica.
struct Replica {
    /// All disks of the machine.
    written: Arc<Written>,
    /// Which.
    disk: usize,
}

impl BlockSource for Replica {
    fn bytes(&self) -> u64 {
        self.written.disks[self.disk]
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.written.files[self.disk].read_exact_at(buffer, offset)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        data_ranges(&self.written.files[self.disk], self.bytes()).map(Some)
    }
}

impl BlockSink for Replica {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written.write(self.disk, offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.written.zero(self.disk, offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.written.files[self.disk].sync_data()
    }
}

/// The ranges of a file that are no holes.
pub(super) fn data_ranges(file: &File, bytes: u64) -> io::Result<Vec<Range<u64>>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(bytes);
        found.push(start..end);
        at = end;
    }
    Ok(found)
}

/// Both lists of ranges as one, sorted and disjoint.
pub(super) fn union(a: Vec<Range<u64>>, b: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut all: Vec<_> = a.into_iter().chain(b).collect();
    all.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(before) if before.end >= range.start => before.end = before.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_unite_sorted_and_disjoint() {
        assert_eq!(union(vec![0..4, 8..10], vec![3..6, 10..12, 20..21]), [0..6, 8..12, 20..21]);
    }

    #[test]
    fn a_replica_is_written_within_its_bounds() {
        let folder = tempfile::tempdir().unwrap();
        File::create(disk_path(folder.path(), 0)).unwrap().set_len(1 << 20).unwrap();
        let written = Arc::new(Written::open(folder.path(), &[1 << 20], None).unwrap());
        let open = Replica { written, disk: 0 };
        open.write_at(4096, &[7; 4096]).unwrap();
        assert_eq!(open.data_ranges().unwrap().unwrap().len(), 1);
        open.zero_at(4096, 4096).unwrap();
        let mut read = [1; 4096];
        open.read_at(4096, &mut read).unwrap();
        assert_eq!(read, [0; 4096]);
        assert!(open.write_at(1 << 20, &[1]).is_err(), "past the end");
    }
}
