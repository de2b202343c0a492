//! A run of the journal, read back: its plan, its events, the fold of them.

use crate::base::RunId;
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::compile::saved::{self, Loaded};
use crate::diagnostic::did_you_mean;
use crate::journal::{Journal, JournalError, RunRow};
use crate::plan::estimate::{Estimates, History};
use crate::plan::facts::Facts;
use crate::plan::graph::Plan;
use crate::run::event::Event;
use crate::run::outcome::Outcome;
use crate::run::state::RunState;
use crate::source::Texts;
use crate::verify::VerifiedPlan;

/// A run that was read back.
pub struct Past {
    /// The journal it is in.
    pub journal: Journal,
    /// What the journal says of it at a glance.
    pub row: RunRow,
    /// Its plan, proved again from the facts it was reviewed with.
    pub plan: VerifiedPlan,
    /// What it was thought to cost when it was begun.
    pub reviewed: Estimates,
    /// Everything that happened, the chain proved.
    pub events: Vec<Event>,
    /// Where it stands.
    pub state: RunState,
}

impl Past {
    /// Reads a run.
    ///
    /// # Errors
    /// Exit 2 when there is no such run, 5 when it was altered, 3 when the inventory no longer fits.
    pub fn read(place: &Place, run: &RunId) -> Result<Past, Stop> {
        let journal = journal(place, run)?;
        let row = journal.run(run).map_err(|error| stop(&error))?;
        let events = journal.verify_chain(run).map_err(|error| stop(&error))?;
        let text = journal.plan_text(run).map_err(|error| stop(&error))?;
        let loaded = load(place, &text);
        let Some(plan) = loaded.plan else {
            return Err(Stop::diagnosed(Exit::Refused, loaded.diagnostics, Texts::default())
                .help(format!("the plan of run `{run}` no longer fits the inventory")));
        };
        let state = fold(plan.plan(), &events)?;
        Ok(Past { journal, row, plan, reviewed: loaded.reviewed, events, state })
    }
}

/// A saved plan, proved again from the facts it was reviewed with.
pub fn load(place: &Place, text: &str) -> Loaded {
    saved::load(text, &place.inventory, &Facts::default(), &|script| history(place, script))
}

/// The fold of a run's events.
///
/// # Errors
/// Exit 70: the journal's chain closes, but its events do not fit the plan.
pub fn fold(plan: &Plan, events: &[Event]) -> Result<RunState, Stop> {
    let mut state = RunState::new(plan);
    for event in events {
        state.apply(event).map_err(|error| Stop::new(Exit::Bug, error.to_string()))?;
    }
    Ok(state)
}

/// The journal, when there is one: looking must not create it.
///
/// # Errors
/// Exit 74 when it cannot be opened.
pub fn existing(place: &Place) -> Result<Option<Journal>, Stop> {
    if !Journal::exists(&place.state) {
        return Ok(None);
    }
    Journal::open(&place.state).map(Some).map_err(|error| stop(&error))
}

/// The journal, when it has that run.
///
/// # Errors
/// Exit 2 when there is no such run.
pub fn journal(place: &Place, run: &RunId) -> Result<Journal, Stop> {
    let journal = existing(place)?.ok_or_else(|| no_runs(place))?;
    match journal.run(run) {
        Ok(_) => Ok(journal),
        Err(error) => Err(unknown(&journal, &error)),
    }
}

/// The run that is meant when none is named: the newest open one.
///
/// # Errors
/// Exit 2 when no run is open.
pub fn newest_open(place: &Place) -> Result<RunId, Stop> {
    open(place)?.into_iter().next().map(|row| row.run).ok_or_else(|| {
        Stop::new(Exit::Usage, "no run is open").help("`homing runs` lists those that are over")
    })
}

/// The runs that are not over, newest first.
///
/// # Errors
/// As [`rows`].
pub fn open(place: &Place) -> Result<Vec<RunRow>, Stop> {
    let mut rows = rows(place)?;
    rows.retain(|row| !row.outcome.is_some_and(Outcome::is_over));
    Ok(rows)
}

/// The newest run, open or over.
///
/// # Errors
/// Exit 2 when there is none.
pub fn newest(place: &Place) -> Result<RunId, Stop> {
    let newest = rows(place)?.into_iter().next();
    newest.map(|row| row.run).ok_or_else(|| no_runs(place))
}

/// All runs, newest first whatever the clock said; none when there is no journal.
///
/// # Errors
/// Exit 74 when the journal cannot be read.
pub fn rows(place: &Place) -> Result<Vec<RunRow>, Stop> {
    match existing(place)? {
        Some(journal) => journal.runs().map_err(|error| stop(&error)),
        None => Ok(Vec::new()),
    }
}

/// How long steps took before, for estimates: a journal that cannot be read tells nothing.
pub fn history(place: &Place, script: &str) -> History {
    let journal = existing(place).ok().flatten();
    journal.and_then(|journal| journal.history(script).ok()).unwrap_or_default()
}

fn no_runs(place: &Place) -> Stop {
    Stop::new(Exit::Usage, format!("there are no runs in `{}`", place.state))
        .code("H340")
        .help("`--state` names another state folder; `homing run SCRIPT` begins a run")
}

fn unknown(journal: &Journal, error: &JournalError) -> Stop {
    let stop = stop(error);
    let JournalError::NoSuchRun(run) = error else { return stop };
    let rows = journal.runs().unwrap_or_default();
    match did_you_mean(run.as_str(), rows.iter().map(|row| row.run.as_str())) {
        Some(meant) => stop.help(format!("did you mean `{meant}`? `homing runs` lists them")),
        None => stop.help("`homing runs` lists them"),
    }
}

/// How the process ends over the journal.
pub fn stop(error: &JournalError) -> Stop {
    use JournalError as E;
    let exit = match error {
        E::NoSuchRun(_) | E::AlreadyRan { .. } | E::Over { .. } => Exit::Usage,
        E::Owned(_) | E::MachineBusy { .. } => Exit::Busy,
        E::Altered { .. } | E::HeadMoved(_) => Exit::Stale,
        E::Full(_)
        | E::Unwritable(_)
        | E::Corrupt(_)
        | E::Locked(_)
        | E::Io(_)
        | E::Gone(_)
        | E::Newer { .. }
        | E::Closed => Exit::Journal,
    };
    let stop = Stop::new(exit, error.to_string()).help(error.help());
    match exit {
        Exit::Busy => stop.code("H341"),
        Exit::Stale => stop.code("H342"),
        Exit::Journal => stop.code("H343"),
        _ => stop.code("H340"),
    }
}
