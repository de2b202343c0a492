//! The steps themselves: a sheet of one machine as steps to tick off, a sheet of many as steps told once
//! and a table with a row for each machine.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::units::show_seconds;
use crate::base::{MachineName, StepId};
use crate::plan::scope::ScopeIx;
use crate::plan::step::{Kind, Reversibility, StepIx};
use crate::primitives::contract::AnyPrimitive;
use crate::primitives::find;
use crate::render::fold::counted;
use crate::render::path::down_at_gates;
use crate::render::runbook::book::{Book, read_by};
use crate::render::runbook::branches::branch;
use crate::render::runbook::document::{Block, Cell, Grid, Task};
use crate::render::runbook::line::{Line, names};
use crate::render::runbook::order::{Row, Sheet};
use crate::render::steps::{ANY_MACHINE, nameless};

/// The steps of a wave, in order.
pub fn wave(book: &Book<'_>, sheets: &[Sheet<'_>]) -> Vec<Block> {
    let down = down(book);
    let mut open: Vec<(ScopeIx, Vec<Block>)> = vec![(ScopeIx::PLAN, Vec::new())];
    for sheet in sheets {
        let same = open[1..].iter().zip(&sheet.shared).take_while(|((a, _), b)| a == *b).count();
        close(book, &mut open, same);
        open.extend(sheet.shared[same..].iter().map(|scope| (*scope, Vec::new())));
        let blocks = Writer { book, sheet, down: &down, columns: Vec::new() }.blocks();
        open.last_mut().expect("BUG: the plan is open").1.extend(blocks);
    }
    close(book, &mut open, 0);
    open.pop().map(|(_, blocks)| blocks).unwrap_or_default()
}

/// Ends all scopes but the first so many.
fn close(book: &Book<'_>, open: &mut Vec<(ScopeIx, Vec<Block>)>, keep: usize) {
    while open.len() > keep + 1 {
        let Some((scope, inner)) = open.pop() else { return };
        let whole = branch(book, scope, None, inner);
        if let Some((_, outer)) = open.last_mut() {
            outer.push(whole);
        }
    }
}

/// For each gate the machines that are down while it is open.
fn down(book: &Book<'_>) -> BTreeMap<StepIx, String> {
    let down = down_at_gates(book.plan()).into_iter().filter(|(_, machines)| !machines.is_empty());
    let named = |machines: Vec<&MachineName>| {
        counted(&machines.iter().map(|name| name.as_str()).collect::<Vec<_>>())
    };
    down.map(|(gate, machines)| (gate, named(machines.into_iter().collect()))).collect()
}

/// What differs between the rows of a sheet.
struct Column {
    title: String,
    values: Vec<String>,
}

struct Writer<'a, 'b> {
    book: &'a Book<'b>,
    sheet: &'a Sheet<'b>,
    down: &'a BTreeMap<StepIx, String>,
    columns: Vec<Column>,
}

impl Writer<'_, '_> {
    fn blocks(mut self) -> Vec<Block> {
        let first = self.sheet.rows[0];
        let mut blocks = Vec::new();
        if let Some(machine) = first.machine {
            blocks.push(Block::Heading(self.heading(machine)));
        }
        let steps = self.steps();
        blocks.extend(steps);
        if self.is_table() {
            blocks.push(Block::Grid(self.grid()));
        }
        blocks
    }

    fn is_table(&self) -> bool {
        self.sheet.rows.len() > 1
    }

    fn heading(&self, machine: &MachineName) -> Line {
        if !self.is_table() {
            return Line::default().code(machine.as_str());
        }
        let all = self.sheet.rows.iter().filter_map(|row| row.machine);
        let all: Vec<&str> = all.map(MachineName::as_str).collect();
        Line::text(format!("Each of these {}", counted(&all)))
            .and(". Each row of the table below is one of them; ")
            .code(ANY_MACHINE)
            .and(" stands for its name")
    }

    /// The steps of a row, inside the scopes that are its own.
    fn steps(&mut self) -> Vec<Block> {
        let first = self.sheet.rows[0];
        let of = first.machine.filter(|_| self.is_table());
        let outer = self.sheet.shared.len();
        let mut open: Vec<(ScopeIx, Vec<Block>)> = vec![(ScopeIx::PLAN, Vec::new())];
        let end = |open: &mut Vec<(ScopeIx, Vec<Block>)>, keep: usize| {
            while open.len() > keep + 1 {
                let Some((scope, inner)) = open.pop() else { return };
                let whole = branch(self.book, scope, of, inner);
                open.last_mut().expect("BUG: the plan is open").1.push(whole);
            }
        };
        let mut done = Vec::new();
        for at in 0..self.sheet.len {
            let path = path(self.book, first.step(at));
            done.push((path[outer.min(path.len())..].to_vec(), at));
        }
        for (path, at) in done {
            let same = open[1..].iter().zip(&path).take_while(|((a, _), b)| a == *b).count();
            end(&mut open, same);
            open.extend(path[same..].iter().map(|scope| (*scope, Vec::new())));
            let blocks = task(self.book, self.sheet, at, self.down, &mut self.columns);
            open.last_mut().expect("BUG: the plan is open").1.extend(blocks);
        }
        end(&mut open, 0);
        open.pop().map(|(_, blocks)| blocks).unwrap_or_default()
    }

    fn grid(&self) -> Grid {
        let mut header = vec!["machine".to_owned()];
        header.extend(self.columns.iter().map(|column| column.title.clone()));
        header.extend((0..self.sheet.len).map(|at| self.title_of(at)));
        let row = |(place, row): (usize, &Row<'_>)| {
            let machine = row.machine.map_or("", |name| name.as_str());
            let known = self.columns.iter().map(|column| column.values[place].clone());
            let known = std::iter::once(machine.to_owned()).chain(known).map(Cell::Text);
            known.chain((0..self.sheet.len).map(|at| self.cell(machine, row.step(at)))).collect()
        };
        Grid { header, rows: self.sheet.rows.iter().enumerate().map(row).collect() }
    }

    /// The number of a step, with what is to be written into its column.
    fn title_of(&self, at: usize) -> String {
        let ix = self.sheet.rows[0].step(at);
        let notes = &self.book.hands[ix.at()].note;
        let plain = notes.iter().map(|note| Line::from(*note).plain());
        let notes: Vec<String> = plain.collect();
        let number = self.book.number(ix);
        if notes.is_empty() { number } else { format!("{number} ({})", notes.join("; ")) }
    }

    fn cell(&self, machine: &str, ix: StepIx) -> Cell {
        let label = format!("{} {machine}", self.book.number(ix));
        if self.book.plan().step(ix).kind == Kind::Gate {
            return Cell::Decision(label);
        }
        Cell::Tick(label, !self.book.hands[ix.at()].note.is_empty())
    }
}

fn path(book: &Book<'_>, ix: StepIx) -> Vec<ScopeIx> {
    let plan = book.plan();
    let around = plan.outwards(plan.step(ix).scope).map(|(scope, _)| scope);
    let mut path: Vec<ScopeIx> = around.filter(|scope| *scope != ScopeIx::PLAN).collect();
    path.reverse();
    path
}

/// One step of a sheet, with what must be said before it.
fn task(
    book: &Book<'_>,
    sheet: &Sheet<'_>,
    at: usize,
    down: &BTreeMap<StepIx, String>,
    columns: &mut Vec<Column>,
) -> Vec<Block> {
    let ix = sheet.rows[0].step(at);
    let step = book.plan().step(ix);
    let hand = &book.hands[ix.at()];
    let values = values(book, sheet, at, columns);
    let fill = |line: &&'static str| {
        Line::filled(line, |name| Cow::Borrowed(values.get(name).map_or("", String::as_str)))
    };
    let lines = |lines: &[&'static str]| lines.iter().map(fill).collect::<Vec<Line>>();
    let mut task = Task {
        number: book.number(ix),
        steps: sheet.rows.iter().map(|row| book.plan().step(row.step(at)).id.clone()).collect(),
        title: fill(&hand.title),
        irreversible: step.reversibility == Reversibility::Irreversible,
        decision: step.kind == Kind::Gate,
        when: when(book, sheet, at, columns),
        danger: lines(&hand.danger),
        first: lines(&hand.first),
        act: lines(&hand.act),
        verify: lines(&hand.verify),
        note: lines(&hand.note),
    };
    task.note.extend(asked(book, ix));
    limits(book, ix, down, &mut task);
    let mut blocks = Vec::new();
    let no_return = book.review.no_return;
    if no_return.is_some_and(|no| sheet.rows.iter().any(|row| row.step(at) == no)) {
        blocks.push(Block::Danger(Line::text(
            "POINT OF NO RETURN. Behind the next step there is only forward for its machine.",
        )));
    }
    blocks.push(Block::Task(Box::new(task)));
    blocks
}

/// What each name of a step's lines stands for: itself, or its column where the rows differ.
fn values(
    book: &Book<'_>,
    sheet: &Sheet<'_>,
    at: usize,
    columns: &mut Vec<Column>,
) -> BTreeMap<&'static str, String> {
    let hand = |row: &Row<'_>| &book.hands[row.step(at).at()];
    let value = |row: &Row<'_>, name: &str| hand(row).value(name).unwrap_or_default().to_owned();
    let first = &sheet.rows[0];
    let mut values = BTreeMap::new();
    for name in hand(first).lines().flat_map(names) {
        if values.contains_key(name) {
            continue;
        }
        if sheet.rows.len() == 1 {
            values.insert(name, value(first, name));
            continue;
        }
        let each: Vec<String> =
            sheet.rows.iter().map(|row| nameless(&value(row, name), row.machine)).collect();
        if each.iter().all(|one| *one == each[0]) {
            values.insert(name, each[0].clone());
        } else {
            let each = sheet.rows.iter().map(|row| value(row, name)).collect();
            values.insert(name, format!("<{}>", column(columns, name, each)));
        }
    }
    values
}

/// The title of the column with these values: a new one, or one that is there already.
fn column(columns: &mut Vec<Column>, name: &str, values: Vec<String>) -> String {
    let mut title = name.to_owned();
    let mut number = 2;
    while let Some(known) = columns.iter().find(|known| known.title == title) {
        if known.values == values {
            return title;
        }
        title = format!("{name} {number}");
        number += 1;
    }
    columns.push(Column { title: title.clone(), values });
    title
}

/// When a step may begin, and what it takes from steps before it.
fn when(book: &Book<'_>, sheet: &Sheet<'_>, at: usize, columns: &mut Vec<Column>) -> Vec<Line> {
    let plan = book.plan();
    let mut lines = Vec::new();
    let each: Vec<Line> = sheet.rows.iter().map(|row| others_first(book, row.step(at))).collect();
    if each.iter().any(|one| *one != each[0]) {
        let values = each.iter().map(Line::plain).collect();
        let title = column(columns, "only after", values);
        lines.push(Line::text(format!("Only after what its row says under <{title}> is done.")));
    } else if each[0] != Line::default() {
        let Line(spans) = each[0].clone();
        let mut line = Line::text("Only after ");
        line.0.extend(spans);
        lines.push(line.and("."));
    }
    let row = sheet.rows[0];
    let step = plan.step(row.step(at));
    let of = row.machine.filter(|_| sheet.rows.len() > 1);
    for (_, id) in step.args.handles() {
        if let Some(handed) = StepId::new(id).ok().and_then(|id| book.find(&id)) {
            lines.push(Line::text("It takes what ").step(book.number(handed)).and(" made."));
        }
    }
    if let Some(undone) = step.undoes {
        lines.push(Line::text("Only if ").step(book.number(undone)).and(" was begun."));
    }
    let mut told = Vec::new();
    for (id, output) in read_by(step) {
        let Some(from) = book.find(&id) else { continue };
        let value = nameless(&format!("{id}.{output}"), of);
        let line = Line::default().code(value).and(" is what was written down at ");
        let line = line.step(book.number(from)).and(".");
        if !told.contains(&line) {
            told.push(line);
        }
    }
    lines.extend(told);
    lines
}

/// The steps of other machines that a step waits for by itself.
fn others_first(book: &Book<'_>, ix: StepIx) -> Line {
    let plan = book.plan();
    let step = plan.step(ix);
    let before = step.needs.iter().chain(&step.follows).copied();
    let others = before.filter(|at| {
        let other = &plan.step(*at).machine;
        step.machine.is_some() && other.is_some() && *other != step.machine
    });
    book.named(others)
}

/// What later steps ask of a step: to be written down.
fn asked(book: &Book<'_>, ix: StepIx) -> Vec<Line> {
    let spec = find(book.plan().step(ix).primitive).map(<dyn AnyPrimitive>::spec);
    let asked = book.asked_of(ix).map(|(output, readers)| {
        let outputs = spec.map_or(&[][..], |spec| spec.outputs);
        let doc =
            outputs.iter().find(|known| known.name == &**output).map_or("", |known| known.doc);
        let mut line = Line::default().code(&**output).and(" (");
        line.0.extend(Line::from(doc).0);
        line = line.and("), asked for at ");
        line.0.extend(book.named(readers.iter().copied()).0);
        line
    });
    asked.collect()
}

/// Time limits, what may fail, what no means.
fn limits(book: &Book<'_>, ix: StepIx, down: &BTreeMap<StepIx, String>, task: &mut Task) {
    let plan = book.plan();
    let step = plan.step(ix);
    let limit = step.policy.timeout_ms.map(|ms| show_seconds(ms as f64 / 1000.0));
    match (step.kind, limit) {
        (Kind::Gate, Some(limit)) => task.act.push(Line::text(format!("Wait at most {limit}."))),
        (Kind::Poll, Some(limit)) => {
            task.act.push(Line::text(format!("Give it {limit} at most; then it has failed.")));
        }
        _ => {}
    }
    if let Some(machines) = down.get(&ix) {
        task.when.push(Line::text(format!("DOWN while you wait: {machines}.")));
    }
    if step.kind == Kind::Gate {
        let around = plan.attempts_around(step.scope).find(|(at, _)| book.is_handled(*at));
        task.act.push(Line::text(match around {
            Some(_) => "NO means that the attempt has failed: go to IF THIS FAILED.",
            None => "NO means stop: nothing below it that waits for it is done, and everything stays as it is now.",
        }));
    }
    if step.optional {
        task.act.push(Line::text("It may fail: write that down, and go on."));
    }
}
