//! `run` and `resume`.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::Arc;

use camino::Utf8Path;
use tokio_util::sync::CancellationToken;

use crate::base::{MachineName, RunId, Timestamp};
use crate::cli::args::{CompileArgs, Global, OnGate, Output, ResumeArgs, RunArgs, RunOptions};
use crate::cli::asker::asker;
use crate::cli::compiled::{Planned, compile, is_module, is_saved};
use crate::cli::draw::draw;
use crate::cli::exit::Exit;
use crate::cli::lab;
use crate::cli::named;
use crate::cli::past::{self, Past};
use crate::cli::place::{Opened, Place};
use crate::cli::plan::new_plan_id;
use crate::cli::refused::{not_resumed, refused};
use crate::cli::saved;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::told::{Attendance, attend};
use crate::cli::{Done, say, wait_for};
use crate::compile::saved::save;
use crate::execute::{self, Injection, Observing, RunHandle, Saved, Setup};
use crate::journal::Journal;
use crate::observe::{changed_since, look_around};
use crate::plan::facts::{Fact, Facts};
use crate::plan::graph::Plan;
use crate::report::audit::head;
use crate::report::summary::summary;
use crate::report::{Seen, given_up};
use crate::run::outcome::Outcome;
use crate::schedule;
use crate::verify::VerifiedPlan;

/// Runs a script, or a saved plan.
///
/// # Errors
/// In this order: 2 usage and inventory, 3 mistakes, 5 stale, 74 the journal, 6 busy.
pub fn run(args: &RunArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let sites = place.sites()?;
    let options = Options::new(&args.options, terminal)?;
    wait_for(async {
        if args.resume_or_run
            && let Some(open) = begun_before(args, &place, &sites).await?
        {
            return go_on(&open, &place, &sites, options, terminal).await;
        }
        let ready = ready(args, &place, &sites, terminal).await?;
        named::known(ready.plan.plan(), &options.approve, &options.inject)?;
        if ready.plan.plan().nothing_to_do() {
            say("nothing to do: no step touches a machine\n");
            return Ok(Exit::Success);
        }
        let journal = Journal::open(&place.state).map_err(|error| past::stop(&error))?;
        lab::prepare(&place, terminal).await?;
        let setup = setup(journal, &ready.plan, ready.step_s, &place, &sites, &options);
        let saved = Saved { again: args.again, ..ready.saved };
        let handle = execute::start(setup, saved).await.map_err(|error| refused(&error))?;
        finish(handle, &ready.plan, &place, options, terminal).await
    })?
}

/// Goes on with a run.
///
/// # Errors
/// As [`run`]; exit 2 when there is no such run, or it is over.
pub fn resume(args: &ResumeArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let sites = place.sites()?;
    let options = Options::new(&args.options, terminal)?;
    let run = args.run.clone().map_or_else(|| past::newest_open(&place), Ok)?;
    wait_for(go_on(&run, &place, &sites, options, terminal))?
}

/// Takes a run up that nobody works on, only to let count what people have asked of it: nothing begins.
///
/// # Errors
/// As [`resume`].
pub fn take_up(run: &RunId, place: &Place, terminal: Terminal) -> Done {
    let args = RunOptions {
        approve: Vec::new(),
        on_gate: Some(OnGate::Exit),
        output: Output::Plain,
        inject: Vec::new(),
    };
    let options = Options::new(&args, terminal)?;
    options.interrupt.cancel();
    wait_for(go_on(run, place, &place.sites()?, options, terminal))?
}

/// A plan that may run.
pub struct Ready {
    /// The ticket.
    pub plan: VerifiedPlan,
    saved: Saved,
    step_s: Vec<f64>,
}

/// The plan that `run` would run, by a script or as it was saved.
///
/// # Errors
/// As [`run`], before there is a run.
pub async fn ready(
    args: &RunArgs,
    place: &Place,
    sites: &Opened,
    terminal: Terminal,
) -> Result<Ready, Stop> {
    let ready = if is_saved(&args.compile.script) {
        saved_plan(args, place, sites).await?
    } else {
        fresh_plan(&args.compile, place, sites, terminal).await?
    };
    expected(args, &ready.plan)?;
    Ok(ready)
}

async fn fresh_plan(
    args: &CompileArgs,
    place: &Place,
    sites: &Opened,
    terminal: Terminal,
) -> Result<Ready, Stop> {
    let script = compile(args, place, sites).await?;
    let machines = script.compiled.machines.clone();
    let planned = script.plan().map_err(|stop| name_open_run(stop, place, &machines))?;
    let Planned { plan, estimates, warnings, texts, .. } = planned;
    if !terminal.quiet {
        say(&draw(&warnings, &texts, terminal.colour, terminal.width));
    }
    let plan_id = new_plan_id();
    let text = save(&plan, &estimates, &plan_id).text();
    let saved = Saved { plan_id, text, again: false };
    Ok(Ready { plan, saved, step_s: estimates.step_s() })
}

/// A refused plan may be refused because of what another run began: say which.
fn name_open_run(stop: Stop, place: &Place, machines: &BTreeSet<MachineName>) -> Stop {
    let Ok(Some(journal)) = past::existing(place) else { return stop };
    match journal.machines_claimed(machines) {
        Ok(Some((machine, run))) => stop.help(format!(
            "run `{run}` is not over and holds `{machine}`: homing resume {run}, or homing cancel {run}"
        )),
        _ => stop,
    }
}

async fn saved_plan(args: &RunArgs, place: &Place, sites: &Opened) -> Result<Ready, Stop> {
    let path = &args.compile.script;
    let saved::Saved { plan, plan_id, estimates, facts, text } =
        saved::proved(&args.compile, place)?;
    let ran = past::rows(place)?.into_iter().find(|row| row.plan_id == plan_id.as_str());
    if let Some(row) = ran.filter(|row| !args.again && changes_machines(plan.plan(), row.outcome)) {
        let message = format!("`{path}` ran already, as run `{}`", row.run);
        let over = row.outcome.is_some_and(Outcome::is_over);
        return Err(Stop::new(Exit::Usage, message).help(if over {
            format!(
                "run it once more with `--again`; see what it did with: homing show {}",
                row.run
            )
        } else {
            format!("that run is not over: homing resume {}", row.run)
        }));
    }
    not_stale(path, &plan, &facts, place, sites).await?;
    let step_s = estimates.step_s();
    Ok(Ready { plan, saved: Saved { plan_id, text, again: args.again }, step_s })
}

/// Refuses a saved plan whose facts are no longer so.
pub async fn not_stale(
    path: &Utf8Path,
    plan: &VerifiedPlan,
    facts: &BTreeSet<Fact>,
    place: &Place,
    sites: &Opened,
) -> Result<(), Stop> {
    let open = |name: &_| sites.site(name);
    let changed = changed_since(&open, &place.inventory, facts, &BTreeSet::new()).await;
    // Machines that the plan leaves out for such a change are left out by the run itself.
    let changed = execute::sorted_out(changed, &plan.plan().droppable()).hold;
    if changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<String> = changed.into_iter().map(|one| one.text).collect();
    let message = format!("`{path}` is stale: these facts changed since it was reviewed");
    Err(Stop::new(Exit::Stale, message).code("H342").help(format!(
        "{}\nplan again: homing plan {}",
        changed.join("\n"),
        plan.plan().script
    )))
}

/// A plan without a shutdown or a commit may run as often as it likes, once its last run is over.
fn changes_machines(plan: &Plan, outcome: Option<Outcome>) -> bool {
    !execute::repeatable(plan) || !outcome.is_some_and(Outcome::is_over)
}

fn expected(args: &RunArgs, plan: &VerifiedPlan) -> Result<(), Stop> {
    let found = plan.digest().as_str();
    match &args.expect {
        Some(digest) if digest != found => {
            let message = format!("this is not the plan that was reviewed: its digest is {found}");
            let stop = Stop::new(Exit::Stale, message).code("H342");
            Err(stop.help(format!("expected {digest}")))
        }
        _ => Ok(()),
    }
}

/// The open run to go on with instead of beginning one: of this very plan, of this script with these
/// parameters, or one that holds a machine which the script would change. What a run has done so far may
/// leave nothing to plan, or a plan that would be refused: it is asked for before either is found out.
async fn begun_before(
    args: &RunArgs,
    place: &Place,
    sites: &Opened,
) -> Result<Option<RunId>, Stop> {
    let Some(journal) = past::existing(place)? else { return Ok(None) };
    let open = past::open(place)?.into_iter();
    let script = &args.compile.script;
    if is_saved(script) {
        let text = saved::read(script).unwrap_or_default();
        let plan_id = past::load(place, &text).plan_id;
        let mut same =
            open.filter(|row| plan_id.as_ref().is_some_and(|id| row.plan_id == id.as_str()));
        return Ok(same.next().map(|row| row.run));
    }
    let compiled = compile(&args.compile, place, sites).await?.compiled;
    let params =
        compiled.params.iter().map(|param| (param.name.clone(), param.value.clone())).collect();
    for row in open.filter(|row| Utf8Path::new(&row.script).file_name() == script.file_name()) {
        if Past::read(place, &row.run)?.plan.plan().params == params {
            return Ok(Some(row.run));
        }
    }
    let held = journal.machines_claimed(&compiled.machines).map_err(|error| past::stop(&error))?;
    Ok(held.map(|(_, run)| run))
}

async fn go_on(
    run: &RunId,
    place: &Place,
    sites: &Opened,
    options: Options,
    terminal: Terminal,
) -> Done {
    let past = Past::read(place, run)?;
    named::known(past.plan.plan(), &options.approve, &options.inject)?;
    let setup = setup(past.journal, &past.plan, past.reviewed.step_s(), place, sites, &options);
    let handle = execute::resume(setup, run).await.map_err(|error| not_resumed(run, &error))?;
    finish(handle, &past.plan, place, options, terminal).await
}

/// What `run` and `resume` were told.
struct Options {
    approve: Vec<String>,
    on_gate: OnGate,
    output: Output,
    inject: Vec<Injection>,
    interrupt: CancellationToken,
}

impl Options {
    fn new(args: &RunOptions, terminal: Terminal) -> Result<Options, Stop> {
        let inject = args.inject.iter().map(|text| text.parse::<Injection>());
        let inject = inject.collect::<Result<Vec<_>, _>>();
        let inject = inject.map_err(|error| Stop::new(Exit::Usage, error.to_string()))?;
        let by_itself = if terminal.interactive { OnGate::Ask } else { OnGate::Exit };
        let on_gate = args.on_gate.unwrap_or(by_itself);
        if on_gate == OnGate::Ask && !std::io::stdin().is_terminal() {
            let message = "`--on-gate ask` needs a terminal to ask on";
            return Err(
                Stop::new(Exit::Usage, message).help("`--on-gate wait` waits for `homing approve`")
            );
        }
        let interrupt = CancellationToken::new();
        Ok(Options {
            approve: args.approve.clone(),
            on_gate,
            output: args.output,
            inject,
            interrupt,
        })
    }
}

fn setup(
    journal: Journal,
    plan: &VerifiedPlan,
    step_s: Vec<f64>,
    place: &Place,
    sites: &Opened,
    options: &Options,
) -> Setup {
    let inventory = place.inventory.clone();
    Setup {
        journal,
        plan: plan.clone(),
        step_s,
        inventory: inventory.clone(),
        sites: sites.for_engine(),
        recheck: Arc::new(Observing { sites: sites.for_engine(), inventory }),
        workers: None,
        approve: options.approve.clone(),
        on_gate: match options.on_gate {
            OnGate::Exit => schedule::OnGate::Exit,
            OnGate::Ask | OnGate::Wait => schedule::OnGate::Ask,
        },
        inject: options.inject.clone(),
        by: asker(),
        interrupt: options.interrupt.clone(),
    }
}

async fn finish(
    handle: RunHandle,
    plan: &VerifiedPlan,
    place: &Place,
    options: Options,
    terminal: Terminal,
) -> Done {
    let run = handle.id.clone();
    let attendance = Attendance {
        terminal,
        output: options.output,
        asks: options.on_gate == OnGate::Ask,
        interrupt: options.interrupt,
    };
    let ended = attend(handle, plan.plan(), &attendance).await?;
    let outcome = ended.outcome;
    if !terminal.quiet {
        let seen = Seen::new(&run, plan.plan(), ended.state);
        let observed = observed(place, &seen).await?;
        say(&summary(&seen, observed.as_ref(), Timestamp::now(), terminal.talk()));
        for danger in &ended.dangers {
            say(&format!("  {danger}\n"));
        }
        if let Ok(row) = past::journal(place, &run)?.run(&run) {
            say(&format!("Journal head {}\n", head(row.head_seq, &row.head_hash)));
        }
        // How the run ended stands, also where nothing can be measured any more.
        let gave_up = given_up::machines(&seen);
        let mut own = plan.plan().machines();
        own.retain(|machine| !seen.state.given_back.contains(*machine));
        if let Err(unmeasured) = lab::measure(place, &own, &gave_up, terminal).await {
            say(&unmeasured.show(&terminal));
        }
    }
    // Over, but a person is needed.
    let left_down = outcome == Outcome::Cancelled && !ended.dangers.is_empty();
    Ok(if left_down { Exit::Unsafe } else { outcome.into() })
}

/// What the sites say of the machines of a run that did not go well, gave some back, or did without a side: what
/// it did does not tell what others did.
async fn observed(place: &Place, seen: &Seen<'_>) -> Result<Option<Facts>, Stop> {
    use Outcome::{Cancelled, Failed, FailedUnsafe, Stale};
    let went_well = !matches!(seen.state.outcome, Some(Failed | FailedUnsafe | Stale | Cancelled));
    let is_whole = seen.plan.without_sides().is_empty();
    if went_well && is_whole && seen.state.given_back.is_empty() {
        return Ok(None);
    }
    let sites = place.sites()?;
    let open = |name: &_| sites.site(name);
    // A machine that cannot be asked stands among the dangers.
    let (facts, _) = look_around(&open, &place.inventory, seen.plan.machines()).await;
    Ok(Some(facts))
}
