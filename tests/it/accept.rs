//! `homing accept`: a fact changed between the review and the run.

use crate::support::Ground;

const SCRIPT: &str = r#"let web = vm("web-01");
if web.tags.tier == "web" {
    approve("Go on?", #{ name: "go" });
    transfer_delta(snapshot(web));
    attempt(|| {
        shutdown_azure_vm(web);
        transfer_delta(web);
    }).on_failure(|| { start_azure_vm(web); });
    start_onprem_vm(web);
    check(web);
}
"#;

/// A run that waits at its gate, over facts that are about to change.
fn waiting() -> (Ground, String) {
    let ground = Ground::new();
    ground.write("go.rhai", SCRIPT);
    ground.homing(&["run", "go.rhai"]).exit(4);
    let run = ground.newest_run();
    ground.homing(&["approve", &run, "go"]).exit(0);
    (ground, run)
}

#[test]
fn a_fact_that_harms_nothing_is_accepted_by_name_and_reason() {
    let (ground, run) = waiting();
    ground
        .homing(&["accept", &run, "web-01: tags", "--reason", "x"])
        .exit(2)
        .says(&["differs now"]);
    let (from, to) = ("tags = { tier = \"web\" }", "tags = { tier = \"web\", os = \"linux\" }");
    ground.edit("homing.toml", from, to);
    ground.homing(&["resume", &run]).exit(5).says(&["web-01: inventory.tags was"]);
    let status = ground.homing(&["status", &run]).exit(0);
    let accept = format!("homing accept {run} 'web-01: inventory.tags' --reason");
    assert!(status.out.contains(&accept), "{}", status.out);
    let slip = ground.homing(&["accept", &run, "web-01: tags", "--reason", "x"]).exit(2);
    slip.says(&["H342", "these changed: web-01: inventory.tags"]);
    let accept = ["accept", &run, "web-01: inventory.tags", "--reason", "a new label"];
    ground.homing(&accept).exit(0).says(&["homing resume"]);
    ground.homing(&["resume", &run]).exit(0).says(&["a new label"]);
    let events = ground.events(&run);
    let accepted = events.iter().find(|event| event["event"] == "fact_accepted").unwrap();
    assert_eq!(accepted["reason"], "a new label");
}

#[test]
fn a_fact_that_breaks_a_rule_is_not_accepted() {
    let (ground, run) = waiting();
    let (from, to) =
        ("hv-02 = { switches = [\"prod\"]", "hv-02 = { connected = false, switches = [\"prod\"]");
    ground.edit("homing.toml", from, to);
    ground.edit(
        "homing.toml",
        "hv-01 = { switches = [\"prod\"]",
        "hv-01 = { connected = false, switches = [\"prod\"]",
    );
    ground.homing(&["resume", &run]).exit(5).says(&["connected was true, and is false"]);
    let status = ground.homing(&["status", &run]).exit(0).out;
    let accept = status.lines().find(|line| line.contains("homing accept")).unwrap();
    let fact = accept.split('\'').nth(1).unwrap();
    let refused = ground.homing(&["accept", &run, fact, "--reason", "it will be back"]).exit(3);
    refused.says(&["homing cancel"]);
    ground.homing(&["resume", &run]).exit(5);
}
