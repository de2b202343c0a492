//! H3xx: what a provider or a step refuses while it runs, whatever the plan says.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[];
