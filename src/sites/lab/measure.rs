//! Measuring a machine: what its live disks hold of what its client was told.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{RunId, Side, SnapshotId, StepKey};
use crate::plan::facts::Power;
use crate::run::failure::Failure;
use crate::sites::files;
use crate::sites::files::io;
use crate::sites::lab::client;
use crate::sites::lab::cow::Kept;
use crate::sites::lab::ledger::{Ledger, Proof, Record, Unproved};
use crate::sites::lab::seat::{Seat, key_check};
use crate::sites::practice::LabMachine;
use crate::sites::records::Lease;
use crate::sites::state::State;
use crate::sites::{Source, look};

/// Who takes the snapshots that are only there to be proved.
const VERIFIER: &str = "lab-verify";

/// Measures one machine; with `prove`, its live disks too.
pub(super) fn measure(cloud: &Seat, onprem: &Seat, prove: bool) -> Result<LabMachine, Failure> {
    let (there, home) = (cloud.look()?, onprem.look()?);
    let live = if look::active(&there, &home) == Side::Onprem { onprem } else { cloud };
    let seen = LabMachine::seen(&cloud.machine, &cloud.entry, &there, &home);
    told(cloud, live, seen, prove)
}

/// Measures a machine whose on-prem side is another provider's, while it runs here.
pub(super) fn measure_half(cloud: &Seat, prove: bool) -> Result<Option<LabMachine>, Failure> {
    let there = cloud.look()?;
    if there.power != Power::On {
        return Ok(None);
    }
    let nothing = State::absent().view(Power::Off, false, Lease::default());
    let seen = LabMachine::seen(&cloud.machine, &cloud.entry, &there, &nothing);
    told(cloud, cloud, seen, prove).map(Some)
}

/// What the live disks hold of what the machine's client was told.
fn told(cloud: &Seat, live: &Seat, seen: LabMachine, prove: bool) -> Result<LabMachine, Failure> {
    // Read before the disks: whatever it says was written by then.
    let acks = io(client::acknowledged(&cloud.client_log()))?;
    let told: BTreeSet<(u64, u64)> = acks.iter().map(|ack| (ack.seq, ack.boot)).collect();
    let (lost, why) = match prove.then(|| proof(live)).transpose()? {
        None => (None, None),
        Some(Ok(proof)) => (Some(lost(&acks, &proof)), None),
        Some(Err(why)) => (Some(told.len() as u64), Some(why)),
    };
    Ok(LabMachine {
        acknowledged: told.len() as u64,
        lost,
        why,
        downtime_s: downtime(&acks),
        overlap: seen.overlap || overlaps(&acks),
        ..seen
    })
}

/// Proves the disks of a side: through a snapshot when it runs. `Err`: why they do not pass.
fn proof(seat: &Seat) -> Result<Result<Proof, String>, Failure> {
    // Whoever measures is alone with this side: a snapshot that it finds is of one that died.
    let _alone = seat.records.lock_named("measure.lock")?;
    let (state, key) = (seat.records.state()?, seat.key()?);
    let opens = |check: &String| key.is_none_or(|key| key_check(&seat.machine, &key) == *check);
    if !state.key_check.as_ref().is_none_or(opens) {
        let message = format!("the key does not open the disks of {}", seat.records.here());
        return Err(Failure::refused("H308", message)
            .help("what they hold cannot be measured; nothing was changed"));
    }
    let (source, snapshot) = open(seat)?;
    let ledger = Ledger::new(&seat.machine, &state.disks, key);
    let proved = ledger.prove(&source.disks);
    if let Some(id) = snapshot {
        let _lock = seat.records.lock()?;
        seat.release(&seat.records.state()?, &id)?;
    }
    match proved {
        Ok(proof) => Ok(Ok(proof)),
        Err(Unproved::Torn(why)) => Ok(Err(why)),
        Err(Unproved::Io(error)) => Err(files::failure(&error)),
    }
}

fn open(seat: &Seat) -> Result<(Source, Option<SnapshotId>), Failure> {
    let _lock = seat.records.lock()?;
    let state = seat.records.state()?;
    clean_up(seat)?;
    if !seat.is_running(&state)? {
        return Ok((seat.source(None)?, None));
    }
    let name = format!("verify-{}", io(files::random())?);
    let bug = |_| Failure::permanent("BUG: an illegal name");
    let (id, key) = (SnapshotId::new(&name).map_err(bug)?, StepKey::new(&name).map_err(bug)?);
    let run = RunId::new(VERIFIER).map_err(bug)?;
    seat.take(&state, id.clone(), |snapshot| Kept { snapshot, run, key, tracking: None })?;
    Ok((seat.source(Some(&id))?, Some(id)))
}

/// Gives up what a measurement that died left behind.
fn clean_up(seat: &Seat) -> Result<(), Failure> {
    let state = seat.records.state()?;
    for kept in io(crate::sites::lab::cow::list(&seat.folder(&state)))? {
        if kept.run.as_str() == VERIFIER {
            seat.release(&state, &kept.snapshot.id)?;
        }
    }
    Ok(())
}

/// How many acknowledged writes the disks do not hold. A number acknowledged by two boots is two writes,
/// of which the disks hold one at most.
fn lost(acks: &[Record], proof: &Proof) -> u64 {
    let mut boots: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for ack in acks {
        boots.entry(ack.seq).or_default().insert(ack.boot);
    }
    let lost = |(seq, boots): (&u64, &BTreeSet<u64>)| {
        let held = match proof.records.get(seq) {
            Some(record) => boots.contains(&record.boot),
            // Later records of the same history overwrote it.
            None => *seq <= proof.last,
        };
        boots.len() - usize::from(held)
    };
    boots.iter().map(lost).sum::<usize>() as u64
}

/// Whether two boots on different sides were told of writes in the same time.
fn overlaps(acks: &[Record]) -> bool {
    let mut boots: BTreeMap<u64, (Side, i64, i64)> = BTreeMap::new();
    for ack in acks {
        let span = boots.entry(ack.boot).or_insert((ack.side, ack.at_ns, ack.at_ns));
        (span.1, span.2) = (span.1.min(ack.at_ns), span.2.max(ack.at_ns));
    }
    let last = |side: Side| {
        let mut spans: Vec<_> = boots.values().filter(|span| span.0 == side).collect();
        spans.sort_by_key(|span| span.1);
        spans
    };
    let (cloud, home) = (last(Side::Cloud), last(Side::Onprem));
    let cross = |a: &(Side, i64, i64)| home.iter().any(|b| a.1 <= b.2 && b.1 <= a.2);
    cloud.into_iter().any(cross)
}

/// Seconds between the last acknowledgement in the cloud and the first at home after it.
fn downtime(acks: &[Record]) -> Option<f64> {
    let home = |pair: &&[Record]| pair[0].side == Side::Cloud && pair[1].side == Side::Onprem;
    let pair = acks.windows(2).rev().find(home)?;
    let gap = u64::try_from(pair[1].at_ns - pair[0].at_ns).unwrap_or(0);
    Some(std::time::Duration::from_nanos(gap).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn record(seq: u64, at_ns: i64, boot: u64, side: Side) -> Record {
        Record { seq, at_ns, boot, side }
    }

    #[test]
    fn a_write_of_another_history_is_lost_even_if_its_number_is_there() {
        let disk = [record(1, 0, 1, Side::Cloud), record(2, 9, 2, Side::Onprem)];
        let records: HashMap<_, _> = disk.iter().map(|r| (r.seq, *r)).collect();
        let proof = Proof { last: 2, records };
        assert_eq!(lost(&disk, &proof), 0);
        let mut acks = disk.to_vec();
        acks.push(record(2, 5, 1, Side::Cloud));
        assert_eq!(lost(&acks, &proof), 1, "two writes with one number");
        acks.push(record(3, 6, 1, Side::Cloud));
        assert_eq!(lost(&acks, &proof), 2, "and one past the end");
    }

    #[test]
    fn running_on_both_sides_at_once_is_seen() {
        let mut acks = vec![
            record(1, 10, 1, Side::Cloud),
            record(2, 20, 1, Side::Cloud),
            record(3, 30, 2, Side::Onprem),
        ];
        assert!(!overlaps(&acks));
        assert_eq!(downtime(&acks), Some(1e-8));
        acks.push(record(3, 40, 1, Side::Cloud));
        assert!(overlaps(&acks));
        assert_eq!(downtime(&acks[..2]), None);
    }
}
