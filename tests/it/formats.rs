//! What machines read (DESIGN § 14), field by field: names, types, `null` where there is nothing.

use serde_json::{Value, json};

use crate::support::Ground;

/// Fails the test unless `value` has exactly this shape: every field there, none beside them. A shape is
/// a type's name (`text?` may be `null`, `any` is anything), a list of one shape, or fields; the field
/// `*` stands for any name.
#[track_caller]
fn fits(value: &Value, shape: &Value) {
    let mut wrong = Vec::new();
    compare("", value, shape, &mut wrong);
    assert!(wrong.is_empty(), "{}\n{value:#}", wrong.join("\n"));
}

fn compare(path: &str, value: &Value, shape: &Value, wrong: &mut Vec<String>) {
    match (value, shape) {
        (_, Value::String(ty)) => {
            let (ty, may_be_null) = (ty.trim_end_matches('?'), ty.ends_with('?'));
            let right = match ty {
                "any" => true,
                "text" => value.is_string(),
                "time" => value.as_str().is_some_and(is_time),
                "int" => value.is_u64(),
                "number" => value.is_number(),
                "bool" => value.is_boolean(),
                "null" => value.is_null(),
                word => value.as_str().is_some_and(|v| word.split('|').any(|one| one == v)),
            };
            if !(right || may_be_null && value.is_null()) {
                wrong.push(format!("{path}: {value} is not {ty}"));
            }
        }
        (Value::Array(items), Value::Array(of)) => {
            items.iter().for_each(|item| compare(&format!("{path}[]"), item, &of[0], wrong));
        }
        (Value::Object(fields), Value::Object(shapes)) => {
            for (name, field) in fields {
                match shapes.get(name).or_else(|| shapes.get("*")) {
                    Some(shape) => compare(&format!("{path}.{name}"), field, shape, wrong),
                    None => wrong.push(format!("{path}.{name} is unknown")),
                }
            }
            let lacks = shapes.keys().filter(|name| *name != "*" && !fields.contains_key(*name));
            wrong.extend(lacks.map(|name| format!("{path}.{name} is missing")));
        }
        _ => wrong.push(format!("{path}: {value} is not {shape}")),
    }
}

/// RFC 3339 in UTC.
fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<homing::base::Timestamp>().is_ok()
}

fn diagnostic() -> Value {
    json!({
        "code": "text", "severity": "error|warning|advice", "message": "text", "help": "text?",
        "file": "text?", "line": "int?", "column": "int?", "end_line": "int?", "end_column": "int?",
        "related": [{ "message": "text", "file": "text", "line": "int", "column": "int" }],
    })
}

fn outcome() -> &'static str {
    "succeeded|succeeded_with_exceptions|failed|failed_unsafe|waiting|stale|busy|interrupted|cancelled|rejected?"
}

#[test]
fn check_prints_diagnostics_and_parameters() {
    let ground = Ground::new();
    let shape = json!({
        "diagnostics": [diagnostic()],
        "params": [{
            "name": "text", "default": "any", "help": "text?", "one_of": "any", "min": "int?",
            "max": "int?", "value": "any",
        }],
    });
    let said = ground.homing(&["check", "failback.rhai", "--format", "json"]).exit(0);
    fits(&said.json(), &shape);
    assert_eq!(said.json()["diagnostics"], json!([]));
    assert_eq!(said.json()["params"][0]["name"], "tier");

    ground.write(
        "wrong.rhai",
        "import \"std/failback\" as f;\nlet web = vm(\"web-01\");\nf::planned(web, #{ gates: false });\nf::switch_over(web);\n",
    );
    let said = ground.homing(&["check", "wrong.rhai", "--format", "json"]).exit(3);
    fits(&said.json(), &shape);
    let first = &said.json()["diagnostics"][0];
    assert_eq!((&first["code"], &first["line"]), (&json!("H007"), &json!(4)));
    assert_eq!(first["related"][0]["file"], "std/failback");

    let given = ["check", "failback.rhai", "-p", "teir=web", "--format", "json"];
    let said = ground.homing(&given).exit(2);
    fits(&said.json(), &shape);
    assert_eq!(said.json()["diagnostics"][0]["file"], Value::Null, "no place: null, not absent");
}

#[test]
fn plan_prints_what_it_saves() {
    let ground = Ground::new();
    ground.write("grouped.rhai", "group(\"one\", || { snapshot(vm(\"web-01\")); });\n");
    let shape = json!({
        "homing_plan": "int", "plan_id": "text", "digest": "text", "seal": "text",
        "script": "text", "params": { "*": "any" },
        "steps": [{
            "id": "text", "primitive": "text", "machine": "text?", "args": { "*": "any" },
            "needs": ["text"], "waits": ["text"], "follows": ["text"], "scope": "text",
            "undoes": "text?", "guard": "any",
            "reversibility": "reversible|compensable|irreversible", "optional": "bool",
            "policy": {
                "attempts": "int", "first_ms": "int", "max_ms": "int", "timeout_ms": "int?",
            },
            "source": {
                "file": "text", "line": "int", "column": "int",
                "via": [{ "file": "text", "line": "int", "column": "int" }],
            },
            "estimate_s": "number", "slow_s": "number", "start_s": "number?", "basis": "any",
        }],
        "scopes": "any", "answered": [{ "reason": "text", "warning": diagnostic() }],
        "acknowledged": [{
            "code": "text", "reason": "text", "scope": "text",
            "source": { "file": "text", "line": "int", "column": "int" },
        }],
        "groups": [{ "name": "text", "steps": ["text"] }],
        "machines": { "*": {
            "downtime_s": "number", "down_from_s": "number?", "sync_s": "number", "bytes": "int",
        } },
        "gates": ["text"],
        "facts": [{ "subject": "text", "fact": "text", "value": "any" }],
        "critical_path": ["text"], "makespan_s": "number", "point_of_no_return": "text?",
        "rules": ["text"], "warnings": [diagnostic()],
    });
    let said = ground.homing(&["plan", "failback.rhai", "--format", "json"]).exit(0);
    let plan = said.json();
    fits(&plan, &shape);
    assert_eq!(plan["homing_plan"], 2);
    assert_eq!(plan["gates"], json!(["complete", "commit"]));
    assert_eq!(plan["point_of_no_return"], "db-01.commit.1");

    let said = ground.homing(&["plan", "grouped.rhai", "--format", "json", "--out", "p.json"]);
    let plan = said.exit(0).json();
    fits(&plan, &shape);
    assert_eq!(plan["groups"], json!([{ "name": "one", "steps": ["web-01.snapshot.1"] }]));
    assert_eq!(plan["point_of_no_return"], Value::Null);
    let saved: Value = serde_json::from_str(&ground.read("p.json")).unwrap();
    assert_eq!(saved, plan, "what is printed is what is saved");
}

/// The fields of an event beside `run`, `seq`, `at`, `event`.
fn event(name: &str) -> Value {
    let by = json!({ "who": "text", "from": "text" });
    match name {
        "run_started" => json!({
            "plan_id": "text", "digest": "text", "script": "text", "approved": ["text"], "by": by,
        }),
        "attempt_started" => json!({ "step": "text", "attempt": "int", "epoch": "int" }),
        "attempt_failed" => json!({
            "step": "text", "attempt": "int", "failure": "any", "retry_in_ms": "int",
        }),
        "step_succeeded" => json!({ "step": "text", "attempt": "int", "outputs": "any" }),
        "step_skipped" => json!({ "step": "text", "reason": "text" }),
        "gate_opened" => json!({ "step": "text", "message": "text", "expires_at": "time?" }),
        "gate_answered" => json!({
            "step": "text", "answer": "approved_in_advance", "by": by, "comment": "text?",
        }),
        "intent" => json!({ "step": "text", "deletes": { "*": "any" } }),
        "run_ended" => json!({ "outcome": outcome() }),
        other => panic!("no such event: {other}"),
    }
}

fn event_fits(line: &Value) {
    let mut shape = event(line["event"].as_str().unwrap());
    for (name, ty) in [("run", "text"), ("seq", "int"), ("at", "time"), ("event", "text")] {
        shape[name] = json!(ty);
    }
    fits(line, &shape);
}

#[test]
fn a_run_and_everything_that_reads_it_back() {
    let ground = Ground::new();
    let inject = "web-01.transfer_delta.1=fail:1";
    let said = ground.homing(&[
        "run",
        "failback-one.rhai",
        "--approve",
        "all",
        "--output",
        "jsonl",
        "--inject",
        inject,
    ]);
    let said = said.exit(0);
    let (progress, events): (Vec<Value>, Vec<Value>) =
        said.lines().into_iter().partition(|line| line.get("progress").is_some());
    events.iter().for_each(event_fits);
    for line in &progress {
        let amount = json!({ "done": "int", "total": "int", "sent": "int", "note": "text" });
        fits(line, &json!({ "run": "text", "step": "text", "progress": amount }));
    }
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
    assert!(events.iter().any(|event| event["event"] == "attempt_failed"));
    let id = events[0]["run"].as_str().unwrap();
    assert_eq!(ground.events(id), events, "the journal holds what was printed");

    let machine = json!({
        "machine": "text", "cloud": "on|off|unknown", "onprem": "on|off|unknown",
        "observed": "bool", "data": "text", "data_safe": "bool",
        "point_of_no_return_passed": "bool", "downtime_s": "number?", "down": "bool",
        "failed": "text?", "steps_done": "int", "steps": "int",
    });
    let run = json!({
        "run": "text", "plan_id": "text", "digest": "text", "script": "text",
        "outcome": outcome(), "started_at": "time?", "ended_at": "time?",
        "steps": [{
            "id": "text", "status": "text", "attempts": "int", "started_at": "time?",
            "ended_at": "time?", "estimate_s": "number?", "outputs": "any",
        }],
        "worked_s": "number", "makespan_s": "number",
        "gates": [{ "id": "text", "message": "text", "open": "bool", "answer": "text?" }],
        "machines": [machine],
        "head_hash": "text",
    });
    let shown = ground.homing(&["show", id, "--format", "json"]).exit(0).json();
    fits(&shown, &run);
    assert_eq!(shown["outcome"], "succeeded");
    let listed = ground.homing(&["runs", "--format", "json"]).exit(0).json();
    fits(&listed, &json!([run]));
    assert_eq!(listed[0]["head_hash"], shown["head_hash"]);
    let status = json!({
        "run": "text", "outcome": outcome(), "owned": "bool", "machines": [machine],
        "held": ["text"], "next": ["text"],
    });
    let said = ground.homing(&["status", id, "--format", "json"]).exit(0);
    fits(&said.json(), &status);
    lab_verify(&ground);
}

fn lab_verify(ground: &Ground) {
    let machine = json!({
        "machine": "text", "acknowledged": "int", "lost": "int?", "why": "text?",
        "downtime_s": "number?", "running_on": "text?", "overlap": "bool",
        "cloud": "running|off|deleted|absent", "onprem": "running|off|absent",
        "replica": "absent|unknown|dirty|diverged|stale|current",
        "protected": "onprem_to_cloud|none",
    });
    let said = ground.homing(&["lab", "verify", "--format", "json"]).exit(0);
    fits(&said.json(), &json!({ "machines": [machine], "copies": ["any"] }));
    let machines = said.json()["machines"].as_array().unwrap().clone();
    let web = machines.iter().find(|one| one["machine"] == "web-01").unwrap();
    assert_eq!((&web["cloud"], &web["onprem"]), (&json!("deleted"), &json!("running")));
    assert_eq!(web["running_on"], "dc1");
}
