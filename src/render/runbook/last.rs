//! The last pages of a runbook: what to do when homing works again, and a line for every machine to sign.

use std::collections::BTreeMap;

use crate::base::units::show_seconds;
use crate::base::{MachineName, Side};
use crate::plan::effect::Effect;
use crate::render::runbook::book::Book;
use crate::render::runbook::document::{Block, Cell, Grid, Section};
use crate::render::runbook::line::Line;

/// The last pages.
pub fn sections(book: &Book<'_>) -> Vec<Section> {
    vec![
        Section { title: "After that".to_owned(), blocks: after(book) },
        Section { title: "Every machine, signed".to_owned(), blocks: vec![signed(book)] },
    ]
}

fn after(book: &Book<'_>) -> Vec<Block> {
    let script = &book.plan().script;
    let lines: [Line; 6] = [
        "Tell everybody who was told that it began, with the times.".into(),
        "Keep this paper: homing's journal knows nothing of what was done by hand.".into(),
        "Give back the rights, and take away the locks, that you set only for today. A machine that is off for good stays fenced.".into(),
        Line::text("When homing works again, let it look: ")
            .code(format!("homing plan {script}"))
            .and(" observes the sites and plans what is left. A plan that was saved before today is stale: homing refuses it."),
        "Finish by hand what you began by hand: homing commits only machines that it has started itself, and a replica that was started or written by hand counts as diverged, so that the next copy compares or sends everything.".into(),
        "If a run of homing was open when this began, end it with `homing cancel RUN`; what `homing status` says of its machines is older than this paper.".into(),
    ];
    vec![Block::Checks(lines.to_vec())]
}

/// What a machine should have come to, where all went well.
#[derive(Default)]
struct End {
    runs: Option<Side>,
    committed: bool,
    protected: bool,
}

fn signed(book: &Book<'_>) -> Block {
    let plan = book.plan();
    let mut ends: BTreeMap<&MachineName, End> = BTreeMap::new();
    for step in &plan.steps {
        let Some(machine) = &step.machine else { continue };
        let end = ends.entry(machine).or_default();
        if plan.is_in_handler(step) {
            continue;
        }
        match step.effect {
            Effect::Start(side) => *end = End { runs: Some(side), ..End::default() },
            Effect::Commit => end.committed = true,
            Effect::ReverseReplicate => end.protected = true,
            _ => {}
        }
    }
    let header = ["machine", "down, estimated", "off at", "up at", "should be", "is", "name, time"];
    let row = |(machine, end): (&MachineName, End)| {
        let estimate = book.review.estimates.machines.get(machine);
        let down = estimate.filter(|one| one.downtime_s > 0.0);
        let down = down.map_or("-".to_owned(), |one| show_seconds(one.downtime_s));
        vec![
            Cell::Text(machine.as_str().to_owned()),
            Cell::Text(down),
            Cell::Blank,
            Cell::Blank,
            Cell::Text(said(book, machine, &end)),
            Cell::Blank,
            Cell::Tick(format!("signed {machine}"), true),
        ]
    };
    let rows = ends.into_iter().map(row).collect();
    Block::Grid(Grid { header: header.map(str::to_owned).to_vec(), rows })
}

fn said(book: &Book<'_>, machine: &MachineName, end: &End) -> String {
    let entry = book.review.inventory.machines.get(machine);
    let Some(side) = end.runs else { return "as before".to_owned() };
    let site = entry.map_or_else(|| side.to_string(), |entry| entry.site(side).to_string());
    let deleted = if end.committed { ", the other side deleted" } else { "" };
    let protected = if end.protected { ", protected" } else { "" };
    format!("runs at {site}{deleted}{protected}")
}
