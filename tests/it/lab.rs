//! What is the lab's own: creating, measuring, proving, keys and faults, with real guest processes. What is
//! true of every provider is in `conformance`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use homing::base::{MachineName, RunId, Side, SiteName, StepId, StepKey, SyncId};
use homing::plan::facts::{DirtyMark, Power};
use homing::plan::inventory::{Inventory, KeySource, MachineEntry, SiteEntry};
use homing::run::failure::Failure;
use homing::sites::practice::{LabMachine, Practice, Stand};
use homing::sites::registry::{self, Sites, Tools};
use homing::sites::{
    At, Boot, Booted, Claim, Fence, ReplicaMark, SideView, Site, Source, SyncStamp,
};
use homing::transfer::blocks::Manifest;
use serde_json::json;

const MIB: u64 = 1 << 20;

/// A lab in a folder of its own; its guests end with it.
struct Lab {
    folder: tempfile::TempDir,
    inventory: Inventory,
    sites: Sites,
    practice: Box<dyn Practice>,
}

fn tools() -> Tools {
    Tools { exe: env!("CARGO_BIN_EXE_homing").into() }
}

fn site_name(name: &str) -> SiteName {
    SiteName::new(name).unwrap()
}

fn inventory(folder: &Path, machines: &[&str], key: Option<&str>) -> Inventory {
    let site = |settings| SiteEntry {
        provider: "lab".into(),
        concurrency: None,
        bandwidth: None,
        settings,
    };
    let hosts =
        json!({ "hv-01": { "switches": ["prod"] }, "hv-02": { "switches": ["prod", "dmz"] } });
    let machine = |name: &&str| {
        let entry = MachineEntry {
            cloud: site_name("azure"),
            onprem: site_name("dc1"),
            host: homing::base::HostName::new("hv-01").unwrap(),
            disks: vec![8 * MIB, 4 * MIB],
            tags: BTreeMap::new(),
            needs: Vec::new(),
            rto_s: None,
            key: key.map(str::to_owned),
            address: homing::plan::inventory::Addresses::default(),
            settings: [("lab".to_owned(), json!({ "writes_per_second": 200 }))].into(),
        };
        (MachineName::new(name).unwrap(), entry)
    };
    let command = ["sh", "-c", "echo the-right-key"].map(str::to_owned).to_vec();
    Inventory {
        folder: folder.to_str().unwrap().into(),
        sites: [
            (site_name("azure"), site(json!({ "path": "lab/azure" }))),
            (site_name("dc1"), site(json!({ "path": "lab/dc1", "hosts": hosts }))),
        ]
        .into(),
        machines: machines.iter().map(machine).collect(),
        keys: key.map(|key| (key.to_owned(), KeySource::Command(command))).into_iter().collect(),
        ..Inventory::default()
    }
}

impl Lab {
    fn new(machines: &[&str], key: Option<&str>) -> Lab {
        Lab::with_faults(machines, key, &json!({}))
    }

    /// With faults on purpose in the cloud.
    fn with_faults(machines: &[&str], key: Option<&str>, faults: &serde_json::Value) -> Lab {
        let folder = crate::support::folder();
        let mut inventory = inventory(folder.path(), machines, key);
        let azure = inventory.sites.get_mut(&site_name("azure")).unwrap();
        azure.settings["faults"] = faults.clone();
        let sites =
            registry::open(&inventory, &tools()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let practice = registry::practice(&inventory, &tools()).unwrap();
        Lab { folder, inventory, sites, practice }
    }

    fn site(&self, side: Side) -> Arc<dyn Site> {
        let name = if side == Side::Cloud { "azure" } else { "dc1" };
        self.sites.get(&site_name(name)).unwrap()
    }

    fn machine(&self, name: &str, run: &str) -> Machine<'_> {
        let (name, entry) = self.inventory.machines.get_key_value(name).unwrap();
        Machine { lab: self, name, entry, run: RunId::new(run).unwrap(), tokens: BTreeMap::new() }
    }

    async fn verify(&self) -> LabMachine {
        self.practice.verify().await.unwrap().machines.remove(0)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join("lab").join(inside)
    }
}

/// One machine in the hands of one run.
struct Machine<'a> {
    lab: &'a Lab,
    name: &'a MachineName,
    entry: &'a MachineEntry,
    run: RunId,
    tokens: BTreeMap<Side, u64>,
}

impl Machine<'_> {
    fn at(&self, side: Side) -> At<'_> {
        At { machine: self.name, side, entry: self.entry }
    }

    async fn claim(&mut self) -> Result<(), Failure> {
        for side in [Side::Cloud, Side::Onprem] {
            let site = self.lab.site(side);
            let Claim { token, .. } =
                site.claims().unwrap().claim(self.at(side), &self.run).await?;
            self.tokens.insert(side, token);
        }
        Ok(())
    }

    fn fence(&self, side: Side, step: &str) -> Fence {
        let step = StepId::new(step).unwrap();
        let key = StepKey::of(&self.run, &step);
        Fence { run: self.run.clone(), token: self.tokens[&side], step, key }
    }

    async fn look(&self, side: Side) -> SideView {
        self.lab.site(side).look(self.at(side)).await.unwrap()
    }

    async fn stop(&self, side: Side) -> Result<bool, Failure> {
        let site = self.lab.site(side);
        let grace = Duration::from_secs(20);
        site.power().unwrap().stop(self.at(side), grace, &self.fence(side, "stop")).await
    }

    async fn start(
        &self,
        side: Side,
        turn: u64,
        from: Option<Booted>,
    ) -> Result<SideView, Failure> {
        let site = self.lab.site(side);
        let boot = Boot { turn, from };
        site.power().unwrap().start(self.at(side), &boot, &self.fence(side, "start")).await
    }

    /// Brings the replica up to the source, by hand.
    async fn copy(&self, to: Side, step: &str, source: &Source) -> SyncStamp {
        let fence = self.fence(to, step);
        let sync = SyncId::of(&fence.key);
        let site = self.lab.site(to);
        let disks = site.disks().unwrap();
        let mark =
            DirtyMark { sync: sync.clone(), run: self.run.to_string(), step: step.to_owned() };
        disks.begin_sync(self.at(to), &mark, &fence).await.unwrap();
        let sinks = disks.sink(self.at(to), &sync, &fence).await.unwrap();
        for (disk, sink) in source.disks.iter().zip(&sinks) {
            let mut data = vec![0; usize::try_from(disk.bytes()).unwrap()];
            disk.read_at(0, &mut data).unwrap();
            sink.write_at(0, &data).unwrap();
            sink.flush().unwrap();
        }
        let stamp = SyncStamp {
            sync,
            source_generation: source.generation.clone(),
            is_final: source.stopped,
            tracking: source.tracking.clone(),
            at: homing::base::Timestamp::now(),
        };
        let manifests = [Manifest { bytes: 0, hashes: Vec::new() }];
        disks.end_sync(self.at(to), &stamp, &manifests, &fence).await.unwrap();
        stamp
    }

    async fn stopped_source(&self, side: Side) -> Source {
        let site = self.lab.site(side);
        site.disks().unwrap().source(self.at(side), None).await.unwrap()
    }

    /// The final transfer, as a boot names it.
    fn booted(&self, stamp: &SyncStamp) -> Booted {
        Booted {
            sync: stamp.sync.clone(),
            is_final: stamp.is_final,
            source_generation: stamp.source_generation.clone(),
            run: self.run.to_string(),
        }
    }
}

fn code<T>(result: Result<T, Failure>) -> String {
    match result {
        Ok(_) => "it was done".to_owned(),
        Err(failure) => failure.code.unwrap_or(failure.message),
    }
}

fn with<F: Future<Output = ()>>(lab: &Lab, test: F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(lab.practice.init().await.unwrap(), "created");
        test.await;
        lab.practice.reset().await.unwrap();
    });
}

#[test]
fn a_failback_by_hand_is_measured() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        web.stop(Side::Cloud).await.unwrap();
        let off = web.look(Side::Cloud).await;
        let source = web.stopped_source(Side::Cloud).await;
        let last = web.copy(Side::Onprem, "copy", &source).await;
        web.start(Side::Onprem, off.turn + 1, Some(web.booted(&last))).await.unwrap();
        let fence = web.fence(Side::Cloud, "commit");
        let azure = lab.site(Side::Cloud);
        let machines = azure.machines().unwrap();
        machines.delete(web.at(Side::Cloud), &off.generation, &fence).await.unwrap();

        let measured = lab.verify().await;
        assert_eq!(measured.lost, Some(0), "{measured:?}");
        assert!(!measured.overlap && measured.acknowledged > 700);
        assert_eq!((measured.cloud, measured.onprem), (Stand::Deleted, Stand::Running));
        assert!(measured.downtime_s.unwrap() > 0.0);
        assert_eq!(measured.running_on, Some(site_name("dc1")));
        assert_eq!(measured.replica, "stale", "a base, until the first reverse transfer");
    });
    assert!(!lab.path("azure/disks").exists(), "reset");
}

#[test]
fn a_torn_replica_does_not_boot() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        web.stop(Side::Cloud).await.unwrap();
        let source = web.stopped_source(Side::Cloud).await;
        // Verified by a transfer, then one block as it was before.
        let stamp = web.copy(Side::Onprem, "copy", &source).await;
        let disk = lab.path("dc1/hosts/hv-01/web-01/disk0.raw");
        let mut file = std::fs::File::options().write(true).open(disk).unwrap();
        file.write_all(&[0; 1 << 16]).unwrap();
        let torn = web.start(Side::Onprem, 3, Some(web.booted(&stamp))).await.unwrap_err();
        assert!(torn.message.contains("does not boot"), "{torn:?}");
        let view = web.look(Side::Onprem).await;
        assert_eq!((view.power, view.turn), (Power::Off, 1), "the live data is still in the cloud");
        let measured = lab.verify().await;
        assert_eq!((measured.lost, measured.replica.as_str()), (Some(0), "diverged"));
        assert_eq!(code(web.start(Side::Onprem, 3, Some(web.booted(&stamp))).await), "H304");
    });
}

#[test]
fn a_lab_is_created_once_and_seen_before_it_is() {
    let lab = Lab::new(&["db-01", "web-01"], None);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let web = lab.machine("web-01", "r1");
        let sides = [Side::Cloud, Side::Onprem];
        let mut before = Vec::new();
        for side in sides {
            before.push(web.look(side).await);
        }
        assert!(!lab.path("").exists(), "looking creates nothing");
        assert!(!lab.practice.is_initialised().await.unwrap());
        let (a, b) = tokio::join!(lab.practice.init(), lab.practice.init());
        assert!(a.unwrap() != b.unwrap(), "one of two created it");
        assert!(!lab.practice.init().await.unwrap());
        for (side, mut before) in sides.into_iter().zip(before) {
            let mut after = web.look(side).await;
            // The clock went on between the two looks.
            let same = |view: &mut SideView| {
                view.failed_over_at = None;
                if let Some(ReplicaMark::Synced { stamp, .. }) = &mut view.replica {
                    stamp.at = homing::base::Timestamp::UNIX_EPOCH;
                }
            };
            same(&mut before);
            same(&mut after);
            assert_eq!(before, after);
        }
        let report = lab.practice.verify().await.unwrap();
        assert!(report.is_good() && report.machines.len() == 2, "{report:?}");
        lab.practice.reset().await.unwrap();
        assert!(!lab.practice.is_initialised().await.unwrap());
    });
}

#[test]
fn encrypted_disks_need_their_key() {
    let lab = Lab::new(&["db-01"], Some("tier1"));
    with(&lab, async {
        let mut db = lab.machine("db-01", "r1");
        db.claim().await.unwrap();
        let azure = lab.site(Side::Cloud);
        let disks = azure.disks().unwrap();
        assert!(db.look(Side::Cloud).await.encrypted);
        disks.unlock(db.at(Side::Cloud), Some(b"the-right-key")).await.unwrap();
        assert_eq!(code(disks.unlock(db.at(Side::Cloud), Some(b"a wrong key")).await), "H308");
        assert_eq!(code(disks.unlock(db.at(Side::Cloud), None).await), "H308");
        assert_eq!(lab.verify().await.lost, Some(0));
        db.stop(Side::Cloud).await.unwrap();
        let source = db.stopped_source(Side::Cloud).await;
        let stamp = db.copy(Side::Onprem, "copy", &source).await;
        db.start(Side::Onprem, 3, Some(db.booted(&stamp))).await.unwrap();
        assert_eq!(lab.verify().await.lost, Some(0));
    });
}

#[test]
fn faults_on_purpose_fail_what_is_tried_again_and_lose_nothing() {
    let faults = json!({ "seed": 5, "error_rate": 0.4, "throttle": 0.2, "kill": 0.3 });
    let lab = Lab::with_faults(&["web-01"], None, &faults);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        let turn = web.look(Side::Cloud).await.turn;
        let (mut failed, mut killed) = (0, 0);
        for _ in 0..12 {
            match web.start(Side::Cloud, turn, None).await {
                Ok(view) => assert_eq!(view.power, Power::On),
                Err(failure) => {
                    assert!(failure.may_retry(), "{failure:?}");
                    failed += 1;
                }
            }
            killed += usize::from(web.look(Side::Cloud).await.power == Power::Off);
            let measured = lab.verify().await;
            assert_eq!((measured.lost, measured.overlap), (Some(0), false), "{measured:?}");
        }
        assert!(failed > 2 && killed > 0, "{failed} failed, {killed} killed");
    });
}

#[test]
fn three_machines_of_64_mib_are_there_quickly() {
    let folder = crate::support::folder();
    let mut inventory = inventory(folder.path(), &["db-01", "web-01", "web-02"], None);
    inventory.machines.values_mut().for_each(|entry| entry.disks = vec![64 * MIB]);
    let practice = registry::practice(&inventory, &tools()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begun = std::time::Instant::now();
        practice.init().await.unwrap();
        let created = begun.elapsed();
        let report = practice.verify().await.unwrap();
        println!("created in {created:?}, verified after {:?}", begun.elapsed());
        assert!(report.is_good(), "{report:?}");
        // Not a benchmark: a bound that only a mistake would break on a busy computer.
        assert!(created < Duration::from_secs(30), "{created:?}");
        practice.reset().await.unwrap();
    });
}
