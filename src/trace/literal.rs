//! Values of the script language: what they are called in messages, and as data.

use rhai::{Dynamic, ImmutableString, NativeCallContext};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::trace::deferred::{Deferred, KIND};

/// What a value holds, when it is of that type. Copying the value first would cost an allocation.
pub(super) fn held<T: Clone + 'static>(value: &Dynamic) -> Option<T> {
    value.read_lock::<T>().map(|held| held.clone())
}

/// The text in a value, when it is one.
pub(super) fn text(value: &Dynamic) -> Option<ImmutableString> {
    held(value)
}

/// A value for a message: short texts, numbers and truths as written, the rest by kind.
pub(super) fn show(ctx: &NativeCallContext<'_>, value: &Dynamic) -> String {
    const SHOWN_CHARS: usize = 40;
    if let Some(text) = text(value) {
        let short: String = text.chars().take(SHOWN_CHARS).collect();
        let more = if short.len() < text.len() { ".." } else { "" };
        return format!("\"{short}{more}\"");
    }
    if let Some(value) = held::<Deferred>(value) {
        return format!("`{}`, a {KIND}", value.0);
    }
    if value.is_unit() {
        return "nothing (`()`)".to_owned();
    }
    let kind = kind(ctx, value);
    if value.is_int() || value.is_bool() || value.is_float() {
        return format!("{value}, {kind}");
    }
    kind
}

/// What kind of value it is, in words.
pub(super) fn kind(ctx: &NativeCallContext<'_>, value: &Dynamic) -> String {
    name_kind(ctx.engine().map_type_name(value.type_name()))
}

/// The same for a name that the interpreter uses.
pub(super) fn name_kind(name: &str) -> String {
    match name {
        "i64" => "a whole number",
        "f64" => "a number with a point",
        "bool" => "a truth (`true` or `false`)",
        "string" | "&str" => "a text",
        "char" => "a character",
        "array" => "a list",
        "map" => "a map (`#{..}`)",
        "Fn" => "a function",
        "()" => "nothing (`()`)",
        "range" | "range=" => "a range",
        other => return format!("a {other}"),
    }
    .to_owned()
}

/// An option that a function does not have.
pub(super) fn unknown_option(function: &str, key: &str, known: &[&str]) -> Diagnostic {
    let message = format!("`{function}` has no option `{key}`");
    let help = match did_you_mean(key, known.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None if known.is_empty() => "it has no options".to_owned(),
        None => format!("it has {}", known.join(", ")),
    };
    Diagnostic::error("H116", message).help(help)
}
