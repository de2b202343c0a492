//! The page of the inventory file: its keys by the table that they stand in.

use crate::plan::inventory::InventoryKey;
use crate::render::reference::{Body, Section};
use crate::render::table::Table;

/// A table of keys for each table of the file, in the order in which the keys first name it.
pub(super) fn sections(keys: &[InventoryKey]) -> Vec<Section> {
    let mut tables: Vec<&'static str> = Vec::new();
    for key in keys {
        if !tables.contains(&key.table) {
            tables.push(key.table);
        }
    }
    let section = |table| {
        let rows = keys.iter().filter(|key| key.table == table).map(row).collect();
        let header = vec!["key", "takes", "without it", "what it says"];
        Section { heading: table, body: Body::Table(Table { header, rows, amounts: &[] }) }
    };
    tables.into_iter().map(section).collect()
}

fn row(key: &InventoryKey) -> Vec<String> {
    [key.name, key.takes, key.default, key.doc].map(str::to_owned).into()
}
