//! The state a machine is in before the first step: read from the facts, so that the plan rests on them.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NoSuchWord;

use crate::base::{MachineName, Side};
use crate::plan::facts::{CommitState, FactLog, Power, ReplicaState};
use crate::plan::reading::Value;
use crate::verify::state::{Cause, Guards, Known, Proof, State, Twin};

/// The state that a machine was observed in. `None`: it was not observed.
pub fn observed(facts: &FactLog<'_>, machine: &MachineName) -> Option<State> {
    let active = active(facts, machine)?;
    let twin = |exists, power| -> Option<Known<Twin>> {
        let exists = facts.value(machine, exists)? == Value::Bool(true);
        let power: Power = word(facts, machine, power)?;
        let twin = match power {
            _ if !exists => Twin::Missing,
            Power::On => Twin::On,
            Power::Off => Twin::Off,
            Power::Unknown => Twin::Unknown,
            Power::Lost => Twin::Lost,
        };
        Some(Known::new(twin, Cause::Observed))
    };
    let replica: ReplicaState = word(facts, machine, "replica")?;
    let commit: CommitState = word(facts, machine, "commit")?;
    let (cloud, onprem) =
        (twin("cloud.exists", "cloud.power")?, twin("onprem.exists", "onprem.power")?);
    let live = if active == Side::Cloud { cloud } else { onprem };
    // What a lost side wrote last was given up with it: a copy of an earlier moment is the newest there is.
    let worth = match replica {
        ReplicaState::Stale if live.value == Twin::Lost => ReplicaState::Current,
        seen => seen,
    };
    Some(State {
        active,
        cloud,
        onprem,
        replica: Known::new(worth, Cause::Observed),
        commit: Known::new(commit, Cause::Observed),
        proof: Known::new(Proof::None, Cause::Observed),
        protected: false,
        written: replica != ReplicaState::Absent,
        guards: Guards::default(),
        aside: 0,
    })
}

/// The side that a machine was observed to live on.
fn active(facts: &FactLog<'_>, machine: &MachineName) -> Option<Side> {
    match facts.value(machine, "where")?.as_text()? {
        "cloud" => Some(Side::Cloud),
        _ => Some(Side::Onprem),
    }
}

/// The side that a machine was observed to live on, and whether it runs there.
pub fn living(facts: &FactLog<'_>, machine: &MachineName) -> Option<(Side, Power)> {
    let active = active(facts, machine)?;
    let power = match active {
        Side::Cloud => "cloud.power",
        Side::Onprem => "onprem.power",
    };
    Some((active, word(facts, machine, power)?))
}

fn word<'l, T: Deserialize<'l>>(
    facts: &'l FactLog<'_>,
    machine: &MachineName,
    fact: &str,
) -> Option<T> {
    let text = facts.value(machine, fact)?.as_text()?;
    T::deserialize(IntoDeserializer::<NoSuchWord>::into_deserializer(text)).ok()
}
