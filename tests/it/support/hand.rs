//! What somebody does at the sites who does not ask homing.

use std::sync::Arc;
use std::time::Duration;

use homing::base::{MachineName, Side, StepId, StepKey};
use homing::plan::inventory::Inventory;
use homing::sites::registry::{self, Tools};
use homing::sites::{At, Boot, Claim, Fence, Site};

use crate::support::Ground;

/// A person at the console of a site, with all its rights.
pub struct Hand {
    inventory: Inventory,
    machine: MachineName,
}

impl Hand {
    /// At the machine of a ground.
    pub fn at(ground: &Ground, machine: &str) -> Hand {
        let path = ground.path().join("homing.toml");
        let loaded = homing::config::load(path.to_str().unwrap().as_ref());
        Hand { inventory: loaded.inventory.unwrap(), machine: MachineName::new(machine).unwrap() }
    }

    /// Boots a side's own disks.
    pub async fn start(&self, side: Side) {
        let (site, at) = self.site(side);
        let view = site.look(at).await.unwrap();
        let boot = Boot { turn: view.turn, from: None };
        let fence = fence(view.claim.unwrap());
        site.power().unwrap().start(at, &boot, &fence).await.unwrap();
    }

    /// Turns a side off.
    pub async fn stop(&self, side: Side) {
        let (site, at) = self.site(side);
        let fence = fence(site.look(at).await.unwrap().claim.unwrap());
        site.power().unwrap().stop(at, Duration::from_secs(20), &fence).await.unwrap();
    }

    fn site(&self, side: Side) -> (Arc<dyn Site>, At<'_>) {
        let tools = Tools { exe: env!("CARGO_BIN_EXE_homing").into() };
        let sites =
            registry::open(&self.inventory, &tools).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let (machine, entry) = self.inventory.machines.get_key_value(&self.machine).unwrap();
        (sites.get(entry.site(side)).unwrap(), At { machine, side, entry })
    }
}

fn fence(Claim { run, token }: Claim) -> Fence {
    let step = StepId::new("by.hand").unwrap();
    let key = StepKey::of(&run, &step);
    Fence { run, token, step, key }
}
