//! The catalogue of faults: each provoked for real, with what the operator is told, how the process ends, and
//! that what it says to type goes on. Nothing boots dirty, nothing acknowledged is lost.
//!
//! | fault | where |
//! |---|---|
//! | no room where the replica is; read and write errors; a checksum that differs; a source that goes; a wrong key | `disks` |
//! | a snapshot or machine deleted, or started, by somebody; a host that is cut off | `machines` |
//! | a site that is silent as a whole | `sites` |
//! | the journal full, taken away, replaced, torn; a state folder that was copied | `state`, `src/journal` |
//! | two operators, two processes, two answers; a plan that is replaced under its run | `people` |
//! | a clock that is put back | `src/execute/clock.rs`, `src/schedule/trial.rs`, `src/report` |
//! | power that goes before a flush | `src/transfer/tests.rs`, `rehearse`, `src/journal/power.rs` |

mod disks;
mod garbled;
mod machines;
mod people;
mod sites;
mod state;

use crate::support::Ground;

/// Phase 1, the switch, and home; what fails, fails soon.
const HOME: &str = r#"let web = vm("web-01");
policy(#{ retry: #{ attempts: 2, first: "1ms", max: "1ms" } });
transfer_delta(snapshot(web));
approve("Go on?", #{ name: "go", timeout: "1h" });
shutdown_azure_vm(web);
transfer_delta(web, #{ mode: "full", in_downtime: true });
approve("Start?", #{ name: "start", timeout: "1h" });
start_onprem_vm(web);
check(web);
"#;

/// A run of [`HOME`] that waits at that gate.
fn at_the_gate(gate: &str) -> (Ground, String) {
    let ground = Ground::new();
    ground.write("home.rhai", HOME);
    let before: &[&str] = if gate == "start" { &["--approve", "go"] } else { &[] };
    ground.homing(&[&["run", "home.rhai"], before].concat()).exit(4);
    let run = ground.newest_run();
    (ground, run)
}

/// It is at home, and every write that was acknowledged is there.
#[track_caller]
fn is_home(ground: &Ground) {
    let web = &ground.verified()[1];
    assert_eq!(web["running_on"], "dc1", "{web}");
    assert_eq!(web["overlap"], false, "{web}");
}
