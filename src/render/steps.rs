//! Every step, wave by wave. Machines that do exactly the same are shown once, with their names.

use std::collections::BTreeMap;

use crate::base::MachineName;
use crate::plan::step::{Reversibility, StepIx};
use crate::render::Review;
use crate::render::first_page::place;
use crate::render::fold::counted;
use crate::render::style::{Ink, Style};

/// More different sequences than this in one wave, and only the shape decides what is alike.
const GROUPS_MAX: usize = 12;
/// More waves than this are not shown.
const WAVES_MAX: usize = 200;
/// What stands for a machine's own name in a sentence that many machines share.
const ANY_MACHINE: &str = "<machine>";

/// The steps of the plan.
pub fn steps(review: &Review<'_>, style: Style) -> String {
    let waves = review.waves.iter().enumerate().take(WAVES_MAX);
    let mut page: String =
        waves.map(|(at, wave)| self::wave(review, at + 1, wave, style)).collect();
    let hidden = review.waves.len().saturating_sub(WAVES_MAX);
    if hidden > 0 {
        page.push_str(&format!(
            "\n  and {hidden} more waves: `homing plan --format json` has them\n"
        ));
    }
    page
}

fn wave(review: &Review<'_>, number: usize, wave: &[StepIx], style: Style) -> String {
    let mut page = style.heading(&format!("Wave {number}"));
    for group in groups(review, wave) {
        page.push_str(&group.text(review, style));
    }
    page
}

/// Steps that one machine, or several alike, take in one wave; or steps without a machine.
struct Group<'a> {
    machines: Vec<&'a MachineName>,
    /// The steps of the first machine.
    steps: Vec<StepIx>,
    /// The others' sentences may differ in their details.
    roughly: bool,
}

/// One machine's steps of a wave (or one step without a machine), in the order written.
type Chain<'a> = (Option<&'a MachineName>, Vec<StepIx>);

fn groups<'a>(review: &Review<'a>, wave: &[StepIx]) -> Vec<Group<'a>> {
    let chains = chains(review, wave);
    let exact = grouped(review, &chains, false);
    if exact.len() <= GROUPS_MAX { exact } else { grouped(review, &chains, true) }
}

fn chains<'a>(review: &Review<'a>, wave: &[StepIx]) -> Vec<Chain<'a>> {
    let mut chains: Vec<Chain<'a>> = Vec::new();
    let mut places: BTreeMap<&MachineName, usize> = BTreeMap::new();
    let mut sorted = wave.to_vec();
    sorted.sort_unstable();
    for ix in sorted {
        let machine = review.plan.step(ix).machine.as_ref();
        match machine.and_then(|machine| places.get(machine)) {
            Some(at) => chains[*at].1.push(ix),
            None => {
                if let Some(machine) = machine {
                    places.insert(machine, chains.len());
                }
                chains.push((machine, vec![ix]));
            }
        }
    }
    chains
}

fn grouped<'a>(review: &Review<'a>, chains: &[Chain<'a>], roughly: bool) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut places: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for (machine, steps) in chains {
        let key = steps.iter().map(|ix| key(review, *ix, roughly)).collect();
        let known = machine.and_then(|_| places.get(&key).copied());
        match (known, machine) {
            (Some(at), Some(machine)) => groups[at].machines.push(machine),
            _ => {
                places.insert(key, groups.len());
                groups.push(Group {
                    machines: machine.iter().copied().collect(),
                    steps: steps.clone(),
                    roughly,
                });
            }
        }
    }
    groups
}

/// What makes two steps alike for a reader.
fn key(review: &Review<'_>, ix: StepIx, roughly: bool) -> String {
    let step = review.plan.step(ix);
    let place = place(step);
    if roughly {
        return format!("{} {place}", step.primitive);
    }
    let sentence = nameless(review.sentence(ix), step.machine.as_ref());
    let id = short_id(review, ix);
    format!("{id} {place} {} {sentence}{}", step.optional, others_first(review, ix))
}

/// Most steps of other machines that one step is said to wait for.
const OTHERS_MAX: usize = 3;

/// The steps of other machines that this one waits for by itself: ` (after db-01.check.1)`. Gates and
/// barriers need no words: everything below them waits.
fn others_first(review: &Review<'_>, ix: StepIx) -> String {
    let step = review.plan.step(ix);
    let before = step.needs.iter().map(|at| review.plan.step(*at));
    let others = before.filter(|other| other.machine.is_some() && other.machine != step.machine);
    let ids: Vec<&str> = others.map(|other| other.id.as_str()).collect();
    let more = match ids.len().saturating_sub(OTHERS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match ids.as_slice() {
        _ if step.machine.is_none() => String::new(),
        [] => String::new(),
        ids => format!(" (after {}{more})", ids[..ids.len().min(OTHERS_MAX)].join(", ")),
    }
}

impl Group<'_> {
    fn text(&self, review: &Review<'_>, style: Style) -> String {
        let mut page = String::new();
        if !self.machines.is_empty() {
            page.push_str(&format!("{}\n", self.title(style)));
        }
        for ix in &self.steps {
            page.push_str(&self.step(review, *ix, style));
        }
        page
    }

    fn title(&self, style: Style) -> String {
        let names: Vec<&str> = self.machines.iter().map(|machine| machine.as_str()).collect();
        let like = match names.as_slice() {
            [first, _, ..] if self.roughly => format!(" (details are those of {first})"),
            _ => String::new(),
        };
        let title = style.fill("  ", "    ", &format!("{}{like}", counted(&names)));
        style.paint(Ink::Title, &title)
    }

    fn step(&self, review: &Review<'_>, ix: StepIx, style: Style) -> String {
        let step = review.plan.step(ix);
        let sentence = if self.machines.len() > 1 {
            nameless(review.sentence(ix), step.machine.as_ref())
        } else {
            review.sentence(ix).to_owned()
        };
        let (mark, ink) = match step.reversibility {
            Reversibility::Irreversible => ("IRREVERSIBLE: ", Ink::Danger),
            _ => ("", Ink::Command),
        };
        let may = if step.optional { " (may fail)" } else { "" };
        let id = short_id(review, ix);
        let sentence = sentence.trim_end_matches('.');
        let text = format!("{mark}{sentence}{may}{} [{}]", others_first(review, ix), place(step));
        // What belongs to no machine stands where machines' names do.
        let first =
            if step.machine.is_none() { format!("  {id:<23} ") } else { format!("    {id:<21} ") };
        let rest = " ".repeat(26);
        let filled = style.fill(&first, &rest, &text);
        // Ink after filling: escape codes must not count as columns.
        filled.replacen(&id, &style.paint(ink, &id), 1) + "\n"
    }
}

/// A step's id below its machine's name: `snapshot.1`.
fn short_id(review: &Review<'_>, ix: StepIx) -> String {
    let step = review.plan.step(ix);
    let id = step.id.as_str();
    let below = step.machine.as_ref().and_then(|machine| id.strip_prefix(machine.as_str()));
    below.and_then(|rest| rest.strip_prefix('.')).unwrap_or(id).to_owned()
}

/// The sentence with the machine's own name taken out, so that sentences of many machines can be equal.
fn nameless(sentence: &str, machine: Option<&MachineName>) -> String {
    let Some(machine) = machine else { return sentence.to_owned() };
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut out = String::new();
    let mut rest = sentence;
    while let Some(at) = rest.find(machine.as_str()) {
        let (head, tail) = (&rest[..at], &rest[at + machine.as_str().len()..]);
        let whole = !head.ends_with(part_of_name) && !tail.starts_with(part_of_name);
        out.push_str(head);
        out.push_str(if whole { ANY_MACHINE } else { machine.as_str() });
        rest = tail;
    }
    out + rest
}
