//! What a reviewer is told before reading any step, as data: every page that shows a plan draws from here.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::units::show_seconds;
use crate::base::{MachineName, Side, SiteName};
use crate::plan::effect::Effect;
use crate::plan::estimate::Basis;
use crate::plan::expr::described;
use crate::plan::facts::SELECTION;
use crate::plan::scope::ScopeKind;
use crate::plan::step::{Reversibility, Step, StepIx};
use crate::render::steps::nameless;
use crate::render::{Review, path};

/// The site that machines leave, and the one that they start at.
type Sites<'a> = Option<(&'a SiteName, &'a SiteName)>;

/// Machines that change sides from one site to another.
#[derive(Debug, PartialEq)]
pub struct Direction<'a> {
    /// `home` or `to the cloud`.
    pub way: &'static str,
    /// The site that they leave, and the one that they start at.
    pub sites: Sites<'a>,
    /// Which machines.
    pub machines: BTreeSet<&'a MachineName>,
}

/// Which machines change sides. What a failure would start again is no direction of the plan.
pub fn directions<'a>(review: &Review<'a>) -> Vec<Direction<'a>> {
    let plan = review.plan;
    let mut found: BTreeMap<(bool, Sites<'a>), BTreeSet<&MachineName>> = BTreeMap::new();
    for step in &plan.steps {
        let (Effect::Start(side), Some(machine)) = (step.effect, &step.machine) else { continue };
        let guards = plan.guards(step);
        if guards.iter().any(|(_, scope)| matches!(scope.kind, ScopeKind::Handler { .. })) {
            continue;
        }
        let entry = review.inventory.machines.get(machine);
        let sites = entry.map(|entry| match side {
            Side::Onprem => (&entry.cloud, &entry.onprem),
            Side::Cloud => (&entry.onprem, &entry.cloud),
        });
        found.entry((side == Side::Cloud, sites)).or_default().insert(machine);
    }
    let direction = |((away, sites), machines)| Direction {
        way: if away { "to the cloud" } else { "home" },
        sites,
        machines,
    };
    found.into_iter().map(direction).collect()
}

/// The irreversible steps by primitive, each with its steps in order.
pub fn irreversible<'a>(review: &Review<'a>) -> BTreeMap<&'static str, Vec<&'a Step>> {
    let mut kinds: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
    for step in &review.plan.steps {
        if step.reversibility == Reversibility::Irreversible {
            kinds.entry(step.primitive).or_default().push(step);
        }
    }
    kinds
}

/// What the steps of a primitive do, in the words of the first of them.
pub fn deed(review: &Review<'_>, primitive: &str) -> String {
    let first = review.plan.iter().find(|(_, step)| step.primitive == primitive);
    let told = first.map(|(ix, step)| nameless(review.sentence(ix), step.machine.as_ref()));
    told.unwrap_or_default()
}

/// The point of no return.
#[derive(Debug)]
pub struct NoReturn<'a> {
    /// The first step after which there is only forward.
    pub step: &'a Step,
    /// Its wave, counted from 1.
    pub wave: usize,
    /// The last gate before it.
    pub gate: Option<&'a Step>,
}

/// Where the point of no return lies.
pub fn no_return<'a>(review: &Review<'a>) -> Option<NoReturn<'a>> {
    let ix = review.no_return?;
    let wave = review.waves.iter().position(|wave| wave.contains(&ix)).map_or(0, |at| at + 1);
    let gate = path::last_gate(review.plan, ix);
    Some(NoReturn {
        step: review.plan.step(ix),
        wave,
        gate: gate.map(|gate| review.plan.step(gate)),
    })
}

/// What a gate asks of whom.
#[derive(Debug)]
pub struct Gate<'a> {
    /// Its step.
    pub step: &'a Step,
    /// What is asked. What is known only later stands as its source.
    pub asked: String,
    /// How long it is open, seconds.
    pub limit_s: Option<f64>,
    /// No answer counts as yes.
    pub silence_is_yes: bool,
    /// Who may answer; empty: whoever may write the state folder.
    pub approvers: Vec<String>,
    /// Machines that are switched off before it and started only after it.
    pub down: Vec<&'a MachineName>,
}

/// All gates, in order.
pub fn gates<'a>(review: &Review<'a>) -> Vec<Gate<'a>> {
    let mut down = path::down_at_gates(review.plan);
    let all = path::gates(review.plan).into_iter();
    all.map(|ix| gate(review, ix, down.remove(&ix).unwrap_or_default())).collect()
}

fn gate<'a>(review: &Review<'a>, ix: StepIx, down: BTreeSet<&'a MachineName>) -> Gate<'a> {
    let step = review.plan.step(ix);
    let args = step.args.json();
    let args = described(&args);
    let asked = args.get("message").and_then(|text| text.as_str());
    let asked = asked.unwrap_or_else(|| review.sentence(ix)).to_owned();
    let list = step.args.get("approvers").and_then(|list| list.as_array());
    let names = list.into_iter().flatten().filter_map(|name| name.as_str());
    let silence = step.args.get("on_timeout").and_then(|word| word.as_str());
    Gate {
        step,
        asked,
        limit_s: step.policy.timeout_ms.map(|ms| ms as f64 / 1000.0),
        silence_is_yes: silence == Some("go_on"),
        approvers: names.map(str::to_owned).collect(),
        down: down.into_iter().collect(),
    }
}

/// Where an estimate comes from, in words.
pub fn basis(basis: Basis) -> String {
    match basis {
        Basis::Sizes => "from sizes and rates".to_owned(),
        Basis::Runs(1) => "from one earlier run".to_owned(),
        Basis::Runs(runs) => format!("from {runs} earlier runs"),
    }
}

/// Where the estimates of the whole plan come from, and what they leave out.
pub fn duration(review: &Review<'_>) -> String {
    let (seen, costly) = review.estimates.remembered();
    let basis = match seen {
        0 => "estimated from sizes and rates, not from earlier runs".to_owned(),
        _ => format!(
            "{seen} of {costly} steps estimated from earlier runs, the others from sizes and rates"
        ),
    };
    let people = match path::gates(review.plan).is_empty() {
        true => "",
        false => ", people's waits at gates left out",
    };
    let queue = match review.estimates.queued {
        0 => String::new(),
        n => format!(
            "; {n} machines are stopped together, more than are copied at once: some of them queue while they are down"
        ),
    };
    format!("{}{people}; {basis}{queue}", show_seconds(review.estimates.makespan_s))
}

/// One fact, of all the subjects that it is true of.
#[derive(Debug, PartialEq)]
pub struct Alike<'a> {
    /// The fact's name; a selection's terms.
    pub fact: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Machines and hosts; the one subject of a selection is [`SELECTION`].
    pub subjects: Vec<&'a str>,
}

impl Alike<'_> {
    /// It says which machines `vms(..)` found.
    pub fn is_selection(&self) -> bool {
        self.subjects == [SELECTION]
    }
}

/// The facts that the plan rests on: those that are alike together.
pub fn facts<'a>(review: &Review<'a>) -> Vec<Alike<'a>> {
    let mut alike: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for fact in &review.plan.facts {
        alike.entry((&fact.fact, &fact.value)).or_default().push(&fact.subject);
    }
    let fact = |((fact, value), subjects)| Alike { fact, value, subjects };
    alike.into_iter().map(fact).collect()
}
