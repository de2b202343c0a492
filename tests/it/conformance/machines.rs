//! Creating, deleting and marking.

use homing::base::{HostName, Side};
use homing::plan::facts::{Power, Protection};
use homing::sites::{Lost, NewMachine, SideView};

use super::child::{Act, Killer, Operation, moments};
use super::everything::refused;
use super::ground::{Ground, same_files, work};
use super::hand::{Hand, How};

const SIDE: Side = Side::Cloud;

/// Each twice: marks hold, what is deleted is deleted but for the base of its protection, what is created
/// is created once.
pub fn twice(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        marks(&hand).await;
        let runs = hand.look(SIDE).await;
        refused(hand.delete(SIDE, &runs.generation).await, "H311", "a machine that runs");
        assert!(!hand.create(SIDE, "create", &NewMachine::default()).await.expect("it is there"));
        hand.lives(SIDE).await;
        hand.snapshot(SIDE, "snapshot").await.expect("taken");
        hand.stop(SIDE).await.expect("stopped");
        let off = hand.look(SIDE).await;
        refused(hand.delete(SIDE, "another").await, "H311", "another generation");
        assert_eq!(hand.look(SIDE).await, off, "nothing was deleted");

        let disks = hand.content(SIDE, None).await;
        let doomed = hand.machines(SIDE).doomed(hand.at(SIDE)).await.expect("what would go");
        assert_eq!(doomed.snapshots.len(), 1);
        assert_eq!(doomed.disks_kept.len(), hand.entry.disks.len());
        for _ in 0..2 {
            hand.delete(SIDE, &off.generation).await.expect("deleted");
            is_base(&hand.look(SIDE).await, &off);
            assert_eq!(hand.snapshots(SIDE).await, []);
        }
        disks.is(&hand.content(SIDE, None).await, "the base of its protection");
        let refusal = hand.start(SIDE, off.turn, None).await;
        assert!(refusal.is_err(), "what is deleted does not boot");

        for _ in 0..2 {
            let made = hand.create(SIDE, "create", &NewMachine::default()).await;
            assert!(made.expect("created"), "by this very step");
        }
        let other = hand.create(SIDE, "other", &NewMachine::default()).await;
        assert!(!other.expect("it is there"), "by another step");
        let made = hand.look(SIDE).await;
        assert_eq!((made.exists, made.power, made.has_disks), (true, Power::Off, true));
        disks.is(&hand.content(SIDE, None).await, "its kept disks");
    });
}

/// A machine that was deleted, its disks kept.
fn is_base(view: &SideView, was: &SideView) {
    assert_eq!(view, &SideView { exists: false, fenced: true, ..was.clone() });
}

async fn marks(hand: &Hand) {
    let lost = Lost { run: hand.run.clone(), reason: "a test".to_owned(), live_from: 1 };
    for side in super::hand::SIDES {
        let before = hand.look(side).await;
        let marked = SideView {
            committed: true,
            protection: Protection::OnpremToCloud,
            lost_twin: Some(lost.clone()),
            ..before.clone()
        };
        for _ in 0..2 {
            hand.set_committed(side).await.expect("recorded");
            hand.protect(side, Protection::OnpremToCloud).await.expect("recorded");
            hand.set_lost_twin(side, Some(&lost)).await.expect("recorded");
            assert_eq!(hand.look(side).await, marked, "{side}");
        }
        for _ in 0..2 {
            hand.protect(side, before.protection).await.expect("recorded");
            hand.set_lost_twin(side, None).await.expect("recorded");
            assert_eq!(hand.look(side).await, SideView { committed: true, ..before.clone() });
        }
        for _ in 0..2 {
            hand.set_superseded(side, true).await.expect("recorded");
            let marked = SideView { committed: true, superseded: true, ..before.clone() };
            assert_eq!(hand.look(side).await, marked, "until it is started, or copied to");
        }
    }
}

/// Another host than the machine's, when there is one that is connected.
async fn other_host(hand: &Hand) -> Option<HostName> {
    let home = hand.look(Side::Onprem).await.host;
    let hosts = hand.site(Side::Onprem).hosts().await.expect("hosts");
    let mut hosts = hosts.into_iter().filter(|(_, facts)| facts.connected).map(|(name, _)| name);
    hosts.find(|host| Some(host) != home.as_ref())
}

/// A machine goes to another host, without disks, and comes up there after a synchronization. A host or a
/// switch that is not there is refused.
pub fn on_another_host(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        let side = Side::Onprem;
        let before = hand.look(side).await;
        let host = |name: &str| Some(HostName::new(name).expect("a host's name"));
        let nowhere = NewMachine { host: host("no-such-host"), ..NewMachine::default() };
        refused(hand.create(side, "create", &nowhere).await, "H309", "an unknown host");
        let Some(other) = other_host(&hand).await else { return };
        let there = NewMachine { host: Some(other.clone()), ..NewMachine::default() };
        let unconnected = NewMachine { network: Some("no-such-switch".into()), ..there.clone() };
        refused(hand.create(side, "create", &unconnected).await, "H310", "an unknown switch");
        assert_eq!(hand.look(side).await, before, "nothing was created");
        for _ in 0..2 {
            let made = hand.create(side, "create", &there).await;
            assert!(made.expect("created"), "by this very step");
            let view = hand.look(side).await;
            assert_eq!((view.exists, view.has_disks, view.replica), (true, false, None));
            assert_eq!(view.host.as_ref(), Some(&other));
        }
        let turn = hand.next_turn().await;
        assert!(hand.start(side, turn, None).await.is_err(), "there is nothing to boot");

        hand.stop(Side::Cloud).await.expect("stopped");
        let how = How { full: true, ..How::default() };
        hand.synchronize(Side::Cloud, "copy", how).await.expect("synchronized");
        let from = hand.booted(&hand.stamp(side).await);
        let runs = hand.start(side, turn, Some(from)).await.expect("it boots");
        assert_eq!((runs.power, runs.host), (Power::On, Some(other)));
        hand.lives(side).await;
        // It has data of its own now: it does not go anywhere.
        let home = NewMachine { host: before.host, ..NewMachine::default() };
        assert!(hand.create(side, "home", &home).await.is_err(), "it is not left behind");
        assert_eq!(hand.see(ground, side).await.generation, runs.generation);
    });
}

/// Deleting and creating, each killed: deleted or created once, and no snapshot left behind.
pub fn interrupted(ground: &dyn Ground) {
    work(async {
        let mut hand = Hand::take(ground, "r1").await;
        hand.stop(SIDE).await.expect("stopped");
        let disks = hand.content(SIDE, None).await;
        let mut killer = Killer::default();
        let mut left = None;
        for (count, moment) in moments(ground).enumerate() {
            hand.snapshot(SIDE, &format!("snapshot.{count}")).await.expect("taken");
            let off = hand.look(SIDE).await;
            let act = Act::Delete { generation: off.generation.clone() };
            let delete = Operation::new(SIDE, "delete", act);
            killer.interrupt(&mut hand, "delete", &delete, moment).await;
            delete.perform(&mut hand).await.expect("deleted");
            let gone = hand.look(SIDE).await;
            is_base(&SideView { claim: off.claim.clone(), ..gone.clone() }, &off);
            assert_eq!(hand.snapshots(SIDE).await, [], "{moment:?}");
            let files = ground.files();
            same_files(left.get_or_insert_with(|| files.clone()), &files, &format!("{moment:?}"));

            let step = format!("create.{count}");
            let create = Operation::new(SIDE, &step, Act::Create(None));
            let said = killer.interrupt(&mut hand, "create", &create, moment).await;
            assert!(said.is_none_or(|made| made == true), "{moment:?}");
            let made = create.perform(&mut hand).await.expect("created");
            assert_eq!(made, true, "{moment:?}: by this very step");
            let view = hand.look(SIDE).await;
            assert_eq!((view.exists, view.generation), (true, gone.generation), "{moment:?}");
            disks.is(&hand.content(SIDE, None).await, "its kept disks");
        }
        to_another_host_and_back(ground, &mut hand, &mut killer).await;
        assert_eq!(hand.see(ground, SIDE).await.power, Power::Off);
    });
}

async fn to_another_host_and_back(ground: &dyn Ground, hand: &mut Hand, killer: &mut Killer) {
    for (count, moment) in moments(ground).enumerate() {
        let Some(other) = other_host(hand).await else { return };
        let step = format!("move.{count}");
        let create = Operation::new(Side::Onprem, &step, Act::Create(Some(other.clone())));
        killer.interrupt(hand, "move", &create, moment).await;
        let made = create.perform(hand).await.expect("created");
        assert_eq!(made, true, "{moment:?}: by this very step");
        let view = hand.look(Side::Onprem).await;
        assert_eq!((view.host, view.exists, view.has_disks), (Some(other), true, false));
    }
}
