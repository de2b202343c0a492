//! A machine of which only one side can be seen, because the other side's site does not answer.
//!
//! A person may have given the silent side up, or is about to. For that the machine has to be told from the
//! side that is left, and whatever is assumed of the other one must be the worse of what it may be: that it
//! runs, and that it wrote on.

use crate::base::{MachineName, Side, SyncId};
use crate::plan::facts::{Power, Protection};
use crate::plan::inventory::MachineEntry;
use crate::run::failure::Failure;
use crate::sites::{At, Booted, SideView, Site};

/// Both sides of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Both {
    /// The cloud side.
    pub cloud: SideView,
    /// The on-prem side.
    pub onprem: SideView,
    /// The side that is assumed and not seen, and what its site said.
    pub silent: Option<(Side, Failure)>,
}

impl Both {
    /// Two sides that were seen.
    pub fn seen(cloud: SideView, onprem: SideView) -> Both {
        Both { cloud, onprem, silent: None }
    }

    /// The silent side, unless a person gave it up.
    pub fn unseen(&self) -> Option<&(Side, Failure)> {
        let is_given_up = |side: Side| match side {
            Side::Cloud => self.onprem.lost_twin.is_some(),
            Side::Onprem => self.cloud.lost_twin.is_some(),
        };
        self.silent.as_ref().filter(|(side, _)| !is_given_up(*side))
    }
}

/// Looks at both sides of a machine; changes nothing.
///
/// # Errors
/// When neither site answers, or one says more than nothing.
pub async fn look_at_both(
    cloud: &dyn Site,
    onprem: &dyn Site,
    machine: &MachineName,
    entry: &MachineEntry,
) -> Result<Both, Failure> {
    let (cloud, onprem) = tokio::join!(
        cloud.look(At { machine, side: Side::Cloud, entry }),
        onprem.look(At { machine, side: Side::Onprem, entry }),
    );
    both(cloud, onprem)
}

/// Both sides of a machine, from what its sites said.
///
/// # Errors
/// As [`look_at_both`].
pub fn both(
    cloud: Result<SideView, Failure>,
    onprem: Result<SideView, Failure>,
) -> Result<Both, Failure> {
    match (cloud, onprem) {
        (Ok(cloud), Ok(onprem)) => Ok(Both::seen(cloud, onprem)),
        (Err(failure), Ok(onprem)) if failure.is_silence() => {
            let (cloud, silent) = (assumed(Side::Cloud, &onprem), Some((Side::Cloud, failure)));
            Ok(Both { cloud, onprem, silent })
        }
        (Ok(cloud), Err(failure)) if failure.is_silence() => {
            let (onprem, silent) = (assumed(Side::Onprem, &cloud), Some((Side::Onprem, failure)));
            Ok(Both { cloud, onprem, silent })
        }
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

/// The generation of a side that nobody sees: no stamp and no boot ever names it.
const UNSEEN: &str = "unseen";

/// What a side may be that nobody sees, told from the one that is `left`.
fn assumed(side: Side, left: &SideView) -> SideView {
    let is_live = !holds_live(left);
    // It came from the disks that are left, unless these were written as a replica since, or it was decided for
    // against them.
    let booted = (is_live && !left.superseded).then(|| Booted {
        sync: SyncId::new(UNSEEN).expect("BUG: a legal id"),
        source_generation: left.generation.clone(),
        is_final: true,
        run: UNSEEN.to_owned(),
    });
    SideView {
        exists: true,
        has_disks: true,
        power: Power::Unknown,
        fenced: false,
        generation: UNSEEN.to_owned(),
        // A switch gives the side that starts one turn more than both had: it cannot have a higher one.
        turn: if is_live { left.turn + 1 } else { 0 },
        booted,
        replica: None,
        // A failover's commit leaves no trace here; a failback's deletes the cloud side.
        committed: side == Side::Cloud || !left.exists,
        protection: Protection::None,
        host: None,
        disk_bytes: left.disk_bytes,
        encrypted: left.encrypted,
        failed_over_at: None,
        lost_twin: None,
        superseded: false,
        claim: None,
    }
}

/// Whether the side that is seen certainly holds the live data: it runs, or was switched to after a person
/// had given the other one up.
fn holds_live(seen: &SideView) -> bool {
    let lost = seen.lost_twin.as_ref();
    seen.power == Power::On
        || seen.replica.is_none() && lost.is_some_and(|lost| lost.live_from <= seen.turn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RunId;
    use crate::plan::facts::{CommitState, MachineFacts, ReplicaState};
    use crate::sites::look::combine;
    use crate::sites::look::tests::{entry, view};
    use crate::sites::{Lost, ReplicaMark, SyncStamp};

    fn silent() -> Result<SideView, Failure> {
        Err(Failure::transient("the line is cut"))
    }

    /// The machine, told from one side.
    fn told(side: Side, left: SideView) -> MachineFacts {
        let sides = match side {
            Side::Cloud => both(Ok(left), silent()),
            Side::Onprem => both(silent(), Ok(left)),
        };
        let sides = sides.unwrap();
        assert_eq!(sides.silent.as_ref().map(|(silent, _)| *silent), Some(side.other()));
        combine(&sides.cloud, &sides.onprem, &entry())
    }

    fn synced(own_generation: &str) -> Option<ReplicaMark> {
        let stamp = SyncStamp {
            sync: SyncId::new("s").unwrap(),
            source_generation: "other".into(),
            is_final: true,
            tracking: None,
            at: crate::base::Timestamp::UNIX_EPOCH,
        };
        Some(ReplicaMark::Synced { stamp, own_generation: own_generation.into() })
    }

    fn given_up(live_from: u64) -> Option<Lost> {
        Some(Lost { run: RunId::new("r1").unwrap(), reason: "it burns".into(), live_from })
    }

    #[test]
    fn what_is_left_holds_the_live_data_only_where_that_is_certain() {
        let (on, off) = (Power::On, Power::Off);
        let replica = || SideView { replica: synced("g1"), ..view("g1") };
        let diverged = || SideView { replica: synced("g0"), ..view("g1") };
        let lost = |live_from, power| SideView {
            lost_twin: given_up(live_from),
            turn: 3,
            power,
            ..view("g1")
        };
        use ReplicaState::{Diverged, Stale};
        // What is left; whether it is the live side; what the disks of the other one are worth.
        let cases = [
            (SideView { power: on, turn: 1, ..view("g1") }, true, Diverged),
            (SideView { power: on, turn: 7, ..view("g1") }, true, Diverged),
            // Off, and nobody can say whether the other side was started from its last state.
            (SideView { power: off, ..view("g1") }, false, Stale),
            (SideView { power: off, turn: 7, ..view("g1") }, false, Stale),
            (replica(), false, Stale),
            (diverged(), false, Diverged),
            (SideView { superseded: true, ..view("g1") }, false, Diverged),
            // The other side was given up: from that turn on this one is the machine.
            (lost(3, off), true, Diverged),
            (lost(4, off), false, Stale),
            (SideView { replica: synced("g1"), ..lost(3, off) }, false, Stale),
        ];
        for side in [Side::Cloud, Side::Onprem] {
            for (nth, (left, is_live, replica)) in cases.iter().enumerate() {
                let facts = told(side, left.clone());
                assert_eq!(
                    (facts.active == side, facts.replica),
                    (*is_live, *replica),
                    "{side} {nth}"
                );
                let other = facts.side(side.other());
                let power = if left.lost_twin.is_some() { Power::Lost } else { Power::Unknown };
                assert_eq!((other.exists, other.power), (true, power), "{side} {nth}");
            }
        }
    }

    #[test]
    fn a_switch_without_a_commit_is_assumed_where_it_left_a_trace() {
        let left = || SideView { replica: synced("g1"), ..view("g1") };
        assert_eq!(told(Side::Cloud, left()).commit, CommitState::Pending);
        let deleted = SideView { exists: false, ..left() };
        assert_eq!(told(Side::Cloud, deleted).commit, CommitState::Committed, "it went with it");
        assert_eq!(told(Side::Onprem, left()).commit, CommitState::Committed);
    }

    #[test]
    fn only_silence_of_one_side_is_made_up_for() {
        let seen = || Ok(view("g1"));
        assert_eq!(both(seen(), seen()).unwrap().silent, None);
        assert!(both(silent(), silent()).is_err());
        let wrong = || Err(Failure::permanent("no right to"));
        assert!(both(wrong(), seen()).is_err() && both(seen(), wrong()).is_err());
        let busy = Err(Failure::throttled("later", 1));
        assert!(both(seen(), busy).is_err(), "who asks for patience is there");
        let left = SideView { lost_twin: given_up(1), ..view("g1") };
        let sides = both(silent(), Ok(left)).unwrap();
        assert!(sides.silent.is_some() && sides.unseen().is_none(), "a person gave it up");
        assert!(both(silent(), seen()).unwrap().unseen().is_some());
    }
}
