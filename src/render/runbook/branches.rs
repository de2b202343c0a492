//! What holds steps together, in words for the person who does them: attempts and their ways back, clean-up,
//! conditions.

use std::collections::BTreeSet;

use crate::base::MachineName;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::render::runbook::book::{Book, outputs};
use crate::render::runbook::document::{Block, Branch, Tone};
use crate::render::runbook::line::Line;
use crate::render::steps::nameless;
use crate::render::words;

/// A branch over what a scope holds. `of` is the machine whose name stands for any, where many share it.
pub fn branch(book: &Book<'_>, ix: ScopeIx, of: Option<&MachineName>, inner: Vec<Block>) -> Block {
    let scope = book.plan().scope(ix);
    let (tone, title) = title(book, ix, of);
    let mut blocks: Vec<Block> = said(book, ix, of).into_iter().map(Block::Text).collect();
    let rules = words::rules(&scope.rules);
    if !rules.is_empty() {
        blocks.push(Block::Text(Line::text(format!("Here it holds: {}.", rules.join("; ")))));
    }
    blocks.extend(inner);
    Block::Branch(Branch { tone, title, blocks })
}

fn title(book: &Book<'_>, ix: ScopeIx, of: Option<&MachineName>) -> (Tone, Line) {
    let condition = |cond| nameless(&words::condition(cond), of);
    match &book.plan().scope(ix).kind {
        ScopeKind::Plan => (Tone::Group, Line::text("The plan")),
        ScopeKind::Group { name } => (Tone::Group, Line::text("Group ").code(name.clone())),
        ScopeKind::Parallel => (Tone::Group, Line::text("In any order")),
        ScopeKind::Attempt { .. } => (Tone::Attempt, Line::text("Attempt: these belong together")),
        ScopeKind::Handler { .. } => (Tone::Failed, Line::text("IF THIS FAILED")),
        ScopeKind::Always { .. } => (Tone::Always, Line::text("IN ANY CASE, failed or not")),
        ScopeKind::When { cond, is: true } => (
            Tone::Question,
            Line::text("QUESTION: does it hold that ").code(condition(cond)).and("?"),
        ),
        ScopeKind::When { cond, is: false } => {
            (Tone::Question, Line::text("OTHERWISE: it does not hold that ").code(condition(cond)))
        }
    }
}

/// What a person must know before the steps of a scope.
fn said(book: &Book<'_>, ix: ScopeIx, of: Option<&MachineName>) -> Vec<Line> {
    let plan = book.plan();
    let is_all = |of: ScopeIx| matches!(plan.scope(of).kind, ScopeKind::Attempt { all: true, .. });
    match &plan.scope(ix).kind {
        ScopeKind::Attempt { .. } if book.is_handled(ix) => {
            let who = if is_all(ix) {
                "for every machine in it, also for those that did not fail"
            } else {
                "for that machine alone"
            };
            vec![Line::text(format!(
                "If one of these steps fails for good, leave the rest of them, and do at once what \
                 stands under IF THIS FAILED below, {who}."
            ))]
        }
        ScopeKind::Handler { of } => {
            let then = match plan.scope(*of).kind {
                ScopeKind::Attempt { then_continue: true, .. } => {
                    "Afterwards go on behind it as if nothing had happened."
                }
                _ if is_all(*of) => {
                    "Afterwards every machine of the attempt is back: cross them all out, they take no further step."
                }
                _ => "Afterwards the machine is back: cross it out, it takes no further step.",
            };
            vec![
                Line::text(
                    "Only if a step of the attempt above failed for good; otherwise skip this.",
                ),
                Line::text(then),
            ]
        }
        ScopeKind::Always { .. } => {
            vec![Line::text(
                "Do this whatever became of the attempt above, also after IF THIS FAILED.",
            )]
        }
        ScopeKind::When { cond, is } => {
            let mut lines = vec![Line::text(if *is {
                "If yes, do these steps. If no, skip them: they then count as done."
            } else {
                "Do these steps only if the answer is no; otherwise skip them: they then count as done."
            })];
            let mut told = BTreeSet::new();
            for (id, output) in outputs(cond) {
                let Some(at) = book.find(&id).filter(|_| told.insert((id.clone(), output.clone())))
                else {
                    continue;
                };
                let value = nameless(&format!("{id}.{output}"), of);
                let line = Line::default().code(value).and(" is what was written down at ");
                lines.push(line.step(book.number(at)).and("."));
            }
            lines
        }
        _ => Vec::new(),
    }
}
