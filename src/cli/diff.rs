//! `diff`, and `plan --diff`: what one plan would do differently than another.

use serde_json::json;

use crate::base::Json;
use crate::cli::args::{DiffArgs, Format};
use crate::cli::exit::Exit;
use crate::cli::saved::unproved;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json};
use crate::compile::saved::Unproved;
use crate::render::change::{Edition, change, page};

/// Compares two saved plans.
///
/// # Errors
/// Exit 2 or 3 when one of them is no saved plan as it was written.
pub fn diff(args: &DiffArgs, terminal: Terminal) -> Done {
    let (old, new) = (unproved(&args.old)?, unproved(&args.new)?);
    let names = (args.old.as_str(), args.new.as_str());
    show(names, &Edition::saved(&old), &Edition::saved(&new), args.format, terminal)
}

/// Shows what differs between a saved plan and one that was just made.
///
/// # Errors
/// Exit 2 when standard output cannot be written.
pub fn since(
    (path, old): (&str, &Unproved),
    (script, new): (&str, &Edition<'_>),
    format: Format,
    terminal: Terminal,
) -> Done {
    show((path, script), &Edition::saved(old), new, format, terminal)
}

fn show(
    (old_name, new_name): (&str, &str),
    old: &Edition<'_>,
    new: &Edition<'_>,
    format: Format,
    terminal: Terminal,
) -> Done {
    let changes = change(old, new);
    match format {
        Format::Json => print_json(&json!({
            "changed": !old.means(new),
            "old": named(old_name, old),
            "new": named(new_name, new),
            "changes": changes,
        }))?,
        Format::Text => print(&page((old_name, old), (new_name, new), &changes, terminal.page()))?,
    };
    Ok(if old.means(new) { Exit::Success } else { Exit::Stale })
}

fn named(name: &str, edition: &Edition<'_>) -> Json {
    json!({ "name": name, "script": edition.script(), "digest": edition.digest() })
}
