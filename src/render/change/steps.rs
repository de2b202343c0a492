//! Steps that were added, removed, moved, or are done another way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::base::{Json, MachineName};
use crate::plan::expr::described;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{StepIx, handle_from_json};
use crate::render::Review;
use crate::render::fold::counted;
use crate::render::steps::nameless;
use crate::render::words;

/// Which step of the new plan is which of the old one, and back.
#[derive(Default)]
pub(super) struct Same {
    pub to_new: HashMap<StepIx, StepIx>,
    pub to_old: HashMap<StepIx, StepIx>,
}

impl Same {
    fn pair(&mut self, old: StepIx, new: StepIx) {
        self.to_new.insert(old, new);
        self.to_old.insert(new, old);
    }
}

/// Lines that several machines may have in common; each is told once.
#[derive(Default)]
pub(super) struct Told<'a> {
    lines: Vec<(String, Vec<&'a str>)>,
    places: HashMap<String, usize>,
}

impl<'a> Told<'a> {
    /// A line about a machine, or about none.
    pub fn tell(&mut self, line: String, machine: Option<&'a MachineName>) {
        let at = *self.places.entry(line.clone()).or_insert_with(|| {
            self.lines.push((line, Vec::new()));
            self.lines.len() - 1
        });
        self.lines[at].1.extend(machine.map(MachineName::as_str));
    }

    /// Each with its machines.
    pub fn lines(self) -> impl Iterator<Item = String> {
        self.lines.into_iter().map(|(line, mut machines)| {
            machines.dedup();
            if machines.is_empty() { line } else { format!("{line} ({})", counted(&machines)) }
        })
    }
}

/// Differences of steps, machine by machine; and which are the same.
pub(super) fn steps(old: &Review<'_>, new: &Review<'_>) -> (Vec<String>, Same) {
    let (old_chains, new_chains) = (chains(old), chains(new));
    let machines: BTreeSet<Option<&MachineName>> =
        old_chains.keys().chain(new_chains.keys()).copied().collect();
    let mut told = Told::default();
    let mut same = Same::default();
    for machine in machines {
        let empty = Vec::new();
        let before = old_chains.get(&machine).unwrap_or(&empty);
        let after = new_chains.get(&machine).unwrap_or(&empty);
        for line in aligned(before, after, &mut same) {
            told.tell(line, machine);
        }
    }
    (told.lines().collect(), same)
}

/// One step as it is compared.
#[derive(Clone, Debug)]
struct Compared {
    ix: StepIx,
    primitive: &'static str,
    args: String,
    /// The scopes around it, outermost first, in words.
    within: String,
}

impl Compared {
    fn of(review: &Review<'_>, ix: StepIx) -> Compared {
        let step = review.plan.step(ix);
        let optional = step.optional.then(|| "may fail".to_owned());
        let own = args(&step.args.json());
        let own = (!own.is_empty()).then_some(own);
        let told = own.into_iter().chain(optional).chain(words::tries(step));
        let args = nameless(&told.collect::<Vec<_>>().join(", "), step.machine.as_ref());
        Compared { ix, primitive: step.primitive, args, within: within(review, ix) }
    }

    fn key(&self) -> (&'static str, &str, &str) {
        (self.primitive, &self.args, &self.within)
    }

    fn shown(&self) -> String {
        let within = match self.within.as_str() {
            "" => String::new(),
            within => format!(" [{within}]"),
        };
        format!("{} {}{within}", self.primitive, self.args).trim_end().replace("  ", " ")
    }
}

/// The scopes around a step that decide whether and how it is done. What they are called does not.
fn within(review: &Review<'_>, ix: StepIx) -> String {
    let plan = review.plan;
    let step = plan.step(ix);
    let around = plan.outwards(step.scope).filter(|(scope, _)| *scope != ScopeIx::PLAN);
    let mut words: Vec<String> =
        around.filter_map(|(scope, _)| words::matters(plan, scope)).collect();
    words.reverse();
    nameless(&words.join(" > "), step.machine.as_ref())
}

/// Arguments for a reader: `{"mode":"full"}` as `mode: "full"`. Handles are left out: the ids in them
/// hold ordinals, which shift.
fn args(args: &Json) -> String {
    let args = described(args);
    let Some(object) = args.as_object() else { return args.to_string() };
    let shown = object.iter().map(|(name, value)| match handle_from_json(value) {
        Some(_) => format!("{name}: a handle"),
        None => format!("{name}: {value}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn chains<'a>(review: &Review<'a>) -> BTreeMap<Option<&'a MachineName>, Vec<Compared>> {
    let mut chains: BTreeMap<_, Vec<Compared>> = BTreeMap::new();
    for (ix, step) in review.plan.iter() {
        chains.entry(step.machine.as_ref()).or_default().push(Compared::of(review, ix));
    }
    chains
}

/// The differences of one machine's steps, in order.
fn aligned(old: &[Compared], new: &[Compared], same: &mut Same) -> Vec<String> {
    let (mut gone, mut come): (Vec<&Compared>, Vec<&Compared>) = (Vec::new(), Vec::new());
    let mut lines = Vec::new();
    let keys = |all: &[Compared]| -> Vec<(&'static str, String, String)> {
        all.iter().map(|s| (s.primitive, s.args.clone(), s.within.clone())).collect()
    };
    for op in capture_diff_slices(Algorithm::Myers, &keys(old), &keys(new)) {
        let (before, after) = (&old[op.old_range()], &new[op.new_range()]);
        if op.tag() == DiffTag::Equal {
            before.iter().zip(after).for_each(|(a, b)| same.pair(a.ix, b.ix));
            continue;
        }
        let mut removed: Vec<&Compared> = before.iter().collect();
        for step in after {
            // In the same place, the same primitive: it is done another way now.
            match removed.iter().position(|other| other.primitive == step.primitive) {
                Some(at) => {
                    let other = removed.remove(at);
                    same.pair(other.ix, step.ix);
                    lines.extend(differing(other, step));
                }
                None => come.push(step),
            }
        }
        gone.extend(removed);
    }
    let mut moved = Vec::new();
    come.retain(|step| {
        let Some(at) = gone.iter().position(|other| other.key() == step.key()) else { return true };
        same.pair(gone.remove(at).ix, step.ix);
        moved.push(*step);
        false
    });
    lines.extend(moved.iter().map(|step| format!("> moved: {}", step.shown())));
    lines.extend(gone.iter().map(|step| format!("- {}", step.shown())));
    lines.extend(come.iter().map(|step| format!("+ {}", step.shown())));
    lines
}

fn differing(old: &Compared, new: &Compared) -> Vec<String> {
    let mut lines = Vec::new();
    let or = |text: &str, nothing: &str| if text.is_empty() { nothing } else { text }.to_owned();
    if old.args != new.args {
        let (before, after) = (or(&old.args, "no options"), or(&new.args, "no options"));
        lines.push(format!("~ {}: {before} -> {after}", new.primitive));
    }
    if old.within != new.within {
        let (before, after) = (or(&old.within, "always"), or(&new.within, "always"));
        lines.push(format!("~ {}: {before} -> {after}", new.primitive));
    }
    lines
}
