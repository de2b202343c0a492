//! Every primitive, bound from its spec in one loop: whatever a spec says is what a script may write.
//!
//! One native function takes all a script may pass, so that every mistake in a call is found and
//! worded here, at the argument or option that is wrong, and tracing goes on.

use std::any::TypeId;
use std::sync::Arc;

use rhai::{Dynamic, Engine, FuncRegistration, Map, Module, NativeCallContext, RhaiFunc, Shared};

use crate::base::Json;
use crate::plan::args::Args;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, Origin, Step};
use crate::primitives::contract::AnyPrimitive;
use crate::primitives::spec::Spec;
use crate::source::Span;
use crate::trace::attempts;
use crate::trace::options::{self, Common};
use crate::trace::order::{Asked, Role};
use crate::trace::passed::{self, Passed};
use crate::trace::recorder::{Answer, Desk, Draft, Recorder, Unknown, shared_policy};

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
        // The first may be a variable of the script; the others were made for this call.
        let own = |(at, value): (usize, &mut &mut Dynamic)| {
            if at == 0 { value.flatten_clone() } else { std::mem::take(*value).flatten() }
        };
        call(&ctx, args.iter_mut().enumerate().map(own).collect())
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
    let nowhere = Arc::new(Origin { at: Span::point("".into(), 1, 1), via: Arc::from([]) });
    for primitive in table {
        let bound = Bound {
            spec: primitive.spec(),
            policy: shared_policy(&primitive.spec().policy),
            no_args: Args::from(Json::Object(serde_json::Map::new())),
            nowhere: nowhere.clone(),
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
    no_args: Args,
    /// Stands until the step is recorded.
    nowhere: Arc<Origin>,
}

impl Bound {
    fn call(&self, ctx: &NativeCallContext<'_>, mut values: Vec<Dynamic>) -> Answer<Dynamic> {
        let given = match values.last() {
            Some(last) if last.is_map() => values.pop().and_then(Dynamic::try_cast::<Map>),
            _ => None,
        };
        let desk = Desk::of(ctx);
        let recorder = &mut *desk.open();
        recorder.late.given();
        let Some(mut passed) = passed::read(ctx, recorder, self.spec, &values) else {
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
        mut passed: Passed,
        common: &Common,
    ) -> Answer<Dynamic> {
        let Some(follows) = recorder.take_given(ctx, &mut passed.handles) else {
            return Ok(Dynamic::from(Unknown));
        };
        let Some(id) =
            options::step_id(ctx, recorder, self.spec, passed.machine, common, &passed.args)
        else {
            return Ok(Dynamic::from(Unknown));
        };
        let undone = attempts::undone(ctx, recorder, self.spec, &passed.args);
        let common = match self.spec.kind {
            Kind::Act | Kind::Poll | Kind::Notify => common.or(recorder.default_policy()),
            Kind::Gate | Kind::Timer | Kind::Barrier => common.clone(),
        };
        let role = match (self.spec.kind, passed.machine) {
            (Kind::Notify, _) => Role::Notify,
            (_, Some(_)) => Role::Chain,
            (_, None) if passed.apart => Role::Apart,
            (_, None) if passed.listed => Role::Listed,
            (_, None) => Role::Barrier,
        };
        let asked = Asked { machine: passed.machine, role, handles: &passed.handles };
        let step = Step {
            id,
            primitive: self.spec.name,
            kind: self.spec.kind,
            machine: passed.machine.map(|place| recorder.names[place as usize].clone()),
            args: passed::args(passed.handle, passed.args).unwrap_or_else(|| self.no_args.clone()),
            needs: Vec::new(),
            waits: Vec::new(),
            follows,
            scope: ScopeIx::PLAN,
            undoes: None,
            effect: Effect::Nothing,
            reversibility: self.spec.reversibility,
            optional: common.optional.unwrap_or(self.spec.optional),
            policy: common.policy(&self.spec.policy).map_or_else(|| self.policy.clone(), Arc::new),
            origin: self.nowhere.clone(),
        };
        let handle = recorder.record(ctx, Draft { asked, step })?;
        if common.wrong {
            recorder.wrong.insert(handle.0);
        }
        if undone {
            recorder.blocks.to_undo.push(handle.0);
        }
        Ok(Dynamic::from(handle))
    }
}
