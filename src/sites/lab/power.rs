//! Turning machines on and off.

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::base::Json;
use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::lab::guest::control::{Request, SOCKET};
use crate::sites::lab::launch;
use crate::sites::lab::seat::{Seat, key_check};
use crate::sites::lab::site::LabSite;
use crate::sites::lab::tracking;
use crate::sites::manifests;
use crate::sites::state::State;
use crate::sites::{At, Boot, Fence, PowerSwitch, SideView};

/// How often a machine is asked for a sign of life.
const PULSE: Duration = Duration::from_millis(20);
/// Longest that one question to a guest may take.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);

#[async_trait]
impl PowerSwitch for LabSite {
    async fn start(&self, at: At<'_>, boot: &Boot, fence: &Fence) -> Result<SideView, Failure> {
        let seat = self.seat(at, "start").await?;
        let (boot, fence) = (boot.clone(), fence.clone());
        blocking(move || seat.start(&boot, &fence)).await
    }

    async fn stop(&self, at: At<'_>, grace: Duration, fence: &Fence) -> Result<bool, Failure> {
        let seat = self.seat(at, "stop").await?;
        let fence = fence.clone();
        blocking(move || seat.stop(grace, &fence)).await
    }

    async fn sign_of_life(&self, at: At<'_>, patience: Duration) -> Result<String, Failure> {
        let seat = self.seat(at, "sign_of_life").await?;
        let ask = || {
            let seat = seat.clone();
            blocking(move || seat.last_record())
        };
        goes_on(seat.machine.as_str(), patience, ask).await
    }
}

/// Asks for the last record until there is a later one, for as long as `patience` and as it may help.
pub(super) async fn goes_on<A>(
    who: &str,
    patience: Duration,
    ask: impl Fn() -> A,
) -> Result<String, Failure>
where
    A: Future<Output = Result<u64, Failure>>,
{
    let deadline = Instant::now() + patience;
    let mut before = None;
    loop {
        let now = ask().await;
        match (before, now) {
            (Some(before), Ok(now)) if now > before => {
                return Ok(format!("its ledger goes on: record {before}, then {now}"));
            }
            (_, Err(failure)) if !failure.may_retry() || Instant::now() >= deadline => {
                return Err(failure);
            }
            (Some(before), Ok(_)) if Instant::now() >= deadline => {
                let message = format!("{who} stands still at record {before}");
                return Err(Failure::transient(message));
            }
            (before_now, now) => before = before_now.or(now.ok()),
        }
        tokio::time::sleep(PULSE).await;
    }
}

/// What a guest answers to a ping.
pub(super) fn last_record(answer: &Json) -> Result<u64, Failure> {
    answer.as_u64().ok_or_else(|| Failure::transient("a guest answered no number"))
}

impl Seat {
    fn last_record(&self) -> Result<u64, Failure> {
        let state = self.records.state()?;
        self.reach(&state)?;
        last_record(&self.ask(&state, &Request::Ping, ANSWER_TIME)?)
    }

    fn start(&self, boot: &Boot, fence: &Fence) -> Result<SideView, Failure> {
        let (_lock, state) = self.records.act(fence)?;
        self.reach(&state)?;
        if launch::runs(&self.folder(&state))? {
            if let Some(decided) = state.decided_for(boot) {
                self.records.save(&decided)?;
            }
        } else {
            self.may_boot(&state, boot)?;
            // Whatever the guest makes of the disks, they are no longer what the manifest says.
            io(manifests::forget(&self.folder(&state)))?;
            let commit = || self.commit_boot(&state, boot);
            launch::launch(self, &state, commit, || self.distrust(&state))?;
        }
        self.look()
    }

    fn may_boot(&self, state: &State, boot: &Boot) -> Result<(), Failure> {
        let here = self.records.here();
        state.may_boot(&here, self.has_disks(state), boot)?;
        if let (Some(check), Some(key)) = (&state.key_check, self.key()?)
            && *check != key_check(&self.machine, &key)
        {
            let message = format!("the key of the inventory does not open the disks of {here}");
            return Err(Failure::refused("H308", message).help("mend the inventory's key"));
        }
        Ok(())
    }

    /// The boot, durably: from here on the live data is here.
    fn commit_boot(&self, before: &State, boot: &Boot) -> Result<(), Failure> {
        let state = before.after_boot(boot, self.new_generation()?);
        let folder = self.folder(before);
        let was_replica = before.replica.is_some();
        if !self.place.settings.change_tracking {
            io(tracking::forget(&folder))?;
        } else if was_replica || io(tracking::token(&folder))?.is_none() {
            let base = boot.from.as_ref().filter(|_| was_replica).map(|from| from.sync.clone());
            io(tracking::begin(&folder, &io(files::random())?, base, &state.disks))?;
        }
        self.records.save(&state)
    }

    /// Disks that do not boot are not what the last transfer left: the next one compares them.
    fn distrust(&self, state: &State) -> Result<(), Failure> {
        if state.replica.is_none() {
            return Ok(());
        }
        self.records.save(&State { generation: self.new_generation()?, ..state.clone() })
    }

    /// Another one than ever before.
    pub(super) fn new_generation(&self) -> Result<String, Failure> {
        Ok(format!("{}-{}", self.side, io(files::random())?))
    }

    fn stop(&self, grace: Duration, fence: &Fence) -> Result<bool, Failure> {
        let (_lock, mut state) = self.records.act(fence)?;
        state.known(&self.records.here())?;
        self.reach(&state)?;
        let pulled = launch::stop(self, &state, grace)?;
        // Nobody listens there any more.
        io(files::remove(&self.folder(&state).join(SOCKET)))?;
        if !state.fenced {
            state.fenced = true;
            self.records.save(&state)?;
        }
        Ok(pulled)
    }
}
