//! The graph in the language of Graphviz.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::plan::settle::Edge;
use crate::render::Review;
use crate::render::graph::{Graph, Shape, folded, full, meaning};
use crate::render::steps::groups;

/// Different sequences in one wave before only the shape decides what is alike.
const GROUPS_MAX: usize = 40;
/// Most characters of a label's line.
const LABEL_MAX: usize = 60;

/// What one cluster holds: steps of a wave, or of a machine.
type Clusters = BTreeMap<(usize, String), Vec<usize>>;

/// The graph, folded, or with `all` of its steps.
pub fn dot(review: &Review<'_>, all: bool) -> String {
    let graph = if all {
        full(review)
    } else {
        let waves: Vec<_> =
            review.waves.iter().map(|wave| groups(review, wave, GROUPS_MAX)).collect();
        folded(review, &waves)
    };
    let mut out = String::new();
    write(&mut out, review, &graph, all).expect("BUG: a string takes every text");
    out
}

fn write(
    out: &mut String,
    review: &Review<'_>,
    graph: &Graph<'_>,
    by_machine: bool,
) -> std::fmt::Result {
    writeln!(out, "digraph plan {{")?;
    writeln!(out, "  label={};", quoted(&title(review, graph)))?;
    writeln!(out, "  labelloc=t; labeljust=l; fontname=\"sans-serif\"; fontsize=11;")?;
    writeln!(out, "  node [fontname=\"sans-serif\", fontsize=10, shape=box];")?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=9, arrowsize=0.7];")?;
    for (at, ((_, label), nodes)) in clusters(graph, by_machine).iter().enumerate() {
        let inside = !label.is_empty();
        if inside {
            writeln!(out, "  subgraph cluster_{at} {{")?;
            writeln!(out, "    label={}; style=dotted;", quoted(std::slice::from_ref(label)))?;
        }
        for at in nodes {
            let node = &graph.nodes[*at];
            let lines = match by_machine {
                true => vec![node.title.clone()],
                false => vec![node.title.clone(), node.detail.clone()],
            };
            writeln!(out, "    n{at} [label={}{}];", quoted(&lines), look(node.shape))?;
        }
        if inside {
            writeln!(out, "  }}")?;
        }
    }
    for link in &graph.drawn {
        let label =
            if link.edges > 1 { format!("label=\"{}\", ", link.edges) } else { String::new() };
        writeln!(out, "  n{} -> n{} [{label}style={}];", link.from, link.to, line(link.kind))?;
    }
    writeln!(out, "}}")
}

fn title(review: &Review<'_>, graph: &Graph<'_>) -> Vec<String> {
    let kinds = [Edge::Needs, Edge::Waits, Edge::Follows];
    let mut lines = vec![format!("Plan of {}", review.plan.script)];
    lines.push(format!("digest {}", review.digest));
    lines.extend(kinds.iter().map(|kind| format!("{} line: {}", line(*kind), meaning(*kind))));
    lines.push("hexagon: gate; octagon: irreversible; dashed box: only under a condition".into());
    lines.extend(graph.said.iter().cloned());
    lines
}

/// Of a folded graph one cluster per wave, else one per machine.
fn clusters(graph: &Graph<'_>, by_machine: bool) -> Clusters {
    let mut clusters = Clusters::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        let key = match (by_machine, node.machines.as_slice()) {
            (true, [machine]) => (1, machine.to_string()),
            (true, _) => (0, String::new()),
            (false, _) => (node.wave, format!("Wave {}", node.wave + 1)),
        };
        clusters.entry(key).or_default().push(at);
    }
    clusters
}

fn look(shape: Shape) -> &'static str {
    match shape {
        Shape::Step => "",
        Shape::Guarded => ", style=dashed",
        Shape::Irreversible => ", shape=doubleoctagon, penwidth=1.5",
        Shape::Gate => ", shape=hexagon",
        Shape::Barrier => ", style=rounded",
    }
}

fn line(kind: Edge) -> &'static str {
    match kind {
        Edge::Needs => "solid",
        Edge::Waits => "dashed",
        Edge::Follows => "dotted",
    }
}

/// A string of the language: in it `"` and `\` mean something, and nothing else does.
fn quoted(lines: &[String]) -> String {
    let mut out = String::from("\"");
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            out.push_str("\\n");
        }
        let long = line.chars().count() > LABEL_MAX + 20;
        for c in line.chars().take(if long { LABEL_MAX } else { usize::MAX }) {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_control() => out.push(' '),
                c => out.push(c),
            }
        }
        if long {
            out.push_str("..");
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::Sample;

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        let label = quoted(&["a\"]; evil [label=\"\\".into(), "b\n\u{7}c".into()]);
        assert_eq!(label, r#""a\"]; evil [label=\"\\\nb  c""#);
    }

    #[test]
    fn the_folded_and_the_whole_graph() {
        let sample = Sample::failback(&["db-01", "web-01", "web-02"]);
        insta::assert_snapshot!(dot(&sample.review(), false));
        let all = dot(&sample.review(), true);
        assert_eq!(all.matches(" [label=").count(), sample.plan.steps.len());
        assert_eq!(all.matches("subgraph").count(), 3, "one per machine");
    }
}
