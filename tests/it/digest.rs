//! The digest is the same for the same meaning, however it is written and wherever it lies, and another for
//! any other meaning: over plans made of what chance chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use homing::base::MachineName;
use homing::compile::compile;
use homing::plan::estimate::History;
use homing::plan::facts::FactLog;
use homing::plan::inventory::Inventory;
use homing::source::MemoryWorld;
use homing::trace::Request;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::observed::{away, machine};

/// What a script says.
#[derive(Clone, Debug)]
struct Story {
    machines: Vec<Part>,
    at_most: u32,
    gate_hours: u32,
    asks: u32,
    commits: bool,
}

/// What it says of one machine.
#[derive(Clone, Debug)]
struct Part {
    machine: u32,
    rounds: u32,
    bandwidth: u32,
    grace_minutes: u32,
    check_minutes: u32,
    tries: u32,
    waits: u32,
    has_way_back: bool,
}

/// How it is written: nothing of this means anything.
#[derive(Clone, Debug)]
struct Hand {
    /// Comments and empty lines, indented strangely.
    loose: bool,
    /// The last machine first.
    backwards: bool,
    /// Machines' names in a variable that is called otherwise.
    variable: &'static str,
    /// Where the script lies, and what it is called.
    file: &'static str,
    /// What every machine goes through stands in an imported file.
    imports: bool,
    /// The inventory has machines that the plan does not touch, and lies elsewhere.
    other_computer: bool,
}

const PLAIN: Hand = Hand {
    loose: false,
    backwards: false,
    variable: "m",
    file: "plan.rhai",
    imports: false,
    other_computer: false,
};

fn part() -> impl Strategy<Value = Part> {
    (0..4_u32, 1..3_u32, 1..9_u32, 1..5_u32, 1..9_u32, 1..6_u32, 0..3_u32, any::<bool>()).prop_map(
        |(machine, rounds, bandwidth, grace_minutes, check_minutes, tries, waits, has_way_back)| {
            Part {
                machine,
                rounds,
                bandwidth,
                grace_minutes,
                check_minutes,
                tries,
                waits,
                has_way_back,
            }
        },
    )
}

fn story() -> impl Strategy<Value = Story> {
    let parts = prop::collection::vec(part(), 1..4).prop_map(|mut parts| {
        parts.sort_by_key(|part| part.machine);
        parts.dedup_by_key(|part| part.machine);
        parts
    });
    (parts, 1..9_u32, 1..40_u32, 0..5_u32, any::<bool>()).prop_map(
        |(machines, at_most, gate_hours, asks, commits)| Story {
            machines,
            at_most,
            gate_hours,
            asks,
            commits,
        },
    )
}

fn hand() -> impl Strategy<Value = Hand> {
    let variables = prop::sample::select(vec!["m", "machine", "x1"]);
    let files = prop::sample::select(vec!["plan.rhai", "other.rhai"]);
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (bits, variables, files).prop_map(
        |((loose, backwards, imports, other_computer), variable, file)| Hand {
            loose,
            backwards,
            variable,
            file,
            imports,
            other_computer,
        },
    )
}

impl Part {
    fn copies(&self, v: &str) -> Vec<String> {
        let copy = format!(
            "transfer_delta(snapshot({v}), #{{ bandwidth: \"{}MiB/s\" }});",
            self.bandwidth
        );
        let wait = format!("wait({v}, \"{}s\");", self.waits);
        let mut lines = vec![copy; self.rounds as usize];
        lines.extend((self.waits > 0).then_some(wait));
        lines
    }

    fn moves(&self, v: &str) -> Vec<String> {
        let stop = format!("shutdown_azure_vm({v}, #{{ grace: \"{}m\" }});", self.grace_minutes);
        let last = format!("transfer_delta({v}, #{{ retry: #{{ attempts: {} }} }});", self.tries);
        let mut lines = if self.has_way_back {
            let back = format!("}}).on_failure(|| {{ start_azure_vm({v}); }});");
            vec!["attempt(|| {".to_owned(), stop, last, back]
        } else {
            vec![stop, last]
        };
        lines.push(format!("start_onprem_vm({v});"));
        lines.push(format!("check({v}, #{{ timeout: \"{}m\" }});", self.check_minutes));
        lines
    }
}

impl Story {
    /// The files of its script.
    fn files(&self, hand: &Hand) -> Vec<(String, String)> {
        let mut machines: Vec<&Part> = self.machines.iter().collect();
        if hand.backwards {
            machines.reverse();
        }
        let (mut main, mut functions) = (Vec::new(), Vec::new());
        main.push(format!("policy(#{{ at_most: {} }});", self.at_most));
        let mut phase =
            |main: &mut Vec<String>, name: &str, lines: &dyn Fn(&Part, &str) -> Vec<String>| {
                for part in &machines {
                    let vm = format!("vm(\"app-{:02}\")", part.machine);
                    let v = hand.variable;
                    if hand.imports {
                        let function = format!("{name}_{}", part.machine);
                        let body = lines(part, v).join("\n    ");
                        functions.push(format!("fn {function}({v}) {{\n    {body}\n}}"));
                        main.push(format!("parts::{function}({vm});"));
                    } else {
                        main.push(format!("{{ let {v} = {vm};"));
                        main.extend(lines(part, v));
                        main.push("}".to_owned());
                    }
                }
            };
        phase(&mut main, "copies", &Part::copies);
        main.push(format!(
            "approve(\"Go on, {}?\", #{{ name: \"go\", timeout: \"{}h\" }});",
            self.asks, self.gate_hours
        ));
        phase(&mut main, "moves", &Part::moves);
        if self.commits {
            main.push("approve(\"Delete?\", #{ name: \"commit\", timeout: \"1h\" });".to_owned());
            phase(&mut main, "commits", &|_, v| {
                vec![format!("commit({v});"), format!("reverse_replicate({v});")]
            });
        }
        if hand.imports {
            main.insert(0, "import \"lib/parts\" as parts;".to_owned());
        }
        let text = if hand.loose {
            main.iter().map(|line| format!("\n/* why */   {line} // because\n")).collect()
        } else {
            main.join("\n")
        };
        vec![(hand.file.to_owned(), text), ("lib/parts.rhai".to_owned(), functions.join("\n"))]
    }

    fn digest(&self, hand: &Hand) -> String {
        let files = self.files(hand);
        let world =
            MemoryWorld(files.iter().map(|(f, t)| (f.as_str().into(), t.clone())).collect());
        let count = if hand.other_computer { 9 } else { 4 };
        let name = |n| MachineName::new(format!("app-{n:02}")).unwrap();
        let machines = (0..count).map(|n| (name(n), machine(&[("tier", "app")], &[]))).collect();
        let folder = if hand.other_computer { "/srv/plans" } else { "" }.into();
        let inventory = Inventory { machines, folder, ..Inventory::default() };
        let facts = away(&inventory);
        let compiled = compile(
            &Request {
                world: &world,
                script: hand.file.into(),
                params: &BTreeMap::new(),
                inventory: &inventory,
                facts: &FactLog::new(&facts),
                allocated: None,
                spent: Duration::ZERO,
            },
            &History::default(),
        );
        let plan =
            compiled.plan.unwrap_or_else(|| panic!("{:?}\n{files:#?}", compiled.diagnostics));
        plan.digest().to_string()
    }

    /// The same but for one thing that is done.
    fn otherwise(&self, what: u32, whose: usize) -> Story {
        let mut other = self.clone();
        let whose = whose % other.machines.len();
        let part = &mut other.machines[whose];
        match what % 11 {
            0 => part.rounds += 1,
            1 => part.bandwidth += 1,
            2 => part.grace_minutes += 1,
            3 => part.check_minutes += 1,
            4 => part.tries += 1,
            5 => part.waits += 1,
            6 => part.has_way_back = !part.has_way_back,
            7 => other.at_most += 1,
            8 => other.gate_hours += 1,
            9 => other.asks += 1,
            _ => other.commits = !other.commits,
        }
        other
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_it_is_written_and_where_changes_no_digest(story in story(), hand in hand()) {
        prop_assert_eq!(story.digest(&PLAIN), story.digest(&hand));
    }

    #[test]
    fn whatever_is_done_otherwise_changes_it(
        story in story(), hand in hand(), what in 0..11_u32, whose in 0..4_usize,
    ) {
        prop_assert_ne!(story.digest(&PLAIN), story.otherwise(what, whose).digest(&hand));
    }
}
