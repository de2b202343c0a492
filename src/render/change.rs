//! What a plan would do differently than before: for people who save a script and look.
//!
//! Steps are aligned per machine by primitive and arguments, since ordinals shift when a step is added.

use std::collections::{BTreeMap, BTreeSet};

use similar::{Algorithm, DiffTag, capture_diff_slices};

use crate::base::units::show_seconds;
use crate::base::{Json, MachineName};
use crate::plan::step::{StepIx, handle_from_json};
use crate::render::Review;
use crate::render::fold::counted;

/// A differing downtime is told from this share on: estimates jitter with every observation.
const DOWNTIME_SHARE: f64 = 0.05;

/// The differences, one line each; none when the two plans do the same.
pub fn change(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let mut lines = parameters(old, new);
    lines.extend(steps(old, new));
    lines.extend(no_return(old, new));
    lines.extend(downtimes(old, new));
    lines.extend(warnings(old, new));
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

/// Differences of steps; what many machines have in common is told once.
fn steps(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let (old_chains, new_chains) = (chains(old), chains(new));
    let machines: BTreeSet<Option<&MachineName>> =
        old_chains.keys().chain(new_chains.keys()).copied().collect();
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for machine in machines {
        let empty = Vec::new();
        let before = old_chains.get(&machine).unwrap_or(&empty);
        let after = new_chains.get(&machine).unwrap_or(&empty);
        for line in aligned(before, after) {
            let at = *places.entry(line.clone()).or_insert_with(|| {
                told.push((line, Vec::new()));
                told.len() - 1
            });
            told[at].1.extend(machine.map(MachineName::as_str));
        }
    }
    told.into_iter().map(|(line, machines)| with_machines(line, &machines)).collect()
}

fn with_machines(line: String, machines: &[&str]) -> String {
    if machines.is_empty() { line } else { format!("{line} ({})", counted(machines)) }
}

/// One step as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Compared {
    primitive: &'static str,
    args: String,
}

impl Compared {
    fn of(review: &Review<'_>, ix: StepIx) -> Compared {
        let step = review.plan.step(ix);
        let optional = if step.optional { " (may fail)" } else { "" };
        Compared { primitive: step.primitive, args: format!("{}{optional}", args(&step.args)) }
    }
}

/// Arguments for a reader: `{"mode":"full"}` as `mode: "full"`. Handles are left out: the ids in them
/// hold ordinals, which shift.
fn args(args: &Json) -> String {
    let Some(object) = args.as_object() else { return args.to_string() };
    let shown = object.iter().map(|(name, value)| match handle_from_json(value) {
        Some(_) => format!("{name}: a handle"),
        None => format!("{name}: {value}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn chains<'a>(review: &Review<'a>) -> BTreeMap<Option<&'a MachineName>, Vec<Compared>> {
    let mut chains: BTreeMap<_, Vec<Compared>> = BTreeMap::new();
    for (ix, step) in review.plan.iter() {
        chains.entry(step.machine.as_ref()).or_default().push(Compared::of(review, ix));
    }
    chains
}

/// The differences of one machine's steps, in order.
fn aligned(old: &[Compared], new: &[Compared]) -> Vec<String> {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    let mut lines = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, old, new) {
        if op.tag() == DiffTag::Equal {
            continue;
        }
        let mut removed: Vec<Compared> = old[op.old_range()].to_vec();
        for step in &new[op.new_range()] {
            // In the same place, the same primitive: it has other options now.
            match removed.iter().position(|other| other.primitive == step.primitive) {
                Some(at) => {
                    let other = removed.remove(at);
                    lines.push(format!(
                        "~ {}: {} -> {}",
                        step.primitive,
                        or_none(&other.args),
                        or_none(&step.args)
                    ));
                }
                None => come.push(step.clone()),
            }
        }
        gone.extend(removed);
    }
    let moved: Vec<Compared> = come.iter().filter(|step| take(&mut gone, step)).cloned().collect();
    for step in &moved {
        take(&mut come, step);
    }
    let tell =
        |mark: &str, step: &Compared| format!("{mark} {}", shown(step)).trim_end().to_owned();
    lines.extend(moved.iter().map(|step| tell("> moved:", step)));
    lines.extend(gone.iter().map(|step| tell("-", step)));
    lines.extend(come.iter().map(|step| tell("+", step)));
    lines
}

fn take(steps: &mut Vec<Compared>, wanted: &Compared) -> bool {
    let at = steps.iter().position(|step| step == wanted);
    at.map(|at| steps.remove(at)).is_some()
}

fn or_none(args: &str) -> &str {
    if args.is_empty() { "no options" } else { args }
}

fn shown(step: &Compared) -> String {
    if step.args.is_empty() {
        step.primitive.to_owned()
    } else {
        format!("{} {}", step.primitive, step.args)
    }
}

fn no_return(old: &Review<'_>, new: &Review<'_>) -> Option<String> {
    let id = |review: &Review<'_>| {
        review.no_return.map_or("none".to_owned(), |ix| review.plan.step(ix).id.to_string())
    };
    let (before, after) = (id(old), id(new));
    (before != after).then(|| format!("~ point of no return: {before} -> {after}"))
}

fn downtimes(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (machine, after) in &new.estimates.machines {
        let Some(before) = old.estimates.machines.get(machine) else { continue };
        let (before, after) = (before.downtime_s, after.downtime_s);
        if (after - before).abs() > DOWNTIME_SHARE * before.max(1.0) {
            let line = format!("~ downtime: {} -> {}", show_seconds(before), show_seconds(after));
            told.entry(line).or_default().push(machine.as_str());
        }
    }
    told.into_iter().map(|(line, machines)| with_machines(line, &machines)).collect()
}

/// Warnings by code and message: places move with every line that is typed.
fn warnings(old: &Review<'_>, new: &Review<'_>) -> Vec<String> {
    let keys = |review: &Review<'_>| -> BTreeSet<String> {
        review.warnings.iter().map(|w| format!("{}: {}", w.code, w.message)).collect()
    };
    let (before, after) = (keys(old), keys(new));
    let gone = before.difference(&after).map(|warning| format!("- warning {warning}"));
    gone.chain(after.difference(&before).map(|warning| format!("+ warning {warning}"))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::render::tests::Sample;

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
            step.args = Arc::new(json!({ "mode": "full" }));
        }
        let check = new.plan.steps.iter().position(|s| s.primitive == "check").unwrap();
        let extra = new.plan.steps[check].clone();
        new.plan.steps.insert(0, extra);
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
        new.plan.steps.insert(0, last);
        let lines = change(&old.review(), &new.review());
        assert!(lines.contains(&"> moved: reverse_replicate (web-01)".to_owned()), "{lines:?}");
    }
}
