//! `homing watch`: what a person sees on saving.

use std::fs;

use crate::support::Ground;

/// The end of every round.
const WAITS: &str = "watching;";

#[test]
fn every_save_is_checked_and_compared() {
    let ground = Ground::new();
    ground.write("plans/one.rhai", &ground.read("failback-one.rhai"));
    let talk = ground.listen(&["watch", "plans/one.rhai"]);
    talk.until("ok: 11 steps");
    talk.until(WAITS);

    ground.edit("plans/one.rhai", "grace: \"1m\"", "grace: \"3m\"");
    let told = talk.until("ok: digest");
    assert!(told.contains("shutdown_azure_vm") && told.contains("3m"), "{told}");
    talk.until(WAITS);

    // Broken: the mistake, and the last good plan is what the next one is compared with.
    ground.edit("plans/one.rhai", "commit(web);", "comit(web);");
    let told = talk.until(WAITS);
    assert!(told.contains("H102") && told.contains("commit"), "{told}");
    assert!(told.contains("broken: H102") && told.contains("the last good one"), "{told}");

    // No script at all any more: said so, and the good plan is still what counts.
    let broken = ground.read("plans/one.rhai");
    ground.write("plans/one.rhai", "let web = vm(\"web-01\"\n");
    let told = talk.until(WAITS);
    assert!(told.contains("fixed: H102") && told.contains("H101"), "{told}");
    ground.write("plans/one.rhai", &broken);
    talk.until(WAITS);

    // An editor that writes a new file and renames it over the old one.
    let mended = ground.read("plans/one.rhai").replace("comit(web);", "commit(web);");
    ground.write("plans/one.rhai.new", &mended);
    fs::rename(ground.path().join("plans/one.rhai.new"), ground.path().join("plans/one.rhai"))
        .unwrap();
    talk.until("ok: nothing changed in the plan");
    talk.until(WAITS);

    // A checkout of another branch: the folder goes and comes back.
    fs::remove_dir_all(ground.path().join("plans")).unwrap();
    talk.until("there is no script");
    ground.write("plans/one.rhai", &mended.replace("reverse_replicate(web);", ""));
    let told = talk.until("ok: digest");
    assert!(told.contains("reverse_replicate"), "{told}");
}

#[test]
fn a_rule_broken_and_mended_and_steps_in_another_order_are_told() {
    let ground = Ground::new();
    let whole = "let web = vm(\"web-01\");\nlet db = vm(\"db-01\");\n\
        transfer_delta(snapshot(web));\ntransfer_delta(snapshot(db));\n\
        approve(\"Go\", #{ name: \"go\", timeout: \"1h\" });\nshutdown_azure_vm(web);\n\
        transfer_delta(web);\nstart_onprem_vm(web);\ncheck(web);\n";
    ground.write("order.rhai", whole);
    let talk = ground.listen(&["watch", "order.rhai"]);
    talk.until(WAITS);

    ground.edit("order.rhai", "shutdown_azure_vm(web);\ntransfer_delta(web);\n", "");
    let told = talk.until(WAITS);
    assert!(told.contains("broken: H001") && told.contains("the last good one"), "{told}");

    // Mended, and web-01 goes before the gate: nothing was added, its place is another one.
    let gate = "approve(\"Go\", #{ name: \"go\", timeout: \"1h\" });\n";
    let before = whole.replace(gate, "").replace("check(web);", &format!("check(web);\n{gate}"));
    ground.write("order.rhai", &before);
    let told = talk.until(WAITS);
    assert!(told.contains("fixed: H001"), "{told}");
    assert!(
        told.contains("~ shutdown_azure_vm: behind no gate, was behind `go` (web-01)"),
        "{told}"
    );
    assert!(!told.contains("\n+ ") && !told.contains("\n- "), "{told}");
}

#[test]
fn imports_and_the_inventory_are_watched_too() {
    let ground = Ground::new();
    ground.write("plan.rhai", "import \"lib/mine\" as mine;\nmine::copy(vm(\"web-01\"));\n");
    let talk = ground.listen(&["watch", "plan.rhai"]);
    talk.until("H120");
    talk.until(WAITS);

    // The file that the import names comes into being, with its folder.
    ground.write("lib/mine.rhai", "fn copy(m) { snapshot(m) }\n");
    talk.until("ok: 1 step,");
    talk.until(WAITS);

    ground.write("lib/mine.rhai", "fn copy(m) { transfer_delta(snapshot(m)) }\n");
    talk.until("transfer_delta");
    talk.until(WAITS);

    ground.edit("homing.toml", "bandwidth", "bandwith");
    talk.until("H231");
    talk.until(WAITS);
    ground.edit("homing.toml", "bandwith", "bandwidth");
    talk.until("ok: nothing changed in the plan");
}

#[test]
fn the_library_can_be_watched_and_a_missing_script_cannot() {
    let ground = Ground::new();
    ground.homing(&["watch", "gone.rhai"]).exit(2).says(&["there is no script"]);
    let talk = ground.listen(&["watch", "std/failback", "-p", "machine=web-01"]);
    talk.until("steps, digest");
}
