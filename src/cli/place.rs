//! Where a command works: the current folder, the inventory, the state folder, the sites.

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::args::Global;
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::config;
use crate::plan::inventory::Inventory;
use crate::source::Texts;

/// What a command needs to know of its surroundings.
#[derive(Debug)]
pub struct Place {
    /// The inventory.
    pub inventory: Inventory,
    /// The state folder; it may not exist yet.
    pub state: Utf8PathBuf,
    /// The inventory's text, to draw mistakes over.
    pub texts: Texts,
}

impl Place {
    /// Finds and reads the inventory for a script, or for the current folder.
    ///
    /// # Errors
    /// Exit 2 with every mistake of the inventory.
    pub fn find(global: &Global, script: Option<&Utf8Path>) -> Result<Place, Stop> {
        let cwd = current_folder()?;
        let path = match &global.config {
            Some(path) => path.clone(),
            None => config::find(script, &cwd)
                .map_err(|error| Stop::diagnosed(Exit::Usage, vec![error], Texts::default()))?,
        };
        let loaded = config::load(&path);
        let Some(mut inventory) = loaded.inventory else {
            return Err(Stop::diagnosed(Exit::Usage, loaded.diagnostics, loaded.texts));
        };
        // Guests and later processes must find the same folders from anywhere.
        inventory.folder = cwd.join(&inventory.folder);
        let state = global.state.clone().unwrap_or_else(|| inventory.folder.join(".homing"));
        Ok(Place { state: cwd.join(state), inventory, texts: loaded.texts })
    }
}

/// The current folder, absolute.
///
/// # Errors
/// Exit 2 when it is gone or no UTF-8.
pub fn current_folder() -> Result<Utf8PathBuf, Stop> {
    let cwd = std::env::current_dir()
        .map_err(|error| Stop::new(Exit::Usage, format!("there is no current folder: {error}")))?;
    Utf8PathBuf::from_path_buf(cwd).map_err(|path| {
        let message = format!("the path of the current folder is no UTF-8: {}", path.display());
        Stop::new(Exit::Usage, message)
    })
}
