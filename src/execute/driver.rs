//! The core's hands on tokio: one loop linearizes what happens, journals it, then acts on it and tells.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::base::{Json, MachineName, RunId, Side, StepId, Timestamp};
use crate::execute::claims::{self, LostSides, Over, Tokens};
use crate::execute::clock::Clock;
use crate::execute::context::{Announcement, Line, Sites};
use crate::execute::recheck::Recheck;
use crate::execute::trouble::RunError;
use crate::execute::workers::Workers;
use crate::journal::{JournalError, OwnedRun, Watch};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::run::event::{Event, EventBody, Progress, Told};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::schedule::{
    Action, Changes, Core, Input, Order, Report, danger, no_longer_held, not_up, touched,
};
use crate::sites::SideView;

/// How often other processes' requests are looked for.
const POLL: Duration = Duration::from_millis(150);

/// Reports, progress and announcements that may wait for the loop; senders wait, or drop progress.
const QUEUE: usize = 256;

/// What a site answers to a process whose claim is no longer the one that counts there.
const FENCED_OUT: &str = "H302";

/// How long attempts may take to reach a safe point once the journal cannot be written any more.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

/// How a run stood when its process left it.
#[derive(Debug)]
pub struct Ended {
    /// The outcome, journalled.
    pub outcome: Outcome,
    /// What a person is needed for now, one sentence each.
    pub dangers: Vec<String>,
    /// The fold at the end.
    pub state: RunState,
}

/// Everything around the core that does not change while a run goes on.
pub(super) struct Surroundings {
    pub(super) plan: Arc<Plan>,
    pub(super) inventory: Arc<Inventory>,
    pub(super) sites: Sites,
    pub(super) recheck: Arc<dyn Recheck>,
    pub(super) workers: Arc<dyn Workers>,
    /// Without sides: an attempt on that machine was abandoned, and it is to be claimed anew.
    pub(super) tokens: Tokens,
    pub(super) over: Over,
    pub(super) lost: LostSides,
    pub(super) interrupt: CancellationToken,
    /// Somebody in this process posted a request.
    pub(super) nudge: Arc<Notify>,
    pub(super) told: mpsc::Sender<Told>,
}

pub(super) struct Driver {
    core: Core,
    clock: Clock,
    owned: OwnedRun,
    watch: Watch,
    around: Surroundings,
    touched: BTreeSet<MachineName>,
    may_drop: BTreeSet<MachineName>,
    running: HashMap<StepId, Attempted>,
    announced: HashMap<StepId, oneshot::Sender<()>>,
    last_command: i64,
    ended: Option<Outcome>,
    reports: Queue<(Report, Claimed)>,
    progress: Queue<Progress>,
    announcements: Queue<Announcement>,
    answers: Queue<Input>,
}

/// An attempt under way.
pub struct Attempted {
    /// Fires when it should stop at its next safe point.
    pub cancelled: CancellationToken,
    /// Fires when nobody waits for it any more.
    pub abandoned: CancellationToken,
}

/// The machine that was claimed anew before an attempt, and its tokens.
pub type Claimed = Option<(MachineName, BTreeMap<Side, u64>)>;

struct Queue<T> {
    sender: mpsc::Sender<T>,
    receiver: mpsc::Receiver<T>,
}

impl<T> Queue<T> {
    fn new() -> Queue<T> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Queue { sender, receiver }
    }
}

impl Driver {
    pub(super) fn new(core: Core, owned: OwnedRun, watch: Watch, around: Surroundings) -> Driver {
        let touched = touched(&around.plan, core.state());
        Driver {
            touched: touched.into_iter().cloned().collect(),
            may_drop: around.plan.droppable(),
            core,
            clock: Clock::new(),
            owned,
            watch,
            around,
            running: HashMap::new(),
            announced: HashMap::new(),
            last_command: 0,
            ended: None,
            reports: Queue::new(),
            progress: Queue::new(),
            announcements: Queue::new(),
            answers: Queue::new(),
        }
    }

    /// Until the run has left in order, the journal fails, or another process took a machine over.
    pub(super) async fn drive(mut self) -> Result<Ended, RunError> {
        match self.go().await {
            Ok(outcome) => {
                let dangers = self.core.dangers().to_vec();
                Ok(Ended { outcome, dangers, state: self.core.state().clone() })
            }
            Err(error) => {
                self.stand_down().await;
                Err(error)
            }
        }
    }

    async fn go(&mut self) -> Result<Outcome, RunError> {
        // What people asked while nobody was there counts before anything is done.
        self.take_commands()?;
        while self.core.unacked() > 0 {
            let events = self.owned.acked().await?;
            self.appended(events)?;
        }
        let interrupt = self.around.interrupt.clone();
        let mut interrupted = interrupt.is_cancelled();
        if interrupted {
            // It was taken up only to let those requests count: nothing begins.
            self.feed(Input::Interrupt)?;
        }
        self.feed(Input::Begin)?;
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let nudge = self.around.nudge.clone();
        let mut reports = Vec::with_capacity(QUEUE);
        while self.ended.is_none() {
            let alarm = alarm(self.core.wakes_at(), self.clock.now());
            tokio::select! {
                events = self.owned.acked() => self.appended(events?)?,
                _ = self.reports.receiver.recv_many(&mut reports, QUEUE) => {
                    for (report, claimed) in &reports {
                        self.running.remove(&report.step);
                        if let Some((machine, tokens)) = claimed {
                            self.around.tokens.insert(machine.clone(), tokens.clone());
                        }
                    }
                    // Who was fenced out knows too little to record anything: it leaves as if it had died.
                    let fenced_out = reports.iter().find_map(|(report, _)| self.fenced_out(report));
                    if let Some(machine) = fenced_out
                        && let Some(taken_over) = self.taken_over(machine).await
                    {
                        return Err(taken_over);
                    }
                    for (report, _) in reports.drain(..) {
                        self.feed(Input::Report(report))?;
                    }
                }
                Some(progress) = self.progress.receiver.recv() => {
                    self.feed(Input::Progressed(progress.step.clone()))?;
                    self.tell(Told::Progress(progress));
                }
                Some(news) = self.announcements.receiver.recv() => {
                    self.announced.insert(news.step.clone(), news.durable);
                    self.feed(Input::Intent { step: news.step, deletes: news.deletes })?;
                }
                Some(input) = self.answers.receiver.recv() => self.feed(input)?,
                () = alarm => self.feed(Input::Tick)?,
                () = nudge.notified() => self.take_commands()?,
                _ = poll.tick() => if self.watch.changed()? { self.take_commands()?; },
                () = interrupt.cancelled(), if !interrupted => {
                    interrupted = true;
                    self.feed(Input::Interrupt)?;
                }
            }
        }
        Ok(self.ended.expect("BUG: the loop ends with an outcome"))
    }

    fn feed(&mut self, input: Input) -> Result<(), JournalError> {
        let now = self.clock.now();
        for action in self.core.handle(input, now) {
            self.perform(action)?;
        }
        Ok(())
    }

    fn perform(&mut self, action: Action) -> Result<(), JournalError> {
        match action {
            Action::Append { body, command } => self.owned.submit(body, command),
            Action::Dismiss(command) => self.owned.dismiss(command),
            Action::Start(order) => self.begin(*order)?,
            Action::Cancel(step) => {
                if let Some(running) = self.running.get(&step) {
                    running.cancelled.cancel();
                }
            }
            Action::Abandon(step) => {
                if let Some(running) = self.running.get(&step) {
                    running.abandoned.cancel();
                }
                let ix = self.core.state().place(&step);
                let machine = ix.and_then(|ix| self.around.plan.step(ix).machine.as_ref());
                if let Some(held) = machine.and_then(|m| self.around.tokens.get_mut(m)) {
                    held.clear();
                }
            }
            Action::Recheck(why) => {
                let recheck = self.around.recheck.clone();
                let facts = self.core.state().facts(&self.around.plan);
                let mut apart = self.touched.clone();
                apart.extend(self.core.state().excluded.iter().cloned());
                let may_drop = self.may_drop.clone();
                self.answer_later(
                    async move { recheck.changed(&facts, &apart, &may_drop).await },
                    |bug| Changes { hold: vec![bug], drop: BTreeMap::new() },
                    move |changes| Input::Rechecked { why, changes },
                );
            }
            Action::Look => {
                let (sites, inventory) = (self.around.sites.clone(), self.around.inventory.clone());
                let (touched, tokens) = (self.touched.clone(), self.around.tokens.clone());
                let run = self.owned.id().clone();
                let given_back = self.core.state().given_back.clone();
                let asked = Touched { machines: touched, tokens, given_back };
                self.answer_later(
                    async move { dangers(&sites, &inventory, &asked, &run).await },
                    |bug| vec![bug],
                    |dangers| Input::Looked { dangers },
                );
            }
            Action::Release => {
                let (sites, inventory) = (self.around.sites.clone(), self.around.inventory.clone());
                let (tokens, over) = (self.around.tokens.clone(), self.around.over.clone());
                let run = self.owned.id().clone();
                self.answer_later(
                    async move { claims::leave(&sites, &inventory, &tokens, &run, &over).await },
                    |_| (),
                    |()| Input::Released,
                );
            }
            Action::GiveBack(machine) => {
                let (sites, inventory) = (self.around.sites.clone(), self.around.inventory.clone());
                let (run, over) = (self.owned.id().clone(), self.around.over.clone());
                // Of a machine that this process never claimed there is no token, but maybe an old claim.
                let held = self.around.tokens.remove(&machine).unwrap_or_default();
                let tokens = Tokens::from([(machine.clone(), held)]);
                self.answer_later(
                    async move { claims::leave(&sites, &inventory, &tokens, &run, &over).await },
                    |_| (),
                    |()| Input::GivenBack(machine),
                );
            }
            Action::Done(outcome) => self.ended = Some(outcome),
        }
        Ok(())
    }

    /// Asks the sites on a task of its own; the core hears the answer, or that there is none.
    fn answer_later<T: Send + 'static>(
        &self,
        asking: impl Future<Output = T> + Send + 'static,
        broken: impl FnOnce(String) -> T + Send + 'static,
        input: impl FnOnce(T) -> Input + Send + 'static,
    ) {
        let answers = self.answers.sender.clone();
        tokio::spawn(async move {
            let found = tokio::spawn(asking).await.unwrap_or_else(|panicked| {
                broken(format!("homing could not observe the machines (a bug: {panicked})"))
            });
            // A loop that has ended needs no answer.
            let _ = answers.send(input(found)).await;
        });
    }

    fn begin(&mut self, mut order: Order) -> Result<(), JournalError> {
        if order.attempt > 1 || order.epoch > 1 {
            order.cursor = self.owned.checkpoint(&order.step)?;
        }
        if let Some(tokens) = order.machine.as_ref().and_then(|m| self.around.tokens.get(m)) {
            order.tokens.clone_from(tokens);
        }
        let cancelled = CancellationToken::new();
        let abandoned = CancellationToken::new();
        let running = Attempted { cancelled: cancelled.clone(), abandoned: abandoned.clone() };
        self.running.insert(order.step.clone(), running);
        let line = Line {
            cancelled,
            progress: self.progress.sender.clone(),
            announcements: self.announcements.sender.clone(),
            saver: self.owned.saver(),
        };
        let (step, attempt) = (order.step.clone(), order.attempt);
        let (reports, work) = (self.reports.sender.clone(), self.attempt(order, line));
        tokio::spawn(async move {
            let heard = tokio::spawn(async move {
                tokio::select! {
                    done = work => done,
                    () = abandoned.cancelled() => (Err(Failure::cancelled()), None),
                }
            });
            let (result, claimed) = heard.await.unwrap_or_else(|panicked| {
                let bug = format!("a bug in homing: the attempt broke: {panicked}");
                let help = "please report it with `homing logs`; the run can be resumed";
                (Err(Failure::permanent(bug).help(help)), None)
            });
            let _ = reports.send((Report { step, attempt, result }, claimed)).await;
        });
        Ok(())
    }

    /// Makes an attempt; on a machine where an abandoned one may still do something, behind a new claim.
    fn attempt(
        &self,
        mut order: Order,
        line: Line,
    ) -> impl Future<Output = (Result<Json, Failure>, Claimed)> + Send + use<> {
        let held = |machine: &MachineName| self.around.tokens.get(machine);
        let unsure = order.machine.clone().filter(|m| held(m).is_some_and(BTreeMap::is_empty));
        let (sites, inventory) = (self.around.sites.clone(), self.around.inventory.clone());
        let (workers, over) = (self.around.workers.clone(), self.around.over.clone());
        let lost = self.around.lost.clone();
        async move {
            let Some(machine) = unsure else { return (workers.run(order, line).await, None) };
            let alone = BTreeSet::from([&machine]);
            let claimed =
                claims::take(&sites, &inventory, &alone, &order.run, false, &over, &lost).await;
            let tokens = match claimed {
                Ok(mut tokens) => tokens.remove(&machine).unwrap_or_default(),
                Err(refused) => return (Err(refused.failure), None),
            };
            order.tokens.clone_from(&tokens);
            (workers.run(order, line).await, Some((machine, tokens)))
        }
    }

    /// The machine that a site no longer lets this process change, if that is why an attempt failed.
    fn fenced_out(&self, report: &Report) -> Option<MachineName> {
        let failure = report.result.as_ref().err()?;
        if failure.code.as_deref() != Some(FENCED_OUT) {
            return None;
        }
        let place = self.core.state().place(&report.step)?;
        let machine = self.around.plan.step(place).machine.as_ref()?;
        // One that is claimed anew may have been fenced out by this very process.
        let held = self.around.tokens.get(machine).is_some_and(|held| !held.is_empty());
        held.then(|| machine.clone())
    }

    /// Why this process has to leave, if it does not hold that machine any more.
    fn taken_over(
        &self,
        machine: MachineName,
    ) -> impl Future<Output = Option<RunError>> + Send + use<> {
        let (sites, inventory) = (self.around.sites.clone(), self.around.inventory.clone());
        let ours = self.around.tokens.get(&machine).cloned().unwrap_or_default();
        let run = self.owned.id().clone();
        async move {
            let by = claims::taken_by(&sites, &inventory, &machine, &ours).await?;
            Some(RunError::TakenOver { machine, run, by })
        }
    }

    fn appended(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        for event in events {
            self.note(&event);
            self.tell(Told::Event(event.clone()));
            self.feed(Input::Appended(event))?;
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        match &event.body {
            EventBody::AttemptStarted { step, .. } => {
                let ix = self.core.state().place(step);
                let step = ix.map(|ix| self.around.plan.step(ix));
                let changing = step.filter(|step| step.effect.changes_machine());
                if let Some(machine) = changing.and_then(|step| step.machine.as_ref())
                    && !self.touched.contains(machine)
                {
                    self.touched.insert(machine.clone());
                }
            }
            EventBody::Intent { step, .. } => {
                if let Some(durable) = self.announced.remove(step) {
                    let _ = durable.send(());
                }
            }
            _ => {}
        }
    }

    /// A reporter that does not listen finds what it missed in the journal.
    fn tell(&self, told: Told) {
        let _ = self.around.told.try_send(told);
    }

    fn take_commands(&mut self) -> Result<(), JournalError> {
        for waiting in self.owned.commands()? {
            if waiting.id > self.last_command {
                self.last_command = waiting.id;
                self.feed(Input::Command(waiting))?;
            }
        }
        Ok(())
    }

    /// The journal or a machine is lost: nothing new, and every attempt gets the chance of a safe point.
    async fn stand_down(&mut self) {
        self.announced.clear();
        self.running.values().for_each(|running| running.cancelled.cancel());
        let wait = async {
            while !self.running.is_empty() {
                let Some((report, _)) = self.reports.receiver.recv().await else { return };
                self.running.remove(&report.step);
            }
        };
        if tokio::time::timeout(LAST_PATIENCE, wait).await.is_err() {
            tracing::warn!("attempts still run although the run was broken off");
        }
    }
}

async fn alarm(at: Option<Timestamp>, now: Timestamp) {
    match at {
        None => std::future::pending().await,
        Some(at) => {
            let left = at.duration_since(now);
            // Never sooner than asked: half a millisecond more does no harm.
            let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
            tokio::time::sleep(left).await;
        }
    }
}

/// The machines that a run was begun on.
#[derive(Debug, Default)]
pub struct Touched {
    /// Which.
    pub machines: BTreeSet<MachineName>,
    /// The claims that it holds.
    pub tokens: Tokens,
    /// Those that it gave back: of these only counts whether they run, unless another run has taken them since.
    pub given_back: BTreeSet<MachineName>,
}

/// What a person is needed for among the machines that a run was begun on.
pub async fn dangers(
    sites: &Sites,
    inventory: &Inventory,
    touched: &Touched,
    run: &RunId,
) -> Vec<String> {
    let looked = claims::look(sites, inventory, touched.machines.iter()).await;
    let judge = |(machine, views): &(MachineName, Vec<_>)| {
        if touched.given_back.contains(machine) {
            return not_up(machine, views).filter(|_| !held_by_another(views, run));
        }
        let tokens = touched.tokens.get(machine);
        tokens
            .and_then(|ours| no_longer_held(machine, views, ours))
            .or_else(|| danger(machine, views))
    };
    looked.iter().filter_map(judge).collect()
}

fn held_by_another(views: &[(Side, Result<SideView, Failure>)], run: &RunId) -> bool {
    let claims = views.iter().filter_map(|(_, view)| view.as_ref().ok()?.claim.as_ref());
    claims.into_iter().any(|claim| claim.run != *run)
}
