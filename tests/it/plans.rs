//! Scripts with notes where their mistakes must be found: `// error[H101]: some words` on the line of the
//! mistake, or on a line of its own for one that has no place. A script without notes must be clean.
//! Files in a folder `lib` are imported by the others. A script may begin with lines that say what was
//! observed, `// facts: web-01 replica=dirty cloud.power=off`, and what was given, `// given: n=5`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use camino::Utf8PathBuf;
use homing::base::MachineName;
use homing::compile::{Compiled, compile};
use homing::diagnostic::{Diagnostic, Severity, codes};
use homing::plan::effect::Effect;
use homing::plan::estimate::History;
use homing::plan::expr::{deferred, steps_read};
use homing::plan::facts::{FactLog, Facts};
use homing::plan::graph::Plan;
use homing::plan::inventory::{CommandEntry, Inventory};
use homing::plan::step::Step;
use homing::source::MemoryWorld;
use homing::trace::{Request, trace};

use crate::support::observed::{away, machine, told};

/// A mistake that a script announces.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    file: String,
    /// 0: it has no place.
    line: u32,
    mark: String,
}

fn inventory() -> Inventory {
    let machine = |tier: &str, needs: &[&str]| machine(&[("tier", tier), ("os", "linux")], needs);
    let machines = [
        ("db-01", machine("db", &[])),
        ("web-01", machine("web", &[])),
        ("web-02", machine("web", &["db-01"])),
    ];
    let machines = machines.map(|(name, entry)| (MachineName::new(name).unwrap(), entry)).into();
    let mut inventory = Inventory { machines, ..Inventory::default() };
    let db = inventory.machines.get_mut("db-01").expect("it is there");
    db.rto_s = Some(600.0);
    inventory.limits.steps_max = 2_000;
    for (name, program) in [
        ("true", "/bin/true"),
        ("page", "/usr/local/bin/page"),
        ("dns", "/usr/local/bin/dns-switch"),
    ] {
        let any = ["*", "*"].iter().map(|part| (*part).to_owned());
        for words in 0..=2 {
            let argv = std::iter::once(program.to_owned()).chain(any.clone().take(words)).collect();
            inventory.commands.insert(format!("{name}-{words}"), CommandEntry { argv });
        }
    }
    inventory
}

/// Traces and proves a script against what it says was observed.
fn compiled(world: &MemoryWorld, script: &str, given: &[(&str, &str)]) -> Compiled {
    let inventory = inventory();
    let mut observed = away(&inventory);
    let text = world.0.get(camino::Utf8Path::new(script)).map_or("", String::as_str);
    told(&mut observed, text);
    let log = FactLog::new(&observed);
    let params = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let compiled = compile(
        &Request {
            world,
            script: script.into(),
            params: &params,
            inventory: &inventory,
            facts: &log,
            allocated: None,
            spent: std::time::Duration::ZERO,
        },
        &History::default(),
    );
    assert!(compiled.missing_machines.is_empty(), "{script}: everything was observed");
    compiled
}

/// A script on its own.
fn alone(script: &str) -> MemoryWorld {
    MemoryWorld([("a.rhai".into(), script.to_owned())].into())
}

/// The plan of a script without mistakes.
#[track_caller]
fn planned(script: &str) -> Plan {
    let compiled = compiled(&alone(script), "a.rhai", &[]);
    let errors = compiled.diagnostics.iter().filter(|one| one.is_error());
    assert_eq!(errors.count(), 0, "{:?}", compiled.diagnostics);
    compiled.plan.unwrap().plan().clone()
}

/// What the first lines of a script say is given on the command line: `// given: n=5`.
fn given(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("// given: "));
    lines.filter_map(|line| line.split_once('=')).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// All scripts below `tests/plans`, by their paths there.
fn world() -> MemoryWorld {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut found = Vec::new();
    files(&root, &mut found);
    let read = |path: PathBuf| {
        let key = Utf8PathBuf::try_from(path.strip_prefix(&root).unwrap().to_owned()).unwrap();
        (key, std::fs::read_to_string(&path).unwrap())
    };
    MemoryWorld(found.into_iter().map(read).collect())
}

/// Notes of a file: place, and the words that the message must contain.
fn notes(file: &str, text: &str) -> Vec<(Note, String)> {
    let mut notes = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut parts = text.split("// ");
        let code = parts.next().unwrap_or_default();
        let line = if code.trim().is_empty() { 0 } else { line };
        for note in parts {
            let Some((mark, words)) = note.split_once(']') else { continue };
            if !mark.starts_with("error[H") && !mark.starts_with("warning[H") {
                continue;
            }
            let words = words.trim_start_matches(':').trim().to_owned();
            notes.push((Note { file: file.to_owned(), line, mark: mark.to_owned() }, words));
        }
    }
    notes
}

fn as_note(diagnostic: &Diagnostic, script: &str) -> Note {
    let severity = if diagnostic.severity == Severity::Error { "error" } else { "warning" };
    let mark = format!("{severity}[{}", diagnostic.code);
    match &diagnostic.at {
        Some(at) => Note { file: at.file.to_string(), line: at.line, mark },
        None => Note { file: script.to_owned(), line: 0, mark },
    }
}

#[test]
fn every_mistake_is_found_where_its_note_says() {
    let world = world();
    let mut wrong = Vec::new();
    let scripts =
        world.0.keys().filter(|path| !path.components().any(|part| part.as_str() == "lib"));
    for script in scripts.clone() {
        let traced = compiled(&world, script.as_str(), &given(&world.0[script]));
        let texts = traced.files.iter().filter_map(|file| Some((file, world.0.get(file)?)));
        let read = texts.flat_map(|(file, text)| notes(file.as_str(), text));
        let expected: Vec<(Note, String)> = read.collect();
        let found: BTreeSet<Note> =
            traced.diagnostics.iter().map(|one| as_note(one, script.as_str())).collect();
        let missed = expected.iter().filter(|(note, _)| !found.contains(note));
        wrong.extend(missed.map(|(note, _)| format!("not found: {note:?}")));
        let announced: BTreeSet<&Note> = expected.iter().map(|(note, _)| note).collect();
        for one in &traced.diagnostics {
            let note = as_note(one, script.as_str());
            let words = expected.iter().filter(|(other, _)| *other == note).map(|(_, words)| words);
            if !announced.contains(&note) {
                wrong.push(format!("not announced in {script}: {note:?}: {}", one.message));
            } else if !words
                .clone()
                .any(|words| format!("{} {:?}", one.message, one.help).contains(words.as_str()))
            {
                wrong.push(format!("{note:?}: other words: {}", one.message));
            }
        }
    }
    assert!(scripts.count() >= 40, "the walk found the scripts");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn spans_are_exact() {
    let script = "let web = vm(\"web-01\");\nsnapshot(web, #{ timeout: 5 });\nweb.commit(3);\n";
    let compiled = compiled(&alone(script), "a.rhai", &[]);
    let at = |nth: usize| {
        let at = compiled.diagnostics[nth].at.clone().unwrap();
        (at.line, at.column, at.end_line, at.end_column)
    };
    assert_eq!(at(0), (2, 27, 2, 28), "the value of the option");
    assert_eq!(at(1), (3, 12, 3, 13), "the argument; the receiver is the first");
}

#[test]
fn a_step_of_the_library_is_placed_at_the_user_s_call() {
    let plan = planned(
        "import \"std/failback\" as failback;\n\nfailback::planned(vm(\"web-01\"), #{ gates: false, check: |m| check(m) });\n",
    );
    for step in &plan.steps {
        assert_eq!((&*step.origin.at.file, step.origin.at.line), ("a.rhai", 3), "{}", step.id);
        assert!(step.origin.via.iter().all(|span| &*span.file == "std/failback"), "{}", step.id);
    }
    let via: Vec<usize> = plan.steps.iter().map(|step| step.origin.via.len()).collect();
    assert_eq!(via, [2, 2, 3, 3, 3, 2, 0, 1, 1], "{:#?}", plan.steps[0].origin);
}

#[test]
fn what_the_plan_itself_switches_over_is_not_judged_by_what_was_observed_before() {
    let home =
        "// facts: web-01 where=home cloud.power=off onprem.power=on protection=onprem_to_cloud\n";
    let there = "failover::planned(m, #{ gates: false, synchronize: false });\n";
    let snapshots = |head: &str, before: &str| {
        let script = format!(
            "{head}import \"std/failback\" as failback;\nimport \"std/failover\" as failover;\n\
             let m = vm(\"web-01\");\n{before}failback::planned(m, #{{ gates: false }});\n"
        );
        let plan = planned(&script);
        plan.steps.iter().filter(|step| step.effect == Effect::Snapshot).count()
    };
    assert_eq!(snapshots("// facts: web-01 cloud.power=off\n", ""), 0, "it is down already");
    assert_eq!(snapshots("", ""), 1);
    assert_eq!(snapshots(home, there), 1, "it runs in the cloud by then");
}

/// Every place that a diagnostic names, in order: file, line, and what is said there.
fn places(diagnostic: &Diagnostic) -> Vec<(&str, u32, &str)> {
    let own = diagnostic.at.iter().map(|at| (&*at.file, at.line, &*diagnostic.message));
    let related = diagnostic.related.iter();
    own.chain(related.map(|one| (&*one.at.file, one.at.line, &*one.message))).collect()
}

#[test]
fn a_rule_that_the_library_breaks_is_told_at_the_user_s_line_and_through_every_frame() {
    let world = world();
    let compiled = compiled(&world, "rules/H007/planned_twice.rhai", &[]);
    let used = compiled.diagnostics.iter().find(|one| one.code == "H007");
    let places = places(used.expect("the rule is broken"));
    let files: Vec<&str> = places.iter().map(|(file, ..)| *file).collect();
    let script = "rules/H007/planned_twice.rhai";
    let library = "std/failback";
    assert_eq!(files, [script, library, library, library, script], "{places:#?}");
    assert_eq!((places[0].1, places[4].1), (6, 4), "the use, and the call that deleted it");
    let text: Vec<&str> = include_str!("../../stdlib/std/failback.rhai").lines().collect();
    let frame = |nth: usize| text[places[nth].1 as usize - 1];
    assert!(frame(1).starts_with("fn switch_over(m)"), "{}", frame(1));
    assert!(frame(2).contains("attempt(|| {"), "{}", frame(2));
    assert!(frame(3).contains("shutdown_azure_vm(m"), "{}", frame(3));
    assert_eq!(places[3].2, "this is `web-01.shutdown_azure_vm.2`");
    assert!(places[4].2.contains("web-01.commit.1"), "{places:#?}");
}

#[test]
fn parameters_are_told_apart_from_mistakes_of_the_script() {
    let script = "param(\"n\", 3, #{ min: 1, max: 9, help: \"how many\" });\nparam(\"tier\", \"web\", #{ one_of: [\"web\", \"db\"] });";
    let world = alone(script);
    let codes = |given: &[(&str, &str)]| {
        let compiled = compiled(&world, "a.rhai", given);
        compiled.diagnostics.into_iter().map(|one| one.code.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[("n", "5"), ("tier", "db")]), [""; 0]);
    assert_eq!(codes(&[("m", "5")]), ["H151"]);
    assert_eq!(codes(&[("n", "many")]), ["H152"]);
    assert_eq!(codes(&[("n", "10")]), ["H153"]);
    assert_eq!(codes(&[("tier", "cache")]), ["H153"]);
    let gone = compiled(&world, "gone.rhai", &[]);
    assert_eq!(gone.diagnostics[0].code, "H150");
}

#[test]
fn the_library_runs_without_a_script() {
    let nothing = MemoryWorld::default();
    let failback = compiled(&nothing, "std/failback", &[("machine", "web-01")]);
    assert!(failback.diagnostics.iter().all(|one| !one.is_error()));
    let plan = failback.plan.unwrap();
    let plan = plan.plan();
    assert_eq!(plan.script, "std/failback");
    let ids: Vec<&str> = plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids.len(), 11);
    assert_eq!((ids[0], ids[2]), ("web-01.snapshot.1", "web-01-complete"));
    let waves = compiled(&nothing, "std/waves", &[]);
    assert_eq!(waves.diagnostics[0].code, "H155");
}

#[test]
fn facts_that_are_missing_end_the_trace_quietly() {
    let inventory = inventory();
    let nothing = Facts::default();
    let log = FactLog::new(&nothing);
    let params = BTreeMap::new();
    let traced = trace(&Request {
        world: &alone("for m in vms(\"tier=web\") { if m.replica == \"stale\" { commit(m); } }"),
        script: "a.rhai".into(),
        params: &params,
        inventory: &inventory,
        facts: &log,
        allocated: None,
        spent: std::time::Duration::ZERO,
    });
    assert_eq!(traced.diagnostics, []);
    let missing: Vec<String> = log.finish().1.into_iter().map(String::from).collect();
    assert_eq!(missing, ["web-01", "web-02"], "all that were selected, in one round");
}

fn step<'a>(plan: &'a Plan, id: &str) -> &'a Step {
    plan.steps.iter().find(|step| step.id.as_str() == id).expect(id)
}

/// The ids behind a list of edges.
fn ids<'a>(plan: &'a Plan, edges: &[homing::plan::step::StepIx]) -> Vec<&'a str> {
    edges.iter().map(|ix| plan.step(*ix).id.as_str()).collect()
}

#[test]
fn a_condition_belongs_to_the_machine_whose_steps_it_reads() {
    let plan = planned(
        r#"let web = vm("web-01");
let db = vm("db-01");
let a = transfer_delta(snapshot(web));
let b = transfer_delta(snapshot(db));
fail_if(a.bytes_sent > 5 & !(a.blocks_changed == 0), `sent ${a.bytes_sent}`, #{ id: "one" });
fail_if(a.bytes_sent + b.bytes_sent >= 100, "much", #{ id: "both" });
snapshot(db);
"#,
    );
    let one = step(&plan, "web-01.one");
    assert_eq!(ids(&plan, &one.needs), ["web-01.transfer_delta.1"]);
    let condition = deferred(&one.args.json()["condition"]).expect("a condition");
    assert_eq!(
        condition.to_string(),
        "(web-01.transfer_delta.1.bytes_sent > 5) & !(web-01.transfer_delta.1.blocks_changed == 0)"
    );
    assert_eq!(
        steps_read(&one.args.json()).len(),
        2,
        "the message reads it as well: {}",
        one.args.json()
    );
    let both = step(&plan, "both");
    assert_eq!(both.machine, None);
    assert_eq!(ids(&plan, &both.needs), ["web-01.transfer_delta.1", "db-01.transfer_delta.1"]);
    assert_eq!(both.waits, []);
    let after = step(&plan, "db-01.snapshot.2");
    assert_eq!(ids(&plan, &after.needs), ["db-01.transfer_delta.1"], "it is no barrier");
}

#[test]
fn a_text_with_later_values_needs_the_steps_that_it_reads() {
    let plan = planned(
        r#"let web = vm("web-01");
let a = transfer_delta(snapshot(web));
let b = transfer_delta(snapshot(vm("db-01")), #{ optional: true });
approve(`sent ${a.bytes_sent} and ${b.bytes_sent.or(0)}`, #{ name: "go", timeout: "1h" });
"#,
    );
    let gate = step(&plan, "go");
    let [a, b] = ["web-01.transfer_delta.1", "db-01.transfer_delta.1"];
    assert_eq!(
        gate.args.json()["message"],
        serde_json::json!({ "text": [
            "sent ", { "deferred": { "of": a, "output": "bytes_sent" } },
            " and ", { "deferred": { "op": "or", "args": [
                { "of": b, "output": "bytes_sent" }, { "value": 0 },
            ] } },
        ] })
    );
    assert_eq!(ids(&plan, &gate.needs), [a], "its text has no other value");
    let others = [ids(&plan, &gate.waits), ids(&plan, &gate.follows)].concat();
    assert_eq!(others, [b], "`or` answers for this one");
}

#[test]
fn what_is_asked_again_carries_its_probes() {
    let plan = planned(
        r#"let web = vm("web-01");
let probe = check(web, #{ side: "cloud", assert: false });
wait_until(probe.ok, #{ every: "5s", timeout: "10m", id: "up" });
"#,
    );
    let up = step(&plan, "web-01.up");
    let probe = step(&plan, "web-01.check.1");
    assert_eq!(
        up.args.json()["condition"],
        serde_json::json!({ "until": { "of": probe.id, "output": "ok" } })
    );
    let probes = serde_json::json!([
        { "step": probe.id, "primitive": "check", "machine": "web-01", "args": probe.args.json() },
    ]);
    assert_eq!(up.args.json()["probes"], probes);
    assert_eq!(ids(&plan, &up.needs), ["web-01.check.1"]);
}

#[test]
fn tiers_stop_in_reverse_and_start_forward() {
    let plan = planned("import \"std/waves\" as waves;\nwaves::tiers(vms());");
    let by_id = plan.by_id();
    let ix = |id: &str| *by_id.iter().find(|(known, _)| known.as_str() == id).unwrap().1;
    let needs = |id: &str| &plan.step(ix(id)).needs;
    assert!(needs("db-01.shutdown_azure_vm.1").contains(&ix("web-02.shutdown_azure_vm.1")));
    assert!(needs("web-02.start_onprem_vm.1").contains(&ix("db-01.check.2")));
    assert_eq!(needs("web-01.shutdown_azure_vm.1").len(), 0, "web-01 depends on nobody");
}

/// Codes that no script of its own can show: the command names a script that is not there, or a module;
/// the others are those of saved plans, which have their own tests.
fn beyond_scripts(code: &str) -> bool {
    ["H150", "H155"].contains(&code) || code.starts_with("H16")
}

#[test]
fn every_code_has_a_script_that_fails_and_one_that_passes() {
    let world = world();
    let mut lacks = Vec::new();
    for code in
        codes::all().filter(|code| code.code.starts_with("H0") || code.code.starts_with("H1"))
    {
        if beyond_scripts(code.code) {
            continue;
        }
        let shown = |script: Option<&str>| {
            let found = compiled(&alone(script?), "a.rhai", &[]).diagnostics;
            Some(found.iter().any(|one| one.code == code.code))
        };
        let (wrong, right) = (shown(code.wrong), shown(code.right));
        if wrong == Some(false) || right == Some(true) {
            lacks.push(format!("{}: its example does not show it", code.code));
        }
        let noted = |text: &str| text.contains(&format!("[{}]", code.code));
        let fails = world.0.iter().filter(|(_, text)| noted(text));
        let folders: BTreeSet<_> = fails.clone().map(|(path, _)| path.parent()).collect();
        let passes = |(path, text): &(&Utf8PathBuf, &String)| {
            folders.contains(&path.parent()) && !text.contains("[H")
        };
        if wrong.is_none() && fails.count() == 0 {
            lacks.push(format!("{}: no script fails", code.code));
        }
        if right.is_none() && !world.0.iter().any(|one| passes(&one)) {
            lacks.push(format!("{}: no script beside those that fail passes", code.code));
        }
        let rules = format!("rules/{}/", code.code);
        let own: Vec<&String> = world
            .0
            .iter()
            .filter(|(path, _)| path.as_str().starts_with(&rules))
            .map(|(_, t)| t)
            .collect();
        let failing = own.iter().filter(|text| noted(text)).count();
        if code.code.starts_with("H0") && (failing < 3 || failing == own.len()) {
            lacks.push(format!(
                "{}: {failing} of {} scripts in {rules} fail",
                code.code,
                own.len()
            ));
        }
    }
    assert_eq!(lacks, Vec::<String>::new());
}

#[test]
fn the_examples_of_the_primitives_trace() {
    for primitive in homing::primitives::ALL {
        let spec = primitive.spec();
        let befores = [
            ("(point", "let point = snapshot(web);\n"),
            ("(copy)", "let copy = start_copy(snapshot(web), #{ host: \"hv-02\" });\n"),
            ("last.", "let last = transfer_delta(snapshot(web));\n"),
        ];
        let before = befores.iter().find(|(word, _)| spec.example.contains(word));
        let before = before.map_or("", |(_, line)| line);
        let script = format!("let web = vm(\"web-01\");\n{before}{}\n", spec.example);
        // Alone on its line a `commit` is refused by a rule: what counts here is that it can be written.
        let inventory = inventory();
        let observed = away(&inventory);
        let traced = trace(&Request {
            world: &alone(&script),
            script: "a.rhai".into(),
            params: &BTreeMap::new(),
            inventory: &inventory,
            facts: &FactLog::new(&observed),
            allocated: None,
            spent: std::time::Duration::ZERO,
        });
        assert_eq!(traced.diagnostics, [], "{script}");
        let used = traced.plan.steps.iter().any(|step| step.primitive == spec.name);
        assert!(used, "{script}");
    }
}
