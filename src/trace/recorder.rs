//! What a script has written so far: steps, mistakes, facts it read. Every native function of the
//! script language reaches it through the interpreter's tag.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::HashMap;
use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use crate::base::{Json, MachineName};
use crate::diagnostic::Diagnostic;
use crate::plan::facts::{Facts, HostKey};
use crate::plan::graph::index;
use crate::plan::inventory::Inventory;
use crate::plan::policy::Policy;
use crate::plan::scope::{Acknowledgement, Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Kind, Origin, Reversibility, Step, StepIx};
use crate::primitives::spec::{Spec, Yields};
use crate::source::Span;
use crate::trace::ParamDecl;
use crate::trace::bind::Table;
use crate::trace::captured::Captured;
use crate::trace::ids::Ids;
use crate::trace::late::Late;
use crate::trace::options::Common;
use crate::trace::order::{Asked, Opens, Order, Role};
use crate::trace::scopes::Blocks;
use crate::trace::sources::{Part, Sources};
use crate::trace::{literal, mistakes, unseen};

/// A result of a native function.
pub(super) type Answer<T> = Result<T, Box<EvalAltResult>>;

/// The error that ends an evaluation whose reason is recorded already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said;

/// A step, as scripts hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(pub(super) StepIx);

/// A group of steps, as scripts hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHandle(pub(super) usize);

/// What stands for a value after a mistake, so that tracing can go on and find more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown;

/// Going over it does nothing: what it should have been was said.
impl IntoIterator for Unknown {
    type Item = Unknown;
    type IntoIter = std::iter::Empty<Unknown>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::empty()
    }
}

/// Most mistakes of one compile: more help nobody.
const DIAGNOSTICS_MAX: usize = 100;
/// Edges of a plan, per step that it may have.
const EDGES_PER_STEP_MAX: usize = 16;

/// The shared recorder.
#[derive(Clone)]
pub(super) struct Desk(Rc<RefCell<Recorder>>);

impl Desk {
    pub(super) fn new(recorder: Recorder) -> Desk {
        Desk(Rc::new(RefCell::new(recorder)))
    }

    /// The desk of the script that calls.
    pub(super) fn of(ctx: &NativeCallContext<'_>) -> Desk {
        let desk = ctx.tag().and_then(literal::held::<Desk>);
        desk.expect("BUG: every engine here has its desk as tag")
    }

    /// Never held while a function of the script is called.
    pub(super) fn open(&self) -> RefMut<'_, Recorder> {
        self.0.borrow_mut()
    }
}

/// All that was recorded.
pub(super) struct Recorder {
    pub(super) sources: Sources,
    pub(super) inventory: Rc<Inventory>,
    pub(super) facts: Rc<Facts>,
    /// By place in the inventory.
    pub(super) names: Vec<MachineName>,
    pub(super) places: HashMap<MachineName, u32>,
    /// The machines that need each machine; sorted.
    pub(super) needed_by: Vec<Vec<u32>>,
    pub(super) steps: Vec<Step>,
    /// Those with a wrong option: nothing more is said of their arguments.
    pub(super) wrong: BTreeSet<StepIx>,
    /// The first is the plan.
    pub(super) scopes: Vec<Scope>,
    /// The one that is being written.
    pub(super) scope: ScopeIx,
    /// The last steps of each group, by its handle.
    pub(super) group_ends: Vec<Vec<StepIx>>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) given: BTreeMap<String, String>,
    pub(super) params: Vec<ParamDecl>,
    /// Facts read from observations, to be recorded as read.
    pub(super) read: BTreeSet<(u32, String)>,
    /// Values of the inventory that were read, by name.
    pub(super) noted: BTreeSet<(u32, &'static str)>,
    /// The machines that selections found, by their terms.
    pub(super) selections: BTreeMap<String, Json>,
    /// Machines that the script has laid hands on.
    pub(super) selected: BTreeSet<u32>,
    /// Machines with a step that is not simply taken back: a start, a stop, a commit. What was observed of
    /// their power says nothing of what they are behind it.
    pub(super) switched: BTreeSet<u32>,
    pub(super) missing_hosts: BTreeSet<HostKey>,
    /// A fact was asked for that nobody has observed: what follows means nothing.
    pub(super) incomplete: bool,
    /// The words that ask for a truth, by the place of what they ask.
    pub(super) asks: HashMap<Position, &'static str>,
    /// Why the evaluation was stopped from outside.
    pub(super) stopped: Option<String>,
    /// Modules being evaluated at their top level.
    pub(super) importing: u32,
    pub(super) order: Order,
    /// What was made of values known only while the plan runs.
    pub(super) late: Late,
    /// What `policy` said, for the steps written next; by open scope, outermost first.
    pub(super) defaults: Vec<Common>,
    /// Attempts and branches.
    pub(super) blocks: Blocks,
    pub(super) acknowledged: Vec<Acknowledgement>,
    pub(super) captured: Captured,
    pub(super) table: Table,
    pub(super) ids: Ids,
    origins: HashMap<Vec<Position>, Arc<Origin>>,
    /// How many steps there were at the last barrier written at a place.
    barriers: HashMap<Vec<Position>, usize>,
    edges_added: usize,
}

/// A step about to be recorded.
pub(super) struct Draft<'a> {
    pub(super) asked: Asked<'a>,
    pub(super) step: Step,
}

impl Recorder {
    pub(super) fn new(
        table: Table,
        inventory: Inventory,
        facts: Facts,
        given: BTreeMap<String, String>,
    ) -> Recorder {
        let names: Vec<MachineName> = inventory.machines.keys().cloned().collect();
        let places: HashMap<MachineName, u32> =
            (0_u32..).zip(&names).map(|(at, name)| (name.clone(), at)).collect();
        let mut needed_by = vec![Vec::new(); names.len()];
        for (at, entry) in (0_u32..).zip(inventory.machines.values()) {
            for needed in entry.needs.iter().filter_map(|name| places.get(name)) {
                needed_by[*needed as usize].push(at);
            }
        }
        let machines = names.len();
        Recorder {
            order: Order::new(machines),
            defaults: vec![Common::default()],
            blocks: Blocks::default(),
            acknowledged: Vec::new(),
            captured: Captured::default(),
            table,
            inventory: Rc::new(inventory),
            facts: Rc::new(facts),
            names,
            places,
            needed_by,
            given,
            sources: Sources::default(),
            steps: Vec::new(),
            wrong: BTreeSet::new(),
            scopes: vec![Scope::plan()],
            scope: ScopeIx::PLAN,
            group_ends: Vec::new(),
            diagnostics: Vec::new(),
            params: Vec::new(),
            read: BTreeSet::new(),
            noted: BTreeSet::new(),
            selections: BTreeMap::new(),
            selected: BTreeSet::new(),
            switched: BTreeSet::new(),
            missing_hosts: BTreeSet::new(),
            incomplete: false,
            asks: HashMap::default(),
            stopped: None,
            importing: 0,
            late: Late::default(),
            ids: Ids::new(machines),
            origins: HashMap::default(),
            barriers: HashMap::default(),
            edges_added: 0,
        }
    }

    /// Records a mistake at a call; goes on.
    pub(super) fn say(&mut self, ctx: &NativeCallContext<'_>, part: Part<'_>, mistake: Diagnostic) {
        let places = self.places(ctx);
        self.say_at(&places, part, mistake);
    }

    /// Records a mistake and stops the evaluation.
    pub(super) fn refuse<T>(
        &mut self,
        ctx: &NativeCallContext<'_>,
        part: Part<'_>,
        mistake: Diagnostic,
    ) -> Answer<T> {
        self.say(ctx, part, mistake);
        Err(stop(ctx.call_position()))
    }

    /// Records a mistake at `places`, innermost first: its place is the outermost of them, the others explain.
    pub(super) fn say_at(&mut self, places: &[Position], part: Part<'_>, mut mistake: Diagnostic) {
        if let Some((outer, inner)) = places.split_last() {
            mistake.at = self.sources.span(*outer, part);
            for at in inner.iter().rev() {
                if let Some(span) = self.sources.span(*at, Part::Whole) {
                    mistake = mistake.related("by way of this", span);
                }
            }
        }
        self.push(mistake);
    }

    /// Takes a mistake in, once.
    pub(super) fn push(&mut self, mistake: Diagnostic) {
        let mut mistake = self.late.told(mistake);
        mistakes::clip(&mut mistake);
        if self.diagnostics.len() < DIAGNOSTICS_MAX && !self.diagnostics.contains(&mistake) {
            self.diagnostics.push(mistake);
        }
    }

    /// From the native call outwards to the first place that a user wrote.
    pub(super) fn places(&self, ctx: &NativeCallContext<'_>) -> Vec<Position> {
        let mut places = vec![ctx.call_position()];
        let frames = ctx.debugger().map_or(&[][..], |debugger| debugger.call_stack());
        for frame in frames.iter().rev() {
            let at = places[places.len() - 1];
            if self.sources.is_of_user(at) {
                break;
            }
            // The native's own frame, and a closure called by one, stand where their caller does.
            if frame.pos != at && !frame.pos.is_none() {
                places.push(frame.pos);
            }
        }
        places
    }

    /// Where a call stands.
    pub(super) fn origin_of(&mut self, ctx: &NativeCallContext<'_>) -> Arc<Origin> {
        let places = self.places(ctx);
        self.origin(places)
    }

    fn origin(&mut self, places: Vec<Position>) -> Arc<Origin> {
        if let Some(known) = self.origins.get(&places) {
            return known.clone();
        }
        let spans = places.iter().rev().filter_map(|at| self.sources.span(*at, Part::Whole));
        let spans: Vec<Span> = spans.collect();
        let (at, via) = spans.split_first().expect("BUG: a call stands in a file that was read");
        let origin = Arc::new(Origin { at: at.clone(), via: Arc::from(via) });
        self.origins.insert(places, origin.clone());
        origin
    }

    /// What a step's primitive says of itself.
    pub(super) fn spec(&self, handle: Handle) -> &'static Spec {
        let name = self.steps[handle.0.at()].primitive;
        // The very text of the table, so its address tells.
        let found = self.table.iter().find(|known| std::ptr::eq(known.spec().name, name));
        found.expect("BUG: a step is made by a primitive of the table").spec()
    }

    /// Whether a step yields a snapshot.
    pub(super) fn is_snapshot(&self, handle: Handle) -> bool {
        self.spec(handle).yields == Yields::Snapshot
    }

    /// Whether a step yields an isolated copy.
    pub(super) fn is_copy(&self, handle: Handle) -> bool {
        self.spec(handle).yields == Yields::Copy
    }

    /// Records a step.
    pub(super) fn record(
        &mut self,
        ctx: &NativeCallContext<'_>,
        draft: Draft<'_>,
    ) -> Answer<Handle> {
        if self.importing > 0 {
            let message = "a step at the top level of a module";
            let help = "put it into a function, and call that from the script";
            return self.refuse(ctx, Part::Whole, Diagnostic::error("H124", message).help(help));
        }
        let Draft { asked, mut step } = draft;
        if let Some(unseen) = step.args.data().and_then(unseen::in_args) {
            self.say(ctx, Part::Whole, mistakes::unseen(unseen));
        }
        let places = self.places(ctx);
        if asked.machine.is_none() && !matches!(asked.role, Role::Apart | Role::Notify) {
            self.watch_for_serialising(&places, &step);
        }
        step.origin = self.origin(places);
        self.append(ctx, &asked, step)
    }

    /// Records a step whose origin is known.
    pub(super) fn append(
        &mut self,
        ctx: &NativeCallContext<'_>,
        asked: &Asked<'_>,
        mut step: Step,
    ) -> Answer<Handle> {
        let steps_max = self.inventory.limits.steps_max as usize;
        if self.steps.len() >= steps_max {
            let message = format!("the plan has more than {steps_max} steps");
            let help = "raise `limits.steps` in the inventory if that many are meant";
            return self.refuse(ctx, Part::Whole, Diagnostic::error("H140", message).help(help));
        }
        let at = index(self.steps.len());
        let edges = self.order.place(asked);
        self.edges_added += edges.len();
        if self.edges_added > self.edges_max() {
            return self.refuse(ctx, Part::Whole, self.too_many_edges());
        }
        step.needs = edges.needs;
        step.waits = edges.waits;
        // Those that the draft has are the steps whose absence an `or` answers.
        step.follows.extend_from_slice(&edges.follows);
        step.follows.sort_unstable();
        step.follows.dedup();
        step.follows.retain(|ix| !step.needs.contains(ix) && !step.waits.contains(ix));
        step.scope = self.scope;
        self.ids.take(&step.id);
        if step.kind == Kind::Act && step.reversibility != Reversibility::Reversible {
            self.switched.extend(asked.machine);
        }
        self.steps.push(step);
        Ok(Handle(at))
    }

    /// A barrier inside a loop over machines makes them wait for each other: seldom meant. One behind the
    /// steps of several machines ends a wave, and the library means the ones that it writes.
    fn watch_for_serialising(&mut self, places: &[Position], step: &Step) {
        if !self.sources.is_of_user(places[0]) {
            return;
        }
        let Some(since) = self.barriers.insert(places.to_vec(), self.steps.len()) else { return };
        let before = self.steps[..since].last().and_then(|step| step.machine.as_ref());
        let mut machines = self.steps[since..].iter().filter_map(|step| step.machine.as_ref());
        let Some((before, first)) = before.zip(machines.next()) else { return };
        if first != before && machines.all(|machine| machine == first) {
            let message = format!(
                "`{}` names no machine and is written once per machine: each waits for the one before",
                step.primitive
            );
            let help = "name the machine as first argument, or write it once, after the loop";
            self.say_at(places, Part::Whole, Diagnostic::warning("H126", message).help(help));
        }
    }

    /// Makes `step` need `before`, unless that is wrong.
    pub(super) fn after(&mut self, ctx: &NativeCallContext<'_>, step: Handle, before: StepIx) {
        let at = step.0;
        if before >= at {
            let message = format!(
                "`{}` cannot wait for `{}`, which is written later",
                self.steps[at.at()].id,
                self.steps[before.at()].id
            );
            let help = "write the steps in the order in which they wait for each other";
            return self.say(ctx, Part::Whole, Diagnostic::error("H127", message).help(help));
        }
        if self.edges_added >= self.edges_max() {
            let mistake = self.too_many_edges();
            return self.say(ctx, Part::Whole, mistake);
        }
        let Step { needs, waits, follows, .. } = &mut self.steps[at.at()];
        if let Err(gap) = needs.binary_search(&before) {
            needs.insert(gap, before);
            waits.retain(|ix| *ix != before);
            follows.retain(|ix| *ix != before);
            self.edges_added += 1;
            self.order.after(at, before);
        }
    }

    fn edges_max(&self) -> usize {
        self.inventory.limits.steps_max as usize * EDGES_PER_STEP_MAX
    }

    fn too_many_edges(&self) -> Diagnostic {
        let message =
            format!("the steps wait for each other in more than {} ways", self.edges_max());
        let help = "put one step between two crowds of which each member waits for every other";
        Diagnostic::error("H140", message).help(help)
    }

    /// Opens a scope that is no part of an attempt.
    pub(super) fn enter(&mut self, kind: ScopeKind, opens: Opens) -> ScopeIx {
        self.order.enter(opens);
        self.begin(kind)
    }

    /// Begins a scope whose order is open already.
    pub(super) fn begin(&mut self, kind: ScopeKind) -> ScopeIx {
        self.defaults.push(self.defaults[self.defaults.len() - 1].clone());
        let at = ScopeIx(index(self.scopes.len()).0);
        let first = index(self.steps.len());
        self.scopes.push(Scope { kind, parent: self.scope, first, ..Scope::plan() });
        self.scope = at;
        at
    }

    /// Closes it.
    pub(super) fn leave(&mut self, scope: ScopeIx) -> GroupHandle {
        let ends = self.order.leave();
        self.end(scope);
        self.group(ends)
    }

    /// Ends a scope whose order is closed already.
    pub(super) fn end(&mut self, scope: ScopeIx) {
        self.defaults.pop();
        let closed = &mut self.scopes[scope.at()];
        closed.end = index(self.steps.len());
        self.scope = closed.parent;
    }

    /// A handle to all that these are the ends of.
    pub(super) fn group(&mut self, ends: Vec<StepIx>) -> GroupHandle {
        self.group_ends.push(ends);
        GroupHandle(self.group_ends.len() - 1)
    }
}

/// The error that ends an evaluation whose reason is recorded already.
pub(super) fn stop(at: Position) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(Dynamic::from(Said), at).into()
}

/// The policy of a step: shared while it is the primitive's own.
pub(super) fn shared_policy(policy: &Policy) -> Arc<Policy> {
    Arc::new(policy.clone())
}
