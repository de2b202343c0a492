//! What goes wrong: by a seed, at the sites, on the way to them, and with the process itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::base::{MachineName, Side, SiteName};
use crate::rehearse::clock::Clock;
use crate::rehearse::dice::Dice;
use crate::run::failure::Failure;
use crate::sites::model::{Call, Meddler, World};

/// A moment in a rehearsal, counted from its beginning over all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// That record has become durable, and nothing has been done about it.
    Record(u64),
    /// The engine is about to do that.
    Action(u64),
    /// That call has reached its site, and nothing has been done there.
    Asked(u64),
    /// What that call asked for has been done, and nobody heard.
    Done(u64),
    /// That block is about to be read or written.
    Block(u64),
}

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    /// Decides everything.
    pub seed: u64,
    /// Of a thousand calls, how many go wrong.
    pub per_mille: u64,
    /// Of what goes wrong by the seed, only these happen, by the number of the call.
    pub only: Option<BTreeSet<u64>>,
    /// Moments at which the process dies.
    pub deaths: BTreeSet<Moment>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    /// The number of the call.
    pub call: u64,
    /// What, for a person.
    pub what: String,
}

/// How often each kind of moment came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records made durable.
    pub records: u64,
    /// Actions of the engine.
    pub actions: u64,
    /// Calls of sites.
    pub calls: u64,
    /// Blocks read and written, and flushes.
    pub blocks: u64,
}

pub(super) struct Trouble {
    troubles: Troubles,
    clock: Arc<Clock>,
    world: OnceLock<Weak<World>>,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    counts: Counts,
    struck: Vec<Struck>,
    /// The death of the process that lives: nothing that it began goes on.
    death: CancellationToken,
    /// Everything is well from here on.
    calm: bool,
    /// Sites that cannot be reached until then.
    apart: BTreeMap<SiteName, Duration>,
    /// How calls will be answered: late, or not at all.
    answers: BTreeMap<u64, Option<Duration>>,
    /// What will happen to the disks of a machine, after how many more blocks.
    blocks: BTreeMap<(MachineName, Side), (u64, Block)>,
}

#[derive(Clone, Copy)]
enum Block {
    Unreadable,
    Unwritable,
    Full,
}

enum Fault {
    Lost,
    Busy(u32),
    Slow(Duration),
    Broken,
    Apart(Duration),
    Late(Duration),
    Unheard,
    PowerLoss(u64),
    Blocks(u64, Block),
}

/// A call that may go wrong with the power has something to lose.
const WRITES: [&str; 3] = ["sink", "end_sync", "start"];
/// The last calls of a run, after which nobody looks at the machines again.
const LAST: [&str; 4] = ["look", "release", "snapshots", "unclaim"];

impl Trouble {
    pub fn new(troubles: Troubles, clock: Arc<Clock>) -> Arc<Trouble> {
        Arc::new(Trouble { troubles, clock, world: OnceLock::new(), now: Mutex::default() })
    }

    /// The world that it meddles with.
    pub fn meddles_with(&self, world: &Arc<World>) {
        let _ = self.world.set(Arc::downgrade(world));
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn counts(&self) -> Counts {
        self.now().counts
    }

    pub fn struck(&self) -> Vec<Struck> {
        self.now().struck.clone()
    }

    /// Fires when the process that lives dies.
    pub fn death(&self) -> CancellationToken {
        self.now().death.clone()
    }

    pub fn is_dead(&self) -> bool {
        self.now().death.is_cancelled()
    }

    /// A new process.
    pub fn revive(&self) {
        self.now().death = CancellationToken::new();
    }

    /// Nothing goes wrong from here on.
    pub fn calm(&self) {
        let mut now = self.now();
        now.calm = true;
        now.apart.clear();
        now.blocks.clear();
    }

    /// Whether the process dies once this record is durable.
    pub fn after_record(&self) -> bool {
        let mut now = self.now();
        now.counts.records += 1;
        let moment = Moment::Record(now.counts.records);
        self.dies(&mut now, moment)
    }

    /// Whether the process dies before this action.
    pub fn before_action(&self) -> bool {
        let mut now = self.now();
        now.counts.actions += 1;
        let moment = Moment::Action(now.counts.actions);
        self.dies(&mut now, moment)
    }

    fn dies(&self, now: &mut Now, moment: Moment) -> bool {
        if !now.calm && self.troubles.deaths.contains(&moment) {
            now.death.cancel();
        }
        now.death.is_cancelled()
    }

    /// Counts a call.
    fn count(&self) -> u64 {
        let mut now = self.now();
        now.counts.calls += 1;
        now.counts.calls
    }

    /// What goes wrong with a call.
    fn fault(&self, number: u64, call: &Call) -> Option<Fault> {
        let mut now = self.now();
        if now.calm || self.troubles.only.as_ref().is_some_and(|only| !only.contains(&number)) {
            return None;
        }
        let mut dice = Dice::of(self.troubles.seed, number);
        if dice.below(1000) >= self.troubles.per_mille {
            return None;
        }
        let fault = Fault::roll(&mut dice, call)?;
        let machine = call.machine.as_ref().map_or("its hosts", |(machine, _)| machine.as_str());
        let what = format!("{} of {machine} at {}: {}", call.operation, call.site, fault.say());
        now.struck.push(Struck { call: number, what });
        Some(fault)
    }

    async fn strike(&self, number: u64, call: &Call, fault: Option<Fault>) -> Result<(), Failure> {
        match fault {
            Some(Fault::Lost) => return Err(Failure::transient("contact was lost")),
            Some(Fault::Busy(s)) => return Err(Failure::throttled("the site is busy", s)),
            Some(Fault::Broken) => return Err(Failure::permanent("the site says that it cannot")),
            Some(Fault::Slow(wait)) => tokio::time::sleep(wait).await,
            Some(Fault::Apart(wait)) => {
                let until = self.clock.now() + wait;
                self.now().apart.insert(call.site.clone(), until);
                return Err(Failure::transient(format!("{} cannot be reached", call.site)));
            }
            Some(Fault::PowerLoss(nth)) => {
                let world = self.world.get().and_then(Weak::upgrade);
                if let (Some(world), Some((machine, side))) = (world, &call.machine) {
                    world.lose_power(machine, *side, nth);
                }
            }
            Some(Fault::Blocks(after, what)) => {
                let whose = call.machine.clone();
                self.now().blocks.extend(whose.map(|whose| (whose, (after, what))));
            }
            Some(Fault::Late(wait)) => drop(self.now().answers.insert(number, Some(wait))),
            Some(Fault::Unheard) => drop(self.now().answers.insert(number, None)),
            None => {}
        }
        Ok(())
    }

    fn is_apart(&self, site: &SiteName) -> bool {
        let at = self.clock.now();
        self.now().apart.get(site).is_some_and(|until| at < *until)
    }

    /// Until the end of the process, when it is dead.
    async fn while_alive(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}

impl Fault {
    fn roll(dice: &mut Dice, call: &Call) -> Option<Fault> {
        let hour = Duration::from_secs(3600);
        Some(match dice.below(20) {
            0..=4 => Fault::Lost,
            5..=6 => Fault::Busy(u32::try_from(1 + dice.below(120)).unwrap_or(1)),
            7..=8 => Fault::Slow(dice.wait(2 * hour)),
            9 => Fault::Broken,
            10 => Fault::Apart(dice.wait(hour)),
            11..=12 => Fault::Late(dice.wait(hour)),
            13..=16 => Fault::Unheard,
            17 if !LAST.contains(&call.operation) => Fault::PowerLoss(1 + dice.below(3)),
            18..=19 if WRITES.contains(&call.operation) || call.operation == "source" => {
                let what = [Block::Unreadable, Block::Unwritable, Block::Full];
                Fault::Blocks(dice.below(12), what[dice.below(3) as usize])
            }
            _ => return None,
        })
    }

    fn say(&self) -> String {
        match self {
            Fault::Lost => "contact lost before anything was done".into(),
            Fault::Busy(s) => format!("asked to come back in {s} s"),
            Fault::Slow(wait) => format!("reached the site only after {} s", wait.as_secs()),
            Fault::Broken => "refused for good".into(),
            Fault::Apart(wait) => format!("the site is cut off for {} s", wait.as_secs()),
            Fault::Late(wait) => format!("done, and answered after {} s", wait.as_secs()),
            Fault::Unheard => "done, and the answer was lost".into(),
            Fault::PowerLoss(_) => "the power of its host goes".into(),
            Fault::Blocks(after, Block::Unreadable) => format!("unreadable after {after} blocks"),
            Fault::Blocks(after, Block::Unwritable) => format!("unwritable after {after} blocks"),
            Fault::Blocks(after, Block::Full) => format!("full after {after} blocks"),
        }
    }
}

#[async_trait]
impl Meddler for Trouble {
    async fn before(&self, call: &Call) -> Result<u64, Failure> {
        self.while_alive().await;
        let number = self.count();
        if self.dies(&mut self.now(), Moment::Asked(number)) {
            self.while_alive().await;
        }
        let fault = self.fault(number, call);
        if self.is_apart(&call.site) {
            return Err(Failure::transient(format!("{} cannot be reached", call.site)));
        }
        self.strike(number, call, fault).await?;
        self.while_alive().await;
        Ok(number)
    }

    async fn after(&self, number: u64) -> Result<(), Failure> {
        if self.dies(&mut self.now(), Moment::Done(number)) {
            self.while_alive().await;
        }
        let answer = self.now().answers.remove(&number);
        match answer {
            None => Ok(()),
            Some(Some(wait)) => {
                tokio::time::sleep(wait).await;
                self.while_alive().await;
                Ok(())
            }
            Some(None) => Err(Failure::transient("the answer was lost")),
        }
    }

    fn block(&self, machine: &MachineName, side: Side, is_write: bool) -> io::Result<()> {
        let mut now = self.now();
        now.counts.blocks += 1;
        let moment = Moment::Block(now.counts.blocks);
        if self.dies(&mut now, moment) {
            return Err(io::Error::other("the process is dead"));
        }
        let whose = (machine.clone(), side);
        let Some((after, what)) = now.blocks.get_mut(&whose) else { return Ok(()) };
        if *after > 0 {
            *after -= 1;
            return Ok(());
        }
        let error = match what {
            Block::Unreadable if !is_write => io::Error::other("bad sector"),
            Block::Unwritable if is_write => io::Error::other("bad sector"),
            Block::Full if is_write => io::Error::from(io::ErrorKind::StorageFull),
            _ => return Ok(()),
        };
        now.blocks.remove(&whose);
        Err(error)
    }
}
