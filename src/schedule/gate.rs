//! Gates and requests: what people decide.

use crate::base::{Json, StepId};
use crate::journal::Waiting;
use crate::plan::expr::resolved;
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::command::{Asker, Command};
use crate::run::event::{Answer, EventBody};
use crate::run::failure::Failure;
use crate::run::state::Status;
use crate::schedule::core::{Core, Phase};
use crate::schedule::order::{Action, Why};

/// Answers every gate in advance.
const EVERY_GATE: &str = "all";

impl Core {
    /// A gate's turn has come: ask, unless an earlier process asked already.
    pub(super) fn open(&mut self, ix: StepIx, step: &Step) {
        if self.state.step(ix).status == Status::Open {
            return self.opened(ix);
        }
        let message = match resolved(&step.args.json(), &|step| self.output(step)) {
            Ok(args) => args.get("message").and_then(Json::as_str).map(str::to_owned),
            Err(none) => return self.refuse(ix, step, Failure::permanent(none.to_string())),
        };
        let body = EventBody::GateOpened {
            step: step.id.clone(),
            message: message.unwrap_or_else(|| step.id.to_string()),
            expires_at: self.limit_from(ix, self.now),
        };
        self.set(ix, Phase::Recording);
        self.append(body);
    }

    /// It is open, durably.
    pub(super) fn opened(&mut self, ix: StepIx) {
        let until = self.state.step(ix).expires_at;
        self.set(ix, Phase::Open { until });
        if until.is_some_and(|until| until <= self.now) {
            // Its time ran out while no process was there.
            return self.expire(ix);
        }
        let step = self.plan.step(ix);
        let named = |name: &str| name == EVERY_GATE || step.is_called(name);
        let advance = self.manner.advance.iter().find(|(name, _)| named(name));
        match advance.map(|(_, by)| by.clone()) {
            Some(by) => self.answer(ix, Answer::ApprovedInAdvance, by, None, None),
            None => self.recheck(Why::Opened(ix)),
        }
    }

    /// Nobody answered in time.
    pub(super) fn expire(&mut self, ix: StepIx) {
        let args = &self.plan.step(ix).args;
        let goes_on = args.get("on_timeout").and_then(Json::as_str) == Some("go_on");
        let answer = if goes_on { Answer::WentOn } else { Answer::TimedOut };
        let nobody = Asker { who: "nobody".into(), from: "the clock".into() };
        self.answer(ix, answer, nobody, None, None);
    }

    fn answer(
        &mut self,
        ix: StepIx,
        answer: Answer,
        by: Asker,
        comment: Option<String>,
        command: Option<i64>,
    ) {
        let step = self.plan.step(ix).id.clone();
        self.set(ix, Phase::Recording);
        self.append_for(EventBody::GateAnswered { step, answer, by, comment }, command);
    }

    /// The answer is durable. After a yes the facts are observed once more before anything follows.
    pub(super) fn answered(&mut self, ix: StepIx) {
        self.clear(ix);
        if !self.is_going() {
            // Taken in before the run goes on: `Begin` derives all the rest from the fold.
            return;
        }
        if self.frontier.settled(ix).is_some() {
            // Its machine was taken out meanwhile.
            return;
        }
        if self.state.step(ix).status == Status::Rejected {
            self.settle_failed(ix);
        } else {
            self.set(ix, Phase::Answered);
            self.recheck(Why::Answered(ix));
        }
    }

    /// A request. One that fits no longer is dismissed; one that comes while the run ends stays for
    /// the next process.
    pub(super) fn asked(&mut self, asked: Waiting) {
        if self.is_ending() {
            return;
        }
        let Waiting { id, command, by, at } = asked;
        match command {
            Command::Approve { gate, comment } => match self.open_gate(&gate, at) {
                Some(ix) => self.answer(ix, Answer::Approved, by, comment, Some(id)),
                None => self.out.push(Action::Dismiss(id)),
            },
            Command::Reject { gate, comment } => match self.open_gate(&gate, at) {
                Some(ix) => self.answer(ix, Answer::Rejected, by, comment, Some(id)),
                None => self.out.push(Action::Dismiss(id)),
            },
            Command::Retry { step } => match self.may_retry(&step) {
                Some(ix) => self.retry(ix, &by, id),
                None => self.out.push(Action::Dismiss(id)),
            },
            Command::Skip { step, reason } => match self.may_skip(&step) {
                Some(ix) => {
                    self.set(ix, Phase::Recording);
                    self.reshaping += 1;
                    self.append_for(
                        EventBody::StepSkipped { step, reason, by: Some(by) },
                        Some(id),
                    );
                }
                None => self.out.push(Action::Dismiss(id)),
            },
            Command::Exclude { machine, reason } => {
                let known = self.plan.steps.iter().any(|s| s.machine.as_ref() == Some(&machine));
                if known && !self.state.excluded.contains(&machine) {
                    self.reshaping += 1;
                    let body = EventBody::MachineExcluded { machine, reason, by };
                    self.append_for(body, Some(id));
                } else {
                    self.out.push(Action::Dismiss(id));
                }
            }
            Command::Accept { fact, reason } => {
                self.append_for(EventBody::FactAccepted { fact, reason, by }, Some(id));
            }
            Command::Cancel { reason } => {
                self.stop_recorded = true;
                self.append_for(EventBody::CancelAsked { by, reason }, Some(id));
            }
        }
    }

    /// A step that nobody is at.
    fn may_skip(&self, step: &StepId) -> Option<StepIx> {
        let ix = self.state.place(step)?;
        let free = self.state.may_skip(&self.plan, ix).is_ok() && !self.phases.contains_key(&ix);
        free.then_some(ix)
    }

    fn may_retry(&self, step: &StepId) -> Option<StepIx> {
        let ix = self.state.place(step)?;
        let again = self.state.may_retry(&self.plan, ix).is_ok();
        // What answers for a failure may be about to begin: its record is on the way.
        let answered = || {
            self.phases.iter().any(|(other, phase)| {
                *phase == Phase::Recording && self.plan.handles(self.plan.step(*other), ix)
            })
        };
        (again && !self.phases.contains_key(&ix) && !answered()).then_some(ix)
    }

    fn retry(&mut self, ix: StepIx, by: &Asker, command: i64) {
        for again in self.undecided_by(ix) {
            let step = self.plan.step(again).id.clone();
            self.set(again, Phase::Recording);
            self.reshaping += 1;
            self.append(EventBody::StepRetried { step, by: by.clone() });
        }
        self.set(ix, Phase::Recording);
        self.reshaping += 1;
        let step = self.plan.step(ix).id.clone();
        self.append_for(EventBody::StepRetried { step, by: by.clone() }, Some(command));
    }

    /// What a step that is tried again puts in doubt: handlers that had nothing to do; and of a start, later
    /// checks of its machine that held before. What rests on them waits until they hold again.
    fn undecided_by(&self, again: StepIx) -> Vec<StepIx> {
        let machine = &self.plan.step(again).machine;
        let started = self.state.step(again).status == Status::Succeeded;
        let in_doubt = self.plan.iter().skip(again.at() + 1).filter(|(ix, step)| {
            let held = started && step.kind == Kind::Poll && step.machine == *machine;
            match self.state.step(*ix).status {
                Status::Succeeded => held,
                Status::Skipped => self.plan.handles(step, again),
                _ => false,
            }
        });
        in_doubt.map(|(ix, _)| ix).filter(|ix| !self.phases.contains_key(ix)).collect()
    }

    /// The gate, if it still waited for an answer when that was given.
    fn open_gate(&self, gate: &StepId, at: crate::base::Timestamp) -> Option<StepIx> {
        let ix = self.state.place(gate)?;
        let stands = self.state.step(ix);
        let in_time = stands.expires_at.is_none_or(|expires| at <= expires);
        let untouched = matches!(self.phases.get(&ix), None | Some(Phase::Open { .. }));
        (stands.status == Status::Open && in_time && untouched).then_some(ix)
    }
}
