//! What tests with QEMU need of the computer, and what they say where it is missing.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Ground, have};

const INSTALL: &str = "apt-get install qemu-system-x86 qemu-utils libnbd-bin linux-image-cloud-amd64 busybox-static cpio kmod";

/// Whether the programs are there. Without them a test has nothing to test: it says so with the line that
/// installs them, and returns; where `CI` is set that is a failure.
#[track_caller]
pub fn installed() -> bool {
    let programs = ["qemu-system-x86_64", "qemu-storage-daemon", "qemu-img", "qemu-io"];
    have(&programs, INSTALL)
}

/// The same, with what the practice guest is made of.
#[track_caller]
pub fn guest_installed() -> bool {
    let parts = std::fs::read_dir("/boot").into_iter().flatten().flatten();
    let kernel = parts.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let kernel = kernel.filter(|name| name.starts_with("vmlinuz-") && name.contains("-cloud-"));
    let missing = if kernel.count() == 0 { "a cloud kernel" } else { "qemu-system-x86_64" };
    let programs =
        ["qemu-system-x86_64", "qemu-storage-daemon", "qemu-img", "busybox", "cpio", missing];
    have(&programs, INSTALL)
}

/// Runs a program to its end; what it printed.
#[track_caller]
pub fn tool(argv: &[&str], folder: &Path) -> String {
    let ran = Command::new(argv[0]).args(&argv[1..]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{argv:?}: {said}{}", String::from_utf8_lossy(&ran.stderr));
    said
}

/// A ground whose machines are processes of QEMU; they end with it.
pub struct QemuGround {
    ground: Ground,
}

impl QemuGround {
    /// With this inventory, and the scripts of the repository.
    pub fn new(inventory: &str) -> QemuGround {
        let ground = Ground::new();
        ground.write("homing.toml", inventory);
        QemuGround { ground }
    }

    /// The folder of a machine: in the site `azure` where it has no host.
    pub fn machine(&self, site: &str, host: Option<&str>, machine: &str) -> PathBuf {
        let site = self.path().join(".homing/qemu").join(site);
        match host {
            Some(host) => site.join("hosts").join(host).join(machine),
            None => site.join("disks").join(machine),
        }
    }
}

impl std::ops::Deref for QemuGround {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Drop for QemuGround {
    fn drop(&mut self) {
        quit_all(&self.path().join(".homing/qemu"));
    }
}

/// Ends every process of QEMU that listens below a folder.
pub fn quit_all(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            quit_all(&path);
        } else if path.ends_with("qmp.sock") || path.ends_with("disks.sock") {
            tell(&path, &["quit"]);
        }
    }
}

/// The process that listens on a socket.
pub fn listener(socket: &Path) -> rustix::process::Pid {
    let peer = connect(socket).expect("somebody listens");
    rustix::net::sockopt::socket_peercred(&peer).unwrap().pid
}

fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    let folder = std::fs::File::open(socket.parent().unwrap())?;
    let name = socket.file_name().unwrap();
    UnixStream::connect(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

/// Kills the process of a machine's folder, as the power failure of its host would; nothing when there is none.
pub fn crash(folder: &Path) {
    let Ok(lock) = std::fs::File::open(folder.join("lock")) else { return };
    if lock.try_lock_shared().is_ok() {
        return;
    }
    let pid = listener(&folder.join("qmp.sock"));
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    lock.lock_shared().unwrap();
}

/// How the machine stands whose process listens on a socket, in QEMU's word.
pub fn status(socket: &Path) -> Option<String> {
    let said = tell(socket, &["query-status"]);
    let answer: serde_json::Value = serde_json::from_str(said.last()?).ok()?;
    Some(answer["return"]["status"].as_str()?.to_owned())
}

/// Says commands, by name or as JSON, to a control socket; the answers, none when nobody listens.
pub fn tell(socket: &Path, commands: &[&str]) -> Vec<String> {
    let mut answers = Vec::new();
    let Ok(mut peer) = connect(socket) else { return answers };
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(peer.try_clone().unwrap()).lines();
    // Its greeting.
    lines.next();
    for command in ["qmp_capabilities"].iter().chain(commands) {
        let line = match command.starts_with('{') {
            true => (*command).to_owned(),
            false => format!("{{\"execute\":\"{command}\"}}"),
        };
        if writeln!(peer, "{line}").is_err() {
            return answers;
        }
        let answer = lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"return\""));
        answers.extend(answer);
    }
    // Read to its end: then it is gone, or as good.
    if commands.contains(&"quit") {
        lines.map_while(Result::ok).for_each(drop);
    }
    answers
}
