//! One line of a runbook: text, what is typed, and references to steps; and how a fixed line becomes one.

use std::borrow::Cow;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Plain text.
    Text(String),
    /// To be typed, or a name as it stands.
    Code(String),
    /// The number of a step: `2.4`.
    Step(String),
}

/// A line. Whatever a script or an inventory says stands in it as data; the writers escape it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<Span>);

impl Line {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Line {
        Line(vec![Span::Text(text.into())])
    }

    /// A fixed line whose names were filled in.
    pub fn filled<'v>(template: &str, value: impl Fn(&str) -> Cow<'v, str>) -> Line {
        let mut line = Line::default();
        for (at, piece) in template.split('`').enumerate() {
            let text = named(piece, &value);
            match at % 2 {
                _ if text.is_empty() => {}
                0 => line.0.push(Span::Text(text)),
                _ => line.0.push(Span::Code(text)),
            }
        }
        line
    }

    /// The same with more plain text behind it.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Line {
        self.0.push(Span::Text(text.into()));
        self
    }

    /// The same with a name or something to type behind it.
    #[must_use]
    pub fn code(mut self, text: impl Into<String>) -> Line {
        self.0.push(Span::Code(text.into()));
        self
    }

    /// The same with a step's number behind it.
    #[must_use]
    pub fn step(mut self, number: impl Into<String>) -> Line {
        self.0.push(Span::Step(number.into()));
        self
    }

    /// Without any form, for labels.
    pub fn plain(&self) -> String {
        let piece = |span: &Span| match span {
            Span::Text(text) | Span::Code(text) => text.clone(),
            Span::Step(number) => format!("step {number}"),
        };
        self.0.iter().map(piece).collect()
    }
}

impl From<&str> for Line {
    /// A fixed line without names.
    fn from(template: &str) -> Line {
        Line::filled(template, |_| Cow::Borrowed(""))
    }
}

/// Every name that a fixed line has.
pub fn names(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

/// The names replaced, once: a value is never read as a line.
fn named<'v>(piece: &str, value: &impl Fn(&str) -> Cow<'v, str>) -> String {
    let mut parts = piece.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((name, rest)) => {
                text.push_str(&value(name));
                text.push_str(rest);
            }
            None => {
                text.push('{');
                text.push_str(part);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in_once_and_backticks_are_what_is_typed() {
        let value = |name: &str| match name {
            "machine" => Cow::Borrowed("{host} `rm`"),
            other => panic!("{other}"),
        };
        let line = Line::filled("Start {machine}: `virsh start {machine}` now.", value);
        let said = [
            Span::Text("Start {host} `rm`: ".into()),
            Span::Code("virsh start {host} `rm`".into()),
            Span::Text(" now.".into()),
        ];
        assert_eq!(line.0, said);
        assert_eq!(names("a {b} c {d}").collect::<Vec<_>>(), ["b", "d"]);
    }
}
