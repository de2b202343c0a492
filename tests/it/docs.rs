//! What people read keeps step with what there is: the README, the manual, the reference.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory;
use homing::cli::args::Cli;
use homing::cli::exit::Exit;
use homing::config::KEYS;
use homing::primitives::ALL;
use homing::primitives::spec::COMMON_OPTIONS;
use homing::sites::registry;
use homing::trace::{PROPERTIES, WORDS, stdlib_docs};

use crate::support::Ground;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

fn reference() -> String {
    Ground::new().homing(&["primitives", "--markdown"]).exit(0).out
}

/// What stands in backticks or behind a prompt: each piece of code of a page.
fn code(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut prose = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.extend(line.strip_prefix("$ ").map(str::to_owned));
        } else {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    found
}

/// Commands that a page tells people to type: `homing check --params`.
fn commands(page: &str) -> Vec<Vec<String>> {
    let typed = code(page).into_iter().filter_map(|text| {
        let text = text.split(" #").next().unwrap_or_default().trim().to_owned();
        let text = text.replace("cargo run --release -- ", "homing ");
        text.strip_prefix("homing ").map(str::to_owned)
    });
    typed.map(|text| text.split_whitespace().map(str::to_owned).collect()).collect()
}

fn commands_exist(page: &str) -> usize {
    let commands = commands(page);
    let cli = Cli::command();
    for words in &commands {
        if words[0].starts_with("--") {
            continue;
        }
        let mut known = cli
            .find_subcommand(&words[0])
            .unwrap_or_else(|| panic!("there is no `homing {}`: {words:?}", words[0]));
        if known.has_subcommands() && words.len() > 1 {
            known = known
                .find_subcommand(&words[1])
                .unwrap_or_else(|| panic!("there is no `homing {} {}`", words[0], words[1]));
        }
        for flag in words.iter().filter_map(|word| word.strip_prefix("--")) {
            let all = known.get_arguments().chain(cli.get_arguments());
            let mut longs = all.filter_map(|argument| argument.get_long());
            assert!(longs.any(|long| long == flag), "no `--{flag}` of {words:?}");
        }
    }
    commands.len()
}

/// The pieces of a page in that language.
fn fenced(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let pieces = page.split(&opening).skip(1);
    pieces.map(|piece| piece.split("```").next().unwrap().to_owned()).collect()
}

/// What stands before the page of the first primitive: written by hand.
fn manual(reference: &str) -> &str {
    reference.split("\n# Primitives\n").next().unwrap()
}

#[test]
fn every_script_of_the_readme_and_the_manual_is_a_plan() {
    let reference = reference();
    let (mut scripts, readme) = (fenced(manual(&reference), "rhai"), fenced(&readme(), "rhai"));
    assert!(scripts.len() >= 3 && !readme.is_empty(), "{scripts:#?}");
    scripts.extend(readme);
    let ground = Ground::new();
    for script in scripts {
        ground.write("page.rhai", &script);
        let said = ground.homing(&["plan", "page.rhai", "--format", "json"]).exit(0);
        assert!(!said.json()["steps"].as_array().unwrap().is_empty(), "{script}");
    }
}

#[test]
fn the_inventory_of_the_reference_is_good_and_has_every_key() {
    let reference = reference();
    let pages = fenced(manual(&reference), "toml");
    let [inventory] = &pages[..] else { panic!("one inventory: {pages:#?}") };
    let ground = Ground::new();
    ground.write("homing.toml", inventory);
    ground.write("tier1.key", "correct horse battery staple");
    ground.homing(&["check", "std/failback", "-p", "machine=db-01"]).exit(0);
    ground.homing(&["check", "std/failback", "-p", "machine=web-03"]).exit(0);
    for key in KEYS.iter().chain(registry::keys()) {
        let set = [format!("{} =", key.name), format!(".{}]", key.name)];
        assert!(set.iter().any(|text| inventory.contains(text)), "it lacks `{}`", key.name);
        assert!(reference.contains(&format!("| {} ", key.name)), "no row of `{}`", key.name);
    }
}

#[test]
fn every_command_and_flag_that_is_named_exists() {
    assert!(commands_exist(&readme()) > 8);
    assert!(commands_exist(&reference()) > 12);
}

#[test]
fn every_path_that_the_readme_names_is_there_and_every_script_is_named() {
    let readme = readme();
    let words: Vec<String> = code(&readme)
        .iter()
        .flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let ours = ["scripts/", "stdlib/", "src/", "tests/", "benches/"];
    let paths = words.iter().filter(|word| ours.iter().any(|folder| word.starts_with(folder)));
    // What a run creates is not there before it.
    let paths: Vec<&String> = paths.filter(|path| !path.contains(".homing")).collect();
    assert!(paths.len() > 5);
    for path in paths {
        assert!(root().join(path).exists(), "the README names `{path}`");
    }
    for script in std::fs::read_dir(root().join("scripts")).unwrap() {
        let path = script.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rhai") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(words.contains(&name), "the README does not name the script `{name}`");
        }
    }
}

#[test]
fn exit_codes_are_told_the_same_everywhere() {
    let (readme, reference) = (readme(), reference());
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(readme.contains(&row), "the README has no row `{row}`");
        let found = reference.lines().any(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            cells == [exit.code().to_string().as_str(), exit.meaning()]
        });
        assert!(found, "the reference has no row of exit {}", exit.code());
    }
    let codes: BTreeSet<u8> = Exit::ALL.map(Exit::code).into();
    assert_eq!(codes.len(), Exit::ALL.len());
}

#[test]
fn the_reference_has_all_that_a_script_can_call() {
    let reference = reference();
    let has = |text: &str| assert!(reference.contains(text), "the reference lacks `{text}`");
    let titles: Vec<&str> =
        reference.lines().filter_map(|line| line.strip_prefix("## `")).collect();
    let title = |name: &str| {
        let found = titles.iter().any(|title| title.starts_with(&format!("{name}(")));
        assert!(found, "the reference has no page of `{name}`");
    };
    for primitive in ALL {
        let spec = primitive.spec();
        title(spec.name);
        has(spec.example.trim_end());
        let options = spec.options.iter().chain(COMMON_OPTIONS).map(|option| option.name);
        let outputs = spec.outputs.iter().map(|output| output.name);
        options.chain(outputs).for_each(|name| has(&format!("| {name} ")));
    }
    for word in WORDS {
        has(&format!("| {} ", word.usage.replace('|', "\\|")));
    }
    for (property, _) in PROPERTIES {
        has(&format!("| m.{property} "));
    }
    for function in stdlib_docs() {
        title(&format!("{}: {}", function.module, function.name));
        assert!(!function.doc.trim().is_empty(), "{} says nothing of itself", function.name);
    }
}

#[test]
fn each_thing_is_told_by_its_name() {
    let ground = Ground::new();
    for name in ["snapshot", "vms", "planned", "order", "failure", "policy", "lab", "inventory"] {
        let said = ground.homing(&["primitives", name]).exit(0);
        assert!(said.out.lines().count() > 1, "{name}: {}", said.out);
    }
    ground.homing(&["primitives", "snapshto"]).exit(2).says(&["did you mean `snapshot`"]);
    let dirty = ground.homing(&["explain", "H003"]).exit(0).out;
    for part in ["Wrong", "Right", "start_onprem_vm"] {
        assert!(dirty.contains(part), "{dirty}");
    }
    let all = ground.homing(&["explain"]).exit(0).out;
    for code in homing::diagnostic::codes::all() {
        assert!(all.contains(code.code), "{}", code.code);
    }
}

#[test]
fn a_module_of_the_library_needs_no_script_wherever_one_stands() {
    let ground = Ground::new();
    // A folder of its own, with the inventory in `scripts/` below; and a folder beneath that.
    for name in ["site/scripts", "site/logs/old"] {
        std::fs::create_dir_all(ground.path().join(name)).unwrap();
    }
    let inventory = ground.path().join("homing.toml");
    std::fs::rename(&inventory, ground.path().join("site/scripts/homing.toml")).unwrap();
    let within = |folder: &str, args: &[&str]| {
        let mut command = ground.command(args);
        let output = command.current_dir(ground.path().join(folder)).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout) + text(output.stderr).as_str())
    };
    let given = ["check", "std/failback", "-p", "machine=web-01"];
    let (code, said) = within("site", &given);
    assert!(code == Some(0) && said.contains("steps on 1 machine, no rule refuses them"), "{said}");
    let (code, said) = within("site", &["check", "std/failback", "--params"]);
    assert!(code == Some(0) && said.contains("machine") && said.contains("required"), "{said}");
    let (code, said) = within("site/scripts", &["plan", "std/failback", "-p", "machine=db-01"]);
    assert!(code == Some(0) && said.contains("Plan of std/failback"), "{said}");
    let (code, said) = within("site/logs/old", &given);
    assert!(code == Some(2) && said.contains("H201") && said.contains("--config"), "{said}");
    // Above: found from anywhere below it.
    let (from, to) = ("site/scripts/homing.toml", "site/homing.toml");
    std::fs::rename(ground.path().join(from), ground.path().join(to)).unwrap();
    let args = ["run", "std/failback", "-p", "machine=web-01", "-p", "gates=false"];
    let (code, said) = within("site/logs/old", &args);
    assert!(code == Some(0) && said.contains("succeeded"), "{said}");
}
