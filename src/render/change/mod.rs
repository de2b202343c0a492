//! What a plan would do differently than another one: for people who save a script and look, who review a
//! plan again, and for programs.
//!
//! Steps are aligned per machine by primitive and arguments, since ordinals shift when a step is added.
//! Where the digests are equal nothing of meaning differs; where they differ something is told.

mod entries;
mod facts;
mod ids;
mod order;
mod page;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::units::show_seconds;
use crate::base::{Digest, MachineName, StepId};
use crate::compile::saved::Unproved;
use crate::diagnostic::Diagnostic;
use crate::plan::estimate::Estimates;
use crate::plan::graph::Plan;
use crate::plan::scope::{Acknowledgement, ScopeIx};
use crate::plan::step::{Step, StepIx};
use crate::render::change::entries::Told;
use crate::render::change::steps::Same;
use crate::render::{path, words};
use crate::verify::VerifiedPlan;

pub use entries::{Change, Kind, Place};
pub use page::page;

/// A differing estimate is told from this share on: estimates jitter with every observation.
const ESTIMATE_SHARE: f64 = 0.05;

/// One of the two plans that are compared: proved, or as it was saved.
#[derive(Clone, Copy)]
pub struct Edition<'a> {
    plan: &'a Plan,
    digest: &'a Digest,
    warnings: &'a [Diagnostic],
    estimates: &'a Estimates,
    /// The first step after which there is only forward.
    no_return: Option<StepIx>,
}

impl<'a> Edition<'a> {
    /// A plan that was just made.
    pub fn new(
        verified: &'a VerifiedPlan,
        estimates: &'a Estimates,
        no_return: Option<StepIx>,
    ) -> Edition<'a> {
        let (plan, digest, warnings) = (verified.plan(), verified.digest(), verified.warnings());
        Edition { plan, digest, warnings, estimates, no_return }
    }

    /// A plan as it was saved.
    pub fn saved(unproved: &'a Unproved) -> Edition<'a> {
        Edition {
            plan: unproved.plan(),
            digest: unproved.digest(),
            warnings: unproved.warnings(),
            estimates: unproved.estimates(),
            no_return: unproved.no_return(),
        }
    }

    /// The script that it was made of.
    pub fn script(&self) -> &'a str {
        &self.plan.script
    }

    /// What it means.
    pub fn digest(&self) -> &'a Digest {
        self.digest
    }

    /// Whether both mean the same.
    pub fn means(&self, other: &Edition<'_>) -> bool {
        self.digest == other.digest
    }
}

/// The differences: those of meaning first, then estimates and remarks.
pub fn change(old: &Edition<'_>, new: &Edition<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if !old.means(new) {
        changes = meaning(old, new);
        if changes.is_empty() {
            changes.push(otherwise(old.plan, new.plan));
        }
    }
    changes.extend(downtimes(old, new));
    changes.extend(duration(old, new));
    changes.extend(warnings(old, new));
    changes
}

fn meaning(old: &Edition<'_>, new: &Edition<'_>) -> Vec<Change> {
    let mut changes = parameters(old.plan, new.plan);
    let (of_steps, same) = steps::steps(old, new);
    changes.extend(of_steps);
    changes.extend(order::order(old, new, &same));
    changes.extend(limits(old.plan, new.plan));
    changes.extend(no_return(old, new, &same));
    changes.extend(answers(old.plan, new.plan));
    changes.extend(facts::facts(old, new));
    changes
}

fn parameters(old: &Plan, new: &Plan) -> Vec<Change> {
    let names: BTreeSet<&String> = old.params.keys().chain(new.params.keys()).collect();
    let value = |name: &String| (old.params.get(name), new.params.get(name));
    let differing = names.into_iter().map(|name| (name, value(name))).filter(|(_, (a, b))| a != b);
    let change = |(name, (before, after)): (&String, (Option<&_>, Option<&_>))| Change {
        before: before.cloned(),
        after: after.cloned(),
        ..Change::new(Kind::Parameter, name)
    };
    differing.map(change).collect()
}

/// What `policy` says of scopes; what many have in common is told once.
fn limits(old: &Plan, new: &Plan) -> Vec<Change> {
    let of = |plan: &Plan| -> BTreeSet<String> {
        let scopes = plan.scopes.iter().enumerate();
        let held =
            scopes.filter(|(at, scope)| *at == ScopeIx::PLAN.at() || scope.first < scope.end);
        held.flat_map(|(_, scope)| words::rules(&scope.rules)).collect()
    };
    differences(Kind::Limit, &of(old), &of(new))
}

fn answers(old: &Plan, new: &Plan) -> Vec<Change> {
    let said = |one: &Acknowledgement| format!("{}: {}", one.code, one.reason);
    let of = |plan: &Plan| -> BTreeSet<String> { plan.acknowledged.iter().map(said).collect() };
    let mut changes = differences(Kind::Answer, &of(old), &of(new));
    for change in &mut changes {
        let plan = if change.after.is_some() { new } else { old };
        let text = change.after.as_ref().or(change.before.as_ref()).and_then(|text| text.as_str());
        let answer = plan.acknowledged.iter().find(|one| Some(said(one).as_str()) == text);
        if let Some(answer) = answer {
            *change = change.clone().at(&answer.at);
        }
    }
    changes
}

fn differences(kind: Kind, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<Change> {
    let gone = before.difference(after);
    let gone = gone.map(|one| Change::new(kind, "").removed(one.as_str()));
    let come = after.difference(before);
    gone.chain(come.map(|one| Change::new(kind, "").added(one.as_str()))).collect()
}

fn no_return(old: &Edition<'_>, new: &Edition<'_>, same: &Same<'_>) -> Option<Change> {
    let is_same = match (old.no_return, new.no_return) {
        (Some(before), Some(after)) => same.to_new.get(&before) == Some(&after),
        (before, after) => before.is_none() && after.is_none(),
    };
    let gate = |edition: &Edition<'_>| {
        let gate = edition.no_return.and_then(|ix| path::last_gate(edition.plan, ix));
        gate.map(|ix| edition.plan.step(ix).id.to_string())
    };
    let (before, after) = (gate(old), gate(new));
    // Its step may be the same, and another yes, or none, stand before it.
    let is_same = is_same && before == after;
    let id = |edition: &Edition<'_>, gate: Option<String>| {
        let gate = gate.map_or("behind no gate".to_owned(), |gate| format!("behind gate `{gate}`"));
        edition.no_return.map(|ix| format!("{} {gate}", edition.plan.step(ix).id).into())
    };
    let change = Change {
        before: id(old, before),
        after: id(new, after),
        ..Change::new(Kind::PointOfNoReturn, "point of no return")
    };
    (!is_same).then_some(change)
}

fn differs(before: f64, after: f64) -> bool {
    (after - before).abs() > ESTIMATE_SHARE * before.max(1.0)
}

fn downtimes(old: &Edition<'_>, new: &Edition<'_>) -> Vec<Change> {
    let mut told = Told::default();
    for (machine, after) in &new.estimates.machines {
        let Some(before) = old.estimates.machines.get(machine) else { continue };
        let (before, after) = (before.downtime_s, after.downtime_s);
        if differs(before, after) {
            let change = Change::new(Kind::Downtime, "downtime")
                .from(show_seconds(before), show_seconds(after));
            told.tell(change, Some(machine.as_str()), None);
        }
    }
    told.changes()
}

fn duration(old: &Edition<'_>, new: &Edition<'_>) -> Option<Change> {
    let (before, after) = (old.estimates.makespan_s, new.estimates.makespan_s);
    let change = Change::new(Kind::Duration, "duration");
    differs(before, after).then(|| change.from(show_seconds(before), show_seconds(after)))
}

/// Warnings by code and message: places move with every line that is typed.
fn warnings(old: &Edition<'_>, new: &Edition<'_>) -> Vec<Change> {
    let keys = |edition: &Edition<'_>| -> BTreeSet<String> {
        edition.warnings.iter().map(|w| format!("{}: {}", w.code, w.message)).collect()
    };
    differences(Kind::Warning, &keys(old), &keys(new))
}

/// Of plans whose digests differ where nothing tells why: the steps that are not what they were under the
/// same id.
fn otherwise(old: &Plan, new: &Plan) -> Change {
    let (before, after) = (old.by_id(), new.by_id());
    let ids: BTreeSet<&StepId> = before.keys().chain(after.keys()).copied().collect();
    let differing: Vec<&StepId> = ids
        .into_iter()
        .filter(|id| {
            let was = before.get(id).map(|ix| inside(old, *ix));
            was != after.get(id).map(|ix| inside(new, *ix))
        })
        .collect();
    let what = match &differing[..] {
        [] => "something else than steps means something else".to_owned(),
        some => format!("limits, scopes, numbers or edges of {}", order::some(some)),
    };
    let machines: BTreeMap<&MachineName, ()> = differing
        .iter()
        .filter_map(|id| after.get(id).map(|ix| new.step(*ix)))
        .filter_map(|step| Some((step.machine.as_ref()?, ())))
        .collect();
    Change {
        machines: machines.into_keys().map(MachineName::to_string).collect(),
        steps: differing.into_iter().cloned().collect(),
        ..Change::new(Kind::Other, what)
    }
}

/// All that counts of one step, in words that are only compared.
fn inside(plan: &Plan, ix: StepIx) -> impl PartialEq + use<> {
    let step: &Step = plan.step(ix);
    let edges: BTreeSet<(String, StepId)> = step
        .edges()
        .map(|(ix, edge)| (format!("{edge:?}"), plan.step(ix).id.clone()))
        .chain(step.undoes.map(|ix| ("undoes".to_owned(), plan.step(ix).id.clone())))
        .collect();
    let scopes: Vec<String> =
        plan.outwards(step.scope).map(|(_, scope)| format!("{:?}", scope.rules)).collect();
    let own = (step.primitive, step.machine.clone(), step.optional, step.policy.clone());
    (own, step.args.shared(), edges, scopes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::base::Digest;
    use crate::plan::digest::digest;
    use crate::plan::effect::Effect;
    use crate::plan::expr::Expr;
    use crate::plan::graph::index;
    use crate::plan::scope::{Acknowledgement, ScopeKind};
    use crate::plan::step::Step;
    use crate::render::tests::Sample;
    use crate::source::Span;

    /// A sample with its own digest.
    struct Known<'a>(&'a Sample, Digest);

    impl<'a> Known<'a> {
        fn of(sample: &'a Sample) -> Known<'a> {
            Known(sample, digest(&sample.plan))
        }

        fn edition(&self) -> Edition<'_> {
            let Known(sample, digest) = self;
            let Sample { plan, warnings, estimates, .. } = sample;
            let commit = plan.steps.iter().position(|step| step.effect == Effect::Commit);
            Edition { plan, digest, warnings, estimates, no_return: commit.map(index) }
        }
    }

    fn changes(old: &Sample, new: &Sample) -> Vec<Change> {
        change(&Known::of(old).edition(), &Known::of(new).edition())
    }

    fn lines(old: &Sample, new: &Sample) -> Vec<String> {
        changes(old, new).iter().map(Change::line).collect()
    }

    /// Every place moves by one; the step itself waits for nothing.
    fn put_first(sample: &mut Sample, step: Step) {
        for step in &mut sample.plan.steps {
            let edges = step.needs.iter_mut().chain(&mut step.waits).chain(&mut step.follows);
            edges.for_each(|edge| *edge = index(edge.at() + 1));
        }
        let (needs, waits, follows) = Default::default();
        sample.plan.steps.insert(0, Step { needs, waits, follows, ..step });
    }

    #[test]
    fn the_same_plan_has_no_differences() {
        let sample = Sample::failback(&["db-01", "web-01"]);
        assert_eq!(lines(&sample, &sample), Vec::<String>::new());
    }

    #[test]
    fn a_step_put_in_front_shifts_ordinals_but_is_one_difference() {
        let old = Sample::failback(&["web-01", "web-02", "web-03"]);
        let mut new = old.clone();
        for step in
            new.plan.steps.iter_mut().filter(|s| s.id.as_str().ends_with("transfer_delta.2"))
        {
            step.args = json!({ "mode": "full" }).into();
        }
        let check = new.plan.steps.iter().position(|s| s.primitive == "check").unwrap();
        let extra = new.plan.steps[check].clone();
        put_first(&mut new, extra);
        new.sentences.insert(0, String::new());
        let machine = new.plan.steps[0].machine.clone().unwrap();
        new.estimates.machines.get_mut(&machine).unwrap().downtime_s = 60.0;
        assert_eq!(
            lines(&old, &new),
            [
                "~ transfer_delta: no options -> mode: \"full\" (3: web-{01..03})",
                "+ check (web-01)",
                "~ downtime: 13s -> 1m (web-01)",
            ]
        );
    }

    #[test]
    fn the_yes_before_the_point_of_no_return_is_part_of_it() {
        let old = Sample::failback(&["web-01"]);
        let mut new = old.clone();
        let at = |primitive: &str| old.plan.steps.iter().position(|s| s.primitive == primitive);
        // The deletion waits for the check alone, and so for the gate before the downtime.
        new.plan.steps[at("commit").unwrap()].needs = vec![index(at("check").unwrap())];
        let told = lines(&old, &new);
        let expected = "~ point of no return: web-01.commit.1 behind gate `commit` -> \
                        web-01.commit.1 behind gate `complete`";
        assert!(told.iter().any(|line| line.replace('"', "").contains(expected)), "{told:#?}");
    }

    #[test]
    fn a_step_that_moved_is_neither_gone_nor_new() {
        let old = Sample::failback(&["web-01"]);
        let mut new = old.clone();
        let last = new.plan.steps.pop().unwrap();
        put_first(&mut new, last);
        let lines = lines(&old, &new);
        assert!(lines.contains(&"> moved: reverse_replicate (web-01)".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_gate_that_moved_says_what_is_behind_it_now() {
        // The downtime begins before the question now.
        let old = Sample::failback(&["web-01", "web-02"]);
        let mut new = old.clone();
        let places = |sample: &Sample, primitive: &str| -> Vec<usize> {
            let steps = sample.plan.steps.iter().enumerate();
            steps.filter(|(_, s)| s.primitive == primitive).map(|(at, _)| at).collect()
        };
        for at in places(&new, "shutdown_azure_vm") {
            new.plan.steps[at].needs = vec![index(at - 4)];
        }
        let told = lines(&old, &new);
        assert!(
            told.contains(
                &"~ shutdown_azure_vm: behind no gate, was behind `complete` (2: web-01, web-02)"
                    .to_owned()
            ),
            "{told:#?}"
        );
    }

    #[test]
    fn order_between_machines_conditions_limits_and_answers_show() {
        let old = Sample::failback(&["db-01", "web-01"]);
        let mut new = old.clone();
        // web-01 starts only behind the check of db-01.
        let at = |id: &str| new.plan.steps.iter().position(|s| s.id.as_str() == id).unwrap();
        let (start, check) = (at("web-01.start_onprem_vm.1"), at("db-01.check.1"));
        new.plan.steps[start].needs.insert(0, index(check));
        let last = new.plan.steps.len() - 1;
        let cond = Arc::new(Expr::value(true));
        new.scope(ScopeKind::When { cond, is: true }, last, last + 1);
        new.plan.scopes[0].rules.at_most = Some(2);
        new.plan.acknowledged.push(Acknowledgement {
            code: "H016".into(),
            reason: "agreed".into(),
            scope: ScopeIx::PLAN,
            at: Span::point("failback.rhai".into(), 3, 1),
        });
        assert_eq!(
            lines(&old, &new),
            [
                "~ reverse_replicate: always -> when true (web-01)",
                "~ start_onprem_vm: waits now for db-01.check.1 (web-01)",
                "+ limit at most 2 at once",
                "+ answer to H016: agreed",
            ]
        );
        assert_eq!(lines(&new, &new), Vec::<String>::new());
    }
}
