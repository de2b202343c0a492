//! Tracing: a script becomes a plan.
//!
//! In: a script, its parameters, the inventory, what was observed. Out: a [`Traced`] plan with
//! diagnostics. Refuses to know: files (a `World` reads), clocks, sites. The only room that knows Rhai.

mod attempts;
mod bind;
mod captured;
mod changes;
mod clock;
mod deferred;
mod engine;
mod handles;
mod ids;
mod late;
mod literal;
mod look;
mod machines;
mod mistakes;
mod modules;
mod names;
mod natives;
mod options;
mod order;
mod params;
mod passed;
mod policy;
mod reach;
mod recorder;
mod require;
mod scan;
mod scopes;
mod sources;
mod stdlib;
mod texts;
mod unseen;
mod words;

pub use machines::PROPERTIES;
pub use passed::usage;
pub use stdlib::{FunctionDoc, stdlib_docs};
pub use words::{WORDS, Word};

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rhai::{Dynamic, Engine, Scope};
use serde::Serialize;

use crate::base::{Json, MachineName};
use crate::diagnostic::{Diagnostic, any_error};
use crate::plan::facts::{FactLog, HostKey, SELECTION};
use crate::plan::graph::{Plan, index};
use crate::plan::inventory::{INVENTORY_FACT, Inventory};
use crate::primitives::contract::Subject;
use crate::source::{Texts, World};
use crate::trace::bind::Table;
use crate::trace::clock::Clock;
use crate::trace::modules::{Loader, Resolver};
use crate::trace::names::Namer;
use crate::trace::recorder::{Desk, Recorder};

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
    /// What earlier rounds of the same script have used up of the time that all of them share.
    pub spent: Duration,
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
    /// Every file that was read, or looked for inside the plan's folder, relative to it.
    pub files: BTreeSet<Utf8PathBuf>,
    /// The parameters that the script declares.
    pub params: Vec<ParamDecl>,
    /// Hosts that were asked for but never observed.
    pub missing_hosts: BTreeSet<HostKey>,
    /// Machines that steps touch.
    pub machines: BTreeSet<MachineName>,
    /// How much of the time that the rounds of a script share is used up, with what was before.
    pub spent: Duration,
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

/// Bytes of the stack: address space; only what is used of it becomes memory. The interpreter limits how
/// deep it goes, and values inside each other are as many as a list may have items.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 1 << 30 } else { 256 << 20 };

/// The function of a library module that runs when the module is the script.
const MAIN: &str = "main";

/// Traces a script. Never fails: what is wrong is among the diagnostics, and the plan goes as far as it
/// got. Facts that nobody observed yet are marked as missing in `request.facts`, and tracing stops there:
/// observe them, and trace again.
pub fn trace(request: &Request<'_>) -> Traced {
    stacker::grow(STACK_BYTES, || trace_with(request, crate::primitives::ALL))
}

fn trace_with(request: &Request<'_>, table: Table) -> Traced {
    let inventory = request.inventory.clone();
    let facts = request.facts.peek().clone();
    let desk = Desk::new(Recorder::new(table, inventory, facts, request.params.clone()));
    let clock = Rc::new(Clock::new(request.spent));
    let mut engine = engine::build(&desk, table, clock.clone(), request);
    let namer = Namer::default();
    namer.bind(&mut engine);
    let mut loader = Loader {
        engine: &engine,
        world: request.world,
        desk: &desk,
        reserved: &words::reserved(table),
        shelf: BTreeMap::new(),
        aliases: BTreeMap::new(),
        files: BTreeSet::new(),
        loading: Vec::new(),
    };
    let script = loader.script(request.script);
    let (shelf, files, aliases) = (loader.shelf, loader.files, loader.aliases);
    if let Some(key) = script {
        look::for_unknown_functions(&mut desk.open(), &engine, &shelf, &aliases);
        let shelf = namer.apart(&engine, &desk, &shelf, &aliases);
        let ast = shelf[&key].clone();
        engine.set_module_resolver(Resolver::new(shelf, desk.clone()));
        evaluate(&engine, &desk, &ast, request.script);
    }
    let spent = clock.spent(desk.open().steps.len());
    let mut traced = finish(request, table, &mut desk.open());
    traced.files = files;
    traced.spent = spent;
    traced
}

fn evaluate(engine: &Engine, desk: &Desk, ast: &rhai::AST, script: &Utf8Path) {
    let of_library = stdlib::text(script.as_str()).is_some();
    let mut scope = Scope::new();
    let ended = if !of_library {
        engine.run_ast_with_scope(&mut scope, ast)
    } else if let Some(main) = ast.iter_functions().find(|one| names::written(one.name) == MAIN) {
        engine.call_fn::<Dynamic>(&mut scope, ast, main.name, ()).map(drop)
    } else {
        let message = format!("`{script}` is a module to import: it has no `fn main()` to run");
        let help = "import it in a script of your own";
        desk.open().push(Diagnostic::error("H155", message).help(help));
        return;
    };
    let mut recorder = desk.open();
    match ended {
        Ok(()) => {
            if !any_error(&recorder.diagnostics) {
                recorder.say_unused();
            }
            let unknown = params::unknown(&recorder);
            unknown.into_iter().for_each(|mistake| recorder.push(mistake));
        }
        Err(error) => mistakes::of_evaluation(&mut recorder, engine, &error),
    }
}

/// What the plan does to its machines, and everything else that needs the whole of it.
fn finish(request: &Request<'_>, table: Table, recorder: &mut Recorder) -> Traced {
    remember_facts(request, recorder);
    let mut steps = std::mem::take(&mut recorder.steps);
    steps.shrink_to_fit();
    for (at, step) in steps.iter_mut().enumerate() {
        if recorder.wrong.contains(&index(at)) {
            continue;
        }
        let primitive = table.iter().find(|one| std::ptr::eq(one.spec().name, step.primitive));
        let primitive = primitive.expect("BUG: a step is made by a primitive of the table");
        let (inventory, facts) = (request.inventory, request.facts);
        let subject = Subject { machine: step.machine.as_ref(), inventory, facts };
        match primitive.effect(&step.args.json(), &step.policy, &subject) {
            Ok(effect) => step.effect = effect,
            Err(mistakes) => {
                for mut mistake in mistakes {
                    mistake.at = mistake.at.or_else(|| Some(step.origin.at.clone()));
                    recorder.push(mistake);
                }
            }
        }
    }
    let mut diagnostics = std::mem::take(&mut recorder.diagnostics);
    diagnostics.sort_by(|a, b| a.at.cmp(&b.at));
    let params = std::mem::take(&mut recorder.params);
    let plan = Plan {
        script: shown(request),
        params: params.iter().map(|param| (param.name.clone(), param.value.clone())).collect(),
        steps,
        scopes: std::mem::take(&mut recorder.scopes),
        acknowledged: std::mem::take(&mut recorder.acknowledged),
        facts: BTreeSet::new(),
    };
    debug_assert!(any_error(&diagnostics) || recorder.importing == 0, "BUG: a module stays open");
    Traced {
        texts: recorder.sources.texts(),
        missing_hosts: std::mem::take(&mut recorder.missing_hosts),
        machines: plan.machines().into_iter().cloned().collect(),
        spent: Duration::ZERO,
        files: BTreeSet::new(),
        plan,
        diagnostics,
        params,
    }
}

/// What people call the script. A module of the standard library is in no folder.
fn shown(request: &Request<'_>) -> String {
    match stdlib::text(request.script.as_str()) {
        Some(_) => request.script.to_string(),
        None => request.world.show(request.script),
    }
}

/// Hands the facts on that the script read. Where one was missing, all machines that the script had
/// selected by then are missing: it will ask for the same of each.
fn remember_facts(request: &Request<'_>, recorder: &Recorder) {
    let name = |place: u32| &recorder.names[place as usize];
    for (place, fact) in &recorder.read {
        request.facts.read(name(*place), fact);
    }
    for (place, value) in &recorder.noted {
        let known = recorder.inventory.value(name(*place), value);
        let known = known.expect("BUG: noted where the inventory was read");
        let fact = format!("{INVENTORY_FACT}{value}");
        request.facts.note(name(*place).as_str(), &fact, known);
    }
    for (terms, names) in &recorder.selections {
        request.facts.note(SELECTION, terms, names.clone());
    }
    if recorder.incomplete {
        let selected = recorder.selected.iter().map(|place| name(*place));
        for machine in selected.filter(|name| !recorder.facts.machines.contains_key(*name)) {
            request.facts.read(machine, "where");
        }
    }
}
