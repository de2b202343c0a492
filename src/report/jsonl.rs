//! One JSON object per line: every event as the journal holds it, and progress between them.

use std::io::{self, Write};

use serde::Serialize;

use crate::base::{RunId, StepId};
use crate::report::{Reporter, Seen};
use crate::run::event::{Progress, Told};

/// Writes JSON lines.
pub struct Jsonl<W> {
    out: W,
}

/// A line that is not durable: it has `progress` and no `seq`.
#[derive(Serialize)]
struct ProgressLine<'a> {
    run: &'a RunId,
    step: &'a StepId,
    progress: Amount<'a>,
}

#[derive(Serialize)]
struct Amount<'a> {
    done: u64,
    total: u64,
    sent: u64,
    note: &'a str,
}

impl<W: Write> Jsonl<W> {
    /// To a writer (stdout).
    pub fn new(out: W) -> Jsonl<W> {
        Jsonl { out }
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }
}

impl<W: Write> Reporter for Jsonl<W> {
    fn tell(&mut self, told: &Told, seen: &Seen<'_>) -> io::Result<()> {
        match told {
            Told::Event(event) => self.line(event),
            Told::Progress(Progress { step, done, total, sent, note }) => {
                let progress = Amount { done: *done, total: *total, sent: *sent, note };
                self.line(&ProgressLine { run: seen.run, step, progress })
            }
        }
    }
}
