//! The digest: what would be done, in 64 characters.
//!
//! Covers steps, edges, options, policy, parameters, facts, scopes with their conditions and rules, and
//! answered warnings; leaves out comments, places, names of groups, times and estimates. Dedicated encoding with a version prefix, steps sorted by id; a golden test pins it.

use std::collections::BTreeSet;

use crate::base::{Digest, Json, StepId};
use crate::plan::facts::Fact;
use crate::plan::graph::Plan;
use crate::plan::scope::{Acknowledgement, Rules, Scope, ScopeIx, ScopeKind};
use crate::plan::step::{Step, StepIx};

/// Changes whenever the encoding does.
const VERSION: &str = "homing-plan-digest-2";

/// The digest of a plan.
pub fn digest(plan: &Plan) -> Digest {
    Begun::new(plan).finish(&plan.facts)
}

/// A digest of all but the facts, which come last: proving a plan finds more of them meanwhile.
pub struct Begun(Encoder);

impl Begun {
    /// Takes all in but the facts.
    pub fn new(plan: &Plan) -> Begun {
        let mut out = Encoder::default();
        out.text(VERSION);
        for (name, value) in &plan.params {
            out.field("param", name);
            out.json(value);
        }
        let scopes = scopes(plan);
        // The beginning of the id decides most comparisons without following a pointer. As written they
        // come in few runs, which a stable sort merges.
        let mut steps: Vec<(u128, &Step)> =
            plan.steps.iter().map(|s| (beginning(&s.id), s)).collect();
        steps.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        for (_, step) in steps {
            out.step(plan, step, &scopes);
        }
        out.rules(&plan.scope(ScopeIx::PLAN).rules);
        for answered in acknowledged(plan, &scopes) {
            out.field("acknowledged", &answered);
        }
        Begun(out)
    }

    /// The digest of the plan with these facts.
    pub fn finish(self, facts: &BTreeSet<Fact>) -> Digest {
        let Begun(mut out) = self;
        for fact in facts {
            out.field("fact", &fact.subject);
            out.text(&fact.fact);
            out.text(&fact.value);
        }
        let hash = out.finish();
        Digest::new(hash.to_hex().as_str()).expect("BUG: a BLAKE3 hash is hexadecimal")
    }
}

/// The first bytes of an id, as a number that compares as they do.
fn beginning(id: &StepId) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    bytes.iter_mut().zip(id.as_str().bytes()).for_each(|(to, from)| *to = from);
    u128::from_be_bytes(bytes)
}

/// What a scope means, apart from where it was written.
struct Meaning {
    /// The first of its steps, by id: what tells it from its neighbours. Empty of an empty one.
    anchor: String,
    /// The scopes from it outwards that change what is done, as a hash; empty where there is none.
    chain: String,
}

/// The meaning of every scope. A run of steps with no rule and no condition is what its edges are.
fn scopes(plan: &Plan) -> Vec<Meaning> {
    let anchors = anchors(plan);
    let mut all: Vec<Meaning> = Vec::with_capacity(plan.scopes.len());
    for (at, scope) in plan.scopes.iter().enumerate() {
        let anchor = anchors[at].map_or(String::new(), StepId::to_string);
        let around = if at == 0 { "" } else { all[scope.parent.at()].chain.as_str() };
        let chain = chain(scope, &anchor, around, &all);
        all.push(Meaning { anchor, chain });
    }
    all
}

fn chain(scope: &Scope, anchor: &str, around: &str, before: &[Meaning]) -> String {
    let mut out = Encoder::default();
    out.field("within", around);
    out.field("anchor", anchor);
    match &scope.kind {
        ScopeKind::Plan => return String::new(),
        ScopeKind::Group { .. } | ScopeKind::Parallel if scope.rules == Rules::default() => {
            return around.to_owned();
        }
        ScopeKind::Group { .. } | ScopeKind::Parallel => out.text("steps"),
        ScopeKind::Attempt { all, then_continue } => {
            out.text("attempt");
            out.number(u64::from(*all) << 1 | u64::from(*then_continue));
        }
        ScopeKind::Handler { of } => out.field("handler", &before[of.at()].chain),
        ScopeKind::Always { of } => out.field("always", &before[of.at()].chain),
        ScopeKind::When { cond, is } => {
            let cond = serde_json::to_string(cond).expect("BUG: an expression is data");
            out.field(if *is { "when" } else { "otherwise" }, &cond);
        }
    }
    out.rules(&scope.rules);
    out.finish().to_hex().to_string()
}

/// The first step of each scope, by id.
fn anchors(plan: &Plan) -> Vec<Option<&StepId>> {
    let mut anchors: Vec<Option<&StepId>> = vec![None; plan.scopes.len()];
    for step in &plan.steps {
        let anchor = &mut anchors[step.scope.at()];
        *anchor = Some(anchor.map_or(&step.id, |known| known.min(&step.id)));
    }
    // An inner one stands behind the one around it.
    for at in (1..plan.scopes.len()).rev() {
        if let Some(inner) = anchors[at] {
            let outer = &mut anchors[plan.scopes[at].parent.at()];
            *outer = Some(outer.map_or(inner, |known| known.min(inner)));
        }
    }
    anchors
}

/// The answered warnings, sorted: what was answered, why, and for which steps.
fn acknowledged(plan: &Plan, scopes: &[Meaning]) -> Vec<String> {
    let hash = |one: &Acknowledgement| {
        let scope = plan.scope(one.scope);
        let mut out = Encoder::default();
        out.field(&one.code, &one.reason);
        out.text(&scopes[one.scope.at()].anchor);
        out.number(u64::from(scope.end.0 - scope.first.0));
        out.finish().to_hex().to_string()
    };
    let mut all: Vec<String> = plan.acknowledged.iter().map(hash).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Bytes that are hashed at once: hashing word by word costs several times as much.
const WAITING_BYTES: usize = 64 << 10;

/// Every text goes in with its length before it, so no two plans share an encoding.
#[derive(Default)]
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

    /// The text of a value, written in place.
    fn json(&mut self, value: &Json) {
        self.number(0);
        let start = self.waiting.len();
        serde_json::to_writer(&mut self.waiting, value).expect("BUG: a value can be written");
        let written = (self.waiting.len() - start) as u64;
        self.waiting[start - size_of::<u64>()..start].copy_from_slice(&written.to_le_bytes());
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

    fn finish(mut self) -> blake3::Hash {
        self.flush();
        self.hasher.finalize()
    }

    fn rules(&mut self, rules: &Rules) {
        // Sorted by name, what was not said left out.
        let rules = serde_json::to_value(rules).expect("BUG: rules are data");
        self.text("rules");
        self.json(&rules);
    }

    fn step(&mut self, plan: &Plan, step: &Step, scopes: &[Meaning]) {
        self.field("step", step.id.as_str());
        self.text(step.primitive);
        self.text(step.machine.as_ref().map_or("", |machine| machine.as_str()));
        self.json(&step.args.json());
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
        self.edges("follows", plan, &step.follows);
        self.edges("undoes", plan, step.undoes.as_slice());
        self.field("scope", &scopes[step.scope.at()].chain);
    }

    fn edges(&mut self, kind: &str, plan: &Plan, edges: &[StepIx]) {
        if let [only] = edges {
            return self.field(kind, plan.step(*only).id.as_str());
        }
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
    use crate::base::Side;
    use crate::plan::effect::Effect;
    use crate::plan::expr::Expr;
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
        let golden = "9eb083d41a6caefe9615a8c267bbc4fd193e2a2898df1557d3c2f2dd834b287a";
        assert_eq!(digest(&sample()).as_str(), golden);
    }

    #[test]
    fn places_names_of_files_and_the_order_of_unordered_steps_do_not_matter() {
        let plan = sample();
        let mut same = plan.clone();
        same.script = "elsewhere.rhai".into();
        for step in &mut same.steps {
            Arc::make_mut(&mut step.origin).at = Span::point("elsewhere.rhai".into(), 99, 9);
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
            |plan| plan.steps[0].args = serde_json::json!({ "mode": "full" }).into(),
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

    /// The sample with an attempt, its handler and a condition around steps; two groups side by side.
    fn scoped() -> Plan {
        let mut plan = sample();
        let cond = Arc::new(Expr::value(true));
        let of = ScopeIx(1);
        for (at, kind) in [
            (0, ScopeKind::Attempt { all: false, then_continue: false }),
            (1, ScopeKind::Handler { of }),
            (2, ScopeKind::When { cond, is: true }),
        ] {
            let (first, end) = (index(at), index(at + 1));
            plan.steps[at].scope = ScopeIx(u32::try_from(plan.scopes.len()).unwrap());
            plan.scopes.push(Scope { kind, first, end, ..Scope::plan() });
        }
        let group = ScopeKind::Group { name: "last".into() };
        plan.scopes.push(Scope { kind: group, first: index(3), end: index(4), ..Scope::plan() });
        plan.steps[3].scope = ScopeIx(4);
        plan.acknowledged.push(Acknowledgement {
            code: "H005".into(),
            reason: "seen".into(),
            scope: ScopeIx(4),
            at: Span::point("draft.rhai".into(), 1, 1),
        });
        plan
    }

    #[test]
    fn everything_that_scopes_say_shows() {
        let plan = scoped();
        let changes: [fn(&mut Plan); 12] = [
            |plan| plan.scopes[1].kind = ScopeKind::Attempt { all: true, then_continue: false },
            |plan| plan.scopes[1].kind = ScopeKind::Attempt { all: false, then_continue: true },
            |plan| plan.scopes[2].kind = ScopeKind::Always { of: ScopeIx(1) },
            |plan| plan.scopes[2].kind = ScopeKind::Parallel,
            |plan| {
                let cond = Arc::new(Expr::value(true));
                plan.scopes[3].kind = ScopeKind::When { cond, is: false };
            },
            |plan| {
                let cond = Arc::new(Expr::value(1));
                plan.scopes[3].kind = ScopeKind::When { cond, is: true };
            },
            |plan| plan.scopes[4].rules.at_most = Some(1),
            |plan| plan.scopes[0].rules.halt = true,
            |plan| plan.steps[0].scope = ScopeIx::PLAN,
            |plan| plan.steps[1].undoes = Some(index(0)),
            |plan| plan.steps[1].follows = vec![index(0)],
            |plan| plan.acknowledged[0].reason = "unseen".into(),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut changed = plan.clone();
            change(&mut changed);
            assert_ne!(digest(&changed), digest(&plan), "change {at}");
        }
    }

    #[test]
    fn names_of_groups_empty_scopes_and_the_order_of_scopes_do_not_matter() {
        let plan = scoped();
        let mut same = plan.clone();
        same.scopes[4].kind = ScopeKind::Parallel;
        same.acknowledged[0].at = Span::point("elsewhere.rhai".into(), 9, 9);
        let empty = ScopeKind::Group { name: "empty".into() };
        same.scopes
            .insert(4, Scope { kind: empty, first: index(3), end: index(3), ..Scope::plan() });
        same.scopes.swap(3, 5);
        same.steps[2].scope = ScopeIx(5);
        same.steps[3].scope = ScopeIx(3);
        same.acknowledged[0].scope = ScopeIx(3);
        assert_eq!(digest(&same), digest(&plan));
        same.scopes[5].rules.halt = true;
        assert_ne!(digest(&same), digest(&plan));
    }
}
