//! Primitives on a lab with real guests, each step twice: a failback, its way back, another host, keys,
//! probes, messages. What they must refuse stands in `refusals`.

use std::time::Duration;

use homing::base::{Json, Side};
use homing::plan::inventory::MachineEntry;
use homing::run::failure::Class;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::bench::{Bench, Cut, MIB};

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
    stopped.cut = Some(Cut::AtFirstSave);
    let interrupted = stopped.go().await;
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

    let web = bench.is_good().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_comes_home_to_another_host() {
    let bench = Bench::new().await;
    let to = |host: &str, network: Option<&str>| match network {
        Some(network) => json!({ "host": host, "network": network }),
        None => json!({ "host": host }),
    };
    bench.refused_with("create_onprem_vm", to("hv-09", None), "H309").await;
    bench.refused_with("create_onprem_vm", to("hv-04", None), "H309").await;
    bench.refused_with("create_onprem_vm", to("hv-02", Some("dmz")), "H310").await;
    bench.refused_with("create_onprem_vm", to("hv-03", None), "H310").await;
    let stays = bench.twice("create_onprem_vm.1", json!({})).await;
    assert_eq!(stays["created"], false, "it is at home already");

    let created = bench.twice("create_onprem_vm.2", to("hv-02", None)).await;
    assert_eq!(created["created"], true);
    let again = bench.did("create_onprem_vm.2", to("hv-02", None)).await;
    assert_eq!(again["created"], true, "by this very step");
    bench.did("shutdown_azure_vm", json!({})).await;
    bench.refused("start_onprem_vm", "H325").await;
    bench.refused_with("transfer_delta.1", json!({ "mode": "delta" }), "H325").await;
    let moved = bench.twice("transfer_delta.2", json!({})).await;
    assert_eq!(moved["mode"], "full");
    bench.refused_with("start_onprem_vm", json!({ "host": "hv-01" }), "H324").await;
    bench.twice("start_onprem_vm", json!({ "host": "hv-02" })).await;
    let home = bench.look(Side::Onprem).await;
    assert_eq!(home.host.unwrap().as_str(), "hv-02");
    bench.is_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_deleted_is_gone_and_nothing_was_written() {
    let bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    let it = json!({ "snapshot": { "step": "snapshot" } });
    bench.twice("delete_snapshot", it).await;
    let before = bench.look(Side::Onprem).await;
    let from = json!({ "from": { "step": "snapshot" } });
    let failure = bench.once("transfer_delta", &from).await.unwrap_err();
    assert_eq!(failure.class, Class::Permanent, "{failure:?}");
    assert_eq!(bench.look(Side::Onprem).await.replica, before.replica, "it is not dirty");
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_disks_move_only_with_their_key() {
    let mut bench = Bench::with_key(Some("right")).await;
    bench.did("shutdown_azure_vm", json!({})).await;
    let before = bench.look(Side::Onprem).await;
    assert!(before.encrypted);
    bench.refused_with("transfer_delta.1", json!({ "key": "wrong" }), "H308").await;
    // An inventory that has forgotten that the disks are encrypted.
    let entry = bench.inventory.machines.values_mut().next().unwrap();
    let known =
        std::mem::replace(entry, MachineEntry { key: None, settings: [].into(), ..entry.clone() });
    bench.refused("transfer_delta.2", "H308").await;
    let unknown = bench.once("transfer_delta.3", &json!({ "key": "lost" })).await.unwrap_err();
    assert_eq!(unknown.class, Class::Permanent, "{unknown:?}");
    assert_eq!(bench.look(Side::Onprem).await, before, "refused before the first byte");

    // Named by the step, then by the inventory.
    bench.twice("transfer_delta.4", json!({ "key": "right" })).await;
    *bench.inventory.machines.values_mut().next().unwrap() = known;
    bench.twice("transfer_delta.5", json!({ "mode": "full" })).await;
    bench.twice("start_onprem_vm", json!({})).await;
    bench.is_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_base_everything_is_sent_only_when_that_is_allowed() {
    let bench = Bench::new().await;
    bench.switch_over().await;
    bench.did("commit", json!({})).await;
    // Somebody tidied the base away.
    std::fs::remove_dir_all(bench.folder.path().join("lab/azure/disks/web-01")).unwrap();
    assert!(!bench.look(Side::Cloud).await.has_disks);
    bench.refused("reverse_replicate.1", "H320").await;
    let allowed = json!({ "allow_initial": true });
    let sent = bench.twice("reverse_replicate.2", allowed).await;
    assert_eq!(sent["mode"], "initial", "{sent}");
    assert!(sent["bytes_sent"].as_u64().unwrap() > 0, "{sent}");
    assert_eq!(bench.is_good().await["protected"], "onprem_to_cloud");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_cut_off_only_goes_forward() {
    let cuts =
        [Cut::AfterIntent, Cut::BeforeChanging(Side::Onprem), Cut::BeforeChanging(Side::Cloud)];
    for cut in cuts {
        let bench = Bench::new().await;
        bench.switch_over().await;
        let mut begun = bench.attempt("commit", &json!({}));
        begun.cut = Some(cut);
        begun.go().await.unwrap_err();
        let intent = bench.intents.lock().unwrap()["commit"].clone();
        assert_eq!(intent["machine"], "web-01", "{intent}");
        assert_eq!(intent["disks_kept"], json!(["disk0.raw", "disk1.raw"]), "{intent}");
        let is_marked = bench.look(Side::Onprem).await.committed;
        assert_eq!(is_marked, cut == Cut::BeforeChanging(Side::Cloud), "{cut:?}");
        if is_marked {
            // What was meant to be gone comes to life: it is not deleted while it runs, or after.
            bench.stop_by_hand(Side::Onprem).await;
            bench.refused("start_azure_vm", "H322").await;
            bench.did("start_onprem_vm.2", json!({})).await;
        }
        assert!(bench.look(Side::Cloud).await.exists, "{cut:?}: nothing is deleted yet");
        let committed = bench.twice("commit", json!({})).await;
        assert_eq!(committed["deleted"], true, "{cut:?}");
        let later = bench.did("commit.2", json!({})).await;
        assert_eq!(later["deleted"], false, "{cut:?}: another step finds it done");
        let (cloud, onprem) = (bench.look(Side::Cloud).await, bench.look(Side::Onprem).await);
        assert_eq!((cloud.exists, cloud.has_disks, onprem.committed), (false, true, true));
        bench.did("reverse_replicate", json!({})).await;
        bench.is_good().await;
    }
}

/// Answers every request with a status; what it was sent comes back.
async fn web(status: u16) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        // What it was sent ends with the head, or with the body whose length the head says.
        let is_whole = |asked: &[u8]| {
            let text = String::from_utf8_lossy(asked);
            text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length = format!("content-length: {}", body.len());
                head.starts_with("GET ") || head.to_lowercase().contains(&length)
            })
        };
        while !is_whole(&asked) && peer.read_buf(&mut asked).await.unwrap() > 0 {}
        let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
        peer.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (port, serving)
}

async fn check(bench: &Bench, args: Json) -> Result<Json, homing::run::failure::Failure> {
    let mut attempt = bench.attempt("check", &args);
    attempt.limit = Some(Duration::from_millis(300));
    if args.get("target").is_some() {
        attempt.machine = None;
    }
    attempt.go().await
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_ask_ports_and_pages() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let open =
        check(&bench, json!({ "tcp": port, "hold": "40ms", "every": "10ms" })).await.unwrap();
    assert_eq!(open["ok"], true, "{open}");
    let open = check(&bench, json!({ "target": format!("127.0.0.1:{port}") })).await.unwrap();
    assert_eq!(open["ok"], true, "{open}");
    drop(listener);
    let closed = check(&bench, json!({ "tcp": port, "every": "50ms" })).await.unwrap_err();
    assert!(closed.class == Class::TimedOut && closed.message.contains(&port.to_string()));
    let noted =
        check(&bench, json!({ "tcp": port, "every": "50ms", "assert": false })).await.unwrap();
    assert_eq!(noted["ok"], false, "{noted}");

    let (port, served) = web(204).await;
    let path = format!(":{port}/health");
    check(&bench, json!({ "http": path, "side": "cloud" })).await.unwrap();
    assert!(served.await.unwrap().starts_with("GET /health HTTP/1.1\r\n"));
    let (port, _served) = web(503).await;
    let meant = json!({ "target": format!("http://127.0.0.1:{port}/down"), "status": 503 });
    assert_eq!(check(&bench, meant).await.unwrap()["ok"], true);
    let (port, _served) = web(500).await;
    let bad = json!({ "target": format!("http://127.0.0.1:{port}/"), "every": "400ms" });
    let bad = check(&bench, bad).await.unwrap_err();
    assert!(bad.message.contains("answers 500"), "{bad:?}");
    let homeless = check(&bench, json!({ "tcp": 22, "side": "onprem" })).await.unwrap_err();
    assert!(homeless.class == Class::Permanent && homeless.message.contains("address"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_runs_a_listed_command_and_asks_the_side_that_runs() {
    let bench = Bench::new().await;
    let sh = |line: &str| json!({ "command": ["/bin/sh", "-c", line], "every": "20ms" });
    let good = check(&bench, sh("echo all is well")).await.unwrap();
    assert!(good["detail"].as_str().unwrap().ends_with("status 0: all is well"), "{good}");
    let bad = check(&bench, sh("echo it is not >&2; exit 2")).await.unwrap_err();
    assert!(bad.class == Class::TimedOut && bad.message.contains("status 2: it is not"), "{bad:?}");
    let slow = check(&bench, sh("sleep 60")).await.unwrap_err();
    assert!(slow.message.contains("did not end within"), "{slow:?}");
    let unlisted = json!({ "command": ["/bin/bash", "-c", "true"] });
    bench.refused_with("check", unlisted, "H323").await;

    bench.did("check", json!({})).await;
    bench.switch_over().await;
    bench.did("check", json!({})).await;
    bench.boot_by_hand(Side::Cloud).await;
    bench.refused("check", "H312").await;
    bench.did("check", json!({ "side": "onprem" })).await;
    bench.stop_by_hand(Side::Cloud).await;
    bench.stop_by_hand(Side::Onprem).await;
    let off = check(&bench, json!({ "every": "20ms" })).await.unwrap_err();
    assert!(off.message.contains("runs on neither side"), "{off:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_is_told_by_a_listed_command_or_by_a_webhook() {
    let bench = Bench::new().await;
    let argv = &bench.inventory.commands["tell"].argv;
    let text = "web is home; `$(whoami)`";
    bench.twice("notify.1", json!({ "text": text, "command": argv })).await;
    let said = std::fs::read_to_string(bench.folder.path().join("said")).unwrap();
    assert_eq!(said, format!("r1 {text}"), "as data, never through a shell");
    let failed = json!({ "text": text, "command": ["/bin/false"] });
    assert!(bench.once("notify.2", &failed).await.unwrap_err().may_retry());
    let sh = json!({ "text": text, "command": ["/bin/bash", "-c", "true"] });
    bench.refused_with("notify.3", sh, "H323").await;

    let told = async |status| {
        let (port, served) = web(status).await;
        let args = json!({ "text": text, "webhook": format!("http://127.0.0.1:{port}/hook") });
        let told = bench.once("notify.4", &args).await;
        (told, served.await.unwrap())
    };
    let (good, asked) = told(200).await;
    good.unwrap();
    assert!(asked.starts_with("POST /hook ") && asked.contains("web is home"), "{asked}");
    let throttled = told(429).await.0.unwrap_err();
    assert!(matches!(throttled.class, Class::Throttled { .. }), "{throttled:?}");
    assert_eq!(told(500).await.0.unwrap_err().class, Class::Transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_by_itself_or_when_it_is_stopped() {
    let bench = Bench::new().await;
    let begun = std::time::Instant::now();
    bench.did("wait", json!({ "duration": "30ms" })).await;
    assert!(begun.elapsed() >= Duration::from_millis(30));
    let long = bench.attempt("wait", &json!({ "duration": "1h" }));
    long.cancelled.cancel();
    assert_eq!(long.go().await.unwrap_err().class, Class::Cancelled);
}
