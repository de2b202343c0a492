//! The script itself, line by line, each line with the steps that it makes; then what it imports.

use std::sync::Arc;

use maud::{Markup, html};

use crate::render::html::links::is_library;
use crate::render::html::steps::made;
use crate::render::html::{Page, scroll};

/// Most steps that are named behind a line.
const MADE_MAX: usize = 8;
/// Most lines of a text that are shown.
const LINES_MAX: usize = 20_000;

/// The section.
pub fn script(page: &Page<'_, '_>) -> Markup {
    let script = page.review.plan.script.as_str();
    let mut files: Vec<(&Arc<str>, &str)> = page.links.files().collect();
    // The script first, then what the user wrote, then the library.
    files.sort_by_key(|(name, _)| (&***name != script, is_library(name)));
    if files.is_empty() {
        return html! { p { "Its text is not at hand." } };
    }
    html! {
        @for (name, anchor) in files {
            details id=(anchor) open[!is_library(name)] {
                summary {
                    h3 { code { (name) } }
                    @if is_library(name) { " " span .muted { "standard library, part of homing" } }
                }
                (scroll(name, &listing(page, name, anchor)))
            }
        }
    }
}

fn listing(page: &Page<'_, '_>, name: &str, anchor: &str) -> Markup {
    let text: &str = page.texts.get(name).map_or("", |text| text);
    let hidden = text.lines().count().saturating_sub(LINES_MAX);
    html! {
        table .listing {
            caption { "Text of " (name) ", with the steps that each line makes" }
            thead { tr { th scope="col" { "Line" } th scope="col" { "Text" } th scope="col" { "Steps" } } }
            tbody {
                @for (number, line) in (1_u32..).zip(text.lines()).take(LINES_MAX) {
                    tr id={ (anchor) "-" (number) } {
                        th scope="row" { (number) }
                        td { code { (visible(line)) } }
                        td .made { (made(page, page.links.made(name, number), MADE_MAX)) }
                    }
                }
            }
        }
        @if hidden > 0 { p .folded { "and " (hidden) " more lines" } }
    }
}

/// A line without what no reader can see: characters that control, and those that turn the direction of
/// writing, stand as their numbers.
fn visible(line: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if c != '\t' && (c.is_control() || turns(c)) {
            out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("\tcommit(\u{202e}m)"), "\tcommit(\\u{202e}m)");
        assert_eq!(visible("a\u{7}b"), "a\\u{7}b");
    }
}
