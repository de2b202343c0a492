//! `runs`, `show` and `logs`: runs from the journal, for people and as data.

use serde::Serialize;

use crate::base::units::show_seconds;
use crate::base::{Json, RunId, StepId, Timestamp};
use crate::plan::estimate::Estimates;
use crate::plan::expr::described;
use crate::plan::facts::Facts;
use crate::plan::settle::Settled;
use crate::plan::step::{Kind, Step, StepIx};
use crate::render::style::Style;
use crate::render::table::Table;
use crate::report::Seen;
use crate::report::audit::head;
use crate::report::clock::{took_s, worked_s};
use crate::report::line::{line, outcome_words};
use crate::report::standing::{Standing, standings};
use crate::run::event::{Answer, Event};
use crate::run::outcome::Outcome;
use crate::run::state::{RunState, Status, StepState};

/// What the journal knows of a run beside its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The plan's id.
    pub plan_id: String,
    /// What the plan means.
    pub digest: String,
    /// The script it came from.
    pub script: String,
    /// The hash of the last event: shows edits of the journal, and is worth writing down.
    pub head_hash: String,
}

/// A run as data (§ 14).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub run: RunId,
    /// The plan's id.
    pub plan_id: String,
    /// What the plan means.
    pub digest: String,
    /// The script.
    pub script: String,
    /// How it stands; `null` while a process owns it, or after one died.
    pub outcome: Option<Outcome>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When its process last left it in order.
    pub ended_at: Option<Timestamp>,
    /// How long any step but a gate was under way, seconds.
    pub worked_s: f64,
    /// How long that would take by the plan's estimate, seconds.
    pub makespan_s: f64,
    /// In plan order.
    pub steps: Vec<RunStep>,
    /// In plan order.
    pub gates: Vec<RunGate>,
    /// By name.
    pub machines: Vec<Standing>,
    /// The hash of the last event.
    pub head_hash: String,
}

/// One step of a run as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunStep {
    /// Its id.
    pub id: StepId,
    /// `pending`, `running`, `backoff`, `open`, `succeeded`, `failed`, `rejected`, `skipped`,
    /// `blocked`, `excluded`.
    pub status: &'static str,
    /// Tries since the last `retry`.
    pub attempts: u32,
    /// First try, or when the gate opened.
    pub started_at: Option<Timestamp>,
    /// When it settled.
    pub ended_at: Option<Timestamp>,
    /// How long it would take by the plan's estimate, seconds; `null` of one that would be left out.
    pub estimate_s: Option<f64>,
    /// What it found or made.
    pub outputs: Option<Json>,
}

/// One gate of a run as data.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunGate {
    /// Its name.
    pub id: StepId,
    /// What is asked.
    pub message: String,
    /// It waits for a person now.
    pub open: bool,
    /// How it was answered.
    pub answer: Option<Answer>,
}

/// A run as data.
pub fn run(
    seen: &Seen<'_>,
    header: &Header,
    reviewed: &Estimates,
    observed: Option<&Facts>,
    now: Timestamp,
) -> Run {
    let settled = seen.state.settled(seen.plan);
    let step = |(ix, step): (StepIx, &Step)| RunStep {
        estimate_s: estimate_s(reviewed, ix),
        ..run_step(step, seen.state.step(ix), settled[ix.at()])
    };
    let gates = seen.plan.iter().filter(|(_, step)| step.kind == Kind::Gate);
    Run {
        run: seen.run.clone(),
        plan_id: header.plan_id.clone(),
        digest: header.digest.clone(),
        script: header.script.clone(),
        outcome: seen.state.outcome,
        started_at: seen.state.started_at,
        ended_at: seen.state.ended_at,
        worked_s: worked_s(seen),
        makespan_s: reviewed.makespan_s,
        steps: seen.plan.iter().map(step).collect(),
        gates: gates.map(|(ix, step)| run_gate(step, seen.state.step(ix))).collect(),
        machines: standings(seen, observed, now),
        head_hash: header.head_hash.clone(),
    }
}

fn run_step(step: &Step, state: &StepState, settled: Option<Settled>) -> RunStep {
    let status = match settled {
        Some(Settled::Blocked) => "blocked",
        Some(Settled::Excluded) => "excluded",
        _ => word(state.status),
    };
    RunStep {
        id: step.id.clone(),
        status,
        attempts: state.attempts,
        started_at: state.started_at,
        ended_at: state.ended_at,
        estimate_s: None,
        outputs: state.outputs.as_deref().cloned(),
    }
}

/// Of a step that takes part where all goes well.
fn estimate_s(reviewed: &Estimates, ix: StepIx) -> Option<f64> {
    let estimate = reviewed.steps.get(ix.at())?;
    estimate.start_s.map(|_| estimate.seconds)
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Running => "running",
        Status::Backoff => "backoff",
        Status::Open => "open",
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Rejected => "rejected",
        Status::Skipped => "skipped",
    }
}

fn run_gate(step: &Step, state: &StepState) -> RunGate {
    // What was asked, once it was; before that with the sources of what is not known yet.
    let planned =
        || described(&step.args.json()).get("message").and_then(Json::as_str).map(str::to_owned);
    let message = state.message.clone().or_else(planned);
    RunGate {
        id: step.id.clone(),
        message: message.unwrap_or_else(|| step.id.to_string()),
        open: state.status == Status::Open,
        answer: state.answer,
    }
}

/// `homing runs`: one line each. Ends with a line break.
pub fn list(runs: &[Run], style: Style) -> String {
    if runs.is_empty() {
        return "no run yet\n".to_owned();
    }
    let rows = runs.iter().map(|run| {
        let done = run.steps.iter().filter(|step| step.status == "succeeded").count();
        vec![
            run.run.to_string(),
            run.script.clone(),
            shown(run.started_at),
            run.outcome.map_or("no process left it in order", |o| outcome_words(o).1).to_owned(),
            format!("{done}/{}", run.steps.len()),
        ]
    });
    let header = vec!["run", "script", "started (UTC)", "stands", "steps"];
    Table { header, rows: rows.collect(), amounts: &[4] }.text(style)
}

/// `homing show RUN`: its steps. Ends with a line break.
pub fn show(seen: &Seen<'_>, header: &Header, reviewed: &Estimates, style: Style) -> String {
    let settled = seen.state.settled(seen.plan);
    let rows = seen.plan.iter().map(|(ix, step)| {
        let state = seen.state.step(ix);
        let took = took_s(state).map_or("-".to_owned(), show_seconds);
        let one = run_step(step, state, settled[ix.at()]);
        let estimate = estimate_s(reviewed, ix).filter(|_| step.kind != Kind::Gate);
        let estimate = estimate.map_or("-".to_owned(), show_seconds);
        vec![step.id.to_string(), one.status.to_owned(), state.attempts.to_string(), took, estimate]
    });
    let header_row = vec!["step", "status", "tries", "took", "estimate"];
    let (worked, makespan) = (show_seconds(worked_s(seen)), show_seconds(reviewed.makespan_s));
    let took = format!("{worked} with people's waits left out; {makespan} by the estimate");
    let stands =
        seen.state.outcome.map_or("not left in order, or still running", |o| outcome_words(o).1);
    let mut page = format!("Run {}\n", seen.run);
    for (label, text) in [
        ("Script", header.script.as_str()),
        ("Plan", header.plan_id.as_str()),
        ("Digest", header.digest.as_str()),
        ("Started", &shown(seen.state.started_at)),
        ("Stands", stands),
        ("Took", &took),
        ("Head", &head(seen.state.seq, &header.head_hash)),
    ] {
        page.push_str(&style.field(label, text));
    }
    let table = Table { header: header_row, rows: rows.collect(), amounts: &[2, 3, 4] };
    format!("{page}\n{}", table.text(style))
}

/// `homing logs RUN`: the plain lines of a run's events so far. Every line ends with a line break.
pub fn logs(seen: &mut Seen<'_>, events: &[Event], style: Style) -> String {
    // Lines are drawn over the state after their event, so the log is folded once more from the start.
    seen.state = RunState::new(seen.plan);
    let mut page = String::new();
    for event in events {
        if seen.state.apply(event).is_ok()
            && let Some(line) = line(event, seen)
        {
            page.push_str(&line.show(event.at, style));
        }
    }
    page
}

fn shown(at: Option<Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| at.strftime("%F %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::Sample;
    use crate::report::tests::{at, run_id, until_second_gate};

    fn header() -> Header {
        let text = |text: &str| text.to_owned();
        Header {
            plan_id: text("p1"),
            digest: text("3f9a"),
            script: text("failback.rhai"),
            head_hash: text("77aa"),
        }
    }

    #[test]
    fn a_run_as_data() {
        let sample = Sample::failback(&["web-01"]);
        let (id, story) = (run_id(), until_second_gate());
        let seen = Seen::new(&id, &sample.plan, story.state(&sample.plan));
        insta::assert_json_snapshot!(run(&seen, &header(), &sample.estimates, None, at(300)));
    }

    #[test]
    fn a_run_for_a_person() {
        let sample = Sample::failback(&["web-01"]);
        let (id, story) = (run_id(), until_second_gate());
        let mut seen = Seen::new(&id, &sample.plan, story.state(&sample.plan));
        insta::assert_snapshot!(show(&seen, &header(), &sample.estimates, Style::PLAIN));
        let listed = list(&[run(&seen, &header(), &sample.estimates, None, at(300))], Style::PLAIN);
        insta::assert_snapshot!(listed);
        let logged = logs(&mut seen, &story.events(), Style::PLAIN);
        assert!(logged.lines().count() > 15 && logged.contains("GATE   commit"), "{logged}");
    }
}
