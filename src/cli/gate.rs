//! Asking at a gate on the terminal.

use std::io::BufRead;

use tokio::sync::mpsc;

use crate::base::StepId;
use crate::cli::say;
use crate::run::command::Command;
use crate::run::event::EventBody;

/// Lines typed before anyone reads them; a person does not type faster.
const LINES: usize = 8;

/// The gates that wait for this terminal, and what is typed.
pub struct Questions {
    typed: mpsc::Receiver<String>,
    open: Vec<StepId>,
}

impl Questions {
    /// Reads the terminal on a thread of its own: a blocked read cannot be called off, and ends with
    /// the process.
    pub fn new() -> Questions {
        let (lines, typed) = mpsc::channel(LINES);
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Questions { typed, open: Vec::new() }
    }

    /// Keeps up with a run's events, and asks.
    pub fn hear(&mut self, body: &EventBody) {
        match body {
            EventBody::GateOpened { step, .. } => {
                self.open.push(step.clone());
                self.ask();
            }
            EventBody::GateAnswered { step, .. } => {
                self.open.retain(|open| open != step);
                self.ask();
            }
            _ => {}
        }
    }

    fn ask(&self) {
        if let Some(gate) = self.open.first() {
            say(&format!("\nOpen the gate `{gate}`? Type yes or no: "));
        }
    }

    /// What was typed at the first open gate. Never ends by itself.
    pub async fn answer(&mut self) -> Command {
        loop {
            let Some(line) = self.typed.recv().await else {
                // Nobody can type any more; other shells still can answer.
                std::future::pending::<()>().await;
                continue;
            };
            let Some(gate) = self.open.first().cloned() else { continue };
            match line.trim() {
                "yes" => return Command::Approve { gate, comment: None },
                "no" => return Command::Reject { gate, comment: None },
                _ => self.ask(),
            }
        }
    }
}
