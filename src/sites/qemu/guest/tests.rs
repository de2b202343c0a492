//! The guest, run: for real in QEMU, and its proof alone on this computer.
//!
//! The disks are also made here, by code of its own, so that what the guest writes and what it takes for
//! whole is checked against something that is not the guest.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::sites::qemu::tools::tests::{have, skip};

use super::console::{self, Said};
use super::initramfs::{self, Boot};
use super::{APPEND, DISK_BYTES_MIN, DISKS_MAX};

const BLOCK: u64 = 4096;
const HEADER: u64 = 16;
const SLOTS: u64 = 4080;
/// A boot's first record and its token.
type Token<'a> = (u64, &'a str);
const A: Token<'static> = (1, "00000000000000aa");
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

fn record(number: u64, token: &str) -> Vec<u8> {
    let mut text = format!("REC {number:010} {token} ").repeat(128).into_bytes();
    text[4095] = b'\n';
    text
}

fn index(last: u64, boots: &[Token<'_>]) -> Vec<u8> {
    let entries: Vec<_> = boots
        .iter()
        .filter(|boot| boot.0 <= last)
        .map(|(n, token)| format!(" {n:010}:{token}"))
        .collect();
    let mut chunks = entries.chunks(16);
    let line = |_| format!("{last:010}{:501}\n", chunks.next().unwrap_or(&[]).concat());
    (0..8).map(line).collect::<String>().into_bytes()
}

/// Where a record is: the disk, and the offset there.
fn place(number: u64, disks: usize) -> (usize, u64) {
    let (before, disks) = (number - 1, disks as u64);
    (usize::try_from(before % disks).unwrap(), (HEADER + before / disks % SLOTS) * BLOCK)
}

/// Makes disks as a guest leaves them after its record `last`.
fn lay(folder: &Path, disks: usize, last: u64, boots: &[Token<'_>]) -> Vec<PathBuf> {
    let paths: Vec<_> = (0..disks).map(|at| folder.join(format!("{at}.raw"))).collect();
    let files: Vec<_> = paths.iter().map(|path| File::create(path).unwrap()).collect();
    for file in &files {
        file.set_len(DISK_BYTES_MIN + (1 << 20)).unwrap();
    }
    let token = |number| boots.iter().rev().find(|boot| boot.0 <= number).unwrap().1;
    for number in (last + 1).saturating_sub(SLOTS * disks as u64).max(1)..=last {
        let (disk, offset) = place(number, disks);
        files[disk].write_all_at(&record(number, token(number)), offset).unwrap();
    }
    for number in last.saturating_sub(1).max(1)..=last {
        files[0].write_all_at(&index(number, boots), number % 2 * BLOCK).unwrap();
    }
    paths
}

fn overwrite(disk: &Path, offset: u64, with: &[u8]) {
    let file = OpenOptions::new().write(true).open(disk).unwrap();
    file.write_all_at(with, offset).unwrap();
}

/// A folder with what a guest boots from; `None`: this computer cannot, which was told.
fn ground() -> Option<(tempfile::TempDir, Boot)> {
    if !have(&["qemu-system-x86_64"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    match initramfs::build(folder.path()) {
        Ok(boot) => Some((folder, boot)),
        Err(failure) => {
            skip(&failure.to_string());
            None
        }
    }
}

/// A guest that runs; ended with the test.
struct Machine {
    folder: PathBuf,
    qemu: Child,
    /// Boots in its log from before.
    earlier: usize,
}

fn said(folder: &Path) -> Said {
    console::read(&folder.join("console.log")).unwrap_or_default()
}

impl Machine {
    fn start(folder: &Path, boot: &Boot, disks: &[PathBuf], words: &str) -> Machine {
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg", "-m", "96", "-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-rtc", "base=utc", "-qmp", "unix:qmp,server=on,wait=off"])
            .args(["-chardev", "file,id=log,path=console.log,append=on", "-serial", "chardev:log"])
            .arg("-kernel")
            .arg(&boot.kernel)
            .arg("-initrd")
            .arg(&boot.initrd)
            .args(["-append", &format!("{APPEND} {words}")])
            .current_dir(folder);
        for (at, disk) in disks.iter().enumerate() {
            let file = disk.display();
            qemu.args(["-drive", &format!("if=none,id=d{at},format=raw,file={file}")])
                .args(["-device", &format!("virtio-blk-pci,drive=d{at}")]);
        }
        let earlier = said(folder).boots.len();
        Machine { folder: folder.to_owned(), qemu: qemu.spawn().unwrap(), earlier }
    }

    fn said(&self) -> Said {
        said(&self.folder)
    }

    /// Waits until the guest said it.
    fn until(&mut self, what: &str, is_said: impl Fn(&console::Boot) -> bool) -> Said {
        let begun = Instant::now();
        loop {
            let has_ended = self.qemu.try_wait().unwrap().is_some();
            let said = self.said();
            if said.boots.get(self.earlier).is_some_and(&is_said) {
                return said;
            }
            assert!(!has_ended && begun.elapsed() < PATIENCE, "waited for {what}: {said:?}");
            std::thread::park_timeout(LOOK);
        }
    }

    /// Waits until `count` records are acknowledged in this boot.
    fn until_acks(&mut self, count: u64) -> Said {
        let what = format!("{count} records");
        self.until(&what, |boot| boot.acks.is_some_and(|acks| acks.count >= count))
    }

    fn ended(mut self) -> Said {
        let begun = Instant::now();
        while self.qemu.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it is not off: {:?}", self.said());
            std::thread::park_timeout(LOOK);
        }
        self.said()
    }

    fn kill(mut self) -> Said {
        self.qemu.kill().unwrap();
        self.ended()
    }

    fn press_button(&self) {
        let mut qmp = UnixStream::connect(self.folder.join("qmp")).unwrap();
        qmp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answers = BufReader::new(qmp.try_clone().unwrap()).lines();
        for command in ["qmp_capabilities", "system_powerdown"] {
            writeln!(qmp, "{{\"execute\": \"{command}\"}}").unwrap();
            answers
                .find(|line| line.as_ref().unwrap().starts_with("{\"return\""))
                .unwrap()
                .unwrap();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Ended already is as good.
        drop(self.qemu.kill());
        drop(self.qemu.wait());
    }
}

/// What a guest that only proves its disks says.
fn proof(folder: &Path, boot: &Boot, disks: &[PathBuf]) -> console::Boot {
    let said = Machine::start(folder, boot, disks, "homing.once").ended();
    said.boots.last().unwrap_or_else(|| panic!("it said nothing: {said:?}")).clone()
}

#[test]
fn what_a_guest_boots_from_is_made_once() {
    let Some((folder, boot)) = ground() else { return };
    let made = fs::metadata(&boot.initrd).unwrap().modified().unwrap();
    assert_eq!(initramfs::build(folder.path()).unwrap(), boot);
    assert_eq!(fs::metadata(&boot.initrd).unwrap().modified().unwrap(), made);
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [boot.initrd]);
}

#[test]
fn a_guest_that_powered_itself_off_is_proved_by_its_next_boot() {
    let Some((folder, boot)) = ground() else { return };
    let folder = folder.path();
    let disks = lay(folder, 2, 0, &[]);
    let mut machine = Machine::start(folder, &boot, &disks, "");
    machine.until_acks(5);
    machine.press_button();
    let said = machine.ended();
    let first = &said.boots[0];
    let (proved, acks) = (first.proved.unwrap(), first.acks.unwrap());
    assert_eq!((proved.last, proved.bad, acks.first), (0, 0, 1));
    assert_eq!((first.off, acks.count), (Some(acks.last), acks.last));
    // The hardware's clock tells whole seconds; this computer may be busy.
    let late_s = crate::base::Timestamp::now().as_second() as f64 - acks.last_at_s;
    assert!((-2.0..60.0).contains(&late_s), "the guest's clock is {late_s} s late");

    let read = |path: &PathBuf| fs::read(path).unwrap();
    let written: Vec<_> = disks.iter().map(read).collect();
    let ours = tempfile::tempdir().unwrap();
    let expected = lay(ours.path(), 2, acks.last, &[(1, &first.token)]);
    assert!(expected.iter().map(read).eq(written), "a disk is not what {acks:?} make of it");

    let second = proof(folder, &boot, &disks);
    let proved = second.proved.unwrap();
    assert_eq!((proved.last, proved.bad, second.off), (acks.last, 0, Some(acks.last)));
    assert_eq!((console::lost(&said, &second), second.acks), (0, None));
    assert_ne!(second.token, first.token);
}

#[test]
fn a_guest_whose_plug_was_pulled_has_all_that_it_acknowledged() {
    let Some((folder, boot)) = ground() else { return };
    let folder = folder.path();
    let disks = lay(folder, 1, 0, &[]);
    let mut machine = Machine::start(folder, &boot, &disks, "");
    machine.until_acks(20);
    let before = machine.kill();
    let acks = before.boots[0].acks.unwrap();
    assert_eq!(before.boots[0].off, None);
    let disk = File::open(&disks[0]).unwrap();
    for number in 1..=acks.last {
        let mut page = vec![0; 4096];
        disk.read_exact_at(&mut page, place(number, 1).1).unwrap();
        assert!(page == record(number, &before.boots[0].token), "{number} is not on disk");
    }

    let mut machine = Machine::start(folder, &boot, &disks, "homing.pace=0.4 homing.late=0.30");
    machine.until_acks(2);
    let said = machine.kill();
    let after = &said.boots[1];
    let proved = after.proved.unwrap();
    assert_eq!(proved.bad, 0, "{said:?}");
    assert!(proved.last >= acks.last && proved.last <= acks.last + 1, "{said:?}");
    assert_eq!(console::lost(&before, after), 0);
    assert!(console::downtime_s(&before, after).unwrap() > 1.0, "{said:?}");
    let acks = after.acks.unwrap();
    assert!(acks.last_at_s - acks.first_at_s >= 0.4 * (acks.count - 1) as f64, "{acks:?}");
}

#[test]
fn a_guest_refuses_a_disk_with_a_record_of_an_older_lap() {
    let Some((folder, boot)) = ground() else { return };
    let folder = folder.path();
    let disks = lay(folder, 1, 5000, &[A, (3000, "00000000000000bb")]);
    let (_, offset) = place(4500, 1);
    overwrite(&disks[0], offset, &record(420, A.1));
    let before = fs::read(&disks[0]).unwrap();
    let said = Machine::start(folder, &boot, &disks, "").ended();
    let dirty = &said.boots[0];
    let proved = dirty.proved.unwrap();
    assert_eq!((proved.last, proved.bad, dirty.acks, dirty.off), (5000, 1, None, None));
    assert_eq!(dirty.first_bad.as_deref(), Some("4500: found record 420 of boot 00000000000000aa"));
    assert!(dirty.refuses.is_some());
    assert!(before == fs::read(&disks[0]).unwrap(), "it wrote");
}

#[test]
fn a_guest_refuses_two_disks_of_two_moments() {
    let Some((folder, boot)) = ground() else { return };
    let folder = folder.path();
    let older = tempfile::tempdir().unwrap();
    let disks = vec![
        lay(folder, 2, 100, &[A]).swap_remove(0),
        lay(older.path(), 2, 60, &[A]).swap_remove(1),
    ];
    let dirty = proof(folder, &boot, &disks);
    let proved = dirty.proved.unwrap();
    assert_eq!((proved.last, proved.bad, dirty.off), (100, 20, None));
    assert_eq!(dirty.first_bad.as_deref(), Some("62: found nothing"));
    assert!(dirty.refuses.is_some());
}

#[test]
fn a_deaf_guest_goes_on_and_a_load_lies_behind_the_records() {
    let Some((folder, boot)) = ground() else { return };
    let folder = folder.path();
    let disks = lay(folder, 1, 0, &[]);
    let mut machine = Machine::start(folder, &boot, &disks, "homing.deaf homing.load=1020");
    let heard = machine.until_acks(1).boots[0].acks.unwrap();
    machine.press_button();
    machine.until_acks(heard.count + 20);
    machine.kill();
    let disk = fs::read(&disks[0]).unwrap();
    let behind = &disk[usize::try_from(DISK_BYTES_MIN).unwrap()..];
    assert!(behind[..1020 << 10].iter().all(|byte| *byte == b'#'));
    assert!(behind[1020 << 10..].iter().all(|byte| *byte == 0));
}

/// What the guest's own proof says of disks, run on this computer; `None`: it cannot, which was told.
fn prove_here(disks: &[PathBuf]) -> Option<console::Boot> {
    if !have(&["busybox"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("init.sh"), include_str!("init.sh")).unwrap();
    // Not every file system of a test can be read past the cache.
    let stand_in = "\
        . ./init.sh\n\
        run=.\n\
        off() { exit 0; }\n\
        look_at_clock() { now=400; }\n\
        dd() { for word; do shift; [ $word = iflag=direct ] || set -- \"$@\" $word; done; command dd \"$@\"; }\n\
        token=00000000000000ff disks=\"$*\" count=$# first=$1 ring=$((count * slots))\n\
        prove_disks\n";
    let mut shell = Command::new("busybox");
    shell.args(["sh", "-c", stand_in, "sh"]).args(disks).current_dir(&folder);
    let ran = shell.output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    let said = Said::read(&ran.stdout[..]).unwrap();
    Some(said.boots.first().unwrap_or_else(|| panic!("{ran:?}")).clone())
}

/// Lays disks, spoils them, and compares what the proof says: last, bad, and of the first bad record.
fn judged(
    (disks, last): (usize, u64),
    spoil: impl Fn(&[PathBuf]),
    expected: (u64, u64, Option<&str>),
) {
    let folder = tempfile::tempdir().unwrap();
    let boots = [A, (2, "00000000000000bb"), (40, "00000000000000cc")];
    let paths = lay(folder.path(), disks, last, &boots);
    spoil(&paths);
    let Some(boot) = prove_here(&paths) else { return };
    let proved = boot.proved.unwrap();
    assert_eq!((proved.last, proved.bad, boot.first_bad.as_deref()), expected, "{disks} {last}");
    assert_eq!(boot.refuses.is_some(), proved.bad > 0);
}

#[test]
fn disks_of_one_moment_are_whole() {
    let ring = SLOTS * DISKS_MAX as u64;
    for (disks, last) in [
        (1, 0),
        (1, 1),
        (3, 2),
        (2, 100),
        (1, SLOTS - 1),
        (1, SLOTS),
        (1, SLOTS + 1),
        (8, ring + 9),
    ] {
        judged((disks, last), |_| (), (last, 0, None));
    }
    // The write that was in hand may be there, in whole or in part, or not.
    for (disks, last) in [(2, 100), (1, 5000)] {
        let next = record(last + 1, "00000000000000dd");
        let spoil = |size: usize| {
            let next = &next;
            move |paths: &[PathBuf]| {
                let (disk, offset) = place(last + 1, disks);
                overwrite(&paths[disk], offset, &next[..size]);
            }
        };
        judged((disks, last), spoil(4096), (last, 0, None));
        judged((disks, last), spoil(1024), (last, 0, None));
    }
}

#[test]
fn one_wrong_record_is_one_bad_record() {
    let at = |disks, number, with: Vec<u8>| {
        move |paths: &[PathBuf]| {
            let (disk, offset) = place(number, disks);
            overwrite(&paths[disk], offset, &with);
        }
    };
    let zeroes = vec![0; 4096];
    judged((1, 90), at(1, 50, zeroes.clone()), (90, 1, Some("50: found nothing")));
    judged((3, 5000), at(3, 4999, zeroes), (5000, 1, Some("4999: found nothing")));
    let other_boot = record(50, "00000000000000dd");
    let found = "50: found record 50 of boot 00000000000000dd";
    judged((1, 90), at(1, 50, other_boot), (90, 1, Some(found)));
    let earlier_boot = record(40, "00000000000000bb");
    let found = "40: found record 40 of boot 00000000000000bb";
    judged((2, 90), at(2, 40, earlier_boot), (90, 1, Some(found)));
    let torn = record(50, "00000000000000dd")[..512].to_vec();
    let found = "50: found no whole record but REC 0000000050 00000000000000dd";
    judged((1, 90), at(1, 50, torn), (90, 1, Some(found)));
    let noise: Vec<u8> =
        (0..4096_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    judged(
        (1, 90),
        at(1, 90, b"x".to_vec()),
        (90, 1, Some("90: found no whole record but xEC 0000000090 00000000000000cc")),
    );
    let folder = tempfile::tempdir().unwrap();
    let disks = lay(folder.path(), 1, 90, &[A]);
    overwrite(&disks[0], place(50, 1).1, &noise);
    if let Some(boot) = prove_here(&disks) {
        assert_eq!(boot.proved.unwrap().bad, 1, "{boot:?}");
    }
    let found = "95: found record 95 of boot 00000000000000cc where none was written yet";
    judged((2, 90), at(2, 95, record(95, "00000000000000cc")), (90, 1, Some(found)));
}

#[test]
fn an_index_that_is_torn_is_not_missed_and_one_of_another_moment_is() {
    let boots = [A, (2, "00000000000000bb"), (40, "00000000000000cc")];
    // Record 91 and its index were in hand; 90 was acknowledged.
    let torn = |paths: &[PathBuf]| {
        overwrite(&paths[0], place(91, 1).1, &record(91, "00000000000000cc"));
        overwrite(&paths[0], BLOCK, &index(91, &boots)[..1536]);
    };
    judged((1, 90), torn, (90, 0, None));
    let first = |paths: &[PathBuf]| overwrite(&paths[0], BLOCK, &index(1, &boots)[..1536]);
    judged((1, 0), first, (0, 0, None));
    let stale = |paths: &[PathBuf]| overwrite(&paths[0], BLOCK, &index(85, &boots));
    let found = "0: found an index of two moments, of record 90 and of record 85";
    judged((1, 90), stale, (90, 1, Some(found)));
    let older = |paths: &[PathBuf]| {
        overwrite(&paths[0], 0, &index(80, &boots));
        overwrite(&paths[0], BLOCK, &index(79, &boots));
    };
    let found = "82: found record 82 of boot 00000000000000cc where none was written yet";
    judged((1, 90), older, (80, 9, Some(found)));
    let gone = |paths: &[PathBuf]| overwrite(&paths[0], 0, &[b'?'; 8192]);
    judged((1, 0), gone, (0, 1, Some("0: found no index")));
}
