//! Facts: what was observed of machines and hosts when a plan was made.
//!
//! [`FACTS`] lists every fact a script or a rule can read; reading one records it in the plan, and a run
//! observes it again. A fact nobody read cannot make a plan stale.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::units::parse_duration;
use crate::base::{HostName, Json, MachineName, Shared, Side, SiteName, SyncId, Timestamp};
use crate::plan::reading::{Machines, Read, Reads, Value};
pub use crate::plan::stands::{CommitState, Power, Protection, ReplicaState};

/// One side of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideFacts {
    /// The machine exists on this side (its disks and its definition).
    pub exists: bool,
    /// Whether it runs.
    pub power: Power,
    /// It cannot be started but by homing (a `shutdown_*` fenced it).
    pub fenced: bool,
    /// The token of this side's boot and disk state; empty when it does not exist.
    pub generation: String,
}

/// The durable mark of a transfer that began and was not verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirtyMark {
    /// The synchronization that may trust its checkpoint.
    pub sync: SyncId,
    /// The run it belongs to.
    pub run: String,
    /// The step it belongs to.
    pub step: String,
}

/// Everything observed of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// The side that holds the live data: it runs there, or ran there last.
    pub active: Side,
    /// The cloud side.
    pub cloud: SideFacts,
    /// The on-prem side.
    pub onprem: SideFacts,
    /// The on-prem host that holds the replica, or would.
    pub host: HostName,
    /// What the passive side's disks are worth.
    pub replica: ReplicaState,
    /// Why the replica is dirty.
    pub dirty: Option<DirtyMark>,
    /// Where the last failover stands.
    pub commit: CommitState,
    /// Which way changes are replicated.
    pub protection: Protection,
    /// The disks are encrypted with a key that a transfer must know.
    pub encrypted: bool,
    /// All disks together, bytes.
    pub disk_bytes: u64,
    /// When it failed over to the cloud.
    pub failed_over_at: Option<Timestamp>,
    /// When the replica was last verified equal to its source.
    pub synced_at: Option<Timestamp>,
}

impl MachineFacts {
    /// One side.
    pub fn side(&self, side: Side) -> &SideFacts {
        match side {
            Side::Cloud => &self.cloud,
            Side::Onprem => &self.onprem,
        }
    }
}

/// What was observed of one on-prem host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Homing can reach it.
    pub connected: bool,
    /// Its virtual switches that lead to where machines are at work.
    pub switches: BTreeSet<String>,
    /// Its virtual switches that lead nowhere: for isolated copies.
    #[serde(default)]
    pub isolated: BTreeSet<String>,
    /// Bytes free for disks.
    pub free_bytes: u64,
}

/// A fact of a host, with subject `site/host`: homing reaches it.
pub const HOST_CONNECTED: &str = "connected";

/// The subject under which a plan records which machines a selection found.
pub const SELECTION: &str = "vms";

/// A host at its site.
pub type HostKey = (SiteName, HostName);

/// All that was observed so far. Grows round by round until nothing is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// When observing began; ages are counted up to here.
    pub now: Option<Timestamp>,
    /// By machine.
    pub machines: Shared<BTreeMap<MachineName, MachineFacts>>,
    /// By site and host.
    pub hosts: BTreeMap<HostKey, HostFacts>,
}

/// One fact that a plan rests on, with the value it had. What `run` checks again. The same few texts
/// stand in very many facts, so they are shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fact {
    /// A machine, `site/host`, or `vms` for a selection.
    pub subject: Arc<str>,
    /// The name in [`FACTS`], with its argument: `replica`, `away_over("30d")`; a selection's terms.
    pub fact: Arc<str>,
    /// Its value, as canonical JSON text (facts are compared and hashed as text).
    pub value: Arc<str>,
}

impl Fact {
    /// A fact with its value as data.
    pub fn new(subject: impl Into<Arc<str>>, fact: impl Into<Arc<str>>, value: &Json) -> Fact {
        Fact { subject: subject.into(), fact: fact.into(), value: value.to_string().into() }
    }

    /// Whether it still has the value that the plan rests on.
    pub fn holds(&self, now: &Json) -> bool {
        let now = now.to_string();
        *now == *self.value
    }
}

/// The type of a fact's value, for the reference and for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactType {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A text.
    Text,
}

/// One fact that a machine has.
pub struct FactSpec {
    /// As scripts write it after the machine: `onprem.exists`, `away_over`.
    pub name: &'static str,
    /// It takes a duration: `m.away_over("30d")`.
    pub takes_duration: bool,
    /// The type of its value.
    pub ty: FactType,
    /// What it says.
    pub doc: &'static str,
    get: for<'m> fn(&'m MachineFacts, &Ages) -> Value<'m>,
}

/// What a fact about time is measured against.
struct Ages {
    now: Timestamp,
    duration_s: f64,
}

impl Ages {
    fn older(&self, than: Option<Timestamp>) -> bool {
        than.is_some_and(|at| self.now.duration_since(at).as_secs_f64() >= self.duration_s)
    }
}

macro_rules! fact {
    ($name:literal, $ty:ident, $doc:literal, $get:expr) => {
        FactSpec { name: $name, takes_duration: false, ty: FactType::$ty, doc: $doc, get: $get }
    };
    ($name:literal (duration), $ty:ident, $doc:literal, $get:expr) => {
        FactSpec { name: $name, takes_duration: true, ty: FactType::$ty, doc: $doc, get: $get }
    };
}

/// Every observed fact of a machine.
pub static FACTS: &[FactSpec] = &[
    fact!("where", Text, "the side that holds the live data: `cloud` or `home`", |m, _| {
        Value::Text(if m.active == Side::Cloud { "cloud" } else { "home" })
    }),
    fact!("cloud.exists", Bool, "the machine exists in the cloud", |m, _| Value::Bool(
        m.cloud.exists
    )),
    fact!("cloud.power", Text, "`on`, `off`, `unknown` or `lost`", |m, _| Value::Text(
        m.cloud.power.word()
    )),
    fact!("cloud.fenced", Bool, "it can only be started by homing", |m, _| Value::Bool(
        m.cloud.fenced
    )),
    fact!("onprem.exists", Bool, "the machine exists on-prem", |m, _| Value::Bool(m.onprem.exists)),
    fact!("onprem.power", Text, "`on`, `off`, `unknown` or `lost`", |m, _| Value::Text(
        m.onprem.power.word()
    )),
    fact!("onprem.fenced", Bool, "it can only be started by homing", |m, _| Value::Bool(
        m.onprem.fenced
    )),
    fact!("host", Text, "the on-prem host that holds the replica, or would", |m, _| {
        Value::Text(m.host.as_str())
    }),
    fact!(
        "replica",
        Text,
        "`absent`, `unknown`, `dirty`, `diverged`, `stale` or `current`",
        |m, _| Value::Text(m.replica.word())
    ),
    fact!(
        "commit",
        Text,
        "the last switch: `pending`, `begun` or `committed`",
        |m, _| Value::Text(m.commit.word())
    ),
    fact!("protection", Text, "`onprem_to_cloud` or `none`", |m, _| Value::Text(
        m.protection.word()
    )),
    fact!("encrypted", Bool, "its disks are encrypted", |m, _| Value::Bool(m.encrypted)),
    fact!("disk_bytes", Int, "all its disks together, bytes", |m, _| Value::Int(m.disk_bytes)),
    fact!(
        "away_over"(duration),
        Bool,
        "it failed over to the cloud at least that long ago",
        |m, ages| Value::Bool(ages.older(m.failed_over_at))
    ),
    fact!(
        "synced_within"(duration),
        Bool,
        "its replica was verified within that time",
        |m, ages| Value::Bool(m.synced_at.is_some() && !ages.older(m.synced_at))
    ),
];

/// The spec of a fact by its bare name.
pub fn find_fact(name: &str) -> Option<&'static FactSpec> {
    FACTS.iter().find(|spec| spec.name == name)
}

/// How a plan records a fact that takes a duration: `away_over("30d")`.
pub fn with_duration(name: &str, duration: &str) -> String {
    format!("{name}(\"{duration}\")")
}

impl Facts {
    /// The value of a machine's fact, written as the plan records it (`replica`, `away_over("30d")`).
    /// `None`: the machine has not been observed, or there is no such fact.
    pub fn get(&self, machine: &MachineName, fact: &str) -> Option<Json> {
        self.value(self.machines.get(machine)?, fact).map(Json::from)
    }

    fn value<'m>(&self, observed: &'m MachineFacts, fact: &str) -> Option<Value<'m>> {
        let (name, duration) = match fact.split_once("(\"") {
            Some((name, rest)) => (name, Some(rest.strip_suffix("\")")?)),
            None => (fact, None),
        };
        let spec = find_fact(name).filter(|spec| spec.takes_duration == duration.is_some())?;
        let duration_s = match duration {
            Some(text) => parse_duration(text).ok()?.as_secs_f64(),
            None => 0.0,
        };
        Some((spec.get)(observed, &Ages { now: self.now?, duration_s }))
    }
}

const _: () = assert!(FACTS.len() <= Read::PLAIN_MAX);

/// Reads facts and remembers which were read (a plan rests on those) and which were not there (compile
/// again once they have been observed).
#[derive(Debug)]
pub struct FactLog<'a> {
    facts: &'a Facts,
    machines: Box<Machines<'a>>,
    /// By subject and fact: what a saved plan rests on, which goes before what is observed now.
    stored: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Json>>,
    read: RefCell<Reads>,
    missing: RefCell<BTreeSet<MachineName>>,
}

impl<'a> FactLog<'a> {
    /// Nothing read yet.
    pub fn new(facts: &'a Facts) -> FactLog<'a> {
        FactLog {
            facts,
            machines: facts.machines.iter().collect(),
            stored: BTreeMap::new(),
            read: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    /// Nothing read yet; the facts that a saved plan rests on keep the value they have there, so that it
    /// is proved as it was reviewed. Whether they still hold is asked separately.
    pub fn resting_on(facts: &'a Facts, plan_facts: &BTreeSet<Fact>) -> FactLog<'a> {
        let mut stored: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Json>> = BTreeMap::new();
        for fact in plan_facts {
            if let Ok(value) = serde_json::from_str(&fact.value) {
                stored.entry(fact.subject.clone()).or_default().insert(fact.fact.clone(), value);
            }
        }
        FactLog { stored, ..FactLog::new(facts) }
    }

    /// The value of a machine's fact by its name in [`FACTS`]; recorded as read, or as missing.
    pub fn read(&self, machine: &MachineName, fact: &str) -> Option<Json> {
        self.value(machine, fact).map(Json::from)
    }

    /// The same, where no value of its own is needed.
    pub fn value(&self, machine: &MachineName, fact: &str) -> Option<Value<'_>> {
        let mut reads = self.read.borrow_mut();
        let read = reads.of(&self.machines, machine.as_str());
        if read.observed.is_none() && self.stored(machine.as_str(), fact).is_none() {
            self.missing.borrow_mut().insert(machine.clone());
            return None;
        }
        let value = self.known(read, fact)?;
        match FACTS.iter().position(|spec| spec.name == fact) {
            Some(place) => read.plain |= 1 << place,
            None => reads.record(fact, || value.into()),
        }
        Some(value)
    }

    fn known(&self, read: &Read, fact: &str) -> Option<Value<'_>> {
        match self.stored(&read.subject, fact) {
            Some(stored) => Value::of(stored),
            None => self.facts.value(self.machines[read.observed?].1, fact),
        }
    }

    /// Whether homing reaches a host; recorded as read. `None`: its site knows no such host, or was not
    /// observed.
    pub fn host_connected(&self, host: &HostKey) -> Option<bool> {
        self.host(host, HOST_CONNECTED)?.as_bool()
    }

    /// The value of a host's fact (see [`Facts::host`]); recorded as read.
    pub fn host(&self, host: &HostKey, fact: &str) -> Option<Json> {
        let subject = format!("{}/{}", host.0, host.1);
        let value = match self.stored(&subject, fact) {
            Some(value) => value.clone(),
            None => self.facts.host(host, fact)?,
        };
        self.note(&subject, fact, value.clone());
        Some(value)
    }

    /// Records a fact that was found out elsewhere, unless it is known: a selection, an inventory value.
    pub fn note(&self, subject: &str, fact: &str, value: Json) {
        let mut reads = self.read.borrow_mut();
        reads.of(&self.machines, subject);
        reads.record(fact, || value);
    }

    fn stored(&self, subject: &str, fact: &str) -> Option<&Json> {
        self.stored.get(subject)?.get(fact)
    }

    /// A machine's fact for a sentence: as the plan has it, else as observed. Not recorded.
    pub fn told(&self, machine: &MachineName, fact: &str) -> Option<Json> {
        self.stored(machine.as_str(), fact).cloned().or_else(|| self.facts.get(machine, fact))
    }

    /// Everything observed, for sentences and estimates: what is read here is not recorded.
    pub fn peek(&self) -> &'a Facts {
        self.facts
    }

    /// What was read so far, for the plan that rests on it; afterwards nothing was read yet.
    pub fn take(&self) -> BTreeSet<Fact> {
        let Reads { mut all, mut texts, .. } = self.read.take();
        let names: Vec<Arc<str>> = FACTS.iter().map(|spec| spec.name.into()).collect();
        let count = |read: &Read| read.plain.count_ones() as usize + read.others.len();
        let mut facts: Vec<Fact> = Vec::with_capacity(all.iter().map(count).sum());
        // In order, so that the set is built in one go.
        all.sort_unstable_by(|a, b| a.subject.cmp(&b.subject));
        for mut read in all {
            let (first, others) = (facts.len(), std::mem::take(&mut read.others));
            let plain = names.iter().enumerate().filter(|(at, _)| read.plain >> at & 1 == 1);
            facts.extend(plain.filter_map(|(_, name)| {
                let value = Json::from(self.known(&read, name)?);
                let (subject, fact) = (read.subject.clone(), name.clone());
                Some(Fact { subject, fact, value: texts.share_value(&value) })
            }));
            facts.extend(others.into_iter().map(|(fact, value)| {
                let subject = read.subject.clone();
                Fact { subject, fact, value }
            }));
            facts[first..].sort_unstable_by(|a, b| a.fact.cmp(&b.fact));
        }
        facts.into_iter().collect()
    }

    /// The machines that were asked for so far but never observed.
    pub fn missing(&self) -> BTreeSet<MachineName> {
        self.missing.borrow().clone()
    }

    /// What was read, and the machines that were asked for but never observed.
    pub fn finish(self) -> (BTreeSet<Fact>, BTreeSet<MachineName>) {
        (self.take(), self.missing.into_inner())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine that failed over twelve days ago and runs in the cloud, its replica stale.
    pub(crate) fn away() -> MachineFacts {
        let side = |power, generation: &str| SideFacts {
            exists: true,
            power,
            fenced: false,
            generation: generation.into(),
        };
        MachineFacts {
            active: Side::Cloud,
            cloud: side(Power::On, "c1"),
            onprem: side(Power::Off, "o1"),
            host: HostName::new("hv-01").unwrap(),
            replica: ReplicaState::Stale,
            dirty: None,
            commit: CommitState::Committed,
            protection: Protection::None,
            encrypted: false,
            disk_bytes: 64 << 20,
            failed_over_at: Some("2026-11-10T00:00:00Z".parse().unwrap()),
            synced_at: None,
        }
    }

    /// Facts are written as words and read as data.
    #[test]
    fn words_are_what_is_stored() {
        fn same<T: Copy + Serialize + std::fmt::Debug>(all: &[T], word: fn(T) -> &'static str) {
            for one in all {
                assert_eq!(serde_json::to_value(one).unwrap(), word(*one), "{one:?}");
            }
        }
        same(&[Power::On, Power::Off, Power::Unknown, Power::Lost], Power::word);
        same(
            &[CommitState::Pending, CommitState::Begun, CommitState::Committed],
            CommitState::word,
        );
        same(&[Protection::OnpremToCloud, Protection::None], Protection::word);
        use ReplicaState::{Absent, Current, Dirty, Diverged, Stale, Unknown};
        same(&[Absent, Unknown, Dirty, Diverged, Stale, Current], ReplicaState::word);
    }

    #[test]
    fn facts_are_read_by_the_name_that_the_plan_records() {
        let name = MachineName::new("web-01").unwrap();
        let facts = Facts {
            now: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            machines: [(name.clone(), away())].into(),
            ..Facts::default()
        };
        let read = |fact: &str| facts.get(&name, fact).map(|value| value.to_string());
        assert_eq!(read("replica").unwrap(), "\"stale\"");
        assert_eq!(read("cloud.power").unwrap(), "\"on\"");
        assert_eq!(read(&with_duration("away_over", "12d")).unwrap(), "true");
        assert_eq!(read(&with_duration("away_over", "13d")).unwrap(), "false");
        assert_eq!(read("synced_within(\"1d\")").unwrap(), "false");
        assert_eq!(read("away_over"), None, "it takes a duration");
        assert_eq!(read("colour"), None);
    }
}
