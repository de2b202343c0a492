//! Proof: no path through a plan loses data.
//!
//! In: a traced plan and what was observed. Out: a [`VerifiedPlan`], or the rules it breaks, at the
//! script's lines. Refuses to know: files, clocks, the names of primitives.
//!
//! [`step`] alone knows what a step does to a machine; each file in `rules` looks at the states before a
//! step, or at the plan as it is written; `flow` leads the states through guards, attempts, handlers and
//! clean-up; `pass` brings them together, once over the plan.

mod deleted;
mod downtime;
mod flow;
mod guards;
mod lanes;
mod observed;
mod pass;
mod report;
mod rules;
pub mod state;
pub mod step;

use std::collections::BTreeSet;

use crate::base::Digest;
use crate::diagnostic::{Diagnostic, any_error};
use crate::plan::digest::Begun;
use crate::plan::effect::Effect;
use crate::plan::facts::{Fact, FactLog, Facts};
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::step::StepIx;
use crate::verify::guards::Table;
use crate::verify::report::Findings;

pub use downtime::Downtime;

/// A plan that no rule refuses: the only ticket to showing, saving and running it.
#[derive(Clone, Debug)]
pub struct VerifiedPlan {
    plan: Plan,
    digest: Digest,
    warnings: Vec<Diagnostic>,
    acknowledged: Vec<Acknowledged>,
}

/// A warning that the script answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Acknowledged {
    /// The warning.
    pub warning: Diagnostic,
    /// Why it is accepted.
    pub reason: String,
}

impl VerifiedPlan {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it means.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What somebody should look at before it runs, and nobody has answered.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// What the script answers, with its reasons.
    pub fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    /// The codes of the rules that it was checked against.
    pub fn rules(&self) -> &'static [&'static str] {
        rules::CODES
    }
}

/// What came of proving a plan.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The plan, when no rule refuses it.
    pub plan: Option<VerifiedPlan>,
    /// What the rules found and the script does not answer, in the order of the steps.
    pub diagnostics: Vec<Diagnostic>,
}

/// Proves a plan. What the rules read of `facts` becomes part of the plan's facts, and so of its digest.
pub fn verify(mut plan: Plan, facts: &FactLog<'_>, inventory: &Inventory) -> Verdict {
    let mut findings = Findings::default();
    // The digest is taken while the proof runs: neither needs the other.
    let begun = std::thread::scope(|scope| {
        let begun = scope.spawn(|| Begun::new(&plan));
        let ground = rules::Ground::new(&plan, facts, inventory);
        let table = Table::of(&plan);
        pass::pass(&ground, &table, &mut findings);
        rules::as_written(&ground, &mut findings);
        begun.join().expect("BUG: a digest can be made of every plan")
    });
    let (diagnostics, acknowledged) = answered(findings, &plan);
    plan.facts.append(&mut facts.take());
    if any_error(&diagnostics) {
        return Verdict { plan: None, diagnostics };
    }
    let digest = begun.finish(&plan.facts);
    let warnings = diagnostics.clone();
    Verdict { plan: Some(VerifiedPlan { plan, digest, warnings, acknowledged }), diagnostics }
}

/// Proves a plan once more as if it rested on other facts, and as if these steps did nothing.
pub fn verify_with(
    plan: &Plan,
    facts: BTreeSet<Fact>,
    left_out: &[StepIx],
    inventory: &Inventory,
) -> Verdict {
    let (nothing, mut plan) = (Facts::default(), Plan { facts, ..plan.clone() });
    for ix in left_out {
        plan.steps[ix.at()].effect = Effect::Nothing;
    }
    let log = FactLog::resting_on(&nothing, &plan.facts);
    verify(plan, &log, inventory)
}

impl Verdict {
    /// The same; the script answers these as well.
    #[must_use]
    pub fn and_answered(mut self, answered: Vec<Acknowledged>) -> Verdict {
        if let Some(proved) = &mut self.plan {
            proved.acknowledged.extend(answered);
        }
        self
    }
}

/// What was found, apart from what the script answers.
fn answered(findings: Findings, plan: &Plan) -> (Vec<Diagnostic>, Vec<Acknowledged>) {
    let (mut open, mut acknowledged) = (Vec::new(), Vec::new());
    for (warning, answer) in findings.diagnostics(plan) {
        match answer {
            Some(answer) => {
                let reason = answer.reason.clone();
                acknowledged.push(Acknowledged { warning, reason });
            }
            None => open.push(warning),
        }
    }
    (open, acknowledged)
}

#[cfg(test)]
mod trial;

#[cfg(test)]
pub(crate) mod tests {
    //! Every rule, refused and allowed.

    use super::*;
    use crate::base::{HostName, Side, SiteName, SyncId};
    use crate::plan::digest::digest;
    use crate::plan::effect::{Chosen, Effect, Mode};
    use crate::plan::facts::tests::away;
    use crate::plan::facts::{
        CommitState, DirtyMark, Facts, HostFacts, MachineFacts, Power, ReplicaState,
    };
    use crate::plan::graph::tests::{Draft, machine};
    use crate::plan::inventory::MachineEntry;
    use crate::plan::scope::{Acknowledgement, ScopeIx};

    pub(crate) const WEB: &str = "web-01";
    pub(crate) const DB: &str = "db-01";
    pub(crate) const STOP: Effect = Effect::Stop(Side::Cloud);
    pub(crate) const START: Effect = Effect::Start(Side::Onprem);
    pub(crate) const FINAL: Effect =
        Effect::Transfer { mode: Mode::Delta, from_snapshot: false, chosen: Chosen::NOTHING };
    pub(crate) const CHECK: Effect = Effect::Check { side: None, asserts: true };

    pub(crate) fn inventory() -> Inventory {
        let site = |name: &str| SiteName::new(name).unwrap();
        let entry = MachineEntry {
            cloud: site("azure"),
            onprem: site("dc1"),
            host: HostName::new("hv-01").unwrap(),
            disks: vec![64 << 20],
            tags: Default::default(),
            needs: Vec::new(),
            rto_s: None,
            key: None,
            address: Default::default(),
            settings: Default::default(),
        };
        let machines = [(machine(WEB), entry.clone()), (machine(DB), entry)].into();
        Inventory { machines, ..Inventory::default() }
    }

    pub(crate) fn facts_of(facts: MachineFacts) -> Facts {
        let host = HostFacts {
            connected: true,
            switches: Default::default(),
            isolated: Default::default(),
            free_bytes: 1 << 40,
        };
        let key = (SiteName::new("dc1").unwrap(), facts.host.clone());
        Facts {
            now: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            machines: [(machine(WEB), facts.clone()), (machine(DB), facts)].into(),
            hosts: [(key, host)].into(),
        }
    }

    /// A machine at home whose commit is still to come.
    pub(crate) fn switched() -> MachineFacts {
        let mut facts = away();
        facts.active = Side::Onprem;
        facts.cloud.power = Power::Off;
        facts.onprem.power = Power::On;
        facts.commit = CommitState::Pending;
        facts
    }

    fn prove(plan: Plan, facts: &Facts) -> Verdict {
        verify(plan, &FactLog::new(facts), &inventory())
    }

    fn told(verdict: &Verdict, wanted: impl Fn(&Diagnostic) -> bool) -> Vec<String> {
        let line = |d: &Diagnostic| d.at.as_ref().map_or(0, |at| at.line);
        let told = verdict.diagnostics.iter().filter(|d| wanted(d));
        told.map(|d| format!("{}@{}", d.code, line(d))).collect()
    }

    /// The errors that the rules find, as `code@line`.
    fn found(plan: Plan, facts: MachineFacts) -> Vec<String> {
        let verdict = prove(plan, &facts_of(facts));
        assert_eq!(verdict.plan.is_none(), any_error(&verdict.diagnostics));
        told(&verdict, Diagnostic::is_error)
    }

    /// Where one warning is found.
    fn warned(plan: Plan, facts: MachineFacts, code: &str) -> Vec<String> {
        told(&prove(plan, &facts_of(facts)), |d| !d.is_error() && d.code == code)
    }

    /// A chain of one machine.
    fn chain(effects: &[Effect]) -> Plan {
        let mut draft = Draft::default();
        for effect in effects {
            draft.step(WEB, *effect);
        }
        draft.plan
    }

    fn chain_found(effects: &[Effect], facts: MachineFacts) -> Vec<String> {
        found(chain(effects), facts)
    }

    fn whole() -> Draft {
        let mut draft = Draft::default();
        let snapshot = draft.step(WEB, Effect::Snapshot);
        draft.transfer_of(WEB, snapshot);
        draft.gate("complete");
        for effect in [STOP, FINAL, START, CHECK] {
            draft.step(WEB, effect);
        }
        draft.gate("commit");
        draft.step(WEB, Effect::Commit);
        draft.step(WEB, Effect::ReverseReplicate);
        draft
    }

    #[test]
    fn a_whole_failback_passes_and_rests_on_what_the_rules_read() {
        let verdict = prove(whole().plan, &facts_of(away()));
        // Two gates without a limit, and a transfer that no handler stands behind.
        assert_eq!(told(&verdict, |_| true), ["H013@3", "H019@5", "H013@8"]);
        let plan = verdict.plan.unwrap();
        let facts: Vec<_> =
            plan.plan().facts.iter().map(|f| format!("{} {}", f.subject, f.fact)).collect();
        assert!(facts.contains(&"web-01 replica".to_owned()), "{facts:?}");
        assert!(facts.contains(&"dc1/hv-01 connected".to_owned()), "{facts:?}");
        assert_eq!(plan.digest(), &digest(plan.plan()), "the digest covers the facts");
        assert!(plan.rules().contains(&"H001"));
    }

    #[test]
    fn h001_either_side_starts_while_the_other_may_run() {
        let mut draft = Draft::default();
        let snapshot = draft.step(WEB, Effect::Snapshot);
        draft.transfer_of(WEB, snapshot);
        draft.step(WEB, START);
        assert_eq!(found(draft.plan, away()), ["H001@3"]);

        let mut unknown = away();
        unknown.cloud.power = Power::Unknown;
        unknown.replica = ReplicaState::Current;
        assert_eq!(chain_found(&[START], unknown), ["H001@1"]);

        let back = Effect::Start(Side::Cloud);
        assert_eq!(chain_found(&[STOP, FINAL, START, back], away()), ["H001@4"]);
    }

    #[test]
    fn h001_when_the_shutdown_may_fail_and_the_plan_goes_on() {
        let mut plan = chain(&[STOP, FINAL, START]);
        plan.steps[0].optional = true;
        let verdict = prove(plan, &facts_of(away()));
        let split = verdict.diagnostics.iter().find(|d| d.code == "H001").unwrap();
        assert_eq!(split.at.as_ref().unwrap().line, 3);
        assert_eq!(split.related[0].at.line, 1);
        assert!(split.related[0].message.contains("if this fails"), "{}", split.related[0].message);
    }

    #[test]
    fn h002_the_copy_is_of_an_earlier_moment() {
        let mut draft = Draft::default();
        let snapshot = draft.step(WEB, Effect::Snapshot);
        draft.step(WEB, STOP);
        draft.transfer_of(WEB, snapshot);
        draft.step(WEB, START);
        assert_eq!(found(draft.plan, away()), ["H002@4"], "the snapshot is older than the stop");

        let mut draft = Draft::default();
        draft.step(WEB, STOP);
        let snapshot = draft.step(WEB, Effect::Snapshot);
        draft.transfer_of(WEB, snapshot);
        draft.step(WEB, START);
        assert_eq!(
            found(draft.plan, away()),
            [""; 0],
            "a snapshot of the stopped machine is the last moment"
        );

        assert_eq!(chain_found(&[STOP, START], away()), ["H002@2"], "nothing was copied at all");
    }

    #[test]
    fn h002_the_source_ran_again_after_the_final_transfer() {
        let (on, start) = (Effect::Start(Side::Cloud), START);
        assert_eq!(chain_found(&[STOP, FINAL, on, STOP, start], away()), ["H002@5"]);
        assert_eq!(chain_found(&[STOP, FINAL, on, STOP, FINAL, start], away()), [""; 0]);
    }

    #[test]
    fn going_back_is_free_until_home_took_writes() {
        let back = Effect::Start(Side::Cloud);
        assert_eq!(chain_found(&[STOP, FINAL, back], away()), [""; 0]);
        let off = Effect::Stop(Side::Onprem);
        let mut back = chain(&[STOP, FINAL, START, off, back]);
        assert_eq!(found(back.clone(), away()), [""; 0], "a way back is meant");
        assert_eq!(warned(back.clone(), away(), "H016"), ["H016@5"]);
        back.acknowledged.push(Acknowledgement {
            code: "H016".into(),
            reason: "the application keeps nothing".into(),
            scope: ScopeIx::PLAN,
            at: crate::source::Span::point("draft.rhai".into(), 1, 1),
        });
        let verdict = prove(back, &facts_of(away()));
        assert_eq!(told(&verdict, |d| d.code == "H016"), [""; 0]);
        let answered = verdict.plan.unwrap();
        let answered = answered.acknowledged();
        assert_eq!((answered.len(), &*answered[0].warning.code), (1, "H016"));
        assert_eq!(answered[0].reason, "the application keeps nothing");
    }

    #[test]
    fn h016_says_what_the_run_asks_for_where_disks_were_found_diverged() {
        let back = || chain(&[Effect::Stop(Side::Onprem), Effect::Start(Side::Cloud)]);
        let help = |replica| {
            let verdict = prove(back(), &facts_of(MachineFacts { replica, ..switched() }));
            let lost = verdict.diagnostics.into_iter().find(|d| d.code == "H016").unwrap();
            lost.help.unwrap()
        };
        assert!(help(ReplicaState::Diverged).contains("refuses with H304"));
        assert!(!help(ReplicaState::Stale).contains("H304"), "its site says that they rest");
    }

    #[test]
    fn h003_a_transfer_that_may_fail_before_a_boot() {
        let mut plan = chain(&[STOP, FINAL, START]);
        plan.steps[1].optional = true;
        let verdict = prove(plan, &facts_of(away()));
        assert_eq!(told(&verdict, |_| true), ["H003@3"]);
        let dirty = &verdict.diagnostics[0];
        assert_eq!((&*dirty.code, dirty.at.as_ref().unwrap().line), ("H003", 3));
        assert_eq!(dirty.related[0].at.line, 2);
    }

    #[test]
    fn h003_an_observed_mark_names_its_run_and_the_way_out() {
        let mut facts = away();
        facts.cloud.power = Power::Off;
        facts.replica = ReplicaState::Dirty;
        facts.dirty = Some(DirtyMark {
            sync: SyncId::new("s").unwrap(),
            run: "run-7".into(),
            step: "web-01.transfer.2".into(),
        });
        let verdict = prove(chain(&[START]), &facts_of(facts.clone()));
        let dirty = &verdict.diagnostics[0];
        assert_eq!(dirty.code, "H003");
        assert!(dirty.message.contains("run-7") && dirty.message.contains("web-01.transfer.2"));
        assert!(dirty.help.as_ref().unwrap().contains("homing resume run-7"));
        assert_eq!(
            chain_found(&[FINAL, START], facts.clone()),
            [""; 0],
            "another transfer mends it"
        );

        facts.cloud.power = Power::On;
        assert_eq!(chain_found(&[START], facts), ["H001@1", "H003@1"], "both, when both are so");
    }

    #[test]
    fn h003_whatever_else_cannot_be_booted() {
        for replica in [ReplicaState::Absent, ReplicaState::Unknown, ReplicaState::Diverged] {
            let mut facts = away();
            facts.cloud.power = Power::Off;
            facts.replica = replica;
            assert_eq!(chain_found(&[START], facts), ["H003@1"], "{replica:?}");
        }
    }

    #[test]
    fn starting_or_stopping_what_is_so_already_does_nothing() {
        assert_eq!(chain_found(&[START, Effect::Commit], switched()), [""; 0]);
        assert_eq!(chain_found(&[STOP, START, STOP], switched()), [""; 0]);
        // A stop of what is off cannot leave it running, even where it may fail.
        let mut plan = chain(&[STOP, START]);
        plan.steps[0].optional = true;
        assert_eq!(found(plan, switched()), [""; 0]);
    }

    #[test]
    fn h004_a_commit_before_home_runs() {
        assert_eq!(chain_found(&[STOP, FINAL, Effect::Commit, START], away()), ["H004@3"]);
        assert_eq!(chain_found(&[Effect::Commit], away()), ["H004@1"]);
        let off = Effect::Stop(Side::Onprem);
        assert_eq!(chain_found(&[off, Effect::Commit], switched()), ["H004@2"]);
    }

    #[test]
    fn h006_the_other_direction_before_the_commit() {
        let reverse = Effect::ReverseReplicate;
        assert_eq!(chain_found(&[STOP, FINAL, START, reverse], away()), ["H006@4"]);
        assert_eq!(chain_found(&[STOP, FINAL, START, reverse, Effect::Commit], away()), ["H006@4"]);
        assert_eq!(chain_found(&[reverse], away()), ["H006@1"]);
    }

    #[test]
    fn h007_what_was_deleted_is_gone() {
        let mut home = vec![STOP, FINAL, START, Effect::Commit];
        home.push(STOP);
        assert_eq!(chain_found(&home, away()), ["H007@5"]);
        home[4] = Effect::Start(Side::Cloud);
        assert_eq!(chain_found(&home, away()), ["H007@5"]);
        home[4] = Effect::Commit;
        assert_eq!(chain_found(&home, away()), ["H007@5"]);

        let mut draft = Draft::default();
        let snapshot = draft.step(WEB, Effect::Snapshot);
        let release = draft.step(WEB, Effect::ReleaseSnapshot);
        draft.give(release, snapshot);
        draft.transfer_of(WEB, snapshot);
        assert_eq!(found(draft.plan, away()), ["H007@3"]);

        let mut draft = Draft::default();
        let snapshot = draft.step(WEB, Effect::Snapshot);
        for effect in [STOP, FINAL, START, Effect::Commit] {
            draft.step(WEB, effect);
        }
        draft.transfer_of(WEB, snapshot);
        assert_eq!(found(draft.plan, away()), ["H007@6"]);
    }

    #[test]
    fn h008_changes_onto_nothing() {
        let mut facts = away();
        facts.replica = ReplicaState::Absent;
        facts.cloud.power = Power::Off;
        let changes = Effect::Transfer {
            mode: Mode::Delta,
            from_snapshot: false,
            chosen: Chosen { mode: true, ..Chosen::NOTHING },
        };
        assert_eq!(chain_found(&[changes], facts.clone()), ["H008@1"]);
        assert_eq!(chain_found(&[FINAL], facts.clone()), [""; 0], "auto sees that when it runs");
        let full =
            Effect::Transfer { mode: Mode::Full, from_snapshot: false, chosen: Chosen::NOTHING };
        assert_eq!(chain_found(&[full, changes], facts.clone()), [""; 0]);
        // A full copy that may fail leaves it perhaps as absent as before.
        let mut plan = chain(&[full, changes]);
        plan.steps[0].optional = true;
        assert_eq!(found(plan, facts), ["H008@2"]);
    }

    #[test]
    fn h009_hosts_sides_and_commits() {
        let mut facts = away();
        facts.cloud.power = Power::Off;
        facts.onprem.exists = false;
        facts.replica = ReplicaState::Absent;
        let full =
            Effect::Transfer { mode: Mode::Full, from_snapshot: false, chosen: Chosen::NOTHING };
        assert_eq!(chain_found(&[full, START], facts.clone()), ["H009@2"]);
        assert_eq!(
            chain_found(&[Effect::CreateOnprem { moves: false }, full, START], facts),
            [""; 0]
        );

        let mut facts = away();
        facts.commit = CommitState::Pending;
        assert_eq!(chain_found(&[Effect::Snapshot, STOP, FINAL, START], facts), ["H009@1"]);
        assert_eq!(chain_found(&[FINAL], away()), ["H009@1"], "disks of a running machine");

        let mut unplugged = facts_of(away());
        unplugged.hosts.values_mut().for_each(|host| host.connected = false);
        let verdict = prove(chain(&[STOP, FINAL, START]), &unplugged);
        assert_eq!(told(&verdict, Diagnostic::is_error), ["H009@2"]);
        assert!(verdict.diagnostics[0].message.contains("dc1/hv-01"));

        let nothing = prove(chain(&[STOP]), &Facts::default());
        assert_eq!(nothing.diagnostics[0].code, "H009", "nothing is known, nothing is proved");
    }

    #[test]
    fn a_failback_resumed_by_a_new_plan_may_commit_and_must_before_it_copies() {
        let finish = [Effect::Commit, Effect::ReverseReplicate];
        assert_eq!(chain_found(&finish, switched()), [""; 0]);
        assert_eq!(chain_found(&[Effect::Snapshot], switched()), ["H009@1"]);
        let mut home = switched();
        home.commit = CommitState::Committed;
        home.cloud.exists = false;
        assert_eq!(chain_found(&[Effect::ReverseReplicate], home.clone()), [""; 0]);
        assert_eq!(chain_found(&[STOP], home.clone()), ["H009@1"]);
        assert_eq!(chain_found(&[Effect::Commit], home), ["H009@1"]);
    }

    #[test]
    fn a_loop_over_machines_is_told_once() {
        let mut draft = Draft::default();
        for name in [WEB, DB] {
            draft.step(name, STOP);
            draft.step(name, START);
        }
        let mut plan = draft.plan;
        for step in &mut plan.steps {
            let line = if step.effect == STOP { 1 } else { 2 };
            std::sync::Arc::make_mut(&mut step.origin).at =
                crate::source::Span::point("draft.rhai".into(), line, 1);
        }
        let verdict = prove(plan, &facts_of(away()));
        assert_eq!(verdict.diagnostics.len(), 1);
        assert!(verdict.diagnostics[0].message.ends_with("the same for `db-01`"));
    }
}
