//! `group`, `parallel` and `when`: runs of steps that scripts write as functions.

use std::sync::Arc;

use rhai::{Dynamic, Engine, FnPtr, Module, NativeCallContext};

use crate::diagnostic::Diagnostic;
use crate::plan::expr::Expr;
use crate::plan::graph::index;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::step::StepIx;
use crate::trace::attempts::{self, Attempt};
use crate::trace::bind::any_native;
use crate::trace::changes;
use crate::trace::deferred::Deferred;
use crate::trace::handles::close_holes;
use crate::trace::literal;
use crate::trace::order::{Edges, Opens};
use crate::trace::reach::Sort;
use crate::trace::recorder::{Answer, Desk, GroupHandle, Recorder, Unknown};
use crate::trace::sources::Part;

/// What scripts may still add to: attempts and branches, as long as nothing else was written.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) attempts: Vec<Attempt>,
    branches: Vec<Branch>,
    /// Commands that want to be undone where the attempt around them fails; of closed attempts none.
    pub(super) to_undo: Vec<StepIx>,
}

/// Where the last part of something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    scope: ScopeIx,
    end: StepIx,
}

/// What `when(..)` yields, as scripts hold it.
#[derive(Clone, Copy, Debug)]
pub(super) struct When(usize);

/// One `when`.
struct Branch {
    cond: Cond,
    place: Place,
    has_otherwise: bool,
    ends: GroupHandle,
}

#[derive(Clone)]
enum Cond {
    Known(bool),
    Later(Arc<Expr>),
}

/// Binds them.
pub(super) fn bind(engine: &mut Engine) {
    engine.register_type_with_name::<When>("`when`");
    close_holes::<When>(engine, "a `when`");
    let mut module = Module::new();
    any_native(&mut module, "group", 2, |ctx, values| group(ctx, &values));
    any_native(&mut module, "parallel", 1, |ctx, values| parallel(ctx, &values));
    any_native(&mut module, "when", 2, |ctx, values| when(ctx, &values));
    any_native(&mut module, "otherwise", 2, |ctx, values| otherwise(ctx, &values));
    engine.register_global_module(module.into());
    attempts::bind(engine);
}

/// The group that a value stands for beside a plain group's handle: a whole attempt, both branches.
pub(super) fn group_of(value: &Dynamic, recorder: &Recorder) -> Option<GroupHandle> {
    if let Some(when) = literal::held::<When>(value) {
        return Some(recorder.blocks.branches[when.0].ends);
    }
    attempts::group_of(value, recorder)
}

/// The function that a word of the language was given; anything else was said to be wrong.
pub(super) fn function(
    ctx: &NativeCallContext<'_>,
    word: &str,
    at: usize,
    value: &Dynamic,
) -> Option<FnPtr> {
    if let Some(function) = literal::held::<FnPtr>(value) {
        return Some(function);
    }
    if !value.is::<Unknown>() {
        let message = format!(
            "`{word}` takes its steps as a function, and was given {}",
            literal::show(ctx, value)
        );
        let help = "write the steps as `|| { .. }`";
        let mistake = Diagnostic::error("H115", message).help(help);
        Desk::of(ctx).open().say(ctx, Part::Argument(at), mistake);
    }
    None
}

/// Traces what is written inside.
pub(super) fn inside(ctx: &NativeCallContext<'_>, body: &FnPtr) -> Answer<()> {
    body.call_within_context::<Dynamic>(ctx, ()).map(drop)
}

impl Recorder {
    /// Here, now.
    pub(super) fn here(&self) -> Place {
        Place { scope: self.scope, end: index(self.steps.len()) }
    }
}

/// `group("db", || { .. })`: a scope with a name; the handle stands for all of it.
fn group(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let Some(body) = function(ctx, "group", 1, &values[1]) else { return unknown() };
    let scope = {
        let recorder = &mut *desk.open();
        let late = recorder.is_late(ctx, Part::Argument(0), "a group's name", &values[0]);
        let name = literal::text(&values[0]);
        if name.is_none() && !late && !values[0].is::<Unknown>() {
            let found = literal::show(ctx, &values[0]);
            let message = format!("`group` does not take {found} as its name");
            let help = "it is called as `group(\"db\", || { .. })`";
            recorder.say(ctx, Part::Argument(0), Diagnostic::error("H104", message).help(help));
        }
        let name = name.unwrap_or_default().to_string();
        recorder.enter(ScopeKind::Group { name }, Opens::Plain)
    };
    inside(ctx, &body)?;
    let handle = desk.open().leave(scope);
    Ok(Dynamic::from(handle))
}

/// `parallel(|| { .. })`: the machine's order is lifted between what stands directly in it.
fn parallel(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let Some(body) = function(ctx, "parallel", 0, &values[0]) else { return unknown() };
    let scope = desk.open().enter(ScopeKind::Parallel, Opens::Parallel);
    inside(ctx, &body)?;
    let handle = desk.open().leave(scope);
    Ok(Dynamic::from(handle))
}

/// `when(cond, || { .. })`. A condition that is known already is a plain `if`: no scope, no guard.
fn when(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    let Some(cond) = condition(ctx, &values[0]) else { return unknown() };
    let Some(body) = function(ctx, "when", 1, &values[1]) else { return unknown() };
    let ends = branch(ctx, &cond, true, &body)?;
    let recorder = &mut *desk.open();
    let ends = recorder.group(ends);
    let place = recorder.here();
    recorder.blocks.branches.push(Branch { cond, place, has_otherwise: false, ends });
    Ok(Dynamic::from(When(recorder.blocks.branches.len() - 1)))
}

/// `.otherwise(|| { .. })` behind it.
fn otherwise(ctx: &NativeCallContext<'_>, values: &[Dynamic]) -> Answer<Dynamic> {
    let desk = Desk::of(ctx);
    if values[0].is::<Unknown>() {
        return unknown();
    }
    let Some(body) = function(ctx, "otherwise", 1, &values[1]) else { return unknown() };
    let when = literal::held::<When>(&values[0]);
    let fits = {
        let recorder = &mut *desk.open();
        let here = recorder.here();
        let branch = when.map(|when| &mut recorder.blocks.branches[when.0]);
        match branch {
            None => Err("`otherwise` stands behind `when(..)`"),
            Some(branch) if branch.has_otherwise => Err("this `when` has an `otherwise` already"),
            Some(branch) if branch.place != here => {
                Err("something was written between this `when` and its `otherwise`")
            }
            Some(branch) => {
                branch.has_otherwise = true;
                Ok(branch.cond.clone())
            }
        }
    };
    let (cond, when) = match (fits, when) {
        (Ok(cond), Some(when)) => (cond, when),
        (fits, _) => {
            let message = fits.err().unwrap_or_default();
            let help = "write `when(cond, || { .. }).otherwise(|| { .. })` in one go";
            let mistake = Diagnostic::error("H141", message).help(help);
            desk.open().say(ctx, Part::Whole, mistake);
            return unknown();
        }
    };
    let ends = branch(ctx, &cond, false, &body)?;
    let recorder = &mut *desk.open();
    let group = recorder.blocks.branches[when.0].ends;
    recorder.group_ends[group.0].extend(ends);
    recorder.blocks.branches[when.0].place = recorder.here();
    Ok(values[0].clone())
}

/// The condition; `None`: it is none, which was said.
fn condition(ctx: &NativeCallContext<'_>, value: &Dynamic) -> Option<Cond> {
    let desk = Desk::of(ctx);
    let recorder = &mut *desk.open();
    if let Ok(known) = value.as_bool() {
        return Some(Cond::Known(known));
    }
    if value.is::<Unknown>() {
        // What is written under it may hold more mistakes.
        return Some(Cond::Known(true));
    }
    let wrong = match literal::held::<Deferred>(value) {
        None => format!("`when` takes a condition, and was given {}", literal::show(ctx, value)),
        Some(Deferred(cond)) => {
            recorder.late.used(&cond);
            let sort = recorder.sort(&cond);
            if sort.fits(Sort::Truth) {
                let missing = recorder.say_if_missing(ctx, &cond);
                return Some(if missing { Cond::Known(true) } else { Cond::Later(cond) });
            }
            format!("`when` takes a condition, and `{cond}` is {}", sort.as_str())
        }
    };
    let help = "compare it: `when(last.bytes_sent > 5000, || { .. })`";
    recorder.say(ctx, Part::Argument(0), Diagnostic::error("H104", wrong).help(help));
    None
}

/// Traces one branch; its ends.
fn branch(ctx: &NativeCallContext<'_>, cond: &Cond, is: bool, body: &FnPtr) -> Answer<Vec<StepIx>> {
    let desk = Desk::of(ctx);
    let expr = match cond {
        Cond::Known(known) if *known == is => {
            let first = desk.open().steps.len();
            inside(ctx, body)?;
            let end = desk.open().steps.len();
            return Ok((first..end).map(index).collect());
        }
        Cond::Known(_) => return Ok(Vec::new()),
        Cond::Later(expr) => expr,
    };
    let scope = {
        let recorder = &mut *desk.open();
        let needed = expr.steps_needed();
        let follows = expr.steps().into_iter().filter(|id| !needed.contains(id));
        let entry = Edges {
            needs: needed.iter().map(|id| recorder.late.step(id)).collect(),
            waits: Vec::new(),
            follows: follows.map(|id| recorder.late.step(id)).collect(),
        };
        recorder.enter(ScopeKind::When { cond: expr.clone(), is }, Opens::Guarded(entry))
    };
    let before = changes::captured(body);
    inside(ctx, body)?;
    let recorder = &mut *desk.open();
    if changes::changed(&before) {
        let word = if is { "when" } else { "otherwise" };
        let message = format!(
            "a variable from outside is changed inside `{word}`: that happens while the plan is made, whatever the condition will be"
        );
        let help =
            "only steps wait for the condition; decide on facts with `if` what a variable shall be";
        recorder.say(ctx, Part::Whole, Diagnostic::warning("H148", message).help(help));
    }
    let group = recorder.leave(scope);
    Ok(recorder.group_ends[group.0].clone())
}

fn unknown() -> Answer<Dynamic> {
    Ok(Dynamic::from(Unknown))
}
