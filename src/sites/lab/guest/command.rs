//! Commands that run inside the machine: they end with it, and with whoever asked for them.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::base::Json;
use crate::sites::commands::{Command, Ran};
use crate::sites::process::{self, NoEnd};

/// The machine ends: so does everything in it.
static ENDING: AtomicBool = AtomicBool::new(false);
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Longest that an ending machine waits for its commands.
const END_TIME: Duration = Duration::from_secs(2);
/// How often it looks whether they are gone.
const LOOK: Duration = Duration::from_millis(2);

/// What became of a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::sites::lab) enum Answer {
    /// It ended by itself.
    Ran(Ran),
    /// It was never started, and why.
    NotStarted(String),
    /// The machine ended first, or nobody could listen to it: it was ended.
    Cut(String),
}

/// Runs a command in the machine's folder until it ends, `peer` hangs up, or the machine ends.
pub(super) fn run(command: &Command, peer: &UnixStream) -> Json {
    RUNNING.fetch_add(1, Ordering::SeqCst);
    let stop = || ENDING.load(Ordering::SeqCst) || has_hung_up(peer);
    let answer = match process::run(command, Path::new("."), &stop) {
        Ok(ran) => Answer::Ran(ran),
        Err(why @ NoEnd::NotStarted(_)) => Answer::NotStarted(why.to_string()),
        Err(why) => Answer::Cut(why.to_string()),
    };
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    serde_json::to_value(answer).expect("BUG: an answer is plain data")
}

/// Ends every command and waits until they are gone.
pub(super) fn end_all() {
    ENDING.store(true, Ordering::SeqCst);
    let deadline = Instant::now() + END_TIME;
    while RUNNING.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        std::thread::park_timeout(LOOK);
    }
}

fn has_hung_up(peer: &UnixStream) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(peer.as_fd(), PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok()
        && asked[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
