//! The digest: what would be done, in 64 characters.
//!
//! Covers steps, edges, options, policy, parameters and facts; leaves out comments, places, times and
//! estimates. Dedicated encoding with a version prefix, steps sorted by id; a golden test pins it.

use crate::base::{Digest, StepId};
use crate::plan::graph::Plan;
use crate::plan::step::{Step, StepIx};

/// Changes whenever the encoding does.
const VERSION: &str = "homing-plan-digest-1";

/// The digest of a plan.
pub fn digest(plan: &Plan) -> Digest {
    let mut out = Encoder { hasher: blake3::Hasher::new(), waiting: Vec::new() };
    out.text(VERSION);
    for (name, value) in &plan.params {
        out.field("param", name);
        out.text(&value.to_string());
    }
    for fact in &plan.facts {
        out.field("fact", &fact.subject);
        out.text(&fact.fact);
        out.text(&fact.value);
    }
    // The beginning of the id decides most comparisons without following a pointer.
    let mut steps: Vec<(u128, &Step)> = plan.steps.iter().map(|s| (beginning(&s.id), s)).collect();
    steps.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    for (_, step) in steps {
        out.step(plan, step);
    }
    out.flush();
    let hash = out.hasher.finalize();
    Digest::new(hash.to_hex().as_str()).expect("BUG: a BLAKE3 hash is hexadecimal")
}

/// The first bytes of an id, as a number that compares as they do.
fn beginning(id: &StepId) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    bytes.iter_mut().zip(id.as_str().bytes()).for_each(|(to, from)| *to = from);
    u128::from_be_bytes(bytes)
}

/// Bytes that are hashed at once: hashing word by word costs several times as much.
const WAITING_BYTES: usize = 64 << 10;

/// Every text goes in with its length before it, so no two plans share an encoding.
struct Encoder {
    hasher: blake3::Hasher,
    waiting: Vec<u8>,
}

impl Encoder {
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.waiting.extend_from_slice(text.as_bytes());
        if self.waiting.len() >= WAITING_BYTES {
            self.flush();
        }
    }

    fn number(&mut self, number: u64) {
        self.waiting.extend_from_slice(&number.to_le_bytes());
    }

    fn flush(&mut self) {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
    }

    fn field(&mut self, kind: &str, name: &str) {
        self.text(kind);
        self.text(name);
    }

    fn step(&mut self, plan: &Plan, step: &Step) {
        self.field("step", step.id.as_str());
        self.text(step.primitive);
        self.text(step.machine.as_ref().map_or("", |machine| machine.as_str()));
        self.text(&step.args.to_string());
        self.text(if step.optional { "optional" } else { "required" });
        let policy = &step.policy;
        for number in [
            u64::from(policy.attempts),
            policy.first_ms,
            policy.max_ms,
            policy.timeout_ms.map_or(0, |ms| ms + 1),
        ] {
            self.number(number);
        }
        self.edges("needs", plan, &step.needs);
        self.edges("waits", plan, &step.waits);
    }

    fn edges(&mut self, kind: &str, plan: &Plan, edges: &[StepIx]) {
        let mut ids: Vec<&StepId> = edges.iter().map(|ix| &plan.step(*ix).id).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            self.field(kind, id.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Json, Side};
    use crate::plan::effect::Effect;
    use crate::plan::facts::Fact;
    use crate::plan::graph::index;
    use crate::plan::graph::tests::Draft;
    use crate::plan::policy::Policy;
    use crate::source::Span;

    /// Two machines side by side, a gate, a commit.
    fn sample() -> Plan {
        let mut draft = Draft::default();
        draft.step("web-01", Effect::Snapshot);
        draft.step("db-01", Effect::Stop(Side::Cloud));
        draft.gate("go");
        draft.step("web-01", Effect::Commit);
        let mut plan = draft.plan;
        plan.script = "draft.rhai".into();
        plan.params.insert("tier".into(), Json::from("web"));
        plan.facts.insert(Fact::new("web-01", "replica", &Json::from("stale")));
        plan
    }

    #[test]
    fn the_encoding_is_pinned() {
        // Saved plans carry it: when this changes, `VERSION` must.
        let golden = "a3d3c5a4ce07330cb5a689c20df32c8a9673e93947f2b188d0d261af6ae773f3";
        assert_eq!(digest(&sample()).as_str(), golden);
    }

    #[test]
    fn places_names_of_files_and_the_order_of_unordered_steps_do_not_matter() {
        let plan = sample();
        let mut same = plan.clone();
        same.script = "elsewhere.rhai".into();
        for step in &mut same.steps {
            step.origin.at = Span::point("elsewhere.rhai".into(), 99, 9);
        }
        // The two unordered steps written the other way round: every place moves, no meaning does.
        same.steps.swap(0, 1);
        for step in &mut same.steps {
            for edge in step.needs.iter_mut().chain(&mut step.waits) {
                *edge = [index(1), index(0), index(2)][edge.at()];
            }
        }
        assert_eq!(digest(&same), digest(&plan));
    }

    #[test]
    fn everything_that_is_done_differently_shows() {
        let plan = sample();
        let changes: [fn(&mut Plan); 9] = [
            |plan| plan.steps[0].optional = true,
            |plan| plan.steps[0].primitive = "other",
            |plan| plan.steps[0].machine = None,
            |plan| plan.steps[0].args = Arc::new(serde_json::json!({ "mode": "full" })),
            |plan| plan.steps[0].policy = Arc::new(Policy { timeout_ms: Some(0), ..Policy::ONCE }),
            |plan| plan.steps[3].needs.clear(),
            |plan| plan.steps[2].waits.clear(),
            |plan| plan.facts.clear(),
            |plan| plan.params.clear(),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = plan.clone();
            change(&mut changed);
            assert_ne!(digest(&changed), digest(&plan), "change {at}");
        }
    }
}
