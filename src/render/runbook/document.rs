//! What a runbook is made of, before anybody decides how it is written.

use crate::base::StepId;
use crate::render::runbook::line::Line;

/// A runbook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// From the first page to the last.
    pub sections: Vec<Section>,
}

/// A part with a heading of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What stands below it.
    pub blocks: Vec<Block>,
}

/// What stands below a heading.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A paragraph.
    Text(Line),
    /// A paragraph that must not be missed.
    Danger(Line),
    /// A list.
    List(Vec<Line>),
    /// A list to tick off.
    Checks(Vec<Line>),
    /// The name of the machine, or of the machines, that the steps below it are about.
    Heading(Line),
    /// A step.
    Task(Box<Task>),
    /// Steps that belong together.
    Branch(Branch),
    /// A table.
    Grid(Grid),
}

/// A step, or one that many machines take alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// `2.4`
    pub number: String,
    /// The steps of the plan that it stands for: one, or one of each machine of its table.
    pub steps: Vec<StepId>,
    /// What is done.
    pub title: Line,
    /// Nothing takes it back.
    pub irreversible: bool,
    /// A person decides.
    pub decision: bool,
    /// When it may begin, what it takes from elsewhere.
    pub when: Vec<Line>,
    /// What must never happen.
    pub danger: Vec<Line>,
    /// What must hold first.
    pub first: Vec<Line>,
    /// What to do.
    pub act: Vec<Line>,
    /// How to see that it is done.
    pub verify: Vec<Line>,
    /// What to write down.
    pub note: Vec<Line>,
}

impl Task {
    /// It is ticked off in a table below it, once for each machine.
    pub fn is_in_table(&self) -> bool {
        self.steps.len() > 1
    }
}

/// Steps that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// What it is.
    pub tone: Tone,
    /// What holds them together.
    pub title: Line,
    /// The steps, and what is said of them.
    pub blocks: Vec<Block>,
}

/// What a branch is, for its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Only a name.
    Group,
    /// Done together, or taken back.
    Attempt,
    /// Only where something failed.
    Failed,
    /// Whatever happened.
    Always,
    /// Where a condition holds.
    Question,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// The titles of its columns.
    pub header: Vec<String>,
    /// As many cells each as there are titles.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// What is known.
    Text(String),
    /// A box to tick, called so for those who do not see the table; `true`: with room to write beside it.
    Tick(String, bool),
    /// Yes or no, by whom and when.
    Decision(String),
    /// Room to write.
    Blank,
}

impl Document {
    /// Every step in the order of the book, with the steps of the plan that it stands for.
    pub fn tasks(&self) -> Vec<&Task> {
        let mut found = Vec::new();
        self.sections.iter().for_each(|section| collect(&section.blocks, &mut found));
        found
    }
}

fn collect<'a>(blocks: &'a [Block], found: &mut Vec<&'a Task>) {
    for block in blocks {
        match block {
            Block::Task(task) => found.push(task),
            Block::Branch(branch) => collect(&branch.blocks, found),
            _ => {}
        }
    }
}
