//! The arguments that an inventory may add to a machine's QEMU: a list of what is allowed, since an argument
//! could open a disk twice, take the control socket away, or let the guest out of its process.

use std::fmt::Write;

/// Options that take one value, with the words that the value must begin with; none: any value.
const ALLOWED: &[(&str, &[&str])] = &[
    ("-bios", &[]),
    ("-boot", &[]),
    ("-cpu", &[]),
    ("-device", DEVICES),
    ("-global", &[]),
    ("-machine", &["pc", "q35", "pc-i440fx", "pc-q35", "microvm"]),
    ("-netdev", NETWORKS),
    ("-object", &["rng-random", "rng-builtin"]),
    ("-rtc", &[]),
    ("-smbios", &["type="]),
    ("-uuid", &[]),
    ("-vga", &[]),
    ("-vnc", &["unix:", "127.0.0.1:", "localhost:", "none"]),
];
/// Devices that are no disk.
const DEVICES: &[&str] = &[
    "VGA",
    "e1000",
    "e1000e",
    "i6300esb",
    "qemu-xhci",
    "rtl8139",
    "usb-kbd",
    "usb-tablet",
    "virtio-balloon-pci",
    "virtio-gpu-pci",
    "virtio-net-pci",
    "virtio-rng-pci",
    "virtio-vga",
];
/// Networks that need no other program to be run by name.
const NETWORKS: &[&str] = &["bridge", "hubport", "tap", "user", "vde"];
/// Parts of a network that run a program, or serve the host's files.
const DANGEROUS: &[&str] = &["script=", "downscript=", "helper=", "smb=", "tftp=", "guestfwd="];

/// Whether these arguments may be added.
///
/// # Errors
/// Why not, for the inventory's author.
pub(super) fn extra(args: &[String]) -> Result<(), String> {
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let Some((_, begins)) = ALLOWED.iter().find(|(name, _)| name == option) else {
            let mut allowed = String::new();
            for (name, _) in ALLOWED {
                write!(allowed, " {name}").expect("BUG: writing to a text cannot fail");
            }
            return Err(format!("`{option}` is not allowed in `args`; allowed are:{allowed}"));
        };
        let Some(value) = args.next() else {
            return Err(format!("`{option}` needs a value, as the next text of the list"));
        };
        if option == "-netdev" {
            netdev(value)?;
        }
        let word = value.split(',').next().unwrap_or_default();
        let fits = |begin: &&str| word == *begin || (is_prefix(begin) && word.starts_with(*begin));
        if !begins.is_empty() && !begins.iter().any(fits) {
            let begins = begins.join(", ");
            return Err(format!("`{option} {value}` is not allowed; it may be one of: {begins}"));
        }
    }
    Ok(())
}

/// A word that ends like this is the beginning of a value.
fn is_prefix(word: &str) -> bool {
    word.ends_with([':', '='])
}

/// Whether this is a network that a machine may be put on.
///
/// # Errors
/// Why not.
pub(super) fn netdev(text: &str) -> Result<(), String> {
    let mut parts = text.split(',');
    let kind = parts.next().unwrap_or_default();
    if !NETWORKS.contains(&kind) {
        return Err(format!("there is no network `{kind}`; there are: {}", NETWORKS.join(", ")));
    }
    let harmless = |part: &str| part.ends_with("=no");
    match parts.find(|part| DANGEROUS.iter().any(|name| part.starts_with(name)) && !harmless(part))
    {
        Some(part) => Err(format!("`{part}` is not allowed: it reaches out of the machine")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(words: &str) -> bool {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        extra(&words).is_ok()
    }

    #[test]
    fn what_cannot_take_a_disk_or_the_control_away_is_allowed() {
        for good in [
            "-cpu max",
            "-netdev user,id=n0,hostfwd=tcp:127.0.0.1:2222-:22 -device virtio-net-pci,netdev=n0",
            "-netdev tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-vnc 127.0.0.1:7 -device VGA",
            "-smbios type=1,serial=7",
            "-machine q35,hpet=off",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in [
            "-drive file=disk0.qcow2",
            "-device virtio-blk-pci,drive=disk0",
            "-device virtio-net-pci-x",
            "-qmp tcp:0.0.0.0:4444",
            "-daemonize",
            "-no-shutdown",
            "-cpu",
            "-netdev user,id=n0,smb=/",
            "-netdev tap,id=n0,script=/x",
            "-netdev socket,id=n0,listen=:1234",
            "-vnc 0.0.0.0:7",
            "-object memory-backend-file,id=m,mem-path=/etc/passwd",
            "-machine none",
        ] {
            assert!(!allowed(bad), "{bad}");
        }
    }
}
