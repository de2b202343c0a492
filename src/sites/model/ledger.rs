//! What machines were told is safe, and the judge of what becomes of it. Independent of the engine: it sees
//! only what happens to machines.

use std::collections::BTreeMap;

use crate::base::{MachineName, Side, StepKey};
use crate::sites::model::disk::Content;

/// Something that a site did for a step and that must not happen twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Effect {
    machine: MachineName,
    side: Side,
    /// `boot`, `snapshot` ..
    what: &'static str,
    /// The step that it was done for.
    key: StepKey,
}

/// What one machine was told is safe.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// By disk and block, the last write that was acknowledged.
    pub content: Vec<Content>,
    /// Writes acknowledged so far, on whichever side.
    pub writes: u64,
}

/// Everything that was done, and every promise that was broken.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub told: BTreeMap<MachineName, Told>,
    effects: BTreeMap<Effect, u32>,
    pub broken: Vec<String>,
}

impl Ledger {
    /// Notes an effect; a second one of the same step is a broken promise.
    pub fn effect(&mut self, machine: &MachineName, side: Side, what: &'static str, key: &StepKey) {
        let effect = Effect { machine: machine.clone(), side, what, key: key.clone() };
        let times = self.effects.entry(effect).or_default();
        *times += 1;
        if *times > 1 {
            let message =
                format!("{machine}: one step did `{what}` {times} times at its {side} side");
            self.broken.push(message);
        }
    }

    /// What was done there was taken away by a power loss: a step may do it again.
    pub fn forget(&mut self, machine: &MachineName, side: Side, what: &str) {
        self.effects.retain(|effect, _| {
            effect.machine != *machine || effect.side != side || effect.what != what
        });
    }

    /// A side boots from these disks. `twin_runs`: the other side runs too, and nobody gave it up.
    /// `gives_up`: it goes back to its own disks, and what the other side wrote since is given up.
    pub fn boots(
        &mut self,
        machine: &MachineName,
        side: Side,
        disks: &[Content],
        twin_runs: bool,
        gives_up: bool,
    ) {
        if twin_runs {
            self.broken.push(format!("{machine}: split in two, both sides run"));
        }
        let told = self.told.entry(machine.clone()).or_default();
        if gives_up {
            told.content = disks.to_vec();
            return;
        }
        let lost = lost(&told.content, disks);
        if lost > 0 {
            let what =
                format!("{machine}: booted its {side} side without {lost} acknowledged blocks");
            self.broken.push(what);
        }
    }

    /// A side is deleted while the other one has these disks.
    pub fn deletes(&mut self, machine: &MachineName, side: Side, other: &[Content]) {
        let told = self.told.entry(machine.clone()).or_default();
        let lost = lost(&told.content, other);
        if lost > 0 {
            let what = format!("{machine}: deleted its {side} side, and {lost} blocks with it");
            self.broken.push(what);
        }
    }
}

/// Blocks of which the disks have another version than the machine was told is safe.
fn lost(told: &[Content], disks: &[Content]) -> usize {
    let none = Content::new();
    let differing = told.iter().enumerate().map(|(at, told)| {
        let disk = disks.get(at).unwrap_or(&none);
        told.iter().filter(|(block, version)| disk.get(block) != Some(version)).count()
    });
    differing.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> MachineName {
        MachineName::new("web-01").unwrap()
    }

    fn ledger() -> Ledger {
        let told = Told { content: vec![[(0, 4), (1, 9)].into()], writes: 9 };
        Ledger { told: [(machine(), told)].into(), ..Ledger::default() }
    }

    #[test]
    fn every_broken_promise_is_seen() {
        let (whole, old) = ([Content::from([(0, 4), (1, 9)])], [Content::from([(0, 4), (1, 8)])]);
        let mut good = ledger();
        good.boots(&machine(), Side::Onprem, &whole, false, false);
        good.deletes(&machine(), Side::Cloud, &whole);
        assert_eq!(good.broken, Vec::<String>::new());
        let mut bad = ledger();
        bad.boots(&machine(), Side::Onprem, &old, false, false);
        bad.boots(&machine(), Side::Onprem, &whole, true, false);
        bad.deletes(&machine(), Side::Cloud, &old);
        bad.deletes(&machine(), Side::Cloud, &[]);
        assert_eq!(bad.broken.len(), 4, "{:?}", bad.broken);
        let mut back = ledger();
        back.boots(&machine(), Side::Cloud, &old, false, true);
        back.boots(&machine(), Side::Cloud, &old, false, false);
        assert_eq!(back.broken, Vec::<String>::new(), "it was given up on purpose");
    }

    #[test]
    fn one_step_does_one_thing_once() {
        let key = |step: &str| {
            let [run, step] = ["r1", step];
            StepKey::of(
                &crate::base::RunId::new(run).unwrap(),
                &crate::base::StepId::new(step).unwrap(),
            )
        };
        let mut ledger = Ledger::default();
        ledger.effect(&machine(), Side::Onprem, "boot", &key("a"));
        ledger.effect(&machine(), Side::Onprem, "boot", &key("b"));
        assert_eq!(ledger.broken.len(), 0);
        ledger.effect(&machine(), Side::Onprem, "boot", &key("a"));
        assert_eq!(ledger.broken.len(), 1);
    }
}
