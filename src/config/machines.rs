//! The machines of an inventory: `[machine.web-01]`, and ranges `[machines."web-{01..40}"]`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::base::units::{parse_duration, parse_size};
use crate::base::{HostName, MachineName, SiteName};
use crate::config::document::Section;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::inventory::{Addresses, Inventory, MachineEntry, Term};
use crate::sites::registry::PROVIDERS;

/// Disks are made of pages; a smaller one holds nothing.
const DISK_BYTES_MIN: u64 = 64 << 10;

type Machines = BTreeMap<MachineName, MachineEntry>;
/// A machine, where it is declared, and what it said it needs with the places where it said so.
type Needs<'d> = Vec<(MachineName, Range<usize>, Vec<(&'d str, Range<usize>)>)>;

/// Reads every machine; `inventory` has the sites and keys already.
pub(super) fn machines(root: &Section<'_>, inventory: &Inventory) -> Machines {
    let mut machines = Machines::new();
    let mut needs = Needs::new();
    for (name, section) in root.sections("machine") {
        add(&section, &[name.to_owned()], inventory, &mut machines, &mut needs);
        finish(section, inventory);
    }
    for (pattern, section) in root.sections("machines") {
        match expand(pattern) {
            Ok(names) => {
                add(&section, &names, inventory, &mut machines, &mut needs);
                finish(section, inventory);
            }
            // Nothing of it was read: that its keys are unknown is not said as well.
            Err(mistake) => section.note(section.at(), mistake),
        }
    }
    if machines.len() > inventory.limits.machines_max as usize {
        let message = format!(
            "{} machines; the limit is {} (raise `machines` in `[limits]`)",
            machines.len(),
            inventory.limits.machines_max
        );
        root.note(0..0, Diagnostic::error("H210", message));
    }
    resolve_needs(root, needs, &mut machines);
    machines
}

fn add<'d>(
    section: &Section<'d>,
    names: &[String],
    inventory: &Inventory,
    machines: &mut Machines,
    needs: &mut Needs<'d>,
) {
    let entry = entry(section, inventory);
    for name in names {
        let name = match MachineName::new(name) {
            Ok(name) => name,
            Err(error) => return section.bad_name(&error),
        };
        needs.push((name.clone(), section.at(), section.texts("needs")));
        if machines.insert(name.clone(), entry.clone()).is_some() {
            let twice = format!("`{name}` is declared twice");
            section.note(section.at(), Diagnostic::error("H207", twice));
        }
    }
}

fn entry(section: &Section<'_>, inventory: &Inventory) -> MachineEntry {
    let cloud = section.required("cloud").map(|(name, at)| site(section, name, at, inventory));
    let (onprem, host) = home(section, inventory);
    let rto = section.parsed("rto", parse_duration);
    let tags = section.section("tags").map(|tags| tags.words().collect()).unwrap_or_default();
    let address = section.section("address").map(|section| {
        let text = |key| section.text(key).map(|(text, _)| text.to_owned());
        let address = Addresses { cloud: text("cloud"), onprem: text("onprem") };
        section.finish(&[]);
        address
    });
    let key = section.text("key").map(|(name, at)| {
        if !inventory.keys.contains_key(name) {
            unknown(section, at, "H209", "key", name, inventory.keys.keys().map(String::as_str));
        }
        name.to_owned()
    });
    let providers = providers(inventory);
    let settings = providers
        .into_iter()
        .filter_map(|provider| Some((provider.to_owned(), section.raw(provider)?)))
        .collect();
    MachineEntry {
        cloud: cloud.flatten().unwrap_or_else(nowhere),
        onprem,
        host,
        disks: disks(section),
        tags,
        needs: Vec::new(),
        rto_s: rto.map(|rto| rto.as_secs_f64()),
        key,
        address: address.unwrap_or_default(),
        settings,
    }
}

/// Stands in for a site that was mistyped: the mistake is noted, the inventory will not be used.
fn nowhere() -> SiteName {
    SiteName::new("nowhere").expect("BUG: a plain word is a name")
}

/// A table of a provider that no site uses (or that was mistyped there) is still one.
fn providers(inventory: &Inventory) -> BTreeSet<&str> {
    let used = inventory.sites.values().map(|site| site.provider.as_str());
    used.chain(PROVIDERS.iter().copied()).collect()
}

fn finish(section: Section<'_>, inventory: &Inventory) {
    let providers: Vec<&str> = providers(inventory).into_iter().collect();
    section.finish(&providers);
}

fn home(section: &Section<'_>, inventory: &Inventory) -> (SiteName, HostName) {
    let nobody = || HostName::new("nobody").expect("BUG: a plain word is a name");
    let Some((text, at)) = section.required("onprem") else { return (nowhere(), nobody()) };
    let Some((site_name, host)) = text.split_once('/') else {
        section.wrong_value(at, "`onprem` is a site and a host, like \"dc1/hv-01\"");
        return (nowhere(), nobody());
    };
    let onprem = site(section, site_name, at.clone(), inventory).unwrap_or_else(nowhere);
    let host = HostName::new(host).unwrap_or_else(|error| {
        section.note(at, Diagnostic::error("H207", error.to_string()));
        nobody()
    });
    (onprem, host)
}

fn site(
    section: &Section<'_>,
    name: &str,
    at: Range<usize>,
    inventory: &Inventory,
) -> Option<SiteName> {
    let known = inventory.sites.get_key_value(name).map(|(name, _)| name.clone());
    if known.is_none() {
        unknown(section, at, "H206", "site", name, inventory.sites.keys().map(SiteName::as_str));
    }
    known
}

fn disks(section: &Section<'_>) -> Vec<u64> {
    let disks = section.texts("disks");
    if disks.is_empty() {
        let message = "`disks` must list at least one size, like [\"256MiB\"]";
        section.note(section.at(), Diagnostic::error("H204", message));
    }
    let size = |(text, at): (&str, Range<usize>)| match parse_size(text) {
        Ok(bytes) if bytes >= DISK_BYTES_MIN && bytes % 4096 == 0 => Some(bytes),
        Ok(_) => {
            section.wrong_value(at, "a disk has at least 64KiB and is a multiple of 4KiB");
            None
        }
        Err(error) => {
            section.wrong_value(at, &error.to_string());
            None
        }
    };
    disks.into_iter().filter_map(size).collect()
}

/// `web-{08..11}` is `web-08`, `web-09`, `web-10`, `web-11`; the zeroes of the first number are kept.
fn expand(pattern: &str) -> Result<Vec<String>, Diagnostic> {
    let wrong = || {
        let mistake = Diagnostic::error("H207", format!("`{pattern}` is no range of machines"));
        match MachineName::new(pattern) {
            Ok(name) => mistake.help(format!("one machine is `[machine.{name}]`")),
            Err(_) => mistake.help("write it like `[machines.\"web-{01..40}\"]`"),
        }
    };
    let (before, rest) = pattern.split_once('{').ok_or_else(wrong)?;
    let (range, after) = rest.split_once('}').ok_or_else(wrong)?;
    let (first, last) = range.split_once("..").ok_or_else(wrong)?;
    let width = first.len();
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    let (first, last) = (number(first)?, number(last)?);
    if first > last || last - first > 100_000 {
        return Err(wrong());
    }
    Ok((first..=last).map(|n| format!("{before}{n:0width$}{after}")).collect())
}

fn resolve_needs(root: &Section<'_>, needs: Needs<'_>, machines: &mut Machines) {
    let mut declared = BTreeMap::new();
    for (name, place, terms) in needs {
        let mut needed = BTreeSet::new();
        for (text, at) in terms {
            needed.extend(one_need(root, &name, text, at, machines));
        }
        if let Some(entry) = machines.get_mut(&name) {
            entry.needs = needed.into_iter().collect();
        }
        declared.insert(name, place);
    }
    for name in circular(machines) {
        let message = format!("`{name}` needs itself, through the machines it needs");
        root.note(declared[&name].clone(), Diagnostic::error("H208", message));
    }
}

fn one_need(
    root: &Section<'_>,
    name: &MachineName,
    text: &str,
    at: Range<usize>,
    machines: &Machines,
) -> Vec<MachineName> {
    if text.contains('=') {
        let Ok(terms) = Term::parse_all(text) else {
            root.wrong_value(at, &format!("`{text}` is no selection like \"tier=db\""));
            return Vec::new();
        };
        let fits = |entry: &MachineEntry| terms.iter().all(|term| term.fits(&entry.tags));
        let found: Vec<MachineName> = machines
            .iter()
            .filter(|(other, entry)| *other != name && fits(entry))
            .map(|(other, _)| other.clone())
            .collect();
        if found.is_empty() {
            let nobody = format!("no machine has `{text}`");
            root.note(at, Diagnostic::error("H208", nobody));
        }
        return found;
    }
    match machines.get_key_value(text) {
        Some((other, _)) => vec![other.clone()],
        None => {
            unknown(root, at, "H208", "machine", text, machines.keys().map(MachineName::as_str));
            Vec::new()
        }
    }
}

/// Machines on a circle of `needs`, found by taking away again and again whoever needs nobody left.
fn circular(machines: &Machines) -> Vec<MachineName> {
    let mut open: BTreeMap<&MachineName, usize> =
        machines.iter().map(|(name, entry)| (name, entry.needs.len())).collect();
    let mut needed_by: BTreeMap<&MachineName, Vec<&MachineName>> = BTreeMap::new();
    for (name, entry) in machines {
        for need in &entry.needs {
            needed_by.entry(need).or_default().push(name);
        }
    }
    let mut free: Vec<&MachineName> =
        open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        open.remove(name);
        for waiting in needed_by.get(name).into_iter().flatten() {
            if let Some(count) = open.get_mut(waiting) {
                *count -= 1;
                if *count == 0 {
                    free.push(waiting);
                }
            }
        }
    }
    open.into_keys().cloned().collect()
}

fn unknown<'k>(
    section: &Section<'_>,
    at: Range<usize>,
    code: &'static str,
    kind: &str,
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
) {
    let diagnostic = Diagnostic::error(code, format!("no {kind} `{name}`"));
    let help = match did_you_mean(name, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known: {}", known.take(12).collect::<Vec<_>>().join(", ")),
    };
    section.note(at, diagnostic.help(help));
}
