//! What becomes of a step in flight: its attempts, retries, time limits; and steps that only wait.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::units::parse_duration;
use crate::base::{Json, StepId};
use crate::plan::expr::steps_read;
use crate::plan::settle::Settled;
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::event::EventBody;
use crate::run::failure::{Class, Failure};
use crate::run::state::Status;
use crate::schedule::backoff::next_wait;
use crate::schedule::core::{Asked, Core, Phase, later};
use crate::schedule::order::{Action, Order, Report};

/// How long an attempt whose time is up may take to its next safe point.
const STOP_TIME: Duration = Duration::from_secs(60);

impl Core {
    /// A durable event about a step: go on with that step.
    pub(super) fn step_appended(&mut self, ix: StepIx, body: &EventBody) {
        match body {
            EventBody::AttemptStarted { .. } if self.plan.step(ix).kind == Kind::Timer => {
                let plan = self.plan.clone();
                self.time(ix, plan.step(ix));
            }
            EventBody::AttemptStarted { .. } if self.stops() => self.leave(ix),
            EventBody::AttemptStarted { .. } => self.hand_out(ix),
            EventBody::AttemptFailed { retry_in_ms, .. } => {
                self.ready.release(ix);
                let wait = Duration::from_millis(*retry_in_ms);
                self.set(ix, Phase::Backoff { until: later(self.now, wait) });
            }
            EventBody::StepSucceeded { .. } => {
                self.leave(ix);
                self.settle(ix, Settled::Succeeded);
            }
            EventBody::StepFailed { .. } => {
                self.leave(ix);
                self.settle_failed(ix);
            }
            EventBody::StepSkipped { by: Some(_), .. } => {
                self.clear(ix);
                self.reshaped();
            }
            EventBody::StepSkipped { by: None, .. } => {
                self.clear(ix);
                self.settle(ix, Settled::GuardFalse);
            }
            EventBody::StepRetried { .. } => {
                self.clear(ix);
                self.reshaped();
            }
            EventBody::GateOpened { .. } => self.opened(ix),
            EventBody::GateAnswered { .. } => self.answered(ix),
            _ => {}
        }
    }

    /// The attempt is durable: hand it out.
    pub(super) fn hand_out(&mut self, ix: StepIx) {
        let step = self.plan.step(ix);
        let stands = self.state.step(ix);
        let deadline = self.limit_from(ix, self.now);
        let mut inputs = BTreeMap::new();
        for (param, id) in step.args.handles() {
            let from = StepId::new(id).ok().and_then(|id| self.state.place(&id));
            if let Some(outputs) = from.and_then(|from| self.state.step(from).outputs.clone()) {
                inputs.insert(param.to_owned(), outputs);
            }
        }
        let read = steps_read(&step.args.json()).into_iter().filter_map(|(_, id)| {
            let from = self.state.place(&id)?;
            Some((id, self.state.step(from).outputs.clone()?))
        });
        let outputs = read.collect();
        let is_stall = (self.manner.is_stall)(step);
        let order = Order {
            run: self.run_id().clone(),
            step: step.id.clone(),
            epoch: self.state.epoch,
            attempt: stands.attempts,
            primitive: step.primitive.to_owned(),
            machine: step.machine.clone(),
            args: step.args.shared(),
            inputs,
            outputs,
            deadline: deadline.filter(|_| !is_stall),
            time_limit_ms: step.policy.timeout_ms.filter(|_| !is_stall),
            cursor: None,
            intended: stands.intent.clone(),
            tokens: BTreeMap::new(),
        };
        self.set(ix, Phase::Running { deadline, asked: None });
        self.out.push(Action::Start(Box::new(order)));
    }

    pub(super) fn reported(&mut self, report: Report) {
        let Some(ix) = self.state.place(&report.step) else { return };
        let Some(Phase::Running { asked, .. }) = self.phases.get(&ix).copied() else { return };
        if self.state.step(ix).attempts != report.attempt {
            return;
        }
        match report.result {
            Ok(outputs) => self.succeed(ix, report.attempt, outputs),
            Err(failure) if failure.class == Class::Cancelled => match asked {
                // It stands as if its process had died, only at a better place.
                Some(Asked::RunStops) => self.leave(ix),
                Some(Asked::TooLong) => self.fail(ix, self.took_too_long(ix, "")),
                Some(Asked::Unheard) => {
                    let unsure = "; its site does not answer, and may do it yet";
                    self.fail(ix, self.took_too_long(ix, unsure));
                }
                None => self.fail(ix, Failure::transient("it stopped although nobody asked")),
            },
            Err(failure) => self.fail(ix, failure),
        }
    }

    fn succeed(&mut self, ix: StepIx, attempt: u32, outputs: Json) {
        let step = self.plan.step(ix).id.clone();
        self.set(ix, Phase::Ending);
        self.append(EventBody::StepSucceeded { step, attempt, outputs });
    }

    fn fail(&mut self, ix: StepIx, failure: Failure) {
        let attempt = self.state.step(ix).attempts;
        let step = self.plan.step(ix);
        let id = step.id.clone();
        let run = self.run_id();
        let wait = next_wait(run, &id, &step.policy, attempt, &failure);
        self.set(ix, Phase::Ending);
        self.append(match wait {
            Some(wait) => EventBody::AttemptFailed {
                step: id,
                attempt,
                failure,
                retry_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            },
            None => EventBody::StepFailed { step: id, attempt, failure },
        });
    }

    fn took_too_long(&self, ix: StepIx, unsure: &str) -> Failure {
        let step = self.plan.step(ix);
        let limit = step.policy.timeout_ms.unwrap_or(0) as f64 / 1000.0;
        let limit = crate::base::units::show_seconds(limit);
        if (self.manner.is_stall)(step) {
            Failure::timed_out(format!("no progress for {limit}{unsure}"))
        } else {
            Failure::timed_out(format!("not done after {limit}{unsure}"))
        }
    }

    /// Progress moves the deadline of a stall timeout; the timer finds that out when it fires.
    pub(super) fn progressed(&mut self, step: &StepId) {
        let Some(ix) = self.state.place(step) else { return };
        if !(self.manner.is_stall)(self.plan.step(ix)) {
            return;
        }
        let moved = self.limit_from(ix, self.now);
        if let Some(Phase::Running { deadline, asked: None }) = self.phases.get_mut(&ix) {
            *deadline = moved;
        }
    }

    /// A timer of this step fired; it may be about a phase that is long over.
    pub(super) fn time_is_up(&mut self, ix: StepIx) {
        let now = self.now;
        match self.phases.get_mut(&ix) {
            Some(Phase::Running { deadline: Some(at), asked: asked @ None }) => {
                let at = *at;
                if at > now {
                    return self.wake_at(at, ix);
                }
                *asked = Some(Asked::TooLong);
                let step = self.plan.step(ix).id.clone();
                self.out.push(Action::Cancel(step));
                self.wake_at(later(now, STOP_TIME), ix);
            }
            Some(Phase::Running { deadline: Some(at), asked: Some(asked @ Asked::TooLong) }) => {
                let patient_until = later(*at, STOP_TIME);
                if patient_until > now {
                    return self.wake_at(patient_until, ix);
                }
                *asked = Asked::Unheard;
                let step = self.plan.step(ix).id.clone();
                self.out.push(Action::Abandon(step));
            }
            Some(Phase::Backoff { until } | Phase::Early { until }) if *until <= now => {
                self.clear(ix);
                self.ready.push(ix);
            }
            Some(Phase::Timing { until }) if *until <= now => {
                let attempt = self.state.step(ix).attempts;
                self.succeed(ix, attempt, serde_json::json!({}));
            }
            Some(Phase::Open { until: Some(at) }) if *at <= now => self.expire(ix),
            _ => {}
        }
    }

    /// A wait: its beginning is journalled, so a resume waits only for the rest.
    pub(super) fn time(&mut self, ix: StepIx, step: &Step) {
        let text = step.args.get("duration").and_then(Json::as_str).unwrap_or_default();
        match parse_duration(text) {
            Err(wrong) => {
                self.set(ix, Phase::Ending);
                let failure = Failure::permanent(wrong.to_string());
                self.append(EventBody::StepFailed { step: step.id.clone(), attempt: 0, failure });
            }
            Ok(wait) => match (self.state.step(ix).status, self.state.step(ix).started_at) {
                (Status::Running, Some(from)) => {
                    // A clock that was put back since must not make the wait longer.
                    let until = later(from.min(self.now), wait);
                    self.set(ix, Phase::Timing { until });
                }
                _ => self.attempt(ix),
            },
        }
    }
}
