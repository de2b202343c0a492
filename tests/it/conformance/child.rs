//! An operation in a process of its own that is killed: this test binary runs itself again, and the test
//! [`operation`] below is the child.
//!
//! Parent and child do the same [`Operation::perform`]. The child says `ready` and waits for `go`; from
//! then on the parent counts, so that a moment to kill at is a moment of the operation.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use homing::base::{CopyId, HostName, Json, RunId, Side, SnapshotId};
use homing::plan::facts::Protection;
use homing::run::failure::Failure;
use homing::sites::{Booted, NewMachine};
use serde::{Deserialize, Serialize};

use super::everything::refused;
use super::ground::{Ground, LIMIT, work};
use super::hand::{Hand, How};

/// In the child's environment: its order as JSON.
const ORDER: &str = "HOMING_CONFORMANCE_ORDER";
/// How long the words of a dead child may be on their way.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// What a line of the child that is meant for the parent begins with.
const SAYS: &str = "@child ";

/// What is done, on which side, as which step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// The side that it changes.
    pub side: Side,
    /// The step: the same one again finds what the first one did.
    pub step: String,
    /// What.
    pub act: Act,
}

/// What can be done in a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    Claim,
    Unclaim,
    Snapshot,
    Release(SnapshotId),
    /// From the stopped other side, everything.
    Synchronize {
        cursor: PathBuf,
    },
    Start {
        turn: u64,
        from: Option<Booted>,
    },
    Stop,
    Create(Option<HostName>),
    Delete {
        generation: String,
    },
    /// Makes a copy from a snapshot of the other side, fills it and starts it.
    StartCopy(SnapshotId),
    DeleteCopy(CopyId),
}

impl Operation {
    pub fn new(side: Side, step: &str, act: Act) -> Operation {
        Operation { side, step: step.to_owned(), act }
    }

    /// Does it; what it answered, as JSON.
    pub async fn perform(&self, hand: &mut Hand) -> Result<Json, Failure> {
        let Operation { side, step, act } = self;
        let side = *side;
        Ok(match act {
            Act::Claim => json(hand.claim(side).await?),
            Act::Unclaim => json(hand.unclaim(side).await?),
            Act::Snapshot => json(hand.snapshot(side, step).await?),
            Act::Release(id) => json(hand.release(side, id).await?),
            Act::Synchronize { cursor } => {
                let how = How { cursor: Some(cursor), full: true, ..How::default() };
                json(hand.synchronize(side.other(), step, how).await?.method)
            }
            Act::Start { turn, from } => json(hand.start(side, *turn, from.clone()).await?),
            Act::Stop => json(hand.stop(side).await?),
            Act::Create(host) => {
                let new = NewMachine { host: host.clone(), ..NewMachine::default() };
                json(hand.create(side, step, &new).await?)
            }
            Act::Delete { generation } => json(hand.delete(side, generation).await?),
            Act::StartCopy(snapshot) => {
                json(super::copies::start(hand, side, step, snapshot).await?)
            }
            Act::DeleteCopy(id) => json(super::copies::delete(hand, side, step, id).await?),
        })
    }
}

fn json(answer: impl Serialize) -> Json {
    serde_json::to_value(answer).expect("an answer is plain data")
}

/// When the child is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// Once it has said that the operation ended.
    Ended,
    /// After this share of the time that the operation took when it was let be.
    After(f64),
}

/// The moments that an operation is killed at. The first one measures it; the last one is close to its
/// end.
pub fn moments(ground: &dyn Ground) -> impl Iterator<Item = Moment> {
    let count = ground.moments();
    let share = move |index| f64::from(index) / f64::from(count);
    std::iter::once(Moment::Ended).chain((0..count).map(move |index| Moment::After(share(index))))
}

/// Kills children, and knows how long their operations take.
#[derive(Default)]
pub struct Killer {
    took: BTreeMap<&'static str, Duration>,
}

impl Killer {
    /// Has a child of this hand's claims do it, kills it at that moment, then claims again; what the
    /// child answered, when it came to that. The dead child's claim is worth nothing any more.
    pub async fn interrupt(
        &mut self,
        hand: &mut Hand,
        name: &'static str,
        operation: &Operation,
        moment: Moment,
    ) -> Option<Json> {
        let mut child = Child::spawn(hand, operation);
        let begun = Instant::now();
        child.go();
        let life = match moment {
            Moment::Ended => LIMIT,
            Moment::After(share) => self.took[name].mul_f64(share),
        };
        let answer = child.hear(life);
        match (moment, &answer) {
            (Moment::Ended, None) => panic!("{name}: the child did not end"),
            (Moment::Ended, Some(_)) => drop(self.took.insert(name, begun.elapsed())),
            (Moment::After(_), _) => {}
        }
        child.kill();
        // It may have spoken between the last time that it was heard and its end.
        let answer = answer.or_else(|| child.hear(LAST_WORDS));
        let answer = answer.map(|said| said.unwrap_or_else(|why| panic!("{name}: {why:?}")));
        let dead = hand.reopened();
        hand.claim_both().await;
        for side in super::hand::SIDES {
            // Whatever the answer, this would change nothing.
            let late = dead.protect(side, Protection::None).await;
            refused(late, "H302", "a dead child's fence");
        }
        answer
    }
}

/// The child, as the parent has it.
pub struct Child {
    process: std::process::Child,
    /// Its end is the child's end too.
    stdin: ChildStdin,
    said: Receiver<String>,
}

impl Child {
    /// Starts a child with this hand's claims and waits until it is ready.
    pub fn spawn(hand: &Hand, operation: &Operation) -> Child {
        let order = Order {
            file: hand.file.clone(),
            run: hand.run.clone(),
            tokens: hand.tokens.clone(),
            operation: operation.clone(),
        };
        let mut process = Command::new(std::env::current_exe().expect("the test binary"))
            .args(["--exact", "conformance::child::operation", "--nocapture", "--test-threads=1"])
            .env(ORDER, serde_json::to_string(&order).expect("an order is plain data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let stdin = process.stdin.take().expect("it is piped");
        let stdout = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The harness writes lines of its own.
                if let Some(word) = line.strip_prefix(SAYS)
                    && sender.send(word.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let child = Child { process, stdin, said };
        assert_eq!(child.said.recv_timeout(LIMIT).as_deref(), Ok("ready"));
        child
    }

    /// Lets it begin.
    pub fn go(&mut self) {
        self.stdin.write_all(b"go\n").expect("a child that listens");
    }

    /// What it answered, if it does within that time.
    pub fn hear(&self, time: Duration) -> Option<Result<Json, Failure>> {
        let said = self.said.recv_timeout(time).ok()?;
        Some(serde_json::from_str(&said).expect("an answer"))
    }

    /// `kill -9`, and waits until it is gone.
    fn kill(&mut self) {
        self.process.kill().expect("a child that can be killed");
        self.process.wait().expect("its end");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may be dead by now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Serialize, Deserialize)]
struct Order {
    file: Utf8PathBuf,
    run: RunId,
    tokens: BTreeMap<Side, u64>,
    operation: Operation,
}

/// Not a test by itself: what a child does. Without an order there is nothing to do.
#[test]
fn operation() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let order: Order = serde_json::from_str(&order).expect("an order");
    let mut hand = Hand::open(&order.file, order.run.as_str());
    hand.tokens = order.tokens;
    let mut line = String::new();
    say("ready");
    std::io::stdin().read_line(&mut line).expect("a parent");
    if line != "go\n" {
        return;
    }
    let answer = work(order.operation.perform(&mut hand));
    say(&serde_json::to_string(&answer).expect("an answer is plain data"));
    // The parent kills it, or is gone.
    std::io::stdin().read_line(&mut line).expect("a parent");
}

/// On a line of its own: the harness may be in the middle of one.
fn say(word: &str) {
    let line = format!("\n{SAYS}{word}\n");
    let mut out = std::io::stdout();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("a parent that listens");
}
