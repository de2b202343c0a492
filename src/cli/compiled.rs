//! From what was typed to a plan: a script with its parameters, or a saved plan.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::args::CompileArgs;
use crate::cli::exit::Exit;
use crate::cli::memory::allocated_bytes;
use crate::cli::past;
use crate::cli::place::{Opened, Place};
use crate::cli::stop::Stop;
use crate::cli::world::DiskWorld;
use crate::compile::Compiled;
use crate::compile::answered::strict;
use crate::diagnostic::{Diagnostic, any_error};
use crate::observe::rounds::{Asked, compile_observed};
use crate::plan::estimate::Estimates;
use crate::plan::facts::Facts;
use crate::source::Texts;
use crate::verify::VerifiedPlan;

/// Parameters that do not fit are the caller's mistake, not the script's.
const PARAMETER_CODES: std::ops::RangeInclusive<&str> = "H150"..="H159";

/// A script that was compiled against what was observed.
pub struct Script {
    /// What came of it.
    pub compiled: Compiled,
    /// What was observed.
    pub facts: Facts,
}

/// A plan that nothing refuses.
pub struct Planned {
    /// The ticket.
    pub plan: VerifiedPlan,
    /// What it will cost.
    pub estimates: Estimates,
    /// What was observed.
    pub facts: Facts,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// What was read.
    pub texts: Texts,
}

impl Script {
    /// The plan and its warnings, or every mistake.
    ///
    /// # Errors
    /// Exit 2 for parameters and scripts that cannot be read, 3 for all else.
    pub fn plan(self) -> Result<Planned, Stop> {
        match self.compiled.plan {
            Some(plan) if !any_error(&self.compiled.diagnostics) => Ok(Planned {
                plan,
                estimates: self.compiled.estimates,
                facts: self.facts,
                warnings: self.compiled.diagnostics,
                texts: self.compiled.texts,
            }),
            _ => {
                let exit = exit_of(&self.compiled.diagnostics);
                Err(Stop::diagnosed(exit, self.compiled.diagnostics, self.compiled.texts))
            }
        }
    }
}

/// How the process ends over these diagnostics.
pub fn exit_of(diagnostics: &[Diagnostic]) -> Exit {
    let mut errors = diagnostics.iter().filter(|d| d.is_error()).peekable();
    if errors.peek().is_none() {
        return Exit::Success;
    }
    if errors.any(|error| !PARAMETER_CODES.contains(&&*error.code)) {
        Exit::Refused
    } else {
        Exit::Usage
    }
}

/// Compiles a script, observing what it asks for.
///
/// # Errors
/// Exit 2: a parameter without `=`, a script that is not there.
pub async fn compile(args: &CompileArgs, place: &Place, sites: &Opened) -> Result<Script, Stop> {
    let params = params(&args.param)?;
    let (folder, script) = split(&args.script)?;
    let world = DiskWorld::new(&folder);
    let history = past::history(place, args.script.as_str());
    let asked = Asked {
        world: &world,
        script: &script,
        params: &params,
        inventory: &place.inventory,
        allocated: Some(allocated_bytes),
        history: &history,
    };
    let (mut compiled, facts) = compile_observed(&asked, &|name| sites.site(name)).await;
    if args.strict && compiled.plan.is_some() {
        strict(&mut compiled.diagnostics);
        compiled.plan = compiled.plan.filter(|_| !any_error(&compiled.diagnostics));
    }
    Ok(Script { compiled, facts })
}

fn params(given: &[String]) -> Result<BTreeMap<String, String>, Stop> {
    let mut params = BTreeMap::new();
    for text in given {
        let Some((name, value)) = text.split_once('=') else {
            let message = format!("`-p {text}`: a parameter is given as NAME=VALUE");
            return Err(Stop::new(Exit::Usage, message).code("H152"));
        };
        if params.insert(name.to_owned(), value.to_owned()).is_some() {
            let message = format!("`-p {name}=..` is given twice");
            return Err(Stop::new(Exit::Usage, message));
        }
    }
    Ok(params)
}

/// The plan's folder, and the script inside it. A module of the standard library has no folder.
fn split(path: &Utf8Path) -> Result<(Utf8PathBuf, Utf8PathBuf), Stop> {
    if is_module(path) {
        return Ok((Utf8PathBuf::from("."), path.to_owned()));
    }
    if is_saved(path) {
        let stop = Stop::new(Exit::Usage, format!("`{path}` is a saved plan, not a script"));
        return Err(stop.code("H150").help(format!("homing run {path}")));
    }
    if path.is_dir() {
        let stop = Stop::new(Exit::Usage, format!("`{path}` is a folder, not a script"));
        return Err(stop.code("H150").help("give the path of a `.rhai` file in it"));
    }
    let Some(name) = path.file_name().filter(|_| path.is_file()) else {
        let stop = Stop::new(Exit::Usage, format!("there is no script `{path}`")).code("H150");
        return Err(stop.help("give the path of a `.rhai` file; `homing init` writes a first one"));
    };
    Ok((path.parent().unwrap_or(Utf8Path::new("")).to_owned(), Utf8PathBuf::from(name)))
}

/// `std/failback`: a module of the standard library, not a file.
pub fn is_module(path: &Utf8Path) -> bool {
    path.starts_with("std") && path.extension().is_none()
}

/// `plan.json`: a saved plan, not a script.
pub fn is_saved(path: &Utf8Path) -> bool {
    path.extension() == Some("json")
}
