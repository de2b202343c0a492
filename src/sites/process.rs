//! One process of this computer: started without a shell, heard up to a limit, ended with its children.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::sites::commands::{Command, Ran};

/// Most that is kept of what it prints, bytes; the rest is read and dropped.
const STDOUT_MAX: usize = 64 << 10;
/// Most that is kept of its complaints, bytes: the last ones.
const COMPLAINT_MAX: usize = 1 << 10;
/// How often it is asked whether it should still go on.
const LOOK: Duration = Duration::from_millis(20);
/// How long its pipes are heard after its end: a child that it left behind may hold them for ever.
const ECHO: Duration = Duration::from_millis(200);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum NoEnd {
    /// It was never started.
    #[error("it cannot be started: {0}")]
    NotStarted(io::Error),
    /// It was ended because `stop` said so.
    #[error("it was stopped")]
    Stopped,
    /// It was started, and then nobody could listen to it; it was ended.
    #[error("it could not be waited for: {0}")]
    Lost(io::Error),
}

/// Runs a command in `folder` to its end. Blocking. `stop` is asked all the time: `true` kills the
/// command's process group.
///
/// # Errors
/// See [`NoEnd`].
pub fn run(command: &Command, folder: &Path, stop: &dyn Fn() -> bool) -> Result<Ran, NoEnd> {
    let (program, arguments) = command.argv.split_first().expect("BUG: a command has a program");
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&command.env)
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(NoEnd::NotStarted)?;
    let heard = hear(&mut child, stop);
    if heard.is_err() {
        end(&child);
    }
    // Only now may its number be given to another process.
    let status = child.wait();
    let (stdout, complaint) = heard?;
    let status = status.map_err(NoEnd::Lost)?;
    let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(Ran { status, stdout: text(stdout), complaint: text(complaint) })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned())
}

/// Ends the command and what it started. It was not waited for yet, so its number is still its own.
fn end(child: &Child) {
    if let Some(group) = pid(child) {
        // Gone already is as good.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// A pipe of the command: what is kept of it, until it ends.
struct Ear<R> {
    pipe: Option<R>,
    kept: Vec<u8>,
    max: usize,
    keep_last: bool,
}

impl<R: Read + AsFd> Ear<R> {
    fn read(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let mut some = [0; 16 << 10];
        match pipe.read(&mut some) {
            Ok(0) => self.pipe = None,
            Ok(count) => self.keep(&some[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn keep(&mut self, some: &[u8]) {
        if self.keep_last {
            self.kept.extend_from_slice(some);
            let surplus = self.kept.len().saturating_sub(self.max);
            self.kept.drain(..surplus);
        } else {
            let room = self.max - self.kept.len();
            self.kept.extend_from_slice(&some[..some.len().min(room)]);
        }
    }
}

/// Listens until the command has ended; `Err`: it is to be ended.
fn hear(child: &mut Child, stop: &dyn Fn() -> bool) -> Result<(Vec<u8>, Vec<u8>), NoEnd> {
    let open = || {
        let pid = pid(child).ok_or_else(|| io::Error::other("no process number"))?;
        pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)
    };
    let process: OwnedFd = open().map_err(NoEnd::Lost)?;
    let mut out =
        Ear { pipe: child.stdout.take(), kept: Vec::new(), max: STDOUT_MAX, keep_last: false };
    let mut err =
        Ear { pipe: child.stderr.take(), kept: Vec::new(), max: COMPLAINT_MAX, keep_last: true };
    let mut ended: Option<Instant> = None;
    loop {
        if ended.is_none() && stop() {
            return Err(NoEnd::Stopped);
        }
        let is_over = ended.is_some_and(|at| at.elapsed() >= ECHO);
        if is_over || (ended.is_some() && out.pipe.is_none() && err.pipe.is_none()) {
            return Ok((out.kept, err.kept));
        }
        let [exits, speaks, complains] = next(&process, &out, &err, ended.is_some())?;
        if speaks {
            out.read().map_err(NoEnd::Lost)?;
        }
        if complains {
            err.read().map_err(NoEnd::Lost)?;
        }
        if exits && ended.is_none() {
            ended = Some(Instant::now());
        }
    }
}

/// Waits a little for the process to end or to say something.
fn next<O: AsFd, E: AsFd>(
    process: &OwnedFd,
    out: &Ear<O>,
    err: &Ear<E>,
    has_ended: bool,
) -> Result<[bool; 3], NoEnd> {
    let all = [
        (!has_ended).then(|| process.as_fd()),
        out.pipe.as_ref().map(AsFd::as_fd),
        err.pipe.as_ref().map(AsFd::as_fd),
    ];
    let mut asked: Vec<PollFd<'_>> =
        all.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let look = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    match poll(&mut asked, Some(&look)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(NoEnd::Lost(error.into())),
    }
    let mut answers = asked.iter().map(|one| !one.revents().is_empty());
    Ok(all.map(|fd| fd.is_some() && answers.next().unwrap_or(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str) -> Command {
        let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        Command { argv, env: [("WORD".to_owned(), "a b".to_owned())].into() }
    }

    fn go(line: &str) -> Ran {
        run(&sh(line), Path::new("/"), &|| false).unwrap()
    }

    #[test]
    fn what_it_says_and_how_it_ends_is_heard() {
        assert_eq!(go("printf '%s' \"$WORD\"").stdout, "a b");
        let bad = go("echo no >&2; exit 3");
        assert_eq!((bad.status, bad.complaint.as_str()), (3, "no\n"));
        assert_eq!(go("kill -9 $$").status, 137);
        assert_eq!(go("echo ${HOME:-nothing}").stdout, "nothing\n", "its environment is its own");
        let much = go("head -c 300000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero >&2");
        assert_eq!((much.stdout.len(), much.complaint.len()), (STDOUT_MAX, COMPLAINT_MAX));
    }

    #[test]
    fn a_child_that_is_left_behind_is_not_waited_for() {
        let begun = Instant::now();
        assert_eq!(go("sleep 5 & echo done").stdout, "done\n");
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn it_is_stopped_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pids");
        let line = format!("sleep 60 & echo $! > {0}; echo $$ >> {0}; wait", file.display());
        let is_written =
            || std::fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 2);
        let stopped = run(&sh(&line), folder.path(), &is_written);
        assert!(matches!(stopped, Err(NoEnd::Stopped)), "{stopped:?}");
        let pids = std::fs::read_to_string(&file).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        for pid in pids.lines() {
            let stat = std::path::PathBuf::from(format!("/proc/{pid}/stat"));
            // The orphan may wait for its new parent to take note of its end.
            let lives = || {
                std::fs::read_to_string(&stat)
                    .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
            };
            while lives() && Instant::now() < deadline {
                std::thread::yield_now();
            }
            assert!(!lives(), "{pid} lives on");
        }
    }

    #[test]
    fn what_cannot_be_started_says_so() {
        let missing = Command { argv: vec!["/nonexistent/tool".into()], env: [].into() };
        let failed = run(&missing, Path::new("/"), &|| false);
        assert!(matches!(failed, Err(NoEnd::NotStarted(_))), "{failed:?}");
    }
}
