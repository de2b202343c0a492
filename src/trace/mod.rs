//! Tracing: a script becomes a plan.
//!
//! In: a script, its parameters, the inventory, what was observed. Out: a [`Traced`] plan with
//! diagnostics. Refuses to know: files (a `World` reads), clocks, sites. The only room that knows Rhai.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::base::{Json, MachineName};
use crate::diagnostic::Diagnostic;
use crate::plan::facts::{FactLog, HostKey};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::source::{Texts, World};

/// What to trace.
pub struct Request<'a> {
    /// Reads the script and its imports.
    pub world: &'a dyn World,
    /// The script, relative to the plan's folder; or a module of the standard library, `std/failback`.
    pub script: &'a Utf8Path,
    /// `-p name=value`, as given.
    pub params: &'a BTreeMap<String, String>,
    /// Machines, sites, limits.
    pub inventory: &'a Inventory,
    /// What has been observed so far; remembers what is read.
    pub facts: &'a FactLog<'a>,
    /// Bytes allocated by the process right now; polled against the inventory's memory limit. `None`
    /// where no counting allocator is installed.
    pub allocated: Option<fn() -> u64>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Traced {
    /// As far as it got; worth proving only when no diagnostic is an error.
    pub plan: Plan,
    /// Mistakes, in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// Every text that was read, by the name in spans.
    pub texts: Texts,
    /// Every file that was read, relative to the plan's folder.
    pub files: BTreeSet<Utf8PathBuf>,
    /// The parameters that the script declares.
    pub params: Vec<ParamDecl>,
    /// Hosts that were asked for but never observed.
    pub missing_hosts: BTreeSet<HostKey>,
    /// Machines that steps touch.
    pub machines: BTreeSet<MachineName>,
}

/// A parameter, as the script declares it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParamDecl {
    /// Its name.
    pub name: String,
    /// What holds when it is not given.
    pub default: Json,
    /// What it is for.
    pub help: Option<String>,
    /// The only values it takes.
    pub one_of: Option<Vec<Json>>,
    /// Smallest number.
    pub min: Option<i64>,
    /// Largest number.
    pub max: Option<i64>,
    /// What it is in this compile.
    pub value: Json,
}
