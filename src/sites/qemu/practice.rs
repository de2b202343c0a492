//! The practice ground as a whole: created, measured, thrown away.
//!
//! A machine is created with empty disks on both sides, equal as long as nothing runs, and then booted in
//! the cloud: so the replica at home is one that was verified before the guest wrote its first record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::base::{MachineName, Side, SiteName, Timestamp};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::files::{self, blocking, io};
use crate::sites::practice::{LabReport, Practice};
use crate::sites::qemu::disks::make_disk;
use crate::sites::qemu::guest::console;
use crate::sites::qemu::line::CONSOLE;
use crate::sites::qemu::measure::measure;
use crate::sites::qemu::process::{self, Role};
use crate::sites::qemu::seat::{Place, Seat};
use crate::sites::{At, Boot};

/// Longest that a guest may take from its start to its first record, with others booting beside it.
const BOOT_TIME: Duration = Duration::from_secs(180);
/// How often its console is read meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// All sites of this provider in one inventory, and its practice machines.
pub(super) struct Ground {
    pub places: BTreeMap<SiteName, Arc<Place>>,
    pub machines: BTreeMap<MachineName, MachineEntry>,
}

impl Ground {
    fn seat(&self, machine: &MachineName, side: Side) -> Result<Seat, Failure> {
        let entry = self.machines.get(machine);
        let entry = entry.ok_or_else(|| Failure::permanent(format!("the lab has no {machine}")))?;
        let place = self.places.get(entry.site(side)).expect("BUG: its sites are this provider's");
        Seat::new(place, At { machine, side, entry })
    }

    fn pairs(&self) -> Result<Vec<(Seat, Seat)>, Failure> {
        let pair =
            |machine| Ok((self.seat(machine, Side::Cloud)?, self.seat(machine, Side::Onprem)?));
        self.machines.keys().map(pair).collect()
    }

    async fn report(&self) -> Result<LabReport, Failure> {
        let pairs = self.pairs()?;
        blocking(move || {
            let machines = pairs.iter().map(|(cloud, home)| measure(cloud, home));
            Ok(LabReport { machines: machines.collect::<Result<_, _>>()?, copies: Vec::new() })
        })
        .await
    }
}

#[async_trait]
impl Practice for Ground {
    async fn init(&self) -> Result<bool, Failure> {
        let pairs = self.pairs()?;
        blocking(move || {
            let mut begun = Vec::new();
            for (cloud, home) in &pairs {
                if create(cloud, home)? {
                    begun.push(cloud);
                }
            }
            // They boot side by side.
            begun.iter().try_for_each(|cloud| writes(cloud))?;
            Ok(!begun.is_empty())
        })
        .await
    }

    async fn is_initialised(&self) -> Result<bool, Failure> {
        let pairs = self.pairs()?;
        blocking(move || {
            for (cloud, _) in &pairs {
                if cloud.records.recorded()?.is_none_or(|state| state.first_boot_due) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    /// What a guest proved it has said: nothing is quicker than to read it.
    async fn status(&self) -> Result<LabReport, Failure> {
        self.report().await
    }

    async fn verify(&self) -> Result<LabReport, Failure> {
        self.report().await
    }

    async fn reset(&self) -> Result<(), Failure> {
        let pairs = self.pairs()?;
        blocking(move || pairs.iter().flat_map(|(cloud, home)| [cloud, home]).try_for_each(clear))
            .await
    }

    async fn pull_plug(&self, machine: &MachineName, side: Side) -> Result<(), Failure> {
        let seat = self.seat(machine, side)?;
        blocking(move || process::kill(&seat.folder(&seat.state()?), Role::Machine)).await
    }

    fn has(&self, machine: &MachineName) -> bool {
        self.machines.contains_key(machine)
    }
}

/// Creates the machine with both its sides, and turns it on; `true`: something was done. The state of the
/// cloud side is written last: until then nothing was created, and what was begun is begun again.
fn create(cloud: &Seat, home: &Seat) -> Result<bool, Failure> {
    let _locks = (cloud.records.lock()?, home.records.lock()?);
    let state = match cloud.records.recorded()? {
        Some(state) if !state.first_boot_due => return Ok(false),
        Some(state) => state,
        None => {
            let now = Timestamp::now();
            let (there, here) = (cloud.initial(now), home.initial(now));
            for (seat, state) in [(home, &here), (cloud, &there)] {
                let folder = seat.folder(state);
                io(files::make_folder(&folder))?;
                for (disk, bytes) in state.disks.iter().enumerate() {
                    make_disk(&folder, disk, seat.place.settings.format, *bytes)?;
                }
                seat.seal(state)?;
                seat.records.save(state)?;
            }
            there
        }
    };
    let state = cloud.close(&state)?;
    cloud.launch(&state, &Boot { turn: state.turn, from: None })?;
    Ok(true)
}

/// Waits until the guest acknowledges records.
fn writes(seat: &Seat) -> Result<(), Failure> {
    let console = seat.folder(&seat.state()?).join(CONSOLE);
    let deadline = Instant::now() + BOOT_TIME;
    loop {
        let said = console::read(&console).unwrap_or_default();
        let boot = said.boots.last();
        if boot.is_some_and(|boot| boot.acks.is_some()) {
            return Ok(());
        }
        let log = format!("its console is {}", console.display());
        if let Some(why) = boot.and_then(|boot| boot.refuses.as_ref()) {
            let message = format!("the guest of {} does not start: {why}", seat.here());
            return Err(Failure::permanent(message).help(log));
        }
        if Instant::now() >= deadline {
            let message = format!("the guest of {} writes nothing", seat.here());
            return Err(Failure::timed_out(message).help(log));
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Ends every process of a side and deletes what there is of it.
fn clear(seat: &Seat) -> Result<(), Failure> {
    let state = seat.state()?;
    let folder = seat.folder(&state);
    process::end(&folder, Role::Disks)?;
    process::kill(&folder, Role::Machine)?;
    io(files::remove_folder(&folder))?;
    seat.records.forget()?;
    let parents = folder.ancestors().skip(1).take(2);
    parents.for_each(remove_if_empty);
    Ok(())
}

fn remove_if_empty(folder: &Path) {
    // Somebody else's folder is not empty, and stays.
    drop(std::fs::remove_dir(folder));
}
