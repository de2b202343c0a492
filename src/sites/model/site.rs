//! The site itself: looking, claiming, and the way in for every capability.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::base::{HostName, MachineName, RunId, Side, SiteName};
use crate::plan::facts::{HostFacts, Power};
use crate::run::failure::Failure;
use crate::sites::commands::{Command, Commands, Ran};
use crate::sites::copies::Copies;
use crate::sites::model::world::{Call, Inner, Seat, World, out_of_reach};
use crate::sites::records::Lease;
use crate::sites::state::State;
use crate::sites::{At, Claim, Claims, Disks, Fence, Machines, PowerSwitch, SideView, Site};

/// A site in memory.
#[derive(Clone)]
pub struct ModelSite {
    pub(super) name: SiteName,
    pub(super) world: Arc<World>,
}

/// One side of a machine, while something is done to it.
pub(super) struct Here<'a> {
    pub inner: &'a mut Inner,
    pub whose: (MachineName, Side),
    /// In words.
    pub name: String,
}

impl Here<'_> {
    pub fn seat(&mut self) -> &mut Seat {
        self.inner.seats.entry(self.whose.clone()).or_insert_with(Seat::absent)
    }

    /// Refuses unless the fence holds.
    pub fn check(&mut self, fence: &Fence) -> Result<(), Failure> {
        let name = self.name.clone();
        self.seat().lease.check(&name, fence)
    }

    /// The same, and the machine has been here.
    pub fn known(&mut self, fence: &Fence) -> Result<(), Failure> {
        self.check(fence)?;
        let name = self.name.clone();
        self.seat().state.known(&name)
    }
}

impl Seat {
    fn absent() -> Seat {
        Seat {
            state: State::absent(),
            lease: Lease::default(),
            on: false,
            dark: false,
            silent: false,
            disks: Vec::new(),
            snapshots: Vec::new(),
            manifests: None,
            tracking: None,
            copies: Vec::new(),
            losses: 0,
            lost_power: false,
        }
    }

    pub(super) fn view(&self) -> SideView {
        let power = match (self.dark, self.on) {
            (true, _) => Power::Unknown,
            (false, true) => Power::On,
            (false, false) => Power::Off,
        };
        self.state.clone().view(power, self.has_disks(), self.lease.clone())
    }
}

impl ModelSite {
    /// Does something to one side of a machine, between two chances for the meddler.
    pub(super) async fn act<T: Send>(
        &self,
        at: At<'_>,
        operation: &'static str,
        work: impl FnOnce(&mut Here<'_>) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        self.act_on((at.machine.clone(), at.side), operation, work).await
    }

    /// The same of a request that is on its way: it arrives although its caller has given it up, or died.
    pub(super) async fn act_alone<T: Send + 'static>(
        &self,
        at: At<'_>,
        operation: &'static str,
        work: impl FnOnce(&mut Here<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (site, whose) = (self.clone(), (at.machine.clone(), at.side));
        let asked = tokio::spawn(async move { site.act_on(whose, operation, work).await });
        asked.await.unwrap_or_else(|broken| std::panic::resume_unwind(broken.into_panic()))
    }

    async fn act_on<T: Send>(
        &self,
        whose: (MachineName, Side),
        operation: &'static str,
        work: impl FnOnce(&mut Here<'_>) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let call = Call { site: self.name.clone(), machine: Some(whose.clone()), operation };
        let number = self.world.meddler.before(&call).await?;
        let done = {
            let mut inner = self.world.now();
            let name = format!("{} at {}", whose.0, self.name);
            let mut here = Here { inner: &mut inner, whose, name };
            let (dark, silent) = (here.seat().dark, here.seat().silent);
            if silent || (dark && operation != "look") {
                Err(out_of_reach(&here.name))
            } else {
                work(&mut here)
            }
        };
        self.world.meddler.after(number).await?;
        done
    }
}

#[async_trait]
impl Site for ModelSite {
    fn name(&self) -> &SiteName {
        &self.name
    }

    async fn look(&self, at: At<'_>) -> Result<SideView, Failure> {
        self.act(at, "look", |here| Ok(here.seat().view())).await
    }

    async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
        let call = Call { site: self.name.clone(), machine: None, operation: "hosts" };
        let number = self.world.meddler.before(&call).await?;
        let hosts = self.world.now().hosts.get(&self.name).cloned().unwrap_or_default();
        self.world.meddler.after(number).await?;
        Ok(hosts)
    }

    fn claims(&self) -> Option<&dyn Claims> {
        Some(self)
    }

    fn power(&self) -> Option<&dyn PowerSwitch> {
        Some(self)
    }

    fn disks(&self) -> Option<&dyn Disks> {
        Some(self)
    }

    fn machines(&self) -> Option<&dyn Machines> {
        Some(self)
    }

    fn commands(&self) -> Option<&dyn Commands> {
        Some(self)
    }

    fn copies(&self) -> Option<&dyn Copies> {
        Some(self)
    }
}

#[async_trait]
impl Claims for ModelSite {
    async fn claim(&self, at: At<'_>, run: &RunId) -> Result<Claim, Failure> {
        self.act(at, "claim", |here| {
            let name = here.name.clone();
            let seat = here.seat();
            seat.lease = seat.lease.taken(&name, run)?;
            Ok(Claim { run: run.clone(), token: seat.lease.token })
        })
        .await
    }

    async fn unclaim(&self, at: At<'_>, run: &RunId) -> Result<(), Failure> {
        self.act(at, "unclaim", |here| {
            let lease = &mut here.seat().lease;
            lease.run = lease.run.take().filter(|holder| holder != run);
            Ok(())
        })
        .await
    }
}

/// Every command ends well and prints nothing.
#[async_trait]
impl Commands for ModelSite {
    async fn on_host(
        &self,
        at: At<'_>,
        _: &Command,
        _: &CancellationToken,
    ) -> Result<Ran, Failure> {
        self.act(at, "on_host", |_| Ok(Ran::default())).await
    }

    async fn in_guest(
        &self,
        at: At<'_>,
        _: &Command,
        _: &CancellationToken,
    ) -> Result<Ran, Failure> {
        self.act(at, "in_guest", |_| Ok(Ran::default())).await
    }
}
