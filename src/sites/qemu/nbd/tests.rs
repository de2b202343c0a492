//! NBD disks: against QEMU's own servers, and against servers that are none.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::*;
use crate::sites::qemu::qmp::Qmp;
use crate::sites::qemu::qmp::tests::{Server, daemon, has_tools};
use crate::transfer::file::{FileSink, FileSource};

const M: u64 = 1 << 20;

/// Bytes that are nowhere the same.
fn noise(seed: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn qemu_img(arguments: &[&str]) {
    let status = Command::new("qemu-img").args(arguments).status().unwrap();
    assert!(status.success(), "qemu-img {arguments:?}");
}

/// An image of `bytes` in the folder, and the option that makes it the node `disk`.
fn image(folder: &Path, format: &str, bytes: u64) -> (String, String) {
    let path = folder.join(format!("disk.{format}")).display().to_string();
    if format == "raw" {
        std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    } else {
        qemu_img(&["create", "-q", "-f", format, &path, &bytes.to_string()]);
    }
    let file = format!("file.driver=file,file.filename={path}");
    let node = format!("driver={format},node-name=disk,discard=unmap,{file},file.discard=unmap");
    (path, node)
}

/// A daemon with an NBD server at `folder/nbd` that exports the node `disk`, made by `options`.
fn exported(folder: &Path, options: &[&str], more: &str) -> (Server, Export) {
    let export = Export { socket: folder.join("nbd"), name: "disk".to_owned() };
    let server = format!("addr.type=unix,addr.path={}", export.socket.display());
    let disk = format!("type=nbd,id=e,node-name=disk,name=disk{more}");
    let serve = ["--nbd-server", &server, "--export", &disk];
    (daemon(folder, &[options, &serve].concat()), export)
}

#[test]
fn what_is_written_zeroed_and_flushed_is_in_the_image_when_its_server_is_killed() {
    if !has_tools() {
        return;
    }
    for format in ["raw", "qcow2"] {
        let folder = tempfile::tempdir().unwrap();
        let (path, node) = image(folder.path(), format, 64 * M);
        let (mut server, export) = exported(folder.path(), &["--blockdev", &node], ",writable=on");
        let disk = NbdDisk::open(export, 4).unwrap();
        assert_eq!((disk.bytes(), disk.terms.can_multi_conn()), (64 * M, true));

        let twin = FileSink::create(&folder.path().join("twin"), 64 * M).unwrap();
        let sinks: [&dyn BlockSink; 2] = [&disk, &twin];
        // Longer than a request; odd places; a hole in data; zeroes over what is a hole already.
        let large = noise(1, 33 * M);
        for sink in sinks {
            sink.write_at(3 * M, &large).unwrap();
            sink.write_at(1_234_567, &noise(2, 54_321)).unwrap();
            sink.write_at(64 * M - 4096, &noise(3, 4096)).unwrap();
            sink.zero_at(10 * M, 8 * M).unwrap();
            sink.zero_at(40 * M, 20 * M).unwrap();
            sink.write_at(7, &[]).unwrap();
            sink.zero_at(7, 0).unwrap();
            sink.flush().unwrap();
        }
        let (mut ours, mut twins) = (vec![1; 64 * M as usize], vec![2; 64 * M as usize]);
        disk.read_at(0, &mut ours).unwrap();
        twin.read_at(0, &mut twins).unwrap();
        assert!(ours == twins, "{format}: not read as it was written");
        disk.read_at(9 * M + 1, &mut ours[..3 * M as usize]).unwrap();
        assert!(ours[..3 * M as usize] == twins[9 * M as usize + 1..12 * M as usize + 1]);

        server.kill();
        let raw = folder.path().join("converted");
        let convert = ["convert", "-f", format, "-O", "raw", &path, raw.to_str().unwrap()];
        qemu_img(&convert);
        FileSource::open(&raw).unwrap().read_at(0, &mut ours).unwrap();
        assert!(ours == twins, "{format}: not in the image as it was written");
        if format == "raw" {
            let ranges = FileSource::open(Path::new(&path)).unwrap().data_ranges().unwrap();
            let punched = |range: &Range<u64>| range.end <= 10 * M || range.start >= 18 * M;
            assert!(ranges.unwrap().iter().all(punched), "a hole was made");
        }
    }
}

#[test]
fn data_is_where_it_was_written() {
    if !has_tools() {
        return;
    }
    for format in ["raw", "qcow2"] {
        let folder = tempfile::tempdir().unwrap();
        // More than one question's worth.
        let bytes = 3 * STATUS_BYTES + 5 * 4096;
        let (_, node) = image(folder.path(), format, bytes);
        let (_server, export) = exported(folder.path(), &["--blockdev", &node], ",writable=on");
        let disk = NbdDisk::open(export, 1).unwrap();
        assert_eq!(disk.data_ranges().unwrap(), Some(vec![]), "{format}");
        for at in [M, STATUS_BYTES - M, 2 * STATUS_BYTES + 5 * M, bytes - 4096] {
            disk.write_at(at, &noise(1, 2 * M)[..(2 * M).min(bytes - at) as usize]).unwrap();
        }
        disk.zero_at(M, M).unwrap();
        let tail = bytes - bytes % BLOCK_BYTES;
        let expected = vec![
            2 * M..3 * M,
            STATUS_BYTES - M..STATUS_BYTES + M,
            2 * STATUS_BYTES + 5 * M..2 * STATUS_BYTES + 7 * M,
            tail..bytes,
        ];
        assert_eq!(disk.data_ranges().unwrap(), Some(expected), "{format}");
    }
}

#[test]
fn a_dirty_bitmap_tells_what_was_written_since_it_was_made() {
    if !has_tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, node) = image(folder.path(), "qcow2", 64 * M);
    let (_server, export) = exported(folder.path(), &["--blockdev", &node], ",writable=on");
    let mut qmp = Qmp::connect(&folder.path().join("qmp"), PATIENCE).unwrap();
    let disk = NbdDisk::open(export.clone(), 2).unwrap();
    disk.write_at(20 * M, &noise(1, M)).unwrap();
    let bitmap = json!({ "node": "disk", "name": "since", "granularity": 4096 });
    qmp.ask("block-dirty-bitmap-add", bitmap).unwrap();
    disk.write_at(5 * M, &noise(2, 2 * M)).unwrap();
    disk.write_at(7 * M, &[1]).unwrap();
    disk.zero_at(20 * M - 1, 2).unwrap();
    disk.write_at(64 * M - 1, &[1]).unwrap();
    qmp.ask("block-dirty-bitmap-disable", json!({ "node": "disk", "name": "since" })).unwrap();
    let point = json!({ "type": "nbd", "id": "p", "node-name": "disk", "name": "point",
                        "bitmaps": ["since"] });
    qmp.ask("block-export-add", point).unwrap();

    let point = Export { name: "point".to_owned(), ..export.clone() };
    let expected = vec![
        5 * M..7 * M + BLOCK_BYTES,
        20 * M - BLOCK_BYTES..20 * M + BLOCK_BYTES,
        64 * M - BLOCK_BYTES..64 * M,
    ];
    assert_eq!(point.dirty_ranges("since").unwrap(), Some(expected));
    assert_eq!(point.dirty_ranges("other").unwrap(), None);
    assert_eq!(export.dirty_ranges("since").unwrap(), None, "it is not exported there");
    let missing = Export { name: "missing".to_owned(), ..export };
    let error = missing.dirty_ranges("since").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let point = NbdDisk::open(point, 2).unwrap();
    for refused in [point.write_at(0, &[1]), point.zero_at(0, 1)] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    point.flush().unwrap();
}

#[test]
fn threads_share_no_more_connections_than_there_may_be() {
    if !has_tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, node) = image(folder.path(), "raw", 16 * M);
    let (server, export) = exported(folder.path(), &["--blockdev", &node], ",writable=on");
    hammer(&NbdDisk::open(export, 3).unwrap(), 3);
    drop(server);

    // This one takes a single client, and promises nothing of flushes.
    let export = Export { socket: folder.path().join("alone"), name: "disk".to_owned() };
    let socket = export.socket.display().to_string();
    let arguments = ["-t", "-f", "raw", "-x", "disk", "-k", &socket, &path];
    let is_ready = || NbdDisk::open(export.clone(), 1).is_ok();
    let _server = Server::start("qemu-nbd", &arguments, is_ready);
    let disk = NbdDisk::open(export, 3).unwrap();
    assert!(!disk.terms.can_multi_conn());
    hammer(&disk, 1);
    disk.data_ranges().unwrap();
}

fn hammer(disk: &NbdDisk, connections: usize) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..8 {
                    let at = (thread * 8 + round) * 256 * 1024;
                    let data = noise((thread * 8 + round) as u8, 256 * 1024);
                    disk.write_at(at, &data).unwrap();
                    disk.flush().unwrap();
                    let mut read = vec![0; data.len()];
                    disk.read_at(at, &mut read).unwrap();
                    assert!(read == data);
                }
            });
        }
    });
    let pool = disk.pool();
    assert_eq!((pool.open, pool.idle.len()), (connections, connections));
}

#[test]
fn what_the_server_refuses_has_its_kind_and_leaves_the_connection_as_it_was() {
    if !has_tools() {
        return;
    }
    let kinds = [
        (28, ErrorKind::StorageFull),
        (1, ErrorKind::PermissionDenied),
        (22, ErrorKind::InvalidInput),
        (5, ErrorKind::Other),
    ];
    for (errno, kind) in kinds {
        let folder = tempfile::tempdir().unwrap();
        let (_, node) = image(folder.path(), "raw", 4 * M);
        let node = node.replace("node-name=disk", "node-name=below");
        let rule = "inject-error.0.event=none,inject-error.0.iotype=write";
        let faulty = format!(
            "driver=blkdebug,node-name=disk,image=below,{rule},inject-error.0.errno={errno}"
        );
        let options = ["--blockdev", &node, "--blockdev", &faulty];
        let (_server, export) = exported(folder.path(), &options, ",writable=on");
        let disk = NbdDisk::open(export, 1).unwrap();
        let error = disk.write_at(M, &noise(1, M)).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("export `disk` at /"), "{error}");
        let mut read = vec![1; 4 * M as usize];
        disk.read_at(0, &mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == 0));
        for beyond in [
            disk.read_at(4 * M, &mut read[..1]),
            disk.write_at(u64::MAX, &[1]),
            disk.zero_at(1, 4 * M),
        ] {
            assert_eq!(beyond.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        disk.flush().unwrap();
    }
}

#[test]
fn a_server_that_is_killed_or_hangs_is_an_error_and_the_end_of_a_disk_that_was_written() {
    if !has_tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, node) = image(folder.path(), "qcow2", 64 * M);
    let options = ["--blockdev", &node];
    let (mut server, export) = exported(folder.path(), &options, ",writable=on");
    let disk = NbdDisk::open(export.clone(), 2).unwrap();
    let data = noise(1, M);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let (disk, data) = (&disk, &data);
                let write = move |round| disk.write_at((n * 16 + round % 16) * M, data);
                scope.spawn(move || (0..u64::MAX).find_map(|round| write(round).err()))
            })
            .collect();
        std::thread::park_timeout(Duration::from_millis(100));
        server.kill();
        for writer in writers {
            let error = writer.join().unwrap().unwrap();
            assert!(error.to_string().contains("export `disk` at /"), "{error}");
        }
    });
    // Another server at the same place would flush, but not what the first one lost.
    let (server, export) = exported(folder.path(), &options, ",writable=on");
    assert_eq!(disk.flush().unwrap_err().kind(), ErrorKind::ConnectionAborted);

    let disk = NbdDisk::open(export.clone(), 1).unwrap();
    disk.pool().idle[0].patience = Duration::from_millis(300);
    kill_process(server.pid(), Signal::STOP).unwrap();
    let began = Instant::now();
    assert_eq!(disk.write_at(0, &data).unwrap_err().kind(), ErrorKind::TimedOut);
    let hung = NbdDisk::open_within(export, 1, Duration::from_millis(300)).unwrap_err();
    assert_eq!(hung.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_disk_that_is_only_read_connects_again_but_to_no_other_server() {
    if !has_tools() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, node) = image(folder.path(), "raw", 4 * M);
    let (mut server, export) = exported(folder.path(), &["--blockdev", &node], "");
    let disk = NbdDisk::open(export, 2).unwrap();
    let mut read = vec![1; M as usize];
    let cut = disk.request(|_| Err::<(), _>(Trouble::Broken(ErrorKind::BrokenPipe.into())));
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(disk.pool().open, 0);
    disk.read_at(0, &mut read).unwrap();
    server.kill();
    let (_server, _) = exported(folder.path(), &["--blockdev", &node], "");
    disk.read_at(0, &mut read).unwrap_err();
    let error = disk.read_at(0, &mut read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
}

/// A server that says all it has to say at once, whatever it is asked.
fn fake(says: Vec<u8>) -> (tempfile::TempDir, Export, JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let export = Export { socket: folder.path().join("nbd"), name: "disk".to_owned() };
    let listener = UnixListener::bind(&export.socket).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        drop(peer.write_all(&says));
        drop(peer.shutdown(Shutdown::Write));
        drop(io::copy(&mut peer, &mut io::sink()));
    });
    (folder, export, thread)
}

fn reply(option: u32, kind: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    let magic = 0x0003_e889_0455_65a9_u64.to_be_bytes();
    [&magic[..], &option.to_be_bytes(), &kind.to_be_bytes(), &len, payload].concat()
}

/// What an honest server says until requests begin, in its parts.
fn hello(min: u32, max: u32, bytes: u64) -> Vec<Vec<u8>> {
    let sizes = [min.to_be_bytes(), 4096u32.to_be_bytes(), max.to_be_bytes()].concat();
    vec![
        [&b"NBDMAGICIHAVEOPT"[..], &3u16.to_be_bytes()].concat(),
        reply(8, 1, &[]),
        reply(10, 4, &[&7u32.to_be_bytes()[..], b"base:allocation"].concat()),
        reply(10, 1, &[]),
        // Read-only, many connections.
        reply(7, 3, &[&[0, 0][..], &bytes.to_be_bytes(), &0x103u16.to_be_bytes()].concat()),
        reply(7, 3, &[&[0, 3][..], &sizes].concat()),
        reply(7, 1, &[]),
    ]
}

/// A part of an answer; `len` is what it claims to have.
fn part(flags: u16, kind: u16, cookie: u64, len: u32, payload: &[u8]) -> Vec<u8> {
    let head = [0x668e_33ef_u32.to_be_bytes().to_vec(), flags.to_be_bytes().to_vec()].concat();
    let numbers = [&kind.to_be_bytes()[..], &cookie.to_be_bytes(), &len.to_be_bytes()].concat();
    [head, numbers, payload.to_vec()].concat()
}

/// What a server gave: bytes, and where data is.
type Told = (Vec<u8>, Option<Vec<Range<u64>>>);

/// Opens what the server says, reads its first 8192 bytes and asks where data is.
fn converse(says: Vec<u8>) -> io::Result<Told> {
    let (_folder, export, thread) = fake(says);
    let result = NbdDisk::open(export, 1).and_then(|disk| {
        let mut read = vec![1; 8192];
        disk.read_at(0, &mut read)?;
        Ok((read, disk.data_ranges()?))
    });
    thread.join().unwrap();
    result
}

fn status(cookie: u64, extents: &[(u32, u32)]) -> Vec<u8> {
    let mut payload = 7u32.to_be_bytes().to_vec();
    for (bytes, flags) in extents {
        payload.extend(bytes.to_be_bytes());
        payload.extend(flags.to_be_bytes());
    }
    part(1, 5, cookie, payload.len() as u32, &payload)
}

fn honest() -> Vec<u8> {
    let data = [&0u64.to_be_bytes()[..], &[9; 4096]].concat();
    let hole = [&4096u64.to_be_bytes()[..], &4096u32.to_be_bytes()].concat();
    // Data; a hole that reads as zeroes; a hole of which that is not said; zeroes that are no hole.
    let extents = [(65536, 0), (131_072, 3), (65536, 1), (786_432, 2)];
    let answers = [
        part(0, 1, 1, 4104, &data),
        part(0, 2, 1, 12, &hole),
        part(1, 0, 1, 0, &[]),
        status(2, &extents),
    ];
    [hello(1, 1 << 25, M), answers.to_vec()].concat().concat()
}

#[test]
fn a_conversation_is_understood_and_what_is_not_said_to_be_zero_is_data() {
    let (read, ranges) = converse(honest()).unwrap();
    assert!(read[..4096].iter().all(|byte| *byte == 9) && read[4096..].iter().all(|b| *b == 0));
    assert_eq!(ranges, Some(vec![0..65536, 196_608..262_144]));

    let mut refused = hello(1, 1 << 25, M);
    refused[2] = reply(10, (1 << 31) + 1, b"unknown");
    refused.remove(3);
    let mut other = hello(1, 1 << 25, M);
    other[2] = reply(10, 4, b"\0\0\0\x07base:something");
    for without in [refused, other] {
        let (_folder, export, thread) = fake(without.concat());
        assert_eq!(NbdDisk::open(export, 1).unwrap().data_ranges().unwrap(), None);
        thread.join().unwrap();
    }
}

#[test]
fn a_server_that_breaks_off_or_lies_in_any_byte_does_no_harm() {
    let honest = honest();
    let heads = honest.len() - 4096;
    for at in (0..heads).map(|at| if at < heads - 100 { at } else { at + 4096 }) {
        converse(honest[..at].to_vec()).expect_err("an end in the middle");
        let mut lie = honest.clone();
        lie[at] ^= 0xff;
        // Some lies cannot be seen; whatever comes of them comes at once.
        drop(converse(lie));
    }
}

#[test]
fn what_nobody_asked_for_and_what_has_no_bounds_is_refused_before_it_is_read() {
    let after = |parts: &[Vec<u8>]| [hello(1, 1 << 25, M), parts.to_vec()].concat().concat();
    let huge = u32::MAX;
    let at = |offset: u64| offset.to_be_bytes().to_vec();
    let hole = |offset: u64, len: u32| [at(offset), len.to_be_bytes().to_vec()].concat();
    let whole = part(1, 2, 1, 12, &hole(0, 8192));
    let mut long_reply = hello(1, 1 << 25, M);
    long_reply[1] = reply(8, 1, &[]);
    long_reply[1][16..].copy_from_slice(&huge.to_be_bytes());
    let replies = [hello(1, 1, M)[0].clone(), reply(8, 9, &[]).repeat(1000)].concat();
    let cases = [
        ("another server", b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n".to_vec()),
        ("oldstyle", [&b"NBDMAGIC"[..], &[0; 200]].concat()),
        ("no options", [&b"NBDMAGICIHAVEOPT"[..], &[0; 200]].concat()),
        ("a reply of 4 GiB", long_reply.concat()),
        ("no end of replies", replies),
        ("blocks of 0", hello(0, 1 << 25, M).concat()),
        ("blocks of 3", hello(3, 1 << 25, M).concat()),
        ("blocks of 1 MiB", hello(1 << 20, 1 << 25, M).concat()),
        ("at most less than at least", hello(4096, 512, M).concat()),
        ("a disk of 16 EiB", hello(1, 1 << 25, u64::MAX).concat()),
        ("half a block more", hello(4096, 1 << 25, M + 1).concat()),
        ("data of 4 GiB", after(&[part(1, 1, 1, huge, &at(0))])),
        ("data of nothing", after(&[part(0, 1, 1, 8, &at(0))])),
        ("data without a place", after(&[part(0, 1, 1, 7, &at(0))])),
        ("data elsewhere", after(&[part(1, 1, 1, 12, &hole(1, 0))])),
        ("a hole too large", after(&[part(1, 2, 1, 12, &hole(0, 8193))])),
        ("a hole with more in it", after(&[part(1, 2, 1, huge, &hole(0, 8192))])),
        ("a part left out", after(&[part(1, 2, 1, 12, &hole(0, 4096))])),
        ("the same part twice", after(&[part(0, 2, 1, 12, &hole(0, 4096)).repeat(2)])),
        ("no part", after(&[part(1, 0, 1, 0, &[])])),
        ("parts of nothing", after(&[part(0, 0, 1, 0, &[]).repeat(2)])),
        ("an error of 4 GiB", after(&[part(1, 0x8001, 1, huge, &[0; 64])])),
        ("an error cut short", after(&[part(1, 0x8001, 1, 6, &[0, 0, 0, 5, 255, 255])])),
        ("another's answer", after(&[part(1, 2, 2, 12, &hole(0, 8192))])),
        ("a read without data", after(&[simple(0, 1)])),
        (
            "a status of 4 GiB",
            after(&[whole.clone(), part(1, 5, 2, huge - 3, &[0, 0, 0, 7, 0, 0, 0, 9])]),
        ),
        ("a status of nothing", after(&[whole.clone(), status(2, &[])])),
        ("an extent of nothing", after(&[whole.clone(), status(2, &[(0, 0)])])),
        (
            "another context",
            after(&[whole.clone(), part(1, 5, 2, 12, &[0, 0, 0, 8, 1, 0, 0, 0, 0, 0, 0, 0])]),
        ),
    ];
    for (what, says) in cases {
        let error = converse(says).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{what}: {error}");
    }
    let (kind, words) = (0x8002, b"\0\0\0\x1c\0\x0dno \x1b[31mroom!\0\0\0\0\0\0\0\0");
    let error = converse(after(&[part(1, kind, 1, 27, words)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(error.to_string().ends_with("(NBD error 28): no [31mroom!"), "{error:?}");
    let error = converse(after(&[simple(108, 1)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
}

fn simple(error: u32, cookie: u64) -> Vec<u8> {
    let magic = 0x6744_6698_u32.to_be_bytes();
    [&magic[..], &error.to_be_bytes(), &cookie.to_be_bytes()].concat()
}

#[test]
fn requests_are_whole_blocks_and_no_longer_than_the_server_takes() {
    let answers: Vec<_> = (0..3u64)
        .map(|n| {
            let hole = [(n * 8192).to_be_bytes().to_vec(), 8192u32.to_be_bytes().to_vec()];
            part(1, 2, n + 1, 12, &hole.concat())
        })
        .collect();
    // At most two blocks and a half.
    let (_folder, export, thread) = fake([hello(4096, 10_240, M), answers].concat().concat());
    let disk = NbdDisk::open(export, 1).unwrap();
    disk.read_at(0, &mut [1; 24_576]).unwrap();
    for odd in [disk.read_at(512, &mut [1; 4096]), disk.read_at(0, &mut [1; 512])] {
        let error = odd.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("not whole blocks of 4096 bytes"), "{error}");
    }
    drop(disk);
    thread.join().unwrap();
}

#[test]
fn a_list_of_extents_is_merged_to_whole_blocks_and_ends() {
    let b = BLOCK_BYTES as u32;
    let listed = |bytes: u64, extents: Vec<Extent>| {
        list(bytes, |_, _| Ok::<_, ()>(extents.clone()), |flags| flags == 1).unwrap()
    };
    let (at_most, of) = (5 * BLOCK_BYTES + 4096, vec![(b + 1, 0), (1, 1), (b - 2, 0), (b, 1)]);
    let expected = vec![BLOCK_BYTES..3 * BLOCK_BYTES, 4 * BLOCK_BYTES..at_most];
    // The server repeats itself, beyond the disk's end too.
    assert_eq!(listed(at_most, of), Some(expected));
    assert_eq!(listed(0, vec![(1, 1)]), Some(vec![]));
    assert_eq!(listed(1 << 63, vec![(1, 0)]), None, "a list without an end");
    let comb = [(b, 1), (b, 0)].repeat(RANGES_MAX / 8);
    let bytes = 2 * BLOCK_BYTES * RANGES_MAX as u64;
    assert_eq!(listed(bytes, comb.clone()).map(|ranges| ranges.len()), Some(RANGES_MAX));
    assert_eq!(listed(2 * bytes, comb), None, "more ranges than there is room for");
}
