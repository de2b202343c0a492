//! `plan`: the dry run, and saving it.

use std::hash::{BuildHasher, RandomState};

use camino::Utf8Path;

use crate::base::PlanId;
use crate::cli::args::{self, Format, Global, PlanArgs, PlanFormat};
use crate::cli::compiled::{Planned, compile, is_module, is_saved};
use crate::cli::diff::since;
use crate::cli::draw::draw;
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::saved::{proved, unproved, write};
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, print_json_line, say, wait_for};
use crate::compile::point_of_no_return;
use crate::compile::saved::{Unproved, save};
use crate::compile::waves::waves;
use crate::diagnostic::Diagnostic;
use crate::plan::estimate::Estimates;
use crate::plan::facts::Facts;
use crate::render::Review;
use crate::render::change::Edition;
use crate::render::graph::dot::dot;
use crate::render::html::html;
use crate::render::text::{By, text};
use crate::source::Texts;
use crate::verify::VerifiedPlan;

/// Compiles, shows, and saves when asked to; with `--diff` shows what changed since.
///
/// # Errors
/// Exit 2 or 3 when there is no plan; 2 when it cannot be saved.
pub fn plan(args: &PlanArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    if is_saved(script) {
        return shown_again(args, global, terminal);
    }
    // What cannot be compared is said before anything is observed.
    let reviewed = args.diff.as_deref().map(|path| reviewed(path, args.format)).transpose()?;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let sites = place.sites()?;
    let compiled = wait_for(compile(&args.compile, &place, &sites))??;
    let Planned { plan, estimates, facts, warnings, texts } = compiled.plan()?;
    // A large plan is larger still as data: only where somebody asks for it.
    let as_data = args.out.is_some() || args.format == PlanFormat::Json;
    let saved = as_data.then(|| save(&plan, &estimates, &new_plan_id()));
    if let (Some(path), Some(saved)) = (&args.out, &saved) {
        write(path, &saved.pretty())?;
    }
    if let Some((path, old, format)) = &reviewed {
        warn(&warnings, &texts, terminal);
        let new = Edition::new(&plan, &estimates, point_of_no_return(plan.plan()));
        return since((path.as_str(), old), (script.as_str(), &new), *format, terminal);
    }
    if let (PlanFormat::Json, Some(saved)) = (args.format, &saved) {
        return if saved.is_large() { print_json_line(saved) } else { print_json(saved) };
    }
    warn(&warnings, &texts, terminal);
    show(args, review(&plan, &estimates, &place, &facts), &texts, terminal)?;
    if let Some(path) = &args.out
        && !terminal.quiet
    {
        // What lies elsewhere does not find the inventory by itself.
        let config = match (Place::find(global, Some(path)), place.texts.keys().next()) {
            (Err(_), Some(file)) => format!(" --config {file}"),
            _ => String::new(),
        };
        say(&format!("saved `{path}`; run exactly this, once, with: homing run {path}{config}\n"));
    }
    Ok(Exit::Success)
}

/// A saved plan, for who has to sign it: no site is asked, and its script need not be there.
fn shown_again(args: &PlanArgs, global: &Global, terminal: Terminal) -> Done {
    let path = &args.compile.script;
    if args.out.is_some() || args.diff.is_some() {
        let message = format!("`{path}` is a saved plan: `--out` and `--diff` are for scripts");
        return Err(Stop::new(Exit::Usage, message).help("homing diff compares two saved plans"));
    }
    let place = Place::find(global, Some(path))?;
    let saved = proved(&args.compile, &place)?;
    if args.format == PlanFormat::Json {
        return print(&saved.text);
    }
    let review = review(&saved.plan, &saved.estimates, &place, &Facts::default());
    show(args, review, &Texts::default(), terminal)
}

/// The page, for people.
fn show(args: &PlanArgs, review: Review<'_>, texts: &Texts, terminal: Terminal) -> Done {
    print(&match args.format {
        PlanFormat::Html => html(&review, texts),
        PlanFormat::Dot => dot(&review, args.full),
        PlanFormat::Json | PlanFormat::Text => {
            text(&review.in_full(args.full), by(args.by), terminal.page())
        }
    })
}

fn by(by: args::By) -> By {
    match by {
        args::By::Wave => By::Wave,
        args::By::Machine => By::Machine,
        args::By::Timeline => By::Timeline,
    }
}

/// All that is shown of a plan.
pub fn review<'a>(
    plan: &'a VerifiedPlan,
    estimates: &'a Estimates,
    place: &'a Place,
    facts: &Facts,
) -> Review<'a> {
    let sentences = Review::sentences(plan.plan(), &place.inventory, facts);
    let waves = waves(plan.plan());
    let no_return = point_of_no_return(plan.plan());
    Review::new(plan, estimates, &place.inventory, sentences, waves, no_return)
}

/// A plan to compare with, and how: differences are no page and no graph.
fn reviewed(path: &Utf8Path, format: PlanFormat) -> Result<(&Utf8Path, Unproved, Format), Stop> {
    let format = match format {
        PlanFormat::Text => Format::Text,
        PlanFormat::Json => Format::Json,
        PlanFormat::Html | PlanFormat::Dot => {
            let message = "`--diff` shows differences as `text` or `json`";
            return Err(Stop::new(Exit::Usage, message));
        }
    };
    Ok((path, unproved(path)?, format))
}

/// Draws warnings; the page lists them too, but not with their places.
pub fn warn(warnings: &[Diagnostic], texts: &Texts, terminal: Terminal) {
    if !terminal.quiet {
        say(&draw(warnings, texts, terminal.colour, terminal.width));
    }
}

/// An id for a plan that has none yet.
pub fn new_plan_id() -> PlanId {
    // The standard library's own source of randomness: seeded by the system, per value.
    let random = RandomState::new().hash_one(0_u8);
    PlanId::new(format!("p-{random:016x}")).expect("BUG: hexadecimal is a name")
}
