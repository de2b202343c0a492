//! How a run stands when nothing goes on any more, and whether a person is needed now.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::base::{MachineName, Side};
use crate::plan::effect::Effect;
use crate::plan::facts::Power;
use crate::plan::graph::Plan;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::settle::{Edge, Passage, Settled, passage};
use crate::plan::step::{Kind, Step};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::settled::{Derived, derive};
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
    /// An optional step failed (a notification apart), a failure was handled, or a machine was taken out.
    pub exceptions: bool,
    /// A machine was taken out.
    pub excluded: bool,
    /// A step holds over casualties until somebody decides.
    pub held: bool,
    /// A handler or clean-up has not settled.
    pub unwinding: bool,
}

impl Standing {
    /// Read from the fold.
    pub fn of(plan: &Plan, state: &RunState, interrupted: bool) -> Standing {
        let derived = derive(plan, state, |_| false);
        let unhandled = Unhandled::of(plan, &derived);
        let mut standing = Standing {
            stale: !state.held.is_empty(),
            cancelled: state.cancel_asked,
            interrupted,
            complete: true,
            exceptions: !state.excluded.is_empty(),
            excluded: !state.excluded.is_empty(),
            ..Standing::default()
        };
        for (ix, step) in plan.iter() {
            let settled = derived.settled[ix.at()];
            standing.complete &= settled.is_some();
            standing.waiting |= settled.is_none() && state.step(ix).status == Status::Open;
            standing.held |= derived.held[ix.at()];
            standing.unwinding |= settled.is_none() && cleans_up(plan, step);
            match settled {
                Some(Settled::SkippedByPerson) => standing.exceptions = true,
                Some(Settled::OptionalFailed) => standing.exceptions |= step.kind != Kind::Notify,
                Some(Settled::Failed | Settled::Rejected) if unhandled.is_handled(plan, step) => {
                    standing.exceptions = true;
                }
                Some(Settled::Failed) => standing.failed = true,
                Some(Settled::Rejected) => standing.rejected = true,
                _ => {}
            }
        }
        standing
    }

    /// Whether the answer depends on the machines, or somebody may have to see to them.
    pub fn needs_a_look(self) -> bool {
        self.is_cancelled() || self.failed || self.rejected || self.held || self.excluded
    }

    /// The one outcome, when several hold the gravest; but a cancelled run is over whatever else holds,
    /// or its machines would stay claimed for ever.
    pub fn outcome(self, danger: bool) -> Outcome {
        // A rejected run is over: only once what rolls it back is done.
        let rejected = self.rejected && !(self.unwinding && self.goes_on_later());
        let danger = danger && self.needs_a_look();
        if self.is_cancelled() || (self.cancelled && danger) {
            Outcome::Cancelled
        } else if danger {
            Outcome::FailedUnsafe
        } else if self.failed {
            Outcome::Failed
        } else if rejected {
            Outcome::Rejected
        } else if self.stale {
            Outcome::Stale
        } else if self.interrupted && !self.complete {
            Outcome::Interrupted
        } else if self.waiting {
            Outcome::Waiting
        } else if self.held {
            Outcome::Failed
        } else {
            assert!(self.complete, "BUG: a run came to rest with steps left and no reason");
            if self.exceptions { Outcome::SucceededWithExceptions } else { Outcome::Succeeded }
        }
    }

    fn goes_on_later(self) -> bool {
        self.stale || self.interrupted || self.waiting
    }

    fn is_cancelled(self) -> bool {
        let done = self.complete && !self.failed && !self.rejected;
        self.cancelled && !done
    }
}

/// Whether a run whose events fold to `state` may have been left like this. What its machines looked like then,
/// and whether its process was asked to stop, no event tells.
pub(super) fn may_end(plan: &Plan, state: &RunState, outcome: Outcome) -> bool {
    let may = |interrupted: bool, danger: bool| {
        let standing = Standing::of(plan, state, interrupted);
        let at_rest = standing.complete
            || standing.failed
            || standing.rejected
            || standing.stale
            || standing.waiting
            || standing.held
            || standing.interrupted
            || standing.is_cancelled();
        at_rest && standing.outcome(danger) == outcome
    };
    [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .any(|(interrupted, danger)| may(interrupted, danger))
}

fn cleans_up(plan: &Plan, step: &Step) -> bool {
    step.scope != ScopeIx::PLAN
        && plan.outwards(step.scope).any(|(_, scope)| {
            matches!(scope.kind, ScopeKind::Handler { .. } | ScopeKind::Always { .. })
        })
}

/// Handlers that did not come to a good end, by attempt.
#[derive(Default)]
struct Unhandled<'a>(HashMap<ScopeIx, Left<'a>>);

#[derive(Default)]
struct Left<'a> {
    everybody: bool,
    machines: HashSet<&'a MachineName>,
}

impl<'a> Unhandled<'a> {
    fn of(plan: &'a Plan, derived: &Derived) -> Unhandled<'a> {
        let mut unhandled = Unhandled::default();
        for (ix, step) in plan.iter() {
            let good = |how| passage(Edge::Needs, how) == Passage::Open;
            if step.scope == ScopeIx::PLAN || derived.settled[ix.at()].is_some_and(good) {
                continue;
            }
            for (_, scope) in plan.outwards(step.scope) {
                let ScopeKind::Handler { of } = scope.kind else { continue };
                let left = unhandled.0.entry(of).or_default();
                match &step.machine {
                    Some(machine) => left.machines.extend([machine]),
                    None => left.everybody = true,
                }
            }
        }
        unhandled
    }

    /// Whether a failure was answered for: an attempt around it goes on behind it, and all that handles it
    /// came to a good end.
    fn is_handled(&self, plan: &Plan, step: &Step) -> bool {
        plan.attempts_around(step.scope).any(|(at, scope)| {
            let ScopeKind::Attempt { all, then_continue } = scope.kind else { return false };
            let open = self.0.get(&at).is_some_and(|left| match &step.machine {
                Some(machine) if !all => left.everybody || left.machines.contains(machine),
                _ => true,
            });
            then_continue && !open
        })
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
pub fn half_committed<'a>(plan: &'a Plan, state: &RunState) -> Vec<&'a MachineName> {
    let open = plan.iter().filter(|(ix, step)| {
        let stands = state.step(*ix);
        step.effect == Effect::Commit
            && stands.intent.is_some()
            && stands.status != Status::Succeeded
    });
    open.filter_map(|(_, step)| step.machine.as_ref()).collect()
}

/// Why nothing that is seen of this machine can be trusted: a claim that this run took is gone.
pub fn no_longer_held(
    machine: &MachineName,
    views: &[(Side, Result<SideView, Failure>)],
    tokens: &BTreeMap<Side, u64>,
) -> Option<String> {
    let lost = views.iter().find(|(side, view)| {
        let now = view.as_ref().map(|view| view.claim.as_ref().map(|claim| claim.token));
        now.is_ok_and(|now| tokens.get(side).is_some_and(|ours| now != Some(*ours)))
    });
    let (side, _) = lost?;
    Some(format!(
        "{machine} is no longer held by this run ({side}): its site was reset or replaced"
    ))
}

/// Why a person is needed for this machine now, judged by both its sides; `None`: it is up and its data
/// safe.
pub fn danger(
    machine: &MachineName,
    views: &[(Side, Result<SideView, Failure>)],
) -> Option<String> {
    not_up(machine, views).or_else(|| {
        let dirty = views.iter().any(|(_, view)| {
            let replica = view.as_ref().ok().and_then(|view| view.replica.as_ref());
            matches!(replica, Some(ReplicaMark::Dirty { .. }))
        });
        dirty.then(|| format!("the replica of {machine} is dirty"))
    })
}

/// The same where only that it runs is asked, on one side. Of a side that a person gave up nobody asks,
/// unless it is seen to run.
pub fn not_up(
    machine: &MachineName,
    views: &[(Side, Result<SideView, Failure>)],
) -> Option<String> {
    let mut running = Vec::new();
    let gave_up = |view: &SideView| view.lost_twin.is_some();
    let is_left = views.iter().any(|(_, view)| view.as_ref().is_ok_and(gave_up));
    for (side, view) in views {
        match view {
            Err(failure) if is_left && failure.is_silence() => {}
            Ok(view) if is_left && view.power == Power::Unknown => {}
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
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{RunId, SyncId};
    use crate::plan::facts::{DirtyMark, Protection};
    use crate::sites::{Claim, Lost};

    fn view(power: Power) -> SideView {
        SideView {
            exists: true,
            has_disks: true,
            power,
            fenced: false,
            generation: "g".into(),
            turn: 0,
            booted: None,
            replica: None,
            committed: true,
            protection: Protection::None,
            host: None,
            disk_bytes: 0,
            encrypted: false,
            failed_over_at: None,
            lost_twin: None,
            superseded: false,
            claim: None,
        }
    }

    fn judged(cloud: Result<SideView, Failure>, onprem: SideView) -> Option<String> {
        let machine = MachineName::new("web-01").unwrap();
        danger(&machine, &[(Side::Cloud, cloud), (Side::Onprem, Ok(onprem))])
    }

    #[test]
    fn a_person_is_needed_for_what_is_down_doubled_dirty_or_unseen() {
        let (on, off) = (view(Power::On), view(Power::Off));
        assert_eq!(judged(Ok(on.clone()), off.clone()), None);
        assert_eq!(judged(Ok(off.clone()), on.clone()), None);
        assert_eq!(judged(Ok(off.clone()), off.clone()).unwrap(), "web-01 is down");
        assert!(judged(Ok(on.clone()), on.clone()).unwrap().contains("both sides"));
        assert!(judged(Ok(view(Power::Unknown)), on.clone()).is_some());
        assert!(judged(Err(Failure::transient("no contact")), on.clone()).is_some());
        let (run, step) = ("r1".into(), "s1".into());
        let mark = DirtyMark { sync: SyncId::new("x").unwrap(), run, step };
        let replica = Some(ReplicaMark::Dirty { mark, before: None });
        let dirty = SideView { replica, ..off };
        assert!(judged(Ok(on), dirty).unwrap().contains("dirty"));
    }

    #[test]
    fn of_a_side_that_was_given_up_nobody_asks_unless_it_runs() {
        let run = RunId::new("r1").unwrap();
        let lost_twin = Some(Lost { run, reason: "it burns".into(), live_from: 1 });
        let left = SideView { lost_twin, ..view(Power::On) };
        let silent = || Failure::transient("no contact");
        assert_eq!(judged(Err(silent()), left.clone()), None);
        assert_eq!(judged(Ok(view(Power::Unknown)), left.clone()), None);
        assert!(judged(Ok(view(Power::On)), left.clone()).unwrap().contains("both sides"));
        assert!(judged(Err(Failure::permanent("no right to")), left.clone()).is_some());
        let down = SideView { power: Power::Off, ..left };
        assert_eq!(judged(Err(silent()), down).unwrap(), "web-01 is down");
    }

    #[test]
    fn a_claim_that_is_gone_is_a_danger() {
        let machine = MachineName::new("web-01").unwrap();
        let tokens: BTreeMap<_, _> = [(Side::Cloud, 7)].into();
        let held = |claim| {
            let views = [(Side::Cloud, Ok(SideView { claim, ..view(Power::On) }))];
            no_longer_held(&machine, &views, &tokens).is_none()
        };
        let run = RunId::new("r1").unwrap();
        assert!(held(Some(Claim { run: run.clone(), token: 7 })));
        assert!(!held(Some(Claim { run, token: 8 })));
        assert!(!held(None));
    }

    #[test]
    fn the_gravest_of_several_outcomes_counts() {
        use Outcome as O;
        let all = Standing {
            failed: true,
            rejected: true,
            stale: true,
            interrupted: true,
            waiting: true,
            ..Standing::default()
        };
        let rejected = Standing { failed: false, ..all };
        let stale = Standing { rejected: false, ..rejected };
        let interrupted = Standing { stale: false, ..stale };
        let waiting = Standing { interrupted: false, ..interrupted };
        let done = Standing { complete: true, ..Standing::default() };
        for (standing, safe, in_danger) in [
            (all, O::Failed, O::FailedUnsafe),
            (rejected, O::Rejected, O::FailedUnsafe),
            (stale, O::Stale, O::Stale),
            (interrupted, O::Interrupted, O::Interrupted),
            (waiting, O::Waiting, O::Waiting),
            (done, O::Succeeded, O::Succeeded),
            (
                Standing { exceptions: true, ..done },
                O::SucceededWithExceptions,
                O::SucceededWithExceptions,
            ),
            (Standing { cancelled: true, ..all }, O::Cancelled, O::Cancelled),
            (Standing { cancelled: true, ..done }, O::Succeeded, O::Succeeded),
            (Standing { cancelled: true, excluded: true, ..done }, O::Succeeded, O::Cancelled),
            (Standing { interrupted: true, ..done }, O::Succeeded, O::Succeeded),
        ] {
            assert_eq!((standing.outcome(false), standing.outcome(true)), (safe, in_danger));
        }
    }
}
