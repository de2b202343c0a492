//! The other direction: from on-prem to the cloud and home again; and a side that is lost.

use homing::base::Side;
use homing::plan::facts::{Power, ReplicaState};
use homing::sites::look;
use serde_json::json;

use crate::support::bench::{Bench, Cut};

/// Home, committed, protected towards the cloud.
async fn at_home() -> Bench {
    let bench = Bench::new().await;
    bench.switch_over().await;
    bench.did("check", json!({})).await;
    bench.did("commit", json!({})).await;
    bench.did("reverse_replicate", json!({})).await;
    bench
}

/// The final copy is in the cloud, on-prem rests.
async fn brought_over(bench: &Bench) {
    bench.twice("snapshot.2", json!({})).await;
    let sent = bench.twice("transfer_delta.2", json!({ "from": { "step": "snapshot.2" } })).await;
    assert_eq!((&sent["mode"], &sent["method"]), (&json!("delta"), &json!("tracking")));
    bench.twice("shutdown_onprem_vm.2", json!({})).await;
    bench.refused("start_azure_vm.0", "H314").await;
    let mut cut = bench.attempt("transfer_delta.3", &json!({}));
    cut.cut = Some(Cut::AtFirstSave);
    cut.go().await.unwrap_err();
    bench.refused("start_azure_vm.0", "H303").await;
    bench.twice("transfer_delta.3", json!({})).await;
}

async fn replica(bench: &Bench) -> ReplicaState {
    let (cloud, onprem) = (bench.look(Side::Cloud).await, bench.look(Side::Onprem).await);
    let (live, passive) = match look::active(&cloud, &onprem) {
        Side::Cloud => (cloud, onprem),
        Side::Onprem => (onprem, cloud),
    };
    look::replica(&live, &passive).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_fails_over_as_planned_and_comes_home_again() {
    let bench = at_home().await;
    assert!(!bench.look(Side::Cloud).await.exists, "its commit deleted it");
    bench.refused("commit_failover.0", "H332").await;
    brought_over(&bench).await;
    for side in [Side::Cloud, Side::Onprem] {
        // Cut off before anything was changed in the cloud, or nowhere: no harm is done.
        let mut begun = bench.attempt("start_azure_vm.2", &json!({}));
        begun.cut = Some(Cut::BeforeChanging(side));
        assert_eq!(begun.go().await.is_err(), side == Side::Cloud);
    }
    let again = bench.twice("start_azure_vm.2", json!({})).await;
    assert_eq!(again["already_running"], true);
    bench.refused("start_onprem_vm.2", "H312").await;
    bench.twice("check.2", json!({})).await;
    let cloud = bench.look(Side::Cloud).await;
    assert!(cloud.exists && !cloud.committed && cloud.power == Power::On);
    bench.refused("commit.2", "H315").await;
    bench.refused("transfer_delta.4", "H319").await;
    assert_eq!(replica(&bench).await, ReplicaState::Stale, "on-prem rests as it was left");

    let mut begun = bench.attempt("commit_failover.2", &json!({}));
    begun.cut = Some(Cut::BeforeChanging(Side::Cloud));
    begun.go().await.unwrap_err();
    bench.twice("commit_failover.2", json!({})).await;
    bench.is_good().await;
    bench.did("shutdown_azure_vm.3", json!({})).await;
    bench.refused("start_onprem_vm.2", "H322").await;
    bench.did("start_azure_vm.3", json!({})).await;

    // And home again, by what changed only.
    bench.twice("snapshot.5", json!({})).await;
    let sent = bench.twice("transfer_delta.5", json!({ "from": { "step": "snapshot.5" } })).await;
    assert_eq!(sent["mode"], "delta", "{sent}");
    bench.did("shutdown_azure_vm.5", json!({})).await;
    bench.did("transfer_delta.6", json!({})).await;
    bench.did("start_onprem_vm.5", json!({})).await;
    bench.did("check.5", json!({})).await;
    assert_eq!(bench.twice("commit.5", json!({})).await["deleted"], true);
    bench.twice("reverse_replicate.5", json!({})).await;
    assert_eq!(bench.is_good().await["protected"], "onprem_to_cloud");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_taken_back_before_its_commit() {
    let bench = at_home().await;
    brought_over(&bench).await;
    bench.did("start_azure_vm.2", json!({})).await;
    bench.did("shutdown_azure_vm.2", json!({})).await;
    bench.refused("commit_failover.2", "H332").await;
    // What the cloud wrote is given up; its disks are no copy of anything then.
    bench.twice("start_onprem_vm.2", json!({})).await;
    assert_eq!(replica(&bench).await, ReplicaState::Diverged);
    bench.did("check.2", json!({})).await;
    bench.refused("start_azure_vm.3", "H312").await;
    bench.did("shutdown_onprem_vm.3", json!({})).await;
    bench.refused("start_azure_vm.3", "H304").await;
    // Once more, and it works.
    bench.did("transfer_delta.4", json!({})).await;
    bench.did("start_azure_vm.4", json!({})).await;
    bench.did("commit_failover.4", json!({})).await;
    assert!(!bench.practice.verify().await.unwrap().machines[0].overlap);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_restarted_in_the_cloud_is_taken_back_all_the_same() {
    let bench = at_home().await;
    brought_over(&bench).await;
    for step in ["2", "3"] {
        bench.did(&format!("start_azure_vm.{step}"), json!({})).await;
        bench.did(&format!("shutdown_azure_vm.{step}"), json!({})).await;
    }
    assert_eq!(replica(&bench).await, ReplicaState::Stale, "on-prem rests as it was left");
    bench.twice("start_onprem_vm.2", json!({})).await;
    assert_eq!(replica(&bench).await, ReplicaState::Diverged);
    // Taken back twice: the second failover starts from the on-prem side as it is now.
    bench.did("shutdown_onprem_vm.3", json!({})).await;
    bench.did("transfer_delta.4", json!({})).await;
    bench.did("start_azure_vm.4", json!({})).await;
    bench.did("shutdown_azure_vm.4", json!({})).await;
    bench.did("start_onprem_vm.4", json!({})).await;
    bench.did("check.4", json!({})).await;
    assert!(!bench.practice.verify().await.unwrap().machines[0].overlap);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failback_taken_back_leaves_a_diverged_replica_at_home() {
    let bench = Bench::new().await;
    bench.switch_over().await;
    assert_eq!(replica(&bench).await, ReplicaState::Stale, "the cloud rests as it was left");
    bench.did("shutdown_onprem_vm", json!({})).await;
    bench.twice("start_azure_vm", json!({})).await;
    assert_eq!(replica(&bench).await, ReplicaState::Diverged);
    bench.did("shutdown_azure_vm.2", json!({})).await;
    bench.refused("start_onprem_vm.2", "H304").await;
    bench.did("transfer_delta.2", json!({})).await;
    bench.did("start_onprem_vm.2", json!({})).await;
    bench.did("commit.2", json!({})).await;
}

fn lost(side: &str) -> serde_json::Value {
    json!({ "side": side, "reason": "the data centre burns" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_burned_is_declared_lost_and_the_cloud_takes_over() {
    let mut bench = at_home().await;
    bench.refused_with("declare_lost.1", lost("onprem"), "H331").await;
    bench.kill(Side::Onprem).await;
    bench.connect("hv-01", false);
    assert_eq!(bench.look(Side::Onprem).await.power, Power::Unknown);
    bench.refused("start_azure_vm.1", "H312").await;

    let mut begun = bench.attempt("declare_lost.2", &lost("onprem"));
    begun.cut = Some(Cut::BeforeChanging(Side::Cloud));
    begun.go().await.unwrap_err();
    bench.refused("start_azure_vm.1", "H312").await;
    let declared = bench.twice("declare_lost.2", lost("onprem")).await;
    assert_eq!(declared["fenced"], false);
    let mark = bench.look(Side::Cloud).await.lost_twin.unwrap();
    assert_eq!((mark.run.as_str(), mark.reason.as_str()), ("r1", "the data centre burns"));

    bench.twice("start_azure_vm.2", json!({})).await;
    bench.twice("check.2", json!({})).await;
    bench.twice("commit_failover.2", json!({})).await;
    // It may be stopped and started while nobody sees the other side.
    bench.did("shutdown_azure_vm.3", json!({})).await;
    bench.did("start_azure_vm.3", json!({})).await;

    // The data centre is back. Its disks hold writes that nobody has: compared, never trusted.
    bench.connect("hv-01", true);
    bench.did("shutdown_onprem_vm.4", json!({})).await;
    assert_eq!(replica(&bench).await, ReplicaState::Diverged);
    bench.did("snapshot.4", json!({})).await;
    let sent = bench.twice("transfer_delta.4", json!({ "from": { "step": "snapshot.4" } })).await;
    assert_eq!(sent["method"], "checksums", "{sent}");
    bench.did("shutdown_azure_vm.4", json!({})).await;
    bench.did("transfer_delta.5", json!({})).await;
    bench.did("start_onprem_vm.4", json!({})).await;
    assert!(bench.look(Side::Cloud).await.lost_twin.is_none(), "it is back");
    // The old declaration excuses nothing any more.
    bench.connect("hv-01", false);
    bench.refused("start_azure_vm.5", "H312").await;
    bench.connect("hv-01", true);
    bench.did("commit.5", json!({})).await;
    bench.did("reverse_replicate.5", json!({})).await;
    let report = bench.practice.verify().await.unwrap();
    assert!(!report.machines[0].overlap && report.machines[0].why.is_none(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_believed_only_where_the_run_began_with_it() {
    let mut bench = at_home().await;
    bench.kill(Side::Onprem).await;
    bench.answer("dc1", false);
    let claimed = bench.attempt("declare_lost", &lost("onprem")).go().await.unwrap_err();
    assert!(claimed.may_retry(), "the line may be cut for a moment: {claimed:?}");
    bench.leave(Side::Onprem);
    bench.answer("dc1", true);
    let answers = bench.attempt("declare_lost", &lost("onprem")).go().await.unwrap_err();
    assert!(answers.message.contains("answers again"), "{answers:?}");
    assert!(bench.look(Side::Cloud).await.lost_twin.is_none(), "nothing was changed");
    bench.answer("dc1", false);
    let unseen = bench.attempt("start_azure_vm", &json!({})).go().await.unwrap_err();
    assert!(unseen.may_retry(), "{unseen:?}");
    bench.twice("declare_lost", lost("onprem")).await;
    bench.twice("start_azure_vm", json!({})).await;
    bench.twice("check", json!({})).await;
    bench.twice("commit_failover", json!({})).await;
    bench.did("shutdown_azure_vm.2", json!({})).await;
    bench.did("start_azure_vm.2", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_side_that_is_off_is_fenced_and_may_still_come_back() {
    let bench = at_home().await;
    bench.kill(Side::Onprem).await;
    let mut begun = bench.attempt("declare_lost", &lost("onprem"));
    begun.cut = Some(Cut::BeforeChanging(Side::Onprem));
    begun.go().await.unwrap_err();
    let declared = bench.twice("declare_lost", lost("onprem")).await;
    assert_eq!(declared["fenced"], true);
    assert!(bench.look(Side::Onprem).await.fenced);
    bench.did("start_azure_vm", json!({})).await;
    // Before the commit the way back is open: whole disks, with everything they had.
    bench.did("shutdown_azure_vm.2", json!({})).await;
    bench.did("start_onprem_vm.2", json!({})).await;
    bench.did("check.2", json!({})).await;
    assert!(bench.look(Side::Cloud).await.lost_twin.is_none());
    bench.did("shutdown_onprem_vm.3", json!({})).await;
    bench.refused("start_azure_vm.3", "H304").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_lost_gives_way_to_an_older_copy_at_home() {
    let bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    bench.did("transfer_delta", json!({ "from": { "step": "snapshot" } })).await;
    bench.kill(Side::Cloud).await;
    bench.refused("start_onprem_vm", "H314").await;
    bench.twice("declare_lost", lost("cloud")).await;
    bench.twice("start_onprem_vm", json!({})).await;
    bench.twice("check", json!({})).await;
    bench.twice("commit", json!({})).await;
    assert!(!bench.look(Side::Cloud).await.exists);
    let back = bench.twice("reverse_replicate", json!({})).await;
    assert_eq!(back["mode"], "changes", "{back}");
    let report = bench.practice.verify().await.unwrap();
    assert!(!report.machines[0].overlap && report.machines[0].why.is_none(), "{report:?}");
}
