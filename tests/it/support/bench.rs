//! A run of one machine in a lab of its own, driven primitive by primitive.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use homing::base::{HostName, Json, MachineName, RunId, Side, SiteName, StepId, StepKey};
use homing::plan::inventory::{
    Addresses, CommandEntry, Inventory, KeySource, MachineEntry, SiteEntry,
};
use homing::primitives::contract::Ctx;
use homing::primitives::find;
use homing::run::failure::Failure;
use homing::sites::practice::Practice;
use homing::sites::registry::{self, Sites, Tools};
use homing::sites::{At, Boot, Fence, SideView, Site};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub const MIB: u64 = 1 << 20;

/// A lab of one machine, and a run that holds it.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub inventory: Inventory,
    sites: Sites,
    pub practice: Box<dyn Practice>,
    run: RunId,
    tokens: BTreeMap<Side, u64>,
    outputs: Mutex<BTreeMap<String, Arc<Json>>>,
    cursors: Mutex<BTreeMap<String, Vec<u8>>>,
    pub intents: Mutex<BTreeMap<String, Json>>,
    /// Sites that stand in the place of others.
    pub instead: BTreeMap<SiteName, Arc<dyn Site>>,
}

/// One attempt of one step.
pub struct Attempt<'a> {
    bench: &'a Bench,
    /// `None`: the step names none.
    pub machine: Option<MachineName>,
    step: StepId,
    key: StepKey,
    args: Json,
    /// How long it may take.
    pub limit: Option<Duration>,
    /// Where it is cut off, as by a crash.
    pub cut: Option<Cut>,
    pub cancelled: CancellationToken,
}

/// A place inside a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    AtFirstSave,
    AfterIntent,
    BeforeChanging(Side),
}

fn site_name(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn inventory(folder: &Path, key: Option<&str>) -> Inventory {
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
        key: key.map(str::to_owned),
        address: Addresses { cloud: Some("127.0.0.1".into()), onprem: None },
        settings: [(
            "lab".to_owned(),
            json!({ "writes_per_second": 200, "encrypted": key.is_some() }),
        )]
        .into(),
    };
    let hosts = json!({
        "hv-01": { "switches": ["prod"] },
        "hv-02": { "switches": ["prod", "lan"], "isolated": ["drill"] },
        "hv-03": { "switches": ["lan"] },
        "hv-04": { "switches": ["prod"], "connected": false },
        "hv-05": { "switches": ["prod"], "isolated": ["drill"], "capacity": "10MiB" },
    });
    let secret = |name: &str| {
        let file = folder.join(format!("{name}.key"));
        std::fs::write(&file, format!("the secret called {name}")).unwrap();
        (name.to_owned(), KeySource::File(file.try_into().unwrap()))
    };
    let said = folder.join("said");
    let tell = format!("printf '%s %s' \"$HOMING_RUN\" \"$HOMING_TEXT\" > {}", said.display());
    let argv = ["/bin/sh", "-c", &tell].map(str::to_owned).to_vec();
    Inventory {
        folder: folder.to_str().unwrap().into(),
        sites: [
            (site_name("azure"), site(json!({ "path": "lab/azure" }))),
            (site_name("dc1"), site(json!({ "path": "lab/dc1", "hosts": hosts }))),
        ]
        .into(),
        machines: [(MachineName::new("web-01").unwrap(), machine)].into(),
        keys: ["right", "wrong"].map(secret).into(),
        commands: [
            ("tell".to_owned(), CommandEntry { argv }),
            ("fail".to_owned(), CommandEntry { argv: vec!["/bin/false".to_owned()] }),
            (
                "any".to_owned(),
                CommandEntry { argv: ["/bin/sh", "-c", "*"].map(str::to_owned).to_vec() },
            ),
        ]
        .into(),
        ..Inventory::default()
    }
}

impl Bench {
    pub async fn new() -> Bench {
        Bench::with_key(None).await
    }

    /// The machine's disks are encrypted with that key.
    pub async fn with_key(key: Option<&str>) -> Bench {
        let folder = crate::support::folder();
        let inventory = inventory(folder.path(), key);
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
            folder,
            inventory,
            sites,
            practice,
            run,
            tokens,
            outputs: Mutex::default(),
            cursors: Mutex::default(),
            intents: Mutex::default(),
            instead: BTreeMap::new(),
        }
    }

    /// The run is cancelled, and another one claims the machine.
    pub async fn another_run(&mut self, run: &str) {
        let old = std::mem::replace(&mut self.run, RunId::new(run).unwrap());
        let (machine, entry) = self.inventory.machines.first_key_value().unwrap();
        for side in [Side::Cloud, Side::Onprem] {
            let site = self.sites.get(entry.site(side)).unwrap();
            let at = At { machine, side, entry };
            let claims = site.claims().unwrap();
            claims.unclaim(at, &old).await.unwrap();
            self.tokens.insert(side, claims.claim(at, &self.run).await.unwrap().token);
        }
        self.cursors.lock().unwrap().clear();
    }

    pub fn attempt(&self, step: &str, args: &Json) -> Attempt<'_> {
        let step = StepId::new(step).unwrap();
        Attempt {
            bench: self,
            machine: Some(MachineName::new("web-01").unwrap()),
            key: StepKey::of(&self.run, &step),
            step,
            args: args.clone(),
            limit: None,
            cut: None,
            cancelled: CancellationToken::new(),
        }
    }

    /// Runs a step once; `step` is `primitive` or `primitive.n`.
    pub async fn once(&self, step: &str, args: &Json) -> Result<Json, Failure> {
        self.attempt(step, args).go().await
    }

    /// Runs a step that must succeed.
    pub async fn did(&self, step: &str, args: Json) -> Json {
        self.once(step, &args).await.unwrap_or_else(|failure| panic!("{step}: {failure:?}"))
    }

    /// Runs a step, and runs it again as after a crash that lost its success.
    pub async fn twice(&self, step: &str, args: Json) -> Json {
        let first = self.did(step, args.clone()).await;
        self.did(step, args).await;
        self.outputs.lock().unwrap().insert(step.to_owned(), Arc::new(first.clone()));
        first
    }

    pub async fn refused(&self, step: &str, code: &str) -> Failure {
        self.refused_with(step, json!({}), code).await
    }

    pub async fn refused_with(&self, step: &str, args: Json, code: &str) -> Failure {
        let failure = self.once(step, &args).await.expect_err(step);
        assert_eq!(failure.code.as_deref(), Some(code), "{step}: {failure:?}");
        assert!(failure.help.is_some(), "{step}: what to do is said");
        assert!(!failure.may_retry(), "{step}: a refusal is no matter of luck");
        failure
    }

    /// The machine is home and runs there; nothing is committed.
    pub async fn switch_over(&self) {
        self.did("shutdown_azure_vm", json!({ "grace": "20s" })).await;
        self.did("transfer_delta", json!({})).await;
        self.did("start_onprem_vm", json!({})).await;
    }

    /// The site itself, whatever stands in its place.
    pub fn site(&self, name: &SiteName) -> Arc<dyn Site> {
        self.sites.get(name).unwrap()
    }

    fn at(&self, side: Side) -> (Arc<dyn Site>, At<'_>, Fence) {
        let (machine, entry) = self.inventory.machines.first_key_value().unwrap();
        let name = if side == Side::Cloud { &entry.cloud } else { &entry.onprem };
        let fence = self.attempt("by.hand", &json!({})).fence(side).unwrap();
        (self.sites.get(name).unwrap(), At { machine, side, entry }, fence)
    }

    pub async fn look(&self, side: Side) -> SideView {
        let (site, at, _) = self.at(side);
        site.look(at).await.unwrap()
    }

    /// Boots a side as somebody would who does not ask homing: with that side's own turn.
    pub async fn boot_by_hand(&self, side: Side) {
        let (site, at, fence) = self.at(side);
        let view = site.look(at).await.unwrap();
        let from = match &view.replica {
            Some(homing::sites::ReplicaMark::Synced { stamp, .. }) => {
                let (sync, source_generation) =
                    (stamp.sync.clone(), stamp.source_generation.clone());
                let run = "r1".to_owned();
                Some(homing::sites::Booted { sync, source_generation, is_final: true, run })
            }
            _ => None,
        };
        let boot = Boot { turn: view.turn, from };
        site.power().unwrap().start(at, &boot, &fence).await.unwrap();
    }

    /// From now on nobody can reach that host, or (`true`) again.
    pub fn connect(&mut self, host: &str, connected: bool) {
        let site = self.inventory.sites.get_mut(&site_name("dc1")).unwrap();
        site.settings["hosts"][host]["connected"] = json!(connected);
        self.reopen();
    }

    /// From now on that site answers nothing, or (`true`) again.
    pub fn answer(&mut self, site: &str, connected: bool) {
        let site = self.inventory.sites.get_mut(&site_name(site)).unwrap();
        site.settings["connected"] = json!(connected);
        self.reopen();
    }

    /// The run did not claim that side.
    pub fn leave(&mut self, side: Side) {
        self.tokens.remove(&side);
    }

    fn reopen(&mut self) {
        let tools = Tools { exe: env!("CARGO_BIN_EXE_homing").into() };
        self.sites =
            registry::open(&self.inventory, &tools).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        self.practice = registry::practice(&self.inventory, &tools).unwrap();
    }

    /// Ends the guest of a side, as a fire would.
    pub async fn kill(&self, side: Side) {
        let machine = MachineName::new("web-01").unwrap();
        self.practice.pull_plug(&machine, side).await.unwrap();
    }

    pub async fn stop_by_hand(&self, side: Side) {
        let (site, at, fence) = self.at(side);
        site.power().unwrap().stop(at, Duration::from_secs(20), &fence).await.unwrap();
    }

    /// Nothing was lost and nothing ran twice.
    pub async fn is_good(&self) -> Json {
        let report = self.practice.verify().await.unwrap();
        assert!(report.is_good(), "{report:?}");
        serde_json::to_value(&report.machines[0]).unwrap()
    }
}

impl Attempt<'_> {
    pub async fn go(self) -> Result<Json, Failure> {
        let out = primitive(self.step.as_str()).run(&self.args, &self).await?;
        let outputs = &self.bench.outputs;
        outputs.lock().unwrap().insert(self.step.to_string(), Arc::new(out.clone()));
        Ok(out)
    }

    fn cuts(&self, cut: Cut) -> Result<(), Failure> {
        if self.cut == Some(cut) { Err(Failure::cancelled()) } else { Ok(()) }
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
        self.machine.as_ref()
    }

    fn inventory(&self) -> &Inventory {
        &self.bench.inventory
    }

    fn site(&self, site: &SiteName) -> Result<Arc<dyn Site>, Failure> {
        let instead = self.bench.instead.get(site).cloned();
        let found = instead.or_else(|| self.bench.sites.get(site));
        found.ok_or_else(|| Failure::permanent("no such site"))
    }

    fn fence(&self, side: Side) -> Result<Fence, Failure> {
        self.cuts(Cut::BeforeChanging(side))?;
        let token = self.bench.tokens.get(&side).copied();
        let token = token.ok_or_else(|| Failure::permanent("it is not claimed"))?;
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

    fn output(&self, step: &StepId) -> Option<Arc<Json>> {
        self.bench.outputs.lock().unwrap().get(step.as_str()).cloned()
    }

    fn time_limit(&self) -> Option<Duration> {
        self.limit
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
        if self.cut == Some(Cut::AtFirstSave) {
            self.cancelled.cancel();
        }
        Ok(())
    }

    async fn intend(&self, deletes: Json) -> Result<(), Failure> {
        self.bench.intents.lock().unwrap().insert(self.step.to_string(), deletes);
        self.cuts(Cut::AfterIntent)
    }

    fn intended(&self) -> Option<Json> {
        self.bench.intents.lock().unwrap().get(self.step.as_str()).cloned()
    }
}
