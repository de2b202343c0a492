//! Moving a machine's disks from one side to the other: what both transfers share.

use std::num::NonZeroU64;

use serde::Serialize;

use crate::base::Json;
use crate::plan::effect::Mode;
use crate::primitives::contract::Ctx;
use crate::primitives::sides::Sides;
use crate::run::failure::Failure;

/// What to move, and how.
pub(super) struct What<'a> {
    /// The argument that holds the snapshot's handle; `None`: the machine's own disks, which are off.
    pub(super) snapshot: Option<&'a str>,
    /// Bytes per second.
    pub(super) bandwidth: Option<NonZeroU64>,
    /// The inventory's key by name; `None`: the machine's.
    pub(super) key: Option<&'a str>,
}

/// What was moved.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Moved {
    pub(super) blocks_changed: u64,
    pub(super) bytes_scanned: u64,
    pub(super) bytes_sent: u64,
    pub(super) duration: f64,
    pub(super) method: &'static str,
    pub(super) mode: Mode,
    pub(super) rate: u64,
}

/// Moves.
pub(super) async fn bring_up(
    what: &What<'_>,
    ctx: &dyn Ctx,
    mode: impl Fn(&dyn Fn(&str) -> Option<Json>) -> Mode + Send,
) -> Result<Moved, Failure> {
    drop((what, mode));
    Sides::open(ctx)?;
    Err(Failure::permanent("the data plane is not part of this build yet"))
}

/// Moves back.
pub(super) async fn protect(allow_initial: bool, ctx: &dyn Ctx) -> Result<(Moved, bool), Failure> {
    let what = What { snapshot: None, bandwidth: None, key: None };
    Ok((bring_up(&what, ctx, |_| Mode::Delta).await?, allow_initial))
}
