//! The order of steps, against a naive reading of the same script.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

type Pick = prop::sample::Index;

/// What a script could write.
#[derive(Clone, Debug)]
enum Line {
    On(u32),
    NotifyOn(u32),
    With(u32, Pick),
    Barrier,
    Listed(Pick),
    Apart(Pick),
    Notify,
    After(Pick),
    Group,
    Parallel,
    When(Pick, Pick),
    Attempt,
    Handler,
    Cleanup,
    ThenContinue,
    Leave,
}

fn line() -> impl Strategy<Value = Line> {
    let any = any::<Pick>;
    prop_oneof![
        8 => (0..3u32).prop_map(Line::On),
        1 => (0..3u32).prop_map(Line::NotifyOn),
        2 => ((0..3u32), any()).prop_map(|(m, i)| Line::With(m, i)),
        2 => Just(Line::Barrier),
        1 => any().prop_map(Line::Listed),
        1 => any().prop_map(Line::Apart),
        1 => Just(Line::Notify),
        2 => any().prop_map(Line::After),
        1 => Just(Line::Group),
        1 => Just(Line::Parallel),
        1 => (any(), any()).prop_map(|(a, b)| Line::When(a, b)),
        2 => Just(Line::Attempt),
        4 => Just(Line::Handler),
        3 => Just(Line::Cleanup),
        3 => Just(Line::ThenContinue),
        5 => Just(Line::Leave),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum In {
    Plain,
    Parallel,
    Body(usize),
    Handler(usize),
    Cleanup(usize),
    When(Edges),
}

/// Scopes have numbers, so that two of a kind are two.
type Path = Vec<(usize, In)>;

struct Written {
    machine: Option<u32>,
    role: Role,
    path: Path,
    handles: Vec<usize>,
}

type Matrix = Vec<Vec<bool>>;

/// How one step comes after another, read literally.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Comes {
    Anyhow,
    Follows,
    Needs,
}

/// A script so far, and what was made of it.
#[derive(Default)]
struct Script {
    steps: Vec<Written>,
    edges: Vec<Edges>,
    after: Vec<(usize, usize)>,
    path: Path,
    scopes: usize,
    attempts: usize,
    continued: BTreeSet<usize>,
    /// What may be added to the attempt that was closed last: handlers until its clean-up.
    pending: Option<(usize, Tried, bool)>,
    /// The attempts whose handlers and clean-ups are open.
    parts: Vec<(usize, Tried, bool)>,
}

impl Script {
    fn enter(&mut self, kind: In) {
        self.scopes += 1;
        self.path.push((self.scopes, kind));
    }

    fn picked(&self, pick: Pick) -> Vec<usize> {
        if self.steps.is_empty() { vec![] } else { vec![pick.index(self.steps.len())] }
    }

    fn place(&mut self, order: &mut Order, machine: Option<u32>, role: Role, handles: Vec<usize>) {
        let given: Vec<StepIx> = handles.iter().map(|i| index(*i)).collect();
        self.edges.push(order.place(&Asked { machine, role, handles: &given }));
        self.steps.push(Written { machine, role, path: self.path.clone(), handles });
        self.pending = None;
    }

    fn write(&mut self, order: &mut Order, line: &Line) {
        match line.clone() {
            Line::On(m) => self.place(order, Some(m), Role::Chain, vec![]),
            Line::NotifyOn(m) => self.place(order, Some(m), Role::Notify, vec![]),
            Line::With(m, i) => self.place(order, Some(m), Role::Chain, self.picked(i)),
            Line::Barrier => self.place(order, None, Role::Barrier, vec![]),
            Line::Listed(i) => self.place(order, None, Role::Listed, self.picked(i)),
            Line::Apart(i) => self.place(order, None, Role::Apart, self.picked(i)),
            Line::Notify => self.place(order, None, Role::Notify, vec![]),
            Line::After(i) if self.steps.len() > 1 => {
                let (step, before) = (self.steps.len() - 1, i.index(self.steps.len() - 1));
                order.after(index(step), index(before));
                self.edges[step].needs.push(index(before));
                self.after.push((step, before));
            }
            Line::After(_) => {}
            Line::Group => {
                self.pending = None;
                self.enter(In::Plain);
                order.enter(Opens::Plain);
            }
            Line::Parallel => {
                self.pending = None;
                self.enter(In::Parallel);
                order.enter(Opens::Parallel);
            }
            Line::When(a, b) => {
                self.pending = None;
                let of = |pick| self.picked(pick).into_iter().map(index).collect();
                let entry = Edges { needs: of(a), follows: of(b), waits: vec![] };
                self.enter(In::When(entry.clone()));
                order.enter(Opens::Guarded(entry));
            }
            Line::Attempt => {
                self.pending = None;
                self.attempts += 1;
                self.enter(In::Body(self.attempts));
                order.enter(Opens::Body);
            }
            Line::Handler => {
                if let Some((of, tried, true)) = self.pending.take() {
                    self.enter(In::Handler(of));
                    order.enter_handler(&tried);
                    self.parts.push((of, tried, true));
                }
            }
            Line::Cleanup => {
                if let Some((of, tried, true)) = self.pending.take() {
                    self.enter(In::Cleanup(of));
                    order.enter_cleanup(&tried);
                    self.parts.push((of, tried, false));
                }
            }
            Line::ThenContinue => {
                if let Some((of, tried, _)) = &mut self.pending {
                    self.continued.insert(*of);
                    order.continue_after(tried);
                }
            }
            Line::Leave => self.leave(order),
        }
    }

    fn leave(&mut self, order: &mut Order) {
        self.pending = None;
        let part = |parts: &mut Vec<_>| parts.pop().expect("a part is open");
        match self.path.pop() {
            None => {}
            Some((_, In::Body(of))) => self.pending = Some((of, order.leave_body(), true)),
            Some((_, In::Handler(_))) => {
                let (of, mut tried, more) = part(&mut self.parts);
                order.leave_handler(&mut tried);
                self.pending = Some((of, tried, more));
            }
            Some((_, In::Cleanup(_))) => {
                let (of, mut tried, more) = part(&mut self.parts);
                order.leave_cleanup(&mut tried);
                self.pending = Some((of, tried, more));
            }
            Some(_) => {
                order.leave();
            }
        }
    }

    /// What has to have become of a step, for those behind the scopes that it stands in.
    fn outlook(&self, inner: &[(usize, In)]) -> Comes {
        let weak = |kind: &In| match kind {
            In::Body(of) => self.continued.contains(of),
            In::Handler(of) => !self.continued.contains(of),
            _ => false,
        };
        let weak = inner.iter().any(|(_, kind)| weak(kind));
        if weak { Comes::Follows } else { Comes::Needs }
    }

    fn touches(&self, attempt: usize, machine: u32) -> bool {
        self.steps.iter().any(|step| {
            step.machine == Some(machine)
                && step.role != Role::Notify
                && step.path.iter().any(|(_, kind)| {
                    [In::Body(attempt), In::Handler(attempt), In::Cleanup(attempt)].contains(kind)
                })
        })
    }

    /// How step `j` comes after step `i` by the words of the language.
    fn comes(&self, j: usize, i: usize) -> Comes {
        let (step, before) = (&self.steps[j], &self.steps[i]);
        let notify = before.role == Role::Notify;
        let common = step.path.iter().zip(&before.path).take_while(|(a, b)| a == b).count();
        let (here, there) = (&step.path[common..], &before.path[common..]);
        let parallel = common > 0 && step.path[common - 1].1 == In::Parallel;
        let same = step.machine.is_some() && step.machine == before.machine;
        let mut comes = Comes::Anyhow;
        let mut at_least = |what: Comes| {
            if what > comes {
                comes = what;
            }
        };
        let holds = matches!(before.role, Role::Barrier | Role::Listed);
        if holds && there.is_empty() || self.after.contains(&(j, i)) {
            at_least(Comes::Needs);
        }
        if step.handles.contains(&i) {
            let cleanup = step.path.iter().rfind(|(_, kind)| matches!(kind, In::Cleanup(_)));
            let cleans = cleanup.is_some_and(|scope| !before.path.contains(scope));
            let follows = cleans || step.role == Role::Listed;
            at_least(if follows { Comes::Follows } else { Comes::Needs });
        }
        let gathers =
            step.role == Role::Barrier || (step.role == Role::Notify && step.machine.is_none());
        if gathers && !notify && here.is_empty() {
            at_least(Comes::Follows);
        }
        for (_, kind) in &step.path {
            if let In::When(entry) = kind {
                if entry.needs.contains(&index(i)) {
                    at_least(Comes::Needs);
                }
                if entry.follows.contains(&index(i)) {
                    at_least(Comes::Follows);
                }
            }
        }
        let of = |path: &[(usize, In)]| match path.first() {
            Some((_, In::Body(of) | In::Handler(of) | In::Cleanup(of))) => Some(*of),
            _ => None,
        };
        if notify {
            return comes;
        }
        if of(here).is_some() && of(here) == of(there) {
            if same || step.machine.is_none() || before.machine.is_none() {
                at_least(Comes::Follows);
            }
            return comes;
        }
        if same && !parallel {
            let cleans = here.iter().any(|(_, kind)| matches!(kind, In::Cleanup(_)));
            at_least(if cleans { Comes::Follows } else { self.outlook(there) });
        }
        if let (Some(machine), None, false) = (step.machine, before.machine, parallel) {
            for at in 0..there.len() {
                if of(&there[at..]).is_some_and(|of| self.touches(of, machine)) {
                    let cleans = here.iter().any(|(_, kind)| matches!(kind, In::Cleanup(_)));
                    at_least(if cleans { Comes::Follows } else { self.outlook(there) });
                }
            }
        }
        comes
    }

    /// Every pair that the words order; (needs, any edge), closed.
    fn naive(&self) -> (Matrix, Matrix) {
        let mut needs = vec![vec![false; self.steps.len()]; self.steps.len()];
        let mut all = needs.clone();
        for j in 0..self.steps.len() {
            for i in 0..j {
                let comes = self.comes(j, i);
                needs[j][i] = comes == Comes::Needs;
                all[j][i] = comes >= Comes::Follows;
            }
        }
        (closed(needs), closed(all))
    }
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

fn pairs(matrix: &Matrix) -> Vec<(usize, usize)> {
    let row = |(j, row): (usize, &Vec<bool>)| {
        row.iter().enumerate().filter(|(_, is)| **is).map(move |(i, _)| (j, i)).collect::<Vec<_>>()
    };
    matrix.iter().enumerate().flat_map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn sparse_edges_mean_what_the_words_say(lines in prop::collection::vec(line(), 0..40)) {
        let mut order = Order::new(3);
        let mut script = Script::default();
        for line in lines {
            script.write(&mut order, &line);
        }
        let (needs, all) = script.naive();
        let (steps, each) = (script.steps.len(), || script.edges.iter().enumerate());
        let sparse = matrix(steps, each().flat_map(|(j, e)| e.needs.iter().map(move |i| (j, i))));
        prop_assert_eq!(pairs(&sparse), pairs(&needs), "needs");
        let any = |e: &'_ Edges| e.needs.iter().chain(&e.waits).chain(&e.follows).copied().collect::<Vec<_>>();
        let any: Vec<Vec<StepIx>> = script.edges.iter().map(any).collect();
        let sparse = matrix(steps, any.iter().enumerate().flat_map(|(j, e)| e.iter().map(move |i| (j, i))));
        prop_assert_eq!(pairs(&sparse), pairs(&all), "all");
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
    order.enter(Opens::Plain);
    order.place(&on(1));
    let inner = order.place(&BARRIER);
    assert_eq!(inner.waits, [index(1)]);
    assert_eq!(order.leave(), [index(2)]);
    assert_eq!(order.place(&on(0)).needs, [index(0)]);
    assert_eq!(order.place(&BARRIER).waits, [index(2), index(3)]);
}
