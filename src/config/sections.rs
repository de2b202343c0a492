//! The sections of an inventory: sites, keys, commands, limits. Machines have a file of their own.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::base::SiteName;
use crate::base::units::{parse_rate, parse_size};
use crate::config::document::{Document, Section};
use crate::config::machines;
use crate::diagnostic::Diagnostic;
use crate::plan::inventory::{CommandEntry, Inventory, KeySource, Limits, SiteEntry};

/// Reads the whole document.
pub(super) fn inventory(document: &Document<'_>, folder: &Utf8Path) -> Inventory {
    let root = document.root();
    let mut inventory = Inventory {
        folder: folder.to_owned(),
        sites: sites(&root),
        keys: keys(&root, folder),
        commands: commands(&root),
        limits: limits(&root),
        ..Inventory::default()
    };
    inventory.machines = machines::machines(&root, &inventory).into();
    root.finish(&[]);
    inventory
}

fn sites(root: &Section<'_>) -> BTreeMap<SiteName, SiteEntry> {
    let mut sites = BTreeMap::new();
    for (name, section) in root.sections("site") {
        let provider = section.required("provider").map_or("", |(text, _)| text).to_owned();
        let concurrency = section.count("concurrency");
        let bandwidth = section.parsed("bandwidth", parse_rate);
        let settings = section.rest();
        match SiteName::new(name) {
            Ok(name) => {
                sites.insert(name, SiteEntry { provider, concurrency, bandwidth, settings });
            }
            Err(error) => section.bad_name(&error),
        }
    }
    sites
}

fn keys(root: &Section<'_>, folder: &Utf8Path) -> BTreeMap<String, KeySource> {
    let mut keys = BTreeMap::new();
    for (name, section) in root.sections("key") {
        let file = section.text("file").map(|(path, _)| KeySource::File(folder.join(path)));
        let argv: Vec<String> =
            section.texts("command").into_iter().map(|(word, _)| word.to_owned()).collect();
        let command = (!argv.is_empty()).then_some(KeySource::Command(argv));
        let at = section.at();
        match (file, command) {
            (Some(source), None) | (None, Some(source)) => {
                keys.insert(name.to_owned(), source);
            }
            _ => {
                let either = "a key comes from a `file` or from a `command`: give one of them";
                section.note(at, Diagnostic::error("H204", either));
            }
        }
        section.finish(&[]);
    }
    keys
}

fn commands(root: &Section<'_>) -> BTreeMap<String, CommandEntry> {
    let mut commands = BTreeMap::new();
    for (name, section) in root.sections("commands") {
        let argv: Vec<String> =
            section.texts("argv").into_iter().map(|(word, _)| word.to_owned()).collect();
        if argv.is_empty() {
            let message = "`argv` must list the command and its arguments; `*` is any one argument";
            section.note(section.at(), Diagnostic::error("H204", message));
        }
        commands.insert(name.to_owned(), CommandEntry { argv });
        section.finish(&[]);
    }
    commands
}

fn limits(root: &Section<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(section) = root.section("limits") else { return limits };
    let counts = [
        ("steps", &mut limits.steps_max),
        ("machines", &mut limits.machines_max),
        ("concurrency", &mut limits.concurrency),
        ("transfers", &mut limits.transfers),
    ];
    for (key, limit) in counts {
        *limit = section.count(key).unwrap_or(*limit);
    }
    let memory = section.parsed("script_memory", parse_size);
    limits.script_memory_bytes_max = memory.unwrap_or(limits.script_memory_bytes_max);
    section.finish(&[]);
    limits
}
