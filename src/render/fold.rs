//! Many names in few words: `web-{01..40}`, as the inventory writes them.

/// Most parts of a list before the rest is only counted.
const PARTS_MAX: usize = 8;
/// Runs of numbers shorter than this are written out.
const RUN_MIN: usize = 3;

/// All of `names` (sorted), runs of numbers folded, nothing left out: for paper that must be complete.
pub fn every<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<String> =
        runs(names).iter().flat_map(Run::parts).map(|(part, _)| part).collect();
    parts.join(", ")
}

/// `names` (sorted) as a short list: runs of numbers folded, at most eight parts, the rest counted.
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<(String, usize)> = runs(names).iter().flat_map(Run::parts).collect();
    let shown: Vec<&str> = parts.iter().take(PARTS_MAX).map(|(part, _)| part.as_str()).collect();
    let hidden: usize = parts.iter().skip(PARTS_MAX).map(|(_, count)| count).sum();
    match hidden {
        0 => shown.join(", "),
        _ => format!("{} and {hidden} more", shown.join(", ")),
    }
}

fn runs<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for name in names {
        match runs.last_mut() {
            Some(run) if run.takes(name) => run.names.push(name),
            _ => runs.push(Run { names: vec![name] }),
        }
    }
    runs
}

/// The same with the count before it where there are many: `40: web-{01..40}`.
pub fn counted(all: &[&str]) -> String {
    match all {
        [] => "none".to_owned(),
        [only] => (*only).to_owned(),
        _ => format!("{}: {}", all.len(), names(all.iter().copied())),
    }
}

/// `3 steps`, `1 step`.
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Names that count up one by one.
struct Run<'a> {
    names: Vec<&'a str>,
}

impl<'a> Run<'a> {
    fn takes(&self, name: &str) -> bool {
        let last = self.names.last().and_then(|last| numbered(last));
        matches!((last, numbered(name)), (Some((stem, digits)), Some((stem_2, digits_2)))
            if stem == stem_2 && digits.len() == digits_2.len()
                && digits.parse::<u64>().is_ok_and(|n| digits_2.parse() == Ok(n + 1)))
    }

    /// Each part with how many names it stands for.
    fn parts(&self) -> Vec<(String, usize)> {
        let ends = (
            self.names.first().and_then(|n| numbered(n)),
            self.names.last().and_then(|n| numbered(n)),
        );
        match ends {
            (Some((stem, first)), Some((_, last))) if self.names.len() >= RUN_MIN => {
                vec![(format!("{stem}{{{first}..{last}}}"), self.names.len())]
            }
            _ => self.names.iter().map(|name| ((*name).to_owned(), 1)).collect(),
        }
    }
}

fn numbered(name: &str) -> Option<(&str, &str)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.len() < name.len()).then(|| name.split_at(stem.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_fold_and_strangers_stay() {
        let web: Vec<String> = (1..=40).map(|n| format!("web-{n:02}")).collect();
        let all = ["db-01", "db-02"].into_iter().chain(web.iter().map(String::as_str));
        assert_eq!(names(all), "db-01, db-02, web-{01..40}");
        assert_eq!(names(["a-9", "a-10", "a-11"]), "a-9, a-10, a-11");
        assert_eq!(counted(&["x"]), "x");
        assert_eq!(counted(&["x", "y"]), "2: x, y");
    }

    #[test]
    fn a_long_list_ends_with_a_count() {
        let odd: Vec<String> = (0..40).map(|n| format!("m-{:02}", n * 2)).collect();
        let shown = names(odd.iter().map(String::as_str));
        assert_eq!(shown, "m-00, m-02, m-04, m-06, m-08, m-10, m-12, m-14 and 32 more");
    }
}
