//! Why a run could not begin, or was broken off.

use crate::base::{MachineName, RunId};
use crate::execute::claims::Refused;
use crate::journal::JournalError;
use crate::run::failure::Failure;

/// Why a run could not begin, or broke off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The journal said no; [`JournalError::is_busy`] tells a busy run from a broken journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A run of another state folder holds a machine at its site.
    #[error("{message}")]
    Busy {
        /// What the site said.
        message: String,
        /// That run, when the site knows.
        run: Option<RunId>,
    },
    /// A site could not be asked for its machines.
    #[error("a machine cannot be claimed: {failure}")]
    Site {
        /// What the site said.
        failure: Failure,
        /// What a person is needed for now, one sentence each: the run had begun before.
        dangers: Vec<String>,
    },
    /// Another process took a machine over while the run went on; this one recorded nothing of it.
    #[error("`{machine}` was taken over by {}: this process has stopped and changes nothing any more", holder(.run, .by))]
    TakenOver {
        /// The machine.
        machine: MachineName,
        /// The run that this process worked on.
        run: RunId,
        /// The run that holds the machine now; the same one, when another process of it does; `None`: somebody
        /// adopted it, and gave it free.
        by: Option<RunId>,
    },
    /// The plan given is not the one that the run executes.
    #[error("run `{run}` executes plan {expected}, not {found}")]
    OtherPlan {
        /// The run.
        run: RunId,
        /// Its plan's digest.
        expected: String,
        /// The digest of the plan given.
        found: String,
    },
}

fn holder(run: &RunId, by: &Option<RunId>) -> String {
    match by {
        Some(by) if by == run => format!("a newer process of the same run `{run}`"),
        Some(by) => format!("run `{by}`"),
        None => "somebody who gave it free".to_owned(),
    }
}

impl From<Refused> for RunError {
    fn from(refused: Refused) -> RunError {
        if refused.failure.code.as_deref() == Some("H301") || refused.holder.is_some() {
            RunError::Busy { message: refused.failure.message, run: refused.holder }
        } else {
            RunError::Site { failure: refused.failure, dangers: Vec::new() }
        }
    }
}
