//! The world: both sides of every machine, the clock they live by, and who meddles.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::base::{HostName, MachineName, RunId, Side, SiteName, StepKey, SyncId, Timestamp};
use crate::plan::facts::{HostFacts, Power, ReplicaState};
use crate::plan::inventory::{Inventory, MachineEntry};
use crate::run::failure::Failure;
use crate::sites::copies::CopyView;
use crate::sites::look;
use crate::sites::model::disk::{BLOCKS, Content, Disk};
use crate::sites::model::ledger::Ledger;
use crate::sites::model::site::ModelSite;
use crate::sites::records::Lease;
use crate::sites::silent::Both;
use crate::sites::state::State;
use crate::sites::{SideView, Site, Snapshot};
use crate::transfer::blocks::Manifest;

/// Writes that a running machine acknowledges, per second.
const WRITES_PER_S: f64 = 4.0;
/// Of a long time only the last writes are made: the others would have been overwritten.
const WRITES_AT_ONCE: u64 = 24;

/// One call of one side of a machine.
#[derive(Clone, Debug)]
pub struct Call {
    /// The site.
    pub site: SiteName,
    /// The machine; `None`: the site's hosts are asked for.
    pub machine: Option<(MachineName, Side)>,
    /// What is asked, by the name of its function.
    pub operation: &'static str,
}

/// Decides what sites do wrong. It may wait; what it returns is what the caller hears.
#[async_trait]
pub trait Meddler: Send + Sync {
    /// Before anything is done; the number of the call.
    ///
    /// # Errors
    /// Then nothing is done.
    async fn before(&self, call: &Call) -> Result<u64, Failure>;

    /// After the call of that number was done.
    ///
    /// # Errors
    /// Then it was done all the same.
    async fn after(&self, number: u64) -> Result<(), Failure>;

    /// Before a block is read or written, or written ones are flushed.
    ///
    /// # Errors
    /// Then it is not.
    fn block(&self, machine: &MachineName, side: Side, is_write: bool) -> io::Result<()>;
}

/// Nobody meddles.
pub struct Honest;

#[async_trait]
impl Meddler for Honest {
    async fn before(&self, _: &Call) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn after(&self, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    fn block(&self, _: &MachineName, _: Side, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// What a world begins as.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// The machines that were looked at.
    pub machines: BTreeMap<MachineName, Both>,
    /// The hosts of each site.
    pub hosts: BTreeMap<SiteName, BTreeMap<HostName, HostFacts>>,
}

impl Beginning {
    /// Every machine of an inventory as a failback finds it: failed over and committed at `at`, running in
    /// the cloud, with a stale replica at home. Every host is connected and has the switch `prod`.
    pub fn failed_over(inventory: &Inventory, at: Timestamp) -> Beginning {
        let mut beginning = Beginning::default();
        for (machine, entry) in inventory.machines.iter() {
            let view = |side, power| {
                State::initial(side, entry, at, None).view(power, true, Lease::default())
            };
            let cloud = SideView { fenced: false, ..view(Side::Cloud, Power::On) };
            let sides = Both::seen(cloud, view(Side::Onprem, Power::Off));
            beginning.machines.insert(machine.clone(), sides);
            let hosts = beginning.hosts.entry(entry.onprem.clone()).or_default();
            let host = HostFacts {
                connected: true,
                switches: ["prod".to_owned()].into(),
                isolated: ["isolated".to_owned()].into(),
                free_bytes: 1 << 50,
            };
            hosts.insert(entry.host.clone(), host);
        }
        beginning
    }
}

/// A snapshot that is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub snapshot: Snapshot,
    pub run: RunId,
    pub content: Vec<Content>,
    pub tracking: Option<String>,
}

/// An isolated copy.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub view: CopyView,
    pub disks: Vec<Arc<Mutex<Disk>>>,
    pub filled: bool,
}

/// One side of one machine.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub state: State,
    pub lease: Lease,
    pub on: bool,
    /// Nobody can reach it; its site knows no more than that.
    pub dark: bool,
    /// Nor does its site answer.
    pub silent: bool,
    pub disks: Vec<Arc<Mutex<Disk>>>,
    pub snapshots: Vec<Kept>,
    /// With the generation that they describe.
    pub manifests: Option<(String, Vec<Manifest>)>,
    pub tracking: Option<Tracking>,
    pub copies: Vec<Copy>,
    /// Grows with every power loss: connections opened before are gone.
    pub losses: u64,
    /// It ran when the power went, and was not started since.
    pub lost_power: bool,
}

impl Seat {
    pub fn content(&self) -> Vec<Content> {
        self.disks.iter().map(|disk| lock(disk).content()).collect()
    }

    pub fn has_disks(&self) -> bool {
        !self.disks.is_empty()
    }

    /// Ends an epoch of its change tracking; the point that was.
    pub fn next_epoch(&mut self) -> Option<String> {
        let tracking = self.tracking.as_mut()?;
        let ended = tracking.point();
        tracking.epoch += 1;
        Some(ended)
    }
}

/// Change tracking: by block the epoch of its last write. A snapshot and a boot each begin a new epoch.
#[derive(Clone, Debug)]
pub(super) struct Tracking {
    pub id: String,
    /// The sync whose state the disks were in at epoch 0.
    pub base: Option<SyncId>,
    pub epoch: u64,
    /// By disk and block.
    pub last: Vec<BTreeMap<u64, u64>>,
}

impl Tracking {
    /// The point in time that it is at.
    pub fn point(&self) -> String {
        format!("{}.{}", self.id, self.epoch)
    }

    /// The epoch of a point that an earlier answer gave.
    pub fn epoch_of(&self, since: &str) -> Option<u64> {
        let own = since.rsplit_once('.').filter(|(id, _)| *id == self.id);
        let epoch = own.and_then(|(_, epoch)| epoch.parse().ok());
        let is_base = self.base.as_ref().is_some_and(|base| base.as_str() == since);
        epoch.or(is_base.then_some(0)).filter(|epoch| *epoch <= self.epoch)
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that changes.
#[derive(Debug)]
pub(super) struct Inner {
    pub seats: BTreeMap<(MachineName, Side), Seat>,
    pub hosts: BTreeMap<SiteName, BTreeMap<HostName, HostFacts>>,
    pub ledger: Ledger,
    began: Timestamp,
    /// What the time is.
    pub at: Timestamp,
    /// How far the machines have written, seconds.
    written_s: f64,
    /// Names given so far.
    names: u64,
    down: BTreeMap<MachineName, Down>,
}

/// How long a machine ran nowhere, seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Down {
    before_s: f64,
    since_s: Option<f64>,
}

/// Sites in memory.
pub struct World {
    inner: Mutex<Inner>,
    pub(super) meddler: Arc<dyn Meddler>,
    clock: Clock,
}

/// Tells the time.
pub type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

impl World {
    /// A world that begins as it was seen, at what `clock` tells now.
    pub fn new(
        beginning: &Beginning,
        inventory: &Inventory,
        meddler: Arc<dyn Meddler>,
        clock: Clock,
    ) -> Arc<World> {
        let began = clock();
        let mut inner = Inner {
            began,
            at: began,
            seats: BTreeMap::new(),
            hosts: beginning.hosts.clone(),
            ledger: Ledger::default(),
            written_s: 0.0,
            names: 0,
            down: BTreeMap::new(),
        };
        for (machine, sides) in &beginning.machines {
            if let Some(entry) = inventory.machines.get(machine) {
                inner.begin(machine, entry, sides);
            }
        }
        Arc::new(World { inner: Mutex::new(inner), meddler, clock })
    }

    /// One site of it.
    pub fn site(self: &Arc<World>, name: &SiteName) -> Arc<dyn Site> {
        Arc::new(ModelSite { name: name.clone(), world: self.clone() })
    }

    /// As its sites would show it now.
    pub fn seen(&self) -> Beginning {
        let inner = self.now();
        let names = inner.ledger.told.keys();
        let sides = names.filter_map(|name| {
            let seat = |side| inner.seats.get(&(name.clone(), side));
            let (cloud, onprem) = (seat(Side::Cloud)?, seat(Side::Onprem)?);
            let is_silent = |side| seat(side).is_some_and(|seat| seat.silent);
            let silent = [Side::Cloud, Side::Onprem].into_iter().find(|side| is_silent(*side));
            let silent = silent.map(|side| (side, out_of_reach(name)));
            Some((name.clone(), Both { cloud: cloud.view(), onprem: onprem.view(), silent }))
        });
        Beginning { machines: sides.collect(), hosts: inner.hosts.clone() }
    }

    /// The promises that were broken so far.
    pub fn broken(&self) -> Vec<String> {
        lock(&self.inner).ledger.broken.clone()
    }

    /// Machines of which no side runs, and whether a power loss did that since they were started last.
    pub fn down(&self) -> Vec<(MachineName, bool)> {
        let inner = self.now();
        let down = inner.ledger.told.keys().filter_map(|name| {
            let sides = [Side::Cloud, Side::Onprem];
            let mut seats = sides.iter().filter_map(|side| inner.seats.get(&(name.clone(), *side)));
            let runs = seats.clone().any(|seat| seat.on);
            (!runs).then(|| (name.clone(), seats.any(|seat| seat.lost_power)))
        });
        down.collect()
    }

    /// How long each machine ran nowhere so far, seconds.
    pub fn downtimes_s(&self) -> BTreeMap<MachineName, f64> {
        let inner = self.now();
        let until_s = inner.written_s;
        let all = inner.down.iter().map(|(machine, down)| {
            let open_s = down.since_s.map_or(0.0, |since_s| until_s - since_s);
            (machine.clone(), down.before_s + open_s)
        });
        all.collect()
    }

    /// What was left behind: snapshots and copies that runs made, and claims.
    pub fn leftovers(&self) -> Vec<String> {
        let inner = lock(&self.inner);
        let mut left = Vec::new();
        for ((machine, side), seat) in &inner.seats {
            let mut say = |what: String| left.push(format!("{machine} at its {side} side: {what}"));
            seat.snapshots.iter().for_each(|kept| say(format!("snapshot {}", kept.snapshot.id)));
            seat.copies.iter().for_each(|copy| say(format!("copy {}", copy.view.id)));
            seat.lease.run.iter().for_each(|run| say(format!("claimed by {run}")));
        }
        left
    }

    /// The power of one side's host goes: the machine is off, and of what was written to a replica and not
    /// flushed every `nth` block is lost.
    pub fn lose_power(&self, machine: &MachineName, side: Side, nth: u64) {
        let mut inner = self.now();
        let Some(seat) = inner.seats.get_mut(&(machine.clone(), side)) else { return };
        seat.lost_power |= seat.on;
        seat.on = false;
        seat.losses += 1;
        seat.disks.iter().for_each(|disk| lock(disk).lose_power(nth));
        inner.ledger.forget(machine, side, "boot");
        inner.power_changed(machine);
    }

    /// The world as it is by now.
    pub(super) fn now(&self) -> MutexGuard<'_, Inner> {
        let mut inner = lock(&self.inner);
        let at = (self.clock)();
        let passed_s = at.duration_since(inner.began).as_secs_f64();
        inner.at = at;
        inner.pass(passed_s);
        inner
    }
}

impl World {
    /// The world as it was last: nobody writes meanwhile.
    pub(super) fn still(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn begin(&mut self, machine: &MachineName, entry: &MachineEntry, sides: &Both) {
        let live = look::active(&sides.cloud, &sides.onprem);
        let (active, passive) = match live {
            Side::Cloud => (&sides.cloud, &sides.onprem),
            Side::Onprem => (&sides.onprem, &sides.cloud),
        };
        let told = Content::from_iter((0..BLOCKS / 2).map(|block| (block, block + 1)));
        let behind = match look::replica(active, passive).0 {
            ReplicaState::Current => told.clone(),
            _ => told.iter().map(|(block, version)| (*block, *version)).take(5).collect(),
        };
        let disks = entry.disks.len();
        for side in [Side::Cloud, Side::Onprem] {
            let (view, content) = match (side == live, side) {
                (is_live, Side::Cloud) => (&sides.cloud, if is_live { &told } else { &behind }),
                (is_live, Side::Onprem) => (&sides.onprem, if is_live { &told } else { &behind }),
            };
            let mut seat = seat(view, entry, vec![content.clone(); disks]);
            seat.silent = sides.silent.as_ref().is_some_and(|(silent, _)| *silent == side);
            self.seats.insert((machine.clone(), side), seat);
        }
        let told = super::ledger::Told { content: vec![told; disks], writes: BLOCKS };
        self.ledger.told.insert(machine.clone(), told);
    }

    /// The machines that run write on until then.
    fn pass(&mut self, now_s: f64) {
        let due = |s: f64| (s * WRITES_PER_S).floor();
        let count = (due(now_s) - due(self.written_s)).max(0.0) as u64;
        self.written_s = self.written_s.max(now_s);
        if count == 0 {
            return;
        }
        for ((machine, _), seat) in self.seats.iter_mut().filter(|(_, seat)| seat.on && !seat.dark)
        {
            let Some(told) = self.ledger.told.get_mut(machine) else { continue };
            told.writes += count - count.min(WRITES_AT_ONCE);
            for _ in 0..count.min(WRITES_AT_ONCE) {
                told.writes += 1;
                let disk = (told.writes % seat.disks.len().max(1) as u64) as usize;
                // Some blocks often, some seldom, as machines do.
                let block = (told.writes * told.writes / 3) % BLOCKS;
                if let Some(shared) = seat.disks.get(disk) {
                    lock(shared).write(block, told.writes);
                    told.content[disk].insert(block, told.writes);
                    if let Some(tracking) = &mut seat.tracking {
                        tracking.last[disk].insert(block, tracking.epoch);
                    }
                }
            }
        }
    }

    /// A side was turned on or off.
    pub fn power_changed(&mut self, machine: &MachineName) {
        let is_on = |side| self.seats.get(&(machine.clone(), side)).is_some_and(|seat| seat.on);
        let runs = is_on(Side::Cloud) || is_on(Side::Onprem);
        let now_s = self.written_s;
        let down = self.down.entry(machine.clone()).or_default();
        match (runs, down.since_s) {
            (false, None) => down.since_s = Some(now_s),
            (true, Some(since_s)) => {
                *down = Down { before_s: down.before_s + now_s - since_s, since_s: None };
            }
            _ => {}
        }
    }

    /// Another one than ever before.
    pub fn fresh(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    pub fn effect(
        &mut self,
        (machine, side): &(MachineName, Side),
        what: &'static str,
        key: &StepKey,
    ) {
        self.ledger.effect(machine, *side, what, key);
    }
}

/// What is said of a side that nobody can reach.
pub(super) fn out_of_reach(name: impl std::fmt::Display) -> Failure {
    Failure::transient(format!("{name} cannot be reached"))
}

fn seat(view: &SideView, entry: &MachineEntry, content: Vec<Content>) -> Seat {
    let disks = if view.has_disks { content } else { Vec::new() };
    Seat {
        state: State::of_view(view, if view.has_disks { &entry.disks } else { &[] }),
        lease: Lease::default(),
        on: view.power == Power::On,
        dark: view.power == Power::Unknown,
        silent: false,
        tracking: None,
        disks: disks.into_iter().map(|content| Arc::new(Mutex::new(Disk::of(content)))).collect(),
        snapshots: Vec::new(),
        manifests: None,
        copies: Vec::new(),
        losses: 0,
        lost_power: false,
    }
}
