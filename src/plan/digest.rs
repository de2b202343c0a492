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
    let mut out = Encoder(blake3::Hasher::new());
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
    let mut steps: Vec<&Step> = plan.steps.iter().collect();
    steps.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    for step in steps {
        out.step(plan, step);
    }
    Digest::new(out.0.finalize().to_hex().as_str()).expect("BUG: a BLAKE3 hash is hexadecimal")
}

/// Every text goes in with its length before it, so no two plans share an encoding.
struct Encoder(blake3::Hasher);

impl Encoder {
    fn text(&mut self, text: &str) {
        self.0.update(&(text.len() as u64).to_le_bytes());
        self.0.update(text.as_bytes());
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
            self.0.update(&number.to_le_bytes());
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
