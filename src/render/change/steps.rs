//! Steps that were added, removed, moved, or are done another way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::base::MachineName;
use crate::plan::step::StepIx;
use crate::render::change::Edition;
use crate::render::change::entries::{Change, Kind, Told};
use crate::render::change::ids::{Naming, Words, by_hand, nameless_id};

/// Which step of the new plan is which of the old one, and back.
#[derive(Default)]
pub(super) struct Same<'a> {
    pub to_new: HashMap<StepIx, StepIx>,
    pub to_old: HashMap<StepIx, StepIx>,
    /// The machines (`None`: no machine) of which steps were added, removed or moved.
    pub touched: BTreeSet<Option<&'a MachineName>>,
    /// Pairs that are worth a second look, as they were and are.
    close: Vec<(StepIx, StepIx)>,
}

impl Same<'_> {
    fn pair(&mut self, old: &Aligned, new: &Aligned) {
        self.to_new.insert(old.ix, new.ix);
        self.to_old.insert(new.ix, old.ix);
        if old.key != new.key || old.names_steps || new.names_steps || old.by_hand || new.by_hand {
            self.close.push((old.ix, new.ix));
        }
    }
}

/// Differences of steps; and which are the same.
pub(super) fn steps<'a>(old: &Edition<'a>, new: &Edition<'a>) -> (Vec<Change>, Same<'a>) {
    let (was, is) = (Words::new(old.plan), Words::new(new.plan));
    let (old_chains, new_chains) = (chains(old, &was), chains(new, &is));
    let machines: BTreeSet<Option<&MachineName>> =
        old_chains.keys().chain(new_chains.keys()).copied().collect();
    let mut same = Same::default();
    let mut rests = Vec::new();
    for machine in machines {
        let before = old_chains.get(&machine).map_or(&[][..], Vec::as_slice);
        let after = new_chains.get(&machine).map_or(&[][..], Vec::as_slice);
        let rest = aligned(before, after, &mut same);
        if !rest.is_nothing() {
            same.touched.insert(machine);
            rests.push(rest);
        }
    }
    let mut told = Told::default();
    let compared = Compared { old, new, was, is };
    for (before, after) in &same.close {
        compared.differing(*before, *after, &same, &mut told);
    }
    rests.iter().for_each(|rest| compared.tell(rest, &mut told));
    (told.changes(), same)
}

/// One step as it is aligned: other steps in it are called by what they are, without their numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    primitive: &'static str,
    args: String,
    /// The scopes around it, outermost first, in words.
    within: String,
    /// The primitives of the steps that use what it puts out.
    users: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Aligned {
    ix: StepIx,
    key: Key,
    /// Its arguments or conditions name other steps.
    names_steps: bool,
    by_hand: bool,
}

type Chains<'a> = BTreeMap<Option<&'a MachineName>, Vec<Aligned>>;

fn chains<'a>(edition: &Edition<'a>, words: &Words<'_>) -> Chains<'a> {
    let mut chains: Chains<'a> = BTreeMap::new();
    let kind = |ix: StepIx| words.kind(ix);
    for (ix, step) in edition.plan.iter() {
        let key = Key {
            primitive: step.primitive,
            args: words.args(ix, &kind),
            within: words.within(ix, &kind),
            users: words.users(ix),
        };
        let (names_steps, by_hand) = (words.named(), by_hand(edition.plan, ix));
        let one = Aligned { ix, key, names_steps, by_hand };
        chains.entry(step.machine.as_ref()).or_default().push(one);
    }
    chains
}

/// What cannot be aligned of one machine's steps.
struct Rest {
    /// Places in the new plan.
    moved: Vec<StepIx>,
    gone: Vec<StepIx>,
    come: Vec<StepIx>,
}

impl Rest {
    fn is_nothing(&self) -> bool {
        self.moved.is_empty() && self.gone.is_empty() && self.come.is_empty()
    }
}

/// Pairs one machine's steps, in order.
fn aligned(old: &[Aligned], new: &[Aligned], same: &mut Same<'_>) -> Rest {
    let (mut gone, mut come): (Vec<&Aligned>, Vec<&Aligned>) = (Vec::new(), Vec::new());
    let keys = |all: &'_ [Aligned]| -> Vec<Key> { all.iter().map(|one| one.key.clone()).collect() };
    for op in capture_diff_slices(Algorithm::Myers, &keys(old), &keys(new)) {
        let (before, after) = (&old[op.old_range()], &new[op.new_range()]);
        if op.tag() == DiffTag::Equal {
            before.iter().zip(after).for_each(|(a, b)| same.pair(a, b));
            continue;
        }
        let mut removed: Vec<&Aligned> = before.iter().collect();
        for step in after {
            // In the same place, the same primitive: it is done another way now.
            match removed.iter().position(|other| other.key.primitive == step.key.primitive) {
                Some(at) => same.pair(removed.remove(at), step),
                None => come.push(step),
            }
        }
        gone.extend(removed);
    }
    let mut moved = Vec::new();
    come.retain(|step| {
        let Some(at) = gone.iter().position(|other| other.key == step.key) else { return true };
        same.pair(gone.remove(at), step);
        moved.push(step.ix);
        false
    });
    let places = |all: Vec<&Aligned>| all.into_iter().map(|one| one.ix).collect();
    Rest { moved, gone: places(gone), come: places(come) }
}

/// How a step is told, its other steps called by some name.
type Text = fn(&Words<'_>, StepIx, Naming<'_>) -> String;

/// What may differ of a step that both plans have.
const TEXTS: [(Kind, Text); 2] = [
    (Kind::StepChanged, |words, ix, name| words.args(ix, name)),
    (Kind::Condition, |words, ix, name| words.within(ix, name)),
];

/// Both plans with their words.
struct Compared<'e, 'a> {
    old: &'e Edition<'a>,
    new: &'e Edition<'a>,
    was: Words<'a>,
    is: Words<'a>,
}

impl Compared<'_, '_> {
    /// What differs of a step that both plans have.
    fn differing(&self, before: StepIx, after: StepIx, same: &Same<'_>, told: &mut Told) {
        let (old, new) = (self.old.plan.step(before), self.new.plan.step(after));
        let own_before = |ix: StepIx| self.was.own(ix);
        let own_after = |ix: StepIx| self.is.own(ix);
        // As the steps of the old plan are called now.
        let now = |ix: StepIx| match same.to_new.get(&ix) {
            Some(ix) => self.is.own(*ix),
            None => self.was.own(ix),
        };
        let tell = |change: Change, told: &mut Told| {
            let change = change.at(&new.origin.at);
            told.tell(change, new.machine.as_ref().map(MachineName::as_str), Some(&new.id));
        };
        for (kind, text) in TEXTS {
            let (translated, is) =
                (text(&self.was, before, &now), text(&self.is, after, &own_after));
            if translated == is {
                continue;
            }
            let was = text(&self.was, before, &own_before);
            let was = if was == is { translated } else { was };
            tell(Change::new(kind, new.primitive).from(was, is), told);
        }
        let named = by_hand(self.old.plan, before) || by_hand(self.new.plan, after);
        if named && old.id != new.id {
            let was = nameless_id(self.old.plan, &old.id, before);
            let is = nameless_id(self.new.plan, &new.id, after);
            tell(Change::new(Kind::StepRenamed, new.primitive).from(was, is), told);
        }
    }

    fn tell(&self, rest: &Rest, told: &mut Told) {
        let all = [
            (Kind::StepMoved, &rest.moved, self.new, &self.is),
            (Kind::StepRemoved, &rest.gone, self.old, &self.was),
            (Kind::StepAdded, &rest.come, self.new, &self.is),
        ];
        for (kind, places, edition, words) in all {
            for ix in places {
                let step = edition.plan.step(*ix);
                let shown = shown(words, *ix, step.primitive);
                let change = Change::new(kind, step.primitive).at(&step.origin.at);
                let change = match kind {
                    Kind::StepRemoved => change.removed(shown),
                    _ => change.added(shown),
                };
                let machine = step.machine.as_ref().map(MachineName::as_str);
                told.tell(change, machine, Some(&step.id));
            }
        }
    }
}

fn shown(words: &Words<'_>, ix: StepIx, primitive: &str) -> String {
    let own = |ix: StepIx| words.own(ix);
    let within = match words.within(ix, &own).as_str() {
        "" => String::new(),
        within => format!(" [{within}]"),
    };
    format!("{primitive} {}{within}", words.args(ix, &own)).trim_end().replace("  ", " ")
}
