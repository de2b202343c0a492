//! Which steps may start: counters of what each still waits for, kept up one settled step at a time.

use crate::plan::graph::{Plan, index};
use crate::plan::settle::{Edge, Passage, Settled, passage};
use crate::plan::step::StepIx;

/// The edge between what has settled and what is to come.
pub(super) struct Frontier {
    /// Dependents of step `i`: `targets[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    targets: Vec<(StepIx, Edge)>,
    settled: Vec<Option<Settled>>,
    /// Edges into each step whose origin has not settled.
    unmet: Vec<u32>,
    /// A machine behind one of its edges failed: it holds until somebody decides.
    held: Vec<bool>,
}

impl Frontier {
    /// Of a plan in which nothing has settled.
    pub(super) fn new(plan: &Plan) -> Frontier {
        let count = plan.steps.len();
        let mut starts = vec![0_u32; count + 1];
        let edges_of = |ix: StepIx| plan.step(ix).edges();
        for (ix, _) in plan.iter() {
            edges_of(ix).for_each(|(before, _)| starts[before.at() + 1] += 1);
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut targets = vec![(StepIx(0), Edge::Needs); starts[count] as usize];
        let mut fill = starts.clone();
        for (ix, _) in plan.iter() {
            for (before, edge) in edges_of(ix) {
                targets[fill[before.at()] as usize] = (ix, edge);
                fill[before.at()] += 1;
            }
        }
        let settled = vec![None; count];
        Frontier { starts, targets, settled, unmet: vec![0; count], held: vec![false; count] }
    }

    /// Starts over from how every step stands; gives the steps that wait for nothing.
    pub(super) fn rebuild(&mut self, settled: Vec<Option<Settled>>) -> Vec<StepIx> {
        self.unmet.fill(0);
        self.held.fill(false);
        for (at, outcome) in settled.iter().enumerate() {
            for (to, edge) in self.dependents(at).to_vec() {
                match outcome.map(|outcome| passage(edge, outcome)) {
                    // A closed edge never opens: its dependent is settled as blocked.
                    None | Some(Passage::Closed) => self.unmet[to.at()] += 1,
                    Some(Passage::Casualty) => self.held[to.at()] = true,
                    Some(Passage::Open) => {}
                }
            }
        }
        self.settled = settled;
        (0..self.settled.len()).map(index).filter(|ix| self.is_free(*ix)).collect()
    }

    /// Takes in how a step ended, and all that is blocked by it; `freed` gets the steps that now wait
    /// for nothing.
    pub(super) fn settle(&mut self, ix: StepIx, outcome: Settled, freed: &mut Vec<StepIx>) {
        let mut news = vec![(ix, outcome)];
        while let Some((ix, outcome)) = news.pop() {
            self.settled[ix.at()] = Some(outcome);
            for at in self.starts[ix.at()]..self.starts[ix.at() + 1] {
                let (to, edge) = self.targets[at as usize];
                match passage(edge, outcome) {
                    Passage::Closed => {
                        if self.settled[to.at()].is_none() {
                            news.push((to, Settled::Blocked));
                            self.settled[to.at()] = Some(Settled::Blocked);
                        }
                        continue;
                    }
                    Passage::Casualty => self.held[to.at()] = true,
                    Passage::Open => {}
                }
                self.unmet[to.at()] -= 1;
                if self.is_free(to) {
                    freed.push(to);
                }
            }
        }
    }

    /// How a step ended, for those that depend on it.
    pub(super) fn settled(&self, ix: StepIx) -> Option<Settled> {
        self.settled[ix.at()]
    }

    fn is_free(&self, ix: StepIx) -> bool {
        let at = ix.at();
        self.unmet[at] == 0 && !self.held[at] && self.settled[at].is_none()
    }

    fn dependents(&self, at: usize) -> &[(StepIx, Edge)] {
        &self.targets[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// The weight of the longest path from each step to the end, the step included: who goes first.
pub(super) fn longest_paths(plan: &Plan, step_s: &[f64]) -> Vec<u64> {
    let weight = |at: usize| {
        let seconds = step_s.get(at).copied().filter(|s| s.is_finite() && *s > 0.0);
        // A step without an estimate still counts as one more on the path.
        (seconds.unwrap_or(0.0) * 1000.0) as u64 + 1
    };
    let mut after = vec![0_u64; plan.steps.len()];
    for (ix, step) in plan.iter().rev() {
        after[ix.at()] = after[ix.at()].saturating_add(weight(ix.at()));
        let own = after[ix.at()];
        for (before, _) in step.edges() {
            after[before.at()] = after[before.at()].max(own);
        }
    }
    after
}
