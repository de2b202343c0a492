//! One difference, as data; and the line that says it.

use std::collections::HashMap;

use serde::Serialize;

use crate::base::{Json, StepId};
use crate::render::fold::{counted, names};
use crate::source::Span;

/// What stands for the machine that a difference is about.
const ANY_MACHINE: &str = "<machine>";

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A parameter has another value.
    Parameter,
    /// A step with other options, or tried another way.
    StepChanged,
    /// A step that is done under another condition, or in another attempt.
    Condition,
    /// A step with another id, given by hand.
    StepRenamed,
    /// A step at another place among its machine's steps.
    StepMoved,
    /// A step that is no longer done.
    StepRemoved,
    /// A step that was not done before.
    StepAdded,
    /// A step behind another gate or barrier.
    Gate,
    /// What a step waits for.
    Order,
    /// A limit or a window of time.
    Limit,
    /// The first step after which there is only forward.
    PointOfNoReturn,
    /// Something that the plan rests on.
    Fact,
    /// The machines that a selection finds: those that it no longer finds, and those that are new.
    Selection,
    /// A warning that the script answers.
    Answer,
    /// Steps that differ in a way that nothing else tells.
    Other,
    /// A warning that nobody answered.
    Warning,
    /// How long a machine is down, by the estimate.
    Downtime,
    /// How long the plan takes, by the estimate.
    Duration,
}

impl Kind {
    /// Whether the plan means something else by it: its digest differs. The others come of estimates, and of
    /// an inventory that asks for something else.
    pub fn is_meaning(self) -> bool {
        !matches!(self, Kind::Warning | Kind::Downtime | Kind::Duration)
    }
}

/// A place in a script, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The script.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// One difference between two plans; of many machines where it is the same for each.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What kind of difference it is.
    pub kind: Kind,
    /// Whether the plan means something else by it; else it is an estimate or a remark.
    pub meaning: bool,
    /// What it is about: a parameter, a primitive, a fact.
    pub subject: String,
    /// How it was; `null` where there was nothing. A machine's own name stands as `<machine>` in it.
    pub before: Option<Json>,
    /// How it is; `null` where there is nothing.
    pub after: Option<Json>,
    /// The machines, or of a fact the hosts, sorted; empty where it is about none.
    pub machines: Vec<String>,
    /// The ids of the steps, as they are now; of steps that are gone as they were.
    pub steps: Vec<StepId>,
    /// Where the first of them is written now; of what is gone where it was.
    pub source: Option<Place>,
}

impl Change {
    /// A difference about no machine.
    pub(super) fn new(kind: Kind, subject: impl Into<String>) -> Change {
        Change {
            kind,
            meaning: kind.is_meaning(),
            subject: subject.into(),
            before: None,
            after: None,
            machines: Vec::new(),
            steps: Vec::new(),
            source: None,
        }
    }

    /// The same, from this to that.
    pub(super) fn from(mut self, before: impl Into<Json>, after: impl Into<Json>) -> Change {
        (self.before, self.after) = (Some(before.into()), Some(after.into()));
        self
    }

    /// The same of something that was not there.
    pub(super) fn added(mut self, after: impl Into<Json>) -> Change {
        self.after = Some(after.into());
        self
    }

    /// The same of something that is gone.
    pub(super) fn removed(mut self, before: impl Into<Json>) -> Change {
        self.before = Some(before.into());
        self
    }

    /// The same, at its place.
    pub(super) fn at(mut self, span: &Span) -> Change {
        let Span { file, line, column, .. } = span;
        self.source = Some(Place { file: file.to_string(), line: *line, column: *column });
        self
    }

    /// In one line: `~ transfer_delta: no options -> mode: "full" (3: web-{01..03})`.
    pub fn line(&self) -> String {
        let said = self.said();
        if self.machines.is_empty() {
            return said;
        }
        let machines: Vec<&str> = self.machines.iter().map(String::as_str).collect();
        match machines[..] {
            [only] => format!("{} ({only})", said.replace(ANY_MACHINE, only)),
            _ => format!("{said} ({})", counted(&machines)),
        }
    }

    fn said(&self) -> String {
        let subject = &self.subject;
        let (before, after) = (plain(self.before.as_ref()), plain(self.after.as_ref()));
        let or = |text: &Option<String>, nothing: &str| match text.as_deref() {
            None | Some("") => nothing.to_owned(),
            Some(text) => text.to_owned(),
        };
        let both = |nothing| format!("{} -> {}", or(&before, nothing), or(&after, nothing));
        let value = |value: &Option<Json>| value.as_ref().map(Json::to_string);
        let come_or_gone = |what: &str| match (&before, &after) {
            (Some(gone), None) => format!("- {what}{gone}"),
            (_, Some(come)) => format!("+ {what}{come}"),
            (None, None) => format!("~ {what}{subject}"),
        };
        match self.kind {
            Kind::Parameter => {
                let (before, after) = (value(&self.before), value(&self.after));
                format!(
                    "~ parameter {subject}: {} -> {}",
                    or(&before, "absent"),
                    or(&after, "absent")
                )
            }
            Kind::StepChanged => format!("~ {subject}: {}", both("no options")),
            Kind::Condition => format!("~ {subject}: {}", both("always")),
            Kind::StepRenamed => format!("~ {subject}: called {}", both("")),
            Kind::StepMoved => format!("> moved: {}", or(&after, subject)),
            Kind::StepRemoved | Kind::StepAdded => come_or_gone(""),
            Kind::Gate => {
                let (before, after) = (or(&before, "no gate"), or(&after, "no gate"));
                format!("~ {subject}: behind {after}, was behind {before}")
            }
            Kind::Order => match (&before, &after) {
                (_, Some(after)) => format!("~ {subject}: waits now for {after}"),
                _ => format!("~ {subject}: waits no longer for {}", or(&before, "anything")),
            },
            Kind::Limit => come_or_gone("limit "),
            Kind::Answer => come_or_gone("answer to "),
            Kind::Warning => come_or_gone("warning "),
            Kind::PointOfNoReturn => format!("~ point of no return: {}", both("none")),
            Kind::Downtime => format!("~ downtime: {}", both("none")),
            Kind::Duration => format!("~ duration: {}", both("none")),
            Kind::Fact => match (value(&self.before), value(&self.after)) {
                (Some(before), Some(after)) => format!("~ fact {subject}: {before} -> {after}"),
                (Some(before), None) => format!("- fact {subject}: {before}"),
                (_, after) => format!("+ fact {subject}: {}", or(&after, "unknown")),
            },
            Kind::Selection => {
                let (gone, come) = (listed(self.before.as_ref()), listed(self.after.as_ref()));
                match (gone, come) {
                    (Some(gone), None) => format!("- {subject}: {gone}"),
                    (None, Some(come)) => format!("+ {subject}: {come}"),
                    (Some(gone), Some(come)) if come.is_empty() => {
                        format!("~ {subject}: without {gone}")
                    }
                    (Some(gone), Some(come)) if gone.is_empty() => {
                        format!("~ {subject}: with {come}")
                    }
                    (gone, come) => {
                        let (gone, come) = (gone.unwrap_or_default(), come.unwrap_or_default());
                        format!("~ {subject}: without {gone}, with {come}")
                    }
                }
            }
            Kind::Other => format!("~ {subject}"),
        }
    }
}

fn plain(value: Option<&Json>) -> Option<String> {
    value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn listed(value: Option<&Json>) -> Option<String> {
    let all = value?.as_array()?;
    Some(names(all.iter().filter_map(Json::as_str)))
}

/// Differences that several machines may have in common; each is told once.
#[derive(Default)]
pub(super) struct Told {
    changes: Vec<Change>,
    places: HashMap<(Kind, String), usize>,
}

impl Told {
    /// A difference of a machine, or of none; and of a step, or of none.
    pub fn tell(&mut self, change: Change, machine: Option<&str>, step: Option<&StepId>) {
        let key = (change.kind, change.said());
        let at = *self.places.entry(key).or_insert_with(|| {
            self.changes.push(change);
            self.changes.len() - 1
        });
        let told = &mut self.changes[at];
        told.machines.extend(machine.map(str::to_owned));
        told.steps.extend(step.cloned());
    }

    /// All of them, in the order in which they were first told.
    pub fn changes(mut self) -> Vec<Change> {
        for change in &mut self.changes {
            change.machines.sort_unstable();
            change.machines.dedup();
        }
        self.changes
    }
}
