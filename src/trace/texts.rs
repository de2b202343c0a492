//! Texts in which something is filled in while the plan runs: to ask such a text something now is a
//! mistake. (What cuts one to pieces without asking is found at the end: it arrives in no message.)

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use crate::diagnostic::Diagnostic;
use crate::trace::late;
use crate::trace::recorder::{Answer, Desk, Unknown};
use crate::trace::sources::Part;

type Compares = fn(&str, &str) -> bool;

/// Questions to two texts.
const COMPARISONS: [(&str, Compares); 9] = [
    ("==", |a, b| a == b),
    ("!=", |a, b| a != b),
    ("<", |a, b| a < b),
    ("<=", |a, b| a <= b),
    (">", |a, b| a > b),
    (">=", |a, b| a >= b),
    ("contains", |a, b| a.contains(b)),
    ("starts_with", |a, b| a.starts_with(b)),
    ("ends_with", |a, b| a.ends_with(b)),
];

/// Binds what is asked of texts, and of lists and maps that may hold such.
pub(super) fn bind(engine: &mut Engine) {
    // Else the interpreter compares texts without asking anybody.
    engine.set_fast_operators(false);
    for (name, compares) in COMPARISONS {
        engine.register_fn(
            name,
            move |ctx: NativeCallContext<'_>, a: ImmutableString, b: ImmutableString| {
                asked(&ctx, &[&a, &b]).unwrap_or_else(|| Dynamic::from(compares(&a, &b)))
            },
        );
    }
    engine
        .register_fn("len", |ctx: NativeCallContext<'_>, text: ImmutableString| {
            asked(&ctx, &[&text]).unwrap_or_else(|| Dynamic::from(text.chars().count() as i64))
        })
        .register_fn("is_empty", |ctx: NativeCallContext<'_>, text: ImmutableString| {
            asked(&ctx, &[&text]).unwrap_or_else(|| Dynamic::from(text.is_empty()))
        })
        .register_fn("contains", |ctx: NativeCallContext<'_>, map: Map, key: ImmutableString| {
            asked(&ctx, &[&key]).unwrap_or_else(|| Dynamic::from(map.contains_key(key.as_str())))
        })
        .register_fn("==", |ctx: NativeCallContext<'_>, a: Array, b: Array| lists(&ctx, a, b, true))
        .register_fn("!=", |ctx: NativeCallContext<'_>, a: Array, b: Array| {
            lists(&ctx, a, b, false)
        })
        .register_fn("==", |ctx: NativeCallContext<'_>, a: Map, b: Map| maps(&ctx, a, b, true))
        .register_fn("!=", |ctx: NativeCallContext<'_>, a: Map, b: Map| maps(&ctx, a, b, false));
}

/// What is answered about texts that are not known yet; `None` where all are.
fn asked(ctx: &NativeCallContext<'_>, texts: &[&str]) -> Option<Dynamic> {
    texts.iter().any(|text| late::is_in_text(text)).then(|| {
        let message =
            "this text is known only while the plan runs: it cannot be compared or measured now";
        refused(ctx, message)
    })
}

fn refused(ctx: &NativeCallContext<'_>, message: &str) -> Dynamic {
    let mistake = Diagnostic::error("H107", message).help(late::HELP);
    Desk::of(ctx).open().say(ctx, Part::Whole, mistake);
    Dynamic::from(Unknown)
}

const INSIDE: &str =
    "something in it is known only while the plan runs: lists and maps of such cannot be compared";

fn lists(ctx: &NativeCallContext<'_>, a: Array, b: Array, wanted: bool) -> Answer<Dynamic> {
    if a.iter().chain(&b).any(late::is_inside) {
        return Ok(refused(ctx, INSIDE));
    }
    let mut same = a.len() == b.len();
    for (mut a, mut b) in a.into_iter().zip(b) {
        same = same && equal(ctx, &mut a, &mut b)?;
    }
    Ok(Dynamic::from(same == wanted))
}

fn maps(ctx: &NativeCallContext<'_>, a: Map, mut b: Map, wanted: bool) -> Answer<Dynamic> {
    if a.values().chain(b.values()).any(late::is_inside) {
        return Ok(refused(ctx, INSIDE));
    }
    let mut same = a.len() == b.len();
    for (key, mut value) in a {
        same = same
            && match b.get_mut(&key) {
                Some(other) => equal(ctx, &mut value, other)?,
                None => false,
            };
    }
    Ok(Dynamic::from(same == wanted))
}

fn equal(ctx: &NativeCallContext<'_>, a: &mut Dynamic, b: &mut Dynamic) -> Answer<bool> {
    let same = ctx.call_native_fn_raw("==", true, &mut [a, b])?;
    Ok(same.as_bool().unwrap_or(false))
}
