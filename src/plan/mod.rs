//! Nouns of a plan: steps, edges, facts, effects, the inventory. Data and total functions only.
//!
//! In: what tracing records and observing finds. Out: a [`Plan`] that can be proved, shown, saved and
//! run. Refuses to know: files, clocks, Rhai, providers.

pub mod args;
pub mod digest;
pub mod effect;
pub mod estimate;
pub mod expr;
pub mod facts;
pub mod graph;
pub mod hosts;
pub mod inventory;
pub mod policy;
pub mod reading;
pub mod scope;
pub mod settle;
pub mod stands;
pub mod step;
