//! The journal when the power goes, and when its disk is full.
//!
//! What a power loss leaves of a file is what was synced, and of the rest any part. That SQLite syncs before
//! a commit is acknowledged is seen at its own door to the system: the calls of its VFS are watched. What it
//! makes of any part of the rest is tried with every such part.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

use camino::Utf8PathBuf;
use rusqlite::ffi;

use crate::base::{MachineName, RunId, StepId};
use crate::journal::tests::{Folder, folder, new_run};
use crate::journal::writer::{Head, Writer};
use crate::journal::{Journal, JournalError, OwnedRun, claims, reader, schema};
use crate::run::command::Asker;
use crate::run::event::EventBody;

/// A file that SQLite has open: what it is called, and the methods that it would have without us.
type Watched = BTreeMap<usize, (PathBuf, &'static ffi::sqlite3_io_methods)>;

static OPEN: Mutex<Watched> = Mutex::new(BTreeMap::new());
/// By file: its length whenever it was synced.
static SYNCED: Mutex<BTreeMap<PathBuf, Vec<u64>>> = Mutex::new(BTreeMap::new());

/// Every database of this process is watched from here on; nothing else about them changes.
#[expect(unsafe_code, reason = "SQLite's door to the system is a table of C functions")]
fn watch_syncs() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the default VFS lives as long as the process, and so does this copy of it.
        unsafe {
            let vfs = Box::leak(Box::new(*ffi::sqlite3_vfs_find(std::ptr::null())));
            vfs.zName = c"watched".as_ptr();
            vfs.xOpen = Some(open);
            assert_eq!(ffi::sqlite3_vfs_register(vfs, 1), ffi::SQLITE_OK);
        }
    });
}

#[expect(unsafe_code, reason = "a function that C calls")]
unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's own VFS is asked with SQLite's own arguments; the file it opened has its methods, of
    // which ours are a copy in all but one. A name, when there is one, is a path that outlives the file.
    unsafe {
        let system = ffi::sqlite3_vfs_find(c"unix".as_ptr());
        let opened = (*system).xOpen.expect("a VFS opens")(system, name, file, flags, out);
        if opened == ffi::SQLITE_OK && !name.is_null() {
            let theirs: &'static ffi::sqlite3_io_methods = &*(*file).pMethods;
            let path = Path::new(OsStr::from_bytes(CStr::from_ptr(name).to_bytes())).to_owned();
            OPEN.lock().unwrap().insert(file.addr(), (path, theirs));
            (*file).pMethods =
                Box::leak(Box::new(ffi::sqlite3_io_methods { xSync: Some(sync), ..*theirs }));
        }
        opened
    }
}

#[expect(unsafe_code, reason = "a function that C calls")]
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    let (path, theirs) = OPEN.lock().unwrap()[&file.addr()].clone();
    // SAFETY: the method of this very file.
    let synced = unsafe { theirs.xSync.expect("a file syncs")(file, flags) };
    if synced == ffi::SQLITE_OK {
        let length = path.metadata().map_or(0, |found| found.len());
        SYNCED.lock().unwrap().entry(path).or_default().push(length);
    }
    synced
}

fn excluded(reason: &str) -> EventBody {
    let by = Asker { who: "op".into(), from: "here".into() };
    let machine = MachineName::new("web-02").unwrap();
    EventBody::MachineExcluded { machine, reason: reason.to_owned(), by }
}

/// A run whose every event was acknowledged, with the length of the log after each.
struct Acknowledged {
    folder: Folder,
    run: RunId,
    /// By event, from the first.
    log_bytes: Vec<u64>,
}

impl Acknowledged {
    async fn new(events: usize) -> Acknowledged {
        let folder = folder();
        let log = folder.state.join("homing.db-wal");
        let length = || log.metadata().unwrap().len();
        let mut owned = folder.journal.create_run(&new_run("p1", "web-01")).unwrap();
        let mut log_bytes = vec![length()];
        for nth in 1..events {
            owned.append(excluded(&format!("for reason {nth}"))).await.unwrap();
            log_bytes.push(length());
        }
        let run = owned.id().clone();
        // Dropping it changes no file.
        drop(owned);
        Acknowledged { folder, run, log_bytes }
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_synced() {
    watch_syncs();
    let folder = folder();
    let log = folder.state.join("homing.db-wal");
    let synced = || {
        let all = SYNCED.lock().unwrap();
        let of_log = all.get(log.as_std_path()).cloned().unwrap_or_default();
        (of_log.len(), of_log.last().copied())
    };
    let mut owned = folder.journal.create_run(&new_run("p1", "web-01")).unwrap();
    let step = StepId::new("web-01.copy.1").unwrap();
    let (mut before, _) = synced();
    for nth in 0..5 {
        owned.append(excluded(&format!("for reason {nth}"))).await.unwrap();
        let length = log.metadata().unwrap().len();
        let (now, last) = synced();
        assert!(now > before, "an event is synced");
        assert_eq!(last, Some(length), "all of it");
        owned.saver().save(&step, format!("as far as {nth}").as_bytes()).unwrap();
        before = synced().0;
        assert!(before > now, "so is a cursor");
    }
}

/// The state folder as a crash leaves it: the database, this log, and no index of the log.
fn crashed(from: &Acknowledged, log: &[u8], nth: usize) -> Utf8PathBuf {
    let state = from.folder.state.join(format!("crashed-{nth}"));
    std::fs::create_dir(&state).unwrap();
    std::fs::copy(from.folder.state.join("homing.db"), state.join("homing.db")).unwrap();
    std::fs::write(state.join("homing.db-wal"), log).unwrap();
    state
}

#[tokio::test]
async fn whatever_the_power_leaves_of_the_log_is_a_beginning_with_all_that_was_acknowledged() {
    let whole = Acknowledged::new(6).await;
    let log = std::fs::read(whole.folder.state.join("homing.db-wal")).unwrap();
    let events = whole.folder.journal.events(&whole.run, 1).unwrap();
    const HEAD: usize = 32;
    let frame = 24 + usize::try_from(u32::from_be_bytes(log[8..12].try_into().unwrap())).unwrap();
    let frames = (log.len() - HEAD) / frame;
    assert!(frames >= 12 && HEAD + frames * frame == log.len(), "{frames} frames");
    let mut kept = Vec::new();
    for cut in (0..=frames).map(|nth| HEAD + nth * frame) {
        for cut in [cut.saturating_sub(1), cut, cut + 1, cut + 24, cut + frame / 2] {
            if cut <= log.len() {
                kept.push((cut, log[..cut].to_vec()));
                // The file had grown before what is in it was written: zeroes, or what was there before.
                for stale in [0, 0xa5] {
                    let mut torn = log.clone();
                    torn[cut..].fill(stale);
                    kept.push((cut, torn));
                }
            }
        }
    }
    for (nth, (cut, log)) in kept.iter().enumerate() {
        let acknowledged = whole.log_bytes.iter().filter(|end| **end <= *cut as u64).count();
        let state = crashed(&whole, log, nth);
        let journal = Journal::open(&state).unwrap();
        match journal.verify_chain(&whole.run) {
            Ok(found) => {
                assert!(found.len() >= acknowledged, "byte {cut}: {} left", found.len());
                assert_eq!(found, events[..found.len()], "byte {cut}");
                let audited = journal.audit(&whole.run, None).unwrap();
                assert_eq!(audited.findings, Vec::<String>::new(), "byte {cut}");
                assert!(journal.take(&whole.run).is_ok(), "byte {cut}: it goes on");
            }
            Err(JournalError::NoSuchRun(_)) => assert_eq!(acknowledged, 0, "byte {cut}"),
            Err(other) => panic!("byte {cut}: {other}"),
        }
        drop(journal);
        std::fs::remove_dir_all(state).unwrap();
    }
}

/// The run in the hands of a writer whose database may not grow.
fn cramped(f: &Folder, run: &RunId) -> OwnedRun {
    let lock = claims::own(&f.state, run).unwrap();
    let connection = schema::connect(&f.journal.path).unwrap();
    let anchor = schema::Anchor::of(&f.journal.path).unwrap();
    let (row, _, link) = reader::proved(&connection, run).unwrap();
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let granted = connection
        .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0));
    assert_eq!(granted, Ok(pages));
    let head = Head { epoch: row.epoch, seq: row.head_seq, link };
    let writer = Writer { run: run.clone(), connection, anchor, head, lock };
    OwnedRun::new(f.journal.clone(), Vec::new(), writer)
}

#[tokio::test]
async fn a_full_disk_stops_the_journal_and_loses_nothing() {
    let f = folder();
    let run = f.journal.create_run(&new_run("p1", "web-01")).unwrap().id().clone();
    let mut owned = cramped(&f, &run);
    let long = "why ".repeat(2000);
    let mut acknowledged = 1;
    let full = loop {
        match owned.append(excluded(&long)).await {
            Ok(event) => acknowledged = event.seq,
            Err(full) => break full,
        }
    };
    assert_eq!(full.to_string(), "the disk of the state folder is full (database or disk is full)");
    assert_eq!(
        full.help(),
        "make room on that disk, then `homing resume`: nothing that was acknowledged is lost"
    );
    // Nothing small slips in behind what found no room.
    assert_eq!(owned.append(excluded("short")).await, Err(full.clone()));
    let step = StepId::new("web-01.copy.1").unwrap();
    assert_eq!(owned.saver().save(&step, b"x"), Err(full));
    drop(owned);
    let audited = f.journal.audit(&run, None).unwrap();
    assert_eq!((audited.events.len() as u64, audited.findings), (acknowledged, Vec::new()));
    let mut again = f.journal.take(&run).unwrap();
    let next = again.append(excluded("there is room again")).await.unwrap();
    assert_eq!(next.seq, acknowledged + 2, "after the record that it goes on");
}
