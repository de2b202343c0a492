//! Encryption keys: read when a step needs one, from where the inventory says; never shown, never kept.

use crate::plan::inventory::{Inventory, KeySource};
use crate::run::failure::Failure;
use crate::sites::secret::{Secret, read_key};

/// The key `name`. Reading it may run a command: never on the runtime's own threads.
pub async fn load(inventory: &Inventory, name: &str) -> Result<Secret, Failure> {
    let source = match inventory.keys.get(name) {
        Some(KeySource::File(path)) => KeySource::File(inventory.folder.join(path)),
        Some(command) => command.clone(),
        None => {
            return Err(Failure::permanent(format!("the inventory has no key `{name}`"))
                .help(format!("declare it as [key.{name}]; nothing was written")));
        }
    };
    let read = tokio::task::spawn_blocking(move || read_key(&source)).await;
    read.unwrap_or_else(|_| Err(Failure::permanent("reading the key was cut off")))
}
