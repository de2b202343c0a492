//! What a provider supplies to the suite, and what the suite makes of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use homing::base::Side;
use homing::plan::inventory::Inventory;
use homing::sites::practice::Practice;
use homing::sites::registry::{self, Tools};
use tokio::runtime::Runtime;

/// The machine of every ground.
pub const MACHINE: &str = "web-01";

/// A fresh practice ground of one provider. Dropping it ends every process that it started.
pub trait Ground {
    /// Whether this computer has what it needs; `false`: that was said, and its tests do nothing.
    fn is_here() -> bool
    where
        Self: Sized,
    {
        true
    }

    /// Makes one, in a temporary folder of its own that holds `homing.toml`, with the machine
    /// [`MACHINE`]: by `Practice::init` it runs in the cloud and writes all the while, and a stale replica
    /// lies on-prem. It is not encrypted. Two disks are better than one, two hosts better than one; small
    /// disks keep the suite quick.
    fn new() -> Self
    where
        Self: Sized;

    /// The folder that its inventory is in.
    fn folder(&self) -> &Utf8Path;

    /// How many processes run the machine on that side now, isolated copies of it apart. Asked of the
    /// computer, not of the provider: it is what `look` is held against.
    fn guests(&self, side: Side) -> usize;

    /// Cuts the connection to that side, for sites opened from now on; `false`: there is nothing to cut.
    fn disconnect(&self, side: Side) -> bool;

    /// Mends what [`Ground::disconnect`] cut.
    fn reconnect(&self, side: Side);

    /// Writes to the first disk of that side's machine, which is off, as a stranger would: behind the
    /// back of homing.
    fn write_behind(&self, side: Side, offset: u64, data: &[u8]);

    /// Whether the provider promises to see such a write.
    fn sees_strangers(&self) -> bool;

    /// At how many moments each operation is killed, spread over the time that it takes. Any of them must be
    /// right: a quick ground affords more.
    fn moments(&self) -> u32 {
        4
    }

    /// The names of all files that a finished operation leaves behind. A provider whose files come and go
    /// by themselves leaves those out.
    fn files(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        walk(self.folder().as_std_path(), &mut found);
        found
    }

    /// Whether a snapshot outlives the machine's process and its next boot. Where it does not, nothing can be
    /// read of it then.
    fn snapshots_survive(&self) -> bool {
        true
    }

    /// The inventory file.
    fn file(&self) -> Utf8PathBuf {
        self.folder().join("homing.toml")
    }
}

/// The names of all files of a ground.
pub fn walked(ground: &dyn Ground) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    walk(ground.folder().as_std_path(), &mut found);
    found
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    // What vanishes meanwhile is not there.
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        }
        found.insert(path);
    }
}

/// Fails unless the same files are there.
#[track_caller]
pub fn same_files(before: &BTreeSet<PathBuf>, after: &BTreeSet<PathBuf>, what: &str) {
    let made: Vec<_> = after.difference(before).collect();
    let gone: Vec<_> = before.difference(after).collect();
    assert!(made.is_empty() && gone.is_empty(), "{what}: made {made:#?}, gone {gone:#?}");
}

/// Reads an inventory file.
pub fn inventory(file: &Utf8Path) -> Inventory {
    let loaded = homing::config::load(file);
    loaded.inventory.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

/// What providers are opened with.
pub fn tools() -> Tools {
    Tools { exe: env!("CARGO_BIN_EXE_homing").into() }
}

/// The practice of a ground.
pub fn practice(file: &Utf8Path) -> Box<dyn Practice> {
    registry::practice(&inventory(file), &tools()).expect("a practice ground")
}

/// Longest that any one call may take: a real guest boots within it on a busy computer.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Waits for one call; one that hangs fails the test.
pub async fn within<T>(what: &str, call: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(LIMIT, call).await;
    ended.unwrap_or_else(|_| panic!("{what} did not end within {LIMIT:?}"))
}

/// Does a check's work. A call that hangs does not keep the test from failing.
pub fn work<T>(work: impl Future<Output = T>) -> T {
    /// Leaves behind what does not end.
    struct Left(Option<Runtime>);
    impl Drop for Left {
        fn drop(&mut self) {
            self.0.take().expect("it is dropped once").shutdown_background();
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let left = Left(Some(runtime.expect("a runtime")));
    left.0.as_ref().expect("it was just made").block_on(work)
}
