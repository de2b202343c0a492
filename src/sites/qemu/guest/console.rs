//! What the guest said: its words in the log of its console, boot by boot.
//!
//! The log is appended to over all boots of one side. A plug that was pulled cuts it off anywhere, and
//! kernel messages stand between the guest's lines and sometimes in them: a line that is not exactly one
//! of the guest's is none, so that no half number is ever believed.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// Longest line of the guest, bytes; what is longer is none of its lines.
const LINE_MAX: usize = 256;
/// What the guest's first line ends with, whatever was cut off before it.
const BEGINS: &str = " the practice guest boots";
/// Most boots that are kept: the last ones.
const BOOTS_MAX: usize = 256;

/// What one side's guest said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::sites::qemu) struct Said {
    /// Oldest first; a boot that said nothing yet is not in it. The last 256.
    pub boots: Vec<Boot>,
}

/// What the guest said in one boot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::sites::qemu) struct Boot {
    /// The boot's own random token; empty when it got no further than to refuse.
    pub token: String,
    /// What it found on its disks.
    pub proved: Option<Proved>,
    /// What it wrote since.
    pub acks: Option<Acks>,
    /// The number of the last record, when it powered itself off.
    pub off: Option<u64>,
    /// The first record that was not what it must be, and what was there instead.
    pub first_bad: Option<String>,
    /// Why it did not go on; it is off then.
    pub refuses: Option<String>,
}

/// The state of the disks at boot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sites::qemu) struct Proved {
    /// The number of the last record; 0: none was ever written.
    pub last: u64,
    /// Records up to it that are not what they must be, and records behind it that must not be there.
    pub bad: u64,
    /// From the kernel's start to the proof, seconds.
    pub uptime_s: f64,
}

/// Acknowledged records of one boot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sites::qemu) struct Acks {
    /// The first one's number.
    pub first: u64,
    /// The last one's number.
    pub last: u64,
    /// How many were read; fewer than from first to last when a kernel message fell into one.
    pub count: u64,
    /// When the first one was acknowledged, by the guest's clock: seconds since 1970.
    pub first_at_s: f64,
    /// When the last one was.
    pub last_at_s: f64,
}

/// Reads the log of a console. Its last line counts once it is complete, so a log that grows can be read.
///
/// # Errors
/// When the file cannot be read; also when there is none.
pub(in crate::sites::qemu) fn read(path: &Path) -> io::Result<Said> {
    Said::read(BufReader::with_capacity(64 << 10, File::open(path)?))
}

/// Acknowledged records that a later boot (of either side) did not prove, plus those it found bad. What
/// counts of `before` is its newest boot that acknowledged anything; nothing proved is nothing left.
pub(in crate::sites::qemu) fn lost(before: &Said, after: &Boot) -> u64 {
    let acknowledged = before.newest_acks().map_or(0, |acks| acks.last);
    let (last, bad) = after.proved.map_or((0, 0), |proved| (proved.last, proved.bad));
    acknowledged.saturating_sub(last).saturating_add(bad)
}

/// Seconds from the last acknowledgement before to the first one after; below zero when both wrote at
/// once. `None` until both sides acknowledged something.
pub(in crate::sites::qemu) fn downtime_s(before: &Said, after: &Boot) -> Option<f64> {
    Some(after.acks?.first_at_s - before.newest_acks()?.last_at_s)
}

impl Said {
    /// Reads the text of a console.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(in crate::sites::qemu) fn read(mut log: impl BufRead) -> io::Result<Said> {
        let mut said = Said::default();
        let mut line = Vec::with_capacity(LINE_MAX + 1);
        let mut is_new = true;
        while next_line(&mut log, &mut line)? {
            let text = line.strip_suffix(b"\r").unwrap_or(&line);
            is_new |= text.ends_with(BEGINS.as_bytes());
            if let Some(word) = std::str::from_utf8(text).ok().and_then(Word::parse) {
                said.hear(word, std::mem::take(&mut is_new));
            }
        }
        Ok(said)
    }

    fn newest_acks(&self) -> Option<Acks> {
        self.boots.iter().rev().find_map(|boot| boot.acks)
    }

    fn hear(&mut self, word: Word<'_>, is_new: bool) {
        // Its first line may have been lost: a proof begins a boot too, and one that is off says no more.
        let is_over = |boot: &Boot| boot.off.is_some() || boot.refuses.is_some();
        let is_proof = matches!(word, Word::Proved { .. });
        if is_new || is_proof || self.boots.last().is_none_or(is_over) {
            if self.boots.len() == BOOTS_MAX {
                self.boots.remove(0);
            }
            self.boots.push(Boot::default());
        }
        let boot = self.boots.last_mut().expect("BUG: a boot was just begun");
        match word {
            Word::Proved { proved, token } => {
                boot.proved = Some(proved);
                token.clone_into(&mut boot.token);
            }
            Word::Ack { number, at_s } => {
                let acks = boot.acks.get_or_insert(Acks {
                    first: number,
                    last: number,
                    count: 0,
                    first_at_s: at_s,
                    last_at_s: at_s,
                });
                (acks.last, acks.last_at_s) = (number, at_s);
                acks.count += 1;
            }
            Word::FirstBad(what) => boot.first_bad = Some(what.to_owned()),
            Word::Refuses(why) => boot.refuses = Some(why.to_owned()),
            Word::Off(last) => boot.off = Some(last),
        }
    }
}

/// Reads the next complete line, without its end; `false`: there is none. One that is too long is cut
/// behind the limit, where nothing can be a line of the guest any more.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let some = match log.fill_buf() {
            Ok(some) => some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if some.is_empty() {
            return Ok(false);
        }
        let end = some.iter().position(|byte| *byte == b'\n');
        let piece = &some[..end.unwrap_or(some.len())];
        let room = (LINE_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(&piece[..piece.len().min(room)]);
        let taken = piece.len() + usize::from(end.is_some());
        log.consume(taken);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// One line of the guest.
#[derive(Clone, Copy)]
enum Word<'a> {
    Proved { proved: Proved, token: &'a str },
    Ack { number: u64, at_s: f64 },
    FirstBad(&'a str),
    Refuses(&'a str),
    Off(u64),
}

impl<'a> Word<'a> {
    fn parse(line: &'a str) -> Option<Word<'a>> {
        if line.len() > LINE_MAX {
            return None;
        }
        let (verb, rest) = line.strip_prefix("HOMING ")?.split_once(' ')?;
        match verb {
            "proved" => {
                let mut words = rest.split(' ');
                let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
                let (last, bad) = (number(value("last")?)?, number(value("bad")?)?);
                let (token, uptime_s) = (value("boot")?, seconds(value("uptime")?)?);
                let is_token =
                    token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
                let proved = Proved { last, bad, uptime_s };
                (is_token && words.next().is_none()).then_some(Word::Proved { proved, token })
            }
            "ack" => {
                let (written, at) = rest.split_once(' ')?;
                Some(Word::Ack { number: number(written)?, at_s: seconds(at)? })
            }
            "first" => rest.strip_prefix("bad record ").map(Word::FirstBad),
            "refuses:" => Some(Word::Refuses(rest)),
            "off" => number(rest.strip_prefix("last=")?).map(Word::Off),
            _ => None,
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Seconds have exactly two decimals: a number that was cut off has fewer.
fn seconds(text: &str) -> Option<f64> {
    let (whole, hundredths) = text.split_once('.')?;
    number(whole)?;
    number(hundredths)?;
    (hundredths.len() == 2).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Said {
        Said::read(text).unwrap()
    }

    const LOG: &str = "\
        [    0.001] a kernel message\r\n \
        the practice guest boots\r\n\
        HOMING proved last=0 bad=0 boot=00000000000000aa uptime=4.22\r\n\
        HOMING ack 1 1795883648.53\r\n\
        [   12.3] a kernel message\r\n\
        HOMING ack 2 1795883648.55\r\n\
        HOMING ack 3 17958836\
         the practice guest boots\r\n\
        HOMING proved last=3 bad=0 boot=00000000000000bb uptime=4.00\r\n\
        HOMING ack 4 1795883660.00\r\n\
        HOMING off last=4\r\n\
        [    4.345723] reboot: Power down\r\n";

    fn boot(last: u64, bad: u64) -> Boot {
        Boot { proved: Some(Proved { last, bad, uptime_s: 4.0 }), ..Boot::default() }
    }

    #[test]
    fn boots_are_told_apart_and_half_lines_are_not_believed() {
        let said = of(LOG.as_bytes());
        let [first, second] = &said.boots[..] else { panic!("{said:?}") };
        assert_eq!((first.token.as_str(), first.off), ("00000000000000aa", None));
        let acks = first.acks.unwrap();
        assert_eq!((acks.first, acks.last, acks.count), (1, 2, 2), "3 was cut off by the plug");
        assert_eq!((acks.first_at_s, acks.last_at_s), (1_795_883_648.53, 1_795_883_648.55));
        assert_eq!(second.proved.unwrap(), Proved { last: 3, bad: 0, uptime_s: 4.0 });
        assert_eq!((second.acks.unwrap().count, second.off), (1, Some(4)));
    }

    #[test]
    fn a_log_that_is_cut_anywhere_tells_no_more_than_the_whole_one() {
        let whole = of(LOG.as_bytes());
        for cut in 0..=LOG.len() {
            let said = of(&LOG.as_bytes()[..cut]);
            for (boot, of_whole) in said.boots.iter().zip(&whole.boots) {
                let known = |boot: &Boot| boot.acks.map_or(0, |acks| acks.last);
                assert!(known(boot) <= known(of_whole), "{cut}: {boot:?}");
                assert!(boot.off.is_none() || boot.off == of_whole.off, "{cut}: {boot:?}");
            }
            // What comes after a cut begins with a line of its own; the cut one is not believed.
            let next = b" the practice guest boots\r\nHOMING ack 9 1795883999.00\r\n";
            let said = of(&[&LOG.as_bytes()[..cut], next].concat());
            assert_eq!(said.newest_acks().unwrap().last, 9, "{cut}: {said:?}");
            let off = said.boots.iter().filter_map(|boot| boot.off).max();
            assert!(off.is_none_or(|last| last == 4), "{cut}: {said:?}");
            // And what is left behind a cut at the front is read as far as it is whole.
            let said = of(&LOG.as_bytes()[cut..]);
            assert!(said.boots.len() <= 2, "{cut}: {said:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_the_first_bad_record() {
        let said = of(b"HOMING refuses: it has no disk\n\
              HOMING proved last=9 bad=2 boot=00000000000000aa uptime=4.22\n\
              HOMING first bad record 3: found nothing\n\
              HOMING refuses: its disks are not of one moment, records that are bad: 2\n\
              HOMING refuses: it has no disk\n");
        assert_eq!(said.boots.len(), 3, "{said:?}");
        let boot = &said.boots[1];
        assert_eq!(boot.proved.unwrap().bad, 2);
        assert_eq!(boot.first_bad.as_deref(), Some("3: found nothing"));
        assert!(boot.refuses.as_deref().unwrap().starts_with("its disks"), "{boot:?}");
        assert_eq!(said.boots[2].token, "");
    }

    #[test]
    fn what_is_not_exactly_a_line_of_the_guest_is_none() {
        for line in [
            "HOMING ack 3 17.5",
            "HOMING ack 3 17.555",
            "HOMING ack 3[ 4.5] x",
            "HOMING ack -3 17.55",
            "HOMING ack +3 17.55",
            "HOMING ack 3  17.55",
            "HOMING ack 99999999999999999999999 17.55",
            "HOMING ack 3 +7.55",
            "HOMING ack 3 nan.00",
            "HOMING proved last=3 bad=0 boot=00000000000000aa",
            "HOMING proved last=3 bad=0 boot=00000000000000a uptime=4.00",
            "HOMING proved last=3 bad=0 boot=00000000000000aa uptime=4.00 x",
            "HOMING off last=1 the practice guest boots",
            "HOMING off last=",
            " HOMING off last=1",
        ] {
            let said = of(format!("{line}\n").as_bytes());
            assert_eq!(said, Said::default(), "{line}");
        }
    }

    #[test]
    fn a_boot_whose_proof_was_garbled_is_still_a_boot_of_its_own() {
        let garbled = "HOMING pro[ 4.5] a kernel message\nved last=2 bad=0 boot=00\n";
        let log = format!(
            "HOMING ack 2 100.00\nHOM the practice guest boots\r\n{garbled}HOMING ack 9 200.00\n"
        );
        let said = of(log.as_bytes());
        let known: Vec<_> = said.boots.iter().map(|boot| boot.acks.unwrap().last).collect();
        assert_eq!(known, [2, 9], "{said:?}");
        assert_eq!(lost(&said, &said.boots[1]), 9);
    }

    #[test]
    fn a_huge_log_of_anything_is_read_in_little_memory() {
        let mut log = vec![b'x'; 300_000];
        log.extend(b"HOMING off last=7\n\xff\xfe\0HOMING off last=8\n\xff\n");
        for _ in 0..2 * BOOTS_MAX {
            log.extend(b"HOMING off last=9\r\n");
        }
        let said = of(&log);
        assert_eq!(said.boots.len(), BOOTS_MAX);
        assert!(said.boots.iter().all(|boot| boot.off == Some(9)), "{said:?}");
    }

    #[test]
    fn what_was_acknowledged_and_is_not_proved_is_lost() {
        let before = of(LOG.as_bytes());
        assert_eq!(lost(&before, &boot(4, 0)), 0);
        assert_eq!(lost(&before, &boot(9, 0)), 0);
        assert_eq!(lost(&before, &boot(1, 0)), 3);
        assert_eq!(lost(&before, &boot(3, 2)), 3);
        assert_eq!(lost(&before, &Boot::default()), 4, "nothing proved is nothing left");
        assert_eq!(lost(&Said::default(), &boot(9, 1)), 1);
    }

    #[test]
    fn downtime_is_from_the_last_acknowledgement_to_the_first_one() {
        let before = of(LOG.as_bytes());
        let after = of(b"HOMING ack 5 1795883672.25\nHOMING ack 6 1795883679.00\n");
        assert_eq!(downtime_s(&before, &after.boots[0]), Some(12.25));
        assert_eq!(downtime_s(&before, &boot(4, 0)), None);
        assert_eq!(downtime_s(&Said::default(), &after.boots[0]), None);
    }
}
