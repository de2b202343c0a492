//! `plan`: the dry run, and saving it.

use std::hash::{BuildHasher, RandomState};

use camino::Utf8Path;

use crate::base::{Json, PlanId};
use crate::cli::args::{Global, PlanArgs, PlanFormat};
use crate::cli::compiled::{compile, is_module};
use crate::cli::draw::draw;
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json, say, wait_for};
use crate::compile::estimate::estimate;
use crate::compile::point_of_no_return;
use crate::compile::saved::save;
use crate::compile::waves::waves;
use crate::diagnostic::Diagnostic;
use crate::plan::estimate::{Estimates, History};
use crate::plan::facts::Facts;
use crate::render::Review;
use crate::render::graph::dot::dot;
use crate::render::html::html;
use crate::render::text::text;
use crate::verify::VerifiedPlan;

/// Compiles, shows, and saves when asked to.
///
/// # Errors
/// Exit 2 or 3 when there is no plan; 2 when it cannot be saved.
pub fn plan(args: &PlanArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let sites = place.sites()?;
    let compiled = wait_for(compile(&args.compile, &place, &sites))??;
    let texts = compiled.compiled.texts.clone();
    let (plan, facts, warnings) = compiled.plan()?;
    let estimates = estimate(&plan, &place.inventory, &facts, &History::default());
    // A large plan is larger still as data: only where somebody asks for it.
    let saved = || save(&plan, &estimates, &new_plan_id());
    match (&args.out, args.format) {
        (Some(path), format) => {
            let saved = saved();
            write(path, &saved)?;
            if format == PlanFormat::Json {
                return print_json(&saved);
            }
        }
        (None, PlanFormat::Json) => return print_json(&saved()),
        (None, _) => {}
    }
    warn(&warnings, &texts, terminal);
    let review = review(&plan, &estimates, &place, &facts);
    print(&match args.format {
        PlanFormat::Html => html(&review, &texts),
        PlanFormat::Dot => dot(&review, args.full),
        PlanFormat::Json | PlanFormat::Text => text(&review, terminal.page()),
    })?;
    if let Some(path) = &args.out
        && !terminal.quiet
    {
        say(&format!("saved `{path}`; run exactly this, once, with: homing run {path}\n"));
    }
    Ok(Exit::Success)
}

fn review<'a>(
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

/// Draws warnings; the page lists them too, but not with their places.
fn warn(warnings: &[Diagnostic], texts: &crate::source::Texts, terminal: Terminal) {
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

fn write(path: &Utf8Path, saved: &Json) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(saved).expect("BUG: a plan is plain data") + "\n";
    std::fs::write(path, text)
        .map_err(|error| Stop::new(Exit::Usage, format!("cannot write `{path}`: {error}")))
}
