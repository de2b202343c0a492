//! What a script does with values that are known only while the plan runs: the expressions it made,
//! the texts they stand in, and whether each came to an end that means something. A text holds such a
//! value as a placeholder: two characters that stand in no text, and a number between them.

use std::collections::HashMap;
use std::sync::Arc;

use rhai::{Array, Dynamic, Map, Position};

use crate::base::{Json, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::expr::Expr;
use crate::plan::step::StepIx;
use crate::trace::deferred::Deferred;
use crate::trace::literal;
use crate::trace::recorder::Recorder;
use crate::trace::sources::Part;

/// Around the number of a placeholder: Unicode promises that no text has these characters.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// The mark of a value that is filled in later: no text of a script's own has it.
pub(super) fn is_mark(c: char) -> bool {
    matches!(c, OPEN | CLOSE)
}
/// Values and operators of one expression.
const NODES_MAX: usize = 200;
/// Of all expressions together, per step a plan may have.
const NODES_PER_STEP_MAX: usize = 64;

/// Where such values may be used.
pub(super) const HELP: &str = "it may stand in `when(cond, ..)`, `fail_if(cond, ..)`, `wait_until(cond, ..)` and in the text of a message; to decide now read facts (`m.replica`, `m.away_over(\"30d\")`)";

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::expr::Op;

    #[test]
    fn a_text_is_taken_apart_at_its_placeholders() {
        let mut late = Late::default();
        let [one, two] = [1, 2].map(|n| Arc::new(Expr::value(n)));
        let text = format!("a {}{} b", late.place(one, Vec::new()), late.place(two, Vec::new()));
        assert_eq!(late.shown(&text), "a ⟨1⟩⟨2⟩ b");
        let message = late.message(&Dynamic::from(text)).unwrap();
        let value = |n: i64| json!({ "deferred": { "value": n } });
        assert_eq!(message, json!({ "text": ["a ", value(1), value(2), " b"] }));
        assert_eq!(late.given().len(), 2);
        assert!(late.texts.iter().all(|text| text.used));
        assert_eq!(late.message(&Dynamic::from("plain".to_owned())), Some(json!("plain")));
    }

    #[test]
    fn a_broken_placeholder_is_no_value() {
        let mut late = Late::default();
        let whole = late.place(Arc::new(Expr::value(1)), Vec::new());
        for broken in [&whole[..OPEN.len_utf8()], &whole[OPEN.len_utf8()..], "\u{FDD0}9\u{FDD1}"] {
            late.message(&Dynamic::from(broken.to_owned()));
            assert!(late.given().is_empty(), "{broken:?}");
        }
        assert!(!late.texts[0].used, "nobody is told, so it is said at the end");
    }

    #[test]
    fn expressions_have_limits() {
        let mut late = Late::default();
        let value = |n: usize| Expr::Apply { op: Op::Add, args: vec![Expr::value(1); n] };
        let mut keep = |n: usize| late.keep(Arc::new(value(n)), Vec::new(), 10);
        assert!(keep(NODES_MAX).unwrap_err().contains("more than 200"));
        for _ in 0..3 {
            assert_eq!(keep(NODES_MAX - 1), Ok(()));
        }
        assert!(keep(NODES_MAX - 1).unwrap_err().contains("too many"));
    }
}
