//! The machines of a plan: how long each is down, against what it may be.

use std::borrow::Cow;

use crate::base::MachineName;
use crate::base::units::{show_bytes, show_seconds};
use crate::plan::estimate::MachineEstimate;
use crate::render::Review;
use crate::render::fold::count;
use crate::render::style::{Ink, Style};
use crate::render::table::Table;

/// Most machines in the table; the others are one row.
const MACHINES_MAX: usize = 10;

/// The table, and what it comes to.
pub fn machines(review: &Review<'_>, style: Style) -> String {
    let mut order: Vec<Row<'_>> =
        review.estimates.machines.iter().map(|one| Row::of(review, one)).collect();
    if order.is_empty() {
        return String::new();
    }
    let over = order.iter().filter(|row| row.is_over()).count();
    let most = if review.full { order.len() } else { MACHINES_MAX.min(order.len()) };
    if order.len() > most {
        // Only the worst are named: over their limit first, then the longest downtime.
        let rank = |row: &Row<'_>| (row.is_over(), row.estimate.downtime_s);
        order.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).expect("BUG: a finite estimate"));
    }
    let (named, others) = order.split_at(most);
    let all = |what: &str, rows: &[Row<'_>]| {
        (rows.len() > 1).then(|| together(&format!("{} {what}, at most", rows.len()), rows).cells())
    };
    let mut rows: Vec<Vec<String>> = named.iter().map(Row::cells).collect();
    rows.extend(all("others", others).filter(|_| !others.is_empty()));
    rows.extend(all("together", &order).filter(|_| others.is_empty()));
    let table = Table {
        header: vec!["machine", "down for", "rto", "down after", "copied before", "bytes at most"],
        rows,
        amounts: &[1, 2, 3, 4, 5],
    };
    let title = style.heading("Machines (by the estimate; waits for people come on top)");
    let mut page = title + indented(&table.text(style)).as_str();
    if over > 0 {
        let text = format!("the downtime of {} exceeds its rto", count(over, "machine"));
        page.push_str(&style.inked_field(Ink::Warn, "Over", &text));
    }
    page
}

/// One machine, or several together.
struct Row<'a> {
    name: Cow<'a, str>,
    estimate: MachineEstimate,
    rto_s: Option<f64>,
    is_sum: bool,
}

impl<'a> Row<'a> {
    fn of(review: &Review<'a>, (name, estimate): (&'a MachineName, &MachineEstimate)) -> Row<'a> {
        let rto_s = review.inventory.machines.get(name).and_then(|entry| entry.rto_s);
        Row { name: name.as_str().into(), estimate: *estimate, rto_s, is_sum: false }
    }

    fn is_over(&self) -> bool {
        self.rto_s.is_some_and(|rto_s| self.estimate.downtime_s > rto_s)
    }

    fn cells(&self) -> Vec<String> {
        let MachineEstimate { downtime_s, down_from_s, sync_s, bytes } = self.estimate;
        let is_down = down_from_s.is_some() || downtime_s > 0.0;
        let none = if self.is_sum { "" } else { "-" };
        let limit = self.rto_s.map_or(none.into(), show_seconds);
        let mark = if self.is_over() { "OVER " } else { "" };
        vec![
            self.name.to_string(),
            if is_down { show_seconds(downtime_s) } else { "never".into() },
            format!("{mark}{limit}"),
            down_from_s.map_or("-".into(), show_seconds),
            show_seconds(sync_s),
            show_bytes(bytes),
        ]
    }
}

/// The longest times, the first to go down, the bytes together.
fn together<'a>(name: &str, rows: &[Row<'a>]) -> Row<'a> {
    let all = rows.iter().map(|row| row.estimate);
    let estimate = all.reduce(|a, b| MachineEstimate {
        downtime_s: a.downtime_s.max(b.downtime_s),
        down_from_s: match (a.down_from_s, b.down_from_s) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        },
        sync_s: a.sync_s.max(b.sync_s),
        bytes: a.bytes.saturating_add(b.bytes),
    });
    let name = name.to_owned().into();
    Row { name, estimate: estimate.unwrap_or_default(), rto_s: None, is_sum: true }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!(" {line}\n")).collect()
}
