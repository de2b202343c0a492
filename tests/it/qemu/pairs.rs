//! Any pairing of providers: the same steps, the same proofs.

use std::path::Path;

use crate::qemu::{FAILBACK, with_disks};
use crate::support::qemu::{QemuGround, installed, tool};

#[track_caller]
fn same(a: (&Path, &str), b: (&Path, &str)) {
    for (disk, bytes) in [(0, "16777216"), (1, "8388608")] {
        let file = |(folder, format): (&Path, &str)| {
            let name = if format == "qcow2" { "qcow2" } else { "raw" };
            folder.join(format!("disk{disk}.{name}")).display().to_string()
        };
        let argv = ["qemu-img", "compare", "-U", "-f", a.1, "-F", b.1, &file(a), &file(b)];
        let said = tool(&argv, Path::new("/"));
        assert!(said.contains("identical"), "{disk}, {bytes} bytes: {said}");
    }
}

#[test]
fn qemu_to_qemu_and_back_sends_changes_only() {
    if !installed() {
        return;
    }
    let ground = with_disks();
    ground.write("p.rhai", FAILBACK);
    ground.homing(&["run", "p.rhai", "--approve", "all"]).exit(0);
    let run = ground.newest_run();
    let sent = |step: &str| {
        let steps = ground.homing(&["show", &run, "--format", "json"]).json();
        let steps = steps["steps"].as_array().unwrap().clone();
        let found = steps.iter().find(|found| found["id"] == step).unwrap().clone();
        found["outputs"].clone()
    };
    assert_eq!(sent("web-01.transfer_delta.1")["bytes_sent"], 6 << 20, "3 MiB of each disk");
    let last = sent("web-01.transfer_delta.2");
    assert_eq!((last["bytes_sent"].as_u64(), last["method"].as_str()), (Some(0), Some("tracking")));
    assert_eq!(sent("web-01.reverse_replicate.1")["bytes_sent"], 0);
    let (cloud, home) =
        (ground.machine("azure", None, "web-01"), ground.machine("dc1", Some("kvm-01"), "web-01"));
    same((&cloud, "qcow2"), (&home, "raw"));
    assert!(!cloud.join("snapshots").read_dir().unwrap().any(|_| true), "none is left");
    assert!(!home.join("snapshots").read_dir().unwrap().any(|_| true), "none is left");
}

/// The machine lives in a lab's cloud and comes home to QEMU; its ledger is the judge when it is back.
const MIXED: &str = r#"
[site.azure]
provider = "lab"
path = ".homing/lab/azure"

[site.dc1]
provider = "qemu"
path = ".homing/qemu/dc1"
format = "FORMAT"
accel = "tcg"
hosts = { kvm-01 = {} }

[machine.web-01]
cloud = "azure"
onprem = "dc1/kvm-01"
disks = ["16MiB", "8MiB"]
lab = { writes_per_second = 200 }
qemu = { memory = "32MiB" }
"#;

const HOME: &str = r#"
let web = vm("web-01");
create_onprem_vm(web);
transfer_delta(snapshot(web));
attempt(|| {
    shutdown_azure_vm(web);
    transfer_delta(web);
}).on_failure(|| { start_azure_vm(web); });
start_onprem_vm(web);
approve("Commit", #{ name: "commit", timeout: "1h" });
commit(web);
reverse_replicate(web);
"#;

const AWAY: &str = r#"
let web = vm("web-01");
transfer_delta(snapshot(web));
attempt(|| {
    shutdown_onprem_vm(web, #{ grace: "200ms" });
    transfer_delta(web);
}).on_failure(|| { start_onprem_vm(web); });
start_azure_vm(web);
check(web, #{ timeout: "30s" });
commit_failover(web);
"#;

#[test]
fn lab_to_qemu_and_qemu_to_lab_lose_nothing() {
    if !installed() {
        return;
    }
    for format in ["raw", "qcow2"] {
        let ground = QemuGround::new(&MIXED.replace("FORMAT", format));
        ground.write("home.rhai", HOME);
        ground.write("away.rhai", AWAY);
        ground.homing(&["run", "home.rhai", "--approve", "all"]).exit(0);
        let lab = ground.path().join(".homing/lab/azure/disks/web-01");
        let home = ground.machine("dc1", Some("kvm-01"), "web-01");
        same((&lab, "raw"), (&home, format));
        ground.homing(&["run", "away.rhai", "--approve", "all"]).exit(0);
        let web = &ground.verified()[0];
        assert_eq!((&web["lost"], &web["running_on"]), (&0.into(), &"azure".into()), "{web}");
        assert!(web["acknowledged"].as_u64().unwrap() > 1000, "its ledger went on: {web}");
    }
}
