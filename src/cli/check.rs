//! `check`: every mistake, nothing run.

use serde_json::json;

use crate::base::Json;
use crate::cli::args::{CheckArgs, Format, Global};
use crate::cli::compiled::{compile, exit_of, is_module};
use crate::cli::draw::draw;
use crate::cli::place::Place;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::diagnostic::Diagnostic;
use crate::render::fold::count;
use crate::render::style::Style;
use crate::render::table::Table;
use crate::trace::ParamDecl;

/// Compiles, and prints diagnostics and parameters.
///
/// # Errors
/// Exit 2: no such script, an inventory with mistakes.
pub fn check(args: &CheckArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let sites = place.sites()?;
    let mut compiled = wait_for(compile(&args.compile, &place, &sites))??.compiled;
    if args.params {
        // Who asks what can be given has not given it yet.
        compiled.diagnostics.retain(|one| one.code != PARAMETER_MISSING);
    }
    let exit = exit_of(&compiled.diagnostics);
    if args.format == Format::Json {
        let flat: Vec<_> = compiled.diagnostics.iter().map(Diagnostic::flat).collect();
        print_json(&json!({ "diagnostics": flat, "params": compiled.params }))?;
        return Ok(exit);
    }
    say(&draw(&compiled.diagnostics, &compiled.texts, terminal.colour, terminal.width));
    if args.params {
        print(&params(&compiled.params, terminal.page()))?;
    }
    if let Some(plan) = &compiled.plan
        && !terminal.quiet
        && !args.params
    {
        let steps = count(plan.plan().steps.len(), "step");
        let machines = count(plan.plan().machines().len(), "machine");
        print(&format!("ok: {steps} on {machines}, no rule refuses them\n"))?;
    }
    Ok(exit)
}

/// The code of a parameter that has no default and was not given.
const PARAMETER_MISSING: &str = "H154";

fn params(declared: &[ParamDecl], style: Style) -> String {
    if declared.is_empty() {
        return "the script has no parameters\n".to_owned();
    }
    let header = vec!["parameter", "default", "here", "what it is"];
    let rows = declared.iter().map(row).collect();
    Table { header, rows, amounts: &[] }.text(style)
}

fn row(param: &ParamDecl) -> Vec<String> {
    let shown = |value: &Json, nothing: &str| match value {
        Json::Null => nothing.to_owned(),
        value => value.to_string(),
    };
    let words = |words: &Vec<Json>| {
        let words: Vec<String> = words.iter().map(Json::to_string).collect();
        format!("one of {}", words.join(", "))
    };
    let limits = [("at least", param.min), ("at most", param.max)];
    let limits = limits.into_iter().filter_map(|(what, limit)| Some(format!("{what} {}", limit?)));
    let told = param.help.clone().into_iter().chain(param.one_of.as_ref().map(words)).chain(limits);
    let (default, here) = (shown(&param.default, "required"), shown(&param.value, "-"));
    vec![param.name.clone(), default, here, told.collect::<Vec<_>>().join("; ")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_read_as_a_table() {
        let param = |name: &str, default: Json| ParamDecl {
            name: name.into(),
            value: default.clone(),
            default,
            help: Some(format!("which {name}")),
            one_of: None,
            min: None,
            max: None,
        };
        let machine = param("machine", Json::Null);
        let way =
            ParamDecl { one_of: Some(vec![json!("a"), json!("b")]), ..param("way", json!("a")) };
        let size = ParamDecl { min: Some(1), max: Some(9), ..param("size", json!(3)) };
        insta::assert_snapshot!(params(&[machine, way, size], Style::PLAIN));
    }
}
