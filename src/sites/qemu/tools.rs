//! The programs that this provider runs, and what to type when one is missing.

use std::io;
use std::path::Path;

use crate::run::failure::Failure;
use crate::sites::commands::Command;
use crate::sites::process::{self, NoEnd};

/// Serves the disks of a machine that has no process.
pub(super) const STORAGE_DAEMON: &str = "qemu-storage-daemon";
/// Makes disks.
pub(super) const IMAGE_TOOL: &str = "qemu-img";
/// What to type when one of them is missing.
const INSTALL: &str = "install QEMU: apt-get install qemu-system-x86 qemu-utils";

/// A program that could not be started.
pub(super) fn unstarted(program: &Path, error: &io::Error) -> Failure {
    let program = program.display();
    if error.kind() == io::ErrorKind::NotFound {
        let message = format!("`{program}` is not installed on this computer");
        return Failure::permanent(message).help(INSTALL);
    }
    Failure::permanent(format!("`{program}` cannot be started: {error}")).help(INSTALL)
}

/// Runs a program in `folder` to its end; what it printed.
///
/// # Errors
/// With what it complained of, unless it ended well.
pub(super) fn run(argv: &[&str], folder: &Path) -> Result<String, Failure> {
    let env = std::env::var("PATH").map(|path| ("PATH".to_owned(), path)).into_iter().collect();
    let command = Command { argv: argv.iter().map(|word| (*word).to_owned()).collect(), env };
    let ran = process::run(&command, folder, &|| false).map_err(|error| match error {
        NoEnd::NotStarted(error) => unstarted(Path::new(argv[0]), &error),
        other => Failure::transient(format!("`{}`: {other}", argv[0])),
    })?;
    if ran.status == 0 {
        return Ok(ran.stdout);
    }
    let message = format!("`{}` in {}: {}", argv.join(" "), folder.display(), ran.complaint.trim());
    Err(if message.contains("No space left") {
        Failure::permanent(message).help("make room on that disk, then retry the step")
    } else {
        Failure::permanent(message)
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    const PACKAGES: &str = "apt-get install qemu-system-x86 qemu-utils linux-image-cloud-amd64 \
        busybox-static cpio kmod";

    /// Whether this computer has these programs; a test that lacks one says so and has nothing to do. Where
    /// changes are judged (`CI=true`) it fails instead.
    #[track_caller]
    pub(in crate::sites::qemu) fn have(programs: &[&str]) -> bool {
        let runs = |program: &&str| {
            let mut asked = Command::new(program);
            asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
        };
        let missing = programs.iter().find(|program| !runs(program));
        missing.is_none_or(|missing| {
            skip(missing);
            false
        })
    }

    /// Says that a test is skipped, past the tests' own capture: it is also seen of a test that passes.
    #[track_caller]
    pub(in crate::sites::qemu) fn skip(needs: &str) {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let line = format!("skipped {test}: it needs {needs}: {PACKAGES}\n");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
}
