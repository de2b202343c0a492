//! Every step, wave by wave; machines that do the same once, with all their names.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::base::MachineName;
use crate::base::units::show_seconds;
use crate::plan::estimate::StepEstimate;
use crate::plan::expr::described;
use crate::plan::scope::{ScopeIx, ScopeKind};
use crate::plan::settle::Edge;
use crate::plan::step::{Kind, Reversibility, Step, StepIx, handle_from_json};
use crate::render::fold::{all_names, count, counted};
use crate::render::html::Page;
use crate::render::html::summary::step as link;
use crate::render::steps::{Group, Line, lines, nameless, short_id};
use crate::render::{told, words};

/// More waves than this begin closed.
const OPEN_MAX: usize = 8;
/// Most names before a list of them begins closed.
const NAMES_OPEN_MAX: usize = 60;
/// Scopes deeper than this are not indented any more.
const DEPTH_MAX: usize = 4;
/// Most kinds of step that one step is said to wait for.
const BEFORE_MAX: usize = 12;

/// The section.
pub fn steps(page: &Page<'_, '_>) -> Markup {
    let open = page.waves.len() <= OPEN_MAX;
    let ways_back = ways_back(page);
    html! {
        p { "A wave ends where everything after it waits: at a gate or a barrier. Machines that do the same are shown once; "
            code { "<machine>" } " stands for each of their names." }
        @for (at, groups) in page.waves.iter().enumerate() {
            details .wave id={ "wave-" (at + 1) } open[open] {
                summary { h3 { "Wave " (at + 1) } " " span .muted { (wave_in_words(groups)) } }
                @for (number, group) in groups.iter().enumerate() {
                    (self::group(page, group, &format!("group-{}-{}", at + 1, number + 1), &ways_back))
                }
            }
        }
    }
}

fn wave_in_words(groups: &[Group<'_>]) -> String {
    let machines: usize = groups.iter().map(|group| group.machines.len()).sum();
    let steps: usize = groups.iter().map(|group| group.steps().len() * group.chains.len()).sum();
    match machines {
        0 => count(steps, "step"),
        _ => format!("{} of {}", count(steps, "step"), count(machines, "machine")),
    }
}

fn group(page: &Page<'_, '_>, group: &Group<'_>, id: &str, ways_back: &WaysBack) -> Markup {
    let machines: Vec<&str> = group.machines.iter().map(|machine| machine.as_str()).collect();
    let title = match machines.as_slice() {
        [] => alone(page.review.plan.step(group.steps()[0])).to_owned(),
        [only] => (*only).to_owned(),
        all => {
            format!("{} machines: {}", all.len(), crate::render::fold::names(all.iter().copied()))
        }
    };
    html! {
        article id=(id) aria-labelledby={ (id) "-title" } {
            h4 id={ (id) "-title" } { (title) }
            @if title.contains("{") || title.ends_with(" more") {
                details .names open[machines.len() <= NAMES_OPEN_MAX] {
                    summary { "All " (machines.len()) " names" }
                    p { (machines.join(", ")) }
                }
            }
            @if let [first, _, ..] = machines.as_slice() {
                @if group.roughly { p .folded { "They run the same lines of the script; details (sizes, hosts, what they wait for) are those of " (first) "." } }
            }
            @for line in lines(page.review, group.steps()) {
                @match line {
                    Line::Scope(depth, text) => p .scope .(indent(depth)) { (of_all(group, &text)) },
                    Line::Step(depth, ix) => (step(page, group, ix, depth, ways_back)),
                }
            }
        }
    }
}

/// The title of a step without a machine.
fn alone(step: &Step) -> &'static str {
    match step.kind {
        Kind::Gate => "Gate: a person answers",
        Kind::Barrier => "Barrier",
        Kind::Timer => "Wait",
        Kind::Notify => "Notification",
        Kind::Act | Kind::Poll => "Without a machine",
    }
}

fn indent(depth: usize) -> &'static str {
    ["in-0", "in-1", "in-2", "in-3", "in-4"][depth.min(DEPTH_MAX)]
}

/// A text about one machine as one about all of the group.
fn of_all(group: &Group<'_>, text: &str) -> String {
    match group.machines.as_slice() {
        [first, _, ..] => nameless(text, Some(first)),
        _ => text.to_owned(),
    }
}

fn step(
    page: &Page<'_, '_>,
    group: &Group<'_>,
    ix: StepIx,
    depth: usize,
    ways_back: &WaysBack,
) -> Markup {
    let review = page.review;
    let step = review.plan.step(ix);
    let sentence = of_all(group, review.sentence(ix));
    html! {
        div .step .(indent(depth)) .irreversible[step.reversibility == Reversibility::Irreversible]
            .gate[step.kind == Kind::Gate] id={ "step-" (step.id.as_str()) } {
            p .what {
                code .id title=(step.id.as_str()) { (short_id(review, ix)) } " " (sentence)
                @if step.reversibility == Reversibility::Irreversible { " " span .tag .danger { "IRREVERSIBLE" } }
                @if step.kind == Kind::Gate { " " span .tag { "GATE" } }
                @if step.optional { " " span .tag { "MAY FAIL" } }
                @if group.chains.len() > 1 { " " span .tag { "× " (group.chains.len()) } }
            }
            dl {
                @if step.kind == Kind::Gate {
                    (field("Open for", &html! { (step.policy.timeout_ms.map_or("without limit".to_owned(), |ms| show_seconds(ms as f64 / 1000.0))) }))
                } @else {
                    (field("Takes", &html! { (takes(page, group, ix)) }))
                    (field("Tried", &html! { (words::policy(step)) }))
                    (field("Way back", &html! { (reversible(step)) }))
                }
                (way_back(page, group, ix, ways_back))
                (guards(page, group, step))
                (options(group, step))
                (waits_for(page, group, ix))
                (field("Script", &origin(page, step)))
            }
        }
    }
}

fn field(term: &str, inner: &Markup) -> Markup {
    html! { div { dt { (term) } dd { (inner) } } }
}

/// How a step is taken back.
fn reversible(step: &Step) -> &'static str {
    match step.reversibility {
        Reversibility::Reversible => "not needed: harmless, or simply done again",
        Reversibility::Compensable => "another step takes it back",
        Reversibility::Irreversible => "NONE",
    }
}

/// How long a step takes, of all machines of the group.
fn takes(page: &Page<'_, '_>, group: &Group<'_>, ix: StepIx) -> String {
    let place = group.steps().iter().position(|at| *at == ix).unwrap_or(0);
    let of = |ix: StepIx| page.review.estimates.steps.get(ix.at()).copied().unwrap_or_default();
    let all: Vec<StepEstimate> = group.chains.iter().map(|chain| of(chain[place])).collect();
    let bound = |value: fn(&StepEstimate) -> f64, of: fn(f64, f64) -> f64| {
        all.iter().map(value).reduce(of).unwrap_or(0.0)
    };
    let least = show_seconds(bound(|one| one.seconds, f64::min));
    let most = show_seconds(bound(|one| one.seconds, f64::max));
    let slow = show_seconds(bound(|one| one.slow_s, f64::max));
    let mut text = if least == most { least } else { format!("{least} to {most}") };
    if slow != most {
        text.push_str(&format!(", nine times of ten no longer than {slow}"));
    }
    let mut bases: Vec<String> = all.iter().map(|one| told::basis(one.basis)).collect();
    bases.sort_unstable();
    bases.dedup();
    if all.iter().all(|one| one.start_s.is_none()) {
        text.push_str("; not counted: left out where all goes well");
    }
    match bases.len() {
        0..=2 => format!("{text} ({})", bases.join(", ")),
        _ => format!("{text} (partly from earlier runs)"),
    }
}

/// The steps of handlers, by the attempt that they answer for.
type WaysBack = BTreeMap<ScopeIx, Vec<(StepIx, StepIx)>>;

fn ways_back(page: &Page<'_, '_>) -> WaysBack {
    let mut ways = WaysBack::new();
    for scope in &page.review.plan.scopes {
        if let ScopeKind::Handler { of } = scope.kind {
            ways.entry(of).or_default().push((scope.first, scope.end));
        }
    }
    ways
}

fn way_back(page: &Page<'_, '_>, group: &Group<'_>, ix: StepIx, ways: &WaysBack) -> Markup {
    let plan = page.review.plan;
    let step = plan.step(ix);
    let attempt = plan.attempts_around(step.scope).next();
    let ranges = attempt.and_then(|(scope, _)| ways.get(&scope)).into_iter().flatten();
    let ours = |at: &StepIx| {
        let machine = plan.step(*at).machine.as_ref();
        machine.is_none() || step.machine.is_none() || machine == step.machine.as_ref()
    };
    let steps: Vec<StepIx> = ranges
        .flat_map(|(first, end)| (first.0..end.0).map(StepIx))
        .filter(ours)
        .take(BEFORE_MAX)
        .collect();
    html! {
        @if !steps.is_empty() {
            (field("If it fails", &html! { @for at in &steps { (shown(page, group, *at)) " " } }))
        }
        @if let Some(undone) = step.undoes {
            (field("Takes back", &html! { (shown(page, group, undone)) ", if that was begun" }))
        }
    }
}

/// A step of each machine of the group by its short id; any other in full.
fn shown(page: &Page<'_, '_>, group: &Group<'_>, ix: StepIx) -> Markup {
    let step = page.review.plan.step(ix);
    let ours =
        step.machine.as_ref().is_some_and(|machine| group.machines.first() == Some(&machine));
    html! {
        @if ours {
            a href={ "#" (page.links.step(page.review, ix)) } { code { (short_id(page.review, ix)) } }
        } @else {
            (link(page, ix))
        }
    }
}

fn guards(page: &Page<'_, '_>, group: &Group<'_>, step: &Step) -> Markup {
    let plan = page.review.plan;
    let around = plan.outwards(step.scope).filter_map(|(ix, scope)| {
        let name = scope.group_name().map(|name| format!("in group “{name}”"));
        words::matters(plan, ix).or(name)
    });
    let mut texts: Vec<String> = around.map(|text| of_all(group, &text)).collect();
    texts.reverse();
    html! { @if !texts.is_empty() { (field("Scope", &html! { (texts.join("; ")) })) } }
}

fn options(group: &Group<'_>, step: &Step) -> Markup {
    let args = step.args.json();
    let args = described(&args);
    let own = args.as_object().into_iter().flatten();
    let own: Vec<String> = own
        .filter(|(_, value)| handle_from_json(value).is_none())
        .map(|(name, value)| of_all(group, &format!("{name}: {value}")))
        .collect();
    html! {
        @if !own.is_empty() {
            (field("Options", &html! { @for option in &own { code .option { (option) } " " } }))
        }
    }
}

/// What it waits for, by what that is: all machines of one kind of step together.
fn waits_for(page: &Page<'_, '_>, group: &Group<'_>, ix: StepIx) -> Markup {
    let plan = page.review.plan;
    let mut kinds: BTreeMap<(u8, StepIx), (Edge, Vec<StepIx>)> = BTreeMap::new();
    for (before, kind) in plan.step(ix).edges() {
        let first = page.links.first(before);
        let order = match kind {
            Edge::Needs => 0,
            Edge::Waits => 1,
            Edge::Follows => 2,
        };
        kinds.entry((order, first)).or_insert_with(|| (kind, Vec::new())).1.push(before);
    }
    let hidden = kinds.len().saturating_sub(BEFORE_MAX);
    let inner = html! {
        @if kinds.is_empty() { "nothing: it may begin at once" }
        @for ((_, first), (kind, steps)) in kinds.iter().take(BEFORE_MAX) {
            div {
                (before(*kind)) " "
                @match steps.as_slice() {
                    [only] => (shown(page, group, *only)),
                    _ => (several(page, *first, steps)),
                }
            }
        }
        @if hidden > 0 { div { "and " (hidden) " more kinds of step" } }
    };
    field("Waits for", &inner)
}

/// How it waits, before the name of what it waits for.
fn before(kind: Edge) -> &'static str {
    match kind {
        Edge::Needs => "success of",
        Edge::Waits => "end of",
        Edge::Follows => "end, whatever came of it, of",
    }
}

fn several(page: &Page<'_, '_>, first: StepIx, steps: &[StepIx]) -> Markup {
    let machines = steps.iter().filter_map(|ix| page.review.plan.step(*ix).machine.as_ref());
    let machines: Vec<&str> = machines.map(MachineName::as_str).collect();
    html! {
        a href={ "#" (page.links.step(page.review, first)) } { code { (short_id(page.review, first)) } }
        " of " (counted(&machines))
    }
}

fn origin(page: &Page<'_, '_>, step: &Step) -> Markup {
    html! {
        (page.links.place(&step.origin.at))
        @for via in step.origin.via.iter() { " › " (page.links.place(via)) }
    }
}

/// Steps that a line of the script makes, in few words: `snapshot.1 × 3`.
pub fn made(page: &Page<'_, '_>, steps: &[(StepIx, usize)], most: usize) -> Markup {
    let hidden = steps.len().saturating_sub(most);
    html! {
        @for (ix, machines) in steps.iter().take(most) {
            a href={ "#" (page.links.step(page.review, *ix)) } {
                (short_id(page.review, *ix)) @if *machines > 1 { " × " (machines) }
            }
            " "
        }
        @if hidden > 0 { span .muted { "and " (hidden) " more" } }
    }
}

/// All names of a list of subjects.
pub fn subjects(all: &[&str]) -> String {
    match all {
        [only] => (*only).to_owned(),
        all => format!("{}: {}", all.len(), all_names(all.iter().copied())),
    }
}
