//! `policy(#{ .. })` and `acknowledge(code, reason)`: what a script says of a whole scope.

use rhai::{Dynamic, Engine, Map, Module, NativeCallContext};

use crate::base::Json;
use crate::base::moment::Moment;
use crate::base::units::parse_duration;
use crate::diagnostic::{Diagnostic, Severity, codes, did_you_mean};
use crate::plan::policy::Policy;
use crate::plan::scope::{Acknowledgement, Rules};
use crate::plan::step::{Kind, Reversibility};
use crate::primitives::spec::{Opt, OptType, Spec, Yields};
use crate::trace::bind::any_native;
use crate::trace::literal;
use crate::trace::options::{self, Common};
use crate::trace::recorder::{Answer, Desk, Recorder, Unknown};
use crate::trace::sources::Part;

const fn opt(name: &'static str, ty: OptType, doc: &'static str) -> Opt {
    Opt { name, ty, default: "", required: false, doc }
}

/// Most steps at once that a limit may name.
const AT_MOST_MAX: i64 = 1_000_000;

/// So that its options are read like those of a step; `retry` and `timeout` are those of every step.
static SPEC: Spec = Spec {
    name: "policy",
    doc: "",
    kind: Kind::Notify,
    params: &[],
    options: &[
        opt("at_most", OptType::Int { min: 1, max: AT_MOST_MAX }, "steps of the scope at once"),
        opt(
            "at_most_per_host",
            OptType::Int { min: 1, max: AT_MOST_MAX },
            "the same per host that the machines have their home on",
        ),
        opt(
            "deadline",
            OptType::Duration,
            "after the run began; nothing of the scope begins later",
        ),
        opt("no_shutdown_after", OptType::Text, "no machine is turned off later"),
        opt("not_before", OptType::Text, "nothing of the scope begins earlier"),
        opt("on_changed_fact", OptType::OneOf(&["drop_machine", "refuse"]), "see there"),
        opt("on_failure", OptType::OneOf(&["halt", "isolate"]), "see there"),
    ],
    outputs: &[],
    yields: Yields::Step,
    reversibility: Reversibility::Reversible,
    policy: Policy::ONCE,
    timeout_is_stall: false,
    optional: false,
    example: "policy(#{ at_most: 4 });",
};

/// Options of every step that mean nothing for a scope.
const OF_STEPS_ONLY: &[&str] = &["id", "optional"];

/// Binds both.
pub(super) fn bind(engine: &mut Engine) {
    let mut module = Module::new();
    any_native(&mut module, SPEC.name, 1, |ctx, values| policy(ctx, &values));
    any_native(&mut module, "acknowledge", 2, |ctx, values| acknowledge(ctx, &values));
    engine.register_global_module(module.into());
}

impl Recorder {
    /// What `policy` says of the steps written next.
    pub(super) fn default_policy(&self) -> &Common {
        self.defaults.last().expect("BUG: the plan's scope stays open")
    }
}

fn policy(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    if values[0].is::<Unknown>() {
        return Ok(Dynamic::UNIT);
    }
    let Some(mut given) = values[0].clone().try_cast::<Map>() else {
        let found = literal::show(ctx, &values[0]);
        let message = format!("`policy` takes a map, and was given {found}");
        let help = "it is called as `policy(#{ at_most: 4 })`";
        recorder.say(ctx, Part::Argument(0), Diagnostic::error("H115", message).help(help));
        return Ok(Dynamic::UNIT);
    };
    for key in OF_STEPS_ONLY {
        if given.remove(*key).is_some() {
            let known: Vec<&str> = SPEC.options.iter().map(|option| option.name).collect();
            let mistake = literal::unknown_option(SPEC.name, key, &known);
            recorder.say(ctx, Part::Key(key), mistake);
        }
    }
    let mut args = serde_json::Map::new();
    let common = options::read(ctx, recorder, &SPEC, None, &given, &mut args);
    let merged = common.or(recorder.default_policy());
    *recorder.defaults.last_mut().expect("BUG: the plan's scope stays open") = merged;
    for (key, value) in &args {
        let scope = recorder.scope;
        let rules = &mut recorder.scopes[scope.at()].rules;
        if let Err(mistake) = rule(rules, key, value) {
            recorder.say(ctx, Part::Value(key), mistake);
        }
    }
    Ok(Dynamic::UNIT)
}

/// Takes one rule in.
fn rule(rules: &mut Rules, key: &str, value: &Json) -> Result<(), Diagnostic> {
    let number = || value.as_u64().and_then(|number| u32::try_from(number).ok());
    let text = || value.as_str().map(str::to_owned);
    let twice = match key {
        "at_most" => put(&mut rules.at_most, number()),
        "at_most_per_host" => put(&mut rules.at_most_per_host, number()),
        "deadline" => {
            let duration = value.as_str().and_then(|text| parse_duration(text).ok());
            put(&mut rules.deadline_ms, duration.and_then(|d| u64::try_from(d.as_millis()).ok()))
        }
        "not_before" | "no_shutdown_after" => {
            if let Err(wrong) = Moment::parse(value.as_str().unwrap_or_default()) {
                let message = format!("`{key}` of `policy` is wrong: {wrong}");
                return Err(Diagnostic::error("H117", message));
            }
            let place = match key {
                "not_before" => &mut rules.not_before,
                _ => &mut rules.no_shutdown_after,
            };
            put(place, text())
        }
        "on_changed_fact" => put(&mut rules.drop_changed, Some(value == "drop_machine")),
        "on_failure" => {
            // `isolate` is what holds anyway.
            rules.halt |= value == "halt";
            false
        }
        other => panic!("BUG: `{other}` is an option of `policy` that nobody takes"),
    };
    if !twice {
        return Ok(());
    }
    let message =
        format!("`{key}` holds for the whole scope, and was said otherwise in it already");
    let help = "say it once, at the beginning of the scope; an inner `group` may say more";
    Err(Diagnostic::error("H142", message).help(help))
}

/// Whether something else stood there.
fn put<T: PartialEq>(place: &mut Option<T>, value: Option<T>) -> bool {
    let twice = place.is_some() && *place != value;
    *place = value;
    twice
}

/// `acknowledge("H016", "reason")`: answers a warning in this scope.
fn acknowledge(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    let late = |recorder: &mut Recorder, at: usize, what| {
        recorder.is_late(ctx, Part::Argument(at), what, &values[at])
    };
    if values.iter().any(Dynamic::is::<Unknown>)
        || late(recorder, 0, "a code")
        || late(recorder, 1, "a reason")
    {
        return Ok(Dynamic::UNIT);
    }
    let (Some(code), Some(reason)) = (literal::text(&values[0]), literal::text(&values[1])) else {
        let message = "`acknowledge` takes the code of a warning and a reason, both as texts";
        let help = "it is called as `acknowledge(\"H016\", \"why that is meant\")`";
        recorder.say(ctx, Part::Whole, Diagnostic::error("H115", message).help(help));
        return Ok(Dynamic::UNIT);
    };
    let (part, mistake) = if let Err(mistake) = answerable(&code) {
        (Part::Argument(0), mistake)
    } else if reason.trim().is_empty() {
        let message = "a warning is answered with a reason, and this says none";
        let help = "say why it is meant: whoever reviews the plan reads it";
        (Part::Argument(1), Diagnostic::error("H143", message).help(help))
    } else {
        let at = recorder.origin_of(ctx).at.clone();
        let (code, reason, scope) = (code.to_string(), reason.to_string(), recorder.scope);
        recorder.acknowledged.push(Acknowledgement { code, reason, scope, at });
        return Ok(Dynamic::UNIT);
    };
    recorder.say(ctx, part, mistake);
    Ok(Dynamic::UNIT)
}

/// Whether a code is that of a warning.
fn answerable(code: &str) -> Result<(), Diagnostic> {
    let Some(known) = codes::find(code) else {
        let warnings = codes::all().filter(|known| known.severity() == Severity::Warning);
        let help = match did_you_mean(code, warnings.map(|known| known.code)) {
            Some(close) => format!("did you mean \"{close}\"?"),
            None => "codes stand beside each warning, `H016`".to_owned(),
        };
        let message = format!("there is no code `{code}`");
        return Err(Diagnostic::error("H143", message).help(help));
    };
    if known.severity() == Severity::Warning {
        return Ok(());
    }
    let message = format!("`{code}` is no warning ({}): errors cannot be answered", known.title);
    let help = "put right what it refuses: `homing explain` says how";
    Err(Diagnostic::error("H143", message).help(help))
}
