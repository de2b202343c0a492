//! The inventory file: `homing.toml`, read once, checked whole.
//!
//! In: a path, or where to look for one. Out: an [`Inventory`], or every mistake with its place.
//! Refuses to know: what a provider's own settings mean (they go to it raw), scripts, runs.

mod document;
mod find;
mod keys;
mod machines;
mod sections;

pub use find::{FILE_NAME, find};
pub use keys::KEYS;

use std::sync::Arc;

use camino::Utf8Path;

use crate::config::document::Document;
use crate::diagnostic::{Diagnostic, any_error};
use crate::plan::inventory::Inventory;
use crate::source::Texts;

/// Largest inventory accepted, in bytes.
const INVENTORY_BYTES_MAX: u64 = 64 << 20;

/// What came of reading an inventory.
#[derive(Debug)]
pub struct Loaded {
    /// Present when no mistake refuses it.
    pub inventory: Option<Inventory>,
    /// Every mistake, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The text, to draw mistakes over.
    pub texts: Texts,
}

/// Reads the inventory at `path`.
pub fn load(path: &Utf8Path) -> Loaded {
    let text = std::fs::metadata(path).and_then(|meta| {
        if meta.len() > INVENTORY_BYTES_MAX {
            return Err(std::io::Error::other(format!("it is over {INVENTORY_BYTES_MAX} bytes")));
        }
        std::fs::read_to_string(path)
    });
    match text {
        Ok(text) => {
            let folder = path.parent().filter(|folder| !folder.as_str().is_empty());
            read(path.as_str(), &text, folder.unwrap_or(Utf8Path::new(".")))
        }
        Err(error) => {
            let unreadable = Diagnostic::error("H201", format!("cannot read `{path}`: {error}"));
            let help =
                "give the inventory with `--config`, or write a first one with `homing init`";
            let diagnostics = vec![unreadable.help(help)];
            Loaded { inventory: None, diagnostics, texts: Texts::default() }
        }
    }
}

/// Reads an inventory from its text; relative paths in it are relative to `folder`.
pub fn read(name: &str, text: &str, folder: &Utf8Path) -> Loaded {
    let file: Arc<str> = Arc::from(name);
    let document = Document::new(file.clone(), text);
    let inventory = sections::inventory(&document, folder);
    let mut diagnostics = document.finish();
    diagnostics.sort_by(|a, b| a.at.cmp(&b.at));
    let inventory = (!any_error(&diagnostics)).then_some(inventory);
    Loaded { inventory, diagnostics, texts: [(file, Arc::from(text))].into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MachineName;

    const GOOD: &str = r#"
[site.azure]
provider = "lab"
path = "azure"
bandwidth = "400MiB/s"

[site.dc1]
provider = "lab"
path = "dc1"
hosts = { hv-01 = { switches = ["prod"] } }

[key.tier1]
file = "tier1.key"

[commands.dns]
argv = ["/usr/local/bin/dns-switch", "*"]

[limits]
concurrency = 8

[machine.db-01]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["64MiB", "1GiB"]
tags = { tier = "db" }
key = "tier1"
rto = "2m"
lab = { writes_per_second = 50 }

[machines."web-{08..11}"]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["64MiB"]
tags = { tier = "web" }
needs = ["tier=db"]
"#;

    fn codes(text: &str) -> Vec<String> {
        let loaded = read("homing.toml", text, Utf8Path::new("/plans"));
        assert_eq!(loaded.inventory.is_none(), any_error(&loaded.diagnostics));
        let shown = loaded.diagnostics.iter().map(|d| {
            let line = d.at.as_ref().map_or(0, |at| at.line);
            format!("{line} {} {} | {}", d.code, d.message, d.help.as_deref().unwrap_or(""))
        });
        shown.collect()
    }

    #[test]
    fn a_good_inventory_reads_whole() {
        let loaded = read("homing.toml", GOOD, Utf8Path::new("/plans"));
        assert_eq!(loaded.diagnostics, []);
        let inventory = loaded.inventory.unwrap();
        let names: Vec<_> = inventory.machines.keys().map(MachineName::as_str).collect();
        assert_eq!(names, ["db-01", "web-08", "web-09", "web-10", "web-11"]);
        let db = &inventory.machines["db-01"];
        assert_eq!(db.disks, [64 << 20, 1 << 30]);
        assert_eq!(db.rto_s, Some(120.0));
        assert_eq!(db.settings["lab"]["writes_per_second"], 50);
        let web = &inventory.machines["web-10"];
        assert_eq!(web.needs.iter().map(MachineName::as_str).collect::<Vec<_>>(), ["db-01"]);
        assert_eq!(inventory.sites["azure"].bandwidth, Some(400 << 20));
        assert_eq!(inventory.sites["dc1"].settings["hosts"]["hv-01"]["switches"][0], "prod");
        assert_eq!(inventory.limits.concurrency, 8);
    }

    /// Each line of `edits` is put in the place of a line of [`GOOD`]; the mistake must be found there.
    #[test]
    fn every_mistake_is_found_at_its_line() {
        let edits: &[(&str, &str, &str)] = &[
            ("rto = \"2m\"", "rtoo = \"2m\"", "H203 unknown key `rtoo`"),
            ("rto = \"2m\"", "rto = \"soon\"", "H205"),
            ("rto = \"2m\"", "rto = 5", "H204"),
            ("\"64MiB\", \"1GiB\"", "\"64MegaBytes\"", "H205"),
            ("\"64MiB\", \"1GiB\"", "\"1KiB\"", "H205"),
            (
                "onprem = \"dc1/hv-01\"\ndisks = [\"64MiB\", ",
                "onprem = \"dc2/hv-01\"\ndisks = [\"64MiB\", ",
                "H206 no site `dc2`",
            ),
            ("key = \"tier1\"", "key = \"tier2\"", "H209 no key `tier2`"),
            ("needs = [\"tier=db\"]", "needs = [\"db-1\"]", "H208 no machine `db-1`"),
            (
                "tags = { tier = \"db\" }",
                "tags = { tier = \"db\" }\nneeds = [\"web-08\"]",
                "H208 `db-01` needs itself",
            ),
            ("[machine.db-01]", "[machine.DB_01]", "H207"),
            ("{08..11}", "{11..08}", "H207"),
            ("provider = \"lab\"\npath = \"azure\"", "path = \"azure\"", "H204"),
            ("[commands.dns]", "[command.dns]", "H203 unknown key `command`"),
            ("concurrency = 8", "concurrency = 0", "H205"),
            ("[limits]", "[limits", "H202"),
        ];
        for (line, edit, expected) in edits {
            assert!(GOOD.contains(line), "{line}");
            let found = codes(&GOOD.replacen(line, edit, 1));
            assert!(found.iter().any(|f| f.contains(expected)), "{edit}: {found:#?}");
            assert!(found.iter().all(|f| !f.starts_with("0 ")), "no place: {found:#?}");
        }
    }

    #[test]
    fn one_machine_where_a_range_stands_is_one_mistake() {
        let found = codes(&GOOD.replace("web-{08..11}", "web-01"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].ends_with("one machine is `[machine.web-01]`"), "{found:#?}");
    }

    #[test]
    fn several_mistakes_come_in_one_go_with_suggestions() {
        let text = GOOD.replace("rto =", "rot =").replace("[\"64MiB\"]", "[\"x\"]");
        let found = codes(&text);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(found[0].contains("did you mean `rto`"), "{found:#?}");
    }
}
