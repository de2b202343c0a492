//! The powers of a running primitive, over this run's journal and the sites.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::base::{Json, MachineName, RunId, Side, SiteName, StepId, StepKey};
use crate::journal::Saver;
use crate::plan::inventory::Inventory;
use crate::primitives::contract::Ctx;
use crate::run::event::Progress;
use crate::run::failure::Failure;
use crate::schedule::Order;
use crate::sites::{Fence, Site};

/// Opens sites by name; `None`: there is no such site.
pub type Sites = Arc<dyn Fn(&SiteName) -> Option<Arc<dyn Site>> + Send + Sync>;

/// An attempt's line to the process that drives the run.
#[derive(Clone)]
pub struct Line {
    /// Fires when it should stop at its next safe point.
    pub cancelled: CancellationToken,
    /// How far it is; what does not fit is dropped.
    pub progress: mpsc::Sender<Progress>,
    /// What it will delete.
    pub announcements: mpsc::Sender<Announcement>,
    /// For its cursor.
    pub saver: Saver,
}

/// What a step will delete; answered once it is durable.
#[derive(Debug)]
pub struct Announcement {
    /// The step.
    pub step: StepId,
    /// Ids and generations.
    pub deletes: Json,
    /// Answered when it is journalled; dropped when it never will be.
    pub durable: oneshot::Sender<()>,
}

/// One attempt in this process.
pub(super) struct Context {
    pub(super) order: Order,
    pub(super) key: StepKey,
    pub(super) line: Line,
    pub(super) inventory: Arc<Inventory>,
    pub(super) sites: Sites,
}

#[async_trait]
impl Ctx for Context {
    fn run(&self) -> &RunId {
        &self.order.run
    }

    fn step(&self) -> &StepId {
        &self.order.step
    }

    fn key(&self) -> &StepKey {
        &self.key
    }

    fn machine(&self) -> Option<&MachineName> {
        self.order.machine.as_ref()
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn site(&self, site: &SiteName) -> Result<Arc<dyn Site>, Failure> {
        (self.sites)(site).ok_or_else(|| {
            Failure::permanent(format!("there is no site `{site}`")).help(
                "the inventory changed since the plan was made: put the site back, or plan anew",
            )
        })
    }

    fn fence(&self, side: Side) -> Result<Fence, Failure> {
        let token = self.order.tokens.get(&side).copied().ok_or_else(|| {
            let whose = self.machine().map_or("no machine", MachineName::as_str);
            Failure::permanent(format!("this run has not claimed {whose} at its {side} site"))
        })?;
        let (run, step) = (self.order.run.clone(), self.order.step.clone());
        Ok(Fence { run, token, step, key: self.key.clone() })
    }

    fn input(&self, param: &str) -> Option<Arc<Json>> {
        self.order.inputs.get(param).cloned()
    }

    fn output(&self, step: &StepId) -> Option<Arc<Json>> {
        self.order.outputs.get(step).cloned()
    }

    fn time_limit(&self) -> Option<Duration> {
        self.order.time_limit_ms.map(Duration::from_millis)
    }

    fn cancelled(&self) -> &CancellationToken {
        &self.line.cancelled
    }

    fn progress(&self, done: u64, total: u64, sent: u64, note: &str) {
        let progress =
            Progress { step: self.order.step.clone(), done, total, sent, note: note.to_owned() };
        // A full queue holds fresher news already.
        let _ = self.line.progress.try_send(progress);
    }

    fn checkpoint(&self) -> Option<Vec<u8>> {
        self.order.cursor.clone()
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        self.line
            .saver
            .save(&self.order.step, cursor)
            .map_err(|error| Failure::permanent(error.to_string()).help(error.help()))
    }

    async fn intend(&self, deletes: Json) -> Result<(), Failure> {
        let unheard = || Failure::transient("the journal does not answer, so nothing is deleted");
        let (durable, answer) = oneshot::channel();
        let announcement = Announcement { step: self.order.step.clone(), deletes, durable };
        self.line.announcements.send(announcement).await.map_err(|_| unheard())?;
        answer.await.map_err(|_| unheard())
    }

    fn intended(&self) -> Option<Json> {
        self.order.intended.clone()
    }
}
