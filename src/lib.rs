//! Homing brings virtual machines home after a disaster.
//!
//! A recovery plan is a Rhai script. The pipeline, left to right, is the product:
//!
//! ```text
//! script --trace--> Plan --verify--> VerifiedPlan --render--> a page to review
//!                     ^                   |
//!          observe (facts of the sites)   +--execute--> events --journal--> RunState --report--> a person
//! ```
//!
//! # Floors
//! A room may import only rooms to its right; `tests/tidy.rs` reads the imports and fails otherwise:
//!
//! `cli config watch report render rehearse execute observe compile schedule verify trace journal primitives sites
//! transfer run plan diagnostic source base`
//!
//! # Invariants
//! 1. Imports go down the floors.
//! 2. The ground floor, `trace`, `verify`, `schedule` and `render` do no I/O and are deterministic.
//! 3. `verify::VerifiedPlan` is the only ticket to showing, saving and running a plan.
//! 4. Durable before acted on or shown; if the journal fails, no new step starts.
//! 5. All state change is `run::state::RunState::apply`; live run, resume and reports use the same fold.
//! 6. Compiling never fails: it returns diagnostics and whatever plan it has.
//! 7. Progress may be lost; events may not.
//! 8. Only `cli` knows exit codes, only `trace` knows Rhai.
//! 9. Every queue, retry, wait, script and file size has a limit.
//! 10. No primitive or provider is named outside its file and the registry.

pub mod base;
pub mod cli;
pub mod compile;
pub mod config;
pub mod diagnostic;
pub mod execute;
pub mod journal;
pub mod observe;
pub mod plan;
pub mod primitives;
pub mod rehearse;
pub mod render;
pub mod report;
pub mod run;
pub mod schedule;
pub mod sites;
pub mod source;
pub mod trace;
pub mod transfer;
pub mod verify;
pub mod watch;
