//! Isolated copies: a folder of its own on a host, and a guest on it that serves no client.
//!
//! `copy.json` is written before the first disk and deleted after the last one, so whatever there is of a
//! copy can be found. What the copy's own application writes is acknowledged into its own folder: nobody
//! counts it as the machine's. No machine's name has a dot, so its folder is never taken for one.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::units::show_bytes;
use crate::base::{CopyId, HostName, RunId, Timestamp};
use crate::run::failure::Failure;
use crate::sites::copies::{Copies, CopyView, Made, NewCopy};
use crate::sites::files;
use crate::sites::files::blocking;
use crate::sites::files::io;
use crate::sites::guarded::Permit;
use crate::sites::lab::disk::{Written, disk_path, replicas};
use crate::sites::lab::guest::Order;
use crate::sites::lab::guest::control::{self, Request};
use crate::sites::lab::launch;
use crate::sites::lab::power::{ANSWER_TIME, goes_on, last_record};
use crate::sites::lab::seat::Seat;
use crate::sites::lab::settings::Host;
use crate::sites::lab::site::LabSite;
use crate::sites::{At, Fence};
use crate::transfer::blocks::BlockSink;

/// What is durably known of a copy.
const RECORD: &str = "copy.json";
/// What its application was told: its own client, not the machine's.
const OWN_CLIENT: &str = "acknowledged.log";

/// `copy.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    id: CopyId,
    run: RunId,
    at: Timestamp,
    network: Option<String>,
    disks: Vec<u64>,
    /// Its disks are filled and verified: from here on they are its own.
    filled: bool,
}

/// A copy that was found.
struct Found {
    host: HostName,
    folder: PathBuf,
    record: Record,
}

#[async_trait]
impl Copies for LabSite {
    async fn make(
        &self,
        at: At<'_>,
        new: &NewCopy,
        disks: &[u64],
        fence: &Fence,
    ) -> Result<Made, Failure> {
        let seat = self.seat(at, "make_copy").await?;
        let (new, disks, fence) = (new.clone(), disks.to_vec(), fence.clone());
        blocking(move || seat.make_copy(&new, &disks, &fence)).await
    }

    async fn start(&self, at: At<'_>, id: &CopyId, fence: &Fence) -> Result<CopyView, Failure> {
        let seat = self.seat(at, "boot_copy").await?;
        let (id, fence) = (id.clone(), fence.clone());
        blocking(move || seat.boot_copy(&id, &fence)).await
    }

    async fn sign_of_life(
        &self,
        at: At<'_>,
        id: &CopyId,
        patience: Duration,
    ) -> Result<String, Failure> {
        let seat = self.seat(at, "sign_of_life").await?;
        let who = format!("the copy of {}", seat.machine);
        let ask = || {
            let (seat, id) = (seat.clone(), id.clone());
            blocking(move || seat.last_record_of_copy(&id))
        };
        goes_on(&who, patience, ask).await
    }

    async fn list(&self, at: At<'_>) -> Result<Vec<CopyView>, Failure> {
        let seat = self.seat(at, "copies").await?;
        blocking(move || seat.copies()).await
    }

    async fn delete(&self, at: At<'_>, id: &CopyId, fence: &Fence) -> Result<(), Failure> {
        let seat = self.seat(at, "unmake_copy").await?;
        let (id, fence) = (id.clone(), fence.clone());
        blocking(move || {
            let (_lock, _) = seat.records.act(&fence)?;
            seat.delete_copy_folders(&id)
        })
        .await
    }
}

impl Seat {
    /// All copies of this machine on the hosts that can be reached, by id.
    pub(super) fn copies(&self) -> Result<Vec<CopyView>, Failure> {
        let mut views = Vec::new();
        for found in self.found_copies()? {
            views.push(self.view_of(&found)?);
        }
        views.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(views)
    }

    fn make_copy(&self, new: &NewCopy, disks: &[u64], fence: &Fence) -> Result<Made, Failure> {
        let (_lock, state) = self.records.act(fence)?;
        let id = CopyId::of(&fence.key);
        for left in self.found_copies()?.iter().filter(|found| found.record.run != fence.run) {
            remove(&left.folder)?;
        }
        let found = match self.found_copy(&id)? {
            Some(found) => found,
            None => {
                let host = new.host.clone().or_else(|| self.host(&state));
                let host = host.ok_or_else(|| Failure::permanent("a copy needs a host"))?;
                self.place_copy(&host, new.network.as_deref(), id, disks, fence)?
            }
        };
        let copy = self.view_of(&found)?;
        let disks = if found.record.filled { None } else { Some(self.sinks_of(&found, fence)?) };
        Ok(Made { copy, disks })
    }

    /// Finds it a place: everything that can be refused is refused before anything is written.
    fn place_copy(
        &self,
        host: &HostName,
        network: Option<&str>,
        id: CopyId,
        disks: &[u64],
        fence: &Fence,
    ) -> Result<Found, Failure> {
        self.fits(host, None)?;
        let says = &self.place.settings.hosts[host];
        let network = isolated(host, says, network)?;
        let above = self.host_folder(host);
        io(files::make_folder(&above))?;
        // Two copies must not both count on the same room.
        let _room = io(files::lock(&above.join(".room")))?;
        let (bytes, free) = (disks.iter().sum(), self.place.host(host, says)?.free_bytes);
        if bytes > free {
            let message = format!(
                "host {host} has room for {}: a copy of {} needs {}",
                show_bytes(free),
                self.machine,
                show_bytes(bytes)
            );
            return Err(Failure::refused("H337", message)
                .help("make room there, or name another `host`; nothing was written"));
        }
        let folder = self.copy_folder(host, &id);
        let record = Record {
            id,
            run: fence.run.clone(),
            at: Timestamp::now(),
            network,
            disks: disks.to_vec(),
            filled: false,
        };
        io(files::make_folder(&folder))?;
        io(files::save(&folder.join(RECORD), &record))?;
        let found = Found { host: host.clone(), folder, record };
        make_disks(&found)?;
        Ok(found)
    }

    /// Its disks, writable by this fence for as long as they are not its own.
    fn sinks_of(&self, found: &Found, fence: &Fence) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        // What a crash left unmade of them.
        make_disks(found)?;
        let written = io(Written::open(&found.folder, &found.record.disks, None))?;
        let (seat, fence, path) = (self.clone(), fence.clone(), found.folder.join(RECORD));
        let permit: Permit = Arc::new(move || {
            let denied = |failure| io::Error::new(io::ErrorKind::PermissionDenied, failure);
            seat.records.check(&fence).map_err(denied)?;
            match files::load::<Record>(&path)? {
                Some(record) if !record.filled => Ok(()),
                _ => Err(denied(Failure::permanent("the copy is gone, or its disks are its own"))),
            }
        });
        Ok(replicas(written, &permit))
    }

    fn boot_copy(&self, id: &CopyId, fence: &Fence) -> Result<CopyView, Failure> {
        let (_lock, _) = self.records.act(fence)?;
        let mut found = self.copy_of(id)?;
        if launch::runs(&found.folder)? {
            return self.view_of(&found);
        }
        if !found.record.filled {
            found.record.filled = true;
            io(files::save(&found.folder.join(RECORD), &found.record))?;
        }
        let folder = io(std::path::absolute(&found.folder))?;
        let order = Order {
            machine: self.machine.clone(),
            side: self.side,
            client: folder.join(OWN_CLIENT),
            folder,
            disks: found.record.disks.clone(),
            key: self.key()?,
            writes_per_second: self.settings.writes_per_second,
        };
        let refused = launch::boot(&self.place.tools.exe, "copy", &order, || Ok(()))?;
        if let Some(reason) = refused {
            let message = format!("the copy of {} does not boot: {reason}", self.machine);
            return Err(Failure::permanent(message)
                .help("the machine itself is as it was; take another snapshot and try again"));
        }
        self.view_of(&found)
    }

    fn last_record_of_copy(&self, id: &CopyId) -> Result<u64, Failure> {
        let found = self.copy_of(id)?;
        let answer = control::ask(&found.folder, &Request::Ping, ANSWER_TIME).map_err(|error| {
            let machine = &self.machine;
            Failure::transient(format!("the copy of {machine} does not answer: {error}"))
        })?;
        last_record(&answer)
    }

    /// Deletes all there is of a copy, on whatever host.
    fn delete_copy_folders(&self, id: &CopyId) -> Result<(), Failure> {
        for (host, says) in &self.place.settings.hosts {
            let folder = self.copy_folder(host, id);
            if !folder.is_dir() {
                continue;
            }
            if says.connected == Some(false) {
                let message = format!("host {host} of {} is not connected", self.place.name);
                return Err(Failure::refused("H309", message)
                    .help("connect it; the copy there is deleted when the step is tried again"));
            }
            remove(&folder)?;
        }
        Ok(())
    }

    fn copy_of(&self, id: &CopyId) -> Result<Found, Failure> {
        self.found_copy(id)?.ok_or_else(|| {
            let message = format!("there is no copy {id} of {} (any more)", self.machine);
            Failure::permanent(message).help("start another one")
        })
    }

    fn found_copy(&self, id: &CopyId) -> Result<Option<Found>, Failure> {
        Ok(self.found_copies()?.into_iter().find(|found| found.record.id == *id))
    }

    fn found_copies(&self) -> Result<Vec<Found>, Failure> {
        let mut all = Vec::new();
        let mine = format!("{}.copy.", self.machine);
        for (host, says) in &self.place.settings.hosts {
            if says.connected == Some(false) {
                continue;
            }
            for entry in self.host_folder(host).read_dir().into_iter().flatten() {
                let entry = io(entry)?;
                if !entry.file_name().to_string_lossy().starts_with(&mine) {
                    continue;
                }
                let folder = entry.path();
                if let Some(record) = io(files::load::<Record>(&folder.join(RECORD)))? {
                    all.push(Found { host: host.clone(), folder, record });
                }
            }
        }
        Ok(all)
    }

    fn view_of(&self, found: &Found) -> Result<CopyView, Failure> {
        let Found { host, folder, record } = found;
        Ok(CopyView {
            id: record.id.clone(),
            machine: self.machine.clone(),
            run: record.run.clone(),
            at: record.at,
            host: host.clone(),
            network: record.network.clone(),
            bytes: record.disks.iter().sum(),
            running: launch::is_alive(folder)?,
        })
    }

    fn host_folder(&self, host: &HostName) -> PathBuf {
        self.place.settings.folder.join("hosts").join(host.as_str())
    }

    fn copy_folder(&self, host: &HostName, id: &CopyId) -> PathBuf {
        self.host_folder(host).join(format!("{}.copy.{id}", self.machine))
    }
}

/// The isolated switch that a copy is put on; without one it is connected to nothing.
fn isolated(
    host: &HostName,
    says: &Host,
    network: Option<&str>,
) -> Result<Option<String>, Failure> {
    let Some(network) = network else { return Ok(says.isolated.first().cloned()) };
    if says.isolated.contains(network) {
        return Ok(Some(network.to_owned()));
    }
    let names: Vec<&str> = says.isolated.iter().map(String::as_str).collect();
    let there_is = match names.as_slice() {
        [] => {
            "it has no isolated switch: leave `network` out, and the copy is connected to nothing"
                .to_owned()
        }
        names => format!("its isolated switches are: {}", names.join(", ")),
    };
    if says.switches.contains(network) {
        let message = format!(
            "the switch `{network}` of host {host} is not isolated: a copy there would meet the machines at work"
        );
        return Err(Failure::refused("H336", message).help(there_is));
    }
    let message = format!("host {host} has no virtual switch `{network}`");
    Err(Failure::refused("H310", message).help(there_is))
}

/// Makes the disks that are missing, sparse.
fn make_disks(found: &Found) -> Result<(), Failure> {
    for (disk, bytes) in found.record.disks.iter().enumerate() {
        let path = disk_path(&found.folder, disk);
        let make = || {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            file.set_len(*bytes)
        };
        io(make().map_err(files::at(&path)))?;
    }
    io(files::sync_parent(&found.folder.join(RECORD)))
}

/// Ends a copy's guest, then removes its folder, what tells of it last.
fn remove(folder: &Path) -> Result<(), Failure> {
    launch::pull_plug(folder)?;
    let clear = || -> io::Result<()> {
        for entry in folder.read_dir()? {
            let path = entry?.path();
            if path.ends_with(RECORD) {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        files::sync_parent(&folder.join(RECORD))?;
        files::remove_folder(folder)
    };
    io(clear().map_err(files::at(folder)))
}
