//! `adopt`: the state folder of a run is lost; its machines are taken over from the marks at their sites.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use clap::Args;

use crate::base::{MachineName, RunId};
use crate::cli::args::{Format, Global};
use crate::cli::exit::Exit;
use crate::cli::past;
use crate::cli::place::{Opened, Place};
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::execute::{Marked, Over, adopt as take_over, marks};
use crate::observe::look_around;
use crate::report::adopted::{Found, next, page};
use crate::schedule::danger;

/// `adopt`
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// Take them over; else they are only listed.
    #[arg(long)]
    pub yes: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Lists the machines that runs hold which this state folder does not know; takes them over when told to.
///
/// # Errors
/// Exit 1 when a site cannot be asked and there is nothing to take over at the others; 6 when somebody else was
/// faster.
pub fn adopt(args: &AdoptArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let rows = past::rows(&place)?;
    let ours: BTreeSet<RunId> = rows.into_iter().map(|row| row.run).collect();
    let known: Over = Arc::new(move |run| ours.contains(run));
    let sites = place.sites()?;
    let (found, unseen) = wait_for(found(&place, &sites, &known))?;
    if args.format == Format::Json {
        print_json(&found)?;
    } else {
        print(&page(&found, unseen.is_empty(), terminal.page()))?;
    }
    if found.is_empty() && !unseen.is_empty() {
        let stop = Stop::new(Exit::Failed, "some machines could not be looked at");
        return Err(stop.code("H327").help(unseen.join("\n")));
    }
    if !unseen.is_empty() {
        say(&format!(
            "not looked at, and not taken over; homing adopt again once they answer:\n  {}\n",
            unseen.join("\n  ")
        ));
    }
    if found.is_empty() {
        return Ok(Exit::Success);
    }
    if !args.yes {
        say(
            "Only if their state folder is lost: a process of it that still works is refused from then\n  \
             on, and its run must not be resumed should the folder turn up again.\n  \
             to take them over: homing adopt --yes\n",
        );
        return Ok(Exit::Success);
    }
    let machines = found.iter().map(|one| &one.machine).collect();
    let gone: Over = Arc::new(move |run| !known(run));
    let (sites, nobody) = (sites.for_engine(), nobody());
    let taken = wait_for(take_over(&sites, &place.inventory, &machines, &nobody, &gone))?;
    taken.map_err(|refused| {
        let stop = Stop::new(Exit::Busy, refused.failure.message).code("H341");
        stop.help("somebody else was faster: homing adopt")
    })?;
    let where_seen = if unseen.is_empty() { "" } else { " at the sites that answer" };
    say(&format!("{} taken over{where_seen}, and free for the next run\n", machines.len()));
    say(&next(&found));
    Ok(Exit::Success)
}

/// Machines with marks of strangers; and the sides that nobody could look at.
async fn found(place: &Place, sites: &Opened, known: &Over) -> (Vec<Found>, Vec<String>) {
    let marked = marks(&sites.for_engine(), &place.inventory, known).await;
    let mut unseen = Vec::new();
    for (machine, marked) in &marked {
        for (side, view) in &marked.views {
            if let Err(failure) = view {
                unseen.push(format!("{machine} ({side}): {failure}"));
            }
        }
    }
    let strangers = || marked.iter().filter(|(_, marked)| !marked.runs.is_empty());
    let names: Vec<&MachineName> = strangers().map(|(machine, _)| machine).collect();
    let open = |name: &_| sites.site(name);
    // What cannot be seen is said already.
    let (facts, _) = look_around(&open, &place.inventory, names).await;
    let one = |(machine, marked): (&MachineName, &Marked)| {
        Found::new(machine, marked.runs.clone(), danger(machine, &marked.views), &facts)
    };
    (strangers().map(one).collect(), unseen)
}

/// A run of no journal: what it leaves behind when it dies is a stranger's, for the next adoption.
fn nobody() -> RunId {
    let random = RandomState::new().hash_one(0_u8);
    RunId::new(format!("adopted-{random:016x}")).expect("BUG: hexadecimal is a name")
}
