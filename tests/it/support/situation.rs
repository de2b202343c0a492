//! A situation of `tests/situations`: a script beside an inventory that fits it, planned at full size
//! (`Situation::full`) or run on small disks (`Situation::small`).

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;

use camino::Utf8PathBuf;
use homing::compile::answered::strict;
use homing::compile::compile;
use homing::diagnostic::Diagnostic;
use homing::plan::estimate::History;
use homing::plan::facts::FactLog;
use homing::plan::graph::Plan;
use homing::source::MemoryWorld;
use homing::trace::Request;
use serde_json::Value;

use crate::support::observed::{away, told};
use crate::support::{Ground, Said};

/// Machines of the inventory that are alike.
#[derive(Clone, Copy)]
pub struct Machines<'a> {
    /// One name, or a range: `app-{01..04}`.
    pub names: &'a str,
    pub tier: &'a str,
    /// Machines or tags: `"db-01"`, `"tier=db"`.
    pub needs: &'a [&'a str],
    /// Where they live at home: `hv-01` or `hv-02`.
    pub host: &'a str,
    /// How long ago they failed over, in days.
    pub days: u32,
    /// More lines of their entries, as TOML.
    pub more: &'a str,
}

/// Machines that need nobody, live on `hv-01` and failed over twelve days ago.
pub const ALIKE: Machines<'static> =
    Machines { names: "", tier: "web", needs: &[], host: "hv-01", days: 12, more: "" };

/// The hosts of a situation's inventory; `hv-02` has a second switch and an isolated one.
const SITES: &str = r#"
[site.azure]
provider = "lab"
path = ".homing/lab/azure"

[site.dc1]
provider = "lab"
path = ".homing/lab/dc1"

[site.dc1.hosts]
hv-01 = { switches = ["prod"] }
hv-02 = { switches = ["prod", "lan"], isolated = ["drill"] }
"#;

/// An inventory of these machines, each with one disk of that size, and `more` TOML behind them.
pub fn inventory(disk: &str, machines: &[Machines<'_>], more: &str) -> String {
    let entries = machines.iter().map(|all| {
        let Machines { names, tier, needs, host, days, more } = all;
        let table = if names.contains('{') { "machines" } else { "machine" };
        format!(
            "\n[{table}.\"{names}\"]\ncloud = \"azure\"\nonprem = \"dc1/{host}\"\n\
             disks = [\"{disk}\"]\ntags = {{ tier = \"{tier}\" }}\nneeds = {needs:?}\n\
             lab = {{ writes_per_second = 50, failed_over = \"{days} days ago\" }}\n{more}\n"
        )
    });
    [SITES.to_owned()].into_iter().chain(entries).collect::<String>() + more
}

/// A ground with one script of `tests/situations` and its inventory.
pub struct Situation {
    ground: Ground,
    script: String,
}

impl Deref for Situation {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Situation {
    /// With disks of 1 GiB: to be planned, never run (a new host must have the room).
    pub fn full(script: &str, machines: &[Machines<'_>]) -> Situation {
        Situation::new(script, &inventory("1GiB", machines, ""))
    }

    /// With disks of 2 MiB: to be run.
    pub fn small(script: &str, machines: &[Machines<'_>]) -> Situation {
        Situation::new(script, &inventory("2MiB", machines, ""))
    }

    /// With an inventory of its own; `script` is the file's name without `.rhai`.
    pub fn new(script: &str, inventory: &str) -> Situation {
        let ground = Ground::new();
        ground.write("homing.toml", inventory);
        let script = format!("{script}.rhai");
        let situations = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/situations");
        let text = std::fs::read_to_string(situations.join(&script)).unwrap();
        ground.write(&script, &text);
        Situation { ground, script }
    }

    /// Its plan with these parameters (`name=value`), proved: no error, no warning that the script does
    /// not answer, the same digest twice.
    #[track_caller]
    pub fn proved(&self, params: &[&str]) -> Value {
        let plan = || {
            let mut args = vec!["plan", &self.script, "--strict", "--format", "json"];
            args.extend(params.iter().flat_map(|param| ["-p", param]));
            self.homing(&args).exit(0).json()
        };
        let (first, second) = (plan(), plan());
        assert_eq!(first["digest"], second["digest"]);
        first
    }

    /// Its plan, proved as [`Situation::proved`] does, where its machines were observed as `facts` says
    /// (`* where=home onprem.power=on`) and not as a new lab has them.
    #[track_caller]
    pub fn proved_from(&self, facts: &str) -> Plan {
        let loaded = homing::config::read("homing.toml", &self.read("homing.toml"), ".".into());
        let inventory = loaded.inventory.expect("a good inventory");
        let mut observed = away(&inventory);
        told(&mut observed, &format!("// facts: {facts}"));
        let script = Utf8PathBuf::from(&self.script);
        let mut compiled = compile(
            &Request {
                world: &MemoryWorld([(script.clone(), self.read(&self.script))].into()),
                script: &script,
                params: &BTreeMap::new(),
                inventory: &inventory,
                facts: &FactLog::new(&observed),
                allocated: None,
                spent: std::time::Duration::ZERO,
            },
            &History::default(),
        );
        let open: Vec<&Diagnostic> =
            compiled.diagnostics.iter().filter(|one| one.is_error()).collect();
        assert!(open.is_empty(), "{open:#?}");
        let plan = compiled.plan.expect("no mistake refuses it").plan().clone();
        strict(&mut compiled.diagnostics);
        let open: Vec<&Diagnostic> =
            compiled.diagnostics.iter().filter(|one| one.is_error()).collect();
        assert!(open.is_empty(), "not answered: {open:#?}");
        plan
    }

    /// Runs it with these parameters and these further arguments; every gate is answered with yes, unless
    /// `more` has an `--approve` or `--on-gate` of its own.
    pub fn run(&self, params: &[&str], more: &[&str]) -> Said {
        let mut args = vec!["run", &self.script];
        args.extend(params.iter().flat_map(|param| ["-p", param]));
        if !more.iter().any(|arg| ["--approve", "--on-gate"].contains(arg)) {
            args.extend(["--approve", "all"]);
        }
        args.extend(more);
        self.homing(&args)
    }

    /// The site each machine runs at (`nowhere` when it is off), after `lab verify` found nothing lost
    /// and nothing on both sides.
    #[track_caller]
    pub fn whereabouts(&self) -> BTreeMap<String, String> {
        let machines = self.verified();
        let one = |machine: &Value| {
            let site = machine["running_on"].as_str().unwrap_or("nowhere");
            (machine["machine"].as_str().unwrap().to_owned(), site.to_owned())
        };
        machines.iter().map(one).collect()
    }

    /// Fails the test unless all machines whose names begin with `start` run at that site.
    #[track_caller]
    pub fn all_at(&self, site: &str, start: &str) {
        let found = self.whereabouts();
        let mut named = found.iter().filter(|(name, _)| name.starts_with(start)).peekable();
        assert!(named.peek().is_some(), "no {start}: {found:?}");
        assert!(named.all(|(_, at)| at == site), "{start} not all at {site}: {found:?}");
    }

    /// Fails the test unless all `machines` run in the cloud, none on both sides, after a way back that
    /// gave up what home wrote (H016): that alone counts as lost.
    #[track_caller]
    pub fn back_in_azure(&self, machines: usize) {
        let report = self.homing(&["lab", "verify", "--format", "json"]).json();
        let machines_found = report["machines"].as_array().unwrap();
        assert_eq!(machines_found.len(), machines, "{report:#}");
        let statuses = self.statuses();
        for machine in machines_found {
            assert!(machine["running_on"] == "azure" && machine["overlap"] == false, "{machine}");
            let start = format!("{}.start_onprem_vm.1", machine["machine"].as_str().unwrap());
            let ran_at_home = statuses[&start] == "succeeded";
            assert!(ran_at_home || machine["lost"] == 0, "{machine}");
        }
    }

    /// How every step of the newest run stands: `succeeded`, `failed`, `blocked`, `skipped` ..
    #[track_caller]
    pub fn statuses(&self) -> BTreeMap<String, String> {
        let run = self.homing(&["show", &self.newest_run(), "--format", "json"]).exit(0).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let steps = run["steps"].as_array().unwrap();
        steps.iter().map(|step| (text(&step["id"]), text(&step["status"]))).collect()
    }
}

/// The ids of a plan's steps with that primitive.
pub fn steps_of(plan: &Value, primitive: &str) -> Vec<String> {
    let steps = plan["steps"].as_array().unwrap();
    let fitting = steps.iter().filter(|step| step["primitive"] == primitive);
    fitting.map(|step| step["id"].as_str().unwrap().to_owned()).collect()
}
