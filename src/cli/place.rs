//! Where a command works: the current folder, the inventory, the state folder, the sites.

use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use crate::base::SiteName;
use crate::cli::args::Global;
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::config;
use crate::execute;
use crate::plan::inventory::Inventory;
use crate::run::failure::Failure;
use crate::sites::Site;
use crate::sites::practice::Practice;
use crate::sites::registry::{self, Tools};
use crate::source::Texts;

/// What a command needs to know of its surroundings.
pub struct Place {
    /// The inventory.
    pub inventory: Arc<Inventory>,
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
        inventory.folder = match inventory.folder.as_str() {
            "." => cwd.clone(),
            folder => cwd.join(folder),
        };
        let state = global.state.clone().unwrap_or_else(|| inventory.folder.join(".homing"));
        Ok(Place { state: cwd.join(state), inventory: Arc::new(inventory), texts: loaded.texts })
    }

    /// Opens every site; touches nothing.
    ///
    /// # Errors
    /// Exit 2 with everything that is wrong with their settings.
    pub fn sites(&self) -> Result<Opened, Stop> {
        let opened = registry::open(&self.inventory, &tools()?);
        opened.map(Opened).map_err(|mut wrong| {
            // A provider reads its settings as data: it knows the key, but not the line.
            let files: Vec<&str> = self.texts.keys().map(|file| &**file).collect();
            for diagnostic in wrong.iter_mut().filter(|diagnostic| diagnostic.at.is_none()) {
                diagnostic.message = format!("{}: {}", files.join(", "), diagnostic.message);
            }
            Stop::diagnosed(Exit::Usage, wrong, self.texts.clone())
        })
    }

    /// The practice ground of this inventory, when it has one.
    ///
    /// # Errors
    /// Exit 70 when the program does not know where it is.
    pub fn practice(&self) -> Result<Option<Box<dyn Practice>>, Stop> {
        Ok(registry::practice(&self.inventory, &tools()?))
    }
}

fn tools() -> Result<Tools, Stop> {
    let exe = std::env::current_exe()
        .map_err(|error| Stop::new(Exit::Bug, format!("cannot find my own executable: {error}")))?;
    Ok(Tools { exe })
}

/// The sites of an inventory, opened.
#[derive(Clone)]
pub struct Opened(registry::Sites);

impl Opened {
    /// One of them.
    ///
    /// # Errors
    /// Permanent, when the inventory has no such site.
    pub fn site(&self, name: &SiteName) -> Result<Arc<dyn Site>, Failure> {
        let missing = || Failure::permanent(format!("the inventory has no site `{name}`"));
        self.0.get(name).ok_or_else(missing)
    }

    /// For the engine.
    pub fn for_engine(&self) -> execute::Sites {
        let sites = self.0.clone();
        Arc::new(move |name| sites.get(name))
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
