//! `lab`: the practice ground.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::base::{MachineName, RunId};
use crate::cli::answer::{end, open_run_of};
use crate::cli::args::{Format, Global, LabCommand, ListArgs};
use crate::cli::exit::Exit;
use crate::cli::past;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::render::table::Table;
use crate::report::summary::{Measured, measured};
use crate::run::failure::Failure;
use crate::sites::copies::CopyView;
use crate::sites::practice::{LabMachine, LabReport, Practice};

/// Creates, looks at, measures, throws away.
///
/// # Errors
/// Exit 2 when the inventory has no lab; 1 when the lab cannot do it, or something was lost.
pub fn lab(command: LabCommand, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    place.sites()?;
    let Some(practice) = place.practice()? else {
        let message = "this inventory has no lab";
        return Err(
            Stop::new(Exit::Usage, message).help("`homing init FOLDER` writes one that has")
        );
    };
    let practice = practice.as_ref();
    if let LabCommand::Reset { yes } = command {
        sure(yes || confirmed(terminal)?)?;
        close_runs(&place, terminal)?;
    }
    wait_for(async {
        match command {
            LabCommand::Init => init(practice).await,
            LabCommand::Status(args) => {
                there_is(practice).await?;
                let report = practice.status().await.map_err(|failure| stop(&failure))?;
                show(&args, &report, terminal)?;
                Ok(Exit::Success)
            }
            LabCommand::Verify(args) => {
                there_is(practice).await?;
                let report = practice.verify().await.map_err(|failure| stop(&failure))?;
                show(&args, &report, terminal)?;
                Ok(if report.is_good() { Exit::Success } else { Exit::Failed })
            }
            LabCommand::Reset { .. } => reset(practice).await,
        }
    })?
}

/// Ends the runs on a lab that is about to go: they would hold machines that are no more.
///
/// # Errors
/// Exit 6 when a process works on one: nothing is taken away from under it. Else as `homing cancel`.
fn close_runs(place: &Place, terminal: Terminal) -> Result<(), Stop> {
    let Some(journal) = past::existing(place)? else { return Ok(()) };
    let open: Vec<RunId> = past::open(place)?.into_iter().map(|row| row.run).collect();
    for run in &open {
        if journal.is_owned(run).map_err(|error| past::stop(&error))? {
            let message =
                format!("a process works on run `{run}` in this lab: nothing was deleted");
            let help = format!("end it first: homing cancel {run}");
            return Err(Stop::new(Exit::Busy, message).code("H341").help(help));
        }
    }
    for run in open {
        let reason = Some("its lab is deleted".to_owned());
        say(&format!("run `{run}` is not over and is cancelled: its lab goes\n"));
        end(&open_run_of(place, &run)?, place, reason, Terminal { quiet: true, ..terminal })?;
    }
    Ok(())
}

/// Creates the lab, if the inventory has one that is not there yet.
///
/// # Errors
/// Exit 1 when it cannot be created.
pub async fn prepare(place: &Place, terminal: Terminal) -> Result<(), Stop> {
    let Some(practice) = place.practice()? else { return Ok(()) };
    let created = practice.init().await.map_err(|failure| stop(&failure))?;
    if created && !terminal.quiet {
        say("created the lab: every machine runs in the cloud, a stale replica at home\n");
    }
    Ok(())
}

/// Measures what a run promised for these machines, and says it. `gave_up`: the machines of which its way
/// back gave writes up.
///
/// # Errors
/// Exit 1 when the lab cannot be asked.
pub async fn measure(
    place: &Place,
    machines: &BTreeSet<&MachineName>,
    gave_up: &BTreeSet<MachineName>,
    terminal: Terminal,
) -> Result<(), Stop> {
    let Some(practice) = place.practice()? else { return Ok(()) };
    let report = practice.verify().await.map_err(|failure| stop(&failure))?;
    let of_plan = report.machines.iter().filter(|row| machines.contains(&row.machine));
    let rows: Vec<Measured> = of_plan.filter_map(|one| row(one, gave_up)).collect();
    if !rows.is_empty() {
        say(&format!("\n{}", measured(&rows, terminal.talk())));
    }
    Ok(())
}

fn row(machine: &LabMachine, gave_up: &BTreeSet<MachineName>) -> Option<Measured> {
    Some(Measured {
        machine: machine.machine.clone(),
        acknowledged: machine.acknowledged,
        lost: machine.lost?,
        gave_up: gave_up.contains(&machine.machine),
        downtime_s: machine.downtime_s,
    })
}

async fn there_is(practice: &dyn Practice) -> Result<(), Stop> {
    if practice.is_initialised().await.map_err(|failure| stop(&failure))? {
        return Ok(());
    }
    let stop = Stop::new(Exit::Usage, "there is no lab yet, or not all of it");
    Err(stop.code("H345").help("homing lab init"))
}

async fn init(practice: &dyn Practice) -> Done {
    let created = practice.init().await.map_err(|failure| stop(&failure))?;
    say(if created { "the lab is ready\n" } else { "the lab was ready already\n" });
    Ok(Exit::Success)
}

fn sure(sure: bool) -> Result<(), Stop> {
    if sure { Ok(()) } else { Err(Stop::new(Exit::Usage, "nothing was deleted")) }
}

async fn reset(practice: &dyn Practice) -> Done {
    practice.reset().await.map_err(|failure| stop(&failure))?;
    say("the lab is gone\n");
    Ok(Exit::Success)
}

fn confirmed(terminal: Terminal) -> Result<bool, Stop> {
    if !terminal.interactive {
        let message = "`lab reset` deletes every lab machine with its disks";
        return Err(Stop::new(Exit::Usage, message).help("to be sure: homing lab reset --yes"));
    }
    say("This deletes every lab machine with its disks. Type yes to go on: ");
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Stop::new(Exit::Usage, format!("nothing was answered: {error}")))?;
    Ok(line.trim() == "yes")
}

fn show(args: &ListArgs, report: &LabReport, terminal: Terminal) -> Done {
    if args.format == Format::Json {
        return print_json(report);
    }
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = |machine: &LabMachine| {
        vec![
            machine.machine.to_string(),
            or_dash(machine.running_on.as_ref().map(ToString::to_string)),
            machine.acknowledged.to_string(),
            or_dash(machine.lost.map(|lost| lost.to_string())),
            or_dash(machine.downtime_s.map(crate::base::units::show_seconds)),
            machine.replica.clone(),
            machine.protected.clone(),
        ]
    };
    let header =
        vec!["machine", "runs at", "acknowledged", "lost", "downtime", "replica", "protected"];
    let rows = report.machines.iter().map(cells).collect();
    let mut page = Table { header, rows, amounts: &[2, 3, 4] }.text(terminal.page());
    for machine in &report.machines {
        let name = &machine.machine;
        if let Some(why) = &machine.why {
            writeln!(page, "{name}: {why}").expect("BUG: writing to a text cannot fail");
        }
        if machine.overlap {
            writeln!(page, "{name}: it ran on both sides at once")
                .expect("BUG: writing to a text cannot fail");
        }
    }
    for copy in &report.copies {
        let CopyView { machine, run, host, .. } = copy;
        let stands = if copy.running { "runs" } else { "is" };
        writeln!(page, "{machine}: an isolated copy {stands} on {host}, made by run {run}")
            .expect("BUG: writing to a text cannot fail");
    }
    print(&page)
}

fn stop(failure: &Failure) -> Stop {
    let stop = Stop::new(Exit::Failed, format!("the lab: {failure}"));
    match &failure.help {
        Some(help) => stop.help(help),
        None => stop,
    }
}
