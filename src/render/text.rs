//! The dry run as text: a first page to decide by, then every step.

use crate::render::Review;
use crate::render::style::Style;
use crate::render::{first_page, steps};

/// The whole review, readable at the style's width. Ends with a line break.
pub fn text(review: &Review<'_>, style: Style) -> String {
    let mut page = first_page::first_page(review, style);
    page.push_str(&steps::steps(review, style));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MachineName;
    use crate::diagnostic::Diagnostic;
    use crate::render::tests::{Sample, many};

    fn shown(sample: &Sample) -> String {
        let page = text(&sample.review(), Style::PLAIN);
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

    #[test]
    fn colour_changes_no_letter() {
        let sample = Sample::failback(&["db-01", "web-01"]);
        let inked = text(&sample.review(), Style { colour: true, width: 80 });
        assert_ne!(inked, shown(&sample));
        assert_eq!(anstyle_free(&inked), shown(&sample));
    }

    fn anstyle_free(text: &str) -> String {
        let mut parts = text.split('\u{1b}');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |out, part| out + part.split_once('m').map_or("", |(_, rest)| rest))
    }
}
