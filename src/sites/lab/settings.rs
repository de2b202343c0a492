//! What the inventory says to this provider, of a site and of a machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::base::units::{parse_duration, parse_size};
use crate::base::{HostName, SiteName, Timestamp};
use crate::diagnostic::Diagnostic;
use crate::plan::inventory::{
    Inventory, InventoryKey, MACHINE_TABLE, MachineEntry, SITE_TABLE, SiteEntry,
};

use crate::sites::settings;

/// The provider's name in an inventory, and of its table of a machine.
pub(in crate::sites) const NAME: &str = "lab";

const HOST: &str = "hosts = { HOST = { .. } } of a lab's site";
const FAULTS: &str = "faults = { .. } of a lab's site";
const MACHINE: &str = "lab = { .. } of a machine";

/// Every key that this provider reads, for the reference.
#[rustfmt::skip]
pub(in crate::sites) static KEYS: &[InventoryKey] = &[
    InventoryKey::new(SITE_TABLE, "path", "path", "required by `lab`", "the folder that the site is"),
    InventoryKey::new(SITE_TABLE, "hosts", "table of tables", "none", "`lab`: the hosts machines live on at home, by name"),
    InventoryKey::new(SITE_TABLE, "change_tracking", "bool", "true", "`lab`: it remembers which blocks changed; without it disks are compared"),
    InventoryKey::new(SITE_TABLE, "connected", "bool", "true", "`lab`: `false`: the site answers nothing, as if it had burned down; its machines go on"),
    InventoryKey::new(SITE_TABLE, "faults", "table", "none", "`lab`: what goes wrong on purpose"),
    InventoryKey::new(HOST, "switches", "list of texts", "none", "its virtual switches: what `network` of `create_onprem_vm` names"),
    InventoryKey::new(HOST, "isolated", "list of texts", "none", "its switches that lead nowhere: for the copies of a drill"),
    InventoryKey::new(HOST, "connected", "bool", "true", "`false`: nothing on it can be seen or reached"),
    InventoryKey::new(HOST, "capacity", "size", "what the file system has", "its room for disks"),
    InventoryKey::new(FAULTS, "seed", "int", "0", "the same seed strikes at the same operations"),
    InventoryKey::new(FAULTS, "error_rate", "share, 0 to 1", "0", "of the operations, those that fail once"),
    InventoryKey::new(FAULTS, "throttle", "share, 0 to 1", "0", "those that are told to come back later"),
    InventoryKey::new(FAULTS, "kill", "share, 0 to 1", "0", "those at which the machine's power is pulled"),
    InventoryKey::new(FAULTS, "latency", "duration", "none", "the pause before every operation"),
    InventoryKey::new(MACHINE_TABLE, "lab", "table", "none", "how it behaves in the practice ground"),
    InventoryKey::new(MACHINE, "writes_per_second", "number, 0.01 to 100000", "50", "how fast its application writes"),
    InventoryKey::new(MACHINE, "failed_over", "`12 days ago`, or RFC 3339", "12 days ago", "since when it runs in the cloud when the lab is created"),
    InventoryKey::new(MACHINE, "encrypted", "bool", "true where it has a `key`", "whether its disks are encrypted"),
];

fn known(table: &str) -> Vec<&'static str> {
    settings::known(KEYS, table)
}

/// A site's own settings.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The site's folder.
    pub folder: PathBuf,
    /// Its hosts; none: machines live in the site itself.
    pub hosts: BTreeMap<HostName, Host>,
    /// Whether it keeps track of changed blocks.
    pub change_tracking: bool,
    /// Whether it answers at all.
    pub connected: bool,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

/// `hosts = { hv-01 = { switches = ["prod"], isolated = ["drill"], connected = true, capacity = "1GiB" } }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Host {
    /// Its virtual switches that lead to where machines are at work.
    pub switches: BTreeSet<String>,
    /// Its virtual switches that lead nowhere: for isolated copies.
    pub isolated: BTreeSet<String>,
    /// `false`: nothing on it can be seen or reached.
    pub connected: Option<bool>,
    /// Room for disks; absent: what the file system has.
    pub capacity: Option<String>,
}

/// `faults = { seed = 7, error_rate = 0.1, throttle = 0.05, kill = 0.01, latency = "20ms" }`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Faults {
    /// The same seed strikes at the same operations.
    pub seed: u64,
    /// Share of operations that fail, and would not if tried again.
    pub error_rate: f64,
    /// Share of operations that are asked to come back later.
    pub throttle: f64,
    /// Share of operations at which the machine's guest is killed.
    pub kill: f64,
    /// Before every operation.
    pub latency: Option<String>,
}

/// `lab = { writes_per_second = 50, failed_over = "12 days ago", encrypted = true }` of a machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MachineSettings {
    /// How fast its application writes.
    pub writes_per_second: f64,
    /// When it failed over, before the lab was created: `12 days ago`, or a time.
    pub failed_over: String,
    /// Its disks are encrypted; absent: when it has a key.
    pub encrypted: Option<bool>,
}

impl Default for MachineSettings {
    fn default() -> MachineSettings {
        MachineSettings {
            writes_per_second: 50.0,
            failed_over: "12 days ago".to_owned(),
            encrypted: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    path: Option<PathBuf>,
    hosts: BTreeMap<HostName, Host>,
    change_tracking: Option<bool>,
    connected: Option<bool>,
    faults: Faults,
}

/// Reads a site's settings.
pub(super) fn of_site(
    name: &SiteName,
    entry: &SiteEntry,
    inventory: &Inventory,
) -> Result<Settings, Vec<Diagnostic>> {
    let place = format!("site.{name}");
    let (raw, mut wrong) = settings::read::<Raw>(&place, &entry.settings, &known(SITE_TABLE));
    let Some(raw) = raw else { return Err(wrong) };
    if raw.path.is_none() {
        let message = format!("`{place}` has no `path`: the folder that this site is");
        let help = format!("add `path = \".homing/{NAME}/{name}\"` (relative to the inventory)");
        wrong.push(Diagnostic::error("H231", message).help(help));
    }
    let check = |wrong: &mut Vec<Diagnostic>, key: &str, bad: Option<String>| {
        if let Some(why) = bad {
            wrong.push(Diagnostic::error("H231", format!("`{place}.{key}`: {why}")));
        }
    };
    let latency = raw.faults.latency.as_deref().map(parse_duration);
    check(&mut wrong, "faults.latency", latency.and_then(Result::err).map(|e| e.to_string()));
    for (key, rate) in [
        ("faults.error_rate", raw.faults.error_rate),
        ("faults.throttle", raw.faults.throttle),
        ("faults.kill", raw.faults.kill),
    ] {
        let bad = (!(0.0..=1.0).contains(&rate)).then(|| format!("{rate} is no share of 0 to 1"));
        check(&mut wrong, key, bad);
    }
    for (host, says) in &raw.hosts {
        let capacity = says.capacity.as_deref().map(parse_size);
        let bad = capacity.and_then(Result::err).map(|e| e.to_string());
        check(&mut wrong, &format!("hosts.{host}.capacity"), bad);
    }
    match raw.path {
        Some(path) if wrong.is_empty() => Ok(Settings {
            folder: inventory.folder.as_std_path().join(path),
            hosts: raw.hosts,
            change_tracking: raw.change_tracking.unwrap_or(true),
            connected: raw.connected.unwrap_or(true),
            faults: raw.faults,
        }),
        _ => Err(wrong),
    }
}

/// Reads this provider's table of a machine.
pub(super) fn of_machine(name: &str, entry: &MachineEntry) -> Result<MachineSettings, Diagnostic> {
    let place = format!("machine.{name}.{NAME}");
    let Some(table) = entry.settings.get(NAME) else { return Ok(MachineSettings::default()) };
    if let Some(unknown) = settings::unknown_keys(&place, table, &known(MACHINE)).into_iter().next()
    {
        return Err(unknown);
    }
    let wrong = |why: String| Diagnostic::error("H232", format!("`{place}`: {why}"));
    let settings: MachineSettings =
        serde_json::from_value(table.clone()).map_err(|error| wrong(error.to_string()))?;
    let rate = settings.writes_per_second;
    if !(0.01..=100_000.0).contains(&rate) {
        return Err(wrong(format!("`writes_per_second` is {rate}; it may be 0.01 to 100000")));
    }
    if settings.failed_over_at(Timestamp::now()).is_none() {
        let message = format!("`failed_over` is `{}`, which is no past time", settings.failed_over);
        return Err(wrong(message).help("write it like `12 days ago` or `2026-11-10T08:00:00Z`"));
    }
    if settings.encrypted == Some(true) && entry.key.is_none() {
        let message = "its disks are encrypted, but it names no key";
        return Err(wrong(message.to_owned()).help("add `key = \"..\"` to the machine"));
    }
    Ok(settings)
}

impl MachineSettings {
    /// When it failed over.
    pub(super) fn failed_over_at(&self, now: Timestamp) -> Option<Timestamp> {
        let at = match self.failed_over.strip_suffix(" ago") {
            Some(age) => now.checked_sub(parse_duration(age).ok()?).ok()?,
            None => self.failed_over.parse().ok()?,
        };
        (at <= now).then_some(at)
    }

    /// Whether its disks are encrypted.
    pub(super) fn is_encrypted(&self, entry: &MachineEntry) -> bool {
        self.encrypted.unwrap_or(entry.key.is_some())
    }
}

impl Faults {
    /// Before every operation.
    pub(super) fn latency(&self) -> Duration {
        self.latency.as_deref().and_then(|text| parse_duration(text).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::base::Json;

    use super::*;

    fn site(settings: Json) -> Result<Settings, Vec<Diagnostic>> {
        let provider = NAME.to_owned();
        let entry = SiteEntry { provider, concurrency: None, bandwidth: None, settings };
        of_site(&SiteName::new("dc1").unwrap(), &entry, &Inventory::default())
    }

    #[test]
    fn settings_are_read_and_every_mistake_is_named() {
        let good = site(serde_json::json!({
            "path": "x", "hosts": { "hv-01": { "switches": ["prod"] } }, "faults": { "seed": 3 }
        }));
        assert!(good.unwrap().change_tracking);
        let wrong = site(serde_json::json!({
            "pth": "x", "faults": { "kill": 2.0, "latency": "soon" }
        }));
        let wrong = wrong.unwrap_err();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert_eq!(wrong[0].help.as_deref(), Some("did you mean `path`?"));
    }

    /// The fields of a table, as the error of an unknown one lists them.
    fn fields<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let wrong = serde_json::from_value::<T>(serde_json::json!({ "qqqqqqqq": 1 }));
        let message = wrong.err().expect("no such field").to_string();
        let listed = message.split('`').skip(3).step_by(2);
        let mut listed: Vec<String> = listed.map(str::to_owned).collect();
        listed.sort();
        listed
    }

    #[test]
    fn every_key_that_is_accepted_is_told_and_no_other() {
        let told = |table| {
            let mut names = known(table);
            names.sort_unstable();
            names
        };
        assert_eq!(told(HOST), fields::<Host>());
        assert_eq!(told(FAULTS), fields::<Faults>());
        assert_eq!(told(MACHINE), fields::<MachineSettings>());
        assert_eq!(told(SITE_TABLE), fields::<Raw>());
        let settings = MachineSettings::default();
        let default = |name| KEYS.iter().find(|key| key.name == name).unwrap().default;
        assert_eq!(default("writes_per_second"), settings.writes_per_second.to_string());
        assert_eq!(default("failed_over"), settings.failed_over);
    }

    #[test]
    fn ages_are_past() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        let at = |text: &str| {
            let settings =
                MachineSettings { failed_over: text.to_owned(), ..MachineSettings::default() };
            settings.failed_over_at(now).map(|at| at.to_string())
        };
        assert_eq!(at("12 days ago").as_deref(), Some("2026-11-10T00:00:00Z"));
        assert_eq!(at("2026-11-20T00:00:00Z").as_deref(), Some("2026-11-20T00:00:00Z"));
        assert_eq!((at("2026-11-23T00:00:00Z"), at("yesterday")), (None, None));
    }
}
