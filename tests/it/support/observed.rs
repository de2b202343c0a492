//! What a test says was observed: every machine away, unless a line says otherwise.

use homing::base::{HostName, MachineName, Side, SiteName, SyncId};
use homing::plan::facts::{
    CommitState, DirtyMark, Facts, HostFacts, MachineFacts, Power, Protection, ReplicaState,
    SideFacts,
};
use homing::plan::inventory::{Addresses, Inventory, MachineEntry};
use serde::de::DeserializeOwned;

/// A machine of `azure` at home on `dc1/hv-01`, with one disk of 64 MiB.
pub fn machine(tags: &[(&str, &str)], needs: &[&str]) -> MachineEntry {
    MachineEntry {
        cloud: SiteName::new("azure").unwrap(),
        onprem: SiteName::new("dc1").unwrap(),
        host: HostName::new("hv-01").unwrap(),
        disks: vec![64 << 20],
        tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        needs: needs.iter().map(|name| MachineName::new(*name).unwrap()).collect(),
        rto_s: None,
        key: None,
        address: Addresses::default(),
        settings: Default::default(),
    }
}

/// Every machine of an inventory failed over twelve days ago, runs in the cloud, and has a stale replica
/// at home; every host is connected.
pub fn away(inventory: &Inventory) -> Facts {
    let side = |power| SideFacts { exists: true, power, fenced: false, generation: "1".into() };
    let machines = inventory.machines.iter().map(|(name, entry)| {
        let facts = MachineFacts {
            active: Side::Cloud,
            cloud: side(Power::On),
            onprem: side(Power::Off),
            host: entry.host.clone(),
            replica: ReplicaState::Stale,
            dirty: None,
            commit: CommitState::Committed,
            protection: Protection::None,
            encrypted: false,
            disk_bytes: entry.disks.iter().sum(),
            failed_over_at: Some("2026-11-10T00:00:00Z".parse().unwrap()),
            synced_at: None,
        };
        (name.clone(), facts)
    });
    let host = HostFacts {
        connected: true,
        switches: ["prod".into()].into(),
        isolated: ["drill".into()].into(),
        free_bytes: 1 << 40,
    };
    let hosts = ["hv-01", "hv-02"].map(|name| (host_key("dc1", name), host.clone()));
    Facts {
        now: Some("2026-11-22T00:00:00Z".parse().unwrap()),
        machines: machines.collect(),
        hosts: hosts.into(),
    }
}

fn host_key(site: &str, host: &str) -> (SiteName, HostName) {
    (SiteName::new(site).unwrap(), HostName::new(host).unwrap())
}

/// Applies the `// facts:` lines at the head of a script: `web-01 replica=dirty cloud.power=off`, `*` for
/// every machine, `dc1/hv-01 connected=false` for a host.
pub fn told(facts: &mut Facts, script: &str) {
    for line in script.lines().filter_map(|line| line.strip_prefix("// facts: ")) {
        let (subject, changes) = line.split_once(' ').expect(line);
        for change in changes.split_whitespace() {
            let (fact, value) = change.split_once('=').expect(line);
            if let Some((site, host)) = subject.split_once('/') {
                let host = facts.hosts.get_mut(&host_key(site, host)).expect(line);
                match fact {
                    "connected" => host.connected = word(value),
                    "free_bytes" => host.free_bytes = word(value),
                    "switches" => host.switches = value.split(',').map(Into::into).collect(),
                    _ => panic!("no fact to change: {line}"),
                }
                continue;
            }
            let name = (subject != "*").then(|| MachineName::new(subject).unwrap());
            let named = |(known, _): &(&MachineName, _)| name.as_ref().is_none_or(|n| n == *known);
            let changed = facts.machines.iter_mut().filter(named).map(|(_, one)| one);
            assert!(changed.map(|one| set(one, fact, value)).count() > 0, "{line}");
        }
    }
}

fn set(facts: &mut MachineFacts, fact: &str, value: &str) {
    match fact {
        "where" => facts.active = if value == "home" { Side::Onprem } else { Side::Cloud },
        "cloud.exists" => facts.cloud.exists = word(value),
        "cloud.power" => facts.cloud.power = word(value),
        "onprem.exists" => facts.onprem.exists = word(value),
        "onprem.power" => facts.onprem.power = word(value),
        "replica" => facts.replica = word(value),
        "commit" => facts.commit = word(value),
        "protection" => facts.protection = word(value),
        "encrypted" => facts.encrypted = word(value),
        "synced_at" => facts.synced_at = Some(value.parse().expect(value)),
        "failed_over_at" => facts.failed_over_at = Some(value.parse().expect(value)),
        "dirty" => {
            let (run, step) = value.split_once(':').expect("RUN:STEP");
            let sync = SyncId::new("s1").unwrap();
            facts.dirty = Some(DirtyMark { sync, run: run.into(), step: step.into() });
        }
        other => panic!("no fact `{other}` to change"),
    }
}

/// `true`, `off`, `stale`: as data has it.
fn word<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text)
        .or_else(|_| serde_json::from_value(text.into()))
        .unwrap_or_else(|error| panic!("`{text}`: {error}"))
}
