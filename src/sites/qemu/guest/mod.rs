//! The practice guest: a real Linux machine that is a witness of its own.
//!
//! Nothing of homing runs inside it: a Debian kernel, busybox and one script (`init.sh`). At every boot it
//! proves all records on its disks, then goes on writing them, one at a time, and acknowledges each on its
//! console once it is written. A boot from disks that are not of one moment says so and refuses.
//!
//! In: a folder for its initramfs; the text of its console. Out: what QEMU boots; what the guest said.

pub(super) mod console;
pub(super) mod initramfs;

/// The kernel's command line. A word of the guest's own can follow (they are listed in `init.sh`).
pub(super) const APPEND: &str = "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable \
    no_timer_check nokaslr cryptomgr.notests";

/// Smallest disk that it takes, bytes: its records lie in the first 16 MiB.
pub(super) const DISK_BYTES_MIN: u64 = 16 << 20;

/// Most disks that it takes.
pub(super) const DISKS_MAX: usize = 8;

#[cfg(test)]
mod tests;
