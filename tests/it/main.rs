//! The product as its users meet it: the binary, real disks, real processes, real signals.

mod bad_input;
mod broken_ground;
mod commands;
mod copies;
mod dirty;
mod docs;
mod drill;
mod dry_run;
mod failover;
mod failover_run;
mod failures;
mod formats;
mod gates;
mod hostile;
mod https;
mod kill;
mod lab;
mod main_job;
mod plans;
mod primitives;
mod refusals;
mod scopes;
mod situations;
mod soak;
mod support;
mod watch;
