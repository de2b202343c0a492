//! Findings become diagnostics: at the script's lines, one per mistake however many machines it hits.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Severity};
use crate::plan::graph::Plan;
use crate::plan::scope::Acknowledgement;
use crate::plan::step::{Step, StepIx};
use crate::source::Span;
use crate::verify::rules::{Broken, severity};

/// One rule broken by one step.
pub(super) struct Finding {
    step: StepIx,
    code: &'static str,
    message: String,
    help: String,
    because: Vec<(StepIx, String)>,
}

impl Finding {
    /// A broken rule.
    pub fn broken(step: StepIx, broken: Broken) -> Finding {
        let Broken { code, message, help, because, .. } = broken;
        Finding { step, code, message, help, because }
    }

    /// A prerequisite that does not hold, with its way out.
    pub fn plain(step: StepIx, (message, help): (String, &str)) -> Finding {
        Finding::new(step, "H009", message, help)
    }

    /// Something that no single state shows.
    pub fn new(
        step: StepIx,
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) -> Finding {
        Finding { step, code, message, help: help.into(), because: Vec::new() }
    }

    /// The same, with a step that made it so.
    pub fn because(mut self, step: StepIx, what: impl Into<String>) -> Finding {
        self.because.push((step, what.into()));
        self
    }
}

/// What was found, in the order of the steps; a step breaks a rule once, on however many paths.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Takes one in.
    pub fn add(&mut self, finding: Finding) {
        let same = |known: &&Finding| known.step == finding.step;
        let mut of_this_step = self.0.iter().rev().take_while(same);
        if !of_this_step.any(|known| known.code == finding.code && known.message == finding.message)
        {
            self.0.push(finding);
        }
    }

    /// As diagnostics, in the order of the steps, each with the acknowledgement that answers it. The same
    /// mistake at the same place (a loop over machines) is told once, with the other machines named.
    pub fn diagnostics(mut self, plan: &Plan) -> Vec<(Diagnostic, Option<&Acknowledgement>)> {
        self.0.sort_by_key(|finding| finding.step);
        let mut told: Vec<(Finding, Vec<StepIx>, Option<usize>)> = Vec::new();
        let mut places: HashMap<Place<'_>, usize> = HashMap::new();
        for finding in self.0 {
            let step = plan.step(finding.step);
            let says = without_name(&finding.message, step);
            let answer = answer(plan, &finding);
            let key = (finding.code, &step.origin.at, &*step.origin.via, says, answer);
            match places.get(&key) {
                Some(first) => told[*first].1.push(finding.step),
                None => {
                    places.insert(key, told.len());
                    told.push((finding, Vec::new(), answer));
                }
            }
        }
        let drawn = told.into_iter().map(|(finding, others, answer)| {
            (draw(plan, finding, &others), answer.map(|at| &plan.acknowledged[at]))
        });
        drawn.collect()
    }
}

/// What makes two findings one report: code, call, frames, words, answer.
type Place<'a> = (&'static str, &'a Span, &'a [Span], String, Option<usize>);

/// The acknowledgement that answers a warning: the one written last of those around its step. An error
/// cannot be answered.
fn answer(plan: &Plan, finding: &Finding) -> Option<usize> {
    if severity(finding.code) == Severity::Error {
        return None;
    }
    let scope = plan.step(finding.step).scope;
    plan.acknowledged
        .iter()
        .rposition(|known| known.code == finding.code && plan.is_within(scope, known.scope))
}

/// What is said whatever the machine's name: equal for the turns of a loop.
fn without_name(message: &str, step: &Step) -> String {
    match &step.machine {
        Some(machine) => message.replace(&format!("`{machine}`"), "`_`"),
        None => message.to_owned(),
    }
}

/// Machines named in full in one report.
const NAMED_MAX: usize = 3;

fn draw(plan: &Plan, finding: Finding, others: &[StepIx]) -> Diagnostic {
    let step = plan.step(finding.step);
    let mut message = finding.message;
    if !others.is_empty() {
        let names = others.iter().take(NAMED_MAX).filter_map(|at| plan.step(*at).machine.as_ref());
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let more = match others.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        message = format!("{message}; the same for {}{more}", names.join(", "));
    }
    let diagnostic = match severity(finding.code) {
        Severity::Error => Diagnostic::error(finding.code, message),
        _ => Diagnostic::warning(finding.code, message),
    };
    let mut diagnostic = diagnostic.help(finding.help).at(step.origin.at.clone());
    // Outermost call first; the last frame is the step itself.
    for (at, frame) in (1..).zip(step.origin.via.iter()) {
        let is_step = at == step.origin.via.len();
        let what = if is_step { "this is" } else { "called here on the way to" };
        diagnostic = diagnostic.related(format!("{what} `{}`", step.id), frame.clone());
    }
    for (cause, what) in finding.because {
        let cause = plan.step(cause);
        let text = format!("`{}`: {what}", cause.id);
        diagnostic = diagnostic.related(text, cause.origin.at.clone());
    }
    diagnostic
}
