//! Every key of the inventory file but the providers' own, for the reference. A test of this room holds the
//! table against what is accepted.

use crate::plan::inventory::{InventoryKey, MACHINE_TABLE, SITE_TABLE};

const ADDRESS: &str = "address = { .. } of a machine";
const KEY: &str = "[key.NAME]";
const COMMAND: &str = "[commands.NAME]";
const LIMITS: &str = "[limits]";

/// In the order of the reference.
#[rustfmt::skip]
pub static KEYS: &[InventoryKey] = &[
    InventoryKey::new(SITE_TABLE, "provider", "text", "required", "the code that talks to the site"),
    InventoryKey::new(SITE_TABLE, "concurrency", "int, 1 or more", "as many as the run", "steps at once at this site"),
    InventoryKey::new(SITE_TABLE, "bandwidth", "rate", "no limit", "shared by all transfers from or to this site"),
    InventoryKey::new(MACHINE_TABLE, "cloud", "site", "required", "where its cloud side is"),
    InventoryKey::new(MACHINE_TABLE, "onprem", "site/host", "required", "its home: `\"dc1/hv-01\"`"),
    InventoryKey::new(MACHINE_TABLE, "disks", "list of sizes", "required", "each at least 64KiB, a multiple of 4KiB"),
    InventoryKey::new(MACHINE_TABLE, "tags", "table of texts", "none", "what `vms(\"tier=web\")` selects by, and `m.tags` reads"),
    InventoryKey::new(MACHINE_TABLE, "needs", "list of names or `tag=value`", "none", "machines that must run, checked, before this one starts (H018); nobody may need itself"),
    InventoryKey::new(MACHINE_TABLE, "rto", "duration", "none", "longest downtime it may have; a plan that is estimated to take longer is warned (H017)"),
    InventoryKey::new(MACHINE_TABLE, "key", "name of a key", "none", "what its disks are encrypted with"),
    InventoryKey::new(MACHINE_TABLE, "address", "table", "none", "where it answers, for `check` with `tcp` or `http`"),
    InventoryKey::new(ADDRESS, "cloud", "host name or IP address", "none", "while it runs in the cloud"),
    InventoryKey::new(ADDRESS, "onprem", "host name or IP address", "none", "while it runs at home"),
    InventoryKey::new(KEY, "file", "path", "this or `command`", "the secret is what the file holds"),
    InventoryKey::new(KEY, "command", "list of texts", "this or `file`", "the secret is what the program prints"),
    InventoryKey::new(COMMAND, "argv", "list of texts", "required", "what scripts may run (`run_command`, `check`, `notify`), word by word; `\"*\"` stands for any one word. The name is for people: scripts write the words"),
    InventoryKey::new(LIMITS, "steps", "int, 1 or more", "250000", "steps in a plan"),
    InventoryKey::new(LIMITS, "machines", "int, 1 or more", "20000", "machines in the inventory"),
    InventoryKey::new(LIMITS, "concurrency", "int, 1 or more", "64", "steps of a run at once"),
    InventoryKey::new(LIMITS, "transfers", "int, 1 or more", "4", "transfers of a run at once, per site"),
    InventoryKey::new(LIMITS, "script_memory", "size", "384MiB", "what evaluating a script may allocate"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::parse_size;
    use crate::config::read;
    use crate::plan::inventory::Limits;
    use crate::sites::registry;

    /// What a table accepts, as the help of an unknown key in it lists.
    fn accepted(head: &str, rest: &str) -> Vec<String> {
        let text = format!("{head}\nqqqqqqqq = 1\n{rest}");
        let loaded = read("homing.toml", &text, ".".into());
        let unknown = loaded.diagnostics.iter().find(|one| one.message.contains("qqqqqqqq"));
        let help = unknown.expect(head).help.clone().expect(head);
        let listed = help.strip_prefix("known here: ").expect(&help).split(", ");
        let mut listed: Vec<String> = listed.map(str::to_owned).collect();
        listed.sort();
        listed
    }

    fn told(table: &str) -> Vec<String> {
        let all = KEYS.iter().chain(registry::keys()).filter(|key| key.table == table);
        let mut names: Vec<String> = all.map(|key| key.name.to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_key_that_is_accepted_is_told_and_no_other() {
        for (table, head, rest) in [
            (MACHINE_TABLE, "[machine.web-01]", "address = {}\n"),
            (MACHINE_TABLE, "[machines.\"web-{01..02}\"]", ""),
            (ADDRESS, "[machine.web-01.address]", ""),
            (KEY, "[key.tier1]", "file = \"x\"\n"),
            (COMMAND, "[commands.dns]", "argv = [\"x\"]\n"),
            (LIMITS, "[limits]", ""),
        ] {
            assert_eq!(accepted(head, rest), told(table), "{table}");
        }
        // A site's own keys go to its provider with all that is left: what is read here is missing there.
        let own = KEYS.iter().filter(|key| key.table == SITE_TABLE);
        let lines = own.map(|key| match key.name {
            "concurrency" => "concurrency = 1\n".to_owned(),
            "bandwidth" => "bandwidth = \"1MiB/s\"\n".to_owned(),
            name => format!("{name} = \"x\"\n"),
        });
        let text = format!("[site.a]\n{}left = 1\n", lines.collect::<String>());
        let loaded = read("homing.toml", &text, ".".into());
        let settings = &loaded.inventory.expect("it is good").sites["a"].settings;
        assert_eq!(*settings, serde_json::json!({ "left": 1 }));
    }

    #[test]
    fn defaults_of_limits_are_those_that_hold() {
        let default = |name: &str| {
            let of = |key: &&InventoryKey| key.table == LIMITS && key.name == name;
            parse_size(KEYS.iter().find(of).expect(name).default).expect(name)
        };
        let limits = Limits::default();
        assert_eq!(default("steps"), u64::from(limits.steps_max));
        assert_eq!(default("machines"), u64::from(limits.machines_max));
        assert_eq!(default("concurrency"), u64::from(limits.concurrency));
        assert_eq!(default("transfers"), u64::from(limits.transfers));
        assert_eq!(default("script_memory"), limits.script_memory_bytes_max);
    }
}
