//! The interpreter's errors in the words of an operator, at the place that a user can change.

use rhai::{Dynamic, Engine, EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::trace::deferred::{Deferred, KIND};
use crate::trace::late;
use crate::trace::literal::{self, name_kind};
use crate::trace::names;
use crate::trace::recorder::{Recorder, Said, Unknown};
use crate::trace::sources::Part;

/// Characters of a mistake's message, and of its help.
const WORDS_MAX: usize = 2_000;

/// Cuts what nobody reads to its end: a script may have put a text of any length into a mistake.
pub(super) fn clip(mistake: &mut Diagnostic) {
    for text in std::iter::once(&mut mistake.message).chain(&mut mistake.help) {
        if let Some((at, _)) = text.char_indices().nth(WORDS_MAX) {
            text.truncate(at);
            text.push('…');
        }
    }
}

/// A character that a reviewer would not see.
pub(super) fn unseen(c: char) -> Diagnostic {
    let message = format!("the character U+{:04X} stands here, which nobody sees", u32::from(c));
    let help = "who reviews the plan must see what it says: leave the character out";
    Diagnostic::error("H149", message).help(help)
}

/// A text that does not parse.
pub(super) fn of_parser(recorder: &Recorder, error: &ParseError) -> Diagnostic {
    let said = error.0.to_string();
    let (message, help) = match &*error.0 {
        ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) if word == "Fn" => (
            "`Fn` is switched off".to_owned(),
            "write a closure: `|m| home(m)` calls the function `home`",
        ),
        ParseErrorType::Reserved(word) => (
            format!("`{word}` is a reserved word"),
            "it can be no name here; `try`, `switch` and `eval` are switched off: a plan must not hide its mistakes",
        ),
        ParseErrorType::VariableUndefined(name) => (
            format!("there is no `{name}` here"),
            "functions do not see the variables around them: pass them in",
        ),
        ParseErrorType::ModuleUndefined(name) => (
            format!("there is no module `{name}` here"),
            "`import \"..\" as name;` at the top of the file brings a module in",
        ),
        ParseErrorType::ExprTooDeep => (said, "take it apart into smaller expressions"),
        _ => (said, "the mistake is at this place, or right before it"),
    };
    let code = match &*error.0 {
        ParseErrorType::VariableUndefined(_) | ParseErrorType::ModuleUndefined(_) => "H103",
        ParseErrorType::ExprTooDeep | ParseErrorType::LiteralTooLarge(..) => "H140",
        _ => "H101",
    };
    let mut mistake = Diagnostic::error(code, message).help(help);
    mistake.at = recorder.sources.span(error.1, Part::Whole);
    mistake
}

/// Records why the evaluation ended, unless that was said before.
pub(super) fn of_evaluation(recorder: &mut Recorder, engine: &Engine, error: &EvalAltResult) {
    let mut frames = Vec::new();
    let inner = innermost(error, &mut frames);
    let Some(mistake) = describe(recorder, engine, inner) else { return };
    if recorder.diagnostics.iter().any(|one| one.code == "H102" && one.message == mistake.message) {
        return;
    }
    // From the place of the error outwards to the first one in the user's own text.
    let mut places = vec![inner.position()];
    for at in frames.iter().rev() {
        if recorder.sources.is_of_user(places[places.len() - 1]) {
            break;
        }
        if !at.is_none() {
            places.push(*at);
        }
    }
    places.retain(|at| !at.is_none());
    places.dedup();
    recorder.say_at(&places, Part::Whole, mistake);
}

fn innermost<'a>(error: &'a EvalAltResult, frames: &mut Vec<Position>) -> &'a EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, at)
        | EvalAltResult::ErrorInModule(_, inner, at) => {
            frames.push(*at);
            innermost(inner, frames)
        }
        other => other,
    }
}

fn describe(recorder: &Recorder, engine: &Engine, error: &EvalAltResult) -> Option<Diagnostic> {
    let follows = |kind: &str| {
        kind.contains(std::any::type_name::<Unknown>()) || kind.contains("value that was refused")
    };
    let diagnostic = match error {
        EvalAltResult::ErrorRuntime(value, _) if value.is::<Said>() => return None,
        EvalAltResult::ErrorRuntime(value, _) if late::is_inside(value) => {
            let shown = literal::held::<Deferred>(value).map(|value| format!("`{}`", value.0));
            let shown = shown.unwrap_or_else(|| recorder.late.shown(&value.to_string()));
            let message = format!(
                "`throw` speaks when the plan is made, and {shown} is known only while it runs"
            );
            let help = "`fail_if(cond, \"message\")` fails while it runs";
            Diagnostic::error("H107", message).help(help)
        }
        EvalAltResult::ErrorRuntime(value, _) if value.is::<Unknown>() => return None,
        EvalAltResult::ErrorRuntime(value, _) => {
            let words = thrown(engine, value, THROWN_DEPTH);
            Diagnostic::error("H105", format!("the script gives up: {words}"))
        }
        EvalAltResult::ErrorFunctionNotFound(call, _) if follows(call) => return None,
        EvalAltResult::ErrorFunctionNotFound(call, _) => unknown_function(engine, call),
        EvalAltResult::ErrorMismatchDataType(_, found, _) if follows(found) => return None,
        EvalAltResult::ErrorMismatchDataType(_, found, at)
            if found.contains(std::any::type_name::<Deferred>()) || found.contains(KIND) =>
        {
            decided_now(recorder, *at)
        }
        EvalAltResult::ErrorMismatchDataType(wanted, found, _)
        | EvalAltResult::ErrorMismatchOutputType(wanted, found, _) => {
            let wanted = name_kind(engine.map_type_name(wanted));
            let found = found.split(" (").next().unwrap_or(found);
            let found = name_kind(engine.map_type_name(found));
            Diagnostic::error("H104", format!("this must be {wanted}, and is {found}"))
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            let message = format!("there is no `{name}` here");
            let help = "functions do not see the variables around them: pass them in";
            Diagnostic::error("H103", message).help(help)
        }
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            let message = format!("there is no `{name}` in this map");
            let help = "`\"name\" in map` asks first; `map?.name` yields `()` where it is missing";
            Diagnostic::error("H103", message).help(help)
        }
        EvalAltResult::ErrorFor(_) => {
            let message = "`for` goes over machines, lists, ranges and texts; this is none of them";
            Diagnostic::error("H104", message)
                .help("a handle stands for one step: there is nothing to go over")
        }
        EvalAltResult::ErrorTerminated(..) => {
            let why = recorder.stopped.clone().unwrap_or_else(|| "it was stopped".to_owned());
            limit(why)
        }
        EvalAltResult::ErrorTooManyOperations(_) => {
            limit("it runs for too long: a loop without end?".to_owned())
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            limit("functions call each other too deep".to_owned())
        }
        EvalAltResult::ErrorDataTooLarge(what, _) => limit(format!("too large: {what}")),
        EvalAltResult::ErrorTooManyVariables(_) => limit("too many variables".to_owned()),
        EvalAltResult::ErrorTooManyModules(_) => limit("too many modules".to_owned()),
        EvalAltResult::ErrorIndexingType(what, _) if follows(what) => return None,
        other => Diagnostic::error("H105", plain(other)),
    };
    Some(diagnostic)
}

/// A construct that needs an answer when the plan is made.
fn decided_now(recorder: &Recorder, at: Position) -> Diagnostic {
    let (word, help) = match recorder.asks.get(&at).copied() {
        None => ("this", late::HELP),
        Some("&&") => ("&&", "write `&`: it goes with values that come later"),
        Some("||") => ("||", "write `|`: it goes with values that come later"),
        Some("while") => {
            ("while", "`wait_until(cond, #{ every, timeout })` asks again while the plan runs")
        }
        Some(_) => (
            "if",
            "`when(cond, || { .. }).otherwise(|| { .. })` decides while the plan runs; to decide now read facts (`m.replica`)",
        ),
    };
    let message = format!(
        "`{word}` decides when the plan is made, and this value is known only while it runs"
    );
    Diagnostic::error("H107", message).help(help)
}

/// Lists and maps in each other that are shown of what a script throws.
const THROWN_DEPTH: u32 = 3;

/// What a script throws, in its own words: never by the names of our types.
fn thrown(engine: &Engine, value: &Dynamic, depth: u32) -> String {
    let plain = value.is_string() || value.is_int() || value.is_bool() || value.is_float();
    if plain || value.is_char() || value.is_unit() {
        return value.to_string();
    }
    if let Ok(list) = value.as_array_ref().map(|list| list.clone())
        && depth > 0
    {
        let items: Vec<String> = list.iter().map(|item| thrown(engine, item, depth - 1)).collect();
        return format!("[{}]", items.join(", "));
    }
    name_kind(engine.map_type_name(value.type_name()))
}

fn limit(why: String) -> Diagnostic {
    let help = "a plan is traced within limits, so that no script can hang the machine; make it smaller; of steps and memory `[limits]` in the inventory allow more";
    Diagnostic::error("H140", why).help(help)
}

/// The interpreter's words without the place, which we show ourselves.
fn plain(error: &EvalAltResult) -> String {
    let said = error.to_string();
    said.rsplit_once(" (line ").map_or(said.clone(), |(words, _)| words.to_owned())
}

fn unknown_function(engine: &Engine, call: &str) -> Diagnostic {
    let (name, given) = call.split_once(" (").unwrap_or((call, ""));
    let bare = name.rsplit("::").next().unwrap_or(name);
    let bare = names::written(bare.split([' ', '(']).next().unwrap_or(bare));
    let signatures = engine.gen_fn_signatures(true);
    let known = || signatures.iter().filter_map(|text| text.split('(').next()).map(str::trim);
    let is_word = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if !is_word || (name == bare && known().any(|other| other == bare)) {
        let kinds = given.trim_end_matches(')').split(", ").filter(|kind| !kind.is_empty());
        let kinds: Vec<String> = kinds.map(|kind| name_kind(engine.map_type_name(kind))).collect();
        let message = format!(
            "`{bare}` does not take {}",
            if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(" and ") }
        );
        if given.contains(KIND) || given.contains(std::any::type_name::<Deferred>()) {
            return Diagnostic::error("H107", message).help(late::HELP);
        }
        return Diagnostic::error("H104", message)
            .help("`homing primitives` lists what each function takes");
    }
    no_function(name, known())
}

/// A call of a function that does not exist.
pub(super) fn no_function<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Diagnostic {
    let mistake = Diagnostic::error("H102", format!("there is no function `{name}`"));
    match did_you_mean(name, known) {
        Some(close) => mistake.help(format!("did you mean `{close}`?")),
        None => mistake
            .help("`homing primitives` lists all functions, those of the standard library too"),
    }
}
