//! Scopes: runs of steps that share a guard, a handler, a policy or a name. They nest, and each is one
//! unbroken range of the plan's steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::MachineName;
use crate::plan::expr::Expr;
use crate::plan::graph::Plan;
use crate::plan::step::{Step, StepIx};
use crate::source::Span;

/// A scope's place in [`Plan::scopes`]. Never leaves memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ScopeIx(pub u32);

impl ScopeIx {
    /// The whole plan: always there, always first.
    pub const PLAN: ScopeIx = ScopeIx(0);

    /// For indexing.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// A run of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// What it is.
    pub kind: ScopeKind,
    /// The scope around it; of the plan itself the plan.
    pub parent: ScopeIx,
    /// First step. (Of the plan itself neither end means anything: it holds every step.)
    pub first: StepIx,
    /// One past the last step.
    pub end: StepIx,
    /// What `policy` said in it.
    pub rules: Rules,
}

/// What a scope is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeKind {
    /// The plan.
    Plan,
    /// `group(name, ..)`.
    Group {
        /// Its name.
        name: String,
    },
    /// `parallel(..)`: steps of one machine in it are not ordered among each other.
    Parallel,
    /// `attempt(..)`.
    Attempt {
        /// One failure rolls every machine back (`scope: "all"`), and nothing new of it starts then.
        all: bool,
        /// A machine whose handler succeeded goes on behind the attempt.
        then_continue: bool,
    },
    /// `.on_failure(..)` and the undoing of commands: done where the attempt failed.
    Handler {
        /// The attempt.
        of: ScopeIx,
    },
    /// `.always(..)`: done after success and after failure.
    Always {
        /// The attempt.
        of: ScopeIx,
    },
    /// `when(cond, ..)` and its `.otherwise(..)`.
    When {
        /// The condition.
        cond: Arc<Expr>,
        /// What it must be: `false` for `otherwise`.
        is: bool,
    },
}

/// What `policy` says of a scope, beyond the retries and time limits that its steps carry themselves.
// In alphabetical order, as a saved plan has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Steps of it at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
    /// Steps of it at once whose machines have their home on one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most_per_host: Option<u32>,
    /// Milliseconds after the run began: no step of it begins later (handlers and clean-up still do).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// `on_changed_fact: "drop_machine"`: a machine whose facts changed is left out; else the run refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_changed: Option<bool>,
    /// `on_failure: "halt"`: after a failure nothing new starts in it; handlers and clean-up still do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halt: bool,
    /// No machine is turned off in it after this moment, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_shutdown_after: Option<String>,
    /// No step of it begins before this moment, as written: `Sat 22:00 Europe/Berlin`, or RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
}

/// `acknowledge(code, reason)`: a warning that somebody answered, for one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The warning's code.
    pub code: String,
    /// Why it is accepted; shown in the review.
    pub reason: String,
    /// Where it counts.
    pub scope: ScopeIx,
    /// Where it was written.
    pub at: Span,
}

impl Scope {
    /// The scope of a whole plan.
    pub fn plan() -> Scope {
        Scope {
            kind: ScopeKind::Plan,
            parent: ScopeIx::PLAN,
            first: StepIx(0),
            end: StepIx(0),
            rules: Rules::default(),
        }
    }

    /// Its name, if it is a group.
    pub fn group_name(&self) -> Option<&str> {
        match &self.kind {
            ScopeKind::Group { name } => Some(name),
            _ => None,
        }
    }
}

impl Plan {
    /// One scope.
    pub fn scope(&self, ix: ScopeIx) -> &Scope {
        &self.scopes[ix.at()]
    }

    /// From a scope outwards to the plan.
    pub fn outwards(&self, from: ScopeIx) -> impl Iterator<Item = (ScopeIx, &Scope)> {
        let mut next = Some(from);
        std::iter::from_fn(move || {
            let ix = next?;
            let scope = self.scope(ix);
            next = (ix != ScopeIx::PLAN).then_some(scope.parent);
            Some((ix, scope))
        })
    }

    /// The scopes around a step that decide whether it happens (`when`, handlers), outermost first.
    pub fn guards(&self, step: &Step) -> Vec<(ScopeIx, &Scope)> {
        if step.scope == ScopeIx::PLAN {
            return Vec::new();
        }
        let decides = |scope: &Scope| {
            matches!(scope.kind, ScopeKind::When { .. } | ScopeKind::Handler { .. })
        };
        let mut guards: Vec<_> =
            self.outwards(step.scope).filter(|(_, scope)| decides(scope)).collect();
        guards.reverse();
        guards
    }

    /// The attempts whose body a step of that scope belongs to, innermost first. Handlers and clean-up are
    /// no part of their attempt's body, wherever they stand.
    pub fn attempts_around(&self, from: ScopeIx) -> impl Iterator<Item = (ScopeIx, &Scope)> {
        let mut behind: Vec<ScopeIx> = Vec::new();
        self.outwards(from).filter(move |(ix, scope)| match &scope.kind {
            ScopeKind::Handler { of } | ScopeKind::Always { of } => {
                behind.push(*of);
                false
            }
            ScopeKind::Attempt { .. } => !behind.contains(ix),
            _ => false,
        })
    }

    /// The scopes around a step with those of handlers and clean-up, innermost first, each with whether the
    /// step is exempt there from what stops others: it cleans up after an attempt in that scope.
    pub fn exemptions(&self, from: ScopeIx) -> impl Iterator<Item = (ScopeIx, &Scope, bool)> {
        let mut cleans_up = false;
        self.outwards(from).map(move |(ix, scope)| {
            let exempt = cleans_up;
            cleans_up |= matches!(scope.kind, ScopeKind::Handler { .. } | ScopeKind::Always { .. });
            (ix, scope, exempt)
        })
    }

    /// Whether a step is done only where something failed: it stands in a handler.
    pub fn is_in_handler(&self, step: &Step) -> bool {
        let is_handler =
            |(_, scope): (ScopeIx, &Scope)| matches!(scope.kind, ScopeKind::Handler { .. });
        step.scope != ScopeIx::PLAN && self.outwards(step.scope).any(is_handler)
    }

    /// Whether a step stands in a handler or clean-up that answers for another step: of an attempt around
    /// that one, and for its machine.
    pub fn handles(&self, step: &Step, body: StepIx) -> bool {
        let of_step = self.step(body);
        self.outwards(step.scope).any(|(_, scope)| {
            let (ScopeKind::Handler { of } | ScopeKind::Always { of }) = scope.kind else {
                return false;
            };
            let all = matches!(self.scope(of).kind, ScopeKind::Attempt { all: true, .. });
            let same = step.machine == of_step.machine;
            let touches = all || same || step.machine.is_none() || of_step.machine.is_none();
            touches && self.attempts_around(of_step.scope).any(|(at, _)| at == of)
        })
    }

    /// Whether a scope lies in another, or is it.
    pub fn is_within(&self, inner: ScopeIx, outer: ScopeIx) -> bool {
        outer == ScopeIx::PLAN || self.outwards(inner).any(|(ix, _)| ix == outer)
    }

    /// Machines that are left out rather than hold the run, should their facts change: every step of theirs
    /// says so.
    pub fn droppable(&self) -> BTreeSet<MachineName> {
        let mut all: BTreeMap<&MachineName, bool> = BTreeMap::new();
        for step in &self.steps {
            let Some(machine) = &step.machine else { continue };
            // The innermost scope that says something counts.
            let said = self.outwards(step.scope).find_map(|(_, scope)| scope.rules.drop_changed);
            *all.entry(machine).or_insert(true) &= said == Some(true);
        }
        all.into_iter().filter(|(_, drop)| *drop).map(|(machine, _)| machine.clone()).collect()
    }

    /// Named groups, in the order written.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &Scope)> {
        self.scopes.iter().filter_map(|scope| Some((scope.group_name()?, scope)))
    }
}
