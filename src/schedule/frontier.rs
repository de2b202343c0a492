//! Which steps may start: counters of what each still waits for, kept up one settled step at a time, by
//! the rules of [`crate::run::settled`].

use crate::plan::graph::{Plan, index};
use crate::plan::settle::{Edge, Over, Passage, Settled, over, passage};
use crate::plan::step::StepIx;
use crate::run::settled::{
    Attempts, Bars, Casualties, Derived, is_doubtful, is_never_entered, outside,
};
use crate::run::state::{RunState, Status};

/// The edge between what has settled and what is to come.
pub(super) struct Frontier {
    /// Dependents of step `i`: `targets[starts[i]..starts[i + 1]]`.
    starts: Vec<u32>,
    targets: Vec<Target>,
    settled: Vec<Option<Settled>>,
    /// Edges into each step whose origin has not settled.
    unmet: Vec<u32>,
    /// Those of them that come from its own machine.
    own_unmet: Vec<u32>,
    /// A machine behind one of its edges failed.
    casualty: Vec<bool>,
    /// It waits for nothing but for somebody to decide over casualties.
    held: Vec<bool>,
    /// It will never begin, and settles like this once its own machine's steps before it have.
    barred: Vec<Option<Settled>>,
    /// How many attempts around it what blocks it lies outside of.
    outside: Vec<u32>,
    attempts: Attempts,
    /// Steps looked at, again and again: what it costs.
    pub(super) visited: u64,
}

#[derive(Clone, Copy)]
struct Target {
    to: StepIx,
    edge: Edge,
    /// Both ends belong to the same machine, or to none.
    own: bool,
}

/// What dependents hear of a step.
#[derive(Clone, Copy)]
enum News {
    Settled(StepIx, Settled),
    Held(StepIx),
}

/// What a step's settling is judged by.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) plan: &'a Plan,
    pub(super) state: &'a RunState,
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
        let nobody = Target { to: StepIx(0), edge: Edge::Needs, own: false };
        let mut targets = vec![nobody; starts[count] as usize];
        let mut fill = starts.clone();
        for (to, step) in plan.iter() {
            for (before, edge) in edges_of(to) {
                let own = plan.step(before).machine == step.machine;
                targets[fill[before.at()] as usize] = Target { to, edge, own };
                fill[before.at()] += 1;
            }
        }
        Frontier {
            starts,
            targets,
            settled: vec![None; count],
            unmet: vec![0; count],
            own_unmet: vec![0; count],
            casualty: vec![false; count],
            held: vec![false; count],
            barred: vec![None; count],
            outside: vec![0; count],
            attempts: Attempts::default(),
            visited: 0,
        }
    }

    /// Starts over from how every step stands; gives the steps that wait for nothing.
    pub(super) fn rebuild(&mut self, on: Ground<'_>, bars: &Bars, derived: Derived) -> Vec<StepIx> {
        self.unmet.fill(0);
        self.own_unmet.fill(0);
        self.casualty.fill(false);
        let Derived { settled, held, outside, attempts } = derived;
        (self.settled, self.held, self.outside, self.attempts) = (settled, held, outside, attempts);
        for (ix, _) in on.plan.iter() {
            let pending = on.state.step(ix).status == Status::Pending;
            self.barred[ix.at()] = bars.bar(on.plan, on.state, ix).filter(|_| pending);
        }
        for at in 0..self.settled.len() {
            for target in self.dependents(at).to_vec() {
                let to = target.to.at();
                match self.settled[at].map(|outcome| passage(target.edge, outcome)) {
                    None => {
                        self.unmet[to] += u32::from(!self.held[at] || target.edge != Edge::Follows);
                        self.own_unmet[to] += u32::from(target.own && !self.held[at]);
                    }
                    Some(Passage::Closed) => {
                        self.barred[to].get_or_insert(Settled::Blocked);
                        self.kept_out(on.plan, index(at), target.to);
                    }
                    Some(Passage::Casualty) => self.casualty[to] = true,
                    Some(Passage::Open) => {}
                }
            }
        }
        (0..self.settled.len()).map(index).filter(|ix| self.is_free(*ix)).collect()
    }

    /// Takes in how a step ended, and all that is blocked by it; `freed` gets the steps that now wait
    /// for nothing.
    pub(super) fn settle(
        &mut self,
        on: Ground<'_>,
        ix: StepIx,
        outcome: Settled,
        freed: &mut Vec<StepIx>,
    ) {
        self.settled[ix.at()] = Some(outcome);
        let mut news = vec![News::Settled(ix, outcome)];
        while let Some(one) = news.pop() {
            match one {
                News::Settled(ix, outcome) => {
                    let begun = on.state.step(ix).is_begun();
                    let outside = self.outside[ix.at()];
                    self.attempts.note(on.plan, ix, outcome, begun, outside);
                    self.tell_settled(on, ix, outcome, &mut news, freed);
                }
                News::Held(ix) => {
                    for at in self.starts[ix.at()]..self.starts[ix.at() + 1] {
                        let Target { to, edge, own } = self.targets[at as usize];
                        self.unmet[to.at()] -= u32::from(edge == Edge::Follows);
                        self.own_unmet[to.at()] -= u32::from(own);
                        if own || edge == Edge::Follows {
                            self.look(on, to, &mut news, freed);
                        }
                    }
                }
            }
        }
    }

    fn tell_settled(
        &mut self,
        on: Ground<'_>,
        ix: StepIx,
        outcome: Settled,
        news: &mut Vec<News>,
        freed: &mut Vec<StepIx>,
    ) {
        let was_held = self.held[ix.at()];
        for at in self.starts[ix.at()]..self.starts[ix.at() + 1] {
            let Target { to, edge, own } = self.targets[at as usize];
            if was_held && edge == Edge::Follows {
                // It was let pass when it began to hold.
                continue;
            }
            match passage(edge, outcome) {
                Passage::Closed if self.settled[to.at()].is_none() => {
                    self.barred[to.at()].get_or_insert(Settled::Blocked);
                    self.kept_out(on.plan, ix, to);
                }
                Passage::Closed => {}
                Passage::Casualty => self.casualty[to.at()] = true,
                Passage::Open => {}
            }
            self.unmet[to.at()] -= 1;
            self.own_unmet[to.at()] -= u32::from(own && !was_held);
            self.look(on, to, news, freed);
        }
    }

    /// What has become of a step now that something before it settled.
    fn look(&mut self, on: Ground<'_>, ix: StepIx, news: &mut Vec<News>, freed: &mut Vec<StepIx>) {
        self.visited += 1;
        let at = ix.at();
        if self.settled[at].is_some() {
            return;
        }
        let mut outcome = self.barred[at].filter(|_| self.own_unmet[at] == 0);
        if outcome.is_none() && self.barred[at].is_none() && self.unmet[at] == 0 && !self.held[at] {
            if let Some(before) = self.never_entered(on, ix) {
                self.kept_out(on.plan, before, ix);
                outcome = Some(Settled::Blocked);
            } else if self.casualty[at] && self.holds(on, ix) {
                self.held[at] = true;
                news.push(News::Held(ix));
            } else {
                freed.push(ix);
            }
        }
        if let Some(outcome) = outcome {
            self.settled[at] = Some(outcome);
            news.push(News::Settled(ix, outcome));
        }
    }

    /// The edge over which a step finds that its machine never took part in what it answers for.
    fn never_entered(&self, on: Ground<'_>, ix: StepIx) -> Option<StepIx> {
        let step = on.plan.step(ix);
        step.follows.iter().copied().find(|before| {
            let doubtful =
                self.settled[before.at()].is_some_and(|how| is_doubtful(Edge::Follows, how));
            doubtful
                && on.plan.step(*before).machine == step.machine
                && is_never_entered(on.plan, &self.attempts, *before, step)
        })
    }

    fn kept_out(&mut self, plan: &Plan, by: StepIx, ix: StepIx) {
        let from = outside(plan, plan.step(ix), by, self.outside[by.at()]);
        self.outside[ix.at()] = self.outside[ix.at()].max(from);
    }

    fn holds(&self, on: Ground<'_>, ix: StepIx) -> bool {
        let step = on.plan.step(ix);
        let casualties = Casualties::of(on.plan, step, |before| self.settled[before.at()]);
        over(step, casualties.count()) == Over::Hold
    }

    /// It will never begin: settled at once, or when its own machine's steps before it are.
    pub(super) fn bar(&mut self, on: Ground<'_>, ix: StepIx, freed: &mut Vec<StepIx>) {
        if self.settled[ix.at()].is_some() {
            return;
        }
        let outcome = *self.barred[ix.at()].get_or_insert(Settled::Blocked);
        if self.own_unmet[ix.at()] == 0 {
            self.settle(on, ix, outcome, freed);
        }
    }

    /// How a step ended, for those that depend on it.
    pub(super) fn settled(&self, ix: StepIx) -> Option<Settled> {
        self.settled[ix.at()]
    }

    /// Where attempts failed so far.
    pub(super) fn attempts(&self) -> &Attempts {
        &self.attempts
    }

    fn is_free(&self, ix: StepIx) -> bool {
        let at = ix.at();
        self.unmet[at] == 0
            && !self.held[at]
            && self.barred[at].is_none()
            && self.settled[at].is_none()
    }

    fn dependents(&self, at: usize) -> &[Target] {
        &self.targets[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// The weight of the longest path from each step to the end, the step included: who goes first. Handlers
/// weigh nothing: when all goes well none has anything to do.
pub(super) fn longest_paths(plan: &Plan, step_s: &[f64]) -> Vec<u64> {
    let weight = |at: usize| {
        let seconds = step_s.get(at).copied().filter(|s| s.is_finite() && *s > 0.0);
        let seconds = seconds.filter(|_| !plan.is_in_handler(&plan.steps[at]));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::scope::Rules;
    use crate::schedule::scoped::Weaver;
    use crate::schedule::trial::Behaviour;

    #[test]
    fn who_has_a_long_handler_before_them_goes_no_earlier() {
        let mut weaver = Weaver::default();
        let works = Some(Behaviour::Works);
        let body = |weaver: &mut Weaver| {
            weaver.act(0, Behaviour::Works);
        };
        weaver.attempt(false, true, Rules::default(), body, [works, None, None], [None; 3]);
        weaver.act(0, Behaviour::Works);
        let paths = longest_paths(&weaver.plan, &[1.0, 100.0, 100.0, 2.0]);
        assert_eq!(paths, [3004, 2003, 2002, 2001]);
    }
}
