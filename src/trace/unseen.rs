//! Characters that a reader of a plan does not see, or that make what is seen another text than what is
//! meant: a reviewer signs what stands on the page.

use crate::base::Json;
use crate::trace::late;

/// The first such character, and the byte at which it stands.
pub(super) fn find(text: &str) -> Option<(usize, char)> {
    // Nearly every text is plain ASCII.
    let suspicious = |byte: u8| !(b' '..0x7f).contains(&byte);
    let from = text.bytes().position(suspicious)?;
    let from = (0..=from).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[from..].char_indices().find(|(_, c)| is_unseen(*c)).map(|(at, c)| (from + at, c))
}

/// The first such character in a step's arguments.
pub(super) fn in_args(args: &Json) -> Option<char> {
    match args {
        Json::String(text) => in_text(text),
        Json::Array(items) => items.iter().find_map(in_args),
        Json::Object(entries) => {
            entries.iter().find_map(|(key, value)| in_text(key).or(in_args(value)))
        }
        _ => None,
    }
}

/// What stands for a value known only later may be there, and is judged elsewhere.
fn in_text(text: &str) -> Option<char> {
    let mut rest = text;
    while let Some((at, found)) = find(rest) {
        if !late::is_mark(found) {
            return Some(found);
        }
        rest = &rest[at + found.len_utf8()..];
    }
    None
}

fn is_unseen(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        // Direction marks, embeddings, overrides and isolates; widths of nothing; fillers; tags.
        '\u{061C}'
        | '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' => true,
        '\u{00AD}' | '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' => true,
        '\u{FFF9}'..='\u{FFFC}' | '\u{E0000}'..='\u{E0FFF}' => true,
        // No text has these: they stand for values known only later.
        '\u{FDD0}'..='\u{FDEF}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_found_where_it_stands() {
        assert_eq!(find("plain\ttext\r\n"), None);
        assert_eq!(find("Käse, 日本, é, 🙂"), None);
        assert_eq!(find("é\u{202E}b"), Some((2, '\u{202E}')));
        assert_eq!(find("a\u{1b}[2J"), Some((1, '\u{1b}')));
        assert_eq!(find("\0"), Some((0, '\0')));
        let args = serde_json::json!({ "text": ["fine", { "x": "a\u{200B}" }] });
        assert_eq!(in_args(&args), Some('\u{200B}'));
    }
}
