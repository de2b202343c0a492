//! The lab through its public interface, with real guest processes.

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
    At, Boot, Booted, Claim, Fence, NewMachine, ReplicaMark, SideView, Site, Source, SyncStamp,
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

    /// Brings the replica up to the source, by hand: everything, or what changed since `since`.
    async fn copy(&self, to: Side, step: &str, source: &Source, since: Option<&str>) -> SyncStamp {
        let fence = self.fence(to, step);
        let sync = SyncId::of(&fence.key);
        let site = self.lab.site(to);
        let disks = site.disks().unwrap();
        let mark =
            DirtyMark { sync: sync.clone(), run: self.run.to_string(), step: step.to_owned() };
        disks.begin_sync(self.at(to), &mark, &fence).await.unwrap();
        let sinks = disks.sink(self.at(to), &sync, &fence).await.unwrap();
        let ranges: Vec<Vec<std::ops::Range<u64>>> = match since {
            None => {
                source.disks.iter().map(|disk| std::iter::once(0..disk.bytes()).collect()).collect()
            }
            Some(since) => {
                let from = self.lab.site(to.other());
                let from = from.disks().unwrap();
                from.changes(self.at(to.other()), since, None).await.unwrap().expect("tracked")
            }
        };
        for ((disk, sink), ranges) in source.disks.iter().zip(&sinks).zip(&ranges) {
            for range in ranges {
                let mut data = vec![0; usize::try_from(range.end - range.start).unwrap()];
                disk.read_at(range.start, &mut data).unwrap();
                sink.write_at(range.start, &data).unwrap();
            }
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
fn a_failback_by_hand_loses_nothing() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        let before = web.look(Side::Onprem).await;
        let Some(ReplicaMark::Synced { stamp: old, .. }) = before.replica else {
            panic!("{before:?}")
        };

        // Phase 1, while it runs.
        let azure = lab.site(Side::Cloud);
        let disks = azure.disks().unwrap();
        let fence = web.fence(Side::Cloud, "snapshot");
        let snapshot = disks.snapshot(web.at(Side::Cloud), &fence).await.unwrap();
        let again = disks.snapshot(web.at(Side::Cloud), &fence).await.unwrap();
        assert_eq!(snapshot, again, "found by its key");
        assert_eq!(disks.snapshots(web.at(Side::Cloud)).await.unwrap().len(), 1);
        let source = disks.source(web.at(Side::Cloud), Some(&snapshot.id)).await.unwrap();
        let first = web.copy(Side::Onprem, "copy.1", &source, old.tracking.as_deref()).await;
        let life = azure.power().unwrap().sign_of_life(web.at(Side::Cloud), Duration::from_secs(5));
        life.await.unwrap();

        // Phase 2.
        assert_eq!(code(disks.source(web.at(Side::Cloud), None).await), "H305");
        assert!(!web.stop(Side::Cloud).await.unwrap(), "it stopped when it was asked");
        assert!(!web.stop(Side::Cloud).await.unwrap());
        let off = web.look(Side::Cloud).await;
        assert!(off.power == Power::Off && off.fenced);
        let source = web.stopped_source(Side::Cloud).await;
        let last = web.copy(Side::Onprem, "copy.2", &source, first.tracking.as_deref()).await;
        let boot = web.booted(&last);
        let turn = off.turn + 1;
        let home = web.start(Side::Onprem, turn, Some(boot.clone())).await.unwrap();
        assert_eq!((home.power, home.turn, home.committed), (Power::On, turn, false));
        assert_eq!(home.booted.as_ref(), Some(&boot));
        assert_eq!(home.replica, None);
        let again = web.start(Side::Onprem, turn, Some(boot)).await.unwrap();
        assert_eq!(again.generation, home.generation, "one that runs is left alone");

        // Commit, and the way back.
        let fence = web.fence(Side::Cloud, "commit");
        let machines = azure.machines().unwrap();
        assert_eq!(code(machines.delete(web.at(Side::Cloud), "another", &fence).await), "H311");
        for _ in 0..2 {
            machines.delete(web.at(Side::Cloud), &off.generation, &fence).await.unwrap();
        }
        let base = web.look(Side::Cloud).await;
        assert!(!base.exists && base.has_disks && base.generation == off.generation);
        let dc1 = lab.site(Side::Onprem);
        let since = dc1.disks().unwrap();
        let changed = since.changes(web.at(Side::Onprem), last.sync.as_str(), None).await.unwrap();
        let changed = changed.expect("tracked since before the boot");
        let bytes: u64 = changed.iter().flatten().map(|range| range.end - range.start).sum();
        assert!(bytes > 0 && bytes < 12 * MIB, "{bytes}");

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
fn a_killed_guest_loses_nothing_and_goes_on() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        let before = web.look(Side::Cloud).await;
        for _ in 0..3 {
            lab.practice.pull_plug(web.name, Side::Cloud).await.unwrap();
            assert_eq!(web.look(Side::Cloud).await.power, Power::Off);
            assert_eq!(lab.verify().await.lost, Some(0));
            let on = web.start(Side::Cloud, before.turn, None).await.unwrap();
            assert_ne!(on.generation, before.generation);
        }
        // Tracking went on through all of it: the replica's stamp is still a point to ask from.
        let home = web.look(Side::Onprem).await;
        let Some(ReplicaMark::Synced { stamp, .. }) = home.replica else { panic!("{home:?}") };
        web.stop(Side::Cloud).await.unwrap();
        let source = web.stopped_source(Side::Cloud).await;
        let last = web.copy(Side::Onprem, "copy", &source, stamp.tracking.as_deref()).await;
        web.start(Side::Onprem, before.turn + 1, Some(web.booted(&last))).await.unwrap();
        let measured = lab.verify().await;
        assert_eq!((measured.lost, measured.overlap), (Some(0), false), "{measured:?}");
    });
}

#[test]
fn what_may_not_boot_does_not() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        assert_eq!(
            code(web.start(Side::Onprem, 3, None).await),
            "H304",
            "a replica of no final sync"
        );
        web.stop(Side::Cloud).await.unwrap();
        let source = web.stopped_source(Side::Cloud).await;
        let stamp = web.copy(Side::Onprem, "copy", &source, None).await;
        let other = Booted { sync: SyncId::new("other").unwrap(), ..web.booted(&stamp) };
        assert_eq!(code(web.start(Side::Onprem, 3, Some(other)).await), "H304");

        // Dirty.
        let fence = web.fence(Side::Onprem, "another");
        let dc1 = lab.site(Side::Onprem);
        let disks = dc1.disks().unwrap();
        let sync = SyncId::of(&fence.key);
        let mark = DirtyMark { sync: sync.clone(), run: "r1".into(), step: "another".into() };
        disks.begin_sync(web.at(Side::Onprem), &mark, &fence).await.unwrap();
        let view = web.look(Side::Onprem).await;
        let Some(ReplicaMark::Dirty { before, .. }) = view.replica else { panic!("{view:?}") };
        assert_eq!(before, Some(stamp.clone()));
        assert!(disks.manifests(web.at(Side::Onprem), &sync).await.unwrap().is_some());
        let refused = web.start(Side::Onprem, 3, Some(web.booted(&stamp))).await;
        assert_eq!(code(refused), "H303");
        let stale = disks.sink(web.at(Side::Onprem), &stamp.sync, &fence).await;
        assert_eq!(code(stale.map(drop)), "H307");
        let measured = lab.verify().await;
        assert_eq!((measured.lost, measured.replica.as_str()), (Some(0), "dirty"));

        // Torn: verified by a transfer, then one block as it was before.
        let stamp = web.copy(Side::Onprem, "copy.2", &source, None).await;
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
fn claims_fence_the_other_run_and_the_own_dead_process() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let (mut first, mut second) = (lab.machine("web-01", "r1"), lab.machine("web-01", "r2"));
        let (a, b) = tokio::join!(first.claim(), second.claim());
        assert!(a.is_ok() != b.is_ok() || (a.is_err() && b.is_err()), "{a:?} {b:?}");
        for (side, run) in
            [(Side::Cloud, "r1"), (Side::Onprem, "r1"), (Side::Cloud, "r2"), (Side::Onprem, "r2")]
        {
            let run = RunId::new(run).unwrap();
            lab.site(side).claims().unwrap().unclaim(first.at(side), &run).await.unwrap();
        }
        first.claim().await.unwrap();
        let refused = second.claim().await.unwrap_err();
        assert!(refused.code.as_deref() == Some("H301") && refused.message.contains("r1"));
        let mut resumed = lab.machine("web-01", "r1");
        resumed.claim().await.unwrap();
        assert_eq!(code(first.stop(Side::Cloud).await), "H302");
        assert_eq!(resumed.look(Side::Cloud).await.power, Power::On);

        // A sink that was opened before is fenced too.
        resumed.stop(Side::Cloud).await.unwrap();
        let fence = resumed.fence(Side::Onprem, "copy");
        let sync = SyncId::of(&fence.key);
        let mark = DirtyMark { sync: sync.clone(), run: "r1".into(), step: "copy".into() };
        let dc1 = lab.site(Side::Onprem);
        let disks = dc1.disks().unwrap();
        disks.begin_sync(resumed.at(Side::Onprem), &mark, &fence).await.unwrap();
        let sinks = disks.sink(resumed.at(Side::Onprem), &sync, &fence).await.unwrap();
        sinks[0].write_at(0, &[0; 4096]).unwrap();
        first.claim().await.unwrap();
        assert!(sinks[0].write_at(0, &[0; 4096]).is_err());
    });
}

#[test]
fn two_starts_at_once_are_one_boot() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        web.stop(Side::Cloud).await.unwrap();
        let (a, b) = tokio::join!(web.start(Side::Cloud, 2, None), web.start(Side::Cloud, 2, None));
        assert_eq!(a.unwrap().generation, b.unwrap().generation);
        let measured = lab.verify().await;
        assert_eq!((measured.lost, measured.overlap), (Some(0), false));
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
        let stamp = db.copy(Side::Onprem, "copy", &source, None).await;
        db.start(Side::Onprem, 3, Some(db.booted(&stamp))).await.unwrap();
        assert_eq!(lab.verify().await.lost, Some(0));
    });
}

#[test]
fn another_host_gets_a_machine_of_its_own() {
    let lab = Lab::new(&["web-01"], None);
    with(&lab, async {
        let mut web = lab.machine("web-01", "r1");
        web.claim().await.unwrap();
        let dc1 = lab.site(Side::Onprem);
        let machines = dc1.machines().unwrap();
        let fence = web.fence(Side::Onprem, "create");
        let on = |host: &str, switch: &str| NewMachine {
            host: Some(homing::base::HostName::new(host).unwrap()),
            network: Some(switch.to_owned()),
            ..NewMachine::default()
        };
        let create =
            async |new: NewMachine| machines.create(web.at(Side::Onprem), &new, &fence).await;
        assert_eq!(code(create(on("hv-09", "prod")).await), "H309");
        assert_eq!(code(create(on("hv-02", "lan")).await), "H310");
        assert!(!create(on("hv-01", "prod")).await.unwrap(), "it is there already");
        assert!(create(on("hv-02", "prod")).await.unwrap());
        assert!(create(on("hv-02", "prod")).await.unwrap(), "by this very step");
        let view = web.look(Side::Onprem).await;
        assert_eq!(view.host.unwrap().as_str(), "hv-02");
        assert!(view.exists && !view.has_disks && view.replica.is_none());

        web.stop(Side::Cloud).await.unwrap();
        let source = web.stopped_source(Side::Cloud).await;
        let stamp = web.copy(Side::Onprem, "copy", &source, None).await;
        let home = web.start(Side::Onprem, 3, Some(web.booted(&stamp))).await.unwrap();
        assert_eq!((home.power, home.host.unwrap().as_str()), (Power::On, "hv-02"));
        assert!(lab.path("dc1/hosts/hv-02/web-01/disk0.raw").exists());
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
