//! `rollback`, `replan`: another plan on machines that a run holds. It is proved first; only then does the run
//! let go of them.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Args;

use crate::base::{MachineName, RunId};
use crate::cli::answer::{machine_of, only_forward, post, stands, strands_nobody};
use crate::cli::args::{CompileArgs, Global, RunArgs, RunOptions};
use crate::cli::compiled::is_module;
use crate::cli::exit::Exit;
use crate::cli::named;
use crate::cli::past::{self, Past, fold};
use crate::cli::place::{Opened, Place};
use crate::cli::run::{self, ready, take_up};
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, say, wait_for};
use crate::execute::{Touched, dangers};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::run::command::Command;
use crate::run::outcome::Outcome;
use crate::run::state::{RunState, Status};
use crate::schedule::touched;

/// The module that takes machines back.
const ROLLBACK: &str = "std/rollback";

/// How often it is looked whether a living process has let go.
const LOOK: Duration = Duration::from_millis(150);

/// `rollback`
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The run.
    pub run: RunId,
    /// One machine of it, which the run goes on without; all of them, and the run ends, when left out.
    pub machine: Option<String>,
    /// Why: it is journalled.
    #[arg(long, value_name = "TEXT", value_parser = named::reason)]
    pub reason: Option<String>,
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
}

/// `replan`
#[derive(Debug, Args)]
pub struct ReplanArgs {
    /// The run.
    pub run: RunId,
    /// What to run instead.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
    /// Refuse unless the script means this.
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<String>,
    /// Why: it is journalled.
    #[arg(long, value_name = "TEXT", value_parser = named::reason)]
    pub reason: Option<String>,
}

/// Takes the machines of a run back to the side that they left, by the library's own script.
///
/// # Errors
/// Exit 2 when there is no such run or machine, or every machine is committed; 3 when there is no safe way
/// back: then the run is as it was. Else as `run`.
pub fn rollback(args: &RollbackArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let past = Past::read(&place, &args.run)?;
    let plan = past.plan.plan();
    let mut machines = match &args.machine {
        Some(name) => BTreeSet::from([machine_of(&past, name)?.clone()]),
        None => plan.changed_machines().into_iter().cloned().collect(),
    };
    if args.machine.is_none() {
        held_elsewhere(&past, &mut machines)?;
    }
    let committed = committed(plan, &past.state);
    for machine in machines.intersection(&committed) {
        say(&format!("{machine} is committed: it has no way back, and stays as it is\n"));
    }
    machines.retain(|machine| !committed.contains(machine));
    if machines.is_empty() {
        let message = format!("there is nothing to roll back in run `{}`", args.run);
        return Err(Stop::new(Exit::Usage, message).help(format!("homing status {}", args.run)));
    }
    let names: Vec<&str> = machines.iter().map(MachineName::as_str).collect();
    let compile = CompileArgs {
        script: Utf8PathBuf::from(ROLLBACK),
        param: vec![format!("machines={}", names.join(","))],
        strict: false,
    };
    let instead = run_of(compile, &args.options, None);
    proved(&instead, &past, &place, terminal)?;
    if args.machine.is_some() && !is_over(&past) {
        strands_nobody(&past, &machines)?;
    }
    let reason = args.reason.clone().unwrap_or_else(|| "it is rolled back".to_owned());
    match &args.machine {
        Some(_) => machines.into_iter().try_for_each(|machine| {
            let reason = reason.clone();
            let free = |state: &RunState| state.given_back.contains(&machine);
            let command = Command::Exclude { machine: machine.clone(), reason };
            let asks = !past.state.excluded.contains(&machine);
            let_go(&past, &place, asks.then_some(command), free, terminal)?;
            say(&format!("{machine} takes no further step in run `{}`\n", args.run));
            Ok(())
        })?,
        None => cancelled(&past, &place, reason, terminal)?,
    }
    run::run(&instead, global, terminal)
}

/// Runs another plan on the machines of a run, instead of the rest of it.
///
/// # Errors
/// Exit 2 when there is no such run or script; 3 when the plan is refused, or leaves a machine down or dirty
/// that the run had begun on; 5 when it is another plan than expected: in all these cases the run is as it
/// was. Else as `run`.
pub fn replan(args: &ReplanArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let beside = !is_module(script);
    let place = Place::find(global, beside.then_some(script.as_path()))?;
    let past = Past::read(&place, &args.run)?;
    let instead = run_of(args.compile.clone(), &args.options, args.expect.clone());
    let next = proved(&instead, &past, &place, terminal)?;
    if next.is_empty() {
        let message = format!("`{script}` has nothing to do where the machines are now");
        return Err(Stop::new(Exit::Refused, message)
            .help(format!("run `{}` is as it was: homing status {}", args.run, args.run)));
    }
    only_forward(&past, &place)?;
    nobody_left(&past, &next, &place)?;
    let reason = args.reason.clone().unwrap_or_else(|| format!("{script} is run instead"));
    cancelled(&past, &place, reason, terminal)?;
    run::run(&instead, global, terminal)
}

fn run_of(compile: CompileArgs, options: &RunOptions, expect: Option<String>) -> RunArgs {
    let options = options.clone();
    RunArgs { compile, options, expect, again: false, resume_or_run: false }
}

fn is_over(past: &Past) -> bool {
    past.row.outcome.is_some_and(Outcome::is_over)
}

/// Leaves those to another run that it has taken since they were given back.
fn held_elsewhere(past: &Past, machines: &mut BTreeSet<MachineName>) -> Result<(), Stop> {
    for machine in &past.state.given_back {
        let held = past.journal.machines_claimed(&BTreeSet::from([machine.clone()]));
        if let Some((_, run)) = held.map_err(|error| past::stop(&error))? {
            machines.remove(machine);
            say(&format!("{machine} is left to run `{run}`, which holds it\n"));
        }
    }
    Ok(())
}

/// Machines whose switch was committed, or whose deletion was announced.
fn committed(plan: &Plan, state: &RunState) -> BTreeSet<MachineName> {
    let commits = plan.iter().filter(|(ix, step)| {
        let stands = state.step(*ix);
        matches!(step.effect, Effect::Commit | Effect::CommitFailover)
            && (stands.status == Status::Succeeded || stands.intent.is_some())
    });
    commits.filter_map(|(_, step)| step.machine.clone()).collect()
}

/// The machines that the other plan changes, if nothing refuses it.
fn proved(
    instead: &RunArgs,
    past: &Past,
    place: &Place,
    terminal: Terminal,
) -> Result<BTreeSet<MachineName>, Stop> {
    let sites: Opened = place.sites()?;
    // Its warnings are told when it is run.
    let silent = Terminal { quiet: true, ..terminal };
    let ready = wait_for(ready(instead, place, &sites, silent))?;
    let ready = ready.map_err(|stop| {
        let run = &past.row.run;
        stop.also(&format!("nothing was begun, and run `{run}` is as it was: homing status {run}"))
    })?;
    Ok(ready.plan.plan().changed_machines().into_iter().cloned().collect())
}

/// Refuses to go on without a machine that the run began on and that a person is needed for.
fn nobody_left(past: &Past, next: &BTreeSet<MachineName>, place: &Place) -> Result<(), Stop> {
    let begun = touched(past.plan.plan(), &past.state).into_iter();
    let begun = begun.filter(|machine| !past.state.given_back.contains(*machine));
    let machines = begun.filter(|machine| !next.contains(*machine)).cloned().collect();
    let (sites, left) = (place.sites()?.for_engine(), Touched { machines, ..Touched::default() });
    let run = &past.row.run;
    let dangers = wait_for(dangers(&sites, &place.inventory, &left, run))?;
    if dangers.is_empty() {
        return Ok(());
    }
    let message = "the new plan leaves machines as they are that this run had begun on";
    Err(Stop::new(Exit::Refused, message).help(format!(
        "{}\nlet it bring them up too; or homing cancel {run} first, which leaves them so",
        dangers.join("\n")
    )))
}

/// Ends the run for good.
fn cancelled(past: &Past, place: &Place, reason: String, terminal: Terminal) -> Result<(), Stop> {
    if is_over(past) {
        return Ok(());
    }
    only_forward(past, place)?;
    let command = Command::Cancel { reason: Some(reason) };
    let over = |state: &RunState| state.outcome.is_some_and(Outcome::is_over);
    let_go(past, place, Some(command), over, terminal)?;
    say(&format!("run `{}` is over\n", past.row.run));
    Ok(())
}

/// Asks the run to let go, and waits until it has: its living process does it at safe points, else this one.
/// A run that is over has let go.
fn let_go(
    past: &Past,
    place: &Place,
    command: Option<Command>,
    has_let_go: impl Fn(&RunState) -> bool,
    terminal: Terminal,
) -> Result<(), Stop> {
    let run = &past.row.run;
    if is_over(past) {
        return Ok(());
    }
    if let Some(command) = command {
        post(past, &command)?;
    }
    let mut told = false;
    loop {
        // In this order: a process that leaves between the two has written what it did.
        let owned = past.journal.is_owned(run).map_err(|error| past::stop(&error))?;
        let events = past.journal.events(run, 1).map_err(|error| past::stop(&error))?;
        if has_let_go(&fold(past.plan.plan(), &events)?) {
            return Ok(());
        }
        if !owned {
            // What it would tell is told by the run that follows.
            take_up(run, place, Terminal { quiet: true, ..terminal })
                .map_err(|stop| stop.also(&stands(run)))?;
            let events = past.journal.events(run, 1).map_err(|error| past::stop(&error))?;
            if has_let_go(&fold(past.plan.plan(), &events)?) {
                return Ok(());
            }
            let message = format!("run `{run}` could not let go of its machines");
            return Err(Stop::new(Exit::Busy, message).help(format!("homing status {run}")));
        }
        if !told {
            say(&format!(
                "waiting for the process that works on run `{run}` to reach safe points; what it was asked stands, \
                 also if this command is stopped (homing status {run})\n"
            ));
            told = true;
        }
        wait_for(async { tokio::time::sleep(LOOK).await })?;
    }
}
