//! Where a word of a script stands.
//!
//! The interpreter knows a place as line and column only, and names the wrong file when a closure of
//! one file is called by a function of another. So every file gets its own range of lines: its text is
//! compiled behind as many empty lines as all files before it have. A bare position then names its file.

use std::ops::Range;
use std::sync::Arc;

use rhai::Position;

use crate::source::{Span, Texts};
use crate::trace::scan::{self, Call};

/// Lines over all files of one script: the interpreter counts them in 16 bits.
pub(super) const LINES_MAX: usize = 65_000;
/// Characters of one line, for the same reason.
const COLUMNS_MAX: usize = 65_000;

/// One file that was read.
#[derive(Debug)]
pub(super) struct File {
    /// Empty lines before its first.
    base: usize,
    /// Its name in spans.
    pub(super) name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins, bytes.
    lines: Vec<usize>,
    /// Its key among modules: the path below the plan's folder, without `.rhai`; or `std/..`.
    pub(super) key: String,
    /// Written by the user, not part of the standard library.
    pub(super) of_user: bool,
}

/// All files that were read, by lines.
#[derive(Debug, Default)]
pub(super) struct Sources {
    files: Vec<File>,
}

/// The part of a call that a mistake is in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// All of it.
    Whole,
    /// The argument at this place; in a method call the receiver is the first.
    Argument(usize),
    /// The key of an option.
    Key(&'a str),
    /// The value of an option.
    Value(&'a str),
}

impl Sources {
    /// Takes a file in; its text as it must be compiled. `None`: too many lines, or a line too long.
    pub(super) fn add(
        &mut self,
        name: &str,
        key: &str,
        text: &str,
        of_user: bool,
    ) -> Option<String> {
        let base = self.files.last().map_or(0, |file| file.base + file.lines.len());
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines: Vec<usize> = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        if base + lines.len() > LINES_MAX || text.lines().any(|line| line.len() > COLUMNS_MAX) {
            return None;
        }
        let (name, key) = (Arc::from(name), key.to_owned());
        self.files.push(File { base, name, text: Arc::from(text), lines, key, of_user });
        self.files.last().map(File::padded)
    }

    /// The text of a file that was taken in, as it must be compiled.
    pub(super) fn padded(&self, key: &str) -> Option<String> {
        self.files.iter().find(|file| file.key == key).map(File::padded)
    }

    /// The file that a position is in.
    pub(super) fn file(&self, at: Position) -> Option<&File> {
        let line = at.line()?;
        let next = self.files.partition_point(|file| file.base < line);
        self.files.get(next.checked_sub(1)?)
    }

    /// Whether a user wrote what stands there.
    pub(super) fn is_of_user(&self, at: Position) -> bool {
        self.file(at).is_some_and(|file| file.of_user)
    }

    /// The span of the character at a byte of the file that was taken in last.
    pub(super) fn newest(&self, byte: usize) -> Option<Span> {
        self.files.last().map(|file| file.span(byte..byte + 1))
    }

    /// Texts by name, for drawing.
    pub(super) fn texts(&self) -> Texts {
        self.files.iter().map(|file| (file.name.clone(), file.text.clone())).collect()
    }

    /// The span of a call, or of a part of it.
    pub(super) fn span(&self, at: Position, part: Part<'_>) -> Option<Span> {
        let file = self.file(at)?;
        let start = file.offset(at);
        let call = scan::call(&file.text, start);
        let range = match part {
            Part::Whole => None,
            Part::Argument(nth) => call.argument(nth),
            Part::Key(key) => scan::entry(&file.text, &call, key).map(|(key, _)| key),
            Part::Value(key) => scan::entry(&file.text, &call, key).map(|(_, value)| value),
        };
        Some(file.span(range.unwrap_or_else(|| call.whole.clone())))
    }

    /// The spans of a word wherever it follows `fn ` in the file of `at`, the first one.
    pub(super) fn function(&self, key: &str, name: &str) -> Option<Span> {
        let file = self.files.iter().find(|file| file.key == key)?;
        let mut from = 0;
        while let Some(found) = file.text[from..].find("fn ") {
            let start = from + found + 3;
            let rest = &file.text[start..];
            let skipped = rest.len() - rest.trim_start().len();
            if rest.trim_start().starts_with(name) {
                let start = start + skipped;
                return Some(file.span(start..start + name.len()));
            }
            from = start;
        }
        None
    }
}

impl File {
    fn padded(&self) -> String {
        "\n".repeat(self.base) + &*self.text
    }

    fn offset(&self, at: Position) -> usize {
        let line = at.line().unwrap_or(1).saturating_sub(self.base + 1);
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let column = at.position().unwrap_or(1) - 1;
        let chars = self.text[start..].char_indices();
        start + chars.clone().nth(column).map_or(self.text.len() - start, |(byte, _)| byte)
    }

    fn span(&self, range: Range<usize>) -> Span {
        let (line, column) = self.place(range.start);
        let (end_line, end_column) = self.place(range.end.max(range.start + 1));
        Span { file: self.name.clone(), line, column, end_line, end_column }
    }

    /// Line and column, from 1.
    fn place(&self, byte: usize) -> (u32, u32) {
        let line = self.lines.partition_point(|start| *start <= byte).max(1);
        let start = self.lines[line - 1];
        let before = self.text.get(start..byte.min(self.text.len())).unwrap_or_default();
        let past_end = usize::from(byte > self.text.len());
        let small = |n: usize| u32::try_from(n).expect("BUG: scripts are capped far below 4 GiB");
        (small(line), small(before.chars().count() + 1 + past_end))
    }
}

impl Call {
    fn argument(&self, nth: usize) -> Option<Range<usize>> {
        let nth = if self.is_method { nth.checked_sub(1)? } else { nth };
        self.arguments.get(nth).cloned()
    }
}
