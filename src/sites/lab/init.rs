//! Creating a machine of the lab: failed over and committed some days ago, running in the cloud with a
//! client that it serves, and on-prem what was left there on that day.
//!
//! The state of the cloud side is written last: until then nothing was created, and what was begun is
//! begun again.

use std::path::Path;

use crate::base::Side;
use crate::base::Timestamp;
use crate::run::failure::Failure;
use crate::sites::files;
use crate::sites::files::io;
use crate::sites::lab::client::Client;
use crate::sites::lab::disk::{Still, Written, disk_path};
use crate::sites::lab::ledger::{Ledger, PLACE_BYTES, Record};
use crate::sites::lab::seat::{Seat, key_check};
use crate::sites::lab::tracking::{FIRST_TRACKING, Tracker};
use crate::sites::lab::{launch, tracking};
use crate::sites::manifests;
use crate::sites::state::State;
use crate::transfer::blocks::{BLOCK_BYTES, BlockSource, Manifest};

/// Records that the machine had when it failed over, at most: 16 MiB.
const OLD_RECORDS_MAX: u64 = 4096;
/// Records written in the cloud since then, at most: a few per cent of the blocks.
const NEW_RECORDS_MAX: u64 = 256;
/// Between two old records, nanoseconds.
const OLD_PACE_NS: i64 = 20_000_000;

/// Creates the machine with both its sides, and turns it on; `true`: something was done. `onprem`: `None`
/// when that side is another provider's; then nothing is left there.
pub(super) fn create(cloud: &Seat, onprem: Option<&Seat>) -> Result<bool, Failure> {
    if is_there(cloud)? {
        return Ok(false);
    }
    let _cloud = cloud.records.lock()?;
    let _onprem = onprem.map(|seat| seat.records.lock()).transpose()?;
    let state = match cloud.records.recorded()? {
        Some(state) if !state.first_boot_due => return Ok(false),
        Some(state) => state,
        None => build(cloud, onprem)?,
    };
    if !launch::runs(&cloud.folder(&state))? {
        launch::launch(cloud, &state, || Ok(()), || Ok(()))?;
    }
    cloud.records.save(&State { first_boot_due: false, ..state })?;
    Ok(true)
}

/// Whether the machine was created, whatever has become of it since.
pub(super) fn is_there(cloud: &Seat) -> Result<bool, Failure> {
    match cloud.records.recorded()? {
        Some(state) => Ok(!state.first_boot_due),
        None => cloud.was_held(),
    }
}

fn build(cloud: &Seat, onprem: Option<&Seat>) -> Result<State, Failure> {
    let now = Timestamp::now();
    let here = born(cloud, now)?;
    let folder = cloud.folder(&here);
    io(empty_disks(&folder, &here.disks))?;
    let tracker = if cloud.place.settings.change_tracking {
        let base = here.booted.as_ref().map(|booted| booted.sync.clone());
        io(tracking::begin(&folder, FIRST_TRACKING, base, &here.disks))?;
        io(Tracker::open(&folder, &here.disks))?
    } else {
        None
    };
    let ledger = Ledger::new(&cloud.machine, &here.disks, cloud.key()?);
    let since = here.failed_over_at.unwrap_or(now);
    let history = history(ledger.places(), since, now);
    let live = io(Written::open(&folder, &here.disks, tracker))?;
    write(&live, &ledger, history.iter())?;
    let log = cloud.client_log();
    io(files::remove(&log))?;
    io(Client::open(&log).and_then(|mut client| client.acknowledge(&history)))?;
    if let Some(onprem) = onprem {
        leave(onprem, &ledger, &history, now)?;
    }
    cloud.records.save(&here)?;
    Ok(here)
}

/// What is left at home: the disks of the day of the failover.
fn leave(
    onprem: &Seat,
    ledger: &Ledger,
    history: &[Record],
    now: Timestamp,
) -> Result<(), Failure> {
    let home = born(onprem, now)?;
    let folder = onprem.folder(&home);
    io(empty_disks(&folder, &home.disks))?;
    let left = io(Written::open(&folder, &home.disks, None))?;
    write(&left, ledger, history.iter().filter(|record| record.side == Side::Onprem))?;
    let manifests = io(hashed(&folder, &home.disks))?;
    io(manifests::save(&folder, &home.generation, &manifests))?;
    onprem.records.save(&home)
}

fn born(seat: &Seat, now: Timestamp) -> Result<State, Failure> {
    let key = seat.key()?;
    let key_check = key.as_ref().map(|key| key_check(&seat.machine, key));
    Ok(State { key_check, ..seat.initial(now) })
}

/// Not flushed: a scattered history takes a busy disk long, and the lab simulates no power loss. Should one
/// tear these disks, they do not boot, and `lab reset` makes others.
fn write<'r>(
    disks: &Written,
    ledger: &Ledger,
    history: impl Iterator<Item = &'r Record>,
) -> Result<(), Failure> {
    for record in history {
        let (disk, offset) = ledger.spot(record.seq);
        io(disks.write(disk, offset, &ledger.encode(record)))?;
    }
    Ok(())
}

fn empty_disks(folder: &Path, disks: &[u64]) -> std::io::Result<()> {
    files::remove_folder(folder)?;
    files::make_folder(folder)?;
    for (disk, bytes) in disks.iter().enumerate() {
        let path = disk_path(folder, disk);
        let file = std::fs::File::create(&path).map_err(files::at(&path))?;
        file.set_len(*bytes)?;
        file.sync_all()?;
    }
    files::sync_parent(&disk_path(folder, 0))
}

/// What was written before the lab: at home until it failed over, in the cloud since.
fn history(places: u64, failed_over: Timestamp, now: Timestamp) -> Vec<Record> {
    let nanoseconds = |at: Timestamp| i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
    let (failed_over, now) = (nanoseconds(failed_over), nanoseconds(now));
    let old = (places / 4).clamp(1, OLD_RECORDS_MAX).cast_signed();
    let new = (places / 256).clamp(1, NEW_RECORDS_MAX).cast_signed();
    let pace = (now - failed_over) / (new + 2);
    let old_records = (1..=old).map(|n| (n, failed_over - (old - n) * OLD_PACE_NS, Side::Onprem));
    let new_records = (1..=new).map(|n| (old + n, failed_over + n * pace, Side::Cloud));
    let record = |(seq, at_ns, side): (i64, i64, Side)| Record {
        seq: seq.cast_unsigned(),
        at_ns,
        boot: u64::from(side == Side::Cloud),
        side,
    };
    old_records.chain(new_records).map(record).collect()
}

fn hashed(folder: &Path, disks: &[u64]) -> std::io::Result<Vec<Manifest>> {
    let of = |(disk, bytes): (usize, &u64)| {
        let source = Still::open(folder, disk, *bytes)?;
        let mut hashes = Vec::new();
        let mut block = vec![0; usize::try_from(BLOCK_BYTES).map_err(std::io::Error::other)?];
        for at in (0..*bytes).step_by(block.len()) {
            let len =
                usize::try_from(BLOCK_BYTES.min(bytes - at)).map_err(std::io::Error::other)?;
            source.read_at(at, &mut block[..len])?;
            let hash = blake3::hash(&block[..len]);
            let (short, _) = hash.as_bytes().split_first_chunk().expect("BUG: a hash has 32 bytes");
            hashes.push(*short);
        }
        Ok(Manifest { bytes: *bytes, hashes })
    };
    debug_assert!(disks.iter().all(|bytes| bytes % PLACE_BYTES == 0));
    disks.iter().enumerate().map(of).collect()
}
