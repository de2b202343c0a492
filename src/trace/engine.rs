//! The interpreter, set up as a sandbox: no clock, no randomness, no I/O, and a limit on everything.

use std::rc::Rc;

use rhai::debugger::{BreakPoint, DebuggerCommand};
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, OptimizationLevel};

use crate::diagnostic::Diagnostic;
use crate::plan::inventory::Limits;
use crate::trace::Request;
use crate::trace::bind::{self, Table};
use crate::trace::captured::{CAPTURES, Captured};
use crate::trace::clock::{Clock, PER_STEP, SHARED};
use crate::trace::recorder::Desk;
use crate::trace::{
    deferred, handles, machines, natives, params, policy, require, scopes, stdlib, texts,
};

/// Operations of the interpreter for the smallest plan, and per step a plan may have.
const OPERATIONS_MIN: u64 = 50_000_000;
const OPERATIONS_PER_STEP: u64 = 200;
/// Calls inside each other.
const CALLS_MAX: usize = 48;
/// Expressions inside each other.
const DEPTH_MAX: usize = 64;
/// Bytes of a text, and of all texts in one list or map together. Taken apart into its characters a text
/// needs a hundred times as much, at one go.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 20;
/// Items of a list or a map. Each change measures the whole again, so large ones are slow as well.
const ITEMS_MAX: usize = 10_000;
const VARIABLES_MAX: usize = 1_000;
const FUNCTIONS_MAX: usize = 2_000;
/// Files of one script.
pub(super) const MODULES_MAX: usize = 100;

/// An interpreter for one compile.
pub(super) fn build(desk: &Desk, table: Table, clock: Rc<Clock>, request: &Request<'_>) -> Engine {
    let mut engine = Engine::new_raw();
    // Not the core packages: they bring `sleep` and `exit`.
    for library in [
        ArithmeticPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
        MoreStringPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicFnPackage::new().as_shared_module(),
        BasicMathPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(library);
    }
    // `try` would swallow mistakes; `switch` takes its `_` arm for whatever it cannot compare.
    // Functions have other names than those written (see `names`): a closure says what a name in a text would.
    for word in ["eval", "try", "catch", "switch", "Fn", "is_def_fn"] {
        engine.disable_symbol(word);
    }
    engine.set_strict_variables(true);
    engine.set_fail_on_invalid_map_property(true);
    // An optimizer would drop what we want to complain about.
    engine.set_optimization_level(OptimizationLevel::None);
    natives::bind(&mut engine);
    limit(&mut engine, request.inventory.limits);
    watch(&mut engine, desk, clock, request);
    engine.set_default_tag(Dynamic::from(desk.clone()));
    let printed = desk.clone();
    engine.on_print(move |_| print_says_nothing(&printed));
    let printed = desk.clone();
    engine.on_debug(move |_, _, _| print_says_nothing(&printed));
    trace_calls(&mut engine, desk);
    machines::bind(&mut engine);
    handles::bind(&mut engine);
    deferred::bind(&mut engine);
    texts::bind(&mut engine);
    require::bind(&mut engine);
    scopes::bind(&mut engine);
    policy::bind(&mut engine);
    params::bind(&mut engine);
    stdlib::bind(&mut engine);
    bind::bind(&mut engine, table);
    engine
}

fn limit(engine: &mut Engine, limits: Limits) {
    let operations = OPERATIONS_PER_STEP * u64::from(limits.steps_max);
    engine.set_max_operations(operations.max(OPERATIONS_MIN));
    engine.set_max_call_levels(CALLS_MAX);
    engine.set_max_expr_depths(DEPTH_MAX, DEPTH_MAX);
    engine.set_max_string_size(TEXT_BYTES_MAX);
    engine.set_max_array_size(ITEMS_MAX);
    engine.set_max_map_size(ITEMS_MAX);
    engine.set_max_variables(VARIABLES_MAX);
    engine.set_max_functions(FUNCTIONS_MAX);
    engine.set_max_modules(MODULES_MAX);
}

/// Limits per value do not add up to one on memory, and one native call is one operation.
fn watch(engine: &mut Engine, desk: &Desk, clock: Rc<Clock>, request: &Request<'_>) {
    let (allocated, bytes_max) =
        (request.allocated, request.inventory.limits.script_memory_bytes_max);
    let before = allocated.map_or(0, |allocated| allocated());
    let desk = desk.clone();
    engine.on_progress(move |_| {
        let used = allocated.map_or(0, |allocated| allocated()).saturating_sub(before);
        let why = if used > bytes_max {
            format!("evaluating it needed more than {bytes_max} bytes")
        } else if clock.is_over(|| desk.open().steps.len()) {
            format!(
                "evaluating it took longer than the {SHARED:?} that a script has, besides {PER_STEP:?} for each step"
            )
        } else {
            return None;
        };
        desk.open().stopped = Some(why);
        Some(Dynamic::UNIT)
    });
}

/// Keeps the stack of calls, so that a step written by the standard library is placed at the user's
/// call. The alternatives (a hand-kept stack, tracing twice)
/// either miss calls inside a module or cost more.
///
/// And stops where a function captures variables, which are to be kept.
fn trace_calls(engine: &mut Engine, desk: &Desk) {
    let desk = desk.clone();
    #[expect(deprecated, reason = "not deprecated, says its text, but free to change")]
    engine.register_debugger(
        |_, mut debugger| {
            let name = CAPTURES.into();
            debugger.break_points_mut().push(BreakPoint::AtFunctionName { name, enabled: true });
            debugger
        },
        move |context, _, node, _, _| {
            Captured::keep(&desk, node, context.scope());
            Ok(DebuggerCommand::Continue)
        },
    );
}

fn print_says_nothing(desk: &Desk) {
    let message = "`print` shows nothing: a script is evaluated once, when the plan is made";
    let help = "`notify` tells someone while the plan runs";
    desk.open().push(Diagnostic::warning("H128", message).help(help));
}
