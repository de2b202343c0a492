//! Time in a rehearsal: it goes on from process to process, and only while nobody has anything to do.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::Timestamp;

/// Time since the beginning of a rehearsal.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    /// What processes before this one took.
    past: Duration,
    /// When the one that lives began, on its runtime's clock.
    since: Option<Instant>,
}

impl Clock {
    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Duration {
        let times = self.times();
        times.past + times.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What the time is in a rehearsal that began at `began`.
    pub fn at(&self, began: Timestamp) -> Timestamp {
        began.checked_add(self.now()).unwrap_or(Timestamp::MAX)
    }

    /// A process begins on a runtime whose time is paused.
    pub fn begin(&self) {
        self.times().since = Some(Instant::now());
    }

    /// It ended, or died; `later`: until the next one comes.
    pub fn end(&self, later: Duration) {
        let mut times = self.times();
        let lived = times.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        times.past += lived + later;
    }
}
