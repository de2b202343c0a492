//! Secrets: read when they are needed, shown to nobody, wiped when they are done with.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::plan::inventory::KeySource;
use crate::run::failure::Failure;

/// Largest secret accepted, bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The bytes of a key. Never printed, never stored, zeroed at the end.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps these bytes.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(bytes)
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise the compiler may leave out a write that nobody reads.
        std::hint::black_box(&self.0);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Reads a key; one line break at its end is not part of it. Blocking: it may run a command.
///
/// # Errors
/// When it cannot be read, is empty or larger than 64 KiB.
pub fn read_key(source: &KeySource) -> Result<Secret, Failure> {
    let (shown, mut secret) = match source {
        KeySource::File(path) => {
            let file = std::fs::File::open(path).map_err(|error| {
                Failure::permanent(format!("cannot read the key {path}: {error}"))
                    .help("put the key's file back, or say in the inventory where it is; nothing was read or written")
            })?;
            (path.to_string(), read(file, path.as_str())?)
        }
        KeySource::Command(argv) => {
            let shown = argv.first().cloned().unwrap_or_default();
            let secret = run(argv, &shown)?;
            (shown, secret)
        }
    };
    if secret.0.ends_with(b"\n") {
        secret.0.pop();
    }
    if secret.0.is_empty() {
        return Err(Failure::permanent(format!("the key from {shown} is empty")));
    }
    Ok(secret)
}

fn read(from: impl Read, shown: &str) -> Result<Secret, Failure> {
    let mut secret = Secret(Vec::new());
    from.take(SECRET_BYTES_MAX + 1).read_to_end(&mut secret.0).map_err(|error| {
        Failure::permanent(format!("cannot read the key from {shown}: {error}"))
    })?;
    if secret.0.len() as u64 > SECRET_BYTES_MAX {
        let message = format!("the key from {shown} is larger than {SECRET_BYTES_MAX} bytes");
        return Err(Failure::permanent(message));
    }
    Ok(secret)
}

fn run(argv: &[String], shown: &str) -> Result<Secret, Failure> {
    let failed = |why: String| Failure::permanent(format!("the key command {shown}: {why}"));
    let (program, arguments) = argv.split_first().ok_or_else(|| failed("is empty".to_owned()))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let printed = child.stdout.take().map(|stdout| read(stdout, shown));
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    printed.ok_or_else(|| failed("printed nothing".to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_without_its_line_break_and_never_shown() {
        let command = |line: &str| KeySource::Command(vec!["sh".into(), "-c".into(), line.into()]);
        let secret = read_key(&command("echo hunter2")).unwrap();
        assert_eq!(secret.bytes(), b"hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(read_key(&command("true")).is_err(), "empty");
        assert!(read_key(&command("echo x; exit 3")).is_err());
        assert!(read_key(&KeySource::File("/nonexistent".into())).is_err());
    }
}
