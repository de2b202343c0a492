//! Two sides make one machine: what each site says of its side, combined into facts.

use crate::base::{MachineName, Side, Timestamp};
use crate::plan::facts::{
    CommitState, DirtyMark, Facts, MachineFacts, Power, ReplicaState, SideFacts,
};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::silent::look_at_both;
use crate::sites::{Booted, ReplicaMark, SideView, Site};

/// A machine as far as it can be seen.
#[derive(Clone, Debug)]
pub struct Looked {
    /// The machine.
    pub facts: MachineFacts,
    /// The side of it that is silent and was not given up: what is said of it is assumed.
    pub unseen: Option<(Side, Failure)>,
}

/// Looks at a machine; changes nothing.
///
/// # Errors
/// As [`look_at_both`].
pub async fn look(
    cloud: &dyn Site,
    onprem: &dyn Site,
    machine: &MachineName,
    entry: &MachineEntry,
) -> Result<Looked, Failure> {
    let both = look_at_both(cloud, onprem, machine, entry).await?;
    let facts = combine(&both.cloud, &both.onprem, entry);
    Ok(Looked { facts, unseen: both.unseen().cloned() })
}

/// The side that holds the live data: the one with the higher turn. On a tie the one that runs, else the
/// cloud (nothing was ever switched).
pub fn active(cloud: &SideView, onprem: &SideView) -> Side {
    // A side that somebody deleted has no turn any more: its replica does not become the live data by that.
    match (&cloud.replica, &onprem.replica) {
        (None, Some(_)) if !cloud.exists => return Side::Cloud,
        (Some(_), None) if !onprem.exists => return Side::Onprem,
        _ => {}
    }
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
        None if passive.superseded => (ReplicaState::Diverged, None),
        // What the live side itself came from: its disks of the day of the switch.
        None if is_origin(active, passive) => (ReplicaState::Stale, None),
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

/// Whether the live side booted from all that `passive` had written, and `passive` rests since.
pub fn is_origin(active: &SideView, passive: &SideView) -> bool {
    let of = |from: &Booted| from.is_final && from.source_generation == passive.generation;
    active.booted.as_ref().is_some_and(of)
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
        cloud: side(cloud, onprem, active == Side::Cloud),
        onprem: side(onprem, cloud, active == Side::Onprem),
        host: onprem.host.clone().unwrap_or_else(|| entry.host.clone()),
        replica,
        dirty,
        commit: commit(active, live, passive),
        protection: live.protection,
        encrypted: live.encrypted,
        disk_bytes: live.disk_bytes,
        failed_over_at: cloud.failed_over_at,
        synced_at,
    }
}

/// A failback's commit marks the side that runs before it deletes the one that it was brought home from.
fn commit(active: Side, live: &SideView, twin: &SideView) -> CommitState {
    let left = live.booted.as_ref().map(|booted| &booted.source_generation);
    let is_left = twin.exists && twin.power == Power::Off && left == Some(&twin.generation);
    match (active, live.committed) {
        (_, false) => CommitState::Pending,
        (Side::Onprem, true) if is_left => CommitState::Begun,
        _ => CommitState::Committed,
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

/// A side that nobody can see, and that a person gave up, is lost. A live side that is off and has no disks is
/// none any more.
fn side(view: &SideView, twin: &SideView, is_live: bool) -> SideFacts {
    let is_lost = view.power == Power::Unknown && twin.lost_twin.is_some();
    let is_gone = is_live && view.power == Power::Off && !view.has_disks;
    SideFacts {
        exists: view.exists && !is_gone,
        power: if is_lost { Power::Lost } else { view.power },
        fenced: view.fenced,
        generation: view.generation.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::base::{HostName, SiteName, SyncId};
    use crate::plan::facts::Protection;
    use crate::plan::inventory::Addresses;
    use crate::sites::SyncStamp;

    /// A side with disks that is off and was never switched to.
    pub(crate) fn view(generation: &str) -> SideView {
        SideView {
            exists: true,
            has_disks: true,
            power: Power::Off,
            fenced: false,
            generation: generation.to_owned(),
            turn: 0,
            booted: None,
            replica: None,
            committed: true,
            protection: Protection::None,
            host: None,
            disk_bytes: 64 << 20,
            encrypted: false,
            failed_over_at: None,
            lost_twin: None,
            superseded: false,
            claim: None,
        }
    }

    pub(crate) fn entry() -> MachineEntry {
        MachineEntry {
            cloud: SiteName::new("azure").unwrap(),
            onprem: SiteName::new("dc1").unwrap(),
            host: HostName::new("hv-01").unwrap(),
            disks: vec![64 << 20],
            tags: [].into(),
            needs: Vec::new(),
            rto_s: None,
            key: None,
            address: Addresses::default(),
            settings: [].into(),
        }
    }

    fn stamp(source: &str, is_final: bool) -> SyncStamp {
        SyncStamp {
            sync: SyncId::new("sync").unwrap(),
            source_generation: source.to_owned(),
            is_final,
            tracking: None,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    /// The mark of a copy of `source`'s generation, made when the replica's own was `own`.
    fn synced(source: &str, is_final: bool, own: &str) -> Option<ReplicaMark> {
        let own_generation = own.to_owned();
        Some(ReplicaMark::Synced { stamp: stamp(source, is_final), own_generation })
    }

    fn dirty(before: Option<SyncStamp>) -> Option<ReplicaMark> {
        let sync = SyncId::new("sync").unwrap();
        let mark = DirtyMark { sync, run: "r1".to_owned(), step: "web-01.copy".to_owned() };
        Some(ReplicaMark::Dirty { mark, before })
    }

    #[test]
    fn the_higher_turn_holds_the_live_data_and_on_a_tie_what_runs_alone() {
        use Power::{Off, On, Unknown};
        let table = [
            ((2, Off), (1, On), Side::Cloud),
            ((1, On), (2, Off), Side::Onprem),
            ((1, Off), (1, On), Side::Onprem),
            ((1, On), (1, On), Side::Cloud),
            ((1, Unknown), (1, On), Side::Cloud),
            ((1, Off), (1, Unknown), Side::Cloud),
            ((0, Off), (0, Off), Side::Cloud),
        ];
        for (cloud, onprem, expected) in table {
            let side = |(turn, power)| SideView { turn, power, ..view("g") };
            let found = active(&side(cloud), &side(onprem));
            assert_eq!(found, expected, "{cloud:?} {onprem:?}");
        }
    }

    #[test]
    fn a_replica_whose_twin_was_deleted_is_no_live_data() {
        let gone = SideView { exists: false, has_disks: false, ..view("") };
        let mark = synced("c1", true, "o1");
        let left = SideView { turn: 1, replica: mark, ..view("o1") };
        assert_eq!(active(&gone, &left), Side::Cloud);
        assert_eq!(active(&left, &gone), Side::Onprem);
        let facts = combine(&gone, &left, &entry());
        assert_eq!((facts.active, facts.cloud.exists), (Side::Cloud, false));
        // After its boot it is the machine, whatever is left of the other one.
        let booted = SideView { replica: None, ..left };
        assert_eq!(active(&gone, &booted), Side::Onprem);
        // Disks that are gone are gone, also where the machine's definition is left.
        let emptied = SideView { turn: 2, has_disks: false, ..view("c1") };
        assert!(!combine(&emptied, &view("o1"), &entry()).cloud.exists);
    }

    #[test]
    fn a_replica_is_current_only_as_a_final_copy_of_a_source_that_rests() {
        use ReplicaState::{Absent, Current, Dirty, Diverged, Stale};
        let table = [
            ("no disks", false, synced("c1", true, "o1"), Power::Off, Absent),
            ("no mark", true, None, Power::Off, Diverged),
            ("final, at rest", true, synced("c1", true, "o1"), Power::Off, Current),
            ("the source runs", true, synced("c1", true, "o1"), Power::On, Stale),
            ("the source may run", true, synced("c1", true, "o1"), Power::Unknown, Stale),
            ("the source booted since", true, synced("c0", true, "o1"), Power::Off, Stale),
            ("of a snapshot", true, synced("c1", false, "o1"), Power::Off, Stale),
            ("booted by itself", true, synced("c1", true, "o0"), Power::Off, Diverged),
            ("never verified", true, dirty(None), Power::Off, Dirty),
        ];
        for (case, has_disks, mark, power, expected) in table {
            let source = SideView { power, ..view("c1") };
            let passive = SideView { has_disks, replica: mark, ..view("o1") };
            let (found, says) = replica(&source, &passive);
            assert_eq!(found, expected, "{case}");
            assert_eq!(says.is_some(), expected == Dirty, "{case}: who began it is said");
        }
    }

    #[test]
    fn facts_come_from_the_side_that_each_of_them_is_about() {
        let cloud = SideView {
            turn: 2,
            power: Power::On,
            committed: false,
            encrypted: true,
            disk_bytes: 1,
            failed_over_at: Some(Timestamp::UNIX_EPOCH),
            protection: Protection::OnpremToCloud,
            ..view("c1")
        };
        let home = Some(HostName::new("hv-02").unwrap());
        let onprem = SideView {
            turn: 1,
            disk_bytes: 2,
            replica: dirty(Some(stamp("c0", false))),
            host: home.clone(),
            ..view("o1")
        };
        let away = combine(&cloud, &onprem, &entry());
        assert_eq!((away.active, away.commit), (Side::Cloud, CommitState::Pending));
        assert_eq!((away.disk_bytes, away.encrypted), (1, true));
        assert_eq!((away.replica, away.dirty.unwrap().run.as_str()), (ReplicaState::Dirty, "r1"));
        assert_eq!(away.synced_at, Some(Timestamp::UNIX_EPOCH), "what was verified before");
        assert_eq!(away.protection, Protection::OnpremToCloud);
        assert_eq!((Some(away.host), away.cloud.generation.as_str()), (home, "c1"));

        let home = combine(&cloud, &SideView { turn: 3, host: None, ..onprem }, &entry());
        assert_eq!((home.active, home.commit), (Side::Onprem, CommitState::Committed));
        assert_eq!((home.disk_bytes, home.encrypted), (2, false));
        assert_eq!((home.replica, home.synced_at), (ReplicaState::Diverged, None));
        assert_eq!(home.host.as_str(), "hv-01", "the inventory's");
        assert!(home.failed_over_at.is_some(), "the cloud side knows when");
    }
}
