//! Warnings that the script answers with `acknowledge`, and what `--strict` makes of the others.

use crate::diagnostic::{Diagnostic, Severity};
use crate::plan::graph::Plan;
use crate::plan::scope::{Acknowledgement, ScopeIx};
use crate::plan::step::Step;
use crate::source::Span;
use crate::verify::Acknowledged;

/// Makes every warning an error; those that the script answers are not among them.
pub fn strict(diagnostics: &mut [Diagnostic]) {
    for diagnostic in diagnostics {
        if diagnostic.severity == Severity::Warning {
            diagnostic.severity = Severity::Error;
        }
    }
}

/// What tracing a script found, apart from the warnings that the script answers.
pub(super) fn part(
    plan: &Plan,
    diagnostics: Vec<Diagnostic>,
) -> (Vec<Diagnostic>, Vec<Acknowledged>) {
    let (mut open, mut acknowledged) = (Vec::new(), Vec::new());
    for warning in diagnostics {
        match answer(plan, &warning).filter(|_| warning.severity == Severity::Warning) {
            Some(answer) => {
                let reason = answer.reason.clone();
                acknowledged.push(Acknowledged { warning, reason });
            }
            None => open.push(warning),
        }
    }
    (open, acknowledged)
}

/// The answer to a warning: it has its code, and counts for every step at the warning's place.
fn answer<'a>(plan: &'a Plan, warning: &Diagnostic) -> Option<&'a Acknowledgement> {
    let mut same = plan.acknowledged.iter().filter(|answer| answer.code == warning.code).peekable();
    same.peek()?;
    let here = |at: &Span| warning.at.as_ref() == Some(at);
    let steps = || plan.steps.iter().filter(|step| here(&step.origin.at));
    same.find(|answer| {
        let counts = |step: &Step| plan.is_within(step.scope, answer.scope);
        // A warning about no step is answered for the whole plan alone.
        match steps().next() {
            Some(_) => steps().all(counts),
            None => answer.scope == ScopeIx::PLAN,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::effect::Effect;
    use crate::plan::graph::index;
    use crate::plan::graph::tests::Draft;
    use crate::plan::scope::{Scope, ScopeKind};

    #[test]
    fn an_answer_counts_for_its_code_and_in_its_scope() {
        let mut draft = Draft::default();
        draft.step("web-01", Effect::Snapshot);
        draft.step("web-01", Effect::Commit);
        let mut plan = draft.plan;
        plan.scopes.push(Scope {
            kind: ScopeKind::Parallel,
            first: index(1),
            end: index(2),
            ..Scope::plan()
        });
        plan.steps[1].scope = ScopeIx(1);
        let warnings = |plan: &Plan| -> Vec<Diagnostic> {
            let of = |step: usize| plan.steps[step].origin.at.clone();
            let plain = Diagnostic::warning("H001", "nowhere");
            let at = |code, step| Diagnostic::warning(code, "here").at(of(step));
            vec![at("H001", 0), at("H001", 1), at("H002", 1), plain]
        };
        let open = |plan: &Plan| -> Vec<bool> {
            let (open, answered) = part(plan, warnings(plan));
            assert_eq!(open.len() + answered.len(), 4);
            warnings(plan).iter().map(|one| open.contains(one)).collect()
        };
        assert_eq!(open(&plan), [true; 4]);
        plan.acknowledged.push(Acknowledgement {
            code: "H001".into(),
            reason: "agreed".into(),
            scope: ScopeIx(1),
            at: Span::point("draft.rhai".into(), 1, 1),
        });
        assert_eq!(open(&plan), [true, false, true, true]);
        plan.acknowledged[0].scope = ScopeIx::PLAN;
        assert_eq!(open(&plan), [false, false, true, false]);
    }
}
