//! The powers of a running primitive in a rehearsal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::base::{Json, MachineName, RunId, Side, SiteName, StepId, StepKey};
use crate::execute::{Announcement, Over, Sites};
use crate::plan::inventory::Inventory;
use crate::primitives;
use crate::primitives::contract::Ctx;
use crate::rehearse::trouble::Trouble;
use crate::run::failure::Failure;
use crate::schedule::Order;
use crate::sites::{Fence, Site};

/// The cursors that steps saved: they outlive the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursors(Arc<Mutex<BTreeMap<StepId, Vec<u8>>>>);

impl Cursors {
    fn kept(&self) -> MutexGuard<'_, BTreeMap<StepId, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn of(&self, step: &StepId) -> Option<Vec<u8>> {
        self.kept().get(step).cloned()
    }
}

/// There was no run before this one.
pub(super) fn none_is_over() -> Over {
    Arc::new(|_| false)
}

/// One attempt.
pub(super) struct Attempt {
    pub order: Order,
    pub key: StepKey,
    pub cancelled: CancellationToken,
    pub inventory: Arc<Inventory>,
    pub sites: Sites,
    pub cursors: Cursors,
    pub trouble: Arc<Trouble>,
    pub progress: mpsc::UnboundedSender<StepId>,
    pub announcements: mpsc::UnboundedSender<Announcement>,
}

impl Attempt {
    /// Makes it: it takes its time, then does its work at the rehearsal's sites.
    pub async fn make(self, takes: Duration) -> Result<Json, Failure> {
        self.pass(takes).await?;
        let primitive = primitives::find(&self.order.primitive);
        let primitive = primitive.expect("BUG: a verified plan names primitives that there are");
        let args = self.order.args.clone();
        match primitive.rehearsed(&args) {
            Some(outputs) => Ok(outputs),
            None => primitive.run(&args, &self).await,
        }
    }

    /// Lets time pass; a transfer says all the while that it gets on.
    async fn pass(&self, takes: Duration) -> Result<(), Failure> {
        const PULSE: Duration = Duration::from_secs(60);
        let mut left = takes;
        while !left.is_zero() {
            let now = left.min(PULSE);
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => return Err(Failure::cancelled()),
                () = tokio::time::sleep(now) => {}
            }
            left -= now;
            let _ = self.progress.send(self.order.step.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl Ctx for Attempt {
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
        (self.sites)(site).ok_or_else(|| Failure::permanent(format!("there is no site `{site}`")))
    }

    fn fence(&self, side: Side) -> Result<Fence, Failure> {
        let token = self.order.tokens.get(&side).copied();
        let token = token.ok_or_else(|| Failure::permanent("this run has not claimed it"))?;
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
        &self.cancelled
    }

    fn progress(&self, _: u64, _: u64, _: u64, _: &str) {
        let _ = self.progress.send(self.order.step.clone());
    }

    fn checkpoint(&self) -> Option<Vec<u8>> {
        self.order.cursor.clone()
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        if self.trouble.is_dead() {
            return Err(Failure::cancelled());
        }
        self.cursors.kept().insert(self.order.step.clone(), cursor.to_vec());
        Ok(())
    }

    async fn intend(&self, deletes: Json) -> Result<(), Failure> {
        let unheard = || Failure::transient("the journal does not answer, so nothing is deleted");
        let (durable, answer) = oneshot::channel();
        let announcement = Announcement { step: self.order.step.clone(), deletes, durable };
        self.announcements.send(announcement).map_err(|_| unheard())?;
        answer.await.map_err(|_| unheard())
    }

    fn intended(&self) -> Option<Json> {
        self.order.intended.clone()
    }
}
