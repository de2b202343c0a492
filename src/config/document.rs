//! A TOML document that remembers where everything stands, which keys were read, and what is wrong.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::base::{InvalidName, Json};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::Span;

/// The text and what was found wrong in it so far.
pub(super) struct Document<'t> {
    file: Arc<str>,
    text: &'t str,
    line_starts: Vec<usize>,
    root: DeTable<'t>,
    diagnostics: RefCell<Vec<Diagnostic>>,
}

impl<'t> Document<'t> {
    /// Parses as much as it can; what is no TOML is noted.
    pub(super) fn new(file: Arc<str>, text: &'t str) -> Document<'t> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let document = Document {
            file,
            text,
            line_starts: std::iter::once(0).chain(starts).collect(),
            root: root.into_inner(),
            diagnostics: RefCell::default(),
        };
        for error in errors {
            let message = error.message().trim_end().to_owned();
            document.note(error.span().unwrap_or(0..0), Diagnostic::error("H202", message));
        }
        document
    }

    /// The top of the document.
    pub(super) fn root(&self) -> Section<'_> {
        Section { document: self, table: &self.root, at: 0..0, seen: RefCell::default() }
    }

    /// Notes a mistake at a place.
    pub(super) fn note(&self, at: Range<usize>, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic.at(self.span(at)));
    }

    /// All mistakes.
    pub(super) fn finish(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }

    fn span(&self, at: Range<usize>) -> Span {
        let (line, column) = self.place(at.start);
        let (end_line, end_column) = self.place(at.end.max(at.start + 1));
        Span { file: self.file.clone(), line, column, end_line, end_column }
    }

    /// Line and column, from 1, columns in characters.
    fn place(&self, offset: usize) -> (u32, u32) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts[line - 1];
        let before = self.text.get(start..offset).map_or(0, |part| part.chars().count());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        (count(line), count(before + 1))
    }
}

/// One table: every key is read once by name; [`Section::finish`] reports those nobody asked for.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    at: Range<usize>,
    seen: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Section<'d> {
    /// Where it stands.
    pub(super) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// The value of a key and its place.
    pub(super) fn get(&self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.seen.borrow_mut().insert(key);
        self.table.get(key)
    }

    /// A text.
    pub(super) fn text(&self, key: &'static str) -> Option<(&'d str, Range<usize>)> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), value.span())),
            other => self.wrong_type(key, "a text in quotes", other, value.span()),
        }
    }

    /// A text that must be there.
    pub(super) fn required(&self, key: &'static str) -> Option<(&'d str, Range<usize>)> {
        if !self.table.contains_key(key) {
            let missing = Diagnostic::error("H204", format!("`{key}` is missing here"));
            self.document.note(self.at.clone(), missing);
        }
        self.text(key)
    }

    /// A text that something else reads: a size, a rate, a duration.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let (text, at) = self.text(key)?;
        parse(text).map_err(|error| self.wrong_value(at, &error.to_string())).ok()
    }

    /// A whole number of at least 1.
    pub(super) fn count(&self, key: &'static str) -> Option<u32> {
        let value = self.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(key, "a whole number", value.get_ref(), value.span());
        };
        let parsed = u32::from_str_radix(number.as_str(), number.radix());
        let counted = parsed.ok().filter(|n| *n > 0);
        if counted.is_none() {
            self.wrong_value(value.span(), &format!("`{key}` is a whole number of at least 1"));
        }
        counted
    }

    /// A list of texts; empty when it is missing.
    pub(super) fn texts(&self, key: &'static str) -> Vec<(&'d str, Range<usize>)> {
        let items = self.list(key).into_iter().flatten();
        items.filter_map(|item| self.item(key, item)).collect()
    }

    fn list(&self, key: &'static str) -> Option<&'d DeArray<'d>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Array(items) => Some(items),
            other => self.wrong_type(key, "a list of texts", other, value.span()),
        }
    }

    fn item(&self, key: &str, item: &'d Spanned<DeValue<'d>>) -> Option<(&'d str, Range<usize>)> {
        match item.get_ref() {
            DeValue::String(text) => Some((text.as_ref(), item.span())),
            other => self.wrong_type(key, "a text in quotes", other, item.span()),
        }
    }

    /// A table below; nothing when it is missing.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'d>> {
        let value = self.get(key)?;
        self.section_of(key, value)
    }

    /// All tables below a key, by name: `[machine.web-01]`.
    pub(super) fn sections(&self, key: &'static str) -> Vec<(&'d str, Section<'d>)> {
        let Some(outer) = self.section(key) else { return Vec::new() };
        let inner = outer.table.iter().filter_map(|(name, value)| {
            let mut section = outer.section_of(name.get_ref(), value)?;
            section.at = name.span();
            Some((name.get_ref().as_ref(), section))
        });
        inner.collect()
    }

    fn section_of(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<Section<'d>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Section {
                document: self.document,
                table,
                at: value.span(),
                seen: RefCell::default(),
            }),
            other => self.wrong_type(key, "a table", other, value.span()),
        }
    }

    /// Words with texts: tags.
    pub(super) fn words(&self) -> impl Iterator<Item = (String, String)> + use<'_, 'd> {
        self.table.iter().filter_map(|(key, value)| {
            let (text, _) = self.item(key.get_ref(), value)?;
            Some((key.get_ref().to_string(), text.to_owned()))
        })
    }

    /// Everything nobody asked for, as JSON: what a provider reads itself.
    pub(super) fn rest(&self) -> Json {
        let seen = self.seen.borrow();
        let rest = self.table.iter().filter(|(key, _)| !seen.contains(key.get_ref().as_ref()));
        let rest = rest.map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
        Json::Object(rest.collect())
    }

    /// The value of one key as JSON.
    pub(super) fn raw(&self, key: &str) -> Option<Json> {
        self.table.get(key).map(|value| json(value.get_ref()))
    }

    /// Notes every key that nobody asked for and that is not in `besides`.
    pub(super) fn finish(self, besides: &[&str]) {
        let seen = self.seen.borrow();
        let known = || seen.iter().copied().chain(besides.iter().copied());
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if known().any(|known| known == name) {
                continue;
            }
            let unknown = Diagnostic::error("H203", format!("unknown key `{name}`"));
            let help = match did_you_mean(name, known()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", known().collect::<Vec<_>>().join(", ")),
            };
            self.document.note(key.span(), unknown.help(help));
        }
    }

    /// Notes a mistake somewhere in the document.
    pub(super) fn note(&self, at: Range<usize>, diagnostic: Diagnostic) {
        self.document.note(at, diagnostic);
    }

    /// Notes that the section has a name that cannot be.
    pub(super) fn bad_name(&self, error: &InvalidName) {
        self.note(self.at(), Diagnostic::error("H207", error.to_string()));
    }

    /// Notes a value that cannot be.
    pub(super) fn wrong_value(&self, at: Range<usize>, message: &str) {
        self.document.note(at, Diagnostic::error("H205", message));
    }

    fn wrong_type<T>(
        &self,
        key: &str,
        expected: &str,
        found: &DeValue<'_>,
        at: Range<usize>,
    ) -> Option<T> {
        let message = format!("`{key}` must be {expected}, not {}", found.type_str());
        self.document.note(at, Diagnostic::error("H204", message));
        None
    }
}

/// TOML as JSON: what providers read their settings from.
fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::from(text.as_ref()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Json::Null, Json::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(value) => Json::from(*value),
        DeValue::Datetime(at) => Json::from(at.to_string()),
        DeValue::Array(items) => array(items),
        DeValue::Table(table) => {
            let pairs = table.iter().map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref())));
            Json::Object(pairs.collect())
        }
    }
}

fn array(items: &DeArray<'_>) -> Json {
    items.iter().map(|item| json(item.get_ref())).collect()
}
