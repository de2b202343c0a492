//! Files that survive: durable small JSON files, folders, and locks that end with their holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::run::failure::Failure;

/// Largest state file read, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Adds the path to what the system said.
pub(in crate::sites) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A system error as an operating error: what only a person can mend is permanent.
pub(in crate::sites) fn failure(error: &io::Error) -> Failure {
    use io::ErrorKind::{
        FileTooLarge, InvalidData, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let message = error.to_string();
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => Failure::permanent(message)
            .help("make room on that disk, then retry the step and resume the run"),
        PermissionDenied | ReadOnlyFilesystem => Failure::permanent(message)
            .help("see that homing may read and write there (owner, permissions, a read-only mount), then retry the step"),
        NotFound | InvalidData => Failure::permanent(message)
            .help("it is not as homing left it there: put it back as it was, then retry the step"),
        _ => Failure::transient(message),
    }
}

/// A system error as an operating error.
pub(in crate::sites) fn io<T>(result: io::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| failure(&error))
}

/// Runs file work where it may block.
pub(in crate::sites) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::cancelled()),
        },
    }
}

/// Replaces the file as a whole: whoever reads it after a crash sees the old or the new one.
pub(in crate::sites) fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(at(path))?;
    sync_parent(path)
}

/// Reads such a file; `None` when there is none.
pub(in crate::sites) fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let bytes = match std::fs::metadata(path) {
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(at(path)(error)),
        Ok(found) => found.len(),
    };
    if bytes > FILE_BYTES_MAX {
        let message = format!("{bytes} bytes are more than such a file ever has");
        return Err(at(path)(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    match std::fs::read(path) {
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(at(path)(error)),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| at(path)(io::Error::new(io::ErrorKind::InvalidData, error))),
    }
}

/// Removes a file durably; one that is gone is gone.
pub(in crate::sites) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(at(path)(error)),
        Ok(()) => sync_parent(path),
    }
}

/// Removes a folder with all that is in it; one that is gone is gone.
pub(in crate::sites) fn remove_folder(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(at(path)(error)),
        Ok(()) => sync_parent(path),
    }
}

/// Makes a folder and those above it, durably.
pub(in crate::sites) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(at(path)(error)),
        Ok(()) => sync_parent(path),
    }
}

/// Makes what happened to the names in the folder of `path` durable.
pub(in crate::sites) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
        }
        _ => Ok(()),
    }
}

/// Waits for the lock file and holds it until the returned file is closed, also by a crash.
pub(in crate::sites) fn lock(path: &Path) -> io::Result<File> {
    let file = open_lock(path)?;
    file.lock().map_err(at(path))?;
    Ok(file)
}

/// Whether somebody holds the lock file alone.
pub(in crate::sites) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if is_absent(&error) => return Ok(false),
        other => other.map_err(at(path))?,
    };
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(at(path)(error)),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(path).map_err(at(path))
}

/// Sixteen random hexadecimal characters.
pub(in crate::sites) fn random() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_locked(&path).unwrap());
        let held = lock(&path).unwrap();
        assert!(is_locked(&path).unwrap());
        drop(held);
        assert!(!is_locked(&path).unwrap());
    }

    #[test]
    fn a_file_cut_short_is_an_error_and_an_absent_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(load::<Vec<u32>>(&path).unwrap(), None);
        save(&path, &vec![1, 2]).unwrap();
        assert_eq!(load::<Vec<u32>>(&path).unwrap(), Some(vec![1, 2]));
        std::fs::write(&path, "[1,").unwrap();
        assert!(load::<Vec<u32>>(&path).is_err());
    }
}
