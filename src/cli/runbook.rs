//! `runbook`: the plan as a procedure on paper.

use camino::Utf8PathBuf;
use clap::{Args, ValueEnum};

use crate::cli::args::{CompileArgs, Global};
use crate::cli::compiled::{Planned, compile, is_module, is_saved};
use crate::cli::exit::Exit;
use crate::cli::place::Place;
use crate::cli::plan::{review, warn};
use crate::cli::saved::{proved, write};
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, say, wait_for};
use crate::plan::facts::Facts;
use crate::render::runbook::html::html;
use crate::render::runbook::markdown::markdown;
use crate::render::runbook::{document, hands};

/// How to write a runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BookFormat {
    /// Task lists and tables.
    Markdown,
    /// One file for the browser and the printer: no scripts, no network.
    Html,
}

/// `runbook`
#[derive(Debug, Args)]
pub struct RunbookArgs {
    /// What to plan: a script, a module of the library, or a saved plan.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// How to write it; else as the name of `--out` ends (`.html`), else Markdown.
    #[arg(long, value_enum)]
    pub format: Option<BookFormat>,
    /// Write it to a file, as a whole or not at all; else it is printed.
    #[arg(long, value_name = "FILE")]
    pub out: Option<Utf8PathBuf>,
}

/// Compiles, or reads a saved plan, and writes the book.
///
/// # Errors
/// Exit 2 or 3 when there is no plan; 2 when it cannot be written.
pub fn runbook(args: &RunbookArgs, global: &Global, terminal: Terminal) -> Done {
    let script = &args.compile.script;
    let place = Place::find(global, (!is_module(script)).then_some(script.as_path()))?;
    let (plan, estimates, facts) = if is_saved(script) {
        let saved = proved(&args.compile, &place)?;
        (saved.plan, saved.estimates, Facts::default())
    } else {
        let sites = place.sites()?;
        let compiled = wait_for(compile(&args.compile, &place, &sites))??;
        let Planned { plan, estimates, facts, warnings, texts } = compiled.plan()?;
        warn(&warnings, &texts, terminal);
        (plan, estimates, facts)
    };
    let review = review(&plan, &estimates, &place, &facts);
    let hands = hands(plan.plan(), &place.inventory, &facts);
    let document = document(&review, &hands, facts.now);
    let book = match format(args) {
        BookFormat::Markdown => markdown(&document),
        BookFormat::Html => html(&document),
    };
    let Some(path) = &args.out else { return print(&book) };
    write(path, &book)?;
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
