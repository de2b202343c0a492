//! How good the estimate of a whole run is on the lab, once there is history: `scripts/failback.rhai` is planned
//! and run in turns. `cargo bench --bench estimate -- 6` (rounds); by hand, never in the tests.

#![expect(clippy::print_stdout, reason = "a report for whoever ran it")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn main() {
    let rounds = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(5);
    let folder = tempfile::tempdir().expect("a folder");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for name in ["failback.rhai", "homing.toml"] {
        std::fs::copy(scripts.join(name), folder.path().join(name)).expect("a script");
    }
    for round in 0..=rounds {
        homing(folder.path(), &["run", "failback.rhai", "--approve", "all"]);
        let runs = homing(folder.path(), &["runs", "--format", "json"]);
        let runs: Value = serde_json::from_str(&runs).expect("JSON");
        let newest =
            runs.as_array().expect("a list").iter().max_by_key(|run| run["started_at"].as_str());
        let run = newest.expect("a run");
        let [estimate, fact] =
            ["makespan_s", "worked_s"].map(|name| run[name].as_f64().expect("seconds"));
        println!(
            "round {round}: estimate {estimate:6.2} s, fact {fact:6.2} s, ratio {:.2}",
            estimate / fact
        );
        homing(folder.path(), &["lab", "reset", "--yes"]);
    }
}

fn homing(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_homing"));
    let said = command.args(args).arg("-q").current_dir(folder).output().expect("homing runs");
    assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).expect("text")
}
