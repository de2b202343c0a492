//! The guest's control socket: one request and one answer per connection, a line each.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Json, SnapshotId};
use crate::sites::lab::cow::Kept;
use crate::sites::lab::files;

/// Its name in the machine's folder.
pub(in crate::sites::lab) const SOCKET: &str = "control.sock";

/// Longest a peer may take for its one line.
const LINE_TIME: Duration = Duration::from_secs(5);

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
            rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            )?;
            Ok(Json::Null)
        }
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
    // The path of a socket is short: it leads through a descriptor of the folder.
    let open = std::fs::File::open(folder).map_err(files::at(folder))?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&open);
    let mut guest = UnixStream::connect(format!("/proc/self/fd/{number}/{SOCKET}"))?;
    guest.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    guest.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(&guest).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    serde_json::from_str::<Result<Json, String>>(&answer)?.map_err(io::Error::other)
}
