//! The entrance: the only floor that knows argv, exit codes and the environment.
//!
//! In: a command line. Out: an exit code. Refuses to know: how any of it works; it parses, loads the
//! inventory, hands each room what it needs, and says what came of it.

pub mod args;
pub mod draw;
pub mod exit;
pub mod explain;
pub mod init;
pub mod memory;
pub mod place;
pub mod stop;
pub mod terminal;
pub mod world;
