//! `require(cond, "message")`: what must hold when the plan is made.

use rhai::{Dynamic, Engine, Module, NativeCallContext};

use crate::diagnostic::Diagnostic;
use crate::trace::bind::{ARGUMENTS_MAX, any_native};
use crate::trace::deferred::Deferred;
use crate::trace::late;
use crate::trace::literal;
use crate::trace::recorder::{Desk, Unknown};
use crate::trace::sources::Part;

/// Binds `require`.
pub(super) fn bind(engine: &mut Engine) {
    let mut module = Module::new();
    for arguments in 0..=ARGUMENTS_MAX {
        any_native(&mut module, "require", arguments, |ctx, values| {
            let refused = require(ctx, &values);
            Ok(if refused { Dynamic::from(Unknown) } else { Dynamic::UNIT })
        });
    }
    engine.register_global_module(module.into());
}

/// Whether the call itself is wrong. Where the condition does not hold, tracing goes on and finds more.
fn require(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> bool {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    if values.iter().any(Dynamic::is::<Unknown>) {
        return true;
    }
    if let Some(cond) = values.first().and_then(literal::held::<Deferred>) {
        recorder.late.used(&cond.0);
        let message = format!(
            "`require` asks when the plan is made, and `{}` is known only while it runs",
            cond.0
        );
        let help = "`fail_if(cond, \"message\")` asks while it runs; mind that it fails where the condition holds";
        recorder.say(ctx, Part::Argument(0), Diagnostic::error("H107", message).help(help));
        return true;
    }
    let help = "it is called as `require(cond, \"message\")`";
    let (cond, words) = match values {
        [cond, words] => (cond.as_bool(), literal::text(words)),
        _ => (Err(""), None),
    };
    let (Ok(holds), Some(words)) = (cond, words) else {
        let message = "`require` takes a truth and a text";
        recorder.say(ctx, Part::Whole, Diagnostic::error("H115", message).help(help));
        return true;
    };
    if late::is_in_text(&words) {
        let message = "`require` speaks when the plan is made: its text must be known then";
        recorder.say(ctx, Part::Argument(1), Diagnostic::error("H107", message).help(late::HELP));
        return true;
    }
    if !holds {
        let help = "the script itself refuses to be planned like this";
        recorder.say(ctx, Part::Whole, Diagnostic::error("H146", words.as_str()).help(help));
    }
    false
}
