//! The work itself that several primitives share: looking at both sides, moving disks, booting, stopping.
//!
//! In: a step's context and typed arguments. Out: what was done, or a refusal. Refuses to know: which
//! primitive asks. No file here is a primitive; each file beside this folder is one.

pub mod booting;
pub mod commands;
pub mod copied;
pub mod cost;
pub mod hands;
pub mod http;
pub mod keys;
pub mod moving;
pub mod options;
pub mod probing;
pub mod sides;
pub mod stopping;
pub mod taken;
