//! `check`: every mistake, nothing run.

use serde_json::json;

use crate::cli::args::{CheckArgs, Format, Global};
use crate::cli::compiled::{compile, exit_of, is_module};
use crate::cli::draw::draw;
use crate::cli::place::Place;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::diagnostic::Diagnostic;
use crate::render::fold::count;
use crate::trace::ParamDecl;

/// Compiles, and prints diagnostics and parameters.
///
/// # Errors
/// Exit 2: no such script, an inventory with mistakes.
pub fn check(args: &CheckArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let sites = place.sites()?;
    let compiled = wait_for(compile(&args.compile, &place, &sites))??.compiled;
    let exit = exit_of(&compiled.diagnostics);
    if args.format == Format::Json {
        let flat: Vec<_> = compiled.diagnostics.iter().map(Diagnostic::flat).collect();
        print_json(&json!({ "diagnostics": flat, "params": compiled.params }))?;
        return Ok(exit);
    }
    say(&draw(&compiled.diagnostics, &compiled.texts, terminal.colour, terminal.width));
    if args.params {
        print(&params(&compiled.params))?;
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

fn params(declared: &[ParamDecl]) -> String {
    let line = |param: &ParamDecl| {
        let help = param.help.as_deref().unwrap_or("");
        format!("-p {}={}  (default {})  {help}\n", param.name, param.value, param.default)
    };
    declared.iter().map(line).collect()
}
