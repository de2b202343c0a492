//! The first pages of a runbook: what it is, what must hold before anybody begins, what cannot be taken back,
//! who is asked what, how long machines are down.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::units::{show_bytes, show_seconds};
use crate::base::{Json, Timestamp};
use crate::plan::facts::{Fact, Power, SELECTION};
use crate::plan::inventory::INVENTORY_FACT;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, Reversibility, Step, StepIx};
use crate::render::fold::{all_names, count};
use crate::render::path::before;
use crate::render::runbook::book::Book;
use crate::render::runbook::document::{Block, Cell, Grid, Section};
use crate::render::runbook::line::Line;
use crate::render::words;

/// Most machines whose downtime is told one by one; the last table has them all.
const DOWNTIMES_MAX: usize = 12;

/// The first pages.
pub fn sections(book: &Book<'_>, observed: Option<Timestamp>) -> Vec<Section> {
    let all: [(&str, Vec<Block>); 7] = [
        ("What this is", about(book, observed)),
        (
            "Rules that always hold",
            vec![Block::List(RULES.iter().map(|rule| (*rule).into()).collect())],
        ),
        ("Check first", checks(book)),
        ("What cannot be taken back", irreversible(book)),
        ("Who is asked what", questions(book)),
        ("How long machines are down", downtimes(book)),
        ("Warnings of this plan", warnings(book)),
    ];
    let told = all.into_iter().filter(|(_, blocks)| !blocks.is_empty());
    told.map(|(title, blocks)| Section { title: title.to_owned(), blocks }).collect()
}

/// What a tired person must not forget, whatever the plan.
const RULES: &[&str] = &[
    "Follow it from top to bottom. Tick a box when you have seen what it says, not when you have begun it.",
    "A machine runs on ONE side only. Before you start one, look at the other side, now. A machine that you cannot see counts as running.",
    "A replica whose copy was broken off or not verified is DIRTY. It is never started: copy again.",
    "Until its commit a machine can go back to the side that it came from. After it there is only forward.",
    "A step that fails may be tried again, unless it says \"once\". If it fails for good, do what stands under IF THIS FAILED; if nothing does, stop with that machine, leave it as it is, cross it out, and go on with the others.",
    "A machine that is crossed out takes no further step. A step that waits for it is done without it only if whoever is responsible says so.",
    "In a table a box stands for all that its step says of that machine: tick it when you have seen that machine's First see and Seen.",
    "Write the time and your initials beside what you tick. Commands are examples: the names of groups, disks and tools are those of your sites.",
    "No homing may work on these machines meanwhile: a run that is open somewhere is ended first (`homing cancel RUN`), or left to go on instead of this book.",
];

fn field(label: &str, text: impl Into<String>) -> Line {
    Line::text(format!("{label}: ")).and(text)
}

fn about(book: &Book<'_>, observed: Option<Timestamp>) -> Vec<Block> {
    let plan = book.plan();
    let mut lines = vec![field("Script", "").code(plan.script.clone())];
    for (name, value) in &plan.params {
        lines.push(field("Parameter", "").code(format!("{name} = {value}")));
    }
    lines.push(field("Digest", "").code(book.review.digest.as_str()));
    lines.push(match observed {
        Some(at) => field("Facts observed", format!("{}", at.strftime("%Y-%m-%d %H:%M UTC"))),
        None => field("Facts", "those of the saved plan; when they were observed stands nowhere"),
    });
    let machines = plan.machines();
    let names = all_names(machines.iter().map(|name| name.as_str()));
    lines.push(field(&format!("Machines ({})", machines.len()), names));
    let (steps, waves) = (plan.steps.len(), book.waves.len());
    lines.push(field("Steps", format!("{} in {}", count(steps, "step"), count(waves, "wave"))));
    let entries = machines.iter().filter_map(|name| book.review.inventory.machines.get(*name));
    let sites: BTreeSet<&str> =
        entries.clone().flat_map(|one| [one.cloud.as_str(), one.onprem.as_str()]).collect();
    if !sites.is_empty() {
        let sites = sites.into_iter().collect::<Vec<_>>().join(", ");
        lines.push(field("You need to get into", sites));
    }
    let keys: BTreeSet<&str> = entries.filter_map(|one| one.key.as_deref()).collect();
    if !keys.is_empty() {
        let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
        lines.push(field("Keys, from their keepers", keys));
    }
    let rules = words::rules(&plan.scope(ScopeIx::PLAN).rules);
    if !rules.is_empty() {
        lines.push(field("Limits", rules.join("; ")));
    }
    let nothing = "There is nothing to do: no step touches a machine or runs a command.";
    let mut blocks = vec![
        Block::Text(Line::text(
            "For the day when homing itself cannot run. It was printed from a proved plan; if the machines, the \
             script or the inventory changed since, it is another plan: print it again at every change.",
        )),
        Block::List(lines),
        Block::Text(Line::text(
            "Begun by ________________   on ____________   at ________   with ________________",
        )),
    ];
    if plan.nothing_to_do() {
        blocks.insert(0, Block::Danger(Line::text(nothing)));
    }
    blocks
}

fn checks(book: &Book<'_>) -> Vec<Block> {
    let machines = book.plan().machines();
    let machines: BTreeSet<&str> = machines.iter().map(|name| name.as_str()).collect();
    let mut alike: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for fact in book.plan().facts.iter().filter(|fact| can_be_looked_at(book, fact)) {
        alike.entry((&fact.fact, &fact.value)).or_default().push(&fact.subject);
    }
    let lines: Vec<Line> = alike
        .iter()
        .map(|((fact, value), subjects)| {
            let is_all = subjects.len() > 2
                && subjects.len() == machines.len()
                && subjects.iter().all(|name| machines.contains(name));
            let who = if is_all {
                format!("all {} machines", subjects.len())
            } else {
                all_names(subjects.iter().copied())
            };
            match subjects.as_slice() {
                [SELECTION] => selection(fact, value),
                _ => said(fact, value, &who),
            }
        })
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let intro = "The plan rests on these facts. Look at each of them now. If one does not hold, this is not the \
                 plan for today: do not begin, and ask.";
    vec![Block::Text(Line::text(intro)), Block::Checks(lines)]
}

/// Nobody looks whether something is there where nobody sees.
fn can_be_looked_at(book: &Book<'_>, fact: &Fact) -> bool {
    let Some(side) = fact.fact.strip_suffix(".exists") else { return true };
    let unseen = [Power::Unknown, Power::Lost].map(|power| {
        let value = Json::from(power.word());
        Fact::new(fact.subject.clone(), format!("{side}.power"), &value)
    });
    unseen.iter().all(|power| !book.plan().facts.contains(power))
}

/// Which machines a selection found.
fn selection(terms: &str, found: &str) -> Line {
    let found: Vec<String> = serde_json::from_str(found).unwrap_or_default();
    let found = all_names(found.iter().map(String::as_str));
    let found = if found.is_empty() { "none".to_owned() } else { found };
    match terms {
        "" => Line::text(format!("The inventory has these machines and no others: {found}")),
        _ => Line::text("The machines with ").code(terms).and(format!(" are still these: {found}")),
    }
}

/// A fact as a person sees it.
fn said(fact: &str, value: &str, who: &str) -> Line {
    let text = value.trim_matches('"');
    let sentence = match (fact, text) {
        ("where", "cloud") => "runs in the cloud, or ran there last: the live data are there",
        ("where", "home") => "runs at home, or ran there last: the live data are there",
        ("cloud.power", "on") => "is switched on in the cloud",
        ("cloud.power", "off") => "is off in the cloud",
        ("cloud.power", "unknown") => "cannot be seen in the cloud: nobody can say whether it runs",
        ("cloud.power", "lost") => "was given up in the cloud, and nobody sees it there",
        ("onprem.power", "unknown") => "cannot be seen at home: nobody can say whether it runs",
        ("onprem.power", "lost") => "was given up at home, and nobody sees it there",
        ("cloud.exists", "true") => "exists in the cloud, with its disks",
        ("cloud.exists", "false") => "does not exist in the cloud",
        ("onprem.power", "on") => "is switched on at home",
        ("onprem.power", "off") => "is off at home",
        ("onprem.exists", "true") => "exists at home",
        ("onprem.exists", "false") => "does not exist at home",
        ("replica", "stale") => {
            "has a replica that was verified once and is older than the live data"
        }
        ("replica", "current") => "has a replica that equals the stopped machine",
        ("replica", "dirty") => "has a DIRTY replica: it must be copied again before anything",
        ("replica", "diverged") => {
            "has a replica that was written to outside a copy: nobody trusts it"
        }
        ("replica", "absent") => "has no replica",
        ("commit", "committed") => "has no failover that waits for its commit",
        ("commit", "pending") => "has a failover that waits for its commit",
        ("protection", "none") => "is not protected towards the cloud",
        ("protection", "onprem_to_cloud") => "is protected towards the cloud",
        ("encrypted", "true") => "has encrypted disks",
        ("encrypted", "false") => "has disks that are not encrypted",
        ("connected", "true") => "is reached, and can be worked on",
        _ => return otherwise(fact, text, value, who),
    };
    Line::text(format!("{sentence}: {who}"))
}

fn otherwise(fact: &str, text: &str, value: &str, who: &str) -> Line {
    if fact == "host" {
        return Line::text(format!("lives on {text} at home: {who}"));
    }
    if fact == "disk_bytes"
        && let Ok(bytes) = text.parse()
    {
        return Line::text(format!("has {} of disks: {who}", show_bytes(bytes)));
    }
    let duration =
        |name: &str| Some(fact.strip_prefix(name)?.trim_matches(['(', ')', '"']).to_owned());
    if let Some(age) = duration("away_over") {
        let than = if text == "true" { "at least" } else { "less than" };
        return Line::text(format!("failed over to the cloud {than} {age} ago: {who}"));
    }
    if let Some(age) = duration("synced_within") {
        let was = if text == "true" { "was" } else { "was not" };
        return Line::text(format!(
            "has a replica that {was} verified within the last {age}: {who}"
        ));
    }
    let line = match fact.strip_prefix(INVENTORY_FACT) {
        Some(name) => Line::text("the inventory's ").code(name),
        None => Line::default().code(fact),
    };
    line.and(" is ").code(value).and(format!(": {who}"))
}

/// Steps of a kind, by their numbers.
fn grouped<'b>(book: &Book<'b>, wanted: fn(&Step) -> bool) -> Vec<(String, Vec<StepIx>)> {
    let mut found: Vec<(String, Vec<StepIx>)> = Vec::new();
    for (ix, _) in book.plan().iter().filter(|(_, step)| wanted(step)) {
        let number = book.number(ix);
        match found.last_mut().filter(|(last, _)| *last == number) {
            Some((_, steps)) => steps.push(ix),
            None => match found.iter_mut().rfind(|(known, _)| *known == number) {
                Some((_, steps)) => steps.push(ix),
                None => found.push((number, vec![ix])),
            },
        }
    }
    found
}

fn irreversible(book: &Book<'_>) -> Vec<Block> {
    let steps = grouped(book, |step| step.reversibility == Reversibility::Irreversible);
    if steps.is_empty() {
        return vec![Block::Text(Line::text(
            "Nothing: every step can be taken back or done again.",
        ))];
    }
    let lines = steps.iter().map(|(_, steps)| {
        let first = book.plan().step(steps[0]);
        let mut line = book.named(steps.iter().copied());
        line = line.and(": ").code(first.primitive);
        line
    });
    let mut blocks = vec![Block::List(lines.collect())];
    let Some(ix) = book.review.no_return else {
        blocks.push(Block::Text(Line::text("No step ends the way back to the other side.")));
        return blocks;
    };
    let before = before(book.plan(), ix);
    let gates = book.plan().iter().filter(|(at, step)| step.kind == Kind::Gate && before[at.at()]);
    let gate = gates.map(|(at, _)| at).next_back();
    let mut line = Line::text("The point of no return is ");
    line.0.extend(book.named([ix]).0);
    line = match gate {
        Some(gate) => {
            line.and(". The last question before it is ").step(book.number(gate)).and(".")
        }
        None => line.and(". NO question stands before it: ask somebody all the same."),
    };
    blocks.insert(0, Block::Danger(line));
    blocks
}

fn questions(book: &Book<'_>) -> Vec<Block> {
    let gates = grouped(book, |step| step.kind == Kind::Gate);
    if gates.is_empty() {
        return vec![Block::Text(Line::text("Nobody: the plan has no gates."))];
    }
    let header = ["step", "gate", "who answers", "no answer counts as", "open for"];
    let row = |(number, steps): &(String, Vec<StepIx>)| {
        let step = book.plan().step(steps[0]);
        let more = steps.len() - 1;
        let name = step.id.as_str().to_owned();
        let name = if more == 0 { name } else { format!("{name} and {more} like it") };
        let who = book.hands[steps[0].at()].value("approvers").unwrap_or("whoever is responsible");
        let goes_on = step.args.get("on_timeout").is_some_and(|word| word == "go_on");
        let limit = step.policy.timeout_ms;
        let limit = limit.map_or("no limit".into(), |ms| show_seconds(ms as f64 / 1000.0));
        let silence = if goes_on { "YES" } else { "no" };
        [number.clone(), name, who.to_owned(), silence.to_owned(), limit].map(Cell::Text).to_vec()
    };
    let rows = gates.iter().map(row).collect();
    vec![Block::Grid(Grid { header: header.map(str::to_owned).to_vec(), rows })]
}

fn downtimes(book: &Book<'_>) -> Vec<Block> {
    let all = book.review.estimates.machines.iter().filter(|(_, one)| one.downtime_s > 0.0);
    let mut all: Vec<_> = all.collect();
    all.sort_by(|(_, a), (_, b)| b.downtime_s.total_cmp(&a.downtime_s));
    if all.is_empty() {
        return vec![Block::Text(Line::text("None is switched off and started again."))];
    }
    let rto = |name| book.review.inventory.machines.get(name).and_then(|entry| entry.rto_s);
    let over = all.iter().filter(|(name, one)| rto(*name).is_some_and(|rto| one.downtime_s > rto));
    let over = over.count();
    let rows = all.iter().take(DOWNTIMES_MAX).map(|(name, one)| {
        let limit = rto(*name).map_or("-".to_owned(), show_seconds);
        [name.as_str().to_owned(), show_seconds(one.downtime_s), limit].map(Cell::Text).to_vec()
    });
    let header = ["machine", "down, estimated", "at most (rto)"].map(str::to_owned).to_vec();
    let mut blocks = vec![
        Block::Text(Line::text(
            "As homing would do it, waiting at gates left out. By hand it takes longer: copying is as slow as \
             the line, and every look and every note takes its time.",
        )),
        Block::Grid(Grid { header, rows: rows.collect() }),
    ];
    if all.len() > DOWNTIMES_MAX {
        let rest = all.len() - DOWNTIMES_MAX;
        blocks.push(Block::Text(Line::text(format!(
            "These are the longest; {} more are in the last table.",
            count(rest, "machine")
        ))));
    }
    if over > 0 {
        let text =
            format!("{} would be down for longer than its rto allows.", count(over, "machine"));
        blocks.push(Block::Danger(Line::text(text)));
    }
    blocks
}

fn warnings(book: &Book<'_>) -> Vec<Block> {
    let mut alike: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for warning in book.review.warnings {
        *alike.entry((&warning.code, &warning.message)).or_default() += 1;
    }
    let warned = alike.iter().map(|((code, message), times)| {
        let times = if *times > 1 { format!(" ({times} times)") } else { String::new() };
        Line::default().code(*code).and(format!(" {message}{times}"))
    });
    let mut answers: BTreeSet<(&str, &str)> = BTreeSet::new();
    answers.extend(book.plan().acknowledged.iter().map(|one| (&*one.code, &*one.reason)));
    let answered = answers.iter().map(|(code, reason)| {
        Line::default().code(*code).and(format!(" was answered by the script: {reason}"))
    });
    let lines: Vec<Line> = warned.chain(answered).collect();
    if lines.is_empty() { Vec::new() } else { vec![Block::List(lines)] }
}
