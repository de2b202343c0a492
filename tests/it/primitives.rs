//! A failback through the primitives themselves, on a lab with real guests: each step twice, a transfer
//! interrupted, and everything that a step must refuse.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use homing::base::{HostName, Json, MachineName, RunId, Side, SiteName, StepId, StepKey};
use homing::plan::inventory::{Addresses, Inventory, MachineEntry, SiteEntry};
use homing::primitives::contract::Ctx;
use homing::primitives::find;
use homing::run::failure::Failure;
use homing::sites::practice::Practice;
use homing::sites::registry::{self, Sites, Tools};
use homing::sites::{At, Fence, Site};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;

/// A run of one machine in a lab of its own.
struct Bench {
    _folder: tempfile::TempDir,
    inventory: Inventory,
    sites: Sites,
    practice: Box<dyn Practice>,
    run: RunId,
    tokens: BTreeMap<Side, u64>,
    outputs: Mutex<BTreeMap<String, Arc<Json>>>,
    cursors: Mutex<BTreeMap<String, Vec<u8>>>,
    intents: Mutex<BTreeMap<String, Json>>,
}

/// One attempt of one step.
struct Attempt<'a> {
    bench: &'a Bench,
    machine: MachineName,
    step: StepId,
    key: StepKey,
    args: Json,
    stop_at_first_save: bool,
    cancelled: CancellationToken,
}

fn site_name(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn inventory(folder: &Path) -> Inventory {
    let site = |settings| SiteEntry {
        provider: "lab".into(),
        concurrency: None,
        bandwidth: None,
        settings,
    };
    let machine = MachineEntry {
        cloud: site_name("azure"),
        onprem: site_name("dc1"),
        host: HostName::new("hv-01").unwrap(),
        disks: vec![8 * MIB, 4 * MIB],
        tags: BTreeMap::new(),
        needs: Vec::new(),
        rto_s: None,
        key: None,
        address: Addresses::default(),
        settings: [("lab".to_owned(), json!({ "writes_per_second": 200 }))].into(),
    };
    let hosts = json!({ "hv-01": { "switches": ["prod"] } });
    Inventory {
        folder: folder.to_str().unwrap().into(),
        sites: [
            (site_name("azure"), site(json!({ "path": "lab/azure" }))),
            (site_name("dc1"), site(json!({ "path": "lab/dc1", "hosts": hosts }))),
        ]
        .into(),
        machines: [(MachineName::new("web-01").unwrap(), machine)].into(),
        ..Inventory::default()
    }
}

impl Bench {
    async fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let inventory = inventory(folder.path());
        let tools = Tools { exe: env!("CARGO_BIN_EXE_homing").into() };
        let sites = registry::open(&inventory, &tools).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let practice = registry::practice(&inventory, &tools).unwrap();
        practice.init().await.unwrap();
        let run = RunId::new("r1").unwrap();
        let mut tokens = BTreeMap::new();
        let (machine, entry) = inventory.machines.first_key_value().unwrap();
        for (side, name) in [(Side::Cloud, "azure"), (Side::Onprem, "dc1")] {
            let site = sites.get(&site_name(name)).unwrap();
            let at = At { machine, side, entry };
            tokens.insert(side, site.claims().unwrap().claim(at, &run).await.unwrap().token);
        }
        Bench {
            _folder: folder,
            inventory,
            sites,
            practice,
            run,
            tokens,
            outputs: Mutex::default(),
            cursors: Mutex::default(),
            intents: Mutex::default(),
        }
    }

    fn attempt(&self, step: &str, args: &Json) -> Attempt<'_> {
        let step = StepId::new(step).unwrap();
        Attempt {
            bench: self,
            machine: MachineName::new("web-01").unwrap(),
            key: StepKey::of(&self.run, &step),
            step,
            args: args.clone(),
            stop_at_first_save: false,
            cancelled: CancellationToken::new(),
        }
    }

    /// Runs a step once; `step` is `primitive` or `primitive.n`.
    async fn once(&self, step: &str, args: &Json) -> Result<Json, Failure> {
        let attempt = self.attempt(step, args);
        let out = primitive(step).run(args, &attempt).await?;
        self.outputs.lock().unwrap().insert(step.to_owned(), Arc::new(out.clone()));
        Ok(out)
    }

    /// Runs a step, and runs it again as after a crash that lost its success.
    async fn twice(&self, step: &str, args: Json) -> Json {
        let first =
            self.once(step, &args).await.unwrap_or_else(|failure| panic!("{step}: {failure:?}"));
        self.once(step, &args).await.unwrap_or_else(|failure| panic!("{step} again: {failure:?}"));
        self.outputs.lock().unwrap().insert(step.to_owned(), Arc::new(first.clone()));
        first
    }

    async fn refused(&self, step: &str, code: &str) {
        let failure = self.once(step, &json!({})).await.expect_err(step);
        assert_eq!(failure.code.as_deref(), Some(code), "{step}: {failure:?}");
        assert!(failure.help.is_some(), "{step}: what to do is said");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Guests end when their folder vanishes.
    }
}

fn primitive(step: &str) -> &'static dyn homing::primitives::contract::AnyPrimitive {
    find(step.split('.').next().unwrap()).unwrap()
}

#[async_trait]
impl Ctx for Attempt<'_> {
    fn run(&self) -> &RunId {
        &self.bench.run
    }

    fn step(&self) -> &StepId {
        &self.step
    }

    fn key(&self) -> &StepKey {
        &self.key
    }

    fn machine(&self) -> Option<&MachineName> {
        Some(&self.machine)
    }

    fn inventory(&self) -> &Inventory {
        &self.bench.inventory
    }

    fn site(&self, site: &SiteName) -> Result<Arc<dyn Site>, Failure> {
        self.bench.sites.get(site).ok_or_else(|| Failure::permanent("no such site"))
    }

    fn fence(&self, side: Side) -> Result<Fence, Failure> {
        let token = self.bench.tokens[&side];
        Ok(Fence {
            run: self.bench.run.clone(),
            token,
            step: self.step.clone(),
            key: self.key.clone(),
        })
    }

    fn input(&self, param: &str) -> Option<Arc<Json>> {
        let step = self.args.get(param)?.get("step")?.as_str()?;
        self.bench.outputs.lock().unwrap().get(step).cloned()
    }

    fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    fn progress(&self, _: u64, _: u64, _: u64, _: &str) {}

    fn checkpoint(&self) -> Option<Vec<u8>> {
        self.bench.cursors.lock().unwrap().get(self.step.as_str()).cloned()
    }

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        let step = self.step.to_string();
        self.bench.cursors.lock().unwrap().insert(step, cursor.to_vec());
        if self.stop_at_first_save {
            self.cancelled.cancel();
        }
        Ok(())
    }

    async fn intend(&self, deletes: Json) -> Result<(), Failure> {
        self.bench.intents.lock().unwrap().insert(self.step.to_string(), deletes);
        Ok(())
    }

    fn intended(&self) -> Option<Json> {
        self.bench.intents.lock().unwrap().get(self.step.as_str()).cloned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_home_through_its_primitives_each_run_twice() {
    let bench = Bench::new().await;
    bench.refused("start_onprem_vm", "H312").await;
    bench.refused("commit", "H315").await;
    bench.refused("reverse_replicate", "H319").await;
    bench.refused("transfer_delta.9", "H305").await;

    let taken = bench.twice("snapshot", json!({})).await;
    assert_eq!(taken["side"], "cloud");
    let from_snapshot = json!({ "from": { "step": "snapshot" } });
    let phase1 = bench.twice("transfer_delta.1", from_snapshot).await;
    assert_eq!(phase1["mode"], "delta", "{phase1}");
    bench.twice("shutdown_azure_vm", json!({ "grace": "20s" })).await;
    bench.refused("start_onprem_vm", "H314").await;

    // The final transfer, interrupted at its first checkpoint: dirty, until the step is tried again.
    let mut stopped = bench.attempt("transfer_delta.2", &json!({}));
    stopped.stop_at_first_save = true;
    let interrupted = primitive("transfer_delta").run(&json!({}), &stopped).await;
    assert!(interrupted.is_err(), "{interrupted:?}");
    bench.refused("start_onprem_vm", "H303").await;
    bench.twice("transfer_delta.2", json!({})).await;

    bench.twice("start_onprem_vm", json!({})).await;
    bench.refused("start_azure_vm", "H312").await;
    bench.refused("reverse_replicate", "H319").await;
    let checked = bench.twice("check", json!({})).await;
    assert_eq!(checked["ok"], true);
    let committed = bench.twice("commit", json!({})).await;
    assert_eq!(committed["deleted"], true);
    bench.refused("start_azure_vm.2", "H312").await;
    let back = bench.twice("reverse_replicate", json!({})).await;
    assert_eq!(back["mode"], "changes");
    assert!(back["bytes_sent"].as_u64().unwrap() < 12 * MIB, "{back}");

    let report = bench.practice.verify().await.unwrap();
    let web = serde_json::to_value(&report.machines[0]).unwrap();
    assert_eq!((web["lost"].as_u64(), web["overlap"].as_bool()), (Some(0), Some(false)), "{web}");
    assert_eq!(web["protected"], "onprem_to_cloud", "{web}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_is_taken_back_before_its_commit() {
    let bench = Bench::new().await;
    bench.twice("shutdown_azure_vm", json!({})).await;
    bench.twice("transfer_delta", json!({ "mode": "full", "bandwidth": "1GiB/s" })).await;
    bench.twice("start_onprem_vm", json!({})).await;
    bench.twice("shutdown_onprem_vm", json!({})).await;
    bench.twice("start_azure_vm", json!({})).await;
    bench.refused("start_onprem_vm.2", "H312").await;
    bench.refused("commit", "H315").await;
}
