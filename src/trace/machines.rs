//! Machines in scripts: one, a set of them, and what can be read of them. Every reading is recorded:
//! a plan rests on it.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]

use std::rc::Rc;

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use crate::base::{Json, MachineName, Side};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::facts::{FACTS, FactType, find_fact, with_duration};
use crate::plan::inventory::Term;
use crate::trace::literal;
use crate::trace::recorder::{Answer, Desk, Recorder, Unknown, stop};
use crate::trace::sources::Part;

/// A machine, as scripts hold it: its place in the inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vm(pub(super) u32);

/// A set of machines, by name. Not an array: it costs the same however often it is passed on.
#[derive(Clone, Debug)]
pub(super) struct Machines(pub(super) Rc<[u32]>);

/// `m.cloud`, `m.onprem`.
#[derive(Clone, Copy, Debug)]
struct SideOf(Vm, Side);

impl IntoIterator for Machines {
    type Item = Vm;
    type IntoIter = Box<dyn Iterator<Item = Vm>>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new((0..self.0.len()).map(move |at| Vm(self.0[at])))
    }
}

impl Machines {
    pub(super) fn new(mut places: Vec<u32>) -> Machines {
        places.sort_unstable();
        places.dedup();
        Machines(Rc::from(places))
    }

    pub(super) fn contains(&self, vm: Vm) -> bool {
        self.0.binary_search(&vm.0).is_ok()
    }
}

/// What the inventory says of a machine, beside [`FACTS`]: name, and what it is.
pub static PROPERTIES: &[(&str, &str)] = &[
    ("name", "its name"),
    ("needs", "the machines that must run before it starts, as a set"),
    ("rto", "longest downtime it may have, seconds; `()` when the inventory says nothing"),
    ("tags", "its tags, as a map of texts"),
];

/// Binds machines and their sets.
pub(super) fn bind(engine: &mut Engine) {
    engine
        .register_type_with_name::<Vm>("machine")
        .register_type_with_name::<Machines>("machines")
        .register_type_with_name::<SideOf>("side of a machine")
        .register_iterator::<Machines>()
        .register_fn("vm", |ctx: NativeCallContext<'_>, name: ImmutableString| vm(&ctx, &name))
        .register_fn("vms", |ctx: NativeCallContext<'_>| vms(&ctx, "", &Map::new()))
        .register_fn("vms", |ctx: NativeCallContext<'_>, terms: ImmutableString| {
            vms(&ctx, &terms, &Map::new())
        })
        .register_fn("vms", |ctx: NativeCallContext<'_>, terms: ImmutableString, o: Map| {
            vms(&ctx, &terms, &o)
        })
        .register_fn("machines", |set: Machines| set)
        .register_fn("machines", |vm: Vm| Machines::new(vec![vm.0]))
        .register_fn("machines", |ctx: NativeCallContext<'_>, list: Array| from_array(&ctx, list))
        .register_fn("len", |set: Machines| set.0.len() as i64)
        .register_fn("is_empty", |set: Machines| set.0.is_empty())
        .register_fn("contains", |set: Machines, vm: Vm| set.contains(vm))
        .register_fn("both", |a: Machines, b: Machines| both(&a, &b))
        .register_fn("chunks", chunks)
        .register_fn("without", without)
        .register_fn("needed_by", needed_by)
        .register_fn("levels", levels)
        .register_fn("switched", |ctx: NativeCallContext<'_>, vm: Vm| {
            Desk::of(&ctx).open().switched.contains(&vm.0)
        })
        .register_fn("==", |a: Vm, b: Vm| a == b)
        .register_fn("!=", |a: Vm, b: Vm| a != b)
        .register_fn("to_string", |ctx: NativeCallContext<'_>, vm: Vm| name_of(&ctx, vm))
        .register_fn("to_debug", |ctx: NativeCallContext<'_>, vm: Vm| name_of(&ctx, vm))
        .register_fn("+", |ctx: NativeCallContext<'_>, text: ImmutableString, vm: Vm| {
            text + name_of(&ctx, vm)
        })
        .register_fn("+", |ctx: NativeCallContext<'_>, vm: Vm, text: ImmutableString| {
            ImmutableString::from(name_of(&ctx, vm)) + text
        })
        .register_indexer_get(at)
        .register_indexer_get(|ctx: NativeCallContext<'_>, vm: &mut Vm, name: ImmutableString| {
            property(&ctx, *vm, &name)
        })
        .register_indexer_get(
            |ctx: NativeCallContext<'_>, s: &mut SideOf, name: ImmutableString| {
                property(&ctx, s.0, &format!("{}.{name}", s.1))
            },
        );
    for spec in FACTS.iter().filter(|spec| spec.takes_duration) {
        engine.register_fn(spec.name, |ctx: NativeCallContext<'_>, vm: Vm, d: ImmutableString| {
            timed(&ctx, vm, spec.name, &d)
        });
    }
}

/// The machine of this name.
fn vm(ctx: &NativeCallContext<'_>, name: &str) -> Dynamic {
    let desk = Desk::of(ctx);
    let mut recorder = desk.open();
    if let Some(place) = recorder.places.get(name).copied() {
        recorder.selected.insert(place);
        return Dynamic::from(Vm(place));
    }
    let known = recorder.names.iter().map(MachineName::as_str);
    let help = match (MachineName::new(name), did_you_mean(name, known)) {
        (_, Some(close)) => format!("did you mean `{close}`?"),
        (Err(invalid), None) => invalid.to_string(),
        (Ok(_), None) if recorder.names.is_empty() => "the inventory has no machines".to_owned(),
        (Ok(_), None) => format!("the inventory has {}", some_of(&recorder.names)),
    };
    let message = format!("there is no machine `{name}`");
    recorder.say(ctx, Part::Argument(0), Diagnostic::error("H110", message).help(help));
    Dynamic::from(Unknown)
}

/// A few of many names.
fn some_of(names: &[MachineName]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Every machine that has all of these tags.
fn vms(ctx: &NativeCallContext<'_>, text: &str, given: &Map) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let mut recorder = desk.open();
    let Some((side, allow_empty)) = selection_options(ctx, &mut recorder, given) else {
        return Ok(Dynamic::from(Unknown));
    };
    if recorder.is_late(ctx, Part::Argument(0), "a selection", &Dynamic::from(text.to_owned())) {
        return Ok(Dynamic::from(Unknown));
    }
    let terms = match Term::parse_all(text) {
        Ok(terms) => terms,
        Err(part) => {
            let message = format!("`{part}` selects nothing: it is no tag and value");
            let help =
                "write `tier=web`, or `tier=web, os!=windows`; an empty text is every machine";
            recorder.say(ctx, Part::Argument(0), Diagnostic::error("H111", message).help(help));
            return Ok(Dynamic::from(Unknown));
        }
    };
    let inventory = recorder.inventory.clone();
    let mut found: Vec<u32> = inventory.select(&terms).map(|name| recorder.places[name]).collect();
    let mut asked: Vec<String> = terms.iter().map(show_term).collect();
    recorder.selected.extend(&found);
    if let Some(side) = side {
        asked.push(format!("where={side}"));
        if !found.iter().all(|place| recorder.is_observed(*place)) {
            recorder.incomplete = true;
            return Err(stop(ctx.call_position()));
        }
        found.retain(|place| recorder.observed(*place, "where") == Some(Json::from(side.as_str())));
    }
    let names = found.iter().map(|place| Json::from(recorder.names[*place as usize].as_str()));
    let names = Json::Array(names.collect());
    recorder.selections.insert(asked.join(", "), names);
    if found.is_empty() && !allow_empty {
        let keys = inventory.tag_keys();
        let unknown = terms.iter().find(|term| !keys.contains(term.key.as_str()));
        let close = unknown.and_then(|term| did_you_mean(&term.key, keys.iter().copied()));
        let help = close.map_or_else(
            || "say `allow_empty: true` where no machine is an answer".to_owned(),
            |close| format!("did you mean the tag `{close}`?"),
        );
        let asked = if asked.is_empty() {
            "the inventory".to_owned()
        } else {
            format!("`{}`", asked.join(", "))
        };
        let message = format!("{asked} selects no machine");
        recorder.say(ctx, Part::Whole, Diagnostic::error("H112", message).help(help));
    }
    Ok(Dynamic::from(Machines::new(found)))
}

fn show_term(term: &Term) -> String {
    format!("{}{}{}", term.key, if term.negated { "!=" } else { "=" }, term.value)
}

fn selection_options(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    given: &Map,
) -> Option<(Option<String>, bool)> {
    let (mut side, mut allow_empty) = (None, false);
    for (key, value) in given {
        match (key.as_str(), literal::text(value)) {
            ("where", Some(text)) if ["cloud", "home"].contains(&text.as_str()) => {
                side = Some(text.to_string());
            }
            ("allow_empty", None) if value.as_bool().is_ok() => {
                allow_empty = value.as_bool() == Ok(true);
            }
            ("where" | "allow_empty", _) => {
                let message = format!("`{key}` of `vms` cannot be {}", literal::show(ctx, value));
                let help = "`where` is \"cloud\" or \"home\"; `allow_empty` is `true` or `false`";
                let mistake = Diagnostic::error("H117", message).help(help);
                recorder.say(ctx, Part::Value(key), mistake);
                return None;
            }
            _ => {
                let known = ["where", "allow_empty"];
                recorder.say(ctx, Part::Key(key), literal::unknown_option("vms", key, &known));
                return None;
            }
        }
    }
    Some((side, allow_empty))
}

fn from_array(ctx: &NativeCallContext<'_>, list: Array) -> Dynamic {
    let mut places = Vec::with_capacity(list.len());
    for item in list {
        match item.flatten().try_cast::<Vm>() {
            Some(vm) => places.push(vm.0),
            None => {
                let message = "a list of machines holds something else";
                let mistake = Diagnostic::error("H104", message)
                    .help("list machines: `[vm(\"a\"), vm(\"b\")]`");
                Desk::of(ctx).open().say(ctx, Part::Argument(0), mistake);
                return Dynamic::from(Unknown);
            }
        }
    }
    Dynamic::from(Machines::new(places))
}

fn at(ctx: NativeCallContext<'_>, set: &mut Machines, nth: i64) -> Dynamic {
    let length = set.0.len();
    let from_end = usize::try_from(nth.unsigned_abs()).ok().and_then(|n| length.checked_sub(n));
    let place = if nth < 0 { from_end } else { usize::try_from(nth).ok() };
    if let Some(found) = place.and_then(|place| set.0.get(place)) {
        return Dynamic::from(Vm(*found));
    }
    let message = format!("there is no machine {nth} in a set of {length}");
    let mistake = Diagnostic::error("H105", message).help("the first one is 0");
    Desk::of(&ctx).open().say(&ctx, Part::Whole, mistake);
    Dynamic::from(Unknown)
}

fn both(a: &Machines, b: &Machines) -> Machines {
    Machines::new(a.0.iter().copied().filter(|place| b.contains(Vm(*place))).collect())
}

/// A set cut into pieces of `size` machines, in order; the last one may be smaller.
fn chunks(ctx: NativeCallContext<'_>, set: Machines, size: i64) -> Answer<Array> {
    let Some(size) = usize::try_from(size).ok().filter(|size| *size > 0) else {
        let message = format!("a wave holds at least one machine, and this one {size}");
        let desk = Desk::of(&ctx);
        let mistake = Diagnostic::error("H105", message);
        return desk.open().refuse(&ctx, Part::Whole, mistake);
    };
    let pieces = set.0.chunks(size);
    Ok(pieces.map(|piece| Dynamic::from(Machines::new(piece.to_vec()))).collect())
}

/// Those of a set that are not in another.
fn without(set: Machines, others: Machines) -> Machines {
    Machines::new(set.0.iter().copied().filter(|place| !others.contains(Vm(*place))).collect())
}

/// Those of a set that need this machine.
fn needed_by(ctx: NativeCallContext<'_>, vm: Vm, among: Machines) -> Machines {
    let desk = Desk::of(&ctx);
    let recorder = desk.open();
    let all = recorder.needed_by[vm.0 as usize].iter().copied();
    Machines::new(all.filter(|place| among.contains(Vm(*place))).collect())
}

/// A set by depth: machines that need none of it, then those that need only these, and so on. Each
/// machine and each need is looked at once, however deep the set is.
fn levels(ctx: NativeCallContext<'_>, set: Machines) -> Answer<Array> {
    let desk = Desk::of(&ctx);
    let mut recorder = desk.open();
    // By place in the set.
    let mut missing = Vec::with_capacity(set.0.len());
    for place in set.0.iter() {
        recorder.noted.insert((*place, "needs"));
        let needed = recorder.entry(*place).needs.iter();
        let needed = needed.filter_map(|name| recorder.places.get(name));
        missing.push(needed.filter(|needed| set.contains(Vm(**needed))).count());
    }
    let mut levels = Array::new();
    let mut left = set.0.len();
    let mut ready: Vec<u32> =
        set.0.iter().zip(&missing).filter(|(_, missing)| **missing == 0).map(|at| *at.0).collect();
    while !ready.is_empty() {
        left -= ready.len();
        let mut next = Vec::new();
        for needing in ready.iter().flat_map(|place| &recorder.needed_by[*place as usize]) {
            if let Ok(at) = set.0.binary_search(needing) {
                missing[at] -= 1;
                if missing[at] == 0 {
                    next.push(*needing);
                }
            }
        }
        levels.push(Dynamic::from(Machines::new(ready)));
        ready = next;
    }
    if left > 0 {
        let circle = set.0.iter().zip(&missing).filter(|(_, missing)| **missing > 0);
        let names: Vec<MachineName> =
            circle.map(|(place, _)| recorder.names[*place as usize].clone()).collect();
        let message = format!("these machines need each other in a circle: {}", some_of(&names));
        let mistake = Diagnostic::error("H105", message)
            .help("take one of their `needs` out of the inventory");
        return recorder.refuse(&ctx, Part::Whole, mistake);
    }
    Ok(levels)
}

fn name_of(ctx: &NativeCallContext<'_>, vm: Vm) -> String {
    Desk::of(ctx).open().names[vm.0 as usize].as_str().to_owned()
}

/// `m.replica`, `m.cloud.power`, `m.tags`.
fn property(ctx: &NativeCallContext<'_>, vm: Vm, name: &str) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let mut recorder = desk.open();
    for side in [Side::Cloud, Side::Onprem] {
        if name == side.as_str() {
            return Ok(Dynamic::from(SideOf(vm, side)));
        }
    }
    if let Some(value) = recorder.inventory_value(vm, name) {
        return Ok(value);
    }
    match find_fact(name) {
        Some(spec) if !spec.takes_duration => read(ctx, &mut recorder, vm, name, spec.ty),
        Some(spec) => {
            let message = format!("`{name}` takes a duration");
            let help = format!("write `{}(\"30d\")`", spec.name);
            recorder.say(ctx, Part::Whole, Diagnostic::error("H113", message).help(help));
            Ok(Dynamic::from(Unknown))
        }
        None => {
            let known = FACTS.iter().map(|spec| spec.name).chain(PROPERTIES.iter().map(|p| p.0));
            let known: Vec<&str> = known.collect();
            let help = did_you_mean(name, known.iter().copied()).map_or_else(
                || format!("it has {}", known.join(", ")),
                |close| format!("did you mean `{close}`?"),
            );
            let message = format!("a machine has no `{name}`");
            recorder.say(ctx, Part::Whole, Diagnostic::error("H113", message).help(help));
            Ok(Dynamic::from(Unknown))
        }
    }
}

/// `m.away_over("30d")`. Recorded as the comparison, so that it does not change overnight.
fn timed(ctx: &NativeCallContext<'_>, vm: Vm, name: &str, duration: &str) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let mut recorder = desk.open();
    if let Err(invalid) = crate::base::units::parse_duration(duration) {
        let mistake = Diagnostic::error("H115", invalid.to_string());
        recorder.say(ctx, Part::Argument(1), mistake);
        return Ok(Dynamic::from(Unknown));
    }
    read(ctx, &mut recorder, vm, &with_duration(name, duration), FactType::Bool)
}

fn read(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    vm: Vm,
    fact: &str,
    ty: FactType,
) -> Answer<Dynamic> {
    let Some(value) = recorder.observed(vm.0, fact) else {
        recorder.incomplete = true;
        return Err(stop(ctx.call_position()));
    };
    let value = match ty {
        FactType::Bool => value.as_bool().map(Dynamic::from),
        FactType::Int => value.as_i64().map(Dynamic::from),
        FactType::Text => value.as_str().map(|text| Dynamic::from(text.to_owned())),
    };
    Ok(value.expect("BUG: a fact has the type that its table says"))
}

impl Recorder {
    fn is_observed(&self, place: u32) -> bool {
        self.facts.machines.contains_key(&self.names[place as usize])
    }

    /// The value of a fact, recorded as read.
    fn observed(&mut self, place: u32, fact: &str) -> Option<Json> {
        let value = self.facts.get(&self.names[place as usize], fact)?;
        self.read.insert((place, fact.to_owned()));
        Some(value)
    }

    pub(super) fn entry(&self, place: u32) -> &crate::plan::inventory::MachineEntry {
        &self.inventory.machines[&self.names[place as usize]]
    }

    /// One of [`PROPERTIES`].
    fn inventory_value(&mut self, vm: Vm, name: &str) -> Option<Dynamic> {
        let entry = self.entry(vm.0);
        match name {
            "name" => Some(self.names[vm.0 as usize].as_str().to_owned().into()),
            "needs" => {
                let needed = entry.needs.iter().filter_map(|name| self.places.get(name).copied());
                let needed = Machines::new(needed.collect());
                self.noted.insert((vm.0, "needs"));
                Some(Dynamic::from(needed))
            }
            "rto" => {
                let rto = entry.rto_s;
                self.noted.insert((vm.0, "rto"));
                Some(rto.map_or(Dynamic::UNIT, Dynamic::from))
            }
            "tags" => {
                let tags = entry.tags.clone();
                self.noted.insert((vm.0, "tags"));
                let map: Map = tags.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
                Some(Dynamic::from(map))
            }
            _ => None,
        }
    }
}
