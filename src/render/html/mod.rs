//! The review as one page of HTML for a change board: no script, no network, readable on paper, by
//! keyboard and by ear.
//!
//! In: a [`Review`] and the texts that its steps were written in. Out: one string, the same for the same
//! plan. Every section is a file; what is folded says so.

mod dependencies;
mod drawing;
mod links;
mod machines;
mod proof;
mod script;
mod steps;
mod summary;
mod timeline;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::render::Review;
use crate::render::html::links::Links;
use crate::render::steps::{Group, groups};
use crate::source::Texts;

const STYLE: &str = include_str!("style.css");
/// Different sequences in one wave before only the shape decides what is alike.
const GROUPS_MAX: usize = 40;

/// A section: its anchor, its title, its content.
type Section = (&'static str, &'static str, fn(&Page<'_, '_>) -> Markup);

/// The page, top to bottom.
const SECTIONS: &[Section] = &[
    ("summary", "Summary", summary::summary),
    ("machines", "Machines and their downtime", machines::machines),
    ("timeline", "Timeline", timeline::timeline),
    ("graph", "What waits for what", dependencies::dependencies),
    ("steps", "Every step", steps::steps),
    ("script", "Script", script::script),
    ("facts", "Facts it rests on", proof::facts),
    ("rules", "Rules checked", proof::rules),
];

/// What every section draws from.
struct Page<'r, 'a> {
    review: &'r Review<'a>,
    texts: &'r Texts,
    /// Machines that do the same, wave by wave.
    waves: Vec<Vec<Group<'a>>>,
    links: Links<'a>,
}

/// The whole review as one page. `texts` are those that were read while compiling.
pub fn html(review: &Review<'_>, texts: &Texts) -> String {
    let waves: Vec<Vec<Group<'_>>> =
        review.waves.iter().map(|wave| groups(review, wave, GROUPS_MAX)).collect();
    let links = Links::new(review, texts, &waves);
    let page = Page { review, texts, waves, links };
    let title = format!("Plan of {}", review.plan.script);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a .skip href="#main" { "Skip to the plan" }
                header {
                    h1 { (title) }
                    (digest(&page))
                }
                nav aria-label="Sections" {
                    ul { @for (id, title, _) in SECTIONS { li { a href={ "#" (id) } { (title) } } } }
                }
                main id="main" {
                    @for (id, title, content) in SECTIONS {
                        section id=(id) aria-labelledby={ (id) "-title" } {
                            h2 id={ (id) "-title" } { (title) }
                            (content(&page))
                        }
                    }
                }
                footer { (digest(&page)) }
            }
        }
    };
    markup.into_string()
}

fn digest(page: &Page<'_, '_>) -> Markup {
    html! {
        p .digest { span .label { "Digest" } " " code { (page.review.digest.as_str()) } }
    }
}

/// What may be wider than the page: it scrolls by itself, also by keyboard.
fn scroll(label: &str, inner: &Markup) -> Markup {
    html! { div .scroll tabindex="0" role="region" aria-label=(label) { (inner) } }
}

/// All names, folded where they count up, and in full where that leaves some unsaid.
fn names(all: &[&str]) -> Markup {
    let folded = crate::render::fold::all_names(all.iter().copied());
    html! { span .names { (folded) } }
}

#[cfg(test)]
mod tests;
