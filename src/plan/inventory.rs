//! The inventory as the rooms read it: sites, machines, keys, commands, limits. `config` makes it from
//! `homing.toml`.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use crate::base::{HostName, Json, MachineName, Shared, Side, SiteName};

/// What a plan writes before an inventory value that it rests on: `inventory.needs`.
pub const INVENTORY_FACT: &str = "inventory.";

/// Everything `homing.toml` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The folder that relative paths are relative to.
    pub folder: Utf8PathBuf,
    /// By name.
    pub sites: BTreeMap<SiteName, SiteEntry>,
    /// By name.
    pub machines: Shared<BTreeMap<MachineName, MachineEntry>>,
    /// Encryption keys by name: where they come from, never the secret itself.
    pub keys: BTreeMap<String, KeySource>,
    /// The allow-list of `run_command`, by name.
    pub commands: BTreeMap<String, CommandEntry>,
    /// Limits of a plan and of a run.
    pub limits: Limits,
}

/// A place that plans act on.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteEntry {
    /// The provider's name, e.g. the embedded `lab`.
    pub provider: String,
    /// Most steps at once at this site; `None`: as many as the run allows.
    pub concurrency: Option<u32>,
    /// Bytes per second that all transfers from or to this site share.
    pub bandwidth: Option<u64>,
    /// What the provider itself reads (its own keys, unchecked here), as JSON.
    pub settings: Json,
}

/// A protected machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineEntry {
    /// Its cloud site.
    pub cloud: SiteName,
    /// Its on-prem site.
    pub onprem: SiteName,
    /// The on-prem host that is its home by the inventory.
    pub host: HostName,
    /// The sizes of its disks, bytes.
    pub disks: Vec<u64>,
    /// Words to select it by.
    pub tags: BTreeMap<String, String>,
    /// Machines that must run, checked, before this one starts (`tier=db` terms already resolved).
    pub needs: Vec<MachineName>,
    /// Longest downtime it may have, seconds.
    pub rto_s: Option<f64>,
    /// The key its disks are encrypted with, by name.
    pub key: Option<String>,
    /// Where it answers, per side.
    pub address: Addresses,
    /// What its providers read of it (e.g. the table `lab`), as JSON by provider name.
    pub settings: BTreeMap<String, Json>,
}

impl MachineEntry {
    /// The site of one of its sides.
    pub fn site(&self, side: Side) -> &SiteName {
        match side {
            Side::Cloud => &self.cloud,
            Side::Onprem => &self.onprem,
        }
    }

    /// See [`Inventory::value`].
    pub fn value(&self, name: &str) -> Option<Json> {
        match name {
            "needs" => Some(self.needs.iter().map(|name| Json::from(name.as_str())).collect()),
            "key" => Some(self.key.as_deref().map_or(Json::Null, Json::from)),
            "rto" => Some(self.rto_s.map_or(Json::Null, Json::from)),
            "tags" => {
                let pairs = self.tags.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str())));
                Some(Json::Object(pairs.collect()))
            }
            _ => None,
        }
    }
}

/// Where a machine answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// In the cloud.
    pub cloud: Option<String>,
    /// At home.
    pub onprem: Option<String>,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The bytes of a file.
    File(Utf8PathBuf),
    /// What a command prints.
    Command(Vec<String>),
}

/// One entry of the allow-list: `*` stands for any one argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandEntry {
    /// The command and its arguments.
    pub argv: Vec<String>,
}

/// Limits; every one has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps in a plan.
    pub steps_max: u32,
    /// Machines in an inventory.
    pub machines_max: u32,
    /// Bytes that evaluating a script may allocate.
    pub script_memory_bytes_max: u64,
    /// Steps of a run at once.
    pub concurrency: u32,
    /// Transfers of a run at once, per site.
    pub transfers: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            steps_max: 250_000,
            machines_max: 20_000,
            script_memory_bytes_max: 384 << 20,
            concurrency: 64,
            transfers: 4,
        }
    }
}

/// A key that an inventory file may have: for the reference, which a test holds against what is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventoryKey {
    /// The table it stands in, as the file writes it: `[site.NAME]`.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it takes, with its unit.
    pub takes: &'static str,
    /// What holds without it; `required` where it must be there.
    pub default: &'static str,
    /// What it says.
    pub doc: &'static str,
}

impl InventoryKey {
    /// For the tables of keys.
    pub const fn new(
        table: &'static str,
        name: &'static str,
        takes: &'static str,
        default: &'static str,
        doc: &'static str,
    ) -> InventoryKey {
        InventoryKey { table, name, takes, default, doc }
    }
}

/// The table of a site in an inventory file.
pub const SITE_TABLE: &str = "[site.NAME]";
/// The table of a machine in an inventory file.
pub const MACHINE_TABLE: &str = "[machine.NAME] or [machines.\"NAME-{01..40}\"]";

impl Inventory {
    /// Machines that have every one of these tags (`!=` terms: lack that value), sorted by name.
    pub fn select<'a>(&'a self, terms: &'a [Term]) -> impl Iterator<Item = &'a MachineName> {
        let fits = |entry: &MachineEntry| terms.iter().all(|term| term.fits(&entry.tags));
        self.machines.iter().filter(move |(_, entry)| fits(entry)).map(|(name, _)| name)
    }

    /// A value of a machine's entry that a plan may rest on: `needs`, `rto`, `key` or `tags`. A plan records it as
    /// a fact with [`INVENTORY_FACT`] before the name.
    pub fn value(&self, machine: &MachineName, name: &str) -> Option<Json> {
        self.machines.get(machine)?.value(name)
    }

    /// Every tag key in use, for suggestions.
    pub fn tag_keys(&self) -> BTreeSet<&str> {
        self.machines.values().flat_map(|entry| entry.tags.keys()).map(String::as_str).collect()
    }
}

/// One term of a selection: `tier=web` or `os!=windows`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The tag.
    pub key: String,
    /// Its value.
    pub value: String,
    /// `!=`: the machine must not have that value.
    pub negated: bool,
}

impl Term {
    /// Reads `k=v, k!=v`; an empty text has no terms and selects every machine.
    ///
    /// # Errors
    /// The part that is no term.
    pub fn parse_all(text: &str) -> Result<Vec<Term>, String> {
        let parts = text.split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(Term::parse).collect()
    }

    fn parse(part: &str) -> Result<Term, String> {
        let (key, value) = part.split_once('=').ok_or_else(|| part.to_owned())?;
        let negated = key.ends_with('!');
        let key = key.trim_end_matches('!').trim().to_owned();
        let value = value.trim().to_owned();
        if key.is_empty() || value.is_empty() || value.contains('=') {
            return Err(part.to_owned());
        }
        Ok(Term { key, value, negated })
    }

    /// Whether tags satisfy it.
    pub fn fits(&self, tags: &BTreeMap<String, String>) -> bool {
        (tags.get(&self.key) == Some(&self.value)) != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_read_equal_and_unequal() {
        let terms = Term::parse_all("tier=web, os!=windows").unwrap();
        assert_eq!(terms.len(), 2);
        let tags =
            |os: &str| [("tier", "web"), ("os", os)].map(|(k, v)| (k.into(), v.into())).into();
        assert!(terms.iter().all(|t| t.fits(&tags("linux"))));
        assert!(!terms.iter().all(|t| t.fits(&tags("windows"))));
        assert_eq!(Term::parse_all("").unwrap(), []);
        for bad in ["web", "=x", "tier=", "a=b=c"] {
            assert!(Term::parse_all(bad).is_err(), "{bad}");
        }
    }
}
