//! H2xx: mistakes in the inventory.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[];
