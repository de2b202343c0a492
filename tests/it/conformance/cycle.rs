//! A whole failback and the way back by hand: while it runs, from the stopped disks, a boot, and home
//! again with the changes only.

use homing::base::Side;
use homing::plan::facts::Power;

use super::content;
use super::ground::{Ground, practice, work};
use super::hand::{Hand, How, SIDES};

/// Nothing that the machine's application was told is lost on the way there, nor on the way back.
pub fn there_and_back(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let (cloud, onprem) = (Side::Cloud, Side::Onprem);

        let snapshot = hand.snapshot(cloud, "snapshot").await.expect("taken");
        let how = How { snapshot: Some(&snapshot.id), ..How::default() };
        hand.synchronize(cloud, "running", how).await.expect("synchronized");
        let moment = hand.content(cloud, Some(&snapshot.id)).await;
        moment.is(&hand.content(onprem, None).await, "while it runs");
        assert!(!hand.stamp(onprem).await.is_final);
        hand.lives(cloud).await;

        switch(ground, &hand, cloud, "there").await;
        let runs = hand.look(onprem).await;
        assert!(!runs.committed, "a switch is committed by a step of its own");
        hand.set_committed(onprem).await.expect("recorded");
        // From here on snapshots of the other side are superseded.
        hand.release(cloud, &snapshot.id).await.expect("given up");
        switch(ground, &hand, onprem, "back").await;

        let measured = practice(&hand.file).verify().await.expect("measured");
        assert!(measured.is_good(), "{measured:?}");
        for side in SIDES {
            hand.unclaim(side).await.expect("given back");
        }
    });
}

/// Stops the machine, brings the other side up to it, and starts it there.
async fn switch(ground: &dyn Ground, hand: &Hand, from: Side, step: &str) {
    let to = from.other();
    hand.stop(from).await.expect("stopped");
    let off = hand.see(ground, from).await;
    let synced = hand.synchronize(from, step, How::default()).await.expect("synchronized");
    let moved = synced.moved.expect("it was not done before");
    let source = hand.content(from, None).await;
    source.is(&hand.content(to, None).await, "from the stopped disks");
    let whole = content::bytes(&source.all());
    assert!(moved.bytes_sent < whole / 2, "the changes only: {} of {whole}", moved.bytes_sent);

    let stamp = hand.stamp(to).await;
    assert_eq!((stamp.is_final, &stamp.source_generation), (true, &off.generation));
    let (turn, boot) = (hand.next_turn().await, hand.booted(&stamp));
    let started = hand.start(to, turn, Some(boot.clone())).await.expect("it boots");
    assert_eq!((started.power, started.turn, started.fenced), (Power::On, turn, false));
    assert_eq!((started.booted.as_ref(), &started.replica), (Some(&boot), &None));
    hand.lives(to).await;
    assert_eq!(hand.see(ground, to).await.generation, started.generation);
    assert_eq!(hand.manifests(to, step).await, None, "it wrote since");

    let rests = hand.see(ground, from).await;
    assert_eq!(
        (rests.power, rests.generation),
        (Power::Off, off.generation),
        "the other side rests"
    );
    source.is(&hand.content(from, None).await, "the other side");
}
