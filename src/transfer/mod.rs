//! The data plane: ranges in, verified ranges moved, a resumable cursor out.
//!
//! In: sources and sinks of blocks. Out: [`Moved`] and a manifest. Refuses to know: plans, runs,
//! providers, where a cursor is kept.

pub mod blocks;
