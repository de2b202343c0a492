//! Whether a run's records are what was written, and say what came of it.

use serde::Serialize;

use crate::base::RunId;
use crate::render::style::{Ink, Style};
use crate::run::outcome::Outcome;

/// An audit, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// The run.
    pub run: RunId,
    /// How many events it has.
    pub events: u64,
    /// The head to print and keep: `NUMBER:HASH`.
    pub head: String,
    /// How it stands by its events.
    pub outcome: Option<Outcome>,
    /// What was done to its records, or does not follow from them; empty: nothing.
    pub findings: Vec<String>,
}

/// For a person. Ends with a line break.
pub fn page(audit: &Audit, style: Style) -> String {
    let Audit { run, events, head, outcome, findings } = audit;
    let stands = outcome.map_or("is not over".to_owned(), |outcome| outcome.to_string());
    let mut page = format!("Run {run}: {events} events; by these it {stands}.\nHead {head}\n\n");
    if findings.is_empty() {
        let good = style.paint(Ink::Good, "Nothing was altered");
        page.push_str(&style.fill("", "", &format!("{good}: plan and events are what was written, in their order, and every outcome follows from them.")));
        page.push('\n');
        page.push_str(&style.fill("", "", &format!("Keep the head on paper: `homing audit {run} --head {head}` finds an end that was cut off together with the journal's own.")));
        page.push('\n');
        return page;
    }
    page.push_str(&style.paint(Ink::Danger, "THIS RUN WAS ALTERED\n"));
    for finding in findings {
        page.push_str(&(style.fill("  ", "  ", finding) + "\n"));
    }
    page.push_str(&style.fill("", "", "\nIt cannot be resumed. Restore the state folder from a copy that proves, or make a new plan from what is observed now."));
    page.push('\n');
    page
}

/// The head as it is printed: the number and the first digits, which are enough.
pub fn head(seq: u64, hash: &str) -> String {
    format!("{seq}:{}", hash.get(..16).unwrap_or(hash))
}
