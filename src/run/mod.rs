//! Nouns of a run: events, commands, failures, outcomes, and the one fold of events into state.
//!
//! In: a plan and its events. Out: a [`state::RunState`]. Refuses to know: how events are stored, who
//! executes steps, exit codes.

pub mod command;
pub mod event;
pub mod failure;
pub mod outcome;
pub mod settled;
pub mod state;
