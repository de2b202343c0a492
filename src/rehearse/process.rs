//! One process that works on a run, from its beginning to its end or its death: what
//! [`crate::execute`] does on real sites and with a real journal, over a core of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::base::{PlanId, RunId, StepId, StepKey, Timestamp};
use crate::execute::{
    Announcement, Claimed, Hands, Job, Observing, Over, Question, Sites, Tokens, is_stall, leave,
    take,
};
use crate::journal::Waiting;
use crate::rehearse::attempt::{Attempt, Cursors, none_is_over};
use crate::rehearse::clock::Clock;
use crate::rehearse::dice::Dice;
use crate::rehearse::operator::{self, Operator};
use crate::rehearse::stage::Stage;
use crate::rehearse::trouble::Trouble;
use crate::run::event::{Event, EventBody};
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::schedule::{Action, Core, Input, Manner, OnGate, Order, Report};

/// What the run of a rehearsal is called.
const RUN: &str = "rehearsal";

/// A run, as its journal has it.
pub(super) struct Run {
    pub id: RunId,
    pub events: Vec<Event>,
    pub cursors: Cursors,
}

impl Run {
    pub fn new() -> Run {
        let id = RunId::new(RUN).expect("BUG: a name");
        Run { id, events: Vec::new(), cursors: Cursors::default() }
    }

    /// The fold of its events.
    pub fn state(&self, stage: &Stage) -> RunState {
        let mut state = RunState::new(&stage.plan);
        for event in &self.events {
            state.apply(event).unwrap_or_else(|illegal| panic!("BUG: {illegal}"));
        }
        state
    }
}

/// How a process left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// In order.
    Ended(Outcome),
    /// A site did not give its machines.
    Refused,
    /// Nobody knows but the journal.
    Died,
}

/// What a process works with.
pub(super) struct Process<'a> {
    pub stage: &'a Stage,
    pub sites: Sites,
    pub trouble: Arc<Trouble>,
    pub clock: Arc<Clock>,
    pub seed: u64,
    pub operator: &'a Operator,
}

/// One that lives.
struct Alive<'a> {
    process: &'a Process<'a>,
    run: &'a mut Run,
    core: Core,
    hands: Hands,
    attempts: JoinSet<(Report, Claimed)>,
    asking: JoinSet<Input>,
    progress: mpsc::UnboundedSender<StepId>,
    announcements: mpsc::UnboundedSender<Announcement>,
    inputs: VecDeque<Input>,
    /// What people will ask, and when.
    people: BTreeMap<(Duration, u64), Input>,
    asked: u64,
    ended: Option<Outcome>,
    dead: bool,
}

impl Process<'_> {
    /// The next run on the same machines: it finds nothing in its way, and leaves nothing behind.
    pub async fn next_run(&self) -> Result<(), String> {
        let next = RunId::new("next").expect("BUG: a name");
        let over: Over = Arc::new(|run| run.as_str() == RUN);
        let (inventory, machines) = (&self.stage.inventory, self.stage.plan.changed_machines());
        let lost = self.stage.plan.without_sides();
        let taken = take(&self.sites, inventory, &machines, &next, true, &over, &lost).await;
        let tokens = taken.map_err(|refused| refused.failure.message)?;
        leave(&self.sites, inventory, &tokens, &next, &over).await;
        Ok(())
    }

    /// Works on the run; `asked`: what people asked while nobody was there.
    pub async fn live(&self, run: &mut Run, asked: Vec<Waiting>) -> Left {
        let death = self.trouble.death();
        tokio::select! {
            biased;
            () = death.cancelled() => Left::Died,
            left = self.work(run, asked) => left,
        }
    }

    async fn work(&self, run: &mut Run, asked: Vec<Waiting>) -> Left {
        let plan = &self.stage.plan;
        let begun = !run.events.is_empty();
        let mut machines = plan.changed_machines();
        machines.retain(|machine| !run.state(self.stage).given_back.contains(*machine));
        let (inventory, over) = (&self.stage.inventory, none_is_over());
        let lost = plan.without_sides();
        let taken = take(&self.sites, inventory, &machines, &run.id, !begun, &over, &lost).await;
        let Ok(tokens) = taken else { return Left::Refused };
        let begins = if begun {
            EventBody::RunResumed { epoch: run.state(self.stage).epoch + 1 }
        } else {
            EventBody::RunStarted {
                plan_id: PlanId::new("rehearsed").expect("BUG: a name"),
                digest: String::new(),
                script: plan.script.clone(),
                approved: Vec::new(),
                by: operator::asker(),
            }
        };
        let (progress, mut heard) = mpsc::unbounded_channel();
        let (announcements, mut announced) = mpsc::unbounded_channel();
        let mut alive = Alive::new(self, run, begins, tokens, progress, announcements);
        if alive.dead {
            return Left::Died;
        }
        alive.inputs.extend(asked.into_iter().map(Input::Command));
        alive.inputs.push_back(Input::Begin);
        loop {
            alive.feed_all();
            if alive.dead {
                return Left::Died;
            }
            if let Some(outcome) = alive.ended {
                return Left::Ended(outcome);
            }
            let input = alive.next(&mut heard, &mut announced).await;
            alive.inputs.push_back(input);
        }
    }

    fn at(&self) -> Timestamp {
        self.clock.at(self.stage.at)
    }
}

impl<'a> Alive<'a> {
    fn new(
        process: &'a Process<'a>,
        run: &'a mut Run,
        begins: EventBody,
        tokens: Tokens,
        progress: mpsc::UnboundedSender<StepId>,
        announcements: mpsc::UnboundedSender<Announcement>,
    ) -> Alive<'a> {
        let stage = process.stage;
        let seq = run.events.len() as u64 + 1;
        run.events.push(Event { run: run.id.clone(), seq, at: process.at(), body: begins });
        let dead = process.trouble.after_record();
        let state = run.state(stage);
        let manner = Manner {
            on_gate: OnGate::Ask,
            advance: process.operator.advance(),
            is_stall: Box::new(is_stall),
            step_s: stage.step_s.iter().map(|(half_s, _)| *half_s).collect(),
        };
        let (sites, inventory) = (process.sites.clone(), stage.inventory.clone());
        let job = Job {
            run: run.id.clone(),
            plan: stage.plan.clone(),
            recheck: Arc::new(Observing { sites: sites.clone(), inventory: inventory.clone() }),
            inventory,
            sites,
            over: none_is_over(),
        };
        let hands = Hands::new(job, tokens, &state);
        let core = Core::new(stage.plan.clone(), run.id.clone(), state, &stage.inventory, manner);
        Alive {
            process,
            run,
            core,
            hands,
            attempts: JoinSet::new(),
            asking: JoinSet::new(),
            progress,
            announcements,
            inputs: VecDeque::new(),
            people: BTreeMap::new(),
            asked: 0,
            ended: None,
            dead,
        }
    }

    /// What happens next.
    async fn next(
        &mut self,
        heard: &mut mpsc::UnboundedReceiver<StepId>,
        announced: &mut mpsc::UnboundedReceiver<Announcement>,
    ) -> Input {
        let until = |at: Option<Timestamp>| {
            at.map(|at| {
                Duration::try_from(at.duration_since(self.process.at())).unwrap_or_default()
            })
        };
        let alarm = until(self.core.wakes_at());
        let person = self.people.keys().next();
        let person = person.map(|(at, _)| at.saturating_sub(self.process.clock.now()));
        tokio::select! {
            biased;
            Some(report) = self.attempts.join_next(), if !self.attempts.is_empty() => {
                let (report, claimed) = joined(report);
                self.hands.ended(&report.step, claimed);
                Input::Report(report)
            }
            Some(answer) = self.asking.join_next(), if !self.asking.is_empty() => {
                self.hands.heard(joined(answer))
            }
            Some(step) = heard.recv() => Input::Progressed(step),
            Some(news) = announced.recv() => self.hands.announce(news),
            () = sleep(alarm) => Input::Tick,
            () = sleep(person) => {
                self.people.pop_first().map_or(Input::Tick, |(_, input)| input)
            }
        }
    }

    fn feed_all(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            for action in self.core.handle(input, self.process.at()) {
                if self.process.trouble.before_action() {
                    self.dead = true;
                    return;
                }
                self.perform(action);
                if self.dead {
                    return;
                }
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Append { body, .. } => self.append(body),
            Action::Dismiss(_) => {}
            Action::Start(order) => self.begin(*order),
            Action::Cancel(step) => self.hands.cancel(&step),
            Action::Abandon(step) => self.hands.abandon(&step, self.core.state()),
            Action::Recheck(why) => self.ask(self.hands.recheck(why, self.core.state())),
            Action::Look => self.ask(self.hands.look(self.core.state())),
            Action::Release => self.ask(self.hands.release()),
            Action::GiveBack(machine) => {
                let leaving = self.hands.give_back(machine);
                self.ask(leaving);
            }
            Action::Done(outcome) => self.ended = Some(outcome),
        }
    }

    /// An asking that breaks is a bug, which must be seen.
    fn ask(&mut self, question: Question) {
        self.asking.spawn(question.asked);
    }

    /// Durable at once; the process may die before it does anything about it.
    fn append(&mut self, body: EventBody) {
        let seq = self.run.events.len() as u64 + 1;
        let event = Event { run: self.run.id.clone(), seq, at: self.process.at(), body };
        self.run.events.push(event.clone());
        if self.process.trouble.after_record() {
            self.dead = true;
            return;
        }
        self.note(&event);
        self.inputs.push_back(Input::Appended(event));
    }

    fn note(&mut self, event: &Event) {
        self.hands.note(event, self.core.state());
        let plan = self.process.stage.plan.clone();
        let of = event.body.step().and_then(|step| self.core.state().place(step));
        let machine = of.and_then(|ix| plan.step(ix).machine.as_ref());
        for (wait, command) in self.process.operator.hears(event, machine) {
            self.asked += 1;
            let at = self.process.clock.now() + wait;
            let answered_at = self.process.at().checked_add(wait).unwrap_or(Timestamp::MAX);
            let asked = operator::waiting(command, answered_at, self.asked);
            self.people.insert((at, self.asked), asked);
        }
    }

    fn begin(&mut self, mut order: Order) {
        let stage = self.process.stage;
        if order.attempt > 1 || order.epoch > 1 {
            order.cursor = self.run.cursors.of(&order.step);
        }
        let ix = self.core.state().place(&order.step).expect("BUG: the core orders its own steps");
        let (half_s, slow_s) = stage.step_s.get(ix.at()).copied().unwrap_or_default();
        let (epoch, attempt) = (u64::from(order.epoch), u64::from(order.attempt));
        let matter = (u64::from(ix.0) << 20) | (epoch << 8) | attempt;
        let takes_s = Dice::of(self.process.seed, matter).duration_s(half_s, slow_s);
        let (inventory, sites) = (stage.inventory.clone(), self.process.sites.clone());
        let (cursors, trouble) = (self.run.cursors.clone(), self.process.trouble.clone());
        let (progress, announcements) = (self.progress.clone(), self.announcements.clone());
        let made = self.hands.attempt(order, move |order, cancelled| {
            let key = StepKey::of(&order.run, &order.step);
            let attempt = Attempt {
                order,
                key,
                cancelled,
                inventory,
                sites,
                cursors,
                trouble,
                progress,
                announcements,
            };
            attempt.make(Duration::from_secs_f64(takes_s))
        });
        self.attempts.spawn(made);
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// What a task came to; a task that broke is a bug that must be seen.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    match ended {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
