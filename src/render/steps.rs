//! Every step, wave by wave. Machines that do exactly the same are shown once, with their names.

use foldhash::{HashMap, HashMapExt};

use crate::base::MachineName;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, Reversibility, StepIx};
use crate::render::Review;
use crate::render::first_page::place;
use crate::render::fold::counted;
use crate::render::style::{Ink, Style};
use crate::render::words;

/// More different sequences than this in one wave, and only the shape decides what is alike.
const GROUPS_MAX: usize = 12;
/// More waves than this are not shown.
const WAVES_MAX: usize = 200;
/// Scopes deeper than this are not indented any more.
const DEPTH_MAX: usize = 4;
/// What stands for a machine's own name in a sentence that many machines share.
pub const ANY_MACHINE: &str = "<machine>";

/// The steps of the plan, wave by wave.
pub fn by_wave(review: &Review<'_>, style: Style) -> String {
    let most = if review.full { usize::MAX } else { WAVES_MAX };
    let mut page = String::new();
    for (at, wave) in review.waves.iter().enumerate().take(most) {
        page.push_str(&style.heading(&format!("Wave {}", at + 1)));
        page.push_str(&listed(review, wave, style));
    }
    let hidden = review.waves.len().saturating_sub(most);
    if hidden > 0 {
        page.push_str(&format!("\n  and {hidden} more waves: `--full` lists them all\n"));
    }
    page
}

/// The steps of the plan, machine by machine from the first to the last; what belongs to no machine stands
/// where it comes.
pub fn by_machine(review: &Review<'_>, style: Style) -> String {
    let all: Vec<StepIx> = review.plan.iter().map(|(ix, _)| ix).collect();
    style.heading("By machine") + listed(review, &all, style).as_str()
}

fn listed(review: &Review<'_>, steps: &[StepIx], style: Style) -> String {
    let groups = groups(review, steps, if review.full { usize::MAX } else { GROUPS_MAX });
    groups.iter().map(|group| group.text(review, style)).collect()
}

/// Steps that one machine, or several alike, take in one wave; or steps without a machine.
pub struct Group<'a> {
    /// In the order written; none for a step without a machine.
    pub machines: Vec<&'a MachineName>,
    /// The steps of each machine, equally many; those of the first one are shown.
    pub chains: Vec<Vec<StepIx>>,
    /// The others' sentences may differ in their details.
    pub roughly: bool,
}

/// One machine's steps of a wave (or one step without a machine), in the order written.
type Chain<'a> = (Option<&'a MachineName>, Vec<StepIx>);

/// The groups of a wave. Where there are more than `groups_max` of machines that do exactly the same, only
/// the shape decides.
pub fn groups<'a>(review: &Review<'a>, wave: &[StepIx], groups_max: usize) -> Vec<Group<'a>> {
    let chains = chains(review, wave);
    if review.full {
        return chains.into_iter().map(alone).collect();
    }
    let exact = grouped(review, &chains, false);
    if exact.len() <= groups_max { exact } else { grouped(review, &chains, true) }
}

fn alone((machine, steps): Chain<'_>) -> Group<'_> {
    Group { machines: machine.into_iter().collect(), chains: vec![steps], roughly: false }
}

fn chains<'a>(review: &Review<'a>, wave: &[StepIx]) -> Vec<Chain<'a>> {
    let mut chains: Vec<Chain<'a>> = Vec::new();
    let mut places: HashMap<&MachineName, usize> = HashMap::new();
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
    let mut places: HashMap<Vec<String>, usize> = HashMap::new();
    for (machine, steps) in chains {
        let key = key_of(review, *machine, steps, roughly);
        let known = machine.and_then(|_| places.get(&key).copied());
        match (known, machine) {
            (Some(at), Some(machine)) => {
                groups[at].machines.push(machine);
                groups[at].chains.push(steps.clone());
            }
            _ => {
                places.insert(key, groups.len());
                groups.push(Group {
                    machines: machine.iter().copied().collect(),
                    chains: vec![steps.clone()],
                    roughly,
                });
            }
        }
    }
    groups
}

/// What stands below a machine's name: a line about a scope, or a step; and how deep.
pub enum Line {
    /// What a scope holds together.
    Scope(usize, String),
    /// A step.
    Step(usize, StepIx),
}

/// The steps of a chain with a line above each run of them that a scope holds together.
pub fn lines(review: &Review<'_>, steps: &[StepIx]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut shown: Vec<ScopeIx> = Vec::new();
    let mut gates: Vec<StepIx> = Vec::new();
    for (at, ix) in steps.iter().enumerate() {
        for gate in gates_before(review, *ix) {
            // What stands first behind a gate is seen to.
            if !gates.contains(&gate) && at > 0 {
                let text = format!("after gate `{}`:", review.plan.step(gate).id);
                lines.push(Line::Scope(0, text));
            }
            gates.push(gate);
        }
        let mut path: Vec<ScopeIx> = review
            .plan
            .outwards(review.plan.step(*ix).scope)
            .map(|(scope, _)| scope)
            .filter(|scope| *scope != ScopeIx::PLAN)
            .collect();
        path.reverse();
        let same = shown.iter().zip(&path).take_while(|(a, b)| a == b).count();
        for (depth, scope) in path.iter().enumerate().skip(same) {
            let after = shown.get(depth).copied().filter(|_| depth == same);
            lines.push(Line::Scope(depth, words::heading(review.plan, *scope, after)));
        }
        lines.push(Line::Step(path.len(), *ix));
        shown = path;
    }
    lines
}

/// The gates that a step waits for by itself.
fn gates_before(review: &Review<'_>, ix: StepIx) -> impl Iterator<Item = StepIx> {
    let is_gate = |before: &StepIx| {
        let before = review.plan.step(*before);
        before.kind == Kind::Gate && before.machine.is_none()
    };
    review.plan.step(ix).needs.iter().copied().filter(is_gate)
}

/// What makes two machines' chains alike for a reader.
fn key_of(
    review: &Review<'_>,
    machine: Option<&MachineName>,
    steps: &[StepIx],
    roughly: bool,
) -> Vec<String> {
    let key = |line: Line| match line {
        Line::Scope(depth, _) if roughly => format!("{depth}"),
        Line::Scope(depth, text) => format!("{depth} {}", nameless(&text, machine)),
        Line::Step(_, ix) => key(review, ix, roughly),
    };
    lines(review, steps).into_iter().map(key).collect()
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
    let tries = words::tries(step).unwrap_or_default();
    format!("{id} {place} {} {tries} {sentence}{}", step.optional, others_first(review, ix))
}

/// Most steps of other machines that one step is said to wait for.
const OTHERS_MAX: usize = 3;

/// The steps of other machines that this one waits for by itself: ` (after db-01.check.1)`. Gates and
/// barriers need no words: everything below them waits.
pub fn others_first(review: &Review<'_>, ix: StepIx) -> String {
    let step = review.plan.step(ix);
    let before = step.needs.iter().chain(&step.follows).map(|at| review.plan.step(*at));
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
    /// The steps that are shown: those of the first machine.
    pub fn steps(&self) -> &[StepIx] {
        &self.chains[0]
    }

    fn text(&self, review: &Review<'_>, style: Style) -> String {
        let mut page = String::new();
        if !self.machines.is_empty() {
            page.push_str(&format!("{}\n", self.title(style)));
        }
        for line in lines(review, self.steps()) {
            page.push_str(&match line {
                Line::Scope(depth, text) => self.scope(depth, &text, style),
                Line::Step(depth, ix) => self.step(review, depth, ix, style),
            });
        }
        page
    }

    /// The columns before a line: what belongs to no machine stands where machines' names do.
    fn margin(&self, depth: usize) -> String {
        let own = if self.machines.is_empty() { 2 } else { 4 };
        " ".repeat(own + 2 * depth.min(DEPTH_MAX))
    }

    fn scope(&self, depth: usize, text: &str, style: Style) -> String {
        let text = match self.machines.as_slice() {
            [first, _, ..] => nameless(text, Some(first)),
            _ => text.to_owned(),
        };
        let margin = self.margin(depth);
        let filled = style.fill(&margin, &format!("{margin}  "), &text);
        format!("{}\n", style.paint(Ink::Title, &filled))
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

    fn step(&self, review: &Review<'_>, depth: usize, ix: StepIx, style: Style) -> String {
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
        let tries = match step.kind {
            // How long a gate is open stands on the first page.
            Kind::Gate => None,
            _ => words::tries(step),
        };
        let tries = tries.map_or(String::new(), |tries| format!(" ({tries})"));
        let undoes = step.undoes.map(|ix| review.plan.step(ix).id.as_str());
        let undoes = undoes.map_or(String::new(), |id| format!("take {id} back if it was begun: "));
        let undoes = match self.machines.as_slice() {
            [_, _, ..] => nameless(&undoes, step.machine.as_ref()),
            _ => undoes,
        };
        let id = short_id(review, ix);
        let sentence = sentence.trim_end_matches('.');
        let text = format!(
            "{mark}{undoes}{sentence}{may}{tries}{} [{}]",
            others_first(review, ix),
            place(step)
        );
        let first = format!("{:<25} ", format!("{}{id}", self.margin(depth)));
        let rest = " ".repeat(26);
        let filled = style.fill(&first, &rest, &text);
        // Ink after filling: escape codes must not count as columns.
        filled.replacen(&id, &style.paint(ink, &id), 1) + "\n"
    }
}

/// A step's id below its machine's name: `snapshot.1`.
pub fn short_id(review: &Review<'_>, ix: StepIx) -> String {
    let step = review.plan.step(ix);
    let id = step.id.as_str();
    let below = step.machine.as_ref().and_then(|machine| id.strip_prefix(machine.as_str()));
    below.and_then(|rest| rest.strip_prefix('.')).unwrap_or(id).to_owned()
}

/// The sentence with the machine's own name taken out, so that sentences of many machines can be equal.
pub fn nameless(sentence: &str, machine: Option<&MachineName>) -> String {
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
