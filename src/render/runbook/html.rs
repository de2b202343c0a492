//! A runbook as one HTML file: no scripts, no network, real boxes, readable on paper.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::render::runbook::document::{Block, Branch, Cell, Document, Grid, Task, Tone};
use crate::render::runbook::line::{Line, Span};

const CSS: &str = include_str!("page.css");

/// The whole document.
pub fn html(document: &Document) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (document.title) }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    h1 { (document.title) }
                    nav aria-label="Contents" {
                        ol {
                            @for (at, section) in document.sections.iter().enumerate() {
                                li { a href={ "#part-" (at + 1) } { (section.title) } }
                            }
                        }
                    }
                    @for (at, section) in document.sections.iter().enumerate() {
                        section id={ "part-" (at + 1) } {
                            h2 { (section.title) }
                            (blocks(&section.blocks))
                        }
                    }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn blocks(all: &[Block]) -> Markup {
    html! {
        @for block in all {
            @match block {
                Block::Text(text) => p { (line(text)) },
                Block::Danger(text) => p.danger role="note" { strong { (line(text)) } },
                Block::List(lines) => ul { @for one in lines { li { (line(one)) } } },
                Block::Checks(lines) => ul.checks { @for one in lines { li { (check(&line(one))) } } },
                Block::Heading(text) => h3 { (line(text)) },
                Block::Task(step) => (task(step)),
                Block::Branch(inner) => (branch(inner)),
                Block::Grid(table) => (grid(table)),
            }
        }
    }
}

fn check(label: &Markup) -> Markup {
    html! { label { input type="checkbox"; span { (label) } } }
}

fn branch(branch: &Branch) -> Markup {
    let class = match branch.tone {
        Tone::Group => "branch",
        Tone::Attempt => "branch attempt",
        Tone::Failed => "branch failed",
        Tone::Always => "branch always",
        Tone::Question => "branch question",
    };
    html! {
        div class=(class) role="group" aria-label=(branch.title.plain()) {
            p.title { strong { (line(&branch.title)) } }
            (blocks(&branch.blocks))
        }
    }
}

fn task(task: &Task) -> Markup {
    let class = match (task.decision, task.irreversible) {
        (true, _) => "task decision",
        (_, true) => "task irreversible",
        _ => "task",
    };
    let ticks = !task.is_in_table();
    let ticked = |text: &Line| html! { @if ticks { (check(&line(text))) } @else { (line(text)) } };
    html! {
        article class=(class) id={ "step-" (task.number) } {
            h4 { @if ticks && !task.decision { (check(&title(task))) } @else { (title(task)) } }
            @for text in &task.when { p.when { (line(text)) } }
            @for text in &task.danger { p.danger { strong { "Danger. " } (line(text)) } }
            @if !task.first.is_empty() {
                p.label { "First see, now:" }
                ul.checks { @for text in &task.first { li { (ticked(text)) } } }
            }
            @if task.decision {
                @for text in &task.act { p { (line(text)) } }
            } @else if !task.act.is_empty() {
                p.label { "Do:" }
                ol { @for text in &task.act { li { (line(text)) } } }
            }
            @if !task.verify.is_empty() {
                p.label { "Done when you have seen:" }
                ul.checks { @for text in &task.verify { li { (ticked(text)) } } }
            }
            @if !task.note.is_empty() { (notes(task, ticks)) }
            @if ticks { (ends(task)) }
        }
    }
}

fn title(task: &Task) -> Markup {
    html! {
        span.number { (task.number) } " "
        @if task.irreversible { span.mark { "IRREVERSIBLE" } " " }
        @if task.decision { span.mark { "DECISION" } " " }
        (line(&task.title)) " "
        small {
            @match task.steps.as_slice() {
                [only] => code { (only.as_str()) },
                many => { "a box for each of " (many.len()) " machines in the table below" }
            }
        }
    }
}

fn notes(task: &Task, ticks: bool) -> Markup {
    html! {
        p.label { "Write down:" }
        ul.notes {
            @for text in &task.note { li { (line(text)) @if ticks { " " span.blank {} } } }
        }
    }
}

fn ends(task: &Task) -> Markup {
    html! {
        @if task.decision {
            p.answer { (check(&html! { "YES" })) (check(&html! { "NO" })) }
            p.sign { "Name " span.blank {} " Time " span.blank {} " Signature " span.blank {} }
        } @else {
            p.sign { "Done at " span.blank {} " by " span.blank {} }
        }
    }
}

fn grid(grid: &Grid) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { @for name in &grid.header { th scope="col" { (name) } } } }
                tbody {
                    @for row in &grid.rows {
                        tr {
                            @for (at, one) in row.iter().enumerate() {
                                @match one {
                                    Cell::Text(text) if at == 0 => th scope="row" { (text) },
                                    other => td { (cell(other)) },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cell(cell: &Cell) -> Markup {
    html! {
        @match cell {
            Cell::Text(text) => (text),
            Cell::Tick(label, false) => input type="checkbox" aria-label=(label);,
            Cell::Tick(label, true) => { input type="checkbox" aria-label=(label); span.blank {} }
            Cell::Decision(label) => {
                label { input type="checkbox" aria-label={ (label) " yes" }; "yes" } " "
                label { input type="checkbox" aria-label={ (label) " no" }; "no" } span.blank {}
            }
            Cell::Blank => span.blank {},
        }
    }
}

fn line(line: &Line) -> Markup {
    html! {
        @for span in &line.0 {
            @match span {
                Span::Text(text) => (text),
                Span::Code(text) => code { (text) },
                Span::Step(number) => a href={ "#step-" (number) } { "step " (number) },
            }
        }
    }
}
