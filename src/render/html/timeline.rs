//! When what happens: a row per machine, or per machines whose times are alike.

mod rows;

use maud::{Markup, html};

use crate::base::units::show_seconds;
use crate::plan::effect::Effect;
use crate::plan::step::{Reversibility, Step, StepIx};
use crate::render::fold::count;
use crate::render::html::drawing::{fitted, marks, px};
use crate::render::html::timeline::rows::{Bar, Row, Rows};
use crate::render::html::{Page, scroll};
use crate::render::path;

/// Widths and heights, in units of the drawing.
const LABELS: f64 = 190.0;
const CHART: f64 = 780.0;
const ROW: f64 = 24.0;
const LANE: f64 = 15.0;
/// How wide a character of a small label is, at most.
const CHAR: f64 = 6.6;
/// Most gates that are drawn.
const GATES_MAX: usize = 24;
/// Most characters of a row's label, and of a gate's.
const LABEL_CHARS_MAX: usize = 27;

/// What a bar looks like, also without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Look {
    /// Copies data.
    Copy,
    /// Shuts a machine down.
    Stop,
    /// Boots a machine.
    Start,
    /// Looks whether it lives.
    Check,
    /// Nothing takes it back.
    Irreversible,
    /// Anything else.
    Other,
}

/// Every look, with its class and what it means.
const LOOKS: &[(Look, &str, &str)] = &[
    (Look::Copy, "copy", "copies data"),
    (Look::Stop, "stop", "shuts down"),
    (Look::Start, "start", "starts"),
    (Look::Check, "look", "checks"),
    (Look::Irreversible, "final", "irreversible"),
    (Look::Other, "other", "anything else"),
];

impl Look {
    /// What a step looks like.
    pub fn of(step: &Step) -> Look {
        match step.effect {
            _ if step.reversibility == Reversibility::Irreversible => Look::Irreversible,
            Effect::Transfer { .. } | Effect::ReverseReplicate => Look::Copy,
            Effect::Stop(_) => Look::Stop,
            Effect::Start(_) => Look::Start,
            Effect::Check { .. } => Look::Check,
            _ => Look::Other,
        }
    }

    fn class(self) -> &'static str {
        LOOKS.iter().find(|(look, ..)| *look == self).map_or("other", |(_, class, _)| class)
    }
}

/// The section.
pub fn timeline(page: &Page<'_, '_>) -> Markup {
    let rows = Rows::of(page.review);
    if rows.all.is_empty() {
        return html! { p { "No step takes any time." } };
    }
    let gates = path::gates(page.review.plan).len();
    let makespan = show_seconds(page.review.estimates.makespan_s);
    html! {
        p {
            "From the first start to the last end " strong { (makespan) } ". "
            @if gates > 0 { "People's waits are left out: the clock stands still at a gate. " }
            @if rows.all.iter().flat_map(|row| &row.bars).any(|bar| bar.slow_s > bar.end_s) {
                "A thin line behind a bar: nine times of ten no longer than this."
            }
        }
        @for said in &rows.said { p .folded { (said) } }
        (legend())
        (scroll("Timeline", &chart(page, &rows)))
        (table(page, &rows))
    }
}

fn legend() -> Markup {
    html! {
        ul .legend {
            @for (_, class, meaning) in LOOKS {
                li { svg width="26" height="14" aria-hidden="true" { rect .bar .(class) x="1" y="1" width="24" height="12" {} } " " (meaning) }
            }
            li {
                svg width="26" height="14" aria-hidden="true" { (hatching("legend-down")) rect fill="url(#legend-down)" .down x="1" y="1" width="24" height="12" {} }
                " machine is down"
            }
            li { svg width="26" height="14" aria-hidden="true" { line .gate x1="13" y1="0" x2="13" y2="14" {} } " gate" }
        }
    }
}

fn hatching(id: &str) -> Markup {
    html! {
        defs {
            pattern id=(id) width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                line .hatch x1="0" y1="0" x2="0" y2="6" {}
            }
        }
    }
}

/// From seconds to places.
struct Scale {
    end_s: f64,
}

impl Scale {
    fn x(&self, at_s: f64) -> f64 {
        LABELS + (at_s / self.end_s).clamp(0.0, 1.0) * CHART
    }
}

/// A gate's place, its lane, its label.
type Flag = (f64, usize, String);

fn chart(page: &Page<'_, '_>, rows: &Rows<'_>) -> Markup {
    let scale = Scale { end_s: rows.end_s.max(0.001) };
    let (flags, lanes) = flags(page, &scale);
    let top = 18.0 + LANE * lanes as f64;
    let bottom = top + ROW * rows.all.len() as f64;
    let width = LABELS + CHART + 30.0;
    let marks = marks(rows.end_s);
    html! {
        svg .timeline role="img" aria-labelledby="timeline-name timeline-text" viewBox={ "0 0 " (px(width)) " " (px(bottom + 8.0)) } {
            title id="timeline-name" { "Timeline of " (page.review.plan.script) }
            desc id="timeline-text" {
                (count(rows.all.len(), "row")) " from 0 to " (show_seconds(rows.end_s)) "; the table below the drawing has the same."
            }
            (hatching("down-hatch"))
            @for (at_s, _) in &marks {
                line .mark x1=(px(scale.x(*at_s))) x2=(px(scale.x(*at_s))) y1=(px(top)) y2=(px(bottom)) {}
            }
            @for (at, row) in rows.all.iter().enumerate() { (lane(page, row, top + ROW * at as f64, &scale)) }
            @for (x, lane, text) in &flags {
                line .gate x1=(px(*x)) x2=(px(*x)) y1=(px(LANE * (*lane as f64) + 4.0)) y2=(px(bottom)) {}
                text .flag x=(px(x + 4.0)) y=(px(LANE * (*lane as f64) + 12.0)) { (text) }
            }
            // Last: the numbers stand on the lines of gates, not below them.
            @for (at_s, text) in &marks {
                text .axis text-anchor="middle" x=(px(scale.x(*at_s))) y=(px(top - 5.0)) { (text) }
            }
        }
    }
}

fn lane(page: &Page<'_, '_>, row: &Row<'_>, y: f64, scale: &Scale) -> Markup {
    html! {
        line .row x1="0" x2=(px(LABELS + CHART)) y1=(px(y + ROW)) y2=(px(y + ROW)) {}
        text .name x="0" y=(px(y + 16.0)) { title { (row.label()) } (fitted(&row.label(), LABEL_CHARS_MAX)) }
        @if let Some((from_s, to_s)) = row.down {
            rect .down fill="url(#down-hatch)" x=(px(scale.x(from_s))) y=(px(y + 2.0))
                width=(px((scale.x(to_s) - scale.x(from_s)).max(2.0))) height=(px(ROW - 4.0)) {
                title { (row.label()) " is down for " (show_seconds(to_s - from_s)) }
            }
        }
        @for bar in &row.bars { (self::bar(page, bar, y, scale)) }
    }
}

fn bar(page: &Page<'_, '_>, bar: &Bar, y: f64, scale: &Scale) -> Markup {
    let step = page.review.plan.step(bar.first);
    let (x, end) = (scale.x(bar.start_s), scale.x(bar.end_s));
    let slow = scale.x(bar.slow_s);
    html! {
        @if slow - end > 1.0 {
            line .slow x1=(px(end)) x2=(px(slow)) y1=(px(y + ROW / 2.0)) y2=(px(y + ROW / 2.0)) {}
        }
        a href={ "#" (page.links.step(page.review, bar.first)) } tabindex="-1" {
            rect .bar .(bar.look.class()) x=(px(x)) y=(px(y + 5.0)) width=(px((end - x).max(2.0))) height=(px(ROW - 10.0)) {
                title { (step.id.as_str()) ": " (show_seconds(bar.start_s)) " to " (show_seconds(bar.end_s)) }
            }
        }
    }
}

/// Gates and the point of no return, each in a lane of its own where labels would meet.
fn flags(page: &Page<'_, '_>, scale: &Scale) -> (Vec<Flag>, usize) {
    let review = page.review;
    let start = |ix: StepIx| review.estimates.steps.get(ix.at()).and_then(|step| step.start_s);
    let gates = path::gates(review.plan).into_iter().take(GATES_MAX);
    let mut said: Vec<(f64, String)> = gates
        .filter_map(|ix| Some((start(ix)?, format!("gate {}", review.plan.step(ix).id))))
        .collect();
    said.extend(
        review.no_return.and_then(|ix| Some((start(ix)?, "point of no return".to_owned()))),
    );
    said.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free: Vec<f64> = Vec::new();
    let mut flags = Vec::new();
    for (at_s, text) in said {
        let text = fitted(&text, LABEL_CHARS_MAX);
        let wide = 8.0 + CHAR * text.chars().count() as f64;
        let x = scale.x(at_s);
        let lane = free.iter().position(|end| *end <= x).unwrap_or(free.len());
        if lane == free.len() {
            free.push(0.0);
        }
        free[lane] = x + wide;
        flags.push((x, lane, text));
    }
    (flags, free.len())
}

/// The same as a table: for those who do not look, and for paper.
fn table(page: &Page<'_, '_>, rows: &Rows<'_>) -> Markup {
    let inner = html! {
        table {
            caption { "The timeline as a table; times count from the start of the run" }
            thead { tr { th scope="col" { "Machines" } th scope="col" { "Down" } th scope="col" { "Steps" } } }
            tbody {
                @for row in &rows.all {
                    tr {
                        th scope="row" { (row.label()) }
                        td { @match row.down {
                            Some((from_s, to_s)) => { (show_seconds(from_s)) " to " (show_seconds(to_s)) },
                            None => "-",
                        } }
                        td .times { @for bar in &row.bars { span { (bar_words(page, bar)) } " " } }
                    }
                }
            }
        }
    };
    html! { details { summary { "The timeline as a table" } (scroll("The timeline as a table", &inner)) } }
}

fn bar_words(page: &Page<'_, '_>, bar: &Bar) -> String {
    let (start, end) = (show_seconds(bar.start_s), show_seconds(bar.end_s));
    format!("{} {start}–{end}", crate::render::steps::short_id(page.review, bar.first))
}
