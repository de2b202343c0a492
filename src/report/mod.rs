//! Reporting: what a run says to people and to machines, while it goes on and afterwards.
//!
//! In: durable events in order, progress between them. Out: lines, bars, tables. Refuses to know: the
//! journal, the scheduler, the clock (time is in the events, or passed in).
//!
//! stdout is data, stderr is talk; writers are passed in. What one kind of event looks like stands in
//! `line.rs`, one small function each; how lines reach a reader is the reporters' own business.

pub mod adopted;
pub mod audit;
pub mod clock;
pub mod given_up;
pub mod jsonl;
mod line;
pub mod pending;
pub mod plain;
pub mod rehearsal;
pub mod runs;
mod split;
pub mod standing;
pub mod status;
pub mod summary;
pub mod terminal;

use std::collections::BTreeMap;
use std::io;

use crate::base::{MachineName, RunId, Timestamp};
use crate::plan::graph::Plan;
use crate::plan::step::StepIx;
use crate::run::event::Told;
use crate::run::state::RunState;

/// A run as a reporter sees it: the plan, and the state after the event that is told.
pub struct Seen<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its plan.
    pub plan: &'a Plan,
    /// After the event.
    pub state: RunState,
    /// The steps of each machine, in order.
    pub chains: BTreeMap<&'a MachineName, Vec<StepIx>>,
}

impl<'a> Seen<'a> {
    /// A run in that state: `RunState::new(plan)`, or what a journal was folded to.
    pub fn new(run: &'a RunId, plan: &'a Plan, state: RunState) -> Seen<'a> {
        let mut chains: BTreeMap<_, Vec<StepIx>> = BTreeMap::new();
        for (ix, step) in plan.iter() {
            if let Some(machine) = &step.machine {
                chains.entry(machine).or_default().push(ix);
            }
        }
        Seen { run, plan, state, chains }
    }
}

/// Someone who tells a run on.
pub trait Reporter {
    /// Tells what happened. `seen` holds the state after it.
    ///
    /// # Errors
    /// When nobody can be told any more; the reporter is then asked nothing again.
    fn tell(&mut self, told: &Told, seen: &Seen<'_>) -> io::Result<()>;

    /// Time passed: clocks go on. Called about once a second.
    ///
    /// # Errors
    /// As [`Reporter::tell`].
    fn tick(&mut self, _now: Timestamp, _seen: &Seen<'_>) -> io::Result<()> {
        Ok(())
    }
}

/// Tells every reporter the same, with a fold of its own. A reporter that fails is dropped: it never
/// stops a run.
pub struct Reporters<'a> {
    seen: Seen<'a>,
    reporters: Vec<Box<dyn Reporter + 'a>>,
}

impl<'a> Reporters<'a> {
    /// For a run in that state; see [`Seen::new`].
    pub fn new(run: &'a RunId, plan: &'a Plan, state: RunState) -> Reporters<'a> {
        Reporters { seen: Seen::new(run, plan, state), reporters: Vec::new() }
    }

    /// The same with one more.
    #[must_use]
    pub fn and(mut self, reporter: impl Reporter + 'a) -> Reporters<'a> {
        self.reporters.push(Box::new(reporter));
        self
    }

    /// Tells everyone.
    pub fn tell(&mut self, told: &Told) {
        if let Told::Event(event) = told
            && let Err(illegal) = self.seen.state.apply(event)
        {
            // The engine folded this event before it was told: only the views would be wrong.
            tracing::warn!("a reporter's view of the run is not exact: {illegal}");
        }
        let seen = &self.seen;
        self.reporters.retain_mut(|reporter| kept(&reporter.tell(told, seen)));
    }

    /// Lets clocks go on.
    pub fn tick(&mut self, now: Timestamp) {
        let seen = &self.seen;
        self.reporters.retain_mut(|reporter| kept(&reporter.tick(now, seen)));
    }

    /// The run as it was last told.
    pub fn seen(&self) -> &Seen<'a> {
        &self.seen
    }
}

fn kept(told: &io::Result<()>) -> bool {
    if let Err(error) = told {
        tracing::warn!("a reporter is gone, the run goes on: {error}");
    }
    told.is_ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::base::{PlanId, StepId};
    use crate::render::tests::Sample;
    use crate::run::command::Asker;
    use crate::run::event::{Answer, Event, EventBody, Progress};
    use crate::run::failure::Failure;
    use crate::run::outcome::Outcome;

    pub(crate) fn run_id() -> RunId {
        RunId::new("r7k2").unwrap()
    }

    pub(crate) fn at(seconds: u64) -> Timestamp {
        let start: Timestamp = "2026-11-22T16:00:00Z".parse().unwrap();
        start + std::time::Duration::from_secs(seconds)
    }

    fn step(id: &str) -> StepId {
        StepId::new(id).unwrap()
    }

    pub(crate) fn asker() -> Asker {
        Asker { who: "ada".into(), from: "ops-1".into() }
    }

    /// Events with their numbers, one every five seconds.
    #[derive(Default)]
    pub(crate) struct Story {
        pub(crate) told: Vec<Told>,
        seq: u64,
    }

    impl Story {
        pub(crate) fn event(&mut self, body: EventBody) -> &mut Story {
            self.seq += 1;
            let event = Event { run: run_id(), seq: self.seq, at: at(5 * self.seq), body };
            self.told.push(Told::Event(event));
            self
        }

        pub(crate) fn begin(&mut self) -> &mut Story {
            self.event(EventBody::RunStarted {
                plan_id: PlanId::new("p1").unwrap(),
                digest: "3f9a".into(),
                script: "failback.rhai".into(),
                approved: Vec::new(),
                by: asker(),
            })
        }

        pub(crate) fn start(&mut self, id: &str, attempt: u32) -> &mut Story {
            self.event(EventBody::AttemptStarted { step: step(id), attempt, epoch: 1 })
        }

        pub(crate) fn progress(&mut self, id: &str, done: u64) -> &mut Story {
            self.told.push(Told::Progress(Progress {
                step: step(id),
                done: done << 20,
                total: 64 << 20,
                sent: 3 << 20,
                note: "comparing".into(),
            }));
            self
        }

        pub(crate) fn ok(&mut self, id: &str) -> &mut Story {
            let outputs = json!({ "bytes_scanned": 64 << 20, "bytes_sent": 3 << 20, "ok": true });
            self.event(EventBody::StepSucceeded { step: step(id), attempt: 1, outputs })
        }

        pub(crate) fn did(&mut self, id: &str) -> &mut Story {
            self.start(id, 1).ok(id)
        }

        pub(crate) fn retry(&mut self, id: &str, attempt: u32) -> &mut Story {
            let failure = Failure::transient("the connection to dc1 was lost");
            let (step, retry_in_ms) = (step(id), 1500);
            self.event(EventBody::AttemptFailed { step, attempt, failure, retry_in_ms })
        }

        pub(crate) fn fail(&mut self, id: &str) -> &mut Story {
            let failure = Failure {
                code: Some("H302".into()),
                ..Failure::permanent("hv-01 does not answer").help("see whether hv-01 is up")
            };
            self.event(EventBody::StepFailed { step: step(id), attempt: 3, failure })
        }

        pub(crate) fn gate(&mut self, id: &str, message: &str) -> &mut Story {
            let (message, expires_at) = (message.to_owned(), Some(at(8 * 3600)));
            self.event(EventBody::GateOpened { step: step(id), message, expires_at })
        }

        pub(crate) fn answer(&mut self, id: &str, answer: Answer) -> &mut Story {
            let (step, by, comment) = (step(id), asker(), Some("CHG-12".to_owned()));
            self.event(EventBody::GateAnswered { step, answer, by, comment })
        }

        pub(crate) fn end(&mut self, outcome: Outcome) -> &mut Story {
            self.event(EventBody::RunEnded { outcome })
        }

        pub(crate) fn events(&self) -> Vec<Event> {
            let event = |told: &Told| match told {
                Told::Event(event) => Some(event.clone()),
                Told::Progress(_) => None,
            };
            self.told.iter().filter_map(event).collect()
        }

        /// The state after all of it.
        pub(crate) fn state(&self, plan: &Plan) -> RunState {
            let mut state = RunState::new(plan);
            for event in self.events() {
                state.apply(&event).unwrap();
            }
            state
        }
    }

    /// web-01 came home as far as its second gate, with one retry.
    pub(crate) fn until_second_gate() -> Story {
        let mut story = Story::default();
        story.begin().did("web-01.snapshot.1").start("web-01.transfer_delta.1", 1);
        story.progress("web-01.transfer_delta.1", 16).retry("web-01.transfer_delta.1", 1);
        story.start("web-01.transfer_delta.1", 2).progress("web-01.transfer_delta.1", 48);
        story.ok("web-01.transfer_delta.1").gate("complete", "Complete failover");
        story.answer("complete", Answer::Approved).did("web-01.shutdown_azure_vm.1");
        story.did("web-01.transfer_delta.2").did("web-01.start_onprem_vm.1");
        story.did("web-01.check.1").gate("commit", "Commit: this deletes the Azure machines");
        story
    }

    /// A reporter whose reader hung up.
    struct Gone;

    impl Reporter for Gone {
        fn tell(&mut self, _: &Told, _: &Seen<'_>) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_dead_reporter_stops_nobody() {
        let sample = Sample::failback(&["web-01"]);
        let (run, mut out) = (run_id(), Vec::new());
        let mut reporters = Reporters::new(&run, &sample.plan, RunState::new(&sample.plan))
            .and(Gone)
            .and(jsonl::Jsonl::new(&mut out));
        let mut story = Story::default();
        story.begin().did("web-01.snapshot.1");
        story.told.iter().for_each(|told| reporters.tell(told));
        drop(reporters);
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 3);
    }

    #[test]
    fn json_lines_read_back_as_the_same_events() {
        let sample = Sample::failback(&["web-01"]);
        let mut story = until_second_gate();
        story.answer("commit", Answer::Rejected).end(Outcome::Rejected);
        let (run, mut out) = (run_id(), Vec::new());
        let mut reporters = Reporters::new(&run, &sample.plan, RunState::new(&sample.plan))
            .and(jsonl::Jsonl::new(&mut out));
        story.told.iter().for_each(|told| reporters.tell(told));
        drop(reporters);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (events, progress): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.get("seq").is_some());
        let events: Vec<Event> =
            events.into_iter().map(|line| serde_json::from_value(line).unwrap()).collect();
        assert_eq!(events, story.events());
        let amount =
            json!({ "done": 16 << 20, "total": 64 << 20, "sent": 3 << 20, "note": "comparing" });
        let first = json!({ "run": "r7k2", "step": "web-01.transfer_delta.1", "progress": amount });
        assert_eq!(progress[0], first);
        assert_eq!(progress.len(), 2);
    }

    #[test]
    fn a_clock_that_was_put_back_makes_no_time_negative() {
        let sample = Sample::failback(&["web-01"]);
        let whole = until_second_gate();
        // From any record on, an hour earlier than the ones before it.
        for cut in 1..whole.told.len() {
            let mut story = Story { told: whole.told.clone(), seq: whole.seq };
            for told in &mut story.told[cut..] {
                if let Told::Event(event) = told {
                    event.at -= std::time::Duration::from_secs(3600);
                }
            }
            let (run, mut lines) = (run_id(), Vec::new());
            let mut reporters = Reporters::new(&run, &sample.plan, RunState::new(&sample.plan))
                .and(plain::Plain::new(&mut lines, crate::render::style::Style::PLAIN));
            story.told.iter().for_each(|told| reporters.tell(told));
            reporters.tick(at(1));
            drop(reporters);
            let seen = Seen::new(&run, &sample.plan, story.state(&sample.plan));
            let style = crate::render::style::Style::PLAIN;
            let page = summary::summary(&seen, None, at(1), style);
            for text in [String::from_utf8(lines).unwrap(), page] {
                let negative = |word: &str| {
                    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_numeric))
                };
                assert!(!text.split_whitespace().any(negative), "{cut}: {text}");
            }
            for standing in standing::standings(&seen, None, at(1)) {
                assert!(standing.downtime_s.is_none_or(|seconds| seconds >= 0.0), "{standing:?}");
            }
        }
    }
}
