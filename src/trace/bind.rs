//! Every primitive, bound from its spec in one loop: whatever a spec says is what a script may write.
//!
//! One native function takes all a script may pass, so that every mistake in a call is found and
//! worded here, at the argument or option that is wrong, and tracing goes on.

use std::any::TypeId;
use std::sync::Arc;

use rhai::{
    Array, Dynamic, Engine, FuncRegistration, Map, Module, NativeCallContext, RhaiFunc, Shared,
};

use crate::base::Json;
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, Origin, Step, StepIx, handle_to_json};
use crate::primitives::contract::AnyPrimitive;
use crate::primitives::spec::{Param, Spec, Takes};
use crate::source::Span;
use crate::trace::literal;
use crate::trace::machines::Vm;
use crate::trace::options::{self, Common};
use crate::trace::order::{Asked, Role};
use crate::trace::recorder::{
    Answer, Desk, Draft, GroupHandle, Handle, Recorder, Unknown, shared_policy,
};
use crate::trace::sources::Part;

/// The primitives a script may call.
pub(super) type Table = &'static [&'static dyn AnyPrimitive];

/// Most values that any call passes: one more than any primitive takes is our error, not the interpreter's.
pub(super) const ARGUMENTS_MAX: usize = 6;

/// A native function that takes `arguments` values of any kind.
pub(super) fn any_native(
    module: &mut Module,
    name: &str,
    arguments: usize,
    call: impl Fn(&NativeCallContext<'_>, Vec<Dynamic>) -> Answer<Dynamic> + 'static,
) {
    let signature = vec![TypeId::of::<Dynamic>(); arguments];
    let call = move |ctx: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
        let ctx = ctx.expect("BUG: registered with a context");
        call(&ctx, args.iter().map(|value| value.flatten_clone()).collect())
    };
    // A pure method: it may be called on constants as well.
    let func = RhaiFunc::Method {
        func: Shared::new(call),
        has_context: true,
        is_pure: true,
        is_volatile: true,
    };
    FuncRegistration::new(name).in_global_namespace().set_into_module_raw(module, signature, func);
}

/// Binds the whole table.
pub(super) fn bind(engine: &mut Engine, table: Table) {
    let mut module = Module::new();
    for primitive in table {
        let bound = Bound {
            spec: primitive.spec(),
            policy: shared_policy(&primitive.spec().policy),
            no_args: Arc::new(Json::Object(serde_json::Map::new())),
            place: Arc::from(""),
        };
        let bound = Shared::new(bound);
        for arguments in 0..=ARGUMENTS_MAX {
            let bound = bound.clone();
            any_native(&mut module, bound.spec.name, arguments, move |ctx, values| {
                bound.call(ctx, values)
            });
        }
    }
    engine.register_global_module(module.into());
}

/// One primitive, with what its steps share.
struct Bound {
    spec: &'static Spec,
    policy: Arc<Policy>,
    no_args: Arc<Json>,
    place: Arc<str>,
}

/// What was passed in place.
#[derive(Default)]
struct Passed {
    machine: Option<u32>,
    handles: Vec<StepIx>,
    /// It was given a list of steps to wait for.
    listed: bool,
    args: serde_json::Map<String, Json>,
    /// Something passed is the rest of an earlier mistake.
    spoilt: bool,
}

impl Bound {
    fn call(&self, ctx: &NativeCallContext<'_>, mut values: Vec<Dynamic>) -> Answer<Dynamic> {
        let given = match values.last() {
            Some(last) if last.is_map() => values.pop().and_then(Dynamic::try_cast::<Map>),
            _ => None,
        };
        let desk = Desk::of(ctx);
        let recorder = &mut *desk.open();
        let Some(mut passed) = self.positional(ctx, recorder, &values) else {
            return Ok(Dynamic::from(Unknown));
        };
        let given = given.unwrap_or_default();
        let common =
            options::read(ctx, recorder, self.spec, passed.machine, &given, &mut passed.args);
        if passed.spoilt {
            return Ok(Dynamic::from(Unknown));
        }
        self.record(ctx, recorder, passed, &common)
    }

    fn record(
        &self,
        ctx: &NativeCallContext<'_>,
        recorder: &mut Recorder,
        passed: Passed,
        common: &Common,
    ) -> Answer<Dynamic> {
        let Some(id) =
            options::step_id(ctx, recorder, self.spec, passed.machine, common, &passed.args)
        else {
            return Ok(Dynamic::from(Unknown));
        };
        let role = match (self.spec.kind, passed.machine) {
            (Kind::Notify, _) => Role::Notify,
            (_, Some(_)) => Role::Chain,
            (_, None) if passed.listed => Role::Listed,
            (_, None) => Role::Barrier,
        };
        let asked = Asked { machine: passed.machine, role, handles: &passed.handles };
        let args = if passed.args.is_empty() {
            self.no_args.clone()
        } else {
            Arc::new(Json::Object(passed.args))
        };
        let step = Step {
            id,
            primitive: self.spec.name,
            kind: self.spec.kind,
            machine: passed.machine.map(|place| recorder.names[place as usize].clone()),
            args,
            needs: Vec::new(),
            waits: Vec::new(),
            follows: Vec::new(),
            scope: ScopeIx::PLAN,
            undoes: None,
            effect: Effect::Nothing,
            reversibility: self.spec.reversibility,
            optional: common.optional.unwrap_or(self.spec.optional),
            policy: common.policy(&self.spec.policy).map_or_else(|| self.policy.clone(), Arc::new),
            origin: Origin { at: Span::point(self.place.clone(), 1, 1), via: Arc::from([]) },
        };
        recorder.record(ctx, Draft { asked, step }).map(Dynamic::from)
    }

    /// Values by the spec's parameters. `None`: something is wrong, and was said.
    fn positional(
        &self,
        ctx: &NativeCallContext<'_>,
        recorder: &mut Recorder,
        values: &[Dynamic],
    ) -> Option<Passed> {
        let mut passed = Passed::default();
        let mut next = 0;
        for param in self.spec.params {
            match values.get(next) {
                Some(value) if accepts(recorder, param.takes, value) => {
                    self.take(ctx, recorder, &mut passed, param, next, value)?;
                    next += 1;
                }
                _ if param.optional => {}
                Some(value) => {
                    let found = literal::show(ctx, value);
                    let wanted = wanted(param.takes);
                    let message = format!(
                        "`{}` takes {wanted} as `{}`, and was given {found}",
                        self.spec.name, param.name
                    );
                    self.wrong(ctx, recorder, Part::Argument(next), message);
                    return None;
                }
                None => {
                    let wanted = wanted(param.takes);
                    let message =
                        format!("`{}` needs {wanted} as `{}`", self.spec.name, param.name);
                    self.wrong(ctx, recorder, Part::Whole, message);
                    return None;
                }
            }
        }
        if let Some(extra) = values.get(next) {
            let found = literal::show(ctx, extra);
            let message = format!("`{}` does not take {found} here", self.spec.name);
            self.wrong(ctx, recorder, Part::Argument(next), message);
            return None;
        }
        Some(passed)
    }

    fn wrong(
        &self,
        ctx: &NativeCallContext<'_>,
        recorder: &mut Recorder,
        part: Part<'_>,
        message: String,
    ) {
        let help = format!("it is called as `{}`", usage(self.spec));
        recorder.say(ctx, part, Diagnostic::error("H115", message).help(help));
    }

    /// Takes one value in that [`accepts`] let pass.
    fn take(
        &self,
        ctx: &NativeCallContext<'_>,
        recorder: &mut Recorder,
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
            let handles = handles(value, recorder)?;
            let ids = handles.iter().map(|ix| handle_to_json(&recorder.steps[ix.at()].id));
            passed.args.insert(param.name.to_owned(), Json::Array(ids.collect()));
            passed.handles.extend(handles);
            passed.listed = true;
        } else if let Some(handle) = literal::held::<Handle>(value) {
            let step = &recorder.steps[handle.0.at()];
            let machine = step.machine.as_ref().map(|name| recorder.places[name]);
            passed.args.insert(param.name.to_owned(), handle_to_json(&step.id));
            passed.handles.push(handle.0);
            if passed.machine.is_some() && machine.is_some() && passed.machine != machine {
                let message = format!("`{}` is of another machine", step.id);
                self.wrong(ctx, recorder, Part::Argument(at), message);
                return None;
            }
            passed.machine = passed.machine.or(machine);
        } else if let Some(text) = literal::text(value) {
            if param.takes == Takes::Duration
                && let Err(invalid) = crate::base::units::parse_duration(&text)
            {
                self.wrong(ctx, recorder, Part::Argument(at), invalid.to_string());
                return None;
            }
            passed.args.insert(param.name.to_owned(), Json::from(text.as_str()));
        }
        Some(())
    }
}

fn accepts(recorder: &Recorder, takes: Takes, value: &Dynamic) -> bool {
    let snapshot = || {
        let handle = literal::held::<Handle>(value);
        handle.is_some_and(|handle| recorder.is_snapshot(handle))
    };
    if value.is::<Unknown>() {
        return true;
    }
    match takes {
        Takes::Machine => value.is::<Vm>(),
        Takes::Snapshot => snapshot(),
        Takes::MachineOrSnapshot => value.is::<Vm>() || snapshot(),
        Takes::Text | Takes::Duration | Takes::Message => value.is_string(),
        Takes::MachineOrCopy => value.is::<Vm>(),
        Takes::Condition | Takes::Until | Takes::Copy => false,
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
