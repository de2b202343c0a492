//! Commands of a plan: here, on a host, inside a machine; once, again, cut off. And conditions that are
//! looked at while a plan runs.

use std::time::{Duration, Instant};

use homing::base::{Json, Side};
use homing::run::failure::Class;
use serde_json::json;

use crate::support::bench::{Bench, Cut};

fn sh(line: &str) -> Json {
    json!({ "argv": ["/bin/sh", "-c", line] })
}

fn with(mut args: Json, name: &str, value: Json) -> Json {
    args[name] = value;
    args
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_once_with_what_it_is_given_and_its_result_is_kept() {
    let bench = Bench::new().await;
    let line = "echo x >> ran; printf '%s' \"$HOMING_STEP/$HOMING_MACHINE/$HOMING_STEP_KEY/$WORD/${HOME:-none}\"";
    let args = with(sh(line), "env", json!({ "WORD": "a b" }));
    let first = bench.twice("run_command", args).await;
    assert_eq!(first["status"], 0);
    let said = first["stdout"].as_str().unwrap();
    assert!(said.starts_with("run_command/web-01/") && said.ends_with("/a b/none"), "{said}");
    let ran = std::fs::read_to_string(bench.folder.path().join("ran")).unwrap();
    assert_eq!(ran, "x\n", "the second attempt found the first one's result");

    let failed = bench.once("run_command.2", &sh("echo why >&2; exit 4")).await.unwrap_err();
    assert_eq!(failed.class, Class::Permanent);
    assert!(failed.message.contains("status 4: why"), "{failed:?}");
    let again = with(sh("exit 4"), "repeatable", json!(true));
    assert!(bench.once("run_command.3", &again).await.unwrap_err().may_retry());
    let unlisted = json!({ "argv": ["/bin/bash", "-c", "true"] });
    bench.refused_with("run_command.4", unlisted, "H323").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_end_nobody_saw_is_not_run_again() {
    let bench = Bench::new().await;
    let marker = bench.folder.path().join("begun");
    let line = format!("echo $$ >> {}; sleep 60", marker.display());
    let ran = || std::fs::read_to_string(&marker).map_or(0, |text| text.lines().count());
    for (step, repeatable) in [("run_command.1", false), ("run_command.2", true)] {
        let before = ran();
        let args = with(sh(&line), "repeatable", json!(repeatable));
        let attempt = bench.attempt(step, &args);
        let stop = attempt.cancelled.clone();
        let watching = async {
            while ran() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(attempt.go(), watching);
        assert_eq!(ended.unwrap_err().class, Class::Cancelled);
    }
    bench.refused_with("run_command.1", sh(&line), "H329").await;
    let quick = with(sh("true"), "repeatable", json!(true));
    bench.did("run_command.2", quick).await;

    // Cut off between the mark and the start, as by a crash.
    let mut begun = bench.attempt("run_command.3", &sh("exit 0"));
    begun.cut = Some(Cut::AtFirstSave);
    assert_eq!(begun.go().await.unwrap_err().class, Class::Cancelled);
    bench.refused_with("run_command.3", sh("exit 0"), "H329").await;

    // One that was never started is simply tried again.
    let missing = json!({ "argv": ["/bin/sh", "-c", "exit 0"], "on": "guest" });
    bench.did("shutdown_azure_vm", json!({})).await;
    let off = bench.once("run_command.4", &missing).await.unwrap_err();
    assert!(off.message.contains("neither side"), "{off:?}");
    bench.did("start_azure_vm", json!({})).await;
    bench.did("run_command.4", missing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_run_on_the_host_and_inside_the_machine() {
    let bench = Bench::new().await;
    let on = |line: &str, place: &str| with(sh(line), "on", json!(place));
    let host = bench.twice("run_command.1", on("echo $HOMING_HOST; pwd; touch been", "host")).await;
    let said = host["stdout"].as_str().unwrap();
    assert!(said.starts_with("hv-01\n") && said.ends_with("/lab/dc1/hosts/hv-01\n"), "{said}");
    assert!(bench.folder.path().join("lab/dc1/hosts/hv-01/been").exists());

    let guest = bench.twice("run_command.2", on("pwd; echo no >&2", "guest")).await;
    assert!(guest["stdout"].as_str().unwrap().ends_with("/lab/azure/disks/web-01\n"), "{guest}");
    let bad = bench.once("run_command.3", &on("exit 9", "guest")).await.unwrap_err();
    assert!(bad.message.contains("status 9"), "{bad:?}");

    // A command in a machine ends with the machine.
    let marker = bench.folder.path().join("inside");
    let line = format!("echo $$ > {}; sleep 60", marker.display());
    let args = on(&line, "guest");
    let running = bench.attempt("run_command.4", &args);
    let stopping = async {
        while !std::fs::read_to_string(&marker).is_ok_and(|text| text.ends_with('\n')) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bench.stop_by_hand(Side::Cloud).await;
    };
    let (cut, ()) = tokio::join!(running.go(), stopping);
    assert_eq!(cut.unwrap_err().class, Class::Transient);
    bench.refused_with("run_command.4", on(&line, "guest"), "H329").await;
    let pid = std::fs::read_to_string(&marker).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists(), "it is gone");
}

fn output(of: &str, name: &str) -> Json {
    json!({ "of": of, "output": name })
}

fn op(op: &str, args: &[Json; 2]) -> Json {
    json!({ "op": op, "args": args })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_of_the_script_fails_the_step_when_it_holds() {
    let bench = Bench::new().await;
    bench.did("run_command", sh("echo seven")).await;
    let args = |wanted: i64| {
        json!({
            "condition": { "deferred": op("==", &[output("run_command", "status"), json!({ "value": wanted })]) },
            "message": { "text": ["it said ", { "deferred": output("run_command", "stdout") }] },
        })
    };
    bench.twice("fail_if.1", args(1)).await;
    let failed = bench.refused_with("fail_if.2", args(0), "H330").await;
    assert_eq!(failed.message, "it said seven\n");
    let unknown = json!({ "condition": { "deferred": output("check.9", "ok") }, "message": "m" });
    let unknown = bench.once("fail_if.3", &unknown).await.unwrap_err();
    assert!(unknown.message.contains("check.9"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_looks_again_until_its_condition_holds() {
    let bench = Bench::new().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let probe = json!({
        "step": "check.1", "primitive": "check", "machine": "web-01",
        "args": { "tcp": port, "every": "20ms", "side": "cloud" },
    });
    let args = json!({
        "condition": { "until": output("check.1", "ok") }, "probes": [probe], "every": "10ms",
    });
    let mut short = bench.attempt("wait_until.1", &args);
    short.limit = Some(Duration::from_millis(200));
    let late = short.go().await.unwrap_err();
    assert_eq!(late.class, Class::TimedOut, "{late:?}");
    assert!(late.message.contains(&port.to_string()), "it says what it saw: {late:?}");

    let waiting = bench.attempt("wait_until.2", &args);
    let begun = Instant::now();
    let opening = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap()
    };
    let (held, _open) = tokio::join!(waiting.go(), opening);
    assert_eq!(held.unwrap()["looks"], 1, "one look goes on for a while");
    assert!(begun.elapsed() >= Duration::from_millis(100));

    // What is read beside the probes stays as it was.
    bench.did("run_command", sh("true")).await;
    let never = json!({ "condition": { "until": op("==", &[output("run_command", "status"), json!({ "value": 1 })]) }, "probes": [] });
    let mut never = bench.attempt("wait_until.3", &never);
    never.limit = Some(Duration::from_millis(50));
    assert_eq!(never.go().await.unwrap_err().class, Class::TimedOut);
}
