//! Plain files and block devices as sources and sinks.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::Errno;

use crate::transfer::blocks::{BlockSink, BlockSource};

/// Zeroes are written in pieces of this size where no hole can be punched.
static ZEROES: [u8; 256 << 10] = [0; 256 << 10];

/// A file that is read. It is opened read-only: no fault of ours can change a source.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    bytes: u64,
}

impl FileSource {
    /// Opens `path`; its size from now on is the size it has now.
    ///
    /// # Errors
    /// When it cannot be opened for reading.
    pub fn open(path: &Path) -> io::Result<FileSource> {
        FileSource::of(File::open(path)?)
    }

    fn of(file: File) -> io::Result<FileSource> {
        // Not the metadata's length: that is zero for a block device.
        let bytes = seek(&file, SeekFrom::End(0))?;
        Ok(FileSource { file, bytes })
    }
}

impl BlockSource for FileSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut at = 0;
        while at < self.bytes {
            let start = match seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let end = seek(&self.file, SeekFrom::Hole(start))?;
            ranges.push(start..end.min(self.bytes));
            at = end;
        }
        Ok(Some(ranges))
    }
}

/// A file that is brought up to a source.
#[derive(Debug)]
pub struct FileSink {
    inner: FileSource,
}

impl FileSink {
    /// Opens an existing `path` for reading and writing.
    ///
    /// # Errors
    /// When it cannot be opened so.
    pub fn open(path: &Path) -> io::Result<FileSink> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(FileSink { inner: FileSource::of(file)? })
    }

    /// Creates `path`, which must not exist, as `bytes` of hole.
    ///
    /// # Errors
    /// When it exists or cannot be created. Making the folder's entry durable is the caller's business.
    pub fn create(path: &Path, bytes: u64) -> io::Result<FileSink> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(bytes)?;
        Ok(FileSink { inner: FileSource { file, bytes } })
    }

    fn inside(&self, offset: u64, len: u64) -> io::Result<()> {
        // A file would silently grow.
        match offset.checked_add(len) {
            Some(end) if end <= self.inner.bytes => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "beyond the disk's end")),
        }
    }
}

impl BlockSource for FileSink {
    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buffer)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        self.inner.data_ranges()
    }
}

impl BlockSink for FileSink {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inside(offset, data.len() as u64)?;
        self.inner.file.write_all_at(data, offset)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.inside(offset, len)?;
        if len == 0 {
            return Ok(());
        }
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.inner.file, punch, offset, len) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::INVAL) => {
                write_zeroes(&self.inner.file, offset..offset + len)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn flush(&self) -> io::Result<()> {
        self.inner.file.sync_data()
    }
}

fn write_zeroes(file: &File, range: Range<u64>) -> io::Result<()> {
    for at in range.clone().step_by(ZEROES.len()) {
        let len = (range.end - at).min(ZEROES.len() as u64);
        file.write_all_at(&ZEROES[..usize::try_from(len).expect("BUG: a short slice")], at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1 << 20;

    #[test]
    fn a_created_sink_is_a_hole_and_punching_makes_one_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let sink = FileSink::create(&path, 5 * M).unwrap();
        assert_eq!(sink.data_ranges().unwrap(), Some(vec![]));
        for at in [M, 3 * M] {
            sink.write_at(at, &vec![7; M as usize]).unwrap();
        }
        sink.flush().unwrap();
        assert_eq!(sink.data_ranges().unwrap(), Some(vec![M..2 * M, 3 * M..4 * M]));
        sink.zero_at(M, M / 2).unwrap();
        let mut read = vec![1; M as usize];
        FileSource::open(&path).unwrap().read_at(M, &mut read).unwrap();
        assert!(read[..M as usize / 2].iter().all(|byte| *byte == 0));
        assert!(read[M as usize / 2..].iter().all(|byte| *byte == 7));
        assert!(FileSink::create(&path, M).is_err(), "never over something that exists");
    }

    #[test]
    fn zeroes_are_written_where_no_hole_can_be_punched() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &vec![9; M as usize]).unwrap();
        write_zeroes(&file, 100..M - 100).unwrap();
        let mut read = vec![1; M as usize];
        file.read_exact_at(&mut read, 0).unwrap();
        let zeroes = read.iter().filter(|byte| **byte == 0).count() as u64;
        assert_eq!((zeroes, read[99], read[(M - 100) as usize]), (M - 200, 9, 9));
    }

    #[test]
    fn a_sink_never_grows_and_a_source_is_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let sink = FileSink::create(&path, M).unwrap();
        assert!(sink.write_at(M - 1, &[1, 2]).is_err());
        assert!(sink.zero_at(u64::MAX, 2).is_err());
        let source = FileSource::open(&path).unwrap();
        assert!(source.file.write_at(&[1], 0).is_err());
    }
}
