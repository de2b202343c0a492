//! Serving the disks of a machine that has no process, for as long as somebody reads or writes them.
//!
//! The daemon holds QEMU's locks on the files: nobody boots a machine from under a transfer. A crash of
//! homing leaves it behind; whoever comes next ends it.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::run::failure::Failure;
use crate::sites::files::io;
use crate::sites::qemu::line::{self, Access, node};
use crate::sites::qemu::monitor::Monitor;
use crate::sites::qemu::nbd::{Export, NbdDisk};
use crate::sites::qemu::process::{self, Role};
use crate::sites::qemu::settings::Format;
use crate::sites::qemu::{seal, tools};
use crate::transfer::blocks::{BlockSink, BlockSource};

/// Connections to one disk: as many as a transfer has workers, and one to spare.
const CONNECTIONS: usize = 4;

/// A daemon of this process; it ends with the last who uses it.
pub(super) struct Served {
    folder: PathBuf,
    /// The files of its disks.
    files: Vec<PathBuf>,
    access: Access,
}

type All = BTreeMap<PathBuf, Weak<Served>>;

static SERVED: Mutex<All> = Mutex::new(BTreeMap::new());

impl Served {
    /// Serves the disks in a machine's folder; whoever opens them alike in this process shares the daemon.
    ///
    /// # Errors
    /// Refused H346 when another program has one of them open.
    pub(super) fn open(
        folder: &Path,
        files: Vec<PathBuf>,
        format: Format,
        access: Access,
    ) -> Result<Arc<Served>, Failure> {
        // Before the guard: should this be the last of it, it ends after the guard is gone.
        let found: Option<Arc<Served>>;
        let mut all = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, served| served.strong_count() > 0);
        found = all.get(folder).and_then(Weak::upgrade);
        if let Some(served) = &found
            && served.access == access
            && process::is_alive(folder, Role::Disks)?
        {
            return Ok(Arc::clone(served));
        }
        // One that a dead process left, or that writes for an attempt that was given up.
        process::end(folder, Role::Disks)?;
        let args = line::daemon(files.len(), format, access);
        process::start(Path::new(tools::STORAGE_DAEMON), &args, folder, Role::Disks)?;
        let served = Arc::new(Served { folder: folder.to_owned(), files, access });
        Monitor::open(folder, Role::Disks)?.serve()?;
        all.insert(folder.to_owned(), Arc::downgrade(&served));
        Ok(served)
    }

    /// To talk to it.
    ///
    /// # Errors
    /// Transient, when it does not answer.
    pub(super) fn monitor(&self) -> Result<Monitor, Failure> {
        Monitor::open(&self.folder, Role::Disks)
    }
}

/// All disks of a daemon, opened.
///
/// # Errors
/// When one cannot be.
pub(super) fn disks(served: &Arc<Served>, count: usize) -> Result<Vec<Lent>, Failure> {
    let mut monitor = served.monitor()?;
    let open = |disk| {
        let node = node(disk);
        let export = monitor.export(&node, &node, served.access == Access::Write, None)?;
        lend(export, Some(Arc::clone(served)))
    };
    (0..count).map(open).collect()
}

/// Opens an export; `served` lives at least as long.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn lend(export: Export, served: Option<Arc<Served>>) -> Result<Lent, Failure> {
    Ok(Lent { disk: io(NbdDisk::open(export, CONNECTIONS))?, _served: served })
}

impl Drop for Served {
    fn drop(&mut self) {
        let all = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
        let is_replaced = all.get(&self.folder).is_some_and(|served| served.strong_count() > 0);
        if is_replaced {
            return;
        }
        // Should it live on, whoever opens these disks next ends it; without a seal nobody trusts them.
        let ended = process::end(&self.folder, Role::Disks);
        if ended.is_ok() && self.access == Access::Write {
            drop(seal::put(&self.folder, &self.files));
        }
    }
}

/// A served disk.
pub(super) struct Lent {
    disk: NbdDisk,
    /// `None`: the machine's own process serves it.
    _served: Option<Arc<Served>>,
}

impl BlockSource for Lent {
    fn bytes(&self) -> u64 {
        self.disk.bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read_at(offset, buffer)
    }

    fn data_ranges(&self) -> io::Result<Option<Vec<Range<u64>>>> {
        self.disk.data_ranges()
    }
}

impl BlockSink for Lent {
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write_at(offset, data)
    }

    fn zero_at(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.zero_at(offset, len)
    }

    fn flush(&self) -> io::Result<()> {
        self.disk.flush()
    }
}
