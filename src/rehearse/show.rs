//! One rehearsal after the other, and what they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::base::MachineName;
use crate::journal::Waiting;
use crate::rehearse::clock::Clock;
use crate::rehearse::dice::Dice;
use crate::rehearse::judge;
use crate::rehearse::operator::Operator;
use crate::rehearse::process::{Left, Process, Run};
use crate::rehearse::shrink::fewest;
use crate::rehearse::stage::Stage;
use crate::rehearse::trouble::{Counts, Moment, Struck, Trouble, Troubles};
use crate::run::event::Event;
use crate::run::outcome::Outcome;
use crate::sites::model::{Beginning, World};

/// Processes of one run: more are a run without end.
const PROCESSES_MAX: u32 = 40;
/// After so many of them nothing goes wrong any more: what is left must come to an end.
const TROUBLED_MAX: u32 = 12;
/// How often a run that failed is tried again by people.
const FAILURES_MAX: u32 = 6;

/// One rehearsal.
#[derive(Clone, Debug)]
pub struct Played {
    /// How the run ended; `None`: it never did.
    pub outcome: Option<Outcome>,
    /// Promises that were broken.
    pub broken: Vec<String>,
    /// What went wrong at the sites.
    pub struck: Vec<Struck>,
    /// How often each kind of moment came.
    pub counts: Counts,
    /// From the first process's beginning to the last one's end.
    pub took: Duration,
    /// By machine, seconds.
    pub downtimes_s: BTreeMap<MachineName, f64>,
    /// What its journal would hold.
    pub events: Vec<Event>,
    /// How its machines are then.
    pub after: Beginning,
}

/// Plays a plan once.
pub fn play(stage: &Stage, troubles: Troubles, operator: Operator) -> Played {
    let clock = Arc::new(Clock::default());
    let seed = troubles.seed;
    let trouble = Trouble::new(troubles, clock.clone());
    let (time, began) = (clock.clone(), stage.at);
    let world = World::new(
        &stage.beginning,
        &stage.inventory,
        trouble.clone(),
        Box::new(move || time.at(began)),
    );
    trouble.meddles_with(&world);
    let names = stage.inventory.sites.keys();
    let opened: BTreeMap<_, _> = names.map(|name| (name.clone(), world.site(name))).collect();
    let sites = Arc::new(move |name: &_| opened.get(name).cloned());
    let (trouble, clock) = (&trouble, &clock);
    let process = Process {
        stage,
        sites,
        trouble: trouble.clone(),
        clock: clock.clone(),
        seed,
        operator: &operator,
    };
    let mut run = Run::new();
    let outcome = to_the_end(&process, &mut run);
    let struck = trouble.struck();
    let mut broken = judge::broken(&stage.plan, &run.events, &world, outcome);
    if outcome.is_some_and(Outcome::is_over) {
        trouble.calm();
        let blocked = runtime().block_on(process.next_run()).err();
        broken.extend(blocked.map(|why| format!("the next run is kept out: {why}")));
        broken.extend(world.leftovers().into_iter().map(|left| format!("left behind: {left}")));
    }
    Played {
        outcome,
        broken,
        struck,
        counts: trouble.counts(),
        took: clock.now(),
        downtimes_s: world.downtimes_s(),
        events: run.events,
        after: world.seen(),
    }
}

/// One process after the other until the run is over, or people give up; `None`: it never ends.
fn to_the_end(process: &Process<'_>, run: &mut Run) -> Option<Outcome> {
    let mut dice = Dice::of(process.seed, 1 << 50);
    let mut failures = 0;
    let mut asked = Vec::new();
    for number in 0..PROCESSES_MAX {
        if number == TROUBLED_MAX {
            process.trouble.calm();
        }
        let later = dice.wait(Duration::from_secs(1800));
        match life(process, run, std::mem::take(&mut asked), later) {
            Left::Ended(outcome) if outcome.is_over() => return Some(outcome),
            Left::Ended(outcome @ (Outcome::Failed | Outcome::FailedUnsafe | Outcome::Stale)) => {
                failures += 1;
                asked = again(process, run);
                if failures > FAILURES_MAX || (outcome != Outcome::Stale && asked.is_empty()) {
                    return Some(outcome);
                }
            }
            // It may have died between its last record and its end.
            Left::Died => {
                let outcome = run.state(process.stage).outcome;
                if let Some(outcome) = outcome.filter(|outcome| outcome.is_over()) {
                    return Some(outcome);
                }
            }
            Left::Ended(_) | Left::Refused => {}
        }
    }
    None
}

fn again(process: &Process<'_>, run: &Run) -> Vec<Waiting> {
    let at = process.stage.at.checked_add(process.clock.now());
    let at = at.unwrap_or(crate::base::Timestamp::MAX);
    Operator::after_failures(&process.stage.plan, &run.state(process.stage), at)
}

/// One process on a runtime of its own: when that is gone, so is everything that it began.
fn life(process: &Process<'_>, run: &mut Run, asked: Vec<Waiting>, later: Duration) -> Left {
    let runtime = runtime();
    let left = runtime.block_on(async {
        process.clock.begin();
        let left = process.live(run, asked).await;
        process.clock.end(later);
        left
    });
    // Waits for the threads of the data plane.
    drop(runtime);
    process.trouble.revive();
    left
}

/// Time passes on it only while nobody has anything to do.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("BUG: a runtime without I/O needs nothing of the system")
}

/// What to rehearse.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Show {
    /// The first seed.
    pub seed: u64,
    /// How many rehearsals, each with a seed of its own.
    pub runs: u32,
    /// Of a thousand calls, how many go wrong.
    pub per_mille: u64,
    /// The process dies now and then.
    pub kills: bool,
    /// People take their time, say no, stop it.
    pub people: bool,
}

/// What rehearsals came to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many there were.
    pub runs: u32,
    /// By outcome, the seeds that came to it.
    pub outcomes: BTreeMap<String, Vec<u64>>,
    /// How long each took, seconds, sorted.
    pub took_s: Vec<f64>,
    /// How long each machine was down, seconds, sorted.
    pub downtimes_s: BTreeMap<MachineName, Vec<f64>>,
    /// The rehearsal in which a machine was down for longest: its seed, the machine, seconds.
    pub worst: Option<(u64, MachineName, f64)>,
    /// Calls that went wrong, all together.
    pub faults: u64,
    /// Deaths of the process, all together.
    pub deaths: u64,
    /// Machines of which the plan gives a side up: what that side wrote last is lost, as was said.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub gives_up: BTreeSet<MachineName>,
    /// Rehearsals that broke a promise.
    pub broken: Vec<Broken>,
}

/// A rehearsal that broke a promise.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// Its seed.
    pub seed: u64,
    /// What was broken.
    pub promises: Vec<String>,
    /// The fewest troubles found that break it.
    pub troubles: Vec<String>,
}

/// Rehearses a plan over many seeds.
pub fn rehearse(stage: &Stage, show: &Show) -> Report {
    let counts = play(stage, Troubles::default(), Operator::Prompt).counts;
    let gives_up = stage.plan.lost_sides().into_iter().map(|(machine, _)| machine).collect();
    let mut report = Report { runs: show.runs, gives_up, ..Report::default() };
    for seed in (show.seed..).take(show.runs as usize) {
        let troubles = troubles(show, seed, counts);
        let operator = operator(show, seed);
        let played = play(stage, troubles.clone(), operator);
        report.add(seed, &troubles, &played);
        if !played.broken.is_empty() {
            report.broken.push(shrunk(stage, &troubles, operator, played));
        }
    }
    report.took_s.sort_by(f64::total_cmp);
    report.downtimes_s.values_mut().for_each(|all| all.sort_by(f64::total_cmp));
    report
}

fn operator(show: &Show, seed: u64) -> Operator {
    if show.people { Operator::Human { seed } } else { Operator::Prompt }
}

/// What goes wrong in the rehearsal of a seed; `counts`: of one where all went well.
fn troubles(show: &Show, seed: u64, counts: Counts) -> Troubles {
    let mut dice = Dice::of(seed, 1 << 51);
    let many = if show.kills { 1 + dice.below(4) } else { 0 };
    let deaths = (0..many).map(|_| match dice.below(5) {
        0 => Moment::Record(1 + dice.below(counts.records.max(1))),
        1 => Moment::Action(1 + dice.below(counts.actions.max(1))),
        2 => Moment::Asked(1 + dice.below(counts.calls.max(1))),
        3 => Moment::Done(1 + dice.below(counts.calls.max(1))),
        _ => Moment::Block(1 + dice.below(counts.blocks.max(1))),
    });
    Troubles { seed, per_mille: show.per_mille, only: None, deaths: deaths.collect() }
}

impl Report {
    fn add(&mut self, seed: u64, troubles: &Troubles, played: &Played) {
        let outcome =
            played.outcome.map_or("never ended".to_owned(), |outcome| outcome.to_string());
        self.outcomes.entry(outcome).or_default().push(seed);
        self.took_s.push(played.took.as_secs_f64());
        self.faults += played.struck.len() as u64;
        self.deaths += troubles.deaths.len() as u64;
        for (machine, down_s) in &played.downtimes_s {
            self.downtimes_s.entry(machine.clone()).or_default().push(*down_s);
            if self.worst.as_ref().is_none_or(|(_, _, worst_s)| down_s > worst_s) {
                self.worst = Some((seed, machine.clone(), *down_s));
            }
        }
    }
}

/// Rehearsals that shrinking may take.
const SHRINKS_MAX: u32 = 80;

#[derive(Clone, Copy)]
enum Part {
    Call(u64),
    Death(Moment),
}

/// The same rehearsal with as little trouble as breaks a promise.
fn shrunk(stage: &Stage, troubles: &Troubles, operator: Operator, played: Played) -> Broken {
    let with = |parts: &[Part]| {
        let calls = parts.iter().filter_map(|part| match part {
            Part::Call(number) => Some(*number),
            Part::Death(_) => None,
        });
        let deaths = parts.iter().filter_map(|part| match part {
            Part::Death(moment) => Some(*moment),
            Part::Call(_) => None,
        });
        let (only, deaths) = (Some(calls.collect()), deaths.collect());
        Troubles { only, deaths, ..troubles.clone() }
    };
    let calls = played.struck.iter().map(|one| Part::Call(one.call));
    let parts = calls.chain(troubles.deaths.iter().copied().map(Part::Death)).collect();
    let mut least = (played, troubles.clone());
    fewest(parts, SHRINKS_MAX, |parts| {
        let fewer = with(parts);
        let again = play(stage, fewer.clone(), operator);
        let breaks = !again.broken.is_empty();
        if breaks {
            least = (again, fewer);
        }
        breaks
    });
    let (played, troubles) = least;
    let deaths = troubles.deaths.iter().map(|death| format!("the process dies: {death:?}"));
    Broken {
        seed: troubles.seed,
        promises: played.broken,
        troubles: played.struck.into_iter().map(|one| one.what).chain(deaths).collect(),
    }
}
