//! Commands, where a site has them: run once, heard, ended when nobody wants them any more.

use std::time::Duration;

use homing::base::Side;
use homing::run::failure::{Class, Failure};
use homing::sites::commands::{Command, Commands, Ran};
use tokio_util::sync::CancellationToken;

use super::ground::{Ground, practice, within, work};
use super::hand::Hand;

fn sh(line: &str) -> Command {
    let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
    Command { argv, env: [("WORD".to_owned(), "a b".to_owned())].into() }
}

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Host,
    Guest,
}

async fn run(
    hand: &Hand,
    (side, place): (Side, Place),
    command: &Command,
    stop: &CancellationToken,
) -> Result<Ran, Failure> {
    let commands: &dyn Commands = hand.site(side).commands().expect("it was asked before");
    let running = match place {
        Place::Host => commands.on_host(hand.at(side), command, stop),
        Place::Guest => commands.in_guest(hand.at(side), command, stop),
    };
    within("a command", running).await
}

/// On the host at home, and inside the machine that runs in the cloud. A provider that cannot do one of
/// them says so for good.
pub fn they_run_and_end(ground: &dyn Ground) {
    work(async {
        let hand = Hand::take(ground, "r1").await;
        for at in [(Side::Onprem, Place::Host), (Side::Cloud, Place::Guest)] {
            if hand.site(at.0).commands().is_none() {
                continue;
            }
            let never = CancellationToken::new();
            let first = sh("printf '%s' \"$WORD\"; echo why >&2; exit 3");
            let ran = match run(&hand, at, &first, &never).await {
                Err(failure) => {
                    assert!(!failure.may_retry(), "{at:?}: {failure:?}");
                    continue;
                }
                Ok(ran) => ran,
            };
            assert_eq!((ran.status, ran.stdout.as_str(), ran.complaint.trim()), (3, "a b", "why"));
            let missing = Command { argv: vec!["/no/such/program".to_owned()], env: [].into() };
            let missing = run(&hand, at, &missing, &never).await.expect_err("there is none");
            assert!(!missing.may_retry(), "{at:?}: it was not started: {missing:?}");

            let stop = CancellationToken::new();
            let endless = sh("while :; do sleep 1; done");
            let stopping = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stop.cancel();
            };
            let (cut, ()) = tokio::join!(run(&hand, at, &endless, &stop), stopping);
            assert_eq!(cut.expect_err("it was ended").class, Class::Cancelled, "{at:?}");
            if at.1 == Place::Guest {
                with_the_machine(&hand, at, &endless).await;
            }
        }
    });
}

/// A command in a machine ends with the machine, and cannot be run in one that is off.
async fn with_the_machine(hand: &Hand, at: (Side, Place), endless: &Command) {
    let never = CancellationToken::new();
    let crash = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        practice(&hand.file).pull_plug(&hand.machine, at.0).await.expect("a crash");
    };
    let (cut, ()) = tokio::join!(run(hand, at, endless, &never), crash);
    assert_eq!(cut.expect_err("it ended with the machine").class, Class::Transient);
    let off = run(hand, at, &sh("true"), &never).await.expect_err("it is off");
    assert!(off.message.contains(hand.machine.as_str()), "{off:?}");
}
