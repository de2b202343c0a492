//! Running a plan: one loop owns a run, journals every event, then acts on it.
//!
//! In: a verified plan, a journal, sites. Out: a run that ends in an [`crate::run::outcome::Outcome`] and
//! survives the death of its process. Refuses to know: what primitives do, what reporters show, exit codes,
//! and what runs when: [`crate::schedule`] decides, the driver is its hands on tokio, [`Workers`] make attempts.

mod adopt;
mod claims;
mod clock;
mod context;
mod danger;
mod driver;
mod hands;
mod inject;
mod launch;
mod recheck;
mod trouble;
mod workers;

pub use adopt::{Marked, adopt, marks};
pub use claims::{LostSides, Over, Tokens, leave, look, take};
pub use context::{Announcement, Line, Sites};
pub use danger::{Touched, dangers};
pub use driver::Ended;
pub use hands::{Claimed, Hands, Job, Question};
pub use inject::{Injection, InvalidInjection};
pub use launch::{Listener, RunHandle, Saved, Setup, Speaker, is_stall, repeatable, resume, start};
pub use recheck::{Observing, Recheck, sorted_out};
pub use trouble::RunError;
pub use workers::{Attempt, LocalWorkers, Workers};
