//! Makes what the guest boots from: a Debian kernel as it is, and an initramfs of busybox, the kernel's
//! modules for disks and for the power button, and `init.sh`.

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::run::failure::Failure;
use crate::sites::commands::Command;
use crate::sites::process;

const INIT: &str = include_str!("init.sh");
/// What else of the kernel the guest needs; what these need comes with them.
const MODULES: &[&str] = &["virtio_pci", "virtio_blk", "button", "evdev"];
const KERNELS: &str = "/boot";
const KERNEL_MODULES: &str = "/lib/modules";
/// Which kernels are taken: Debian's small one for virtual machines.
const FLAVOUR: &str = "-cloud-amd64";
/// Where programs are beyond the user's own path: of a plain user's, `modprobe` is not on it.
const PROGRAMS: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
const INSTALL: &str = "apt-get install linux-image-cloud-amd64 busybox-static cpio kmod";
/// How long a program may take that only reads or writes a few files.
const PATIENCE: Duration = Duration::from_secs(60);

/// What QEMU boots a guest from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sites::qemu) struct Boot {
    /// The kernel, where its package put it.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
}

/// Makes the initramfs in the folder `into`, or finds it there: its name tells what it is made of.
/// Blocking; takes less than a second.
///
/// # Errors
/// Permanent, with what to install, when a part or a program is missing; permanent when the folder
/// cannot be written.
pub(in crate::sites::qemu) fn build(into: &Path) -> Result<Boot, Failure> {
    let (kernel, version) = newest_kernel(Path::new(KERNELS), Path::new(KERNEL_MODULES))?;
    let busybox = static_busybox()?;
    let modules = modules(&version)?;
    let initrd = into.join(name(&version, &busybox, &modules)?);
    if !initrd.is_file() {
        std::fs::create_dir_all(into).map_err(at(into))?;
        let staging = into.join(format!("practice-{}.tmp", random()?));
        let packed = stage(&staging, &busybox, &modules)
            .and_then(|()| pack(&staging))
            .and_then(|archive| keep(&archive, &initrd));
        // What is left of it is in nobody's way.
        drop(std::fs::remove_dir_all(&staging));
        packed?;
    }
    Ok(Boot { kernel, initrd })
}

fn missing(what: &str) -> Failure {
    Failure::permanent(format!("the practice guest cannot be made: {what}")).help(INSTALL)
}

/// Adds the path to what the system said.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure + '_ {
    move |error| Failure::permanent(format!("{}: {error}", path.display()))
}

/// The newest kernel that can be read and whose modules are there, and its version.
fn newest_kernel(kernels: &Path, modules: &Path) -> Result<(PathBuf, String), Failure> {
    let named = std::fs::read_dir(kernels).into_iter().flatten().flatten();
    let mut versions: Vec<String> = named
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()))
        .filter(|version| version.ends_with(FLAVOUR) && modules.join(version).is_dir())
        .collect();
    versions.sort_by_key(|version| Reverse(numbers(version)));
    let kernel = |version: &String| kernels.join(format!("vmlinuz-{version}"));
    if let Some(version) = versions.iter().find(|version| File::open(kernel(version)).is_ok()) {
        return Ok((kernel(version), version.clone()));
    }
    let Some(unreadable) = versions.first().map(kernel) else {
        let what = format!("there is no {}/vmlinuz-*{FLAVOUR} with its modules", kernels.display());
        return Err(missing(&what));
    };
    let path = unreadable.display();
    let message = format!("the practice guest cannot be made: {path} cannot be read by this user");
    Err(Failure::permanent(message).help(format!("chmod a+r {path}, as root")))
}

/// The numbers in a version, to compare it by: 6.1.0-56 is newer than 6.1.0-9.
fn numbers(version: &str) -> Vec<u64> {
    let pieces = version.split(|character: char| !character.is_ascii_digit());
    pieces.filter_map(|piece| piece.parse().ok()).collect()
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    programs(name).next().ok_or_else(|| missing(&format!("there is no program {name}")))
}

/// All programs of that name.
fn programs(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).chain(PROGRAMS.iter().map(PathBuf::from)).collect();
    let files = folders.into_iter().map(move |folder| folder.join(name));
    files.filter(|file| file.is_absolute() && file.is_file())
}

fn static_busybox() -> Result<PathBuf, Failure> {
    let is_good = |file: &PathBuf| std::fs::read(file).is_ok_and(|image| is_static(&image));
    programs("busybox")
        .find(is_good)
        .ok_or_else(|| missing("there is no busybox that is linked statically"))
}

/// Whether a 64-bit ELF program needs no loader, which the guest does not have.
fn is_static(image: &[u8]) -> bool {
    const NEEDS_LOADER: u32 = 3;
    let half = |from: usize| Some(u16::from_le_bytes(image.get(from..from + 2)?.try_into().ok()?));
    let word = |from: usize| Some(u32::from_le_bytes(image.get(from..from + 4)?.try_into().ok()?));
    let headers = || -> Option<bool> {
        let (first, size, count) = (word(32)?, half(54)?, half(56)?);
        let kind = |index: u16| {
            let offset = u64::from(first) + u64::from(size) * u64::from(index);
            word(usize::try_from(offset).ok()?)
        };
        (0..count).try_fold(true, |is_free, index| Some(is_free && kind(index)? != NEEDS_LOADER))
    };
    image.starts_with(b"\x7fELF\x02\x01") && headers() == Some(true)
}

/// The files of the modules, in the order in which they are loaded.
fn modules(version: &str) -> Result<Vec<PathBuf>, Failure> {
    let modprobe = program("modprobe")?;
    let options = ["--set-version", version, "--all", "--show-depends"];
    let listed = run(&modprobe, options.iter().chain(MODULES), Path::new("/"))?;
    let mut files: Vec<PathBuf> = Vec::new();
    // A module that the kernel has built in is a line `builtin NAME`.
    for line in listed.lines().filter_map(|line| line.strip_prefix("insmod ")) {
        let file = PathBuf::from(line.split_whitespace().next().unwrap_or_default());
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(files)
}

/// Runs a program that must succeed; what it printed.
fn run<'a>(
    program: &Path,
    arguments: impl Iterator<Item = &'a &'a str>,
    folder: &Path,
) -> Result<String, Failure> {
    let mut argv = vec![program.display().to_string()];
    argv.extend(arguments.map(|argument| (*argument).to_owned()));
    let begun = Instant::now();
    let command = Command { argv, env: [].into() };
    let ran = process::run(&command, folder, &|| begun.elapsed() > PATIENCE)
        .map_err(|error| missing(&format!("{}: {error}", program.display())))?;
    if ran.status != 0 {
        let complaint = ran.complaint.trim_end();
        return Err(missing(&format!("{} failed: {complaint}", command.argv.join(" "))));
    }
    Ok(ran.stdout)
}

/// A name that no other content has: of another `init.sh`, busybox or kernel it is another name.
fn name(version: &str, busybox: &Path, modules: &[PathBuf]) -> Result<String, Failure> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(INIT.as_bytes());
    for part in modules.iter().map(PathBuf::as_path).chain([busybox]) {
        let content = std::fs::read(part).map_err(at(part))?;
        hasher.update(blake3::hash(&content).as_bytes());
    }
    Ok(format!("practice-{version}-{}.cpio", &hasher.finalize().to_hex()[..16]))
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Failure::permanent(format!("no random number: {error}")))?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

/// Lays everything out as the guest will see it, in `root` there; the list of it is `names`.
fn stage(staging: &Path, busybox: &Path, modules: &[PathBuf]) -> Result<(), Failure> {
    let root = staging.join("root");
    for folder in ["bin", "lib"].map(|name| root.join(name)) {
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
    }
    let mut names = "init\nbin\nbin/busybox\nlib\nlib/order\n".to_owned();
    let mut order = String::new();
    copy(busybox, &root.join("bin/busybox"))?;
    for module in modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        copy(module, &root.join("lib").join(&*name))?;
        let plain = unpacked(&root.join("lib"), &name)?;
        names.push_str(&format!("lib/{plain}\n"));
        order.push_str(&format!("{plain}\n"));
    }
    write(&root.join("lib/order"), &order)?;
    write(&root.join("init"), INIT)?;
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join("init"), all).map_err(at(&root))?;
    write(&staging.join("names"), &names)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::copy(from, to).map(drop).map_err(at(from))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(at(file))
}

/// Unpacks a module in place where the distribution packs them, which not every busybox can; its name.
fn unpacked<'a>(folder: &Path, name: &'a str) -> Result<&'a str, Failure> {
    let (plain, tool) = match name.rsplit_once('.') {
        Some((plain, "xz")) => (plain, "xz"),
        Some((plain, "zst")) => (plain, "zstd"),
        _ => return Ok(name),
    };
    let tool = program(tool)?;
    let options: &[&str] = if name.ends_with("xz") { &["-d"] } else { &["-d", "-q", "--rm"] };
    run(&tool, options.iter().chain(&[name]), folder)?;
    Ok(plain)
}

/// Packs what was laid out; the archive.
fn pack(staging: &Path) -> Result<PathBuf, Failure> {
    let archive = staging.join("practice.cpio");
    let names = staging.join("names");
    let cpio = program("cpio")?;
    let packed = std::process::Command::new(&cpio)
        .args(["-o", "-H", "newc", "-R", "0:0", "--quiet"])
        .current_dir(staging.join("root"))
        .stdin(File::open(&names).map_err(at(&names))?)
        .stdout(File::create(&archive).map_err(at(&archive))?)
        .output()
        .map_err(at(&cpio))?;
    if !packed.status.success() {
        let complaint = String::from_utf8_lossy(&packed.stderr);
        let cpio = cpio.display();
        return Err(Failure::permanent(format!("{cpio} failed: {}", complaint.trim_end())));
    }
    Ok(archive)
}

/// Gives the archive its name once all of it is on disk: whoever finds it finds the whole.
fn keep(archive: &Path, initrd: &Path) -> Result<(), Failure> {
    File::open(archive).and_then(|file| file.sync_all()).map_err(at(archive))?;
    std::fs::rename(archive, initrd).map_err(at(initrd))?;
    let folder = initrd.parent().expect("BUG: it is in a folder");
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_that_has_its_modules_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let (kernels, modules) = (folder.path().join("boot"), folder.path().join("modules"));
        std::fs::create_dir_all(&kernels).unwrap();
        let nothing = newest_kernel(&kernels, &modules).unwrap_err();
        assert_eq!(nothing.help.as_deref(), Some(INSTALL), "{nothing:?}");
        for version in ["6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.1-amd64"] {
            write(&kernels.join(format!("vmlinuz-{version}")), "").unwrap();
            std::fs::create_dir_all(modules.join(version)).unwrap();
        }
        write(&kernels.join("vmlinuz-6.2.0-1-cloud-amd64"), "").unwrap();
        let (kernel, version) = newest_kernel(&kernels, &modules).unwrap();
        assert_eq!(version, "6.1.0-56-cloud-amd64");
        assert_eq!(kernel, kernels.join("vmlinuz-6.1.0-56-cloud-amd64"));
    }

    #[test]
    fn a_program_that_needs_a_loader_is_told_from_one_that_does_not() {
        let elf = |kinds: &[u32]| {
            let mut image = vec![0; 64 + 56 * kinds.len()];
            image[..6].copy_from_slice(b"\x7fELF\x02\x01");
            (image[32], image[54], image[56]) = (64, 56, u8::try_from(kinds.len()).unwrap());
            for (index, kind) in kinds.iter().enumerate() {
                image[64 + 56 * index..][..4].copy_from_slice(&kind.to_le_bytes());
            }
            image
        };
        assert!(is_static(&elf(&[1, 2, 4])));
        assert!(!is_static(&elf(&[6, 3, 1])));
        assert!(!is_static(&elf(&[1, 2, 4])[..130]), "cut off");
        assert!(!is_static(b"#!/bin/sh\n"));
    }

    #[test]
    fn a_packed_module_is_unpacked_in_place() {
        for (ending, tool) in [("xz", "xz"), ("zst", "zstd")] {
            let Ok(packer) = program(tool) else { continue };
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("a.ko");
            write(&file, "module").unwrap();
            run(&packer, ["-q", "a.ko"].iter(), folder.path()).unwrap();
            let packed = format!("a.ko.{ending}");
            assert!(folder.path().join(&packed).is_file());
            // zstd keeps what it packs.
            drop(std::fs::remove_file(&file));
            assert_eq!(unpacked(folder.path(), &packed).unwrap(), "a.ko");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "module");
            assert!(!folder.path().join(&packed).exists());
        }
        assert_eq!(unpacked(Path::new("/nonexistent"), "b.ko").unwrap(), "b.ko");
    }
}
