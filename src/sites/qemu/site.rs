//! The site itself: looking, claiming, and the way in for every capability.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::base::{HostName, RunId, SiteName};
use crate::plan::facts::HostFacts;
use crate::run::failure::Failure;
use crate::sites::files::{blocking, io};
use crate::sites::qemu::seat::{Place, Seat};
use crate::sites::{At, Claim, Claims, Disks, Machines, PowerSwitch, SideView, Site};

/// A site of this provider.
pub(super) struct QemuSite {
    pub place: Arc<Place>,
}

impl QemuSite {
    /// The seat that an operation is about.
    pub(super) fn seat(&self, at: At<'_>) -> Result<Seat, Failure> {
        Seat::new(&self.place, at)
    }
}

#[async_trait]
impl Site for QemuSite {
    fn name(&self) -> &SiteName {
        &self.place.name
    }

    async fn look(&self, at: At<'_>) -> Result<SideView, Failure> {
        let seat = self.seat(at)?;
        blocking(move || seat.look()).await
    }

    async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
        let place = Arc::clone(&self.place);
        blocking(move || {
            let free_bytes = place.free_bytes()?;
            let facts = place.settings.hosts.iter().map(|(name, host)| {
                let facts = HostFacts {
                    connected: true,
                    switches: host.switches.keys().cloned().collect(),
                    isolated: std::collections::BTreeSet::new(),
                    free_bytes,
                };
                (name.clone(), facts)
            });
            Ok(facts.collect())
        })
        .await
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
}

#[async_trait]
impl Claims for QemuSite {
    async fn claim(&self, at: At<'_>, run: &RunId) -> Result<Claim, Failure> {
        let seat = self.seat(at)?;
        let run = run.clone();
        blocking(move || seat.records.claim(&run)).await
    }

    async fn unclaim(&self, at: At<'_>, run: &RunId) -> Result<(), Failure> {
        let seat = self.seat(at)?;
        let run = run.clone();
        blocking(move || seat.records.unclaim(&run)).await
    }
}

impl Place {
    /// The room that the site's file system has.
    fn free_bytes(&self) -> Result<u64, Failure> {
        let there = self.settings.folder.ancestors().find(|folder| folder.is_dir());
        let Some(there) = there else { return Ok(0) };
        let system = io(rustix::fs::statvfs(there).map_err(std::io::Error::from))?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    }
}
