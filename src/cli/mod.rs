//! The entrance: the only floor that knows argv, exit codes and the environment.
//!
//! In: a command line. Out: an exit code. Refuses to know: how any of it works; it parses, loads the
//! inventory, hands each room what it needs, and says what came of it.

pub mod args;
pub mod draw;
pub mod exit;
pub mod memory;
pub mod world;

mod accept;
mod adopt;
mod answer;
mod asker;
mod audit;
mod check;
mod compiled;
mod diff;
mod explain;
mod gate;
mod init;
mod instead;
mod lab;
mod named;
mod past;
mod place;
mod plan;
mod refused;
mod rehearse;
mod run;
mod runbook;
mod runs;
mod saved;
mod shell;
mod skip;
mod stop;
mod terminal;
mod told;
mod watching;

use std::io::{BufWriter, StdoutLock, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing::Level;

use crate::cli::args::{Cli, Command, Global};
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::compile::saved::schema;
use crate::sites::registry;

/// What a command comes to: an exit code, or the reason why it could not do its work.
type Done = Result<Exit, Stop>;

/// The whole program.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(status) = registry::helper_process(&arguments) {
        return u8::try_from(status).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let terminal = Terminal::new(&cli.global);
    say_bugs();
    listen(&cli.global, terminal);
    let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        dispatch(cli.command, &cli.global, terminal)
    }));
    if let Some(bytes) = memory::peak_bytes() {
        tracing::info!("{bytes} bytes of memory at most");
    }
    match worked {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(stop)) => {
            say(&stop.show(&terminal));
            stop.exit.into()
        }
        Err(_) => Exit::Bug.into(),
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe (`homing --help | head`) is nobody's mistake.
    let printed = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            printed.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        _ => Exit::Usage.into(),
    }
}

/// A broken invariant stops the program; the run stays resumable, and the message says how to report it.
fn say_bugs() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        say(
            "homing: this is a bug in homing. Nothing that was journalled is lost: `homing resume` goes on.\n  \
             Please report the lines above with `homing --version` and the script.\n",
        );
    }));
}

/// What rooms remark in passing goes to standard error: warnings, with `-v` more.
fn listen(global: &Global, terminal: Terminal) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => Level::ERROR,
        (false, 0) => Level::WARN,
        (false, 1) => Level::INFO,
        (false, _) => Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(terminal.colour)
        // It would panic where nobody listens any more.
        .log_internal_errors(false)
        .init();
}

/// What a run leaves behind (journal, locks, practice grounds, sockets) is for its owner alone; a plan or a
/// runbook is written to be handed on.
fn keep_private(command: &Command) {
    let hands_on = matches!(
        command,
        Command::Plan(_)
            | Command::Runbook(_)
            | Command::Diff(_)
            | Command::Init(_)
            | Command::Completions(_)
            | Command::Man
            | Command::Schema
    );
    if !hands_on {
        rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    }
}

fn dispatch(command: Command, global: &Global, terminal: Terminal) -> Done {
    keep_private(&command);
    match command {
        Command::Check(args) => check::check(&args, global, terminal),
        Command::Plan(args) => plan::plan(&args, global, terminal),
        Command::Diff(args) => diff::diff(&args, terminal),
        Command::Runbook(args) => runbook::runbook(&args, global, terminal),
        Command::Rehearse(args) => rehearse::rehearse(&args, global, terminal),
        Command::Run(args) => run::run(&args, global, terminal),
        Command::Resume(args) => run::resume(&args, global, terminal),
        Command::Approve(args) => answer::approve(&args, global),
        Command::Reject(args) => answer::reject(&args, global),
        Command::Cancel(args) => answer::cancel(&args, global, terminal),
        Command::Retry(args) => answer::retry(&args, global),
        Command::Skip(args) => skip::skip(&args, global),
        Command::Accept(args) => accept::accept(&args, global),
        Command::Exclude(args) => answer::exclude(&args, global),
        Command::Rollback(args) => instead::rollback(&args, global, terminal),
        Command::Replan(args) => instead::replan(&args, global, terminal),
        Command::Adopt(args) => adopt::adopt(&args, global, terminal),
        Command::Status(args) => runs::status(&args, global, terminal),
        Command::Runs(args) => runs::list(&args, global, terminal),
        Command::Show(args) => runs::show(&args, global, terminal),
        Command::Logs(args) => runs::logs(&args, global, terminal),
        Command::Audit(args) => audit::audit(&args, global, terminal),
        Command::Explain(args) => print(&explain::explain(args.code.as_deref(), terminal.page())?),
        Command::Primitives(args) => {
            let name = args.name.as_deref();
            print(&explain::primitives(name, args.markdown, terminal.page())?)
        }
        Command::Lab(command) => lab::lab(command, global, terminal),
        Command::Init(args) => print(&init::init(&args.folder)?),
        Command::Watch(args) => watching::watch(&args, global, terminal),
        Command::Schema => print_json(&schema()),
        Command::Completions(args) => print(&shell::completions(args.shell)),
        Command::Man => print(&shell::manual()?),
    }
}

/// Data goes to standard output.
fn print(text: &str) -> Done {
    let mut out = std::io::stdout().lock();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The same for data as JSON.
fn print_json(data: &impl serde::Serialize) -> Done {
    print_pieces(|out| serde_json::to_writer_pretty(out, data))
}

/// The same on one line.
fn print_json_line(data: &impl serde::Serialize) -> Done {
    print_pieces(|out| serde_json::to_writer(out, data))
}

/// Piece by piece: a large plan is fifty megabytes.
fn print_pieces(
    write: impl FnOnce(&mut BufWriter<StdoutLock<'_>>) -> serde_json::Result<()>,
) -> Done {
    let mut out = BufWriter::with_capacity(JSON_PIECE_BYTES, std::io::stdout().lock());
    let written = write(&mut out).map_err(std::io::Error::from);
    printed(written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))
}

const JSON_PIECE_BYTES: usize = 256 << 10;

/// A reader that left early is no failure.
fn printed(written: std::io::Result<()>) -> Done {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Stop::new(Exit::Usage, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(Exit::Success),
    }
}

/// Talk goes to standard error; nobody listening is no failure.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Runs what waits; two threads are enough for a process whose work is waiting.
fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Stop::new(Exit::Bug, format!("cannot start: {error}")))?;
    let done = runtime.block_on(work);
    // An attempt that does not heed its cancellation must not keep the process.
    runtime.shutdown_background();
    Ok(done)
}
