//! Rendering: a proved plan as text for the person who must sign it.
//!
//! In: a [`VerifiedPlan`], its estimates, the inventory. Out: text. Refuses to know: files, terminals
//! (the caller decides on colour and width), runs.
//!
//! Every section is its own small function over data; nothing here asks what a primitive is called.

pub mod change;
mod first_page;
pub mod fold;
pub mod graph;
mod guarded;
pub mod html;
mod machines;
mod path;
pub mod reference;
pub mod runbook;
mod steps;
pub mod style;
pub mod table;
pub mod text;
mod timeline;
mod told;
mod words;

use crate::base::Digest;
use crate::diagnostic::Diagnostic;
use crate::plan::estimate::Estimates;
use crate::plan::facts::{FactLog, Facts};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::{Step, StepIx};
use crate::primitives::contract::Subject;
use crate::primitives::find;
use crate::verify::VerifiedPlan;

/// A plan with everything that a reviewer is shown of it. Made only of a proved plan.
pub struct Review<'a> {
    plan: &'a Plan,
    digest: &'a Digest,
    warnings: &'a [Diagnostic],
    estimates: &'a Estimates,
    inventory: &'a Inventory,
    /// The codes of the rules that the plan was checked against.
    rules: &'a [&'static str],
    /// What each step does, in step order.
    sentences: Vec<String>,
    /// Steps that may run side by side, wave after wave.
    waves: Vec<Vec<StepIx>>,
    /// The first step after which there is only forward.
    no_return: Option<StepIx>,
    /// Everything is listed; else what is alike is told once, and what is much is counted.
    full: bool,
}

impl<'a> Review<'a> {
    /// A review. `sentences` come from [`Review::sentences`]; waves and the point of no return from the
    /// room that compiles.
    pub fn new(
        verified: &'a VerifiedPlan,
        estimates: &'a Estimates,
        inventory: &'a Inventory,
        sentences: Vec<String>,
        waves: Vec<Vec<StepIx>>,
        no_return: Option<StepIx>,
    ) -> Review<'a> {
        Review {
            plan: verified.plan(),
            digest: verified.digest(),
            warnings: verified.warnings(),
            estimates,
            inventory,
            rules: verified.rules(),
            sentences,
            waves,
            no_return,
            full: false,
        }
    }

    /// The same with everything listed.
    #[must_use]
    pub fn in_full(self, full: bool) -> Review<'a> {
        Review { full, ..self }
    }

    /// One sentence per step, in step order: what each primitive says of itself.
    pub fn sentences(plan: &Plan, inventory: &Inventory, facts: &Facts) -> Vec<String> {
        let log = match facts.machines.is_empty() {
            // Of a saved plan nothing was observed: it says itself what it rests on.
            true => FactLog::resting_on(facts, &plan.facts),
            false => FactLog::new(facts),
        };
        let sentence = |step: &Step| {
            let machine = step.machine.as_ref();
            let known =
                find(step.primitive).expect("BUG: a plan names a primitive of the catalogue");
            known.describe(&step.args.json(), &Subject { machine, inventory, facts: &log })
        };
        plan.steps.iter().map(sentence).collect()
    }

    fn sentence(&self, ix: StepIx) -> &str {
        &self.sentences[ix.at()]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::base::{MachineName, Side, StepId};
    use crate::plan::effect::{Chosen, Effect, Mode};
    use crate::plan::estimate::MachineEstimate;
    use crate::plan::facts::Fact;
    use crate::plan::graph::index;
    use crate::plan::inventory::{Addresses, MachineEntry};
    use crate::plan::policy::Policy;
    use crate::plan::scope::{Scope, ScopeIx, ScopeKind};
    use crate::plan::step::{Kind, Origin, Reversibility, Step};
    use crate::source::Span;

    /// A small plan with all that is told of it, built by hand.
    #[derive(Clone)]
    pub(crate) struct Sample {
        pub(crate) plan: Plan,
        pub(crate) estimates: Estimates,
        pub(crate) inventory: Inventory,
        pub(crate) sentences: Vec<String>,
        pub(crate) waves: Vec<Vec<StepIx>>,
        pub(crate) warnings: Vec<Diagnostic>,
        digest: Digest,
        line: u32,
    }

    use Reversibility::{Compensable, Irreversible, Reversible};

    /// Two lines of a script that every machine goes through: primitive, effect, way back, sentence.
    type Written = (&'static str, Effect, Reversibility, &'static str);

    const SYNCHRONIZE: &[Written] = &[
        ("snapshot", Effect::Snapshot, Reversible, "take a point-in-time copy; {m} keeps running"),
        (
            "transfer_delta",
            Effect::Transfer { mode: Mode::Delta, from_snapshot: true, chosen: Chosen::NOTHING },
            Reversible,
            "send what changed, at most 64.0 MiB, from azure to dc1/hv-01 and verify it",
        ),
    ];
    const SWITCH_OVER: &[Written] = &[
        (
            "shutdown_azure_vm",
            Effect::Stop(Side::Cloud),
            Compensable,
            "shut {m} down in azure (hard after 2m) and fence it",
        ),
        (
            "transfer_delta",
            Effect::Transfer { mode: Mode::Delta, from_snapshot: false, chosen: Chosen::NOTHING },
            Reversible,
            "send the final changes from azure to dc1/hv-01 and verify them",
        ),
        (
            "start_onprem_vm",
            Effect::Start(Side::Onprem),
            Compensable,
            "boot {m} at dc1/hv-01 from its replica",
        ),
        (
            "check",
            Effect::Check { side: None, asserts: true },
            Reversible,
            "wait until {m} shows a sign of life",
        ),
    ];
    const COMMIT: &[Written] = &[
        ("commit", Effect::Commit, Irreversible, "delete {m} and its disks in azure for good"),
        (
            "reverse_replicate",
            Effect::ReverseReplicate,
            Reversible,
            "protect {m} from dc1 to azure again",
        ),
    ];

    impl Sample {
        /// The failback of `scripts/failback.rhai` for these machines, with its two gates.
        pub(crate) fn failback(machines: &[&str]) -> Sample {
            let mut sample = Sample {
                plan: Plan { script: "failback.rhai".into(), ..Plan::default() },
                estimates: Estimates { makespan_s: 80.0, ..Estimates::default() },
                inventory: Inventory::default(),
                sentences: Vec::new(),
                waves: Vec::new(),
                warnings: Vec::new(),
                digest: Digest::new("3f9a".repeat(16)).unwrap(),
                line: 0,
            };
            sample.plan.params.insert("tier".into(), json!(""));
            for name in machines {
                sample.machine(name);
            }
            sample.wave(machines, SYNCHRONIZE);
            sample.gate("complete", "Complete failover", 8);
            sample.wave(machines, SWITCH_OVER);
            sample.gate("commit", "Commit: this deletes the Azure machines", 24);
            sample.wave(machines, COMMIT);
            sample.estimates.critical_path = (0..sample.plan.steps.len() as u32).collect();
            sample
        }

        fn machine(&mut self, name: &str) {
            let entry = MachineEntry {
                cloud: "azure".to_owned().try_into().unwrap(),
                onprem: "dc1".to_owned().try_into().unwrap(),
                host: "hv-01".to_owned().try_into().unwrap(),
                disks: vec![256 << 20],
                tags: [].into(),
                needs: Vec::new(),
                rto_s: Some(20.0),
                key: None,
                address: Addresses::default(),
                settings: [].into(),
            };
            let name = MachineName::new(name).unwrap();
            let cost = MachineEstimate {
                downtime_s: 12.5,
                down_from_s: Some(42.0),
                sync_s: 40.0,
                bytes: 64 << 20,
            };
            self.estimates.machines.insert(name.clone(), cost);
            self.plan.facts.insert(Fact::new(name.as_str(), "replica", &json!("stale")));
            for (fact, value) in
                [("where", "cloud"), ("cloud.power", "on"), ("onprem.power", "off")]
            {
                self.plan.facts.insert(Fact::new(name.as_str(), fact, &json!(value)));
            }
            self.inventory.machines.insert(name, entry);
        }

        fn wave(&mut self, machines: &[&str], written: &[Written]) {
            self.waves.push(Vec::new());
            for name in machines {
                let machine = MachineName::new(name).unwrap();
                for (at, (primitive, effect, reversibility, sentence)) in written.iter().enumerate()
                {
                    let own = |s: &&Step| s.machine.as_ref() == Some(&machine);
                    let own: Vec<&Step> = self.plan.steps.iter().filter(own).collect();
                    let number = own.iter().filter(|s| s.primitive == *primitive).count() + 1;
                    let id = format!("{name}.{primitive}.{number}");
                    let barrier = self.plan.steps.iter().rposition(|s| s.kind == Kind::Gate);
                    let before = self.plan.steps.iter().rposition(|s| own_or(s, &machine));
                    let needs = before.max(barrier).into_iter().map(index).collect();
                    let step = Step {
                        machine: Some(machine.clone()),
                        effect: *effect,
                        reversibility: *reversibility,
                        needs,
                        ..step(&id, primitive, Kind::Act, self.line + at as u32)
                    };
                    self.push(step, sentence.replace("{m}", name));
                }
            }
            self.line += written.len() as u32;
        }

        fn gate(&mut self, name: &'static str, message: &str, hours: u64) {
            self.waves.push(Vec::new());
            let all = 0..self.plan.steps.len();
            let gate = Step {
                waits: all.map(index).collect(),
                follows: Vec::new(),
                scope: Default::default(),
                undoes: None,
                args: json!({ "message": message }).into(),
                policy: Arc::new(Policy { timeout_ms: Some(hours * 3_600_000), ..Policy::ONCE }),
                effect: Effect::Approved,
                ..step(name, "approve", Kind::Gate, self.line)
            };
            self.line += 1;
            self.push(gate, format!("ask: {message}"));
        }

        fn push(&mut self, step: Step, sentence: String) {
            let ix = index(self.plan.steps.len());
            self.waves.last_mut().unwrap().push(ix);
            self.plan.steps.push(step);
            self.sentences.push(sentence);
        }

        /// Puts a run of its steps into a scope.
        pub(crate) fn scope(&mut self, kind: ScopeKind, first: usize, end: usize) -> ScopeIx {
            let ix = ScopeIx(u32::try_from(self.plan.scopes.len()).unwrap());
            let parent = self.plan.steps[first].scope;
            let (first, end) = (index(first), index(end));
            self.plan.scopes.push(Scope { kind, parent, first, end, ..Scope::plan() });
            self.plan.steps[first.at()..end.at()].iter_mut().for_each(|step| step.scope = ix);
            ix
        }

        pub(crate) fn review(&self) -> Review<'_> {
            let commit = |step: &Step| step.effect == Effect::Commit;
            Review {
                plan: &self.plan,
                digest: &self.digest,
                warnings: &self.warnings,
                estimates: &self.estimates,
                inventory: &self.inventory,
                rules: &["H001", "H005"],
                sentences: self.sentences.clone(),
                waves: self.waves.clone(),
                no_return: self.plan.steps.iter().position(commit).map(index),
                full: false,
            }
        }
    }

    fn own_or(step: &Step, machine: &MachineName) -> bool {
        step.machine.as_ref() == Some(machine)
    }

    fn step(id: &str, primitive: &'static str, kind: Kind, line: u32) -> Step {
        Step {
            id: StepId::new(id).unwrap(),
            primitive,
            kind,
            machine: None,
            args: json!({}).into(),
            needs: Vec::new(),
            waits: Vec::new(),
            follows: Vec::new(),
            scope: Default::default(),
            undoes: None,
            effect: Effect::Nothing,
            reversibility: Reversible,
            optional: false,
            policy: Arc::new(find(primitive).unwrap().spec().policy.clone()),
            origin: Arc::new(Origin {
                at: Span::point("failback.rhai".into(), 10 + line, 5),
                via: Arc::new([]),
            }),
        }
    }

    /// `web-001`, `web-002` ..
    pub(crate) fn many(count: usize) -> Vec<String> {
        (1..=count).map(|n| format!("web-{n:03}")).collect()
    }
}
