//! Rehearsals: the scripts of this repository, at sites in memory that fail, over processes that die.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use homing::base::Timestamp;
use homing::observe::rounds::{Asked, compile_observed};
use homing::plan::estimate::History;
use homing::plan::inventory::Inventory;
use homing::rehearse::{Operator, Show, Stage, Troubles, play, rehearse};
use homing::sites::model::{Beginning, Honest, World};
use homing::source::MemoryWorld;

const AT: &str = "2026-11-22T00:00:00Z";

/// A script of the project, ready to be rehearsed; `None` where there is nothing to do.
fn stage(script: &str) -> Stage {
    let folder = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let inventory = homing::config::load(&folder.join("homing.toml")).inventory.unwrap();
    let at: Timestamp = AT.parse().unwrap();
    let away = at - Duration::from_secs(12 * 24 * 3600);
    let beginning = Beginning::failed_over(&inventory, away);
    staged(script, std::fs::read_to_string(folder.join(script)).unwrap(), inventory, beginning, at)
}

fn staged(
    script: &str,
    text: String,
    inventory: Inventory,
    beginning: Beginning,
    at: Timestamp,
) -> Stage {
    let world = World::new(&beginning, &inventory, Arc::new(Honest), Box::new(|| Duration::ZERO));
    let sources = MemoryWorld([(script.into(), text)].into());
    let params = BTreeMap::new();
    let history = History::default();
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
    Stage {
        plan: Arc::new(plan.plan().clone()),
        step_s,
        inventory: Arc::new(inventory),
        beginning,
        at,
    }
}

#[test]
fn a_rehearsal_without_troubles_succeeds() {
    for script in ["failback.rhai", "failback-one.rhai", "full-download.rhai", "alternate-host.rhai"] {
        let stage = stage(script);
        let played = play(&stage, Troubles::default(), Operator::Prompt);
        println!("{script}: {:?} {:?} {:?} {:?}", played.outcome, played.counts, played.took, played.downtimes_s);
        assert_eq!(played.broken, Vec::<String>::new());
    }
}

fn seeds() -> u32 {
    std::env::var("SEEDS").map_or(40, |n| n.parse().unwrap())
}

#[test]
fn many_seeds() {
    for script in ["failback.rhai", "failback-one.rhai", "full-download.rhai", "alternate-host.rhai"] {
        let stage = stage(script);
        let show = Show { seed: std::env::var("SEED").map_or(1, |n| n.parse().unwrap()), runs: seeds(), per_mille: 30, kills: true, people: true };
        let report = rehearse(&stage, &show);
        println!("{script}: {:?} faults {} deaths {}", report.outcomes, report.faults, report.deaths);
        for broken in &report.broken {
            println!("{broken:#?}");
        }
    }
}
