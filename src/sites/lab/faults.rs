//! Faults on purpose: `faults = { seed, error_rate, latency, throttle, kill }` of a site.
//!
//! Whether the n-th call of an operation on a machine is struck depends on the seed and these three
//! alone, so a run can be had again. Struck are the operations that a run tries again: power, disks,
//! machines; never looking or claiming. A kill takes the machine's guest on this side, as a host that
//! crashes would, and the operation goes on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::MachineName;
use crate::run::failure::Failure;
use crate::sites::files::blocking;
use crate::sites::lab::launch;
use crate::sites::lab::seat::Seat;
use crate::sites::lab::settings::Faults;

/// What a throttled caller is told to wait, seconds.
const RETRY_AFTER_S: u32 = 1;

/// Decides which operations go wrong.
#[derive(Default)]
pub(super) struct Striker {
    faults: Faults,
    calls: Mutex<HashMap<(MachineName, String), u64>>,
}

/// What happens to one operation.
#[derive(Debug, PartialEq)]
struct Blow {
    error: bool,
    throttle: bool,
    kill: bool,
}

impl Striker {
    /// With these faults.
    pub(super) fn new(faults: Faults) -> Striker {
        Striker { faults, calls: Mutex::default() }
    }

    /// Before an operation.
    pub(super) async fn strike(&self, seat: &Seat, operation: &str) -> Result<(), Failure> {
        if self.faults == Faults::default() {
            return Ok(());
        }
        let latency = self.faults.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let blow = self.blow(&seat.machine, operation);
        if blow.kill {
            let seat = seat.clone();
            blocking(move || launch::pull_plug(&seat.folder(&seat.records.state()?))).await?;
        }
        let what = format!("{operation} of {} at {}", seat.machine, seat.place.name);
        if blow.throttle {
            return Err(Failure::throttled(
                format!("{what} was throttled on purpose"),
                RETRY_AFTER_S,
            ));
        }
        if blow.error {
            return Err(Failure::transient(format!("{what} failed on purpose")));
        }
        Ok(())
    }

    fn blow(&self, machine: &MachineName, operation: &str) -> Blow {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let call = calls.entry((machine.clone(), operation.to_owned())).or_default();
        *call += 1;
        let text = format!("{}\n{machine}\n{operation}\n{call}", self.faults.seed);
        let hash = blake3::hash(text.as_bytes());
        let share = |at: usize| {
            let bytes = hash.as_bytes();
            let word = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            f64::from(word) / f64::from(u32::MAX)
        };
        Blow {
            error: share(0) < self.faults.error_rate,
            throttle: share(4) < self.faults.throttle,
            kill: share(8) < self.faults.kill,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_strikes_the_same_calls() {
        let faults = Faults { seed: 7, error_rate: 0.3, throttle: 0.1, ..Faults::default() };
        let blows = |faults: &Faults| {
            let striker = Striker::new(faults.clone());
            let machine = MachineName::new("web-01").unwrap();
            (0..200).map(|_| striker.blow(&machine, "stop")).collect::<Vec<_>>()
        };
        let first = blows(&faults);
        assert_eq!(first, blows(&faults));
        assert_ne!(first, blows(&Faults { seed: 8, ..faults }));
        let errors = first.iter().filter(|blow| blow.error).count();
        assert!((40..80).contains(&errors), "{errors} of 200 at 0.3");
        assert!(first.iter().all(|blow| !blow.kill));
    }
}
