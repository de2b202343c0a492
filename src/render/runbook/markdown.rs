//! A runbook as Markdown, with the task lists and tables that GitHub draws. What a script or an inventory
//! says is escaped: nothing of it becomes form.

use crate::render::runbook::document::{Block, Branch, Cell, Document, Grid, Task, Tone};
use crate::render::runbook::line::{Line, Span};

/// The whole document. Ends with a line break.
pub fn markdown(document: &Document) -> String {
    let mut page = format!("# {}\n", escaped(&document.title));
    for section in &document.sections {
        page.push_str(&format!("\n## {}\n", escaped(&section.title)));
        blocks(&section.blocks, &mut page);
    }
    page
}

fn blocks(all: &[Block], page: &mut String) {
    for block in all {
        page.push('\n');
        match block {
            Block::Text(line) => page.push_str(&format!("{}\n", inline(line))),
            Block::Danger(line) => page.push_str(&format!("> **{}**\n", strong(line))),
            Block::List(lines) => list(lines, "- ", page),
            Block::Checks(lines) => list(lines, "- [ ] ", page),
            Block::Heading(line) => page.push_str(&format!("### {}\n", inline(line))),
            Block::Task(step) => task(step, page),
            Block::Branch(inner) => branch(inner, page),
            Block::Grid(table) => grid(table, page),
        }
    }
}

fn list(lines: &[Line], mark: &str, page: &mut String) {
    for line in lines {
        page.push_str(&format!("{mark}{}\n", inline(line)));
    }
}

/// What holds steps together stands as a quote, so that its end is seen.
fn branch(branch: &Branch, page: &mut String) {
    let mark = match branch.tone {
        Tone::Failed => "⚠ ",
        Tone::Question => "❓ ",
        Tone::Group | Tone::Attempt | Tone::Always => "",
    };
    let mut inner = format!("**{mark}{}**\n", strong(&branch.title));
    blocks(&branch.blocks, &mut inner);
    for line in inner.lines() {
        page.push_str(if line.is_empty() { ">" } else { "> " });
        page.push_str(line);
        page.push('\n');
    }
}

fn task(task: &Task, page: &mut String) {
    let mark = if task.is_in_table() { "- " } else { "- [ ] " };
    let danger = if task.irreversible { "IRREVERSIBLE. " } else { "" };
    let ask = if task.decision { "DECISION: " } else { "" };
    let title = strong(&task.title);
    page.push_str(&format!("{mark}**{} {danger}{ask}{title}**{}\n", task.number, of(task)));
    let parts: [(&str, &str, &[Line]); 6] = [
        ("", "", &task.when),
        ("**Danger.** ", "", &task.danger),
        ("", "First see: ", &task.first),
        ("", "", &task.act),
        ("", "Seen: ", &task.verify),
        ("", "Write down: ", &task.note),
    ];
    let tick = if task.is_in_table() { "" } else { "[ ] " };
    for (at, (before, label, lines)) in parts.into_iter().enumerate() {
        for (number, line) in lines.iter().enumerate() {
            let line = format!("{before}{label}{}", inline(line));
            page.push_str(&match at {
                2 | 4 => format!("  - {tick}{line}\n"),
                3 if !task.decision => format!("  {}. {line}\n", number + 1),
                5 if !task.is_in_table() => format!("  - {line}: ____________\n"),
                _ => format!("  - {line}\n"),
            });
        }
    }
    if task.is_in_table() {
        return;
    }
    if task.decision {
        page.push_str("  - [ ] YES\n  - [ ] NO\n");
        page.push_str(
            "  - Name: ____________________ Time: __________ Signature: ____________________\n",
        );
    } else {
        page.push_str("  - Done at: __________ by: __________\n");
    }
}

/// The step of the plan, or how many of them.
fn of(task: &Task) -> String {
    match task.steps.as_slice() {
        [only] => format!(" ({})", code(only.as_str())),
        many => format!(" (a box for each of {} machines in the table below)", many.len()),
    }
}

fn grid(grid: &Grid, page: &mut String) {
    let header: Vec<String> = grid.header.iter().map(|title| escaped(title)).collect();
    page.push_str(&format!("| {} |\n|{}\n", header.join(" | "), "---|".repeat(header.len())));
    for row in &grid.rows {
        page.push('|');
        for cell in row {
            page.push(' ');
            match cell {
                Cell::Text(text) => page.push_str(&escaped(text)),
                Cell::Tick(_, true) => page.push_str("☐ ________"),
                Cell::Tick(_, false) => page.push('☐'),
                Cell::Decision(_) => page.push_str("☐ yes ☐ no ________"),
                Cell::Blank => page.push_str("________"),
            }
            page.push_str(" |");
        }
        page.push('\n');
    }
}

fn inline(line: &Line) -> String {
    let piece = |span: &Span| match span {
        Span::Text(text) => escaped(text),
        Span::Code(text) => code(text),
        Span::Step(number) => format!("step {number}"),
    };
    line.0.iter().map(piece).collect()
}

/// Inside `**`: a space at an end would undo it.
fn strong(line: &Line) -> String {
    inline(line).trim().to_owned()
}

/// As code, between more backticks than stand in it.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r'], " ").replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let inside_word = |next: Option<&char>| {
            before.is_alphanumeric() && next.is_some_and(|next| next.is_alphanumeric())
        };
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            // Lines to write on are written so on purpose, and mean nothing.
            '_' if before == '_' || rest.peek() == Some(&'_') => out.push('_'),
            '_' if inside_word(rest.peek()) => out.push('_'),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_becomes_no_form() {
        assert_eq!(
            escaped("<b> *a* | `c` [x](y) _d_ e_f #1"),
            r"&lt;b&gt; \*a\* \| \`c\` \[x\](y) \_d\_ e_f \#1"
        );
        assert_eq!(escaped("one\n## two"), r"one \#\# two");
        assert_eq!(escaped("at ________ by"), "at ________ by");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b"), r"`a\|b`");
    }
}
