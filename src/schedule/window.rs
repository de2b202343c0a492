//! When steps may begin, by the rules of their scopes: windows and deadlines, told from the run's start.

use crate::base::Timestamp;
use crate::base::moment::Moment;
use crate::base::units::{InvalidUnit, show_seconds};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::scope::Rules;
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::failure::Failure;
use crate::run::state::{RunState, Status};

/// A step that would turn a machine off when its window has closed.
const CLOSED: &str = "H350";
/// A step that would begin after its scope's deadline.
const TOO_LATE: &str = "H351";

/// The moments of every scope of a run, in the order of [`Plan::scopes`].
#[derive(Clone, Debug, Default)]
pub struct Windows {
    scopes: Vec<Result<Window, InvalidUnit>>,
}

/// The moments of one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    /// Nothing of it begins before.
    opens: Option<Timestamp>,
    /// No machine is turned off in it from here on.
    closes: Option<Timestamp>,
    /// Nothing of it begins from here on.
    deadline: Option<Timestamp>,
}

impl Windows {
    /// Of a run that began at that moment.
    pub fn of(plan: &Plan, began: Timestamp) -> Windows {
        Windows { scopes: plan.scopes.iter().map(|scope| window(&scope.rules, began)).collect() }
    }

    /// When a step may begin at the earliest, if that is still to come.
    pub fn opens_at(&self, plan: &Plan, step: &Step, now: Timestamp) -> Option<Timestamp> {
        let opens = plan.outwards(step.scope).filter_map(|(at, _)| self.at(at.at()).opens);
        opens.max().filter(|opens| *opens > now)
    }

    /// Why a step must not begin any more; clean-up behind an attempt always may.
    pub fn refusal(&self, plan: &Plan, step: &Step, now: Timestamp) -> Option<Failure> {
        plan.exemptions(step.scope).filter(|(.., exempt)| !exempt).find_map(|(at, scope, _)| {
            if let Err(wrong) = &self.scopes[at.at()] {
                return Some(Failure::permanent(wrong.to_string()));
            }
            let Window { closes, deadline, .. } = self.at(at.at());
            let stops = matches!(step.effect, Effect::Stop(_));
            if stops && closes.is_some_and(|closes| closes <= now) {
                let written = scope.rules.no_shutdown_after.as_deref().unwrap_or_default();
                return Some(closed(step, written));
            }
            if step.kind != Kind::Barrier && deadline.is_some_and(|deadline| deadline <= now) {
                let after = scope.rules.deadline_ms.unwrap_or(0) as f64 / 1000.0;
                return Some(too_late(&show_seconds(after)));
            }
            None
        })
    }

    fn at(&self, scope: usize) -> Window {
        self.scopes[scope].as_ref().copied().unwrap_or_default()
    }
}

fn closed(step: &Step, written: &str) -> Failure {
    let machine = step.machine.as_ref().map_or("a machine", |machine| machine.as_str());
    let said = format!("its window has closed ({written}): {machine} is not turned off");
    Failure::refused(CLOSED, said).help("plan anew for the next window; nothing was done to it")
}

fn too_late(after: &str) -> Failure {
    let said = format!("the plan begins nothing of this scope later than {after} after its start");
    Failure::refused(TOO_LATE, said).help("what is left needs a run of its own: plan anew")
}

/// The moments of one scope's rules. A run that begins inside a window finds it open.
fn window(rules: &Rules, began: Timestamp) -> Result<Window, InvalidUnit> {
    let parse = |text: &Option<String>| text.as_deref().map(Moment::parse).transpose();
    let (opens, closes) = (parse(&rules.not_before)?, parse(&rules.no_shutdown_after)?);
    let next_close = closes.as_ref().map(|closes| closes.next_after(began));
    let mut opens = opens.map(|opens| (opens.next_after(began), opens));
    if let (Some((next, Moment::Recurring { .. })), Some(close)) = (&opens, next_close)
        && close <= *next
        && close > began
    {
        opens = None;
    }
    // A window that opens later closes later too.
    let closes = match (&opens, closes) {
        (Some((next, _)), Some(closes)) => Some(closes.next_after((*next).max(began))),
        _ => next_close,
    };
    let deadline = rules.deadline_ms.map(|ms| {
        let wait = std::time::Duration::from_millis(ms);
        began.checked_add(wait).unwrap_or(Timestamp::MAX)
    });
    Ok(Window { opens: opens.map(|(next, _)| next), closes, deadline })
}

/// The earliest moment at which a step that could begin now, but for its window, will: with how many wait
/// for that moment.
pub fn waits_until(plan: &Plan, state: &RunState, now: Timestamp) -> Option<(Timestamp, usize)> {
    let has_windows = plan.scopes.iter().any(|scope| scope.rules.not_before.is_some());
    let began = state.started_at.filter(|_| has_windows)?;
    let windows = Windows::of(plan, began);
    let settled = state.settled(plan);
    let is_next = |(ix, step): &(StepIx, &Step)| {
        state.step(*ix).status == Status::Pending
            && settled[ix.at()].is_none()
            && step.edges().all(|(before, _)| settled[before.at()].is_some())
    };
    let opening = plan.iter().filter(is_next);
    let opening = opening.filter_map(|(_, step)| windows.opens_at(plan, step, now));
    opening.fold(None, |first: Option<(Timestamp, usize)>, at| match first {
        Some((soonest, count)) if soonest == at => Some((soonest, count + 1)),
        Some((soonest, count)) if soonest < at => Some((soonest, count)),
        _ => Some((at, 1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side;

    fn of(not_before: &str, no_shutdown_after: &str, began: &str) -> (Option<String>, String) {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let rules = Rules {
            not_before: text(not_before),
            no_shutdown_after: text(no_shutdown_after),
            ..Rules::default()
        };
        let window = window(&rules, began.parse().unwrap()).unwrap();
        let shown = |at: Option<Timestamp>| at.map(|at| at.to_string());
        (shown(window.opens), shown(window.closes).unwrap_or_default())
    }

    #[test]
    fn a_run_waits_for_its_window_unless_it_began_inside() {
        let (open, close) = ("Sat 22:00 Europe/Berlin", "Sun 04:00 Europe/Berlin");
        let (opens, closes) = of(open, close, "2026-11-18T12:00:00Z");
        assert_eq!(opens.unwrap(), "2026-11-21T21:00:00Z");
        assert_eq!(closes, "2026-11-22T03:00:00Z");
        for inside in ["2026-11-21T23:30:00Z", "2026-11-22T02:59:59Z"] {
            let (opens, closes) = of(open, close, inside);
            assert_eq!((opens, closes.as_str()), (None, "2026-11-22T03:00:00Z"), "{inside}");
        }
        // At the very end it is too late for this one.
        let (opens, closes) = of(open, close, "2026-11-22T03:00:00Z");
        assert_eq!(opens.unwrap(), "2026-11-28T21:00:00Z");
        assert_eq!(closes, "2026-11-29T03:00:00Z");
    }

    #[test]
    fn a_night_in_which_clocks_go_back_is_longer() {
        let (open, close) = ("22:00 Europe/Berlin", "04:00 Europe/Berlin");
        let (opens, closes) = of(open, close, "2026-10-24T12:00:00Z");
        assert_eq!(opens.unwrap(), "2026-10-24T20:00:00Z");
        assert_eq!(closes, "2026-10-25T03:00:00Z", "seven hours, not six");
    }

    #[test]
    fn single_moments_mean_themselves_and_one_alone_is_enough() {
        let began = "2026-11-18T12:00:00Z";
        let (opens, closes) = of("2026-11-18T10:00:00Z", "2026-11-18T11:00:00Z", began);
        assert_eq!(opens.unwrap(), "2026-11-18T10:00:00Z", "open already");
        assert_eq!(closes, "2026-11-18T11:00:00Z", "and closed already");
        let (opens, closes) = of("", "Wed 13:00 Europe/Berlin", began);
        assert_eq!((opens, closes.as_str()), (None, "2026-11-25T12:00:00Z"));
        let (opens, _) = of("Wed 14:00 Europe/Berlin", "", began);
        assert_eq!(opens.unwrap(), "2026-11-18T13:00:00Z");
        let wrong = Rules { not_before: Some("soon".into()), ..Rules::default() };
        assert!(window(&wrong, began.parse().unwrap()).is_err());
    }

    #[test]
    fn what_comes_too_late_is_refused_and_clean_up_is_not() {
        use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
        use crate::schedule::trial::step;
        let mut plan = Plan::default();
        plan.scopes[0].rules = Rules {
            no_shutdown_after: Some("2026-11-18T13:00:00Z".into()),
            deadline_ms: Some(7_200_000),
            ..Rules::default()
        };
        let kind = ScopeKind::Handler { of: ScopeIx(2) };
        plan.scopes.push(Scope { kind, ..Scope::plan() });
        let windows = Windows::of(&plan, "2026-11-18T12:00:00Z".parse().unwrap());
        let stop = Step { effect: Effect::Stop(Side::Cloud), ..step(0, Kind::Act) };
        let check = step(1, Kind::Poll);
        let refused = |step: &Step, at: &str| {
            windows.refusal(&plan, step, at.parse().unwrap()).and_then(|failure| failure.code)
        };
        assert_eq!(refused(&stop, "2026-11-18T12:59:59Z"), None);
        assert_eq!(refused(&stop, "2026-11-18T13:00:00Z").as_deref(), Some("H350"));
        assert_eq!(refused(&check, "2026-11-18T13:00:00Z"), None);
        assert_eq!(refused(&check, "2026-11-18T14:00:00Z").as_deref(), Some("H351"));
        let handler = Step { scope: ScopeIx(1), ..stop };
        assert_eq!(refused(&handler, "2026-11-18T15:00:00Z"), None);
    }
}
