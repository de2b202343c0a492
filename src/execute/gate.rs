//! Gates and requests: what people decide.

use crate::base::{Json, StepId};
use crate::execute::core::{Core, Phase};
use crate::execute::order::{Action, Why};
use crate::journal::Waiting;
use crate::plan::settle::Settled;
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::command::{Asker, Command};
use crate::run::event::{Answer, EventBody};
use crate::run::state::Status;

/// Answers every gate in advance.
const EVERY_GATE: &str = "all";

impl Core {
    /// A gate's turn has come: ask, unless an earlier process asked already.
    pub(super) fn open(&mut self, ix: StepIx, step: &Step) {
        if self.state.step(ix).status == Status::Open {
            return self.opened(ix);
        }
        let message = step.args.get("message").and_then(Json::as_str).unwrap_or(step.id.as_str());
        let body = EventBody::GateOpened {
            step: step.id.clone(),
            message: message.to_owned(),
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
        if self.state.step(ix).status == Status::Rejected {
            self.settle(ix, Settled::Rejected);
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
            Command::Retry { step } => {
                let may = |ix: &StepIx| {
                    self.state.may_retry(&self.plan, *ix) && !self.phases.contains_key(ix)
                };
                match self.state.place(&step).filter(may) {
                    Some(ix) => {
                        for again in self.checks_of(ix) {
                            let step = self.plan.step(again).id.clone();
                            self.set(again, Phase::Recording);
                            self.append(EventBody::StepRetried { step, by: by.clone() });
                        }
                        self.set(ix, Phase::Recording);
                        self.append_for(EventBody::StepRetried { step, by }, Some(id));
                    }
                    None => self.out.push(Action::Dismiss(id)),
                }
            }
            Command::Cancel { reason } => {
                self.stop_recorded = true;
                self.append_for(EventBody::CancelAsked { by, reason }, Some(id));
            }
        }
    }

    /// What a start that is tried again puts in doubt: later checks of its machine that held before. What
    /// rests on them waits until they hold again.
    fn checks_of(&self, start: StepIx) -> Vec<StepIx> {
        if self.state.step(start).status != Status::Succeeded {
            return Vec::new();
        }
        let machine = &self.plan.step(start).machine;
        let held = self.plan.iter().filter(|(ix, step)| {
            *ix > start
                && step.kind == Kind::Poll
                && step.machine == *machine
                && self.state.step(*ix).status == Status::Succeeded
        });
        held.map(|(ix, _)| ix).collect()
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
