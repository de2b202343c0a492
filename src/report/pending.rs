//! Machines that run at home while their cloud side is still there: they wait for their commit. And machines
//! that run on both sides: they wait for a decision.

use serde::Serialize;

use crate::base::units::show_seconds;
use crate::base::{MachineName, RunId, Side, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::facts::{CommitState, Facts, MachineFacts, Power};
use crate::plan::graph::Plan;
use crate::plan::step::Step;
use crate::render::style::Style;
use crate::render::table::Table;
use crate::report::clock::seconds_between;
use crate::run::outcome::Outcome;
use crate::run::state::{RunState, Status};

/// A machine that waits for its commit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pending {
    /// The machine.
    pub machine: MachineName,
    /// When it was started at home; `None`: no run of this journal did that.
    pub since: Option<Timestamp>,
    /// How long ago that was, seconds.
    pub age_s: Option<f64>,
    /// The run that started it.
    pub run: Option<RunId>,
    /// It runs on both sides: a person decides first which one is right, whatever was committed.
    pub split: bool,
    /// The run that may commit it: it holds the machine, and is not over.
    pub held_by: Option<RunId>,
}

/// The machines that wait, as their sites see them, longest first; `runs`: newest first.
pub fn machines<'a>(
    facts: &Facts,
    runs: &(impl Iterator<Item = (&'a RunId, &'a Plan, &'a RunState)> + Clone),
    now: Timestamp,
) -> Vec<Pending> {
    let waits = facts.machines.iter().filter(|(_, facts)| {
        is_split(facts) || facts.active == Side::Onprem && facts.commit != CommitState::Committed
    });
    let one = |machine: &MachineName, facts: &MachineFacts| {
        let started = runs
            .clone()
            .find_map(|(run, plan, state)| Some((run, state, started_at(plan, state, machine)?)));
        Pending {
            machine: machine.clone(),
            since: started.map(|(.., at)| at),
            age_s: started.map(|(.., at)| seconds_between(at, now)),
            run: started.map(|(run, ..)| run.clone()),
            split: is_split(facts),
            held_by: runs.clone().find(holds(machine)).map(|(run, ..)| run.clone()),
        }
    };
    let mut pending: Vec<Pending> = waits.map(|(machine, facts)| one(machine, facts)).collect();
    // Whose age nobody knows may be the oldest.
    pending.sort_by_key(|one| (one.since, one.machine.clone()));
    pending
}

fn is_split(facts: &MachineFacts) -> bool {
    facts.cloud.power == Power::On && facts.onprem.power == Power::On
}

/// Whether a run is at work on that machine, or will be.
fn holds<'a>(machine: &MachineName) -> impl Fn(&(&'a RunId, &'a Plan, &'a RunState)) -> bool {
    move |(_, plan, state)| {
        let is_over = state.outcome.is_some_and(Outcome::is_over);
        let changes =
            |step: &Step| step.effect.changes_machine() && step.machine.as_ref() == Some(machine);
        !is_over && !state.given_back.contains(machine) && plan.steps.iter().any(changes)
    }
}

fn started_at(plan: &Plan, state: &RunState, machine: &MachineName) -> Option<Timestamp> {
    let mut starts = plan.iter().filter(|(ix, step)| {
        step.effect == Effect::Start(Side::Onprem)
            && step.machine.as_ref() == Some(machine)
            && state.step(*ix).status == Status::Succeeded
    });
    starts.next_back().and_then(|(ix, _)| state.step(ix).ended_at)
}

/// For a person; `all`: every machine was seen. Ends with a line break.
pub fn page(pending: &[Pending], all: bool, style: Style) -> String {
    if pending.is_empty() {
        let which = if all { "no machine" } else { "no machine that could be seen" };
        return format!("{which} waits for its commit\n");
    }
    let row = |one: &Pending| {
        let next = match &one.held_by {
            _ if one.split => "it runs on BOTH sides: decide which one is right".to_owned(),
            Some(run) => format!("homing status {run}"),
            None => "check it, then run a script that commits it".to_owned(),
        };
        vec![
            one.machine.to_string(),
            one.since.map_or("unknown".to_owned(), |at| at.strftime("%F %H:%M").to_string()),
            one.age_s.map_or("-".to_owned(), show_seconds),
            one.run.as_ref().map_or("-".to_owned(), RunId::to_string),
            next,
        ]
    };
    let header = vec!["machine", "home since (UTC)", "age", "run", "next"];
    let table = Table { header, rows: pending.iter().map(row).collect(), amounts: &[2] };
    format!(
        "{}\nUntil then their cloud sides are kept, and are the way back, but for those that were given up.\n",
        table.text(style)
    )
}
