//! What is durably known of one side of a machine, and its claim.

use serde::{Deserialize, Serialize};

use crate::base::{HostName, RunId, Side, StepKey, SyncId, Timestamp};
use crate::plan::facts::{Power, Protection};
use crate::plan::inventory::MachineEntry;
use crate::sites::lab::settings::MachineSettings;
use crate::sites::{Booted, Claim, Lost, ReplicaMark, SideView, SyncStamp};

/// `state.json`: written by homing under the machine's lock, never by a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub exists: bool,
    /// Sizes of its disks, bytes; empty: none were made.
    pub disks: Vec<u64>,
    pub generation: String,
    pub turn: u64,
    pub booted: Option<Booted>,
    pub replica: Option<ReplicaMark>,
    pub committed: bool,
    pub protection: Protection,
    pub host: Option<HostName>,
    pub network: Option<String>,
    pub key_check: Option<String>,
    pub failed_over_at: Option<Timestamp>,
    pub fenced: bool,
    /// The step that created it, when a step did.
    pub created_by: Option<StepKey>,
    /// The other side was declared lost.
    #[serde(default)]
    pub lost_twin: Option<Lost>,
    /// The lab is being created: this machine has still to be turned on for the first time.
    pub first_boot_due: bool,
}

/// `claim.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Who holds it.
    pub run: Option<RunId>,
    /// Grows with every claim.
    pub token: u64,
}

/// The names of what was before the lab: the sync that the failover ended, and tracking since then.
const BEFORE: &str = "before-the-lab";
/// The id of the change tracking that a created machine has.
pub(super) const FIRST_TRACKING: &str = "first";

impl State {
    /// A machine that was never here.
    pub(super) fn absent() -> State {
        State {
            exists: false,
            disks: Vec::new(),
            generation: String::new(),
            turn: 0,
            booted: None,
            replica: None,
            committed: true,
            protection: Protection::None,
            host: None,
            network: None,
            key_check: None,
            failed_over_at: None,
            fenced: false,
            created_by: None,
            lost_twin: None,
            first_boot_due: false,
        }
    }

    /// The state that a lab is created in: failed over and committed some days ago, running in the
    /// cloud, and on-prem what was left there on that day. `tracking`: the cloud tracks changes.
    pub(super) fn initial(
        side: Side,
        entry: &MachineEntry,
        settings: &MachineSettings,
        tracking: bool,
        now: Timestamp,
    ) -> State {
        let at = settings.failed_over_at(now).unwrap_or(now);
        let sync = SyncId::new(BEFORE).expect("BUG: a legal id");
        let here = State { exists: true, disks: entry.disks.clone(), ..State::absent() };
        match side {
            Side::Cloud => State {
                generation: "c1".to_owned(),
                turn: 2,
                booted: Some(Booted {
                    sync,
                    source_generation: "o1".to_owned(),
                    is_final: true,
                    run: BEFORE.to_owned(),
                }),
                failed_over_at: Some(at),
                first_boot_due: true,
                ..here
            },
            Side::Onprem => {
                let stamp = SyncStamp {
                    sync,
                    source_generation: "c1".to_owned(),
                    is_final: false,
                    tracking: tracking.then(|| format!("{FIRST_TRACKING}.0")),
                    at,
                };
                State {
                    generation: "o1".to_owned(),
                    turn: 1,
                    host: Some(entry.host.clone()),
                    replica: Some(ReplicaMark::Synced { stamp, own_generation: "o1".to_owned() }),
                    ..here
                }
            }
        }
    }

    /// The sync that it was last verified by, when its disks are still as that left them.
    pub(super) fn synced(&self) -> Option<&SyncStamp> {
        match &self.replica {
            Some(ReplicaMark::Synced { stamp, own_generation })
                if *own_generation == self.generation =>
            {
                Some(stamp)
            }
            _ => None,
        }
    }

    /// As callers see it.
    pub(super) fn view(self, power: Power, has_disks: bool, lease: Lease) -> SideView {
        SideView {
            exists: self.exists,
            has_disks,
            power,
            fenced: self.fenced,
            generation: self.generation,
            turn: self.turn,
            booted: self.booted,
            replica: self.replica.filter(|_| has_disks),
            committed: self.committed,
            protection: self.protection,
            host: self.host,
            disk_bytes: self.disks.iter().sum(),
            encrypted: self.key_check.is_some(),
            failed_over_at: self.failed_over_at,
            lost_twin: self.lost_twin,
            claim: lease.run.map(|run| Claim { run, token: lease.token }),
        }
    }
}
