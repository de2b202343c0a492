//! `rehearse`: the failback drill.

use std::sync::Arc;

use clap::Args;

use crate::base::Timestamp;
use crate::cli::args::{CompileArgs, Format, Global};
use crate::cli::compiled::{Planned, compile, is_module, is_saved};
use crate::cli::exit::Exit;
use crate::cli::place::{Opened, Place};
use crate::cli::plan::warn;
use crate::cli::run::not_stale;
use crate::cli::saved::proved;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::observe::Unseen;
use crate::plan::estimate::Estimates;
use crate::rehearse::{Show, Stage, looked_at, rehearse as play};
use crate::report::rehearsal::page;
use crate::verify::VerifiedPlan;

/// `rehearse`
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// What to rehearse: a script, a module of the library, or a saved plan.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// How many times, each with a seed of its own.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: u32,
    /// The first seed: it decides everything that goes wrong.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Of a thousand calls of sites, how many go wrong.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub faults: u64,
    /// The process dies, too, up to four times a run, and is resumed.
    #[arg(long)]
    pub kill: bool,
    /// People take hours, say no, stop the process; else every gate is answered yes at once.
    #[arg(long)]
    pub people: bool,
    /// As text, or as JSON for a program.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Compiles, or reads a saved plan, looks at the machines, and plays it.
///
/// # Errors
/// Exit 2 or 3 when there is no plan, 5 when a saved one is stale, 1 when a machine cannot be seen.
pub fn rehearse(args: &RehearseArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let sites = place.sites()?;
    let stage = wait_for(stage(args, &place, &sites, terminal))??;
    if stage.plan.nothing_to_do() {
        say("nothing to rehearse: no step touches a machine\n");
        return Ok(Exit::Success);
    }
    let show = Show {
        seed: args.seed,
        runs: args.runs,
        per_mille: args.faults,
        kills: args.kill,
        people: args.people,
    };
    // What rooms remark in passing is about sites that do not exist.
    let silent = tracing::subscriber::NoSubscriber::new();
    let report = tracing::subscriber::with_default(silent, || play(&stage, &show));
    match args.format {
        Format::Json => print_json(&report)?,
        Format::Text => print(&page(&report, &again(args), terminal.page()))?,
    };
    Ok(if report.broken.is_empty() { Exit::Success } else { Exit::Failed })
}

/// The same command for one seed.
fn again(args: &RehearseArgs) -> String {
    let mut words = vec![format!("homing rehearse {}", args.compile.script)];
    words.extend(args.compile.param.iter().map(|param| format!("-p {param}")));
    words.push(format!("--faults {}", args.faults));
    words.extend(args.kill.then(|| "--kill".to_owned()));
    words.extend(args.people.then(|| "--people".to_owned()));
    words.join(" ")
}

async fn stage(
    args: &RehearseArgs,
    place: &Place,
    sites: &Opened,
    terminal: Terminal,
) -> Result<Stage, Stop> {
    let (plan, estimates) = planned(args, place, sites, terminal).await?;
    let (inventory, open) = (place.inventory.clone(), |name: &_| sites.site(name));
    let seen = looked_at(plan.plan(), &inventory, &open, &sites.for_engine()).await;
    let beginning = seen.map_err(|unseen| {
        let diagnostics = unseen.iter().map(Unseen::diagnostic).collect();
        Stop::diagnosed(Exit::Refused, diagnostics, Default::default())
    })?;
    let plan = Arc::new(plan.plan().clone());
    let step_s = estimates.steps.iter().map(|step| (step.seconds, step.slow_s)).collect();
    Ok(Stage { plan, step_s, inventory, beginning, at: Timestamp::now() })
}

async fn planned(
    args: &RehearseArgs,
    place: &Place,
    sites: &Opened,
    terminal: Terminal,
) -> Result<(VerifiedPlan, Estimates), Stop> {
    let path = &args.compile.script;
    if is_saved(path) {
        let saved = proved(&args.compile, place)?;
        not_stale(path, &saved.plan, &saved.facts, place, sites).await?;
        return Ok((saved.plan, saved.estimates));
    }
    let Planned { plan, estimates, warnings, texts, .. } =
        compile(&args.compile, place, sites).await?.plan()?;
    warn(&warnings, &texts, terminal);
    Ok((plan, estimates))
}
