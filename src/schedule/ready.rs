//! Ready steps and the limits they share. Longest remaining path first; a step takes all its tokens
//! or none, and waits at the first pool that has none left.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use crate::base::{HostName, Side, SiteName};
use crate::plan::effect::Effect;
use crate::plan::graph::Plan;
use crate::plan::inventory::Inventory;
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, Step, StepIx};
use crate::schedule::sections::{Section, sections};

type Entry = (u64, Reverse<StepIx>);

/// Steps that wait for nothing but room.
pub(super) struct Ready {
    priorities: Vec<u64>,
    /// By step: its set of pools, as a place in `sets`.
    uses: Vec<u32>,
    sets: Vec<Vec<usize>>,
    /// The places of a section's two steps in `sections`.
    in_section: HashMap<StepIx, usize>,
    sections: Vec<Slot>,
    /// The sections that have theirs.
    held: BTreeSet<usize>,
    /// Less than none, where an earlier process had begun more than may be now.
    free: Vec<i64>,
    heap: BinaryHeap<Entry>,
    parked: Vec<BinaryHeap<Entry>>,
    parked_count: usize,
}

/// The slot of a downtime section: taken with its stop, kept until its transfer is over.
struct Slot {
    section: Section,
    pools: Vec<usize>,
}

impl Ready {
    /// Nothing ready yet. `priorities` by step: larger goes first.
    pub(super) fn new(plan: &Plan, inventory: &Inventory, priorities: Vec<u64>) -> Ready {
        let mut pools = Pools::default();
        let mut sets: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<Vec<usize>, u32> = HashMap::new();
        let mut uses = Vec::with_capacity(plan.steps.len());
        let mut in_section = HashMap::new();
        let mut slots = Vec::new();
        for section in sections(plan) {
            in_section.extend([(section.stop, slots.len()), (section.transfer, slots.len())]);
            let pools = pools.slots(plan.step(section.transfer), inventory);
            slots.push(Slot { section, pools });
        }
        for (ix, step) in plan.iter() {
            let mut set = pools.of(step, inventory);
            if !in_section.contains_key(&ix) {
                set.extend(pools.slots(step, inventory));
            }
            pools.add_scopes(&mut set, plan, step, inventory);
            let next = u32::try_from(sets.len()).expect("BUG: fewer sets than steps");
            uses.push(*known.entry(set.clone()).or_insert_with(|| {
                sets.push(set);
                next
            }));
        }
        let parked = pools.limits.iter().map(|_| BinaryHeap::new()).collect();
        Ready {
            priorities,
            uses,
            sets,
            in_section,
            sections: slots,
            held: BTreeSet::new(),
            free: pools.limits,
            heap: BinaryHeap::new(),
            parked,
            parked_count: 0,
        }
    }

    /// What a step needs to begin.
    fn needs(&self, ix: StepIx) -> Vec<usize> {
        let own = &self.sets[self.uses[ix.at()] as usize];
        let slot = self.in_section.get(&ix).filter(|at| !self.held.contains(at));
        let slot = slot.map(|at| &self.sections[*at].pools);
        own.iter().chain(slot.into_iter().flatten()).copied().collect()
    }

    pub(super) fn push(&mut self, ix: StepIx) {
        self.heap.push((self.priorities[ix.at()], Reverse(ix)));
    }

    /// The next step that there is room for; its tokens are taken.
    pub(super) fn next(&mut self) -> Option<StepIx> {
        while let Some(entry) = self.heap.pop() {
            let ix = entry.1.0;
            let needs = self.needs(ix);
            match needs.iter().copied().find(|pool| self.free[*pool] <= 0) {
                None => {
                    needs.iter().for_each(|pool| self.free[*pool] -= 1);
                    self.held.extend(self.in_section.get(&ix));
                    return Some(ix);
                }
                Some(full) => {
                    self.parked[full].push(entry);
                    self.parked_count += 1;
                    // It was woken by a token that it leaves to somebody else.
                    for pool in needs {
                        if self.free[pool] > 0 {
                            self.wake(pool);
                        }
                    }
                }
            }
        }
        None
    }

    /// Gives a step's tokens back; the slot of a section stays with it.
    pub(super) fn release(&mut self, ix: StepIx) {
        let set = self.uses[ix.at()] as usize;
        for at in 0..self.sets[set].len() {
            self.give(self.sets[set][at]);
        }
    }

    /// The same for a step that did not begin after all: no section was entered with it.
    pub(super) fn return_unused(&mut self, ix: StepIx) {
        self.release(ix);
        let at = self.in_section.get(&ix).copied();
        if let Some(at) = at.filter(|at| self.sections[*at].section.stop == ix) {
            self.end_section(at);
        }
    }

    /// Gives the slots back of sections that are over.
    pub(super) fn end_sections(&mut self, is_over: impl Fn(Section) -> bool) {
        let over = |at: &usize| is_over(self.sections[*at].section);
        let over: Vec<usize> = self.held.iter().copied().filter(over).collect();
        over.into_iter().for_each(|at| self.end_section(at));
    }

    fn end_section(&mut self, at: usize) {
        if self.held.remove(&at) {
            for pool in self.sections[at].pools.clone() {
                self.give(pool);
            }
        }
    }

    /// Takes the slots of sections that an earlier process entered, even where there is none left.
    pub(super) fn enter_sections(&mut self, is_under_way: impl Fn(Section) -> bool) {
        for (at, slot) in self.sections.iter().enumerate() {
            if is_under_way(slot.section) && self.held.insert(at) {
                slot.pools.iter().for_each(|pool| self.free[*pool] -= 1);
            }
        }
    }

    fn give(&mut self, pool: usize) {
        self.free[pool] += 1;
        self.wake(pool);
    }

    /// Nobody waits for room.
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty() && self.parked_count == 0
    }

    /// Forgets who is ready; tokens stay as they are.
    pub(super) fn clear(&mut self) {
        self.heap.clear();
        self.parked.iter_mut().for_each(BinaryHeap::clear);
        self.parked_count = 0;
    }

    fn wake(&mut self, pool: usize) {
        if let Some(entry) = self.parked[pool].pop() {
            self.parked_count -= 1;
            self.heap.push(entry);
        }
    }
}

/// What limits how much goes on at once: the run, each site, the transfers of each site, and scopes that
/// say so, as a whole or per host.
#[derive(Default)]
struct Pools {
    limits: Vec<i64>,
    places: BTreeMap<Pool, usize>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    Run,
    Site(SiteName),
    Transfers(SiteName),
    Scope(ScopeIx),
    Host(ScopeIx, HostName),
}

impl Pools {
    fn of(&mut self, step: &Step, inventory: &Inventory) -> Vec<usize> {
        if matches!(step.kind, Kind::Gate | Kind::Timer | Kind::Barrier) {
            return Vec::new();
        }
        let mut set = vec![self.place(Pool::Run, inventory.limits.concurrency)];
        let entry = step.machine.as_ref().and_then(|name| inventory.machines.get(name));
        let Some(entry) = entry else { return set };
        let sides: &[Side] = match step.effect {
            Effect::Stop(Side::Cloud) | Effect::Start(Side::Cloud) | Effect::Commit => {
                &[Side::Cloud]
            }
            Effect::Stop(Side::Onprem)
            | Effect::Start(Side::Onprem)
            | Effect::CreateOnprem { .. } => &[Side::Onprem],
            Effect::Check { side: Some(Side::Cloud), .. } => &[Side::Cloud],
            Effect::Check { side: Some(Side::Onprem), .. } => &[Side::Onprem],
            _ => &[Side::Cloud, Side::Onprem],
        };
        let mut sites: Vec<&SiteName> = sides.iter().map(|side| entry.site(*side)).collect();
        sites.dedup();
        for site in sites {
            let most = inventory.sites.get(site).and_then(|site| site.concurrency);
            if let Some(most) = most {
                set.push(self.place(Pool::Site(site.clone()), most));
            }
        }
        set
    }

    /// A transfer's slots, at both of its sites.
    fn slots(&mut self, step: &Step, inventory: &Inventory) -> Vec<usize> {
        let entry = step.machine.as_ref().and_then(|name| inventory.machines.get(name));
        let Some(entry) = entry.filter(|_| matches!(step.effect, Effect::Transfer { .. })) else {
            return Vec::new();
        };
        let mut sites = vec![&entry.cloud, &entry.onprem];
        sites.dedup();
        let most = inventory.limits.transfers;
        sites.iter().map(|site| self.place(Pool::Transfers((*site).clone()), most)).collect()
    }

    /// Every scope around a step that limits it counts.
    fn add_scopes(
        &mut self,
        set: &mut Vec<usize>,
        plan: &Plan,
        step: &Step,
        inventory: &Inventory,
    ) {
        if set.is_empty() {
            return;
        }
        let entry = step.machine.as_ref().and_then(|name| inventory.machines.get(name));
        for (at, scope) in plan.outwards(step.scope) {
            if let Some(most) = scope.rules.at_most {
                set.push(self.place(Pool::Scope(at), most));
            }
            if let (Some(most), Some(entry)) = (scope.rules.at_most_per_host, entry) {
                set.push(self.place(Pool::Host(at, entry.host.clone()), most));
            }
        }
    }

    fn place(&mut self, pool: Pool, most: u32) -> usize {
        let next = self.limits.len();
        let place = *self.places.entry(pool).or_insert(next);
        if place == next {
            // A pool of none would hold its steps for ever.
            self.limits.push(i64::from(most.max(1)));
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{HostName, Json, MachineName};
    use crate::plan::effect::{Chosen, Mode};
    use crate::plan::graph::index;
    use crate::plan::inventory::{Addresses, MachineEntry, SiteEntry};
    use crate::plan::scope::{Rules, Scope, ScopeKind};
    use crate::schedule::trial::{plan, step};

    fn inventory(concurrency: u32, azure: Option<u32>, transfers: u32) -> Inventory {
        let site = |most| SiteEntry {
            provider: "none".into(),
            concurrency: most,
            bandwidth: None,
            settings: Json::Null,
        };
        let name = |text| SiteName::new(text).unwrap();
        let entry = MachineEntry {
            cloud: name("azure"),
            onprem: name("dc1"),
            host: HostName::new("hv-01").unwrap(),
            disks: Vec::new(),
            tags: BTreeMap::new(),
            needs: Vec::new(),
            rto_s: None,
            key: None,
            address: Addresses::default(),
            settings: BTreeMap::new(),
        };
        let mut inventory = Inventory {
            sites: [(name("azure"), site(azure)), (name("dc1"), site(None))].into(),
            machines: (0..9)
                .map(|n| (MachineName::new(format!("m{n}")).unwrap(), entry.clone()))
                .collect(),
            ..Inventory::default()
        };
        inventory.limits.concurrency = concurrency;
        inventory.limits.transfers = transfers;
        inventory
    }

    /// One step per machine, all ready, later ones more urgent.
    fn ready(effects: &[Effect], inventory: &Inventory) -> Ready {
        let steps = effects.iter().enumerate().map(|(at, effect)| Step {
            effect: *effect,
            machine: Some(MachineName::new(format!("m{at}")).unwrap()),
            ..step(at, Kind::Act)
        });
        let priorities = (0..effects.len() as u64).collect();
        let mut ready = Ready::new(&plan(steps.collect()), inventory, priorities);
        (0..effects.len()).for_each(|at| ready.push(index(at)));
        ready
    }

    fn started(ready: &mut Ready) -> Vec<usize> {
        std::iter::from_fn(|| ready.next()).map(StepIx::at).collect()
    }

    #[test]
    fn the_most_urgent_go_first_and_as_many_as_there_is_room() {
        let mut ready = ready(&[Effect::Nothing; 5], &inventory(2, None, 1));
        assert_eq!(started(&mut ready), [4, 3]);
        ready.release(index(4));
        assert_eq!(started(&mut ready), [2]);
        assert!(!ready.is_empty());
    }

    #[test]
    fn a_full_site_holds_only_those_that_need_it() {
        let effects = [
            Effect::Start(Side::Onprem),
            Effect::Stop(Side::Cloud),
            Effect::Stop(Side::Cloud),
            Effect::Stop(Side::Cloud),
        ];
        let mut ready = ready(&effects, &inventory(64, Some(2), 1));
        assert_eq!(started(&mut ready), [3, 2, 0]);
        ready.release(index(0));
        assert_eq!(started(&mut ready), [] as [usize; 0]);
        ready.release(index(3));
        assert_eq!(started(&mut ready), [1]);
    }

    #[test]
    fn transfers_have_slots_of_their_own_and_tokens_are_all_or_nothing() {
        let copy =
            Effect::Transfer { mode: Mode::Delta, from_snapshot: false, chosen: Chosen::NOTHING };
        let effects = [Effect::Nothing, copy, copy];
        let mut ready = ready(&effects, &inventory(2, None, 1));
        assert_eq!(
            started(&mut ready),
            [2, 0],
            "a copy that has no slot keeps no place of the run"
        );
        ready.release(index(0));
        assert_eq!(started(&mut ready), [] as [usize; 0]);
        ready.release(index(2));
        assert_eq!(started(&mut ready), [1]);
        assert!(ready.is_empty());
    }

    /// One step per machine, in scopes: the first of each range, one past its last, and its rules.
    fn scoped(scopes: &[(usize, usize, Rules)], count: usize, inventory: &Inventory) -> Ready {
        let mut plan = Plan::default();
        for at in 0..count {
            let inside = |(first, end, _): &(usize, usize, Rules)| (*first..*end).contains(&at);
            let scope = scopes.iter().rposition(inside).map_or(0, |at| at + 1);
            let machine = Some(MachineName::new(format!("m{at}")).unwrap());
            let scope = ScopeIx(u32::try_from(scope).unwrap());
            plan.steps.push(Step { machine, scope, ..step(at, Kind::Act) });
        }
        for (at, (first, end, rules)) in scopes.iter().enumerate() {
            let parent = ScopeIx(u32::try_from(at).unwrap());
            let (first, end) = (index(*first), index(*end));
            let kind = ScopeKind::Parallel;
            plan.scopes.push(Scope { kind, parent, first, end, rules: rules.clone() });
        }
        let mut ready = Ready::new(&plan, inventory, (0..count as u64).collect());
        (0..count).for_each(|at| ready.push(index(at)));
        ready
    }

    #[test]
    fn every_scope_around_a_step_limits_it() {
        let at_most = |most| Rules { at_most: Some(most), ..Rules::default() };
        let scopes = [(0, 4, at_most(2)), (2, 4, at_most(1))];
        let mut ready = scoped(&scopes, 5, &inventory(64, None, 1));
        assert_eq!(started(&mut ready), [4, 3, 1]);
        ready.release(index(4));
        assert_eq!(started(&mut ready), [] as [usize; 0], "it had no part in them");
        ready.release(index(1));
        assert_eq!(started(&mut ready), [0]);
        ready.release(index(3));
        assert_eq!(started(&mut ready), [2]);
        assert!(ready.is_empty());
    }

    #[test]
    fn a_scope_may_limit_each_host_for_itself() {
        let rules = Rules { at_most_per_host: Some(1), ..Rules::default() };
        let mut inventory = inventory(64, None, 1);
        for name in ["m1", "m3"] {
            let entry = inventory.machines.get_mut(&MachineName::new(name).unwrap()).unwrap();
            entry.host = HostName::new("hv-02").unwrap();
        }
        let mut ready = scoped(&[(0, 4, rules)], 5, &inventory);
        assert_eq!(started(&mut ready), [4, 3, 2]);
        ready.release(index(3));
        assert_eq!(started(&mut ready), [1]);
        ready.release(index(2));
        assert_eq!(started(&mut ready), [0]);
    }
}
