//! Machines that hold marks of runs which no journal here knows.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::base::{MachineName, RunId};
use crate::plan::facts::Facts;
use crate::render::style::Style;
use crate::render::table::Table;

/// Such a machine, as its sites see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// The machine.
    pub machine: MachineName,
    /// The unknown runs that claim it or took snapshots of it.
    pub runs: BTreeSet<RunId>,
    /// `on`, `off` or `unknown`; `None`: it could not be asked.
    pub cloud: Option<String>,
    /// The same at home.
    pub onprem: Option<String>,
    /// What its replica is worth: the fact `replica`.
    pub replica: Option<String>,
    /// `pending` or `committed`.
    pub commit: Option<String>,
    /// What a person is needed for, beside the claim.
    pub danger: Option<String>,
}

impl Found {
    /// What the facts say of it.
    pub fn new(
        machine: &MachineName,
        runs: BTreeSet<RunId>,
        danger: Option<String>,
        facts: &Facts,
    ) -> Found {
        let word = |fact: &str| facts.get(machine, fact)?.as_str().map(str::to_owned);
        Found {
            machine: machine.clone(),
            runs,
            cloud: word("cloud.power"),
            onprem: word("onprem.power"),
            replica: word("replica"),
            commit: word("commit"),
            danger,
        }
    }
}

/// For a person; `all`: every machine was looked at. Ends with a line break.
pub fn page(found: &[Found], all: bool, style: Style) -> String {
    if found.is_empty() {
        let which = if all { "no machine" } else { "no machine that was looked at" };
        return format!(
            "nothing to adopt: {which} holds a mark of a run that this state folder does not know\n"
        );
    }
    let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "unseen".to_owned());
    let row = |one: &Found| {
        let runs: Vec<&str> = one.runs.iter().map(RunId::as_str).collect();
        vec![
            one.machine.to_string(),
            word(&one.cloud),
            word(&one.onprem),
            word(&one.replica),
            word(&one.commit),
            runs.join(", "),
        ]
    };
    let header = vec!["machine", "cloud", "on-prem", "replica", "switch", "left by"];
    let table = Table { header, rows: found.iter().map(row).collect(), amounts: &[] };
    let dangers = found.iter().filter_map(|one| one.danger.as_ref());
    let dangers: String = dangers.map(|danger| format!("  {danger}\n")).collect();
    format!("{}{dangers}", table.text(style))
}

/// What a person may type next, once they are adopted.
pub fn next(found: &[Found]) -> String {
    let names = |keep: &dyn Fn(&Found) -> bool| -> Vec<&str> {
        let kept = found.iter().filter(|one| keep(one));
        kept.map(|one| one.machine.as_str()).collect()
    };
    let back = names(&|one| one.danger.is_some() || one.commit.as_deref() == Some("pending"));
    let mut next =
        "Next\n  homing plan SCRIPT            what a script would do from here\n".to_owned();
    if !back.is_empty() {
        next += &format!("  homing plan std/rollback -p machines={}\n", back.join(","));
    }
    next
}
