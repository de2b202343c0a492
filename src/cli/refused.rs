//! Why a run could not begin, or was broken off, for the person who typed it.

use crate::base::RunId;
use crate::cli::exit::Exit;
use crate::cli::past;
use crate::cli::stop::Stop;
use crate::execute::RunError;

/// Why a run could not begin, or was broken off.
pub fn refused(error: &RunError) -> Stop {
    match error {
        RunError::Journal(error) => past::stop(error),
        RunError::Busy { message, run } => {
            let stop = Stop::new(Exit::Busy, message).code("H341");
            match run {
                Some(run) => stop.help(format!(
                    "run `{run}` holds it; where that run was begun: homing resume {run}, or homing cancel {run}\n\
                     if its state folder is lost: homing adopt"
                )),
                None => stop,
            }
        }
        RunError::TakenOver { run, by, .. } => {
            let stop = Stop::new(Exit::Busy, error.to_string()).code("H302");
            match by {
                Some(by) if by == run => stop.help(format!(
                    "the run goes on where that process is, with the state folder that it has: look there with `homing status {run}`.\nThis state folder knows only what happened before: do not go on from it"
                )),
                Some(by) => stop.help(format!(
                    "see how that run stands, where it was begun: homing status {by}\nonce it is over, go on here: homing resume {run}, or homing cancel {run}"
                )),
                None => stop.help(format!(
                    "somebody took it for lost, with `homing adopt`: ask who, before anything else is done. Then, to go on here: homing resume {run}, or homing cancel {run}"
                )),
            }
        }
        RunError::Site { failure, dangers } => {
            let exit = if dangers.is_empty() { Exit::Failed } else { Exit::Unsafe };
            let lines = dangers.iter().chain(&failure.help).cloned().collect::<Vec<_>>();
            Stop::new(exit, error.to_string()).help(lines.join("\n"))
        }
        RunError::OtherPlan { .. } => Stop::new(Exit::Stale, error.to_string()),
    }
}

/// Why a run does not go on.
pub fn not_resumed(run: &RunId, error: &RunError) -> Stop {
    match error {
        RunError::Site { failure, .. } if failure.is_silence() => refused(error).also(&format!(
            "if a side is gone for good, give it up: homing replan {run} SCRIPT, with `declare_lost` in the script"
        )),
        _ => refused(error),
    }
}
