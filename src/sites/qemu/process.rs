//! A process of QEMU in a machine's folder: started, found again, ended.
//!
//! It holds a lock file from its first moment to its last (the file is its standard output, given to it
//! locked), so "it lives" is a held lock, never a number; and it listens on a control socket in the folder.
//! It outlives homing. Paths that it is given are relative to the folder: a socket's path is short.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::base::Json;
use crate::run::failure::Failure;
use crate::sites::files::{self, io};
use crate::sites::qemu::qmp::Qmp;
use crate::sites::qemu::tools;

/// Longest that a process may take until it answers.
const START_TIME: Duration = Duration::from_secs(30);
/// Longest that a process that was told to quit may take, before its plug is pulled.
const QUIT_TIME: Duration = Duration::from_secs(10);
/// Longest that a killed process may take to be gone.
const DEATH_TIME: Duration = Duration::from_secs(10);
/// Longest wait for one answer of a process that others may be talking to.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How often a lock is looked at.
const LOOK: Duration = Duration::from_millis(3);
/// Most that is read of what a process complained of, bytes.
const COMPLAINT_MAX: u64 = 4 << 10;

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the machine: its guest runs in it, or has ended in it.
    Machine,
    /// It serves the disks of a machine that has no process.
    Disks,
}

impl Role {
    /// Held for as long as it lives.
    fn lock(self) -> &'static str {
        match self {
            Role::Machine => "lock",
            Role::Disks => "disks.lock",
        }
    }

    /// Its control socket.
    pub(super) fn socket(self) -> &'static str {
        match self {
            Role::Machine => "qmp.sock",
            Role::Disks => "disks.sock",
        }
    }

    /// Where it serves disks.
    pub(super) fn nbd_socket(self) -> &'static str {
        match self {
            Role::Machine => "nbd.sock",
            Role::Disks => "disks.nbd.sock",
        }
    }

    /// What it complains of.
    pub(super) fn log(self) -> &'static str {
        match self {
            Role::Machine => "qemu.log",
            Role::Disks => "disks.log",
        }
    }
}

/// Whether such a process lives in the folder.
pub(super) fn is_alive(folder: &Path, role: Role) -> Result<bool, Failure> {
    io(files::is_locked(&folder.join(role.lock())))
}

/// Starts one and waits until it answers.
///
/// # Errors
/// With what it complained of, when it ended instead.
pub(super) fn start(
    program: &Path,
    args: &[String],
    folder: &Path,
    role: Role,
) -> Result<(), Failure> {
    io(files::make_folder(folder))?;
    let log = folder.join(role.log());
    let complaints = std::fs::metadata(&log).map_or(0, |found| found.len());
    spawn(program, args, folder, role)?;
    let deadline = Instant::now() + START_TIME;
    loop {
        match Qmp::connect(&folder.join(role.socket()), ANSWER_TIME) {
            Ok(_) => return Ok(()),
            Err(_) if !is_alive(folder, role)? => {
                return Err(why(program, folder, &io(tail(&log, complaints))?));
            }
            Err(error) if Instant::now() >= deadline => {
                end(folder, role)?;
                let message = format!("{} does not answer: {error}", program.display());
                return Err(Failure::transient(message));
            }
            Err(_) => std::thread::park_timeout(LOOK),
        }
    }
}

fn spawn(program: &Path, args: &[String], folder: &Path, role: Role) -> Result<(), Failure> {
    let lock = io(files::lock(&folder.join(role.lock())))?;
    // What an earlier process left behind answers to nobody.
    io(files::remove(&folder.join(role.socket())))?;
    let log = folder.join(role.log());
    let log = io(OpenOptions::new().append(true).create(true).open(&log).map_err(files::at(&log)))?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(folder)
        // A Ctrl-C for homing is none for its machines.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::from(lock))
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|error| tools::unstarted(program, &error))?;
    // Somebody has to take note of its end for as long as this process lives.
    let reap = std::thread::Builder::new().name("reaper".to_owned());
    io(reap.spawn(move || drop(child.wait())).map(drop))
}

/// What was added to a log since it had `from` bytes.
fn tail(log: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(log).map_err(files::at(log))?;
    file.seek(SeekFrom::Start(from))?;
    let mut said = Vec::new();
    file.take(COMPLAINT_MAX).read_to_end(&mut said)?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Why it ended at once, from what it complained of.
fn why(program: &Path, folder: &Path, said: &str) -> Failure {
    // Hints follow what happened.
    let mut told = said.lines().filter(|line| !line.contains("warning:"));
    let line = told.next().unwrap_or("it ended without a word").trim();
    let message = format!("{} in {}: {line}", program.display(), folder.display());
    if line.contains("Failed to get") && line.contains("lock") {
        return Failure::refused(
            "H346",
            format!("a disk in {} is in use by another program: {line}", folder.display()),
        )
        .help(format!(
            "nothing was read or written; see who has it open: fuser -v {}/disk*",
            folder.display()
        ));
    }
    let help = if line.contains("KVM") || line.contains("kvm") {
        "see that this user may open /dev/kvm, or set `accel = \"tcg\"` for the site"
    } else {
        "mend what it says; nothing was changed"
    };
    Failure::permanent(message).help(help)
}

/// Ends such a process, if there is one: it is told to quit, so that it closes its disks whole; one that
/// does not is killed. Returns when it is gone.
///
/// # Errors
/// When it may still live.
pub(super) fn end(folder: &Path, role: Role) -> Result<(), Failure> {
    if !is_alive(folder, role)? {
        return Ok(());
    }
    if let Ok(mut qmp) = Qmp::connect(&folder.join(role.socket()), ANSWER_TIME) {
        // Its answer may come after its end: what counts is its lock.
        drop(qmp.ask("quit", Json::Null));
        if gone_by(folder, role, Instant::now() + QUIT_TIME)? {
            return Ok(());
        }
    }
    kill(folder, role)
}

/// Kills such a process as a failure of its host would.
///
/// # Errors
/// When it may still live.
pub(super) fn kill(folder: &Path, role: Role) -> Result<(), Failure> {
    let lock = folder.join(role.lock());
    let deadline = Instant::now() + DEATH_TIME;
    while is_alive(folder, role)? {
        // Not by its socket: one that hangs takes no connection.
        if let Some(holder) = holder(&lock)
            && let Ok(process) = pidfd_open(holder, PidfdFlags::empty())
            && holds(holder, &lock)
        {
            // Gone already is as good.
            let _gone = pidfd_send_signal(&process, Signal::KILL);
        }
        if !gone_by(folder, role, Instant::now() + LOOK * 20)? && Instant::now() > deadline {
            let message = format!("the process in {} may still run", folder.display());
            return Err(Failure::transient(message).help(format!(
                "find and end it: fuser -v {}",
                folder.join(role.lock()).display()
            )));
        }
    }
    Ok(())
}

/// The process that holds a lock file: it is its standard output.
fn holder(lock: &Path) -> Option<Pid> {
    let processes = Path::new("/proc").read_dir().ok()?.flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter_map(Pid::from_raw).find(|process| holds(*process, lock))
}

/// Asked again once a process is held on to: its number may have been another's before.
fn holds(process: Pid, lock: &Path) -> bool {
    let output = format!("/proc/{}/fd/1", process.as_raw_nonzero());
    let file = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    file(Path::new(&output)).is_some_and(|held| file(lock) == Some(held))
}

/// Waits until it is gone; `false` at the deadline.
pub(super) fn gone_by(folder: &Path, role: Role, deadline: Instant) -> Result<bool, Failure> {
    loop {
        if !is_alive(folder, role)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::park_timeout(LOOK);
    }
}
