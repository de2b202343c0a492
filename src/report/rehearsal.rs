//! What rehearsals came to, for a person.

use crate::base::MachineName;
use crate::base::units::show_seconds;
use crate::rehearse::{Broken, Report};
use crate::render::style::{Ink, Style};
use crate::render::table::Table;

/// Seeds that are named of one outcome.
const SEEDS_SHOWN: usize = 6;

/// The page; `again` is the command that plays one seed again, without its number. Ends with a line break.
pub fn page(report: &Report, again: &str, style: Style) -> String {
    let Report { runs, faults, deaths, .. } = report;
    let mut page = format!(
        "Rehearsed {runs} times. Sites failed {faults} times, the process died {deaths} times.\n\n"
    );
    page.push_str(&outcomes(report, style));
    page.push('\n');
    page.push_str(&times(report, style));
    if let Some((seed, machine, seconds)) = &report.worst {
        let worst = show_seconds(*seconds);
        page.push_str(&style.fill(
            "",
            "",
            &format!("\nThe worst: seed {seed}, {machine} runs nowhere for {worst}. Waits of people between two processes count.\n"),
        ));
    }
    page.push('\n');
    page.push_str(&promises(&report.broken, again, style));
    if !report.gives_up.is_empty() {
        let names: Vec<&str> = report.gives_up.iter().map(MachineName::as_str).collect();
        page.push_str(&format!(
            "Given up by the plan, and not counted: {}. What the lost side wrote last is lost,\nand whether it still runs nobody can rehearse.\n",
            names.join(", ")
        ));
    }
    page
}

fn outcomes(report: &Report, style: Style) -> String {
    let row = |(outcome, seeds): (&String, &Vec<u64>)| {
        let named = seeds.iter().take(SEEDS_SHOWN).map(u64::to_string).collect::<Vec<_>>();
        let more = if seeds.len() > SEEDS_SHOWN { ", .." } else { "" };
        vec![outcome.clone(), seeds.len().to_string(), named.join(", ") + more]
    };
    let table = Table {
        header: vec!["outcome", "times", "seeds"],
        rows: report.outcomes.iter().map(row).collect(),
        amounts: &[1],
    };
    table.text(style)
}

fn times(report: &Report, style: Style) -> String {
    let row = |what: String, sorted: &[f64]| {
        let [half, most] = [0.5, 0.95].map(|part| percentile(sorted, part));
        let last = sorted.last().copied().unwrap_or_default();
        vec![what, show_seconds(half), show_seconds(most), show_seconds(last)]
    };
    let mut rows = vec![row("the whole run".to_owned(), &report.took_s)];
    let mut machines: Vec<_> = report.downtimes_s.iter().collect();
    machines.sort_by(|a, b| percentile(b.1, 0.95).total_cmp(&percentile(a.1, 0.95)));
    let more = machines.len().saturating_sub(MACHINES_SHOWN);
    machines.truncate(MACHINES_SHOWN);
    rows.extend(machines.iter().map(|(name, all)| row(format!("{name} is down"), all)));
    let header = vec!["", "half no longer", "95 of 100", "longest"];
    let text = Table { header, rows, amounts: &[1, 2, 3] }.text(style);
    if more == 0 { text } else { format!("{text} and {more} machines that are down for less\n") }
}

/// Machines that are listed, the longest downtimes first.
const MACHINES_SHOWN: usize = 20;

/// Of sorted values, the one that this part of them does not exceed.
fn percentile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let at = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

fn promises(broken: &[Broken], again: &str, style: Style) -> String {
    if broken.is_empty() {
        let kept = style.paint(Ink::Good, "No promise was broken");
        return format!(
            "{kept}: nothing acknowledged was lost, no machine was split in two or booted\ndirty, nothing was done twice, and every outcome said where the machines are.\n"
        );
    }
    let mut text =
        style.paint(Ink::Danger, &format!("PROMISES WERE BROKEN with {} seeds\n", broken.len()));
    for Broken { seed, promises, troubles } in broken {
        text.push_str(&format!("\nseed {seed}\n"));
        let lines = promises.iter().map(|one| ("  broken: ", one));
        for (label, line) in lines.chain(troubles.iter().map(|one| ("  when    ", one))) {
            text.push_str(&(style.fill(label, "          ", line) + "\n"));
        }
        text.push_str(&format!("  again   {again} --runs 1 --seed {seed}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!([0.5, 0.95, 1.0].map(|part| percentile(&ten, part)), [5.0, 10.0, 10.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7.0], 0.05), 7.0);
    }

    #[test]
    fn a_broken_promise_is_told_with_what_breaks_it_and_how_to_see_it_again() {
        let broken = Broken {
            seed: 17,
            promises: vec!["web-01: split in two, both sides run".into()],
            troubles: vec!["start of web-01 at dc1: done, and the answer was lost".into()],
        };
        let report = Report {
            runs: 1,
            outcomes: [("succeeded".to_owned(), (1..9).collect())].into(),
            took_s: vec![60.0],
            downtimes_s: [(MachineName::new("web-01").unwrap(), vec![12.0])].into(),
            broken: vec![broken],
            ..Report::default()
        };
        insta::assert_snapshot!(page(&report, "homing rehearse a.rhai", Style::PLAIN));
    }
}
