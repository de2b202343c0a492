//! Looking: at a machine that the site never saw, and through a connection that is lost.

use homing::base::{MachineName, Side, SnapshotId};
use homing::plan::facts::{Power, Protection};
use homing::run::failure::Failure;
use homing::sites::Lost;
use std::time::Duration;

use super::everything::refused;
use super::ground::{Ground, same_files, work};
use super::hand::{Hand, How, SIDES};

/// A machine that the site never saw is seen as absent; nothing is done to it, and nothing is made.
///
/// Creating it, and beginning a first base of it, are no mistakes: a site cannot know better.
pub fn an_unknown_machine(ground: &dyn Ground) {
    work(async {
        let mut ghost = Hand::open(&ground.file(), "r1");
        ghost.machine = MachineName::new("ghost-01").expect("a machine's name");
        let before = ground.files();
        ghost.tokens = SIDES.map(|side| (side, 1)).into();
        for side in SIDES {
            is_absent(&ghost, side).await;
            let unclaimed = [ghost.try_everything(side).await, ghost.try_to_begin(side).await];
            for (what, answer) in unclaimed.concat() {
                names(&refused(answer, "H302", what), what);
            }
            ghost.unclaim(side).await.expect("nothing to give back");
        }
        same_files(&before, &ground.files(), "unclaimed");

        ghost.claim_both().await;
        let claimed = ground.files();
        for side in SIDES {
            for (what, answer) in ghost.try_everything(side).await {
                match answer {
                    Err(failure) => names(&failure, what),
                    // A snapshot that is gone is gone.
                    Ok(()) => assert_eq!(what, "release", "{side}"),
                }
            }
            is_absent(&ghost, side).await;
            ghost.unclaim(side).await.expect("given back");
        }
        same_files(&claimed, &ground.files(), "claimed");
    });
}

#[track_caller]
fn names(failure: &Failure, what: &str) {
    assert!(failure.message.contains("ghost-01"), "{what}: {failure:?}");
}

async fn is_absent(ghost: &Hand, side: Side) {
    let view = ghost.look(side).await;
    assert!(!view.exists && !view.has_disks && !view.fenced, "{view:?}");
    assert_eq!((view.power, view.replica, view.booted), (Power::Off, None, None));
    assert_eq!(ghost.snapshots(side).await, []);
    let none = SnapshotId::new("no-such-snapshot").expect("a snapshot's name");
    for from in [None, Some(&none)] {
        names(&ghost.source(side, from).await.map(drop).expect_err("no disks"), "source");
    }
    if let Ok(changes) = ghost.changes(side, "no-such-point", None).await {
        assert_eq!(changes, None, "nobody knows");
    }
    let patience = Duration::from_millis(10);
    names(&ghost.sign_of_life(side, patience).await.expect_err("no life"), "sign_of_life");
    let disks = ghost.disks(side);
    let manifests = disks.manifests(ghost.at(side), &ghost.sync("copy")).await;
    assert!(!manifests.is_ok_and(|found| found.is_some()));
}

/// What cannot be reached is not changed, and what may run there is not called off; afterwards everything
/// is as it was, and works.
pub fn a_lost_connection(ground: &dyn Ground) {
    work(async {
        let mut hand = Hand::take(ground, "r1").await;
        for side in SIDES {
            let before = hand.see(ground, side).await;
            if !ground.disconnect(side) {
                continue;
            }
            let cut = hand.reopened();
            // A replica rests; what ran may have been stopped, or not.
            let runs = before.power == Power::On;
            is_out_of_sight(&cut, side, runs).await;
            nothing_is_reached(&cut, side).await;
            ground.reconnect(side);
            hand = hand.reopened();
            marks_are_undone(&hand, side, before.protection).await;
            assert_eq!(hand.see(ground, side).await, before, "{side}: as it was");
            let snapshot = hand.snapshot(side, "snapshot").await.expect("it works again");
            hand.release(side, &snapshot.id).await.expect("it works again");
        }
        while_it_runs_at_home(ground, hand).await;
    });
}

async fn while_it_runs_at_home(ground: &dyn Ground, hand: Hand) {
    let side = Side::Onprem;
    if !ground.disconnect(side) {
        return;
    }
    ground.reconnect(side);
    hand.stop(Side::Cloud).await.expect("stopped");
    hand.synchronize(Side::Cloud, "final", How::default()).await.expect("synchronized");
    let from = hand.booted(&hand.stamp(side).await);
    hand.start(side, hand.next_turn().await, Some(from)).await.expect("it boots");
    let before = hand.see(ground, side).await;
    ground.disconnect(side);
    let cut = hand.reopened();
    is_out_of_sight(&cut, side, true).await;
    nothing_is_reached(&cut, side).await;
    ground.reconnect(side);
    let hand = hand.reopened();
    marks_are_undone(&hand, side, before.protection).await;
    let after = hand.see(ground, side).await;
    assert_eq!((after.generation, after.power), (before.generation, Power::On), "it ran on");
    hand.lives(side).await;
    hand.stop(side).await.expect("it works again");
}

/// `runs`: it ran there when it was last seen.
async fn is_out_of_sight(cut: &Hand, side: Side, runs: bool) {
    if let Ok(view) = cut.site(side).look(cut.at(side)).await {
        let told = if runs { &[Power::Unknown][..] } else { &[Power::Unknown, Power::Off] };
        assert!(told.contains(&view.power), "nobody can know: {view:?}");
        assert!(!view.has_disks, "what cannot be reached is no replica: {view:?}");
    }
}

async fn nothing_is_reached(cut: &Hand, side: Side) {
    let said = [cut.try_everything(side).await, cut.try_to_begin(side).await].concat();
    for (what, answer) in said {
        // Marks may be kept where they can still be reached: then they hold.
        let is_mark =
            ["set_committed", "set_lost_twin", "set_superseded", "protect"].contains(&what);
        assert!(answer.is_err() || is_mark, "{what} of a {side} side that cannot be reached");
        if answer.is_ok()
            && let Ok(view) = cut.site(side).look(cut.at(side)).await
        {
            assert!(what != "set_committed" || view.committed);
            assert!(what != "set_lost_twin" || view.lost_twin.is_some());
            assert!(what != "set_superseded" || view.superseded);
            assert!(what != "protect" || view.protection == Protection::OnpremToCloud);
        }
    }
    assert!(cut.source(side, None).await.is_err());
    let patience = Duration::from_millis(10);
    assert!(cut.sign_of_life(side, patience).await.is_err());
}

/// Takes back what [`Hand::try_everything`] may have marked.
async fn marks_are_undone(hand: &Hand, side: Side, protection: Protection) {
    hand.protect(side, protection).await.expect("it works again");
    hand.set_lost_twin(side, None::<&Lost>).await.expect("it works again");
    hand.set_superseded(side, false).await.expect("it works again");
}
