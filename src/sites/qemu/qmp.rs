//! QMP: a QEMU process's control socket. Blocking, every wait with an end.
//!
//! In: commands. Out: answers and events, as QEMU wrote them. Refuses to know: what the commands are for.
//!
//! QEMU serves one client at a time and lets others wait without a word. So a greeting that does not come
//! means one of two things that look alike: somebody else is served, or QEMU hangs. And when a client goes
//! away before its answer, QEMU may give that to the next one: so no id is ever used twice.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::base::Json;
use crate::sites::qemu::socket::Wire;

/// Longest line read, bytes.
const LINE_BYTES_MAX: usize = 16 << 20;
/// Most events kept for later; the oldest is forgotten.
const EVENTS_MAX: usize = 1024;
/// Most that the lines of kept events have together, bytes.
const EVENT_BYTES_MAX: usize = 4 << 20;
/// Longest that QEMU may take for one answer: it may have to wait for its disks.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// QEMU answered that it will not or cannot.
    #[error("QEMU refused `{command}`: {desc} ({class})")]
    Answer {
        /// What it was asked.
        command: String,
        /// QEMU's class of the error: mostly `GenericError`; `DeviceNotFound`, `CommandNotFound`.
        class: String,
        /// QEMU's own words; they differ from version to version.
        desc: String,
    },
    /// No answer, or none that can be read: what was asked may have been done or not.
    #[error("QEMU's control socket: {0}")]
    Lost(#[from] io::Error),
}

/// How a block job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// It did all it was to do.
    Completed,
    /// It gave up, in QEMU's words.
    Failed(String),
    /// It was cancelled.
    Cancelled,
}

/// A connection on which commands are given.
#[derive(Debug)]
pub(super) struct Qmp {
    wire: BufReader<Wire>,
    /// The beginning of a line whose end was not there in time.
    line: Vec<u8>,
    /// Events that nobody asked for yet, oldest first, with the bytes of their lines.
    kept: VecDeque<(usize, Json)>,
    kept_bytes: usize,
    /// What the ids of this connection's commands begin with, and no other's.
    token: String,
    /// Commands given so far.
    asked: u64,
    answer_time: Duration,
}

impl Qmp {
    /// Connects to the socket and takes the control over.
    ///
    /// # Errors
    /// Names the socket. `TimedOut` when QEMU does not serve us within `patience`; `NotFound` and
    /// `ConnectionRefused` when no QEMU listens there. One that is just starting may also break off:
    /// `ConnectionReset`, `UnexpectedEof`; nothing has happened then.
    pub(super) fn connect(socket: &Path, patience: Duration) -> io::Result<Qmp> {
        let deadline = Instant::now() + patience;
        let connected = Wire::dial(socket, deadline).and_then(|wire| {
            let mut qmp = Qmp::on(wire)?;
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", socket.display()))
            };
            qmp.greet(deadline).map_err(named)?;
            Ok(qmp)
        });
        connected.map_err(|error| {
            if error.kind() != ErrorKind::TimedOut {
                return error;
            }
            let (at, seconds) = (socket.display(), patience.as_secs_f32());
            let why = "QEMU hangs, or somebody else is connected";
            let message = format!("{at}: no greeting within {seconds}s: {why}");
            io::Error::new(ErrorKind::TimedOut, message)
        })
    }

    fn on(wire: Wire) -> io::Result<Qmp> {
        Ok(Qmp {
            wire: BufReader::new(wire),
            line: Vec::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            token: token()?,
            asked: 0,
            answer_time: ANSWER_TIME,
        })
    }

    fn greet(&mut self, deadline: Instant) -> io::Result<()> {
        loop {
            let (_, said) = self.hear(deadline)?;
            if said["QMP"].is_object() {
                break;
            }
            let is_for_another = |word| said.get(word).is_some();
            if !["return", "error", "event"].into_iter().any(is_for_another) {
                return Err(strange("no QEMU greets like this"));
            }
        }
        match self.ask_until("qmp_capabilities", Json::Null, deadline) {
            Ok(_) => Ok(()),
            Err(Refused::Lost(error)) => Err(error),
            Err(refused @ Refused::Answer { .. }) => Err(io::Error::other(refused)),
        }
    }

    /// Gives a command and waits for its answer; `Null`: without arguments. Events that come meanwhile
    /// are kept.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) fn ask(&mut self, command: &str, arguments: Json) -> Result<Json, Refused> {
        self.ask_until(command, arguments, Instant::now() + self.answer_time)
    }

    fn ask_until(
        &mut self,
        command: &str,
        arguments: Json,
        deadline: Instant,
    ) -> Result<Json, Refused> {
        let id = self.order(command, arguments, deadline)?;
        loop {
            let (bytes, mut said) = self.hear(deadline)?;
            if said["event"].is_string() {
                self.keep(bytes, said);
                continue;
            }
            // The answer to a command that was given up waiting for, or to another client's; or a second
            // greeting, when QEMU was just starting.
            if said["id"] != id.as_str() {
                continue;
            }
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
            let text = |what: &str| said["error"][what].as_str().map(str::to_owned);
            let (Some(class), Some(desc)) = (text("class"), text("desc")) else {
                return Err(strange("an answer that is none").into());
            };
            return Err(Refused::Answer { command: command.to_owned(), class, desc });
        }
    }

    /// The first event that fits, kept or still to come; it is not kept any longer. `None`: there was
    /// none before the deadline. Once that has passed, only kept events are looked at.
    ///
    /// # Errors
    /// [`Refused::Lost`].
    pub(super) fn event(
        &mut self,
        is_it: impl Fn(&Json) -> bool,
        deadline: Instant,
    ) -> Result<Option<Json>, Refused> {
        if let Some(at) = self.kept.iter().position(|(_, event)| is_it(event)) {
            return Ok(self.forget(at));
        }
        loop {
            match self.hear(deadline) {
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(None),
                Err(error) => return Err(error.into()),
                // A late answer.
                Ok((_, said)) if !said["event"].is_string() => {}
                Ok((_, event)) if is_it(&event) => return Ok(Some(event)),
                Ok((bytes, event)) => self.keep(bytes, event),
            }
        }
    }

    /// Waits for the end of the block job with this id. `None`: it did not end before the deadline, or
    /// ended before this connection was made (`query-block-jobs` tells which). An id that was used before
    /// on this connection may find the end of the job before.
    ///
    /// # Errors
    /// [`Refused::Lost`].
    pub(super) fn job_end(
        &mut self,
        job: &str,
        deadline: Instant,
    ) -> Result<Option<JobEnd>, Refused> {
        let is_end = |event: &Json| {
            (event["event"] == "BLOCK_JOB_COMPLETED" || event["event"] == "BLOCK_JOB_CANCELLED")
                && event["data"]["device"] == job
        };
        let Some(event) = self.event(is_end, deadline)? else {
            return Ok(None);
        };
        // A job whose target died is "completed" too.
        Ok(Some(match event["data"].get("error") {
            Some(error) => {
                JobEnd::Failed(error.as_str().map_or_else(|| error.to_string(), str::to_owned))
            }
            None if event["event"] == "BLOCK_JOB_CANCELLED" => JobEnd::Cancelled,
            None => JobEnd::Completed,
        }))
    }

    /// Gives a command; the result is its id.
    fn order(&mut self, command: &str, arguments: Json, deadline: Instant) -> io::Result<String> {
        self.asked += 1;
        let id = format!("{}-{}", self.token, self.asked);
        let mut request = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        let wire = self.wire.get_mut();
        wire.until(deadline);
        // After half a command, whatever comes next would be taken for its other half.
        wire.write_all(&line).inspect_err(|_| wire.hang_up())?;
        Ok(id)
    }

    /// The next line, with its length in bytes.
    fn hear(&mut self, deadline: Instant) -> io::Result<(usize, Json)> {
        self.wire.get_mut().until(deadline);
        loop {
            let there = self.wire.fill_buf()?;
            if there.is_empty() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "QEMU closed the connection"));
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let bytes = end.map_or(there.len(), |at| at + 1);
            if self.line.len() + bytes > LINE_BYTES_MAX {
                return Err(strange("a line longer than 16 MiB"));
            }
            self.line.extend_from_slice(&there[..bytes]);
            self.wire.consume(bytes);
            if end.is_some() {
                let line = std::mem::take(&mut self.line);
                let said = serde_json::from_slice(&line)
                    .map_err(|error| strange(&format!("a line that is not JSON: {error}")))?;
                return Ok((line.len(), said));
            }
        }
    }

    fn keep(&mut self, bytes: usize, event: Json) {
        self.kept_bytes += bytes;
        self.kept.push_back((bytes, event));
        while self.kept.len() > EVENTS_MAX || self.kept_bytes > EVENT_BYTES_MAX {
            self.forget(0);
        }
    }

    fn forget(&mut self, at: usize) -> Option<Json> {
        let (bytes, event) = self.kept.remove(at)?;
        self.kept_bytes -= bytes;
        Some(event)
    }
}

fn token() -> io::Result<String> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("homing-{:016x}", u64::from_le_bytes(bytes)))
}

fn strange(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Child, Command, Stdio};
    use std::thread::JoinHandle;

    use super::*;
    use crate::sites::qemu::tools;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Whether the tools that these tests need are here.
    #[track_caller]
    pub(in crate::sites::qemu) fn has_tools() -> bool {
        tools::tests::have(&["qemu-storage-daemon", "qemu-nbd", "qemu-img"])
    }

    /// A server that ends with the test.
    pub(in crate::sites::qemu) struct Server(Child);

    impl Server {
        /// Starts one and waits until it is ready.
        pub(in crate::sites::qemu) fn start(
            tool: &str,
            arguments: &[&str],
            is_ready: impl Fn() -> bool,
        ) -> Server {
            let mut command = Command::new(tool);
            command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());
            let mut server = Server(command.spawn().unwrap());
            let deadline = Instant::now() + PATIENCE;
            while !is_ready() {
                if server.0.try_wait().unwrap().is_some() {
                    let said = io::read_to_string(server.0.stderr.take().unwrap()).unwrap();
                    panic!("{tool} {arguments:?} ended: {said}");
                }
                assert!(Instant::now() < deadline, "{tool} does not listen");
                std::thread::park_timeout(Duration::from_millis(10));
            }
            server
        }

        pub(in crate::sites::qemu) fn pid(&self) -> rustix::process::Pid {
            rustix::process::Pid::from_child(&self.0)
        }

        pub(in crate::sites::qemu) fn kill(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.kill();
        }
    }

    /// A storage daemon with these options, and a control socket at `folder/qmp`.
    pub(in crate::sites::qemu) fn daemon(folder: &Path, options: &[&str]) -> Server {
        let socket = folder.join("qmp");
        let chardev = format!("socket,id=c,server=on,wait=off,path={}", socket.display());
        let monitor = ["--chardev", &chardev, "--monitor", "chardev=c"];
        // Options are carried out in their order: once the last one is, all are.
        let is_ready = || Qmp::connect(&socket, PATIENCE).is_ok();
        Server::start("qemu-storage-daemon", &[options, &monitor].concat(), is_ready)
    }

    #[test]
    fn commands_are_answered_or_refused_and_one_client_is_served_at_a_time() {
        if !has_tools() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut server = daemon(folder.path(), &[]);
        let socket = folder.path().join("qmp");
        let mut qmp = Qmp::connect(&socket, PATIENCE).unwrap();
        assert_eq!(qmp.ask("query-block-exports", Json::Null).unwrap(), json!([]));
        let refused = qmp.ask("blockdev-del", json!({ "node-name": "none" })).unwrap_err();
        let Refused::Answer { command, class, desc } = &refused else { panic!("{refused}") };
        assert_eq!((command.as_str(), class.as_str()), ("blockdev-del", "GenericError"), "{desc}");
        let unknown = qmp.ask("no-such-thing", Json::Null).unwrap_err();
        assert!(unknown.to_string().contains("(CommandNotFound)"), "{unknown}");

        let second = Qmp::connect(&socket, Duration::from_millis(200)).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::TimedOut);
        assert!(second.to_string().contains("within 0.2s: QEMU hangs, or somebody"), "{second}");
        let token = qmp.token.clone();
        drop(qmp);
        let mut qmp = Qmp::connect(&socket, PATIENCE).unwrap();
        assert_ne!(qmp.token, token, "answers to the one before may still come");
        server.kill();
        let lost = qmp.ask("query-block-exports", Json::Null).unwrap_err();
        assert!(matches!(lost, Refused::Lost(_)), "{lost}");
        let nobody = Qmp::connect(&socket, PATIENCE).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_job_is_completed_or_cancelled_or_failed() {
        if !has_tools() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::File::create(&path).unwrap().set_len(4 << 20).unwrap();
            format!("driver=file,filename={},node-name={name}", path.display())
        };
        let (from, to, bad) = (file("from"), file("to"), file("bad"));
        let fails = "driver=blkdebug,image=bad,node-name=fails,inject-error.0.event=none,\
                     inject-error.0.iotype=write-zeroes,inject-error.0.errno=5";
        let options = ["--blockdev", &from, "--blockdev", &to, "--blockdev", &bad];
        let _server = daemon(folder.path(), &[&options[..], &["--blockdev", fails]].concat());
        let mut qmp = Qmp::connect(&folder.path().join("qmp"), PATIENCE).unwrap();
        let backup = |job: &str, to: &str, speed: u64| json!({ "job-id": job, "device": "from", "target": to, "sync": "full", "speed": speed });
        let soon = || Instant::now() + PATIENCE;

        qmp.ask("blockdev-backup", backup("done", "to", 0)).unwrap();
        qmp.ask("blockdev-backup", backup("slow", "to", 1)).unwrap();
        assert_eq!(qmp.job_end("slow", Instant::now()).unwrap(), None);
        qmp.ask("block-job-cancel", json!({ "device": "slow" })).unwrap();
        // The end of the other one was kept meanwhile.
        assert_eq!(qmp.job_end("slow", soon()).unwrap(), Some(JobEnd::Cancelled));
        assert_eq!(qmp.job_end("done", soon()).unwrap(), Some(JobEnd::Completed));
        assert_eq!(qmp.job_end("done", Instant::now()).unwrap(), None, "it was told once");

        qmp.ask("blockdev-backup", backup("bad", "fails", 0)).unwrap();
        let end = qmp.job_end("bad", soon()).unwrap();
        assert_eq!(end, Some(JobEnd::Failed("Input/output error".to_owned())));
    }

    /// Somebody who may be taken for QEMU.
    struct Peer(BufReader<UnixStream>);

    impl Peer {
        fn say(&mut self, words: &[u8]) {
            self.0.get_mut().write_all(words).unwrap();
        }

        /// Answers the next command, after whatever else there is to say.
        fn answer(&mut self, words: &str, answer: &Json) {
            let id = self.id();
            let line = json!({ "return": answer, "id": id });
            self.say(format!("{words}{line}\r\n").as_bytes());
        }

        /// The id of the next command.
        fn id(&mut self) -> Json {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            serde_json::from_str::<Json>(&line).unwrap()["id"].take()
        }

        fn stay(mut self) {
            drop(io::copy(&mut self.0, &mut io::sink()));
        }
    }

    fn fake(serve: impl FnOnce(Peer) + Send + 'static) -> (tempfile::TempDir, JoinHandle<()>) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
        let thread = std::thread::spawn(move || {
            serve(Peer(BufReader::new(listener.accept().unwrap().0)));
        });
        (folder, thread)
    }

    const HELLO: &str = "{\"QMP\": {}}\r\n";

    #[test]
    fn what_is_no_qemu_is_an_error_at_once() {
        let endless = vec![b'1'; LINE_BYTES_MAX + 1];
        let cases: [(&[u8], ErrorKind); 7] = [
            (b"", ErrorKind::UnexpectedEof),
            (b"220 mail.example ESMTP\r\n", ErrorKind::InvalidData),
            (b"{}\n", ErrorKind::InvalidData),
            (b"[{\"QMP\": {}}]\n", ErrorKind::InvalidData),
            (HELLO.as_bytes(), ErrorKind::UnexpectedEof),
            (b"{\"QMP\": {}}\n{\"id\": 1, \"return\": {}}\n[3]\n", ErrorKind::UnexpectedEof),
            (&endless, ErrorKind::InvalidData),
        ];
        for (bytes, kind) in cases {
            let bytes = bytes.to_vec();
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            let (folder, thread) = fake(move |mut peer| {
                drop(peer.0.get_mut().write_all(&bytes));
                peer.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
                peer.stay();
            });
            let socket = folder.path().join("qmp");
            let error = Qmp::connect(&socket, PATIENCE).unwrap_err();
            assert_eq!(error.kind(), kind, "{shown}: {error}");
            assert!(error.to_string().contains(&socket.display().to_string()), "{error}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn no_answer_is_taken_for_that_to_another_command() {
        let (go, went) = std::sync::mpsc::channel();
        let (folder, thread) = fake(move |mut peer| {
            // To whoever was here before; and it greets twice.
            let before = "{\"return\": {}, \"id\": 1}\r\n{\"event\": \"BEFORE\"}\r\n";
            peer.say(format!("{before}{HELLO}{before}").as_bytes());
            peer.answer(HELLO, &json!({}));
            // Half an answer, and its other half when the next command was given.
            let id = peer.id();
            peer.say(b"{\"return\": \"la");
            went.recv().unwrap();
            peer.answer(&format!("te\", \"id\": {id}}}\r\n"), &json!("next"));
            peer.stay();
        });
        let mut qmp = Qmp::connect(&folder.path().join("qmp"), PATIENCE).unwrap();
        qmp.answer_time = Duration::from_millis(500);
        let late = qmp.ask("slow", Json::Null).unwrap_err();
        let Refused::Lost(error) = &late else { panic!("{late}") };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        go.send(()).unwrap();
        qmp.answer_time = PATIENCE;
        assert_eq!(qmp.ask("next", Json::Null).unwrap(), "next");
        drop(qmp);
        thread.join().unwrap();
    }

    #[test]
    fn no_more_events_are_kept_than_there_is_room_for() {
        let (folder, thread) = fake(move |mut peer| {
            let event =
                |kind: &str, x: &str| format!("{{\"event\": \"{kind}\", \"x\": \"{x}\"}}\n");
            let small: String = (0..3000).map(|n| event("SMALL", &n.to_string())).collect();
            let large = event("LARGE", &"x".repeat(1 << 20)).repeat(9);
            peer.say(HELLO.as_bytes());
            peer.answer("", &json!({}));
            peer.answer(&small, &json!({}));
            peer.answer(&large, &json!({}));
            peer.stay();
        });
        let mut qmp = Qmp::connect(&folder.path().join("qmp"), PATIENCE).unwrap();
        qmp.ask("small", Json::Null).unwrap();
        assert_eq!(qmp.kept.len(), EVENTS_MAX);
        let last = qmp.event(|event| event["x"] == "2999", Instant::now()).unwrap();
        assert_eq!(last.unwrap()["event"], "SMALL");
        assert!(qmp.event(|event| event["x"] == "0", Instant::now()).unwrap().is_none());
        qmp.ask("large", Json::Null).unwrap();
        let bytes: usize = qmp.kept.iter().map(|(bytes, _)| bytes).sum();
        assert_eq!(bytes, qmp.kept_bytes);
        assert!(bytes <= EVENT_BYTES_MAX && qmp.kept.len() == 3, "{}", qmp.kept.len());
        drop(qmp);
        thread.join().unwrap();
    }
}
