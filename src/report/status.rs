//! `homing status RUN`: the answers that somebody needs at three in the morning.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::units::show_seconds;
use crate::base::{MachineName, RunId, StepId, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::facts::{CommitState, Facts, MachineFacts, Power};
use crate::plan::step::{Step, StepIx};
use crate::render::fold::count;
use crate::render::style::{Ink, Style};
use crate::render::table::Table;
use crate::report::clock::seconds_between;
use crate::report::line::{ended_words, retry_command};
use crate::report::standing::{Standing, standings};
use crate::report::{Seen, given_up, split};
use crate::run::outcome::Outcome;
use crate::run::settled::{Casualties, derive};
use crate::run::state::{NotAgain, Status};
use crate::schedule::window::waits_until;

/// Most machines in the table: those that need a person come first, the others are counted.
const MACHINES_MAX: usize = 20;
/// Most commands proposed.
const COMMANDS_MAX: usize = 8;

/// What the status is made from.
pub struct Asked<'a, 'b> {
    /// The run.
    pub seen: &'b Seen<'a>,
    /// Observed just now, when the sites could be asked.
    pub observed: Option<&'b Facts>,
    /// A process owns the run at this moment.
    pub owned: bool,
    /// Now.
    pub now: Timestamp,
}

/// The same as data: `homing status --format json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusData {
    /// The run.
    pub run: RunId,
    /// How it stands; `null` while a process owns it, or after one died.
    pub outcome: Option<Outcome>,
    /// A process owns the run at this moment.
    pub owned: bool,
    /// By name.
    pub machines: Vec<Standing>,
    /// Facts that changed, when it is held.
    pub held: Vec<String>,
    /// What may be typed next.
    pub next: Vec<String>,
}

/// The status as data.
pub fn data(asked: &Asked<'_, '_>) -> StatusData {
    StatusData {
        run: asked.seen.run.clone(),
        outcome: asked.seen.state.outcome,
        owned: asked.owned,
        machines: standings(asked.seen, asked.observed, asked.now),
        held: asked.seen.state.held.clone(),
        next: commands(asked.seen, asked.observed, asked.owned),
    }
}

/// The page. Ends with a line break.
pub fn status(asked: &Asked<'_, '_>, style: Style) -> String {
    let all = standings(asked.seen, asked.observed, asked.now);
    let mut page = head(asked, style);
    page.push_str(&machines(&all, style));
    page.push_str(&split::section(&all, open(asked.seen), style));
    page.push_str(&given_up::section(asked.seen, style));
    page.push_str(&failures(asked.seen, style));
    page.push_str(&next(asked, style));
    page
}

/// The run, while it holds its machines.
pub(super) fn open<'s>(seen: &'s Seen<'_>) -> Option<&'s RunId> {
    (!seen.state.outcome.is_some_and(Outcome::is_over)).then_some(seen.run)
}

fn head(asked: &Asked<'_, '_>, style: Style) -> String {
    let seen = asked.seen;
    let (ink, words) = match (seen.state.outcome, asked.owned) {
        (Some(outcome), _) => ended_words(outcome, seen),
        (None, true) => (Ink::Good, "is running"),
        (None, false) => (Ink::Danger, "lost its process and can be resumed"),
    };
    let is_done = |status| matches!(status, Status::Succeeded | Status::Skipped);
    let done = seen.state.steps.iter().filter(|step| is_done(step.status)).count();
    let title = format!("Run {} {}", seen.run, style.paint(ink, words));
    let steps = format!("{done} of {} done", count(seen.state.steps.len(), "step"));
    let mut page = format!("{title}\n") + style.field("Script", &seen.plan.script).as_str();
    page.push_str(&style.field("Steps", &steps));
    if asked.observed.is_none() {
        let text = "not observed now: what the run did and what the plan knew";
        page.push_str(&style.inked_field(Ink::Warn, "Machines", text));
    }
    if let Some((until, waiting)) = waits_until(seen.plan, &seen.state, asked.now) {
        let from = show_seconds(seconds_between(asked.now, until));
        let text = format!(
            "until {} UTC, {from} from now, for its window to open: {}",
            until.strftime("%F %H:%M"),
            count(waiting, "step")
        );
        page.push_str(&style.inked_field(Ink::Warn, "Waits", &text));
    }
    for changed in &seen.state.held {
        page.push_str(&style.inked_field(Ink::Danger, "Changed", changed));
    }
    page
}

/// The table of machines; those that need a person come first.
pub(super) fn machines(all: &[Standing], style: Style) -> String {
    let mut order: Vec<&Standing> = all.iter().collect();
    if order.len() > MACHINES_MAX {
        order.sort_by_key(|one| (one.data_safe, !one.down, one.failed.is_none(), &one.machine));
    }
    let rows = order.iter().take(MACHINES_MAX).map(|one| row(one)).collect();
    let header = vec!["machine", "runs", "data", "downtime", "no return", "steps"];
    let table = Table { header, rows, amounts: &[3, 5] };
    let hidden = order.len().saturating_sub(MACHINES_MAX);
    let mut page = style.heading("Machines") + table.text(style).as_str();
    if hidden > 0 {
        page.push_str(&format!(" and {hidden} more: `homing status --format json` has them\n"));
    }
    page
}

fn row(one: &Standing) -> Vec<String> {
    let down = if one.down { " DOWN" } else { "" };
    let fate = match (one.excluded, one.rolled_back) {
        (true, _) => " excluded",
        (false, true) => " rolled back",
        (false, false) => "",
    };
    let clock = one.downtime_s.map_or("-".to_owned(), show_seconds);
    let passed = if one.point_of_no_return_passed { "passed" } else { "ahead" };
    vec![
        one.machine.to_string(),
        runs(one).to_owned(),
        one.data.words().to_owned(),
        format!("{clock}{down}"),
        passed.to_owned(),
        format!("{}/{}{fate}", one.steps_done, one.steps),
    ]
}

fn runs(one: &Standing) -> &'static str {
    match (one.cloud, one.onprem) {
        (Power::On, Power::On) => "ON BOTH SIDES",
        (Power::On, _) => "in the cloud",
        (_, Power::On) => "on-prem",
        (Power::Lost, _) | (_, Power::Lost) => "nowhere seen",
        (cloud, onprem) if cloud.is_off() && onprem.is_off() => "nowhere",
        _ => "unknown",
    }
}

/// Every failed step with its reason and way out.
pub(super) fn failures(seen: &Seen<'_>, style: Style) -> String {
    let failed = seen.plan.iter().filter(|(ix, _)| seen.state.step(*ix).status == Status::Failed);
    let mut page = String::new();
    for (ix, step) in failed {
        let Some(failure) = &seen.state.step(ix).failure else { continue };
        let code = failure.code.as_ref().map_or(String::new(), |code| format!("[{code}] "));
        let text = format!("{}: {code}{}", step.id, failure.message);
        page.push_str(&style.inked_field(Ink::Danger, "Failed", &text));
        if let Some(help) = &failure.help {
            page.push_str(&style.field("", help));
        }
    }
    for text in held(seen) {
        page.push_str(&style.inked_field(Ink::Warn, "Holds", &text));
    }
    if page.is_empty() { page } else { style.heading("Failures") + page.as_str() }
}

/// What holds over casualties until somebody decides, with their names.
fn held(seen: &Seen<'_>) -> Vec<String> {
    let derived = derive(seen.plan, &seen.state, |_| false);
    let holds = seen.plan.iter().filter(|(ix, _)| derived.held[ix.at()]);
    let sentence = |(_, step): (StepIx, &Step)| {
        let casualties = Casualties::of(seen.plan, step, |before| derived.settled[before.at()]);
        let names = casualties.names(seen.plan).join(", ");
        format!("{}: these failed before it: {names}", step.id)
    };
    holds.map(sentence).collect()
}

fn next(asked: &Asked<'_, '_>, style: Style) -> String {
    next_commands(&commands(asked.seen, asked.observed, asked.owned), style)
}

/// The commands, to be pasted; nothing when there is nothing to do.
pub(super) fn next_commands(commands: &[String], style: Style) -> String {
    if commands.is_empty() {
        return String::new();
    }
    let shown = commands.iter().take(COMMANDS_MAX);
    let lines = shown.map(|line| format!("  {}\n", style.paint(Ink::Command, line)));
    let hidden = commands.len().saturating_sub(COMMANDS_MAX);
    let rest = if hidden > 0 { format!("  and {hidden} more like these\n") } else { String::new() };
    style.heading("Next") + lines.collect::<String>().as_str() + rest.as_str()
}

/// The machines that something holds over.
fn casualties<'a>(seen: &'a Seen<'_>) -> BTreeSet<&'a MachineName> {
    let derived = derive(seen.plan, &seen.state, |_| false);
    let holds = seen.plan.iter().filter(|(ix, _)| derived.held[ix.at()]);
    let settled = |before: StepIx| derived.settled[before.at()];
    holds.flat_map(|(_, step)| Casualties::of(seen.plan, step, settled).machines).collect()
}

/// What a person may type next, most useful first. `owned`: a process owns the run at this moment.
pub fn commands(seen: &Seen<'_>, observed: Option<&Facts>, owned: bool) -> Vec<String> {
    let run = seen.run;
    if seen.state.outcome.is_some_and(Outcome::is_over) {
        // Succeeded: whoever was left out may need it; else what it was ended over.
        let all = !matches!(
            seen.state.outcome,
            Some(Outcome::Succeeded | Outcome::SucceededWithExceptions)
        );
        let back_whole = all && may_go_back(seen) && is_wanted(seen, observed);
        return if back_whole { vec![back(run)] } else { left_down(seen, observed) };
    }
    let of = |status: Status| -> Vec<&StepId> {
        let steps = seen.plan.iter().filter(|(ix, _)| seen.state.step(*ix).status == status);
        steps.map(|(_, step)| &step.id).collect()
    };
    let mut commands = Vec::new();
    for gate in of(Status::Open) {
        commands.push(format!("homing approve {run} {gate}"));
        commands.push(format!("homing reject {run} {gate}"));
    }
    let failed = seen.plan.iter().filter(|(ix, _)| seen.state.step(*ix).status == Status::Failed);
    let failed: Vec<(StepIx, &Step)> = failed.collect();
    let again = failed.iter().filter(|(ix, _)| seen.state.may_retry(seen.plan, *ix).is_ok());
    commands.extend(again.map(|(_, step)| retry_command(run.as_str(), &step.id)));
    for changed in &seen.state.held {
        if let Some((fact, _)) = changed.split_once(" was ") {
            commands.push(format!("homing accept {run} '{fact}' --reason \"..\""));
        }
    }
    for machine in casualties(seen) {
        commands.push(format!("homing exclude {run} {machine} --reason \"..\""));
    }
    if owned {
        return commands;
    }
    // What was rolled back is not tried again in this run, and it holds its machines until it is over.
    let is_left = derive(seen.plan, &seen.state, |_| false).settled.iter().any(Option::is_none);
    let has_handled = |(ix, _): &(StepIx, &Step)| {
        matches!(seen.state.may_retry(seen.plan, *ix), Err(NotAgain::Handled(_)))
    };
    if is_left || !commands.is_empty() || !failed.iter().any(has_handled) {
        commands.push(format!("homing resume {run}"));
    }
    if failed.iter().any(has_handled) {
        commands.push(format!("homing cancel {run}"));
        commands.push(format!("homing plan {}", seen.plan.script));
    }
    if matches!(seen.state.outcome, Some(Outcome::Failed | Outcome::FailedUnsafe))
        && may_go_back(seen)
    {
        commands.push(back(run));
    }
    commands.extend(left_down(seen, observed));
    commands
}

fn back(run: &RunId) -> String {
    format!("homing rollback {run}")
}

/// It has turned machines off that are still in it, and committed none.
fn may_go_back(seen: &Seen<'_>) -> bool {
    let begun = |(ix, step): (StepIx, &Step)| {
        (seen.state.step(ix).is_begun() && !seen.state.is_given_back(step)).then_some(step.effect)
    };
    let begun: Vec<Effect> = seen.plan.iter().filter_map(begun).collect();
    let commits = |effect: &Effect| matches!(effect, Effect::Commit | Effect::CommitFailover);
    begun.iter().any(|effect| matches!(effect, Effect::Stop(_))) && !begun.iter().any(commits)
}

/// Somebody is down yet, or waits for a commit: no other run has seen to all of them since.
fn is_wanted(seen: &Seen<'_>, observed: Option<&Facts>) -> bool {
    let Some(observed) = observed else { return true };
    seen.chains.keys().any(|machine| {
        observed
            .machines
            .get(*machine)
            .is_none_or(|facts| facts.commit == CommitState::Pending || !is_up(facts))
    })
}

fn is_up(facts: &MachineFacts) -> bool {
    [facts.cloud.power, facts.onprem.power].contains(&Power::On)
}

/// For the machines that were taken out after the run had turned them off.
fn left_down(seen: &Seen<'_>, observed: Option<&Facts>) -> Vec<String> {
    let mut down = BTreeSet::new();
    for (ix, step) in seen.plan.iter().filter(|(_, step)| seen.state.is_given_back(step)) {
        let Some(machine) = &step.machine else { continue };
        match step.effect {
            Effect::Stop(_) if seen.state.step(ix).is_begun() => drop(down.insert(machine)),
            Effect::Start(_) if seen.state.step(ix).status == Status::Succeeded => {
                down.remove(machine);
            }
            _ => {}
        }
    }
    let has_come_up = |machine: &&MachineName| {
        observed.and_then(|facts| facts.machines.get(*machine)).is_some_and(is_up)
    };
    let down = down.into_iter().filter(|machine| !has_come_up(machine));
    down.map(|machine| format!("{} {machine}", back(seen.run))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::facts::tests::away;
    use crate::render::tests::{Sample, many};
    use crate::report::summary::summary;
    use crate::report::tests::{Story, at, run_id, until_second_gate};
    use crate::run::event::EventBody;
    use crate::run::state::RunState;

    fn page(sample: &Sample, state: RunState, observed: Option<&Facts>) -> String {
        let run = run_id();
        let seen = Seen::new(&run, &sample.plan, state);
        let asked = Asked { seen: &seen, observed, owned: false, now: at(300) };
        let page = status(&asked, Style::PLAIN);
        let wide: Vec<&str> = page.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, Vec::<&str>::new(), "80 columns");
        page
    }

    #[test]
    fn waiting_at_the_second_gate() {
        let sample = Sample::failback(&["web-01"]);
        let mut story = until_second_gate();
        story.end(Outcome::Waiting);
        insta::assert_snapshot!(page(&sample, story.state(&sample.plan), None));
    }

    #[test]
    fn killed_in_the_final_transfer_and_observed() {
        let sample = Sample::failback(&["db-01", "web-01"]);
        let mut story = Story::default();
        story.begin();
        for step in ["snapshot.1", "transfer_delta.1"] {
            story.did(&format!("db-01.{step}")).did(&format!("web-01.{step}"));
        }
        story.gate("complete", "Complete failover");
        story.answer("complete", crate::run::event::Answer::Approved);
        story.did("web-01.shutdown_azure_vm.1").start("web-01.transfer_delta.2", 1);
        let mut facts = Facts::default();
        for machine in sample.plan.machines() {
            facts.machines.insert(machine.clone(), away());
        }
        let web = facts.machines.values_mut().next_back().unwrap();
        web.cloud.power = Power::Off;
        web.replica = crate::plan::facts::ReplicaState::Dirty;
        insta::assert_snapshot!(page(&sample, story.state(&sample.plan), Some(&facts)));
    }

    #[test]
    fn three_hundred_machines_show_those_that_failed_first() {
        let names = many(300);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let sample = Sample::failback(&names);
        let mut story = Story::default();
        story.begin().start("web-222.snapshot.1", 1).fail("web-222.snapshot.1");
        story.end(Outcome::Failed);
        let page = page(&sample, story.state(&sample.plan), None);
        assert!(page.lines().count() < 70, "{page}");
        let first = page.lines().skip_while(|line| !line.starts_with(" machine ")).nth(1).unwrap();
        assert!(first.contains("web-222"), "{first}");
    }

    #[test]
    fn a_half_finished_commit_is_past_the_point_of_no_return() {
        let sample = Sample::failback(&["web-01"]);
        let mut story = until_second_gate();
        story.answer("commit", crate::run::event::Answer::Approved).start("web-01.commit.1", 1);
        let step = sample.plan.steps.iter().find(|s| s.primitive == "commit").unwrap().id.clone();
        story.event(EventBody::Intent { step, deletes: serde_json::json!(["web-01"]) });
        story.fail("web-01.commit.1").end(Outcome::FailedUnsafe);
        let run = run_id();
        let seen = Seen::new(&run, &sample.plan, story.state(&sample.plan));
        insta::assert_snapshot!(summary(&seen, None, at(300), Style::PLAIN));
    }
}
