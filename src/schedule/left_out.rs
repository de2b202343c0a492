//! Machines that are taken out of a run, by a person or by the plan's policy, and undoing that is not needed.

use std::sync::Arc;

use crate::base::Json;
use crate::plan::scope::{Rules, ScopeKind};
use crate::plan::step::StepIx;
use crate::run::command::Command;
use crate::run::event::EventBody;
use crate::run::outcome::Outcome;
use crate::run::state::Status;
use crate::schedule::scoped::{MACHINES, Weaver, machine};
use crate::schedule::trial::{Behaviour, Trial};

const WORKS: Behaviour = Behaviour::Works;
const BROKEN: Behaviour = Behaviour::Broken;

fn trial(weaver: &Weaver, seed: u64) -> Trial {
    let mut trial = Trial::new(Arc::new(weaver.plan.clone()), seed);
    trial.behaviours.clone_from(&weaver.behaviours);
    trial
}

fn exclude(m: usize) -> Command {
    Command::Exclude { machine: machine(m), reason: "its disk is broken".into() }
}

/// A step of each of these machines.
fn each(weaver: &mut Weaver, machines: std::ops::Range<usize>) {
    for m in machines {
        weaver.act(m, WORKS);
    }
}

/// A step of each machine, a barrier, a step of each: 0, 1, 2 | 3 | 4, 5, 6.
fn waves(first: Behaviour, barrier: Json) -> Weaver {
    let mut weaver = Weaver::default();
    weaver.act(0, first);
    each(&mut weaver, 1..MACHINES);
    weaver.barrier(barrier);
    each(&mut weaver, 0..MACHINES);
    weaver
}

#[test]
fn a_barrier_holds_until_the_machine_that_failed_is_taken_out() {
    use Status::{Failed, Pending, Succeeded};
    let mut trial = trial(&waves(BROKEN, serde_json::json!({})), 1);
    assert_eq!(trial.process(None), Some(Outcome::Failed));
    assert_eq!(trial.statuses()[3..], [Pending; 4]);
    assert_eq!(trial.resume(None), Some(Outcome::Failed), "nobody has decided");
    trial.waiting.push(exclude(0));
    assert_eq!(trial.resume(None), Some(Outcome::SucceededWithExceptions));
    let statuses = [Failed, Succeeded, Succeeded, Succeeded, Pending, Succeeded, Succeeded];
    assert_eq!(trial.statuses(), statuses);
}

#[test]
fn who_is_taken_out_at_any_moment_begins_nothing_more_and_holds_nobody_up() {
    for (at, seed) in (2..24).flat_map(|at| (0..8).map(move |seed| (at, seed))) {
        let mut weaver = Weaver::default();
        let body = |weaver: &mut Weaver| {
            for m in 0..MACHINES {
                weaver.act(m, WORKS);
                weaver.act(m, WORKS);
            }
        };
        let handled = [Some(WORKS); MACHINES];
        weaver.attempt(false, false, Rules::default(), body, handled, handled);
        weaver.barrier(serde_json::json!({}));
        each(&mut weaver, 0..MACHINES);
        let mut trial = trial(&weaver, seed);
        trial.commands.insert(at, exclude(0));
        let outcome = trial.process(None).unwrap();
        let is_out = |body: &EventBody| matches!(body, EventBody::MachineExcluded { .. });
        let out = trial.events.iter().position(|event| is_out(&event.body));
        let state = trial.state();
        let later = trial.events.iter().skip(out.unwrap_or(trial.events.len()));
        // One attempt may be on its way into the journal already.
        let begun = later.filter(|event| {
            let of = event.body.step().and_then(|step| state.place(step));
            let own = of.is_some_and(|of| trial.plan.step(of).machine == Some(machine(0)));
            own && matches!(event.body, EventBody::AttemptStarted { .. })
        });
        assert_eq!(begun.count(), 0, "taken out after {at} records");
        let others = trial.plan.iter().filter(|(_, step)| step.machine != Some(machine(0)));
        for (ix, step) in others {
            let over = matches!(state.step(ix).status, Status::Succeeded | Status::Skipped);
            assert!(over, "{}, when {at} records are there", step.id);
        }
        assert_eq!(outcome == Outcome::SucceededWithExceptions, out.is_some(), "at {at}");
    }
}

#[test]
fn whose_facts_changed_is_left_out_where_the_plan_says_so() {
    let weaver = waves(WORKS, serde_json::json!({}));
    let mut trial = trial(&weaver, 3);
    trial.drop = [(machine(0), "its replica changed".to_owned())].into();
    assert_eq!(trial.process(None), Some(Outcome::SucceededWithExceptions));
    let state = trial.state();
    assert!(state.excluded.contains(&machine(0)));
    for (ix, step) in trial.plan.iter() {
        let own = step.machine == Some(machine(0));
        let wanted = if own { Status::Pending } else { Status::Succeeded };
        assert_eq!(state.step(ix).status, wanted, "{}", step.id);
    }
}

#[test]
fn only_who_lies_all_in_scopes_that_say_so_is_left_out() {
    let drops = |drop| Rules { drop_changed: Some(drop), ..Rules::default() };
    let group = || ScopeKind::Group { name: "g".into() };
    let mut weaver = Weaver::default();
    weaver.act(1, WORKS);
    weaver.open(group(), drops(true));
    each(&mut weaver, 0..MACHINES);
    weaver.open(group(), drops(false));
    weaver.act(2, WORKS);
    weaver.close();
    weaver.open(group(), Rules::default());
    weaver.act(0, WORKS);
    weaver.close();
    weaver.close();
    let left: Vec<_> = weaver.plan.droppable().into_iter().collect();
    assert_eq!(left, [machine(0)], "m1 has a step outside, m2 one where the run must hold");
    weaver.plan.scopes[0].rules = drops(true);
    let left: Vec<_> = weaver.plan.droppable().into_iter().collect();
    assert_eq!(left, [machine(0), machine(1)]);
}

/// Two commands of a machine, and how they are undone: the last one first.
fn commands(first: Behaviour, second: Behaviour) -> Vec<Status> {
    let mut weaver = Weaver::default();
    let body = |weaver: &mut Weaver| {
        weaver.act(0, first);
        weaver.act(0, second);
    };
    let handled = [Some(WORKS), None, None];
    weaver.attempt(false, false, Rules::default(), body, handled, [None; MACHINES]);
    weaver.plan.steps[2].undoes = Some(StepIx(1));
    weaver.plan.steps[3].undoes = Some(StepIx(0));
    let mut trial = trial(&weaver, 1);
    trial.process(None).unwrap();
    trial.statuses()
}

#[test]
fn what_was_never_begun_is_not_undone() {
    use Status::{Failed, Pending, Skipped, Succeeded};
    assert_eq!(commands(WORKS, WORKS), [Succeeded, Succeeded, Skipped, Skipped]);
    assert_eq!(commands(WORKS, BROKEN), [Succeeded, Failed, Succeeded, Succeeded]);
    assert_eq!(commands(BROKEN, WORKS), [Failed, Pending, Skipped, Succeeded]);
}

#[test]
fn who_is_taken_out_is_given_back_once_nothing_of_it_is_under_way() {
    for (at, seed) in (2..20).flat_map(|at| (0..8).map(move |seed| (at, seed))) {
        let mut weaver = Weaver::default();
        for _ in 0..3 {
            each(&mut weaver, 0..MACHINES);
        }
        let mut trial = trial(&weaver, seed);
        trial.commands.insert(at, exclude(0));
        // Its process dies a few records later, and the next one ends what it began.
        let died = trial.process(Some(at + usize::try_from(seed).unwrap() % 4));
        if died.is_none() && trial.state().outcome.is_none() {
            trial.resume(None).unwrap();
        }
        let state = trial.state();
        assert_eq!(state.given_back, state.excluded, "at {at}, seed {seed}");
        let is_given = |body: &EventBody| matches!(body, EventBody::MachineGivenBack { .. });
        let given = trial.events.iter().position(|event| is_given(&event.body));
        let later = trial.events.iter().skip(given.unwrap_or(trial.events.len()));
        let own = later.filter(|event| {
            let of = event.body.step().and_then(|step| state.place(step));
            of.is_some_and(|of| trial.plan.step(of).machine == Some(machine(0)))
        });
        assert_eq!(own.count(), 0, "nothing is told of it afterwards: at {at}, seed {seed}");
    }
}
