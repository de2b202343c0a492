//! `runbook`: the plan as a procedure on paper.

use std::fs::{self, File};
use std::io::{self, Write};

use camino::{Utf8Path, Utf8PathBuf};

use crate::base::Timestamp;
use crate::cli::args::{BookFormat, Global, RunbookArgs};
use crate::cli::compiled::{compile, is_module, is_saved};
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::plan::warn;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, say, wait_for};
use crate::compile::answered::strict;
use crate::compile::estimate::estimate;
use crate::compile::point_of_no_return;
use crate::compile::saved::load;
use crate::compile::waves::waves;
use crate::diagnostic::any_error;
use crate::plan::estimate::History;
use crate::plan::facts::Facts;
use crate::render::Review;
use crate::render::runbook::html::html;
use crate::render::runbook::markdown::markdown;
use crate::render::runbook::{document, hands};
use crate::verify::VerifiedPlan;

/// Compiles, or reads a saved plan, and writes the book.
///
/// # Errors
/// Exit 2 or 3 when there is no plan; 2 when it cannot be written.
pub fn runbook(args: &RunbookArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let (plan, facts) = if is_saved(script) {
        (saved(args, &place)?, Facts::default())
    } else {
        let sites = place.sites()?;
        let compiled = wait_for(compile(&args.compile, &place, &sites))??;
        let texts = compiled.compiled.texts.clone();
        let (plan, facts, warnings) = compiled.plan()?;
        warn(&warnings, &texts, terminal);
        (plan, facts)
    };
    let book = book(&plan, &place, &facts, format(args));
    let Some(path) = &args.out else { return print(&book) };
    write_whole(path, &book)
        .map_err(|error| Stop::new(Exit::Usage, format!("cannot write `{path}`: {error}")))?;
    if !terminal.quiet {
        say(&format!("wrote `{path}`: print it, and again at every change\n"));
    }
    Ok(Exit::Success)
}

fn format(args: &RunbookArgs) -> BookFormat {
    let ending = args.out.as_ref().and_then(|path| path.extension());
    let by_name = match ending {
        Some("html" | "htm") => BookFormat::Html,
        _ => BookFormat::Markdown,
    };
    args.format.unwrap_or(by_name)
}

fn book(plan: &VerifiedPlan, place: &Place, facts: &Facts, format: BookFormat) -> String {
    let observed: Option<Timestamp> = facts.now;
    let estimates = estimate(plan, &place.inventory, facts, &History::default());
    let plan_itself = plan.plan();
    let sentences = Review::sentences(plan_itself, &place.inventory, facts);
    let (waves, no_return) = (waves(plan_itself), point_of_no_return(plan_itself));
    let review = Review::new(plan, &estimates, &place.inventory, sentences, waves, no_return);
    let hands = hands(plan_itself, &place.inventory, facts);
    let document = document(&review, &hands, observed);
    match format {
        BookFormat::Markdown => markdown(&document),
        BookFormat::Html => html(&document),
    }
}

/// A saved plan, proved from the facts that it rests on: no site has to answer.
fn saved(args: &RunbookArgs, place: &Place) -> Result<VerifiedPlan, Stop> {
    let path = &args.compile.script;
    if !args.compile.param.is_empty() {
        let message = "a saved plan has its parameters already: `-p` cannot change them";
        return Err(Stop::new(Exit::Usage, message));
    }
    let text = fs::read_to_string(path)
        .map_err(|error| Stop::new(Exit::Usage, format!("cannot read `{path}`: {error}")))?;
    let mut loaded = load(&text, &place.inventory, &Facts::default());
    if args.compile.strict && loaded.plan.is_some() {
        strict(&mut loaded.diagnostics);
    }
    match loaded.plan.filter(|_| !any_error(&loaded.diagnostics)) {
        Some(plan) => Ok(plan),
        None => Err(Stop::diagnosed(Exit::Refused, loaded.diagnostics, place.texts.clone())),
    }
}

/// Beside it, then in its place: whoever opens it sees the old book or the new one.
fn write_whole(path: &Utf8Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let beside: Utf8PathBuf = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        // What was written half-way is nobody's book.
        let _ = fs::remove_file(&beside);
    }
    written
}
