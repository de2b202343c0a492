//! `status`, `runs`, `show`, `logs`: reading runs back.

use crate::base::{RunId, Timestamp};
use crate::cli::args::{Format, Global, ListArgs, LogsArgs, RunAndFormat, StatusArgs};
use crate::cli::exit::Exit;
use crate::cli::past::{self, Past};
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::journal::RunRow;
use crate::observe::{look_around, observe_machines};
use crate::plan::facts::Facts;
use crate::render::style::Style;
use crate::report::runs::{self, Header, Run};
use crate::report::status::{self, Asked};
use crate::report::{Seen, pending};
use crate::run::event::Event;

/// How often a followed journal is asked for more.
const FOLLOW: std::time::Duration = std::time::Duration::from_millis(150);

/// Where every machine runs, whether its data is safe, what to type next.
///
/// # Errors
/// Exit 2 when there is no such run.
pub fn status(args: &StatusArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let named = args.run.clone().map_or_else(|| past::newest_open(&place), Ok);
    let run = named.or_else(|_| past::newest(&place))?;
    let past = Past::read(&place, &run)?;
    let observed = observed(&place, &past, terminal)?;
    let seen = Seen::new(&run, past.plan.plan(), past.state);
    let owned = past.journal.is_owned(&run).map_err(|error| past::stop(&error))?;
    let now = Timestamp::now();
    let asked = Asked { seen: &seen, observed: Some(&observed), owned, now };
    let waiting = past.journal.commands(&run).map_err(|error| past::stop(&error))?;
    let waiting =
        waiting.iter().map(|one| format!("  {} (by {})\n", one.command.words(), one.by.who));
    let waiting: String = waiting.collect();
    let mut after = match waiting.is_empty() {
        true => String::new(),
        false => format!(
            "\nAsked, and not taken in yet: it counts first when the run goes on\n{waiting}"
        ),
    };
    if args.run.is_none() {
        after.push_str(&also_open(&place, &run)?);
    }
    match args.format {
        Format::Json => print_json(&status::data(&asked)),
        Format::Text => print(&format!("{}{after}", status::status(&asked, terminal.page()))),
    }
}

/// The runs that were not asked for, and need somebody all the same.
fn also_open(place: &Place, shown: &RunId) -> Result<String, Stop> {
    let mut page = String::new();
    for row in past::open(place)?.iter().filter(|row| row.run != *shown) {
        if page.is_empty() {
            page.push_str("\nAlso open\n");
        }
        page.push_str(&format!("  homing status {}  ({})\n", row.run, row.script));
    }
    Ok(page)
}

/// What the sites say now of a run's machines. A site that cannot be asked is said.
fn observed(place: &Place, past: &Past, terminal: Terminal) -> Result<Facts, Stop> {
    let sites = place.sites()?;
    let open = |name: &_| sites.site(name);
    let machines = past.plan.plan().machines();
    let (facts, unseen) = wait_for(look_around(&open, &place.inventory, machines))?;
    if !terminal.quiet {
        unseen.iter().for_each(|one| say(&format!("{}\n", one.diagnostic().message)));
    }
    Ok(facts)
}

/// Lists runs.
///
/// # Errors
/// Exit 74 when the journal cannot be read.
pub fn list(args: &ListArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    if args.pending {
        return pending(&place, args.format, terminal);
    }
    let rows = past::rows(&place)?;
    let mut runs: Vec<Run> = Vec::with_capacity(rows.len());
    for row in &rows {
        match Past::read(&place, &row.run) {
            Ok(past) => runs.push(data(past, None)),
            // One run that cannot be read must not hide the others.
            Err(stop) => {
                say(&format!("run `{}` of {} cannot be shown:\n", row.run, row.script));
                say(&stop.show(&terminal));
            }
        }
    }
    match args.format {
        Format::Json => print_json(&runs),
        Format::Text if runs.is_empty() => print("no runs yet\n"),
        Format::Text => print(&runs::list(&runs, terminal.page())),
    }
}

/// Lists the machines that wait for their commit.
fn pending(place: &Place, format: Format, terminal: Terminal) -> Done {
    let sites = place.sites()?;
    let mut facts = Facts::default();
    let machines = place.inventory.machines.keys();
    let open = |name: &_| sites.site(name);
    let unseen = wait_for(observe_machines(&open, &place.inventory, machines, &mut facts))?;
    unseen.iter().for_each(|one| say(&format!("{}\n", one.diagnostic().message)));
    let mut runs = Vec::new();
    for row in past::rows(place)? {
        // What cannot be read back tells nothing of when a machine came home.
        runs.extend(Past::read(place, &row.run).ok());
    }
    let told = runs.iter().map(|past| (&past.row.run, past.plan.plan(), &past.state));
    let pending = pending::machines(&facts, &told, Timestamp::now());
    match format {
        Format::Json => print_json(&pending),
        Format::Text => print(&pending::page(&pending, unseen.is_empty(), terminal.page())),
    }
}

/// Shows one run, step by step.
///
/// # Errors
/// Exit 2 when there is no such run.
pub fn show(args: &RunAndFormat, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let past = Past::read(&place, &args.run)?;
    if args.format == Format::Json {
        let observed = observed(&place, &past, terminal)?;
        return print_json(&data(past, Some(&observed)));
    }
    let header = header(&past.row);
    let seen = Seen::new(&args.run, past.plan.plan(), past.state);
    print(&runs::show(&seen, &header, &past.reviewed, terminal.page()))
}

/// Prints a run's events; follows them when asked to.
///
/// # Errors
/// Exit 2 when there is no such run.
pub fn logs(args: &LogsArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let past = Past::read(&place, &args.run)?;
    let mut seen_before = 0;
    let mut events = past.events.clone();
    loop {
        print(&lines(&past, &args.run, &events, seen_before, args.format, terminal.page()))?;
        seen_before = events.len();
        let left = events.last().is_some_and(|event| {
            matches!(event.body, crate::run::event::EventBody::RunEnded { .. })
        });
        if !args.follow || left {
            return Ok(Exit::Success);
        }
        events.extend(more(&past, &args.run, &events)?);
    }
}

/// Waits until the journal has more of a run.
fn more(past: &Past, run: &RunId, events: &[Event]) -> Result<Vec<Event>, Stop> {
    let mut watch = past.journal.watch().map_err(|error| past::stop(&error))?;
    let next = events.last().map_or(1, |event| event.seq + 1);
    wait_for(async {
        let mut clock = tokio::time::interval(FOLLOW);
        loop {
            let fresh = past.journal.events(run, next).map_err(|error| past::stop(&error))?;
            if !fresh.is_empty() {
                return Ok(fresh);
            }
            while !watch.changed().map_err(|error| past::stop(&error))? {
                clock.tick().await;
            }
        }
    })?
}

fn lines(
    past: &Past,
    run: &RunId,
    events: &[Event],
    from: usize,
    format: Format,
    style: Style,
) -> String {
    match format {
        Format::Json => {
            let line = |event: &Event| {
                serde_json::to_string(event).expect("BUG: an event is plain data") + "\n"
            };
            events[from..].iter().map(line).collect()
        }
        Format::Text => {
            let mut seen = Seen::new(run, past.plan.plan(), past.state.clone());
            let before = runs::logs(&mut seen, &events[..from], style).len();
            runs::logs(&mut seen, events, style).split_off(before)
        }
    }
}

fn header(row: &RunRow) -> Header {
    Header {
        plan_id: row.plan_id.clone(),
        digest: row.digest.clone(),
        script: row.script.clone(),
        head_hash: row.head_hash.clone(),
    }
}

fn data(past: Past, observed: Option<&Facts>) -> Run {
    let header = header(&past.row);
    let seen = Seen::new(&past.row.run, past.plan.plan(), past.state);
    runs::run(&seen, &header, &past.reviewed, observed, Timestamp::now())
}
