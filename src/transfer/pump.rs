//! The workers, and the one checkpointer behind them.
//!
//! Workers draw pieces from one list and finish them in any order. The checkpointer (the calling thread)
//! waits until enough of them are finished without a gap, flushes the sinks, saves the cursor, and only
//! then tells of progress. Workers go on meanwhile, but never further ahead of the last saved cursor
//! than one interval of sent bytes, so that a crash costs no more than that.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::transfer::Watcher;
use crate::transfer::cursor::{Cursor, Figures, Fingerprint};
use crate::transfer::failure::TransferError;
use crate::transfer::limiter::Limiter;
use crate::transfer::mover::{Lane, Mover};
use crate::transfer::ranges::{Piece, Position, Work, WorkList};

/// Most pieces given out or finished since the last checkpoint, however little they send: what a crash
/// makes a transfer look at again, and what the checkpointer has to remember.
const PIECES_MAX: u64 = 1024;
/// A slow transfer checkpoints, and so shows a sign of life, at least this often.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);
/// How long a thread waits for the others before it asks again whether it was cancelled.
const PATIENCE: Duration = Duration::from_millis(50);

/// All that the threads of one transfer share.
pub(super) struct Pump<'a> {
    pub(super) lanes: &'a [Lane<'a>],
    pub(super) watcher: &'a dyn Watcher,
    pub(super) limiter: Option<&'a Limiter>,
    pub(super) fingerprint: &'a Fingerprint,
    /// Most bytes sent since the last checkpoint.
    pub(super) interval_bytes: u64,
    /// What there is to look at.
    pub(super) total_bytes: u64,
    /// When this attempt began, and how many seconds the ones before it took.
    pub(super) began: Instant,
    pub(super) seconds_before: f64,
    pub(super) state: Mutex<State>,
    pub(super) moved_on: Condvar,
}

/// What changes while the pump runs.
pub(super) struct State {
    list: WorkList,
    /// The cursor as it was last saved.
    saved: Cursor,
    /// The cursor as it could be saved now, once all is flushed.
    reached: Cursor,
    /// Pieces given out, finished without a gap, and of these saved. Tickets count from 0.
    given: u64,
    joined: u64,
    kept: u64,
    /// Finished behind a gap, by ticket.
    ahead: BTreeMap<u64, (Position, Figures)>,
    /// Bytes that pieces given out and not finished may send.
    in_flight_bytes: u64,
    in_flight: u64,
    /// Disks whose sink may hold what a flush has yet to make durable.
    touched: Vec<bool>,
    workers: usize,
    /// Nothing is given out any more.
    is_closed: bool,
    /// Why not, when it is not done.
    stop: Option<TransferError>,
}

impl State {
    pub(super) fn new(list: WorkList, cursor: &Cursor) -> State {
        State {
            // All of them: what is found equal may have been written by an attempt that died unflushed.
            touched: vec![true; list.todo.len()],
            list,
            saved: cursor.clone(),
            reached: cursor.clone(),
            given: 0,
            joined: 0,
            kept: 0,
            ahead: BTreeMap::new(),
            in_flight_bytes: 0,
            in_flight: 0,
            workers: 0,
            is_closed: false,
            stop: None,
        }
    }

    /// Bytes sent, or possibly being sent, that the saved cursor does not cover.
    fn exposed_bytes(&self) -> u64 {
        let ahead: u64 = self.ahead.values().map(|(_, figures)| figures.bytes_sent).sum();
        self.reached_bytes() + ahead + self.in_flight_bytes
    }

    fn reached_bytes(&self) -> u64 {
        self.reached.figures.bytes_sent - self.saved.figures.bytes_sent
    }

    fn has_room(&self, interval_bytes: u64) -> bool {
        let unsaved = self.given - self.kept;
        let fits = self.exposed_bytes() + self.list.piece_bytes <= interval_bytes;
        unsaved == 0 || (unsaved < PIECES_MAX && fits)
    }

    fn is_due(&self, interval_bytes: u64, waited: Duration) -> bool {
        let half =
            self.reached_bytes() >= interval_bytes / 2 || self.joined - self.kept >= PIECES_MAX / 2;
        let is_stuck = self.in_flight == 0 && !self.has_room(interval_bytes);
        self.joined > self.kept && (half || is_stuck || waited >= CHECKPOINT_EVERY)
    }

    fn give(&mut self) -> Option<(u64, Piece)> {
        let piece = self.list.draw()?;
        let ticket = self.given;
        self.given += 1;
        self.in_flight += 1;
        self.in_flight_bytes += may_send(&piece);
        Some((ticket, piece))
    }

    fn finish(&mut self, ticket: u64, piece: &Piece, figures: Figures) {
        self.in_flight -= 1;
        self.in_flight_bytes -= may_send(piece);
        self.touched[piece.disk] |= figures.blocks_changed > 0;
        self.ahead.insert(ticket, (piece.end(), figures));
        while let Some((end, figures)) = self.ahead.remove(&self.joined) {
            self.joined += 1;
            self.reached.at = self.reached.at.max(end);
            self.reached.figures.add(figures);
        }
    }

    fn stop(&mut self, error: TransferError) {
        self.is_closed = true;
        self.stop.get_or_insert(error);
    }
}

fn may_send(piece: &Piece) -> u64 {
    if piece.is_hole || piece.work == Work::Rehash { 0 } else { piece.bytes() }
}

impl Pump<'_> {
    /// Moves everything on the list; the last cursor.
    pub(super) fn run(&self, workers: usize) -> Result<Cursor, TransferError> {
        std::thread::scope(|scope| {
            for _ in 0..workers.max(1) {
                self.lock().workers += 1;
                let worker = std::thread::Builder::new().name("transfer".to_owned());
                if let Err(error) = worker.spawn_scoped(scope, || self.work()) {
                    let mut state = self.lock();
                    state.workers -= 1;
                    state.stop(TransferError::Thread(error));
                }
            }
            self.keep_checkpoints();
        });
        let mut state = self.lock();
        match state.stop.take() {
            Some(error) => Err(error),
            None => Ok(state.saved.clone()),
        }
    }

    fn work(&self) {
        let _leaving = Leaving(self);
        let mut mover = Mover::new(self.watcher, self.limiter);
        while let Some((ticket, piece)) = self.next() {
            let result = mover.handle(&self.lanes[piece.disk], &piece);
            let mut state = self.lock();
            match result {
                Ok(figures) => state.finish(ticket, &piece, figures),
                Err(error) => state.stop(error),
            }
            self.moved_on.notify_all();
        }
    }

    /// The next piece, as soon as there is room for one; `None` when there is nothing more to do.
    fn next(&self) -> Option<(u64, Piece)> {
        let mut state = self.lock();
        loop {
            if self.watcher.cancelled() {
                state.stop(TransferError::Cancelled);
            }
            if state.is_closed {
                return None;
            }
            if state.has_room(self.interval_bytes) {
                return state.give();
            }
            state = self.wait(state);
        }
    }

    fn keep_checkpoints(&self) {
        let mut last = Instant::now();
        loop {
            let (is_due, is_last) = {
                let mut state = self.lock();
                while state.workers > 0 && !state.is_due(self.interval_bytes, last.elapsed()) {
                    state = self.wait(state);
                }
                let is_last = state.workers == 0;
                let unsaved = state.joined > state.kept || state.touched.contains(&true);
                (!is_last || unsaved, is_last)
            };
            if is_due && let Err(error) = self.checkpoint() {
                self.lock().stop(error);
                // Pieces in hand are finished by their workers, but nothing is trusted any more.
                return;
            }
            if is_last {
                return;
            }
            last = Instant::now();
        }
    }

    /// Data, then the cursor, then the news of it.
    fn checkpoint(&self) -> Result<(), TransferError> {
        let (mut cursor, joined, touched) = {
            let mut state = self.lock();
            let clean = vec![false; state.touched.len()];
            let touched = std::mem::replace(&mut state.touched, clean);
            (state.reached.clone(), state.joined, touched)
        };
        for lane in self.lanes.iter().filter(|lane| touched[lane.disk]) {
            if let Err(error) = lane.sink.flush() {
                let at = self.save_doubt();
                return Err(TransferError::Flush { disk: lane.disk, offset: at.offset, error });
            }
        }
        cursor.seconds = self.seconds_before + self.began.elapsed().as_secs_f64();
        self.save(&cursor)?;
        let note = {
            let mut state = self.lock();
            state.kept = joined;
            state.saved = cursor.clone();
            self.moved_on.notify_all();
            self.note(&state)
        };
        let figures = cursor.figures;
        self.watcher.progress(figures.bytes_scanned, self.total_bytes, figures.bytes_sent, &note);
        Ok(())
    }

    /// Saves a cursor, durably.
    pub(super) fn save(&self, cursor: &Cursor) -> Result<(), TransferError> {
        self.watcher.save(&cursor.seal(self.fingerprint)).map_err(|failure| TransferError::Save {
            disk: cursor.at.disk,
            offset: cursor.at.offset,
            failure,
        })
    }

    /// After a failed flush the sink may read back what its disk does not hold. Comparing would believe
    /// it, so the next attempt is told to write it again. Where the saved cursor stands.
    fn save_doubt(&self) -> Position {
        let cursor = {
            let mut state = self.lock();
            // From here on no piece is given out, so nothing beyond `next` gets written.
            state.is_closed = true;
            let doubtful_to = state.list.next.max(state.saved.doubtful_to);
            Cursor { doubtful_to, ..state.saved.clone() }
        };
        // When this fails, too, the flush is still what went wrong.
        let _unsaved = self.save(&cursor);
        cursor.at
    }

    fn note(&self, state: &State) -> String {
        if state.list.next < state.list.resumed_at {
            return "hashing what an earlier attempt moved".to_owned();
        }
        let disks = self.lanes.len();
        format!("disk {} of {disks}", (state.reached.at.disk + 1).min(disks))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        let waited = self.moved_on.wait_timeout(state, PATIENCE);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Counts a worker out, also when it panics: the checkpointer must not wait for it.
struct Leaving<'a>(&'a Pump<'a>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.workers -= 1;
        if std::thread::panicking() {
            state.stop(TransferError::Cancelled);
        }
        self.0.moved_on.notify_all();
    }
}
