//! How text looks: width and ink. The caller decides; nothing here looks at a terminal.

use anstyle::{AnsiColor, Style as Ansi};

/// What the reader's paper can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Escape codes are understood.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

/// What a piece of text is, not what colour it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// A heading.
    Title,
    /// It went well, or is safe.
    Good,
    /// Somebody should look.
    Warn,
    /// It failed, or cannot be taken back.
    Danger,
    /// Only for orientation.
    Dim,
    /// To be typed.
    Command,
}

/// The column in which the text of a field begins: a digest still fits into eighty columns.
const FIELD_COLUMN: usize = 16;

impl Style {
    /// Eighty columns without colour: files, mails, tests.
    pub const PLAIN: Style = Style { colour: false, width: 80 };

    /// `text` in that ink.
    pub fn paint(self, ink: Ink, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let ansi = match ink {
            Ink::Title => Ansi::new().bold(),
            Ink::Good => AnsiColor::Green.on_default(),
            Ink::Warn => AnsiColor::Yellow.on_default(),
            Ink::Danger => AnsiColor::Red.on_default().bold(),
            Ink::Dim => Ansi::new().dimmed(),
            Ink::Command => AnsiColor::Cyan.on_default(),
        };
        format!("{ansi}{text}{ansi:#}")
    }

    /// `text` filled to the width; its first line begins with `first`, the others with `rest`.
    /// Ends without a line break.
    pub fn fill(self, first: &str, rest: &str, text: &str) -> String {
        // Ids and names with `-` and `/` in them are copied and pasted: they stay in one piece.
        let options = textwrap::Options::new(self.width)
            .initial_indent(first)
            .subsequent_indent(rest)
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        textwrap::fill(text, options)
    }

    /// A labelled paragraph, with its line break.
    pub fn field(self, label: &str, text: &str) -> String {
        self.inked_field(Ink::Title, label, text)
    }

    /// The same with the label in another ink.
    pub fn inked_field(self, ink: Ink, label: &str, text: &str) -> String {
        let rest = " ".repeat(FIELD_COLUMN);
        let filled = self.fill(&rest, &rest, text);
        let label_columns = 2 + label.chars().count();
        if label_columns + 2 > FIELD_COLUMN {
            return format!("  {}\n{filled}\n", self.paint(ink, label));
        }
        let padding = " ".repeat(FIELD_COLUMN - label_columns);
        format!("  {}{padding}{}\n", self.paint(ink, label), filled.trim_start())
    }

    /// A heading, with its line break and an empty line before it.
    pub fn heading(self, text: &str) -> String {
        format!("\n{}\n", self.paint(Ink::Title, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ink_shows_only_where_colour_is_understood() {
        assert_eq!(Style::PLAIN.paint(Ink::Danger, "no"), "no");
        let inked = Style { colour: true, width: 80 }.paint(Ink::Danger, "no");
        assert!(inked.contains("\u{1b}[") && inked.ends_with("\u{1b}[0m"), "{inked:?}");
    }

    #[test]
    fn a_field_hangs_below_its_own_text() {
        let shown = Style { colour: false, width: 40 }.field("Digest", &"word ".repeat(9));
        let lines =
            ["  Digest        word word word word word", "                word word word word"];
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines);
    }
}
