//! H0xx: what the verifier proves.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[];
