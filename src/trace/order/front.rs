//! Where the chain of a machine stands: what its next step has to wait for.

use std::rc::Rc;

use crate::plan::step::StepIx;
use crate::trace::order::{Edges, tidy};

/// What the next step of a machine waits for. Nearly always one step.
#[derive(Clone, Debug, Default)]
pub(super) struct Front {
    /// The last step, when that is all.
    last: Option<StepIx>,
    /// From here to `last` each step of the machine needs the one before.
    since: Option<StepIx>,
    /// Instead of `last`: behind attempts and parallel steps.
    wide: Option<Rc<Edges>>,
}

impl Front {
    /// Several steps, or steps that need not succeed.
    pub(super) fn wide(mut edges: Edges) -> Front {
        edges.tidy();
        Front { last: None, since: None, wide: Some(Rc::new(edges)) }
    }

    /// Adds what the next step waits for. What was written before `lenient` need not have succeeded.
    pub(super) fn add_to(&self, edges: &mut Edges, lenient: Option<StepIx>) {
        let needed = |ix: &StepIx| lenient.is_none_or(|from| *ix >= from);
        match &self.wide {
            None => match self.last {
                Some(last) if needed(&last) => edges.needs.push(last),
                Some(last) => edges.follows.push(last),
                None => {}
            },
            Some(wide) => {
                for ix in &wide.needs {
                    if needed(ix) { &mut edges.needs } else { &mut edges.follows }.push(*ix);
                }
                edges.follows.extend_from_slice(&wide.follows);
            }
        }
    }

    /// What the next step needs, and what it only follows.
    pub(super) fn edges(&self) -> Edges {
        let mut edges = Edges::default();
        self.add_to(&mut edges, None);
        edges
    }

    /// The steps that the next one needs.
    pub(super) fn needs(&self) -> Vec<StepIx> {
        let mut needs = self.edges().needs;
        tidy(&mut needs);
        needs
    }

    /// Whether whoever needs what this asks for needs `ix`, a step of the same machine, already.
    pub(super) fn reaches(&self, ix: StepIx, lenient: Option<StepIx>) -> bool {
        let (Some(last), Some(since)) = (self.last, self.since) else { return false };
        since <= ix && ix <= last && lenient.is_none_or(|from| last >= from)
    }

    /// Behind the step `at`. `newest` is the machine's newest step before it.
    pub(super) fn next(
        &self,
        at: StepIx,
        newest: Option<StepIx>,
        lenient: Option<StepIx>,
    ) -> Front {
        // Steps that this front does not know of (parallel ones, a body that is followed) break the line.
        let goes_on = newest.is_some_and(|newest| self.reaches(newest, lenient));
        let since = if goes_on { self.since } else { Some(at) };
        Front { last: Some(at), since, wide: None }
    }
}
