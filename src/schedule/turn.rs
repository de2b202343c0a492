//! A step's turn: whether it happens, must wait for its window, or must not begin any more; and what a
//! failure, a changed fact or a machine that is taken out means for the others.

use std::sync::Arc;

use crate::base::{Json, StepId, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::graph::index;
use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
use crate::plan::settle::{Over, Settled, over};
use crate::plan::step::{Kind, Step, StepIx};
use crate::run::command::Asker;
use crate::run::event::EventBody;
use crate::run::failure::Failure;
use crate::run::settled::{Bars, Casualties, derive};
use crate::run::state::Status;
use crate::schedule::core::{Core, Phase, may_be_off};
use crate::schedule::frontier::Ground;
use crate::schedule::order::Changes;
use crate::schedule::order::Why;
use crate::schedule::sections::Section;

/// What a step's turn comes to.
enum Turn {
    Begins,
    Waits(Timestamp),
    Skipped(String),
    Refused(Failure),
}

impl Core {
    /// Derives who may start from the fold anew.
    pub(super) fn rebuild(&mut self) {
        let in_flight = |ix: StepIx| {
            let phase = self.phases.get(&ix);
            !matches!(phase, None | Some(Phase::Early { .. } | Phase::Rechecking))
        };
        let mut derived = derive(&self.plan, &self.state, in_flight);
        for (ix, phase) in &self.phases {
            if *phase == Phase::Answered {
                derived.settled[ix.at()] = None;
            }
        }
        let over = |ix: &StepIx| derived.settled[ix.at()].is_some();
        let waiting = self
            .phases
            .iter()
            .filter(|(_, phase)| matches!(phase, Phase::Early { .. } | Phase::Open { .. }));
        let gone: Vec<StepIx> = waiting.map(|(ix, _)| *ix).filter(over).collect();
        gone.into_iter().for_each(|ix| self.clear(ix));
        self.bars = Bars::of(&self.plan, &self.state);
        self.ready.clear();
        let (state, settled) = (&self.state, &derived.settled);
        self.ready.enter_sections(|Section { stop, transfer }| {
            may_be_off(state.step(stop).status) && settled[transfer.at()].is_none()
        });
        let on = Ground { plan: &self.plan, state: &self.state };
        for ix in self.frontier.rebuild(on, &self.bars, derived) {
            if !self.phases.contains_key(&ix) {
                self.ready.push(ix);
            }
        }
    }

    /// A record that changes more than its own step has come back from the journal.
    pub(super) fn reshaped(&mut self) {
        self.reshaping -= 1;
        if self.reshaping == 0 && self.is_going() {
            self.rebuild();
        }
    }

    pub(super) fn settle(&mut self, ix: StepIx, outcome: Settled) {
        debug_assert!(self.frontier.settled(ix).is_none(), "BUG: a step settles once");
        let mut freed = Vec::new();
        let on = Ground { plan: &self.plan, state: &self.state };
        self.frontier.settle(on, ix, outcome, &mut freed);
        freed.into_iter().for_each(|ix| self.ready.push(ix));
    }

    /// It failed for good, or was rejected: scopes that halt over it begin nothing more.
    pub(super) fn settle_failed(&mut self, ix: StepIx) {
        let plan = self.plan.clone();
        let step = plan.step(ix);
        if self.state.is_excluded(step) {
            return self.settle(ix, Settled::Excluded);
        }
        self.settle(
            ix,
            match self.state.step(ix).status {
                Status::Rejected => Settled::Rejected,
                _ if step.optional => Settled::OptionalFailed,
                _ => Settled::Failed,
            },
        );
        if self.state.has_failed(step, ix) {
            for halted in self.bars.failed(&plan, ix) {
                self.halt(halted, plan.scope(halted));
            }
        }
    }

    /// Steps of a scope that have not been begun never will be.
    fn halt(&mut self, at: ScopeIx, scope: &Scope) {
        let plan = self.plan.clone();
        let steps = match at {
            ScopeIx::PLAN => 0..plan.steps.len(),
            _ => scope.first.at()..scope.end.at(),
        };
        let mut freed = Vec::new();
        for ix in steps.map(index) {
            let stands = self.state.step(ix);
            let pending = stands.status == Status::Pending && !stands.is_begun();
            if !pending || !self.bars.halts(&plan, plan.step(ix)) {
                continue;
            }
            match self.phases.get(&ix) {
                None => {}
                Some(Phase::Early { .. }) => self.clear(ix),
                Some(_) => continue,
            }
            let on = Ground { plan: &plan, state: &self.state };
            self.frontier.bar(on, ix, &mut freed);
        }
        freed.into_iter().for_each(|ix| self.ready.push(ix));
    }

    /// A step has its tokens: begin it, unless it does not happen.
    pub(super) fn start(&mut self, ix: StepIx) {
        let plan = self.plan.clone();
        let step = plan.step(ix);
        if self.frontier.settled(ix).is_some() || self.is_given_back(step) {
            // It was barred while it waited for room.
            return self.ready.return_unused(ix);
        }
        match self.turn(ix, step) {
            Turn::Begins => self.take_turn(ix, step),
            Turn::Waits(until) => {
                self.ready.return_unused(ix);
                self.set(ix, Phase::Early { until });
            }
            Turn::Skipped(reason) => {
                self.ready.return_unused(ix);
                self.set(ix, Phase::Ending);
                let step = step.id.clone();
                self.append(EventBody::StepSkipped { step, reason, by: None });
            }
            Turn::Refused(failure) => self.refuse(ix, step, failure),
        }
    }

    fn take_turn(&mut self, ix: StepIx, step: &Step) {
        match step.kind {
            Kind::Gate => self.open(ix, step),
            Kind::Timer => self.time(ix, step),
            Kind::Barrier => self.pass(ix, step),
            Kind::Act | Kind::Poll | Kind::Notify => {
                if matches!(step.effect, Effect::Stop(_) | Effect::Commit) {
                    self.set(ix, Phase::Rechecking);
                    self.recheck(Why::Before(ix));
                } else {
                    self.attempt(ix);
                }
            }
        }
    }

    /// It fails without being tried.
    pub(super) fn refuse(&mut self, ix: StepIx, step: &Step, failure: Failure) {
        self.set(ix, Phase::Ending);
        let attempt = self.state.step(ix).attempts;
        self.append(EventBody::StepFailed { step: step.id.clone(), attempt, failure });
    }

    /// All that a barrier waits for has settled.
    fn pass(&mut self, ix: StepIx, step: &Step) {
        let plan = self.plan.clone();
        let casualties = Casualties::of(&plan, step, |before| self.frontier.settled(before));
        let names = casualties.names(&plan);
        if over(step, casualties.count()) == Over::Fail {
            let said = format!("these failed before it: {}", names.join(", "));
            let help = "`homing status` says why; `homing retry` tries a step again";
            return self.refuse(ix, step, Failure::permanent(said).help(help));
        }
        let outputs = if names.is_empty() {
            serde_json::json!({})
        } else {
            serde_json::json!({ "without": names })
        };
        self.set(ix, Phase::Ending);
        let step = step.id.clone();
        self.append(EventBody::StepSucceeded { step, attempt: 0, outputs });
    }

    fn turn(&self, ix: StepIx, step: &Step) -> Turn {
        let stands = self.state.step(ix);
        if stands.status != Status::Pending {
            return Turn::Begins;
        }
        for (_, scope) in self.plan.guards(step) {
            if let Some(turn) = self.guarded(step, scope) {
                return turn;
            }
        }
        if let Some(done) = step.undoes
            && !self.state.step(done).is_begun()
        {
            let done = &self.plan.step(done).id;
            return Turn::Skipped(format!("{done} was never begun: there is nothing to undo"));
        }
        if stands.is_begun() {
            return Turn::Begins;
        }
        if let Some(until) = self.windows.opens_at(&self.plan, step, self.now) {
            return Turn::Waits(until);
        }
        match self.windows.refusal(&self.plan, step, self.now) {
            Some(failure) => Turn::Refused(failure),
            None => Turn::Begins,
        }
    }

    /// What a scope that decides says of a step; `None`: it happens.
    fn guarded(&self, step: &Step, scope: &Scope) -> Option<Turn> {
        match &scope.kind {
            ScopeKind::When { cond, is } => match cond.holds(&|step| self.output(step)) {
                Ok(holds) if holds == *is => None,
                Ok(holds) => Some(Turn::Skipped(format!("`{cond}` is {holds}"))),
                Err(none) => {
                    let failure = Failure::permanent(format!("`{cond}` has no value: {none}"));
                    Some(Turn::Refused(failure))
                }
            },
            ScopeKind::Handler { of } => {
                let machine = step.machine.as_ref();
                if self.frontier.attempts().failed_for(&self.plan, *of, machine) {
                    return None;
                }
                Some(Turn::Skipped(match machine {
                    Some(machine) => format!("nothing failed for {machine}"),
                    None => "nothing failed".to_owned(),
                }))
            }
            _ => None,
        }
    }

    /// What a step has put out.
    pub(super) fn output(&self, step: &StepId) -> Option<Arc<Json>> {
        self.state.step(self.state.place(step)?).outputs.clone()
    }

    pub(super) fn rechecked(&mut self, why: Why, changes: Changes) {
        self.rechecks -= 1;
        if !changes.hold.is_empty() && !self.stops() {
            self.stop_recorded = true;
            let changed = changes.hold.into_iter().map(|one| one.text).collect();
            self.append(EventBody::RunHeld { changed });
        }
        for (machine, reason) in changes.drop {
            if self.state.excluded.contains(&machine) {
                continue;
            }
            let by = Asker { who: "nobody".into(), from: "the plan's policy".into() };
            self.reshaping += 1;
            self.append(EventBody::MachineExcluded { machine, reason, by });
        }
        match why {
            Why::Begin => self.begun = true,
            Why::Opened(_) => {}
            Why::Before(ix) => self.go_ahead(ix),
            Why::Answered(ix) => {
                self.clear(ix);
                self.settle(ix, Settled::Succeeded);
            }
        }
    }

    /// The facts before a grave step have been observed.
    fn go_ahead(&mut self, ix: StepIx) {
        let plan = self.plan.clone();
        let step = plan.step(ix);
        let begun = self.state.step(ix).is_begun();
        if self.reshaping > 0 || self.stops() {
            // It takes its turn again once it is known who is still in the run.
            self.leave(ix);
        } else if self.frontier.settled(ix).is_some() {
            self.leave(ix);
        } else if !begun && self.bars.halts(&plan, step) {
            self.leave(ix);
            let mut freed = Vec::new();
            let on = Ground { plan: &plan, state: &self.state };
            self.frontier.bar(on, ix, &mut freed);
            freed.into_iter().for_each(|ix| self.ready.push(ix));
        } else if let Some(failure) = self.windows.refusal(&plan, step, self.now).filter(|_| !begun)
        {
            self.refuse(ix, step, failure);
        } else {
            self.attempt(ix);
        }
    }
}
