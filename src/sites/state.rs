//! What is durably known of one side of a machine, and every change that it goes through.
//!
//! Pure: the records (records.rs) keep it, a provider does what it tells of.

use serde::{Deserialize, Serialize};

use crate::base::{HostName, Side, StepKey, SyncId, Timestamp};
use crate::plan::facts::{DirtyMark, Power, Protection};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::records::Lease;
use crate::sites::{Boot, Booted, Lost, ReplicaMark, SideView, SyncStamp};

/// `state.json`: written by homing under the lock of the records, never by a guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::sites) struct State {
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
    /// A person, or a handler, decided for the other side.
    #[serde(default)]
    pub superseded: bool,
    /// A practice ground is being created: this machine has still to be turned on for the first time.
    pub first_boot_due: bool,
    /// The points of its change tracking, where they are not kept beside the disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Tracking>,
    /// Virtual processors that it was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Memory that it was created with, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// The points in time that a later transfer may ask about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::sites) struct Tracking {
    /// Another one: nothing that was tracked before counts.
    pub epoch: String,
    /// Oldest first.
    pub points: Vec<String>,
}

/// The sync that ended the failover before there was a practice ground.
const BEFORE: &str = "before-the-lab";
impl State {
    /// A machine that was never here.
    pub(in crate::sites) fn absent() -> State {
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
            superseded: false,
            first_boot_due: false,
            tracking: None,
            cpus: None,
            memory_bytes: None,
        }
    }

    /// The state that a practice ground is created in: failed over and committed at `at`, running in the
    /// cloud, and on-prem what was left there on that day. `tracking`: the point in the cloud's change
    /// tracking that the replica is at, when it has one.
    pub(in crate::sites) fn initial(
        side: Side,
        entry: &MachineEntry,
        at: Timestamp,
        tracking: Option<String>,
    ) -> State {
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
                    tracking,
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

    /// As its site showed it, with disks of these sizes.
    pub(in crate::sites) fn of_view(view: &SideView, disks: &[u64]) -> State {
        State {
            exists: view.exists,
            disks: disks.to_vec(),
            generation: view.generation.clone(),
            turn: view.turn,
            booted: view.booted.clone(),
            replica: view.replica.clone(),
            committed: view.committed,
            protection: view.protection,
            host: view.host.clone(),
            key_check: view.encrypted.then(|| "seen encrypted".to_owned()),
            failed_over_at: view.failed_over_at,
            fenced: view.fenced,
            lost_twin: view.lost_twin.clone(),
            superseded: view.superseded,
            ..State::absent()
        }
    }

    /// Refuses when this machine never was here in any way.
    pub(in crate::sites) fn known(&self, here: &str) -> Result<(), Failure> {
        if *self != State::absent() {
            return Ok(());
        }
        let message = format!("there is no {here}");
        Err(Failure::permanent(message).help("nothing was changed; create it first"))
    }

    /// The sync that it was last verified by, when its disks are still as that left them.
    pub(in crate::sites) fn synced(&self) -> Option<&SyncStamp> {
        match &self.replica {
            Some(ReplicaMark::Synced { stamp, own_generation })
                if *own_generation == self.generation =>
            {
                Some(stamp)
            }
            _ => None,
        }
    }

    /// Whether the manifests kept beside the disks may be believed by `sync`.
    pub(in crate::sites) fn trusts_manifests(&self, sync: &SyncId) -> bool {
        match &self.replica {
            Some(ReplicaMark::Dirty { mark, .. }) => mark.sync == *sync,
            Some(ReplicaMark::Synced { .. }) => self.synced().is_some(),
            None => false,
        }
    }

    /// Refuses what must not boot, whatever a plan says. `here`: this side in words.
    pub(in crate::sites) fn may_boot(
        &self,
        here: &str,
        has_disks: bool,
        boot: &Boot,
    ) -> Result<(), Failure> {
        if !self.exists {
            return Err(Failure::permanent(format!("there is no {here}")).help("create it first"));
        }
        if !has_disks {
            let message = format!("{here} has no disks, or not all of them");
            return Err(Failure::permanent(message).help("transfer to it first"));
        }
        let refused = |why: &str| {
            let message = format!("{here} must not boot: {why}");
            Err(Failure::refused("H304", message)
                .help("transfer to it again, from the stopped twin"))
        };
        match (&self.replica, &boot.from) {
            (Some(ReplicaMark::Dirty { mark, .. }), _) => {
                let message = format!(
                    "{here} must not boot: the transfer {} of run {} into it was never verified",
                    mark.step, mark.run
                );
                let help = format!("`homing resume {}`, or transfer to it again", mark.run);
                Err(Failure::refused("H303", message).help(help))
            }
            (Some(ReplicaMark::Synced { .. }), None) => {
                refused("it is a replica, and no final transfer was named")
            }
            (Some(ReplicaMark::Synced { stamp, own_generation }), Some(from)) => {
                if *own_generation != self.generation {
                    refused("it was booted or written since its last transfer")
                } else if stamp.sync != from.sync
                    || stamp.source_generation != from.source_generation
                {
                    refused("it was last synchronized by another transfer")
                } else if !from.is_final && self.lost_twin.is_none() {
                    refused("its twin may have written since, and was not declared lost")
                } else if from.is_final && !stamp.is_final {
                    refused("its last transfer was not from stopped disks")
                } else {
                    Ok(())
                }
            }
            (None, Some(from)) if self.booted.as_ref() != Some(from) => {
                refused("its disks are no replica")
            }
            (None, _) => Ok(()),
        }
    }

    /// What it is from the moment of a boot on: the live data is here.
    pub(in crate::sites) fn after_boot(&self, boot: &Boot, generation: String) -> State {
        let mut state = State { fenced: false, superseded: false, turn: boot.turn, ..self.clone() };
        if !self.first_boot_due {
            state.generation = generation;
        }
        state.first_boot_due = false;
        if self.replica.is_some() {
            state.replica = None;
            state.booted.clone_from(&boot.from);
            state.committed = false;
            state.failed_over_at = Some(Timestamp::now());
        }
        state
    }

    /// What it is from the moment on when a person decides for it while it runs: the live data is here.
    /// `None`: so it was, or it is a copy that somebody booted, which is nothing to decide for.
    pub(in crate::sites) fn decided_for(&self, boot: &Boot) -> Option<State> {
        let is_decided = boot.turn > self.turn && self.replica.is_none();
        is_decided.then(|| State {
            turn: boot.turn,
            fenced: false,
            superseded: false,
            ..self.clone()
        })
    }

    /// Marked dirty by a transfer that begins; `None`: it is marked by this one already. The second
    /// value: another transfer's mark is taken over, and what it left beside the disks is void.
    pub(in crate::sites) fn begin_sync(&self, mark: &DirtyMark) -> Option<(State, bool)> {
        let (before, takes_over) = match &self.replica {
            Some(ReplicaMark::Dirty { mark: old, .. }) if old.sync == mark.sync => return None,
            Some(ReplicaMark::Dirty { before, .. }) => (before.clone(), true),
            Some(ReplicaMark::Synced { .. }) => (self.synced().cloned(), false),
            None => (None, false),
        };
        let replica = Some(ReplicaMark::Dirty { mark: mark.clone(), before });
        Some((State { replica, superseded: false, ..self.clone() }, takes_over))
    }

    /// Refuses unless the dirty mark is this sync's.
    pub(in crate::sites) fn marked(&self, here: &str, sync: &SyncId) -> Result<(), Failure> {
        match &self.replica {
            Some(ReplicaMark::Dirty { mark, .. }) if mark.sync == *sync => Ok(()),
            _ => {
                let message = format!("the replica of {here} is not marked by this transfer");
                Err(Failure::refused("H307", message)
                    .help("another transfer took over: start again"))
            }
        }
    }

    /// Verified to be what `stamp` says; `None`: that is recorded already.
    pub(in crate::sites) fn end_sync(
        &self,
        here: &str,
        stamp: &SyncStamp,
    ) -> Result<Option<State>, Failure> {
        if self.synced().is_some_and(|kept| kept == stamp) {
            return Ok(None);
        }
        self.marked(here, &stamp.sync)?;
        let own_generation = self.generation.clone();
        let replica = Some(ReplicaMark::Synced { stamp: stamp.clone(), own_generation });
        Ok(Some(State { replica, ..self.clone() }))
    }

    /// Created by a step, on `host`; `None`: it is there already. The second value: it was elsewhere, and
    /// leaves what it has there behind.
    pub(in crate::sites) fn created(
        &self,
        home: Option<&HostName>,
        host: Option<HostName>,
        network: Option<String>,
        key: &StepKey,
    ) -> Option<(State, bool)> {
        let moves = host.as_ref() != home;
        if self.exists && !moves {
            return None;
        }
        let mut created =
            State { exists: true, host, network, created_by: Some(key.clone()), ..self.clone() };
        if moves {
            created = State {
                disks: Vec::new(),
                replica: None,
                booted: None,
                key_check: None,
                tracking: None,
                generation: String::new(),
                ..created
            };
        }
        Some((created, moves))
    }

    /// Whether it is no more than a replica, which may be left behind.
    pub(in crate::sites) fn is_replica_at_most(&self) -> bool {
        self.replica.is_some() || self.booted.is_none() || self.disks.is_empty()
    }

    /// Refuses to delete what runs, or what is not what it was when that was decided.
    pub(in crate::sites) fn may_delete(
        &self,
        here: &str,
        is_running: bool,
        generation: &str,
    ) -> Result<(), Failure> {
        if is_running {
            let message = format!("{here} runs: it is not deleted");
            return Err(Failure::refused("H311", message).help("shut it down first"));
        }
        if self.generation != generation {
            let message = format!(
                "{here} was booted or written since this was decided: its generation is {}, not {generation}",
                self.generation
            );
            return Err(Failure::refused("H311", message).help("look at it; plan again"));
        }
        Ok(())
    }

    /// Deleted: what is left is a base of its disks.
    pub(in crate::sites) fn deleted(&self) -> State {
        State { exists: false, fenced: true, ..self.clone() }
    }

    /// As callers see it.
    pub(in crate::sites) fn view(self, power: Power, has_disks: bool, lease: Lease) -> SideView {
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
            superseded: self.superseded,
            claim: lease.claim(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_runs_is_decided_for_unless_it_is_a_copy_that_somebody_booted() {
        let boot = |turn| Boot { turn, from: None };
        let ran = State { turn: 3, fenced: true, superseded: true, ..State::absent() };
        let decided = ran.decided_for(&boot(5)).unwrap();
        assert_eq!((decided.turn, decided.fenced, decided.superseded), (5, false, false));
        assert_eq!(ran.decided_for(&boot(3)), None, "so it was");
        let (run, step) = ("r1".to_owned(), "s1".to_owned());
        let mark = DirtyMark { sync: SyncId::new("x").unwrap(), run, step };
        let replica = Some(ReplicaMark::Dirty { mark, before: None });
        assert_eq!(State { replica, ..ran }.decided_for(&boot(5)), None);
    }
}
