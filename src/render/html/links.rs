//! Where links lead: from steps to the lines of the script that make them, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};
use maud::{Markup, html};

use crate::plan::step::StepIx;
use crate::render::Review;
use crate::render::steps::Group;
use crate::source::{Span, Texts};

/// A line of a text that is shown.
type Line<'a> = (&'a str, u32);

/// Where every link of the page leads.
pub struct Links<'a> {
    /// For each step the one that stands for it on the page.
    shown: Vec<StepIx>,
    /// For each text that is shown what its anchors begin with.
    anchors: BTreeMap<Arc<str>, String>,
    /// How many lines those texts have.
    lines: BTreeMap<Arc<str>, u32>,
    /// The steps that a line makes, those alike once, with how many each stands for.
    made: HashMap<Line<'a>, Vec<(StepIx, usize)>>,
    /// The folder of the script, as it is named.
    folder: String,
}

impl<'a> Links<'a> {
    /// The links of a page with these groups.
    pub fn new(review: &Review<'a>, texts: &Texts, waves: &[Vec<Group<'a>>]) -> Links<'a> {
        let plan = review.plan;
        let mut shown: Vec<StepIx> = plan.iter().map(|(ix, _)| ix).collect();
        let mut made: HashMap<Line<'a>, Vec<(StepIx, usize)>> = HashMap::new();
        for group in waves.iter().flatten() {
            for (at, first) in group.steps().iter().enumerate() {
                group.chains.iter().for_each(|chain| shown[chain[at].at()] = *first);
                let origin = &plan.step(*first).origin;
                for span in std::iter::once(&origin.at).chain(origin.via.iter()) {
                    let steps = made.entry((&span.file, span.line)).or_default();
                    if steps.last().is_none_or(|(last, _)| last != first) {
                        steps.push((*first, group.chains.len()));
                    }
                }
            }
        }
        let folder = plan.script.rfind('/').map_or("", |at| &plan.script[..=at]).to_owned();
        let mut anchors: BTreeMap<Arc<str>, String> = BTreeMap::new();
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let used: HashSet<&str> = made.keys().map(|(file, _)| *file).collect();
        for name in texts.keys() {
            if is_library(name) && !used.contains(&**name) {
                continue;
            }
            let plain = anchor(name.strip_prefix(folder.as_str()).unwrap_or(name));
            let times = taken.entry(plain.clone()).or_default();
            *times += 1;
            let unique = if *times == 1 { plain } else { format!("{plain}~{times}") };
            anchors.insert(name.clone(), unique);
        }
        let count = |text: &Arc<str>| u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
        let lines = texts.iter().map(|(name, text)| (name.clone(), count(text))).collect();
        Links { shown, anchors, lines, made, folder }
    }

    /// The anchor of a step, or of the one that stands for it: `step-web-01.snapshot.1`.
    pub fn step(&self, review: &Review<'_>, ix: StepIx) -> String {
        format!("step-{}", review.plan.step(self.shown[ix.at()]).id)
    }

    /// The step that stands for it on the page.
    pub fn first(&self, ix: StepIx) -> StepIx {
        self.shown[ix.at()]
    }

    /// The texts that are shown, by name, each with its anchor.
    pub fn files(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.anchors.iter().map(|(name, anchor)| (name, anchor.as_str()))
    }

    /// The steps that a line makes.
    pub fn made<'s>(&'s self, file: &'s str, line: u32) -> &'s [(StepIx, usize)] {
        self.made.get(&(file, line)).map_or(&[], Vec::as_slice)
    }

    /// A place of a script, as a link where its text is shown.
    pub fn place(&self, span: &Span) -> Markup {
        let name = span.file.strip_prefix(self.folder.as_str()).unwrap_or(&span.file);
        let known = self.lines.get(&span.file).is_some_and(|lines| span.line <= *lines);
        html! {
            @match self.anchors.get(&span.file).filter(|_| known) {
                Some(anchor) => a .place href={ "#" (anchor) "-" (span.line) } { (name) ":" (span.line) },
                None => span .place { (name) ":" (span.line) },
            }
        }
    }
}

/// Whether a text is of the standard library, not of the user.
pub fn is_library(name: &str) -> bool {
    name.starts_with("std/")
}

/// A name as part of an id: no white space, nothing that a link would have to escape.
fn anchor(name: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    name.chars().map(|c| if legal(c) { c } else { '_' }).collect()
}
