//! By hand: `cargo bench --bench trace`. Traces 100,000 steps, eight per machine through the standard
//! library, and says how long that took.

#![expect(clippy::print_stdout, reason = "a report for whoever ran it")]

use std::collections::BTreeMap;
use std::time::Instant;

use homing::base::{HostName, MachineName, SiteName};
use homing::plan::facts::{FactLog, Facts};
use homing::plan::inventory::{Addresses, Inventory, MachineEntry};
use homing::source::MemoryWorld;
use homing::trace::{Request, trace};

const MACHINES: usize = 12_500;
const ROUNDS: usize = 5;

fn main() {
    let entry = MachineEntry {
        cloud: SiteName::new("azure").expect("a name"),
        onprem: SiteName::new("dc1").expect("a name"),
        host: HostName::new("hv-01").expect("a name"),
        disks: vec![64 << 20],
        tags: [("tier".to_owned(), "web".to_owned())].into(),
        needs: Vec::new(),
        rto_s: None,
        key: None,
        address: Addresses::default(),
        settings: BTreeMap::new(),
    };
    let named = |n| (MachineName::new(format!("web-{n:05}")).expect("a name"), entry.clone());
    let inventory =
        Inventory { machines: (0..MACHINES).map(named).collect(), ..Inventory::default() };
    let script = "import \"std/failback\" as failback;
        for m in vms() {
            failback::planned(m, #{ synchronize: \"before\", gates: false });
        }";
    let world = MemoryWorld([("bench.rhai".into(), script.into())].into());
    let (facts, params) = (Facts::default(), BTreeMap::new());
    for _ in 0..ROUNDS {
        let log = FactLog::new(&facts);
        let began = Instant::now();
        let traced = trace(&Request {
            world: &world,
            script: "bench.rhai".into(),
            params: &params,
            inventory: &inventory,
            facts: &log,
            allocated: None,
        });
        let took = began.elapsed();
        assert!(traced.diagnostics.is_empty(), "{:?}", traced.diagnostics);
        println!("{} steps in {took:.0?}", traced.plan.steps.len());
    }
}
