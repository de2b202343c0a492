//! What runs a machine's processors: KVM where it really runs code, else emulation.
//!
//! That `/dev/kvm` can be opened proves nothing: there are hosts (nested ones) where KVM starts and a guest
//! hangs as soon as it turns paging on. So a small firmware is run that does just that and then ends QEMU
//! with a known status. It is tried once per boot of this computer and site; the answer is kept beside the
//! machines.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::run::failure::Failure;
use crate::sites::commands::Command;
use crate::sites::files::{self, io};
use crate::sites::process;
use crate::sites::qemu::settings::Accel;

/// Longest that the trial may take where KVM works: there it is over in a tenth of a second.
const TRIAL_TIME: Duration = Duration::from_secs(2);
/// What QEMU's exit device makes of the 0x10 that the firmware writes to it.
const ENDED_WELL: i32 = 0x21;
/// Of the firmware; its last 16 bytes are where a processor begins.
const FIRMWARE_BYTES: usize = 64 << 10;
const RESET: usize = FIRMWARE_BYTES - 16;

/// From real mode through 32 bits to 64 bits with paging, as every kernel goes.
#[rustfmt::skip]
const FIRMWARE: &[&[u8]] = &[
    &[0xfa],                                                 // cli
    &[0x2e, 0x66, 0x0f, 0x01, 0x16, 0xb0, 0x00],             // lgdtl %cs:0xb0
    &[0x0f, 0x20, 0xc0],                                     // mov %cr0, %eax
    &[0x66, 0x83, 0xc8, 0x01],                               // or $1, %eax: protected mode
    &[0x0f, 0x22, 0xc0],                                     // mov %eax, %cr0
    &[0x66, 0xea, 0x1a, 0x00, 0x0f, 0x00, 0x08, 0x00],       // ljmpl $8, $0xf001a: 32 bits
    &[0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xc0],       // data segments
    &[0xfc, 0x31, 0xc0],                                     // cld; xor %eax, %eax
    &[0xbf, 0x00, 0x10, 0x00, 0x00],                         // mov $0x1000, %edi
    &[0xb9, 0x00, 0x0c, 0x00, 0x00, 0xf3, 0xab],             // three empty pages
    &[0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0, 0], // level 4 names level 3
    &[0xc7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x03, 0x30, 0, 0], // level 3 names level 2
    &[0xc7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x00, 0, 0], // level 2: the first 2 MiB, as they are
    &[0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0],       // cr4: PAE
    &[0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8],       // cr3: the tables
    &[0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32],             // rdmsr EFER
    &[0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30],             // long mode enabled
    &[0x0f, 0x20, 0xc0, 0x0d, 0x00, 0x00, 0x00, 0x80],       // cr0: paging
    &[0x0f, 0x22, 0xc0],                                     // mov %eax, %cr0
    &[0xea, 0x7f, 0x00, 0x0f, 0x00, 0x18, 0x00],             // ljmp $0x18, $0xf007f: 64 bits
    &[0xb9, 0x00, 0x00, 0x01, 0x00],                         // mov $0x10000, %ecx
    &[0xff, 0xc9, 0x75, 0xfc],                               // count down
    &[0xb0, 0x10, 0xe6, 0xf4, 0xf4],                         // out 0x10 to port 0xf4; hlt
    &[0x90, 0x90, 0x90],
    &[0, 0, 0, 0, 0, 0, 0, 0],                               // at 0x90: the segments: none,
    &[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0],                   // 32-bit code,
    &[0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0],                   // data,
    &[0xff, 0xff, 0, 0, 0, 0x9a, 0xaf, 0],                   // 64-bit code
    &[0x1f, 0x00, 0x90, 0x00, 0x0f, 0x00],                   // at 0xb0: their table
];
/// ljmp $0xf000, $0
const FIRST: &[u8] = &[0xea, 0x00, 0x00, 0x00, 0xf0];

/// `accel.json` in the site's folder.
#[derive(Serialize, Deserialize)]
struct Tried {
    /// The boot of this computer that it was tried in.
    boot: String,
    kvm: bool,
}

/// What QEMU is told: `kvm` or `tcg`.
///
/// # Errors
/// When the site's folder cannot be written.
pub(super) fn choose(
    wanted: Accel,
    program: &Path,
    site_folder: &Path,
) -> Result<&'static str, Failure> {
    match wanted {
        Accel::Kvm => return Ok("kvm"),
        Accel::Tcg => return Ok("tcg"),
        Accel::Auto => {}
    }
    io(files::make_folder(site_folder))?;
    let kept = site_folder.join("accel.json");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let known: Option<Tried> = io(files::load(&kept))?;
    let kvm = match known.filter(|tried| tried.boot == boot) {
        Some(tried) => tried.kvm,
        None => {
            let opens = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
            let kvm = opens && runs_code("kvm", program, site_folder)?;
            io(files::save(&kept, &Tried { boot, kvm }))?;
            kvm
        }
    };
    Ok(if kvm { "kvm" } else { "tcg" })
}

/// Whether it brings a processor to 64 bits and back out.
fn runs_code(accel: &str, program: &Path, folder: &Path) -> Result<bool, Failure> {
    let firmware = folder.join("accel.firmware");
    io(std::fs::write(&firmware, image()).map_err(files::at(&firmware)))?;
    let words = [
        "-accel",
        accel,
        "-machine",
        "pc",
        "-m",
        "2",
        "-nodefaults",
        "-display",
        "none",
        "-bios",
        "accel.firmware",
        "-device",
        "isa-debug-exit,iobase=0xf4,iosize=1",
    ];
    let program = program.display().to_string();
    let argv = std::iter::once(program).chain(words.map(str::to_owned)).collect();
    let deadline = Instant::now() + TRIAL_TIME;
    let command =
        Command { argv, env: std::env::vars().filter(|(name, _)| name == "PATH").collect() };
    let ran = process::run(&command, folder, &|| Instant::now() >= deadline);
    Ok(ran.is_ok_and(|ran| ran.status == ENDED_WELL))
}

fn image() -> Vec<u8> {
    const HALT: u8 = 0xf4;
    let mut image = FIRMWARE.concat();
    image.resize(FIRMWARE_BYTES, HALT);
    image[RESET..RESET + FIRST.len()].copy_from_slice(FIRST);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firmware_is_where_its_jumps_lead() {
        let image = image();
        assert_eq!(image[0xb0..0xb2], [0x1f, 0x00], "the table of segments");
        assert_eq!(image[0x1a..0x1c], [0x66, 0xb8], "32 bits begin here");
        assert_eq!(image[0x7f], 0xb9, "64 bits begin here");
        assert_eq!(image.len(), FIRMWARE_BYTES);
    }

    #[test]
    fn what_the_inventory_says_is_not_tried() {
        let nowhere = Path::new("/nonexistent/homing");
        assert_eq!(choose(Accel::Kvm, nowhere, nowhere).unwrap(), "kvm");
        assert_eq!(choose(Accel::Tcg, nowhere, nowhere).unwrap(), "tcg");
    }

    #[test]
    fn the_firmware_ends_where_code_runs() {
        if !crate::sites::qemu::tools::tests::have(&["qemu-system-x86_64"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        // Emulation runs all code; a busy computer may take a while for it.
        let ends = || runs_code("tcg", Path::new("qemu-system-x86_64"), folder.path()).unwrap();
        assert!((0..5).any(|_| ends()));
        let nothing = runs_code("none", Path::new("qemu-system-x86_64"), folder.path());
        assert!(!nothing.unwrap(), "there is no such accelerator");
    }

    #[test]
    fn the_trial_is_kept_for_this_boot() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Path::new("/nonexistent/qemu");
        assert_eq!(choose(Accel::Auto, missing, folder.path()).unwrap(), "tcg");
        let kept = folder.path().join("accel.json");
        let text = std::fs::read_to_string(&kept).unwrap().replace("false", "true");
        std::fs::write(&kept, text).unwrap();
        assert_eq!(choose(Accel::Auto, missing, folder.path()).unwrap(), "kvm");
    }
}
