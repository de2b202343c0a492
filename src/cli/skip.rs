//! `skip`: leaving a step out, where the rest of the plan holds without it.

use clap::Args;

use crate::base::RunId;
use crate::cli::answer::{open_run_of, post, step_of, tell_owner};
use crate::cli::args::Global;
use crate::cli::exit::Exit;
use crate::cli::named;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::{Done, say};
use crate::diagnostic::any_error;
use crate::run::command::Command;
use crate::source::Texts;
use crate::verify::verify_with;

/// `skip`
#[derive(Debug, Args)]
pub struct SkipArgs {
    /// The run.
    pub run: RunId,
    /// The step, by its id.
    pub step: String,
    /// Why: it is journalled, and shows in the outcome.
    #[arg(long, value_name = "TEXT", value_parser = named::reason)]
    pub reason: String,
}

/// Leaves a step out that failed or was never begun, if every rule holds without it.
///
/// # Errors
/// Exit 2 when there is no such run or step, or it cannot be left out; 3 when a rule breaks without it.
pub fn skip(args: &SkipArgs, global: &Global) -> Done {
    let place = Place::find(global, None)?;
    let past = open_run_of(&place, &args.run)?;
    let (plan, ix) = (past.plan.plan(), step_of(&past, &args.step)?);
    if let Err(why) = past.state.may_skip(plan, ix) {
        let message =
            format!("the step `{}` of run `{}` is not left out: {why}", args.step, args.run);
        return Err(Stop::new(Exit::Usage, message).help(format!("homing status {}", args.run)));
    }
    let mut left_out = past.state.left_out();
    left_out.push(ix);
    let verdict = verify_with(plan, past.state.facts(plan), &left_out, &place.inventory);
    if any_error(&verdict.diagnostics) {
        let stop = Stop::diagnosed(Exit::Refused, verdict.diagnostics, Texts::default());
        let next = if past.state.may_retry(plan, ix).is_ok() {
            format!("homing retry {} {} tries it again", args.run, args.step)
        } else {
            format!("homing status {}", args.run)
        };
        return Err(stop.help(format!("without `{}` the plan is not safe: {next}", args.step)));
    }
    let known = past.plan.warnings();
    for new in verdict.diagnostics.iter().filter(|warning| !known.contains(warning)) {
        say(&format!("{}: {}\n", new.code, new.message));
    }
    let step = plan.step(ix).id.clone();
    post(&past, &Command::Skip { step, reason: args.reason.clone() })?;
    tell_owner(&past, "left out; every rule holds without it")
}
