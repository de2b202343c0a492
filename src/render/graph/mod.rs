//! The dependency graph, small enough to read: machines that do the same are one node per step, and where
//! that is still too much a node stands for more.

pub mod dot;

use foldhash::{HashMap, HashMapExt};

use crate::base::MachineName;
use crate::plan::settle::Edge;
use crate::plan::step::{Kind, Reversibility, Step, StepIx};
use crate::render::Review;
use crate::render::fold::{count, counted};
use crate::render::steps::{Group, groups, short_id};

/// Nodes that a person can still look at.
pub const NODES_MAX: usize = 240;
/// And links between them.
const LINKS_MAX: usize = 600;
/// Primitives that are named in the title of a node of many steps.
const NAMED_MAX: usize = 4;

/// How machines were folded.
const SAME: &str = "machines that do the same are drawn as one";
const SAME_LINES: &str =
    "machines that run the same lines of the script are drawn as one, their details may differ";

/// What is drawn.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    /// In the order written; no link leads backwards.
    pub nodes: Vec<Node<'a>>,
    /// Sorted by their ends; at most one between two nodes.
    pub links: Vec<Link>,
    /// Those that are drawn: the others follow from them.
    pub drawn: Vec<Link>,
    /// What was folded, in sentences.
    pub said: Vec<String>,
}

/// Steps that are drawn as one.
#[derive(Debug)]
pub struct Node<'a> {
    /// The first one stands for all.
    pub steps: Vec<StepIx>,
    /// Whose steps they are.
    pub machines: Vec<&'a MachineName>,
    /// What they are.
    pub title: String,
    /// Whose they are, in few words.
    pub detail: String,
    /// What they look like.
    pub shape: Shape,
    /// The wave of the first, counted from 0.
    pub wave: usize,
}

/// What a node looks like, without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A step.
    Step,
    /// A step that is done only under a condition, or where something failed.
    Guarded,
    /// A step that nothing takes back.
    Irreversible,
    /// A person is asked.
    Gate,
    /// A step without a machine, or several steps: what others wait at.
    Barrier,
}

/// Steps of one node that wait for steps of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The earlier node.
    pub from: usize,
    /// The later one.
    pub to: usize,
    /// How it waits; the strictest where there are several.
    pub kind: Edge,
    /// How many edges of the plan it stands for.
    pub edges: usize,
}

/// What a link means, in words.
pub fn meaning(kind: Edge) -> &'static str {
    match kind {
        Edge::Needs => "needs its success",
        Edge::Waits => "waits until it is settled",
        Edge::Follows => "follows, whatever came of it",
    }
}

/// A node before it has a title.
struct Draft<'a> {
    steps: Vec<StepIx>,
    machines: Vec<&'a MachineName>,
    wave: usize,
}

/// How the groups of the waves become nodes.
type Way<'a> = fn(&[Vec<Group<'a>>]) -> Vec<Draft<'a>>;

/// The plan, folded as little as lets a person look at it. `waves` are its groups, wave by wave.
pub fn folded<'a>(review: &Review<'a>, waves: &[Vec<Group<'a>>]) -> Graph<'a> {
    let fits = |graph: &Graph<'_>| graph.nodes.len() <= NODES_MAX && graph.links.len() <= LINKS_MAX;
    let nodes: usize = waves.iter().flatten().map(|group| group.steps().len()).sum();
    if nodes <= NODES_MAX {
        let rough = waves.iter().flatten().any(|group| group.roughly);
        let graph = Graph::of(review, by_step(waves), if rough { SAME_LINES } else { SAME });
        if fits(&graph) {
            return graph;
        }
    }
    let rough: Vec<Vec<Group<'a>>> =
        review.waves.iter().map(|wave| groups(review, wave, 0)).collect();
    let ways: [(Way<'a>, &str); 3] = [
        (by_step, SAME_LINES),
        (
            by_group,
            "all steps of a machine in one wave are drawn as one, machines of the same lines too",
        ),
        (by_wave, "all steps of one wave are drawn as one; gates stand by themselves"),
    ];
    for (way, said) in ways {
        let drafts = way(&rough);
        if drafts.len() <= NODES_MAX {
            let graph = Graph::of(review, drafts, said);
            if fits(&graph) {
                return graph;
            }
        }
    }
    Graph::of(review, by_waves(&rough), "several waves are drawn as one, gates in them too")
}

/// Every step by itself.
pub fn full<'a>(review: &Review<'a>) -> Graph<'a> {
    let mut drafts: Vec<Draft<'a>> = Vec::with_capacity(review.plan.steps.len());
    for (wave, steps) in review.waves.iter().enumerate() {
        drafts.extend(steps.iter().map(|ix| {
            let machine = review.plan.step(*ix).machine.as_ref();
            Draft { steps: vec![*ix], machines: machine.into_iter().collect(), wave }
        }));
    }
    Graph::of(review, drafts, "")
}

fn by_step<'a>(waves: &[Vec<Group<'a>>]) -> Vec<Draft<'a>> {
    let mut drafts = Vec::new();
    for (wave, group) in numbered(waves) {
        drafts.extend((0..group.steps().len()).map(|at| {
            let steps = group.chains.iter().map(|chain| chain[at]).collect();
            Draft { steps, machines: group.machines.clone(), wave }
        }));
    }
    drafts
}

fn by_group<'a>(waves: &[Vec<Group<'a>>]) -> Vec<Draft<'a>> {
    let draft = |(wave, group): (usize, &Group<'a>)| Draft {
        steps: group.chains.concat(),
        machines: group.machines.clone(),
        wave,
    };
    numbered(waves).map(draft).collect()
}

/// Machines together; steps without a machine by themselves.
fn by_wave<'a>(waves: &[Vec<Group<'a>>]) -> Vec<Draft<'a>> {
    let mut drafts: Vec<Draft<'a>> = Vec::new();
    for (wave, groups) in waves.iter().enumerate() {
        let (ours, alone): (Vec<_>, Vec<_>) =
            groups.iter().partition(|group| !group.machines.is_empty());
        drafts.extend(merged(ours.into_iter().map(|group| (wave, group))));
        drafts.extend(alone.into_iter().filter_map(|group| merged([(wave, group)].into_iter())));
    }
    drafts
}

fn by_waves<'a>(waves: &[Vec<Group<'a>>]) -> Vec<Draft<'a>> {
    let together = waves.len().div_ceil(NODES_MAX).max(1);
    let runs = waves.chunks(together).enumerate();
    let draft = |(at, run): (usize, &[Vec<Group<'a>>])| {
        merged(run.iter().flatten().map(|group| (at * together, group)))
    };
    runs.filter_map(draft).collect()
}

fn merged<'a: 'g, 'g>(groups: impl Iterator<Item = (usize, &'g Group<'a>)>) -> Option<Draft<'a>> {
    groups.fold(None, |draft, (wave, group)| {
        let empty = Draft { steps: Vec::new(), machines: Vec::new(), wave };
        let mut draft = draft.unwrap_or(empty);
        draft.steps.extend(group.chains.iter().flatten());
        draft.machines.extend(&group.machines);
        Some(draft)
    })
}

fn numbered<'a, 'g>(waves: &'g [Vec<Group<'a>>]) -> impl Iterator<Item = (usize, &'g Group<'a>)> {
    let groups = waves.iter().enumerate();
    groups.flat_map(|(wave, groups)| groups.iter().map(move |group| (wave, group)))
}

impl<'a> Graph<'a> {
    fn of(review: &Review<'a>, mut drafts: Vec<Draft<'a>>, how: &str) -> Graph<'a> {
        drafts.sort_by_key(|draft| draft.steps.first().copied());
        let nodes: Vec<Node<'a>> = drafts.into_iter().map(|draft| node(review, draft)).collect();
        let (links, inside) = links(review, &nodes);
        let drawn =
            if nodes.len() <= NODES_MAX { implied_left_out(&links, &nodes) } else { links.clone() };
        let mut said = Vec::new();
        let steps = review.plan.steps.len();
        if nodes.len() < steps {
            said.push(format!("{how}: {} in {}", count(steps, "step"), count(nodes.len(), "node")));
        }
        if inside > 0 {
            said.push(format!(
                "{} between machines that are drawn as one left out",
                count(inside, "dependency").replace("dependencys", "dependencies")
            ));
        }
        let left_out = links.len() - drawn.len();
        if left_out > 0 {
            said.push(format!("{} that follow from others left out", count(left_out, "line")));
        }
        Graph { nodes, links, drawn, said }
    }

    /// The links into each node, in order.
    pub fn into_each(&self) -> Vec<Vec<Link>> {
        let mut into = vec![Vec::new(); self.nodes.len()];
        for link in &self.links {
            into[link.to].push(*link);
        }
        into
    }
}

/// The links, and how many edges between different machines they leave out.
fn links(review: &Review<'_>, nodes: &[Node<'_>]) -> (Vec<Link>, usize) {
    let mut node_of = vec![0; review.plan.steps.len()];
    for (at, node) in nodes.iter().enumerate() {
        node.steps.iter().for_each(|ix| node_of[ix.at()] = at);
    }
    let mut found: HashMap<(usize, usize), (Edge, usize)> = HashMap::new();
    let mut inside = 0;
    for (ix, step) in review.plan.iter() {
        let to = node_of[ix.at()];
        for (before, kind) in step.edges() {
            let from = node_of[before.at()];
            if from < to {
                let link = found.entry((from, to)).or_insert((kind, 0));
                link.0 = strictest(link.0, kind);
                link.1 += 1;
            } else if review.plan.step(before).machine != step.machine {
                inside += 1;
            }
        }
    }
    let link = |((from, to), (kind, edges))| Link { from, to, kind, edges };
    let mut links: Vec<Link> = found.into_iter().map(link).collect();
    links.sort_unstable_by_key(|link| (link.from, link.to));
    (links, inside)
}

/// The links that do not follow from others: an order from any chain of orders, success from a chain that
/// does not lead through what is done only sometimes.
fn implied_left_out(links: &[Link], nodes: &[Node<'_>]) -> Vec<Link> {
    let sometimes = |at: usize| nodes[at].shape == Shape::Guarded;
    let mut out: Vec<Vec<Link>> = vec![Vec::new(); nodes.len()];
    links.iter().for_each(|link| out[link.from].push(*link));
    let leads =
        |link: &Link, always: bool| !always || (link.kind != Edge::Follows && !sometimes(link.to));
    let reached = [false, true].map(|always| {
        let mut reached = vec![vec![false; nodes.len()]; nodes.len()];
        // Later nodes first: no link leads backwards.
        for from in (0..nodes.len()).rev() {
            let (head, tail) = reached.split_at_mut(from + 1);
            for link in out[from].iter().filter(|link| !always || link.kind != Edge::Follows) {
                head[from][link.to] = true;
                if leads(link, always) {
                    let later = &tail[link.to - from - 1];
                    head[from].iter_mut().zip(later).for_each(|(mine, theirs)| *mine |= theirs);
                }
            }
        }
        reached
    });
    let implied = |link: &Link| {
        let always = link.kind != Edge::Follows;
        let others = out[link.from].iter().filter(|other| other.to != link.to);
        let mut others = others.filter(|other| leads(other, always));
        others.any(|other| reached[usize::from(always)][other.to][link.to])
    };
    links.iter().filter(|link| !implied(link)).copied().collect()
}

fn strictest(a: Edge, b: Edge) -> Edge {
    match (a, b) {
        (Edge::Needs, _) | (_, Edge::Needs) => Edge::Needs,
        (Edge::Waits, _) | (_, Edge::Waits) => Edge::Waits,
        (Edge::Follows, Edge::Follows) => Edge::Follows,
    }
}

fn node<'a>(review: &Review<'a>, draft: Draft<'a>) -> Node<'a> {
    let Draft { steps, machines, wave } = draft;
    let first = steps.first().copied().unwrap_or(StepIx(0));
    let one = steps.len() <= machines.len().max(1);
    let names: Vec<&str> = machines.iter().map(|machine| machine.as_str()).collect();
    let detail = match names.as_slice() {
        [] if one => kind(review.plan.step(first)).to_owned(),
        [] => String::new(),
        names => counted(names),
    };
    let (title, shape) = if one {
        (short_id(review, first), shape(review, first))
    } else {
        let irreversible =
            |ix: &StepIx| review.plan.step(*ix).reversibility == Reversibility::Irreversible;
        let shape =
            if steps.iter().any(irreversible) { Shape::Irreversible } else { Shape::Barrier };
        (many(review, &steps), shape)
    };
    Node { steps, machines, title, detail, shape, wave }
}

/// What a step without a machine is.
fn kind(step: &Step) -> &'static str {
    match step.kind {
        Kind::Gate => "gate: a person answers",
        Kind::Barrier => "barrier",
        Kind::Timer => "wait",
        Kind::Notify => "notification",
        Kind::Act | Kind::Poll => "no machine",
    }
}

/// `40 steps: snapshot, transfer_delta`.
fn many(review: &Review<'_>, steps: &[StepIx]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for ix in steps {
        let name = review.plan.step(*ix).primitive;
        if names.len() > NAMED_MAX {
            break;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > NAMED_MAX {
        names[NAMED_MAX] = "..";
    }
    format!("{}: {}", count(steps.len(), "step"), names.join(", "))
}

fn shape(review: &Review<'_>, ix: StepIx) -> Shape {
    let step = review.plan.step(ix);
    match (step.kind, step.reversibility) {
        (Kind::Gate, _) => Shape::Gate,
        (_, Reversibility::Irreversible) => Shape::Irreversible,
        _ if !review.plan.guards(step).is_empty() => Shape::Guarded,
        _ if step.machine.is_none() => Shape::Barrier,
        _ => Shape::Step,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{Sample, many as names};

    fn failback(count: usize) -> Sample {
        let names = names(count);
        Sample::failback(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn waves<'a>(review: &Review<'a>) -> Vec<Vec<Group<'a>>> {
        review.waves.iter().map(|wave| groups(review, wave, 40)).collect()
    }

    #[test]
    fn machines_alike_are_one_node_per_step_and_every_step_is_in_one() {
        for count in [1, 3, 500] {
            let sample = failback(count);
            let review = sample.review();
            let graph = folded(&review, &waves(&review));
            assert_eq!(graph.nodes.len(), 10, "two gates and eight steps");
            let mut all: Vec<StepIx> =
                graph.nodes.iter().flat_map(|node| node.steps.clone()).collect();
            all.sort_unstable();
            assert!(all.iter().copied().eq(review.plan.iter().map(|(ix, _)| ix)));
            assert!(graph.links.iter().all(|link| link.from < link.to));
            assert_eq!(graph.said[0].contains("drawn as one"), count > 1, "{:?}", graph.said);
        }
    }

    #[test]
    fn gates_and_irreversible_steps_have_their_shapes() {
        let sample = failback(3);
        let review = sample.review();
        let graph = folded(&review, &waves(&review));
        let of = |title: &str| graph.nodes.iter().find(|node| node.title == title).unwrap();
        assert_eq!(of("complete").shape, Shape::Gate);
        assert_eq!(of("commit.1").shape, Shape::Irreversible);
        assert_eq!(of("commit.1").detail, "3: web-{001..003}");
        let waits = graph.links.iter().filter(|link| link.kind == Edge::Waits);
        assert_eq!(waits.map(|link| link.edges).max(), Some(3), "one edge for each machine");
    }

    #[test]
    fn machines_that_all_differ_still_fit() {
        let mut sample = failback(300);
        // Every machine at a line of its own: nothing is alike but by wave.
        for (at, step) in sample.plan.steps.iter_mut().enumerate() {
            let mut origin = (*step.origin).clone();
            origin.at.line = u32::try_from(at).unwrap();
            step.origin = std::sync::Arc::new(origin);
        }
        let review = sample.review();
        let graph = folded(&review, &waves(&review));
        assert_eq!(graph.nodes.len(), 5, "three waves of machines and two gates");
        assert!(graph.said[0].starts_with("all steps of one wave are drawn as one"));
        assert_eq!(graph.nodes[4].shape, Shape::Irreversible);
        assert_eq!(full(&review).nodes.len(), review.plan.steps.len());
    }

    #[test]
    fn many_waves_are_drawn_together() {
        let mut sample = failback(1);
        let steps = sample.plan.steps.clone();
        sample.waves = Vec::new();
        sample.plan.steps.clear();
        for at in 0..600_u32 {
            sample.plan.steps.push(Step {
                needs: Vec::new(),
                waits: Vec::new(),
                ..steps[2].clone()
            });
            sample.waves.push(vec![StepIx(at)]);
        }
        sample.sentences = vec!["ask".to_owned(); 600];
        let review = sample.review();
        assert_eq!(folded(&review, &waves(&review)).nodes.len(), 200);
    }
}
