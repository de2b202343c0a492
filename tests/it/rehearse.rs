//! Rehearsals: the scripts of this repository, at sites in memory that fail, over processes that die.
//!
//! Plainly run, a slice of the moments and seeds; with `HOMING_SOAK=1` every moment and ten thousand seeds.
//! The counts are printed. A seed that breaks a promise is named with
//! its script, and shrunk: `homing rehearse SCRIPT --seed N --runs 1 --kill --people` plays it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use homing::base::Timestamp;
use homing::observe::rounds::{Asked, compile_observed};
use homing::plan::estimate::History;
use homing::plan::inventory::Inventory;
use homing::rehearse::{Counts, Moment, Operator, Played, Show, Stage, Troubles, play, rehearse};
use homing::run::event::EventBody;
use homing::run::outcome::Outcome;
use homing::sites::model::{Beginning, Honest, World};
use homing::source::MemoryWorld;

use crate::support::{Ground, tell};

const AT: &str = "2026-11-22T00:00:00Z";

/// The scripts of the project that change machines which are in the cloud, with their inventories.
const SCRIPTS: [(&str, &str); 5] = [
    ("alternate-host.rhai", "homing.toml"),
    ("failback-one.rhai", "homing.toml"),
    ("failback.rhai", "homing.toml"),
    ("full-download.rhai", "homing.toml"),
    ("qemu-drill.rhai", "qemu.toml"),
];

fn is_soak() -> bool {
    std::env::var_os("HOMING_SOAK").is_some()
}

fn inventory(name: &str) -> Inventory {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    homing::config::load(&folder.join(name)).inventory.unwrap()
}

fn text(script: &str) -> String {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    std::fs::read_to_string(folder.join(script)).unwrap()
}

/// Every machine in the cloud since twelve days.
fn away(inventory: &Inventory) -> Beginning {
    let at: Timestamp = AT.parse().unwrap();
    Beginning::failed_over(inventory, at - Duration::from_secs(12 * 24 * 3600))
}

fn stage(script: &str, inventory: &str) -> Stage {
    let inventory = self::inventory(inventory);
    let beginning = away(&inventory);
    staged(script, &text(script), inventory, beginning)
}

/// A script over machines that stand like this.
fn staged(script: &str, text: &str, inventory: Inventory, beginning: Beginning) -> Stage {
    let world =
        World::new(&beginning, &inventory, Arc::new(Honest), Box::new(|| AT.parse().unwrap()));
    let sources = MemoryWorld([(script.into(), text.to_owned())].into());
    let (params, history) = (BTreeMap::new(), History::default());
    let asked = Asked {
        world: &sources,
        script: script.into(),
        params: &params,
        inventory: &inventory,
        allocated: None,
        history: &history,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let open = |name: &_| Ok(world.site(name));
    let (compiled, _) = runtime.block_on(compile_observed(&asked, &open));
    let plan = compiled.plan.unwrap_or_else(|| panic!("{script}: {:#?}", compiled.diagnostics));
    let step_s = compiled.estimates.steps.iter().map(|step| (step.seconds, step.slow_s)).collect();
    let (plan, inventory) = (Arc::new(plan.plan().clone()), Arc::new(inventory));
    Stage { plan, step_s, inventory, beginning, at: AT.parse().unwrap() }
}

/// `commit.rhai` over what a run leaves whose commit was rejected.
fn commit_stage() -> Stage {
    let switched = "import \"std/waves\" as waves;\n\
        for m in vms() { transfer_delta(snapshot(m)); }\n\
        waves::tiers(vms());\n";
    let home = inventory("homing.toml");
    let beginning = away(&home);
    let stage = staged("switched.rhai", switched, home, beginning);
    let played = play(&stage, Troubles::default(), Operator::Prompt);
    assert_eq!(played.outcome, Some(Outcome::Succeeded));
    staged("commit.rhai", &text("commit.rhai"), inventory("homing.toml"), played.after)
}

fn stages() -> Vec<(&'static str, Stage)> {
    let mut stages: Vec<_> =
        SCRIPTS.iter().map(|(script, inventory)| (*script, stage(script, inventory))).collect();
    stages.push(("commit.rhai", commit_stage()));
    stages
}

/// Steps that were in flight when a process died, over the whole run.
fn left_in_flight(played: &Played) -> usize {
    let mut running: BTreeSet<&str> = BTreeSet::new();
    let mut left = 0;
    for event in &played.events {
        match &event.body {
            EventBody::AttemptStarted { step, .. } => drop(running.insert(step.as_str())),
            EventBody::StepSucceeded { step, .. }
            | EventBody::StepFailed { step, .. }
            | EventBody::AttemptFailed { step, .. } => drop(running.remove(step.as_str())),
            EventBody::RunResumed { .. } => left += std::mem::take(&mut running).len(),
            _ => {}
        }
    }
    left
}

fn attempts(played: &Played) -> usize {
    let started = |body: &EventBody| matches!(body, EventBody::AttemptStarted { .. });
    played.events.iter().filter(|event| started(&event.body)).count()
}

/// Every moment at which the process can die.
fn moments(counts: Counts) -> Vec<Moment> {
    let each = |make: fn(u64) -> Moment, count: u64| (1..=count).map(make);
    each(Moment::Record, counts.records)
        .chain(each(Moment::Action, counts.actions))
        .chain(each(Moment::Asked, counts.calls))
        .chain(each(Moment::Done, counts.calls))
        .chain(each(Moment::Block, counts.blocks))
        .collect()
}

/// Whether a moment is in the slice of a plain test: every record, some of the others.
fn is_in_slice(moment: Moment) -> bool {
    match moment {
        Moment::Record(_) => true,
        Moment::Action(n) => n % 8 == 1,
        Moment::Asked(n) | Moment::Done(n) | Moment::Block(n) => n % 61 == 4,
    }
}

#[test]
fn the_process_may_die_at_every_moment_once_and_again() {
    let began = Instant::now();
    let (mut rehearsals, mut deaths) = (0, 0);
    for (script, stage) in stages() {
        let whole = play(&stage, Troubles::default(), Operator::Prompt);
        assert_eq!((whole.outcome, &whole.broken[..]), (Some(Outcome::Succeeded), &[][..]));
        let moments = moments(whole.counts);
        for (at, moment) in moments.iter().enumerate() {
            if !is_soak() && !is_in_slice(*moment) {
                continue;
            }
            // Once; and three times in a row, each soon after the one before.
            let again = moments.iter().skip(at).step_by(3).take(3).copied().collect();
            let row = Some(again).filter(|_| is_soak() || at % 24 == 0);
            for die_at in [Some(BTreeSet::from([*moment])), row].into_iter().flatten() {
                let troubles = Troubles { deaths: die_at.clone(), ..Troubles::default() };
                let played = play(&stage, troubles, Operator::Prompt);
                let what = format!("{script}, dying at {die_at:?}");
                assert_eq!(played.broken, Vec::<String>::new(), "{what}");
                assert_eq!(played.outcome, Some(Outcome::Succeeded), "{what}");
                let again = attempts(&played) - attempts(&whole);
                assert!(again <= left_in_flight(&played), "{what}: {again} steps tried again");
                rehearsals += 1;
                deaths += die_at.len();
            }
        }
    }
    tell(&format!(
        "every moment: {rehearsals} rehearsals, {deaths} deaths, 0 broken promises, {:.0?}\n",
        began.elapsed()
    ));
}

#[test]
fn whatever_sites_and_people_do_no_promise_is_broken() {
    let began = Instant::now();
    let stages = stages();
    let seeds: u32 = if is_soak() { 10_000 } else { 2_000 };
    let runs = seeds.div_ceil(stages.len() as u32);
    let (mut rehearsals, mut faults, mut deaths) = (0, 0, 0);
    for (script, stage) in &stages {
        let show = Show { seed: 1, runs, per_mille: 30, kills: true, people: true };
        let report = rehearse(stage, &show);
        assert!(report.broken.is_empty(), "{script}: {:#?}", report.broken);
        let outcomes = report.outcomes.iter().map(|(how, seeds)| format!("{how} {}", seeds.len()));
        tell(&format!("{script}: {}\n", outcomes.collect::<Vec<_>>().join(", ")));
        rehearsals += report.runs;
        faults += report.faults;
        deaths += report.deaths;
    }
    tell(&format!(
        "sites and people: {rehearsals} seeds, {faults} faults, {deaths} deaths, 0 broken promises, {:.0?}\n",
        began.elapsed()
    ));
}

#[test]
fn the_same_seed_is_the_same_rehearsal() {
    let stage = stage("failback.rhai", "homing.toml");
    let once = |seed| {
        let troubles = Troubles { seed, per_mille: 40, ..Troubles::default() };
        let played = play(&stage, troubles, Operator::Human { seed });
        let told = played.events.into_iter().map(|mut event| {
            // A transfer tells how long its threads really took.
            if let EventBody::StepSucceeded { outputs, .. } = &mut event.body {
                outputs.take();
            }
            format!("{} {:?}", event.at, event.body)
        });
        (told.collect::<Vec<_>>(), played.struck)
    };
    for seed in [3, 4] {
        let (first, second) = (once(seed), once(seed));
        for (a, b) in first.0.iter().zip(&second.0) {
            assert_eq!(a, b);
        }
        assert_eq!(first, second);
    }
    assert_ne!(once(3).0, once(4).0);
}

#[test]
fn the_drill_as_a_command_touches_nothing() {
    let ground = Ground::new();
    let drill = ["rehearse", "failback.rhai", "--runs", "6", "--kill", "--people"];
    let page = ground.homing(&drill).exit(0).out;
    for part in ["Rehearsed 6 times", "db-01 is down", "95 of 100", "No promise was broken"] {
        assert!(page.contains(part), "{page}");
    }
    let again = ground.homing(&[&drill[..], &["--format", "json"]].concat()).exit(0).json();
    assert_eq!((again["runs"].as_u64(), again["took_s"].as_array().unwrap().len()), (Some(6), 6));
    assert!(!ground.path().join(".homing").exists(), "no journal, no lab");
    ground.homing(&["rehearse", "failback.rhai", "--runs", "0"]).exit(2);
    ground.homing(&["rehearse", "nothing.rhai"]).exit(2).says(&["there is no script"]);

    // A saved plan is rehearsed for as long as it could be run.
    ground.homing(&["plan", "failback.rhai", "--out", "plan.json"]).exit(0);
    ground.homing(&["rehearse", "plan.json", "--runs", "1", "--faults", "0"]).exit(0);
    ground.homing(&["run", "failback-one.rhai", "--approve", "all"]).exit(0);
    ground.homing(&["rehearse", "plan.json", "--runs", "1"]).exit(5).says(&["H342", "web-01"]);
}

/// On-prem is started, turned off again, and the cloud goes on for hours.
const THERE_AND_BACK: &str = "
import \"std/failback\" as failback;
let web = vm(\"web-01\");
acknowledge(\"H016\", \"a trial\");
failback::synchronize(web);
failback::switch_over(web);
shutdown_onprem_vm(web);
start_azure_vm(web);
wait(\"4h\");
check(web, #{ side: \"cloud\" });
";

#[test]
fn a_request_that_arrives_after_its_attempt_was_given_up_changes_nothing() {
    let home = inventory("homing.toml");
    let beginning = away(&home);
    let stage = staged("back.rhai", THERE_AND_BACK, home, beginning);
    let calls = play(&stage, Troubles::default(), Operator::Prompt).counts.calls;
    let with = |call: u64, seed: u64| {
        let only = Some(BTreeSet::from([call]));
        play(
            &stage,
            Troubles { seed, per_mille: 1000, only, ..Troubles::default() },
            Operator::Prompt,
        )
    };
    let is = |played: &Played, what: &str| {
        played.struck.first().is_some_and(|struck| struck.what.starts_with(what))
    };
    let starts = (1..=calls).find(|call| is(&with(*call, 1), "start of web-01 at dc1")).unwrap();
    let mut late = 0;
    for seed in 0..160 {
        let played = with(starts, seed);
        assert_eq!(played.broken, Vec::<String>::new(), "seed {seed}");
        late += u32::from(played.events.iter().any(|event| match &event.body {
            EventBody::AttemptFailed { failure, .. } => failure.message.contains("may do it yet"),
            _ => false,
        }));
    }
    assert!(late > 1, "{late} of them were given up");
}
