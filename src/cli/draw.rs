//! Draws diagnostics over their source texts.

use std::fmt::{self, Write};

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource};

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Span, Texts};

/// All of them, as a person reads them; `width` columns.
pub fn draw(diagnostics: &[Diagnostic], texts: &Texts, colour: bool, width: usize) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
    let mut out = String::new();
    for diagnostic in diagnostics {
        let drawn = handler.render_report(&mut out, &Drawn::new(diagnostic, texts));
        drawn.expect("BUG: writing to a text cannot fail");
    }
    out
}

/// One diagnostic with the text it stands in: what miette draws.
struct Drawn<'a> {
    diagnostic: &'a Diagnostic,
    code: String,
    message: String,
    help: Option<String>,
    source: Option<NamedSource<String>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Elsewhere>,
}

/// A second place, in another file.
struct Elsewhere {
    message: String,
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl<'a> Drawn<'a> {
    fn new(diagnostic: &'a Diagnostic, texts: &Texts) -> Drawn<'a> {
        let mut message = diagnostic.message.clone();
        let text = |span: &Span| texts.get(&span.file).map(ToString::to_string);
        let mut source = None;
        let mut labels = Vec::new();
        if let Some(at) = &diagnostic.at {
            match text(at) {
                Some(text) => {
                    labels.push(LabeledSpan::new_primary_with_span(None, range(&text, at)));
                    source = Some(NamedSource::new(&at.file, text));
                }
                // A saved plan names places in scripts that are not at hand.
                None => write!(message, " ({at})").expect("BUG: writing to a text cannot fail"),
            }
        }
        let mut related = Vec::new();
        for place in &diagnostic.related {
            let own = diagnostic.at.as_ref().is_some_and(|at| at.file == place.at.file);
            match text(&place.at) {
                Some(text) if own => {
                    let label = Some(place.message.clone());
                    labels.push(LabeledSpan::new_with_span(label, range(&text, &place.at)));
                }
                Some(text) => related.push(Elsewhere::new(&place.message, &place.at, text)),
                None => write!(message, "\n{}: {}", place.at, place.message)
                    .expect("BUG: writing to a text cannot fail"),
            }
        }
        let code = diagnostic.code.to_string();
        let help = diagnostic.help.clone();
        Drawn { diagnostic, code, message, help, source, labels, related }
    }
}

impl Elsewhere {
    fn new(message: &str, at: &Span, text: String) -> Elsewhere {
        let label = LabeledSpan::new_primary_with_span(None, range(&text, at));
        Elsewhere { message: message.to_owned(), source: NamedSource::new(&at.file, text), label }
    }
}

/// Bytes of a span inside its text.
fn range(text: &str, span: &Span) -> std::ops::Range<usize> {
    let start = offset(text, span.line, span.column);
    start..offset(text, span.end_line, span.end_column).max(start)
}

fn offset(text: &str, line: u32, column: u32) -> usize {
    let lines_before = line.saturating_sub(1) as usize;
    let start: usize = text.split_inclusive('\n').take(lines_before).map(str::len).sum();
    let chars_before = column.saturating_sub(1) as usize;
    let within = text[start..].char_indices().nth(chars_before).map(|(at, _)| at);
    start + within.unwrap_or(text.len() - start)
}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Advice => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        let related = self.related.iter().map(|place| place as &dyn miette::Diagnostic);
        (!self.related.is_empty()).then(|| Box::new(related) as Box<dyn Iterator<Item = _>>)
    }
}

impl miette::Diagnostic for Elsewhere {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(self.label.clone())))
    }
}

macro_rules! message_is_display {
    ($($drawn:ty),+) => {$(
        impl fmt::Display for $drawn {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.message)
            }
        }
        impl fmt::Debug for $drawn {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.message)
            }
        }
        impl std::error::Error for $drawn {}
    )+};
}
message_is_display!(Drawn<'_>, Elsewhere);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_drawn_at_its_place_with_its_cause_and_its_help() {
        let file: std::sync::Arc<str> = "plan.rhai".into();
        let text = "let é = vm(\"web-01\");\nstart_onprem_vm(é);\n";
        let texts: Texts = [(file.clone(), text.into())].into();
        let at =
            |line, column, end| Span { end_column: end, ..Span::point(file.clone(), line, column) };
        let diagnostic = Diagnostic {
            code: "H001".into(),
            severity: Severity::Error,
            message: "split brain".into(),
            help: Some("shut it down first".into()),
            at: Some(at(2, 1, 16)),
            related: vec![crate::diagnostic::Related { message: "runs".into(), at: at(1, 9, 21) }],
        };
        let drawn = draw(std::slice::from_ref(&diagnostic), &texts, false, 80);
        for part in
            ["H001", "split brain", "plan.rhai:2:1", "start_onprem_vm", "runs", "shut it down"]
        {
            assert!(drawn.contains(part), "{part} in\n{drawn}");
        }
        let elsewhere = draw(&[diagnostic], &Texts::default(), false, 80);
        assert!(elsewhere.contains("split brain (plan.rhai:2:1)"), "{elsewhere}");
    }
}
