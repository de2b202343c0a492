//! Gates, waits, and the clock that they go by.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{StepId, Timestamp};
use crate::plan::policy::Policy;
use crate::plan::step::{Kind, StepIx};
use crate::run::command::Command;
use crate::run::outcome::Outcome;
use crate::run::state::Status;
use crate::schedule::core::{OnGate, later};
use crate::schedule::trial::{Behaviour, Trial, plan, step};

/// A step, a gate after it, a step after the gate.
pub(super) fn gated() -> Trial {
    let (act, mut gate, mut after) = (step(0, Kind::Act), step(1, Kind::Gate), step(2, Kind::Act));
    gate.waits = vec![StepIx(0)];
    gate.policy = Arc::new(Policy { timeout_ms: Some(60_000), ..Policy::ONCE });
    after.needs = vec![StepIx(1)];
    let mut trial = Trial::new(plan(vec![act, gate, after]), 7);
    trial.advance = false;
    trial
}

fn gate() -> StepId {
    StepId::new("s1").unwrap()
}

#[test]
fn a_gate_ends_the_process_and_the_answer_lets_the_next_one_finish() {
    let mut trial = gated();
    assert_eq!(trial.process(None), Some(Outcome::Waiting));
    assert_eq!(trial.resume(None), Some(Outcome::Waiting), "nobody has answered yet");
    trial.waiting.push(Command::Approve { gate: gate(), comment: None });
    assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
}

#[test]
fn a_no_ends_the_run_and_so_does_silence() {
    let mut trial = gated();
    assert_eq!(trial.process(None), Some(Outcome::Waiting));
    trial.waiting.push(Command::Reject { gate: gate(), comment: None });
    assert_eq!(trial.resume(None), Some(Outcome::Rejected));
    assert_eq!(trial.statuses()[2], Status::Pending);
    let mut trial = gated();
    trial.on_gate = OnGate::Ask;
    assert_eq!(trial.process(None), Some(Outcome::Rejected), "a minute passes");
    let mut trial = gated();
    assert_eq!(trial.process(None), Some(Outcome::Waiting));
    trial.now = later(trial.now, Duration::from_secs(61));
    trial.waiting.push(Command::Approve { gate: gate(), comment: None });
    assert_eq!(trial.resume(None), Some(Outcome::Rejected), "the answer came too late");
}

#[test]
fn a_gate_may_go_on_by_itself() {
    let mut trial = gated();
    let mut steps = trial.plan.steps.clone();
    steps[1].args = serde_json::json!({ "on_timeout": "go_on" }).into();
    trial.plan = plan(steps);
    trial.on_gate = OnGate::Ask;
    assert_eq!(trial.process(None), Some(Outcome::Succeeded));
}

#[test]
fn a_wait_goes_on_through_a_restart() {
    let mut after = step(1, Kind::Act);
    after.needs = vec![StepIx(0)];
    let mut trial = Trial::new(plan(vec![step(0, Kind::Timer), after]), 1);
    let from = trial.now;
    assert_eq!(trial.process(Some(2)), None);
    trial.now = later(trial.now, Duration::from_secs(9));
    assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
    assert_eq!(trial.now.duration_since(from).as_secs(), 10, "only the rest was waited for");
}

/// Where the computer's clock is put back an hour while no process is there.
fn an_hour_back(trial: &mut Trial) -> Timestamp {
    trial.now -= Duration::from_secs(3600);
    trial.now
}

#[test]
fn a_clock_that_is_put_back_makes_no_wait_longer_than_it_is() {
    let mut after = step(1, Kind::Act);
    after.needs = vec![StepIx(0)];
    let mut trial = Trial::new(plan(vec![step(0, Kind::Timer), after]), 1);
    assert_eq!(trial.process(Some(2)), None);
    let from = an_hour_back(&mut trial);
    assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
    assert_eq!(trial.now.duration_since(from).as_secs(), 10, "the wait, once more");

    // Between two tries: the next one comes with the next process.
    let mut trial = Trial::new(plan(vec![step(0, Kind::Act)]), 1);
    trial.behaviours = vec![Behaviour::Flaky(1)];
    assert_eq!(trial.process(Some(3)), None);
    assert_eq!(trial.statuses(), [Status::Backoff]);
    let from = an_hour_back(&mut trial);
    assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
    assert_eq!(trial.now, from);
}

#[test]
fn a_gate_is_open_until_the_time_that_was_told_whatever_the_clock_does() {
    let mut trial = gated();
    assert_eq!(trial.process(None), Some(Outcome::Waiting));
    let told = trial.state().steps[1].expires_at.unwrap();
    an_hour_back(&mut trial);
    trial.on_gate = OnGate::Ask;
    assert_eq!(trial.resume(None), Some(Outcome::Rejected));
    assert_eq!(trial.now, told);
    // An answer that comes before it counts.
    let mut trial = gated();
    assert_eq!(trial.process(None), Some(Outcome::Waiting));
    an_hour_back(&mut trial);
    trial.waiting.push(Command::Approve { gate: gate(), comment: None });
    assert_eq!(trial.resume(None), Some(Outcome::Succeeded));
}
