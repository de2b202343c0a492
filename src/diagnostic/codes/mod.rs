//! The registry of codes: one line of title and a long text each. A code is never used again for
//! something else.

mod inventory;
mod language;
mod refusals;
mod rules;
mod saved;

use crate::diagnostic::Severity;

/// One code, as `homing explain` prints it.
#[derive(Clone, Copy, Debug)]
pub struct CodeText {
    /// `H003`.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means, why it matters, how to get out; Markdown.
    pub text: &'static str,
    /// A script that it refuses, when a script can show it.
    pub wrong: Option<&'static str>,
    /// The same script put right.
    pub right: Option<&'static str>,
}

/// Codes of rules and mistakes that a script may answer with `acknowledge`.
const WARNINGS: &[&str] = &[
    "H005", "H011", "H013", "H014", "H016", "H017", "H019", "H109", "H125", "H126", "H128", "H148",
];

impl CodeText {
    /// How bad it is. All that is no warning is an error.
    pub fn severity(&self) -> Severity {
        if WARNINGS.contains(&self.code) { Severity::Warning } else { Severity::Error }
    }
}

const FILES: [&[CodeText]; 5] =
    [rules::CODES, language::CODES, saved::CODES, inventory::CODES, refusals::CODES];

/// All codes, in order.
pub fn all() -> impl Iterator<Item = &'static CodeText> {
    let mut all: Vec<&CodeText> = FILES.into_iter().flatten().collect();
    all.sort_by_key(|one| one.code);
    all.into_iter()
}

/// The text of one code.
pub fn find(code: &str) -> Option<&'static CodeText> {
    FILES.into_iter().flatten().find(|known| known.code == code)
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn codes_are_unique_and_in_order() {
        let codes: Vec<_> = all().map(|c| c.code).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert!(all().all(|c| c.code.len() == 4 && !c.title.is_empty() && !c.text.is_empty()));
    }
}
