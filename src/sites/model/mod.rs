//! Sites that exist in memory only, for rehearsals. No provider: no inventory has them.
//!
//! A [`World`] holds both sides of every machine as they were seen, or as a failback begins. A machine that
//! runs writes to its disks as time passes, by the world's own clock, and remembers all it was told is
//! safe; the [`judge`](ledger) holds every boot and every deletion against that. A [`Meddler`] stands
//! before and behind every call, and at every block that is written: what sites do wrong is decided there.
//!
//! Nothing here waits, sleeps or asks the system for anything: the same calls in the same order give the
//! same world. It is in no inventory: a rehearsal puts it in the place of the real sites.

mod copies;
mod disk;
mod disks;
mod ledger;
mod machines;
mod power;
mod site;
mod world;

pub use site::ModelSite;
pub use world::{Beginning, Call, Clock, Honest, Meddler, World};
