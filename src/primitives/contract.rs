//! What a primitive must be, and all the powers it has.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::base::{HostName, Json, MachineName, RunId, Side, SiteName, StepId, StepKey};
use crate::diagnostic::Diagnostic;
use crate::plan::effect::Effect;
use crate::plan::expr::{described, resolved};
use crate::plan::facts::FactLog;
use crate::plan::inventory::{Inventory, MachineEntry};
use crate::plan::policy::Policy;
use crate::primitives::spec::Spec;
use crate::run::failure::Failure;
use crate::sites::{Fence, Site};

/// A primitive: spec, meaning, sentence, estimate, work.
///
/// **Contract of `run`.** Observe, then act. A repeated attempt after a crash finds what the first one
/// did and finishes it. Running a finished step again changes nothing. It never blocks the runtime,
/// honours cancellation at the next safe point, and its outputs are data.
pub trait Primitive: Send + Sync + 'static {
    /// Its arguments, typed.
    type Args: Send + Sync;
    /// Its outputs; a struct whose fields are the spec's outputs.
    type Out: Serialize + Send;
    /// What it says of itself.
    const SPEC: &'static Spec;

    /// Arguments from a step's `args`, whose options were checked against the spec already; here come
    /// the checks between options. Values known only at run time stand as texts (`⟨source⟩`) at plan time
    /// and are resolved when it runs.
    ///
    /// # Errors
    /// What is wrong with them, without places (the caller knows those).
    fn parse(args: &Json) -> Result<Self::Args, Vec<Diagnostic>>;

    /// Whether what it is told fits the inventory, its machine and the step's policy: what
    /// [`Primitive::parse`] cannot see. A run does not rely on it: the inventory may be another one by then.
    ///
    /// # Errors
    /// What does not fit, without places.
    fn fits(_: &Self::Args, _: &Policy, _: &Subject<'_>) -> Result<(), Vec<Diagnostic>> {
        Ok(())
    }

    /// What it does to its machine, for the verifier. May read facts (`mode: "auto"`), by name.
    fn effect(args: &Self::Args, subject: &Subject<'_>) -> Effect;

    /// The sentence of the dry run, in the imperative, without the machine's name where it is obvious.
    fn describe(args: &Self::Args, subject: &Subject<'_>) -> String;

    /// How a person does it without homing, alone and in the middle of the night: what must hold first,
    /// what to do, how to see that it is done, what to write down, what must never happen. No secret is in
    /// it: a key is called by its name.
    fn by_hand(args: &Self::Args, subject: &Subject<'_>, standing: &Standing) -> ByHand;

    /// How long it will take and how much it moves at most, from sizes and rates.
    fn estimate(args: &Self::Args, subject: &Subject<'_>) -> Cost;

    /// What a rehearsal takes for its outputs where it would reach beyond the sites (a network, a process,
    /// a person); `None`: it is really done, at the rehearsal's own sites.
    fn rehearsed(_: &Self::Args) -> Option<Self::Out> {
        None
    }

    /// The work.
    fn run<'a>(
        args: &'a Self::Args,
        ctx: &'a dyn Ctx,
    ) -> impl Future<Output = Result<Self::Out, Failure>> + Send + 'a;
}

/// What a step is about, at plan time.
pub struct Subject<'a> {
    /// Its machine, when it has one.
    pub machine: Option<&'a MachineName>,
    /// The inventory.
    pub inventory: &'a Inventory,
    /// What is known; every machine that the plan touches has been observed.
    pub facts: &'a FactLog<'a>,
}

impl<'a> Subject<'a> {
    /// The inventory's entry of the machine.
    pub fn entry(&self) -> Option<&'a MachineEntry> {
        self.inventory.machines.get(self.machine?)
    }

    /// A fact of the machine, recorded as read.
    pub fn fact(&self, name: &str) -> Option<Json> {
        self.facts.read(self.machine?, name)
    }
}

/// Where a machine stands when a step begins, as far as the plan itself tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The side that holds the live data; `None`: nobody can say.
    pub live: Option<Side>,
    /// Its host at home, where an earlier step chose one.
    pub host: Option<HostName>,
    /// The side that somebody gave up: nobody can look there.
    pub lost: Option<Side>,
}

/// How a person does a step: lines with `{names}` in them, and what stands for each name.
///
/// The lines are fixed texts, so that machines that do the same can share them. All that differs between
/// machines, and all that a script or an inventory says, is `given`, and is never itself read as a line.
/// What stands between backticks in a line is typed as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByHand {
    /// What is done, in the imperative.
    pub title: &'static str,
    /// What must hold before it; each is looked at now, not remembered.
    pub first: Vec<&'static str>,
    /// What to do, in order.
    pub act: Vec<&'static str>,
    /// How to see that it is done.
    pub verify: Vec<&'static str>,
    /// What to write down, beside the time.
    pub note: Vec<&'static str>,
    /// What must never happen.
    pub danger: Vec<&'static str>,
    /// What the names stand for.
    pub given: Vec<(&'static str, String)>,
}

impl ByHand {
    /// With its title; the lines follow.
    pub fn new(title: &'static str) -> ByHand {
        ByHand { title, ..ByHand::default() }
    }

    /// What must hold before it.
    #[must_use]
    pub fn first(mut self, line: &'static str) -> ByHand {
        self.first.push(line);
        self
    }

    /// The next thing to do.
    #[must_use]
    pub fn act(mut self, line: &'static str) -> ByHand {
        self.act.push(line);
        self
    }

    /// The same, where it is called for.
    #[must_use]
    pub fn act_if(self, holds: bool, line: &'static str) -> ByHand {
        if holds { self.act(line) } else { self }
    }

    /// How to see that it is done.
    #[must_use]
    pub fn verify(mut self, line: &'static str) -> ByHand {
        self.verify.push(line);
        self
    }

    /// What to write down.
    #[must_use]
    pub fn note(mut self, line: &'static str) -> ByHand {
        self.note.push(line);
        self
    }

    /// What must never happen.
    #[must_use]
    pub fn danger(mut self, line: &'static str) -> ByHand {
        self.danger.push(line);
        self
    }

    /// What a name in the lines stands for.
    #[must_use]
    pub fn given(mut self, name: &'static str, value: impl Into<String>) -> ByHand {
        self.given.push((name, value.into()));
        self
    }

    /// Every line but the title, with the title first.
    pub fn lines(&self) -> impl Iterator<Item = &'static str> {
        let parts = [&self.first, &self.act, &self.verify, &self.note, &self.danger];
        std::iter::once(self.title).chain(parts.into_iter().flatten().copied())
    }

    /// What a name stands for.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// What a step will cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Seconds, when nothing else goes on.
    pub seconds: f64,
    /// Bytes to move at most.
    pub bytes: u64,
    /// Bytes that will probably go over the links between its machine's sites: what these let through is
    /// shared with whatever else moves at the same time.
    pub sent: u64,
    /// Bytes per second at which `sent` goes when nothing else does; `seconds` holds that time already.
    pub rate: u64,
}

impl Cost {
    /// Takes time and moves nothing.
    pub const fn seconds(seconds: f64) -> Cost {
        Cost { seconds, bytes: 0, sent: 0, rate: 0 }
    }

    /// The part of `seconds` in which `sent` goes over the links.
    pub fn on_links_s(&self) -> f64 {
        if self.rate == 0 { 0.0 } else { (self.sent as f64 / self.rate as f64).min(self.seconds) }
    }
}

/// The outputs of a step that has nothing to tell.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Done {}

/// All the powers of a running primitive.
#[async_trait]
pub trait Ctx: Send + Sync {
    /// The run.
    fn run(&self) -> &RunId;

    /// The step.
    fn step(&self) -> &StepId;

    /// Stored with whatever the step creates.
    fn key(&self) -> &StepKey;

    /// The step's machine.
    fn machine(&self) -> Option<&MachineName>;

    /// The inventory.
    fn inventory(&self) -> &Inventory;

    /// An opened site.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn site(&self, site: &SiteName) -> Result<Arc<dyn Site>, Failure>;

    /// What every mutation at that side of the machine carries.
    ///
    /// # Errors
    /// When this run has not claimed the machine.
    fn fence(&self, side: Side) -> Result<Fence, Failure>;

    /// The outputs of the step whose handle was passed as the argument `param`.
    fn input(&self, param: &str) -> Option<Arc<Json>>;

    /// What an earlier step put out, when `args` read it; for conditions that are looked at again.
    fn output(&self, step: &StepId) -> Option<Arc<Json>>;

    /// How long this attempt may take before it is cut off; `None`: unlimited. A poll ends a little
    /// earlier by itself and says what it saw.
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Fires when the attempt should stop at its next safe point.
    fn cancelled(&self) -> &CancellationToken;

    /// Says how far it is; may be dropped. Also what a stall timeout watches.
    fn progress(&self, done: u64, total: u64, sent: u64, note: &str);

    /// The cursor that an earlier attempt saved.
    fn checkpoint(&self) -> Option<Vec<u8>>;

    /// Saves a cursor, durably, before it returns. Blocking: for transfer threads.
    ///
    /// # Errors
    /// When it could not be saved, or another process took the run over: stop at once.
    fn save(&self, cursor: &[u8]) -> Result<(), Failure>;

    /// Journals what will be deleted, durably, before it returns.
    ///
    /// # Errors
    /// When it could not be journalled: delete nothing.
    async fn intend(&self, deletes: Json) -> Result<(), Failure>;

    /// What an earlier attempt announced to delete.
    fn intended(&self) -> Option<Json>;
}

/// A primitive without its types: what the registry holds.
pub trait AnyPrimitive: Send + Sync {
    /// What it says of itself.
    fn spec(&self) -> &'static Spec;

    /// What they do, when they make sense together and fit: see [`Primitive::fits`] and [`Primitive::effect`].
    ///
    /// # Errors
    /// What is wrong with them, or does not fit.
    fn effect(
        &self,
        args: &Json,
        policy: &Policy,
        subject: &Subject<'_>,
    ) -> Result<Effect, Vec<Diagnostic>>;

    /// See [`Primitive::describe`]; `args` were checked.
    fn describe(&self, args: &Json, subject: &Subject<'_>) -> String;

    /// See [`Primitive::by_hand`]; `args` were checked.
    fn by_hand(&self, args: &Json, subject: &Subject<'_>, standing: &Standing) -> ByHand;

    /// See [`Primitive::estimate`]; `args` were checked.
    fn estimate(&self, args: &Json, subject: &Subject<'_>) -> Cost;

    /// See [`Primitive::rehearsed`]; `args` as the plan has them.
    fn rehearsed(&self, args: &Json) -> Option<Json>;

    /// See [`Primitive::run`].
    fn run<'a>(
        &'a self,
        args: &'a Json,
        ctx: &'a dyn Ctx,
    ) -> Pin<Box<dyn Future<Output = Result<Json, Failure>> + Send + 'a>>;
}

/// Makes an [`AnyPrimitive`] of a [`Primitive`].
pub struct Erased<P>(std::marker::PhantomData<fn() -> P>);

impl<P: Primitive> Erased<P> {
    /// For the registry.
    pub const fn new() -> Self {
        Erased(std::marker::PhantomData)
    }

    /// At plan time: what is known only later stands as its source.
    fn args(args: &Json) -> P::Args {
        P::parse(&described(args))
            .unwrap_or_else(|wrong| panic!("BUG: unchecked arguments: {wrong:?}"))
    }
}

impl<P: Primitive> Default for Erased<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Primitive> AnyPrimitive for Erased<P> {
    fn spec(&self) -> &'static Spec {
        P::SPEC
    }

    fn effect(
        &self,
        args: &Json,
        policy: &Policy,
        subject: &Subject<'_>,
    ) -> Result<Effect, Vec<Diagnostic>> {
        let args = P::parse(&described(args))?;
        P::fits(&args, policy, subject)?;
        Ok(P::effect(&args, subject))
    }

    fn describe(&self, args: &Json, subject: &Subject<'_>) -> String {
        P::describe(&Self::args(args), subject)
    }

    fn by_hand(&self, args: &Json, subject: &Subject<'_>, standing: &Standing) -> ByHand {
        P::by_hand(&Self::args(args), subject, standing)
    }

    fn estimate(&self, args: &Json, subject: &Subject<'_>) -> Cost {
        P::estimate(&Self::args(args), subject)
    }

    fn rehearsed(&self, args: &Json) -> Option<Json> {
        let out = P::rehearsed(&Self::args(args))?;
        Some(serde_json::to_value(out).expect("BUG: outputs are plain data"))
    }

    fn run<'a>(
        &'a self,
        args: &'a Json,
        ctx: &'a dyn Ctx,
    ) -> Pin<Box<dyn Future<Output = Result<Json, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let args = resolved(args, &|step| ctx.output(step))
                .map_err(|error| Failure::permanent(error.to_string()))?;
            let args = P::parse(&args).map_err(|wrong| {
                Failure::permanent(format!("its arguments are wrong: {wrong:?}"))
            })?;
            let out = P::run(&args, ctx).await?;
            serde_json::to_value(out)
                .map_err(|error| Failure::permanent(format!("its outputs are no data: {error}")))
        })
    }
}
