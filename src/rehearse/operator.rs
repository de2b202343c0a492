//! The people of a rehearsal: they answer gates, and after a failure they try again.

use std::time::Duration;

use crate::base::{MachineName, Timestamp};
use crate::journal::Waiting;
use crate::plan::graph::Plan;
use crate::rehearse::dice::Dice;
use crate::run::command::{Asker, Command};
use crate::run::event::{Event, EventBody};
use crate::run::state::{RunState, Status};
use crate::schedule::Input;

/// How people act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Every gate is answered yes, at once.
    Prompt,
    /// By luck: they take their time, say no, stop the process, leave machines out, give up.
    Human {
        /// Decides what they do.
        seed: u64,
    },
}

/// Whoever asks in a rehearsal.
pub(super) fn asker() -> Asker {
    Asker { who: "nobody".into(), from: "a rehearsal".into() }
}

/// What somebody asks at that moment.
pub(super) fn waiting(asked: Asked, at: Timestamp, id: u64) -> Input {
    match asked {
        Asked::Interrupt => Input::Interrupt,
        Asked::Command(command) => Input::Command(request(command, at, id)),
    }
}

fn request(command: Command, at: Timestamp, id: u64) -> Waiting {
    Waiting { id: i64::try_from(id).unwrap_or(i64::MAX), command, by: asker(), at }
}

/// What people ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Interrupt,
    Command(Command),
}

impl Operator {
    /// The gates that are answered in advance.
    pub(super) fn advance(self) -> Vec<(String, Asker)> {
        match self {
            Operator::Prompt => vec![("all".to_owned(), asker())],
            Operator::Human { .. } => Vec::new(),
        }
    }

    /// What they ask for because of what happened, and how much later; `machine`: to whom it happened.
    pub(super) fn hears(
        self,
        event: &Event,
        machine: Option<&MachineName>,
    ) -> Vec<(Duration, Asked)> {
        let Operator::Human { seed } = self else { return Vec::new() };
        let mut dice = Dice::of(seed, event.seq.wrapping_add(1 << 40));
        let mut asked = Vec::new();
        if let EventBody::GateOpened { step, .. } = &event.body {
            let wait = dice.wait(Duration::from_secs(12 * 3600));
            let (gate, comment) = (step.clone(), None);
            let answer = if dice.below(16) == 0 {
                Command::Reject { gate, comment }
            } else {
                Command::Approve { gate, comment }
            };
            asked.push((wait, Asked::Command(answer.clone())));
            if dice.below(8) == 0 {
                // A second click, of the same person or another one.
                asked.push((wait + dice.wait(Duration::from_secs(60)), Asked::Command(answer)));
            }
        }
        let wait = dice.wait(Duration::from_secs(600));
        match dice.below(400) {
            0 => asked.push((wait, Asked::Interrupt)),
            1 => asked.push((wait, Asked::Command(Command::Cancel { reason: None }))),
            2 | 3 => asked.extend(machine.map(|machine| {
                let (machine, reason) = (machine.clone(), "by luck".to_owned());
                (wait, Asked::Command(Command::Exclude { machine, reason }))
            })),
            _ => {}
        }
        asked
    }

    /// What they ask for after a run stopped with failures: every failed step once more.
    pub(super) fn after_failures(plan: &Plan, state: &RunState, at: Timestamp) -> Vec<Waiting> {
        let failed = plan.iter().filter(|(ix, _)| {
            state.step(*ix).status == Status::Failed && state.may_retry(plan, *ix).is_ok()
        });
        let retry = failed.map(|(_, step)| Command::Retry { step: step.id.clone() });
        retry.zip(1 << 20..).map(|(command, id)| request(command, at, id)).collect()
    }
}
