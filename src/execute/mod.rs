//! Running a plan: one loop owns a run, journals every event, then acts on it.
//!
//! In: a verified plan, a journal, sites. Out: a run that ends in an [`crate::run::outcome::Outcome`] and
//! survives the death of its process. Refuses to know: what primitives do, what reporters show, exit codes.
//!
//! [`Core`] decides (pure); the driver is its hands on tokio; [`Workers`] make attempts. The core
//! reads what kind a step is and never its name.
//!
//! A gate, a barrier or a step without a machine that has a failed machine before it holds: until people can
//! exclude machines, such a run ends as failed and goes on after a retry. Facts are observed again at the
//! start, on resume, when a gate opens, after its answer, and before every step that stops or deletes.
//! Facts of machines that this run itself has begun to change are not compared: their expected value is
//! what the run did to them, and the steps themselves observe before they act.

mod attempt;
mod backoff;
mod claims;
mod context;
mod core;
mod driver;
mod frontier;
mod gate;
mod inject;
mod launch;
mod order;
mod outcome;
mod ready;
mod turn;
pub mod window;
mod workers;

pub use claims::{give_back, look};
pub use context::{Announcement, Line, Sites};
pub use core::{Core, Manner, OnGate};
pub use driver::{Changes, Ended, Recheck, droppable};
pub use inject::{Injection, InvalidInjection};
pub use launch::{Listener, RunError, RunHandle, Saved, Setup, Speaker, repeatable, resume, start};
pub use order::{Action, Input, Order, Report, Why};
pub use outcome::{danger, half_committed, touched};
pub use workers::{Attempt, LocalWorkers, Workers};

#[cfg(test)]
mod left_out;
#[cfg(test)]
mod scoped;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod wide;
