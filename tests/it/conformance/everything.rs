//! Every mutation at once, for what must refuse them all; and what a refusal is.

use homing::base::{CopyId, HostName, Side, SnapshotId, Timestamp};
use homing::plan::facts::Protection;
use homing::run::failure::{Class, Failure};
use homing::sites::copies::NewCopy;
use homing::sites::{Lost, NewMachine, SyncStamp};

use super::ground::within;
use super::hand::Hand;

/// What was tried, and what was answered.
pub type Said = Vec<(&'static str, Result<(), Failure>)>;

impl Hand {
    /// Every mutation once, in an order in which none of them leads to the next; what each answered.
    pub async fn try_everything(&self, side: Side) -> Said {
        let nothing = SnapshotId::new("no-such-snapshot").expect("a snapshot's name");
        let lost = Lost { run: self.run.clone(), reason: "a test".to_owned(), live_from: 1 };
        let stamp = SyncStamp {
            sync: self.sync("try"),
            source_generation: "no-such-generation".to_owned(),
            is_final: true,
            tracking: None,
            at: Timestamp::now(),
        };
        let mut said = vec![
            ("start", self.start(side, 99, None).await.map(drop)),
            ("stop", self.stop(side).await.map(drop)),
            ("snapshot", self.snapshot(side, "try").await.map(drop)),
            ("release", self.release(side, &nothing).await),
            ("sink", self.sink(side, "try").await.map(drop)),
            ("end_sync", self.end_sync(side, "try", &stamp, &[]).await),
            ("delete", self.delete(side, "no-such-generation").await),
            ("set_committed", self.set_committed(side).await),
            ("set_lost_twin", self.set_lost_twin(side, Some(&lost)).await),
            ("set_superseded", self.set_superseded(side, true).await),
            ("protect", self.protect(side, Protection::OnpremToCloud).await),
        ];
        if let Some(copies) = self.site(side).copies() {
            let fence = self.fence(side, "try");
            let id = CopyId::of(&fence.key);
            let start = within("start of a copy", copies.start(self.at(side), &id, &fence)).await;
            said.push(("start of a copy", start.map(drop)));
        }
        said
    }

    /// The mutations that may make something where there was nothing.
    pub async fn try_to_begin(&self, side: Side) -> Said {
        let home = NewMachine { host: self.home(side), ..NewMachine::default() };
        let mut said = vec![
            ("create", self.create(side, "try", &home).await.map(drop)),
            ("begin_sync", self.begin_sync(side, "try").await),
        ];
        if let Some(copies) = self.site(side).copies() {
            let (new, fence) = (NewCopy::default(), self.fence(side, "try"));
            let make = copies.make(self.at(side), &new, &self.entry.disks, &fence);
            said.push(("make of a copy", within("make", make).await.map(drop)));
        }
        said
    }

    /// The host that the inventory gives it there.
    fn home(&self, side: Side) -> Option<HostName> {
        (side == Side::Onprem).then(|| self.entry.host.clone())
    }
}

/// Fails unless it was refused with that code, for good, with a way out.
#[track_caller]
pub fn refused<T>(result: Result<T, Failure>, expected: &str, what: &str) -> Failure {
    let Err(failure) = result else { panic!("{what}: it was done") };
    assert_eq!(failure.code.as_deref(), Some(expected), "{what}: {failure:?}");
    assert_eq!(failure.class, Class::Refused, "{what}: {failure:?}");
    assert!(failure.help.is_some(), "{what}: what to do is said: {failure:?}");
    failure
}
