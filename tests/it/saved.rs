//! Saved plans: what was reviewed is what runs, once; and nothing else does.

use serde_json::{Value, json};

use crate::support::Ground;

const HOME: &[&str] = &["failback-one.rhai", "-p", "machine=web-01"];
/// Down and up again, in the cloud: afterwards everything is as it was.
const CYCLE: &str = "let web = vm(\"web-01\");\nshutdown_azure_vm(web);\nstart_azure_vm(web);\n";

/// The file with this edited and the seal made anew, as somebody with the source could.
pub fn forge(ground: &Ground, from: &str, to: &str, edit: impl FnOnce(&mut Value)) {
    let mut plan: Value = serde_json::from_str(&ground.read(from)).unwrap();
    plan.as_object_mut().unwrap().remove("seal");
    edit(&mut plan);
    plan["seal"] = json!(blake3::hash(plan.to_string().as_bytes()).to_hex().as_str());
    ground.write(to, &plan.to_string());
}

fn plan(ground: &Ground, script: &[&str], out: &str) {
    let words = [&["plan"], script, &["--out", out]].concat();
    ground.homing(&words).exit(0);
}

#[test]
fn it_runs_once_by_its_id_whatever_the_file_is_called() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("cycle.rhai", CYCLE);
    plan(&ground, &["cycle.rhai"], "plan.json");
    ground.write("copy.json", &ground.read("plan.json"));
    ground.homing(&["run", "plan.json"]).exit(0);
    let run = ground.newest_run();
    ground.homing(&["run", "copy.json"]).exit(2).says(&[
        "`copy.json` ran already",
        &run,
        "--again",
    ]);
    ground.homing(&["run", "copy.json", "--again"]).exit(0);
    let ids: Vec<Value> = ground.runs().iter().map(|run| run["plan_id"].clone()).collect();
    let own: Value = serde_json::from_str(&ground.read("plan.json")).unwrap();
    assert_eq!(ids.len(), 2);
    assert!(ids[0].as_str().unwrap().starts_with(own["plan_id"].as_str().unwrap()), "{ids:?}");
    // The same script saved once more is another plan.
    plan(&ground, &["cycle.rhai"], "next.json");
    ground.homing(&["run", "next.json"]).exit(0);
}

#[test]
fn a_forged_plan_is_proved_again() {
    let ground = Ground::new();
    plan(&ground, HOME, "plan.json");
    let at = |plan: &Value, primitive: &str| {
        let steps = plan["steps"].as_array().unwrap();
        steps.iter().position(|step| step["primitive"] == primitive).unwrap()
    };
    // A rule: a start whose failure nobody would mind.
    forge(&ground, "plan.json", "rule.json", |plan| {
        let start = at(plan, "start_onprem_vm");
        plan["steps"][start]["optional"] = json!(true);
    });
    ground
        .homing(&["run", "rule.json", "--approve", "all"])
        .exit(3)
        .says(&["H004", "may not be running"]);
    // No rule minds it, but it is not what the digest says.
    forge(&ground, "plan.json", "digest.json", |plan| {
        let transfer = at(plan, "transfer_delta");
        plan["steps"][transfer]["args"]["mode"] = json!("full");
    });
    ground.homing(&["run", "digest.json", "--approve", "all"]).exit(3).says(&["H165"]);
    // Nor one that would be looked at as if it were the reviewed one.
    ground.homing(&["diff", "plan.json", "digest.json"]).exit(3).says(&["`digest.json`", "H165"]);
    // A machine that nobody has.
    forge(&ground, "plan.json", "machine.json", |plan| {
        plan["steps"][0]["machine"] = json!("web-09");
    });
    ground.homing(&["run", "machine.json", "--approve", "all"]).exit(3).says(&["H163", "web-09"]);
    assert!(!ground.path().join(".homing").exists(), "nothing was begun");
}

#[test]
fn a_plan_of_another_version_is_refused_with_what_to_do() {
    let ground = Ground::new();
    plan(&ground, HOME, "plan.json");
    for (version, says) in [("1", "make the plan again"), ("3", "a newer homing saved it")] {
        let other = format!("\"homing_plan\": {version}");
        let text = ground.read("plan.json").replace("\"homing_plan\": 2", &other);
        ground.write("other.json", &text);
        let version = format!("is of version {version}");
        ground.homing(&["run", "other.json"]).exit(3).says(&["H161", &version, says]);
        ground.homing(&["diff", "other.json", "plan.json"]).exit(3).says(&[&version, says]);
    }
}

#[test]
fn a_plan_that_an_earlier_homing_saved_still_loads() {
    let ground = Ground::new();
    // Made by the homing before the one that has an estimate's start in its files.
    ground.write("old.json", include_str!("../saved/version_2.json"));
    ground.write("saved.rhai", include_str!("../saved/saved.rhai"));
    let digest = "99c858c115e8d85c81aa593b6cf931d24e8b08c21392d739b24d2a652c50422a";
    let said = ground.homing(&["run", "old.json", "--expect", "0123"]).exit(5);
    said.says(&["not the plan that was reviewed", digest]);
    let said = ground.homing(&["plan", "saved.rhai", "--diff", "old.json", "--format", "json"]);
    assert_eq!(said.exit(0).json()["changes"], json!([]));
}

#[test]
fn a_digest_that_is_expected_has_to_be_the_one() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("cycle.rhai", CYCLE);
    plan(&ground, &["cycle.rhai"], "plan.json");
    let saved: Value = serde_json::from_str(&ground.read("plan.json")).unwrap();
    let digest = saved["digest"].as_str().unwrap();
    for what in ["plan.json", "cycle.rhai"] {
        let wrong = "ab".repeat(32);
        let said = ground.homing(&["run", what, "--expect", &wrong]).exit(5);
        said.says(&["H342", digest, &wrong]);
    }
    assert_eq!(ground.runs().len(), 0, "nothing was begun");
    ground.homing(&["run", "cycle.rhai", "--expect", digest]).exit(0);
    ground.homing(&["run", "plan.json", "--expect", digest]).exit(0);
}

#[test]
fn exactly_the_facts_that_changed_since_the_review_are_listed() {
    let ground = Ground::new();
    ground.homing(&["lab", "init"]).exit(0);
    ground.write("both.rhai", "for m in vms(\"tier=web\") { transfer_delta(snapshot(m)); }\n");
    plan(&ground, &["both.rhai"], "plan.json");
    ground.homing(&[&["run"], HOME, &["--approve", "all"]].concat()).exit(0);
    let said =
        ground.homing(&["run", "plan.json"]).exit(5).says(&["H342", "homing plan both.rhai"]);
    let listed: Vec<&str> =
        said.err.lines().map(str::trim).filter(|line| line.contains(" was ")).skip(1).collect();
    assert_eq!(
        listed,
        [
            "web-01: cloud.exists was true, and is false",
            "web-01: cloud.power was \"on\", and is \"off\"",
            "web-01: onprem.power was \"off\", and is \"on\"",
            "web-01: where was \"cloud\", and is \"home\"",
        ]
    );
}

#[test]
fn a_file_that_is_no_plan_is_one_clear_sentence() {
    let ground = Ground::new();
    plan(&ground, HOME, "plan.json");
    ground.write("empty.json", "");
    ground.write("words.json", "these are no braces");
    ground.write("list.json", "[1, 2]");
    ground.write("other.json", "{ \"name\": \"something else\" }");
    std::fs::write(ground.path().join("bytes.json"), [0xff, 0xfe]).unwrap();
    std::fs::create_dir(ground.path().join("folder.json")).unwrap();
    let huge = std::fs::File::create(ground.path().join("huge.json")).unwrap();
    huge.set_len(2 << 30).unwrap();
    let text = ground.read("plan.json").replacen("web-01", "web-02", 1);
    ground.write("edited.json", &text);
    let files: &[(&str, i32, &str)] = &[
        ("missing.json", 2, "there is no file `missing.json`"),
        ("folder.json", 2, "`folder.json` is a folder"),
        ("huge.json", 2, "larger than a saved plan may be"),
        ("empty.json", 3, "the file is empty"),
        ("words.json", 3, "this is no saved plan"),
        ("list.json", 3, "this is no saved plan"),
        ("other.json", 3, "this is no saved plan"),
        ("bytes.json", 3, "it is no text"),
        ("edited.json", 3, "H162"),
    ];
    for (file, code, says) in files {
        ground.homing(&["run", file]).exit(*code).says(&[says]);
        ground.homing(&["diff", file, "plan.json"]).exit(*code).says(&[says, file]);
        ground.homing(&["diff", "plan.json", file]).exit(*code).says(&[says, file]);
        let again = [&["plan"], HOME, &["--diff", file]].concat();
        ground.homing(&again).exit(*code).says(&[says, file]);
    }
    let said = ground.homing(&["diff", "plan.json", "failback-one.rhai"]).exit(2);
    said.says(&["is a script, not a saved plan", "homing plan failback-one.rhai --out"]);
}

#[test]
fn what_is_saved_fits_the_schema() {
    let ground = Ground::new();
    let schema = ground.homing(&["schema"]).exit(0).json();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("plan.json", schema).unwrap();
    let compiled = compiler.compile("plan.json", &mut schemas).unwrap();
    let fits = |what: &str, plan: &Value| {
        let judged = schemas.validate(plan, compiled);
        judged.unwrap_or_else(|wrong| panic!("{what}: {wrong:#}"));
    };
    ground.write("saved.rhai", include_str!("../saved/saved.rhai"));
    for script in [&["failback.rhai"][..], HOME, &["saved.rhai"]] {
        let words = [&["plan"], script, &["--format", "json"]].concat();
        fits(script[0], &ground.homing(&words).exit(0).json());
    }
    fits("of before", &serde_json::from_str(include_str!("../saved/version_2.json")).unwrap());
}

#[test]
fn it_is_shown_again_without_its_script_or_any_site() {
    let ground = Ground::new();
    let shown = ground.homing(&["plan", "failback.rhai", "--out", "plan.json"]).exit(0).out;
    std::fs::remove_file(ground.path().join("failback.rhai")).unwrap();
    assert_eq!(ground.homing(&["plan", "plan.json"]).exit(0).out, shown);
    assert_eq!(
        ground.homing(&["plan", "plan.json", "--format", "json"]).exit(0).out,
        ground.read("plan.json")
    );
    let html = ground.homing(&["plan", "plan.json", "--format", "html"]).exit(0).out;
    assert!(html.contains("Its text is not at hand"), "{html}");
    ground.homing(&["plan", "plan.json", "--out", "again.json"]).exit(2).says(&["for scripts"]);
}
