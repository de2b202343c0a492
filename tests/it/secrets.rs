//! A key is called by its name. Its value stands in no plan, journal, log, error, process list or file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::Ground;

const SECRET: &str = "correct-horse-battery-staple-4711";
const WRONG: &str = "wrong-zebra-charger-paperclip-1174";

/// One machine whose disks are encrypted.
fn vault() -> Ground {
    let ground = Ground::new();
    ground.edit("homing.toml", "[machine.web-01]", "[machine.web-01]\nkey = \"shop\"");
    let machine = ground.read("homing.toml");
    let (before, after) = machine.split_once("[machine.web-01]").unwrap();
    let after = after.replacen("lab = { ", "lab = { encrypted = true, ", 1);
    let key = "\n[key.shop]\nfile = \"shop.key\"\n";
    ground.write("homing.toml", &format!("{before}[machine.web-01]{after}{key}"));
    ground.write("shop.key", SECRET);
    ground
}

fn tells(bytes: &[u8]) -> bool {
    [SECRET, WRONG].iter().any(|key| bytes.windows(key.len()).any(|part| part == key.as_bytes()))
}

#[test]
fn a_key_is_nowhere_but_in_its_own_file() {
    let ground = vault();
    let mut said = Vec::new();
    for format in ["text", "json", "html", "dot"] {
        said.push(ground.homing(&["plan", "failback-one.rhai", "--format", format]).exit(0));
    }
    said.push(ground.homing(&["plan", "failback-one.rhai", "--out", "plan.json"]).exit(0));
    said.push(ground.homing(&["runbook", "failback-one.rhai"]).exit(0));
    said.push(ground.homing(&["lab", "init"]).exit(0));
    // Refused over the key, in every way that it is told.
    ground.write("shop.key", WRONG);
    let refused = ["-vv", "run", "failback-one.rhai", "--approve", "all"];
    said.push(ground.homing(&refused).exit(1).says(&["H308"]));
    let run = ground.newest_run();
    said.push(ground.homing(&["cancel", &run]).exit(0));
    ground.write("shop.key", SECRET);
    let mut running =
        ground.start(&["run", "failback.rhai", "--on-gate", "wait", "--output", "jsonl"]);
    running.until_event("gate_opened", "complete");
    let alive = ground.processes();
    assert!(!alive.is_empty() && alive.iter().all(|one| !tells(one)), "a process list tells it");
    let run = ground.newest_run();
    for gate in ["complete", "commit"] {
        ground.homing(&["approve", &run, gate]).exit(0);
        if gate == "complete" {
            running.until_event("gate_opened", "commit");
        }
    }
    assert_eq!(running.end(), 0);
    for args in
        [&["status"][..], &["show", &run], &["logs", &run, "--format", "json"], &["audit", &run]]
    {
        said.push(ground.homing(args).exit(0));
    }
    for one in said {
        assert!(!tells(one.out.as_bytes()) && !tells(one.err.as_bytes()), "{}{}", one.out, one.err);
    }
    let found = ground.files("");
    let own = ground.path().join("shop.key");
    assert!(tells(&fs::read(&own).unwrap()), "it would be seen");
    for path in found.iter().filter(|path| **path != own && path.is_file()) {
        assert!(!tells(&fs::read(path).unwrap()), "{} tells it", path.display());
    }
}

#[test]
fn what_a_run_leaves_is_for_its_owner_alone() {
    let ground = Ground::new();
    ground.homing(&["run", "failback-one.rhai"]).exit(4);
    let state = ground.path().join(".homing");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    let mut found = ground.files(".homing");
    found.retain(|path| path.is_file());
    assert!(found.len() > 5, "{found:?}");
    for path in found {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}
