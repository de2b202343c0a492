//! Encryption keys: read when a step needs one, from where the inventory says; never shown, never kept.

use std::process::Stdio;

use crate::plan::inventory::{Inventory, KeySource};
use crate::run::failure::Failure;

/// Largest key accepted, bytes.
const KEY_BYTES_MAX: usize = 64 << 10;

/// The bytes of the key `name`.
pub(super) async fn load(inventory: &Inventory, name: &str) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| {
        Failure::permanent(format!("the key `{name}` cannot be read: {why}"))
            .help(format!("look at [key.{name}] in the inventory; nothing was written"))
    };
    let source = inventory.keys.get(name);
    let key = match source.ok_or_else(|| failed("the inventory has none of that name".into()))? {
        KeySource::File(path) => {
            let path = inventory.folder.join(path);
            tokio::fs::read(&path).await.map_err(|error| failed(format!("{path}: {error}")))?
        }
        KeySource::Command(argv) => printed(argv).await.map_err(failed)?,
    };
    match key.len() {
        0 => Err(failed("it is empty".into())),
        bytes if bytes > KEY_BYTES_MAX => Err(failed(format!("it has {bytes} bytes"))),
        _ => Ok(key),
    }
}

/// What a command prints, without the last line's end.
async fn printed(argv: &[String]) -> Result<Vec<u8>, String> {
    let (program, rest) = argv.split_first().ok_or("its command is empty")?;
    let command = tokio::process::Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = command.await.map_err(|error| format!("`{program}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{program}` ended with {}", output.status));
    }
    let mut key = output.stdout;
    while key.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        key.pop();
    }
    Ok(key)
}
