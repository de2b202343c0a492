//! `explain`: what a code means. `primitives`: what a script can call.

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::diagnostic::{codes, did_you_mean};
use crate::primitives;
use crate::render::reference;
use crate::render::style::Style;
use crate::trace::stdlib_docs;

/// The long text of one code, or the list of all.
///
/// # Errors
/// Exit 2 when there is no such code.
pub fn explain(code: Option<&str>, style: Style) -> Result<String, Stop> {
    let Some(code) = code else { return Ok(reference::codes(codes::all(), style)) };
    let code = code.to_ascii_uppercase();
    let known = || codes::all().map(|known| known.code);
    match codes::find(&code) {
        Some(text) => Ok(reference::code(text, style)),
        None => Err(unknown("code", &code, known(), "homing explain")),
    }
}

/// The reference of one primitive, or of all.
///
/// # Errors
/// Exit 2 when there is no such primitive.
pub fn primitives(name: Option<&str>, markdown: bool, style: Style) -> Result<String, Stop> {
    let specs = || primitives::ALL.iter().map(|primitive| primitive.spec());
    match name {
        None if markdown => Ok(reference::markdown(specs())),
        None => Ok(reference::primitives(specs(), style)),
        Some(name) => match primitives::find(name) {
            Some(primitive) => Ok(reference::primitive(primitive.spec(), style)),
            None => library(name, style).ok_or_else(|| {
                let known = specs().map(|spec| spec.name);
                unknown("primitive", name, known, "homing primitives")
            }),
        },
    }
}

/// The functions of the standard library by that name: `planned`, or `failback::planned`.
fn library(name: &str, style: Style) -> Option<String> {
    let name = name.rsplit("::").next().unwrap_or(name);
    let docs = stdlib_docs();
    let pages = docs.iter().filter(|function| function.name == name);
    let page: String = pages.map(|function| reference::function(function, style)).collect();
    (!page.is_empty()).then_some(page)
}

fn unknown<'a>(
    kind: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
    command: &str,
) -> Stop {
    let stop = Stop::new(Exit::Usage, format!("there is no {kind} `{name}`"));
    match did_you_mean(name, known) {
        Some(meant) => stop.help(format!("did you mean `{meant}`? `{command}` lists them")),
        None => stop.help(format!("`{command}` lists them")),
    }
}
