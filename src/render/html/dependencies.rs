//! What waits for what, drawn. The places of nodes and the ways of lines are a library's; it counts in
//! cells of text, so a node is so many characters wide and so many lines high.

use ascii_dag::ir::{EdgePath, LayoutEdge, LayoutIR, LayoutNode};
use ascii_dag::{CustomNode, LayoutConfig};
use maud::{Markup, html};

use crate::plan::settle::Edge;
use crate::render::fold::count;
use crate::render::graph::{Graph, Link, Node, Shape, folded, meaning};
use crate::render::html::drawing::{fitted, px};
use crate::render::html::{Page, scroll};

/// A cell of text, in units of the drawing.
const CELL: (f64, f64) = (7.6, 13.0);
/// A node, in cells.
const NODE: (usize, usize) = (25, 3);
/// Most characters of a line in a node: its corners may be cut.
const CHARS_MAX: usize = 22;
/// How far the corners of a gate or an irreversible step are cut.
const CUT: f64 = 12.0;
/// What stands around the drawing.
const MARGIN: f64 = 12.0;

/// The section.
pub fn dependencies(page: &Page<'_, '_>) -> Markup {
    let graph = folded(page.review, &page.waves);
    if graph.nodes.is_empty() {
        return html! { p { "No step." } };
    }
    html! {
        p { "Time runs downwards: what stands below a line waits for what stands above it. Every node leads to its step." }
        @if !graph.said.is_empty() { p .folded { (sentence(&graph.said)) } }
        (legend())
        (scroll("Dependency graph", &drawing(page, &graph)))
        (table(page, &graph))
    }
}

/// `Machines that do the same are drawn as one; 3 lines left out. The table has every line.`
fn sentence(said: &[String]) -> String {
    let text = said.join("; ");
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}. The table below has every line.", letters.as_str())
}

fn legend() -> Markup {
    let shapes = [
        (Shape::Step, "step"),
        (Shape::Irreversible, "irreversible"),
        (Shape::Gate, "gate: a person answers"),
        (Shape::Guarded, "only under a condition, or after a failure"),
        (Shape::Barrier, "no machine, or many steps"),
    ];
    html! {
        ul .legend {
            @for (shape, meaning) in shapes {
                li { svg width="40" height="20" aria-hidden="true" { (outline(shape, 2.0, 2.0, 36.0, 16.0, 5.0)) } " " (meaning) }
            }
            @for kind in [Edge::Needs, Edge::Waits, Edge::Follows] {
                li { svg width="40" height="20" aria-hidden="true" { line .link .(class(kind)) x1="1" y1="10" x2="39" y2="10" {} } " " (meaning(kind)) }
            }
        }
    }
}

fn class(kind: Edge) -> &'static str {
    match kind {
        Edge::Needs => "needs",
        Edge::Waits => "waits",
        Edge::Follows => "follows",
    }
}

fn drawing(page: &Page<'_, '_>, graph: &Graph<'_>) -> Markup {
    let mut laid = ascii_dag::Graph::new();
    for at in 0..graph.nodes.len() {
        let (width, height) = NODE;
        laid.add_node(at, CustomNode { label: "", width, height, painter: None, payload: "" });
    }
    for link in &graph.drawn {
        laid.add_edge(link.from, link.to, None);
    }
    let mut config = LayoutConfig::standard();
    (config.skip_validation, config.level_spacing, config.node_spacing) = (true, 1, 4);
    let layout = laid.compute_layout_with_config(&config);
    let (width, height) = extent(&layout);
    let tops = tops(&layout);
    html! {
        svg .graph role="img" aria-labelledby="graph-name graph-text" width=(px(width)) height=(px(height))
            viewBox={ "0 0 " (px(width)) " " (px(height)) } {
            title id="graph-name" { "Dependency graph of " (page.review.plan.script) }
            desc id="graph-text" {
                (count(graph.nodes.len(), "node")) " and " (count(graph.drawn.len(), "line"))
                "; the table below the drawing has the same and the lines left out."
            }
            defs {
                marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto" {
                    path .arrow d="M0 0.5 L8 4 L0 7.5 z" {}
                }
            }
            @for (line, link) in layout.edges().iter().zip(by_edge(&layout, graph)) {
                path .link .(class(link.kind)) marker-end="url(#arrow)" d=(way(&layout, &tops, line)) {}
            }
            @for place in layout.nodes() {
                @if let Some(node) = graph.nodes.get(place.id) { (self::node(page, node, place)) }
            }
        }
    }
}

/// The link of each line, in the order of the lines.
fn by_edge(layout: &LayoutIR<'_>, graph: &Graph<'_>) -> Vec<Link> {
    let link = |line: &LayoutEdge<'_>| {
        let ends = (line.from_id, line.to_id);
        let at = graph.drawn.binary_search_by_key(&ends, |link| (link.from, link.to));
        graph.drawn[at.expect("BUG: a line without a link")]
    };
    layout.edges().iter().map(link).collect()
}

fn extent(layout: &LayoutIR<'_>) -> (f64, f64) {
    let right = layout.nodes().iter().map(|node| node.x + node.width).max().unwrap_or(0);
    let bottom = layout.nodes().iter().map(|node| node.y + node.height).max().unwrap_or(0);
    let lines = layout.edges().iter().flat_map(|line| waypoints(line).iter().map(|(x, _)| *x + 2));
    let right = lines.max().unwrap_or(0).max(right);
    (x(right) + MARGIN, y(bottom) + MARGIN)
}

fn x(cells: usize) -> f64 {
    MARGIN + cells as f64 * CELL.0
}

fn y(cells: usize) -> f64 {
    MARGIN + cells as f64 * CELL.1
}

fn waypoints<'l>(line: &'l LayoutEdge<'_>) -> &'l [(usize, usize)] {
    match &line.path {
        EdgePath::MultiSegment { waypoints, .. } => waypoints,
        _ => &[],
    }
}

/// The upper edge of each level, in cells.
fn tops(layout: &LayoutIR<'_>) -> Vec<usize> {
    let mut tops = vec![usize::MAX; layout.level_count()];
    layout.nodes().iter().for_each(|node| tops[node.level] = tops[node.level].min(node.y));
    tops
}

/// The way of a line: straight past the nodes of a level, curved between levels. A waypoint says in which
/// column it passes the levels from the one before on, and the row below the last of them.
fn way(layout: &LayoutIR<'_>, tops: &[usize], line: &LayoutEdge<'_>) -> String {
    let mut level = layout.node_by_id(line.from_id).map_or(0, |node| node.level) + 1;
    let mut at = (x(line.from_x), y(line.from_y + 1));
    let mut path = format!("M{} {}", px(at.0), px(at.1));
    for (column, below) in waypoints(line) {
        let to = (x(*column), y(tops.get(level).copied().unwrap_or(*below)));
        path.push_str(&curve(at, to));
        at = (to.0, y(*below).max(to.1));
        path.push_str(&format!(" L{} {}", px(at.0), px(at.1)));
        level = tops.iter().position(|top| top >= below).unwrap_or(tops.len());
    }
    path.push_str(&curve(at, (x(line.to_x), y(line.to_y))));
    path
}

fn curve(from: (f64, f64), to: (f64, f64)) -> String {
    if (from.0 - to.0).abs() < 0.05 {
        return format!(" L{} {}", px(to.0), px(to.1));
    }
    let middle = f64::midpoint(from.1, to.1);
    let [a, b, m] = [px(from.0), px(to.0), px(middle)];
    format!(" C{a} {m} {b} {m} {b} {}", px(to.1))
}

fn node(page: &Page<'_, '_>, node: &Node<'_>, place: &LayoutNode<'_>) -> Markup {
    let (left, top) = (x(place.x), y(place.y));
    let (width, height) = (NODE.0 as f64 * CELL.0, NODE.1 as f64 * CELL.1);
    let middle = px(left + width / 2.0);
    let href = page.links.step(page.review, node.steps[0]);
    html! {
        // The drawing is one picture; by keyboard the table below it leads to the same steps.
        a href={ "#" (href) } tabindex="-1" {
            title { (node.title) @if !node.detail.is_empty() { ", " (node.detail) } ", wave " (node.wave + 1) }
            (outline(node.shape, left, top, width, height, CUT))
            text .title text-anchor="middle" x=(middle) y=(px(top + 16.0)) { (fitted(&node.title, CHARS_MAX)) }
            text .detail text-anchor="middle" x=(middle) y=(px(top + 30.0)) { (fitted(&node.detail, CHARS_MAX + 2)) }
        }
    }
}

/// The shape of a node: it says without colour what the node is.
fn outline(shape: Shape, left: f64, top: f64, width: f64, height: f64, cut: f64) -> Markup {
    let (right, bottom, middle) = (left + width, top + height, top + height / 2.0);
    let points = |points: &[(f64, f64)]| {
        let points: Vec<String> =
            points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
        points.join(" ")
    };
    let octagon = |in_: f64| {
        let (l, r, t, b) = (left + in_, right - in_, top + in_, bottom - in_);
        let c = cut * 0.7;
        points(&[
            (l + c, t),
            (r - c, t),
            (r, t + c),
            (r, b - c),
            (r - c, b),
            (l + c, b),
            (l, b - c),
            (l, t + c),
        ])
    };
    let rect = |class: &str, round: f64| {
        html! {
            rect .node .(class) x=(px(left)) y=(px(top)) width=(px(width)) height=(px(height)) rx=(px(round)) {}
        }
    };
    match shape {
        Shape::Step => rect("step", 2.0),
        Shape::Guarded => rect("guarded", 2.0),
        Shape::Barrier => rect("barrier", height / 2.0),
        Shape::Gate => {
            let all = [
                (left, middle),
                (left + cut, top),
                (right - cut, top),
                (right, middle),
                (right - cut, bottom),
                (left + cut, bottom),
            ];
            html! { polygon .node .ask points=(points(&all)) {} }
        }
        Shape::Irreversible => html! {
            polygon .node .final points=(octagon(0.0)) {}
            polygon .node .inner points=(octagon(3.0)) {}
        },
    }
}

/// The same as a table: for those who do not look, and for paper.
fn table(page: &Page<'_, '_>, graph: &Graph<'_>) -> Markup {
    let into = graph.into_each();
    let name = |node: &Node<'_>| {
        html! {
            a href={ "#" (page.links.step(page.review, node.steps[0])) } { (node.title) }
            @if !node.detail.is_empty() { " (" (node.detail) ")" }
        }
    };
    let inner = html! {
        table {
            caption { "The graph as a table" }
            thead { tr { th scope="col" { "Wave" } th scope="col" { "Step" } th scope="col" { "Waits for" } } }
            tbody {
                @for (node, links) in graph.nodes.iter().zip(&into) {
                    tr {
                        td { (node.wave + 1) }
                        th scope="row" { (name(node)) }
                        td {
                            @if links.is_empty() { "nothing" }
                            @for link in links { div { (meaning(link.kind)) ": " (name(&graph.nodes[link.from])) } }
                        }
                    }
                }
            }
        }
    };
    html! { details { summary { "The graph as a table" } (scroll("The graph as a table", &inner)) } }
}
