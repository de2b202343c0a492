//! Times of a run: how long a step took, how long a machine has been down.

use crate::base::{MachineName, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::step::Kind;
use crate::report::Seen;
use crate::run::state::{Status, StepState};
use crate::schedule::window::waits_until;

/// When the window opens that everything waits for, in words too; nothing while anything is at work.
pub fn window(seen: &Seen<'_>, now: Timestamp) -> Option<(Timestamp, String)> {
    let works = seen.state.steps.iter().any(|step| step.status == Status::Running);
    let (opens, _) = (!works).then(|| waits_until(seen.plan, &seen.state, now)).flatten()?;
    Some((opens, format!("window opens at {}", opens.strftime("%a %F %H:%M UTC"))))
}

/// A machine's downtime: from the start of its shutdown until its other side was started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Downtime {
    /// So far, or in all, seconds.
    pub seconds: f64,
    /// It is still down.
    pub now: bool,
}

/// `16:02:11`, UTC.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Seconds between two moments; never negative.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// How long a settled step took, seconds.
pub fn took_s(step: &StepState) -> Option<f64> {
    Some(seconds_between(step.started_at?, step.ended_at?))
}

/// How long any step but a gate was under way, seconds: what is left of a run without people's waits.
pub fn worked_s(seen: &Seen<'_>) -> f64 {
    let steps = seen.plan.iter().filter(|(_, step)| step.kind != Kind::Gate);
    let span = |(ix, _)| {
        let state = seen.state.step(ix);
        Some((state.started_at?, state.ended_at?))
    };
    let mut spans: Vec<(Timestamp, Timestamp)> = steps.filter_map(span).collect();
    spans.sort_unstable();
    let mut worked_s = 0.0;
    let mut until: Option<Timestamp> = None;
    for (from, to) in spans {
        let from = until.map_or(from, |until| from.max(until));
        worked_s += seconds_between(from, to.max(from));
        until = Some(until.map_or(to, |until| until.max(to)));
    }
    worked_s
}

/// The downtime of a machine in this run; `None` when nothing switched it off.
pub fn downtime(seen: &Seen<'_>, machine: &MachineName, now: Timestamp) -> Option<Downtime> {
    let mut total: Option<f64> = None;
    let mut since: Option<Timestamp> = None;
    for ix in seen.chains.get(machine)? {
        let state = seen.state.step(*ix);
        match seen.plan.step(*ix).effect {
            Effect::Stop(_) if since.is_none() => since = state.started_at,
            Effect::Start(_) if state.status == Status::Succeeded => {
                if let (Some(from), Some(to)) = (since.take(), state.ended_at) {
                    total = Some(total.unwrap_or(0.0) + seconds_between(from, to));
                }
            }
            _ => {}
        }
    }
    let running = since.map(|from| seconds_between(from, now));
    let seconds = total.unwrap_or(0.0) + running.unwrap_or(0.0);
    (total.is_some() || running.is_some()).then_some(Downtime { seconds, now: running.is_some() })
}
