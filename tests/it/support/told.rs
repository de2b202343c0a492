//! What an operator was told, without what differs from run to run.

use crate::support::{Ground, Said};

impl Ground {
    /// Calls the binary on a terminal that is wide enough to break no line.
    pub fn wide(&self, args: &[&str]) -> Said {
        self.homing_with(args, &[("COLUMNS", "400".into())])
    }
}

/// The lines of `text` that matter to somebody who is called at night: what failed, and the summary as far as
/// what to type next. Times, amounts and the ids of runs and snapshots are blanked.
pub fn told(text: &str) -> String {
    let mut kept = String::new();
    let mut is_kept = false;
    for line in text.lines() {
        let marked = |mark: &str| line.get(9..).is_some_and(|rest| rest.starts_with(mark));
        if line.starts_with("Journal head") {
            is_kept = false;
        } else if !line.starts_with(' ') {
            let is_event = line.get(..9).is_some_and(|time| is_time(time.trim_end()));
            let is_trouble = ["FAILED", "HELD"].iter().any(|mark| marked(mark));
            let is_page = ["Run ", "Machines", "Failures", "Next", "homing: "];
            is_kept = is_trouble || !is_event && is_page.iter().any(|page| line.starts_with(page));
        }
        if is_kept && !line.trim().is_empty() {
            // Which of a transfer's threads comes first to a fault, and where, is luck.
            let line = line.replace(" byte 0:", " byte 0000:");
            let words: Vec<String> = line.split_whitespace().map(blanked).collect();
            let deep = if line.starts_with(' ') { "  " } else { "" };
            kept.push_str(&format!("{deep}{}\n", words.join(" ")));
        }
    }
    kept
}

fn is_time(word: &str) -> bool {
    let shape: String =
        word.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape == "00:00:00"
}

fn blanked(word: &str) -> String {
    let bare = word.trim_end_matches([':', ',', ')']);
    let rest = &word[bare.len()..];
    let is_amount = |bare: &str| bare.len() > 3 && bare.bytes().all(|b| b.is_ascii_digit());
    let is_seconds = bare.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok());
    let is_id = bare.len() == 26 && bare.bytes().all(|b| b.is_ascii_alphanumeric());
    let blank = match bare {
        bare if is_time(bare) => "TIME",
        _ if is_seconds => "0s",
        bare if is_amount(bare) => "N",
        _ if is_id => "ID",
        _ => return without_run(word),
    };
    format!("{blank}{rest}")
}

/// `r1122-k3v9pt`, wherever in the word.
fn without_run(word: &str) -> String {
    const LENGTH: usize = 12;
    let is_run = |part: &str| {
        let bytes = part.as_bytes();
        bytes[0] == b'r' && bytes[1..5].iter().all(u8::is_ascii_digit) && bytes[5] == b'-'
    };
    let starts = (0..word.len().saturating_sub(LENGTH - 1)).filter(|at| word.is_char_boundary(*at));
    let mut runs = starts.filter(|at| word.get(*at..at + LENGTH).is_some_and(is_run));
    match runs.next() {
        Some(at) => format!("{}RUN{}", &word[..at], without_run(&word[at + LENGTH..])),
        None => word.to_owned(),
    }
}
