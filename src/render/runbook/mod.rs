//! The runbook: a plan as a procedure on paper, for the day when homing itself cannot run.
//!
//! In: a review, and what each primitive says of doing it by hand. Out: a document, written as Markdown or as
//! one HTML file. Refuses to know: files, runs, what any primitive is called.
//!
//! Its order is the plan's own, so that one person can follow it from the first page to the last. Machines
//! that do the same are told once, with a row of boxes each.

mod book;
mod branches;
pub mod document;
mod front;
pub mod html;
mod last;
pub mod line;
pub mod markdown;
mod order;
mod tasks;

use std::collections::{BTreeMap, HashMap};

use crate::base::{HostName, MachineName, Side, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::facts::{FactLog, Facts, Power};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::Step;
use crate::primitives::contract::{ByHand, Standing, Subject};
use crate::primitives::find;
use crate::render::Review;
use crate::render::runbook::book::Book;
use crate::render::runbook::document::{Block, Document, Section};
use crate::render::runbook::line::Line;

/// How each step is done by hand, in step order: what each primitive says of itself. `facts` need not hold
/// what a saved plan rests on: it is read from the plan.
pub fn hands(plan: &Plan, inventory: &Inventory, facts: &Facts) -> Vec<ByHand> {
    let log = FactLog::resting_on(facts, &plan.facts);
    let mut standings = Standings::new(plan, &log);
    let mut hands = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let standing = standings.before(step);
        let subject = Subject { machine: step.machine.as_ref(), inventory, facts: &log };
        let known = find(step.primitive).expect("BUG: a plan names a primitive of the catalogue");
        hands.push(known.by_hand(&step.args.json(), &subject, &standing));
    }
    hands
}

/// The runbook of a plan. `hands` come from [`hands`]; `observed` is when its facts were, where that is known.
pub fn document(review: &Review<'_>, hands: &[ByHand], observed: Option<Timestamp>) -> Document {
    let book = Book::new(review, hands);
    let mut sections = front::sections(&book, observed);
    for (at, sheets) in book.waves.iter().enumerate() {
        let title = format!("Wave {}", at + 1);
        let end = match at + 1 == book.waves.len() {
            true => "This wave is done when every box in it is ticked or crossed out.",
            false => {
                "Go on to the next wave only when every box in this one is ticked or crossed out."
            }
        };
        let mut blocks = tasks::wave(&book, sheets);
        blocks.push(Block::Text(Line::text(end)));
        sections.push(Section { title, blocks });
    }
    sections.extend(last::sections(&book));
    Document { title: format!("Runbook of {}", review.plan.script), sections }
}

/// Where every machine stands while the plan is walked through, as far as it goes well.
struct Standings<'a> {
    plan: &'a Plan,
    now: HashMap<&'a MachineName, Standing>,
    /// Where a machine stood when it came into an attempt: what its way back goes back to.
    before: BTreeMap<(ScopeIx, &'a MachineName), Option<Side>>,
}

impl<'a> Standings<'a> {
    fn new(plan: &'a Plan, log: &FactLog<'_>) -> Standings<'a> {
        let mut now: HashMap<&MachineName, Standing> = HashMap::new();
        for step in &plan.steps {
            let Some(machine) = &step.machine else { continue };
            let standing = now.entry(machine).or_insert_with(|| {
                let observed = log.read(machine, "where");
                let live = match observed.as_ref().and_then(|side| side.as_str()) {
                    Some("cloud") => Some(Side::Cloud),
                    Some("home") => Some(Side::Onprem),
                    _ => None,
                };
                let is_lost = |fact: &str| {
                    log.read(machine, fact).is_some_and(|power| power == Power::Lost.word())
                };
                let lost = match (is_lost("cloud.power"), is_lost("onprem.power")) {
                    (true, _) => Some(Side::Cloud),
                    (_, true) => Some(Side::Onprem),
                    _ => None,
                };
                Standing { live, host: None, lost }
            });
            // A plan that says nothing else says it by what it turns off first.
            if let (None, Effect::Stop(side), false) =
                (standing.live, step.effect, plan.is_in_handler(step))
            {
                standing.live = Some(side);
            }
        }
        Standings { plan, now, before: BTreeMap::new() }
    }

    /// Where its machine stands when a step begins; then the step is taken.
    fn before(&mut self, step: &'a Step) -> Standing {
        let Some(machine) = &step.machine else { return Standing::default() };
        let standing = self.now.get(machine).cloned().unwrap_or_default();
        let handled = self.plan.outwards(step.scope).find_map(|(_, scope)| match scope.kind {
            ScopeKind::Handler { of } => Some(of),
            _ => None,
        });
        if let Some(attempt) = handled {
            let live = self.before.get(&(attempt, machine)).copied().unwrap_or(standing.live);
            return Standing { live, ..standing };
        }
        for (attempt, _) in self.plan.attempts_around(step.scope) {
            self.before.entry((attempt, machine)).or_insert(standing.live);
        }
        let chosen = |name: &str| {
            let host = step.args.get(name)?;
            HostName::new(host.as_str()?).ok()
        };
        if let Some(next) = self.now.get_mut(machine) {
            match step.effect {
                Effect::Start(side) => {
                    next.live = Some(side);
                    next.lost = next.lost.filter(|lost| *lost != side);
                }
                Effect::DeclareLost(side) => next.lost = Some(side),
                Effect::CreateOnprem { .. } => {
                    next.host = chosen("host").or_else(|| next.host.take());
                }
                _ => {}
            }
        }
        standing
    }
}

#[cfg(test)]
mod tests;
