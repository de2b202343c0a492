//! Sites: the places plans act on, and the providers that talk to them.
//!
//! In: a machine and what to do there. Out: what was found, done, or refused. Refuses to know: plans,
//! scripts, the order of steps. One folder per provider; nothing outside names one.
//!
//! A site is small: what it can do beyond being looked at are optional capabilities, so "this provider
//! cannot do X" is a fact that can be read, not a surprise at 3 a.m.
//!
//! **Contract of every mutation**: observe, then act. It carries a [`Fence`]: it is refused (H302) when
//! the machine's claim at the site is not that run's with that token. Whatever it creates is stored with
//! the fence's step key, so that doing it again after a crash finds and finishes what the first one did.
//! Doing a finished thing again changes nothing. Every change is durable before the call returns.
//! For a machine that the site never saw, `create`, `begin_sync` and making a copy begin something; every
//! other mutation fails and leaves nothing behind.

pub mod commands;
pub mod copies;
mod files;
mod guarded;
mod lab;
pub mod look;
mod manifests;
pub mod model;
pub mod narrow;
pub mod practice;
pub mod process;
mod qemu;
mod records;
pub mod registry;
pub mod secret;
mod settings;
pub mod silent;
mod state;
pub mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::{
    HostName, MachineName, RunId, Side, SiteName, SnapshotId, StepId, StepKey, SyncId, Timestamp,
};
use crate::plan::facts::{DirtyMark, HostFacts, Power, Protection};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::commands::Commands;
use crate::sites::copies::Copies;
use crate::transfer::blocks::{BlockSink, BlockSource, Manifest};

/// One side of one machine: what a site is asked about.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// The machine.
    pub machine: &'a MachineName,
    /// The side that this site is.
    pub side: Side,
    /// What the inventory says of it.
    pub entry: &'a MachineEntry,
}

/// What every mutation carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The run that claims the machine.
    pub run: RunId,
    /// The token that [`Claims::claim`] gave it.
    pub token: u64,
    /// The step that acts.
    pub step: StepId,
    /// Stored with whatever the step creates.
    pub key: StepKey,
}

/// What a site says of one side of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideView {
    /// The machine (its definition) exists here.
    pub exists: bool,
    /// Its disks, or a base of them kept for protection, exist here.
    pub has_disks: bool,
    /// Whether it runs.
    pub power: Power,
    /// It cannot be started but through homing.
    pub fenced: bool,
    /// The token of its boot and disk state: changes at every boot, and at every write outside a transfer.
    pub generation: String,
    /// Grows with every switch of sides: the side with the higher turn holds the live data.
    pub turn: u64,
    /// How it came to run here, when it booted from a replica.
    pub booted: Option<Booted>,
    /// What its disks are worth as a replica.
    pub replica: Option<ReplicaMark>,
    /// The last switch to this side was committed.
    pub committed: bool,
    /// Which way this side is protected.
    pub protection: Protection,
    /// Where it lives, on an on-prem site.
    pub host: Option<HostName>,
    /// All disks together, bytes.
    pub disk_bytes: u64,
    /// The disks are encrypted.
    pub encrypted: bool,
    /// When it failed over to here.
    pub failed_over_at: Option<Timestamp>,
    /// A person gave the other side up, so that this one may run without it.
    pub lost_twin: Option<Lost>,
    /// The other side was decided for: whatever this one wrote by itself was given up, and its disks are no copy
    /// of anything.
    pub superseded: bool,
    /// Who claims it.
    pub claim: Option<Claim>,
}

/// The durable mark of a side that a person declared lost, at the side that is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The run that declared it.
    pub run: RunId,
    /// Why, in the script's words.
    pub reason: String,
    /// From this turn on the side that is left holds the live data, whatever turn the lost one had.
    pub live_from: u64,
}

/// A boot from a replica that homing brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Booted {
    /// The final transfer it booted from.
    pub sync: SyncId,
    /// The twin's generation at that transfer.
    pub source_generation: String,
    /// The twin had nothing more to say; `false`: it was declared lost, with whatever it wrote after that
    /// transfer.
    #[serde(default = "yes")]
    pub is_final: bool,
    /// The run that booted it.
    pub run: String,
}

fn yes() -> bool {
    true
}

/// The durable mark beside a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaMark {
    /// A transfer began; nothing may boot from it.
    Dirty {
        /// Who began it.
        mark: DirtyMark,
        /// The last verified state before, for change tracking: what was written since is a subset of
        /// what changed since that.
        before: Option<SyncStamp>,
    },
    /// Verified equal to its source at one moment.
    Synced {
        /// That moment.
        stamp: SyncStamp,
        /// The replica's own generation then: another one now means it diverged.
        own_generation: String,
    },
}

/// A moment at which a replica was verified equal to its source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStamp {
    /// The synchronization.
    pub sync: SyncId,
    /// The source's generation.
    pub source_generation: String,
    /// It was read from stopped disks: the source had nothing more to say.
    pub is_final: bool,
    /// The point in the source site's change tracking, when it has one ([`Source::tracking`]).
    pub tracking: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Who claims a machine at a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The run.
    pub run: RunId,
    /// Grows with every claim ever made of this machine here.
    pub token: u64,
}

/// A place that plans act on.
#[async_trait]
pub trait Site: Send + Sync {
    /// Its name in the inventory.
    fn name(&self) -> &SiteName;

    /// Looks at one side of a machine; changes nothing, creates nothing. A machine that the site never
    /// saw is a view with `exists: false`, not an error.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn look(&self, at: At<'_>) -> Result<SideView, Failure>;

    /// Looks at the site's hosts.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn hosts(&self) -> Result<BTreeMap<HostName, HostFacts>, Failure>;

    /// Can it be claimed? A site that cannot is for looking only.
    fn claims(&self) -> Option<&dyn Claims>;

    /// Can machines be turned on and off?
    fn power(&self) -> Option<&dyn PowerSwitch>;

    /// Can disks be read and written?
    fn disks(&self) -> Option<&dyn Disks>;

    /// Can machines be created and deleted?
    fn machines(&self) -> Option<&dyn Machines>;

    /// Can commands be run on hosts and inside machines?
    fn commands(&self) -> Option<&dyn Commands> {
        None
    }

    /// Can isolated copies of machines run here?
    fn copies(&self) -> Option<&dyn Copies> {
        None
    }
}

/// The lease of a machine, kept at the site itself: two laptops cannot work on one machine.
#[async_trait]
pub trait Claims: Send + Sync {
    /// Takes the machine for a run, by compare-and-set. The run that holds it already gets a new, higher
    /// token, which fences its own dead process out.
    ///
    /// # Errors
    /// Refused H301, naming the run that holds it.
    async fn claim(&self, at: At<'_>, run: &RunId) -> Result<Claim, Failure>;

    /// Gives the machine back; nothing happens when the run does not hold it.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn unclaim(&self, at: At<'_>, run: &RunId) -> Result<(), Failure>;
}

/// What a boot is allowed to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// The turn that this side gets: one above both sides' turns, or its own when it is only started again.
    pub turn: u64,
    /// The verified final transfer it boots from; `None`: its own disks, as they were when it stopped.
    pub from: Option<Booted>,
}

/// Turning machines on and off.
#[async_trait]
pub trait PowerSwitch: Send + Sync {
    /// Boots the machine and returns once it runs; of one that runs already only the turn is recorded, when it
    /// is a higher one: from now on that side holds the live data. Deletes the
    /// replica's manifest durably before the first instruction; change tracking starts before it too.
    ///
    /// # Errors
    /// Refused H303 while the replica is dirty, H304 when it diverged, was synchronized by another
    /// transfer than `boot.from`, when `boot.from` is missing and it is a replica, or is not final and
    /// the other side was not declared lost here.
    async fn start(&self, at: At<'_>, boot: &Boot, fence: &Fence) -> Result<SideView, Failure>;

    /// Asks the machine to stop, pulls the plug after `grace`, and returns when it is really off; then
    /// fences it. One that is off already is fenced and left alone. `true`: the plug was pulled.
    ///
    /// # Errors
    /// When it may still run.
    async fn stop(&self, at: At<'_>, grace: Duration, fence: &Fence) -> Result<bool, Failure>;

    /// Asks for a sign that the machine's own application lives, for as long as `patience`.
    ///
    /// # Errors
    /// Transient when there is none yet.
    async fn sign_of_life(&self, at: At<'_>, patience: Duration) -> Result<String, Failure>;
}

/// A point-in-time copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id at the site.
    pub id: SnapshotId,
    /// The machine's generation when it was taken.
    pub generation: String,
    /// When.
    pub at: Timestamp,
    /// All disks together, bytes.
    pub bytes: u64,
}

/// What a transfer reads.
pub struct Source {
    /// One per disk, in the inventory's order.
    pub disks: Vec<Arc<dyn BlockSource>>,
    /// The generation they belong to.
    pub generation: String,
    /// They are the disks of a machine that is off.
    pub stopped: bool,
    /// The point in this site's change tracking that these disks are; kept in the replica's stamp, and
    /// given back to [`Disks::changes`] by the next transfer.
    pub tracking: Option<String>,
}

/// The ranges of one disk that changed, sorted and disjoint, multiples of the block size.
pub type Changes = Vec<std::ops::Range<u64>>;

/// Reading and writing disks.
#[async_trait]
pub trait Disks: Send + Sync {
    /// Takes a snapshot of the machine, running or not; the one already taken under this fence's key is
    /// found again.
    ///
    /// # Errors
    /// When there is nothing to take one of.
    async fn snapshot(&self, at: At<'_>, fence: &Fence) -> Result<Snapshot, Failure>;

    /// All snapshots of the machine with the run that took each, oldest first.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn snapshots(&self, at: At<'_>) -> Result<Vec<(Snapshot, RunId)>, Failure>;

    /// Gives a snapshot up; one that is gone is gone.
    ///
    /// # Errors
    /// When it may still be there.
    async fn release(&self, at: At<'_>, id: &SnapshotId, fence: &Fence) -> Result<(), Failure>;

    /// Opens disks for reading: a snapshot's, or the machine's own (which must be off).
    ///
    /// # Errors
    /// Refused H305 when the machine runs and no snapshot is given; permanent when the snapshot is gone.
    async fn source(&self, at: At<'_>, from: Option<&SnapshotId>) -> Result<Source, Failure>;

    /// What changed on the machine's disks between the point `since` (a [`Source::tracking`], or the id
    /// of the sync that this machine booted from) and the given snapshot or the disks as they are now.
    /// `None`: this site does not know, compare instead.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn changes(
        &self,
        at: At<'_>,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure>;

    /// Sets the durable mark on the replica, before the first byte is written to it. The same sync again
    /// changes nothing; another sync takes the mark over and voids the manifest.
    ///
    /// # Errors
    /// Refused H306 when the machine runs here.
    async fn begin_sync(&self, at: At<'_>, mark: &DirtyMark, fence: &Fence) -> Result<(), Failure>;

    /// Opens the replica's disks for writing, creating those that are missing (sparse).
    ///
    /// # Errors
    /// Refused H307 unless the dirty mark is this sync's.
    async fn sink(
        &self,
        at: At<'_>,
        sync: &SyncId,
        fence: &Fence,
    ) -> Result<Vec<Arc<dyn BlockSink>>, Failure>;

    /// Clears the mark, durably: the replica is verified to be what `stamp` says. Keeps the manifests.
    ///
    /// # Errors
    /// Refused H307 unless the dirty mark is this sync's.
    async fn end_sync(
        &self,
        at: At<'_>,
        stamp: &SyncStamp,
        manifests: &[Manifest],
        fence: &Fence,
    ) -> Result<(), Failure>;

    /// The manifests of the replica's disks, when they still describe them: kept by the last `end_sync`,
    /// same generation, not booted since, not dirty by another sync.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn manifests(&self, at: At<'_>, sync: &SyncId) -> Result<Option<Vec<Manifest>>, Failure>;

    /// Proves that `key` opens the machine's disks, without reading or writing any data.
    ///
    /// # Errors
    /// Refused H308 when it does not, or when encrypted disks got no key.
    async fn unlock(&self, at: At<'_>, key: Option<&[u8]>) -> Result<(), Failure>;
}

/// What to create.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMachine {
    /// On this host.
    pub host: Option<HostName>,
    /// On this virtual switch.
    pub network: Option<String>,
    /// Virtual processors.
    pub cpus: Option<u32>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Folder for its disks, where the provider has such a thing.
    pub path: Option<String>,
}

/// What goes and what stays when a machine is deleted, beside the machine itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Its snapshots: deleted.
    pub snapshots: Vec<SnapshotId>,
    /// Disks that stay as the base of differential protection, by the site's names of them.
    pub disks_kept: Vec<String>,
}

/// Creating, deleting and marking machines.
#[async_trait]
pub trait Machines: Send + Sync {
    /// Creates the machine without disks' contents, if it does not exist; from then on it lives on that
    /// host. `true`: it was created now (or by this very step before a crash).
    ///
    /// # Errors
    /// Refused H309 when the host is unknown or not connected, H310 when the switch is missing there.
    async fn create(&self, at: At<'_>, new: &NewMachine, fence: &Fence) -> Result<bool, Failure>;

    /// What [`Machines::delete`] would delete and what it would keep, for the journal.
    ///
    /// # Errors
    /// When the site cannot be asked.
    async fn doomed(&self, at: At<'_>) -> Result<Doomed, Failure>;

    /// Deletes the machine, its disks and all its snapshots; keeps the base that differential protection
    /// needs. One that is deleted is deleted.
    ///
    /// # Errors
    /// Refused H311 when it runs, or when its generation is not `generation`.
    async fn delete(&self, at: At<'_>, generation: &str, fence: &Fence) -> Result<(), Failure>;

    /// Records that the switch to this side is committed.
    ///
    /// # Errors
    /// When it cannot be recorded.
    async fn set_committed(&self, at: At<'_>, fence: &Fence) -> Result<(), Failure>;

    /// Records at this side that a person gave the other one up; `None`: it is back.
    ///
    /// # Errors
    /// When it cannot be recorded.
    async fn set_lost_twin(
        &self,
        at: At<'_>,
        lost: Option<&Lost>,
        fence: &Fence,
    ) -> Result<(), Failure>;

    /// Records whether the other side was decided for; a transfer to this one, or its start, ends that too.
    ///
    /// # Errors
    /// When it cannot be recorded.
    async fn set_superseded(&self, at: At<'_>, is: bool, fence: &Fence) -> Result<(), Failure>;

    /// Records which way this side is protected.
    ///
    /// # Errors
    /// When it cannot be recorded.
    async fn protect(&self, at: At<'_>, to: Protection, fence: &Fence) -> Result<(), Failure>;
}
