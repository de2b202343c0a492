//! The steps by when they begin: what goes on at once, what comes when. People's waits are left out.

use foldhash::{HashMap, HashMapExt};

use crate::base::MachineName;
use crate::base::units::show_seconds;
use crate::plan::step::{Reversibility, StepIx};
use crate::render::Review;
use crate::render::first_page::{fold_machines, place};
use crate::render::fold::count;
use crate::render::steps::{nameless, short_id};
use crate::render::style::{Ink, Style};

/// The column in which what happens begins.
const COLUMN: usize = 18;

/// What one machine does, or several do alike, from the first to begin to the last to end.
struct Span<'a> {
    start_s: f64,
    end_s: f64,
    machines: Vec<&'a MachineName>,
    /// The first of them.
    ix: StepIx,
    sentence: String,
    /// The others' sentences differ in their details.
    roughly: bool,
}

/// The section.
pub fn timeline(review: &Review<'_>, style: Style) -> String {
    let mut page = style.heading("Timeline (by the estimate; waits for people left out)");
    let (spans, left_out) = spans(review);
    for span in &spans {
        page.push_str(&span.text(review, style));
    }
    if left_out > 0 {
        let text =
            format!("  {} only if something fails, or on another branch", count(left_out, "step"));
        page.push_str(&(style.paint(Ink::Dim, &text) + "\n"));
    }
    page
}

/// More of them, and only what kind of step it is decides what is alike.
const SPANS_MAX: usize = 60;

/// By their beginning; and how many steps have none.
fn spans<'a>(review: &Review<'a>) -> (Vec<Span<'a>>, usize) {
    let exact = alike(review, false);
    if exact.0.len() <= SPANS_MAX || review.full { exact } else { alike(review, true) }
}

fn alike<'a>(review: &Review<'a>, roughly: bool) -> (Vec<Span<'a>>, usize) {
    let mut spans: Vec<Span<'a>> = Vec::new();
    let mut places: HashMap<(String, String, String), usize> = HashMap::new();
    let mut left_out = 0;
    for (ix, step) in review.plan.iter() {
        let estimate = review.estimates.steps.get(ix.at()).copied().unwrap_or_default();
        let Some(start_s) = estimate.start_s else {
            left_out += 1;
            continue;
        };
        let end_s = start_s + estimate.seconds;
        let sentence = nameless(review.sentence(ix), step.machine.as_ref());
        let details = if roughly { String::new() } else { sentence.clone() };
        let key = (short_id(review, ix), place(step), details);
        let known = places.get(&key).copied().filter(|_| step.machine.is_some() && !review.full);
        match known {
            Some(at) => {
                let span = &mut spans[at];
                span.start_s = span.start_s.min(start_s);
                span.end_s = span.end_s.max(end_s);
                span.machines.extend(&step.machine);
                span.roughly |= span.sentence != sentence;
            }
            None => {
                places.insert(key, spans.len());
                let machines = step.machine.iter().collect();
                let roughly = false;
                spans.push(Span { start_s, end_s, machines, ix, sentence, roughly });
            }
        }
    }
    spans.sort_by(|a, b| a.start_s.total_cmp(&b.start_s).then(a.ix.cmp(&b.ix)));
    (spans, left_out)
}

impl Span<'_> {
    fn text(&self, review: &Review<'_>, style: Style) -> String {
        let step = review.plan.step(self.ix);
        let (from, to) = (show_seconds(self.start_s), show_seconds(self.end_s));
        let when = if from == to { from } else { format!("{from} - {to}") };
        let id = short_id(review, self.ix);
        let of = match self.machines.as_slice() {
            [] => String::new(),
            some => format!(" of {}", fold_machines(some)),
        };
        let (mark, ink) = match step.reversibility {
            Reversibility::Irreversible => ("IRREVERSIBLE: ", Ink::Danger),
            _ => ("", Ink::Command),
        };
        let like = match self.machines.first() {
            Some(first) if self.roughly => format!(" (details are those of {first})"),
            _ => String::new(),
        };
        let text = format!("{id}{of}: {mark}{}{like} [{}]", self.sentence, place(step));
        let first = format!("{:<COLUMN$}", format!("  {when}"));
        let filled = style.fill(&format!("{first} "), &" ".repeat(COLUMN + 1), &text);
        filled.replacen(&id, &style.paint(ink, &id), 1) + "\n"
    }
}
