//! The differences as a page: what means something else, then what was only estimated otherwise.

use crate::render::change::Edition;
use crate::render::change::entries::{Change, Kind};
use crate::render::fold::count;
use crate::render::style::{Ink, Style};

/// Indentation of what does not fit on a line.
const REST: &str = "    ";

/// The page of these differences between two plans.
pub fn page(
    (old_name, old): (&str, &Edition<'_>),
    (new_name, new): (&str, &Edition<'_>),
    changes: &[Change],
    style: Style,
) -> String {
    let mut out = style.paint(Ink::Title, &format!("From {old_name} to {new_name}"));
    out.push('\n');
    let (meaning, beside): (Vec<&Change>, Vec<&Change>) =
        changes.iter().partition(|change| change.meaning);
    let verdict = match meaning.len() {
        0 => "Nothing changed in what is done".to_owned(),
        many => format!("{} in what is done", count(many, "change")),
    };
    out.push_str(&style.heading(&verdict));
    for change in meaning {
        out.push_str(&shown(change, style));
    }
    if !beside.is_empty() {
        out.push_str(&style.heading("Estimates and remarks (no change by themselves)"));
        for change in beside {
            out.push_str(&shown(change, style));
        }
    }
    out.push('\n');
    if old.means(new) {
        out.push_str(&style.field("Digest", old.digest().as_str()));
    } else {
        out.push_str(&style.field("Old digest", old.digest().as_str()));
        out.push_str(&style.field("New digest", new.digest().as_str()));
    }
    out
}

fn shown(change: &Change, style: Style) -> String {
    let text = change.line();
    let at = change.source.as_ref().map(|at| format!(" [{}:{}]", at.file, at.line));
    let text = format!("  {text}{}", at.unwrap_or_default());
    let filled = style.fill("", REST, &text);
    let mark = match (change.kind, change.before.is_some(), change.after.is_some()) {
        (Kind::StepMoved, ..) => Ink::Warn,
        (_, false, true) => Ink::Good,
        (_, true, false) => Ink::Danger,
        _ => Ink::Warn,
    };
    // Only the mark: the rest is to be read.
    let ink = if change.meaning { mark } else { Ink::Dim };
    let (sign, rest) = filled.split_at(REST.len().min(filled.len()) - 1);
    format!("{}{rest}\n", style.paint(ink, sign))
}
