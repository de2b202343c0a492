//! Talking to a process of QEMU, whichever role it has: its status, its bitmaps, what it exports.
//!
//! A connection is held for one operation only: QEMU talks to one at a time, and a look from another shell
//! must not wait for a machine that is being shut down.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::base::Json;
use crate::run::failure::Failure;
use crate::sites::qemu::nbd::Export;
use crate::sites::qemu::process::{self, ANSWER_TIME, Role};
use crate::sites::qemu::qmp::{JobEnd, Qmp, Refused};

/// Longest wait for something that QEMU does on its own.
const EVENT_TIME: Duration = Duration::from_secs(30);

/// How often a process that is just starting is tried.
const LOOK: Duration = Duration::from_millis(5);

/// An open connection.
pub(super) struct Monitor {
    qmp: Qmp,
    folder: PathBuf,
    role: Role,
}

/// How a machine's process stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Its guest has never run.
    Waiting,
    /// Its guest has ended; the process is left, with the disks and what changed on them.
    Over,
    /// Its guest runs, or may go on running (paused, at a full disk).
    Running(String),
}

/// A dirty bitmap of a node.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Bitmap {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// It was in use by a process that died: nobody knows what it missed.
    #[serde(default)]
    pub inconsistent: bool,
    /// It grows with every write.
    #[serde(default)]
    pub recording: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Node {
    node_name: String,
    #[serde(default)]
    dirty_bitmaps: Vec<Bitmap>,
}

impl Monitor {
    /// Connects to the process of this role in the folder.
    ///
    /// # Errors
    /// Transient, when it does not answer.
    pub(super) fn open(folder: &Path, role: Role) -> Result<Monitor, Failure> {
        let deadline = Instant::now() + ANSWER_TIME;
        loop {
            let error = match Qmp::connect(&folder.join(role.socket()), ANSWER_TIME) {
                Ok(qmp) => return Ok(Monitor { qmp, folder: folder.to_owned(), role }),
                Err(error) => error,
            };
            let is_in_time = Instant::now() < deadline;
            if !(is_starting(&error) && is_in_time && process::is_alive(folder, role)?) {
                let folder = folder.display();
                let message = format!("QEMU in {folder} does not answer: {error}");
                return Err(Failure::transient(message));
            }
            std::thread::park_timeout(LOOK);
        }
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// Permanent when QEMU refuses, transient when it cannot be heard.
    pub(super) fn ask(&mut self, command: &str, arguments: Json) -> Result<Json, Failure> {
        self.qmp.ask(command, arguments).map_err(|refused| self.failed(&refused))
    }

    fn failed(&self, refused: &Refused) -> Failure {
        let message = format!("{refused} (in {})", self.folder.display());
        match refused {
            Refused::Answer { .. } => Failure::permanent(message),
            Refused::Lost(_) => Failure::transient(message),
        }
    }

    /// All of these at one moment, or none of them.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn at_once(&mut self, actions: &[(&str, Json)]) -> Result<(), Failure> {
        let actions: Vec<Json> =
            actions.iter().map(|(kind, data)| json!({ "type": kind, "data": data })).collect();
        self.ask("transaction", json!({ "actions": actions })).map(drop)
    }

    /// How the machine stands.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn status(&mut self) -> Result<Status, Failure> {
        let answer = self.ask("query-status", json!({}))?;
        Ok(match answer["status"].as_str().unwrap_or_default() {
            "prelaunch" => Status::Waiting,
            "shutdown" => Status::Over,
            other => Status::Running(other.to_owned()),
        })
    }

    /// The bitmaps of one node.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn bitmaps(&mut self, node: &str) -> Result<Vec<Bitmap>, Failure> {
        let found = self.nodes()?.into_iter().find(|found| found.node_name == node);
        Ok(found.map(|found| found.dirty_bitmaps).unwrap_or_default())
    }

    /// Whether there is a node of this name.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn has_node(&mut self, node: &str) -> Result<bool, Failure> {
        Ok(self.nodes()?.iter().any(|found| found.node_name == node))
    }

    fn nodes(&mut self) -> Result<Vec<Node>, Failure> {
        let answer = self.ask("query-named-block-nodes", json!({ "flat": true }))?;
        serde_json::from_value(answer)
            .map_err(|error| Failure::permanent(format!("QEMU's list of its disks: {error}")))
    }

    /// The block jobs at work, by id.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn jobs(&mut self) -> Result<Vec<String>, Failure> {
        self.listed("query-block-jobs", "device")
    }

    /// Ends a block job and waits for it.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn end_job(&mut self, job: &str) -> Result<(), Failure> {
        self.ask("block-job-cancel", json!({ "device": job, "force": true }))?;
        match self.qmp.job_end(job, Instant::now() + EVENT_TIME) {
            Ok(Some(JobEnd::Completed | JobEnd::Cancelled | JobEnd::Failed(_))) => Ok(()),
            Ok(None) => Err(Failure::timed_out(format!("QEMU does not end its job {job}"))),
            Err(refused) => Err(self.failed(&refused)),
        }
    }

    /// Serves a node under a name, with the named bitmap; one that is served already is found again.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn export(
        &mut self,
        name: &str,
        node: &str,
        is_writable: bool,
        bitmap: Option<&str>,
    ) -> Result<Export, Failure> {
        if !self.listed("query-block-exports", "id")?.iter().any(|id| id == name) {
            let bitmaps: Vec<Json> =
                bitmap.iter().map(|name| json!({ "node": node, "name": name })).collect();
            self.ask(
                "block-export-add",
                json!({
                    "type": "nbd", "id": name, "node-name": node, "name": name,
                    "writable": is_writable, "bitmaps": bitmaps,
                }),
            )?;
        }
        let socket = self.folder.join(self.role.nbd_socket());
        Ok(Export { socket, name: name.to_owned() })
    }

    /// Serves it no longer; one that is not served is not served.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn unexport(&mut self, name: &str) -> Result<(), Failure> {
        if !self.listed("query-block-exports", "id")?.iter().any(|id| id == name) {
            return Ok(());
        }
        self.ask("block-export-del", json!({ "id": name, "mode": "hard" }))?;
        let is_gone =
            |event: &Json| event["event"] == "BLOCK_EXPORT_DELETED" && event["data"]["id"] == name;
        match self.qmp.event(is_gone, Instant::now() + EVENT_TIME) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(Failure::timed_out(format!("QEMU does not give up its export {name}"))),
            Err(refused) => Err(self.failed(&refused)),
        }
    }

    /// Opens the socket on which exports are served.
    ///
    /// # Errors
    /// As [`Monitor::ask`].
    pub(super) fn serve(&mut self) -> Result<(), Failure> {
        let addr = json!({ "type": "unix", "data": { "path": self.role.nbd_socket() } });
        self.ask("nbd-server-start", json!({ "addr": addr })).map(drop)
    }

    fn listed(&mut self, command: &str, key: &str) -> Result<Vec<String>, Failure> {
        let answer = self.ask(command, json!({}))?;
        let items = answer.as_array().into_iter().flatten();
        Ok(items.filter_map(|item| Some(item[key].as_str()?.to_owned())).collect())
    }
}

/// Whether a process that lives may answer a little later: it does not listen yet, or it hung up on this
/// client because of the one before it, which QEMU does while it starts.
fn is_starting(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
}
