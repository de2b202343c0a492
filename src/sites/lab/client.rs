//! The client of a machine: what was acknowledged to it, in a log outside both sites.
//!
//! One line per acknowledged write: `number nanoseconds side boot`. A line that a kill cut short was
//! never acknowledged.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::base::Side;
use crate::sites::files;
use crate::sites::lab::ledger::Record;

/// Where a guest says that a write is done.
pub(super) struct Client(File);

impl Client {
    /// Opens the log for writing, past any line that was cut short.
    pub(super) fn open(path: &Path) -> io::Result<Client> {
        if let Some(folder) = path.parent() {
            files::make_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        let mut log =
            options.read(true).append(true).create(true).open(path).map_err(files::at(path))?;
        if log.metadata()?.len() > 0 {
            let mut last = [0];
            log.seek(SeekFrom::End(-1))?;
            log.read_exact(&mut last)?;
            if last != *b"\n" {
                log.write_all(b"\n")?;
            }
        }
        Ok(Client(log))
    }

    /// Says that these records are written.
    pub(super) fn acknowledge(&mut self, records: &[Record]) -> io::Result<()> {
        let line = |r: &Record| format!("{} {} {} {:016x}\n", r.seq, r.at_ns, r.side, r.boot);
        let lines: String = records.iter().map(line).collect();
        self.0.write_all(lines.as_bytes())
    }
}

/// Everything that was acknowledged, in order.
pub(super) fn acknowledged(path: &Path) -> io::Result<Vec<Record>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(files::at(path)(error)),
        Ok(text) => Ok(text.split_inclusive('\n').filter_map(read_line).collect()),
    }
}

fn read_line(line: &str) -> Option<Record> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let seq = words.next()?.parse().ok()?;
    let at_ns = words.next()?.parse().ok()?;
    let side = match words.next()? {
        "cloud" => Side::Cloud,
        "onprem" => Side::Onprem,
        _ => return None,
    };
    let boot = words.next().filter(|word| word.len() == 16)?;
    Some(Record { seq, at_ns, side, boot: u64::from_str_radix(boot, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_short_was_never_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients/web-01.log");
        let record = |seq| Record { seq, at_ns: 7, boot: 3, side: Side::Cloud };
        Client::open(&path).unwrap().acknowledge(&[record(1), record(2)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 1]).unwrap();
        assert_eq!(acknowledged(&path).unwrap(), [record(1)]);
        // The guest that goes on starts a new line.
        std::fs::write(&path, &text[..text.len() - 9]).unwrap();
        Client::open(&path).unwrap().acknowledge(&[record(2)]).unwrap();
        assert_eq!(acknowledged(&path).unwrap(), [record(1), record(2)]);
    }
}
