//! Values that are known only while a plan runs, as scripts hold them: operators make expressions of
//! them, and whatever else is done with one is a mistake that is said. The interpreter would compare
//! them with anything, and answer `false`, without a word.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, Module, NativeCallContext};

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::expr::{Expr, Op};
use crate::trace::bind::any_native;
use crate::trace::late;
use crate::trace::literal;
use crate::trace::reach::Sort;
use crate::trace::recorder::{Answer, Desk, Unknown};
use crate::trace::sources::Part;

/// A value that a step will put out, or what operators make of such values.
#[derive(Clone)]
pub(super) struct Deferred(pub(super) Arc<Expr>);

/// What it is called in messages.
pub(super) const KIND: &str = "value known only while the plan runs";

const BINARY: [Op; 12] = [
    Op::Eq,
    Op::Ne,
    Op::Lt,
    Op::Le,
    Op::Gt,
    Op::Ge,
    Op::Add,
    Op::Sub,
    Op::Mul,
    Op::Div,
    Op::And,
    Op::Or,
];

/// Binds operators and `or`, and closes every hole beside them.
pub(super) fn bind(engine: &mut Engine) {
    engine.register_type_with_name::<Deferred>(KIND);
    for op in BINARY {
        let symbol = op.as_str();
        engine
            .register_fn(symbol, move |ctx: NativeCallContext<'_>, a: Deferred, b: Dynamic| {
                binary(&ctx, op, &Dynamic::from(a), &b)
            })
            .register_fn(symbol, move |ctx: NativeCallContext<'_>, a: Dynamic, b: Deferred| {
                binary(&ctx, op, &a, &Dynamic::from(b))
            });
    }
    for op in [Op::Not, Op::Sub] {
        engine.register_fn(op.as_str(), move |ctx: NativeCallContext<'_>, a: Deferred| {
            unary(&ctx, op, &a)
        });
    }
    engine
        .register_fn("to_string", |ctx: NativeCallContext<'_>, d: Deferred| in_text(&ctx, &d))
        .register_fn("to_debug", |ctx: NativeCallContext<'_>, d: Deferred| in_text(&ctx, &d))
        .register_fn("+=", |ctx: NativeCallContext<'_>, t: &mut ImmutableString, d: Deferred| {
            let more = in_text(&ctx, &d);
            *t += more.as_str();
        })
        .register_indexer_get(|ctx: NativeCallContext<'_>, _: &mut Deferred, name: Dynamic| {
            let name = literal::text(&name).map(|name| format!(", `{name}` either"));
            misuse(&ctx, &format!("nothing can be read of it{}", name.unwrap_or_default()))
        });
    let mut module = Module::new();
    any_native(&mut module, "or", 2, or);
    engine.register_global_module(module.into());
    close_lists(engine);
}

/// What lists and maps compare inside: an expression is no answer there.
fn close_lists(engine: &mut Engine) {
    engine
        .register_fn("contains", |ctx: NativeCallContext<'_>, _: Array, _: Deferred| is_in(&ctx))
        .register_fn("contains", |ctx: NativeCallContext<'_>, _: Map, _: Deferred| is_in(&ctx))
        .register_fn("contains", |ctx: NativeCallContext<'_>, _: ImmutableString, _: Deferred| {
            is_in(&ctx)
        })
        .register_fn("contains", |ctx: NativeCallContext<'_>, _: Deferred, _: Dynamic| is_in(&ctx))
        .register_fn("contains", list_contains)
        .register_fn("index_of", |ctx: NativeCallContext<'_>, _: Array, _: Deferred| is_in(&ctx));
}

fn is_in(ctx: &NativeCallContext<'_>) -> Dynamic {
    misuse(ctx, "`in` and `contains` ask for an answer now: compare with `==`, one by one")
}

/// `3 in [a, b]`, where one of the list may be no value yet.
fn list_contains(ctx: NativeCallContext<'_>, list: &mut Array, wanted: Dynamic) -> Answer<Dynamic> {
    if list.iter().any(late::is_inside) || late::is_inside(&wanted) {
        return Ok(is_in(&ctx));
    }
    for item in list.iter_mut() {
        let mut wanted = wanted.clone();
        let same = ctx.call_native_fn_raw("==", true, &mut [item, &mut wanted])?;
        if same.as_bool() == Ok(true) {
            return Ok(Dynamic::TRUE);
        }
    }
    Ok(Dynamic::FALSE)
}

fn misuse(ctx: &NativeCallContext<'_>, what: &str) -> Dynamic {
    let message = format!("this value is known only while the plan runs: {what}");
    Desk::of(ctx).open().say(ctx, Part::Whole, Diagnostic::error("H107", message).help(late::HELP));
    Dynamic::from(Unknown)
}

/// A place in a text that is filled in when the text is shown.
fn in_text(ctx: &NativeCallContext<'_>, value: &Deferred) -> ImmutableString {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    recorder.late.used(&value.0);
    let places = recorder.places(ctx);
    recorder.late.place(value.0.clone(), places).into()
}

fn binary(ctx: &NativeCallContext<'_>, op: Op, left: &Dynamic, right: &Dynamic) -> Answer<Dynamic> {
    if left.is::<Unknown>() || right.is::<Unknown>() {
        return Ok(Dynamic::from(Unknown));
    }
    let desk = Desk::of(ctx);
    let (a, b) = match (operand(left), operand(right)) {
        (Some(a), Some(b)) => (a, b),
        (None, _) => return Ok(unfit(ctx, op, left)),
        (_, None) => return Ok(unfit(ctx, op, right)),
    };
    let sorts = desk.open().sorts([&a, &b]);
    if op == Op::Add && sorts.contains(&Sort::Text) {
        let text = |value: &Dynamic| match literal::held::<Deferred>(value) {
            Some(value) => in_text(ctx, &value),
            None => value.to_string().into(),
        };
        return Ok(Dynamic::from(text(left) + text(right)));
    }
    if let Some(wrong) = senseless(op, sorts) {
        let message = format!("`{a} {} {b}`: {wrong}", op.as_str());
        let mistake = Diagnostic::error("H104", message);
        let mistake = mistake.help("both sides must be of one kind: two numbers, two truths");
        desk.open().say(ctx, Part::Whole, mistake);
        return Ok(Dynamic::from(Unknown));
    }
    made(ctx, Expr::Apply { op, args: vec![plain(a), plain(b)] }, [left, right])
}

fn unary(ctx: &NativeCallContext<'_>, op: Op, value: &Deferred) -> Answer<Dynamic> {
    let wanted = if op == Op::Not { Sort::Truth } else { Sort::Number };
    let desk = Desk::of(ctx);
    let sort = desk.open().sort(&value.0);
    if !sort.fits(wanted) {
        let message = format!("`{}{}`: this is {}", op.as_str(), value.0, sort.as_str());
        let mistake = Diagnostic::error("H104", message);
        desk.open().say(ctx, Part::Whole, mistake.help("`!` is for truths, `-` for numbers"));
        return Ok(Dynamic::from(Unknown));
    }
    let of = Dynamic::from(value.clone());
    made(ctx, Expr::Apply { op, args: vec![Expr::clone(&value.0)] }, [&of])
}

/// `last.bytes_sent.or(0)`: the other value where the step did not run.
fn or(ctx: &NativeCallContext<'_>, values: Vec<Dynamic>) -> Answer<Dynamic> {
    let [value, default] = &values[..] else { panic!("BUG: registered with two arguments") };
    if value.is::<Unknown>() || default.is::<Unknown>() {
        return Ok(Dynamic::from(Unknown));
    }
    let desk = Desk::of(ctx);
    let Some(of) = literal::held::<Deferred>(value) else {
        let message =
            format!("`or` follows an output of a step, and this is {}", literal::show(ctx, value));
        let help = "`check.ok.or(false)`; of two truths write `a || b`";
        desk.open().say(ctx, Part::Whole, Diagnostic::error("H114", message).help(help));
        return Ok(Dynamic::from(Unknown));
    };
    let Some(default_of) = operand(default) else {
        return Ok(unfit(ctx, Op::Default, default));
    };
    let sorts = desk.open().sorts([&of.0, &default_of]);
    if !sorts[0].fits(sorts[1]) {
        let message = format!(
            "`{}` is {}, and would be {} where its step did not run",
            of.0,
            sorts[0].as_str(),
            sorts[1].as_str()
        );
        let mistake = Diagnostic::error("H104", message).help("give a value of the same kind");
        desk.open().say(ctx, Part::Argument(1), mistake);
        return Ok(Dynamic::from(Unknown));
    }
    let args = vec![Expr::clone(&of.0), plain(default_of)];
    made(ctx, Expr::Apply { op: Op::Default, args }, [value, default])
}

/// An operand as an expression.
fn operand(value: &Dynamic) -> Option<Arc<Expr>> {
    if let Some(value) = literal::held::<Deferred>(value) {
        return Some(value.0);
    }
    let json = match literal::text(value) {
        Some(text) if late::is_in_text(&text) => return None,
        Some(text) => Json::from(text.as_str()),
        None => value.as_bool().map(Json::from).or_else(|_| value.as_int().map(Json::from)).ok()?,
    };
    Some(Arc::new(Expr::value(json)))
}

fn plain(expr: Arc<Expr>) -> Expr {
    Arc::unwrap_or_clone(expr)
}

/// Says that an operator has no meaning with such a value.
fn unfit(ctx: &NativeCallContext<'_>, op: Op, value: &Dynamic) -> Dynamic {
    let message = format!(
        "`{}` of a value known only while the plan runs and {} means nothing",
        op.as_str(),
        literal::show(ctx, value)
    );
    let help = if value.is_unit() {
        "a step that ran has its outputs; `.or(default)` says what holds where it did not run"
    } else if value.is_float() {
        "write a whole number: bytes and seconds are whole here"
    } else {
        "it goes together with whole numbers, truths, texts and other such values"
    };
    Desk::of(ctx).open().say(ctx, Part::Whole, Diagnostic::error("H107", message).help(help));
    Dynamic::from(Unknown)
}

/// Why an operator means nothing with operands of these sorts.
fn senseless(op: Op, [a, b]: [Sort; 2]) -> Option<String> {
    let both = |wanted: Sort| a.fits(wanted) && b.fits(wanted);
    let fits = match op {
        Op::Eq | Op::Ne => a.fits(b),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => both(Sort::Number) || both(Sort::Text),
        Op::And | Op::Or => both(Sort::Truth),
        _ => both(Sort::Number),
    };
    (!fits).then(|| format!("one is {}, the other {}", a.as_str(), b.as_str()))
}

/// A new expression, within limits.
fn made<const N: usize>(
    ctx: &NativeCallContext<'_>,
    expr: Expr,
    of: [&Dynamic; N],
) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    for part in of.into_iter().filter_map(literal::held::<Deferred>) {
        recorder.late.used(&part.0);
    }
    let steps_max = recorder.inventory.limits.steps_max;
    let expr = Arc::new(expr);
    let places = recorder.places(ctx);
    match recorder.late.keep(expr.clone(), places, steps_max) {
        Ok(()) => Ok(Dynamic::from(Deferred(expr))),
        Err(why) => {
            let help = "a condition is a few comparisons; sum up in a command, and read its answer";
            recorder.refuse(ctx, Part::Whole, Diagnostic::error("H140", why).help(help))
        }
    }
}
