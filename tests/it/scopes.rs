//! Scopes on real machines: rolled back, cleaned up, held, left out, killed in the middle of it.

use serde_json::Value;

use crate::support::Ground;

/// Both web machines, each with its way back.
const WAVE: &str = r#"
for m in [vm("web-01"), vm("web-02")] {
    transfer_delta(snapshot(m));
    attempt(|| {
        shutdown_azure_vm(m);
        transfer_delta(m);
    }).on_failure(|| {
        start_azure_vm(m);
    });
    start_onprem_vm(m);
    check(m);
}
"#;

const BROKEN: [&str; 2] = ["--inject", "web-01.transfer_delta.2=permanent"];

fn ground(script: &str) -> Ground {
    let ground = Ground::new();
    let text = ground.read("homing.toml").replace("needs = [\"db-01\"]\n", "");
    ground.write("homing.toml", &text);
    ground.write("wave.rhai", script);
    ground
}

/// Where both web machines run.
#[track_caller]
fn running_on(ground: &Ground) -> [String; 2] {
    let machines = ground.verified();
    ["web-01", "web-02"].map(|name| {
        let found = machines.iter().find(|machine| machine["machine"] == name).unwrap();
        found["running_on"].as_str().unwrap_or("nowhere").to_owned()
    })
}

/// How a step stands.
fn status(ground: &Ground, step: &str) -> String {
    let run = ground.homing(&["show", &ground.newest_run(), "--format", "json"]).exit(0).json();
    let steps: &Vec<Value> = run["steps"].as_array().unwrap();
    let found = steps.iter().find(|one| one["id"] == step).unwrap_or_else(|| panic!("no {step}"));
    found["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_machine_whose_last_transfer_fails_runs_where_it_ran_and_the_other_one_goes_home() {
    let ground = ground(WAVE);
    ground.homing(&[&["run", "wave.rhai"][..], &BROKEN].concat()).exit(1);
    assert_eq!(running_on(&ground), ["azure", "dc1"]);
    assert_eq!(status(&ground, "web-01.start_azure_vm.1"), "succeeded");
    assert_eq!(status(&ground, "web-01.start_onprem_vm.1"), "blocked");
    assert_eq!(status(&ground, "web-02.start_azure_vm.1"), "skipped");
    let run = ground.newest_run();
    let page = ground.homing(&["status", &run]).exit(0);
    assert!(page.out.contains("rolled back"), "{}", page.out);
    // What was rolled back is not tried again behind its handler's back.
    let refused = ground.homing(&["retry", &run, "web-01.transfer_delta.2"]).exit(2);
    refused.says(&["web-01.start_azure_vm.1", "homing exclude"]);
}

#[test]
fn a_process_that_dies_while_it_rolls_back_is_followed_by_one_that_finishes_that() {
    for (event, step) in [
        ("step_failed", "web-01.transfer_delta.2"),
        ("attempt_started", "web-01.start_azure_vm"),
        ("step_succeeded", "web-01.start_azure_vm"),
    ] {
        let ground = ground(WAVE);
        let args = ["run", "wave.rhai", "--output", "jsonl"];
        let mut running = ground.start(&[&args[..], &BROKEN].concat());
        running.until_event(event, step);
        running.kill();
        let run = ground.newest_run();
        ground.homing(&["resume", &run]).exit(1);
        assert_eq!(running_on(&ground), ["azure", "dc1"], "killed at {event} of {step}");
        ground.nothing_ran_twice(&run);
    }
}

#[test]
fn one_failure_rolls_everything_back_where_the_attempt_says_so() {
    let script = r#"
let all = [vm("web-01"), vm("web-02")];
for m in all { transfer_delta(snapshot(m)); }
attempt(#{ scope: "all" }, || {
    for m in all { shutdown_azure_vm(m); transfer_delta(m); }
}).on_failure(|| {
    for m in all { start_azure_vm(m); }
});
for m in all { start_onprem_vm(m); check(m); }
"#;
    let ground = ground(script);
    ground.homing(&[&["run", "wave.rhai"][..], &BROKEN].concat()).exit(1);
    assert_eq!(running_on(&ground), ["azure", "azure"]);
}

#[test]
fn a_barrier_holds_over_a_casualty_until_it_is_left_out() {
    let script = format!("{WAVE}\nbarrier();\ncheck(vm(\"web-02\"), #{{ id: \"last\" }});");
    let ground = ground(&script);
    ground.homing(&[&["run", "wave.rhai"][..], &BROKEN].concat()).exit(1);
    let run = ground.newest_run();
    let page = ground.homing(&["status", &run]).exit(0);
    assert!(page.out.contains(&format!("homing exclude {run} web-01")), "{}", page.out);
    assert_eq!(status(&ground, "web-02.last"), "pending");
    ground.homing(&["exclude", &run, "web-10", "--reason", "x"]).exit(2).says(&["web-01"]);
    ground.homing(&["exclude", &run, "web-01", "--reason", "its disk is broken"]).exit(0);
    ground.homing(&["resume", &run]).exit(7);
    assert_eq!(status(&ground, "web-02.last"), "succeeded");
    assert_eq!(status(&ground, "web-01.start_onprem_vm.1"), "excluded");
}

#[test]
fn a_barrier_goes_on_over_as_many_as_it_is_told() {
    let script = format!(
        "{WAVE}\nbarrier(#{{ max_failed: 1 }});\ncheck(vm(\"web-02\"), #{{ id: \"last\" }});"
    );
    let ground = ground(&script);
    let said = ground.homing(&[&["run", "wave.rhai"][..], &BROKEN].concat()).exit(1);
    said.says(&["without web-01"]);
    assert_eq!(status(&ground, "web-02.last"), "succeeded");
}

#[test]
fn an_attempt_that_goes_on_is_an_exception_and_cleans_up_either_way() {
    let script = r#"
for m in [vm("web-01"), vm("web-02")] {
    attempt(|| {
        transfer_delta(snapshot(m));
    }).on_failure(|| {
        check(m, #{ id: "handled" });
    }).always(|| {
        check(m, #{ id: "cleaned" });
    }).then_continue();
    check(m, #{ id: "after" });
}
"#;
    let ground = ground(script);
    let inject = ["--inject", "web-01.transfer_delta=permanent"];
    ground.homing(&[&["run", "wave.rhai"][..], &inject].concat()).exit(7);
    for (step, wanted) in [
        ("web-01.handled", "succeeded"),
        ("web-01.cleaned", "succeeded"),
        ("web-01.after", "succeeded"),
        ("web-02.handled", "skipped"),
        ("web-02.cleaned", "succeeded"),
    ] {
        assert_eq!(status(&ground, step), wanted, "{step}");
    }
}

#[test]
fn what_is_guarded_happens_or_does_not() {
    let script = r#"
let m = vm("web-01");
let seen = check(m, #{ assert: false });
when(seen.ok, || { check(m, #{ id: "up" }); }).otherwise(|| { check(m, #{ id: "down" }); });
check(m, #{ id: "after" });
"#;
    let ground = ground(script);
    ground.homing(&["run", "wave.rhai"]).exit(0);
    let shown = ["web-01.up", "web-01.down", "web-01.after"].map(|step| status(&ground, step));
    assert_eq!(shown, ["succeeded", "skipped", "succeeded"]);
}

#[test]
fn no_machine_is_turned_off_after_the_window_and_nothing_new_starts_in_a_scope_that_halts() {
    let ground = ground(&format!(
        "policy(#{{ no_shutdown_after: \"2026-01-01T00:00:00Z\", on_failure: \"halt\" }});\n{WAVE}"
    ));
    ground.homing(&["run", "wave.rhai"]).exit(1).says(&["H350", "not turned off"]);
    assert_eq!(running_on(&ground), ["azure", "azure"]);
    for machine in ["web-01", "web-02"] {
        assert_ne!(status(&ground, &format!("{machine}.start_onprem_vm.1")), "succeeded");
    }
}

/// Every command of the plan writes its word into `notes`.
fn note(word: &str) -> String {
    format!("[\"/bin/sh\", \"-c\", \"echo {word} >> notes\"]")
}

#[test]
fn commands_are_undone_the_last_one_first_and_only_those_that_were_begun() {
    let command = |name: &str, undo: &str| {
        format!("run_command(m, #{{ argv: {}, undo: {} }});", note(name), note(undo))
    };
    let script = format!(
        r#"
let m = vm("web-01");
attempt(|| {{
    {}
    {}
    transfer_delta(snapshot(m));
    {}
}}).on_failure(|| {{
    run_command(m, #{{ argv: {} }});
}}).always(|| {{
    run_command(m, #{{ argv: {} }});
}});
"#,
        command("first", "unfirst"),
        command("second", "unsecond"),
        command("third", "unthird"),
        note("handled"),
        note("cleaned"),
    );
    let ground = ground(&script);
    let listed = "[commands.note]\nargv = [\"/bin/sh\", \"-c\", \"*\"]\n";
    ground.write("homing.toml", &format!("{listed}{}", ground.read("homing.toml")));
    let inject = ["--inject", "web-01.transfer_delta=permanent"];
    ground.homing(&[&["run", "wave.rhai"][..], &inject].concat()).exit(1);
    let notes = ground.read("notes");
    let words: Vec<&str> = notes.lines().collect();
    assert_eq!(words, ["first", "second", "unsecond", "unfirst", "handled", "cleaned"]);
    assert_eq!(status(&ground, "web-01.run_command.3.undo"), "skipped");
    ground.nothing_ran_twice(&ground.newest_run());
}

#[test]
fn a_machine_whose_facts_changed_is_left_out_where_the_plan_says_so() {
    let ground = ground(&format!("policy(#{{ on_changed_fact: \"drop_machine\" }});\n{WAVE}"));
    ground.write("one.rhai", &WAVE.replace(", vm(\"web-02\")", ""));
    ground.homing(&["lab", "init"]).exit(0);
    ground.homing(&["plan", "wave.rhai", "--out", "plan.json"]).exit(0);
    ground.homing(&["run", "one.rhai"]).exit(0);
    assert_eq!(running_on(&ground), ["dc1", "azure"]);
    ground.homing(&["run", "plan.json"]).exit(7).says(&["web-01"]);
    assert_eq!(running_on(&ground), ["dc1", "dc1"]);
    assert_eq!(status(&ground, "web-01.shutdown_azure_vm.1"), "excluded");
}

#[test]
fn a_machine_is_left_out_while_others_work_and_takes_no_further_step() {
    let ground = ground(WAVE);
    // Its first transfer takes some seconds.
    ground.edit("homing.toml", "bandwidth = \"400MiB/s\"", "bandwidth = \"2MiB/s\"");
    let mut running = ground.start(&["run", "wave.rhai", "--output", "jsonl"]);
    running.until_event("attempt_started", "web-01.transfer_delta.1");
    let run = ground.newest_run();
    ground.homing(&["exclude", &run, "web-01", "--reason", "not tonight"]).exit(0);
    assert_eq!(running.end(), 7);
    assert_eq!(running_on(&ground), ["azure", "dc1"]);
    assert_eq!(status(&ground, "web-01.check.1"), "excluded");
}
