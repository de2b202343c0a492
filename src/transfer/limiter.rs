//! A limit on bytes per second that several transfers may share.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a wait goes on before it asks again whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(50);
/// What may be sent at once after a pause: this much time's worth.
const BURST: Duration = Duration::from_millis(100);

/// A token bucket for bytes; share one `Arc` of it to share its rate.
#[derive(Debug)]
pub struct Limiter {
    began: Instant,
    bucket: Mutex<Bucket>,
    wait: Condvar,
}

impl Limiter {
    /// Lets `bytes_per_second` through; zero counts as one.
    pub fn new(bytes_per_second: u64) -> Limiter {
        let bucket = Mutex::new(Bucket::new(bytes_per_second));
        Limiter { began: Instant::now(), bucket, wait: Condvar::new() }
    }

    /// Returns when `bytes` may be sent: `true`, or `false` as soon as `cancelled` says so.
    pub fn take(&self, bytes: u64, cancelled: impl Fn() -> bool) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let due = bucket.reserve(bytes, self.began.elapsed());
        loop {
            if cancelled() {
                return false;
            }
            let left = due.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return true;
            }
            let waited = self.wait.wait_timeout(bucket, left.min(PATIENCE));
            bucket = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The arithmetic, without a clock.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When all that was reserved so far has gone through at the rate.
    busy_until: Duration,
}

impl Bucket {
    fn new(bytes_per_second: u64) -> Bucket {
        Bucket { bytes_per_second: bytes_per_second.max(1), busy_until: Duration::ZERO }
    }

    /// Reserves `bytes` and says from when they may be sent. First come, first served.
    fn reserve(&mut self, bytes: u64, now: Duration) -> Duration {
        let due = self.busy_until;
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until = due.max(now.saturating_sub(BURST)).saturating_add(takes);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_bucket_lets_its_rate_through_whoever_asks() {
        let mut bucket = Bucket::new(1000);
        let dues: Vec<_> = (0..4).map(|_| bucket.reserve(500, MS(0))).collect();
        assert_eq!(dues, [MS(0), MS(500), MS(1000), MS(1500)]);
    }

    #[test]
    fn a_pause_saves_up_no_more_than_the_burst() {
        let mut bucket = Bucket::new(1000);
        bucket.reserve(500, MS(0));
        assert!(bucket.reserve(50, MS(10_000)) <= MS(10_000));
        assert!(bucket.reserve(50, MS(10_000)) <= MS(10_000));
        bucket.reserve(50, MS(10_000));
        assert_eq!(bucket.reserve(1, MS(10_000)), MS(10_050));
    }

    #[test]
    fn a_rate_of_any_size_does_not_overflow() {
        let mut bucket = Bucket::new(0);
        bucket.reserve(u64::MAX, MS(1));
        assert!(bucket.reserve(u64::MAX, MS(2)) > MS(1_000_000));
    }

    #[test]
    fn a_cancelled_wait_ends_at_once() {
        let limiter = Limiter::new(1);
        assert!(limiter.take(1_000_000, || false), "the first goes straight through");
        assert!(!limiter.take(1, || true));
    }
}
