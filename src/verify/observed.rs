//! The state a machine is in before the first step: read from the facts, so that the plan rests on them.

use serde::de::DeserializeOwned;

use crate::base::{MachineName, Side};
use crate::plan::facts::{CommitState, FactLog, Power, ReplicaState};
use crate::verify::state::{Cause, Guards, Known, Proof, State, Twin};

/// The state that a machine was observed in. `None`: it was not observed.
pub fn observed(facts: &FactLog<'_>, machine: &MachineName) -> Option<State> {
    let active = match facts.read(machine, "where")?.as_str()? {
        "cloud" => Side::Cloud,
        _ => Side::Onprem,
    };
    let twin = |exists, power| -> Option<Known<Twin>> {
        let exists: bool = read(facts, machine, exists)?;
        let power: Power = read(facts, machine, power)?;
        let twin = match power {
            _ if !exists => Twin::Missing,
            Power::On => Twin::On,
            Power::Off => Twin::Off,
            Power::Unknown => Twin::Unknown,
        };
        Some(Known::new(twin, Cause::Observed))
    };
    let replica: ReplicaState = read(facts, machine, "replica")?;
    let commit: CommitState = read(facts, machine, "commit")?;
    Some(State {
        active,
        cloud: twin("cloud.exists", "cloud.power")?,
        onprem: twin("onprem.exists", "onprem.power")?,
        replica: Known::new(replica, Cause::Observed),
        commit: Known::new(commit, Cause::Observed),
        proof: Known::new(Proof::None, Cause::Observed),
        protected: false,
        written: replica != ReplicaState::Absent,
        guards: Guards::default(),
        aside: 0,
    })
}

fn read<T: DeserializeOwned>(facts: &FactLog<'_>, machine: &MachineName, fact: &str) -> Option<T> {
    serde_json::from_value(facts.read(machine, fact)?).ok()
}
