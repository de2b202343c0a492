//! Practising: what a provider offers that has a lab in which nothing real can be lost.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::base::{MachineName, Side, SiteName};
use crate::plan::facts::Power;
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::copies::CopyView;
use crate::sites::{SideView, look};

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

    /// Whether the machine is one of it.
    fn has(&self, machine: &MachineName) -> bool;
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

    fn add(&mut self, more: LabReport) {
        self.machines.extend(more.machines);
        self.machines.sort_by(|a, b| a.machine.cmp(&b.machine));
        self.copies.extend(more.copies);
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

impl LabMachine {
    /// What the two sides of a machine say; what its client was told is still to be measured.
    pub(in crate::sites) fn seen(
        machine: &MachineName,
        entry: &MachineEntry,
        cloud: &SideView,
        home: &SideView,
    ) -> LabMachine {
        let active = look::active(cloud, home);
        let (live, passive) = if active == Side::Onprem { (home, cloud) } else { (cloud, home) };
        let runs = |view: &SideView| view.power == Power::On;
        let running_on = match (runs(cloud), runs(home)) {
            (true, false) => Some(Side::Cloud),
            (false, true) => Some(Side::Onprem),
            (true, true) => Some(active),
            (false, false) => None,
        };
        LabMachine {
            machine: machine.clone(),
            acknowledged: 0,
            lost: None,
            why: None,
            downtime_s: None,
            running_on: running_on.map(|side| entry.site(side).clone()),
            overlap: runs(cloud) && runs(home),
            cloud: Stand::of(cloud),
            onprem: Stand::of(home),
            replica: look::replica(live, passive).0.word().to_owned(),
            protected: live.protection.word().to_owned(),
        }
    }
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

impl Stand {
    fn of(view: &SideView) -> Stand {
        match (view.power, view.exists) {
            (Power::On, _) => Stand::Running,
            (_, true) => Stand::Off,
            (_, false) if view.has_disks || view.turn > 0 => Stand::Deleted,
            (_, false) => Stand::Absent,
        }
    }
}

/// Several labs of one inventory as one.
pub(in crate::sites) struct Together(pub Vec<Box<dyn Practice>>);

#[async_trait]
impl Practice for Together {
    async fn init(&self) -> Result<bool, Failure> {
        let mut created = false;
        for lab in &self.0 {
            created |= lab.init().await?;
        }
        Ok(created)
    }

    async fn is_initialised(&self) -> Result<bool, Failure> {
        for lab in &self.0 {
            if !lab.is_initialised().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn status(&self) -> Result<LabReport, Failure> {
        let mut all = LabReport { machines: Vec::new(), copies: Vec::new() };
        for lab in &self.0 {
            all.add(lab.status().await?);
        }
        Ok(all)
    }

    async fn verify(&self) -> Result<LabReport, Failure> {
        let mut all = LabReport { machines: Vec::new(), copies: Vec::new() };
        for lab in &self.0 {
            all.add(lab.verify().await?);
        }
        Ok(all)
    }

    async fn reset(&self) -> Result<(), Failure> {
        for lab in &self.0 {
            lab.reset().await?;
        }
        Ok(())
    }

    async fn pull_plug(&self, machine: &MachineName, side: Side) -> Result<(), Failure> {
        for lab in &self.0 {
            if lab.has(machine) {
                return lab.pull_plug(machine, side).await;
            }
        }
        Err(Failure::permanent(format!("the lab has no {machine}")))
    }

    fn has(&self, machine: &MachineName) -> bool {
        self.0.iter().any(|lab| lab.has(machine))
    }
}
