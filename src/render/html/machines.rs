//! Each machine's cost against what it may cost; machines of equal numbers are one row.

use foldhash::{HashMap, HashMapExt};
use maud::{Markup, html};

use crate::base::units::{show_bytes, show_seconds};
use crate::plan::estimate::MachineEstimate;
use crate::render::fold::count;
use crate::render::html::{Page, names, scroll};

/// Most rows; the others are one.
const ROWS_MAX: usize = 400;

/// Machines whose numbers read the same.
struct Row<'a> {
    machines: Vec<&'a str>,
    cost: MachineEstimate,
    rto_s: Option<f64>,
}

impl Row<'_> {
    fn is_over(&self) -> bool {
        self.rto_s.is_some_and(|rto_s| self.cost.downtime_s > rto_s)
    }
}

/// The section.
pub fn machines(page: &Page<'_, '_>) -> Markup {
    let rows = rows(page);
    if rows.is_empty() {
        return html! { p { "No machine is touched." } };
    }
    let (shown, others) = rows.split_at(rows.len().min(ROWS_MAX));
    let over: usize = rows.iter().filter(|row| row.is_over()).map(|row| row.machines.len()).sum();
    let table = html! {
        table {
            caption { "Estimated downtime against the recovery time objective (rto) of the inventory; the worst first" }
            thead { tr {
                th scope="col" { "Machines" } th scope="col" .amount { "Down for" } th scope="col" .amount { "rto" }
                th scope="col" { "Within it" } th scope="col" .amount { "Copying before" } th scope="col" .amount { "Data at most" }
            } }
            tbody { @for row in shown { (self::row(row)) } (rest(others)) }
        }
    };
    html! {
        @if over > 0 { p .note { strong .danger { "The downtime of " (count(over, "machine")) " exceeds its rto." } } }
        (scroll("Machines", &table))
        @if !others.is_empty() {
            p .folded { "The machines of " (others.len()) " further combinations of numbers are one row, with their largest numbers." }
        }
    }
}

fn rows<'a>(page: &Page<'_, 'a>) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = Vec::new();
    let mut places: HashMap<[String; 4], usize> = HashMap::new();
    for (machine, cost) in &page.review.estimates.machines {
        let rto_s = page.review.inventory.machines.get(machine).and_then(|entry| entry.rto_s);
        let read = [
            show_seconds(cost.downtime_s),
            show_seconds(cost.sync_s),
            show_bytes(cost.bytes),
            rto_s.map_or_else(String::new, show_seconds),
        ];
        let at = *places.entry(read).or_insert(rows.len());
        match rows.get_mut(at) {
            Some(row) => row.machines.push(machine.as_str()),
            None => rows.push(Row { machines: vec![machine.as_str()], cost: *cost, rto_s }),
        }
    }
    rows.sort_by(|a, b| {
        let worse = |row: &Row<'_>| (row.is_over(), row.cost.downtime_s);
        worse(b).partial_cmp(&worse(a)).expect("BUG: a finite estimate")
    });
    rows
}

fn row(row: &Row<'_>) -> Markup {
    let down = if row.cost.down_from_s.is_some() || row.cost.downtime_s > 0.0 {
        show_seconds(row.cost.downtime_s)
    } else {
        "never".to_owned()
    };
    html! {
        tr {
            th scope="row" {
                @if row.machines.len() > 1 { (row.machines.len()) " machines: " }
                (names(&row.machines))
            }
            td .amount { (down) }
            td .amount { (row.rto_s.map_or("none set".to_owned(), show_seconds)) }
            td {
                @match (row.rto_s, row.is_over()) {
                    (None, _) => "-",
                    (_, true) => strong .danger { "no, OVER" },
                    (_, false) => "yes",
                }
            }
            td .amount { (show_seconds(row.cost.sync_s)) }
            td .amount { (show_bytes(row.cost.bytes)) }
        }
    }
}

fn rest(others: &[Row<'_>]) -> Markup {
    let Some(most) = others.iter().map(|row| row.cost).reduce(|a, b| MachineEstimate {
        downtime_s: a.downtime_s.max(b.downtime_s),
        sync_s: a.sync_s.max(b.sync_s),
        bytes: a.bytes.max(b.bytes),
        down_from_s: a.down_from_s.or(b.down_from_s),
    }) else {
        return html! {};
    };
    let machines: usize = others.iter().map(|row| row.machines.len()).sum();
    let over: usize = others.iter().filter(|row| row.is_over()).map(|row| row.machines.len()).sum();
    html! {
        tr {
            th scope="row" { (machines) " others, each at most" }
            td .amount { (show_seconds(most.downtime_s)) } td .amount { "-" }
            td { @if over > 0 { strong .danger { (over) " OVER" } } @else { "yes, where one is set" } }
            td .amount { (show_seconds(most.sync_s)) } td .amount { (show_bytes(most.bytes)) }
        }
    }
}
