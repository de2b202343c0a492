//! The catalogue: one file per primitive, holding its whole truth.
//!
//! In: what a script wrote. Out: specs to bind, sentences to show, work done at sites. Refuses to know:
//! Rhai, the journal, who schedules. Script binding, option checks, docs, dry run, rules and run all
//! derive from here; adding one touches its file and one line of the registry.

pub mod contract;
pub mod spec;
