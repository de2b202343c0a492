//! Snapshots by copying before writing: the old content of a place goes to the snapshot's own file, its
//! mark is set, then the place is overwritten. A reader reads the place, *then* the mark, then the copy
//! if the mark is set: what it read unmarked was still old. Taking a snapshot copies nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{RunId, SnapshotId, StepKey};
use crate::sites::Snapshot;
use crate::sites::files;
use crate::sites::lab::disk::{self, disk_path};
use crate::sites::lab::ledger::PLACE_BYTES;
use crate::transfer::blocks::BlockSource;

/// Most snapshots of a machine at once: every one makes every first write dearer.
pub(super) const SNAPSHOTS_MAX: usize = 64;

/// What is kept with a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What callers see.
    pub snapshot: Snapshot,
    /// Who took it.
    pub run: RunId,
    /// Under which key it is found again.
    pub key: StepKey,
    /// The point in change tracking that it is.
    pub tracking: Option<String>,
}

/// Makes the snapshot's folder, whole or not at all; nothing may write to the disks meanwhile.
pub(super) fn create(folder: &Path, kept: &Kept, disks: &[u64]) -> io::Result<()> {
    let home = home(folder, &kept.snapshot.id);
    let half = folder.join("snapshots").join(format!(".{}.half", kept.snapshot.id));
    sweep(folder)?;
    files::make_folder(&half)?;
    for (index, bytes) in disks.iter().enumerate() {
        File::create(copies(&half, index))?.set_len(*bytes)?;
        File::create(marks(&half, index))?.set_len(bytes.div_ceil(PLACE_BYTES))?;
    }
    files::save(&half.join("snapshot.json"), kept)?;
    std::fs::rename(&half, &home).map_err(files::at(&home))?;
    files::sync_parent(&home)
}

/// All snapshots, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Kept>> {
    let mut found = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| !is_half(path)) {
        found.extend(files::load::<Kept>(&path.join("snapshot.json"))?);
    }
    found.sort_by_key(|kept| (kept.snapshot.at, kept.key.clone()));
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder.join("snapshots")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

fn is_half(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// Clears what crashes left half made or half removed: nobody else will ever name it again.
fn sweep(folder: &Path) -> io::Result<()> {
    let mut left = entries(folder)?.into_iter().filter(|path| is_half(path));
    left.try_for_each(|path| files::remove_folder(&path))
}

/// One snapshot.
pub(super) fn find(folder: &Path, id: &SnapshotId) -> io::Result<Option<Kept>> {
    files::load(&home(folder, id).join("snapshot.json"))
}

/// Removes a snapshot; a half removed one is never seen.
pub(super) fn remove(folder: &Path, id: &SnapshotId) -> io::Result<()> {
    let gone = folder.join("snapshots").join(format!(".{id}.gone"));
    match std::fs::rename(home(folder, id), &gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sweep(folder),
    }
}

/// Removes every snapshot, and what crashes left of any.
pub(super) fn remove_all(folder: &Path) -> io::Result<()> {
    for kept in list(folder)? {
        remove(folder, &kept.snapshot.id)?;
    }
    sweep(folder)
}

/// The open snapshots of disks that are written to.
pub(super) struct Attached(Vec<Open>);

struct Open {
    id: SnapshotId,
    /// Per disk: copies, marks, and the marks in memory.
    disks: Vec<(File, File, Vec<u8>)>,
}

impl Attached {
    /// Opens every snapshot of the machine.
    pub(super) fn open(folder: &Path, disks: usize) -> io::Result<Attached> {
        let mut attached = Attached(Vec::new());
        for kept in list(folder)? {
            attached.attach(folder, &kept.snapshot.id, disks)?;
        }
        Ok(attached)
    }

    /// Keeps what the snapshot needs from now on.
    pub(super) fn attach(
        &mut self,
        folder: &Path,
        id: &SnapshotId,
        disks: usize,
    ) -> io::Result<()> {
        let home = home(folder, id);
        let open = |index| {
            let write = |path: PathBuf| {
                OpenOptions::new().read(true).write(true).open(&path).map_err(files::at(&path))
            };
            let marks = marks(&home, index);
            Ok((write(copies(&home, index))?, write(marks.clone())?, std::fs::read(marks)?))
        };
        let disks = (0..disks).map(open).collect::<io::Result<_>>()?;
        self.0.push(Open { id: id.clone(), disks });
        Ok(())
    }

    /// Keeps nothing more for it.
    pub(super) fn detach(&mut self, id: &SnapshotId) {
        self.0.retain(|open| open.id != *id);
    }

    /// Keeps what `len` bytes at `offset` of a disk are, before they are overwritten.
    pub(super) fn keep(
        &mut self,
        disk: usize,
        base: &File,
        offset: u64,
        len: u64,
    ) -> io::Result<()> {
        for open in &mut self.0 {
            let (copies, marks, marked) = &mut open.disks[disk];
            for place in offset / PLACE_BYTES..(offset + len).div_ceil(PLACE_BYTES) {
                let mark = &mut marked[usize::try_from(place).map_err(io::Error::other)?];
                if *mark == 0 {
                    // Another writer may have come this far: its copy is the older one.
                    marks.read_exact_at(std::slice::from_mut(mark), place)?;
                }
                if *mark == 0 {
                    let mut old = [0; PLACE_BYTES as usize];
                    base.read_exact_at(&mut old, place * PLACE_BYTES)?;
                    copies.write_all_at(&old, place * PLACE_BYTES)?;
                    marks.write_all_at(&[1], place)?;
                    *mark = 1;
                }
            }
        }
        Ok(())
    }
}

/// A disk as it was when the snapshot was taken.
pub(super) struct View {
    base: File,
    copies: File,
    marks: File,
    bytes: u64,
}

/// Opens a snapshot's disks.
pub(super) fn views(
    folder: &Path,
    id: &SnapshotId,
    disks: &[u64],
) -> io::Result<Vec<Arc<dyn BlockSource>>> {
    let home = home(folder, id);
    let open = |(index, bytes): (usize, &u64)| -> io::Result<Arc<dyn BlockSource>> {
        let read = |path: PathBuf| File::open(&path).map_err(files::at(&path));
        Ok(Arc::new(View {
            base: read(disk_path(folder, index))?,
            copies: read(copies(&home, index))?,
            marks: read(marks(&home, index))?,
            bytes: *bytes,
        }))
    };
    disks.iter().enumerate().map(open).collect()
}

impl BlockSource for View {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.base.read_exact_at(buffer, offset)?;
        let first = offset / PLACE_BYTES;
        let end = (offset + buffer.len() as u64).div_ceil(PLACE_BYTES);
        let mut marks = vec![0; usize::try_from(end - first).map_err(io::Error::other)?];
        self.marks.read_exact_at(&mut marks, first)?;
        for (place, _) in (first..).zip(&marks).filter(|(_, mark)| **mark != 0) {
            let from = (place * PLACE_BYTES).max(offset);
            let to = ((place + 1) * PLACE_BYTES).min(offset + buffer.len() as u64);
            let part = usize::try_from(from - offset).map_err(io::Error::other)?
                ..usize::try_from(to - offset).map_err(io::Error::other)?;
            self.copies.read_exact_at(&mut buffer[part], from)?;
        }
        Ok(())
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        // The base first: what is copied from it meanwhile is then in the copies.
        let base = disk::data_ranges(&self.base, self.bytes)?;
        let copies = disk::data_ranges(&self.copies, self.bytes)?;
        Ok(Some(disk::union(base, copies)))
    }
}

fn home(folder: &Path, id: &SnapshotId) -> PathBuf {
    folder.join("snapshots").join(id.as_str())
}

fn copies(home: &Path, disk: usize) -> PathBuf {
    home.join(format!("disk{disk}.copies"))
}

fn marks(home: &Path, disk: usize) -> PathBuf {
    home.join(format!("disk{disk}.marks"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const BYTES: u64 = 64 * PLACE_BYTES;

    fn kept(key: &str) -> Kept {
        let key = StepKey::new(key).unwrap();
        Kept {
            snapshot: Snapshot {
                id: SnapshotId::new(key.as_str()).unwrap(),
                generation: "c1".into(),
                at: crate::base::Timestamp::now(),
                bytes: BYTES,
            },
            run: RunId::new("r1").unwrap(),
            key,
            tracking: None,
        }
    }

    fn filled(folder: &Path) -> File {
        let mut options = OpenOptions::new();
        let disk =
            options.read(true).write(true).create_new(true).open(disk_path(folder, 0)).unwrap();
        disk.write_all_at(&vec![1; usize::try_from(BYTES).unwrap()], 0).unwrap();
        disk
    }

    #[test]
    fn a_view_stays_as_it_was_under_concurrent_writing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let disk = filled(folder);
        let kept = kept("k1");
        create(folder, &kept, &[BYTES]).unwrap();
        let view = views(folder, &kept.snapshot.id, &[BYTES]).unwrap().remove(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut attached = Attached::open(folder, 1).unwrap();
                for round in 2..40_u8 {
                    for place in 0..64 {
                        let offset = place * PLACE_BYTES;
                        attached.keep(0, &disk, offset, PLACE_BYTES).unwrap();
                        disk.write_all_at(&[round; PLACE_BYTES as usize], offset).unwrap();
                    }
                }
                done.store(true, Ordering::SeqCst);
            });
            let mut buffer = vec![0; usize::try_from(BYTES).unwrap() - 1000];
            let mut last = false;
            while !last {
                last = done.load(Ordering::SeqCst);
                view.read_at(500, &mut buffer).unwrap();
                assert!(buffer.iter().all(|byte| *byte == 1));
            }
        });
        assert_eq!(list(folder).unwrap(), std::slice::from_ref(&kept));
        remove(folder, &kept.snapshot.id).unwrap();
        remove(folder, &kept.snapshot.id).unwrap();
        assert_eq!(find(folder, &kept.snapshot.id).unwrap(), None);
    }

    #[test]
    fn what_a_crash_left_half_made_goes_with_the_next_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        filled(folder);
        let left = |name: &str| {
            let left = folder.join("snapshots").join(name);
            std::fs::create_dir_all(&left).unwrap();
            left
        };
        let (made, removed) = (left(".k0.half"), left(".k0.gone"));
        let next = kept("k1");
        create(folder, &next, &[BYTES]).unwrap();
        assert!(!made.exists() && !removed.exists());
        let made = left(".k2.half");
        remove(folder, &next.snapshot.id).unwrap();
        assert!(!made.exists());
        let removed = left(".k1.gone");
        remove_all(folder).unwrap();
        assert!(!removed.exists());
    }

    #[test]
    fn a_second_writer_goes_on_where_a_killed_one_was() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let disk = filled(folder);
        let kept = kept("k1");
        create(folder, &kept, &[BYTES]).unwrap();
        for content in [2, 3] {
            let mut attached = Attached::open(folder, 1).unwrap();
            attached.keep(0, &disk, 0, PLACE_BYTES).unwrap();
            disk.write_all_at(&[content; PLACE_BYTES as usize], 0).unwrap();
        }
        let view = views(folder, &kept.snapshot.id, &[BYTES]).unwrap().remove(0);
        let mut first = [0; 16];
        view.read_at(0, &mut first).unwrap();
        assert_eq!(first, [1; 16]);
    }

    #[test]
    fn of_two_open_writers_the_first_copy_of_a_place_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let disk = filled(folder);
        let kept = kept("k1");
        create(folder, &kept, &[BYTES]).unwrap();
        let writers = [Attached::open(folder, 1).unwrap(), Attached::open(folder, 1).unwrap()];
        for (content, mut writer) in (2..).zip(writers) {
            writer.keep(0, &disk, 0, PLACE_BYTES).unwrap();
            disk.write_all_at(&[content; PLACE_BYTES as usize], 0).unwrap();
        }
        let view = views(folder, &kept.snapshot.id, &[BYTES]).unwrap().remove(0);
        let mut first = [0; 16];
        view.read_at(0, &mut first).unwrap();
        assert_eq!(first, [1; 16]);
    }
}
