//! Scripts on disk, confined to the plan's folder.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use crate::source::{SCRIPT_BYTES_MAX, Unreadable, World};

/// The folder of a plan: nothing outside it is read.
#[derive(Debug)]
pub struct DiskWorld {
    /// As the user wrote it: for messages.
    folder: Utf8PathBuf,
}

impl DiskWorld {
    /// Scripts below `folder`.
    pub fn new(folder: &Utf8Path) -> DiskWorld {
        DiskWorld { folder: folder.to_owned() }
    }

    fn open(&self, path: &Utf8Path) -> Result<Utf8PathBuf, Unreadable> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Unreadable::Missing(self.folder.join(path)),
            _ => Unreadable::Failed { path: self.folder.join(path), reason: error.to_string() },
        };
        let folder =
            if self.folder.as_str().is_empty() { Utf8Path::new(".") } else { &self.folder };
        let inside = folder.canonicalize_utf8().map_err(failed)?;
        // Canonical on both sides: a symbolic link cannot lead out.
        let real = folder.join(path).canonicalize_utf8().map_err(failed)?;
        if real.starts_with(&inside) { Ok(real) } else { Err(Unreadable::Outside(path.to_owned())) }
    }
}

impl World for DiskWorld {
    fn read(&self, path: &Utf8Path) -> Result<String, Unreadable> {
        let real = self.open(path)?;
        let shown = self.folder.join(path);
        let failed = |error: std::io::Error| Unreadable::Failed {
            path: shown.clone(),
            reason: error.to_string(),
        };
        let meta = fs::metadata(&real).map_err(failed)?;
        if meta.len() > SCRIPT_BYTES_MAX {
            let (bytes, bytes_max) = (meta.len(), SCRIPT_BYTES_MAX);
            return Err(Unreadable::TooLarge { path: shown, bytes, bytes_max });
        }
        if !meta.is_file() {
            return Err(Unreadable::Failed { path: shown, reason: "it is not a file".into() });
        }
        fs::read_to_string(&real).map_err(failed)
    }

    fn show(&self, path: &Utf8Path) -> String {
        self.folder.join(path).into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        fs::create_dir(root.join("plans")).unwrap();
        fs::write(root.join("secret.rhai"), "1").unwrap();
        fs::write(root.join("plans/a.rhai"), "2").unwrap();
        std::os::unix::fs::symlink("../secret.rhai", root.join("plans/link.rhai")).unwrap();
        let world = DiskWorld::new(&root.join("plans"));
        assert_eq!(world.read("a.rhai".into()).unwrap(), "2");
        for outside in ["../secret.rhai", "link.rhai"] {
            assert!(matches!(world.read(outside.into()), Err(Unreadable::Outside(_))), "{outside}");
        }
        assert!(matches!(world.read("b.rhai".into()), Err(Unreadable::Missing(_))));
        assert!(matches!(world.read(".".into()), Err(Unreadable::Failed { .. })));
    }
}
