//! What a guest does: one record after the other, and what it is asked in between.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::control::{Asked, Request};
use super::{Order, command, say};
use crate::base::{Json, Side, Timestamp};
use crate::sites::lab::client::Client;
use crate::sites::lab::cow::{self, Kept};
use crate::sites::lab::disk::Written;
use crate::sites::lab::ledger::{Ledger, Record};
use crate::sites::lab::tracking::Tracker;

/// How often it looks whether its folder is still there.
const LOOK: Duration = Duration::from_millis(100);

/// A guest at work. It holds one write at a time, so a proof knows what to expect.
pub(super) struct Work {
    order_folder: std::path::PathBuf,
    disk_sizes: Vec<u64>,
    side: Side,
    ledger: Ledger,
    disks: Written,
    client: Client,
    boot: u64,
    seq: u64,
    every: Duration,
    lock: File,
}

impl Work {
    /// Opens everything, and writes the first record of this boot.
    pub(super) fn begin(order: &Order, ledger: Ledger, last: u64, lock: File) -> io::Result<Work> {
        let tracker = Tracker::open(&order.folder, &order.disks)?;
        let mut boot = [0; 8];
        rustix::rand::getrandom(&mut boot, rustix::rand::GetRandomFlags::empty())?;
        let mut work = Work {
            order_folder: order.folder.clone(),
            disk_sizes: order.disks.clone(),
            side: order.side,
            ledger,
            disks: Written::open(&order.folder, &order.disks, tracker)?,
            client: Client::open(&order.client)?,
            boot: u64::from_le_bytes(boot),
            seq: last,
            every: Duration::from_secs_f64(1.0 / order.writes_per_second),
            lock,
        };
        work.write()?;
        Ok(work)
    }

    /// Writes one record, then acknowledges it.
    fn write(&mut self) -> io::Result<()> {
        let at_ns = i64::try_from(Timestamp::now().as_nanosecond()).map_err(io::Error::other)?;
        let record = Record { seq: self.seq + 1, at_ns, boot: self.boot, side: self.side };
        let (disk, offset) = self.ledger.spot(record.seq);
        self.disks.write(disk, offset, &self.ledger.encode(&record))?;
        self.seq = record.seq;
        self.client.acknowledge(&[record])
    }

    /// Goes on until it is told to stop or its folder vanishes.
    pub(super) fn go_on(&mut self, requests: &Receiver<Asked>) -> io::Result<()> {
        let mut next = Instant::now() + self.every;
        let mut look = Instant::now() + LOOK;
        loop {
            let wait = next.min(look).saturating_duration_since(Instant::now());
            match requests.recv_timeout(wait) {
                Ok((Request::Stop, reply)) => {
                    say(&format!("stopped after record {}", self.seq));
                    command::end_all();
                    // It ends whether or not somebody still listens.
                    drop(reply.send(Ok(Json::from(self.seq))));
                    return Ok(());
                }
                Ok((request, reply)) => {
                    let answer = self.serve(request).map_err(|error| error.to_string());
                    drop(reply.send(answer));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
            let now = Instant::now();
            if now >= look {
                if rustix::fs::fstat(&self.lock)?.st_nlink == 0 {
                    say("its folder is gone");
                    return Ok(());
                }
                look = now + LOOK;
            }
            if now >= next {
                self.write()?;
                next = (next + self.every).max(now);
            }
        }
    }

    fn serve(&mut self, request: Request) -> io::Result<Json> {
        match request {
            Request::Ping => Ok(Json::from(self.seq)),
            Request::Snapshot(kept) => Ok(serde_json::to_value(self.snapshot(*kept)?)?),
            Request::Release(id) => {
                self.disks.before().snapshots.detach(&id);
                cow::remove(&self.order_folder, &id)?;
                Ok(Json::Null)
            }
            Request::Run(_) | Request::Stop | Request::Kill => Ok(Json::Null),
        }
    }

    /// Between two records: nothing writes meanwhile.
    fn snapshot(&mut self, mut kept: Kept) -> io::Result<Kept> {
        if let Some(taken) = cow::find(&self.order_folder, &kept.snapshot.id)? {
            return Ok(taken);
        }
        let mut before = self.disks.before();
        kept.tracking = before.tracker.as_mut().map(Tracker::next).transpose()?;
        kept.snapshot.at = Timestamp::now();
        cow::create(&self.order_folder, &kept, &self.disk_sizes)?;
        before.snapshots.attach(&self.order_folder, &kept.snapshot.id, self.disk_sizes.len())?;
        Ok(kept)
    }
}
