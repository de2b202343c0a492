//! H1xx: mistakes in a script, its parameters or its imports.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[];
