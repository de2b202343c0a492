//! The registry of providers: the one place outside their folders that names them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::SiteName;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::inventory::{Inventory, InventoryKey};
use crate::sites::Site;
use crate::sites::lab;
use crate::sites::practice::{Practice, Together};
use crate::sites::qemu;

/// What providers need of the process that opens them.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The executable of homing, for providers that start it as a helper process.
    pub exe: PathBuf,
}

/// All sites of an inventory, opened.
#[derive(Clone, Default)]
pub struct Sites(BTreeMap<SiteName, Arc<dyn Site>>);

impl Sites {
    /// One site.
    pub fn get(&self, name: &SiteName) -> Option<Arc<dyn Site>> {
        self.0.get(name).cloned()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&SiteName, &Arc<dyn Site>)> {
        self.0.iter()
    }
}

/// The names of all providers: machines may have a table for each.
pub const PROVIDERS: &[&str] = &[lab::NAME, qemu::NAME];

/// The keys of an inventory file that providers read themselves, of all of them.
pub fn keys() -> impl Iterator<Item = &'static InventoryKey> {
    lab::KEYS.iter().chain(qemu::KEYS)
}

/// Opens every site of the inventory. Opening reads settings only: it touches nothing.
///
/// # Errors
/// Everything that is wrong with the sites' providers and settings.
pub fn open(inventory: &Inventory, tools: &Tools) -> Result<Sites, Vec<Diagnostic>> {
    let mut sites = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, entry) in &inventory.sites {
        let opened = match entry.provider.as_str() {
            lab::NAME => lab::open(name, inventory, tools),
            qemu::NAME => qemu::open(name, inventory),
            unknown => Err(vec![unknown_provider(name, unknown)]),
        };
        match opened {
            Ok(site) => drop(sites.insert(name.clone(), site)),
            Err(diagnostics) => wrong.extend(diagnostics),
        }
    }
    wrong.extend(lab::check_machines(inventory));
    wrong.extend(qemu::check_machines(inventory));
    if wrong.is_empty() { Ok(Sites(sites)) } else { Err(wrong) }
}

/// The lab of this inventory, when it has one; see [`Practice`]. Touches nothing.
pub fn practice(inventory: &Inventory, tools: &Tools) -> Option<Box<dyn Practice>> {
    let labs = [lab::practice(inventory, tools), qemu::practice(inventory)];
    let mut labs: Vec<Box<dyn Practice>> = labs.into_iter().flatten().collect();
    if labs.len() > 1 { Some(Box::new(Together(labs))) } else { labs.pop() }
}

/// Runs this process as a provider's helper, when its arguments (without the program) say so; the exit
/// status. To be called before anything else reads the arguments.
pub fn helper_process(arguments: &[OsString]) -> Option<i32> {
    match arguments.first()?.to_str()? {
        lab::GUEST => Some(lab::guest_process()),
        _ => None,
    }
}

fn unknown_provider(site: &SiteName, provider: &str) -> Diagnostic {
    let known = PROVIDERS.iter().copied();
    let message = format!("`site.{site}`: there is no provider `{provider}`");
    let help = match did_you_mean(provider, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
    };
    Diagnostic::error("H230", message).help(help)
}

#[cfg(test)]
mod tests {
    use crate::plan::inventory::SiteEntry;

    use super::*;

    #[test]
    fn an_unknown_provider_is_named_with_what_was_meant() {
        let entry = |provider: &str| SiteEntry {
            provider: provider.to_owned(),
            concurrency: None,
            bandwidth: None,
            settings: serde_json::json!({ "path": "x" }),
        };
        let inventory = Inventory {
            sites: [
                (SiteName::new("azure").unwrap(), entry("lba")),
                (SiteName::new("dc1").unwrap(), entry(lab::NAME)),
            ]
            .into(),
            ..Inventory::default()
        };
        let tools = Tools { exe: "homing".into() };
        let wrong = open(&inventory, &tools).err().unwrap();
        assert_eq!(wrong.len(), 1);
        assert_eq!(wrong[0].code, "H230");
        assert_eq!(helper_process(&["run".into()]), None);
    }
}
