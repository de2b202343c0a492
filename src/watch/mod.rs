//! Waiting for files to change.
//!
//! In: paths. Out: the moment when one of them was saved. Refuses to know: what is in them, what is done
//! about it.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use notify_debouncer_full::notify::event::ModifyKind;
use notify_debouncer_full::notify::{self, EventKind, RecommendedWatcher, RecursiveMode};
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

    /// Watches these files and no others, each by its folder and the one around that: a folder may vanish
    /// and come back with everything in it. What is not there is waited for in the nearest folder that is.
    pub fn watch(&mut self, files: impl IntoIterator<Item = Utf8PathBuf>) {
        let absolute = files.into_iter().filter_map(|file| camino::absolute_utf8(&file).ok());
        self.files = absolute.collect();
        let folders = self.files.iter().flat_map(|file| {
            file.ancestors()
                .skip(1)
                .filter(|folder| folder.is_dir())
                .take(2)
                .map(Utf8Path::to_owned)
        });
        let wanted: BTreeSet<Utf8PathBuf> = folders.collect();
        for folder in self.folders.difference(&wanted) {
            // One that is gone is watched no more already.
            let _ = self.debouncer.unwatch(folder);
        }
        // Each one anew: what was removed and came back is another folder by the same name.
        let debouncer = &mut self.debouncer;
        let watched =
            |folder: &Utf8PathBuf| debouncer.watch(folder, RecursiveMode::NonRecursive).is_ok();
        self.folders = wanted.into_iter().filter(watched).collect();
    }

    /// Returns when one of the files was saved, replaced or removed, or a folder on the way to it came or
    /// went.
    pub fn wait(&mut self) {
        while let Ok(saved) = self.saves.recv() {
            let Ok(events) = saved else { return };
            let told = events.iter().filter(|event| !event.kind.is_access());
            let mut ours =
                told.filter(|event| event.paths.iter().any(|path| self.matters(event, path)));
            if ours.next().is_some() {
                return;
            }
        }
    }

    fn matters(&self, event: &notify::Event, path: &std::path::Path) -> bool {
        let Some(path) = Utf8Path::from_path(path) else { return false };
        // What happens in a folder touches the folder too; that says nothing of its files.
        let touched = matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
        let on_the_way = || self.files.iter().any(|file| file.starts_with(path));
        self.files.contains(path) || (!touched && on_the_way())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits in the background; each noticed save is one message.
    fn waiting(mut watcher: Watcher, script: Utf8PathBuf) -> Receiver<()> {
        let (done, noticed) = channel();
        std::thread::spawn(move || {
            loop {
                watcher.wait();
                watcher.watch([script.clone()]);
                if done.send(()).is_err() {
                    return;
                }
            }
        });
        noticed
    }

    /// A folder with a script that is watched.
    fn ground() -> (tempfile::TempDir, Utf8PathBuf, Watcher) {
        let folder = tempfile::tempdir().unwrap();
        let script = Utf8Path::from_path(folder.path()).unwrap().join("plans/a.rhai");
        std::fs::create_dir(script.parent().unwrap()).unwrap();
        std::fs::write(&script, "1").unwrap();
        let mut watcher = Watcher::new().unwrap();
        watcher.watch([script.clone()]);
        (folder, script, watcher)
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_replaced_file_is_noticed_and_a_stranger_is_not() {
        let (_folder, script, watcher) = ground();
        std::fs::write(script.with_file_name("stranger.txt"), "x").unwrap();
        let noticed = waiting(watcher, script.clone());
        assert!(noticed.recv_timeout(QUIET * 4).is_err(), "a stranger's file is not ours");
        let new = script.with_file_name("a.rhai.new");
        std::fs::write(&new, "2").unwrap();
        std::fs::rename(new, &script).unwrap();
        noticed.recv_timeout(SOON).expect("a replaced file is noticed");
    }

    #[test]
    fn a_folder_that_vanishes_and_comes_back_is_noticed() {
        let (_folder, script, watcher) = ground();
        let noticed = waiting(watcher, script.clone());
        std::fs::remove_dir_all(script.parent().unwrap()).unwrap();
        noticed.recv_timeout(SOON).expect("it is gone");
        // The end of the removal may be told apart from its beginning.
        while noticed.recv_timeout(QUIET * 4).is_ok() {}
        std::fs::create_dir(script.parent().unwrap()).unwrap();
        noticed.recv_timeout(SOON).expect("its folder is back");
        std::fs::write(&script, "2").unwrap();
        noticed.recv_timeout(SOON).expect("it is back");
    }
}
