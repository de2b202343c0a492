//! Two sides make one machine: what each site says of its side, combined into facts.

use crate::base::{MachineName, Side, Timestamp};
use crate::plan::facts::{
    CommitState, DirtyMark, Facts, MachineFacts, Power, ReplicaState, SideFacts,
};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::{At, ReplicaMark, SideView, Site};

/// Looks at both sides of a machine; changes nothing.
///
/// # Errors
/// When either site cannot be asked.
pub async fn look(
    cloud: &dyn Site,
    onprem: &dyn Site,
    machine: &MachineName,
    entry: &MachineEntry,
) -> Result<MachineFacts, Failure> {
    let (cloud, onprem) = tokio::try_join!(
        cloud.look(At { machine, side: Side::Cloud, entry }),
        onprem.look(At { machine, side: Side::Onprem, entry }),
    )?;
    Ok(combine(&cloud, &onprem, entry))
}

/// The side that holds the live data: the one with the higher turn. On a tie the one that runs, else
/// the cloud (nothing was ever switched).
pub fn active(cloud: &SideView, onprem: &SideView) -> Side {
    match cloud.turn.cmp(&onprem.turn) {
        std::cmp::Ordering::Greater => Side::Cloud,
        std::cmp::Ordering::Less => Side::Onprem,
        std::cmp::Ordering::Equal if onprem.power == Power::On && cloud.power == Power::Off => {
            Side::Onprem
        }
        std::cmp::Ordering::Equal => Side::Cloud,
    }
}

/// What the disks of `passive` are worth as a replica of `active`.
pub fn replica(active: &SideView, passive: &SideView) -> (ReplicaState, Option<DirtyMark>) {
    if !passive.has_disks {
        return (ReplicaState::Absent, None);
    }
    match &passive.replica {
        None => (ReplicaState::Diverged, None),
        Some(ReplicaMark::Dirty { mark, .. }) => (ReplicaState::Dirty, Some(mark.clone())),
        Some(ReplicaMark::Synced { own_generation, .. })
            if *own_generation != passive.generation =>
        {
            (ReplicaState::Diverged, None)
        }
        Some(ReplicaMark::Synced { stamp, .. }) => {
            let unchanged = stamp.source_generation == active.generation;
            let current = stamp.is_final && unchanged && active.power == Power::Off;
            (if current { ReplicaState::Current } else { ReplicaState::Stale }, None)
        }
    }
}

/// The facts of a machine, from what its two sites say.
pub fn combine(cloud: &SideView, onprem: &SideView, entry: &MachineEntry) -> MachineFacts {
    let active = active(cloud, onprem);
    let (live, passive) = match active {
        Side::Cloud => (cloud, onprem),
        Side::Onprem => (onprem, cloud),
    };
    let (replica, dirty) = replica(live, passive);
    let synced_at = match &passive.replica {
        Some(ReplicaMark::Synced { stamp, .. }) => Some(stamp.at),
        Some(ReplicaMark::Dirty { before, .. }) => before.as_ref().map(|stamp| stamp.at),
        None => None,
    };
    MachineFacts {
        active,
        cloud: side(cloud),
        onprem: side(onprem),
        host: onprem.host.clone().unwrap_or_else(|| entry.host.clone()),
        replica,
        dirty,
        commit: if live.committed { CommitState::Committed } else { CommitState::Pending },
        protection: live.protection,
        encrypted: live.encrypted,
        disk_bytes: live.disk_bytes,
        failed_over_at: cloud.failed_over_at,
        synced_at,
    }
}

/// One machine's facts as of now, to be read by their names as at plan time.
pub fn facts_now(machine: &MachineName, facts: MachineFacts) -> Facts {
    Facts {
        now: Some(Timestamp::now()),
        machines: [(machine.clone(), facts)].into(),
        ..Facts::default()
    }
}

fn side(view: &SideView) -> SideFacts {
    SideFacts {
        exists: view.exists,
        power: view.power,
        fenced: view.fenced,
        generation: view.generation.clone(),
    }
}
