//! `approve`, `reject`, `cancel`, `retry`, `exclude`: what a person asks of a run, from any shell.

use std::collections::BTreeSet;

use clap::Args;

use crate::base::{MachineName, RunId, StepId};
use crate::cli::args::Global;
use crate::cli::asker::asker;
use crate::cli::exit::Exit;
use crate::cli::named;
use crate::cli::past::{self, Past};
use crate::cli::place::Place;
use crate::cli::run;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, say, wait_for};
use crate::diagnostic::did_you_mean;
use crate::observe::observe_machines;
use crate::plan::facts::{CommitState, Facts};
use crate::plan::step::{Kind, StepIx};
use crate::run::command::Command;
use crate::run::outcome::Outcome;
use crate::run::state::{NotAgain, Status};
use crate::schedule::{half_committed, stranded};

/// `approve`, `reject`
#[derive(Debug, Args)]
pub struct AnswerArgs {
    /// The run.
    pub run: RunId,
    /// The gate's name.
    pub gate: String,
    /// Why, or a change ticket; it is journalled.
    #[arg(long)]
    pub comment: Option<String>,
}

/// `cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The run.
    pub run: RunId,
    /// Why; it is journalled.
    #[arg(long, value_name = "TEXT", value_parser = named::reason)]
    pub reason: Option<String>,
}

/// `retry`
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The run.
    pub run: RunId,
    /// The failed step.
    pub step: String,
}

/// `exclude`
#[derive(Debug, Args)]
pub struct ExcludeArgs {
    /// The run.
    pub run: RunId,
    /// The machine, or several.
    #[arg(required = true)]
    pub machine: Vec<String>,
    /// Why; it is journalled.
    #[arg(long, value_name = "TEXT", value_parser = named::reason)]
    pub reason: String,
}

/// Opens a gate.
///
/// # Errors
/// Exit 2: no such run or gate, or the gate is not open.
pub fn approve(args: &AnswerArgs, global: &Global) -> Done {
    answer(args, global, |gate, comment| Command::Approve { gate, comment })
}

/// Says no at a gate.
///
/// # Errors
/// As [`approve`].
pub fn reject(args: &AnswerArgs, global: &Global) -> Done {
    answer(args, global, |gate, comment| Command::Reject { gate, comment })
}

fn answer(
    args: &AnswerArgs,
    global: &Global,
    command: impl Fn(StepId, Option<String>) -> Command,
) -> Done {
    let past = open_run(global, &args.run)?;
    let gates = gates(&past, &args.gate)?;
    for gate in &gates {
        post(&past, &command(past.plan.plan().step(*gate).id.clone(), args.comment.clone()))?;
    }
    tell_owner(&past, "answered")
}

/// The open gates of that name: a machine's gate is `web-01.complete`, and `complete` means all of them.
fn gates(past: &Past, name: &str) -> Result<Vec<StepIx>, Stop> {
    let plan = past.plan.plan();
    let known: Vec<StepIx> = plan
        .iter()
        .filter(|(_, step)| step.kind == Kind::Gate && step.is_called(name))
        .map(|(ix, _)| ix)
        .collect();
    if known.is_empty() {
        let gates = plan.steps.iter().filter(|step| step.kind == Kind::Gate);
        let all: Vec<&str> = gates.map(|step| step.id.as_str()).collect();
        let stop = Stop::new(Exit::Usage, format!("run `{}` has no gate `{name}`", past.row.run))
            .code("H344");
        return Err(match did_you_mean(name, all.iter().copied()) {
            Some(meant) => stop.help(format!("did you mean `{meant}`?")),
            None => stop.help(format!("its gates: {}", all.join(", "))),
        });
    }
    let answered = answered(past)?;
    let waits = |ix: &StepIx| {
        past.state.step(*ix).status == Status::Open && !answered.contains(&plan.step(*ix).id)
    };
    let open: Vec<StepIx> = known.iter().copied().filter(waits).collect();
    if open.is_empty() {
        let word = match past.state.step(known[0]).status {
            Status::Succeeded => "was approved already",
            Status::Open => "was answered already, which waits for the run to go on",
            Status::Rejected => "was rejected, which is final",
            _ => "is not reached yet",
        };
        let message = format!("the gate `{name}` of run `{}` {word}", past.row.run);
        return Err(Stop::new(Exit::Usage, message).help(format!("homing status {}", past.row.run)));
    }
    Ok(open)
}

/// Gates whose answer nobody has taken in yet: the first one counts.
fn answered(past: &Past) -> Result<Vec<StepId>, Stop> {
    let waiting = past.journal.commands(&past.row.run).map_err(|error| past::stop(&error))?;
    let gate = |command: Command| match command {
        Command::Approve { gate, .. } | Command::Reject { gate, .. } => Some(gate),
        Command::Retry { .. }
        | Command::Skip { .. }
        | Command::Accept { .. }
        | Command::Cancel { .. }
        | Command::Exclude { .. } => None,
    };
    Ok(waiting.into_iter().filter_map(|one| gate(one.command)).collect())
}

/// Ends a run for good. Where no process works on it, this one does what is left to do.
///
/// # Errors
/// Exit 2 when there is no such run or it is over.
pub fn cancel(args: &CancelArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let past = open_run_of(&place, &args.run)?;
    only_forward(&past, &place)?;
    end(&past, &place, args.reason.clone(), terminal)
}

/// Of a machine that is half committed there is only forward: its run does not end before.
///
/// # Errors
/// Exit 2, naming it.
pub fn only_forward(past: &Past, place: &Place) -> Result<(), Stop> {
    let all = past.plan.plan().machines().into_iter().cloned().collect();
    forward(past, place, &all, &format!("run `{}` is not ended", past.row.run))
}

/// Refuses when one of `machines` is half committed; `refused`: what does not happen.
fn forward(
    past: &Past,
    place: &Place,
    machines: &BTreeSet<MachineName>,
    refused: &str,
) -> Result<(), Stop> {
    let run = &past.row.run;
    let mut begun = half_committed(past.plan.plan(), &past.state);
    begun.retain(|machine| machines.contains(*machine));
    if begun.is_empty() {
        return Ok(());
    }
    let (sites, mut facts) = (place.sites()?, Facts::default());
    let open = |name: &_| sites.site(name);
    // What cannot be seen is as the run left it; another one may have finished what can. Where one side is
    // silent, nobody can finish it: another run does once it answers, if it ever does.
    let names = begun.iter().copied();
    let unseen = wait_for(observe_machines(&open, &place.inventory, names, &mut facts))?;
    let is_silent = |machine: &MachineName| {
        let mut one_sided = unseen.iter().filter_map(|one| one.one_sided.as_ref());
        one_sided.any(|seen| seen.machine == *machine)
    };
    let finished = |machine: &MachineName| {
        let seen = facts.machines.get(machine);
        is_silent(machine) || seen.is_some_and(|facts| facts.commit == CommitState::Committed)
    };
    let half: Vec<String> = begun
        .into_iter()
        .filter(|machine| !finished(machine))
        .map(|machine| format!("{machine} is half committed"))
        .collect();
    if half.is_empty() {
        return Ok(());
    }
    let message = format!("{refused}: {}", half.join(", "));
    let help = if owned(past)? {
        format!(
            "there is only forward: its process is at it; ask again once it is done (homing status {run})"
        )
    } else {
        format!("there is only forward: homing resume {run} finishes the commit")
    };
    Err(Stop::new(Exit::Usage, message).help(help))
}

/// Ends a run for good, whatever it has begun.
///
/// # Errors
/// As [`cancel`].
pub fn end(past: &Past, place: &Place, reason: Option<String>, terminal: Terminal) -> Done {
    post(past, &Command::Cancel { reason })?;
    if owned(past)? {
        return tell_owner(past, "told to stop at safe points, for good");
    }
    let taken = run::take_up(&past.row.run, place, terminal);
    match taken.map_err(|stop| stop.also(&stands(&past.row.run)))? {
        Exit::Interrupted => Ok(Exit::Success),
        other => Ok(other),
    }
}

/// What is said when a run could not be taken up to let what was asked count.
pub fn stands(run: &RunId) -> String {
    format!("what was asked stands, and counts first when the run goes on: homing status {run}")
}

/// Tries a failed step again; or a start, when its machine has died since.
///
/// # Errors
/// Exit 2 when there is no such run or step, or the step did not fail.
pub fn retry(args: &RetryArgs, global: &Global) -> Done {
    let past = open_run(global, &args.run)?;
    let plan = past.plan.plan();
    let ix = step_of(&past, &args.step)?;
    let step = plan.step(ix);
    if let Err(why) = past.state.may_retry(plan, ix) {
        let (run, step) = (&args.run, &args.step);
        let message = match why {
            NotAgain::NotFailed => format!("the step `{step}` of run `{run}` has not failed"),
            _ => format!("the step `{step}` of run `{run}` is not tried again: {why}"),
        };
        let help = match (&why, &plan.step(ix).machine) {
            (NotAgain::Handled(_), Some(machine)) => format!(
                "to let the others go on: homing exclude {run} {machine} --reason \"..\"; then plan {machine} anew"
            ),
            _ => format!("homing status {run}"),
        };
        return Err(Stop::new(Exit::Usage, message).help(help));
    }
    post(&past, &Command::Retry { step: step.id.clone() })?;
    tell_owner(&past, "asked to try it again")
}

/// The step of that id.
///
/// # Errors
/// Exit 2 when the run has no such step.
pub fn step_of(past: &Past, id: &str) -> Result<StepIx, Stop> {
    let (plan, run) = (past.plan.plan(), &past.row.run);
    if let Some((ix, _)) = plan.iter().find(|(_, step)| step.id.as_str() == id) {
        return Ok(ix);
    }
    let stop = Stop::new(Exit::Usage, format!("run `{run}` has no step `{id}`"));
    Err(match did_you_mean(id, plan.steps.iter().map(|step| step.id.as_str())) {
        Some(meant) => stop.help(format!("did you mean `{meant}`?")),
        None => stop.help(format!("`homing show {run}` lists them")),
    })
}

/// Lets machines take no further step.
///
/// # Errors
/// Exit 2 when there is no such run, a machine is not in it any more, or is half committed; 3 when others would
/// be left down.
pub fn exclude(args: &ExcludeArgs, global: &Global) -> Done {
    let place = Place::find(global, None)?;
    let past = open_run_of(&place, &args.run)?;
    let mut out = BTreeSet::new();
    for name in &args.machine {
        let machine = machine_of(&past, name)?;
        if past.state.excluded.contains(machine) {
            let message =
                format!("`{machine}` takes no further step in run `{}` already", args.run);
            return Err(Stop::new(Exit::Usage, message).help(format!("homing status {}", args.run)));
        }
        out.insert(machine.clone());
    }
    forward(&past, &place, &out, "nothing is left out")?;
    strands_nobody(&past, &out)?;
    for machine in out {
        post(&past, &Command::Exclude { machine, reason: args.reason.clone() })?;
    }
    tell_owner(&past, "asked to leave it out")
}

/// Refuses to take machines out where others would be stopped, and not started without them.
///
/// # Errors
/// Exit 3, naming those.
pub fn strands_nobody(past: &Past, out: &BTreeSet<MachineName>) -> Result<(), Stop> {
    let run = &past.row.run;
    let left: Vec<&str> =
        stranded(past.plan.plan(), &past.state, out).into_iter().map(MachineName::as_str).collect();
    if left.is_empty() {
        return Ok(());
    }
    let out: Vec<&str> = out.iter().map(MachineName::as_str).collect();
    let message = format!(
        "without {} this run would stop {}, and not start {} again: the start waits for what is left out",
        out.join(", "),
        left.join(", "),
        if left.len() == 1 { "it" } else { "them" },
    );
    Err(Stop::new(Exit::Refused, message).help(format!(
        "take those out too: homing exclude {run} {} {} --reason \"..\"\nor all of them back: homing rollback {run}; or run another plan: homing replan {run} SCRIPT",
        out.join(" "),
        left.join(" "),
    )))
}

/// The machine of that name.
///
/// # Errors
/// Exit 2 when the run has no such machine.
pub fn machine_of<'a>(past: &'a Past, name: &str) -> Result<&'a MachineName, Stop> {
    let machines = past.plan.plan().machines();
    if let Some(machine) = machines.iter().find(|machine| machine.as_str() == name) {
        return Ok(machine);
    }
    let run = &past.row.run;
    let stop = Stop::new(Exit::Usage, format!("run `{run}` has no machine `{name}`"));
    Err(match did_you_mean(name, machines.iter().map(|machine| machine.as_str())) {
        Some(meant) => stop.help(format!("did you mean `{meant}`?")),
        None => stop.help(format!("`homing status {run}` lists them")),
    })
}

fn open_run(global: &Global, run: &RunId) -> Result<Past, Stop> {
    open_run_of(&Place::find(global, None)?, run)
}

/// A run of that state folder that is not over.
///
/// # Errors
/// Exit 2 when it is, or there is no such run.
pub fn open_run_of(place: &Place, run: &RunId) -> Result<Past, Stop> {
    let past = Past::read(place, run)?;
    if past.row.outcome.is_some_and(Outcome::is_over) {
        let message = format!("run `{run}` is over");
        return Err(Stop::new(Exit::Usage, message).help(format!("homing show {run}")));
    }
    Ok(past)
}

/// Posts a request to whoever owns the run.
///
/// # Errors
/// When the run is over by now, or the journal cannot be written.
pub fn post(past: &Past, command: &Command) -> Result<(), Stop> {
    let posted = past.journal.post(&past.row.run, command, &asker());
    posted.map(drop).map_err(|error| past::stop(&error))
}

fn owned(past: &Past) -> Result<bool, Stop> {
    past.journal.is_owned(&past.row.run).map_err(|error| past::stop(&error))
}

/// What happens next: a living process hears it, else somebody must take the run up.
///
/// # Errors
/// When nobody can tell whether one lives.
pub fn tell_owner(past: &Past, done: &str) -> Done {
    let run = &past.row.run;
    if owned(past)? {
        say(&format!("{done}; the process that works on run `{run}` goes on\n"));
    } else {
        say(&format!("{done}; go on with: homing resume {run}\n"));
    }
    Ok(Exit::Success)
}
