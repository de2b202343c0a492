//! The ledger: numbered, checksummed records of 4 KiB, each at a place that its number decides.
//!
//! A checksum alone does not see a record that is stale but valid. Here record `n` lies at `place(n)`,
//! one write is outstanding at a time, and so a whole disk can be *proved*: for the highest number `n`
//! found, every place must hold exactly the last of the records `1..=n` that falls on it, and every
//! other place nothing but zeroes. A mixture of two moments does not pass.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::base::{MachineName, Side};
use crate::transfer::blocks::BlockSource;

/// Bytes of a record, and of the places that it can be at.
pub(super) const PLACE_BYTES: u64 = 4096;
const PLACE: usize = PLACE_BYTES as usize;

/// A record on disk.
pub(super) type Page = [u8; PLACE];

const MAGIC: &[u8; 8] = b"ledger-1";
const SUM: std::ops::Range<usize> = 64..96;
const PAYLOAD: std::ops::Range<usize> = 96..PLACE;
const READ_BYTES: u64 = 1 << 20;

/// Who wrote a record, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Counts from 1 over the life of the machine, on whatever side.
    pub seq: u64,
    /// Nanoseconds since 1970.
    pub at_ns: i64,
    /// Another one at every boot.
    pub boot: u64,
    /// Where it was written.
    pub side: Side,
}

/// The ledger of one machine.
#[derive(Clone)]
pub(super) struct Ledger {
    /// Places per disk.
    places: Vec<u64>,
    seed: [u8; 32],
    key: Option<[u8; 32]>,
}

/// What a proved disk holds.
pub(super) struct Proof {
    /// The highest number.
    pub last: u64,
    /// The records that were not overwritten by later ones, by number.
    pub records: HashMap<u64, Record>,
}

/// Why disks could not be proved.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproved {
    /// They are no prefix of any ledger.
    #[error("{0}")]
    Torn(String),
    /// They cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Ledger {
    /// The ledger of a machine with disks of these sizes; `key`: its disks are encrypted.
    pub(super) fn new(machine: &MachineName, disks: &[u64], key: Option<[u8; 32]>) -> Ledger {
        let places = disks.iter().map(|bytes| bytes / PLACE_BYTES).collect();
        Ledger { places, seed: *blake3::hash(machine.as_str().as_bytes()).as_bytes(), key }
    }

    /// How many places there are.
    pub(super) fn places(&self) -> u64 {
        self.places.iter().sum()
    }

    /// The place of a record, counted over all disks.
    fn place(&self, seq: u64) -> u64 {
        let hash = blake3::keyed_hash(&self.seed, &seq.to_le_bytes());
        let (first, _) =
            hash.as_bytes().split_first_chunk::<8>().expect("BUG: a hash has 32 bytes");
        u64::from_le_bytes(*first) % self.places()
    }

    /// The disk and the offset of a record.
    pub(super) fn spot(&self, seq: u64) -> (usize, u64) {
        let mut place = self.place(seq);
        for (disk, places) in self.places.iter().enumerate() {
            if place < *places {
                return (disk, place * PLACE_BYTES);
            }
            place -= places;
        }
        panic!("BUG: a place is below the number of places")
    }

    /// A record as it goes to disk.
    pub(super) fn encode(&self, record: &Record) -> Page {
        let mut page = [0; PLACE];
        page[..8].copy_from_slice(MAGIC);
        page[8..16].copy_from_slice(&record.seq.to_le_bytes());
        page[16..24].copy_from_slice(&record.at_ns.to_le_bytes());
        page[24..32].copy_from_slice(&record.boot.to_le_bytes());
        page[32] = u8::from(record.side == Side::Onprem);
        let mut content = blake3::Hasher::new_keyed(&self.seed);
        content.update(&page[8..33]).finalize_xof().fill(&mut page[PAYLOAD]);
        let sum = self.sum(&page);
        page[SUM].copy_from_slice(&sum);
        self.cipher(record.seq, &mut page);
        page
    }

    /// A record as it was found; `None`: nothing was ever written there.
    fn decode(&self, page: &mut Page) -> Result<Option<Record>, ()> {
        if *page == [0; PLACE] {
            return Ok(None);
        }
        let word = |at: usize| {
            let (word, _) = page[at..].split_first_chunk::<8>().expect("BUG: a page has a header");
            u64::from_le_bytes(*word)
        };
        let side = match page[32] {
            0 => Side::Cloud,
            1 => Side::Onprem,
            _ => return Err(()),
        };
        let record = Record { seq: word(8), at_ns: word(16).cast_signed(), boot: word(24), side };
        if page[..8] != *MAGIC {
            return Err(());
        }
        self.cipher(record.seq, page);
        if page[SUM] == self.sum(page) { Ok(Some(record)) } else { Err(()) }
    }

    fn sum(&self, page: &Page) -> [u8; 32] {
        let mut sum = blake3::Hasher::new_keyed(&self.seed);
        sum.update(&page[..SUM.start]).update(&page[PAYLOAD]);
        *sum.finalize().as_bytes()
    }

    /// Encrypts or decrypts. A keystream by place and number: enough for a lab, where it has to show
    /// that disks do not open without their key; it is no disk encryption to copy.
    fn cipher(&self, seq: u64, page: &mut Page) {
        let Some(key) = &self.key else { return };
        let mut stream = [0; PLACE];
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(&self.place(seq).to_le_bytes()).update(&seq.to_le_bytes());
        hasher.finalize_xof().fill(&mut stream[PAYLOAD]);
        page[PAYLOAD].iter_mut().zip(&stream[PAYLOAD]).for_each(|(byte, key)| *byte ^= key);
    }

    /// Reads all disks and proves that they hold the records `1..=n`, whole, for some `n`.
    pub(super) fn prove(&self, disks: &[Arc<dyn BlockSource>]) -> Result<Proof, Unproved> {
        let found = self.scan(disks)?;
        let last = found.values().map(|record| record.seq).max().unwrap_or(0);
        let expected: HashMap<u64, u64> = (1..=last).map(|seq| (self.place(seq), seq)).collect();
        for (place, seq) in &expected {
            match found.get(place) {
                Some(record) if record.seq == *seq => {}
                Some(record) => {
                    return Err(Unproved::Torn(format!(
                        "the newest record is {last}, but where record {seq} belongs there is record {}: \
                         these disks are a mixture of two moments",
                        record.seq
                    )));
                }
                None => {
                    return Err(Unproved::Torn(format!(
                        "the newest record is {last}, but record {seq} is missing"
                    )));
                }
            }
        }
        if let Some((place, record)) = found.iter().find(|(place, _)| !expected.contains_key(place))
        {
            let message =
                format!("record {} lies at place {place}, where none belongs", record.seq);
            return Err(Unproved::Torn(message));
        }
        Ok(Proof { last, records: found.into_values().map(|r| (r.seq, r)).collect() })
    }

    /// Every record by its place.
    fn scan(&self, disks: &[Arc<dyn BlockSource>]) -> Result<HashMap<u64, Record>, Unproved> {
        let mut found = HashMap::new();
        let mut first = 0;
        for (disk, places) in disks.iter().zip(&self.places) {
            let whole = [0..disk.bytes()];
            let ranges = disk.data_ranges()?;
            for range in ranges.as_deref().unwrap_or(&whole) {
                self.scan_range(disk.as_ref(), range, first, &mut found)?;
            }
            first += places;
        }
        Ok(found)
    }

    fn scan_range(
        &self,
        disk: &dyn BlockSource,
        range: &std::ops::Range<u64>,
        first: u64,
        found: &mut HashMap<u64, Record>,
    ) -> Result<(), Unproved> {
        let mut at = range.start / PLACE_BYTES * PLACE_BYTES;
        let end = range.end.next_multiple_of(PLACE_BYTES).min(disk.bytes());
        while at < end {
            let len = READ_BYTES.min(end - at);
            let mut buffer = vec![0; usize::try_from(len).map_err(io::Error::other)?];
            disk.read_at(at, &mut buffer)?;
            for (place, page) in (first + at / PLACE_BYTES..).zip(buffer.as_chunks_mut().0) {
                match self.decode(page) {
                    Ok(None) => {}
                    Ok(Some(record)) => {
                        found.insert(place, record);
                    }
                    Err(()) => {
                        let what = if self.key.is_some() { " (or the key is wrong)" } else { "" };
                        let message = format!("place {place} holds no whole record{what}");
                        return Err(Unproved::Torn(message));
                    }
                }
            }
            at += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use super::*;

    struct Memory(Mutex<Vec<u8>>);

    impl BlockSource for Memory {
        fn bytes(&self) -> u64 {
            self.0.lock().unwrap().len() as u64
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&self.0.lock().unwrap()[at..at + buffer.len()]);
            Ok(())
        }
    }

    const SIZES: [u64; 2] = [32 * PLACE_BYTES, 16 * PLACE_BYTES];

    fn ledger(key: Option<[u8; 32]>) -> Ledger {
        Ledger::new(&MachineName::new("web-01").unwrap(), &SIZES, key)
    }

    fn written(ledger: &Ledger, seqs: Range<u64>) -> Vec<Arc<Memory>> {
        let blank = |bytes: u64| Memory(Mutex::new(vec![0; usize::try_from(bytes).unwrap()]));
        let disks: Vec<_> = SIZES.iter().map(|bytes| Arc::new(blank(*bytes))).collect();
        for seq in seqs {
            let page = ledger.encode(&Record { seq, at_ns: 5, boot: 9, side: Side::Onprem });
            let (disk, offset) = ledger.spot(seq);
            let at = usize::try_from(offset).unwrap();
            disks[disk].0.lock().unwrap()[at..at + PLACE].copy_from_slice(&page);
        }
        disks
    }

    fn prove(ledger: &Ledger, disks: &[Arc<Memory>]) -> Result<Proof, Unproved> {
        let disks: Vec<_> =
            disks.iter().map(|disk| Arc::clone(disk) as Arc<dyn BlockSource>).collect();
        ledger.prove(&disks)
    }

    #[test]
    fn a_prefix_is_proved_however_often_places_were_overwritten() {
        let ledger = ledger(None);
        for last in [0, 1, 20, 300] {
            let proof = prove(&ledger, &written(&ledger, 1..last + 1)).unwrap();
            assert_eq!(proof.last, last);
        }
        let proof = prove(&ledger, &written(&ledger, 1..21)).unwrap();
        assert_eq!(proof.records[&20].boot, 9);
    }

    #[test]
    fn one_stale_missing_or_flipped_place_is_seen() {
        let ledger = ledger(None);
        // For every record still there: put back what lay there before it.
        for seq in 1..300 {
            let disks = written(&ledger, 1..301);
            if prove(&ledger, &disks).unwrap().records.contains_key(&seq) {
                let before = written(&ledger, 1..seq);
                let (disk, offset) = ledger.spot(seq);
                let at = usize::try_from(offset).unwrap();
                let old = before[disk].0.lock().unwrap()[at..at + PLACE].to_vec();
                disks[disk].0.lock().unwrap()[at..at + PLACE].copy_from_slice(&old);
                assert!(prove(&ledger, &disks).is_err(), "record {seq} put back");
            }
        }
        let disks = written(&ledger, 1..21);
        let (disk, offset) = ledger.spot(20);
        disks[disk].0.lock().unwrap()[usize::try_from(offset).unwrap() + 2000] ^= 1;
        assert!(matches!(prove(&ledger, &disks), Err(Unproved::Torn(_))));
    }

    #[test]
    fn encrypted_disks_do_not_open_with_another_key() {
        let right = ledger(Some([1; 32]));
        let disks = written(&right, 1..21);
        assert_eq!(prove(&right, &disks).unwrap().last, 20);
        assert!(prove(&ledger(Some([2; 32])), &disks).is_err());
        assert!(prove(&ledger(None), &disks).is_err());
    }
}
