//! Steps and groups in scripts: ordering by them, and every way of misusing them. The interpreter
//! would compare them with anything, and print them as the name of a type, without a word: each such
//! hole is closed here.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]

use rhai::{Dynamic, Engine, ImmutableString, Module, NativeCallContext};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::trace::bind::any_native;
use crate::trace::deferred::Deferred;
use crate::trace::literal;
use crate::trace::machines::{Machines, Vm};
use crate::trace::passed::handles;
use crate::trace::recorder::{Answer, Desk, GroupHandle, Handle, Unknown};
use crate::trace::sources::Part;

/// Binds steps and groups.
pub(super) fn bind(engine: &mut Engine) {
    engine
        .register_type_with_name::<Handle>("step")
        .register_type_with_name::<GroupHandle>("group of steps")
        .register_type_with_name::<Unknown>("value that was refused")
        .register_indexer_get(output)
        .register_indexer_get(|_: &mut Unknown, _: ImmutableString| Unknown);
    let mut module = Module::new();
    any_native(&mut module, "after", 2, after);
    engine.register_global_module(module.into());
    close_holes::<Handle>(engine, "a step");
    close_holes::<GroupHandle>(engine, "a group");
    close_holes::<Machines>(engine, "a set of machines");
    close_comparisons::<Vm>(engine, "a machine");
}

/// `step.after(step | group | [..])`. The standard library also passes machines: after whatever was
/// written for them so far.
fn after(ctx: &NativeCallContext<'_>, values: Vec<Dynamic>) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    let [step, before] = &values[..] else { panic!("BUG: registered with two arguments") };
    if step.is::<Unknown>() || before.is::<Unknown>() {
        return Ok(step.clone());
    }
    let Some(handle) = literal::held::<Handle>(step) else {
        let message = format!("`after` orders a step, and this is {}", literal::show(ctx, step));
        let help = "write `.after(..)` behind the call that makes the step";
        recorder.say(ctx, Part::Whole, Diagnostic::error("H114", message).help(help));
        return Ok(step.clone());
    };
    let machines = literal::held::<Machines>(before);
    let befores = match machines {
        Some(set) => Some(set.0.iter().flat_map(|m| recorder.order.lasts_of(*m)).collect()),
        None => handles(before, recorder),
    };
    match befores {
        Some(befores) => {
            for before in befores {
                recorder.after(ctx, handle, before);
            }
        }
        None => {
            let message =
                format!("a step comes after steps, and this is {}", literal::show(ctx, before));
            let help = "pass a step, a group, or a list of these: `.after([a, b])`";
            recorder.say(ctx, Part::Argument(1), Diagnostic::error("H114", message).help(help));
        }
    }
    Ok(step.clone())
}

/// `last.bytes_sent`: known only while the plan runs.
fn output(ctx: NativeCallContext<'_>, handle: &mut Handle, name: ImmutableString) -> Dynamic {
    let desk = Desk::of(&ctx);
    let recorder = &mut *desk.open();
    let spec = recorder.spec(*handle);
    if spec.outputs.iter().any(|output| output.name == name.as_str()) {
        let step = &recorder.steps[handle.0.at()];
        return Dynamic::from(Deferred(recorder.late.read(&step.id, handle.0, &name)));
    }
    let known = spec.outputs.iter().map(|output| output.name);
    let help = match did_you_mean(&name, known.clone()) {
        Some(close) => format!("did you mean `{close}`?"),
        None if spec.outputs.is_empty() => "it puts nothing out".to_owned(),
        None => format!("it has {}", known.collect::<Vec<_>>().join(", ")),
    };
    let message = format!("a step of `{}` has no `{name}`", spec.name);
    recorder.say(&ctx, Part::Whole, Diagnostic::error("H113", message).help(help));
    Dynamic::from(Unknown)
}

fn misuse(ctx: &NativeCallContext<'_>, what: &str, does: &str) {
    let message = format!("{what} cannot {does}");
    let help = "its properties can: `m.name`, `machines.len()`; order steps with `.after(..)`";
    let mistake = Diagnostic::error("H114", message).help(help);
    Desk::of(ctx).open().say(ctx, Part::Whole, mistake);
}

/// Neither compared nor printed.
pub(super) fn close_holes<T: Clone + 'static>(engine: &mut Engine, what: &'static str) {
    close_comparisons::<T>(engine, what);
    engine
        .register_fn("to_string", move |ctx: NativeCallContext<'_>, _: T| in_text(&ctx, what))
        .register_fn("to_debug", move |ctx: NativeCallContext<'_>, _: T| in_text(&ctx, what))
        .register_fn("+", move |ctx: NativeCallContext<'_>, _: ImmutableString, _: T| {
            in_text(&ctx, what)
        })
        .register_fn("+", move |ctx: NativeCallContext<'_>, _: T, _: ImmutableString| {
            in_text(&ctx, what)
        })
        .register_fn("+=", move |ctx: NativeCallContext<'_>, _: &mut ImmutableString, _: T| {
            in_text(&ctx, what);
        });
}

fn in_text(ctx: &NativeCallContext<'_>, what: &str) -> String {
    misuse(ctx, what, "stand in a text");
    String::new()
}

/// Comparing with anything else is an error, never a silent `false`; with `()` it is not.
fn close_comparisons<T: Clone + 'static>(engine: &mut Engine, what: &'static str) {
    for operator in ["==", "!=", "<", "<=", ">", ">="] {
        engine
            .register_fn(operator, move |ctx: NativeCallContext<'_>, _: T, _: Dynamic| {
                misuse(&ctx, what, "be compared with that");
                false
            })
            .register_fn(operator, move |ctx: NativeCallContext<'_>, other: Dynamic, _: T| {
                if !other.is::<Unknown>() {
                    misuse(&ctx, what, "be compared with that");
                }
                false
            });
    }
    engine
        .register_fn("==", |_: T, (): ()| false)
        .register_fn("!=", |_: T, (): ()| true)
        .register_fn("==", |(): (), _: T| false)
        .register_fn("!=", |(): (), _: T| true);
}
