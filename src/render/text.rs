//! The dry run as text: a first page to decide by, then every step.

use crate::render::Review;
use crate::render::style::Style;
use crate::render::{first_page, steps, timeline};

/// How the steps are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Gate after gate, and below that machine after machine.
    Wave,
    /// Machine after machine.
    Machine,
    /// By when they begin, as far as estimates tell.
    Timeline,
}

/// The whole review, readable at the style's width. Ends with a line break.
pub fn text(review: &Review<'_>, by: By, style: Style) -> String {
    let steps = match by {
        By::Wave => steps::by_wave,
        By::Machine => steps::by_machine,
        By::Timeline => timeline::timeline,
    };
    first_page::first_page(review, style) + steps(review, style).as_str()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::base::MachineName;
    use crate::diagnostic::Diagnostic;
    use crate::plan::estimate::StepEstimate;
    use crate::plan::expr::Expr;
    use crate::plan::graph::index;
    use crate::plan::scope::{Acknowledgement, ScopeIx, ScopeKind};
    use crate::plan::step::Step;
    use crate::render::tests::{Sample, many};
    use crate::source::Span;

    fn shown(sample: &Sample) -> String {
        let page = text(&sample.review(), By::Wave, Style::PLAIN);
        let wide: Vec<&str> = page.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, Vec::<&str>::new(), "80 columns");
        page
    }

    #[test]
    fn one_machine() {
        insta::assert_snapshot!(shown(&Sample::failback(&["web-01"])));
    }

    #[test]
    fn three_machines_of_which_one_takes_too_long() {
        let mut sample = Sample::failback(&["db-01", "web-01", "web-02"]);
        let db = MachineName::new("db-01").unwrap();
        sample.estimates.machines.get_mut(&db).unwrap().downtime_s = 95.0;
        sample.warnings.push(Diagnostic {
            code: "H005".into(),
            severity: crate::diagnostic::Severity::Warning,
            message: "commit follows no check of db-01".into(),
            help: Some("put `check(m)` before it".into()),
            at: Some(sample.plan.steps[0].origin.at.clone()),
            related: Vec::new(),
        });
        insta::assert_snapshot!(shown(&sample));
    }

    /// Two machines that each try, go back where it fails, and are cleaned up; a condition; limits.
    fn guarded() -> Sample {
        let mut sample = Sample::failback(&["web-01", "web-02"]);
        sample.plan.scopes[0].rules.no_shutdown_after = Some("Sun 04:00 Europe/Berlin".into());
        sample.plan.scopes[0].rules.at_most = Some(4);
        for first in [5, 9] {
            let of = sample.scope(
                ScopeKind::Attempt { all: false, then_continue: false },
                first,
                first + 2,
            );
            sample.scope(ScopeKind::Handler { of }, first + 2, first + 3);
            sample.scope(ScopeKind::Always { of }, first + 3, first + 4);
            let rules = &mut sample.plan.scopes[of.at()].rules;
            rules.deadline_ms = Some(18_000_000);
            let undoes = index(first + 1);
            sample.plan.steps[first + 2].undoes = Some(undoes);
        }
        for (at, machine) in [(14, "web-01"), (16, "web-02")] {
            let cond = json!({ "of": format!("{machine}.check.1"), "output": "ok" });
            let cond: Arc<Expr> = Arc::new(serde_json::from_value(cond).unwrap());
            sample.scope(ScopeKind::When { cond: cond.clone(), is: true }, at, at + 1);
            sample.scope(ScopeKind::When { cond, is: false }, at + 1, at + 2);
        }
        sample.scope(ScopeKind::Group { name: "copies".into() }, 0, 2);
        sample.plan.acknowledged.push(Acknowledgement {
            code: "H016".into(),
            reason: "the shop is closed on Sundays".into(),
            scope: ScopeIx::PLAN,
            at: Span::point("failback.rhai".into(), 3, 1),
        });
        let deferred =
            json!({ "deferred": { "of": "web-01.transfer_delta.1", "output": "bytes_sent" } });
        let gate = &mut sample.plan.steps[4];
        gate.args = json!({
            "message": { "text": ["Go on after ", deferred, " bytes?"] }, "on_timeout": "go_on",
        })
        .into();
        sample
    }

    #[test]
    fn attempts_conditions_and_limits_are_told() {
        let mut sample = guarded();
        let page = shown(&sample);
        insta::assert_snapshot!(page);
        sample.plan.acknowledged.clear();
        assert_ne!(shown(&sample), page);
    }

    #[test]
    fn three_hundred_machines_are_summarised() {
        let names = many(300);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut sample = Sample::failback(&names);
        // Sentences that differ in their details must not bring three hundred lines back.
        for (at, sentence) in sample.sentences.iter_mut().enumerate() {
            *sentence = sentence.replace("64.0 MiB", &format!("{at} MiB"));
        }
        let page = shown(&sample);
        assert!(page.lines().count() < 90, "{} lines", page.lines().count());
        insta::assert_snapshot!(page);
    }

    /// Machines that each begin a second after the one before.
    fn staggered(machines: usize) -> Sample {
        let names = many(machines);
        let mut sample = Sample::failback(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut at = std::collections::BTreeMap::new();
        for step in &sample.plan.steps {
            let start_s: &mut f64 = at.entry(&step.machine).or_insert(at_first(step));
            let estimate =
                StepEstimate { start_s: Some(*start_s), seconds: 5.0, ..StepEstimate::default() };
            *start_s += 5.0;
            sample.estimates.steps.push(estimate);
        }
        sample
    }

    fn at_first(step: &Step) -> f64 {
        let name = step.machine.as_ref().map_or("0", |machine| &machine.as_str()["web-".len()..]);
        name.parse().unwrap()
    }

    #[test]
    fn the_same_steps_by_machine_and_by_time() {
        let sample = staggered(300);
        for by in [By::Machine, By::Timeline] {
            let page = text(&sample.review(), by, Style::PLAIN);
            assert!(page.lines().all(|line| line.chars().count() <= 80), "80 columns");
            let steps = page.find("By machine").or(page.find("Timeline")).unwrap();
            insta::assert_snapshot!(format!("{by:?}"), &page[steps..]);
        }
    }

    #[test]
    fn in_full_every_machine_and_step_has_its_line() {
        let sample = staggered(300);
        for by in [By::Wave, By::Machine, By::Timeline] {
            let page = text(&sample.review().in_full(true), by, Style::PLAIN);
            let lines = |part: &str| page.lines().filter(|line| line.contains(part)).count();
            // Each machine's own line, and the table's.
            assert!(lines("web-237") >= 2, "{by:?}");
            assert!(lines("start_onprem_vm.1") >= 300, "{by:?}");
            assert_eq!(lines(" more"), 0, "{by:?}");
        }
    }

    #[test]
    fn colour_changes_no_letter() {
        let sample = Sample::failback(&["db-01", "web-01"]);
        let inked = text(&sample.review(), By::Wave, Style { colour: true, width: 80 });
        assert_ne!(inked, shown(&sample));
        assert_eq!(anstyle_free(&inked), shown(&sample));
    }

    fn anstyle_free(text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |out, part| out + part.split_once('m').map_or("", |(_, rest)| rest))
    }
}
