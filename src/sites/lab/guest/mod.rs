//! The guest: the process that a running machine is.
//!
//! In: an order on its standard input (a socket). Out: records on its disks, acknowledgements in the
//! client's log. It outlives the process that started it: its own session, nothing inherited but its
//! lock, which says that it lives for as long as it does and no longer.
//!
//! Boot: read the order, prove the whole disk, say `verified`, wait for `go` (the starter makes the boot
//! durable in between; should it die first, nothing was written), begin a new epoch of change tracking,
//! write the first record, say `ready`.

pub(super) mod command;
pub(super) mod control;
mod work;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::{MachineName, Side};
use crate::sites::lab::disk::Still;
use crate::sites::lab::ledger::{Ledger, Proof};

/// What a guest is told before it boots. It holds the key, so it is passed over a socket.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// The machine.
    pub machine: MachineName,
    /// Where it runs.
    pub side: Side,
    /// The folder of its disks.
    pub folder: PathBuf,
    /// The log of its client.
    pub client: PathBuf,
    /// Sizes of its disks, bytes.
    pub disks: Vec<u64>,
    /// The key of its disks.
    pub key: Option<[u8; 32]>,
    /// How fast its application writes.
    pub writes_per_second: f64,
}

/// What a guest says while it boots, one line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// Its disks are whole; the number of the last record.
    Verified(u64),
    /// It does not boot, and why.
    Refused(String),
    /// It runs.
    Ready,
}

/// Runs a guest to its end; the process's exit status.
pub(super) fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(error) => {
            say(&format!("died: {error}"));
            1
        }
    }
}

fn run() -> io::Result<()> {
    rustix::process::setsid()?;
    let mut starter = BufReader::new(UnixStream::from(take_stdin()?));
    let lock = File::from(take_stdout()?);
    let mut order = String::new();
    starter.read_line(&mut order)?;
    let order: Order = serde_json::from_str(&order)?;
    std::env::set_current_dir(&order.folder)?;
    let ledger = Ledger::new(&order.machine, &order.disks, order.key);
    let proof = match prove(&ledger, &order) {
        Ok(proof) => proof,
        Err(reason) => {
            say(&format!("does not boot: {reason}"));
            return tell(&mut starter, &Word::Refused(reason));
        }
    };
    tell(&mut starter, &Word::Verified(proof.last))?;
    let mut go = String::new();
    starter.read_line(&mut go)?;
    if go != "go\n" {
        say("was not started after all");
        return Ok(());
    }
    let requests = control::listen()?;
    let mut work = work::Work::begin(&order, ledger, proof.last, lock)?;
    say(&format!("runs on after record {}", proof.last));
    // Whoever started it may be dead by now; it runs all the same.
    drop(tell(&mut starter, &Word::Ready));
    drop(starter);
    work.go_on(&requests)
}

fn prove(ledger: &Ledger, order: &Order) -> Result<Proof, String> {
    let disks = Still::open_all(&order.folder, &order.disks).map_err(|error| error.to_string())?;
    ledger.prove(&disks).map_err(|error| error.to_string())
}

fn tell(starter: &mut BufReader<UnixStream>, word: &Word) -> io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    starter.get_mut().write_all(&line)
}

/// Its log is its standard error.
fn say(what: &str) {
    let line = format!("{} {what}\n", crate::base::Timestamp::now());
    // A log that cannot be written must not stop a machine.
    drop(io::stderr().write_all(line.as_bytes()));
}

fn take_stdin() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(taken)
}

fn take_stdout() -> io::Result<OwnedFd> {
    let taken = io::stdout().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(taken)
}
