//! What a call passes in place, against the parameters of the primitive's spec.

use std::collections::BTreeSet;
use std::sync::Arc;

use rhai::{Array, Dynamic, NativeCallContext};

use crate::base::{Json, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::args::Args;
use crate::plan::expr::Expr;
use crate::plan::step::{Kind, StepIx, handle_to_json};
use crate::primitives::spec::{Param, Spec, Takes};
use crate::trace::deferred::Deferred;
use crate::trace::late;
use crate::trace::literal;
use crate::trace::machines::Vm;
use crate::trace::reach::Sort;
use crate::trace::recorder::{GroupHandle, Handle, Recorder, Unknown};
use crate::trace::scopes;
use crate::trace::sources::Part;

/// The probes of a condition that is looked at again, beside it in the step's arguments.
const PROBES: &str = "probes";

/// What was passed in place.
#[derive(Default)]
pub(super) struct Passed {
    pub(super) machine: Option<u32>,
    pub(super) handles: Vec<StepIx>,
    /// It was given a list of steps to wait for.
    pub(super) listed: bool,
    /// It was given a condition and no machine: it waits for what the condition reads, for nothing else.
    pub(super) apart: bool,
    pub(super) args: serde_json::Map<String, Json>,
    /// The first handle, and the parameter that took it; not among `args`.
    pub(super) handle: Option<(&'static str, StepId)>,
    /// Something passed is the rest of an earlier mistake.
    pub(super) spoilt: bool,
}

/// Where a call is read.
struct Reader<'a, 'b> {
    ctx: &'a NativeCallContext<'b>,
    recorder: &'a mut Recorder,
    spec: &'static Spec,
}

/// Values by the spec's parameters. `None`: something is wrong, and was said.
pub(super) fn read(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    spec: &'static Spec,
    values: &[Dynamic],
) -> Option<Passed> {
    let mut passed = Passed::default();
    let mut reader = Reader { ctx, recorder, spec };
    let mut next = 0;
    for param in spec.params {
        match values.get(next) {
            Some(value) if accepts(reader.recorder, param.takes, value) => {
                reader.take(&mut passed, param, next, value)?;
                next += 1;
            }
            _ if param.optional => {}
            Some(value) => {
                reader.refuse(param, next, value);
                return None;
            }
            None => {
                let wanted = wanted(param.takes);
                let message = format!("`{}` needs {wanted} as `{}`", spec.name, param.name);
                reader.wrong(Part::Whole, message);
                return None;
            }
        }
    }
    if let Some(extra) = values.get(next) {
        let found = literal::show(ctx, extra);
        let message = format!("`{}` does not take {found} here", spec.name);
        reader.wrong(Part::Argument(next), message);
        return None;
    }
    Some(passed)
}

impl Reader<'_, '_> {
    fn wrong(&mut self, part: Part<'_>, message: String) {
        let help = format!("it is called as `{}`", usage(self.spec));
        self.recorder.say(self.ctx, part, Diagnostic::error("H115", message).help(help));
    }

    /// A value that the parameter does not accept.
    fn refuse(&mut self, param: &Param, at: usize, value: &Dynamic) {
        let found = literal::show(self.ctx, value);
        let wanted = wanted(param.takes);
        let message = format!(
            "`{}` takes {wanted} as `{}`, and was given {found}",
            self.spec.name, param.name
        );
        let is_condition = matches!(param.takes, Takes::Condition | Takes::Until);
        if late::is_inside(value) {
            let mistake = Diagnostic::error("H107", message).help(late::HELP);
            self.recorder.say(self.ctx, Part::Argument(at), mistake);
        } else if is_condition && value.is_bool() {
            let help = "what is known now decides now: `if`, or `require(cond, \"message\")`";
            let mistake = Diagnostic::error("H115", message).help(help);
            self.recorder.say(self.ctx, Part::Argument(at), mistake);
        } else {
            self.wrong(Part::Argument(at), message);
        }
    }

    /// Takes one value in that [`accepts`] let pass.
    fn take(
        &mut self,
        passed: &mut Passed,
        param: &Param,
        at: usize,
        value: &Dynamic,
    ) -> Option<()> {
        if value.is::<Unknown>() {
            passed.spoilt = true;
        } else if let Some(vm) = literal::held::<Vm>(value) {
            passed.machine = Some(vm.0);
        } else if param.takes == Takes::Handles {
            let handles = handles(value, self.recorder)?;
            let ids = handles.iter().map(|ix| handle_to_json(&self.recorder.steps[ix.at()].id));
            passed.args.insert(param.name.to_owned(), Json::Array(ids.collect()));
            passed.handles.extend(handles);
            passed.listed = true;
        } else if let Some(handle) = literal::held::<Handle>(value) {
            self.handle(passed, param, at, handle)?;
        } else if param.takes == Takes::Message {
            let message = self.recorder.late.message(value);
            passed.args.insert(param.name.to_owned(), message.expect("BUG: it was accepted"));
        } else if let Some(cond) = literal::held::<Deferred>(value) {
            self.condition(passed, param, at, &cond.0)?;
        } else if let Some(text) = literal::text(value) {
            if param.takes == Takes::Duration
                && let Err(invalid) = crate::base::units::parse_duration(&text)
            {
                self.wrong(Part::Argument(at), invalid.to_string());
                return None;
            }
            passed.args.insert(param.name.to_owned(), Json::from(text.as_str()));
        }
        Some(())
    }

    /// A step whose outcome the new one works with.
    fn handle(
        &mut self,
        passed: &mut Passed,
        param: &Param,
        at: usize,
        handle: Handle,
    ) -> Option<()> {
        if let Some(why) = self.recorder.guard(handle.0) {
            let help = "write this step into the same `when`";
            self.recorder.say_missing(self.ctx, Part::Argument(at), handle.0, &why, help);
            return None;
        }
        let step = &self.recorder.steps[handle.0.at()];
        let machine = step.machine.as_ref().map(|name| self.recorder.places[name]);
        if passed.handle.is_none() {
            passed.handle = Some((param.name, step.id.clone()));
        } else {
            passed.args.insert(param.name.to_owned(), handle_to_json(&step.id));
        }
        passed.handles.push(handle.0);
        if passed.machine.is_some() && machine.is_some() && passed.machine != machine {
            let message = format!("`{}` is of another machine", step.id);
            self.wrong(Part::Argument(at), message);
            return None;
        }
        passed.machine = passed.machine.or(machine);
        Some(())
    }

    /// A condition. Without a machine the step joins the machine of the steps that it reads.
    fn condition(
        &mut self,
        passed: &mut Passed,
        param: &Param,
        at: usize,
        cond: &Arc<Expr>,
    ) -> Option<()> {
        let sort = self.recorder.sort(cond);
        if !sort.fits(Sort::Truth) {
            let message = format!(
                "`{}` takes a condition, and `{cond}` is {}",
                self.spec.name,
                sort.as_str()
            );
            let help = "compare it: `last.bytes_sent > 5000`";
            let mistake = Diagnostic::error("H104", message).help(help);
            self.recorder.say(self.ctx, Part::Argument(at), mistake);
            return None;
        }
        self.recorder.late.take(cond);
        let stands = if param.takes == Takes::Until {
            passed.args.insert(PROBES.to_owned(), self.probes(at, cond)?);
            serde_json::json!({ "until": cond })
        } else {
            cond.to_args()
        };
        passed.args.insert(param.name.to_owned(), stands);
        if passed.machine.is_none() {
            let read = cond.steps().into_iter().map(|id| self.recorder.late.step(id));
            let machines = read.filter_map(|ix| self.recorder.steps[ix.at()].machine.clone());
            let machines: BTreeSet<_> = machines.collect();
            match machines.first() {
                Some(only) if machines.len() == 1 => {
                    passed.machine = Some(self.recorder.places[only]);
                }
                _ => passed.apart = true,
            }
        }
        Some(())
    }

    /// What is asked again and again while the condition does not hold: the checks that it reads.
    fn probes(&mut self, at: usize, cond: &Expr) -> Option<Json> {
        let mut probes = Vec::new();
        for id in cond.steps() {
            let step = &self.recorder.steps[self.recorder.late.step(id).at()];
            if step.kind != Kind::Poll {
                let message = format!(
                    "`{}` asks again and again, and `{id}` is done once: it is no check",
                    self.spec.name
                );
                let help = "read outputs of `check`s here; to stop the run on another output use `fail_if`";
                let mistake = Diagnostic::error("H115", message).help(help);
                let mistake = mistake.related("this step", step.origin.at.clone());
                self.recorder.say(self.ctx, Part::Argument(at), mistake);
                return None;
            }
            probes.push(serde_json::json!({
                "step": step.id,
                "primitive": step.primitive,
                "machine": step.machine,
                "args": step.args.json(),
            }));
        }
        Some(Json::Array(probes))
    }
}

/// All that was given, as the step keeps it; `None`: nothing.
pub(super) fn args(
    handle: Option<(&'static str, StepId)>,
    mut others: serde_json::Map<String, Json>,
) -> Option<Args> {
    match handle {
        Some((param, step)) if others.is_empty() => return Some(Args::handle(param, step)),
        Some((param, step)) => drop(others.insert(param.to_owned(), handle_to_json(&step))),
        None if others.is_empty() => return None,
        None => {}
    }
    Some(Args::from(Json::Object(others)))
}

fn accepts(recorder: &Recorder, takes: Takes, value: &Dynamic) -> bool {
    let handle = || literal::held::<Handle>(value);
    let snapshot = || handle().is_some_and(|handle| recorder.is_snapshot(handle));
    let copy = || handle().is_some_and(|handle| recorder.is_copy(handle));
    if value.is::<Unknown>() {
        return true;
    }
    match takes {
        Takes::Machine => value.is::<Vm>(),
        Takes::Snapshot => snapshot(),
        Takes::MachineOrSnapshot => value.is::<Vm>() || snapshot(),
        Takes::Text | Takes::Duration => value.is_string() && !late::is_inside(value),
        Takes::Message => value.is_string() || value.is::<Deferred>(),
        Takes::Condition | Takes::Until => value.is::<Deferred>(),
        Takes::Copy => copy(),
        Takes::MachineOrCopy => value.is::<Vm>() || copy(),
        Takes::Handles => handles(value, recorder).is_some(),
    }
}

/// The steps that a handle, a group or a list of these stands for.
pub(super) fn handles(value: &Dynamic, recorder: &Recorder) -> Option<Vec<StepIx>> {
    if let Some(handle) = literal::held::<Handle>(value) {
        return Some(vec![handle.0]);
    }
    if let Some(group) = literal::held::<GroupHandle>(value) {
        return Some(recorder.group_ends[group.0].clone());
    }
    if let Some(group) = scopes::group_of(value, recorder) {
        return Some(recorder.group_ends[group.0].clone());
    }
    let list = value.clone().try_cast::<Array>()?;
    let mut all = Vec::with_capacity(list.len());
    for item in list {
        let item = item.flatten();
        if !item.is::<Unknown>() {
            all.extend(handles(&item, recorder)?);
        }
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

fn wanted(takes: Takes) -> &'static str {
    match takes {
        Takes::Machine => "a machine",
        Takes::Snapshot => "a snapshot",
        Takes::MachineOrSnapshot => "a snapshot or a machine",
        Takes::Text | Takes::Message => "a text",
        Takes::Condition | Takes::Until => "a condition on what steps put out",
        Takes::Copy => "an isolated copy",
        Takes::MachineOrCopy => "a machine or an isolated copy",
        Takes::Duration => "a duration such as \"5m\"",
        Takes::Handles => "a list of steps or groups",
    }
}

/// How a primitive is called, in one line: `approve([machine], message, #{ .. })`.
pub fn usage(spec: &Spec) -> String {
    let params = spec.params.iter().map(|param| {
        if param.optional { format!("[{}]", param.name) } else { param.name.to_owned() }
    });
    let params: Vec<String> = params.chain(["#{ .. }".to_owned()]).collect();
    format!("{}({})", spec.name, params.join(", "))
}
