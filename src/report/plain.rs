//! Plain lines, for logs and pipes: a time, a word, what happened. One line per event that matters.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::base::units::show_bytes;
use crate::base::{StepId, Timestamp};
use crate::render::style::Style;
use crate::report::clock::{seconds_between, time_of_day, window};
use crate::report::line::line;
use crate::report::{Reporter, Seen};
use crate::run::event::{Progress, Told};
use crate::run::state::Status;

/// A log that stays silent longer than this looks dead.
const SILENCE_S: f64 = 60.0;

/// Writes plain lines.
pub struct Plain<W> {
    out: W,
    style: Style,
    /// The last that running steps said of themselves.
    progress: BTreeMap<StepId, Progress>,
    spoke_at: Option<Timestamp>,
    /// The window that it said it waits for.
    window: Option<Timestamp>,
}

impl<W: Write> Plain<W> {
    /// To a writer (stderr: stdout is for data).
    pub fn new(out: W, style: Style) -> Plain<W> {
        Plain { out, style, progress: BTreeMap::new(), spoke_at: None, window: None }
    }
}

impl<W: Write> Reporter for Plain<W> {
    fn tell(&mut self, told: &Told, seen: &Seen<'_>) -> io::Result<()> {
        match told {
            Told::Progress(progress) => {
                self.progress.insert(progress.step.clone(), progress.clone());
            }
            Told::Event(event) => {
                if let Some(line) = line(event, seen) {
                    self.spoke_at = Some(event.at);
                    self.out.write_all(line.show(event.at, self.style).as_bytes())?;
                    self.out.flush()?;
                }
                forget_settled(&mut self.progress, seen);
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, seen: &Seen<'_>) -> io::Result<()> {
        if let Some((opens, words)) = window(seen, now).filter(|(at, _)| self.window != Some(*at)) {
            self.window = Some(opens);
            writeln!(self.out, "{} wait   {words}", time_of_day(now))?;
        }
        let since = *self.spoke_at.get_or_insert(now);
        if seconds_between(since, now) < SILENCE_S {
            return Ok(());
        }
        self.spoke_at = Some(now);
        for (step, progress) in &self.progress {
            writeln!(self.out, "{} ...    {step}: {}", time_of_day(now), amount(progress))?;
        }
        self.out.flush()
    }
}

/// Forgets the progress of steps that no longer run.
pub(super) fn forget_settled(progress: &mut BTreeMap<StepId, Progress>, seen: &Seen<'_>) {
    progress.retain(|step, _| {
        let status = seen.state.place(step).map(|ix| seen.state.step(ix).status);
        status == Some(Status::Running)
    });
}

/// How far a step is: `comparing, 32.0 MiB of 64.0 MiB, 1.0 MiB sent`.
pub(super) fn amount(progress: &Progress) -> String {
    let Progress { done, total, sent, note, .. } = progress;
    let total = if *total == 0 { String::new() } else { format!(" of {}", show_bytes(*total)) };
    format!("{note}, {}{total}, {} sent", show_bytes(*done), show_bytes(*sent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::Sample;
    use crate::report::Reporters;
    use crate::report::tests::{Story, at, run_id, until_second_gate};
    use crate::run::event::Answer;
    use crate::run::outcome::Outcome;
    use crate::run::state::RunState;

    fn written(story: &Story, tick: Option<Timestamp>) -> String {
        written_of(&Sample::failback(&["web-01"]), story, tick)
    }

    fn written_of(
        sample: &Sample,
        story: &Story,
        tick: impl IntoIterator<Item = Timestamp>,
    ) -> String {
        let (run, mut out) = (run_id(), Vec::new());
        let mut reporters = Reporters::new(&run, &sample.plan, RunState::new(&sample.plan))
            .and(Plain::new(&mut out, Style::PLAIN));
        story.told.iter().for_each(|told| reporters.tell(told));
        tick.into_iter().for_each(|now| reporters.tick(now));
        drop(reporters);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_run_with_a_retry_that_ends_waiting_at_a_gate() {
        let mut story = until_second_gate();
        story.end(Outcome::Waiting);
        insta::assert_snapshot!(written(&story, None));
    }

    #[test]
    fn a_failure_says_why_and_what_to_type() {
        let mut story = Story::default();
        story.begin().did("web-01.snapshot.1").start("web-01.transfer_delta.1", 1);
        story.retry("web-01.transfer_delta.1", 1).start("web-01.transfer_delta.1", 2);
        story.fail("web-01.transfer_delta.1").end(Outcome::Failed);
        insta::assert_snapshot!(written(&story, None));
    }

    #[test]
    fn rejected_and_interrupted() {
        let mut story = Story::default();
        story.begin().end(Outcome::Interrupted);
        story.event(crate::run::event::EventBody::RunResumed { epoch: 2 });
        story.did("web-01.snapshot.1").did("web-01.transfer_delta.1");
        story.gate("complete", "Complete failover").answer("complete", Answer::TimedOut);
        story.end(Outcome::Rejected);
        insta::assert_snapshot!(written(&story, None));
    }

    #[test]
    fn a_window_that_is_waited_for_is_said_once() {
        let mut sample = Sample::failback(&["web-01"]);
        let opens = at(7200);
        sample.plan.scopes[0].rules.not_before = Some(opens.to_string());
        let mut story = Story::default();
        story.begin();
        let written = written_of(&sample, &story, [at(1), at(2), at(90)]);
        let wait = format!("wait   window opens at {}", opens.strftime("%a %F %H:%M UTC"));
        assert_eq!(written.matches(&wait).count(), 1, "{written}");
    }

    #[test]
    fn a_long_silence_is_broken_by_progress() {
        let mut story = Story::default();
        story.begin().did("web-01.snapshot.1").start("web-01.transfer_delta.1", 1);
        story.progress("web-01.transfer_delta.1", 16);
        let quiet = written(&story, Some(at(60)));
        let spoken = written(&story, Some(at(90)));
        let beat = "16:01:30 ...    web-01.transfer_delta.1: comparing, 16.0 MiB of 64.0 MiB, 3.0 MiB sent\n";
        assert_eq!(spoken, quiet + beat);
    }
}
