//! A practice ground in a temporary folder, and the binary to work on it.

pub mod bench;
pub mod dying;
pub mod hand;
pub mod observed;
pub mod qemu;
pub mod scribe;
pub mod situation;
pub mod told;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// What one call of the binary said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub fn exit(self, code: i32) -> Said {
        assert_eq!(self.code, code, "--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless stderr holds every part.
    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Said {
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in\n{}", self.err);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }

    /// Standard output as one JSON value per line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// Three machines in a lab: `db-01`, and `web-01` and `web-02` that need it.
pub struct Ground {
    folder: tempfile::TempDir,
}

/// The inventory of a ground: small disks; `BANDWIDTH` keeps a transfer in flight long enough to be hit.
const INVENTORY: &str = r#"
[site.azure]
provider = "lab"
path = ".homing/lab/azure"
bandwidth = "BANDWIDTH"

[site.dc1]
provider = "lab"
path = ".homing/lab/dc1"
hosts = { hv-01 = { switches = ["prod"] }, hv-02 = { switches = ["prod"] } }

[machine.db-01]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["8MiB", "4MiB"]
tags = { tier = "db" }
lab = { writes_per_second = 100, failed_over = "12 days ago" }

[machine.web-01]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["8MiB"]
tags = { tier = "web" }
needs = ["db-01"]
lab = { writes_per_second = 100, failed_over = "12 days ago" }

[machine.web-02]
cloud = "azure"
onprem = "dc1/hv-02"
disks = ["8MiB"]
tags = { tier = "web" }
needs = ["db-01"]
lab = { writes_per_second = 100, failed_over = "12 days ago" }
"#;

impl Ground {
    /// The scripts of the repository beside a small inventory.
    pub fn new() -> Ground {
        Ground::with_bandwidth("400MiB/s")
    }

    /// The same with a slower link.
    pub fn with_bandwidth(bandwidth: &str) -> Ground {
        let ground = Ground { folder: folder() };
        ground.write("homing.toml", &INVENTORY.replace("BANDWIDTH", bandwidth));
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        for entry in fs::read_dir(scripts).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rhai") {
                fs::copy(&path, ground.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        ground
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The text of a file in it.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// The same of a file that may be no text.
    pub fn read_lossy(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path().join(name)).unwrap()).into_owned()
    }

    /// Changes a file in it.
    #[track_caller]
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "no `{from}` in {name}");
        self.write(name, &text.replacen(from, to, 1));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homing"));
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        for name in ["HOMING_CONFIG", "HOMING_STATE", "NO_COLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        command
    }

    /// Calls the binary and waits.
    pub fn homing(&self, args: &[&str]) -> Said {
        self.homing_with(args, &[])
    }

    /// The same with more in its environment.
    pub fn homing_with(&self, args: &[&str], env: &[(&str, PathBuf)]) -> Said {
        let output = self.command(args).envs(env.iter().cloned()).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Calls the binary and goes on; its standard output is read line by line.
    pub fn start(&self, args: &[&str]) -> Running {
        self.start_with(args, &[])
    }

    /// The same with more in its environment.
    pub fn start_with(&self, args: &[&str], env: &[(&str, PathBuf)]) -> Running {
        let log = fs::File::create(self.path().join("stderr.txt")).unwrap();
        let mut command = self.command(args);
        command.envs(env.iter().cloned()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out, heard: Vec::new() }
    }

    /// Calls the binary and goes on; everything it says is read as text.
    pub fn listen(&self, args: &[&str]) -> Talk {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = self.command(args);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().unwrap();
        // The command keeps its ends of the pipe: without them the text ends with the process.
        drop(command);
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Talk { child, said }
    }

    /// The lab, measured: one entry per machine. Fails the test when anything was lost.
    #[track_caller]
    pub fn verified(&self) -> Vec<Value> {
        let said = self.homing(&["lab", "verify", "--format", "json"]).exit(0);
        said.json()["machines"].as_array().unwrap().clone()
    }

    /// The id of the newest run.
    #[track_caller]
    pub fn newest_run(&self) -> String {
        let said = self.homing(&["runs", "--format", "json"]).exit(0);
        let runs = said.json();
        let newest =
            runs.as_array().unwrap().iter().max_by_key(|run| run["started_at"].to_string());
        newest.expect("a run")["run"].as_str().unwrap().to_owned()
    }

    /// All runs; none before the first.
    #[track_caller]
    pub fn runs(&self) -> Vec<Value> {
        let said = self.homing(&["runs", "--format", "json"]).exit(0);
        said.json().as_array().unwrap().clone()
    }

    /// Snapshots at any site, by path.
    pub fn snapshots(&self) -> Vec<String> {
        let in_lab = self.files(".homing/lab");
        let inside = |path: &Path| path.components().any(|part| part.as_os_str() == "snapshots");
        let found = in_lab.iter().filter(|path| inside(path));
        found.map(|path| path.display().to_string()).collect()
    }

    /// Sockets that somebody listens on, or listened.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let is_socket =
            |path: &PathBuf| fs::metadata(path).is_ok_and(|it| it.file_type().is_socket());
        self.files(".homing").into_iter().filter(is_socket).collect()
    }

    /// What lies in a folder of it, at any depth, but folders.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let is_folder = fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir());
                if is_folder { folders.push(path) } else { found.push(path) }
            }
        }
        found
    }

    /// Command lines and environments of all processes that were started in it.
    pub fn processes(&self) -> Vec<Vec<u8>> {
        let of = |pid: &Path| {
            let is_here =
                fs::read_link(pid.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.path()));
            let read = |name: &str| fs::read(pid.join(name)).unwrap_or_default();
            is_here.then(|| [read("cmdline"), read("environ")].concat())
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| of(&entry.path())).collect()
    }

    /// Pulls the plug of a machine that runs at home on `hv-01`, and waits until it is gone.
    pub fn kill_guest(&self, machine: &str) {
        let folder = self.path().join(".homing/lab/dc1/hosts/hv-01").join(machine);
        let mut plug = UnixStream::connect(folder.join("control.sock")).unwrap();
        plug.write_all(b"\"kill\"\n").unwrap();
        // Its end closes the connection, however it does.
        let _ = plug.read_to_end(&mut Vec::new());
        let lock = fs::File::open(folder.join("lock")).unwrap();
        lock.lock_shared().unwrap();
    }

    /// All durable events of a run.
    #[track_caller]
    pub fn events(&self, run: &str) -> Vec<Value> {
        self.homing(&["logs", run, "--format", "json"]).exit(0).lines()
    }

    /// Fails the test when a step was tried again after it had succeeded.
    #[track_caller]
    pub fn nothing_ran_twice(&self, run: &str) {
        let mut done = std::collections::BTreeSet::new();
        for event in self.events(run) {
            let step = event["step"].to_string();
            match event["event"].as_str().unwrap() {
                "step_succeeded" => assert!(done.insert(step.clone()), "{step} succeeded twice"),
                "attempt_started" => assert!(!done.contains(&step), "{step} ran again"),
                _ => {}
            }
        }
    }
}

/// Whether programs are there. Without them a test has nothing to test: it says so with the line that
/// installs them, and returns; where `CI` is set that is a failure.
#[track_caller]
pub fn have(programs: &[&str], install: &str) -> bool {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("skipped {test}: it needs {}: {install}\n", missing.join(", "));
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{line}");
    tell(&line);
    false
}

/// Says something to whoever runs the tests, also where all goes well: what the macros print then is kept.
pub fn tell(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where files are in memory, and there is room: what is tested survives a kill, not a power cut, and need
/// not wait for a disk. `TMPDIR` goes before.
pub fn folder() -> tempfile::TempDir {
    const MEMORY: &str = "/dev/shm";
    const ROOM_BYTES: u64 = 4 << 30;
    let free = |stat: rustix::fs::StatVfs| stat.f_bavail.saturating_mul(stat.f_frsize);
    let room = rustix::fs::statvfs(MEMORY).map_or(0, free);
    let asked = std::env::var_os("TMPDIR").is_some();
    let found = (!asked && room > ROOM_BYTES).then(|| tempfile::tempdir_in(MEMORY));
    found.and_then(Result::ok).unwrap_or_else(|| tempfile::tempdir().unwrap())
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !self.path().join(".homing/lab").exists() {
            return;
        }
        // Guests outlive the binary by design: end those of this ground.
        let _ = self.command(&["lab", "reset", "--yes"]).output();
    }
}

/// The binary at work.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    heard: Vec<Value>,
}

impl Running {
    /// Reads events until one fits; `None` when the process ended before.
    pub fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.out.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            let event: Value = serde_json::from_str(&line).expect(&line);
            self.heard.push(event.clone());
            if fits(&event) {
                return Some(event);
            }
        }
    }

    /// The same, by the event's name and a part of its step.
    #[track_caller]
    pub fn until_event(&mut self, event: &str, step: &str) -> Value {
        let found = self.until(|e| {
            e["event"] == event && e["step"].as_str().is_none_or(|id| id.contains(step))
        });
        found.unwrap_or_else(|| panic!("it ended before {event} {step}: {:#?}", self.heard))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it live that long, then `kill -9`: what it said, and its exit code when it ended before.
    pub fn live_for(mut self, life: std::time::Duration) -> (Vec<Value>, Option<i32>) {
        let (said, reading) = std::sync::mpsc::channel::<()>();
        let out = self.out;
        let reader = std::thread::spawn(move || {
            let lines: Vec<String> = out.lines().map_while(Result::ok).collect();
            drop(said);
            lines
        });
        // It has ended, or its time is up.
        let _ = reading.recv_timeout(life);
        let ended = match reading.try_recv() {
            Err(std::sync::mpsc::TryRecvError::Disconnected) => self.child.wait().unwrap().code(),
            _ => {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                None
            }
        };
        // The last line may be cut short.
        let lines = reader.join().unwrap();
        (lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect(), ended)
    }

    /// From now on no file of it may grow beyond that: the next write there fails, whoever runs it.
    pub fn limit_files(&self, bytes: u64) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let fsize = rustix::process::Resource::Fsize;
        let limit =
            rustix::process::Rlimit { current: Some(bytes), ..rustix::process::getrlimit(fsize) };
        rustix::process::prlimit(Some(pid), fsize, limit).unwrap();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end and returns the exit code.
    pub fn end(mut self) -> i32 {
        while self.until(|_| false).is_some() {}
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// The binary at work, talking to a person.
pub struct Talk {
    child: Child,
    said: std::sync::mpsc::Receiver<String>,
}

impl Talk {
    /// Waits for a line with `part` in it; returns all lines up to it.
    #[track_caller]
    pub fn until(&self, part: &str) -> String {
        let mut heard = String::new();
        loop {
            match self.said.recv_timeout(std::time::Duration::from_secs(30)) {
                Ok(line) => heard.push_str(&(line + "\n")),
                Err(_) => panic!("no `{part}` in\n{heard}"),
            }
            if heard.lines().last().is_some_and(|line| line.contains(part)) {
                return heard;
            }
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
