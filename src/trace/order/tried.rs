//! The order around attempts: body, handlers, clean-up, and what is written behind them.
//!
//! A handler comes once nothing more is to come of the body, whatever came of it: its first step of a
//! machine *follows* that machine's steps there, and the steps of the body that have no machine. All of
//! them, not the last ones only: a last step may be blocked while an earlier one still runs. What is
//! written behind an attempt needs the body's last steps, so it is blocked where the body failed; with
//! `then_continue` it needs the handlers' last steps instead.

use std::collections::BTreeMap;

use crate::plan::graph::index;
use crate::plan::settle::Edge;
use crate::plan::step::StepIx;
use crate::trace::order::front::Front;
use crate::trace::order::{Edges, Ends, Order, Scope, required};

/// An attempt whose body is closed, as long as nothing else is written behind it.
#[derive(Debug)]
pub struct Tried {
    /// The body's first step.
    first: StepIx,
    body: Part,
    handlers: Part,
    cleanup: Part,
    then_continue: bool,
    /// By machine; most attempts have one, for which a map would be twenty times as large.
    machines: Vec<(u32, Past)>,
    /// How much the scope around it held before it.
    outer_open: usize,
    outer_loose: usize,
    /// Steps before it that only steps in its body hold.
    held_before: Vec<StepIx>,
}

/// The ends of one part of an attempt.
#[derive(Debug, Default)]
struct Part {
    open: Ends,
    loose: Ends,
}

/// One machine in an attempt.
#[derive(Debug)]
struct Past {
    /// Where it stood before the attempt.
    before: Front,
    /// Behind the body.
    body: Front,
    /// Its steps in the body and the handlers.
    steps: Vec<StepIx>,
    /// The last steps of the handlers.
    handled: Edges,
    /// The last steps of the clean-up.
    cleaned: Edges,
    /// How much stood beside the attempt in a parallel scope: what is needed, what is followed.
    beside: Option<(usize, usize)>,
}

impl Past {
    fn new(before: Front, body: Front) -> Past {
        let (steps, handled, cleaned) = (Vec::new(), Edges::default(), Edges::default());
        Past { before, body, steps, handled, cleaned, beside: None }
    }
}

impl Tried {
    /// The steps after which all of it is done, and succeeded.
    pub fn ends(&self) -> Vec<StepIx> {
        let body = if self.then_continue { Vec::new() } else { required(&self.body.open) };
        let rest = [&self.handlers.open, &self.cleanup.open];
        body.into_iter().chain(rest.into_iter().flat_map(|ends| required(ends))).collect()
    }

    fn past(&mut self, machine: u32) -> Option<&mut Past> {
        let at = self.machines.binary_search_by_key(&machine, |(known, _)| *known).ok()?;
        Some(&mut self.machines[at].1)
    }

    /// Where a machine stands behind it.
    fn after(&self, past: &Past) -> Front {
        let mut edges = Edges::default();
        let mut body = past.body.edges();
        let mut loose = split(&self.body.loose);
        if self.then_continue {
            edges.extend(&past.before.edges());
            for given_up in [&mut body, &mut loose] {
                given_up.follows.append(&mut given_up.needs);
            }
            if past.handled.len() == 0 {
                edges.follows.extend_from_slice(&past.steps);
            }
        }
        edges.extend(&body);
        edges.extend(&loose);
        let mut handled = past.handled.clone();
        handled.extend(&split(&self.handlers.loose));
        if !self.then_continue {
            handled.follows.append(&mut handled.needs);
        }
        edges.extend(&handled);
        edges.extend(&past.cleaned);
        edges.extend(&split(&self.cleanup.loose));
        Front::wide(edges)
    }
}

fn split(ends: &[(StepIx, Edge)]) -> Edges {
    let mut edges = Edges::default();
    for (ix, edge) in ends {
        if *edge == Edge::Follows { &mut edges.follows } else { &mut edges.needs }.push(*ix);
    }
    edges
}

fn given_up(ends: &[(StepIx, Edge)]) -> Ends {
    ends.iter().map(|(ix, _)| (*ix, Edge::Follows)).collect()
}

impl Order {
    /// Closes the body of an attempt.
    pub fn leave_body(&mut self) -> Tried {
        let mut closed = self.close();
        let outer = self.scopes.last().expect("BUG: the plan's scope is never left");
        let mut tried = Tried {
            first: closed.first,
            body: Part { open: closed.open, loose: closed.loose },
            handlers: Part::default(),
            cleanup: Part::default(),
            then_continue: false,
            machines: Vec::new(),
            outer_open: outer.open.len(),
            outer_loose: outer.loose.len(),
            held_before: closed.held_before,
        };
        let touched = closed.touched.take().unwrap_or_default().into_iter();
        let pasts = touched.map(|(machine, before)| {
            (machine, Past::new(before, self.machines[machine as usize].front.clone()))
        });
        tried.machines = pasts.collect();
        self.gather(&mut tried, closed.first);
        self.settle(&mut tried);
        tried
    }

    /// Opens a handler of it.
    pub fn enter_handler(&mut self, tried: &Tried) {
        let mut scope = self.part_of(tried);
        scope.entry.follows = [&tried.body.loose, &tried.handlers.loose]
            .into_iter()
            .flat_map(|ends| ends.iter().map(|(ix, _)| *ix))
            .collect();
        self.scopes.push(scope);
        for (machine, past) in &tried.machines {
            let mut edges = past.before.edges();
            edges.follows.extend_from_slice(&past.steps);
            self.machines[*machine as usize].front = Front::wide(edges);
        }
    }

    /// Closes it.
    pub fn leave_handler(&mut self, tried: &mut Tried) {
        let closed = self.close();
        let first = closed.first;
        for (machine, end) in self.part_ends(tried, &closed) {
            if let Some(past) = tried.past(machine) {
                past.handled.extend(&end);
            }
        }
        tried.handlers.open.extend(closed.open);
        tried.handlers.loose.extend(closed.loose);
        self.gather(tried, first);
        self.settle(tried);
    }

    /// Opens its clean-up. Of what was written before nothing has to have succeeded.
    pub fn enter_cleanup(&mut self, tried: &Tried) {
        let mut scope = self.part_of(tried);
        scope.lenient = Some(scope.first);
        scope.entry.follows = [&tried.body.loose, &tried.handlers.loose]
            .into_iter()
            .flat_map(|ends| ends.iter().map(|(ix, _)| *ix))
            .collect();
        self.scopes.push(scope);
        for (machine, past) in &tried.machines {
            let Edges { needs, mut follows, .. } = past.before.edges();
            follows.extend(needs);
            follows.extend_from_slice(&past.steps);
            let edges = Edges { follows, ..Edges::default() };
            self.machines[*machine as usize].front = Front::wide(edges);
        }
    }

    /// Closes it.
    pub fn leave_cleanup(&mut self, tried: &mut Tried) {
        let closed = self.close();
        for (machine, end) in self.part_ends(tried, &closed) {
            if let Some(past) = tried.past(machine) {
                past.cleaned.extend(&end);
            }
        }
        tried.cleanup = Part { open: closed.open, loose: closed.loose };
        self.settle(tried);
    }

    /// A machine whose handler succeeded goes on behind it.
    pub fn continue_after(&mut self, tried: &mut Tried) {
        tried.then_continue = true;
        // A barrier behind it no longer sees their failure through the body.
        for before in &tried.held_before {
            self.steps[before.at()].held = false;
        }
        self.settle(tried);
    }

    /// The scope of a handler or clean-up.
    fn part_of(&self, tried: &Tried) -> Scope {
        let outer = self.scopes.last().expect("BUG: the plan's scope stays open");
        let mut scope = Scope::new(index(self.steps.len()));
        scope.lenient = outer.lenient;
        scope.touched = Some(BTreeMap::new());
        let before = (tried.first.at()..self.steps.len()).filter(|at| !self.steps[*at].notify);
        scope.entry_loose = before.map(index).collect();
        scope
    }

    /// Where the machines of a closed part stand at its end. Those that are new to the attempt join it.
    fn part_ends(&mut self, tried: &mut Tried, closed: &Scope) -> Vec<(u32, Edges)> {
        let touched = closed.touched.iter().flatten();
        let mut new = Vec::new();
        let ends = touched.map(|(machine, before)| {
            if tried.past(*machine).is_none() {
                new.push((*machine, Past::new(before.clone(), before.clone())));
            }
            (*machine, self.machines[*machine as usize].front.edges())
        });
        let ends = ends.collect();
        if !new.is_empty() {
            tried.machines.append(&mut new);
            tried.machines.sort_by_key(|(machine, _)| *machine);
        }
        ends
    }

    /// Remembers the steps of each machine from `first` on.
    fn gather(&self, tried: &mut Tried, first: StepIx) {
        for (at, step) in self.steps.iter().enumerate().skip(first.at()) {
            let past = step.machine.and_then(|machine| tried.past(machine));
            if let Some(past) = past.filter(|_| !step.notify) {
                past.steps.push(index(at));
            }
        }
    }

    /// Tells the scope around it, and its machines, what it comes to so far.
    fn settle(&mut self, tried: &mut Tried) {
        let outer = self.scopes.last_mut().expect("BUG: the plan's scope is never left");
        outer.open.truncate(tried.outer_open);
        outer.loose.truncate(tried.outer_loose);
        let body = &tried.body;
        if tried.then_continue {
            outer.open.extend(given_up(&body.open));
            outer.loose.extend(given_up(&body.loose));
            outer.loose.extend_from_slice(&tried.handlers.loose);
        } else {
            outer.open.extend_from_slice(&body.open);
            outer.loose.extend_from_slice(&body.loose);
            outer.loose.extend(given_up(&tried.handlers.loose));
        }
        for part in [&tried.handlers, &tried.cleanup] {
            outer.open.extend_from_slice(&part.open);
        }
        outer.loose.extend_from_slice(&tried.cleanup.loose);
        let afters = tried.machines.iter().map(|(machine, past)| (*machine, tried.after(past)));
        let afters: Vec<(u32, Front)> = afters.collect();
        for ((machine, after), past) in
            afters.into_iter().zip(tried.machines.iter_mut().map(|(_, past)| past))
        {
            let front = &mut self.machines[machine as usize].front;
            if let Some(branches) = &mut outer.branches {
                let ends = branches.entry(machine).or_default();
                let beside = (ends.needs.len(), ends.follows.len());
                let (needs, follows) = *past.beside.get_or_insert(beside);
                ends.needs.truncate(needs);
                ends.follows.truncate(follows);
                ends.extend(&after.edges());
                *front = past.before.clone();
            } else {
                *front = after;
            }
            if let Some(touched) = &mut outer.touched {
                touched.entry(machine).or_insert_with(|| past.before.clone());
            }
        }
    }
}
