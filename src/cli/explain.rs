//! `explain`: what a code means. `primitives`: what a script can call.

use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::config;
use crate::diagnostic::{codes, did_you_mean};
use crate::plan::inventory::InventoryKey;
use crate::primitives;
use crate::render::reference;
use crate::render::style::Style;
use crate::sites::registry;
use crate::trace::{WORDS, stdlib_docs};

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

/// The reference of one primitive, word, library function or topic, or of all.
///
/// # Errors
/// Exit 2 when there is no such primitive.
pub fn primitives(name: Option<&str>, markdown: bool, style: Style) -> Result<String, Stop> {
    let specs = || primitives::ALL.iter().map(|primitive| primitive.spec());
    match name {
        None if markdown => {
            let exits = Exit::ALL.map(|exit| (exit.code(), exit.meaning()));
            Ok(reference::markdown(specs(), &exits, &stdlib_docs(), &keys()))
        }
        None => Ok(reference::primitives(specs(), &stdlib_docs(), style)),
        Some(name) => {
            let primitive = primitives::find(name);
            let primitive = primitive.map(|known| reference::primitive(known.spec(), style));
            let found = primitive
                .or_else(|| reference::word(name, style))
                .or_else(|| library_and_topic(name, style));
            found.ok_or_else(|| {
                let topics: Vec<String> = reference::topics().collect();
                let words = WORDS.iter().map(|word| word.name);
                let known = specs().map(|spec| spec.name).chain(words);
                let known = known.chain(topics.iter().map(String::as_str));
                unknown("primitive", name, known, "homing primitives")
            })
        }
    }
}

/// A name may be both: `run`.
fn library_and_topic(name: &str, style: Style) -> Option<String> {
    let found = [library(name, style), reference::topic(name, &keys(), style)];
    let found: Vec<String> = found.into_iter().flatten().collect();
    (!found.is_empty()).then(|| found.join("\n"))
}

/// Every key of the inventory file: those of all sites, and those of their providers.
fn keys() -> Vec<InventoryKey> {
    let mut keys: Vec<InventoryKey> =
        config::KEYS.iter().chain(registry::keys()).copied().collect();
    // In the order in which the file is written, whoever reads a key.
    keys.sort_by_key(|key| {
        let place = config::KEYS.iter().position(|known| known.table == key.table);
        place.unwrap_or(usize::MAX)
    });
    keys
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
