//! What scopes mean for the pass, worked out once per plan: which conditions there are and who asks for
//! them last, which attempts may fail for everybody, which machines a handler starts again.

use foldhash::{HashMap, HashMapExt, HashSet};

use crate::base::MachineName;
use crate::plan::effect::Effect;
use crate::plan::expr::{Expr, Op};
use crate::plan::graph::Plan;
use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Kind, Step, StepIx};

/// A guard: the condition's number, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    pub cond: u32,
    pub is: bool,
}

/// What the pass asks about scopes.
#[derive(Default)]
pub(super) struct Table<'a> {
    /// By scope; `None`: it is no `when`.
    guards: Vec<Option<Guard>>,
    /// The scope in which a machine meets a condition last.
    last_met: HashMap<(&'a MachineName, u32), ScopeIx>,
    /// By attempt: its last step of no machine, which fails for everybody.
    shared: HashMap<ScopeIx, StepIx>,
    /// By attempt: a machine with steps in it, and whether there is another one.
    machines: HashMap<ScopeIx, (&'a MachineName, bool)>,
    /// Machines that a handler or clean-up of an attempt starts.
    restarted: HashSet<(ScopeIx, &'a MachineName)>,
    /// By scope: a failure elsewhere keeps its steps from beginning.
    halting: Vec<bool>,
}

impl<'a> Table<'a> {
    pub fn of(plan: &'a Plan) -> Table<'a> {
        let mut table = Table { guards: guards(plan), ..Table::default() };
        table.halting = plan.scopes.iter().map(|_| false).collect();
        for at in 0..plan.scopes.len() {
            table.halting[at] = halts(plan, at, &table.halting);
        }
        if plan.scopes.len() > 1 {
            plan.iter().for_each(|(ix, step)| table.see(plan, ix, step));
        }
        table
    }

    fn see(&mut self, plan: &'a Plan, at: StepIx, step: &'a Step) {
        if step.scope == ScopeIx::PLAN {
            return;
        }
        for (ix, scope) in plan.outwards(step.scope) {
            match (&scope.kind, &step.machine) {
                (ScopeKind::When { .. }, Some(machine)) => {
                    if let Some(guard) = self.guard(ix) {
                        self.last_met.insert((machine, guard.cond), ix);
                    }
                }
                (ScopeKind::Attempt { .. }, None)
                    if step.kind != Kind::Notify && !step.optional =>
                {
                    self.shared.insert(ix, at);
                }
                (ScopeKind::Attempt { .. }, Some(machine)) => {
                    let known = self.machines.entry(ix).or_insert((machine, false));
                    known.1 |= known.0 != machine;
                }
                (ScopeKind::Handler { of } | ScopeKind::Always { of }, Some(machine)) => {
                    if matches!(step.effect, Effect::Start(_)) {
                        self.restarted.insert((*of, machine));
                    }
                }
                _ => {}
            }
        }
    }

    pub fn guard(&self, scope: ScopeIx) -> Option<Guard> {
        self.guards[scope.at()]
    }

    /// No later step of the machine asks for the condition.
    pub fn is_met_last(&self, machine: &MachineName, cond: u32, scope: ScopeIx) -> bool {
        self.last_met.get(&(machine, cond)) == Some(&scope)
    }

    /// No run enters both scopes: a condition around the one is the opposite of one around the other.
    pub fn exclude(&self, plan: &Plan, one: ScopeIx, other: ScopeIx) -> bool {
        let guards = |of| plan.outwards(of).filter_map(|(ix, _)| self.guard(ix));
        one != ScopeIx::PLAN
            && other != ScopeIx::PLAN
            && guards(one).any(|a| guards(other).any(|b| a.cond == b.cond && a.is != b.is))
    }

    /// The last step of an attempt that fails for every machine.
    pub fn shared(&self, attempt: ScopeIx) -> Option<StepIx> {
        self.shared.get(&attempt).copied()
    }

    /// Another machine has steps in the attempt.
    pub fn is_of_others(&self, attempt: ScopeIx, machine: &MachineName) -> bool {
        self.machines.get(&attempt).is_some_and(|(first, many)| *many || *first != machine)
    }

    /// A step of this scope may be kept from beginning by a failure that it does not depend on.
    pub fn is_halting(&self, scope: ScopeIx) -> bool {
        self.halting[scope.at()]
    }

    /// A failure of this step starts the machine again, in some handler around it.
    pub fn restarts(&self, plan: &Plan, step: &Step, machine: &MachineName) -> bool {
        step.scope != ScopeIx::PLAN
            && plan.outwards(step.scope).any(|(ix, scope)| {
                matches!(scope.kind, ScopeKind::Attempt { .. })
                    && self.restarted.contains(&(ix, machine))
            })
    }
}

/// The same condition has the same number, with its `!` taken off.
fn guards<'a>(plan: &'a Plan) -> Vec<Option<Guard>> {
    let mut numbers: HashMap<&'a Expr, u32> = HashMap::new();
    let mut number = |scope: &'a Scope| -> Option<Guard> {
        let ScopeKind::When { cond, is } = &scope.kind else { return None };
        let (mut cond, mut is): (&'a Expr, bool) = (cond, *is);
        while let Expr::Apply { op: Op::Not, args } = cond {
            cond = args.first()?;
            is = !is;
        }
        let next = u32::try_from(numbers.len()).ok()?;
        Some(Guard { cond: *numbers.entry(cond).or_insert(next), is })
    };
    plan.scopes.iter().map(&mut number).collect()
}

/// Handlers and clean-up go on where the rest of a scope is halted.
fn halts(plan: &Plan, at: usize, outer: &[bool]) -> bool {
    let scope = &plan.scopes[at];
    let own = scope.rules.halt || matches!(scope.kind, ScopeKind::Attempt { all: true, .. });
    let exempt = matches!(scope.kind, ScopeKind::Handler { .. } | ScopeKind::Always { .. });
    own || (!exempt && at > 0 && outer[scope.parent.at()])
}
