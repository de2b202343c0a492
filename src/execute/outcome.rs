//! How a run stands when nothing goes on any more, and whether a person is needed now.

use crate::base::{MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::facts::Power;
use crate::plan::graph::Plan;
use crate::plan::step::Kind;
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::state::{RunState, Status};
use crate::sites::{ReplicaMark, SideView};

/// What counts when a run comes to rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// A required step failed for good.
    pub failed: bool,
    /// A gate got a no, or no answer in time.
    pub rejected: bool,
    /// A fact changed.
    pub stale: bool,
    /// Somebody asked to end it for good.
    pub cancelled: bool,
    /// The process was asked to stop.
    pub interrupted: bool,
    /// A gate is open.
    pub waiting: bool,
    /// Every step has settled.
    pub complete: bool,
    /// An optional step failed (a notification apart).
    pub exceptions: bool,
}

impl Standing {
    /// Read from the fold.
    pub fn of(plan: &Plan, state: &RunState, interrupted: bool) -> Standing {
        let mut standing = Standing {
            stale: !state.held.is_empty(),
            cancelled: state.cancel_asked,
            interrupted,
            complete: true,
            ..Standing::default()
        };
        for (ix, step) in plan.iter() {
            match state.step(ix).status {
                Status::Succeeded => {}
                Status::Failed if step.optional => {
                    standing.exceptions |= step.kind != Kind::Notify;
                }
                Status::Failed => standing.failed = true,
                Status::Rejected => standing.rejected = true,
                Status::Open => {
                    standing.waiting = true;
                    standing.complete = false;
                }
                Status::Pending | Status::Running | Status::Backoff => standing.complete = false,
            }
        }
        standing
    }

    /// Whether the answer depends on the machines.
    pub fn needs_a_look(self) -> bool {
        !self.is_cancelled() && (self.failed || self.rejected)
    }

    /// The one outcome, when several hold the gravest; but a cancelled run is over whatever else holds,
    /// or its machines would stay claimed for ever.
    pub fn outcome(self, danger: bool) -> Outcome {
        if self.is_cancelled() {
            Outcome::Cancelled
        } else if danger && self.needs_a_look() {
            Outcome::FailedUnsafe
        } else if self.failed {
            Outcome::Failed
        } else if self.rejected {
            Outcome::Rejected
        } else if self.stale {
            Outcome::Stale
        } else if self.interrupted && !self.complete {
            Outcome::Interrupted
        } else if self.waiting {
            Outcome::Waiting
        } else {
            assert!(self.complete, "BUG: a run came to rest with steps left and no reason");
            if self.exceptions { Outcome::SucceededWithExceptions } else { Outcome::Succeeded }
        }
    }

    fn is_cancelled(self) -> bool {
        let done = self.complete && !self.failed && !self.rejected;
        self.cancelled && !done
    }
}

/// Machines that a changing step of this run was begun on: the ones it answers for.
pub fn touched<'a>(plan: &'a Plan, state: &RunState) -> Vec<&'a MachineName> {
    let begun = plan
        .iter()
        .filter(|(ix, step)| step.effect.changes_machine() && state.step(*ix).started_at.is_some());
    let mut machines: Vec<_> = begun.filter_map(|(_, step)| step.machine.as_ref()).collect();
    machines.sort_unstable();
    machines.dedup();
    machines
}

/// Machines whose deletion was announced and not finished.
pub fn half_committed(plan: &Plan, state: &RunState) -> Vec<String> {
    let open = plan.iter().filter(|(ix, step)| {
        let stands = state.step(*ix);
        step.effect == Effect::Commit
            && stands.intent.is_some()
            && stands.status != Status::Succeeded
    });
    open.filter_map(|(_, step)| step.machine.as_ref())
        .map(|machine| format!("{machine} is half committed"))
        .collect()
}

/// Why a person is needed for this machine now, judged by both its sides; `None`: it is up and its data
/// safe.
pub fn danger(
    machine: &MachineName,
    views: &[(Side, Result<SideView, Failure>)],
) -> Option<String> {
    let mut running = Vec::new();
    for (side, view) in views {
        match view {
            Err(failure) => return Some(format!("{machine} cannot be seen ({side}): {failure}")),
            Ok(view) if view.power == Power::On => running.push(*side),
            Ok(view) if view.power == Power::Unknown => {
                return Some(format!("nobody can say whether {machine} runs ({side})"));
            }
            Ok(_) => {}
        }
    }
    if running.len() > 1 {
        return Some(format!("{machine} runs on both sides"));
    }
    if running.is_empty() {
        return Some(format!("{machine} is down"));
    }
    let dirty = views.iter().any(|(_, view)| {
        view.as_ref().is_ok_and(|view| matches!(view.replica, Some(ReplicaMark::Dirty { .. })))
    });
    dirty.then(|| format!("the replica of {machine} is dirty"))
}
