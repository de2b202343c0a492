//! A replica's disk that is written only while it may be.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::transfer::blocks::{BlockSink, BlockSource};

/// Asked before every write to a replica: may this run still write?
pub(in crate::sites) type Permit = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// A sink behind a permit.
pub(in crate::sites) struct Guarded<S> {
    /// What is written.
    pub sink: S,
    /// The fence.
    pub permit: Permit,
}

impl<S: BlockSource> BlockSource for Guarded<S> {
    fn bytes(&self) -> u64 {
        self.sink.bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.sink.read_at(offset, buffer)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        self.sink.data_ranges()
    }
}

impl<S: BlockSink> BlockSink for Guarded<S> {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        (self.permit)()?;
        self.sink.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        (self.permit)()?;
        self.sink.zero_at(offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::file::FileSink;

    #[test]
    fn it_is_written_only_while_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let sink = FileSink::create(&path, 1 << 20).unwrap();
        let open = Guarded { sink, permit: Arc::new(|| Ok(())) };
        open.write_at(4096, &[7; 4096]).unwrap();
        let permit: Permit = Arc::new(|| Err(io::Error::other("fenced")));
        let shut = Guarded { sink: FileSink::open(&path).unwrap(), permit };
        assert!(shut.write_at(0, &[1]).is_err() && shut.zero_at(4096, 4096).is_err());
        let mut read = [1; 8192];
        shut.read_at(0, &mut read).unwrap();
        assert!(read[..4096].iter().all(|byte| *byte == 0), "nothing was written");
        assert!(read[4096..].iter().all(|byte| *byte == 7), "nothing was zeroed");
    }
}
