//! What a plan would do differently than before: for people who save a script and look.
//!
//! Steps are aligned per machine by primitive and arguments, since ordinals shift when a step is added.

mod order;
mod steps;

use std::collections::BTreeSet;

use crate::base::Json;
use crate::base::units::show_seconds;
use crate::plan::scope::ScopeIx;
use crate::render::Review;
use crate::render::change::steps::Told;
use crate::render::words;

/// A differing downtime is told from this share on: estimates jitter with every observation.
const DOWNTIME_SHARE: f64 = 0.05;

/// The differences, one line each; none when the two plans do the same.
pub fn change(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let mut lines = parameters(old, new);
    let (of_steps, same) = steps::steps(old, new);
    lines.extend(of_steps);
    lines.extend(order::order(old, new, &same));
    lines.extend(limits(old, new));
    lines.extend(no_return(old, new));
    lines.extend(downtimes(old, new));
    lines.extend(warnings(old, new));
    lines.extend(answers(old, new));
    lines
}

fn parameters(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let show = |value: Option<&Json>| value.map_or("absent".to_owned(), Json::to_string);
    let names: BTreeSet<&String> = old.plan.params.keys().chain(new.plan.params.keys()).collect();
    let value = |name: &String| (old.plan.params.get(name), new.plan.params.get(name));
    let differing = names.into_iter().map(|name| (name, value(name))).filter(|(_, (a, b))| a != b);
    differing
        .map(|(name, (a, b))| format!("~ parameter {name}: {} -> {}", show(a), show(b)))
        .collect()
}

/// What `policy` says of scopes; what many have in common is told once.
fn limits(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let of = |review: &Review<'_>| -> BTreeSet<String> {
        let held = review
            .plan
            .scopes
            .iter()
            .enumerate()
            .filter(|(at, scope)| *at == ScopeIx::PLAN.at() || scope.first < scope.end);
        held.flat_map(|(_, scope)| words::rules(&scope.rules)).collect()
    };
    differences("limit", &of(old), &of(new))
}

fn answers(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let of = |review: &Review<'_>| -> BTreeSet<String> {
        let all = review.plan.acknowledged.iter();
        all.map(|one| format!("{}: {}", one.code, one.reason)).collect()
    };
    differences("answer to", &of(old), &of(new))
}

fn differences(what: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    let gone = before.difference(after).map(|one| format!("- {what} {one}"));
    gone.chain(after.difference(before).map(|one| format!("+ {what} {one}"))).collect()
}

fn no_return(old: &Review<'_>, new: &Review<'_>) -> Option<String> {
    let id = |review: &Review<'_>| {
        review.no_return.map_or("none".to_owned(), |ix| review.plan.step(ix).id.to_string())
    };
    let (before, after) = (id(old), id(new));
    (before != after).then(|| format!("~ point of no return: {before} -> {after}"))
}

fn downtimes(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let mut told = Told::default();
    for (machine, after) in &new.estimates.machines {
        let Some(before) = old.estimates.machines.get(machine) else { continue };
        let (before, after) = (before.downtime_s, after.downtime_s);
        if (after - before).abs() > DOWNTIME_SHARE * before.max(1.0) {
            let line = format!("~ downtime: {} -> {}", show_seconds(before), show_seconds(after));
            told.tell(line, Some(machine));
        }
    }
    told.lines().collect()
}

/// Warnings by code and message: places move with every line that is typed.
fn warnings(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let keys = |review: &Review<'_>| -> BTreeSet<String> {
        review.warnings.iter().map(|w| format!("{}: {}", w.code, w.message)).collect()
    };
    differences("warning", &keys(old), &keys(new))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::plan::expr::Expr;
    use crate::plan::graph::index;
    use crate::plan::scope::{Acknowledgement, ScopeKind};
    use crate::plan::step::Step;
    use crate::render::tests::Sample;
    use crate::source::Span;

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
        assert_eq!(change(&sample.review(), &sample.review()), Vec::<String>::new());
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
            change(&old.review(), &new.review()),
            [
                "~ transfer_delta: no options -> mode: \"full\" (3: web-{01..03})",
                "+ check (web-01)",
                "~ downtime: 13s -> 1m (web-01)",
            ]
        );
    }

    #[test]
    fn a_step_that_moved_is_neither_gone_nor_new() {
        let old = Sample::failback(&["web-01"]);
        let mut new = old.clone();
        let last = new.plan.steps.pop().unwrap();
        put_first(&mut new, last);
        let lines = change(&old.review(), &new.review());
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
        let told = change(&old.review(), &new.review());
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
            change(&old.review(), &new.review()),
            [
                "~ reverse_replicate: always -> when true (web-01)",
                "~ start_onprem_vm: waits now for db-01.check.1 (web-01)",
                "+ limit at most 2 at once",
                "+ answer to H016: agreed",
            ]
        );
        assert_eq!(change(&new.review(), &new.review()), Vec::<String>::new());
    }
}
