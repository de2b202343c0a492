//! Arguments of a saved step, held against its primitive's spec: what the script front end has checked
//! once is checked again, for the file may have been made by hand.

use std::collections::HashMap;

use crate::base::{Json, MachineName, StepId};
use crate::diagnostic::did_you_mean;
use crate::plan::expr::{Expr, Op};
use crate::plan::step::{Step, StepIx, handle_from_json};
use crate::primitives::find;
use crate::primitives::spec::{Opt, OptType, Spec, Takes, Yields};

/// The steps before the one that is read.
pub(super) struct Earlier<'a> {
    /// Their places by id.
    pub places: &'a HashMap<&'a StepId, StepIx>,
    /// In order.
    pub steps: &'a [Step],
}

impl Earlier<'_> {
    fn step(&self, id: &str) -> Result<&Step, String> {
        let id = StepId::new(id).map_err(|wrong| wrong.to_string())?;
        let place = self.places.get(&id).and_then(|ix| self.steps.get(ix.at()));
        place.ok_or_else(|| format!("there is no step `{id}` before it"))
    }

    /// Whether an expression reads only what earlier steps put out, with operators of their arity.
    pub fn reads(&self, expr: &Expr) -> Result<(), String> {
        match expr {
            Expr::Value { .. } => Ok(()),
            Expr::Output { of, output } => {
                let step = self.step(of.as_str())?;
                let spec = spec(step);
                if spec.outputs.iter().any(|known| known.name == &**output) {
                    return Ok(());
                }
                Err(format!("step `{of}` puts out no `{output}`"))
            }
            Expr::Apply { op, args } => {
                let fits = match op {
                    Op::Not => args.len() == 1,
                    Op::Sub => matches!(args.len(), 1 | 2),
                    _ => args.len() == 2,
                };
                if !fits {
                    let (op, count) = (op.as_str(), args.len());
                    return Err(format!("`{op}` cannot have {count} operands"));
                }
                args.iter().try_for_each(|one| self.reads(one))
            }
        }
    }
}

fn spec(step: &Step) -> &'static Spec {
    find(step.primitive).expect("BUG: a step that was read has a primitive").spec()
}

/// What stands beside `until`: the polls that it reads.
const PROBES: &str = "probes";

/// Arguments by the spec: every one known, none missing, each of its type.
///
/// # Errors
/// What does not fit, in a sentence.
pub(super) fn check_args(
    spec: &Spec,
    machine: Option<&MachineName>,
    args: &Json,
    earlier: &Earlier<'_>,
) -> Result<(), String> {
    let args = args.as_object().ok_or("its arguments are no object")?;
    if machine.is_none() && spec.params.iter().any(|one| !one.optional && is_of_machine(one.takes))
    {
        return Err("it has no machine".to_owned());
    }
    let params = || spec.params.iter().filter(|param| param.takes != Takes::Machine);
    let until = params().any(|param| param.takes == Takes::Until);
    let beside = until.then_some(PROBES);
    let options = || spec.options.iter().map(|one| one.name);
    let known = || params().map(|param| param.name).chain(options()).chain(beside);
    for (name, value) in args {
        if !known().any(|one| one == name) {
            let meant = did_you_mean(name, known());
            let hint = meant.map(|meant| format!(" (`{meant}`?)")).unwrap_or_default();
            return Err(format!("it has no option `{name}`{hint}"));
        }
        if let Some(option) = spec.options.iter().find(|option| option.name == name) {
            option_fits(option, value, earlier)?;
        }
        if let Some(param) = params().find(|param| param.name == name) {
            param_fits(param.takes, value, machine, earlier)
                .map_err(|why| format!("its argument `{name}` cannot be {value}: {why}"))?;
        }
        if Some(name.as_str()) == beside {
            probes(value, earlier)?;
        }
    }
    let needed = spec.options.iter().filter(|one| one.required).map(|one| one.name);
    let asked = params().filter(|param| !param.optional && is_positional(param.takes));
    let mut needed = needed.chain(asked.map(|param| param.name));
    match needed.find(|name| !args.contains_key(*name)) {
        Some(name) => Err(format!("its option `{name}` is missing")),
        None => Ok(()),
    }
}

/// Whether such an argument always stands in `args`: a machine in its place does not.
fn is_positional(takes: Takes) -> bool {
    !matches!(
        takes,
        Takes::Machine | Takes::MachineOrSnapshot | Takes::MachineOrCopy | Takes::Handles
    )
}

/// Whether such an argument makes the step one of a machine.
fn is_of_machine(takes: Takes) -> bool {
    matches!(
        takes,
        Takes::Machine
            | Takes::Snapshot
            | Takes::Copy
            | Takes::MachineOrSnapshot
            | Takes::MachineOrCopy
    )
}

fn param_fits(
    takes: Takes,
    value: &Json,
    machine: Option<&MachineName>,
    earlier: &Earlier<'_>,
) -> Result<(), String> {
    match takes {
        Takes::Machine => Err("the machine is no argument".to_owned()),
        Takes::Snapshot | Takes::MachineOrSnapshot => {
            handle(value, Yields::Snapshot, machine, earlier)
        }
        Takes::Copy | Takes::MachineOrCopy => handle(value, Yields::Copy, machine, earlier),
        Takes::Text | Takes::Duration if value.is_string() => Ok(()),
        Takes::Text | Takes::Duration => Err("it must be a text".to_owned()),
        Takes::Message => message(value, earlier),
        Takes::Condition => whole(value, "deferred", earlier),
        Takes::Until => whole(value, "until", earlier),
        Takes::Handles => {
            let all = value.as_array().ok_or("it must be a list")?;
            all.iter().try_for_each(|one| match handle_from_json(one) {
                Some(id) => earlier.step(id).map(drop),
                None => Err("it must be a list of handles".to_owned()),
            })
        }
    }
}

fn handle(
    value: &Json,
    yields: Yields,
    machine: Option<&MachineName>,
    earlier: &Earlier<'_>,
) -> Result<(), String> {
    let id = handle_from_json(value).ok_or("it must be a handle")?;
    let step = earlier.step(id)?;
    if spec(step).yields != yields {
        return Err(format!("`{id}` yields no such thing"));
    }
    match step.machine.as_ref() == machine {
        true => Ok(()),
        false => Err(format!("`{id}` is a step of another machine")),
    }
}

/// A text, or the pieces of one, some known only at run time.
fn message(value: &Json, earlier: &Earlier<'_>) -> Result<(), String> {
    let Some(object) = value.as_object() else {
        return value.is_string().then_some(()).ok_or_else(|| "it must be a text".to_owned());
    };
    match (object.len(), object.get("text")) {
        (1, Some(Json::Array(pieces))) => pieces.iter().try_for_each(|piece| match piece {
            Json::String(_) => Ok(()),
            other => whole(other, "deferred", earlier),
        }),
        _ => whole(value, "deferred", earlier),
    }
}

/// `{"deferred": expression}`, or the same under another key.
fn whole(value: &Json, key: &str, earlier: &Earlier<'_>) -> Result<(), String> {
    let object = value.as_object().filter(|object| object.len() == 1);
    let expr = object.and_then(|object| object.get(key)).cloned();
    let expr = expr.and_then(|expr| serde_json::from_value::<Expr>(expr).ok());
    earlier.reads(&expr.ok_or("it must be a value known at run time")?)
}

/// The polls of a condition that is looked at again: steps before it, as they were written.
fn probes(value: &Json, earlier: &Earlier<'_>) -> Result<(), String> {
    let all = value.as_array().ok_or("its probes are no list")?;
    all.iter().try_for_each(|probe| {
        let step = earlier.step(probe["step"].as_str().ok_or("a probe of it has no step")?)?;
        let same = probe["primitive"] == step.primitive
            && probe["args"] == *step.args.json()
            && probe["machine"].as_str() == step.machine.as_ref().map(MachineName::as_str);
        same.then_some(()).ok_or_else(|| format!("its probe is not as step `{}`", step.id))
    })
}

fn option_fits(option: &Opt, value: &Json, earlier: &Earlier<'_>) -> Result<(), String> {
    if option.ty == OptType::Message {
        return message(value, earlier)
            .map_err(|why| format!("its option `{}` cannot be {value}: {why}", option.name));
    }
    if fits(option, value) {
        return Ok(());
    }
    Err(format!("its option `{}` cannot be {value}", option.name))
}

fn fits(option: &Opt, value: &Json) -> bool {
    match option.ty {
        OptType::Bool => value.is_boolean(),
        OptType::Int { min, max } => value.as_i64().is_some_and(|n| (min..=max).contains(&n)),
        OptType::Texts => value.as_array().is_some_and(|items| items.iter().all(Json::is_string)),
        OptType::Retry => value.is_object(),
        OptType::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        OptType::TextMap => {
            value.as_object().is_some_and(|texts| texts.values().all(Json::is_string))
        }
        OptType::Message
        | OptType::Text
        | OptType::Name
        | OptType::Duration
        | OptType::Size
        | OptType::Rate
        | OptType::Host
        | OptType::Key => value.is_string(),
    }
}
