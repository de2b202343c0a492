//! Order: who waits for whom. Pure; knows neither scripts nor primitives.
//!
//! Three sentences. Steps on the same machine run in the order written. Steps on different machines run
//! in parallel. A step that names no machine is a barrier in its scope. Edges are kept sparse: one to
//! the machine's last step, one to the barrier in force unless that is reached anyway, and into a
//! barrier only from steps that nothing else waits for. `parallel` lifts the first sentence between what
//! stands directly in it; a guard's condition comes before the first steps under it; what an attempt
//! adds stands in [`tried`]. A property test holds all this against the naive reading.

mod front;
mod tried;

use std::collections::BTreeMap;

use crate::plan::graph::index;
use crate::plan::settle::Edge;
use crate::plan::step::StepIx;
use crate::trace::order::front::Front;

pub(super) use crate::trace::order::tried::Tried;

/// How a step takes part in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Joins a machine's chain.
    Chain,
    /// Waits for everything before it in its scope, and holds back everything after it.
    Barrier,
    /// Waits for the steps it lists only, and holds back everything after it in its scope.
    Listed,
    /// Needs the steps it was given only, and holds back nothing but the barriers of its scope.
    Apart,
    /// Waits like its neighbours, but holds nothing back.
    Notify,
}

/// A step as the order sees it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The machine whose chain it joins.
    pub machine: Option<u32>,
    /// How it takes part.
    pub role: Role,
    /// The steps whose handles it was given.
    pub handles: &'a [StepIx],
}

/// The edges of one step; sorted, unique, disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edges {
    /// Require success.
    pub needs: Vec<StepIx>,
    /// Require settled.
    pub waits: Vec<StepIx>,
    /// Require settled, whatever came of it.
    pub follows: Vec<StepIx>,
}

/// A scope about to be opened.
#[derive(Clone, Debug)]
pub enum Opens {
    /// Barriers inside hold back only inside.
    Plain,
    /// Its steps and scopes are not ordered by their machines.
    Parallel,
    /// The body of an attempt.
    Body,
    /// Its first steps come after those that its condition reads: `needs` and `follows`.
    Guarded(Edges),
}

/// The order so far.
#[derive(Debug)]
pub struct Order {
    machines: Vec<Machine>,
    /// Open scopes, outermost first; the first is the plan.
    scopes: Vec<Scope>,
    steps: Vec<Placed>,
}

#[derive(Clone, Debug, Default)]
struct Machine {
    front: Front,
    /// Its newest step that is no notification.
    newest: Option<StepIx>,
}

/// Steps that something later may have to wait for, with how it would.
type Ends = Vec<(StepIx, Edge)>;

#[derive(Debug)]
struct Scope {
    first: StepIx,
    barrier: Option<StepIx>,
    /// Steps of this scope that a barrier would have to wait for; those held since are skipped.
    open: Ends,
    /// Steps without a machine; those that another such step needs are skipped.
    loose: Ends,
    /// What steps that need nothing inside wait for.
    entry: Edges,
    /// The same for steps without a machine: those follow these as well.
    entry_loose: Vec<StepIx>,
    /// The machines with steps in it, and where they stood before; `None` where nobody will ask.
    touched: Option<BTreeMap<u32, Front>>,
    /// The ends of what stands in a parallel scope, by machine; `None` for every other scope.
    branches: Option<BTreeMap<u32, Edges>>,
    /// In the innermost clean-up, its first step: what was written before need not have succeeded.
    lenient: Option<StepIx>,
    /// Steps before it that were held first by a step in it; kept where `touched` is.
    held_before: Vec<StepIx>,
}

#[derive(Debug)]
struct Placed {
    machine: Option<u32>,
    notify: bool,
    /// A later step that is no notification waits for it.
    held: bool,
    /// A later step without a machine needs it.
    covered: bool,
}

impl Edges {
    fn tidy(&mut self) {
        let Edges { needs, waits, follows } = self;
        tidy(needs);
        tidy(waits);
        tidy(follows);
        waits.retain(|ix| needs.binary_search(ix).is_err());
        follows.retain(|ix| needs.binary_search(ix).is_err() && waits.binary_search(ix).is_err());
    }

    fn extend(&mut self, other: &Edges) {
        self.needs.extend_from_slice(&other.needs);
        self.waits.extend_from_slice(&other.waits);
        self.follows.extend_from_slice(&other.follows);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.needs.len() + self.waits.len() + self.follows.len()
    }
}

impl Scope {
    fn new(first: StepIx) -> Scope {
        Scope {
            first,
            barrier: None,
            open: Vec::new(),
            loose: Vec::new(),
            entry: Edges::default(),
            entry_loose: Vec::new(),
            touched: None,
            branches: None,
            lenient: None,
            held_before: Vec::new(),
        }
    }

    /// Somebody will ask which machines have steps in a scope inside this one.
    fn tracks(&self) -> bool {
        self.touched.is_some() || self.branches.is_some()
    }
}

impl Order {
    /// Nothing written yet.
    pub fn new(machines: usize) -> Order {
        let machines = vec![Machine::default(); machines];
        Order { machines, scopes: vec![Scope::new(StepIx(0))], steps: Vec::new() }
    }

    /// The last steps written on a machine: after these, all it was told is done.
    pub fn lasts_of(&self, machine: u32) -> Vec<StepIx> {
        let mut lasts = self.machines[machine as usize].front.needs();
        let branches =
            self.scopes.iter().filter_map(|scope| scope.branches.as_ref()?.get(&machine));
        lasts.extend(branches.flat_map(|ends| &ends.needs));
        tidy(&mut lasts);
        lasts
    }

    /// How many machines have steps in the innermost scope, an attempt's body.
    pub fn machines_here(&self) -> usize {
        self.scopes.last().and_then(|scope| scope.touched.as_ref()).map_or(0, BTreeMap::len)
    }

    /// Places the next step.
    pub fn place(&mut self, asked: &Asked<'_>) -> Edges {
        let at = index(self.steps.len());
        let mut edges = self.edges(asked);
        edges.tidy();
        let notify = asked.role == Role::Notify;
        let machine = asked.machine;
        self.steps.push(Placed { machine, notify, held: false, covered: false });
        if notify {
            return edges;
        }
        let scope = self.scopes.last_mut().expect("BUG: the plan's scope stays open");
        for before in edges.needs.iter().chain(&edges.waits) {
            let held = &mut self.steps[before.at()].held;
            if !*held && *before < scope.first && scope.touched.is_some() {
                scope.held_before.push(*before);
            }
            *held = true;
        }
        match asked.role {
            Role::Barrier => {
                scope.barrier = Some(at);
                scope.open = vec![(at, Edge::Waits)];
            }
            Role::Listed => {
                scope.barrier = Some(at);
                scope.open.push((at, Edge::Waits));
            }
            Role::Chain | Role::Apart | Role::Notify => scope.open.push((at, Edge::Waits)),
        }
        match machine {
            Some(machine) => self.touch(machine, at),
            None => {
                scope.loose.push((at, Edge::Waits));
                // Only what stands in the same scope: the two are given up together, or not.
                for before in edges.needs.iter().filter(|ix| **ix >= scope.first) {
                    self.steps[before.at()].covered = true;
                }
            }
        }
        edges
    }

    fn touch(&mut self, machine: u32, at: StepIx) {
        let scope = self.scopes.last_mut().expect("BUG: the plan's scope stays open");
        let Machine { front, newest } = &mut self.machines[machine as usize];
        if let Some(touched) = &mut scope.touched {
            touched.entry(machine).or_insert_with(|| front.clone());
        }
        match &mut scope.branches {
            Some(branches) => branches.entry(machine).or_default().needs.push(at),
            None => *front = front.next(at, *newest, scope.lenient),
        }
        *newest = Some(at);
    }

    fn edges(&self, asked: &Asked<'_>) -> Edges {
        let mut edges = Edges::default();
        let inner = self.scopes.last().expect("BUG: the plan's scope stays open");
        let front = asked.machine.map(|machine| &self.machines[machine as usize].front);
        if let Some(front) = front {
            front.add_to(&mut edges, inner.lenient);
        }
        if asked.role == Role::Listed {
            edges.waits.extend_from_slice(asked.handles);
        } else {
            let on_chain = |ix: &StepIx| {
                let step = &self.steps[ix.at()];
                let own = asked.machine.is_some() && step.machine == asked.machine && !step.notify;
                own && front.is_some_and(|front| front.reaches(*ix, inner.lenient))
            };
            for ix in asked.handles.iter().filter(|ix| !on_chain(ix)) {
                // Clean-up clears away what a step left that never came to an end.
                let needed = inner.lenient.is_none_or(|from| *ix >= from);
                if needed { &mut edges.needs } else { &mut edges.follows }.push(*ix);
            }
        }
        if asked.role == Role::Barrier || (asked.role == Role::Notify && asked.machine.is_none()) {
            for (ix, edge) in self.open(inner) {
                if edge == Edge::Follows { &mut edges.follows } else { &mut edges.waits }.push(ix);
            }
        }
        // The barrier in force belongs to an open scope: whatever was written since, needs it already.
        let barrier = self.scopes.iter().rev().find_map(|scope| scope.barrier);
        if let Some(barrier) = barrier
            && !edges.needs.iter().any(|ix| *ix >= barrier)
        {
            edges.needs.push(barrier);
        }
        self.add_entries(asked, &mut edges);
        edges
    }

    /// What a step waits for because of the scopes that it stands in, unless it needs a step in there
    /// that does so already.
    fn add_entries(&self, asked: &Asked<'_>, edges: &mut Edges) {
        let (mut reached, mut reached_loose) = (false, asked.machine.is_some());
        for scope in self.scopes[1..].iter().rev() {
            if reached && reached_loose {
                break;
            }
            for ix in edges.needs.iter().filter(|ix| **ix >= scope.first) {
                reached = true;
                reached_loose |= self.steps[ix.at()].machine.is_none();
            }
            if !reached {
                edges.extend(&scope.entry);
            }
            if !reached_loose {
                edges.follows.extend_from_slice(&scope.entry_loose);
            }
        }
    }

    fn open<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = (StepIx, Edge)> + 'a {
        scope.open.iter().copied().filter(|(ix, _)| !self.steps[ix.at()].held)
    }

    /// `before` was added to what `step` needs.
    pub fn after(&mut self, step: StepIx, before: StepIx) {
        if !self.steps[step.at()].notify {
            self.steps[before.at()].held = true;
        }
    }

    /// Opens a scope.
    pub fn enter(&mut self, opens: Opens) {
        let outer = self.scopes.last().expect("BUG: the plan's scope stays open");
        let mut scope = Scope::new(index(self.steps.len()));
        scope.lenient = outer.lenient;
        let (parallel, body) = (matches!(opens, Opens::Parallel), matches!(opens, Opens::Body));
        scope.touched = (parallel || body || outer.tracks()).then(BTreeMap::new);
        scope.branches = parallel.then(BTreeMap::new);
        if let Opens::Guarded(entry) = opens {
            scope.entry = entry;
        }
        self.scopes.push(scope);
    }

    /// Closes a scope that is no part of an attempt; the steps in it that nothing in it waits for: after
    /// these, all of it is done.
    pub fn leave(&mut self) -> Vec<StepIx> {
        let mut closed = self.close();
        for (machine, ends) in closed.branches.take().unwrap_or_default() {
            self.machines[machine as usize].front = Front::wide(ends);
        }
        let outer = self.scopes.last_mut().expect("BUG: the plan's scope is never left");
        outer.open.extend_from_slice(&closed.open);
        outer.loose.extend_from_slice(&closed.loose);
        for (machine, before) in closed.touched.take().unwrap_or_default() {
            let front = &mut self.machines[machine as usize].front;
            if let Some(branches) = &mut outer.branches {
                let end = std::mem::replace(front, before.clone());
                branches.entry(machine).or_default().extend(&end.edges());
            }
            if let Some(touched) = &mut outer.touched {
                touched.entry(machine).or_insert(before);
            }
        }
        required(&closed.open)
    }

    /// The innermost scope, taken off, with only those ends that are ends still.
    fn close(&mut self) -> Scope {
        let mut scope = self.scopes.pop().expect("BUG: the plan's scope is never left");
        scope.open.retain(|(ix, _)| !self.steps[ix.at()].held);
        scope.loose.retain(|(ix, _)| !self.steps[ix.at()].covered);
        let outer = self.scopes.last_mut().expect("BUG: the plan's scope is never left");
        if outer.touched.is_some() {
            let before = scope.held_before.iter().filter(|ix| **ix < outer.first);
            outer.held_before.extend(before);
        }
        scope
    }
}

/// Those ends that have to succeed.
fn required(ends: &[(StepIx, Edge)]) -> Vec<StepIx> {
    ends.iter().filter(|(_, edge)| *edge == Edge::Waits).map(|(ix, _)| *ix).collect()
}

fn tidy(edges: &mut Vec<StepIx>) {
    edges.sort_unstable();
    edges.dedup();
}

#[cfg(test)]
mod tests;
