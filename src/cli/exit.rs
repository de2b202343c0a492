//! Exit codes: a public contract that schedulers depend on.

use std::process::ExitCode;

use crate::run::outcome::Outcome;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: succeeded.
    Success,
    /// 1: a required step failed; every machine is up and its data safe.
    Failed,
    /// 2: the command line, its parameters, or the inventory.
    Usage,
    /// 3: the script or plan has errors.
    Refused,
    /// 4: waiting at a gate.
    Waiting,
    /// 5: facts or digest differ from what was reviewed; of `diff`: the plans mean different things.
    Stale,
    /// 6: another process owns the run, or another run the machine.
    Busy,
    /// 7: succeeded, but something was skipped, excluded, or failed though optional.
    WithExceptions,
    /// 8: interrupted or cancelled.
    Interrupted,
    /// 9: failed, and a machine is down, dirty or half committed.
    Unsafe,
    /// 10: a gate was rejected or timed out.
    Rejected,
    /// 70: a bug in homing.
    Bug,
    /// 74: the journal cannot be written.
    Journal,
}

impl Exit {
    /// Every one, by its number.
    pub const ALL: [Exit; 13] = [
        Exit::Success,
        Exit::Failed,
        Exit::Usage,
        Exit::Refused,
        Exit::Waiting,
        Exit::Stale,
        Exit::Busy,
        Exit::WithExceptions,
        Exit::Interrupted,
        Exit::Unsafe,
        Exit::Rejected,
        Exit::Bug,
        Exit::Journal,
    ];

    /// What it tells whoever waits for the process.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "succeeded",
            Exit::Failed => {
                "a required step failed; every machine is up and its data safe; resumable"
            }
            Exit::Usage => "usage or inventory error",
            Exit::Refused => "the script or plan has errors; they were printed",
            Exit::Waiting => "waiting at a gate",
            Exit::Stale => {
                "stale: a fact or the digest differs from what was reviewed; or `diff`: the plans mean different things"
            }
            Exit::Busy => "busy: another process owns the run, or another run the machine",
            Exit::WithExceptions => "succeeded with exceptions",
            Exit::Interrupted => "interrupted (resumable) or cancelled",
            Exit::Unsafe => {
                "failed and a machine is down, dirty or half committed: a person is needed now"
            }
            Exit::Rejected => "a gate was rejected or timed out",
            Exit::Bug => "a bug in homing; the run stays resumable",
            Exit::Journal => "the journal cannot be written",
        }
    }

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::Waiting => 4,
            Exit::Stale => 5,
            Exit::Busy => 6,
            Exit::WithExceptions => 7,
            Exit::Interrupted => 8,
            Exit::Unsafe => 9,
            Exit::Rejected => 10,
            Exit::Bug => 70,
            Exit::Journal => 74,
        }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Exit {
        match outcome {
            Outcome::Succeeded => Exit::Success,
            Outcome::SucceededWithExceptions => Exit::WithExceptions,
            Outcome::Failed => Exit::Failed,
            Outcome::FailedUnsafe => Exit::Unsafe,
            Outcome::Waiting => Exit::Waiting,
            Outcome::Stale => Exit::Stale,
            Outcome::Busy => Exit::Busy,
            Outcome::Interrupted | Outcome::Cancelled => Exit::Interrupted,
            Outcome::Rejected => Exit::Rejected,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
