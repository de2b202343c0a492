//! How long to wait before the next attempt: exponential, full jitter, the same for the same attempt.

use std::time::Duration;

use crate::base::{RunId, StepId};
use crate::plan::policy::Policy;
use crate::run::failure::{Class, Failure};

/// The wait after `attempt` failed; `None`: it failed for good.
pub fn next_wait(
    run: &RunId,
    step: &StepId,
    policy: &Policy,
    attempt: u32,
    failure: &Failure,
) -> Option<Duration> {
    if !failure.may_retry() || attempt >= policy.attempts {
        return None;
    }
    let jittered = policy.backoff_max(attempt + 1).mul_f64(fraction(run, step, attempt));
    Some(match failure.class {
        Class::Throttled { retry_after_s } => {
            jittered.max(Duration::from_secs(u64::from(retry_after_s)))
        }
        _ => jittered,
    })
}

/// From 0 to 1, spread evenly over attempts: a hundred machines that failed together come back apart.
fn fraction(run: &RunId, step: &StepId, attempt: u32) -> f64 {
    let seed = blake3::hash(format!("{run}\n{step}\n{attempt}").as_bytes());
    let bytes = seed.as_bytes();
    let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_within_bounds_and_patience_is_honoured() {
        let run = RunId::new("r1").unwrap();
        let policy = Policy { attempts: 4, first_ms: 100, max_ms: 300, timeout_ms: None };
        let wait = |step: &str, attempt, failure: &Failure| {
            next_wait(&run, &StepId::new(step).unwrap(), &policy, attempt, failure)
        };
        let passing = Failure::transient("lost contact");
        let waits: Vec<_> = (0..50).filter_map(|n| wait(&format!("s{n}"), 1, &passing)).collect();
        assert_eq!(waits.len(), 50);
        assert!(waits.iter().all(|w| *w <= Duration::from_millis(100)));
        assert!(waits.iter().max() > waits.iter().min(), "spread, not all at once");
        assert!(wait("s1", 3, &passing).unwrap() <= Duration::from_millis(300));
        assert_eq!(wait("s1", 4, &passing), None, "that was the last try");
        assert_eq!(wait("s1", 1, &Failure::permanent("no such disk")), None);
        let patience = Failure::throttled("slow down", 7);
        assert_eq!(wait("s1", 1, &patience), Some(Duration::from_secs(7)));
        assert_eq!(wait("s1", 1, &passing), wait("s1", 1, &passing), "no luck involved");
    }
}
