//! One event, one line: each kind of event knows how it reads, in a few lines of its own.

use crate::base::units::{show_bytes, show_seconds};
use crate::base::{Json, StepId, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::step::{Kind, Reversibility, Step, StepIx};
use crate::render::style::{Ink, Style};
use crate::report::Seen;
use crate::report::clock::{seconds_between, time_of_day, took_s};
use crate::report::given_up;
use crate::run::event::{Answer, Deletes, Event, EventBody};
use crate::run::failure::{Class, Failure};
use crate::run::outcome::Outcome;

/// What a reader is told of one event.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// How it bears on the reader.
    pub ink: Ink,
    /// A word of fixed width: `ok`, `retry`, `FAILED`.
    pub mark: &'static str,
    /// What happened.
    pub text: String,
    /// What to know or type next.
    pub more: Vec<String>,
}

impl Line {
    fn new(ink: Ink, mark: &'static str, text: impl Into<String>) -> Line {
        Line { ink, mark, text: text.into(), more: Vec::new() }
    }

    fn more(mut self, line: impl Into<String>) -> Line {
        self.more.push(line.into());
        self
    }

    /// With its time of day; ends with a line break. Not filled: a log has one line per event.
    pub fn show(&self, at: Timestamp, style: Style) -> String {
        let time = style.paint(Ink::Dim, &time_of_day(at));
        let mark = style.paint(self.ink, &format!("{:<6}", self.mark));
        let more = self.more.iter().map(|line| format!("                {line}\n"));
        format!("{time} {mark} {}\n{}", self.text, more.collect::<String>())
    }
}

/// The line of an event; `None` when it does not matter to a reader.
pub(super) fn line(event: &Event, seen: &Seen<'_>) -> Option<Line> {
    use EventBody as E;
    match &event.body {
        E::RunStarted { script, by, .. } => Some(run_started(script, &by.who, seen)),
        E::AttemptStarted { step, attempt, .. } => attempt_started(step, *attempt, seen),
        E::AttemptFailed { step, attempt, failure, retry_in_ms } => {
            Some(attempt_failed(step, *attempt, failure, *retry_in_ms, seen))
        }
        E::StepSucceeded { step, outputs, .. } => step_succeeded(step, outputs, seen),
        E::StepFailed { step, failure, .. } => Some(step_failed(step, failure, seen)),
        E::StepRetried { step, by } => {
            Some(Line::new(Ink::Warn, "again", format!("{step}: {} asked to try it again", by.who)))
        }
        E::StepSkipped { step, reason, by: None } => {
            Some(Line::new(Ink::Dim, "skip", format!("{step}: {reason}")))
        }
        E::StepSkipped { step, reason, by: Some(by) } => {
            let text = format!("{step}: {} left it out: {reason}", by.who);
            Some(Line::new(Ink::Warn, "skip", text))
        }
        E::MachineExcluded { machine, reason, .. } => {
            let text = format!("{machine} takes no further step: {reason}");
            Some(Line::new(Ink::Warn, "leave", text))
        }
        E::MachineGivenBack { machine } => {
            Some(Line::new(Ink::Dim, "leave", format!("{machine} is free for another run")))
        }
        E::GateOpened { step, message, expires_at } => {
            Some(gate_opened(step, message, event.at, *expires_at, seen))
        }
        E::GateAnswered { step, answer, by, comment } => {
            Some(gate_answered(step, *answer, &by.who, comment.as_deref()))
        }
        E::Intent { step, deletes } => Some(intent(step, deletes)),
        E::RunHeld { changed } => Some(run_held(changed, seen)),
        E::FactAccepted { fact, reason, .. } => {
            let text =
                format!("{}: {} counts as {}: {reason}", fact.subject, fact.fact, fact.value);
            Some(Line::new(Ink::Warn, "accept", text))
        }
        E::CancelAsked { by, reason } => {
            let why = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
            Some(Line::new(Ink::Warn, "cancel", format!("{} ends the run{why}", by.who)))
        }
        E::RunResumed { epoch } => {
            let text = format!("run {} goes on (process {epoch} of this run)", seen.run);
            Some(Line::new(Ink::Title, "run", text))
        }
        E::RunEnded { outcome } => Some(run_ended(*outcome, event.at, seen)),
    }
}

fn run_started(script: &str, who: &str, seen: &Seen<'_>) -> Line {
    let steps = seen.plan.steps.len();
    Line::new(Ink::Title, "run", format!("run {} of {script}, {steps} steps, by {who}", seen.run))
}

/// Only what takes long or changes a machine is worth a line at its start.
fn attempt_started(id: &StepId, attempt: u32, seen: &Seen<'_>) -> Option<Line> {
    let step = seen.plan.step(seen.state.place(id)?);
    let worth = step.effect.changes_machine() && !matches!(step.effect, Effect::Snapshot);
    let ink = match step.reversibility {
        Reversibility::Irreversible => Ink::Danger,
        _ => Ink::Dim,
    };
    let again = if attempt > 1 { format!(" (try {attempt})") } else { String::new() };
    worth.then(|| Line::new(ink, "start", format!("{id}{again}")))
}

fn attempt_failed(
    id: &StepId,
    attempt: u32,
    failure: &Failure,
    retry_in_ms: u64,
    seen: &Seen<'_>,
) -> Line {
    let place = seen.state.place(id);
    let tries = place.map_or(attempt, |ix| seen.plan.step(ix).policy.attempts);
    let wait = show_seconds(retry_in_ms as f64 / 1000.0);
    let why = class(failure.class);
    let text =
        format!("{id}: try {attempt} of {tries} {why}, again in {wait}: {}", failure.message);
    Line::new(Ink::Warn, "retry", text)
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Transient => "failed",
        Class::Throttled { .. } => "was throttled",
        Class::TimedOut => "took too long",
        Class::Permanent => "failed for good",
        Class::Refused => "was refused",
        Class::Cancelled => "was stopped",
    }
}

fn step_succeeded(id: &StepId, outputs: &Json, seen: &Seen<'_>) -> Option<Line> {
    let ix = seen.state.place(id)?;
    if let Some(without) = outputs.get("without").and_then(Json::as_array) {
        let names: Vec<&str> = without.iter().filter_map(Json::as_str).collect();
        return Some(Line::new(Ink::Warn, "go on", format!("{id}: without {}", names.join(", "))));
    }
    if matches!(seen.plan.step(ix).kind, Kind::Barrier | Kind::Gate) {
        return None;
    }
    let took =
        took_s(seen.state.step(ix)).map_or(String::new(), |s| format!(" in {}", show_seconds(s)));
    let amounts = amounts(outputs);
    Some(Line::new(Ink::Good, "ok", format!("{id}{took}{amounts}")))
}

/// Outputs that are amounts, as people read them. Outputs are data of any shape; by convention their
/// names say their units.
fn amounts(outputs: &Json) -> String {
    let fields = outputs.as_object().into_iter().flatten();
    let shown = fields.filter_map(|(name, value)| {
        let words = name.replace('_', " ");
        let number = value.as_u64()?;
        name.starts_with("bytes_").then(|| {
            let what = words.trim_start_matches("bytes ");
            format!(", {} {what}", show_bytes(number))
        })
    });
    shown.collect()
}

/// The command that a person pastes to have a failed step tried again.
pub(super) fn retry_command(run: &str, step: &StepId) -> String {
    format!("homing retry {run} {step}")
}

fn step_failed(id: &StepId, failure: &Failure, seen: &Seen<'_>) -> Line {
    let code = failure.code.as_ref().map_or(String::new(), |code| format!(" [{code}]"));
    let line = Line::new(Ink::Danger, "FAILED", format!("{id}{code}: {}", failure.message));
    let line = match &failure.help {
        Some(help) => line.more(help.clone()),
        None => line,
    };
    // Where a handler follows, the step is not tried again.
    let place = seen.state.place(id);
    if place.is_some_and(|ix| seen.plan.iter().any(|(_, step)| is_handler_of(seen, step, ix))) {
        return line;
    }
    line.more(retry_command(seen.run.as_str(), id))
}

fn is_handler_of(seen: &Seen<'_>, step: &Step, body: StepIx) -> bool {
    seen.plan.is_in_handler(step) && seen.plan.handles(step, body)
}

fn gate_opened(
    id: &StepId,
    message: &str,
    at: Timestamp,
    expires_at: Option<Timestamp>,
    seen: &Seen<'_>,
) -> Line {
    let limit = expires_at.map_or_else(
        || "no time limit".to_owned(),
        |end| {
            format!(
                "until {} UTC, {} from now",
                end.strftime("%F %H:%M:%S"),
                show_seconds(seconds_between(at, end))
            )
        },
    );
    Line::new(Ink::Warn, "GATE", format!("{id}: {message} ({limit})"))
        .more(format!("homing approve {} {id}", seen.run))
        .more(format!("homing reject {} {id}", seen.run))
}

fn gate_answered(id: &StepId, answer: Answer, who: &str, comment: Option<&str>) -> Line {
    let (ink, words) = match answer {
        Answer::Approved => (Ink::Good, format!("approved by {who}")),
        Answer::ApprovedInAdvance => (Ink::Good, format!("approved in advance by {who}")),
        Answer::Rejected => (Ink::Danger, format!("REJECTED by {who}")),
        Answer::TimedOut => (Ink::Danger, "REJECTED: nobody answered in time".to_owned()),
        Answer::WentOn => (Ink::Warn, "went on: nobody answered in time".to_owned()),
    };
    let comment = comment.map_or(String::new(), |comment| format!(" ({comment})"));
    Line::new(ink, "gate", format!("{id}: {words}{comment}"))
}

fn intent(id: &StepId, deletes: &Json) -> Line {
    let text = match serde_json::from_value::<Deletes>(deletes.clone()) {
        Ok(deletes) => sentence(id, &deletes),
        Err(_) => format!("{id} will delete {deletes}"),
    };
    Line::new(Ink::Danger, "delete", text)
}

fn sentence(id: &StepId, deletes: &Deletes) -> String {
    let Deletes { machine, side, site, snapshots, disks_kept, .. } = deletes;
    let count = |n: usize, what: &str| match n {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    let kept = match disks_kept.len() {
        0 => String::new(),
        n => format!("; keeps {} as the base of protection", count(n, "disk")),
    };
    let snapshots = count(snapshots.len(), "snapshot");
    format!("{id} deletes the {side} machine `{machine}` at {site} and {snapshots} for good{kept}")
}

fn run_held(changed: &[String], seen: &Seen<'_>) -> Line {
    let text = "the run holds: facts changed since the plan was reviewed";
    let line = Line::new(Ink::Danger, "HELD", text);
    let line = changed.iter().fold(line, |line, fact| line.more(fact.clone()));
    line.more(format!("homing status {}", seen.run))
}

fn run_ended(outcome: Outcome, at: Timestamp, seen: &Seen<'_>) -> Line {
    let (ink, words) = ended_words(outcome, seen);
    let took = seen.state.started_at.map_or(0.0, |from| seconds_between(from, at));
    Line::new(ink, "run", format!("run {}, after {}: {words}", seen.run, show_seconds(took)))
}

/// The same of a run: its data is only called safe where no way back gave any of it up.
pub(super) fn ended_words(outcome: Outcome, seen: &Seen<'_>) -> (Ink, &'static str) {
    match outcome {
        Outcome::Failed if !given_up::machines(seen).is_empty() => {
            (Ink::Danger, "failed; every machine is up, and a way back gave writes up")
        }
        Outcome::Rejected if !given_up::machines(seen).is_empty() => {
            (Ink::Danger, "ended: a gate was rejected, and a way back gave writes up")
        }
        other => outcome_words(other),
    }
}

/// An outcome in words, with its ink.
pub(super) fn outcome_words(outcome: Outcome) -> (Ink, &'static str) {
    match outcome {
        Outcome::Succeeded => (Ink::Good, "succeeded"),
        Outcome::SucceededWithExceptions => (Ink::Warn, "succeeded with exceptions"),
        Outcome::Failed => (Ink::Danger, "failed; every machine is up and its data safe"),
        Outcome::FailedUnsafe => (Ink::Danger, "FAILED and needs a person now"),
        Outcome::Waiting => (Ink::Warn, "waits at a gate"),
        Outcome::Stale => (Ink::Warn, "holds: facts changed since the review"),
        Outcome::Busy => (Ink::Warn, "is busy elsewhere"),
        Outcome::Interrupted => (Ink::Warn, "was interrupted and can be resumed"),
        Outcome::Cancelled => (Ink::Warn, "was cancelled"),
        Outcome::Rejected => (Ink::Danger, "ended: a gate was rejected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_for_good_is_a_sentence() {
        let said = |snapshots: &[&str], kept: &[&str]| {
            let deletes = serde_json::json!({
                "machine": "web-01", "side": "cloud", "site": "azure", "generation": "c7",
                "snapshots": snapshots, "disks_kept": kept,
            });
            intent(&StepId::new("web-01.commit.1").unwrap(), &deletes).text
        };
        assert_eq!(
            said(&["a", "b"], &["disk0.raw"]),
            "web-01.commit.1 deletes the cloud machine `web-01` at azure and 2 snapshots for good; keeps 1 disk as the base of protection"
        );
        assert_eq!(
            said(&[], &[]),
            "web-01.commit.1 deletes the cloud machine `web-01` at azure and no snapshots for good"
        );
    }
}
