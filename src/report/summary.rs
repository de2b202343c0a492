//! The end of a run: how it came out, per machine what happened, what failed, what to type next.

use serde::{Deserialize, Serialize};

use crate::base::units::show_seconds;
use crate::base::{MachineName, Timestamp};
use crate::plan::facts::Facts;
use crate::render::style::{Ink, Style};
use crate::render::table::Table;
use crate::report::clock::seconds_between;
use crate::report::line::ended_words;
use crate::report::standing::standings;
use crate::report::status::{commands, failures, machines, next_commands, open};
use crate::report::{Seen, given_up, split};

/// What was measured of one machine from outside: its clients' own count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The machine.
    pub machine: MachineName,
    /// Transactions acknowledged to clients.
    pub acknowledged: u64,
    /// Of those, how many its disks do not hold.
    pub lost: u64,
    /// The run's own way back gave up what this machine wrote where it had been started.
    pub gave_up: bool,
    /// From the last acknowledgement on one side to the first on the other, seconds.
    pub downtime_s: Option<f64>,
}

/// The summary of a run that its process just left; `observed`: of its machines, just now. Ends with a line
/// break.
pub fn summary(seen: &Seen<'_>, observed: Option<&Facts>, now: Timestamp, style: Style) -> String {
    let (ink, words) = match seen.state.outcome {
        Some(outcome) => ended_words(outcome, seen),
        None => (Ink::Danger, "did not end in order; it can be resumed"),
    };
    let took = seen.state.started_at.map_or(0.0, |from| seconds_between(from, now));
    let words = style.paint(ink, words);
    let mut page = format!("\nRun {}, after {}: {words}\n", seen.run, show_seconds(took));
    let all = standings(seen, observed, now);
    if !all.is_empty() {
        page.push_str(&machines(&all, style));
    }
    page.push_str(&split::section(&all, open(seen), style));
    page.push_str(&given_up::section(seen, style));
    page.push_str(&failures(seen, style));
    page.push_str(&next_commands(&commands(seen, observed, false), style));
    page
}

/// What was measured, as a table. Ends with a line break.
pub fn measured(rows: &[Measured], style: Style) -> String {
    let cells = |row: &Measured| {
        let downtime = row.downtime_s.map_or("-".to_owned(), show_seconds);
        let (acknowledged, lost) = (row.acknowledged.to_string(), row.lost.to_string());
        vec![row.machine.to_string(), acknowledged, lost, downtime]
    };
    let table = Table {
        header: vec!["machine", "transactions acknowledged", "lost", "downtime"],
        rows: rows.iter().map(cells).collect(),
        amounts: &[1, 2, 3],
    };
    let lost = |gave_up: bool| -> u64 {
        rows.iter().filter(|row| row.gave_up == gave_up).map(|row| row.lost).sum()
    };
    let verdict = match (lost(false), lost(true)) {
        (0, 0) => style.paint(Ink::Good, "no acknowledged transaction was lost"),
        (0, given) => {
            let text = format!("{given} transactions were given up on a way back (H016), no other");
            style.paint(Ink::Warn, &text)
        }
        (lost, 0) => {
            style.paint(Ink::Danger, &format!("{lost} acknowledged transactions were LOST"))
        }
        (lost, given) => {
            let text = format!(
                "{lost} acknowledged transactions were LOST, and {given} given up on a way back (H016)"
            );
            style.paint(Ink::Danger, &text)
        }
    };
    format!("{} {verdict}\n", table.text(style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_ends_with_a_verdict() {
        let row = |name: &str, lost| Measured {
            machine: MachineName::new(name).unwrap(),
            acknowledged: 4711,
            lost,
            gave_up: false,
            downtime_s: Some(3.2),
        };
        let good = measured(&[row("db-01", 0), row("web-01", 0)], Style::PLAIN);
        assert!(good.ends_with("no acknowledged transaction was lost\n"), "{good}");
        insta::assert_snapshot!(good);
        let mut back = row("db-01", 2);
        back.gave_up = true;
        let back = measured(&[back.clone(), row("web-01", 0)], Style::PLAIN);
        assert!(back.ends_with("2 transactions were given up on a way back (H016), no other\n"));
        let bad = measured(&[row("db-01", 2)], Style::PLAIN);
        assert!(bad.ends_with("2 acknowledged transactions were LOST\n"), "{bad}");
    }
}
