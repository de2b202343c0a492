//! What steps cost when no earlier run says: sizes, rates, and a few round numbers.

use crate::plan::effect::Mode;
use crate::primitives::contract::{Cost, Subject};

/// Asking a site something, or a change that moves no data, seconds.
pub const CALL: Cost = Cost::seconds(1.0);
/// Booting a machine until it runs, seconds.
pub const START: Cost = Cost::seconds(30.0);
/// A graceful stop, seconds.
pub const STOP: Cost = Cost::seconds(20.0);
/// Bytes per second where the inventory gives no site bandwidth.
const RATE_DEFAULT: u64 = 200 << 20;
/// Bytes per second at which both sides are compared before anything is sent.
const COMPARE_RATE: u64 = 1 << 30;
/// The part of a disk that a delta is taken to send: a guess until the journal has seen one.
const DELTA_PART: f64 = 0.1;

/// Moving the machine's disks. `bandwidth` is the step's own limit, bytes per second.
pub fn transfer(subject: &Subject<'_>, mode: Mode, bandwidth: Option<u64>) -> Cost {
    let bytes = disk_bytes(subject);
    let rate = rate(subject, bandwidth);
    let (sent, compared_s) = match mode {
        Mode::Full => (bytes, 0.0),
        Mode::Delta => (part(bytes), seconds(bytes, COMPARE_RATE)),
    };
    let seconds = CALL.seconds + compared_s + seconds(sent, rate);
    Cost { seconds, bytes, sent, rate }
}

/// All the machine's disks together: as observed, else as the inventory says.
pub fn disk_bytes(subject: &Subject<'_>) -> u64 {
    let observed = subject.machine.and_then(|name| subject.facts.peek().machines.get(name));
    let listed = || subject.entry().map_or(0, |entry| entry.disks.iter().sum());
    observed.map(|facts| facts.disk_bytes).filter(|bytes| *bytes > 0).unwrap_or_else(listed)
}

/// The narrowest of the step's own limit and both sites' bandwidths.
fn rate(subject: &Subject<'_>, bandwidth: Option<u64>) -> u64 {
    let sites = subject.entry().into_iter().flat_map(|entry| [&entry.cloud, &entry.onprem]);
    let limits = sites.filter_map(|site| subject.inventory.sites.get(site)?.bandwidth);
    limits.chain(bandwidth).min().unwrap_or(RATE_DEFAULT).max(1)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate"
)]
fn part(bytes: u64) -> u64 {
    (bytes as f64 * DELTA_PART) as u64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds(bytes: u64, rate: u64) -> f64 {
    bytes as f64 / rate as f64
}
