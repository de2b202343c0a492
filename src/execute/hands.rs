//! What a process that works on a run has in hand: the machines' claims, the attempts under way, and what it
//! asks the sites for the core. A real run and a rehearsal are one in this; they differ in journal and clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::base::{Json, MachineName, RunId, Side, StepId};
use crate::execute::claims::{self, LostSides, Over, Tokens};
use crate::execute::context::{Announcement, Sites};
use crate::execute::danger::{Touched, dangers};
use crate::execute::recheck::Recheck;
use crate::execute::trouble::RunError;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::run::event::{Event, EventBody};
use crate::run::failure::Failure;
use crate::run::state::RunState;
use crate::schedule::{Changed, Changes, Input, Order, Report, Why, touched};

/// What a site answers to a process whose claim is no longer the one that counts there.
const FENCED_OUT: &str = "H302";

/// What a process works on.
pub struct Job {
    /// The run.
    pub run: RunId,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// The inventory.
    pub inventory: Arc<Inventory>,
    /// The sites.
    pub sites: Sites,
    /// Observes the plan's facts again.
    pub recheck: Arc<dyn Recheck>,
    /// Which runs are over.
    pub over: Over,
}

/// See the module.
pub struct Hands {
    job: Job,
    lost: LostSides,
    may_drop: BTreeSet<MachineName>,
    /// Without sides: an attempt on that machine was abandoned, and it is to be claimed anew.
    tokens: Tokens,
    /// Machines that the run has begun to change.
    touched: BTreeSet<MachineName>,
    running: HashMap<StepId, Attempted>,
    announced: HashMap<StepId, oneshot::Sender<()>>,
}

/// An attempt under way.
struct Attempted {
    /// Fires when it should stop at its next safe point.
    cancelled: CancellationToken,
    /// Fires when nobody waits for it any more.
    abandoned: CancellationToken,
}

/// The machine that was claimed anew before an attempt, and its tokens.
pub type Claimed = Option<(MachineName, BTreeMap<Side, u64>)>;

/// Something that the sites are asked.
pub struct Question {
    /// The asking; what the core hears.
    pub asked: Pin<Box<dyn Future<Output = Input> + Send>>,
    /// What it hears when the asking broke, which is a bug: told in a sentence.
    pub broken: Box<dyn FnOnce(String) -> Input + Send>,
}

impl Question {
    fn new<T: 'static>(
        asking: impl Future<Output = T> + Send + 'static,
        broken: impl FnOnce(String) -> T + Send + 'static,
        input: impl FnOnce(T) -> Input + Clone + Send + 'static,
    ) -> Question {
        let heard = input.clone();
        Question {
            asked: Box::pin(async move {
                let answer = asking.await;
                heard(answer)
            }),
            broken: Box::new(move |bug| input(broken(bug))),
        }
    }
}

/// Who asks whom.
type Asking = (Sites, Arc<Inventory>, RunId, Over);

async fn claim_anew(
    machine: &MachineName,
    (sites, inventory, run, over): &Asking,
    lost: &LostSides,
) -> Result<BTreeMap<Side, u64>, Failure> {
    let alone = BTreeSet::from([machine]);
    let taken = claims::take(sites, inventory, &alone, run, false, over, lost).await;
    let mut tokens = taken.map_err(|refused| refused.failure)?;
    Ok(tokens.remove(machine).unwrap_or_default())
}

impl Hands {
    /// Of a process that takes the run up as it stands, and holds these claims.
    pub fn new(job: Job, tokens: Tokens, state: &RunState) -> Hands {
        Hands {
            lost: job.plan.without_sides(),
            may_drop: job.plan.droppable(),
            touched: touched(&job.plan, state).into_iter().cloned().collect(),
            tokens,
            job,
            running: HashMap::new(),
            announced: HashMap::new(),
        }
    }

    /// Makes an attempt by `make`, until nobody waits for it any more; on a machine where an abandoned one may
    /// still do something, behind a new claim.
    pub fn attempt<Make, Made>(
        &mut self,
        mut order: Order,
        make: Make,
    ) -> impl Future<Output = (Report, Claimed)> + Send + use<Make, Made>
    where
        Make: FnOnce(Order, CancellationToken) -> Made + Send,
        Made: Future<Output = Result<Json, Failure>> + Send,
    {
        if let Some(tokens) = order.machine.as_ref().and_then(|m| self.tokens.get(m)) {
            order.tokens.clone_from(tokens);
        }
        let (step, attempt) = (order.step.clone(), order.attempt);
        let (cancelled, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let running = Attempted { cancelled: cancelled.clone(), abandoned: abandoned.clone() };
        self.running.insert(step.clone(), running);
        let unsure = order.machine.clone().filter(|machine| self.is_unsure(machine));
        let (asking, lost) = (self.asking(), self.lost.clone());
        let work = async move {
            let mut claimed = None;
            if let Some(machine) = unsure {
                match claim_anew(&machine, &asking, &lost).await {
                    Ok(tokens) => order.tokens.clone_from(&tokens),
                    Err(failure) => return (Err(failure), None),
                }
                claimed = Some((machine, order.tokens.clone()));
            }
            (make(order, cancelled).await, claimed)
        };
        async move {
            let (result, claimed) = tokio::select! {
                biased;
                done = work => done,
                () = abandoned.cancelled() => (Err(Failure::cancelled()), None),
            };
            (Report { step, attempt, result }, claimed)
        }
    }

    /// An abandoned attempt on that machine may still do something.
    fn is_unsure(&self, machine: &MachineName) -> bool {
        self.tokens.get(machine).is_some_and(BTreeMap::is_empty)
    }

    fn asking(&self) -> Asking {
        let Job { run, inventory, sites, over, .. } = &self.job;
        (sites.clone(), inventory.clone(), run.clone(), over.clone())
    }

    /// An attempt has ended.
    pub fn ended(&mut self, step: &StepId, claimed: Claimed) {
        self.running.remove(step);
        self.tokens.extend(claimed);
    }

    /// Asks an attempt to stop at its next safe point.
    pub fn cancel(&self, step: &StepId) {
        if let Some(running) = self.running.get(step) {
            running.cancelled.cancel();
        }
    }

    /// Waits no longer for an attempt: whatever it still does is fenced out before the next one.
    pub fn abandon(&mut self, step: &StepId, state: &RunState) {
        if let Some(running) = self.running.get(step) {
            running.abandoned.cancel();
        }
        let machine = self.machine(step, state);
        if let Some(held) = machine.and_then(|machine| self.tokens.get_mut(&machine)) {
            held.clear();
        }
    }

    fn machine(&self, step: &StepId, state: &RunState) -> Option<MachineName> {
        self.job.plan.step(state.place(step)?).machine.clone()
    }

    /// Nothing will be journalled any more: every attempt gets the chance of a safe point.
    pub fn cancel_all(&mut self) {
        self.announced.clear();
        self.running.values().for_each(|running| running.cancelled.cancel());
    }

    /// No attempt is under way.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// A step says what it is about to delete.
    pub fn announce(&mut self, news: Announcement) -> Input {
        self.announced.insert(news.step.clone(), news.durable);
        Input::Intent { step: news.step, deletes: news.deletes }
    }

    /// An event is durable.
    pub fn note(&mut self, event: &Event, state: &RunState) {
        match &event.body {
            EventBody::AttemptStarted { step, .. } => {
                let step = state.place(step).map(|ix| self.job.plan.step(ix));
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

    /// Whether the plan's facts are still so.
    pub fn recheck(&self, why: Why, state: &RunState) -> Question {
        let recheck = self.job.recheck.clone();
        let facts = state.facts(&self.job.plan);
        let mut apart = self.touched.clone();
        apart.extend(state.excluded.iter().cloned());
        let may_drop = self.may_drop.clone();
        Question::new(
            async move { recheck.changed(&facts, &apart, &may_drop).await },
            |bug| Changes { hold: vec![bug.into()], drop: BTreeMap::new() },
            move |changes| Input::Rechecked { why, changes },
        )
    }

    /// What the core is told of an answer. While the facts were observed the run may have begun to change
    /// machines: of those nothing is expected any more.
    pub fn heard(&self, mut input: Input) -> Input {
        if let Input::Rechecked { changes, .. } = &mut input {
            let is_own =
                |one: &Changed| !one.machines.is_empty() && one.machines.is_subset(&self.touched);
            changes.hold.retain(|one| !is_own(one));
            changes.drop.retain(|machine, _| !self.touched.contains(machine));
        }
        input
    }

    /// What a person is needed for.
    pub fn look(&self, state: &RunState) -> Question {
        let (sites, inventory, run, _) = self.asking();
        let (machines, tokens) = (self.touched.clone(), self.tokens.clone());
        let touched = Touched { machines, tokens, given_back: state.given_back.clone() };
        Question::new(
            async move { dangers(&sites, &inventory, &touched, &run).await },
            |bug| vec![bug],
            |dangers| Input::Looked { dangers },
        )
    }

    /// Gives all machines back.
    pub fn release(&self) -> Question {
        self.leave(self.tokens.clone(), |()| Input::Released)
    }

    /// Gives one machine back.
    pub fn give_back(&mut self, machine: MachineName) -> Question {
        // Of a machine that this process never claimed there is no token, but maybe an old claim.
        let held = self.tokens.remove(&machine).unwrap_or_default();
        let tokens = Tokens::from([(machine.clone(), held)]);
        self.leave(tokens, |()| Input::GivenBack(machine))
    }

    fn leave(
        &self,
        tokens: Tokens,
        input: impl FnOnce(()) -> Input + Clone + Send + 'static,
    ) -> Question {
        let (sites, inventory, run, over) = self.asking();
        let leaving = async move { claims::leave(&sites, &inventory, &tokens, &run, &over).await };
        Question::new(leaving, |_| (), input)
    }

    /// The machine that a site no longer lets this process change, if that is why an attempt failed.
    pub fn fenced_out(&self, report: &Report, state: &RunState) -> Option<MachineName> {
        let failure = report.result.as_ref().err()?;
        if failure.code.as_deref() != Some(FENCED_OUT) {
            return None;
        }
        // One that is claimed anew may have been fenced out by this very process.
        let is_held =
            |machine: &MachineName| self.tokens.get(machine).is_some_and(|t| !t.is_empty());
        self.machine(&report.step, state).filter(is_held)
    }

    /// Why this process has to leave, if it does not hold that machine any more.
    pub async fn taken_over(&self, machine: MachineName) -> Option<RunError> {
        let (sites, inventory, run, _) = self.asking();
        let ours = self.tokens.get(&machine).cloned().unwrap_or_default();
        let by = claims::taken_by(&sites, &inventory, &machine, &ours).await?;
        Some(RunError::TakenOver { machine, run, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::compile::saved::tests::{inventory, proved};
    use crate::execute::recheck::tests::Unchanged;

    #[test]
    fn of_a_machine_that_the_run_began_to_change_meanwhile_nothing_is_expected() {
        let plan = Arc::new(proved().plan().clone());
        let (state, run) = (RunState::new(&plan), RunId::new("r1").unwrap());
        let job = Job {
            run: run.clone(),
            plan,
            inventory: Arc::new(inventory()),
            sites: Arc::new(|_| None),
            recheck: Arc::new(Unchanged),
            over: Arc::new(|_| false),
        };
        let mut hands = Hands::new(job, Tokens::new(), &state);
        let web = MachineName::new("web-01").unwrap();
        let seen = || {
            let named = Changed { text: "web-01: it runs".into(), machines: [web.clone()].into() };
            let hold = vec![named, "hv-01: it is away".to_owned().into()];
            let changes = Changes { hold, drop: [(web.clone(), "it runs".to_owned())].into() };
            Input::Rechecked { why: Why::Begin, changes }
        };
        let left = |hands: &Hands| match hands.heard(seen()) {
            Input::Rechecked { changes, .. } => (changes.hold.len(), changes.drop.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(left(&hands), (2, 1));
        let step = StepId::new("web-01.stop").unwrap();
        let body = EventBody::AttemptStarted { step, attempt: 1, epoch: 1 };
        hands.note(&Event { run, seq: 9, at: Timestamp::UNIX_EPOCH, body }, &state);
        assert_eq!(left(&hands), (1, 0));
    }
}
