//! `param(name, default, #{ help, one_of, min, max })`: what a plan can be told from outside.

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use crate::base::Json;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::trace::ParamDecl;
use crate::trace::literal;
use crate::trace::recorder::{Answer, Desk, Recorder};
use crate::trace::sources::Part;

const OPTIONS: [&str; 4] = ["help", "one_of", "min", "max"];

/// Binds `param`.
pub(super) fn bind(engine: &mut Engine) {
    engine
        .register_fn(
            "param",
            |ctx: NativeCallContext<'_>, name: ImmutableString, default: Dynamic| {
                param(&ctx, &name, &default, &Map::new())
            },
        )
        .register_fn(
            "param",
            |ctx: NativeCallContext<'_>, name: ImmutableString, default: Dynamic, options: Map| {
                param(&ctx, &name, &default, &options)
            },
        );
}

/// What a parameter is in this compile.
fn param(
    ctx: &NativeCallContext<'_>,
    name: &str,
    default: &Dynamic,
    options: &Map,
) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    let all = [Dynamic::from(name.to_owned()), default.clone(), Dynamic::from(options.clone())];
    for (at, value) in all.iter().enumerate() {
        if recorder.is_late(ctx, Part::Argument(at), "all of a parameter", value) {
            return Err(crate::trace::recorder::stop(ctx.call_position()));
        }
    }
    let Some(json) = data(default).filter(|json| !json.is_array()) else {
        let message = format!("the default of `{name}` cannot be {}", literal::show(ctx, default));
        let help = "a text, a whole number, `true` or `false`; `()` where it must be given";
        return recorder.refuse(
            ctx,
            Part::Argument(1),
            Diagnostic::error("H115", message).help(help),
        );
    };
    let mut decl = ParamDecl {
        name: name.to_owned(),
        value: json.clone(),
        default: json,
        help: None,
        one_of: None,
        min: None,
        max: None,
    };
    declare(ctx, recorder, &mut decl, options);
    if let Some(known) = recorder.params.iter().find(|known| known.name == name) {
        if (&known.default, &known.one_of, known.min, known.max)
            == (&decl.default, &decl.one_of, decl.min, decl.max)
        {
            return Ok(value(&known.value));
        }
        let message = format!("the parameter `{name}` is declared twice, differently");
        let help = "declare it once, and pass its value on";
        return recorder.refuse(ctx, Part::Whole, Diagnostic::error("H118", message).help(help));
    }
    let chosen = choose(recorder, &decl);
    let refused = chosen.is_err();
    match chosen {
        Ok(value) => decl.value = value,
        Err(mistake) => recorder.say(ctx, Part::Whole, mistake),
    }
    let answer = value(&decl.value);
    recorder.params.push(decl);
    // Without a value there is nothing to trace with.
    if refused && answer.is_unit() {
        return Err(crate::trace::recorder::stop(ctx.call_position()));
    }
    Ok(answer)
}

fn declare(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    decl: &mut ParamDecl,
    options: &Map,
) {
    for (key, given) in options {
        let fits = match key.as_str() {
            "help" => {
                decl.help = literal::text(given).map(|text| text.to_string());
                decl.help.is_some()
            }
            "one_of" => {
                decl.one_of = data(given).and_then(|json| json.as_array().cloned());
                decl.one_of.is_some()
            }
            "min" => {
                decl.min = given.as_int().ok();
                decl.min.is_some()
            }
            "max" => {
                decl.max = given.as_int().ok();
                decl.max.is_some()
            }
            _ => {
                recorder.say(ctx, Part::Key(key), literal::unknown_option("param", key, &OPTIONS));
                continue;
            }
        };
        if !fits {
            let message = format!("`{key}` of `param` cannot be {}", literal::show(ctx, given));
            let help = "`help` is a text, `one_of` a list, `min` and `max` whole numbers";
            recorder.say(ctx, Part::Value(key), Diagnostic::error("H117", message).help(help));
        }
    }
}

/// The value given with `-p`, or the default.
fn choose(recorder: &Recorder, decl: &ParamDecl) -> Result<Json, Diagnostic> {
    let name = &decl.name;
    let Some(text) = recorder.given.get(name) else {
        if decl.default.is_null() {
            let message = format!("the parameter `{name}` must be given");
            let help = decl.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            return Err(Diagnostic::error("H154", message).help(format!("-p {name}=..{help}")));
        }
        return Ok(decl.default.clone());
    };
    let (read, kind) = match &decl.default {
        Json::Bool(_) => (text.parse().ok().map(Json::Bool), "`true` or `false`"),
        Json::Number(_) => (text.parse::<i64>().ok().map(Json::from), "a whole number"),
        _ => (Some(Json::from(text.as_str())), "a text"),
    };
    let Some(read) = read else {
        let message = format!("the parameter `{name}` is {kind}, and was given `{text}`");
        return Err(Diagnostic::error("H152", message));
    };
    let refuse = |rule: String| {
        let message = format!("the parameter `{name}` was given `{text}`, and {rule}");
        Err(Diagnostic::error("H153", message))
    };
    if let Some(allowed) = decl.one_of.as_ref().filter(|allowed| !allowed.contains(&read)) {
        let allowed: Vec<String> = allowed.iter().map(show).collect();
        return refuse(format!("takes one of {}", allowed.join(", ")));
    }
    match (read.as_i64(), decl.min, decl.max) {
        (Some(n), Some(min), _) if n < min => refuse(format!("is at least {min}")),
        (Some(n), _, Some(max)) if n > max => refuse(format!("is at most {max}")),
        _ => Ok(read),
    }
}

/// Values given for parameters that nobody declared.
pub(super) fn unknown(recorder: &Recorder) -> Vec<Diagnostic> {
    let declared = || recorder.params.iter().map(|param| param.name.as_str());
    let unknown = recorder.given.keys().filter(|name| !declared().any(|known| known == **name));
    let mistake = |name: &String| {
        let help = match did_you_mean(name, declared()) {
            Some(close) => format!("did you mean `{close}`?"),
            None if recorder.params.is_empty() => "it has none".to_owned(),
            None => format!("it has {}", declared().collect::<Vec<_>>().join(", ")),
        };
        Diagnostic::error("H151", format!("the script has no parameter `{name}`")).help(help)
    };
    unknown.map(mistake).collect()
}

fn show(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`"))
}

/// A plain value as data.
fn data(value: &Dynamic) -> Option<Json> {
    if let Some(text) = literal::text(value) {
        return Some(Json::from(text.as_str()));
    }
    if let Some(list) = value.clone().try_cast::<Array>() {
        return list.iter().map(data).collect::<Option<Vec<Json>>>().map(Json::Array);
    }
    if value.is_unit() {
        return Some(Json::Null);
    }
    value.as_bool().map(Json::from).or_else(|_| value.as_int().map(Json::from)).ok()
}

/// Data as a plain value.
fn value(json: &Json) -> Dynamic {
    match json {
        Json::Bool(truth) => Dynamic::from(*truth),
        Json::Number(number) => number.as_i64().map_or(Dynamic::UNIT, Dynamic::from),
        Json::String(text) => Dynamic::from(text.clone()),
        _ => Dynamic::UNIT,
    }
}
