//! The time of a run while its process lives: the computer's, but it never goes back.
//!
//! A clock that is put back would make every wait, backoff and time limit of the run as much longer.

use std::time::Instant;

use crate::base::Timestamp;

/// Follows the computer's clock forward, and goes on at its own pace while that one is behind.
pub(super) struct Clock {
    last: Timestamp,
    read_at: Instant,
}

impl Clock {
    /// As of now.
    pub fn new() -> Clock {
        Clock { last: Timestamp::now(), read_at: Instant::now() }
    }

    /// Never earlier than what it said before.
    pub fn now(&mut self) -> Timestamp {
        self.read(Timestamp::now(), Instant::now())
    }

    fn read(&mut self, wall: Timestamp, at: Instant) -> Timestamp {
        let passed = at.saturating_duration_since(self.read_at);
        let went_on = self.last.checked_add(passed).unwrap_or(Timestamp::MAX);
        (self.last, self.read_at) = (wall.max(went_on), at);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_put_back_does_not_make_waits_longer() {
        let mut clock = Clock::new();
        let (began, at) = (clock.last, clock.read_at);
        let (s, hour) = (Duration::from_secs, Duration::from_secs(3600));
        assert_eq!(clock.read(began + s(1), at + s(1)), began + s(1));
        // An hour back: what was to come at the tenth second comes then.
        assert_eq!(clock.read(began + s(5) - hour, at + s(5)), began + s(5));
        assert_eq!(clock.read(began + s(10) - hour, at + s(10)), began + s(10));
        // Put right again, and then forward.
        assert_eq!(clock.read(began + s(11), at + s(11)), began + s(11));
        assert_eq!(clock.read(began + s(12) + hour, at + s(12)), began + s(12) + hour);
    }
}
