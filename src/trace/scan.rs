//! Finds the ends of a call, its arguments and its options in a script's text: the interpreter only
//! says where the called name begins. Used for spans, never for meaning.

use std::ops::Range;

/// A call, as byte ranges of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// From the name to the closing bracket; the bare word where nothing is called.
    pub(super) whole: Range<usize>,
    /// The arguments between the brackets.
    pub(super) arguments: Vec<Range<usize>>,
    /// A dot stands before the name.
    pub(super) is_method: bool,
}

/// The call whose name (or dot, or operator) begins at `start`.
pub(super) fn call(text: &str, start: usize) -> Call {
    let bytes = text.as_bytes();
    let is_dot = bytes.get(start) == Some(&b'.');
    let start = start + usize::from(is_dot);
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"_:".contains(byte);
    let mut end = start;
    while bytes.get(end).is_some_and(is_word) {
        end += 1;
    }
    let is_method = is_dot || text.get(..start).is_some_and(|t| t.trim_end().ends_with('.'));
    if end == start {
        return Call { whole: start..literal_end(text, start), arguments: Vec::new(), is_method };
    }
    let mut open = end;
    while bytes.get(open).is_some_and(u8::is_ascii_whitespace) {
        open += 1;
    }
    if bytes.get(open) != Some(&b'(') {
        return Call { whole: start..end, arguments: Vec::new(), is_method };
    }
    let (close, arguments) = split(text, open + 1);
    Call { whole: start..close, arguments, is_method }
}

/// A string where one begins, an operator's characters else.
fn literal_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    match bytes.get(start) {
        Some(b'"' | b'`') => skip_string(bytes, start),
        Some(byte) if b"=!<>&|+-*/".contains(byte) => {
            let more = bytes.get(start + 1).is_some_and(|next| b"=&|".contains(next));
            start + 1 + usize::from(more)
        }
        Some(_) => start + text[start..].chars().next().map_or(1, char::len_utf8),
        None => start,
    }
}

/// Key and value of an option, when the call's options are written out in it.
pub(super) fn entry(text: &str, call: &Call, key: &str) -> Option<(Range<usize>, Range<usize>)> {
    let maps = call.arguments.iter().rev().filter(|range| text[(*range).clone()].starts_with("#{"));
    maps.flat_map(|range| split(text, range.start + 2).1).find_map(|entry| {
        let colon = entry.start + text[entry.clone()].find(':')?;
        let written = trimmed(text, entry.start..colon);
        let value = trimmed(text, colon + 1..entry.end);
        (text[written.clone()].trim_matches('"') == key).then_some((written, value))
    })
}

/// Pieces between commas from `start` to the bracket that closes it, and where that ends.
fn split(text: &str, start: usize) -> (usize, Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let (mut depth, mut pieces, mut from, mut at) = (0_u32, Vec::new(), start, start);
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => break,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                pieces.push(from..at);
                from = at + 1;
            }
            b'"' | b'`' | b'\'' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = text[at..].find("*/").map_or(bytes.len(), |end| at + end + 1);
            }
            _ => {}
        }
        at += 1;
    }
    pieces.push(from..at.min(bytes.len()));
    let pieces = pieces.into_iter().map(|piece| trimmed(text, piece));
    ((at + 1).min(bytes.len()), pieces.filter(|piece| !piece.is_empty()).collect())
}

fn skip_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != quote {
        at += 1 + usize::from(bytes[at] == b'\\' && quote != b'`');
    }
    (at + 1).min(bytes.len())
}

/// Without white space around it, and without comment lines before it.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let mut start = range.start;
    loop {
        let piece = &text[start..range.end];
        start += piece.len() - piece.trim_start().len();
        let piece = &text[start..range.end];
        match piece.find('\n') {
            Some(end) if piece.starts_with("//") => start += end,
            _ => return start..start + piece.trim_end().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_options_are_found_among_strings_and_comments() {
        let text = r#"x.wait(a(1, 2), "b,)", #{ grace: "5m", // why, indeed
            "mode": [1, 2] }); y"#;
        let found = call(text, 2);
        assert!(found.is_method);
        assert!(text[found.whole.clone()].ends_with("[1, 2] })"));
        let arguments: Vec<_> = found.arguments.iter().map(|r| &text[r.clone()]).collect();
        assert_eq!(arguments[..2], ["a(1, 2)", "\"b,)\""]);
        let (key, value) = entry(text, &found, "mode").unwrap();
        assert_eq!((&text[key], &text[value]), ("\"mode\"", "[1, 2]"));
        assert_eq!(entry(text, &found, "colour"), None);
    }

    #[test]
    fn operators_and_properties_have_spans_too() {
        assert_eq!(call("a == b", 2).whole, 2..4);
        assert_eq!(call("m.replica", 1).whole, 2..9);
        assert_eq!(call("f(", 0).whole, 0..2, "an open call ends with the text");
    }
}
