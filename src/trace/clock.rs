//! How long a script may take: processor time, which a busy machine does not use up. A backstop that only
//! turns success into an error.

use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// For all rounds of a script together: one that is traced again has less.
pub(super) const SHARED: Duration = Duration::from_millis(3_500);
/// What a round has besides for each step that it records: three times what one takes on a common machine,
/// so that large plans are made on slow ones, too.
pub(super) const PER_STEP: Duration = Duration::from_micros(6);

/// The clock of one round.
pub(super) struct Clock {
    /// What the rounds before have used up.
    before: Duration,
    /// The processor time of this thread when the round began.
    began: Duration,
    /// No earlier than this can it be over. Real time, which is cheap to ask and never the slower one.
    look: Cell<Duration>,
}

impl Clock {
    /// Begins a round.
    pub(super) fn new(before: Duration) -> Clock {
        let look = Cell::new(time(ClockId::MonotonicCoarse) + SHARED.saturating_sub(before));
        Clock { before, began: time(ClockId::ThreadCPUTime), look }
    }

    /// How much of the shared time is used up, this round having recorded so many steps.
    pub(super) fn spent(&self, steps: usize) -> Duration {
        let used = time(ClockId::ThreadCPUTime) - self.began;
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.before + used.saturating_sub(PER_STEP * steps)
    }

    /// Whether the script must end. Cheap: looked at after every operation, for one may be the work of a
    /// second.
    pub(super) fn is_over(&self, steps: impl FnOnce() -> usize) -> bool {
        let now = time(ClockId::MonotonicCoarse);
        if now < self.look.get() {
            return false;
        }
        let spent = self.spent(steps());
        self.look.set(now + SHARED.saturating_sub(spent));
        spent >= SHARED
    }
}

fn time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).expect("BUG: these clocks count up from zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_share_their_time_and_steps_bring_some() {
        assert!(Clock::new(SHARED).is_over(|| 0));
        let left = Duration::from_secs(1);
        let clock = Clock::new(SHARED - left);
        assert!(!clock.is_over(|| 0));
        // Work until the clock sees some of it.
        let mut sum = 0_u64;
        while clock.spent(0) == SHARED - left {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(clock.spent(1_000_000), SHARED - left, "what its steps bring is not counted");
    }
}
