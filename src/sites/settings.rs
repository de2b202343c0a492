//! Reading what an inventory says to a provider: its keys are data, each mistake is named.

use serde::de::DeserializeOwned;

use crate::base::Json;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::inventory::InventoryKey;

/// The keys of one table.
pub(in crate::sites) fn known(keys: &[InventoryKey], table: &str) -> Vec<&'static str> {
    keys.iter().filter(|key| key.table == table).map(|key| key.name).collect()
}

/// Reads a table with these keys; the others are named, and so is what cannot be read.
pub(in crate::sites) fn read<T: DeserializeOwned>(
    place: &str,
    table: &Json,
    known: &[&str],
) -> (Option<T>, Vec<Diagnostic>) {
    let mut wrong = unknown_keys(place, table, known);
    let mut table = table.clone();
    if let Some(table) = table.as_object_mut() {
        table.retain(|key, _| known.contains(&key.as_str()));
    }
    match serde_json::from_value(table) {
        Ok(read) => (Some(read), wrong),
        Err(error) => {
            wrong.push(Diagnostic::error("H231", format!("`{place}`: {error}")));
            (None, wrong)
        }
    }
}

/// The keys that are not among the known ones.
pub(in crate::sites) fn unknown_keys(place: &str, table: &Json, known: &[&str]) -> Vec<Diagnostic> {
    let keys = table.as_object().into_iter().flat_map(|table| table.keys());
    let unknown = keys.filter(|key| !known.contains(&key.as_str())).map(|key| {
        let wrong = Diagnostic::error("H231", format!("`{place}` knows no `{key}`"));
        match did_you_mean(key, known.iter().copied()) {
            Some(meant) => wrong.help(format!("did you mean `{meant}`?")),
            None => wrong.help(format!("it knows: {}", known.join(", "))),
        }
    });
    unknown.collect()
}
