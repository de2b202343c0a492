//! Steps and groups in scripts: ordering by them, and every way of misusing them. The interpreter
//! would compare them with anything, and print them as the name of a type, without a word: each such
//! hole is closed here.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]

use rhai::{Dynamic, Engine, FnPtr, ImmutableString, Module, NativeCallContext};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::scope::ScopeKind;
use crate::trace::bind::{ARGUMENTS_MAX, Table, any_native};
use crate::trace::deferred::Deferred;
use crate::trace::literal;
use crate::trace::machines::{Machines, Vm};
use crate::trace::passed::handles;
use crate::trace::recorder::{Answer, Desk, GroupHandle, Handle, Unknown};
use crate::trace::sources::Part;

/// A word of the plan language that is no primitive.
pub struct Word {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// The words of the plan language, for the reference.
pub static WORDS: &[Word] = &[
    Word {
        name: "after",
        usage: "step.after(step, group or list)",
        doc: "this step starts only when those have succeeded; returns the step",
    },
    Word {
        name: "group",
        usage: "group(name, || { .. })",
        doc: "a scope of its own: barriers and gates inside hold back only what is in it; returns a handle to all of it",
    },
    Word {
        name: "or",
        usage: "step.output.or(default)",
        doc: "the output, or `default` where its step did not run: it is optional, or in another branch",
    },
    Word {
        name: "param",
        usage: "param(name, default, #{ help, one_of, min, max })",
        doc: "what `-p name=value` gives, else the default; `()` as default: it must be given",
    },
    Word {
        name: "require",
        usage: "require(cond, message)",
        doc: "refuses to be planned where the condition does not hold now; for what is known only while the plan runs there is `fail_if`",
    },
    Word { name: "vm", usage: "vm(name)", doc: "one machine of the inventory" },
    Word {
        name: "vms",
        usage: "vms(terms, #{ where, allow_empty })",
        doc: "every machine with all of these tags (`\"tier=web, os!=windows\"`; `\"\"` is all), sorted by name; `where: \"cloud\"` or `\"home\"`; none is an error unless `allow_empty: true`",
    },
];

/// Words of the language that a later version brings, and what to do until then.
const LATER: &[(&str, &str)] = &[
    ("acknowledge", "warnings stay warnings; run without `--strict`"),
    ("attempt", "write the way back as a script of its own, and run it when it is needed"),
    ("parallel", "steps of different machines run in parallel already"),
    ("policy", "give `retry` and `timeout` to each step"),
    ("when", "ask a person with `approve`, or decide on facts with `if`"),
];

/// Their methods: they stand behind a call that was refused already.
const LATER_METHODS: &[&str] = &["always", "on_failure", "otherwise", "then_continue"];

/// Binds steps, groups and what a later version brings.
pub(super) fn bind(engine: &mut Engine, table: Table) {
    engine
        .register_type_with_name::<Handle>("step")
        .register_type_with_name::<GroupHandle>("group of steps")
        .register_type_with_name::<Unknown>("value that was refused")
        .register_fn("group", group)
        .register_indexer_get(output)
        .register_indexer_get(|_: &mut Unknown, _: ImmutableString| Unknown)
        .register_iterator::<Unknown>();
    let mut module = Module::new();
    any_native(&mut module, "after", 2, after);
    for (name, way_out) in LATER {
        if table.iter().any(|known| known.spec().name == *name) {
            continue;
        }
        for arguments in 0..=ARGUMENTS_MAX {
            any_native(&mut module, name, arguments, |ctx, _| Ok(later(ctx, name, way_out)));
        }
    }
    for name in LATER_METHODS {
        for arguments in 1..=3 {
            any_native(&mut module, name, arguments, |ctx, values| {
                let follows = values.first().is_some_and(Dynamic::is::<Unknown>);
                Ok(if follows { Dynamic::from(Unknown) } else { later(ctx, name, "leave it out") })
            });
        }
    }
    engine.register_global_module(module.into());
    close_holes::<Handle>(engine, "a step");
    close_holes::<GroupHandle>(engine, "a group");
    close_holes::<Machines>(engine, "a set of machines");
    close_comparisons::<Vm>(engine, "a machine");
}

/// Names that a script must not give to its own functions: theirs would silently win.
pub(super) fn reserved(table: Table) -> Vec<&'static str> {
    let own = WORDS.iter().map(|word| word.name);
    let helpers = [
        "both",
        "chunks",
        "levels",
        "longer",
        "machines",
        "needed_by",
        "options",
        "pick",
        "without",
    ];
    let primitives = table.iter().map(|known| known.spec().name);
    own.chain(helpers).chain(primitives).chain(LATER.iter().map(|later| later.0)).collect()
}

fn later(ctx: &NativeCallContext<'_>, name: &str, way_out: &str) -> Dynamic {
    let message = format!("not in this version yet: `{name}`");
    let mistake = Diagnostic::error("H106", message).help(format!("until it comes: {way_out}"));
    Desk::of(ctx).open().say(ctx, Part::Whole, mistake);
    Dynamic::from(Unknown)
}

/// `group("db", || { .. })`: a scope with a name; the handle stands for all of it.
fn group(ctx: NativeCallContext<'_>, name: ImmutableString, body: FnPtr) -> Answer<GroupHandle> {
    let desk = Desk::of(&ctx);
    desk.open().is_late(&ctx, Part::Argument(0), "a group's name", &Dynamic::from(name.clone()));
    let scope = desk.open().enter(ScopeKind::Group { name: name.to_string() });
    let _ = body.call_within_context::<Dynamic>(&ctx, ())?;
    let handle = desk.open().leave(scope);
    Ok(handle)
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

fn close_holes<T: Clone + 'static>(engine: &mut Engine, what: &'static str) {
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
