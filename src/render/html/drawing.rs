//! What drawings have in common: a number without needless digits, a text that fits its place, an axis of
//! time that counts in round steps.

/// Units of time, each a round number of seconds for the marks of an axis.
const STEPS_S: &[f64] = &[
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0,
];
/// Most marks of an axis.
const MARKS_MAX: f64 = 10.0;

/// A coordinate, to a tenth.
pub fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The text, cut where it has more than `chars_max` characters.
pub fn fitted(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}

/// The marks of an axis of time from 0 to `end_s`: where, and what is written there.
pub fn marks(end_s: f64) -> Vec<(f64, String)> {
    let fits = |step: &&f64| end_s / **step <= MARKS_MAX;
    let days = (end_s / 86400.0 / MARKS_MAX).ceil().max(1.0) * 86400.0;
    let step = STEPS_S.iter().find(fits).copied().unwrap_or(days);
    let mut marks = Vec::new();
    let mut at: f64 = 0.0;
    while at * step <= end_s {
        marks.push((at * step, mark(at * step, step)));
        at += 1.0;
    }
    marks
}

/// A moment in the unit that fits the distance of the marks.
fn mark(at_s: f64, step_s: f64) -> String {
    if at_s == 0.0 {
        return "0".to_owned();
    }
    match step_s {
        s if s < 1.0 => format!("{at_s:.1} s"),
        s if s < 60.0 => format!("{at_s:.0} s"),
        s if s < 3600.0 => format!("{:.0} min", at_s / 60.0),
        s if s < 86400.0 => format!("{:.0} h", at_s / 3600.0),
        _ => format!("{:.0} d", at_s / 86400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(end_s: f64) -> Vec<String> {
        marks(end_s).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn an_axis_counts_in_round_steps_of_a_fitting_unit() {
        assert_eq!(shown(0.0), ["0"]);
        assert_eq!(shown(0.35), ["0", "0.1 s", "0.2 s", "0.3 s"]);
        assert_eq!(shown(9.4).last().unwrap(), "9 s");
        assert_eq!(
            shown(80.0),
            ["0", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s", "70 s", "80 s"]
        );
        assert_eq!(shown(1000.0).last().unwrap(), "16 min");
        assert_eq!(shown(7.0 * 3600.0).last().unwrap(), "7 h");
        for end_s in [1.0, 61.0, 3601.0, 86401.0, 1e7, 1e9] {
            assert!((2..=11).contains(&marks(end_s).len()), "{end_s}: {:?}", marks(end_s));
        }
    }

    #[test]
    fn numbers_and_texts_are_as_short_as_they_can_be() {
        assert_eq!([1.0, 1.25, 0.04].map(px), ["1", "1.2", "0"]);
        assert_eq!(fitted("überlang", 4), "übe…");
        assert_eq!(fitted("kurz", 4), "kurz");
    }
}
