//! Where the inventory is.

use camino::{Utf8Path, Utf8PathBuf};

use crate::diagnostic::Diagnostic;

/// What an inventory is called.
pub const FILE_NAME: &str = "homing.toml";

/// The nearest inventory: beside the script or above it; without a script in `cwd`, in its `scripts/`,
/// then above. `cwd` is absolute.
///
/// # Errors
/// H201 when there is none.
pub fn find(script: Option<&Utf8Path>, cwd: &Utf8Path) -> Result<Utf8PathBuf, Diagnostic> {
    let start = match script.and_then(Utf8Path::parent) {
        Some(folder) => cwd.join(folder),
        None => cwd.to_owned(),
    };
    let beside = std::iter::once(start.join(FILE_NAME));
    let scripts = script.is_none().then(|| start.join("scripts").join(FILE_NAME));
    let above = start.ancestors().skip(1).map(|folder| folder.join(FILE_NAME));
    let found = beside.chain(scripts).chain(above).find(|path| path.is_file());
    found.map(|path| path.strip_prefix(cwd).map(Utf8Path::to_owned).unwrap_or(path)).ok_or_else(
        || {
            let message = format!("there is no `{FILE_NAME}` in `{start}` or above it");
            Diagnostic::error("H201", message)
                .help("give the inventory with `--config`, or write a first one with `homing init`")
        },
    )
}
