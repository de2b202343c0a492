//! Waiting for files to change.
//!
//! In: paths. Out: the moment when one of them was saved. Refuses to know: what is in them, what is done
//! about it.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use notify_debouncer_full::notify::{self, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

/// Saves within this time are one: editors write, rename and touch.
const QUIET: Duration = Duration::from_millis(150);

/// Watches files by their folders, so that an editor that replaces a file is noticed like one that
/// writes into it.
pub struct Watcher {
    debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
    saves: Receiver<DebounceEventResult>,
    files: BTreeSet<Utf8PathBuf>,
    folders: BTreeSet<Utf8PathBuf>,
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system does not tell of changes.
    pub fn new() -> Result<Watcher, notify::Error> {
        let (sender, saves) = channel();
        let debouncer = new_debouncer(QUIET, None, sender)?;
        Ok(Watcher { debouncer, saves, files: BTreeSet::new(), folders: BTreeSet::new() })
    }

    /// Watches these files too. A folder that cannot be watched (it is gone) is tried again next time.
    pub fn watch(&mut self, files: impl IntoIterator<Item = Utf8PathBuf>) {
        for file in files {
            let Ok(absolute) = camino::absolute_utf8(&file) else { continue };
            let Some(folder) = absolute.parent().map(Utf8Path::to_owned) else { continue };
            if !self.folders.contains(&folder)
                && self.debouncer.watch(&folder, RecursiveMode::NonRecursive).is_ok()
            {
                self.folders.insert(folder);
            }
            self.files.insert(absolute);
        }
    }

    /// Returns when one of the files was saved, replaced or removed.
    pub fn wait(&mut self) {
        while let Ok(saved) = self.saves.recv() {
            let Ok(events) = saved else { return };
            let gone = events.iter().any(|event| event.kind.is_remove());
            if gone {
                // A folder may have vanished and come back: it has to be watched anew.
                self.folders.clear();
            }
            let ours = |path: &std::path::PathBuf| {
                Utf8Path::from_path(path).is_some_and(|path| self.files.contains(path))
            };
            let touched = events.iter().filter(|event| !event.kind.is_access());
            if touched.flat_map(|event| &event.paths).any(ours) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_noticed_and_a_stranger_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let script = root.join("a.rhai");
        std::fs::write(&script, "1").unwrap();
        let mut watcher = Watcher::new().unwrap();
        watcher.watch([script.clone()]);
        std::fs::write(root.join("stranger.txt"), "x").unwrap();
        let (done, noticed) = channel();
        let waiting = std::thread::spawn(move || {
            watcher.wait();
            done.send(()).unwrap();
        });
        assert!(noticed.recv_timeout(QUIET * 4).is_err(), "a stranger's file is not ours");
        std::fs::write(root.join("a.rhai.new"), "2").unwrap();
        std::fs::rename(root.join("a.rhai.new"), &script).unwrap();
        noticed.recv_timeout(Duration::from_secs(20)).expect("a replaced file is noticed");
        waiting.join().unwrap();
    }
}
