//! A unix socket of a QEMU process, with an end to all waiting.
//!
//! In: a path and a deadline. Out: bytes, before the deadline. Refuses to know: what the bytes say.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use rustix::process::Pid;

/// A connection whose every read and write fails with `TimedOut` once its deadline has passed.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    deadline: Instant,
    /// The timeout that the system was told last.
    armed: Duration,
}

impl Wire {
    /// Connects to the socket at `path`, however long that is. The listener need not answer: a process
    /// that hangs is connected to as well, while there is room in its queue.
    ///
    /// # Errors
    /// Names the path. `NotFound`: no such socket; `ConnectionRefused`: nobody listens; `TimedOut`: too
    /// many wait for the listener already.
    pub(super) fn dial(path: &Path, deadline: Instant) -> io::Result<Wire> {
        Wire::connect(path, deadline)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    fn connect(path: &Path, deadline: Instant) -> io::Result<Wire> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not the path of a socket"));
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder, flags, Mode::empty())?;
        // An address has room for 108 bytes: the way leads through a descriptor of the folder.
        let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        let address = SocketAddrUnix::new(short)?;
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut wire = Wire { stream: socket.into(), deadline, armed: Duration::ZERO };
        // The system waits for room in the listener's queue for as long as it would for a write.
        wire.timed(|stream| Ok(rustix::net::connect(stream, &address)?))?;
        Ok(wire)
    }

    /// From now on, all reads and writes together end then.
    pub(super) fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// The process that listens (it called `listen`; whoever it gave the socket to is not known). Its
    /// number may be another process's once it is gone.
    ///
    /// # Errors
    /// When the system does not say.
    pub(super) fn peer(&self) -> io::Result<Pid> {
        Ok(sockopt::socket_peercred(&self.stream)?.pid)
    }

    /// Ends the connection for both sides: what is read or written later fails.
    pub(super) fn hang_up(&self) {
        // One that has ended already is as good.
        drop(self.stream.shutdown(Shutdown::Both));
    }

    fn timed<T>(&mut self, mut act: impl FnMut(&mut UnixStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            self.arm()?;
            match act(&mut self.stream) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }

    /// Tells the system how long to wait. Not each time: a request is many reads, and what the system
    /// knows is near enough as long as little of the time has passed.
    fn arm(&mut self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
        }
        if self.armed > left + left / 16 || self.armed < left / 2 {
            self.stream.set_read_timeout(Some(left))?;
            self.stream.set_write_timeout(Some(left))?;
            self.armed = left;
        }
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.timed(|stream| stream.read(buffer))
    }
}

impl Write for Wire {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.timed(|stream| stream.write(data))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(100)
    }

    #[test]
    fn a_path_longer_than_an_address_is_reached_and_its_listener_known() {
        let deadline = Instant::now() + Duration::from_secs(60);
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a".repeat(150)).join("b".repeat(150));
        std::fs::create_dir_all(&folder).unwrap();
        let open = std::fs::File::open(&folder).unwrap();
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/s", open.as_raw_fd())).unwrap();
        let wire = Wire::dial(&folder.join("s"), deadline).unwrap();
        assert_eq!(wire.peer().unwrap(), rustix::process::getpid());
        drop(listener);
        let refused = Wire::dial(&folder.join("s"), deadline).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let missing = Wire::dial(&folder.join("t"), deadline).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains(&format!("{}/t", "b".repeat(150))), "{missing}");
    }

    #[test]
    fn connecting_reading_and_writing_end_at_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        // Nobody accepts: the queue fills up.
        rustix::net::listen(&listener, 0).unwrap();
        let began = Instant::now();
        let mut wire = Wire::dial(&path, began + Duration::from_secs(60)).unwrap();
        assert_eq!(Wire::dial(&path, soon()).unwrap_err().kind(), ErrorKind::TimedOut);
        wire.until(soon());
        assert_eq!(wire.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        wire.until(soon());
        let fill = wire.write_all(&vec![0; 16 << 20]);
        assert_eq!(fill.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn a_deadline_is_for_all_bytes_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let drip = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            while peer.write_all(&[0]).is_ok() {
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
        let mut wire = Wire::dial(&path, Instant::now() + Duration::from_secs(60)).unwrap();
        wire.until(soon());
        let trickle = wire.read_exact(&mut [0; 1 << 20]);
        assert_eq!(trickle.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(wire);
        drip.join().unwrap();
    }
}
