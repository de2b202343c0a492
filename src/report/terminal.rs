//! The live view: finished things scroll by above, what is going on stands below.
//!
//! A bar per running transfer with bytes, rate and time left; one line of clocks at the bottom: elapsed,
//! steps, machines that are down. Drawn by a library, on stderr.

use std::collections::HashMap;
use std::io;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::units::show_seconds;
use crate::base::{StepId, Timestamp};
use crate::render::style::{Ink, Style};
use crate::report::clock::{downtime, seconds_between, window};
use crate::report::line::line;
use crate::report::{Reporter, Seen};
use crate::run::event::{Progress, Told};
use crate::run::state::Status;

/// Bars beyond this would scroll what matters off the screen.
const BARS_MAX: usize = 12;
/// Most machines named in the line of clocks.
const DOWN_MAX: usize = 3;

/// Draws the live view.
pub struct Terminal {
    style: Style,
    screen: MultiProgress,
    bars: HashMap<StepId, ProgressBar>,
    clocks: ProgressBar,
}

impl Terminal {
    /// On that target: `ProgressDrawTarget::stderr()`, or a terminal in memory.
    pub fn new(target: ProgressDrawTarget, style: Style) -> Terminal {
        let screen = MultiProgress::with_draw_target(target);
        let clocks = screen.add(ProgressBar::new_spinner().with_style(template("{wide_msg}")));
        Terminal { style, screen, bars: HashMap::new(), clocks }
    }

    /// Takes the bars away; what scrolled by stays.
    pub fn finish(&mut self) {
        for (_, bar) in self.bars.drain() {
            bar.finish_and_clear();
        }
        self.clocks.finish_and_clear();
    }

    /// Hides the bars while something else writes to the terminal (a question at a gate).
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.screen.suspend(write)
    }

    fn progress(&mut self, progress: &Progress) {
        if !self.bars.contains_key(&progress.step) {
            if self.bars.len() >= BARS_MAX {
                return;
            }
            let bar = ProgressBar::new(progress.total).with_style(bar_style(self.style));
            let bar = self.screen.insert_before(&self.clocks, bar);
            bar.set_prefix(progress.step.to_string());
            self.bars.insert(progress.step.clone(), bar);
        }
        if let Some(bar) = self.bars.get(&progress.step) {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(progress.note.clone());
        }
    }

    /// Takes the bars of steps that no longer run away.
    fn sweep(&mut self, seen: &Seen<'_>) {
        self.bars.retain(|step, bar| {
            let place = seen.state.place(step);
            let runs = place.is_some_and(|ix| seen.state.step(ix).status == Status::Running);
            if !runs {
                bar.finish_and_clear();
            }
            runs
        });
    }

    fn show_clocks(&self, now: Timestamp, seen: &Seen<'_>) {
        self.clocks.set_message(clocks(now, seen, self.style));
    }
}

impl Reporter for Terminal {
    fn tell(&mut self, told: &Told, seen: &Seen<'_>) -> io::Result<()> {
        match told {
            Told::Progress(progress) => self.progress(progress),
            Told::Event(event) => {
                self.sweep(seen);
                if let Some(line) = line(event, seen) {
                    self.screen.println(line.show(event.at, self.style).trim_end())?;
                }
                self.show_clocks(event.at, seen);
            }
        }
        Ok(())
    }

    fn tick(&mut self, now: Timestamp, seen: &Seen<'_>) -> io::Result<()> {
        self.show_clocks(now, seen);
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish();
    }
}

/// `2m 5s  12/40 steps, 3 running  DOWN: web-01 12s`.
fn clocks(now: Timestamp, seen: &Seen<'_>, style: Style) -> String {
    let elapsed = seen.state.started_at.map_or(0.0, |from| seconds_between(from, now));
    let with = |status| seen.state.steps.iter().filter(|step| step.status == status).count();
    let (done, running, open) =
        (with(Status::Succeeded), with(Status::Running), with(Status::Open));
    let mut text = format!(
        "{}  {done}/{} steps, {running} running",
        show_seconds(elapsed),
        seen.plan.steps.len()
    );
    if open > 0 {
        text.push_str(&format!(", {open} waiting for a person"));
    }
    if let Some((at, words)) = window(seen, now) {
        let from = show_seconds(seconds_between(now, at));
        text.push_str(&style.paint(Ink::Warn, &format!(", {words}, in {from}")));
    }
    let down: Vec<String> = seen
        .chains
        .keys()
        .filter_map(|machine| Some((machine, downtime(seen, machine, now).filter(|d| d.now)?)))
        .map(|(machine, clock)| format!("{machine} {}", show_seconds(clock.seconds)))
        .collect();
    if !down.is_empty() {
        let hidden = down.len().saturating_sub(DOWN_MAX);
        let rest = if hidden > 0 { format!(" and {hidden} more") } else { String::new() };
        let named = down.iter().take(DOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
        let text_down = format!("DOWN: {named}{rest}");
        text.push_str(&format!("  {}", style.paint(Ink::Warn, &text_down)));
    }
    text
}

fn bar_style(style: Style) -> ProgressStyle {
    let bar = if style.colour { "{bar:20.cyan}" } else { "{bar:20}" };
    let text = "{prefix:28!} {bar} {bytes:>10}/{total_bytes} {bytes_per_sec} {eta} {msg}";
    template(&text.replace("{bar}", bar)).progress_chars("=> ")
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).expect("BUG: our own template is valid")
}

#[cfg(test)]
mod tests {
    use indicatif::InMemoryTerm;

    use super::*;
    use crate::render::tests::Sample;
    use crate::report::Reporters;
    use crate::report::tests::{Story, at, run_id, until_second_gate};
    use crate::run::state::RunState;

    fn screen(story: &Story, now: Timestamp) -> String {
        screen_of(&Sample::failback(&["web-01"]), story, now)
    }

    fn screen_of(sample: &Sample, story: &Story, now: Timestamp) -> String {
        let term = InMemoryTerm::new(40, 120);
        let run = run_id();
        let target = ProgressDrawTarget::term_like(Box::new(term.clone()));
        let mut reporters = Reporters::new(&run, &sample.plan, RunState::new(&sample.plan))
            .and(Terminal::new(target, Style { colour: false, width: 120 }));
        story.told.iter().for_each(|told| reporters.tell(told));
        reporters.tick(now);
        term.contents()
    }

    #[test]
    fn a_transfer_has_a_bar_and_a_dead_machine_a_clock() {
        let mut story = Story::default();
        story.begin().did("web-01.snapshot.1").did("web-01.transfer_delta.1");
        story.gate("complete", "Complete failover");
        story.answer("complete", crate::run::event::Answer::Approved);
        story.did("web-01.shutdown_azure_vm.1").start("web-01.transfer_delta.2", 1);
        story.progress("web-01.transfer_delta.2", 48);
        let screen = screen(&story, at(60));
        assert!(
            screen.contains("web-01.transfer_delta.2      [") || screen.contains("===="),
            "{screen}"
        );
        assert!(screen.contains("48.00 MiB/64.00 MiB") && screen.contains("comparing"), "{screen}");
        assert!(screen.contains("1 running") && screen.contains("DOWN: web-01 20s"), "{screen}");
    }

    #[test]
    fn a_window_that_is_not_open_yet_says_when_it_opens() {
        let mut story = Story::default();
        story.begin();
        let mut sample = Sample::failback(&["web-01"]);
        let opens = at(7200);
        sample.plan.scopes[0].rules.not_before = Some(opens.to_string());
        let screen = screen_of(&sample, &story, at(60));
        let when = format!("window opens at {}, in", opens.strftime("%a %F %H:%M UTC"));
        assert!(screen.contains(&when), "{screen}");
    }

    #[test]
    fn a_gate_shows_the_command_to_paste_and_no_bar_is_left() {
        let screen = screen(&until_second_gate(), at(120));
        assert!(screen.contains("homing approve r7k2 commit"), "{screen}");
        assert!(screen.contains("1 waiting for a person"), "{screen}");
        assert!(!screen.contains("===="), "{screen}");
    }
}
