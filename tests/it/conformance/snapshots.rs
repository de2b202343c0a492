//! Snapshots and sources: one moment each, found again, and what changed between two of them.

use homing::base::{Side, SnapshotId};
use homing::sites::Snapshot;

use super::child::{Act, Killer, Operation, moments};
use super::content::{self, Content, covers};
use super::everything::refused;
use super::ground::{Ground, practice, same_files, work};
use super::hand::Hand;

const SIDE: Side = Side::Cloud;

/// Taken once by one step, listed with its run, given up for good; of a machine that runs or is off.
pub fn twice(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        refused(hand.source(SIDE, None).await, "H305", "the disks of a machine that runs");
        hand.disks(SIDE).unlock(hand.at(SIDE), None).await.expect("nothing is encrypted");
        for round in ["running", "off"] {
            let before = hand.look(SIDE).await;
            let first = taken_twice(&hand, &format!("{round}.1")).await;
            let second = taken_twice(&hand, &format!("{round}.2")).await;
            assert_eq!(first.generation, before.generation);
            assert_eq!(first.bytes, before.disk_bytes);
            let known = [&first, &second].map(|taken| (taken.clone(), hand.run.clone()));
            assert_eq!(hand.snapshots(SIDE).await, known, "oldest first");
            let source = hand.source(SIDE, Some(&first.id)).await.expect("a source");
            assert!(!source.stopped && source.generation == first.generation);
            assert_eq!(source.disks.len(), hand.entry.disks.len());

            for _ in 0..2 {
                hand.release(SIDE, &first.id).await.expect("given up");
                assert_eq!(hand.snapshots(SIDE).await, known[1..]);
            }
            let gone = hand.source(SIDE, Some(&first.id)).await.map(drop).expect_err("it is gone");
            assert!(!gone.may_retry(), "{gone:?}");
            hand.release(SIDE, &second.id).await.expect("given up");
            assert_eq!(hand.look(SIDE).await, before, "{round}: the machine is as it was");
            if round == "running" {
                hand.lives(SIDE).await;
                hand.stop(SIDE).await.expect("stopped");
            }
        }
    });
}

async fn taken_twice(hand: &Hand, step: &str) -> Snapshot {
    let taken = hand.snapshot(SIDE, step).await.expect("taken");
    let again = hand.reopened().snapshot(SIDE, step).await.expect("found");
    assert_eq!(taken, again, "found by its step");
    taken
}

/// Taking and giving up, each killed: one snapshot or none, and nothing that nobody knows.
pub fn interrupted(ground: &dyn Ground) {
    work(async {
        let mut hand = Hand::take(ground, "r1").await;
        let mut killer = Killer::default();
        for round in ["running", "off"] {
            let mut left = None;
            for (count, moment) in moments(ground).enumerate() {
                let take = Operation::new(SIDE, &format!("{round}.{count}"), Act::Snapshot);
                let said = killer.interrupt(&mut hand, "snapshot", &take, moment).await;
                let again = take.perform(&mut hand).await.expect("taken");
                assert!(said.is_none_or(|said| said == again), "{round}, {moment:?}: one");
                let taken: Snapshot = serde_json::from_value(again).expect("a snapshot");
                let known = [(taken.clone(), hand.run.clone())];
                assert_eq!(hand.snapshots(SIDE).await, known, "{round}, {moment:?}");
                let content = hand.content(SIDE, Some(&taken.id)).await;
                content.is(&hand.content(SIDE, Some(&taken.id)).await, "one moment");

                let release = Operation::new(SIDE, "release", Act::Release(taken.id.clone()));
                killer.interrupt(&mut hand, "release", &release, moment).await;
                release.perform(&mut hand).await.expect("given up");
                assert_eq!(hand.snapshots(SIDE).await, [], "{round}, {moment:?}");
                assert!(hand.source(SIDE, Some(&taken.id)).await.is_err(), "{round}, {moment:?}");
                let files = ground.files();
                same_files(
                    left.get_or_insert_with(|| files.clone()),
                    &files,
                    &format!("{round}, {moment:?}"),
                );
            }
            if round == "running" {
                hand.lives(SIDE).await;
                hand.stop(SIDE).await.expect("stopped");
            }
        }
    });
}

/// A snapshot is one moment, whatever happens to the machine; the disks of a machine that is off are what
/// they are.
pub fn one_frozen_moment(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let running = hand.snapshot(SIDE, "running").await.expect("taken");
        let moment = hand.content(SIDE, Some(&running.id)).await;
        hand.lives(SIDE).await;
        moment.is(&hand.content(SIDE, Some(&running.id)).await, "while it writes");

        hand.stop(SIDE).await.expect("stopped");
        moment.is(&hand.content(SIDE, Some(&running.id)).await, "once it is off");
        let source = hand.source(SIDE, None).await.expect("its own disks");
        assert!(source.stopped && source.generation == hand.look(SIDE).await.generation);
        let still = content::read(&source);
        assert!(content::bytes(&moment.differences(&still)) > 0, "it wrote in between");
        let off = hand.snapshot(SIDE, "off").await.expect("taken");
        still.is(&hand.content(SIDE, Some(&off.id)).await, "a snapshot of a machine that is off");

        let turn = hand.look(SIDE).await.turn;
        hand.start(SIDE, turn, None).await.expect("it boots");
        hand.lives(SIDE).await;
        is_or_gone(ground, &hand, &moment, &running.id, "after another boot").await;
        is_or_gone(ground, &hand, &still, &off.id, "after another boot").await;
        hand.stop(SIDE).await.expect("stopped");
        written_over(&hand, &still, &off.id).await;
    });
}

/// Still that moment; or gone, where snapshots end with a boot; never something else.
async fn is_or_gone(
    ground: &dyn Ground,
    hand: &Hand,
    moment: &Content,
    id: &SnapshotId,
    what: &str,
) {
    match hand.source(SIDE, Some(id)).await {
        Ok(source) => moment.is(&content::read(&source), what),
        Err(failure) => assert!(!ground.snapshots_survive(), "{what}: {failure:?}"),
    }
}

/// The machine becomes a replica: its snapshots are still that moment, or gone; never something else.
async fn written_over(hand: &Hand, moment: &Content, id: &SnapshotId) {
    const LEN: usize = 64 << 10;
    hand.begin_sync(SIDE, "copy").await.expect("it is off");
    let sinks = [hand.sink(SIDE, "copy").await, hand.sink(SIDE, "copy").await];
    // Twice the same place, through one sink and through the other.
    for (byte, sink) in (1..).zip(sinks) {
        content::write(&sink.expect("marked")[0], 0, &[byte; LEN]).expect("written");
    }
    if let Ok(source) = hand.source(SIDE, Some(id)).await {
        moment.is(&content::read(&source), "once the disks are written over");
    }
}

/// What a site says has changed is all that differs, at least: between two snapshots, up to the stopped
/// disks, over a boot, up to a crash, asked twice.
pub fn what_changed(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let first = moment(&hand, "1").await;
        hand.lives(SIDE).await;
        let second = moment(&hand, "2").await;
        told(&hand, &first, &second, "between two snapshots").await;
        hand.lives(SIDE).await;
        hand.stop(SIDE).await.expect("stopped");
        let off = Moment::of(&hand, None).await;
        told(&hand, &first, &off, "from a snapshot to the stopped disks").await;
        told(&hand, &second, &off, "from a later snapshot to the stopped disks").await;
        // The moment before a boot is a point too.
        let turn = hand.look(SIDE).await.turn;
        hand.start(SIDE, turn, None).await.expect("it boots");
        hand.lives(SIDE).await;
        let third = moment(&hand, "3").await;
        told(&hand, &off, &third, "over a boot").await;
        told(&hand, &first, &third, "over all of it").await;
        told(&hand, &second, &third, "over all of it, asked before").await;
        hand.lives(SIDE).await;
        practice(&hand.file).pull_plug(&hand.machine, SIDE).await.expect("a crash");
        hand.see(ground, SIDE).await;
        let crashed = Moment::of(&hand, None).await;
        told(&hand, &third, &crashed, "up to a crash").await;
        told(&hand, &first, &crashed, "over all of it, up to a crash").await;

        let later = first.tracking.as_ref().map(|point| format!("{point}9999")).unwrap_or_default();
        for unknown in ["no-such-point", "", ".", &later] {
            for to in [&third, &second] {
                let said = hand.changes(SIDE, unknown, to.id.as_ref()).await;
                if said.is_err() && !ground.snapshots_survive() {
                    continue;
                }
                if let Some(said) = said.expect("an answer") {
                    covers(&said, &to.content.all(), "since a point that nobody knows");
                }
            }
        }
        assert!(hand.changes(SIDE, "no-such-point", Some(&gone(&hand).await)).await.is_err());
    });
}

/// A snapshot that was given up.
async fn gone(hand: &Hand) -> SnapshotId {
    let taken = hand.snapshot(SIDE, "gone").await.expect("taken");
    hand.release(SIDE, &taken.id).await.expect("given up");
    taken.id
}

/// A moment of the machine's disks.
struct Moment {
    /// `None`: the disks of the machine, which is off.
    id: Option<SnapshotId>,
    content: Content,
    tracking: Option<String>,
}

impl Moment {
    async fn of(hand: &Hand, id: Option<SnapshotId>) -> Moment {
        let source = hand.source(SIDE, id.as_ref()).await.expect("a source");
        let content = content::read(&source);
        Moment { id, content, tracking: source.tracking }
    }
}

async fn moment(hand: &Hand, step: &str) -> Moment {
    let taken = hand.snapshot(SIDE, step).await.expect("taken");
    Moment::of(hand, Some(taken.id)).await
}

/// Asking takes nothing away: the second answer is as good as the first.
async fn told(hand: &Hand, since: &Moment, to: &Moment, what: &str) {
    let Some(point) = &since.tracking else { return };
    let differences = since.content.differences(&to.content);
    assert!(content::bytes(&differences) > 0, "{what}: it wrote in between");
    for _ in 0..2 {
        let said = hand.changes(SIDE, point, to.id.as_ref()).await.expect("an answer");
        if let Some(said) = said {
            covers(&said, &differences, what);
        }
    }
}
