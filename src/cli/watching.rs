//! `watch`: check and plan again on every save, and show what changed.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};

use crate::cli::args::{CompileArgs, Global};
use crate::cli::compiled::{Script, compile, is_module};
use crate::cli::draw::draw;
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, say, wait_for};
use crate::compile::point_of_no_return;
use crate::plan::estimate::Estimates;
use crate::render::change::{Change, Edition, change};
use crate::render::fold::count;
use crate::source::Texts;
use crate::verify::VerifiedPlan;
use crate::watch::Watcher;

/// Compiles at every save, until it is interrupted.
///
/// # Errors
/// Exit 2 when there is no such script, or files cannot be watched.
pub fn watch(args: &CompileArgs, global: &Global, terminal: Terminal) -> Done {
    let mut watcher = Watcher::new()
        .map_err(|error| Stop::new(Exit::Usage, format!("cannot watch files: {error}")))?;
    let mut seen = Seen::default();
    let (mut is_first, mut again) = (true, false);
    loop {
        // The inventory is read again too: it is part of what a plan means.
        let round = once(args, global, terminal, &mut seen.files);
        watcher.watch(seen.files.iter().cloned());
        match round {
            Ok(round) => {
                // Saved while it was read, before anybody watched: once more, with what is there now.
                again = !again && round.texts.iter().any(|(file, text)| is_other(file, text));
                print(&seen.tell(round))?;
            }
            Err(stop) if is_first => return Err(stop),
            Err(stop) => say(&stop.show(&terminal)),
        }
        is_first = false;
        if !again {
            say("watching; Ctrl-C ends it\n");
            watcher.wait();
        }
    }
}

/// Whether a file that was read says something else by now. A module of the library is no file.
fn is_other(file: &str, text: &str) -> bool {
    std::fs::read_to_string(file).is_ok_and(|now| now != text)
}

/// What came of one compile.
struct Round {
    /// The plan, where nothing refuses it.
    known: Option<Known>,
    /// Errors by code and message: places move with every line that is typed.
    broken: BTreeSet<String>,
    texts: Texts,
}

/// What the rounds so far came to.
#[derive(Default)]
struct Seen {
    /// What the last compile read, or looked for.
    files: BTreeSet<Utf8PathBuf>,
    /// The last plan that nothing refused.
    good: Option<Known>,
    broken: BTreeSet<String>,
}

impl Seen {
    /// What is to be said of a round; remembers it.
    fn tell(&mut self, round: Round) -> String {
        let mut page = String::new();
        for fixed in self.broken.difference(&round.broken) {
            page.push_str(&format!("fixed: {fixed}\n"));
        }
        for broken in round.broken.difference(&self.broken) {
            page.push_str(&format!("broken: {broken}\n"));
        }
        self.broken = round.broken;
        match round.known {
            Some(known) => {
                page.push_str(&told(self.good.as_ref(), &known));
                self.good = Some(known);
            }
            None => page.push_str(&match &self.good {
                None => "no plan\n".to_owned(),
                Some(good) => {
                    format!("no plan; the last good one is that of digest {}\n", good.digest())
                }
            }),
        }
        page
    }
}

/// A plan with what a comparison needs.
struct Known {
    plan: VerifiedPlan,
    estimates: Estimates,
}

impl Known {
    fn digest(&self) -> &str {
        &self.plan.digest().as_str()[..12]
    }

    fn edition(&self) -> Edition<'_> {
        Edition::new(&self.plan, &self.estimates, point_of_no_return(self.plan.plan()))
    }
}

/// One compile. `files` becomes exactly what it read; where it got to no reading, what it wants is added.
fn once(
    args: &CompileArgs,
    global: &Global,
    terminal: Terminal,
    files: &mut BTreeSet<Utf8PathBuf>,
) -> Result<Round, Stop> {
    let script = (!is_module(&args.script)).then_some(args.script.as_path());
    files.extend(script.map(Utf8Path::to_owned));
    let place = Place::find(global, script)?;
    let inventory = place.texts.keys().map(|file| Utf8PathBuf::from(&**file));
    files.extend(inventory.clone());
    let sites = place.sites()?;
    let Script { compiled, .. } = wait_for(compile(args, &place, &sites))??;
    let folder = script.and_then(Utf8Path::parent).unwrap_or(Utf8Path::new(""));
    let read = compiled.files.iter().map(|file| folder.join(file));
    *files = script.map(Utf8Path::to_owned).into_iter().chain(inventory).chain(read).collect();
    say(&draw(&compiled.diagnostics, &compiled.texts, terminal.colour, terminal.width));
    let errors = compiled.diagnostics.iter().filter(|found| found.is_error());
    let broken = errors.map(|error| format!("{}: {}", error.code, error.message)).collect();
    let estimates = compiled.estimates;
    let known = compiled.plan.map(|plan| Known { plan, estimates });
    Ok(Round { known, broken, texts: compiled.texts })
}

fn told(before: Option<&Known>, now: &Known) -> String {
    let digest = now.digest();
    let Some(before) = before else {
        let steps = count(now.plan.plan().steps.len(), "step");
        return format!("ok: {steps}, digest {digest}\n");
    };
    let changes = change(&before.edition(), &now.edition());
    let lines: Vec<String> = changes.iter().map(Change::line).collect();
    if lines.is_empty() {
        return format!("ok: nothing changed in the plan, digest {digest}\n");
    }
    format!("{}\nok: digest {digest}\n", lines.join("\n"))
}
