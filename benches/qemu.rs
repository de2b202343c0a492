//! Whether the downtime of a failback depends on the size of the disks: one real guest each with 64 MiB and with
//! 4 GiB, which wrote the same records, comes home, in turns. `cargo bench --bench qemu -- 5` (rounds); by hand,
//! never in the tests. It needs what `.ci/packages` installs.

#![expect(clippy::print_stdout, reason = "a report for whoever ran it")]

use std::path::Path;
use std::process::{Command, Output};

use homing::base::Timestamp;
use serde_json::Value;

const SIZES: [&str; 2] = ["64MiB", "4GiB"];
/// Records written before the failback begins.
const RECORDS: u64 = 300;

const INVENTORY: &str = r#"
[site.azure]
provider = "qemu"
path = "qemu/azure"

[site.dc1]
provider = "qemu"
path = "qemu/dc1"
format = "raw"
hosts = { kvm-01 = {} }

[machine.web-01]
cloud = "azure"
onprem = "dc1/kvm-01"
disks = ["SIZE"]
qemu = { guest = "practice", memory = "128MiB" }
"#;

/// Seconds of one failback.
struct Downtime {
    /// From the end of the guest's shutdown to the end of the final transfer.
    transfer: f64,
    /// From the shutdown's beginning until the machine at home has been started.
    engine: f64,
    /// From the last record acknowledged in the cloud to the first one at home: the guest's boot with it.
    guest: f64,
    /// Bytes sent by the final transfer.
    sent: u64,
}

fn main() {
    let rounds = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(3);
    let mut all: [Vec<Downtime>; 2] = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (size, found) in SIZES.iter().zip(&mut all) {
            let one = failback(size);
            println!(
                "round {round}, {size:>6}: final transfer {:.2} s ({} KiB), until started {:.2} s, by the guest {:.2} s",
                one.transfer,
                one.sent >> 10,
                one.engine,
                one.guest
            );
            found.push(one);
        }
    }
    let median = |of: &[Downtime], which: fn(&Downtime) -> f64| {
        let mut values: Vec<f64> = of.iter().map(which).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (name, which) in [
        ("final transfer", (|d| d.transfer) as fn(&Downtime) -> f64),
        ("until started", |d| d.engine),
        ("by the guest", |d| d.guest),
    ] {
        let [small, large] = [median(&all[0], which), median(&all[1], which)];
        println!("{name}: median {small:.2} s and {large:.2} s, ratio {:.2}", large / small);
    }
}

fn failback(size: &str) -> Downtime {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/qemu-drill.rhai");
    std::fs::copy(script, folder.join("drill.rhai")).expect("the script");
    std::fs::write(folder.join("homing.toml"), INVENTORY.replace("SIZE", size)).expect("a file");
    homing(folder, &["lab", "init"]);
    while acknowledged(folder) < RECORDS {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    let ran = homing(folder, &["run", "drill.rhai", "--approve", "all", "--output", "jsonl"]);
    let events: Vec<Value> = String::from_utf8_lossy(&ran.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect();
    let of = |name: &str, part: &str| {
        let fits = |event: &&Value| {
            event["event"] == name && event["step"].as_str().is_some_and(|step| step.contains(part))
        };
        events.iter().rfind(fits).expect(part)
    };
    let at = |event: &Value| -> Timestamp {
        event["at"].as_str().expect("a time").parse().expect("a time")
    };
    let seconds = |from: &Value, to: &Value| at(to).duration_since(at(from)).as_secs_f64();
    let begun = of("attempt_started", "shutdown_azure_vm");
    let off = of("step_succeeded", "shutdown_azure_vm");
    let moved = of("step_succeeded", "transfer_delta");
    let started = of("step_succeeded", "start_onprem_vm");
    let verdict = homing(folder, &["lab", "verify", "--format", "json"]);
    let verdict: Value = serde_json::from_slice(&verdict.stdout).expect("a report");
    homing(folder, &["lab", "reset", "--yes"]);
    Downtime {
        transfer: seconds(off, moved),
        engine: seconds(begun, started),
        guest: verdict["machines"][0]["downtime_s"].as_f64().expect("it was down"),
        sent: moved["outputs"]["bytes_sent"].as_u64().unwrap_or(0),
    }
}

fn acknowledged(folder: &Path) -> u64 {
    let status = homing(folder, &["lab", "status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&status.stdout).expect("a report");
    status["machines"][0]["acknowledged"].as_u64().unwrap_or(0)
}

fn homing(folder: &Path, args: &[&str]) -> Output {
    let ran = Command::new(env!("CARGO_BIN_EXE_homing"))
        .args(args)
        .current_dir(folder)
        .output()
        .expect("the binary");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    ran
}
