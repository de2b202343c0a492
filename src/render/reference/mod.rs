//! The reference: primitives, facts and codes, from the tables that also bind, check and prove.
//!
//! One page, two ways to draw it: for a terminal, and as Markdown.

mod inventory;

use crate::base::units::show_seconds;
use crate::diagnostic::codes::{self, CodeText};
use crate::plan::facts::{FACTS, FactType};
use crate::plan::inventory::InventoryKey;
use crate::plan::policy::Policy;
use crate::plan::step::Reversibility;
use crate::primitives::spec::{COMMON_OPTIONS, Opt, OptType, Spec, Takes};
use crate::render::style::{Ink, Style};
use crate::render::table::Table;
use crate::trace::{FunctionDoc, PROPERTIES, WORDS};

/// One heading with what stands below it.
struct Section {
    heading: &'static str,
    body: Body,
}

/// What stands below a heading.
enum Body {
    Text(String),
    Script(String),
    Table(Table),
}

/// A page about one thing.
struct Page {
    title: String,
    sections: Vec<Section>,
}

/// `homing primitives`: one line each, then the machine's properties. Ends with a line break.
pub fn primitives<'a>(
    specs: impl IntoIterator<Item = &'a Spec>,
    library: &[FunctionDoc],
    style: Style,
) -> String {
    let topics: Vec<String> = topics().collect();
    let more = format!(
        "`homing primitives NAME` tells all of a primitive, a word or a function, and of a topic: {}. \
         `--markdown` prints everything.",
        topics.join(", ")
    );
    let more = style.fill("", "", &more);
    format!("{}\n{more}\n", overview(specs, library).text(style))
}

/// `homing primitives NAME`: all of one. Ends with a line break.
pub fn primitive(spec: &Spec, style: Style) -> String {
    page(spec).text(style)
}

/// `homing primitives --markdown`: all there is to know to write plans and to run them; `exits` are the
/// exit codes with their meanings, `keys` those of the inventory file. Ends with a line break.
pub fn markdown<'a>(
    specs: impl IntoIterator<Item = &'a Spec> + Clone,
    exits: &[(u8, &str)],
    library: &[FunctionDoc],
    keys: &[InventoryKey],
) -> String {
    let part = |title: &str| format!("# {title}\n");
    let keys = inventory::sections(keys).into_iter().filter_map(|section| match section.body {
        Body::Table(table) => Some(format!("### `{}`\n\n{}", section.heading, table.markdown())),
        Body::Text(_) | Body::Script(_) => None,
    });
    let tables = overview(specs.clone(), library).sections.into_iter().skip(1);
    let tables = tables.filter_map(|section| match section.body {
        Body::Table(table) => Some(format!("## {}\n\n{}", section.heading, table.markdown())),
        Body::Text(_) | Body::Script(_) => None,
    });
    let all: Vec<String> = [part("Writing and running plans"), MANUAL.to_owned()]
        .into_iter()
        .chain(keys)
        .chain([format!("## Exit codes\n\n{}", exit_codes(exits).markdown())])
        .chain(tables)
        .chain([part("Primitives"), primitives_table(specs.clone()).markdown()])
        .chain(specs.into_iter().map(|spec| page(spec).markdown()))
        .chain([part("Standard library")])
        .chain(documented(library).map(|function| function_page(function).markdown()))
        .chain([part("Codes"), codes_table(codes::all()).markdown()])
        .collect();
    all.join("\n")
}

/// How plans are written and run, by topic.
const MANUAL: &str = include_str!("manual.md");

/// What the manual says of, in its order: `order`, `failure`.
pub fn topics() -> impl Iterator<Item = String> {
    sections().map(|(heading, _)| heading.to_ascii_lowercase())
}

/// `homing primitives order`: one topic of the manual; the inventory's ends with its `keys`. Ends with a
/// line break.
pub fn topic(name: &str, keys: &[InventoryKey], style: Style) -> Option<String> {
    let (heading, text) = sections().find(|(heading, _)| heading.eq_ignore_ascii_case(name))?;
    let page = format!("{heading}\n\n{}\n", text.trim());
    if heading != INVENTORY {
        return Some(page);
    }
    let sections = inventory::sections(keys);
    Some(format!("{page}{}", Page { title: String::new(), sections }.text(style)))
}

/// The manual's last topic, behind which the keys stand.
const INVENTORY: &str = "Inventory";

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    MANUAL.split("## ").skip(1).filter_map(|section| section.split_once('\n'))
}

/// `homing primitives when`: a word of the language. Ends with a line break.
pub fn word(name: &str, style: Style) -> Option<String> {
    let word = WORDS.iter().find(|word| word.name == name)?;
    let body = Body::Text(word.doc.to_owned());
    let page = Page { title: word.usage.to_owned(), sections: vec![Section { heading: "", body }] };
    Some(page.text(style))
}

fn exit_codes(exits: &[(u8, &str)]) -> Table {
    let rows = exits.iter().map(|(code, meaning)| vec![code.to_string(), (*meaning).to_owned()]);
    Table { header: vec!["exit", "meaning"], rows: rows.collect(), amounts: &[] }
}

/// `homing explain H003`. Ends with a line break.
pub fn code(code: &CodeText, style: Style) -> String {
    let mut sections = vec![Section { heading: "", body: Body::Text(code.text.to_owned()) }];
    for (heading, script) in [("Wrong", code.wrong), ("Right", code.right)] {
        sections
            .extend(script.map(|text| Section { heading, body: Body::Script(text.to_owned()) }));
    }
    Page { title: format!("{}: {}", code.code, code.title), sections }.text(style)
}

/// `homing explain` without a code: all codes. Ends with a line break.
pub fn codes<'a>(codes: impl IntoIterator<Item = &'a CodeText>, style: Style) -> String {
    codes_table(codes).text(style)
}

fn codes_table<'a>(codes: impl IntoIterator<Item = &'a CodeText>) -> Table {
    let rows = codes.into_iter().map(|code| vec![code.code.to_owned(), code.title.to_owned()]);
    Table { header: vec!["code", "title"], rows: rows.collect(), amounts: &[] }
}

fn primitives_table<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Table {
    let row = |spec: &Spec| {
        vec![
            signature(spec),
            reversibility(spec.reversibility).to_owned(),
            summary(spec).to_owned(),
        ]
    };
    let header = vec!["primitive", "way back", "what it does"];
    Table { header, rows: specs.into_iter().map(row).collect(), amounts: &[] }
}

fn overview<'a>(specs: impl IntoIterator<Item = &'a Spec>, all: &[FunctionDoc]) -> Page {
    Page {
        title: "Primitives".to_owned(),
        sections: vec![
            Section { heading: "", body: Body::Table(primitives_table(specs)) },
            Section { heading: "Words of the language", body: Body::Table(words()) },
            Section { heading: "Properties of a machine", body: Body::Table(properties()) },
            Section { heading: "Standard library", body: Body::Table(library(all)) },
        ],
    }
}

fn words() -> Table {
    let rows = WORDS.iter().map(|word| vec![word.usage.to_owned(), word.doc.to_owned()]);
    Table { header: vec!["word", "what it does"], rows: rows.collect(), amounts: &[] }
}

/// Functions that say something of themselves: one with options says it where it is called without.
fn documented(all: &[FunctionDoc]) -> impl Iterator<Item = &FunctionDoc> {
    all.iter().filter(|function| !function.doc.starts_with("The same, with options"))
}

fn library(all: &[FunctionDoc]) -> Table {
    let rows = documented(all).map(|function| {
        let summary = function.doc.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        vec![function.module.clone(), function_usage(function), summary]
    });
    let header = vec!["module", "function", "what it does"];
    Table { header, rows: rows.collect(), amounts: &[] }
}

fn function_usage(function: &FunctionDoc) -> String {
    format!("{}({})", function.name, function.params.join(", "))
}

/// One function of the standard library.
pub fn function(function: &FunctionDoc, style: Style) -> String {
    function_page(function).text(style)
}

fn function_page(function: &FunctionDoc) -> Page {
    let title = format!("{}: {}", function.module, function_usage(function));
    let paragraphs: Vec<String> =
        function.doc.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
    let body = Body::Text(paragraphs.join("\n\n"));
    Page { title, sections: vec![Section { heading: "", body }] }
}

fn properties() -> Table {
    let rows = FACTS.iter().map(|fact| {
        let argument = if fact.takes_duration { "(duration)" } else { "" };
        let ty = match fact.ty {
            FactType::Bool => "bool",
            FactType::Int => "int",
            FactType::Text => "text",
        };
        vec![format!("m.{}{argument}", fact.name), ty.to_owned(), fact.doc.to_owned()]
    });
    let of_inventory = PROPERTIES
        .iter()
        .map(|(name, doc)| vec![format!("m.{name}"), "inventory".to_owned(), (*doc).to_owned()]);
    let header = vec!["property", "type", "what it says"];
    Table { header, rows: of_inventory.chain(rows).collect(), amounts: &[] }
}

fn page(spec: &Spec) -> Page {
    let text = |heading, text: String| Section { heading, body: Body::Text(text) };
    let table = |heading, table: Table| Section { heading, body: Body::Table(table) };
    let sections = vec![
        text("", spec.doc.to_owned()),
        Section { heading: "Example", body: Body::Script(spec.example.to_owned()) },
        table("Arguments", arguments(spec)),
        table("Options", options(spec.options)),
        table("Options of every step", options(COMMON_OPTIONS)),
        table("Outputs", outputs(spec)),
        text("Way back", reversibility(spec.reversibility).to_owned()),
        text("Tries", policy(&spec.policy, spec.timeout_is_stall)),
    ];
    let told = |section: &Section| match &section.body {
        Body::Table(table) => !table.rows.is_empty(),
        Body::Text(text) | Body::Script(text) => !text.is_empty(),
    };
    Page { title: signature(spec), sections: sections.into_iter().filter(told).collect() }
}

fn signature(spec: &Spec) -> String {
    let mut arguments: Vec<String> = spec
        .params
        .iter()
        .map(
            |param| {
                if param.optional { format!("[{}]", param.name) } else { param.name.to_owned() }
            },
        )
        .collect();
    if !spec.options.is_empty() {
        arguments.push("#{..}".to_owned());
    }
    format!("{}({})", spec.name, arguments.join(", "))
}

fn summary(spec: &Spec) -> &str {
    spec.doc.lines().next().unwrap_or_default()
}

fn arguments(spec: &Spec) -> Table {
    let rows = spec.params.iter().map(|param| {
        let name = if param.optional { format!("[{}]", param.name) } else { param.name.to_owned() };
        vec![name, takes(param.takes).to_owned(), param.doc.to_owned()]
    });
    Table { header: vec!["argument", "takes", "what it is"], rows: rows.collect(), amounts: &[] }
}

fn options(options: &[Opt]) -> Table {
    let rows = options.iter().map(|option| {
        let default = if option.required { "required" } else { option.default };
        vec![
            option.name.to_owned(),
            option_type(option.ty),
            default.to_owned(),
            option.doc.to_owned(),
        ]
    });
    let header = vec!["option", "type", "default", "what it does"];
    Table { header, rows: rows.collect(), amounts: &[] }
}

fn outputs(spec: &Spec) -> Table {
    let rows = spec
        .outputs
        .iter()
        .map(|output| vec![output.name.to_owned(), output.ty.to_owned(), output.doc.to_owned()]);
    Table { header: vec!["output", "type", "what it says"], rows: rows.collect(), amounts: &[] }
}

fn takes(takes: Takes) -> &'static str {
    match takes {
        Takes::Machine => "machine",
        Takes::Snapshot => "snapshot",
        Takes::MachineOrSnapshot => "machine or snapshot",
        Takes::Text => "text",
        Takes::Message => "message",
        Takes::Condition => "condition known at run time",
        Takes::Until => "condition on a check",
        Takes::Copy => "copy",
        Takes::MachineOrCopy => "machine or copy",
        Takes::Duration => "duration",
        Takes::Handles => "list of handles",
    }
}

fn option_type(ty: OptType) -> String {
    let word = match ty {
        OptType::OneOf(words) => return words.join(" or "),
        OptType::Int { min, max: i64::MAX } => return format!("int, {min} or more"),
        OptType::Int { min, max } => return format!("int, {min} to {max}"),
        OptType::Bool => "bool",
        OptType::Text => "text",
        OptType::Message => "message",
        OptType::TextMap => "map of texts",
        OptType::Texts => "list of texts",
        OptType::Name => "name",
        OptType::Duration => "duration",
        OptType::Size => "size",
        OptType::Rate => "rate",
        OptType::Host => "host",
        OptType::Key => "key of the inventory",
        OptType::Retry => "#{ attempts, first, max }",
    };
    word.to_owned()
}

fn reversibility(reversibility: Reversibility) -> &'static str {
    match reversibility {
        Reversibility::Reversible => "reversible",
        Reversibility::Compensable => "compensable",
        Reversibility::Irreversible => "IRREVERSIBLE",
    }
}

fn policy(policy: &Policy, timeout_is_stall: bool) -> String {
    let seconds = |ms: u64| show_seconds(ms as f64 / 1000.0);
    let tries = match policy.attempts {
        1 => "one try".to_owned(),
        n => format!(
            "{n} tries, {} to {} apart at most",
            seconds(policy.first_ms),
            seconds(policy.max_ms)
        ),
    };
    let limit = match policy.timeout_ms {
        None => "no time limit".to_owned(),
        Some(ms) if timeout_is_stall => format!("given up after {} without progress", seconds(ms)),
        Some(ms) => format!("given up after {}", seconds(ms)),
    };
    format!("{tries}; {limit}")
}

impl Page {
    fn text(&self, style: Style) -> String {
        let mut page = format!("{}\n", style.paint(Ink::Title, &self.title));
        for section in &self.sections {
            page.push_str(&style.heading(section.heading).replace("\n\n", "\n"));
            match &section.body {
                Body::Text(text) => {
                    for line in text.lines() {
                        page.push_str(&format!("{}\n", style.fill("  ", "  ", line).trim_end()));
                    }
                }
                Body::Script(script) => page.push_str(&indented(script, "    ")),
                Body::Table(table) => page.push_str(&table.text(style)),
            }
        }
        page
    }

    fn markdown(&self) -> String {
        let mut page = format!("## `{}`\n", self.title);
        for section in &self.sections {
            if !section.heading.is_empty() {
                page.push_str(&format!("\n### {}\n", section.heading));
            }
            page.push_str(&match &section.body {
                Body::Text(text) => format!("\n{}\n", text.trim_end()),
                Body::Script(script) => format!("\n```rhai\n{}\n```\n", script.trim_end()),
                Body::Table(table) => format!("\n{}", table.markdown()),
            });
        }
        page
    }
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{}\n", format!("{by}{line}").trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::step::Kind;
    use crate::primitives::spec::{Output, Param, Yields};

    static SPEC: Spec = Spec {
        name: "polish",
        doc: "Polishes a machine until it shines.\n\nThe machine keeps running meanwhile.",
        kind: Kind::Act,
        params: &[Param {
            name: "m",
            takes: Takes::Machine,
            optional: false,
            doc: "the machine to polish",
        }],
        options: &[
            Opt {
                name: "cloth",
                ty: OptType::OneOf(&["wool", "silk"]),
                default: "wool",
                required: false,
                doc: "what to polish with; silk takes longer but leaves fewer marks on old machines",
            },
            Opt {
                name: "rounds",
                ty: OptType::Int { min: 1, max: 9 },
                default: "",
                required: true,
                doc: "how often",
            },
        ],
        outputs: &[Output { name: "shine", ty: "int", doc: "how bright it is" }],
        yields: Yields::Step,
        reversibility: Reversibility::Compensable,
        policy: Policy { attempts: 3, first_ms: 1000, max_ms: 60_000, timeout_ms: Some(300_000) },
        timeout_is_stall: true,
        optional: false,
        example: "polish(vm(\"web-01\"), #{ rounds: 2 });",
    };

    fn shine() -> FunctionDoc {
        FunctionDoc {
            module: "std/polish".into(),
            name: "shine".into(),
            params: vec!["m".into()],
            doc: "Shines it.".into(),
        }
    }

    const KEY: InventoryKey = InventoryKey {
        table: "[site.NAME]",
        name: "bandwidth",
        takes: "rate",
        default: "none",
        doc: "how fast",
    };

    #[test]
    fn topics_are_sections_of_the_manual() {
        let topics: Vec<String> = topics().collect();
        assert_eq!(topics[..3], ["script", "machines", "order"]);
        let topic = |name| topic(name, &[KEY], Style::PLAIN);
        assert!(topic("Order").unwrap().starts_with("Order\n\nSteps on the same machine"));
        assert!(topic("chaos").is_none());
        assert!(topic("inventory").unwrap().contains(" bandwidth  rate"));
        assert_eq!(topics.last().unwrap(), "inventory", "its keys stand behind the manual");
        assert!(word("vms", Style::PLAIN).unwrap().contains("sorted by name"));
    }

    #[test]
    fn a_primitive_is_explained_from_its_spec() {
        insta::assert_snapshot!(primitive(&SPEC, Style::PLAIN));
    }

    #[test]
    fn the_overview_lists_primitives_and_properties() {
        let shown = primitives([&SPEC], &[shine()], Style::PLAIN);
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        for part in ["polish(m, #{..})", "std/polish", "m.away_over(duration)", "vms(", "order"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn markdown_holds_the_same() {
        let shown = markdown([&SPEC], &[(0, "succeeded")], &[shine()], &[KEY]);
        for part in [
            "## Order\n",
            "| 0    | succeeded |",
            "### `[site.NAME]`\n",
            "| bandwidth | rate",
            "## Properties of a machine\n",
            "## `polish(m, #{..})`\n",
            "| rounds | int, 1 to 9",
            "## `std/polish: shine(m)`\n\nShines it.",
            "| H003 |",
        ] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }

    #[test]
    fn a_code_is_explained_with_wrong_and_right() {
        let explained = CodeText {
            code: "H003",
            title: "dirty boot",
            text: "A path starts a machine from a replica whose transfer may not have finished.",
            wrong: Some("start_onprem_vm(m);\n"),
            right: Some("transfer_delta(m);\nstart_onprem_vm(m);"),
        };
        insta::assert_snapshot!(code(&explained, Style::PLAIN));
    }
}
