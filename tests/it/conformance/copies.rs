//! Isolated copies, where a site has them: made, run and deleted beside the machine, which is as it was.

use homing::base::{CopyId, Side, SnapshotId, StepKey};
use homing::run::failure::Failure;
use homing::sites::copies::{Copies, CopyView, NewCopy, fill};
use homing::transfer::blocks::BlockSource;

use super::child::{Act, Killer, Operation, moments};
use super::ground::{Ground, LIMIT, same_files, within, work};
use super::hand::{Hand, Notes, PATIENCE};

/// Where copies are made.
const SIDE: Side = Side::Onprem;

fn copies(hand: &Hand, side: Side) -> &dyn Copies {
    hand.site(side).copies().expect("it was asked before")
}

/// Makes a copy of the other side's snapshot, fills it, starts it.
pub async fn start(
    hand: &Hand,
    side: Side,
    step: &str,
    snapshot: &SnapshotId,
) -> Result<CopyView, Failure> {
    let source = hand.source(side.other(), Some(snapshot)).await?;
    let sizes: Vec<u64> =
        source.disks.iter().map(|disk: &std::sync::Arc<dyn BlockSource>| disk.bytes()).collect();
    let (at, fence) = (hand.at(side), hand.fence(side, step));
    let new = NewCopy::default();
    let made = within("make", copies(hand, side).make(at, &new, &sizes, &fence)).await?;
    if let Some(disks) = made.disks {
        let notes = Notes::default();
        let filling = fill(hand.site(side), &made.copy, &source, disks, &[], None, &notes);
        within("filling", filling).await?;
    }
    within("start of a copy", copies(hand, side).start(at, &made.copy.id, &fence)).await
}

/// Deletes a copy.
pub async fn delete(hand: &Hand, side: Side, step: &str, id: &CopyId) -> Result<(), Failure> {
    let fence = hand.fence(side, step);
    within("delete of a copy", copies(hand, side).delete(hand.at(side), id, &fence)).await
}

async fn list(hand: &Hand) -> Vec<CopyView> {
    within("list", copies(hand, SIDE).list(hand.at(SIDE))).await.expect("a list")
}

/// Starting and deleting, each killed, then done twice: one copy or none.
pub fn twice_and_interrupted(ground: &dyn Ground) {
    work(async {
        let mut hand = Hand::take(ground, "r1").await;
        if hand.site(SIDE).copies().is_none() {
            return;
        }
        let snapshot = hand.snapshot(SIDE.other(), "snapshot").await.expect("taken");
        let before = hand.look(SIDE).await;
        let unknown = CopyId::new("no-such-copy").expect("a copy's name");
        let life = copies(&hand, SIDE).sign_of_life(hand.at(SIDE), &unknown, LIMIT * 2);
        assert!(!within("sign_of_life", life).await.expect_err("no such copy").may_retry());
        delete(&hand, SIDE, "delete", &unknown).await.expect("one that is gone is gone");

        let mut killer = Killer::default();
        let mut left = None;
        for (count, moment) in moments(ground).enumerate() {
            let step = format!("copy.{count}");
            let copy = Operation::new(SIDE, &step, Act::StartCopy(snapshot.id.clone()));
            killer.interrupt(&mut hand, "copy", &copy, moment).await;
            for _ in 0..2 {
                copy.perform(&mut hand).await.expect("started");
            }
            let id = CopyId::of(&StepKey::of(&hand.run, &hand.fence(SIDE, &step).step));
            let all = list(&hand).await;
            let [one] = all.as_slice() else { panic!("{moment:?}: {all:?}") };
            assert!(one.running && one.id == id && one.run == hand.run, "{moment:?}: {one:?}");
            let life = copies(&hand, SIDE).sign_of_life(hand.at(SIDE), &id, PATIENCE);
            within("sign_of_life", life).await.expect("it lives");

            let end = Operation::new(SIDE, "delete", Act::DeleteCopy(id));
            killer.interrupt(&mut hand, "delete a copy", &end, moment).await;
            for _ in 0..2 {
                end.perform(&mut hand).await.expect("deleted");
            }
            assert_eq!(list(&hand).await, [], "{moment:?}");
            let files = ground.files();
            same_files(left.get_or_insert_with(|| files.clone()), &files, &format!("{moment:?}"));
        }
        let after = hand.look(SIDE).await;
        let claim = after.claim.clone();
        assert_eq!(after, homing::sites::SideView { claim, ..before }, "it is as it was");
        hand.lives(SIDE.other()).await;
    });
}
