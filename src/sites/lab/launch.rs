//! Starting a guest, and pulling its plug.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::run::failure::Failure;
use crate::sites::files;
use crate::sites::files::io;
use crate::sites::lab::guest::control::{self, Request};
use crate::sites::lab::guest::{Order, Word};
use crate::sites::lab::power::ANSWER_TIME;
use crate::sites::lab::seat::Seat;
use crate::sites::state::State;

/// The hidden first argument of a process that is a guest.
pub(in crate::sites) const GUEST: &str = "__lab-guest";

/// In the guest's folder; held for as long as it lives.
const LOCK: &str = "lock";
/// Longest that a guest may take to read its disks or to say a word.
const BOOT_TIME: Duration = Duration::from_secs(900);
/// Longest that a killed process may take to be gone.
const DEATH_TIME: Duration = Duration::from_secs(10);
/// How often a lock is looked at while a process ends.
const LOOK: Duration = Duration::from_millis(2);

/// Boots the machine of this seat; see [`boot`]. `distrust` is called when its disks are not whole.
pub(super) fn launch(
    seat: &Seat,
    state: &State,
    commit: impl FnOnce() -> Result<(), Failure>,
    distrust: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let order = Order {
        machine: seat.machine.clone(),
        side: seat.side,
        folder: io(std::path::absolute(seat.folder(state)))?,
        client: io(std::path::absolute(seat.client_log()))?,
        disks: state.disks.clone(),
        key: seat.key()?,
        writes_per_second: seat.settings.writes_per_second,
    };
    let Some(reason) = boot(&seat.place.tools.exe, seat.side.as_str(), &order, commit)? else {
        return Ok(());
    };
    distrust()?;
    let message = format!("{} does not boot on {}: {reason}", seat.machine, seat.place.name);
    Err(Failure::permanent(message).help("transfer to it again"))
}

/// Boots a guest; `Some`: its disks are not whole, and why. `commit` makes the boot durable: it is called
/// after the guest proved its disks and before it writes anything; when it fails, or this process dies,
/// nothing was written. `what` is only for a person who looks at the list of processes.
pub(super) fn boot(
    exe: &Path,
    what: &str,
    order: &Order,
    commit: impl FnOnce() -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    let mut guest = io(spawn(exe, what, order))?;
    match hear(&mut guest)? {
        Word::Verified(_) => {}
        Word::Refused(reason) => return given_up(guest, order).map(|()| Some(reason)),
        Word::Ready => return Err(Failure::permanent("BUG: a guest ran before it was told to")),
    }
    if let Err(failure) = commit() {
        drop(given_up(guest, order));
        return Err(failure);
    }
    io(guest.get_mut().write_all(b"go\n"))?;
    match hear(&mut guest)? {
        Word::Ready => Ok(None),
        other => Err(Failure::transient(format!("a guest said {other:?} instead of `ready`"))),
    }
}

/// Waits for the end of a guest that does not run on: until then it would seem to run.
fn given_up(guest: BufReader<UnixStream>, order: &Order) -> Result<(), Failure> {
    drop(guest);
    gone_by(&order.folder, Instant::now() + DEATH_TIME).map(drop)
}

/// The guest holds the lock from its first moment: it is given to it locked.
fn spawn(exe: &Path, what: &str, order: &Order) -> io::Result<BufReader<UnixStream>> {
    let lock = files::lock(&order.folder.join(LOCK))?;
    let log = order.folder.join("guest.log");
    let log = OpenOptions::new().append(true).create(true).open(&log).map_err(files::at(&log))?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut child = Command::new(exe)
        .args([GUEST, order.machine.as_str(), what])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(lock))
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(files::at(exe))?;
    // Somebody has to take note of its end for as long as this process lives.
    let reap = std::thread::Builder::new().name("reaper".to_owned());
    reap.spawn(move || drop(child.wait()))?;
    ours.set_read_timeout(Some(BOOT_TIME))?;
    let mut guest = BufReader::new(ours);
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    let said = guest.get_mut().write_all(&line);
    line.fill(0);
    std::hint::black_box(&line);
    said.map(|()| guest)
}

fn hear(guest: &mut BufReader<UnixStream>) -> Result<Word, Failure> {
    let mut line = String::new();
    io(guest.read_line(&mut line))?;
    serde_json::from_str(&line)
        .map_err(|_| Failure::transient("a guest ended while it booted; its folder has its log"))
}

/// Asks the machine to stop, pulls the plug after `grace`; `true` when it was pulled.
pub(super) fn stop(seat: &Seat, state: &State, grace: Duration) -> Result<bool, Failure> {
    let deadline = Instant::now() + grace;
    if !seat.is_running(state)? {
        return Ok(false);
    }
    let folder = seat.folder(state);
    // It may be gone before its answer is: what counts is its lock. One that cannot be asked at all is
    // not waited for: that is what the plug is for.
    let asked = control::ask(&folder, &Request::Stop, grace);
    let unasked = asked.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    let deadline = if unasked { Instant::now() } else { deadline.max(Instant::now() + LOOK * 50) };
    if gone_by(&folder, deadline)? {
        return Ok(false);
    }
    pull_plug(&folder).map(|()| true)
}

/// Kills the guest of a machine's folder and waits until it is gone.
pub(super) fn pull_plug(folder: &Path) -> Result<(), Failure> {
    let deadline = Instant::now() + DEATH_TIME;
    while is_alive(folder)? {
        // The answer is its death; a guest that is just booting listens a little later.
        drop(control::ask(folder, &Request::Kill, Duration::from_secs(1)));
        if !gone_by(folder, Instant::now() + LOOK * 10)? && Instant::now() > deadline {
            let message = format!("the machine in {} may still run", folder.display());
            return Err(Failure::transient(message));
        }
    }
    Ok(())
}

/// Whether the guest of a machine's folder lives: it holds its lock.
pub(super) fn is_alive(folder: &Path) -> Result<bool, Failure> {
    io(files::is_locked(&folder.join(LOCK)))
}

/// Whether the machine of a folder runs, for whoever is alone with it. A guest that is still booting was
/// begun by somebody who is dead by now: it ends by itself, or has been told to go on.
pub(super) fn runs(folder: &Path) -> Result<bool, Failure> {
    use io::ErrorKind::{
        BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, Other, TimedOut, UnexpectedEof,
        WouldBlock,
    };
    let deadline = Instant::now() + BOOT_TIME;
    while is_alive(folder)? {
        // It listens once it was told to go on, until it ends.
        match control::ask(folder, &Request::Ping, ANSWER_TIME) {
            Ok(_) => return Ok(true),
            Err(error) => match error.kind() {
                BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof => {}
                // Whatever it answers, and however late.
                Other | TimedOut | WouldBlock => return Ok(true),
                _ => return Err(files::failure(&error)),
            },
        }
        if gone_by(folder, Instant::now() + LOOK)? {
            return Ok(false);
        }
        if Instant::now() > deadline {
            let message = format!("the boot in {} does not end", folder.display());
            return Err(Failure::transient(message).help("stop the machine, then start it again"));
        }
    }
    Ok(false)
}

fn gone_by(folder: &Path, deadline: Instant) -> Result<bool, Failure> {
    loop {
        if !is_alive(folder)? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::park_timeout(LOOK);
    }
}
