//! Isolated copies on a lab with real guests: started and deleted, each twice, each cut off half-way; the
//! machine goes on as if nothing were.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use homing::base::{Json, Side};
use homing::run::failure::Class;
use serde_json::json;

use crate::support::bench::{Bench, Cut};

fn of_snapshot() -> Json {
    json!({ "snapshot": { "step": "snapshot" } })
}

fn on(host: &str, network: &str) -> Json {
    json!({ "snapshot": { "step": "snapshot" }, "host": host, "network": network })
}

fn of_copy() -> Json {
    json!({ "copy": { "step": "start_copy" } })
}

/// The folders of all copies.
fn folders(bench: &Bench) -> Vec<PathBuf> {
    let hosts = bench.folder.path().join("lab/dc1/hosts");
    let hosts = hosts.read_dir().unwrap().map(|host| host.unwrap().path());
    let folders =
        hosts.flat_map(|host| host.read_dir().unwrap().map(|entry| entry.unwrap().path()));
    folders.filter(|folder| folder.to_string_lossy().contains(".copy.")).collect()
}

async fn nothing_is_left(bench: &Bench) {
    assert_eq!(folders(bench), Vec::<PathBuf>::new());
    let report = bench.practice.verify().await.unwrap();
    assert!(report.is_good() && report.copies.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_runs_apart_from_its_machine_and_is_deleted_each_twice() {
    let bench = Bench::new().await;
    bench.twice("snapshot", json!({})).await;
    let before = (bench.look(Side::Cloud).await, bench.look(Side::Onprem).await);
    let started = bench.twice("start_copy", of_snapshot()).await;
    assert_eq!(started["host"], "hv-01", "{started}");
    assert_eq!((&started["machine"], &started["site"]), (&json!("web-01"), &json!("dc1")));
    let checked = bench.twice("check", json!({ "machine": { "step": "start_copy" } })).await;
    assert_eq!(checked["ok"], true, "{checked}");

    let there = bench.practice.verify().await.unwrap();
    let [copy] = there.copies.as_slice() else { panic!("{there:?}") };
    assert!(copy.running && copy.run.as_str() == "r1" && copy.network.is_none(), "{copy:?}");
    // What the copy's application writes is not the machine's: nothing is lost, nothing runs twice.
    assert!(there.is_good(), "{there:?}");
    assert_eq!(there.machines[0].running_on.as_ref().unwrap().as_str(), "azure");
    let folder = &folders(&bench)[0];
    assert!(fs::metadata(folder.join("acknowledged.log")).unwrap().len() > 0);

    bench.twice("delete_copy", of_copy()).await;
    bench.did("delete_copy.2", of_copy()).await;
    let dead = bench.once("check", &json!({ "machine": { "step": "start_copy" } })).await;
    assert_eq!(dead.unwrap_err().class, Class::Permanent);
    assert_eq!(before, (bench.look(Side::Cloud).await, bench.look(Side::Onprem).await));
    nothing_is_left(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_machine_at_home_runs_on_another_host_and_an_isolated_switch() {
    let bench = Bench::new().await;
    bench.switch_over().await;
    bench.did("snapshot", json!({})).await;
    bench.refused_with("start_copy.1", on("hv-01", "prod"), "H336").await;
    bench.refused_with("start_copy.2", on("hv-02", "lan"), "H336").await;
    bench.refused_with("start_copy.3", on("hv-02", "dmz"), "H310").await;
    bench.refused_with("start_copy.4", on("hv-09", "drill"), "H309").await;
    bench.refused_with("start_copy.5", on("hv-04", "drill"), "H309").await;
    let small = bench.refused_with("start_copy.6", on("hv-05", "drill"), "H337").await;
    assert!(small.message.contains("12.0 MiB"), "{small:?}");
    nothing_is_left(&bench).await;

    let started = bench.twice("start_copy", on("hv-02", "drill")).await;
    assert_eq!(started["host"], "hv-02");
    let copies = bench.practice.status().await.unwrap().copies;
    assert_eq!(copies[0].network.as_deref(), Some("drill"));
    // One whose machine has died is started again by the same step.
    let mut plug = std::os::unix::net::UnixStream::connect(folders(&bench)[0].join("control.sock"));
    std::io::Write::write_all(plug.as_mut().unwrap(), b"\"kill\"\n").unwrap();
    let _ = std::io::Read::read_to_end(plug.as_mut().unwrap(), &mut Vec::new());
    bench.did("start_copy", on("hv-02", "drill")).await;
    bench.did("check", json!({ "machine": { "step": "start_copy" } })).await;
    bench.twice("delete_copy", of_copy()).await;
    nothing_is_left(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_cut_off_is_finished_or_deleted() {
    let bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    for is_finished in [true, false] {
        let args = of_snapshot();
        let mut begun = bench.attempt("start_copy", &args);
        begun.cut = Some(Cut::AtFirstSave);
        begun.go().await.unwrap_err();
        let half = bench.practice.status().await.unwrap().copies;
        assert!(!half[0].running, "{half:?}");
        if is_finished {
            bench.twice("start_copy", args).await;
            bench.did("check", json!({ "machine": { "step": "start_copy" } })).await;
        }
        let mut stopped = bench.attempt("delete_copy", &of_copy());
        stopped.cut = Some(Cut::BeforeChanging(Side::Onprem));
        stopped.go().await.unwrap_err();
        bench.twice("delete_copy", of_copy()).await;
        nothing_is_left(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_there_of_a_copy_is_deleted() {
    let bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    // As a crash leaves it: at the first step of making it, between its disks, at the last of deleting it.
    let leave: [&dyn Fn(&PathBuf); 3] = [
        &|folder| fs::remove_file(folder.join("copy.json")).unwrap(),
        &|folder| fs::remove_file(folder.join("disk1.raw")).unwrap(),
        &|folder| {
            fs::remove_file(folder.join("disk0.raw")).unwrap();
            fs::remove_file(folder.join("guest.log")).unwrap();
        },
    ];
    for leave in leave {
        bench.did("start_copy", of_snapshot()).await;
        let folder = folders(&bench)[0].clone();
        leave(&folder);
        bench.twice("delete_copy", of_copy()).await;
        nothing_is_left(&bench).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_copy_does_not_boot_and_the_machine_stays_as_it_is() {
    let bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    let args = of_snapshot();
    let mut begun = bench.attempt("start_copy", &args);
    begun.cut = Some(Cut::AtFirstSave);
    begun.go().await.unwrap_err();
    bench.did("start_copy", args.clone()).await;
    let folder = folders(&bench)[0].clone();
    let mut plug = std::os::unix::net::UnixStream::connect(folder.join("control.sock")).unwrap();
    std::io::Write::write_all(&mut plug, b"\"kill\"\n").unwrap();
    let _ = std::io::Read::read_to_end(&mut plug, &mut Vec::new());
    let disk = fs::File::options().write(true).open(folder.join("disk0.raw")).unwrap();
    disk.write_all_at(&[7; 8192], 0).unwrap();
    let torn = bench.once("start_copy", &args).await.unwrap_err();
    assert!(torn.class == Class::Permanent && torn.message.contains("does not boot"), "{torn:?}");
    bench.did("delete_copy", of_copy()).await;
    nothing_is_left(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_run_left_is_deleted_by_the_next_or_by_a_reset() {
    let mut bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    bench.did("start_copy", of_snapshot()).await;
    let left = folders(&bench);
    bench.another_run("r2").await;
    let copies = bench.practice.verify().await.unwrap().copies;
    assert_eq!(copies[0].run.as_str(), "r1");
    bench.did("snapshot", json!({})).await;
    bench.did("start_copy", of_snapshot()).await;
    assert_eq!(bench.practice.status().await.unwrap().copies.len(), 1);
    assert_ne!(folders(&bench), left);
    let lock = fs::File::open(folders(&bench)[0].join("lock")).unwrap();
    bench.practice.reset().await.unwrap();
    // Its guest held this for as long as it lived.
    lock.try_lock().unwrap();
    assert!(!bench.folder.path().join("lab/dc1/hosts").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_encrypted_disks_opens_with_their_key() {
    let bench = Bench::with_key(Some("right")).await;
    bench.did("snapshot", json!({})).await;
    bench.twice("start_copy", of_snapshot()).await;
    let mut checked = bench.attempt("check", &json!({ "machine": { "step": "start_copy" } }));
    checked.limit = Some(Duration::from_secs(20));
    checked.go().await.unwrap();
    bench.twice("delete_copy", of_copy()).await;
    nothing_is_left(&bench).await;
}
