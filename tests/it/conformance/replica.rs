//! A replica: its durable mark, what may be written to it, and what may boot from it.

use std::path::PathBuf;

use homing::base::{Side, SyncId, Timestamp};
use homing::plan::facts::Power;
use homing::sites::{Booted, Lost, ReplicaMark, SideView, SyncStamp};
use homing::transfer::blocks::{BLOCK_BYTES, BlockHash, Manifest};

use super::child::{Act, Killer, Operation, moments};
use super::content;
use super::everything::refused;
use super::ground::{Ground, same_files, work};
use super::hand::{Hand, How};

const SIDE: Side = Side::Onprem;

/// Marked, opened, verified, each twice; and refused under any other mark.
pub fn twice(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let old = hand.stamp(SIDE).await;
        let live = hand.look(Side::Cloud).await;
        refused(hand.begin_sync(Side::Cloud, "copy").await, "H306", "a machine that runs");
        assert_eq!(hand.look(Side::Cloud).await, live, "nothing was marked");
        hand.lives(Side::Cloud).await;

        let stamp = |step: &str| SyncStamp { sync: hand.sync(step), ..old.clone() };
        refused(hand.sink(SIDE, "copy").await, "H307", "no mark");
        refused(hand.end_sync(SIDE, "copy", &stamp("copy"), &[]).await, "H307", "no mark");
        for _ in 0..2 {
            hand.begin_sync(SIDE, "copy").await.expect("marked");
            is_dirty(&hand.look(SIDE).await, &hand.sync("copy"), Some(&old));
            refused(hand.sink(SIDE, "other").await, "H307", "another's mark");
            refused(
                hand.end_sync(SIDE, "other", &stamp("other"), &[]).await,
                "H307",
                "another's mark",
            );
        }
        let before = ground.files();
        let first = hand.sink(SIDE, "copy").await.expect("opened");
        let second = hand.sink(SIDE, "copy").await.expect("opened");
        same_files(&before, &ground.files(), "the disks were there");
        assert_eq!((first.len(), second.len()), (hand.entry.disks.len(), first.len()));
        content::write(&first[0], 4096, &[7; 4096]).expect("its own");
        assert_eq!(content::at(&second[0], 4096, 4096), [7; 4096], "both are the same disk");
        content::write(&second[0], 8192, &[7; 4096]).expect("its own");

        let verified = SyncStamp { at: Timestamp::now(), is_final: false, ..stamp("copy") };
        let kept: Vec<_> = first.iter().map(|disk| manifest(disk.bytes())).collect();
        for _ in 0..2 {
            hand.end_sync(SIDE, "copy", &verified, &kept).await.expect("verified");
            assert_eq!(hand.stamp(SIDE).await, verified);
            let late = content::write(&first[0], 4096, &[8; 4096]);
            assert!(late.is_err(), "a verified replica rests");
        }
        // The next one keeps in mind what was verified before, and so does the one that takes over.
        for step in ["next", "and-next"] {
            hand.begin_sync(SIDE, step).await.expect("marked");
            is_dirty(&hand.look(SIDE).await, &hand.sync(step), Some(&verified));
            assert_eq!(hand.manifests(SIDE, "copy").await, None, "another's mark");
            let known = hand.manifests(SIDE, step).await;
            assert!(known.is_none() || (step == "next" && known == Some(kept.clone())), "{step}");
        }
    });
}

fn manifest(bytes: u64) -> Manifest {
    let blocks = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).expect("a small disk");
    Manifest { bytes, hashes: vec![BlockHash::default(); blocks] }
}

#[track_caller]
fn is_dirty(view: &SideView, sync: &SyncId, verified: Option<&SyncStamp>) {
    let Some(ReplicaMark::Dirty { mark, before }) = &view.replica else { panic!("{view:?}") };
    assert_eq!((&mark.sync, before.as_ref()), (sync, verified));
}

/// Only a verified final copy of the stopped twin boots, or what is left when the twin is given up.
pub fn what_may_not_boot_does_not(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let turn = hand.next_turn().await;
        let start = |from: Option<Booted>| hand.start(SIDE, turn, from);
        let snapshot = hand.snapshot(Side::Cloud, "snapshot").await.expect("taken");
        let how = How { snapshot: Some(&snapshot.id), ..How::default() };
        hand.synchronize(Side::Cloud, "running", how).await.expect("synchronized");
        let from = hand.booted(&hand.stamp(SIDE).await);
        let before = hand.look(SIDE).await;
        refused(start(None).await, "H304", "no final transfer is named");
        refused(start(Some(from.clone())).await, "H304", "its twin was not given up");
        let named_final = Booted { is_final: true, ..from.clone() };
        refused(start(Some(named_final.clone())).await, "H304", "it was not from stopped disks");
        let other = Booted { sync: hand.sync("other"), ..named_final.clone() };
        refused(start(Some(other)).await, "H304", "another synchronization");
        let other = Booted { source_generation: "another".to_owned(), ..named_final };
        refused(start(Some(other)).await, "H304", "another source");
        assert_eq!(hand.see(ground, SIDE).await, before, "nothing came of it");

        hand.stop(Side::Cloud).await.expect("stopped");
        let content = hand.content(SIDE, None).await;
        hand.begin_sync(SIDE, "half").await.expect("marked");
        for named in [None, Some(from.clone())] {
            refused(start(named).await, "H303", "a dirty replica");
        }
        assert_eq!(hand.see(ground, SIDE).await.power, Power::Off);
        content.is(&hand.content(SIDE, None).await, "nothing wrote to it");
        given_up(&hand, &snapshot.id).await;
        hand.lives(SIDE).await;
    });
}

/// A person gives the twin up: the last verified copy boots, and says that it is not all.
async fn given_up(hand: &Hand, snapshot: &homing::base::SnapshotId) {
    let how = How { snapshot: Some(snapshot), ..How::default() };
    hand.synchronize(Side::Cloud, "last", how).await.expect("synchronized");
    let lost = Lost { run: hand.run.clone(), reason: "a fire".to_owned(), live_from: 1 };
    hand.set_lost_twin(SIDE, Some(&lost)).await.expect("marked");
    let from = hand.booted(&hand.stamp(SIDE).await);
    let turn = hand.next_turn().await;
    let runs = hand.start(SIDE, turn, Some(from.clone())).await.expect("it boots");
    assert_eq!((runs.power, runs.booted, runs.lost_twin), (Power::On, Some(from), Some(lost)));
    refused(hand.begin_sync(SIDE, "over").await, "H306", "it runs now");
}

/// A whole synchronization, killed: until it is verified nothing boots from it; afterwards the replica is
/// its source, byte for byte.
pub fn interrupted(ground: &dyn Ground) {
    work(async {
        let mut hand = Hand::take(ground, "r1").await;
        hand.stop(Side::Cloud).await.expect("stopped");
        let source = hand.content(Side::Cloud, None).await;
        let cursors = tempfile::tempdir().expect("a folder");
        let mut killer = Killer::default();
        for (count, moment) in moments(ground).enumerate() {
            let step = format!("copy.{count}");
            let cursor: PathBuf = cursors.path().join(&step);
            let copy = Operation::new(SIDE, &step, Act::Synchronize { cursor });
            let before = hand.look(SIDE).await;
            let said = killer.interrupt(&mut hand, "copy", &copy, moment).await;
            let cut = hand.see(ground, SIDE).await;
            let is_done = homing::sites::sync::is_done(&cut, &hand.sync(&step));
            assert!(is_done || said.is_none(), "{moment:?}: what was said is so");
            if !is_done {
                let from = Booted { sync: hand.sync(&step), ..final_boot(&hand).await };
                let refusal = match &cut.replica {
                    Some(ReplicaMark::Dirty { .. }) => "H303",
                    _ => "H304",
                };
                let turn = hand.next_turn().await;
                refused(hand.start(SIDE, turn, Some(from)).await, refusal, "not verified");
            }
            copy.perform(&mut hand).await.expect("synchronized");
            let stamp = hand.stamp(SIDE).await;
            assert_eq!((&stamp.sync, stamp.is_final), (&hand.sync(&step), true), "{moment:?}");
            source.is(&hand.content(SIDE, None).await, "the replica");
            let again = copy.perform(&mut hand).await.expect("it is done");
            assert_eq!((again.as_str(), hand.stamp(SIDE).await), (Some("done"), stamp));
            let after = hand.look(SIDE).await;
            assert_eq!(after.generation, before.generation, "{moment:?}: nothing booted");
        }
        source.is(&hand.content(Side::Cloud, None).await, "the source is as it was");
    });
}

/// A boot from the source as it is now, whatever the replica is.
async fn final_boot(hand: &Hand) -> Booted {
    let source_generation = hand.look(Side::Cloud).await.generation;
    let (sync, run) = (hand.sync("none"), hand.run.to_string());
    Booted { sync, source_generation, is_final: true, run }
}

/// What a stranger wrote to a machine that is off is not trusted, where the provider promises to see it:
/// the next boot is refused, and the next synchronization brings it in order.
pub fn written_by_a_stranger(ground: &dyn Ground) {
    if !ground.sees_strangers() {
        return;
    }
    work(async {
        let hand = Hand::take(ground, "r1").await;
        hand.stop(Side::Cloud).await.expect("stopped");
        hand.synchronize(Side::Cloud, "copy", How::default()).await.expect("synchronized");
        let before = hand.look(SIDE).await;
        let from = hand.booted(&hand.stamp(SIDE).await);
        ground.write_behind(SIDE, 1 << 20, &[0x5a; 4096]);
        let after = hand.look(SIDE).await;
        let turn = hand.next_turn().await;
        let booted = hand.start(SIDE, turn, Some(from)).await;
        assert!(booted.is_err(), "it was {} and is {}", before.generation, after.generation);
        assert_eq!(hand.see(ground, SIDE).await.power, Power::Off);

        hand.synchronize(Side::Cloud, "again", How::default()).await.expect("synchronized");
        hand.content(Side::Cloud, None).await.is(&hand.content(SIDE, None).await, "the replica");

        // The source too: the next synchronization brings what its disks are now.
        ground.write_behind(Side::Cloud, 1 << 20, &[0xa5; 4096]);
        hand.synchronize(Side::Cloud, "source", How::default()).await.expect("synchronized");
        hand.content(Side::Cloud, None).await.is(&hand.content(SIDE, None).await, "the replica");
    });
}
