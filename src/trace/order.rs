//! Order: who waits for whom. Pure; knows neither scripts nor primitives.
//!
//! Three sentences. Steps on the same machine run in the order written. Steps on different machines run
//! in parallel. A step that names no machine is a barrier in its scope. Edges are kept sparse: one to
//! the machine's last step, one to the barrier in force unless that is reached anyway, and into a
//! barrier only from steps that nothing else waits for. A property test holds this against the naive
//! reading.

use crate::plan::graph::index;
use crate::plan::step::StepIx;

/// How a step takes part in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Joins a machine's chain.
    Chain,
    /// Waits for everything before it in its scope, and holds back everything after it.
    Barrier,
    /// Waits for the steps it lists only, and holds back everything after it in its scope.
    Listed,
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
}

/// The order so far.
#[derive(Debug)]
pub struct Order {
    /// The last step of each machine's chain.
    last: Vec<Option<StepIx>>,
    /// Open scopes, outermost first; the first is the plan.
    scopes: Vec<Scope>,
    steps: Vec<Placed>,
}

#[derive(Debug, Default)]
struct Scope {
    barrier: Option<StepIx>,
    /// Steps of this scope that a barrier would have to wait for; those held since are skipped.
    open: Vec<StepIx>,
}

#[derive(Debug)]
struct Placed {
    machine: Option<u32>,
    notify: bool,
    /// A later step that is no notification waits for it.
    held: bool,
}

impl Order {
    /// Nothing written yet.
    pub fn new(machines: usize) -> Order {
        Order { last: vec![None; machines], scopes: vec![Scope::default()], steps: Vec::new() }
    }

    /// The last step written on a machine.
    pub fn last_of(&self, machine: u32) -> Option<StepIx> {
        self.last[machine as usize]
    }

    /// Places the next step.
    pub fn place(&mut self, asked: &Asked<'_>) -> Edges {
        let at = index(self.steps.len());
        let mut edges = self.edges(asked);
        tidy(&mut edges.needs);
        tidy(&mut edges.waits);
        edges.waits.retain(|ix| edges.needs.binary_search(ix).is_err());
        let notify = asked.role == Role::Notify;
        self.steps.push(Placed { machine: asked.machine, notify, held: false });
        if notify {
            return edges;
        }
        for before in edges.needs.iter().chain(&edges.waits) {
            self.steps[before.at()].held = true;
        }
        if let Some(machine) = asked.machine {
            self.last[machine as usize] = Some(at);
        }
        let scope = self.scopes.last_mut().expect("BUG: the plan's scope stays open");
        match asked.role {
            Role::Barrier => *scope = Scope { barrier: Some(at), open: vec![at] },
            Role::Listed => {
                scope.barrier = Some(at);
                scope.open.push(at);
            }
            Role::Chain | Role::Notify => scope.open.push(at),
        }
        edges
    }

    fn edges(&self, asked: &Asked<'_>) -> Edges {
        let mut edges = Edges::default();
        let barrier = self.scopes.iter().rev().find_map(|scope| scope.barrier);
        if let Some(machine) = asked.machine {
            edges.needs.extend(self.last[machine as usize]);
        }
        if asked.role == Role::Listed {
            edges.waits.extend_from_slice(asked.handles);
        } else {
            let on_chain = |ix: &StepIx| {
                let step = &self.steps[ix.at()];
                asked.machine.is_some() && step.machine == asked.machine && !step.notify
            };
            // The machine's last step reaches every earlier one of its chain.
            edges.needs.extend(asked.handles.iter().filter(|ix| !on_chain(ix)));
        }
        if asked.role == Role::Barrier || (asked.role == Role::Notify && asked.machine.is_none()) {
            edges.waits.extend(self.open());
        }
        // The barrier in force belongs to an open scope: whatever was written since, needs it already.
        if let Some(barrier) = barrier
            && !edges.needs.iter().any(|ix| *ix >= barrier)
        {
            edges.needs.push(barrier);
        }
        edges
    }

    fn open(&self) -> impl Iterator<Item = StepIx> {
        let scope = self.scopes.last().expect("BUG: the plan's scope stays open");
        scope.open.iter().copied().filter(|ix| !self.steps[ix.at()].held)
    }

    /// `before` was added to what `step` needs.
    pub fn after(&mut self, step: StepIx, before: StepIx) {
        if !self.steps[step.at()].notify {
            self.steps[before.at()].held = true;
        }
    }

    /// Opens a scope.
    pub fn enter(&mut self) {
        self.scopes.push(Scope::default());
    }

    /// Closes a scope; the steps in it that nothing in it waits for: after these, all of it is done.
    pub fn leave(&mut self) -> Vec<StepIx> {
        let ends: Vec<StepIx> = self.open().collect();
        self.scopes.pop();
        let outer = self.scopes.last_mut().expect("BUG: the plan's scope is never left");
        outer.open.extend_from_slice(&ends);
        ends
    }
}

fn tidy(edges: &mut Vec<StepIx>) {
    edges.sort_unstable();
    edges.dedup();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a script could write.
    #[derive(Clone, Debug)]
    enum Line {
        On(u32),
        NotifyOn(u32),
        With(u32, prop::sample::Index),
        Barrier,
        Listed(prop::sample::Index),
        Notify,
        After(prop::sample::Index),
        Enter,
        Leave,
    }

    fn line() -> impl Strategy<Value = Line> {
        let any = any::<prop::sample::Index>;
        prop_oneof![
            6 => (0..3u32).prop_map(Line::On),
            1 => (0..3u32).prop_map(Line::NotifyOn),
            2 => ((0..3u32), any()).prop_map(|(m, i)| Line::With(m, i)),
            2 => Just(Line::Barrier),
            1 => any().prop_map(Line::Listed),
            1 => Just(Line::Notify),
            2 => any().prop_map(Line::After),
            2 => Just(Line::Enter),
            2 => Just(Line::Leave),
        ]
    }

    struct Written {
        machine: Option<u32>,
        role: Role,
        scope: Vec<usize>,
        handles: Vec<usize>,
    }

    type Matrix = Vec<Vec<bool>>;

    /// Every pair that the three sentences order; (needs, needs or waits), closed.
    fn naive(steps: &[Written], after: &[(usize, usize)]) -> (Matrix, Matrix) {
        let mut needs = vec![vec![false; steps.len()]; steps.len()];
        let mut all = needs.clone();
        for (j, step) in steps.iter().enumerate() {
            for (i, before) in steps[..j].iter().enumerate() {
                let notify = before.role == Role::Notify;
                let same = step.machine.is_some() && step.machine == before.machine;
                let barrier = matches!(before.role, Role::Barrier | Role::Listed)
                    && step.scope.starts_with(&before.scope);
                let handle = step.handles.contains(&i);
                let data = handle && step.role != Role::Listed;
                needs[j][i] = (same && !notify) || barrier || data || after.contains(&(j, i));
                let gathers = step.role == Role::Barrier
                    || (step.role == Role::Notify && step.machine.is_none());
                let gathered = gathers && !notify && before.scope.starts_with(&step.scope);
                all[j][i] = needs[j][i] || gathered || handle;
            }
        }
        (closed(needs), closed(all))
    }

    fn closed(mut edges: Matrix) -> Matrix {
        for j in 0..edges.len() {
            for i in (0..j).rev() {
                if edges[j][i] {
                    let (earlier, later) = edges.split_at_mut(j);
                    for (k, reached) in earlier[i].iter().enumerate() {
                        later[0][k] |= *reached;
                    }
                }
            }
        }
        edges
    }

    fn matrix<'a>(steps: usize, edges: impl Iterator<Item = (usize, &'a StepIx)>) -> Matrix {
        let mut matrix = vec![vec![false; steps]; steps];
        edges.for_each(|(j, i)| matrix[j][i.at()] = true);
        closed(matrix)
    }

    proptest! {
        #[test]
        fn sparse_edges_mean_what_the_three_sentences_say(lines in prop::collection::vec(line(), 0..40)) {
            let mut order = Order::new(3);
            let (mut steps, mut edges, mut after) = (Vec::<Written>::new(), Vec::<Edges>::new(), Vec::new());
            let (mut scope, mut scopes) = (vec![0], 0);
            for line in lines {
                let pick = |i: prop::sample::Index| if steps.is_empty() { vec![] } else { vec![i.index(steps.len())] };
                let (machine, role, handles) = match line {
                    Line::On(m) => (Some(m), Role::Chain, vec![]),
                    Line::NotifyOn(m) => (Some(m), Role::Notify, vec![]),
                    Line::With(m, i) => (Some(m), Role::Chain, pick(i)),
                    Line::Barrier => (None, Role::Barrier, vec![]),
                    Line::Listed(i) => (None, Role::Listed, pick(i)),
                    Line::Notify => (None, Role::Notify, vec![]),
                    Line::After(i) => {
                        if steps.len() > 1 {
                            let (step, before) = (steps.len() - 1, i.index(steps.len() - 1));
                            order.after(index(step), index(before));
                            edges[step].needs.push(index(before));
                            after.push((step, before));
                        }
                        continue;
                    }
                    Line::Enter => {
                        scopes += 1;
                        scope.push(scopes);
                        order.enter();
                        continue;
                    }
                    Line::Leave => {
                        if scope.len() > 1 {
                            scope.pop();
                            order.leave();
                        }
                        continue;
                    }
                };
                let given: Vec<StepIx> = handles.iter().map(|i| index(*i)).collect();
                edges.push(order.place(&Asked { machine, role, handles: &given }));
                steps.push(Written { machine, role, scope: scope.clone(), handles });
            }
            let (needs, all) = naive(&steps, &after);
            let each = || edges.iter().enumerate();
            let sparse = matrix(steps.len(), each().flat_map(|(j, e)| e.needs.iter().map(move |i| (j, i))));
            prop_assert_eq!(sparse, needs, "needs");
            let sparse = matrix(
                steps.len(),
                each().flat_map(|(j, e)| e.needs.iter().chain(&e.waits).map(move |i| (j, i))),
            );
            prop_assert_eq!(sparse, all, "all");
        }
    }

    fn on(machine: u32) -> Asked<'static> {
        Asked { machine: Some(machine), role: Role::Chain, handles: &[] }
    }

    const BARRIER: Asked<'static> = Asked { machine: None, role: Role::Barrier, handles: &[] };

    #[test]
    fn a_barrier_is_one_node() {
        let mut order = Order::new(100);
        let mut edges = 0;
        for _ in 0..2 {
            for machine in 0..100 {
                let placed = order.place(&on(machine));
                edges += placed.needs.len() + placed.waits.len();
            }
        }
        let gate = order.place(&BARRIER);
        assert_eq!((gate.needs.len(), gate.waits.len(), edges), (0, 100, 100));
        let after = order.place(&on(7));
        assert_eq!(after.needs, [index(107), index(200)]);
        assert_eq!(order.place(&on(7)).needs, [index(201)], "the gate is reached already");
    }

    #[test]
    fn a_barrier_in_a_group_holds_only_the_group() {
        let mut order = Order::new(2);
        order.place(&on(0));
        order.enter();
        order.place(&on(1));
        let inner = order.place(&BARRIER);
        assert_eq!(inner.waits, [index(1)]);
        assert_eq!(order.leave(), [index(2)]);
        assert_eq!(order.place(&on(0)).needs, [index(0)]);
        assert_eq!(order.place(&BARRIER).waits, [index(2), index(3)]);
    }
}
