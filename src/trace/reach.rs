//! What an expression will be, and whether what it reads will be there: seen from where the script is.

use rhai::{Dynamic, NativeCallContext};

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::expr::{Expr, Op};
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::StepIx;
use crate::trace::late::{HELP, is_inside};
use crate::trace::literal;
use crate::trace::recorder::{Handle, Recorder};
use crate::trace::sources::Part;

/// What kind of value an expression will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Truth,
    Number,
    Text,
    /// Nobody can say.
    Any,
}

impl Sort {
    /// Whether one can stand where the other is wanted.
    pub(super) fn fits(self, wanted: Sort) -> bool {
        self == wanted || self == Sort::Any || wanted == Sort::Any
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Sort::Truth => "a truth (`true` or `false`)",
            Sort::Number => "a number",
            Sort::Text => "a text",
            Sort::Any => "some value",
        }
    }
}

impl Recorder {
    /// What kind of value an expression will have.
    pub(super) fn sort(&self, expr: &Expr) -> Sort {
        match expr {
            Expr::Value { value: Json::Bool(_) } => Sort::Truth,
            Expr::Value { value: Json::Number(_) } => Sort::Number,
            Expr::Value { value: Json::String(_) } => Sort::Text,
            Expr::Value { .. } => Sort::Any,
            Expr::Output { of, output } => {
                let outputs = self.spec(Handle(self.late.step(of))).outputs;
                match outputs.iter().find(|known| *known.name == **output).map(|known| known.ty) {
                    Some("bool") => Sort::Truth,
                    Some("int" | "seconds" | "bytes" | "rate") => Sort::Number,
                    Some("text") => Sort::Text,
                    _ => Sort::Any,
                }
            }
            Expr::Apply { op: Op::Default, args } => self.sort(&args[0]),
            Expr::Apply { op: Op::Add | Op::Sub | Op::Mul | Op::Div, .. } => Sort::Number,
            Expr::Apply { .. } => Sort::Truth,
        }
    }

    /// The same of two.
    pub(super) fn sorts(&self, of: [&Expr; 2]) -> [Sort; 2] {
        of.map(|expr| self.sort(expr))
    }

    /// What the call that is being bound was given: steps that it needs become `handles`; those whose
    /// absence `or` answers are returned. `None`: one of them may be missing, which was said.
    pub(super) fn take_given(
        &mut self,
        ctx: &NativeCallContext<'_>,
        handles: &mut Vec<StepIx>,
    ) -> Option<Vec<StepIx>> {
        let mut follows = Vec::new();
        for expr in self.late.given() {
            if self.say_if_missing(ctx, &expr) {
                return None;
            }
            let needed = expr.steps_needed();
            handles.extend(needed.iter().map(|id| self.late.step(id)));
            let answered = expr.steps().into_iter().filter(|id| !needed.contains(id));
            follows.extend(answered.map(|id| self.late.step(id)));
        }
        follows.sort_unstable();
        follows.dedup();
        Some(follows)
    }

    /// Whether an expression needs a step that may not have run where the script is now, although
    /// everything before went well; that is said.
    pub(super) fn say_if_missing(&mut self, ctx: &NativeCallContext<'_>, expr: &Expr) -> bool {
        let needed = expr.steps_needed().into_iter().map(|id| self.late.step(id));
        let missing = needed.into_iter().find_map(|ix| Some((ix, self.absence(ix)?)));
        let Some((ix, why)) = missing else { return false };
        let help = "say what holds without it: `.or(default)` behind the output";
        self.say_missing(ctx, Part::Whole, ix, &why, help);
        true
    }

    /// Refuses a text that must be known now; whether it did.
    pub(super) fn is_late(
        &mut self,
        ctx: &NativeCallContext<'_>,
        part: Part<'_>,
        what: &str,
        value: &Dynamic,
    ) -> bool {
        if !is_inside(value) {
            return false;
        }
        let found = literal::show(ctx, value);
        let message = format!("{what} must be known when the plan is made, and is {found}");
        self.say(ctx, part, Diagnostic::error("H107", message).help(HELP));
        true
    }

    /// Says that a step may not have run.
    pub(super) fn say_missing(
        &mut self,
        ctx: &NativeCallContext<'_>,
        part: Part<'_>,
        ix: StepIx,
        why: &str,
        help: &str,
    ) {
        let step = &self.steps[ix.at()];
        let message = format!("`{}` {why}: here it may have put nothing out", step.id);
        let mistake = Diagnostic::error("H145", message).help(help.to_owned());
        let mistake = mistake.related("this step", step.origin.at.clone());
        self.say(ctx, part, mistake);
    }

    /// Why a step may have put nothing out, seen from where the script is now.
    fn absence(&self, ix: StepIx) -> Option<String> {
        let step = &self.steps[ix.at()];
        if step.optional {
            return Some("is optional".to_owned());
        }
        if let Some(guard) = self.guard(ix) {
            return Some(guard);
        }
        let around = self.outwards(step.scope);
        let failed =
            self.outwards(self.scope).iter().any(|scope| match self.scopes[scope.at()].kind {
                ScopeKind::Handler { of } | ScopeKind::Always { of } => around.contains(&of),
                _ => false,
            });
        failed.then(|| "is part of the attempt, which may have failed before it".to_owned())
    }

    /// The branch that a step is in and the script is not (any more).
    pub(super) fn guard(&self, ix: StepIx) -> Option<String> {
        let here = self.outwards(self.scope);
        let around = self.outwards(self.steps[ix.at()].scope);
        let elsewhere = around.iter().filter(|scope| !here.contains(scope));
        elsewhere.into_iter().find_map(|scope| match &self.scopes[scope.at()].kind {
            ScopeKind::When { cond, is: true } => Some(format!("is done only when `{cond}`")),
            ScopeKind::When { cond, .. } => Some(format!("is done only when not `{cond}`")),
            ScopeKind::Handler { .. } => Some("is done only after a failure".to_owned()),
            _ => None,
        })
    }

    /// From a scope outwards to the plan.
    fn outwards(&self, from: ScopeIx) -> Vec<ScopeIx> {
        let mut all = vec![from];
        while let Some(last) = all.last().filter(|last| **last != ScopeIx::PLAN) {
            all.push(self.scopes[last.at()].parent);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::base::StepId;
    use crate::plan::effect::Effect;
    use crate::plan::facts::Facts;
    use crate::plan::graph::index;
    use crate::plan::inventory::Inventory;
    use crate::plan::policy::Policy;
    use crate::plan::step::{Kind, Origin, Reversibility, Step};
    use crate::source::Span;
    use crate::trace::order::Opens;
    use crate::trace::recorder::shared_policy;

    fn recorder() -> Recorder {
        let table = crate::primitives::ALL;
        Recorder::new(table, Inventory::default(), Facts::default(), BTreeMap::new())
    }

    /// A step written where the recorder is now.
    fn write(recorder: &mut Recorder, id: &str, optional: bool) -> StepIx {
        let at = index(recorder.steps.len());
        recorder.steps.push(Step {
            id: StepId::new(id).unwrap(),
            primitive: crate::primitives::ALL[0].spec().name,
            kind: Kind::Poll,
            machine: None,
            args: serde_json::json!({}).into(),
            needs: Vec::new(),
            waits: Vec::new(),
            follows: Vec::new(),
            scope: recorder.scope,
            undoes: None,
            effect: Effect::Nothing,
            reversibility: Reversibility::Reversible,
            optional,
            policy: shared_policy(&Policy::ONCE),
            origin: Arc::new(Origin { at: Span::point("a".into(), 1, 1), via: Arc::from([]) }),
        });
        at
    }

    fn when(is: bool) -> ScopeKind {
        ScopeKind::When { cond: Arc::new(Expr::value(true)), is }
    }

    #[test]
    fn what_a_branch_does_is_there_in_the_branch_and_nowhere_else() {
        let mut recorder = recorder();
        let before = write(&mut recorder, "before", false);
        let outer = recorder.enter(when(true), Opens::Plain);
        let inside = write(&mut recorder, "inside", false);
        let inner = recorder.enter(ScopeKind::Group { name: "inner".to_owned() }, Opens::Plain);
        assert_eq!(recorder.absence(inside), None, "the same branch, deeper");
        recorder.leave(inner);
        recorder.leave(outer);
        let other = recorder.enter(when(false), Opens::Plain);
        assert!(recorder.absence(inside).is_some_and(|why| why.contains("only when `true`")));
        assert_eq!(recorder.absence(before), None);
        let otherwise = write(&mut recorder, "otherwise", false);
        recorder.leave(other);
        assert!(recorder.guard(otherwise).is_some_and(|why| why.contains("not `true`")));
        let maybe = write(&mut recorder, "maybe", true);
        assert!(recorder.absence(maybe).is_some());
        assert_eq!(recorder.guard(maybe), None, "its handle may be passed on");
    }

    #[test]
    fn an_attempt_may_have_failed_where_it_is_handled() {
        let mut recorder = recorder();
        let body =
            recorder.enter(ScopeKind::Attempt { all: false, then_continue: false }, Opens::Plain);
        let step = write(&mut recorder, "body", false);
        assert_eq!(recorder.absence(step), None);
        recorder.leave(body);
        let handler = recorder.enter(ScopeKind::Handler { of: body }, Opens::Plain);
        let undone = write(&mut recorder, "handler", false);
        assert!(recorder.absence(step).is_some_and(|why| why.contains("attempt")));
        assert_eq!(recorder.guard(step), None, "clean-up is given the handles of the body");
        recorder.leave(handler);
        assert_eq!(recorder.absence(step), None, "behind the attempt it has succeeded");
        assert!(recorder.guard(undone).is_some());
    }
}
