//! The core's hands on tokio: one loop linearizes what happens, journals it, then acts on it and tells.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::base::Timestamp;
use crate::execute::clock::Clock;
use crate::execute::context::{Announcement, Line};
use crate::execute::hands::{Claimed, Hands, Question};
use crate::execute::trouble::RunError;
use crate::execute::workers::Workers;
use crate::journal::{JournalError, OwnedRun, Watch};
use crate::run::event::{Event, Progress, Told};
use crate::run::failure::Failure;
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::schedule::{Action, Core, Input, Order, Report};

/// How often other processes' requests are looked for.
const POLL: Duration = Duration::from_millis(150);

/// Reports, progress and announcements that may wait for the loop; senders wait, or drop progress.
const QUEUE: usize = 256;

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

/// What the driver hears and says besides.
pub(super) struct Surroundings {
    pub(super) workers: Arc<dyn Workers>,
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
    hands: Hands,
    around: Surroundings,
    last_command: i64,
    ended: Option<Outcome>,
    reports: Queue<(Report, Claimed)>,
    progress: Queue<Progress>,
    announcements: Queue<Announcement>,
    answers: Queue<Input>,
}

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
    pub(super) fn new(
        core: Core,
        hands: Hands,
        owned: OwnedRun,
        watch: Watch,
        around: Surroundings,
    ) -> Driver {
        Driver {
            core,
            hands,
            clock: Clock::new(),
            owned,
            watch,
            around,
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
                    for (report, claimed) in &mut reports {
                        self.hands.ended(&report.step, claimed.take());
                    }
                    // Who was fenced out knows too little to record anything: it leaves as if it had died.
                    let state = self.core.state();
                    let fenced_out = |(report, _): &(_, _)| self.hands.fenced_out(report, state);
                    if let Some(machine) = reports.iter().find_map(fenced_out)
                        && let Some(taken_over) = self.hands.taken_over(machine).await
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
                    let intent = self.hands.announce(news);
                    self.feed(intent)?;
                }
                Some(answer) = self.answers.receiver.recv() => {
                    let input = self.hands.heard(answer);
                    self.feed(input)?;
                }
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
        Ok(())
    }

    /// Asks the sites on a task of its own; the core hears the answer, or that there is none.
    fn ask(&self, Question { asked, broken }: Question) {
        let answers = self.answers.sender.clone();
        tokio::spawn(async move {
            let heard = tokio::spawn(asked).await.unwrap_or_else(|panicked| {
                broken(format!("homing could not observe the machines (a bug: {panicked})"))
            });
            // A loop that has ended needs no answer.
            let _ = answers.send(heard).await;
        });
    }

    fn begin(&mut self, mut order: Order) -> Result<(), JournalError> {
        if order.attempt > 1 || order.epoch > 1 {
            order.cursor = self.owned.checkpoint(&order.step)?;
        }
        let (step, attempt) = (order.step.clone(), order.attempt);
        let (workers, saver) = (self.around.workers.clone(), self.owned.saver());
        let (progress, announcements) =
            (self.progress.sender.clone(), self.announcements.sender.clone());
        let made = self.hands.attempt(order, move |order, cancelled| async move {
            workers.run(order, Line { cancelled, progress, announcements, saver }).await
        });
        let reports = self.reports.sender.clone();
        tokio::spawn(async move {
            let heard = tokio::spawn(made).await.unwrap_or_else(|panicked| {
                let bug = format!("a bug in homing: the attempt broke: {panicked}");
                let help = "please report it with `homing logs`; the run can be resumed";
                let result = Err(Failure::permanent(bug).help(help));
                (Report { step, attempt, result }, None)
            });
            let _ = reports.send(heard).await;
        });
        Ok(())
    }

    fn appended(&mut self, events: Vec<Event>) -> Result<(), JournalError> {
        for event in events {
            self.hands.note(&event, self.core.state());
            self.tell(Told::Event(event.clone()));
            self.feed(Input::Appended(event))?;
        }
        Ok(())
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
        self.hands.cancel_all();
        let wait = async {
            while !self.hands.is_idle() {
                let Some((report, claimed)) = self.reports.receiver.recv().await else { return };
                self.hands.ended(&report.step, claimed);
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
