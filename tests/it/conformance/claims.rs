//! The lease of a machine: one run has it, and only the newest process of that run.

use std::sync::Arc;

use homing::base::{CopyId, Json, RunId, Side};
use homing::run::failure::Failure;
use homing::transfer::blocks::BlockSink;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::child::{Act, Child, Killer, Operation, moments};
use super::content;
use super::everything::refused;
use super::ground::{Ground, LIMIT, same_files, work};
use super::hand::{Hand, SIDES};

/// Runs that claim one machine at once, as threads of this process.
const THREADS: usize = 8;
/// And as processes of their own.
const CHILDREN: usize = 3;

/// Many runs claim one machine at the same moment: one has it, and the others are told who.
pub fn one_of_many_wins(ground: &dyn Ground) {
    work(async {
        let mut newest = 0;
        for side in SIDES {
            for _ in 0..2 {
                let answers = race(ground, side).await;
                let won: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_ok()).collect();
                let [(winner, token)] = won.as_slice() else { panic!("{answers:?}") };
                let (winner, token) = (winner.as_str(), *token.as_ref().expect("it won"));
                for (run, answer) in answers.iter().filter(|(run, _)| run != winner) {
                    let lost = refused(answer.clone(), "H301", run);
                    assert!(lost.message.contains(winner), "who holds it is said: {lost:?}");
                }
                assert!(token > newest || side == Side::Onprem, "tokens grow: {token}, {newest}");
                newest = token;
                one_gives_back(ground, side, winner, token).await;
            }
        }
    });
}

async fn race(ground: &dyn Ground, side: Side) -> Vec<(String, Result<u64, Failure>)> {
    let name = |index: usize| format!("run-{}", ["a", "b", "c", "d", "e", "f", "g", "h"][index]);
    let claim = Operation::new(side, "claim", Act::Claim);
    let of_child = |index| {
        let run = format!("process-{index}");
        (run.clone(), Child::spawn(&Hand::open(&ground.file(), &run), &claim))
    };
    let mut children: Vec<(String, Child)> = (0..CHILDREN).map(of_child).collect();
    let together = Arc::new(Barrier::new(THREADS));
    let mut threads = JoinSet::new();
    for index in 0..THREADS {
        let (mut hand, together) = (Hand::open(&ground.file(), &name(index)), together.clone());
        threads.spawn(async move {
            together.wait().await;
            (hand.run.to_string(), hand.claim(side).await)
        });
    }
    children.iter_mut().for_each(|(_, child)| child.go());
    let mut answers = threads.join_all().await;
    for (run, child) in &children {
        let answer = child.hear(LIMIT).expect("an answer");
        answers.push((run.clone(), answer.map(|token: Json| token.as_u64().expect("a token"))));
    }
    answers
}

/// Only who holds it gives it back; giving it back twice is giving it back.
async fn one_gives_back(ground: &dyn Ground, side: Side, winner: &str, token: u64) {
    let loser = Hand::open(&ground.file(), "nobody");
    loser.unclaim(side).await.expect("nothing happens");
    let holds = loser.look(side).await.claim.expect("it is still held");
    assert_eq!((holds.run.as_str(), holds.token), (winner, token));
    let mut winner = Hand::open(&ground.file(), winner);
    let again = winner.claim(side).await.expect("its own");
    assert!(again > token, "the same run again: a higher token");
    for _ in 0..2 {
        winner.unclaim(side).await.expect("given back");
        assert_eq!(winner.look(side).await.claim, None);
    }
}

/// Whatever an older process of the run, another run, or nobody wants to do there is refused, and changes
/// nothing, in the middle of writing too.
pub fn only_the_newest_token_acts(ground: &dyn Ground) {
    work(async {
        let old = Hand::take(ground, "r1").await;
        let mut newest = Hand::take(ground, "r1").await;
        let mut of_another_run = Hand::open(&ground.file(), "r2");
        of_another_run.tokens = newest.tokens.clone();
        let mut too_early = newest.reopened();
        too_early.tokens.values_mut().for_each(|token| *token += 1);
        for side in SIDES {
            assert!(newest.tokens[&side] > old.tokens[&side]);
            let (before, files) = (newest.look(side).await, ground.files());
            for stale in [&old, &of_another_run, &too_early] {
                nothing_is_done(stale, side).await;
            }
            assert_eq!(newest.look(side).await, before);
            same_files(&files, &ground.files(), "fenced");
            newest.see(ground, side).await;
        }
        in_the_middle_of_writing(&mut newest).await;
        for side in SIDES {
            newest.unclaim(side).await.expect("given back");
            nothing_is_done(&newest, side).await;
        }
    });
}

async fn nothing_is_done(stale: &Hand, side: Side) {
    let said = [stale.try_everything(side).await, stale.try_to_begin(side).await].concat();
    for (what, answer) in said {
        refused(answer, "H302", what);
    }
    if stale.site(side).copies().is_some() {
        let id = CopyId::new("no-such-copy").expect("a copy's name");
        let answer = super::copies::delete(stale, side, "try", &id).await;
        refused(answer, "H302", "delete of a copy");
    }
}

/// A sink that was opened before does not write any more once another process has the claim, nor once
/// another synchronization has the replica.
async fn in_the_middle_of_writing(hand: &mut Hand) {
    let side = Side::Onprem;
    hand.begin_sync(side, "copy").await.expect("a replica");
    let of_old_claim = open(hand, "copy", 1).await;
    hand.claim(side).await.expect("the same run again");
    is_closed(&of_old_claim, "an older claim");
    hand.begin_sync(side, "copy").await.expect("nothing to do");
    let of_old_sync = open(hand, "copy", 2).await;
    is_closed(&of_old_claim, "an older claim");
    hand.begin_sync(side, "another").await.expect("it takes over");
    is_closed(&of_old_sync, "an older synchronization");
    refused(hand.sink(side, "copy").await, "H307", "an older synchronization");
    let newest = open(hand, "another", 3).await;
    is_closed(&of_old_claim, "an older claim");
    is_closed(&of_old_sync, "an older synchronization");
    assert_eq!(content::at(&newest, 0, LEN), [3; LEN], "nobody else wrote");
}

const LEN: usize = 4096;

/// The first disk of a synchronization, with a first write to it.
async fn open(hand: &Hand, step: &str, byte: u8) -> Arc<dyn BlockSink> {
    let disk = hand.sink(Side::Onprem, step).await.expect("marked").remove(0);
    content::write(&disk, 0, &[byte; LEN]).expect("its own");
    disk
}

#[track_caller]
fn is_closed(disk: &Arc<dyn BlockSink>, whose: &str) {
    assert!(content::write(disk, 0, &[9; LEN]).is_err(), "{whose} writes");
    assert!(content::zero(disk, 0, LEN as u64).is_err(), "{whose} writes zeroes");
}

/// A claim and its end, each killed: the run has it by a newer token, or nobody has it.
pub fn interrupted(ground: &dyn Ground) {
    work(async {
        let side = Side::Cloud;
        let mut hand = Hand::take(ground, "r1").await;
        let mut killer = Killer::default();
        let run = RunId::new("r1").expect("a run's name");
        for moment in moments(ground) {
            hand.unclaim(side).await.expect("given back");
            let before = hand.tokens[&side];
            let claim = Operation::new(side, "claim", Act::Claim);
            let said = killer.interrupt(&mut hand, "claim", &claim, moment).await;
            let said = said.map_or(before, |token| token.as_u64().expect("a token"));
            let token = hand.tokens[&side];
            assert!(token > said && said >= before, "{moment:?}: {before}, {said}, {token}");
            let holds = hand.look(side).await.claim.expect("claimed");
            assert_eq!((holds.run, holds.token), (run.clone(), token));

            let unclaim = Operation::new(side, "unclaim", Act::Unclaim);
            killer.interrupt(&mut hand, "unclaim", &unclaim, moment).await;
            unclaim.perform(&mut hand).await.expect("given back");
            assert_eq!(hand.look(side).await.claim, None, "{moment:?}");
            let mut other = Hand::open(&ground.file(), "r2");
            assert!(other.claim(side).await.expect("free") > hand.tokens[&side]);
            other.unclaim(side).await.expect("given back");
            hand.claim(side).await.expect("free");
        }
    });
}
