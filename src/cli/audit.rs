//! `audit`: whether a run's records are what was written.

use clap::Args;

use crate::base::RunId;
use crate::cli::args::{Format, Global};
use crate::cli::exit::Exit;
use crate::cli::past;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::terminal::Terminal;
use crate::cli::{Done, print, print_json};
use crate::compile::saved::Unproved;
use crate::journal::{Audited, PrintedHead};
use crate::report::audit::{Audit, head, page};
use crate::schedule::rederived;

/// `audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The run.
    pub run: RunId,
    /// The head as it was printed at the end of the run, or by an audit before.
    #[arg(long, value_name = "NUMBER:HASH")]
    pub head: Option<String>,
    /// As text, or as JSON for a program.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Judges every record, and derives the outcome anew.
///
/// # Errors
/// Exit 2 when there is no such run, 74 when the journal cannot be read; 5 when it was altered.
pub fn audit(args: &AuditArgs, global: &Global, terminal: Terminal) -> Done {
    let place = Place::find(global, None)?;
    let printed = args.head.as_deref().map(str::parse::<PrintedHead>).transpose();
    let printed = printed.map_err(|error| Stop::new(Exit::Usage, error.to_string()))?;
    let journal = past::journal(&place, &args.run)?;
    let stop = |error: &_| past::stop(error);
    let audited = journal.audit(&args.run, printed.as_ref()).map_err(|error| stop(&error))?;
    let text = journal.plan_text(&args.run).map_err(|error| stop(&error))?;
    let audit = told(audited, &text);
    match args.format {
        Format::Json => print_json(&audit)?,
        Format::Text => print(&page(&audit, terminal.page()))?,
    };
    Ok(if audit.findings.is_empty() { Exit::Success } else { Exit::Stale })
}

/// The plan is read without being proved: whether it still fits the inventory is another question.
fn told(audited: Audited, plan: &str) -> Audit {
    let Audited { row, events, mut findings } = audited;
    let mut outcome = None;
    match Unproved::read(plan) {
        Ok(plan) if findings.is_empty() => {
            let (state, more) = rederived(plan.plan(), &events);
            outcome = state.outcome;
            findings.extend(more);
            if outcome != row.outcome {
                findings.push("the journal's list says that it ended otherwise".to_owned());
            }
        }
        // What was altered proves nothing.
        Ok(_) => {}
        Err(wrong) => {
            findings.extend(wrong.iter().map(|one| format!("its plan: {}", one.message)));
        }
    }
    let head = head(row.head_seq, &row.head_hash);
    Audit { run: row.run, events: events.len() as u64, head, outcome, findings }
}
