//! Natives of the interpreter that are replaced, because theirs hide a mistake or take whatever a script
//! asks for: a function that fails while it sorts, or answers no truth where one is asked for, would go
//! unnoticed; a text that is replaced may become a million times as long before anybody measures it.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]

use std::cmp::Ordering;

use rhai::{
    Array, Dynamic, Engine, EvalAltResult, FnPtr, FuncRegistration, ImmutableString,
    NativeCallContext,
};

use crate::trace::engine::TEXT_BYTES_MAX;
use crate::trace::recorder::Answer;

/// Binds them over the interpreter's own.
pub(super) fn bind(engine: &mut Engine) {
    let pure = |name: &str| FuncRegistration::new(name).with_purity(true);
    pure("filter").register_into_engine(engine, filter);
    pure("some").register_into_engine(engine, |ctx: NativeCallContext<'_>, list: &mut Array, f| {
        Ok::<_, Box<EvalAltResult>>(first(&ctx, list, &f, true)?.is_some())
    });
    pure("all").register_into_engine(engine, |ctx: NativeCallContext<'_>, list: &mut Array, f| {
        Ok::<_, Box<EvalAltResult>>(first(&ctx, list, &f, false)?.is_none())
    });
    pure("find").register_into_engine(engine, |ctx: NativeCallContext<'_>, list: &mut Array, f| {
        let found = first(&ctx, list, &f, true)?;
        Ok::<_, Box<EvalAltResult>>(found.map_or(Dynamic::UNIT, |at| list[at].clone()))
    });
    pure("index_of").register_into_engine(
        engine,
        |ctx: NativeCallContext<'_>, list: &mut Array, f: FnPtr| {
            let found = first(&ctx, list, &f, true)?;
            let at = found.and_then(|at| i64::try_from(at).ok());
            Ok::<_, Box<EvalAltResult>>(at.unwrap_or(-1))
        },
    );
    for name in ["sort", "sort_by"] {
        engine.register_fn(name, sort);
    }
    engine
        .register_fn("retain", |ctx: NativeCallContext<'_>, list: &mut Array, f: FnPtr| {
            divide(&ctx, list, &f, true)
        })
        .register_fn("drain", |ctx: NativeCallContext<'_>, list: &mut Array, f: FnPtr| {
            divide(&ctx, list, &f, false)
        })
        .register_fn("dedup", dedup);
    engine
        .register_fn(
            "replace",
            |ctx: NativeCallContext<'_>, text: &mut ImmutableString, from: &str, to: &str| {
                replace(&ctx, text, from, to)
            },
        )
        .register_fn(
            "replace",
            |ctx: NativeCallContext<'_>, text: &mut ImmutableString, from: &str, to: char| {
                replace(&ctx, text, from, to.encode_utf8(&mut [0; 4]))
            },
        )
        .register_fn(
            "replace",
            |ctx: NativeCallContext<'_>, text: &mut ImmutableString, from: char, to: &str| {
                replace(&ctx, text, from.encode_utf8(&mut [0; 4]), to)
            },
        )
        .register_fn(
            "replace",
            |ctx: NativeCallContext<'_>, text: &mut ImmutableString, from: char, to: char| {
                replace(&ctx, text, from.encode_utf8(&mut [0; 4]), to.encode_utf8(&mut [0; 4]))
            },
        );
}

/// Whether `f` holds of the item at `at`.
fn holds(ctx: &NativeCallContext<'_>, f: &FnPtr, list: &[Dynamic], at: usize) -> Answer<bool> {
    let index = Dynamic::from(i64::try_from(at).unwrap_or(i64::MAX));
    let mut item = list[at].clone();
    let answer =
        f.call_raw_with_extra_args(ctx.fn_name(), ctx, Some(&mut item), [], [index], Some(0))?;
    truth(ctx, &answer)
}

fn truth(ctx: &NativeCallContext<'_>, answer: &Dynamic) -> Answer<bool> {
    answer.as_bool().map_err(|_| mismatch(ctx, "bool", answer))
}

fn mismatch(ctx: &NativeCallContext<'_>, wanted: &str, found: &Dynamic) -> Box<EvalAltResult> {
    let found = found.type_name().to_owned();
    EvalAltResult::ErrorMismatchDataType(wanted.to_owned(), found, ctx.call_position()).into()
}

/// The first item of which `f` says `wanted`.
fn first(
    ctx: &NativeCallContext<'_>,
    list: &[Dynamic],
    f: &FnPtr,
    wanted: bool,
) -> Answer<Option<usize>> {
    for at in 0..list.len() {
        if holds(ctx, f, list, at)? == wanted {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

fn filter(ctx: NativeCallContext<'_>, list: &mut Array, f: FnPtr) -> Answer<Array> {
    let mut chosen = Array::new();
    for at in 0..list.len() {
        if holds(&ctx, &f, list, at)? {
            chosen.push(list[at].clone());
        }
    }
    Ok(chosen)
}

/// Keeps the items of which `f` says `kept`; yields the others.
fn divide(ctx: &NativeCallContext<'_>, list: &mut Array, f: &FnPtr, kept: bool) -> Answer<Array> {
    let (mut stays, mut goes) = (Array::new(), Array::new());
    for at in 0..list.len() {
        let stays_here = holds(ctx, f, list, at)? == kept;
        if stays_here { &mut stays } else { &mut goes }.push(list[at].clone());
    }
    *list = stays;
    Ok(goes)
}

/// Of neighbours that `f` calls the same only the first stays.
fn dedup(ctx: NativeCallContext<'_>, list: &mut Array, f: FnPtr) -> Answer<()> {
    let mut kept = Array::new();
    for item in list.iter() {
        let same = match kept.last() {
            Some(before) => truth(&ctx, &f.call_raw(&ctx, None, [before.clone(), item.clone()])?)?,
            None => false,
        };
        if !same {
            kept.push(item.clone());
        }
    }
    *list = kept;
    Ok(())
}

/// Sorts by a function, stably; one that contradicts itself gives some order.
fn sort(ctx: NativeCallContext<'_>, list: &mut Array, f: FnPtr) -> Answer<()> {
    let mut runs: Vec<Array> = list.iter().map(|item| vec![item.clone()]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut pairs = runs.into_iter();
        while let Some(one) = pairs.next() {
            merged.push(match pairs.next() {
                Some(other) => merge(&ctx, &f, one, other)?,
                None => one,
            });
        }
        runs = merged;
    }
    *list = runs.pop().unwrap_or_default();
    Ok(())
}

fn merge(ctx: &NativeCallContext<'_>, f: &FnPtr, one: Array, other: Array) -> Answer<Array> {
    let mut merged = Array::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
        let is_later = order(ctx, &f.call_raw(ctx, None, [a.clone(), b.clone()])?)?.is_gt();
        merged.extend(if is_later { other.next() } else { one.next() });
    }
    merged.extend(one);
    merged.extend(other);
    Ok(merged)
}

/// What a comparison says: a number (below 0: before), or whether the first one comes first.
fn order(ctx: &NativeCallContext<'_>, answer: &Dynamic) -> Answer<Ordering> {
    let is_first = |is| if is { Ordering::Less } else { Ordering::Greater };
    let as_number = answer.as_int().map(|number| number.cmp(&0));
    let known = as_number.or_else(|_| answer.as_bool().map(is_first));
    known.map_err(|_| mismatch(ctx, "i64", answer))
}

fn replace(
    ctx: &NativeCallContext<'_>,
    text: &mut ImmutableString,
    from: &str,
    to: &str,
) -> Answer<()> {
    let found = if to.len() > from.len() { text.matches(from).count() } else { 0 };
    let longer = found.saturating_mul(to.len().saturating_sub(from.len()));
    if text.len().saturating_add(longer) > TEXT_BYTES_MAX {
        let what = "Length of string".to_owned();
        return Err(EvalAltResult::ErrorDataTooLarge(what, ctx.call_position()).into());
    }
    *text = text.replace(from, to).into();
    Ok(())
}
