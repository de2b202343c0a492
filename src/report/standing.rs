//! How each machine stands in a run: where it runs, whether its data is safe, whether it is down.
//!
//! From the run's own fold; what was observed just now, when it was, goes before that.

use serde::Serialize;

use crate::base::{Json, MachineName, Side, StepId, Timestamp};
use crate::plan::effect::Effect;
use crate::plan::facts::{CommitState, Facts, MachineFacts, Power, Protection, ReplicaState};
use crate::plan::step::StepIx;
use crate::report::Seen;
use crate::report::clock::{Downtime, downtime};
use crate::report::given_up::{declared_lost, way_back};
use crate::run::state::{Status, StepState};

/// One machine of a run, for people and machines (§ 14: `machines`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The machine.
    pub machine: MachineName,
    /// Power in the cloud.
    pub cloud: Power,
    /// Power on-prem.
    pub onprem: Power,
    /// Power and replica were observed just now; else they are what the run did and the plan knew.
    pub observed: bool,
    /// Where its data is, and what it is worth.
    pub data: Data,
    /// No acknowledged write can be lost, or was given up, by what homing did so far.
    pub data_safe: bool,
    /// Its cloud side is deleted, or partly, or a side was declared lost: there is only forward.
    pub point_of_no_return_passed: bool,
    /// Seconds of downtime in this run; absent when nothing switched it off.
    pub downtime_s: Option<f64>,
    /// It is down now.
    pub down: bool,
    /// A step of it that failed for good, or was rejected.
    pub failed: Option<StepId>,
    /// A handler of it did its work: it is where it was before its attempt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
    /// The side whose last writes this run gave up: by a way back (H016), or because a person declared it
    /// lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<Side>,
    /// It takes no further step in this run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub excluded: bool,
    /// Steps done, or left out in order.
    pub steps_done: usize,
    /// Steps in all.
    pub steps: usize,
}

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// It runs in the cloud; the replica on-prem is behind.
    LiveInCloud,
    /// The same, but a transfer to the replica is not finished: the replica must not boot.
    LiveInCloudReplicaDirty,
    /// It is off; the last state is on the cloud disks, the replica has not all of it yet.
    OnCloudDisks,
    /// It runs nowhere, and has run on-prem since: only the disks there hold its newest data.
    OnOnpremDisks,
    /// It is off; cloud disks and replica are equal.
    OnBothSides,
    /// It runs on-prem; the cloud disks are still there.
    LiveOnprem,
    /// It runs on-prem; the cloud side is being deleted.
    LiveOnpremCommitting,
    /// It runs on-prem and is not protected.
    LiveOnpremUnprotected,
    /// It runs on-prem, protected towards the cloud.
    LiveOnpremProtected,
    /// It runs in the cloud; a person gave the on-prem side up.
    LiveInCloudAlone,
    /// It runs on-prem; a person gave the cloud side up.
    LiveOnpremAlone,
    /// It runs in the cloud; nobody sees its on-prem side.
    LiveInCloudTwinUnseen,
    /// It runs on-prem; nobody sees its cloud side.
    LiveOnpremTwinUnseen,
    /// It runs on a side that is not the one that was switched to last: both hold writes of their own.
    Split,
    /// It runs on-prem; the copy in the cloud is being overwritten, and must not boot.
    LiveOnpremReplicaDirty,
    /// It was started nowhere since a person gave a side up, which nobody sees.
    LeftAlone,
    /// Somebody deleted the side that held it: all that is left is a replica.
    Gone,
    /// Nobody can say.
    Unknown,
}

impl Data {
    /// Nothing that was acknowledged can be lost by what homing did.
    fn is_safe(self) -> bool {
        !matches!(self, Data::Unknown | Data::Gone | Data::Split | Data::LeftAlone)
    }

    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Data::LiveInCloud => "safe in cloud; replica older",
            Data::LiveInCloudReplicaDirty => "safe in cloud; replica dirty",
            Data::OnCloudDisks => "safe on cloud disks alone",
            Data::OnOnpremDisks => "safe on on-prem disks alone",
            Data::OnBothSides => "safe on both sides",
            Data::LiveOnprem => "safe on-prem; cloud disks kept",
            Data::LiveOnpremCommitting => "safe on-prem; half committed",
            Data::LiveOnpremUnprotected => "safe on-prem; NOT protected yet",
            Data::LiveOnpremProtected => "safe on-prem and protected",
            Data::LiveInCloudAlone => "in cloud alone; on-prem given up",
            Data::LiveOnpremAlone => "on-prem alone; cloud given up",
            Data::LiveInCloudTwinUnseen => "safe in cloud; on-prem unseen",
            Data::LiveOnpremTwinUnseen => "safe on-prem; cloud unseen",
            Data::Split => "SPLIT: each side has its own writes",
            Data::LiveOnpremReplicaDirty => "safe on-prem; cloud copy dirty",
            Data::LeftAlone => "NOT started; other side given up",
            Data::Gone => "GONE: only a replica is left",
            Data::Unknown => "UNKNOWN: observe the machine",
        }
    }
}

/// Every machine of the run, by name. Of one that is not among those `observed` nobody can say.
pub fn standings(seen: &Seen<'_>, observed: Option<&Facts>, now: Timestamp) -> Vec<Standing> {
    let facts = |machine: &MachineName| observed.and_then(|facts| facts.machines.get(machine));
    let one =
        |machine: &&MachineName| standing(seen, machine, facts(machine), observed.is_some(), now);
    seen.chains.keys().map(one).collect()
}

fn standing(
    seen: &Seen<'_>,
    machine: &MachineName,
    facts: Option<&MachineFacts>,
    // Machines were observed; this one could not be seen when it has no facts.
    observed: bool,
    now: Timestamp,
) -> Standing {
    let chain = seen.chains.get(machine).map(Vec::as_slice).unwrap_or_default();
    let mut walk = Walk::planned(seen, machine);
    for ix in chain {
        walk.step(seen.plan.step(*ix).effect, seen.state.step(*ix));
    }
    match (facts, observed) {
        (Some(facts), _) => walk.observe(facts),
        (None, true) => (walk.cloud, walk.onprem) = (Power::Unknown, Power::Unknown),
        (None, false) => {}
    }
    let data = walk.data();
    let clock = downtime(seen, machine, now);
    let is_up = walk.cloud == Power::On || walk.onprem == Power::On;
    let others_brought_it_up = is_up && facts.is_some() && seen.state.given_back.contains(machine);
    // A machine that came home in an earlier run has none of this run's behind it.
    let commits = chain.iter().any(|ix| seen.plan.step(*ix).effect == Effect::Commit);
    let gave_up = way_back(seen, machine).map(|(side, _)| side);
    let declared = declared_lost(seen, machine).map(|(side, _)| side);
    let gave_up = gave_up.or(declared);
    let failed = chain
        .iter()
        .find(|ix| matches!(seen.state.step(**ix).status, Status::Failed | Status::Rejected));
    let is_done =
        |ix: &&StepIx| matches!(seen.state.step(**ix).status, Status::Succeeded | Status::Skipped);
    let done = chain.iter().filter(is_done);
    Standing {
        machine: machine.clone(),
        cloud: walk.cloud,
        onprem: walk.onprem,
        observed: facts.is_some(),
        data,
        data_safe: data.is_safe() && gave_up.is_none(),
        point_of_no_return_passed: declared.is_some() || commits && walk.commit != Commit::No,
        // Of a machine that others brought up, this run does not know when.
        downtime_s: clock.filter(|_| !others_brought_it_up).map(|Downtime { seconds, .. }| seconds),
        down: walk.is_down(),
        failed: failed.map(|ix| seen.plan.step(*ix).id.clone()),
        rolled_back: is_rolled_back(seen, chain),
        gave_up,
        excluded: seen.state.excluded.contains(machine),
        steps_done: done.count(),
        steps: chain.len(),
    }
}

/// A handler ran for the machine, and every step of it that ran came to a good end.
fn is_rolled_back(seen: &Seen<'_>, chain: &[StepIx]) -> bool {
    let handles = |ix: &&StepIx| seen.plan.is_in_handler(seen.plan.step(**ix));
    let status = |ix: &StepIx| seen.state.step(*ix).status;
    let mut ran =
        chain.iter().filter(handles).map(status).filter(|s| *s != Status::Skipped).peekable();
    ran.peek().is_some() && ran.all(|status| status == Status::Succeeded)
}

/// How far a commit is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    No,
    Begun,
    Done,
}

/// A machine as the run's events leave it.
struct Walk {
    /// The side that held the live data when the plan was made.
    active: Option<Side>,
    cloud: Power,
    onprem: Power,
    dirty: bool,
    current: bool,
    commit: Commit,
    protected: bool,
    gone: bool,
    observed: bool,
}

impl Walk {
    /// As the plan found it, by the facts that it rests on.
    fn planned(seen: &Seen<'_>, machine: &MachineName) -> Walk {
        let own = |name: &str| {
            let mut facts = seen.plan.facts.iter();
            let fact = facts.find(|f| &*f.subject == machine.as_str() && &*f.fact == name)?;
            serde_json::from_str::<Json>(&fact.value).ok()
        };
        let power = |name: &str| {
            own(name).and_then(|value| serde_json::from_value(value).ok()).unwrap_or(Power::Unknown)
        };
        let active = own("where").and_then(|side| match side.as_str() {
            Some("cloud") => Some(Side::Cloud),
            Some("home") => Some(Side::Onprem),
            _ => None,
        });
        let is = |name: &str, value: Json| own(name) == Some(value);
        // What an earlier run committed is behind this one too.
        let committed = is("commit", "committed".into()) && is("cloud.exists", false.into());
        Walk {
            active,
            cloud: power("cloud.power"),
            onprem: power("onprem.power"),
            dirty: false,
            current: false,
            commit: if committed { Commit::Done } else { Commit::No },
            protected: false,
            gone: false,
            observed: false,
        }
    }

    fn step(&mut self, effect: Effect, state: &StepState) {
        let done = state.status == Status::Succeeded;
        if state.attempts == 0 && !done {
            return;
        }
        match effect {
            Effect::Stop(side) => self.switch(side, Power::Off, done),
            Effect::DeclareLost(side) if done => self.switch(side, Power::Lost, true),
            Effect::Start(side) => {
                self.switch(side, Power::On, done);
                // Whatever runs takes writes: from here on the newest data is there.
                self.active = if done { Some(side) } else { self.active };
                self.current = self.current && !done;
            }
            Effect::Transfer { .. } => {
                self.dirty = !done;
                self.current = done && self.cloud == Power::Off;
            }
            // What was given up is not deleted: nobody reaches it.
            Effect::Commit if done && self.cloud == Power::Lost => self.commit = Commit::Done,
            Effect::Commit if done => (self.commit, self.cloud) = (Commit::Done, Power::Off),
            // Only what was announced may have been deleted.
            Effect::Commit if state.intent.is_some() => self.commit = Commit::Begun,
            Effect::ReverseReplicate => self.protected = done,
            _ => {}
        }
    }

    fn switch(&mut self, side: Side, to: Power, done: bool) {
        let power = match side {
            Side::Cloud => &mut self.cloud,
            Side::Onprem => &mut self.onprem,
        };
        *power = if done { to } else { Power::Unknown };
    }

    fn observe(&mut self, facts: &MachineFacts) {
        self.active = Some(facts.active);
        self.observed = true;
        let live = match facts.active {
            Side::Cloud => &facts.cloud,
            Side::Onprem => &facts.onprem,
        };
        self.gone = !live.exists && live.power == Power::Off;
        self.cloud = facts.cloud.power;
        self.onprem = facts.onprem.power;
        self.dirty = facts.dirty.is_some() || facts.replica == ReplicaState::Dirty;
        self.current = facts.replica == ReplicaState::Current;
        self.protected = facts.protection == Protection::OnpremToCloud;
        if facts.commit == CommitState::Begun {
            self.commit = Commit::Begun;
        }
        if !facts.cloud.exists && facts.commit == CommitState::Committed {
            self.commit = Commit::Done;
        }
    }

    /// As far as anybody knows. What could not be looked at just now may well run.
    fn is_down(&self) -> bool {
        let rests = |power: Power| power.is_off() || (power == Power::Unknown && !self.observed);
        self.cloud.is_off() && rests(self.onprem)
    }

    /// The side with the newest data was looked at just now.
    fn sees(&self, live: Side) -> bool {
        self.observed && self.active == Some(live)
    }

    fn data(&self) -> Data {
        if self.gone {
            return Data::Gone;
        }
        match (self.cloud, self.onprem, self.commit) {
            (Power::On, Power::On, _) => Data::Split,
            (Power::On, Power::Off, _) if self.active == Some(Side::Onprem) => Data::Split,
            (Power::Off, Power::On, Commit::No) if self.active == Some(Side::Cloud) => Data::Split,
            (Power::On, Power::Lost, _) => Data::LiveInCloudAlone,
            (Power::Lost, Power::On, _) => Data::LiveOnpremAlone,
            (Power::Lost, _, _) | (_, Power::Lost, _) => Data::LeftAlone,
            (Power::On, Power::Unknown, _) if self.sees(Side::Cloud) => Data::LiveInCloudTwinUnseen,
            (Power::Unknown, Power::On, _) if self.sees(Side::Onprem) => Data::LiveOnpremTwinUnseen,
            (_, Power::On, Commit::Done) if self.dirty => Data::LiveOnpremReplicaDirty,
            (Power::Off, Power::On, _) if self.dirty => Data::LiveOnpremReplicaDirty,
            (_, Power::On, Commit::Begun) => Data::LiveOnpremCommitting,
            (_, Power::On, Commit::Done) if self.protected => Data::LiveOnpremProtected,
            (_, Power::On, Commit::Done) => Data::LiveOnpremUnprotected,
            (Power::Off, Power::On, Commit::No) if self.protected => Data::LiveOnpremProtected,
            (Power::Off, Power::On, Commit::No) => Data::LiveOnprem,
            (Power::On, Power::Off | Power::Unknown, _) if self.dirty => {
                Data::LiveInCloudReplicaDirty
            }
            (Power::On, Power::Off, _) => Data::LiveInCloud,
            (Power::Off, Power::Off | Power::Unknown, Commit::No) if self.current => {
                Data::OnBothSides
            }
            (Power::Off, Power::Off, _) if self.active == Some(Side::Onprem) => Data::OnOnpremDisks,
            (Power::Off, Power::Off, Commit::No) => Data::OnCloudDisks,
            // Nobody knows whether it was turned off; its twin does not run, so no other copy is newer.
            (Power::Unknown, Power::Off, Commit::No)
                if self.active == Some(Side::Cloud) && !self.observed =>
            {
                Data::OnCloudDisks
            }
            _ => Data::Unknown,
        }
    }
}
