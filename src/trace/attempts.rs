//! `attempt(..)` with its `.on_failure(..)`, `.always(..)` and `.then_continue()`, and commands that are
//! undone where it fails.

use rhai::{Dynamic, Engine, FnPtr, Map, Module, NativeCallContext};

use crate::base::{Json, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::args::Args;
use crate::plan::effect::Effect;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::{Kind, Step, StepIx};
use crate::primitives::spec::{OptType, Spec};
use crate::trace::bind::any_native;
use crate::trace::handles::close_holes;
use crate::trace::literal;
use crate::trace::order::{Asked, Opens, Order, Role, Tried};
use crate::trace::recorder::{Answer, Desk, GroupHandle, Recorder, Unknown, shared_policy, stop};
use crate::trace::scopes::{Place, function, inside};
use crate::trace::sources::Part;

/// The option of a command that says how it is taken back, and the one it stands for then.
const UNDO: &str = "undo";
const ARGV: &str = "argv";
/// An option that speaks of the command itself, not of its undoing.
const REPEATABLE: &str = "repeatable";

/// What `attempt(..)` yields, as scripts hold it.
#[derive(Clone, Copy, Debug)]
struct Held(usize);

/// One attempt.
pub(super) struct Attempt {
    scope: ScopeIx,
    /// `None` while one of its parts is being written.
    tried: Option<Tried>,
    place: Place,
    has_handler: bool,
    undoes: bool,
    has_cleanup: bool,
    ends: GroupHandle,
}

/// What may be added to an attempt.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Adds {
    Handler,
    Cleanup,
    Continue,
}

impl Adds {
    fn word(self) -> &'static str {
        match self {
            Adds::Handler => "on_failure",
            Adds::Cleanup => "always",
            Adds::Continue => "then_continue",
        }
    }
}

/// Binds them.
pub(super) fn bind(engine: &mut Engine) {
    engine.register_type_with_name::<Held>("attempt");
    close_holes::<Held>(engine, "an attempt");
    let mut module = Module::new();
    any_native(&mut module, "attempt", 1, |ctx, values| attempt(ctx, &Map::new(), 0, &values[0]));
    any_native(&mut module, "attempt", 2, |ctx, values| {
        let Some(options) = values[0].clone().try_cast::<Map>() else {
            let found = literal::show(ctx, &values[0]);
            let message = format!("`attempt` takes its options as a map, and was given {found}");
            let help = "it is called as `attempt(#{ scope: \"all\" }, || { .. })`";
            let mistake = Diagnostic::error("H115", message).help(help);
            Desk::of(ctx).open().say(ctx, Part::Argument(0), mistake);
            return Ok(Dynamic::from(Unknown));
        };
        attempt(ctx, &options, 1, &values[1])
    });
    any_native(&mut module, "on_failure", 2, |ctx, values| add(ctx, &values, Adds::Handler));
    any_native(&mut module, "always", 2, |ctx, values| add(ctx, &values, Adds::Cleanup));
    any_native(&mut module, "then_continue", 1, |ctx, values| add(ctx, &values, Adds::Continue));
    engine.register_global_module(module.into());
}

/// The group that an attempt stands for.
pub(super) fn group_of(value: &Dynamic, recorder: &Recorder) -> Option<GroupHandle> {
    literal::held::<Held>(value).map(|held| recorder.blocks.attempts[held.0].ends)
}

/// Whether a command is to be undone; outside an attempt nothing would ever do so, which is said.
pub(super) fn undone(
    ctx: &NativeCallContext<'_>,
    recorder: &mut Recorder,
    spec: &Spec,
    args: &serde_json::Map<String, Json>,
) -> bool {
    let asks = spec.options.iter().any(|opt| opt.name == UNDO && opt.ty == OptType::Texts);
    if !asks || !args.contains_key(UNDO) {
        return false;
    }
    let mut scope = recorder.scope;
    while scope != ScopeIx::PLAN {
        let around = &recorder.scopes[scope.at()];
        if matches!(around.kind, ScopeKind::Attempt { .. }) {
            return true;
        }
        scope = around.parent;
    }
    let message =
        format!("`{UNDO}` of `{}` stands in no attempt: nothing would undo it", spec.name);
    let help = "put it into `attempt(|| { .. })`: where that fails, its commands are undone, the last one first";
    recorder.say(ctx, Part::Key(UNDO), Diagnostic::error("H144", message).help(help));
    false
}

/// `attempt([#{ scope }], || { .. })`.
fn attempt(
    ctx: &NativeCallContext<'_>,
    options: &Map,
    at: usize,
    body: &Dynamic,
) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let Some(body) = function(ctx, "attempt", at, body) else {
        return Ok(Dynamic::from(Unknown));
    };
    let all = scope_option(ctx, &mut desk.open(), options);
    let kind = ScopeKind::Attempt { all, then_continue: false };
    let scope = desk.open().enter(kind, Opens::Body);
    inside(ctx, &body)?;
    let recorder = &mut *desk.open();
    if all && recorder.order.machines_here() > 1 {
        recorder.join(ctx)?;
    }
    let mut tried = recorder.order.leave_body();
    recorder.end(scope);
    let undoes = recorder.undo(ctx, scope, &mut tried)?;
    let ends = recorder.group(tried.ends());
    let (tried, place) = (Some(tried), recorder.here());
    let (has_handler, has_cleanup) = (false, false);
    let made = Attempt { scope, tried, place, has_handler, undoes, has_cleanup, ends };
    recorder.blocks.attempts.push(made);
    Ok(Dynamic::from(Held(recorder.blocks.attempts.len() - 1)))
}

/// Whether one failure takes every machine back.
fn scope_option(ctx: &NativeCallContext<'_>, recorder: &mut Recorder, options: &Map) -> bool {
    let mut all = false;
    for (key, value) in options {
        if key != "scope" {
            let mistake = literal::unknown_option("attempt", key, &["scope"]);
            recorder.say(ctx, Part::Key(key), mistake);
            continue;
        }
        match literal::text(value).as_deref() {
            Some("all") => all = true,
            Some("machine") => {}
            _ => {
                let found = literal::show(ctx, value);
                let message =
                    format!("`scope` of `attempt` must be \"machine\" or \"all\", and is {found}");
                recorder.say(ctx, Part::Value(key), Diagnostic::error("H117", message));
            }
        }
    }
    all
}

/// `.on_failure(..)`, `.always(..)`, `.then_continue()`.
fn add(ctx: &NativeCallContext<'_>, values: &[Dynamic], adds: Adds) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    if values[0].is::<Unknown>() {
        return Ok(Dynamic::from(Unknown));
    }
    let held = literal::held::<Held>(&values[0]);
    let may = desk.open().may_add(held, adds);
    if let Err(message) = may {
        let help = "write `attempt(|| { .. }).on_failure(|| { .. }).always(|| { .. }).then_continue()` in one go; each part may be left out";
        let mistake = Diagnostic::error("H141", message).help(help);
        desk.open().say(ctx, Part::Whole, mistake);
        return Ok(values[0].clone());
    }
    let held = held.expect("BUG: only an attempt may be added to");
    let body = match values.get(1) {
        None => None,
        Some(value) => match function(ctx, adds.word(), 1, value) {
            None => return Ok(values[0].clone()),
            some => some,
        },
    };
    let tried = desk.open().blocks.attempts[held.0].tried.take();
    let mut tried = tried.expect("BUG: an attempt whose part is being written stands elsewhere");
    let of = desk.open().blocks.attempts[held.0].scope;
    match (adds, body) {
        (Adds::Handler, Some(body)) => {
            behind(ctx, ScopeKind::Handler { of }, &mut tried, &body)?;
        }
        (Adds::Cleanup, Some(body)) => {
            behind(ctx, ScopeKind::Always { of }, &mut tried, &body)?;
        }
        _ => desk.open().goes_on(of, &mut tried),
    }
    let recorder = &mut *desk.open();
    let place = recorder.here();
    let made = &mut recorder.blocks.attempts[held.0];
    made.has_handler |= adds == Adds::Handler;
    made.has_cleanup |= adds == Adds::Cleanup;
    made.place = place;
    let group = made.ends;
    recorder.group_ends[group.0] = tried.ends();
    recorder.blocks.attempts[held.0].tried = Some(tried);
    Ok(values[0].clone())
}

/// A handler, or clean-up, with the edges that it begins and ends with.
fn behind(
    ctx: &NativeCallContext<'_>,
    kind: ScopeKind,
    tried: &mut Tried,
    body: &FnPtr,
) -> Answer<()> {
    let desk = Desk::of(ctx);
    let cleans = matches!(kind, ScopeKind::Always { .. });
    let enter = if cleans { Order::enter_cleanup } else { Order::enter_handler };
    let leave = if cleans { Order::leave_cleanup } else { Order::leave_handler };
    enter(&mut desk.open().order, tried);
    let scope = desk.open().begin(kind);
    inside(ctx, body)?;
    leave(&mut desk.open().order, tried);
    desk.open().end(scope);
    Ok(())
}

impl Recorder {
    fn may_add(&self, held: Option<Held>, adds: Adds) -> Result<(), String> {
        let word = adds.word();
        let Some(held) = held else {
            return Err(format!("`{word}` stands behind `attempt(..)`"));
        };
        let made = &self.blocks.attempts[held.0];
        let wrong = match adds {
            _ if made.tried.is_none() || made.place != self.here() => {
                format!("something else was written between this attempt and its `{word}`")
            }
            Adds::Handler if made.has_handler => "this attempt has an `on_failure` already".into(),
            Adds::Handler if made.has_cleanup => {
                "`on_failure` stands before `always`: cleaning up comes last".into()
            }
            Adds::Cleanup if made.has_cleanup => "this attempt has an `always` already".into(),
            Adds::Continue if !made.has_handler && !made.undoes => {
                "`then_continue` without `on_failure`: nothing was taken back that could go on"
                    .into()
            }
            _ => return Ok(()),
        };
        Err(wrong)
    }

    fn goes_on(&mut self, of: ScopeIx, tried: &mut Tried) {
        self.order.continue_after(tried);
        if let ScopeKind::Attempt { then_continue, .. } = &mut self.scopes[of.at()].kind {
            *then_continue = true;
        }
    }

    /// One step that succeeds only if all before it in the body did: what is written behind an attempt for
    /// all needs it, instead of the last steps of every machine.
    fn join(&mut self, ctx: &NativeCallContext<'_>) -> Answer<()> {
        let barrier = self.table.iter().find(|known| known.spec().kind == Kind::Barrier);
        let spec = barrier.expect("BUG: the catalogue has a barrier").spec();
        let text = self.ids.next(None, spec.name);
        let id = StepId::new(text).expect("BUG: a counted id is an id");
        // As a script would write it; `plan::settle` reads it.
        let args = serde_json::json!({ "on_failed": "fail" });
        let step = Step {
            id,
            primitive: spec.name,
            kind: spec.kind,
            machine: None,
            args: Args::from(args),
            needs: Vec::new(),
            waits: Vec::new(),
            follows: Vec::new(),
            scope: ScopeIx::PLAN,
            undoes: None,
            effect: Effect::Nothing,
            reversibility: spec.reversibility,
            optional: false,
            policy: shared_policy(&spec.policy),
            origin: self.origin_of(ctx),
        };
        let asked = Asked { machine: None, role: Role::Barrier, handles: &[] };
        self.append(ctx, &asked, step).map(drop)
    }

    /// A handler of its own that undoes the commands of a body, the last one first; whether there is any.
    fn undo(
        &mut self,
        ctx: &NativeCallContext<'_>,
        of: ScopeIx,
        tried: &mut Tried,
    ) -> Answer<bool> {
        let first = self.scopes[of.at()].first;
        let from = self.blocks.to_undo.partition_point(|ix| *ix < first);
        let commands: Vec<StepIx> = self.blocks.to_undo.drain(from..).rev().collect();
        if commands.is_empty() {
            return Ok(false);
        }
        self.order.enter_handler(tried);
        let scope = self.begin(ScopeKind::Handler { of });
        for command in commands {
            self.undo_one(ctx, command)?;
        }
        self.order.leave_handler(tried);
        self.end(scope);
        Ok(true)
    }

    fn undo_one(&mut self, ctx: &NativeCallContext<'_>, command: StepIx) -> Answer<()> {
        let step = self.steps[command.at()].clone();
        let id = match StepId::new(format!("{}.{UNDO}", step.id)) {
            Ok(id) if !self.ids.has(&id) => id,
            taken => {
                let why = taken.map_or_else(
                    |long| long.to_string(),
                    |id| format!("a step is called `{id}` already"),
                );
                let help = "give the command another `id`: its undoing is called after it";
                self.say(ctx, Part::Whole, Diagnostic::error("H119", why).help(help));
                return Err(stop(ctx.call_position()));
            }
        };
        let mut args = step.args.data().and_then(Json::as_object).cloned().unwrap_or_default();
        args.remove(REPEATABLE);
        let argv = args.remove(UNDO).unwrap_or_default();
        args.insert(ARGV.to_owned(), argv);
        let machine = step.machine.as_ref().map(|name| self.places[name]);
        let role = if machine.is_some() { Role::Chain } else { Role::Barrier };
        let none = Vec::new;
        let (needs, waits, follows) = (none(), none(), none());
        let args = Args::from(Json::Object(args));
        let undoes = Some(command);
        let undo = Step { id, args, needs, waits, follows, undoes, ..step };
        self.append(ctx, &Asked { machine, role, handles: &[] }, undo).map(drop)
    }
}
