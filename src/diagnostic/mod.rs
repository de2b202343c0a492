//! What is wrong, where, and what to do next: as data. Drawing it is the entrance's work.
//!
//! In: findings of every room. Out: [`Diagnostic`]s, which `--format json` prints as they are.
//! Refuses to know: terminals, colours, exit codes.

pub mod codes;
pub mod flat;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::flat::Flat;
use crate::source::Span;

/// How bad it is. Errors refuse the plan; warnings do so with `--strict`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The plan is refused.
    Error,
    /// The plan may run; somebody should look.
    Warning,
    /// Only a hint.
    Advice,
}

/// One mistake, with its place and the way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// A stable code: `H0xx` rule, `H1xx` language, `H2xx` inventory, `H3xx` run-time refusal.
    pub code: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where, when there is a place.
    pub at: Option<Span>,
    /// Other places that explain it: the step that made it so, the frames through the stdlib.
    pub related: Vec<Related>,
}

/// A second place that a diagnostic speaks of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Related {
    /// What happens there.
    pub message: String,
    /// Where.
    pub at: Span,
}

impl Diagnostic {
    /// An error with a code of the registry ([`codes`]).
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::of(Severity::Error, code, message.into())
    }

    /// A warning with a code of the registry.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::of(Severity::Warning, code, message.into())
    }

    fn of(severity: Severity, code: &'static str, message: String) -> Diagnostic {
        debug_assert!(codes::find(code).is_some(), "BUG: {code} is not in the registry");
        let code = Cow::Borrowed(code);
        Diagnostic { code, severity, message, help: None, at: None, related: Vec::new() }
    }

    /// The same, at a place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Diagnostic {
        self.at = Some(span);
        self
    }

    /// The same, with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The same, with a second place.
    #[must_use]
    pub fn related(mut self, message: impl Into<String>, at: Span) -> Diagnostic {
        self.related.push(Related { message: message.into(), at });
        self
    }

    /// As `--format json` prints it: places flat beside the message, `null` where there is none.
    pub fn flat(&self) -> Flat {
        Flat::from(self)
    }

    /// Whether it refuses the plan.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether any of them refuses the plan.
pub fn any_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(Diagnostic::is_error)
}

/// The closest of `known` to `word`, when one is close enough to be meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_suggestion_is_close_or_absent() {
        let known = ["snapshot", "commit", "check"];
        assert_eq!(did_you_mean("snapshto", known), Some("snapshot"));
        assert_eq!(did_you_mean("comit", known), Some("commit"));
        assert_eq!(did_you_mean("frobnicate", known), None);
    }
}
