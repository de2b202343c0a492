//! A machine in the hands of one run: its sites, its claims, and every operation with a time limit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use homing::base::{MachineName, RunId, Side, SnapshotId, StepId, StepKey, SyncId};
use homing::plan::effect::Mode;
use homing::plan::facts::{DirtyMark, Power, Protection};
use homing::plan::inventory::MachineEntry;
use homing::run::failure::Failure;
use homing::sites::sync::{self, End, Order, Report, Synced};
use homing::sites::{
    At, Boot, Booted, Changes, Disks, Fence, Lost, Machines, NewMachine, PowerSwitch, ReplicaMark,
    SideView, Site, Snapshot, Source, SyncStamp, registry,
};
use homing::transfer::blocks::{BlockSink, Manifest};
use tokio_util::sync::CancellationToken;

use super::content::{self, Content};
use super::ground::{Ground, MACHINE, inventory, tools, within};

/// How long a machine may take to stop when it is asked.
pub const GRACE: Duration = Duration::from_secs(60);
/// How long a machine may take to give a sign of life.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long a process that ends by itself may be seen.
const LINGER: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Both sides.
pub const SIDES: [Side; 2] = [Side::Cloud, Side::Onprem];

/// One machine and one run, with sites of its own, as a process has them.
pub struct Hand {
    /// The inventory file.
    pub file: Utf8PathBuf,
    /// The machine.
    pub machine: MachineName,
    /// What the inventory says of it.
    pub entry: MachineEntry,
    /// The run.
    pub run: RunId,
    /// By side, the token of its claim.
    pub tokens: BTreeMap<Side, u64>,
    cloud: Arc<dyn Site>,
    onprem: Arc<dyn Site>,
}

/// What a synchronization may be told.
#[derive(Clone, Copy, Default)]
pub struct How<'a> {
    /// The source's snapshot; `None`: its disks, which are off.
    pub snapshot: Option<&'a SnapshotId>,
    /// Send everything.
    pub full: bool,
    /// Where the cursor is kept.
    pub cursor: Option<&'a Path>,
}

impl Hand {
    /// Opens the sites for a run that has claimed nothing.
    pub fn open(file: &Utf8Path, run: &str) -> Hand {
        let inventory = inventory(file);
        let sites =
            registry::open(&inventory, &tools()).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let (machine, entry) = inventory.machines.get_key_value(MACHINE).expect("the machine");
        let site = |side| sites.get(entry.site(side)).expect("a site of the inventory");
        Hand {
            file: file.to_owned(),
            machine: machine.clone(),
            entry: entry.clone(),
            run: RunId::new(run).expect("a run's name"),
            tokens: BTreeMap::new(),
            cloud: site(Side::Cloud),
            onprem: site(Side::Onprem),
        }
    }

    /// Opens the sites and claims the machine on both sides.
    pub async fn take(ground: &dyn Ground, run: &str) -> Hand {
        let mut hand = Hand::open(&ground.file(), run);
        hand.claim_both().await;
        hand
    }

    /// The same claims, as another process that opens the sites anew.
    pub fn reopened(&self) -> Hand {
        Hand { tokens: self.tokens.clone(), ..Hand::open(&self.file, self.run.as_str()) }
    }

    pub fn at(&self, side: Side) -> At<'_> {
        At { machine: &self.machine, side, entry: &self.entry }
    }

    pub fn site(&self, side: Side) -> &dyn Site {
        if side == Side::Cloud { &*self.cloud } else { &*self.onprem }
    }

    pub fn disks(&self, side: Side) -> &dyn Disks {
        self.site(side).disks().expect("a provider has disks")
    }

    pub fn power(&self, side: Side) -> &dyn PowerSwitch {
        self.site(side).power().expect("a provider has a power switch")
    }

    pub fn machines(&self, side: Side) -> &dyn Machines {
        self.site(side).machines().expect("a provider has machines")
    }

    /// What a step of this run carries there.
    pub fn fence(&self, side: Side, step: &str) -> Fence {
        let step = StepId::new(step).expect("a step's name");
        let key = StepKey::of(&self.run, &step);
        Fence { run: self.run.clone(), token: self.tokens[&side], step, key }
    }

    pub async fn claim(&mut self, side: Side) -> Result<u64, Failure> {
        let claims = self.site(side).claims().expect("a provider has claims");
        let claim = within("claim", claims.claim(self.at(side), &self.run)).await?;
        assert_eq!(claim.run, self.run);
        self.tokens.insert(side, claim.token);
        Ok(claim.token)
    }

    pub async fn claim_both(&mut self) {
        for side in SIDES {
            self.claim(side).await.expect("a machine that nobody else claims");
        }
    }

    pub async fn unclaim(&self, side: Side) -> Result<(), Failure> {
        let claims = self.site(side).claims().expect("a provider has claims");
        within("unclaim", claims.unclaim(self.at(side), &self.run)).await
    }

    pub async fn look(&self, side: Side) -> SideView {
        within("look", self.site(side).look(self.at(side))).await.expect("a look")
    }

    /// Looks until what is seen and the processes of this computer agree: one for a machine that is on,
    /// none for one that is off. They must, soon; a process may be listed a little longer than it lives.
    pub async fn see(&self, ground: &dyn Ground, side: Side) -> SideView {
        let agreed = async {
            loop {
                let view = self.look(side).await;
                if ground.guests(side) == usize::from(view.power == Power::On) {
                    return view;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let seen = tokio::time::timeout(LINGER, agreed).await;
        seen.unwrap_or_else(|_| {
            let guests = ground.guests(side);
            panic!("{guests} processes are the {side} side, and `look` says something else")
        })
    }

    pub async fn start(
        &self,
        side: Side,
        turn: u64,
        from: Option<Booted>,
    ) -> Result<SideView, Failure> {
        let (boot, fence) = (Boot { turn, from }, self.fence(side, "start"));
        within("start", self.power(side).start(self.at(side), &boot, &fence)).await
    }

    pub async fn stop(&self, side: Side) -> Result<bool, Failure> {
        let fence = self.fence(side, "stop");
        within("stop", self.power(side).stop(self.at(side), GRACE, &fence)).await
    }

    pub async fn sign_of_life(&self, side: Side, patience: Duration) -> Result<String, Failure> {
        within("sign_of_life", self.power(side).sign_of_life(self.at(side), patience)).await
    }

    /// Waits for a sign of life: the machine wrote something since.
    pub async fn lives(&self, side: Side) {
        self.sign_of_life(side, PATIENCE).await.expect("a sign of life");
    }

    pub async fn snapshot(&self, side: Side, step: &str) -> Result<Snapshot, Failure> {
        let fence = self.fence(side, step);
        within("snapshot", self.disks(side).snapshot(self.at(side), &fence)).await
    }

    pub async fn snapshots(&self, side: Side) -> Vec<(Snapshot, RunId)> {
        within("snapshots", self.disks(side).snapshots(self.at(side))).await.expect("a list")
    }

    pub async fn release(&self, side: Side, id: &SnapshotId) -> Result<(), Failure> {
        let fence = self.fence(side, "release");
        within("release", self.disks(side).release(self.at(side), id, &fence)).await
    }

    pub async fn source(&self, side: Side, from: Option<&SnapshotId>) -> Result<Source, Failure> {
        within("source", self.disks(side).source(self.at(side), from)).await
    }

    /// All bytes of a snapshot, or of the disks of a machine that is off.
    pub async fn content(&self, side: Side, from: Option<&SnapshotId>) -> Content {
        content::read(&self.source(side, from).await.expect("a source"))
    }

    pub async fn changes(
        &self,
        side: Side,
        since: &str,
        to: Option<&SnapshotId>,
    ) -> Result<Option<Vec<Changes>>, Failure> {
        within("changes", self.disks(side).changes(self.at(side), since, to)).await
    }

    /// The synchronization that a step of this run is.
    pub fn sync(&self, step: &str) -> SyncId {
        SyncId::of(&StepKey::of(&self.run, &StepId::new(step).expect("a step's name")))
    }

    /// The mark that it leaves.
    pub fn mark(&self, step: &str) -> DirtyMark {
        DirtyMark { sync: self.sync(step), run: self.run.to_string(), step: step.to_owned() }
    }

    pub async fn begin_sync(&self, side: Side, step: &str) -> Result<(), Failure> {
        let (mark, fence) = (self.mark(step), self.fence(side, step));
        within("begin_sync", self.disks(side).begin_sync(self.at(side), &mark, &fence)).await
    }

    pub async fn sink(&self, side: Side, step: &str) -> Result<Vec<Arc<dyn BlockSink>>, Failure> {
        let (sync, fence) = (self.sync(step), self.fence(side, step));
        within("sink", self.disks(side).sink(self.at(side), &sync, &fence)).await
    }

    pub async fn end_sync(
        &self,
        side: Side,
        step: &str,
        stamp: &SyncStamp,
        kept: &[Manifest],
    ) -> Result<(), Failure> {
        let fence = self.fence(side, step);
        within("end_sync", self.disks(side).end_sync(self.at(side), stamp, kept, &fence)).await
    }

    /// The manifests that the synchronization of a step may go by.
    pub async fn manifests(&self, side: Side, step: &str) -> Option<Vec<Manifest>> {
        let sync = self.sync(step);
        let found = self.disks(side).manifests(self.at(side), &sync);
        within("manifests", found).await.expect("an answer")
    }

    pub async fn create(&self, side: Side, step: &str, new: &NewMachine) -> Result<bool, Failure> {
        let fence = self.fence(side, step);
        within("create", self.machines(side).create(self.at(side), new, &fence)).await
    }

    pub async fn delete(&self, side: Side, generation: &str) -> Result<(), Failure> {
        let fence = self.fence(side, "delete");
        within("delete", self.machines(side).delete(self.at(side), generation, &fence)).await
    }

    pub async fn set_committed(&self, side: Side) -> Result<(), Failure> {
        let fence = self.fence(side, "set_committed");
        within("set_committed", self.machines(side).set_committed(self.at(side), &fence)).await
    }

    pub async fn set_lost_twin(&self, side: Side, lost: Option<&Lost>) -> Result<(), Failure> {
        let fence = self.fence(side, "set_lost_twin");
        within("set_lost_twin", self.machines(side).set_lost_twin(self.at(side), lost, &fence))
            .await
    }

    pub async fn set_superseded(&self, side: Side, is: bool) -> Result<(), Failure> {
        let fence = self.fence(side, "set_superseded");
        within("set_superseded", self.machines(side).set_superseded(self.at(side), is, &fence))
            .await
    }

    pub async fn protect(&self, side: Side, to: Protection) -> Result<(), Failure> {
        let fence = self.fence(side, "protect");
        within("protect", self.machines(side).protect(self.at(side), to, &fence)).await
    }

    /// Brings the other side's replica up to `from`; the step is the synchronization.
    pub async fn synchronize(
        &self,
        from: Side,
        step: &str,
        how: How<'_>,
    ) -> Result<Synced, Failure> {
        let (live, passive) = (self.look(from).await, self.look(from.other()).await);
        let end = |side: Side, view| End {
            site: self.site(side),
            disks: self.disks(side),
            at: self.at(side),
            view,
            fence: self.fence(side, step),
        };
        let cursor = how.cursor.and_then(|path| std::fs::read(path).ok());
        let order = Order {
            from: end(from, &live),
            to: end(from.other(), &passive),
            snapshot: how.snapshot,
            mode: if how.full { Mode::Full } else { Mode::Delta },
            key: None,
            limiters: Vec::new(),
            mark: self.mark(step),
            cursor,
        };
        let notes = Notes { cursor: how.cursor.map(PathBuf::from), ..Notes::default() };
        within("a synchronization", sync::synchronize(&order, &notes)).await
    }

    /// The stamp of a replica that must be verified.
    pub async fn stamp(&self, side: Side) -> SyncStamp {
        let view = self.look(side).await;
        match &view.replica {
            Some(ReplicaMark::Synced { stamp, own_generation }) => {
                assert_eq!(*own_generation, view.generation, "nothing happened to it since");
                stamp.clone()
            }
            _ => panic!("no verified replica: {view:?}"),
        }
    }

    /// A boot from what that stamp says.
    pub fn booted(&self, stamp: &SyncStamp) -> Booted {
        Booted {
            sync: stamp.sync.clone(),
            source_generation: stamp.source_generation.clone(),
            is_final: stamp.is_final,
            run: self.run.to_string(),
        }
    }

    /// One above both sides' turns.
    pub async fn next_turn(&self) -> u64 {
        self.look(Side::Cloud).await.turn.max(self.look(Side::Onprem).await.turn) + 1
    }
}

/// A synchronization's report: keeps the cursor in a file.
#[derive(Default)]
pub struct Notes {
    cursor: Option<PathBuf>,
    cancelled: CancellationToken,
}

impl Report for Notes {
    fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    fn progress(&self, _: u64, _: u64, _: u64, _: &str) {}

    fn save(&self, cursor: &[u8]) -> Result<(), Failure> {
        let Some(path) = &self.cursor else { return Ok(()) };
        let half = path.with_extension("half");
        let kept = std::fs::write(&half, cursor).and_then(|()| std::fs::rename(&half, path));
        kept.map_err(|error| Failure::transient(error.to_string()))
    }
}
