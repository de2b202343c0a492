//! Steps inside arguments and conditions: by their ids, by the ids that they have in the other plan, or by
//! what they are. Ordinals in ids shift when a step is added; what is meant does not.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};

use crate::base::units::show_seconds;
use crate::base::{Json, StepId};
use crate::plan::expr::{Expr, described, steps_read, until};
use crate::plan::graph::Plan;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::{Step, StepIx, handle_from_json};
use crate::primitives::find;
use crate::render::steps::nameless;
use crate::render::words;

/// What a step is called where another one names it.
pub(super) type Naming<'n> = &'n dyn Fn(StepIx) -> String;

/// The words for a plan's steps.
pub(super) struct Words<'a> {
    plan: &'a Plan,
    places: HashMap<&'a str, StepIx>,
    /// The primitives of the steps that are given, or read, what a step puts out.
    users: HashMap<StepIx, BTreeSet<&'static str>>,
    /// Whether a step was named since it was last asked.
    named: Cell<bool>,
}

impl<'a> Words<'a> {
    pub fn new(plan: &'a Plan) -> Words<'a> {
        let places: HashMap<&str, StepIx> =
            plan.iter().map(|(ix, step)| (step.id.as_str(), ix)).collect();
        let mut users: HashMap<StepIx, BTreeSet<&'static str>> = HashMap::new();
        for step in &plan.steps {
            let mut used = |id: &str| {
                if let Some(ix) = places.get(id) {
                    users.entry(*ix).or_default().insert(step.primitive);
                }
            };
            step.args.handles().for_each(|(_, id)| used(id));
            let read = step.args.data().map(steps_read).unwrap_or_default();
            read.iter().for_each(|(_, id)| used(id.as_str()));
        }
        Words { plan, places, users, named: Cell::new(false) }
    }

    /// As it is called itself.
    pub fn own(&self, ix: StepIx) -> String {
        self.plan.step(ix).id.to_string()
    }

    /// By what it is: `web-01.snapshot`.
    pub fn kind(&self, ix: StepIx) -> String {
        let step = self.plan.step(ix);
        match &step.machine {
            Some(machine) => format!("{machine}.{}", step.primitive),
            None => step.primitive.to_owned(),
        }
    }

    /// The primitives of the steps that use what it puts out: of two that are alike they tell which is which.
    pub fn users(&self, ix: StepIx) -> Vec<&'static str> {
        self.users.get(&ix).into_iter().flatten().copied().collect()
    }

    /// Whether a step was named since this was last asked.
    pub fn named(&self) -> bool {
        self.named.take()
    }

    /// A step's arguments and how it is tried, for a reader: `mode: "full", up to 5 tries`.
    pub fn args(&self, ix: StepIx, name: Naming<'_>) -> String {
        let step = self.plan.step(ix);
        let optional = step.optional.then(|| "may fail".to_owned());
        let own = self.values(&step.args.json(), name);
        let told = own.into_iter().chain(optional).chain(words::tries(step)).chain(pauses(step));
        nameless(&told.collect::<Vec<_>>().join(", "), step.machine.as_ref())
    }

    fn values(&self, args: &Json, name: Naming<'_>) -> Vec<String> {
        let Some(object) = args.as_object() else { return vec![args.to_string()] };
        let named = self.with_names(args, name);
        let shown = described(&named);
        let value = |(key, value): (&String, &Json)| {
            if let Some(handle) = handle_from_json(value) {
                return Some(self.handle(handle, name));
            }
            if let Some(condition) = until(&named[key]) {
                return Some(format!("{key}: {}", words::condition(&condition)));
            }
            let handles = value.as_array().filter(|all| !all.is_empty());
            let handles = handles.map(|all| all.iter().map(handle_from_json));
            if let Some(Some(all)) = handles.map(Iterator::collect::<Option<Vec<&str>>>) {
                let all: Vec<String> = all.into_iter().map(|one| self.handle(one, name)).collect();
                return Some(format!("{key}: {}", all.join(", ")));
            }
            // The polls of a condition stand as steps of their own.
            (key != "probes").then(|| format!("{key}: {}", shown[key]))
        };
        object.iter().filter_map(value).collect()
    }

    fn handle(&self, id: &str, name: Naming<'_>) -> String {
        let Some(ix) = self.places.get(id) else { return format!("of {id}") };
        self.named.set(true);
        format!("of the {} {}", self.plan.step(*ix).primitive, name(*ix))
    }

    /// A value with every step in it called by that name.
    fn with_names(&self, value: &Json, name: Naming<'_>) -> Json {
        match value {
            Json::Object(fields) => {
                let field = |(key, value): (&String, &Json)| {
                    let id = value.as_str().filter(|_| key == "of" || key == "step");
                    let named = id.and_then(|id| self.places.get(id)).map(|ix| {
                        self.named.set(true);
                        Json::from(name(*ix))
                    });
                    (key.clone(), named.unwrap_or_else(|| self.with_names(value, name)))
                };
                Json::Object(fields.iter().map(field).collect())
            }
            Json::Array(items) => items.iter().map(|item| self.with_names(item, name)).collect(),
            plain => plain.clone(),
        }
    }

    /// The scopes around a step that decide whether and how it is done, outermost first. What they are
    /// called does not.
    pub fn within(&self, ix: StepIx, name: Naming<'_>) -> String {
        let step = self.plan.step(ix);
        let around = self.plan.outwards(step.scope).filter(|(scope, _)| *scope != ScopeIx::PLAN);
        let mut all: Vec<String> =
            around.filter_map(|(scope, _)| self.matters(scope, name)).collect();
        all.reverse();
        nameless(&all.join(" > "), step.machine.as_ref())
    }

    fn matters(&self, ix: ScopeIx, name: Naming<'_>) -> Option<String> {
        let ScopeKind::When { cond, is } = &self.plan.scope(ix).kind else {
            return words::matters(self.plan, ix);
        };
        let named = serde_json::to_value(cond).map(|cond| self.with_names(&cond, name));
        let named = named.and_then(serde_json::from_value::<Expr>);
        let said = named.map_or_else(|_| words::condition(cond), |cond| words::condition(&cond));
        Some(format!("{} {said}", if *is { "when" } else { "unless" }))
    }
}

/// How long it waits between its tries, where the script says otherwise than its primitive.
fn pauses(step: &Step) -> Option<String> {
    let (own, usual) = (&*step.policy, &find(step.primitive)?.spec().policy);
    let same = (own.first_ms, own.max_ms) == (usual.first_ms, usual.max_ms);
    let seconds = |ms: u64| show_seconds(ms as f64 / 1000.0);
    (!same).then(|| format!("{} to {} between tries", seconds(own.first_ms), seconds(own.max_ms)))
}

/// Whether an id was given by hand: the others are a step's machine, its primitive and a number.
pub(super) fn by_hand(plan: &Plan, ix: StepIx) -> bool {
    let step = plan.step(ix);
    let own = match &step.machine {
        Some(machine) => step.id.as_str().strip_prefix(machine.as_str()),
        None => Some(step.id.as_str()),
    };
    let own = own.unwrap_or(step.id.as_str()).trim_start_matches('.');
    let number = own.strip_prefix(step.primitive).and_then(|rest| rest.strip_prefix('.'));
    !number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An id without its machine, so that those of many machines are one.
pub(super) fn nameless_id(plan: &Plan, id: &StepId, ix: StepIx) -> String {
    nameless(id.as_str(), plan.step(ix).machine.as_ref())
}
