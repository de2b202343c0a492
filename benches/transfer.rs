//! Transfers of a 1 GiB disk beside `cp --sparse=always` and `rsync --inplace --no-whole-file`.
//!
//! By hand: `cargo bench --bench transfer [-- FOLDER]`, on a folder with 3 GiB of room. Every row ends
//! with its data flushed; ours also reads back what it wrote and keeps a cursor. Rows of a round run one
//! after the other, so ratios mean more than seconds.
#![expect(clippy::print_stdout, reason = "a report for whoever ran it")]

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use homing::run::failure::Failure;
use homing::transfer::blocks::{BLOCK_BYTES, BlockSink, Manifest};
use homing::transfer::file::{FileSink, FileSource};
use homing::transfer::{Disk, Mode, Request, Watcher, copy};

const DISK_BYTES: u64 = 1 << 30;
const ROUNDS: usize = 5;
/// One block in so many differs.
const CHANGED_EVERY: u64 = 100;

struct Silent;

impl Watcher for Silent {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _done: u64, _total: u64, _sent: u64, _note: &str) {}
    fn save(&self, _cursor: &[u8]) -> Result<(), Failure> {
        Ok(())
    }
}

/// A way to bring the sink up to the source, and its seconds by round.
struct Row {
    name: &'static str,
    is_full: bool,
    seconds: Vec<f64>,
}

fn main() -> io::Result<()> {
    let folder = match std::env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let (source, sink) = (folder.path().join("source"), folder.path().join("sink"));
    fill(&source)?;
    let mut known = None;
    let mut rows: Vec<Row> = [
        ("delta 1 %, tracking", false),
        ("delta 1 %, manifest", false),
        ("delta 1 %, compare", false),
        ("delta 1 %, rsync", false),
        ("full", true),
        ("full, cp", true),
    ]
    .map(|(name, is_full)| Row { name, is_full, seconds: Vec::new() })
    .into();
    // Not counted: it warms the cache and yields the manifest.
    reset(&source, &sink, false)?;
    run("delta 1 %, compare", &source, &sink, &mut known)?;
    for round in 0..ROUNDS {
        println!("round {} of {ROUNDS}", round + 1);
        for row in &mut rows {
            reset(&source, &sink, row.is_full)?;
            let began = Instant::now();
            if run(row.name, &source, &sink, &mut known)? {
                row.seconds.push(began.elapsed().as_secs_f64());
            }
        }
    }
    report(&rows);
    Ok(())
}

fn report(rows: &[Row]) {
    let median = |name: &str| {
        let row = rows.iter().find(|row| row.name == name)?;
        let mut seconds = row.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    };
    for row in rows {
        let peer = if row.is_full { "full, cp" } else { "delta 1 %, rsync" };
        match (median(row.name), median(peer).or_else(|| median("full, cp"))) {
            (Some(ours), Some(theirs)) => {
                println!("{:22} {ours:7.3} s   peer/ours {:6.2}", row.name, theirs / ours);
            }
            _ => println!("{:22} not installed; deltas are compared with cp", row.name),
        }
    }
}

/// `false`: its program is not installed.
fn run(name: &str, source: &Path, sink: &Path, known: &mut Option<Manifest>) -> io::Result<bool> {
    let peer = |program: &str, options: &[&str]| match Command::new(program)
        .args(options)
        .arg(source)
        .arg(sink)
        .status()
    {
        Ok(status) if status.success() => File::open(sink)?.sync_data().map(|()| true),
        Ok(status) => Err(io::Error::other(format!("{program}: {status}"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    match name {
        "full, cp" => return peer("cp", &["--sparse=always"]),
        "delta 1 %, rsync" => return peer("rsync", &["--inplace", "--no-whole-file"]),
        _ => {}
    }
    let sink: Arc<dyn BlockSink> = match FileSink::open(sink) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Arc::new(FileSink::create(sink, DISK_BYTES)?)
        }
        opened => Arc::new(opened?),
    };
    let disk = Disk {
        source: Arc::new(FileSource::open(source)?),
        sink,
        changed: name.ends_with("tracking").then(|| changed().collect()),
        manifest: known.clone().filter(|_| name.ends_with("manifest")),
    };
    let mode = if name == "full" { Mode::Full } else { Mode::Delta };
    let moved =
        copy(&Request::new("bench", vec![disk], mode), &Silent).map_err(io::Error::other)?;
    if let (None, Some(Some(manifest))) = (&known, moved.manifests.first()) {
        *known = Some(stale(manifest));
    }
    Ok(true)
}

/// The manifest of what [`reset`] makes of the sink.
fn stale(manifest: &Manifest) -> Manifest {
    let mut stale = manifest.clone();
    for range in changed() {
        let block = usize::try_from(range.start / BLOCK_BYTES).expect("a small disk");
        stale.hashes[block] = homing::transfer::blocks::block_hash(&old_block());
    }
    stale
}

fn changed() -> impl Iterator<Item = Range<u64>> {
    let step = BLOCK_BYTES * CHANGED_EVERY;
    (0..DISK_BYTES).step_by(usize::try_from(step).expect("small")).map(|at| at..at + BLOCK_BYTES)
}

fn old_block() -> Vec<u8> {
    vec![0xA5; usize::try_from(BLOCK_BYTES).expect("small")]
}

/// For a full run: no sink. For a delta: the source with one block in a hundred replaced.
fn reset(source: &Path, sink: &Path, is_full: bool) -> io::Result<()> {
    if is_full {
        return match std::fs::remove_file(sink) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    if !sink.exists() {
        std::fs::copy(source, sink)?;
    }
    let sink = FileSink::open(sink)?;
    for range in changed() {
        sink.write_at(range.start, &old_block())?;
    }
    sink.flush()
}

/// Bytes without a pattern, so that nothing finds zeroes or repeats.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut piece = Vec::with_capacity(1 << 20);
    for _ in 0..DISK_BYTES >> 20 {
        piece.clear();
        while piece.len() < 1 << 20 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.extend_from_slice(&state.to_le_bytes());
        }
        file.write_all(&piece)?;
    }
    file.sync_all()
}
