//! What the primitives refuse whatever a plan says, each in the situation that it is for; and that no
//! refusal of the catalogue goes untested.

use homing::base::Side;
use serde_json::json;

use crate::support::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_booted_after_the_final_transfer_stops_the_start() {
    let bench = Bench::new().await;
    bench.did("shutdown_azure_vm", json!({})).await;
    bench.did("transfer_delta", json!({})).await;
    bench.did("start_azure_vm", json!({})).await;
    bench.refused("start_onprem_vm", "H312").await;
    bench.did("shutdown_azure_vm", json!({})).await;
    bench.refused("start_onprem_vm", "H313").await;
    bench.did("transfer_delta.2", json!({})).await;
    bench.did("start_onprem_vm", json!({})).await;
    bench.is_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_booted_by_itself_is_no_replica_any_more() {
    let bench = Bench::new().await;
    bench.did("shutdown_azure_vm", json!({})).await;
    bench.did("transfer_delta", json!({})).await;
    bench.boot_by_hand(Side::Onprem).await;
    bench.refused("transfer_delta.2", "H306").await;
    bench.stop_by_hand(Side::Onprem).await;
    bench.refused("start_onprem_vm", "H304").await;
    bench.did("transfer_delta.3", json!({})).await;
    bench.did("start_onprem_vm", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_needs_a_home_that_runs_and_a_cloud_that_rests() {
    let bench = Bench::new().await;
    bench.switch_over().await;
    bench.did("shutdown_onprem_vm", json!({})).await;
    bench.refused("commit", "H316").await;
    bench.did("start_onprem_vm", json!({})).await;

    bench.boot_by_hand(Side::Cloud).await;
    bench.refused("commit", "H317").await;
    let both = bench.refused("start_onprem_vm", "H312").await;
    assert!(both.message.contains("BOTH SIDES RUN NOW"), "{both:?}");
    bench.stop_by_hand(Side::Cloud).await;
    bench.refused("commit", "H318").await;
    assert!(bench.look(Side::Cloud).await.exists, "nothing was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_announced_is_deleted_only_as_it_was_then() {
    let bench = Bench::new().await;
    bench.switch_over().await;
    let mut begun = bench.attempt("commit", &json!({}));
    begun.cut = Some(crate::support::bench::Cut::BeforeChanging(Side::Cloud));
    begun.go().await.unwrap_err();
    bench.boot_by_hand(Side::Cloud).await;
    bench.refused("commit", "H311").await;
    bench.stop_by_hand(Side::Cloud).await;
    bench.refused("commit", "H311").await;
    assert!(bench.look(Side::Cloud).await.exists, "nothing was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_back_after_the_commit() {
    let bench = Bench::new().await;
    bench.did("snapshot", json!({})).await;
    bench.switch_over().await;
    bench.refused("transfer_delta.2", "H319").await;
    bench.did("commit", json!({})).await;
    let old = json!({ "from": { "step": "snapshot" } });
    bench.refused_with("transfer_delta.3", old, "H326").await;
    bench.did("shutdown_onprem_vm", json!({})).await;
    bench.refused("start_azure_vm", "H322").await;
    bench.did("start_onprem_vm", json!({})).await;
    bench.is_good().await;
}

#[test]
fn every_refusal_is_raised_somewhere_and_tested_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let registry = root.join("src/diagnostic/codes");
    let (mut raised, mut tested) = (String::new(), String::new());
    let mut folders = vec![root.join("src"), root.join("tests/it")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && !path.starts_with(&registry)
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let of_src = path.starts_with(root.join("src"));
                let (code, tests) = match text.split_once("#[cfg(test)]") {
                    Some(parts) if of_src => parts,
                    _ if of_src => (text.as_str(), ""),
                    _ => ("", text.as_str()),
                };
                raised.push_str(code);
                tested.push_str(tests);
            }
        }
    }
    for code in homing::diagnostic::codes::all().filter(|code| code.code.starts_with("H3")) {
        let quoted = format!("\"{}\"", code.code);
        assert!(raised.contains(&quoted), "{}: nothing raises it: {}", code.code, code.title);
        assert!(tested.contains(&quoted), "{}: no test sees it: {}", code.code, code.title);
    }
}
