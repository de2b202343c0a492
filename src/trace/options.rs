//! The options map of a call, against the primitive's spec and the options that every step has.

use rhai::{Array, Dynamic, Map, NativeCallContext};

use crate::base::units::{parse_duration, parse_rate, parse_size};
use crate::base::{HostName, Json, StepId};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::plan::policy::Policy;
use crate::plan::step::Kind;
use crate::primitives::spec::{COMMON_OPTIONS, Opt, OptType, Spec};
use crate::trace::literal;
use crate::trace::recorder::{Recorder, Unknown};
use crate::trace::sources::Part;

/// The option that names a gate.
const GATE_NAME: &str = "name";

/// What every step may be told; the rest stays among its arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Common {
    id: Option<String>,
    pub(super) optional: Option<bool>,
    attempts: Option<u32>,
    first_ms: Option<u64>,
    max_ms: Option<u64>,
    timeout_ms: Option<u64>,
    /// One of the options was wrong: what is said of the rest would be a mere consequence.
    pub(super) wrong: bool,
}

impl Common {
    /// The policy, when it differs from the primitive's.
    pub(super) fn policy(&self, own: &Policy) -> Option<Policy> {
        let policy = Policy {
            attempts: self.attempts.unwrap_or(own.attempts),
            first_ms: self.first_ms.unwrap_or(own.first_ms),
            max_ms: self.max_ms.unwrap_or(own.max_ms.max(self.first_ms.unwrap_or(0))),
            timeout_ms: self.timeout_ms.or(own.timeout_ms),
        };
        (policy != *own).then_some(policy)
    }

    /// The same, with what an enclosing `policy` says where it says nothing itself.
    pub(super) fn or(&self, outer: &Common) -> Common {
        let retry = if self.attempts.is_some() || self.first_ms.or(self.max_ms).is_some() {
            self
        } else {
            outer
        };
        Common {
            id: self.id.clone(),
            optional: self.optional,
            attempts: retry.attempts,
            first_ms: retry.first_ms,
            max_ms: retry.max_ms,
            timeout_ms: self.timeout_ms.or(outer.timeout_ms),
            wrong: self.wrong,
        }
    }

    fn take(&mut self, name: &str, value: &Json) {
        let ms = |value: &Json| {
            let duration = value.as_str().and_then(|text| parse_duration(text).ok())?;
            u64::try_from(duration.as_millis()).ok()
        };
        match name {
            "id" => self.id = value.as_str().map(str::to_owned),
            "optional" => self.optional = value.as_bool(),
            "timeout" => self.timeout_ms = ms(value),
            "retry" => {
                self.attempts = value["attempts"].as_u64().and_then(|n| u32::try_from(n).ok());
                self.first_ms = ms(&value["first"]);
                self.max_ms = ms(&value["max"]);
            }
            other => panic!("BUG: `{other}` is a common option that nobody takes"),
        }
    }
}

/// Where a check happens.
struct Desk<'a, 'b> {
    ctx: &'a NativeCallContext<'b>,
    recorder: &'a mut Recorder,
    spec: &'static Spec,
    machine: Option<u32>,
}

/// Checks all options; the primitive's own go into `args`, mistakes are said and left out.
pub(super) fn read(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    spec: &'static Spec,
    machine: Option<u32>,
    given: &Map,
    args: &mut serde_json::Map<String, Json>,
) -> Common {
    let mut common = Common::default();
    let mut desk = Desk { ctx, recorder, spec, machine };
    for (key, value) in given {
        let value = value.flatten_clone();
        if value.is::<Unknown>() {
            common.wrong = true;
            continue;
        }
        let own = spec.options.iter().find(|option| option.name == key.as_str());
        let shared = || COMMON_OPTIONS.iter().find(|option| option.name == key.as_str());
        let Some(option) = own.or_else(shared) else {
            let known: Vec<&str> =
                spec.options.iter().chain(COMMON_OPTIONS).map(|option| option.name).collect();
            let mistake = literal::unknown_option(spec.name, key, &known);
            desk.recorder.say(ctx, Part::Key(key), mistake);
            common.wrong = true;
            continue;
        };
        let what = || format!("`{key}` of `{}`", spec.name);
        if option.ty != OptType::Message
            && desk.recorder.is_late(ctx, Part::Value(key), &what(), &value)
        {
            common.wrong = true;
            continue;
        }
        match desk.checked(option, &value) {
            Ok(json) if own.is_some() => {
                args.insert(option.name.to_owned(), json);
            }
            Ok(json) => common.take(option.name, &json),
            Err(why) => {
                common.wrong = true;
                let message = format!("`{key}` of `{}` {why}", spec.name);
                desk.recorder.say(ctx, Part::Value(key), Diagnostic::error("H117", message));
            }
        }
    }
    for option in spec.options.iter().filter(|option| option.required) {
        if !given.contains_key(option.name) {
            common.wrong = true;
            let message = format!("`{}` needs the option `{}`", spec.name, option.name);
            let mistake = Diagnostic::error("H117", message).help(option.doc);
            desk.recorder.say(ctx, Part::Whole, mistake);
        }
    }
    common
}

impl Desk<'_, '_> {
    /// The value as data, or what is wrong with it.
    fn checked(&mut self, option: &Opt, value: &Dynamic) -> Result<Json, String> {
        let is =
            |wanted: &str| format!("must be {wanted}, and is {}", literal::show(self.ctx, value));
        let text = literal::text(value);
        let word = || text.as_deref().ok_or_else(|| is("a text"));
        match option.ty {
            OptType::Bool => value.as_bool().map(Json::from).map_err(|_| is("`true` or `false`")),
            OptType::Int { min, max } => {
                let number = value.as_int().map_err(|_| is("a whole number"))?;
                let fits = (min..=max).contains(&number);
                fits.then(|| Json::from(number)).ok_or_else(|| is(&format!("from {min} to {max}")))
            }
            OptType::Text => word().map(Json::from),
            OptType::Message => self.recorder.late.message(value).ok_or_else(|| is("a text")),
            OptType::TextMap => {
                let map = value.clone().try_cast::<Map>().ok_or_else(|| is("a map of texts"))?;
                let texts = map.iter().map(|(key, text)| {
                    Some((key.to_string(), Json::from(literal::text(text)?.as_str())))
                });
                let texts: Option<serde_json::Map<String, Json>> = texts.collect();
                texts.map(Json::Object).ok_or_else(|| is("a map of texts"))
            }
            OptType::Texts => {
                let list = value.clone().try_cast::<Array>().unwrap_or_default();
                let texts =
                    list.iter().map(|item| literal::text(item).map(|t| Json::from(t.as_str())));
                let texts: Option<Vec<Json>> = texts.collect();
                texts
                    .filter(|texts| !texts.is_empty())
                    .map(Json::Array)
                    .ok_or_else(|| is("a list of texts"))
            }
            OptType::Name => {
                let name = word()?;
                let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                let fits = StepId::new(name).is_ok() && name.chars().all(legal);
                fits.then(|| Json::from(name)).ok_or_else(|| is("letters, digits, `-` and `_`"))
            }
            OptType::OneOf(words) => {
                let word = word()?;
                if words.contains(&word) {
                    return Ok(Json::from(word));
                }
                let close = did_you_mean(word, words.iter().copied());
                let close = close.map_or_else(String::new, |w| format!("; did you mean \"{w}\"?"));
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                Err(format!("{}{close}", is(&words.join(" or "))))
            }
            OptType::Duration => {
                let text = text.as_deref().ok_or_else(|| is("a duration such as \"5m\""))?;
                parse_duration(text).map_err(|wrong| format!("is wrong: {wrong}"))?;
                Ok(Json::from(text))
            }
            OptType::Size => {
                let text = text.as_deref().ok_or_else(|| is("a size such as \"64MiB\""))?;
                parse_size(text).map_err(|wrong| format!("is wrong: {wrong}"))?;
                Ok(Json::from(text))
            }
            OptType::Rate => {
                let text = text.as_deref().ok_or_else(|| is("a rate such as \"200MiB/s\""))?;
                parse_rate(text).map_err(|wrong| format!("is wrong: {wrong}"))?;
                Ok(Json::from(text))
            }
            OptType::Host => self.host(word()?),
            OptType::Key => self.key(word()?),
            OptType::Retry => retry(self.ctx, value),
        }
    }

    fn host(&mut self, text: &str) -> Result<Json, String> {
        let host = HostName::new(text).map_err(|invalid| format!("is wrong: {invalid}"))?;
        if let Some(machine) = self.machine {
            let key = (self.recorder.entry(machine).onprem.clone(), host);
            if !self.recorder.facts.hosts.contains_key(&key) {
                self.recorder.missing_hosts.insert(key);
            }
        }
        Ok(Json::from(text))
    }

    fn key(&self, text: &str) -> Result<Json, String> {
        let keys = &self.recorder.inventory.keys;
        if keys.contains_key(text) {
            return Ok(Json::from(text));
        }
        let close = did_you_mean(text, keys.keys().map(String::as_str));
        let close = close.map_or_else(
            || format!("add `[key.{text}]` to it"),
            |close| format!("did you mean \"{close}\"?"),
        );
        Err(format!(
            "names the key `{text}`, which the inventory of `{}` lacks; {close}",
            self.spec.name
        ))
    }
}

/// `#{ attempts: 5, first: "1s", max: "1m" }`.
fn retry(ctx: &NativeCallContext<'_>, value: &Dynamic) -> Result<Json, String> {
    const ATTEMPTS_MAX: i64 = 1000;
    let Some(map) = value.clone().try_cast::<Map>() else {
        let found = literal::show(ctx, value);
        return Err(format!(
            "must be `#{{ attempts: 5, first: \"1s\", max: \"1m\" }}`, and is {found}"
        ));
    };
    let mut json = serde_json::Map::new();
    for (key, value) in &map {
        let checked = match key.as_str() {
            "attempts" => {
                value.as_int().ok().filter(|n| (1..=ATTEMPTS_MAX).contains(n)).map(Json::from)
            }
            "first" | "max" => literal::text(value)
                .filter(|text| parse_duration(text).is_ok())
                .map(|text| Json::from(text.as_str())),
            _ => return Err(format!("has no `{key}`: it has attempts, first and max")),
        };
        let found = literal::show(ctx, value);
        let checked = checked.ok_or_else(|| {
            format!("has a wrong `{key}`: {found}; attempts are 1 to {ATTEMPTS_MAX}, first and max durations")
        })?;
        json.insert(key.to_string(), checked);
    }
    Ok(Json::Object(json))
}

/// The id of the step: a gate's own name, `machine.id`, or `machine.primitive.n`. `None`: it is taken
/// already, which was said.
pub(super) fn step_id(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    spec: &'static Spec,
    machine: Option<u32>,
    common: &Common,
    args: &serde_json::Map<String, Json>,
) -> Option<StepId> {
    let gate = args.get(GATE_NAME).and_then(Json::as_str).filter(|_| spec.kind == Kind::Gate);
    let (id, option) = match (gate, &common.id, machine) {
        (Some(name), _, _) => (StepId::new(name), GATE_NAME),
        (None, Some(id), Some(machine)) => {
            (StepId::new(format!("{}.{id}", recorder.names[machine as usize])), "id")
        }
        (None, Some(id), None) => (StepId::new(id), "id"),
        (None, None, _) => {
            let machine = machine.map(|place| (place, &recorder.names[place as usize]));
            (StepId::new(recorder.ids.next(machine, spec.name)), "id")
        }
    };
    let id = match id {
        Ok(id) => id,
        Err(invalid) => {
            let mistake = Diagnostic::error("H117", invalid.to_string());
            recorder.say(ctx, Part::Value(option), mistake);
            return None;
        }
    };
    if recorder.ids.has(&id) {
        let message = format!("a step is called `{id}` already");
        let help =
            "give each its own; in a loop put the machine's name into it: `${m.name}-complete`";
        let mut mistake = Diagnostic::error("H119", message).help(help);
        if let Some(first) = recorder.steps.iter().find(|step| step.id == id) {
            mistake = mistake.related("the first one", first.origin.at.clone());
        }
        recorder.say(ctx, Part::Value(option), mistake);
        return None;
    }
    Some(id)
}
