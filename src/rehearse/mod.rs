//! Rehearsing a plan: it is played as it would be run, at sites in memory that fail as sites do.
//!
//! In: a verified plan, its estimates, and how its machines were seen. Out: how long it took and how long
//! machines were down, over many seeds; every promise that was broken, with the seed that breaks it.
//! Refuses to know: real sites, the journal's file, exit codes.
//!
//! What is real here: the plan, the scheduler ([`crate::schedule`]), every primitive, the claims and
//! fences, the data plane with its checkpoints. What is not: the sites
//! ([`crate::sites::model`]), the clock, and whatever a primitive does beyond sites
//! ([`crate::primitives::contract::Primitive::rehearsed`]). A seed decides everything that goes wrong, and the
//! same seed goes wrong in the same way.

mod attempt;
mod clock;
mod dice;
mod judge;
mod operator;
mod process;
mod show;
mod shrink;
mod stage;
mod trouble;

pub use operator::Operator;
pub use show::{Broken, Played, Report, Show, play, rehearse};
pub use stage::{Stage, looked_at};
pub use trouble::{Counts, Moment, Struck, Troubles};
