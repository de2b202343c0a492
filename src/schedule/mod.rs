//! Deciding what runs when: the engine without its hands, and without a clock.
//!
//! In: a plan, the fold of a run's events, inputs with the time at which they came. Out: actions. Refuses to
//! know: I/O, sites, what primitives do, luck. [`crate::execute`] is its hands for a real run; an estimate
//! (`crate::compile`) and a rehearsal drive the same [`Core`] with a clock of their own.
//!
//! A gate, a barrier or a step without a machine that has a failed machine before it holds: until people can
//! exclude machines, such a run ends as failed and goes on after a retry. Facts are observed again at the
//! start, on resume, when a gate opens, after its answer, and before every step that stops or deletes.
//! Facts of machines that this run itself has begun to change are not compared: their expected value is
//! what the run did to them, and the steps themselves observe before they act.

mod attempt;
mod backoff;
mod core;
mod frontier;
mod gate;
mod order;
mod outcome;
mod ready;
mod rederive;
mod sections;
mod stranded;
mod taken_out;
mod turn;
pub mod window;

pub use core::{Core, Manner, OnGate};
pub use order::{Action, Changed, Changes, Input, Order, Report, Why};
pub use outcome::{danger, half_committed, no_longer_held, not_up, touched};
pub use rederive::rederived;
pub use sections::stopped_together;
pub use stranded::stranded;

#[cfg(test)]
mod left_out;
#[cfg(test)]
mod scoped;
#[cfg(test)]
mod times;
#[cfg(test)]
pub(crate) mod trial;
#[cfg(test)]
mod wide;
