//! `watch`: check and plan again on every save, and show what changed.

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::args::{CompileArgs, Global};
use crate::cli::compiled::{compile, is_module};
use crate::cli::draw::draw;
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, say, wait_for};
use crate::compile::estimate::estimate;
use crate::compile::point_of_no_return;
use crate::compile::waves::waves;
use crate::plan::estimate::{Estimates, History};
use crate::plan::facts::Facts;
use crate::plan::inventory::Inventory;
use crate::render::Review;
use crate::render::change::change;
use crate::render::fold::count;
use crate::verify::VerifiedPlan;
use crate::watch::Watcher;

/// Compiles at every save, until it is interrupted.
///
/// # Errors
/// Exit 2 when there is no such script, or files cannot be watched.
pub fn watch(args: &CompileArgs, global: &Global, terminal: Terminal) -> Done {
    let mut last: Option<Known> = None;
    let mut is_first = true;
    let mut watcher = Watcher::new()
        .map_err(|error| Stop::new(Exit::Usage, format!("cannot watch files: {error}")))?;
    loop {
        // The inventory is read again too: it is part of what a plan means.
        match once(args, global, terminal, &mut watcher) {
            Ok(Some(known)) => {
                print(&told(last.as_ref(), &known))?;
                last = Some(known);
            }
            Ok(None) => {}
            Err(stop) if is_first => return Err(stop),
            Err(stop) => say(&stop.show(&terminal)),
        }
        is_first = false;
        say("watching; Ctrl-C ends it\n");
        watcher.wait();
    }
}

/// A plan with what a comparison needs.
struct Known {
    plan: VerifiedPlan,
    facts: Facts,
    estimates: Estimates,
    inventory: std::sync::Arc<Inventory>,
}

impl Known {
    fn review(&self) -> Review<'_> {
        let plan = self.plan.plan();
        let sentences = Review::sentences(plan, &self.inventory, &self.facts);
        let no_return = point_of_no_return(plan);
        Review::new(&self.plan, &self.estimates, &self.inventory, sentences, waves(plan), no_return)
    }
}

/// One compile; watches exactly the files it read.
fn once(
    args: &CompileArgs,
    global: &Global,
    terminal: Terminal,
    watcher: &mut Watcher,
) -> Result<Option<Known>, Stop> {
    let script = (!is_module(&args.script)).then_some(args.script.as_path());
    watcher.watch(script.map(Utf8Path::to_owned));
    let place = Place::find(global, script)?;
    let folder = script.and_then(Utf8Path::parent).unwrap_or(Utf8Path::new(""));
    watcher.watch(place.texts.keys().map(|file| Utf8PathBuf::from(&**file)));
    let sites = place.sites()?;
    let script = wait_for(compile(args, &place, &sites))??;
    watcher.watch(script.compiled.files.iter().map(|file| folder.join(file)));
    say(&draw(
        &script.compiled.diagnostics,
        &script.compiled.texts,
        terminal.colour,
        terminal.width,
    ));
    let Some(plan) = script.compiled.plan else { return Ok(None) };
    let estimates = estimate(&plan, &place.inventory, &script.facts, &History::default());
    Ok(Some(Known { plan, facts: script.facts, estimates, inventory: place.inventory }))
}

fn told(before: Option<&Known>, now: &Known) -> String {
    let digest = &now.plan.digest().as_str()[..12];
    let Some(before) = before else {
        let steps = count(now.plan.plan().steps.len(), "step");
        return format!("ok: {steps}, digest {digest}\n");
    };
    let lines = change(&before.review(), &now.review());
    if lines.is_empty() {
        return format!("ok: nothing changed in the plan, digest {digest}\n");
    }
    format!("{}\nok: digest {digest}\n", lines.join("\n"))
}
