//! What a script does with values that are known only while the plan runs: the expressions it made,
//! the texts they stand in, and whether each came to an end that means something. A text holds such a
//! value as a placeholder: two characters that stand in no text, and a number between them.

use std::collections::HashMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Map, NativeCallContext, Position};

use crate::base::{Json, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::expr::{Expr, Op};
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::StepIx;
use crate::trace::deferred::Deferred;
use crate::trace::literal;
use crate::trace::recorder::{Handle, Recorder};
use crate::trace::sources::Part;

/// Around the number of a placeholder: Unicode promises that no text has these characters.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';
/// Values and operators of one expression.
const NODES_MAX: usize = 200;
/// Of all expressions together, per step a plan may have.
const NODES_PER_STEP_MAX: usize = 64;

/// Where such values may be used.
pub(super) const HELP: &str = "it may stand in `when(cond, ..)`, `fail_if(cond, ..)`, `wait_until(cond, ..)` and in the text of a message; to decide now read facts (`m.replica`, `m.away_over(\"30d\")`)";

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

/// All that a script made of such values.
#[derive(Default)]
pub(super) struct Late {
    /// The steps whose outputs were read.
    steps: HashMap<StepId, StepIx>,
    /// What operators made, in order.
    made: Vec<Made>,
    /// The place in it of each expression; an expression that is kept stays where it is in memory.
    places: HashMap<*const Expr, usize>,
    /// By the number of the placeholder.
    texts: Vec<Made>,
    nodes: usize,
    /// What the call that is being bound has been given.
    given: Vec<Arc<Expr>>,
}

struct Made {
    expr: Arc<Expr>,
    at: Vec<Position>,
    used: bool,
}

impl Late {
    /// An output of a step, as an expression.
    pub(super) fn read(&mut self, id: &StepId, step: StepIx, output: &str) -> Arc<Expr> {
        self.steps.insert(id.clone(), step);
        Arc::new(Expr::Output { of: id.clone(), output: output.into() })
    }

    /// The place of a step whose output was read.
    pub(super) fn step(&self, id: &StepId) -> StepIx {
        *self.steps.get(id).expect("BUG: expressions are made of outputs that were read")
    }

    /// Keeps what an operator made.
    pub(super) fn keep(
        &mut self,
        expr: Arc<Expr>,
        at: Vec<Position>,
        steps_max: u32,
    ) -> Result<(), String> {
        let nodes = nodes(&expr);
        if nodes > NODES_MAX {
            return Err(format!("a condition of more than {NODES_MAX} values and operators"));
        }
        self.nodes += nodes;
        if self.nodes > NODES_PER_STEP_MAX * steps_max as usize {
            return Err("too many values known only while the plan runs".to_owned());
        }
        self.places.insert(Arc::as_ptr(&expr), self.made.len());
        self.made.push(Made { expr, at, used: false });
        Ok(())
    }

    /// It became part of something.
    pub(super) fn used(&mut self, expr: &Arc<Expr>) {
        if let Some(place) = self.places.get(&Arc::as_ptr(expr)) {
            self.made[*place].used = true;
        }
    }

    /// A placeholder for a text.
    pub(super) fn place(&mut self, expr: Arc<Expr>, at: Vec<Position>) -> String {
        self.texts.push(Made { expr, at, used: false });
        format!("{OPEN}{}{CLOSE}", self.texts.len() - 1)
    }

    /// A text's pieces, as they stand in a step's arguments.
    fn pieces(&mut self, text: &str) -> Vec<Json> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, number, after)) = placeholder(rest) {
            if !before.is_empty() {
                pieces.push(Json::from(before));
            }
            if let Some(held) = self.texts.get_mut(number) {
                held.used = true;
                self.given.push(held.expr.clone());
                pieces.push(held.expr.to_args());
            }
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Json::from(rest));
        }
        pieces
    }

    /// A text for a person: `sent ⟨web-01.transfer_delta.1.bytes_sent⟩ bytes`.
    pub(super) fn shown(&self, text: &str) -> String {
        let mut shown = String::new();
        let mut rest = text;
        while let Some((before, number, after)) = placeholder(rest) {
            shown.push_str(before);
            if let Some(held) = self.texts.get(number) {
                shown.push_str(&format!("⟨{}⟩", held.expr));
            }
            rest = after;
        }
        shown + rest
    }

    /// A mistake that quotes such a text is the mistake of putting it there.
    pub(super) fn told(&self, mut mistake: Diagnostic) -> Diagnostic {
        if is_in_text(&mistake.message) || mistake.help.as_deref().is_some_and(is_in_text) {
            let message = self.shown(&mistake.message);
            let message = format!("{message} (`⟨..⟩` is known only while the plan runs)");
            mistake = Diagnostic { message, code: "H107".into(), ..mistake }.help(HELP);
        }
        mistake
    }

    /// What a message is as an argument: plain, or `{"text": [..]}`.
    pub(super) fn message(&mut self, value: &Dynamic) -> Option<Json> {
        if let Some(value) = literal::held::<Deferred>(value) {
            self.take(&value.0);
            return Some(serde_json::json!({ "text": [value.0.to_args()] }));
        }
        let text = literal::text(value)?;
        if !is_in_text(&text) {
            return Some(Json::from(text.as_str()));
        }
        Some(serde_json::json!({ "text": self.pieces(&text) }))
    }

    /// The call that is being bound is given this one.
    pub(super) fn take(&mut self, expr: &Arc<Expr>) {
        self.used(expr);
        self.given.push(expr.clone());
    }

    /// What the call that is being bound was given; the next call begins with nothing.
    pub(super) fn given(&mut self) -> Vec<Arc<Expr>> {
        std::mem::take(&mut self.given)
    }
}

/// A text up to its first placeholder, the number of that, and the rest.
fn placeholder(text: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = text.split_once(OPEN)?;
    let (number, after) = rest.split_once(CLOSE)?;
    Some((before, number.parse().ok()?, after))
}

fn nodes(expr: &Expr) -> usize {
    match expr {
        Expr::Value { .. } | Expr::Output { .. } => 1,
        Expr::Apply { args, .. } => 1 + args.iter().map(nodes).sum::<usize>(),
    }
}

/// Whether a text holds a placeholder.
pub(super) fn is_in_text(text: &str) -> bool {
    text.contains(OPEN)
}

/// Whether something in a value is known only while the plan runs.
pub(super) fn is_inside(value: &Dynamic) -> bool {
    if value.is::<Deferred>() {
        return true;
    }
    if let Some(text) = literal::text(value) {
        return is_in_text(&text);
    }
    if let Some(list) = value.read_lock::<Array>() {
        return list.iter().any(is_inside);
    }
    let Some(map) = value.read_lock::<Map>() else { return false };
    map.iter().any(|(key, value)| is_in_text(key) || is_inside(value))
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

    /// Says what was made of such values and came to nothing: somewhere it was taken for an answer.
    pub(super) fn say_unused(&mut self) {
        let made = std::mem::take(&mut self.late.made);
        let texts = std::mem::take(&mut self.late.texts);
        for one in made.into_iter().filter(|one| !one.used) {
            let message = format!(
                "`{}` is known only while the plan runs, and decides nothing here",
                one.expr
            );
            let mistake = Diagnostic::error("H107", message).help(HELP);
            self.say_at(&one.at, Part::Whole, mistake);
        }
        for one in texts.into_iter().filter(|one| !one.used) {
            let message = format!(
                "`{}` is known only while the plan runs, and this text goes into no message",
                one.expr
            );
            let help = "such a text may be asked (`approve`) or told (`notify`), nothing else";
            self.say_at(&one.at, Part::Whole, Diagnostic::error("H107", message).help(help));
        }
    }
}
