//! Scripts with notes where their mistakes must be found: `// error[H101]: some words` on the line of the
//! mistake, or on a line of its own for one that has no place. A script without notes must be clean.
//! Files in a folder `lib` are imported by the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use camino::Utf8PathBuf;
use homing::base::{HostName, MachineName, Side, SiteName};
use homing::diagnostic::{Diagnostic, Severity};
use homing::plan::facts::{
    CommitState, FactLog, Facts, MachineFacts, Power, Protection, ReplicaState, SideFacts,
};
use homing::plan::inventory::{Addresses, Inventory, MachineEntry};
use homing::source::MemoryWorld;
use homing::trace::{Request, Traced, trace};

/// A mistake that a script announces.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    file: String,
    /// 0: it has no place.
    line: u32,
    mark: String,
}

fn inventory() -> Inventory {
    let machine = |tier: &str, needs: &[&str]| MachineEntry {
        cloud: SiteName::new("azure").unwrap(),
        onprem: SiteName::new("dc1").unwrap(),
        host: HostName::new("hv-01").unwrap(),
        disks: vec![64 << 20],
        tags: [("tier", tier), ("os", "linux")].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        needs: needs.iter().map(|name| MachineName::new(name).unwrap()).collect(),
        rto_s: None,
        key: None,
        address: Addresses::default(),
        settings: BTreeMap::new(),
    };
    let machines = [
        ("db-01", machine("db", &[])),
        ("web-01", machine("web", &[])),
        ("web-02", machine("web", &["db-01"])),
    ];
    let machines = machines.map(|(name, entry)| (MachineName::new(name).unwrap(), entry)).into();
    let mut inventory = Inventory { machines, ..Inventory::default() };
    inventory.limits.steps_max = 2_000;
    inventory
}

fn facts(inventory: &Inventory) -> Facts {
    let side = |power| SideFacts { exists: true, power, fenced: false, generation: "1".into() };
    let away = MachineFacts {
        active: Side::Cloud,
        cloud: side(Power::On),
        onprem: side(Power::Off),
        host: HostName::new("hv-01").unwrap(),
        replica: ReplicaState::Stale,
        dirty: None,
        commit: CommitState::Committed,
        protection: Protection::None,
        encrypted: false,
        disk_bytes: 64 << 20,
        failed_over_at: Some("2026-11-10T00:00:00Z".parse().unwrap()),
        synced_at: None,
    };
    Facts {
        now: Some("2026-11-22T00:00:00Z".parse().unwrap()),
        machines: inventory.machines.keys().map(|name| (name.clone(), away.clone())).collect(),
        ..Facts::default()
    }
}

fn compile(world: &MemoryWorld, script: &str, params: &BTreeMap<String, String>) -> Traced {
    let inventory = inventory();
    let observed = facts(&inventory);
    let log = FactLog::new(&observed);
    let traced = trace(&Request {
        world,
        script: script.into(),
        params,
        inventory: &inventory,
        facts: &log,
        allocated: None,
    });
    let (_, missing) = log.finish();
    assert!(missing.is_empty(), "{script}: everything was observed");
    traced
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
        let Some((code, note)) = text.split_once("// ") else { continue };
        let Some((mark, words)) = note.split_once(']') else { continue };
        if !mark.starts_with("error[H") && !mark.starts_with("warning[H") {
            continue;
        }
        let line = if code.trim().is_empty() { 0 } else { line };
        let words = words.trim_start_matches(':').trim().to_owned();
        notes.push((Note { file: file.to_owned(), line, mark: mark.to_owned() }, words));
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
        let traced = compile(&world, script.as_str(), &BTreeMap::new());
        let read = traced.files.iter().flat_map(|file| notes(file.as_str(), &world.0[file]));
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
    let world = MemoryWorld(
        [(
            "a.rhai".into(),
            "let web = vm(\"web-01\");\nsnapshot(web, #{ timeout: 5 });\nweb.commit(3);\n".into(),
        )]
        .into(),
    );
    let traced = compile(&world, "a.rhai", &BTreeMap::new());
    let at = |nth: usize| {
        let at = traced.diagnostics[nth].at.clone().unwrap();
        (at.line, at.column, at.end_line, at.end_column)
    };
    assert_eq!(at(0), (2, 27, 2, 28), "the value of the option");
    assert_eq!(at(1), (3, 12, 3, 13), "the argument; the receiver is the first");
}

#[test]
fn a_step_of_the_library_is_placed_at_the_user_s_call() {
    let script = "import \"std/failback\" as failback;\n\nfailback::planned(vm(\"web-01\"), #{ gates: false, check: |m| check(m) });\n";
    let world = MemoryWorld([("a.rhai".into(), script.into())].into());
    let traced = compile(&world, "a.rhai", &BTreeMap::new());
    assert_eq!(traced.diagnostics, []);
    for step in &traced.plan.steps {
        assert_eq!((&*step.origin.at.file, step.origin.at.line), ("a.rhai", 3), "{}", step.id);
        assert!(step.origin.via.iter().all(|span| &*span.file == "std/failback"), "{}", step.id);
    }
    let via: Vec<usize> = traced.plan.steps.iter().map(|step| step.origin.via.len()).collect();
    assert_eq!(via, [2, 2, 2, 2, 2, 0, 1, 1], "{:#?}", traced.plan.steps[0].origin);
}

#[test]
fn parameters_are_told_apart_from_mistakes_of_the_script() {
    let script = "param(\"n\", 3, #{ min: 1, max: 9, help: \"how many\" });\nparam(\"tier\", \"web\", #{ one_of: [\"web\", \"db\"] });";
    let world = MemoryWorld([("a.rhai".into(), script.into())].into());
    let codes = |given: &[(&str, &str)]| {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let traced = compile(&world, "a.rhai", &given);
        traced.diagnostics.into_iter().map(|one| one.code.into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(codes(&[("n", "5"), ("tier", "db")]), [""; 0]);
    assert_eq!(codes(&[("m", "5")]), ["H151"]);
    assert_eq!(codes(&[("n", "many")]), ["H152"]);
    assert_eq!(codes(&[("n", "10")]), ["H153"]);
    assert_eq!(codes(&[("tier", "cache")]), ["H153"]);
    let traced = compile(&world, "gone.rhai", &BTreeMap::new());
    assert_eq!(traced.diagnostics[0].code, "H150");
}

#[test]
fn the_library_runs_without_a_script() {
    let given = [("machine".to_owned(), "web-01".to_owned())].into();
    let traced = compile(&MemoryWorld::default(), "std/failback", &given);
    assert_eq!(traced.diagnostics, []);
    let ids: Vec<&str> = traced.plan.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids.len(), 10);
    assert_eq!((ids[0], ids[2]), ("web-01.snapshot.1", "web-01-complete"));
    let traced = compile(&MemoryWorld::default(), "std/waves", &BTreeMap::new());
    assert_eq!(traced.diagnostics[0].code, "H155");
}

#[test]
fn facts_that_are_missing_end_the_trace_quietly() {
    let inventory = inventory();
    let nothing = Facts::default();
    let log = FactLog::new(&nothing);
    let script = "for m in vms(\"tier=web\") { if m.replica == \"stale\" { commit(m); } }";
    let world = MemoryWorld([("a.rhai".into(), script.into())].into());
    let params = BTreeMap::new();
    let traced = trace(&Request {
        world: &world,
        script: "a.rhai".into(),
        params: &params,
        inventory: &inventory,
        facts: &log,
        allocated: None,
    });
    assert_eq!(traced.diagnostics, []);
    let missing: Vec<String> = log.finish().1.into_iter().map(String::from).collect();
    assert_eq!(missing, ["web-01", "web-02"], "all that were selected, in one round");
}

#[test]
fn tiers_stop_in_reverse_and_start_forward() {
    let script = "import \"std/waves\" as waves;\nwaves::tiers(vms());";
    let world = MemoryWorld([("a.rhai".into(), script.into())].into());
    let plan = compile(&world, "a.rhai", &BTreeMap::new()).plan;
    let by_id = plan.by_id();
    let ix = |id: &str| *by_id.iter().find(|(known, _)| known.as_str() == id).unwrap().1;
    let needs = |id: &str| &plan.step(ix(id)).needs;
    assert!(needs("db-01.shutdown_azure_vm.1").contains(&ix("web-02.shutdown_azure_vm.1")));
    assert!(needs("web-02.start_onprem_vm.1").contains(&ix("db-01.check.1")));
    assert_eq!(needs("web-01.shutdown_azure_vm.1").len(), 0, "web-01 depends on nobody");
}

#[test]
fn the_scripts_we_ship_are_clean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rhai"));
    assert!(found.len() >= 4);
    for path in found {
        let name = path.file_name().unwrap().to_str().unwrap();
        let world = MemoryWorld([(name.into(), std::fs::read_to_string(&path).unwrap())].into());
        let traced = compile(&world, name, &BTreeMap::new());
        assert_eq!(traced.diagnostics, [], "{name}");
        assert!(traced.plan.steps.len() >= 8, "{name}");
    }
}

#[test]
fn the_examples_of_the_codes_show_what_they_say() {
    let mut wrong = Vec::new();
    for code in homing::diagnostic::codes::all().filter(|code| code.code.starts_with("H1")) {
        let found = |script: &str| {
            let world = MemoryWorld([("a.rhai".into(), script.to_owned())].into());
            let traced = compile(&world, "a.rhai", &BTreeMap::new());
            traced.diagnostics.iter().any(|one| one.code == code.code)
        };
        if code.wrong.is_some_and(|script| !found(script)) {
            wrong.push(format!("{}: the wrong example is right", code.code));
        }
        if code.right.is_some_and(found) {
            wrong.push(format!("{}: the right example is wrong", code.code));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_examples_of_the_primitives_trace() {
    for primitive in homing::primitives::ALL {
        let spec = primitive.spec();
        let before =
            if spec.example.contains("point)") { "let point = snapshot(web);\n" } else { "" };
        let script = format!("let web = vm(\"web-01\");\n{before}{}\n", spec.example);
        let world = MemoryWorld([("a.rhai".into(), script.clone())].into());
        let traced = compile(&world, "a.rhai", &BTreeMap::new());
        assert_eq!(traced.diagnostics, [], "{script}");
        let used = traced.plan.steps.iter().any(|step| step.primitive == spec.name);
        assert!(used, "{script}");
    }
}
