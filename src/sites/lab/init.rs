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

/// Creates the machine with both its sides, and turns it on; `true`: something was done.
pub(super) fn create(cloud: &Seat, onprem: &Seat) -> Result<bool, Failure> {
    if cloud.records.recorded()?.is_some_and(|state| !state.first_boot_due) {
        return Ok(false);
    }
    let (_cloud, _onprem) = (cloud.records.lock()?, onprem.records.lock()?);
    let state = match cloud.records.recorded()? {
        Some(state) if !state.first_boot_due => return Ok(false),
        Some(state) => state,
        None => build(cloud, onprem)?,
    };
    if !cloud.is_running(&state)? {
        launch::launch(cloud, &state, || Ok(()), || Ok(()))?;
    }
    cloud.records.save(&State { first_boot_due: false, ..state })?;
    Ok(true)
}

fn build(cloud: &Seat, onprem: &Seat) -> Result<State, Failure> {
    let now = Timestamp::now();
    let tracks = cloud.place.settings.change_tracking;
    let key = cloud.key()?;
    let of = |seat: &Seat| State {
        key_check: key.as_ref().map(|key| key_check(&seat.machine, key)),
        ..seat.initial(now)
    };
    let (here, home) = (of(cloud), of(onprem));
    let (here_folder, home_folder) = (cloud.folder(&here), onprem.folder(&home));
    for folder in [&here_folder, &home_folder] {
        io(empty_disks(folder, &here.disks))?;
    }
    let tracker = if tracks {
        let base = here.booted.as_ref().map(|booted| booted.sync.clone());
        io(tracking::begin(&here_folder, FIRST_TRACKING, base, &here.disks))?;
        io(Tracker::open(&here_folder, &here.disks))?
    } else {
        None
    };
    let ledger = Ledger::new(&cloud.machine, &here.disks, key);
    let since = here.failed_over_at.unwrap_or(now);
    let history = history(ledger.places(), since, now);
    let live = io(Written::open(&here_folder, &here.disks, tracker))?;
    let left = io(Written::open(&home_folder, &home.disks, None))?;
    for record in &history {
        let page = ledger.encode(record);
        let (disk, offset) = ledger.spot(record.seq);
        if record.side == Side::Onprem {
            io(left.write(disk, offset, &page))?;
        }
        io(live.write(disk, offset, &page))?;
    }
    // Not flushed: a scattered history takes a busy disk long, and the lab simulates no power loss. Should
    // one tear these disks, they do not boot, and `lab reset` makes others.
    let log = cloud.client_log();
    io(files::remove(&log))?;
    io(Client::open(&log).and_then(|mut client| client.acknowledge(&history)))?;
    let manifests = io(hashed(&home_folder, &home.disks))?;
    io(manifests::save(&home_folder, &home.generation, &manifests))?;
    onprem.records.save(&home)?;
    cloud.records.save(&here)?;
    Ok(here)
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
