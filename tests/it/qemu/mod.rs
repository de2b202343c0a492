//! The `qemu` provider as its users meet it: the binary, real processes of QEMU, real disks. Where a test says
//! nothing of a guest, the machine has no system: it runs all the same, and writes nothing.

mod bad_input;
mod drill;
mod pairs;

use crate::support::qemu::{QemuGround, tool};

/// One machine, qcow2 in the cloud, raw at home, without a system.
pub const ONE: &str = r#"
[site.azure]
provider = "qemu"
path = ".homing/qemu/azure"
accel = "tcg"

[site.dc1]
provider = "qemu"
path = ".homing/qemu/dc1"
format = "raw"
accel = "tcg"
hosts = { kvm-01 = {} }

[machine.web-01]
cloud = "azure"
onprem = "dc1/kvm-01"
disks = ["16MiB", "8MiB"]
qemu = { memory = "32MiB" }
"#;

/// Its disks in the cloud with something on them.
pub fn with_disks() -> QemuGround {
    let ground = QemuGround::new(ONE);
    let folder = ground.machine("azure", None, "web-01");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, size) in [("disk0.qcow2", "16M"), ("disk1.qcow2", "8M")] {
        tool(&["qemu-img", "create", "-q", "-f", "qcow2", name, size], &folder);
        tool(&["qemu-io", "-c", "write -P 7 1M 3M", name], &folder);
    }
    ground
}

/// A failback of it by hand; the guest that it has not got does not stop when it is asked.
pub const FAILBACK: &str = r#"
let web = vm("web-01");
start_azure_vm(web);
create_onprem_vm(web);
transfer_delta(snapshot(web));
attempt(|| {
    shutdown_azure_vm(web, #{ grace: "200ms" });
    transfer_delta(web);
}).on_failure(|| { start_azure_vm(web); });
start_onprem_vm(web);
approve("Commit", #{ name: "commit", timeout: "1h" });
commit(web);
reverse_replicate(web);
"#;
