//! The rows of the timeline: machines whose steps take the same times are one; where that are too many,
//! those that run the same lines of the script; and the last row is all that is left.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt};

use crate::base::MachineName;
use crate::plan::estimate::MachineEstimate;
use crate::plan::step::{Kind, StepIx};
use crate::render::Review;
use crate::render::fold::counted;
use crate::render::html::timeline::Look;

/// Most rows.
const ROWS_MAX: usize = 48;
/// Most bars of a row; what comes behind them is one.
const BARS_MAX: usize = 120;
/// Times that differ by less than this part of the whole look the same.
const ALIKE: f64 = 2000.0;

/// What is drawn.
pub struct Rows<'a> {
    /// Top to bottom.
    pub all: Vec<Row<'a>>,
    /// Where the axis ends.
    pub end_s: f64,
    /// What was folded.
    pub said: Vec<String>,
}

/// Machines whose times are drawn as one.
pub struct Row<'a> {
    names: Vec<&'a str>,
    /// In the order written.
    pub bars: Vec<Bar>,
    /// While they are down, seconds from and to.
    pub down: Option<(f64, f64)>,
}

/// A step, or the same step of several machines.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// The first of them.
    pub first: StepIx,
    /// What it looks like.
    pub look: Look,
    /// The earliest start, seconds.
    pub start_s: f64,
    /// The latest end, seconds.
    pub end_s: f64,
    /// Nine times of ten no later, seconds.
    pub slow_s: f64,
}

impl Row<'_> {
    /// Whose row it is.
    pub fn label(&self) -> String {
        if self.names.is_empty() { "no machine".to_owned() } else { counted(&self.names) }
    }

    fn take(&mut self, other: &Row<'_>) {
        for (mine, theirs) in self.bars.iter_mut().zip(&other.bars) {
            mine.start_s = mine.start_s.min(theirs.start_s);
            mine.end_s = mine.end_s.max(theirs.end_s);
            mine.slow_s = mine.slow_s.max(theirs.slow_s);
        }
        self.down = match (self.down, other.down) {
            (Some((from, to)), Some((from_2, to_2))) => Some((from.min(from_2), to.max(to_2))),
            (one, two) => one.or(two),
        };
    }
}

impl<'a> Rows<'a> {
    /// The rows of a plan.
    pub fn of(review: &Review<'a>) -> Rows<'a> {
        let rows = chains(review);
        let machines = rows.len();
        let end_s = rows.iter().flat_map(|row| &row.bars).map(|bar| bar.slow_s).fold(0.0, f64::max);
        let exact = |row: &Row<'_>| row.bars.iter().map(|bar| near(bar, end_s)).collect();
        let mut all = together(&rows, exact);
        let mut said = Vec::new();
        if all.len() > ROWS_MAX {
            let lines = |row: &Row<'_>| row.bars.iter().map(|bar| line(review, bar)).collect();
            all = together(&rows, lines);
            said.push("Machines that run the same lines of the script are one row, from the earliest start to the latest end.".to_owned());
        } else if all.len() < machines {
            said.push("Machines whose times are alike are one row.".to_owned());
        }
        if all.len() > ROWS_MAX {
            let rest = all.split_off(ROWS_MAX - 1);
            let others: usize = rest.iter().map(|row| row.names.len()).sum();
            said.push(format!(
                "The last row is all other machines ({others}), a bar per kind of step."
            ));
            all.extend(the_rest(&rest));
        }
        Rows { all, end_s, said }
    }
}

/// A row per machine, and one for the steps without one.
fn chains<'a>(review: &Review<'a>) -> Vec<Row<'a>> {
    let mut rows: BTreeMap<Option<&MachineName>, Row<'a>> = BTreeMap::new();
    for (ix, step) in review.plan.iter() {
        let Some(estimate) = review.estimates.steps.get(ix.at()) else { continue };
        let Some(start_s) = estimate.start_s.filter(|_| step.kind != Kind::Gate) else { continue };
        let machine = step.machine.as_ref();
        if machine.is_none() && estimate.seconds == 0.0 {
            continue;
        }
        let row = rows.entry(machine).or_insert_with(|| Row {
            names: machine.iter().map(|name| name.as_str()).collect(),
            bars: Vec::new(),
            down: machine.and_then(|name| down(review.estimates.machines.get(name)?)),
        });
        let bar = Bar {
            first: ix,
            look: Look::of(step),
            start_s,
            end_s: start_s + estimate.seconds,
            slow_s: start_s + estimate.slow_s.max(estimate.seconds),
        };
        let full = row.bars.len() >= BARS_MAX;
        match row.bars.last_mut() {
            Some(last) if full => {
                last.look = Look::Other;
                last.end_s = last.end_s.max(bar.end_s);
                last.slow_s = last.slow_s.max(bar.slow_s);
            }
            _ => row.bars.push(bar),
        }
    }
    rows.into_values().collect()
}

fn down(cost: &MachineEstimate) -> Option<(f64, f64)> {
    let from_s = cost.down_from_s?;
    Some((from_s, from_s + cost.downtime_s))
}

/// The rows of equal keys as one, in the order of their first.
fn together<'a, K: std::hash::Hash + Eq>(
    rows: &[Row<'a>],
    key: impl Fn(&Row<'a>) -> Vec<K>,
) -> Vec<Row<'a>> {
    let mut all: Vec<Row<'a>> = Vec::new();
    let mut places: HashMap<(bool, Vec<K>), usize> = HashMap::new();
    for row in rows {
        let at = *places.entry((row.names.is_empty(), key(row))).or_insert(all.len());
        match all.get_mut(at) {
            Some(known) => {
                known.names.extend(&row.names);
                known.take(row);
            }
            None => {
                all.push(Row { names: row.names.clone(), bars: row.bars.clone(), down: row.down });
            }
        }
    }
    all
}

/// A bar as it is seen: what it does, and about when.
fn near(bar: &Bar, end_s: f64) -> (Look, i64, i64, i64) {
    let place = |at_s: f64| (at_s / end_s.max(f64::MIN_POSITIVE) * ALIKE).round() as i64;
    (bar.look, place(bar.start_s), place(bar.end_s), place(bar.slow_s))
}

/// A bar by what makes it: a line of the script.
fn line(review: &Review<'_>, bar: &Bar) -> (&'static str, u32) {
    let step = review.plan.step(bar.first);
    (step.primitive, step.origin.at.line)
}

fn the_rest<'a>(rows: &[Row<'a>]) -> Option<Row<'a>> {
    let mut looks: BTreeMap<Look, Bar> = BTreeMap::new();
    for bar in rows.iter().flat_map(|row| &row.bars) {
        let known = looks.entry(bar.look).or_insert(*bar);
        known.start_s = known.start_s.min(bar.start_s);
        known.end_s = known.end_s.max(bar.end_s);
        known.slow_s = known.slow_s.max(bar.slow_s);
    }
    let downs = rows.iter().filter_map(|row| row.down);
    let down = downs.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let names = rows.iter().flat_map(|row| row.names.iter().copied()).collect();
    (!rows.is_empty()).then(|| Row { names, bars: looks.into_values().collect(), down })
}
