//! The site itself: looking, claiming, and the way in for every capability.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::base::units::parse_size;
use crate::base::{HostName, RunId, SiteName};
use crate::plan::facts::HostFacts;
use crate::run::failure::Failure;
use crate::sites::commands::Commands;
use crate::sites::copies::Copies;
use crate::sites::files::{blocking, io};
use crate::sites::lab::faults::Striker;
use crate::sites::lab::seat::{Place, Seat};
use crate::sites::lab::settings::Host;
use crate::sites::{At, Claim, Claims, Disks, Machines, PowerSwitch, SideView, Site};

/// A site of this provider.
pub(super) struct LabSite {
    pub place: Arc<Place>,
    pub striker: Striker,
}

impl LabSite {
    /// The seat that an operation is about, after whatever goes wrong on purpose.
    pub(super) async fn seat(&self, at: At<'_>, operation: &str) -> Result<Seat, Failure> {
        let seat = self.place.seat(at)?;
        self.striker.strike(&seat, operation).await?;
        Ok(seat)
    }
}

#[async_trait]
impl Site for LabSite {
    fn name(&self) -> &SiteName {
        &self.place.name
    }

    async fn look(&self, at: At<'_>) -> Result<SideView, Failure> {
        let seat = self.place.seat(at)?;
        blocking(move || seat.look()).await
    }

    async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure> {
        self.place.answers()?;
        let place = Arc::clone(&self.place);
        blocking(move || {
            let hosts = place.settings.hosts.iter();
            hosts.map(|(name, host)| Ok((name.clone(), place.host(name, host)?))).collect()
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

    fn commands(&self) -> Option<&dyn Commands> {
        Some(self)
    }

    fn copies(&self) -> Option<&dyn Copies> {
        // Copies run on hosts: where machines live in the site itself there is no place apart.
        (!self.place.settings.hosts.is_empty()).then_some(self as &dyn Copies)
    }
}

#[async_trait]
impl Claims for LabSite {
    async fn claim(&self, at: At<'_>, run: &RunId) -> Result<Claim, Failure> {
        let seat = self.place.seat(at)?;
        let run = run.clone();
        blocking(move || seat.records.claim(&run)).await
    }

    async fn unclaim(&self, at: At<'_>, run: &RunId) -> Result<(), Failure> {
        let seat = self.place.seat(at)?;
        let run = run.clone();
        blocking(move || seat.records.unclaim(&run)).await
    }
}

impl Place {
    /// The seat that a call is about, when the site answers.
    fn seat(self: &Arc<Self>, at: At<'_>) -> Result<Seat, Failure> {
        self.answers()?;
        Seat::new(self, at)
    }

    fn answers(&self) -> Result<(), Failure> {
        match self.settings.connected {
            true => Ok(()),
            false => Err(Failure::transient(format!("site {} does not answer", self.name))),
        }
    }

    pub(super) fn host(&self, name: &HostName, host: &Host) -> Result<HostFacts, Failure> {
        Ok(HostFacts {
            connected: host.connected != Some(false),
            switches: host.switches.clone(),
            isolated: host.isolated.clone(),
            free_bytes: self.free_bytes(name, host)?,
        })
    }

    /// The room on a host: its capacity less what its disks may grow to, or what the file system has.
    fn free_bytes(&self, name: &HostName, host: &Host) -> Result<u64, Failure> {
        let folder = self.settings.folder.join("hosts").join(name.as_str());
        let there = folder.ancestors().find(|folder| folder.is_dir());
        let Some(there) = there else { return Ok(0) };
        let system = io(rustix::fs::statvfs(there).map_err(std::io::Error::from))?;
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        match host.capacity.as_deref().map(parse_size) {
            Some(Ok(capacity)) => Ok(free.min(capacity.saturating_sub(io(disk_bytes(&folder))?))),
            _ => Ok(free),
        }
    }
}

/// The sizes of all disks below a host's folder, bytes.
fn disk_bytes(host: &std::path::Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for machine in host.read_dir().into_iter().flatten() {
        for file in machine?.path().read_dir().into_iter().flatten() {
            let file = file?;
            if file.path().extension().is_some_and(|extension| extension == "raw") {
                bytes += file.metadata()?.len();
            }
        }
    }
    Ok(bytes)
}
