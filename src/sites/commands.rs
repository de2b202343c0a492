//! Commands: programs that a plan has run at a site, on a machine's host or inside the machine.
//!
//! A provider runs exactly the words it is given, never a shell; whether they are allowed was decided by
//! whoever asks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::run::failure::Failure;
use crate::sites::At;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// Its whole environment; a provider may add names that begin with `HOMING_`.
    pub env: BTreeMap<String, String>,
}

/// A command that ended by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// Its exit status; of one that a signal ended, 128 and the signal's number.
    pub status: i32,
    /// What it printed, the first 64 KiB; what is no UTF-8 is replaced.
    pub stdout: String,
    /// The end of what it printed as errors, at most 1 KiB.
    pub complaint: String,
}

/// Running commands at a site. `stop` ends the command and everything it started in its process group.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Runs a command on the host that the machine lives on.
    ///
    /// # Errors
    /// Permanent or refused when it was not started; transient when it was and its end is unknown;
    /// cancelled when `stop` fired.
    async fn on_host(
        &self,
        at: At<'_>,
        command: &Command,
        stop: &CancellationToken,
    ) -> Result<Ran, Failure>;

    /// Runs a command inside the machine, which must be running.
    ///
    /// # Errors
    /// As [`Commands::on_host`].
    async fn in_guest(
        &self,
        at: At<'_>,
        command: &Command,
        stop: &CancellationToken,
    ) -> Result<Ran, Failure>;
}
