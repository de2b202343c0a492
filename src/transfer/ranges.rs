//! What a transfer has to look at, cut into pieces as workers ask for them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::transfer::blocks::BLOCK_BYTES;

/// Most bytes of data in one piece, and the size of a worker's two buffers.
pub(super) const CHUNK_BYTES: u64 = 1 << 20;
/// Most bytes of a hole in one piece: nothing of it is read, so it may be larger.
const HOLE_BYTES: u64 = 64 * CHUNK_BYTES;

/// Ranges of one disk: sorted, disjoint, made of whole blocks (the disk's last one may be short).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extents(Vec<Range<u64>>);

impl Extents {
    /// All of a disk.
    pub(super) fn whole(bytes: u64) -> Extents {
        Extents::covering(std::iter::once(0..bytes), bytes)
    }

    /// The blocks that `ranges` touch, in any order; what lies beyond the disk is left out.
    pub(super) fn covering(ranges: impl Iterator<Item = Range<u64>>, bytes: u64) -> Extents {
        let mut blocks: Vec<_> = ranges
            .filter(|range| range.start < range.end.min(bytes))
            .map(|range| {
                let start = range.start - range.start % BLOCK_BYTES;
                start..range.end.min(bytes).next_multiple_of(BLOCK_BYTES).min(bytes)
            })
            .collect();
        blocks.sort_by_key(|range| range.start);
        blocks.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        Extents(blocks)
    }

    /// All bytes in them.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// The ranges themselves.
    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// Whether any of `range` is in them.
    pub(super) fn touch(&self, range: &Range<u64>) -> bool {
        let (inside, end) = self.stretch(range.start);
        inside || end < range.end
    }

    /// Whether `offset` is in them, and up to where that stays so.
    fn stretch(&self, offset: u64) -> (bool, u64) {
        let next = self.0.partition_point(|range| range.end <= offset);
        match self.0.get(next) {
            None => (false, u64::MAX),
            Some(range) if range.start <= offset => (true, range.end),
            Some(range) => (false, range.start),
        }
    }
}

/// A place in the order of work: disk after disk, each from its beginning.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub(super) struct Position {
    /// Number of the disk, from 0.
    pub(super) disk: usize,
    /// Bytes from its beginning.
    pub(super) offset: u64,
}

/// What is to be done with a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// An earlier attempt moved it, durably: only its hashes are missing. Reads the sink.
    Rehash,
    /// An earlier attempt may have written it, and then could not make that durable. What the sink
    /// reads back may exist in memory only, so it is written again without comparing.
    Rewrite,
    /// Judge it; move what differs.
    Move,
}

/// A range of one disk that one worker handles in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) disk: usize,
    pub(super) range: Range<u64>,
    /// The source has nothing but zeroes there, and says so without being read.
    pub(super) is_hole: bool,
    pub(super) work: Work,
}

impl Piece {
    /// Where it ends in the order of work.
    pub(super) fn end(&self) -> Position {
        Position { disk: self.disk, offset: self.range.end }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// One disk's part of the list.
pub(super) struct Todo {
    /// What to look at.
    pub(super) extents: Extents,
    /// Where the source may hold anything but zeroes; `None`: anywhere.
    pub(super) source_data: Option<Extents>,
    /// Its moved blocks need their hashes, too.
    pub(super) wants_hashes: bool,
}

/// The one list that all workers draw from.
pub(super) struct WorkList {
    pub(super) todo: Vec<Todo>,
    /// Most bytes of data in one piece.
    pub(super) piece_bytes: u64,
    /// Everything before it was moved by an earlier attempt.
    pub(super) resumed_at: Position,
    /// Everything up to it is doubtful ([`Work::Rewrite`]).
    pub(super) doubtful_to: Position,
    /// The next piece begins here or later.
    pub(super) next: Position,
}

impl WorkList {
    /// The next piece, in order; `None` when all are given out.
    pub(super) fn draw(&mut self) -> Option<Piece> {
        loop {
            let todo = self.todo.get(self.next.disk)?;
            let at = self.next;
            let (inside, end) = todo.extents.stretch(at.offset);
            let skip = at < self.resumed_at && !todo.wants_hashes;
            if !inside && end == u64::MAX || skip && at.disk < self.resumed_at.disk {
                self.next = Position { disk: at.disk + 1, offset: 0 };
            } else if skip {
                self.next = self.resumed_at;
            } else if inside {
                return Some(self.cut(at, end));
            } else {
                self.next.offset = end;
            }
        }
    }

    fn cut(&mut self, at: Position, end: u64) -> Piece {
        let todo = &self.todo[at.disk];
        let (is_data, alike) =
            todo.source_data.as_ref().map_or((true, u64::MAX), |data| data.stretch(at.offset));
        let most = if is_data { self.piece_bytes } else { HOLE_BYTES };
        let mut end = end.min(alike).min(at.offset + most);
        let work = if at < self.resumed_at {
            if at.disk == self.resumed_at.disk {
                end = end.min(self.resumed_at.offset);
            }
            Work::Rehash
        } else if at < self.doubtful_to {
            Work::Rewrite
        } else {
            Work::Move
        };
        self.next.offset = end;
        Piece { disk: at.disk, range: at.offset..end, is_hole: !is_data, work }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: u64 = BLOCK_BYTES;

    fn list(todo: Vec<Todo>, resumed_at: Position) -> WorkList {
        let start = Position::default();
        WorkList { todo, piece_bytes: 2 * B, resumed_at, doubtful_to: start, next: start }
    }

    fn drawn(mut list: WorkList) -> Vec<(usize, Range<u64>, bool, Work)> {
        std::iter::from_fn(|| list.draw())
            .map(|piece| (piece.disk, piece.range, piece.is_hole, piece.work))
            .collect()
    }

    #[test]
    fn extents_are_whole_blocks_without_overlap() {
        let ranges = [5 * B..5 * B + 1, 10..20, B - 1..B + 1, 9 * B..20 * B, 3..3];
        let extents = Extents::covering(ranges.into_iter(), 9 * B + 7);
        assert_eq!(extents.ranges(), [0..2 * B, 5 * B..6 * B, 9 * B..9 * B + 7]);
        assert!(extents.touch(&(B..5 * B)) && !extents.touch(&(2 * B..5 * B)));
        assert!(extents.touch(&(2 * B..5 * B + 1)));
        assert_eq!(Extents::whole(0).bytes(), 0);
    }

    #[test]
    fn pieces_follow_data_and_holes_and_cover_everything_once() {
        let todo = Todo {
            extents: Extents::covering([0..3 * B, 4 * B..8 * B].into_iter(), 8 * B),
            source_data: Some(Extents::covering([0..B, 6 * B..8 * B].into_iter(), 8 * B)),
            wants_hashes: false,
        };
        assert_eq!(
            drawn(list(vec![todo], Position::default())),
            [
                (0, 0..B, false, Work::Move),
                (0, B..3 * B, true, Work::Move),
                (0, 4 * B..6 * B, true, Work::Move),
                (0, 6 * B..8 * B, false, Work::Move),
            ]
        );
    }

    #[test]
    fn what_was_moved_is_hashed_where_hashes_are_wanted_and_else_skipped() {
        let disk =
            |wants_hashes| Todo { extents: Extents::whole(3 * B), source_data: None, wants_hashes };
        let at = Position { disk: 1, offset: B };
        let wanted = drawn(list(vec![disk(true), disk(true)], at));
        let work: Vec<_> = wanted.iter().map(|piece| (piece.0, piece.1.clone(), piece.3)).collect();
        assert_eq!(
            work,
            [
                (0, 0..2 * B, Work::Rehash),
                (0, 2 * B..3 * B, Work::Rehash),
                (1, 0..B, Work::Rehash),
                (1, B..3 * B, Work::Move),
            ]
        );
        let unwanted = drawn(list(vec![disk(false), disk(false)], at));
        assert_eq!(unwanted, [(1, B..3 * B, false, Work::Move)]);
    }
}
