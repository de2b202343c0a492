//! What every part of a runbook looks up: the number of each step, and who reads what it wrote down.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::{Json, MachineName, StepId};
use crate::plan::expr::{Expr, deferred, until};
use crate::plan::graph::Plan;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::{Step, StepIx};
use crate::primitives::contract::ByHand;
use crate::render::Review;
use crate::render::fold::all_names;
use crate::render::runbook::line::Line;
use crate::render::runbook::order::{Cutter, Sheet};

/// An output of a step.
pub type Output = (StepId, Arc<str>);

/// A plan, its procedures, and where each step stands in the book.
pub struct Book<'a> {
    /// The plan with all that a reviewer is shown.
    pub review: &'a Review<'a>,
    /// How each step is done by hand, in step order.
    pub hands: &'a [ByHand],
    /// The sheets of each wave.
    pub waves: Vec<Vec<Sheet<'a>>>,
    by_id: HashMap<&'a StepId, StepIx>,
    /// Wave, place in it, rows of its sheet; by step.
    places: Vec<(usize, usize, usize)>,
    /// Outputs that later steps ask for, each with the steps that do.
    readers: HashMap<StepIx, BTreeMap<Arc<str>, BTreeSet<StepIx>>>,
    handled: BTreeSet<ScopeIx>,
}

impl<'a> Book<'a> {
    /// Cuts the plan into sheets and numbers them.
    pub fn new(review: &'a Review<'a>, hands: &'a [ByHand]) -> Book<'a> {
        let plan = review.plan;
        let by_id = plan.by_id();
        let cutter = Cutter::new(plan, hands, &by_id);
        let waves: Vec<Vec<Sheet<'a>>> = review.waves.iter().map(|w| cutter.sheets(w)).collect();
        let mut places = vec![(0, 0, 0); plan.steps.len()];
        for (wave, sheets) in waves.iter().enumerate() {
            let mut item = 0;
            for sheet in sheets {
                for at in 0..sheet.len {
                    item += 1;
                    for row in &sheet.rows {
                        places[row.step(at).at()] = (wave + 1, item, sheet.rows.len());
                    }
                }
            }
        }
        let handled = plan.scopes.iter().filter(|scope| scope.first < scope.end);
        let handled = handled.filter_map(|scope| match scope.kind {
            ScopeKind::Handler { of } => Some(of),
            _ => None,
        });
        let handled = handled.collect();
        let mut book =
            Book { review, hands, waves, by_id, places, readers: HashMap::new(), handled };
        book.readers = book.all_readers();
        book
    }

    /// The plan.
    pub fn plan(&self) -> &'a Plan {
        self.review.plan
    }

    /// `2.4`
    pub fn number(&self, ix: StepIx) -> String {
        let (wave, item, _) = self.places[ix.at()];
        format!("{wave}.{item}")
    }

    /// The place of a step.
    pub fn find(&self, id: &StepId) -> Option<StepIx> {
        self.by_id.get(id).copied()
    }

    /// Something takes an attempt back.
    pub fn is_handled(&self, attempt: ScopeIx) -> bool {
        self.handled.contains(&attempt)
    }

    /// Steps by their numbers, with the machines that are meant: `step 3.2 (db-01)`.
    pub fn named(&self, steps: impl IntoIterator<Item = StepIx>) -> Line {
        let mut alike: BTreeMap<(usize, usize, usize), Vec<&str>> = BTreeMap::new();
        for ix in steps {
            let machines = alike.entry(self.places[ix.at()]).or_default();
            machines.extend(self.plan().step(ix).machine.as_ref().map(MachineName::as_str));
        }
        let mut line = Line::default();
        for (at, ((wave, item, rows), mut machines)) in alike.into_iter().enumerate() {
            if at > 0 {
                line = line.and(", ");
            }
            line = line.step(format!("{wave}.{item}"));
            machines.sort_unstable();
            machines.dedup();
            if machines.len() == rows && rows > 1 {
                line = line.and(" of every machine there");
            } else if !machines.is_empty() {
                line = line.and(format!(" ({})", all_names(machines)));
            }
        }
        line
    }

    /// What of a step is asked for later, with who asks.
    pub fn asked_of(&self, ix: StepIx) -> impl Iterator<Item = (&Arc<str>, &BTreeSet<StepIx>)> {
        self.readers.get(&ix).into_iter().flatten()
    }

    fn all_readers(&self) -> HashMap<StepIx, BTreeMap<Arc<str>, BTreeSet<StepIx>>> {
        let mut readers: HashMap<StepIx, BTreeMap<Arc<str>, BTreeSet<StepIx>>> = HashMap::new();
        let mut reads = |by: StepIx, outputs: Vec<Output>| {
            for (of, output) in outputs {
                if let Some(of) = self.find(&of) {
                    readers.entry(of).or_default().entry(output).or_default().insert(by);
                }
            }
        };
        for (ix, step) in self.plan().iter() {
            reads(ix, read_by(step));
        }
        for scope in self.plan().scopes.iter().filter(|scope| scope.first < scope.end) {
            if let ScopeKind::When { cond, .. } = &scope.kind {
                reads(scope.first, outputs(cond));
            }
        }
        readers
    }
}

/// The outputs that a step's arguments ask for.
pub fn read_by(step: &Step) -> Vec<Output> {
    let mut found = Vec::new();
    if let Some(args) = step.args.data() {
        inside(args, &mut found);
    }
    found
}

fn inside(value: &Json, found: &mut Vec<Output>) {
    if let Some(expr) = deferred(value).or_else(|| until(value)) {
        found.extend(outputs(&expr));
        return;
    }
    match value {
        Json::Array(items) => items.iter().for_each(|item| inside(item, found)),
        Json::Object(fields) => fields.values().for_each(|field| inside(field, found)),
        _ => {}
    }
}

/// The outputs that an expression asks for.
pub fn outputs(expr: &Expr) -> Vec<Output> {
    match expr {
        Expr::Value { .. } => Vec::new(),
        Expr::Output { of, output } => vec![(of.clone(), output.clone())],
        Expr::Apply { args, .. } => args.iter().flat_map(outputs).collect(),
    }
}
