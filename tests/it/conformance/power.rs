//! Turning on and off: a machine boots once, is really off, and what is said of it is so.

use homing::base::{Json, Side};
use homing::plan::facts::Power;
use homing::sites::SideView;
use std::time::Duration;

use super::child::{Act, Killer, Moment, Operation, moments};
use super::content::covers;
use super::ground::{Ground, practice, within, work};
use super::hand::{Hand, How};

/// Stopping twice, starting twice, starting twice at once, after a crash too.
pub fn twice(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let side = Side::Cloud;
        let first = hand.see(ground, side).await;
        assert_eq!((first.power, first.exists, first.has_disks), (Power::On, true, true));
        for time in 0..2 {
            assert!(!hand.stop(side).await.expect("stopped"), "it stops when it is asked: {time}");
            let off = SideView { power: Power::Off, fenced: true, ..first.clone() };
            assert_eq!(hand.look(side).await, off, "off at once, and nothing else: {time}");
            hand.see(ground, side).await;
        }
        let patience = Duration::from_millis(10);
        assert!(hand.sign_of_life(side, patience).await.is_err(), "what is off gives none");

        let (one, other) = (hand.reopened(), hand.reopened());
        let turn = first.turn;
        let both = tokio::join!(one.start(side, turn, None), other.start(side, turn, None));
        let (one, other) = (both.0.expect("it boots"), both.1.expect("it boots"));
        let again = hand.start(side, turn, None).await.expect("it is left alone");
        assert_eq!((&one, &other), (&again, &again), "one boot");
        assert_eq!(hand.see(ground, side).await, again);
        assert_eq!((again.power, again.fenced, again.turn), (Power::On, false, turn));
        assert_ne!(again.generation, first.generation, "every boot is another generation");
        hand.lives(side).await;

        practice(&hand.file).pull_plug(&hand.machine, side).await.expect("a crash");
        let off = hand.see(ground, side).await;
        assert_eq!((off.power, &off.generation), (Power::Off, &again.generation));
        hand.start(side, turn, None).await.expect("it boots after a crash");
        hand.lives(side).await;
        assert_ne!(hand.see(ground, side).await.generation, again.generation);

        // No time to stop by itself: really off all the same.
        let fence = hand.fence(side, "stop.now");
        let now = hand.power(side).stop(hand.at(side), Duration::ZERO, &fence);
        within("stop", now).await.expect("stopped");
        assert_eq!(hand.look(side).await.power, Power::Off);
        hand.see(ground, side).await;
        let measured = practice(&hand.file).verify().await.expect("measured");
        assert!(measured.is_good(), "{measured:?}");
    });
}

/// Starting from a replica, and stopping, each killed at several moments: one boot, tracked from before
/// its first write, one machine.
pub fn interrupted(ground: &dyn Ground) {
    work(async {
        let mut hand = Hand::take(ground, "r1").await;
        hand.stop(Side::Cloud).await.expect("stopped");
        let mut killer = Killer::default();
        for (count, moment) in moments(ground).enumerate() {
            let copy = format!("copy.{count}");
            hand.synchronize(Side::Cloud, &copy, How::default()).await.expect("synchronized");
            let base = hand.content(Side::Onprem, None).await;
            let since = start_interrupted(ground, &mut hand, &mut killer, count, moment).await;
            stop_interrupted(ground, &mut hand, &mut killer, count, moment).await;
            let changed = hand.changes(Side::Onprem, &since, None).await.expect("an answer");
            if let Some(changed) = changed {
                let now = hand.content(Side::Onprem, None).await;
                covers(&changed, &base.differences(&now), "since the boot");
            }
        }
    });
}

/// The point in change tracking that it booted from.
async fn start_interrupted(
    ground: &dyn Ground,
    hand: &mut Hand,
    killer: &mut Killer,
    count: usize,
    moment: Moment,
) -> String {
    let side = Side::Onprem;
    let before = hand.look(side).await;
    let from = hand.booted(&hand.stamp(side).await);
    let turn = hand.next_turn().await;
    let act = Act::Start { turn, from: Some(from.clone()) };
    let start = Operation::new(side, &format!("start.{count}"), act);
    let said = killer.interrupt(hand, "start", &start, moment).await.map(view);
    let started = view(start.perform(hand).await.expect("it boots"));
    let again = view(start.perform(hand).await.expect("it is left alone"));
    assert_eq!(started.generation, again.generation, "{moment:?}: one boot");
    assert_eq!(started.power, Power::On, "{moment:?}");
    hand.lives(side).await;
    let runs = hand.see(ground, side).await;
    assert_eq!((runs.power, &runs.generation), (Power::On, &started.generation), "{moment:?}");
    assert_ne!(runs.generation, before.generation, "{moment:?}: it booted");
    if let Some(said) = said {
        assert_eq!(said.generation, runs.generation, "{moment:?}: it ran already");
    }
    assert_eq!((runs.turn, runs.committed, runs.fenced), (turn, false, false), "{moment:?}");
    assert_eq!((runs.booted, runs.replica), (Some(from.clone()), None), "{moment:?}");
    from.sync.to_string()
}

async fn stop_interrupted(
    ground: &dyn Ground,
    hand: &mut Hand,
    killer: &mut Killer,
    count: usize,
    moment: Moment,
) {
    let side = Side::Onprem;
    let before = hand.look(side).await;
    let stop = Operation::new(side, &format!("stop.{count}"), Act::Stop);
    let said = killer.interrupt(hand, "stop", &stop, moment).await;
    if said.is_some() {
        assert_eq!(hand.look(side).await.power, Power::Off, "{moment:?}: it was off by then");
    }
    stop.perform(hand).await.expect("stopped");
    let off = hand.look(side).await;
    hand.see(ground, side).await;
    assert_eq!(
        off,
        SideView { power: Power::Off, fenced: true, claim: off.claim.clone(), ..before }
    );
}

fn view(answer: Json) -> SideView {
    serde_json::from_value(answer).expect("a view")
}

/// A machine that dies while it is asked something: an error or the truth, never a hang.
pub fn it_dies_while_it_is_asked(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let side = Side::Cloud;
        let turn = hand.look(side).await.turn;
        let practice = practice(&hand.file);
        let crash = || async {
            practice.pull_plug(&hand.machine, side).await.expect("a crash");
        };

        // It wrote at least once before it died, or not.
        let (_, ()) = tokio::join!(hand.sign_of_life(side, Duration::from_secs(1)), crash());
        assert_eq!(hand.see(ground, side).await.power, Power::Off);

        hand.start(side, turn, None).await.expect("it boots");
        let (stopped, ()) = tokio::join!(hand.stop(side), crash());
        let view = hand.see(ground, side).await;
        assert_eq!(view.power, Power::Off);
        assert!(stopped.is_err() || view.fenced, "stopped is fenced: {view:?}");

        hand.start(side, turn, None).await.expect("it boots");
        let (taken, ()) = tokio::join!(hand.snapshot(side, "snapshot"), crash());
        let known = hand.snapshots(side).await;
        if ground.snapshots_survive()
            && let Ok(taken) = &taken
        {
            assert_eq!(known, [(taken.clone(), hand.run.clone())]);
        }
        let again = hand.snapshot(side, "snapshot").await.expect("one of a machine that is off");
        if let Some((known, _)) = known.first() {
            assert_eq!(*known, again, "it had been taken");
        }
        hand.release(side, &again.id).await.expect("given up");
        assert_eq!(hand.snapshots(side).await, []);
    });
}
