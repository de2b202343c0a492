//! The guest's control socket: one request and one answer per connection, a line each.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Json, SnapshotId};
use crate::sites::commands::Command;
use crate::sites::files;
use crate::sites::lab::cow::Kept;
use crate::sites::lab::guest::command;

/// Its name in the machine's folder.
pub(in crate::sites::lab) const SOCKET: &str = "control.sock";

/// Longest a peer may take for its one line.
const LINE_TIME: Duration = Duration::from_secs(5);
/// How often somebody who waits for a long answer is asked whether to go on.
const LOOK: Duration = Duration::from_millis(20);

/// What a running machine can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::sites::lab) enum Request {
    /// The number of the last acknowledged record.
    Ping,
    /// Take a snapshot; answers what is kept of it.
    Snapshot(Box<Kept>),
    /// Give one up.
    Release(SnapshotId),
    /// Run a command; answers what became of it. It ends when whoever asked hangs up.
    Run(Box<Command>),
    /// Finish the record in hand, end.
    Stop,
    /// End now, whatever is in hand: the plug.
    Kill,
}

/// A request, and where its answer goes.
pub(super) type Asked = (Request, Sender<Result<Json, String>>);

/// Listens in the current folder. Only one thread works on the disks: requests queue for it.
pub(super) fn listen() -> io::Result<Receiver<Asked>> {
    files::remove(Path::new(SOCKET))?;
    let listener = UnixListener::bind(SOCKET)?;
    let (asked, requests) = channel();
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for peer in listener.incoming().flatten() {
            let asked = asked.clone();
            let serve = move || {
                // A peer that went away gets no answer.
                drop(answer(peer, &asked));
            };
            if std::thread::Builder::new().name("peer".to_owned()).spawn(serve).is_err() {
                super::say("too many peers: one was sent away");
            }
        }
    })?;
    Ok(requests)
}

fn answer(mut peer: UnixStream, asked: &Sender<Asked>) -> io::Result<()> {
    peer.set_read_timeout(Some(LINE_TIME))?;
    let mut line = String::new();
    BufReader::new(&peer).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Err(error) => Err(format!("not a request: {error}")),
        Ok(Request::Kill) => {
            super::say("the plug was pulled");
            command::end_all();
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
            Ok(Json::Null)
        }
        // The machine's own work goes on meanwhile.
        Ok(Request::Run(order)) => Ok(command::run(&order, &peer)),
        Ok(request) => {
            let (reply, answer) = channel();
            asked.send((request, reply)).map_err(io::Error::other)?;
            answer.recv().map_err(io::Error::other)?
        }
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    peer.write_all(&line)
}

/// Asks the guest whose folder this is; waits for the answer for at most `patience`.
pub(in crate::sites::lab) fn ask(
    folder: &Path,
    request: &Request,
    patience: Duration,
) -> io::Result<Json> {
    let guest = call(folder, request)?;
    guest.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
    let mut answer = Vec::new();
    BufReader::new(&guest).read_until(b'\n', &mut answer)?;
    read(&answer)
}

/// Asks the guest whose folder this is, and waits until it answers or `stop` says so (`None`).
pub(in crate::sites::lab) fn ask_until(
    folder: &Path,
    request: &Request,
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<Json>> {
    let guest = call(folder, request)?;
    guest.set_read_timeout(Some(LOOK))?;
    let mut reader = BufReader::new(&guest);
    let mut answer = Vec::new();
    loop {
        match reader.read_until(b'\n', &mut answer) {
            Ok(_) => return read(&answer).map(Some),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if stop() {
            return Ok(None);
        }
    }
}

fn call(folder: &Path, request: &Request) -> io::Result<UnixStream> {
    // The path of a socket is short: it leads through a descriptor of the folder.
    let open = std::fs::File::open(folder).map_err(files::at(folder))?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&open);
    let mut guest = UnixStream::connect(format!("/proc/self/fd/{number}/{SOCKET}"))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    guest.write_all(&line)?;
    Ok(guest)
}

fn read(answer: &[u8]) -> io::Result<Json> {
    if answer.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    serde_json::from_slice::<Result<Json, String>>(answer)?.map_err(io::Error::other)
}
