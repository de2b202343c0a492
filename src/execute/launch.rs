//! Beginning and taking up runs: the door of this room.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::base::{MachineName, PlanId, RunId};
use crate::execute::claims::{self, Over, Refused, Tokens};
use crate::execute::context::Sites;
use crate::execute::danger::{self, Touched};
use crate::execute::driver::{Driver, Ended, Surroundings};
use crate::execute::hands::{Hands, Job};
use crate::execute::inject::Injection;
use crate::execute::recheck::Recheck;
use crate::execute::trouble::RunError;
use crate::execute::workers::{LocalWorkers, Workers};
use crate::journal::{Journal, JournalError, NewRun, OwnedRun, Repeat};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::Step;
use crate::primitives;
use crate::run::command::{Asker, Command};
use crate::run::event::{Event, EventBody, Told};
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::schedule::touched;
use crate::schedule::{Core, Manner, OnGate};
use crate::verify::VerifiedPlan;

/// What a run needs, new or not.
pub struct Setup {
    /// The journal of the state folder.
    pub journal: Journal,
    /// The ticket.
    pub plan: VerifiedPlan,
    /// Estimated seconds by step, in plan order; empty when unknown.
    pub step_s: Vec<f64>,
    /// The inventory.
    pub inventory: Arc<Inventory>,
    /// The sites.
    pub sites: Sites,
    /// Observes the plan's facts again.
    pub recheck: Arc<dyn Recheck>,
    /// Who makes attempts; `None`: this process.
    pub workers: Option<Arc<dyn Workers>>,
    /// Gates answered in advance, by name; `all` for every one.
    pub approve: Vec<String>,
    /// What to do at the other gates.
    pub on_gate: OnGate,
    /// Faults on demand.
    pub inject: Vec<Injection>,
    /// Who asks.
    pub by: Asker,
    /// Fires when the run should leave in order.
    pub interrupt: CancellationToken,
}

/// A plan as it was saved.
pub struct Saved {
    /// Its id.
    pub plan_id: PlanId,
    /// Its text: what a resume reads.
    pub text: String,
    /// It may run again once its earlier runs are over.
    pub again: bool,
}

/// A run under way in this process.
pub struct RunHandle {
    /// The run.
    pub id: RunId,
    /// What happened before this process, for a reporter's fold.
    pub history: Vec<Event>,
    /// What happens from here on.
    pub told: Listener,
    /// How it ended; a journal that fails breaks it off, or another process that takes a machine over.
    pub done: JoinHandle<Result<Ended, RunError>>,
    journal: Journal,
    nudge: Arc<Notify>,
}

impl RunHandle {
    /// Something that can speak to the run while `told` and `done` are waited for.
    pub fn speaker(&self) -> Speaker {
        let (run, journal) = (self.id.clone(), self.journal.clone());
        Speaker { run, journal, nudge: self.nudge.clone() }
    }
}

/// Speaks to a run from inside its process, the same way as other processes do, only faster.
#[derive(Clone)]
pub struct Speaker {
    run: RunId,
    journal: Journal,
    nudge: Arc<Notify>,
}

impl Speaker {
    /// Posts a request.
    ///
    /// # Errors
    /// As [`Journal::post`].
    pub fn post(&self, command: &Command, by: &Asker) -> Result<i64, JournalError> {
        let id = self.journal.post(&self.run, command, by)?;
        self.nudge.notify_one();
        Ok(id)
    }
}

/// Hears a run: every event in order, progress as far as there is room for it.
pub struct Listener {
    queue: mpsc::Receiver<Told>,
    journal: Journal,
    run: RunId,
    seq: u64,
    missed: VecDeque<Event>,
}

/// What a listener may be behind before it has to read the journal.
const TOLD: usize = 1024;

impl Listener {
    /// The next thing said; `None` once the run has left. An event that found no room is read back
    /// from the journal: a slow listener stops nothing and misses nothing.
    ///
    /// # Errors
    /// When the journal cannot be read back.
    pub async fn next(&mut self) -> Result<Option<Told>, JournalError> {
        loop {
            if let Some(event) = self.missed.pop_front() {
                self.seq = event.seq;
                return Ok(Some(Told::Event(event)));
            }
            match self.queue.recv().await {
                Some(Told::Event(event)) if event.seq <= self.seq => {}
                Some(Told::Event(event)) if event.seq == self.seq + 1 => {
                    self.seq = event.seq;
                    return Ok(Some(Told::Event(event)));
                }
                Some(Told::Progress(progress)) => return Ok(Some(Told::Progress(progress))),
                Some(Told::Event(_)) | None => {
                    self.missed = self.journal.events(&self.run, self.seq + 1)?.into();
                    if self.missed.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Begins a run.
///
/// # Errors
/// Busy machines, a plan that ran already, a journal that cannot be written; then nothing has begun.
pub async fn start(setup: Setup, saved: Saved) -> Result<RunHandle, RunError> {
    let plan = setup.plan.plan();
    let machines = plan.changed_machines();
    let mut owned = setup.journal.create_run(&NewRun {
        plan_id: saved.plan_id,
        digest: setup.plan.digest().clone(),
        script: plan.script.clone(),
        plan: saved.text,
        approved: setup.approve.clone(),
        by: setup.by.clone(),
        machines: machines.iter().map(|machine| (*machine).clone()).collect(),
        repeat: repeat(plan, saved.again),
    })?;
    match claimed(&setup, &machines, owned.id(), true).await {
        Ok(tokens) => {
            let past = Folded::of(plan, &mut owned)?;
            launch(setup, owned, past, tokens)
        }
        Err(refused) => {
            owned.discard()?;
            Err(refused.into())
        }
    }
}

/// Takes a run up again: after a crash, a gate, an interruption, a failure.
///
/// # Errors
/// A living owner, a run that is over or was altered, busy machines.
pub async fn resume(setup: Setup, run: &RunId) -> Result<RunHandle, RunError> {
    let row = setup.journal.run(run)?;
    let found = setup.plan.digest().as_str();
    if row.digest != found {
        let (expected, found) = (row.digest, found.to_owned());
        return Err(RunError::OtherPlan { run: run.clone(), expected, found });
    }
    let mut owned = setup.journal.take(run)?;
    let plan = setup.plan.plan();
    let past = Folded::of(plan, &mut owned)?;
    let (leaving, stay) = past.held_machines(plan);
    match claimed(&setup, &stay, run, false).await {
        Ok(mut tokens) => {
            // Nothing but their own end depends on these.
            tokens.extend(claimed(&setup, &leaving, run, false).await.unwrap_or_default());
            launch(setup, owned, past, tokens)
        }
        Err(refused) => Err(leave_unclaimed(&setup, owned, past, refused.into()).await?),
    }
}

/// What happened before this process, and where the run stands by that.
struct Folded {
    history: Vec<Event>,
    state: RunState,
}

impl Folded {
    /// The machines that the run holds: those that take no further step, and the others.
    fn held_machines<'a>(
        &self,
        plan: &'a Plan,
    ) -> (BTreeSet<&'a MachineName>, BTreeSet<&'a MachineName>) {
        let held = plan.changed_machines().into_iter();
        let held = held.filter(|machine| !self.state.given_back.contains(*machine));
        held.partition(|machine| self.state.excluded.contains(*machine))
    }

    fn of(plan: &Plan, owned: &mut OwnedRun) -> Result<Folded, JournalError> {
        let history = owned.history();
        let mut state = RunState::new(plan);
        for event in &history {
            state.apply(event).map_err(|illegal| JournalError::Altered {
                run: owned.id().clone(),
                reason: illegal.to_string(),
            })?;
        }
        Ok(Folded { history, state })
    }
}

async fn claimed(
    setup: &Setup,
    machines: &BTreeSet<&MachineName>,
    run: &RunId,
    fresh: bool,
) -> Result<Tokens, Refused> {
    let lost = match setup.interrupt.is_cancelled() {
        // It is taken up to be ended, and nothing begins: a site that is gone must not stand in the way.
        true => claims::all_sides(machines),
        false => setup.plan.plan().without_sides(),
    };
    let over = over(&setup.journal);
    claims::take(&setup.sites, &setup.inventory, machines, run, fresh, &over, &lost).await
}

/// Asks the journal of this state folder: a run of another one may well go on.
fn over(journal: &Journal) -> Over {
    let journal = journal.clone();
    Arc::new(move |run| {
        let row = journal.run(run).ok();
        row.and_then(|row| row.outcome).is_some_and(Outcome::is_over)
    })
}

/// Nothing can be done for now; but a machine that the run had begun on may need a person all the same.
async fn leave_unclaimed(
    setup: &Setup,
    mut owned: OwnedRun,
    past: Folded,
    mut refused: RunError,
) -> Result<RunError, RunError> {
    let mut outcome = Outcome::Interrupted;
    if let RunError::Site { dangers, .. } = &mut refused {
        let plan = setup.plan.plan();
        let touched = Touched {
            machines: touched(plan, &past.state).into_iter().cloned().collect(),
            tokens: Tokens::new(),
            given_back: past.state.given_back.clone(),
        };
        *dangers = danger::dangers(&setup.sites, &setup.inventory, &touched, owned.id()).await;
        let down = !dangers.is_empty();
        outcome = if down { Outcome::FailedUnsafe } else { Outcome::Failed };
    }
    owned.append(EventBody::RunEnded { outcome }).await?;
    Ok(refused)
}

/// A plan that stops or deletes nothing may run as often as it likes.
pub fn repeatable(plan: &Plan) -> bool {
    let grave = |step: &Step| matches!(step.effect, Effect::Stop(_) | Effect::Commit);
    !plan.steps.iter().any(grave)
}

fn repeat(plan: &Plan, again: bool) -> Repeat {
    if repeatable(plan) {
        Repeat::Freely
    } else if again {
        Repeat::WhenOver
    } else {
        Repeat::Never
    }
}

fn launch(
    setup: Setup,
    owned: OwnedRun,
    past: Folded,
    tokens: Tokens,
) -> Result<RunHandle, RunError> {
    let plan = Arc::new(setup.plan.plan().clone());
    let id = owned.id().clone();
    let Folded { mut history, state } = past;
    let manner = Manner {
        on_gate: setup.on_gate,
        advance: advance(&history, &setup.approve, &setup.by),
        is_stall: Box::new(is_stall),
        step_s: setup.step_s,
    };
    let core = Core::new(plan.clone(), id.clone(), state, &setup.inventory, manner);
    let (told, queue) = mpsc::channel(TOLD);
    // The record of this process's own beginning is news, not history.
    let first = history.pop().expect("BUG: an owned run has begun");
    let seq = history.len() as u64;
    let _ = told.try_send(Told::Event(first));
    let nudge = Arc::new(Notify::new());
    let local = || -> Arc<dyn Workers> {
        Arc::new(LocalWorkers {
            inventory: setup.inventory.clone(),
            sites: setup.sites.clone(),
            injections: setup.inject.clone().into(),
        })
    };
    let job = Job {
        run: id.clone(),
        plan,
        inventory: setup.inventory.clone(),
        sites: setup.sites.clone(),
        recheck: setup.recheck,
        over: over(&setup.journal),
    };
    let hands = Hands::new(job, tokens, core.state());
    let around = Surroundings {
        workers: setup.workers.unwrap_or_else(local),
        interrupt: setup.interrupt,
        nudge: nudge.clone(),
        told,
    };
    let journal = setup.journal;
    let driver = Driver::new(core, hands, owned, journal.watch()?, around);
    let told =
        Listener { queue, journal: journal.clone(), run: id.clone(), seq, missed: VecDeque::new() };
    Ok(RunHandle { id, history, told, done: tokio::spawn(driver.drive()), journal, nudge })
}

/// Answers given before: by whoever began the run, and by whoever works on it now.
fn advance(history: &[Event], approve: &[String], by: &Asker) -> Vec<(String, Asker)> {
    let began = match history.first().map(|event| &event.body) {
        Some(EventBody::RunStarted { approved, by, .. }) => Some((approved, by)),
        _ => None,
    };
    let before = began.into_iter().flat_map(|(names, by)| names.iter().map(move |n| (n, by)));
    let now = approve.iter().map(|name| (name, by));
    before.chain(now).map(|(name, by)| (name.clone(), by.clone())).collect()
}

/// Whether a step's timeout counts from its last progress.
pub fn is_stall(step: &Step) -> bool {
    primitives::find(step.primitive).is_some_and(|known| known.spec().timeout_is_stall)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use camino::Utf8Path;

    use super::*;
    use crate::base::{Json, StepId};
    use crate::execute::context::{Announcement, Line};
    use crate::execute::recheck::tests::Unchanged;
    use crate::execute::workers::Attempt;
    use crate::plan::facts::{FactLog, Facts};
    use crate::plan::step::{Kind, StepIx};
    use crate::run::failure::Failure;
    use crate::schedule::Order;
    use crate::schedule::trial::{asker, step};
    use crate::verify::verify;

    /// Saves a cursor and announces a deletion in its first step; hangs there while told to.
    #[derive(Default)]
    struct Workshop {
        hangs: AtomicBool,
        seen: Mutex<Vec<Seen>>,
    }

    /// Step, epoch, cursor.
    type Seen = (String, u32, Option<Vec<u8>>);

    struct Shared(Arc<Workshop>);

    impl Workers for Shared {
        fn run(&self, order: Order, line: Line) -> Attempt {
            let shop = self.0.clone();
            Box::pin(async move {
                let seen = (order.step.to_string(), order.epoch, order.cursor.clone());
                shop.seen.lock().unwrap().push(seen);
                if order.step.as_str() != "s0" {
                    return Ok(Json::Null);
                }
                line.saver.save(&order.step, b"half").unwrap();
                let (durable, answer) = tokio::sync::oneshot::channel();
                let deletes = serde_json::json!(["disk"]);
                let step = order.step.clone();
                let news = Announcement { step, deletes, durable };
                line.announcements.send(news).await.unwrap();
                answer.await.unwrap();
                if shop.hangs.load(Ordering::SeqCst) {
                    line.cancelled.cancelled().await;
                    return Err(Failure::cancelled());
                }
                Ok(serde_json::json!({ "bytes": 7 }))
            })
        }
    }

    fn ticket() -> VerifiedPlan {
        let (first, mut gate, mut last) =
            (step(0, Kind::Act), step(1, Kind::Gate), step(2, Kind::Act));
        gate.waits = vec![StepIx(0)];
        last.needs = vec![StepIx(1)];
        let plan = Plan { script: "t".into(), steps: vec![first, gate, last], ..Plan::default() };
        let facts = Facts::default();
        verify(plan, &FactLog::new(&facts), &Inventory::default()).plan.unwrap()
    }

    fn setup(state: &Utf8Path, shop: &Arc<Workshop>) -> Setup {
        Setup {
            journal: Journal::open(state).unwrap(),
            plan: ticket(),
            step_s: Vec::new(),
            inventory: Arc::default(),
            sites: Arc::new(|_| None),
            recheck: Arc::new(Unchanged),
            workers: Some(Arc::new(Shared(shop.clone()))),
            approve: Vec::new(),
            on_gate: OnGate::Ask,
            inject: Vec::new(),
            by: asker(),
            interrupt: CancellationToken::new(),
        }
    }

    fn saved() -> Saved {
        Saved { plan_id: PlanId::new("p1").unwrap(), text: "{}".into(), again: false }
    }

    async fn until(told: &mut Listener, wanted: fn(&EventBody) -> bool) {
        while let Some(told) = told.next().await.unwrap() {
            if matches!(&told, Told::Event(event) if wanted(&event.body)) {
                return;
            }
        }
        panic!("it was never said");
    }

    #[tokio::test]
    async fn a_run_is_interrupted_resumed_answered_and_finished() {
        let temp = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(temp.path()).unwrap();
        let shop = Arc::new(Workshop { hangs: AtomicBool::new(true), ..Workshop::default() });
        let begun = setup(state, &shop);
        let interrupt = begun.interrupt.clone();
        let mut run = start(begun, saved()).await.unwrap();
        until(&mut run.told, |body| matches!(body, EventBody::Intent { .. })).await;
        let busy = resume(setup(state, &shop), &run.id).await.err().unwrap();
        assert_eq!(busy, RunError::Journal(JournalError::Owned(run.id.clone())));
        interrupt.cancel();
        assert_eq!(run.done.await.unwrap().unwrap().outcome, Outcome::Interrupted);

        shop.hangs.store(false, Ordering::SeqCst);
        let mut again = resume(setup(state, &shop), &run.id).await.unwrap();
        until(&mut again.told, |body| matches!(body, EventBody::GateOpened { .. })).await;
        let gate = StepId::new("s1").unwrap();
        let approve = Command::Approve { gate, comment: Some("CHG-7".into()) };
        // From outside, without the nudge: the poll notices.
        Journal::open(state).unwrap().post(&run.id, &approve, &asker()).unwrap();
        let mut seqs = Vec::new();
        while let Some(told) = again.told.next().await.unwrap() {
            let Told::Event(event) = told else { continue };
            seqs.push(event.seq);
        }
        let ended = again.done.await.unwrap().unwrap();
        assert_eq!(ended.outcome, Outcome::Succeeded);
        assert!(seqs.windows(2).all(|two| two[1] == two[0] + 1), "{seqs:?}");
        assert_eq!(*seqs.last().unwrap(), ended.state.seq);
        let seen = shop.seen.lock().unwrap().clone();
        let half = Some(b"half".to_vec());
        let expected = [("s0".into(), 1, None), ("s0".into(), 2, half), ("s2".into(), 2, None)];
        assert_eq!(seen, expected);
        let journal = Journal::open(state).unwrap();
        assert_eq!(journal.verify_chain(&run.id).unwrap().len() as u64, ended.state.seq);
    }

    #[tokio::test]
    async fn a_listener_that_sleeps_misses_nothing_and_stops_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(temp.path()).unwrap();
        let steps = (0..2000).map(|at| step(at, Kind::Barrier)).chain([step(2000, Kind::Act)]);
        let plan = Plan { script: "t".into(), steps: steps.collect(), ..Plan::default() };
        let facts = Facts::default();
        let ticket = verify(plan, &FactLog::new(&facts), &Inventory::default()).plan.unwrap();
        let shop = Arc::new(Workshop::default());
        let setup = Setup { plan: ticket, ..setup(state, &shop) };
        let run = start(setup, saved()).await.unwrap();
        assert_eq!(run.done.await.unwrap().unwrap().outcome, Outcome::Succeeded);
        let (mut told, mut last) = (run.told, 0);
        while let Some(told) = told.next().await.unwrap() {
            let Told::Event(event) = told else { continue };
            assert_eq!(event.seq, last + 1);
            last = event.seq;
        }
        assert_eq!(last, 2004, "begun, 2000 barriers, two records of a step, ended");
    }
}
