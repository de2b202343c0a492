//! Values that are known only while a plan runs: expressions over what steps put out.
//!
//! A deferred value stands in a step's arguments as `{"deferred": <expression>}`, a text with such values
//! in it as `{"text": ["sent ", {"deferred": ..}, " bytes"]}`. The engine resolves both before an attempt.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Json, StepId};

/// An expression over outputs. On disk: `{"value": 3}`, `{"of": "web-01.check.1", "output": "ok"}`,
/// `{"op": "<", "args": [..]}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Expression")]
pub enum Expr {
    /// A value that was known when the plan was made.
    Value {
        /// The value.
        value: Json,
    },
    /// What a step puts out.
    Output {
        /// The step.
        of: StepId,
        /// Which of its outputs.
        output: Arc<str>,
    },
    /// An operator over one or two operands.
    Apply {
        /// The operator.
        op: Op,
        /// Its operands, left to right.
        args: Vec<Expr>,
    },
}

/// Every operator of deferred values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Operator")]
pub enum Op {
    /// Equal.
    #[serde(rename = "==")]
    Eq,
    /// Not equal.
    #[serde(rename = "!=")]
    Ne,
    /// Less.
    #[serde(rename = "<")]
    Lt,
    /// Less or equal.
    #[serde(rename = "<=")]
    Le,
    /// Greater.
    #[serde(rename = ">")]
    Gt,
    /// Greater or equal.
    #[serde(rename = ">=")]
    Ge,
    /// Sum of numbers.
    #[serde(rename = "+")]
    Add,
    /// Difference; with one operand the negative.
    #[serde(rename = "-")]
    Sub,
    /// Product.
    #[serde(rename = "*")]
    Mul,
    /// Quotient.
    #[serde(rename = "/")]
    Div,
    /// Both.
    #[serde(rename = "&")]
    And,
    /// One of them at least.
    #[serde(rename = "|")]
    Or,
    /// Not.
    #[serde(rename = "!")]
    Not,
    /// The left one if its step ran, else the right one.
    #[serde(rename = "or")]
    Default,
}

impl Op {
    /// As scripts write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Eq => "==",
            Op::Ne => "!=",
            Op::Lt => "<",
            Op::Le => "<=",
            Op::Gt => ">",
            Op::Ge => ">=",
            Op::Add => "+",
            Op::Sub => "-",
            Op::Mul => "*",
            Op::Div => "/",
            Op::And => "&",
            Op::Or => "|",
            Op::Not => "!",
            Op::Default => "or",
        }
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// The step did not run, or failed.
    #[error("`{0}` has put nothing out: it was skipped or failed")]
    NotThere(StepId),
    /// The operands do not fit the operator.
    #[error("{0}")]
    Senseless(String),
}

/// What steps have put out, by id; `None`: nothing (yet).
pub type Outputs<'a> = &'a dyn Fn(&StepId) -> Option<Arc<Json>>;

impl Expr {
    /// A value that is known already.
    pub fn value(value: impl Into<Json>) -> Expr {
        Expr::Value { value: value.into() }
    }

    /// Its value, once the steps that it reads have run.
    ///
    /// # Errors
    /// [`NoValue`] when one of them did not, or the operands do not fit.
    pub fn evaluate(&self, outputs: Outputs<'_>) -> Result<Json, NoValue> {
        match self {
            Expr::Value { value } => Ok(value.clone()),
            Expr::Output { of, output } => {
                let found = outputs(of).and_then(|all| all.get(&**output).cloned());
                found.ok_or_else(|| NoValue::NotThere(of.clone()))
            }
            Expr::Apply { op, args } => apply(*op, args, outputs),
        }
    }

    /// Its value as a condition.
    ///
    /// # Errors
    /// As [`Expr::evaluate`]; and when it is neither true nor false.
    pub fn holds(&self, outputs: Outputs<'_>) -> Result<bool, NoValue> {
        truth(&self.evaluate(outputs)?, self)
    }

    /// The steps that it reads.
    pub fn steps(&self) -> BTreeSet<&StepId> {
        match self {
            Expr::Value { .. } => BTreeSet::new(),
            Expr::Output { of, .. } => [of].into(),
            Expr::Apply { args, .. } => args.iter().flat_map(Expr::steps).collect(),
        }
    }

    /// The steps that must have run for it to have a value: without those whose absence `or` answers.
    pub fn steps_needed(&self) -> BTreeSet<&StepId> {
        match self {
            Expr::Value { .. } => BTreeSet::new(),
            Expr::Output { of, .. } => [of].into(),
            Expr::Apply { op: Op::Default, args } => {
                args.iter().skip(1).flat_map(Expr::steps_needed).collect()
            }
            Expr::Apply { args, .. } => args.iter().flat_map(Expr::steps_needed).collect(),
        }
    }

    /// As it stands in a step's arguments.
    pub fn to_args(&self) -> Json {
        serde_json::json!({ "deferred": self })
    }
}

impl std::fmt::Display for Expr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Expr::Value { value } => write!(f, "{value}"),
            Expr::Output { of, output } => write!(f, "{of}.{output}"),
            Expr::Apply { op: Op::Default, args } => match &args[..] {
                [value, default] => write!(f, "{}.or({default})", InParens(value)),
                _ => f.write_str("?"),
            },
            Expr::Apply { op, args } => match &args[..] {
                [one] => write!(f, "{}{}", op.as_str(), InParens(one)),
                [left, right] => {
                    write!(f, "{} {} {}", InParens(left), op.as_str(), InParens(right))
                }
                _ => f.write_str("?"),
            },
        }
    }
}

struct InParens<'a>(&'a Expr);

impl std::fmt::Display for InParens<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Expr::Apply { op, args } if args.len() == 2 && *op != Op::Default => {
                write!(f, "({})", self.0)
            }
            plain => write!(f, "{plain}"),
        }
    }
}

fn apply(op: Op, args: &[Expr], outputs: Outputs<'_>) -> Result<Json, NoValue> {
    let value = |at: usize| args[at].evaluate(outputs);
    match (op, args.len()) {
        (Op::Default, 2) => match value(0) {
            Err(NoValue::NotThere(_)) => value(1),
            found => found,
        },
        (Op::Not, 1) => Ok(Json::from(!truth(&value(0)?, &args[0])?)),
        (Op::Sub, 1) => arithmetic(op, &Json::from(0), &value(0)?),
        // The second one is not asked for when the first decides.
        (Op::And, 2) => {
            Ok(Json::from(truth(&value(0)?, &args[0])? && truth(&value(1)?, &args[1])?))
        }
        (Op::Or, 2) => Ok(Json::from(truth(&value(0)?, &args[0])? || truth(&value(1)?, &args[1])?)),
        (Op::Eq, 2) => Ok(Json::from(same(&value(0)?, &value(1)?))),
        (Op::Ne, 2) => Ok(Json::from(!same(&value(0)?, &value(1)?))),
        (Op::Lt | Op::Le | Op::Gt | Op::Ge, 2) => compare(op, &value(0)?, &value(1)?),
        (Op::Add | Op::Sub | Op::Mul | Op::Div, 2) => arithmetic(op, &value(0)?, &value(1)?),
        _ => Err(NoValue::Senseless(format!("`{}` of {} operands", op.as_str(), args.len()))),
    }
}

fn truth(value: &Json, of: &Expr) -> Result<bool, NoValue> {
    value.as_bool().ok_or_else(|| {
        NoValue::Senseless(format!("`{of}` is {value}, where true or false is needed"))
    })
}

/// Numbers are equal by value (`1` and `1.0`), all else as it stands.
fn same(left: &Json, right: &Json) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(a), Some(b)) => match (left.as_i64(), right.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        _ => left == right,
    }
}

fn compare(op: Op, left: &Json, right: &Json) -> Result<Json, NoValue> {
    let order = match (left, right) {
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        _ => match (left.as_i64(), right.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => left.as_f64().zip(right.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
        },
    };
    let order = order.ok_or_else(|| senseless(op, left, right))?;
    Ok(Json::from(match op {
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        _ => order.is_ge(),
    }))
}

fn arithmetic(op: Op, left: &Json, right: &Json) -> Result<Json, NoValue> {
    let wrong = || senseless(op, left, right);
    if let (Some(a), Some(b)) = (left.as_i64(), right.as_i64()) {
        let whole = match op {
            Op::Add => a.checked_add(b),
            Op::Sub => a.checked_sub(b),
            Op::Mul => a.checked_mul(b),
            _ => a.checked_div(b),
        };
        return whole.map(Json::from).ok_or_else(wrong);
    }
    let (a, b) = left.as_f64().zip(right.as_f64()).ok_or_else(wrong)?;
    let number = match op {
        Op::Add => a + b,
        Op::Sub => a - b,
        Op::Mul => a * b,
        _ => a / b,
    };
    serde_json::Number::from_f64(number).map(Json::Number).ok_or_else(wrong)
}

fn senseless(op: Op, left: &Json, right: &Json) -> NoValue {
    NoValue::Senseless(format!("`{left} {} {right}` has no value", op.as_str()))
}

/// The expression that a value inside a step's arguments stands for.
pub fn deferred(value: &Json) -> Option<Expr> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    serde_json::from_value(object.get("deferred")?.clone()).ok()
}

/// The condition that a value inside a step's arguments has looked at again and again.
pub fn until(value: &Json) -> Option<Expr> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    serde_json::from_value(object.get("until")?.clone()).ok()
}

fn pieces(value: &Json) -> Option<&Vec<Json>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("text")?.as_array()
}

/// Whether a value of a step's arguments is known only while the plan runs.
pub fn is_deferred(value: &Json) -> bool {
    let wrapped = |object: &serde_json::Map<String, Json>| {
        object.len() == 1 && (object.contains_key("deferred") || object.contains_key("text"))
    };
    value.as_object().is_some_and(wrapped)
}

/// The arguments with every deferred value replaced by what it is now.
///
/// # Errors
/// [`NoValue`] when one of them has none.
pub fn resolved(args: &Json, outputs: Outputs<'_>) -> Result<Json, NoValue> {
    replaced(args, &|expr| expr.evaluate(outputs)).map(Cow::into_owned)
}

/// The arguments with every deferred value replaced by its source, for sentences: `⟨web-01.check.1.ok⟩`.
/// A condition that is the whole value stands as `true`.
pub fn described(args: &Json) -> Cow<'_, Json> {
    let shown = |expr: &Expr| -> Result<Json, NoValue> { Ok(Json::from(format!("⟨{expr}⟩"))) };
    replaced(args, &shown).expect("BUG: a source can always be shown")
}

fn replaced<'a>(
    args: &'a Json,
    each: &dyn Fn(&Expr) -> Result<Json, NoValue>,
) -> Result<Cow<'a, Json>, NoValue> {
    let Some(object) = args.as_object().filter(|all| all.values().any(is_deferred)) else {
        return Ok(Cow::Borrowed(args));
    };
    let mut out = serde_json::Map::new();
    for (name, value) in object {
        let value = if let Some(expr) = deferred(value) {
            each(&expr)?
        } else if let Some(pieces) = pieces(value) {
            let mut text = String::new();
            for piece in pieces {
                match deferred(piece) {
                    Some(expr) => text.push_str(&plain(&each(&expr)?)),
                    None => text.push_str(&plain(piece)),
                }
            }
            Json::from(text)
        } else {
            value.clone()
        };
        out.insert(name.clone(), value);
    }
    Ok(Cow::Owned(Json::Object(out)))
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The steps that the deferred values of a step's arguments read, each with the name of the argument.
pub fn steps_read(args: &Json) -> Vec<(String, StepId)> {
    let mut all = Vec::new();
    for (name, value) in args.as_object().into_iter().flatten() {
        let whole = deferred(value).or_else(|| until(value)).into_iter();
        let inside = pieces(value).into_iter().flatten().filter_map(deferred);
        for expr in whole.chain(inside) {
            all.extend(expr.steps().into_iter().map(|step| (name.clone(), step.clone())));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn output(of: &str, name: &str) -> Expr {
        Expr::Output { of: StepId::new(of).unwrap(), output: name.into() }
    }

    fn apply(op: Op, args: impl Into<Vec<Expr>>) -> Expr {
        Expr::Apply { op, args: args.into() }
    }

    fn ran(step: &StepId) -> Option<Arc<Json>> {
        let outputs = match step.as_str() {
            "web-01.check.1" => json!({ "ok": true, "detail": "200" }),
            "web-01.transfer_delta.1" => json!({ "bytes_sent": 5, "rate": 2.5 }),
            _ => return None,
        };
        Some(Arc::new(outputs))
    }

    fn value(expr: &Expr) -> Result<Json, NoValue> {
        expr.evaluate(&ran)
    }

    #[test]
    fn operators_mean_what_they_mean_elsewhere() {
        let sent = || output("web-01.transfer_delta.1", "bytes_sent");
        let rate = || output("web-01.transfer_delta.1", "rate");
        let ok = || output("web-01.check.1", "ok");
        let of = |n: i64| Expr::value(n);
        for (op, left, right, wanted) in [
            (Op::Eq, sent(), of(5), json!(true)),
            (Op::Ne, sent(), Expr::value("5"), json!(true)),
            (Op::Lt, sent(), of(6), json!(true)),
            (Op::Ge, rate(), of(3), json!(false)),
            (Op::Add, sent(), of(2), json!(7)),
            (Op::Div, sent(), of(2), json!(2)),
            (Op::Mul, rate(), of(2), json!(5.0)),
            (Op::And, ok(), Expr::value(false), json!(false)),
            (Op::Or, ok(), output("nobody", "ok"), json!(true)),
            (Op::Default, output("nobody", "bytes_sent"), of(0), json!(0)),
        ] {
            let expr = apply(op, [left, right]);
            assert_eq!(value(&expr), Ok(wanted), "{expr}");
        }
        assert_eq!(value(&apply(Op::Not, [ok()])), Ok(json!(false)));
        assert_eq!(value(&apply(Op::Sub, [sent()])), Ok(json!(-5)));
    }

    #[test]
    fn what_has_no_value_says_why() {
        let nobody = StepId::new("nobody").unwrap();
        let missing = output("nobody", "ok");
        assert_eq!(value(&missing), Err(NoValue::NotThere(nobody)));
        let text = output("web-01.check.1", "detail");
        for expr in [
            apply(Op::Lt, [text.clone(), Expr::value(1)]),
            apply(Op::Div, [Expr::value(1), Expr::value(0)]),
            apply(Op::Add, [Expr::value(i64::MAX), Expr::value(1)]),
            apply(Op::Not, [text]),
        ] {
            assert!(matches!(value(&expr), Err(NoValue::Senseless(_))), "{expr}");
        }
    }

    #[test]
    fn it_goes_to_disk_and_comes_back() {
        let expr = apply(
            Op::And,
            [apply(Op::Not, [output("web-01.check.1", "ok")]), Expr::value(json!("x"))],
        );
        let text = serde_json::to_string(&expr).unwrap();
        assert_eq!(serde_json::from_str::<Expr>(&text).unwrap(), expr);
        assert_eq!(expr.to_string(), "!web-01.check.1.ok & \"x\"");
    }

    #[test]
    fn arguments_are_resolved_when_they_are_known_and_described_before() {
        let sent = output("web-01.transfer_delta.1", "bytes_sent");
        let args =
            json!({ "message": { "text": ["sent ", sent.to_args(), " bytes"] }, "name": "go" });
        assert_eq!(resolved(&args, &ran), Ok(json!({ "message": "sent 5 bytes", "name": "go" })));
        let source = "sent ⟨web-01.transfer_delta.1.bytes_sent⟩ bytes";
        assert_eq!(described(&args)["message"], source);
        assert_eq!(steps_read(&args).len(), 1);
        let again = json!({ "cond": { "until": output("web-01.check.1", "ok") }, "probes": [] });
        assert_eq!(steps_read(&again)[0].1.as_str(), "web-01.check.1");
        assert_eq!(resolved(&json!({ "name": "go" }), &ran), Ok(json!({ "name": "go" })));
    }
}
