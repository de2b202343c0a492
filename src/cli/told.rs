//! Attending a run: reporters, questions, signals, until its process may leave it.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::ProgressDrawTarget;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::base::{RunId, Timestamp};
use crate::cli::args::Output;
use crate::cli::asker::asker;
use crate::cli::exit::Exit;
use crate::cli::gate::Questions;
use crate::cli::past::{self, fold};
use crate::cli::refused::refused;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::execute::{Ended, RunError, RunHandle};
use crate::journal::JournalError;
use crate::plan::graph::Plan;
use crate::report::Reporters;
use crate::report::jsonl::Jsonl;
use crate::report::plain::Plain;
use crate::report::terminal::Terminal as LiveView;
use crate::run::event::{Event, Told};

/// How a run is attended.
pub struct Attendance {
    /// What the terminal can do.
    pub terminal: Terminal,
    /// What to print.
    pub output: Output,
    /// Ask at gates on this terminal.
    pub asks: bool,
    /// Fired at the first Ctrl-C or SIGTERM.
    pub interrupt: CancellationToken,
}

/// Follows a run to its end.
///
/// # Errors
/// Exit 74 when its journal fails, 6 when another process takes a machine over, 8 at a second Ctrl-C, 70 when
/// the run breaks off.
pub async fn attend(mut handle: RunHandle, plan: &Plan, how: &Attendance) -> Result<Ended, Stop> {
    let run = handle.id.clone();
    let mut reporters = reporters(&run, &handle.history, plan, how)?;
    let mut questions = how.asks.then(Questions::new);
    let mut signals = Signals::new()?;
    let mut clock = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            told = handle.told.next() => match told.map_err(|error| past::stop(&error))? {
                Some(told) => {
                    reporters.tell(&told);
                    if let (Some(questions), Told::Event(event)) = (&mut questions, &told) {
                        questions.hear(&event.body);
                    }
                }
                None => break,
            },
            command = answered(&mut questions) => {
                let posted = handle.speaker().post(&command, &asker());
                posted.map_err(|error| past::stop(&error))?;
            }
            () = signals.next() => {
                if how.interrupt.is_cancelled() {
                    let at_once = format!("stopped at once; go on with: homing resume {run}");
                    return Err(Stop::new(Exit::Interrupted, at_once));
                }
                how.interrupt.cancel();
                crate::cli::say("\nstopping at safe points; Ctrl-C again stops at once\n");
            }
            _ = clock.tick() => reporters.tick(Timestamp::now()),
        }
    }
    drop(reporters);
    match handle.done.await {
        Ok(Err(RunError::Journal(error))) => Err(broken_off(&error, &run)),
        Ok(ended) => ended.map_err(|error| refused(&error)),
        Err(broken) => Err(Stop::new(Exit::Bug, format!("the run broke off: {broken}"))
            .help(format!("homing resume {run}"))),
    }
}

/// What an operator has to know when the journal failed under a run: nothing was begun since.
fn broken_off(error: &JournalError, run: &RunId) -> Stop {
    past::stop(error).help(format!(
        "{}\nrun `{run}` began nothing after that, and what was at work was asked to stop; once the journal is back, `homing status {run}` says where every machine stands, `homing resume {run}` goes on",
        error.help()
    ))
}

async fn answered(questions: &mut Option<Questions>) -> crate::run::command::Command {
    match questions {
        Some(questions) => questions.answer().await,
        None => std::future::pending().await,
    }
}

fn reporters<'a>(
    run: &'a RunId,
    history: &[Event],
    plan: &'a Plan,
    how: &Attendance,
) -> Result<Reporters<'a>, Stop> {
    let reporters = Reporters::new(run, plan, fold(plan, history)?);
    let style = how.terminal.talk();
    Ok(match how.output {
        Output::Jsonl => reporters.and(Jsonl::new(std::io::stdout())),
        _ if how.terminal.quiet => reporters,
        Output::Auto if std::io::stderr().is_terminal() => {
            reporters.and(LiveView::new(ProgressDrawTarget::stderr(), style))
        }
        Output::Auto | Output::Plain => reporters.and(Plain::new(std::io::stderr(), style)),
    })
}

/// Ctrl-C, SIGTERM, and SIGHUP: the terminal is gone.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Stop> {
        let heard = |kind| {
            signal(kind)
                .map_err(|error| Stop::new(Exit::Bug, format!("cannot hear signals: {error}")))
        };
        let interrupt = heard(SignalKind::interrupt())?;
        // A limit on the size of files fails the write that meets it: it must not end the process too.
        drop(heard(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        let (terminate, hang_up) = (heard(SignalKind::terminate())?, heard(SignalKind::hangup())?);
        Ok(Signals { interrupt, terminate, hang_up })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
