//! `accept`: going on although a fact changed since the review.

use std::collections::BTreeSet;

use clap::Args;

use crate::base::{MachineName, RunId};
use crate::cli::answer::{open_run_of, post, tell_owner};
use crate::cli::args::Global;
use crate::cli::exit::Exit;
use crate::cli::named;
use crate::cli::past::Past;
use crate::cli::place::Place;
use crate::cli::stop::Stop;
use crate::cli::{Done, wait_for};
use crate::compile::stale::ChangedFact;
use crate::diagnostic::any_error;
use crate::observe::{Unseen, changed_since};
use crate::plan::facts::Fact;
use crate::run::command::Command;
use crate::run::state::is_same;
use crate::schedule::touched;
use crate::source::Texts;
use crate::verify::verify_with;

/// `accept`
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// The run.
    pub run: RunId,
    /// The fact as the run names it: `'web-01: replica'`.
    #[arg(value_name = "SUBJECT: FACT")]
    pub fact: String,
    /// Why: it is journalled.
    #[arg(long, value_name = "TEXT", value_parser = named::reason)]
    pub reason: String,
}

/// Lets a fact count with the value that it has now, if the plan is proved with that.
///
/// # Errors
/// Exit 2 when there is no such run or that fact has not changed, 3 when a rule refuses the plan with it.
pub fn accept(args: &AcceptArgs, global: &Global) -> Done {
    let place = Place::find(global, None)?;
    let past = open_run_of(&place, &args.run)?;
    let plan = past.plan.plan();
    let changed = changed(&past, &place)?;
    let fact = chosen(args, &changed)?;
    let mut facts = past.state.facts(plan);
    facts.retain(|known| !is_same(known, &fact));
    facts.insert(fact.clone());
    let verdict = verify_with(plan, facts, &past.state.left_out(), &place.inventory);
    if any_error(&verdict.diagnostics) {
        let stop = Stop::diagnosed(Exit::Refused, verdict.diagnostics, Texts::default());
        return Err(stop.help(format!(
            "with this the plan is not safe any more: homing cancel {}, then plan anew",
            args.run
        )));
    }
    post(&past, &Command::Accept { fact, reason: args.reason.clone() })?;
    tell_owner(&past, "accepted; the plan holds with it")
}

/// The facts of the run that are no longer so.
fn changed(past: &Past, place: &Place) -> Result<Vec<ChangedFact>, Stop> {
    let plan = past.plan.plan();
    let sites = place.sites()?;
    let mut apart: BTreeSet<MachineName> =
        touched(plan, &past.state).into_iter().cloned().collect();
    apart.extend(past.state.excluded.iter().cloned());
    let facts = past.state.facts(plan);
    let open = |name: &_| sites.site(name);
    let asked = changed_since(&open, &place.inventory, &facts, &apart);
    wait_for(asked)?.map_err(|unseen| {
        let diagnostics = unseen.iter().map(Unseen::diagnostic).collect();
        Stop::diagnosed(Exit::Failed, diagnostics, Texts::default())
    })
}

fn chosen(args: &AcceptArgs, changed: &[ChangedFact]) -> Result<Fact, Stop> {
    let named = |one: &&ChangedFact| {
        let words = args.fact.split_once(':');
        words.is_some_and(|(subject, fact)| {
            (subject.trim(), fact.trim()) == (&*one.subject, &*one.fact)
        })
    };
    let Some(found) = changed.iter().find(named) else {
        let message = format!("`{}` is no fact of run `{}` that changed", args.fact, args.run);
        let stop = Stop::new(Exit::Usage, message).code("H342");
        let all: Vec<String> =
            changed.iter().map(|one| format!("{}: {}", one.subject, one.fact)).collect();
        return Err(match &all[..] {
            [] => stop.help(format!("no fact of it differs now: homing resume {}", args.run)),
            _ => stop.help(format!("these changed: {}", all.join("; "))),
        });
    };
    let value = found.is.as_deref().and_then(|is| serde_json::from_str(is).ok());
    let value = value.ok_or_else(|| {
        let message =
            format!("`{}` cannot be observed any more: there is no value to accept", args.fact);
        Stop::new(Exit::Usage, message)
            .help(format!("homing exclude {} MACHINE leaves a machine out", args.run))
    })?;
    Ok(Fact::new(found.subject.as_str(), found.fact.as_str(), &value))
}
