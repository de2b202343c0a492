//! A snapshot's handle, as one step leaves it and another reads it.

use serde::{Deserialize, Serialize};

use crate::base::{Json, Side, SnapshotId, Timestamp};
use crate::primitives::contract::Ctx;
use crate::run::failure::Failure;

/// What a snapshot's handle holds; `transfer_delta` and `delete_snapshot` read it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Taken {
    pub id: SnapshotId,
    pub side: Side,
    pub at: Timestamp,
    pub bytes: u64,
}

impl Taken {
    /// The snapshot whose handle was passed as `param`; `None` when a machine was passed.
    pub fn of_input(ctx: &dyn Ctx, param: &str) -> Result<Option<Taken>, Failure> {
        let Some(outputs) = ctx.input(param) else { return Ok(None) };
        serde_json::from_value(Json::clone(&outputs)).map(Some).map_err(|error| {
            Failure::permanent(format!("the handle given as `{param}` is no snapshot: {error}"))
        })
    }
}
