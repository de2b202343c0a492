//! Running a plan: one loop owns a run, journals every event, then acts on it.
//!
//! In: a verified plan, a journal, sites. Out: a run that ends in an [`crate::run::outcome::Outcome`] and
//! survives the death of its process. Refuses to know: what primitives do, what reporters show, exit codes.
//!
//! [`core::Core`] decides (pure); [`driver`] is its hands on tokio; [`workers`] make attempts. The core
//! reads what kind a step is and never its name.
//!
//! A gate, a barrier or a step without a machine that has a failed machine before it holds: until people can
//! exclude machines, such a run ends as failed and goes on after a retry. Facts are observed again at the
//! start, on resume, when a gate opens, after its answer, and before every step that stops or deletes.
//! Facts of machines that this run itself has begun to change are not compared: their expected value is
//! what the run did to them, and the steps themselves observe before they act.

mod attempt;
mod backoff;
pub mod core;
mod frontier;
mod gate;
pub mod order;
pub mod outcome;
mod ready;
