//! Practising: what a provider offers that has a lab in which nothing real can be lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::{MachineName, Side, SiteName};
use crate::run::failure::Failure;
use crate::sites::copies::CopyView;

/// A lab: it can be created, measured and thrown away.
#[async_trait]
pub trait Practice: Send + Sync {
    /// Creates what is missing of it, in the state that a failback starts from; `true`: something was.
    ///
    /// # Errors
    /// When it cannot be created; what was begun is finished by the next call.
    async fn init(&self) -> Result<bool, Failure>;

    /// Whether nothing is missing.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn is_initialised(&self) -> Result<bool, Failure>;

    /// Where every machine runs, without proving anything: quick.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn status(&self) -> Result<LabReport, Failure>;

    /// Proves the live disks of every machine against what its client was told.
    ///
    /// # Errors
    /// When it cannot be asked.
    async fn verify(&self) -> Result<LabReport, Failure>;

    /// Ends every guest and deletes everything.
    ///
    /// # Errors
    /// When a guest may still run, or something could not be deleted.
    async fn reset(&self) -> Result<(), Failure>;

    /// Kills the machine's guest on that side, as a crash of its host would.
    ///
    /// # Errors
    /// When it may still run.
    async fn pull_plug(&self, machine: &MachineName, side: Side) -> Result<(), Failure>;
}

/// What was measured of a lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabReport {
    /// By name.
    pub machines: Vec<LabMachine>,
    /// Isolated copies that are there now: of a run at work, or left behind by one that was cancelled.
    pub copies: Vec<CopyView>,
}

impl LabReport {
    /// Nothing was lost, and no machine ever ran on both sides.
    pub fn is_good(&self) -> bool {
        self.machines.iter().all(|machine| machine.lost == Some(0) && !machine.overlap)
    }
}

/// What was measured of one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabMachine {
    /// The machine.
    pub machine: MachineName,
    /// Writes that were acknowledged to its client.
    pub acknowledged: u64,
    /// How many of them its live disks do not hold; `None` when that was not measured.
    pub lost: Option<u64>,
    /// Why its live disks hold nothing, when they could not be proved.
    pub why: Option<String>,
    /// Between the last acknowledgement in the cloud and the first at home, seconds.
    pub downtime_s: Option<f64>,
    /// The site it runs at.
    pub running_on: Option<SiteName>,
    /// It ran on both sides at once.
    pub overlap: bool,
    /// Its cloud side.
    pub cloud: Stand,
    /// Its on-prem side.
    pub onprem: Stand,
    /// What the passive side's disks are worth, in the words of the fact `replica`.
    pub replica: String,
    /// Which way it is protected: `onprem_to_cloud` or `none`.
    pub protected: String,
}

/// How one side of a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// It runs.
    Running,
    /// It is off.
    Off,
    /// It was deleted; a base of its disks may be left.
    Deleted,
    /// It was never there.
    Absent,
}
