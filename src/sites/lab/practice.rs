//! The lab as a whole: created, measured, thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinSet;

use crate::base::{MachineName, Side, SiteName};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::At;
use crate::sites::copies::CopyView;
use crate::sites::files;
use crate::sites::files::blocking;
use crate::sites::files::io;
use crate::sites::lab::seat::{Place, Seat};
use crate::sites::lab::{init, launch, measure};
use crate::sites::practice::{LabMachine, LabReport, Practice};

/// Machines created or measured at once.
const AT_ONCE: usize = 4;

/// All sites and machines of this provider in one inventory.
pub(super) struct Lab {
    pub places: BTreeMap<SiteName, Arc<Place>>,
    pub machines: BTreeMap<MachineName, MachineEntry>,
    /// Machines of which only the cloud side is this provider's.
    pub halves: BTreeMap<MachineName, MachineEntry>,
}

/// Both sides of a machine.
type Pair = (Seat, Seat);

impl Lab {
    fn seat(&self, machine: &MachineName, side: Side) -> Result<Seat, Failure> {
        let entry = self.machines.get(machine).or_else(|| self.halves.get(machine));
        let entry = entry.ok_or_else(|| Failure::permanent(format!("the lab has no {machine}")))?;
        let site = if side == Side::Cloud { &entry.cloud } else { &entry.onprem };
        let place = self.places.get(site).expect("BUG: its sites are this provider's");
        Seat::new(place, At { machine, side, entry })
    }

    fn pairs(&self) -> Result<Vec<Pair>, Failure> {
        let pair =
            |machine| Ok((self.seat(machine, Side::Cloud)?, self.seat(machine, Side::Onprem)?));
        self.machines.keys().map(pair).collect()
    }

    fn halves(&self) -> Result<Vec<Seat>, Failure> {
        self.halves.keys().map(|machine| self.seat(machine, Side::Cloud)).collect()
    }

    /// The folders outside the sites: where the clients' logs are.
    fn outside(&self) -> Result<BTreeSet<PathBuf>, Failure> {
        let above =
            |cloud: Seat| cloud.client_log().parent().and_then(Path::parent).map(Path::to_owned);
        let clouds = self.pairs()?.into_iter().map(|(cloud, _)| cloud).chain(self.halves()?);
        Ok(clouds.filter_map(above).collect())
    }

    async fn each<T: Send + 'static>(
        &self,
        work: impl Fn(&Seat, &Seat) -> Result<T, Failure> + Clone + Send + 'static,
    ) -> Result<Vec<T>, Failure> {
        let mut waiting = self.pairs()?.into_iter().enumerate();
        let mut at_work = JoinSet::new();
        let mut done = BTreeMap::new();
        loop {
            while at_work.len() < AT_ONCE
                && let Some((index, (cloud, onprem))) = waiting.next()
            {
                let work = work.clone();
                at_work.spawn(blocking(move || Ok((index, work(&cloud, &onprem)?))));
            }
            match at_work.join_next().await {
                None => return Ok(done.into_values().collect()),
                Some(Ok(result)) => {
                    let (index, value) = result?;
                    done.insert(index, value);
                }
                Some(Err(error)) => return Err(Failure::transient(error.to_string())),
            }
        }
    }

    async fn report(&self, prove: bool) -> Result<LabReport, Failure> {
        let measure = move |cloud: &Seat, onprem: &Seat| {
            Ok((measure::measure(cloud, onprem, prove)?, onprem.copies()?))
        };
        let measured: Vec<(LabMachine, Vec<CopyView>)> = self.each(measure).await?;
        let (mut machines, copies): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
        let halves = self.halves()?;
        let live = blocking(move || {
            let measured = halves.iter().map(|cloud| measure::measure_half(cloud, prove));
            measured.collect::<Result<Vec<_>, _>>()
        });
        machines.extend(live.await?.into_iter().flatten());
        Ok(LabReport { machines, copies: copies.concat() })
    }

    /// One process at a time creates or deletes.
    async fn alone(&self) -> Result<Vec<File>, Failure> {
        let outside = self.outside()?;
        blocking(move || {
            let lock = |folder: PathBuf| {
                io(files::make_folder(&folder))?;
                io(files::lock(&folder.join(".lab.lock")))
            };
            outside.into_iter().map(lock).collect()
        })
        .await
    }
}

#[async_trait]
impl Practice for Lab {
    async fn init(&self) -> Result<bool, Failure> {
        if self.is_initialised().await? {
            return Ok(false);
        }
        let _alone = self.alone().await?;
        let create = |cloud: &Seat, onprem: &Seat| init::create(cloud, Some(onprem));
        let created = self.each(create).await?.contains(&true);
        let halves = self.halves()?;
        blocking(move || {
            halves
                .iter()
                .try_fold(created, |before, cloud| Ok(init::create(cloud, None)? || before))
        })
        .await
    }

    async fn is_initialised(&self) -> Result<bool, Failure> {
        let clouds = self.pairs()?.into_iter().map(|(cloud, _)| cloud);
        let clouds: Vec<Seat> = clouds.chain(self.halves()?).collect();
        blocking(move || {
            for cloud in clouds {
                if !init::is_there(&cloud)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    async fn status(&self) -> Result<LabReport, Failure> {
        self.report(false).await
    }

    async fn verify(&self) -> Result<LabReport, Failure> {
        self.report(true).await
    }

    async fn reset(&self) -> Result<(), Failure> {
        let _alone = self.alone().await?;
        let outside = self.outside()?;
        let sites: Vec<PathBuf> =
            self.places.values().map(|place| place.settings.folder.clone()).collect();
        blocking(move || {
            sites.iter().try_for_each(|site| clear_site(site))?;
            outside.iter().try_for_each(|folder| io(files::remove_folder(&folder.join("clients"))))
        })
        .await
    }

    async fn pull_plug(&self, machine: &MachineName, side: Side) -> Result<(), Failure> {
        let seat = self.seat(machine, side)?;
        blocking(move || launch::pull_plug(&seat.folder(&seat.records.state()?))).await
    }

    fn has(&self, machine: &MachineName) -> bool {
        self.machines.contains_key(machine) || self.halves.contains_key(machine)
    }
}

/// Ends every guest of a site and deletes what the lab put there, and nothing else.
fn clear_site(site: &Path) -> Result<(), Failure> {
    let mut machines = io(folders(&site.join("disks")))?;
    for host in io(folders(&site.join("hosts")))? {
        machines.extend(io(folders(&host))?);
    }
    machines.iter().try_for_each(|folder| launch::pull_plug(folder))?;
    for folder in ["machines", "disks", "hosts"] {
        io(files::remove_folder(&site.join(folder)))?;
    }
    Ok(())
}

fn folders(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = folder.read_dir()?.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}
