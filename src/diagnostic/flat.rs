//! A diagnostic as `--format json` prints it: places flat beside the message, `null` where there is none.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Related, Severity};
use crate::source::Span;

/// A mistake or a warning, with its place and the way out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Diagnostic")]
pub struct Flat {
    /// A stable code: `H0xx` rule, `H1xx` language, `H2xx` inventory, `H3xx` run-time refusal.
    code: String,
    /// The first column, from 1; `null` where there is no place.
    column: Option<u32>,
    /// One past the last column.
    end_column: Option<u32>,
    /// The last line.
    end_line: Option<u32>,
    /// The script, or `std/NAME` of the library.
    file: Option<Arc<str>>,
    /// What to do about it.
    help: Option<String>,
    /// The first line, from 1.
    line: Option<u32>,
    /// What is wrong, in one sentence.
    message: String,
    /// Other places that explain it.
    related: Vec<FlatRelated>,
    /// How bad it is.
    severity: Severity,
}

/// A second place that a diagnostic speaks of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Related")]
struct FlatRelated {
    /// The column, from 1.
    column: u32,
    /// The script, or `std/NAME` of the library.
    file: Arc<str>,
    /// The line, from 1.
    line: u32,
    /// What happens there.
    message: String,
}

impl From<&Diagnostic> for Flat {
    fn from(one: &Diagnostic) -> Flat {
        let at = one.at.as_ref();
        Flat {
            code: one.code.clone().into_owned(),
            column: at.map(|at| at.column),
            end_column: at.map(|at| at.end_column),
            end_line: at.map(|at| at.end_line),
            file: at.map(|at| at.file.clone()),
            help: one.help.clone(),
            line: at.map(|at| at.line),
            message: one.message.clone(),
            related: one.related.iter().map(FlatRelated::from).collect(),
            severity: one.severity,
        }
    }
}

impl From<&Related> for FlatRelated {
    fn from(one: &Related) -> FlatRelated {
        let Span { file, line, column, .. } = &one.at;
        let message = one.message.clone();
        FlatRelated { column: *column, file: file.clone(), line: *line, message }
    }
}

impl From<Flat> for Diagnostic {
    /// The same, but for the ends of related places, which are not written.
    fn from(flat: Flat) -> Diagnostic {
        let at = flat.file.zip(flat.line).zip(flat.column).map(|((file, line), column)| Span {
            end_line: flat.end_line.unwrap_or(line),
            end_column: flat.end_column.unwrap_or(column.saturating_add(1)),
            file,
            line,
            column,
        });
        let related = |one: FlatRelated| Related {
            message: one.message,
            at: Span::point(one.file, one.line, one.column),
        };
        Diagnostic {
            code: flat.code.into(),
            severity: flat.severity,
            message: flat.message,
            help: flat.help,
            at,
            related: flat.related.into_iter().map(related).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_comes_back_as_it_went_out() {
        let span = Span { end_line: 4, end_column: 9, ..Span::point("a.rhai".into(), 3, 7) };
        let placed = Diagnostic::warning("H013", "this")
            .at(span)
            .help("do")
            .related("here", Span::point("std/x".into(), 1, 2));
        for one in [placed, Diagnostic::warning("H013", "nowhere")] {
            let text = serde_json::to_string(&Flat::from(&one)).unwrap();
            let back: Flat = serde_json::from_str(&text).unwrap();
            assert_eq!(Diagnostic::from(back), one);
            let sorted: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(sorted.to_string(), text, "fields in alphabetical order");
        }
    }
}
