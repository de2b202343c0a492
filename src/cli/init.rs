//! `init`: a commented inventory and a first script.

use std::fs::{self, OpenOptions};
use std::io::Write;

use camino::Utf8Path;

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::config::FILE_NAME;

const INVENTORY: &str = include_str!("init/homing.toml");
const SCRIPT: &str = include_str!("init/failback.rhai");

/// Writes both files into `folder`, which is created; files that exist are never overwritten.
/// Returns what was written and what to type next.
///
/// # Errors
/// Exit 2 when one of them exists or cannot be written.
pub fn init(folder: &Utf8Path) -> Result<String, Stop> {
    let failed = |path: &Utf8Path, error: &std::io::Error| {
        Stop::new(Exit::Usage, format!("cannot write `{path}`: {error}"))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let files = [(FILE_NAME, INVENTORY), ("failback.rhai", SCRIPT)];
    let paths = files.map(|(name, _)| folder.join(name));
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        return Err(Stop::new(Exit::Usage, format!("`{there}` exists; nothing was written"))
            .help("give another folder: `homing init my-plans`"));
    }
    for (path, (_, text)) in paths.iter().zip(files) {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| failed(path, &error))?;
    }
    let script = &paths[1];
    Ok(format!(
        "wrote {} and {script}\n\nnext:\n  homing check {script}\n  homing plan {script}\n  homing run {script}\n",
        paths[0]
    ))
}
