//! The house rules that a machine can check: imports go down the floors, rooms keep to their trade,
//! files and functions stay small, nothing outside the catalogue names a primitive or a provider.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Top floor to ground floor. A room may import only rooms to its right.
const FLOORS: &[&str] = &[
    "cli",
    "config",
    "watch",
    "report",
    "render",
    "rehearse",
    "execute",
    "observe",
    "compile",
    "schedule",
    "verify",
    "trace",
    "journal",
    "primitives",
    "sites",
    "transfer",
    "run",
    "plan",
    "diagnostic",
    "source",
    "base",
];

/// What a room must not touch: token sequences, and who alone may use them.
const BANNED: &[(&str, &[&str], &str)] = &[
    ("rhai", &["trace"], "only trace knows Rhai"),
    ("clap", &["cli"], "only cli knows argv"),
    ("ExitCode", &["cli", "main"], "only cli knows exit codes"),
    ("rusqlite", &["journal"], "only the journal knows its store"),
    (
        "std :: fs",
        &["cli", "config", "watch", "journal", "sites", "transfer"],
        "no I/O on this floor",
    ),
    ("std :: process", &["cli", "main", "sites", "primitives"], "no processes on this floor"),
    (
        "Timestamp :: now",
        &["cli", "execute", "observe", "sites", "journal"],
        "no clock on this floor: pass the time in",
    ),
    (
        "tokio",
        &["cli", "watch", "rehearse", "execute", "observe", "journal", "sites", "primitives"],
        "no waiting on this floor",
    ),
    ("println", &["cli", "report"], "only the entrance and the reporters speak"),
    ("eprintln", &["cli", "report"], "only the entrance and the reporters speak"),
];

/// Lines of a file, its tests left out.
const FILE_LINES_MAX: usize = 500;
/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// No file is called after what it is rather than what it is about.
const EMPTY_NAMES: &[&str] = &["errors", "utils", "util", "helpers", "types", "imp", "common"];

/// A file of tests beside what they test, where a module at its end would be longer than the code.
const TESTS: &str = "tests";

struct Source {
    path: PathBuf,
    room: String,
    text: String,
    /// Without tests.
    code: String,
    tokens: Vec<TokenTree>,
}

#[test]
fn imports_go_down_the_floors() {
    let mut wrong = Vec::new();
    for source in sources() {
        let from = floor(&source.room);
        for room in rooms_named(&source.tokens) {
            match FLOORS.iter().position(|floor| *floor == room) {
                None => wrong.push(format!("{}: `crate::{room}` is no room", source.at())),
                Some(to) if from.is_some_and(|from| to < from) => {
                    wrong.push(format!("{}: looks up to `{room}`", source.at()));
                }
                Some(_) => {}
            }
        }
        for banned in ["crate :: {", "super :: super"] {
            if flat(&source.tokens).contains(banned) {
                wrong.push(format!("{}: write the whole path, not `{banned}`", source.at()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn rooms_keep_to_their_trade() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code = format!(" {} ", flat(&source.tokens));
        for (sequence, rooms, why) in BANNED {
            if code.contains(&format!(" {sequence} ")) && !rooms.contains(&source.room.as_str()) {
                wrong.push(format!("{}: `{sequence}`: {why}", source.at()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_room_is_on_a_floor_and_has_a_door_sign() {
    let mut wrong = Vec::new();
    for source in sources() {
        if floor(&source.room).is_none() && !["lib", "main"].contains(&source.room.as_str()) {
            wrong.push(format!("{}: `{}` is on no floor", source.at(), source.room));
        }
        if !source.text.starts_with("//! ") {
            wrong.push(format!("{}: no door sign (`//!`)", source.at()));
        }
        if EMPTY_NAMES.contains(&source.stem()) {
            wrong.push(format!("{}: a name that says nothing", source.at()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.code.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines, {FILE_LINES_MAX} at most", source.at()));
        }
        let mut functions = Vec::new();
        functions_of(&source.tokens, &mut functions);
        for (name, line, lines) in functions {
            if lines > FUNCTION_LINES_MAX {
                let at = source.at();
                wrong.push(format!(
                    "{at}:{line}: `{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most"
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn nothing_outside_the_catalogue_names_a_primitive_or_a_provider() {
    let primitives = primitives();
    let mut providers: BTreeSet<String> = folders("sites");
    // Sites in memory are in no inventory: whoever rehearses has to know them.
    providers.remove("model");
    let mut wrong = Vec::new();
    for source in sources() {
        let code = flat(&source.tokens);
        let strings: BTreeSet<String> = strings_of(&source.tokens);
        for name in primitives.iter().filter(|_| source.room != "primitives") {
            // One-word names are also plain words of English; the long ones are not.
            let named = name.contains('_') && strings.contains(name);
            if named || code.contains(&format!("primitives :: {name} ")) {
                wrong.push(format!("{}: names the primitive `{name}`", source.at()));
            }
        }
        for name in providers.iter().filter(|_| source.room != "sites") {
            if strings.contains(name) || code.contains(&format!("sites :: {name} ")) {
                wrong.push(format!("{}: names the provider `{name}`", source.at()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_file_of_the_catalogue_is_a_registered_primitive_that_explains_itself() {
    let files = primitives();
    let specs = homing::primitives::ALL.iter().map(|primitive| primitive.spec());
    let registered: BTreeSet<String> = specs.clone().map(|spec| spec.name.to_owned()).collect();
    assert_eq!(files, registered, "one file per primitive, one line of the registry per file");
    for spec in specs {
        let words = |text: &str| text.chars().any(char::is_alphabetic);
        assert!(words(spec.doc), "{}: no doc", spec.name);
        assert!(spec.example.contains(&format!("{}(", spec.name)), "{}: no example", spec.name);
        for option in spec.options {
            assert!(words(option.doc), "{}: option `{}` has no doc", spec.name, option.name);
        }
        for param in spec.params {
            assert!(words(param.doc), "{}: argument `{}` has no doc", spec.name, param.name);
        }
    }
}

impl Source {
    fn at(&self) -> String {
        self.path.display().to_string()
    }

    fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).expect("a UTF-8 name")
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == room)
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("src"), &mut files);
    let sources: Vec<_> = files.iter().map(|file| read(root, file)).collect();
    assert!(sources.len() > 10, "the walk found the sources");
    sources
}

fn read(root: &Path, file: &Path) -> Source {
    let path = file.strip_prefix(root).expect("below the root").to_owned();
    let inside = path.strip_prefix("src").expect("in src");
    let first = inside.iter().next().and_then(|part| part.to_str()).expect("a UTF-8 name");
    let room = first.trim_end_matches(".rs").to_owned();
    let text = fs::read_to_string(file).expect("a readable source");
    let is_tests = file.file_stem().is_some_and(|stem| stem == TESTS);
    let code = if is_tests { "" } else { text.split("#[cfg(test)]").next().unwrap_or_default() };
    let code = code.to_owned();
    let stream: TokenStream = code.parse().unwrap_or_else(|error| {
        panic!("{}: tests go last in a file, after all code: {error}", path.display())
    });
    Source { path, room, text, code, tokens: stream.into_iter().collect() }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The files that stand directly in the catalogue's room, but for its door, contract and spec.
fn primitives() -> BTreeSet<String> {
    let room = Path::new("src/primitives");
    let of_room = sources().into_iter().filter(|source| source.path.parent() == Some(room));
    let stems = of_room.map(|source| source.stem().to_owned());
    stems.filter(|stem| !["mod", "contract", "spec"].contains(&stem.as_str())).collect()
}

fn folders(room: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    let entries =
        fs::read_dir(folder).expect("a room").map(|entry| entry.expect("an entry").path());
    let names = entries.filter(|path| path.is_dir());
    names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
}

/// Every `X` in `crate :: X`, at any depth.
fn rooms_named(tokens: &[TokenTree]) -> BTreeSet<String> {
    let flat = flat(tokens);
    let words: Vec<&str> = flat.split(' ').collect();
    let paths = words.windows(3).filter(|w| w[0] == "crate" && w[1] == "::");
    paths.map(|w| w[2].to_owned()).filter(|word| word != "{").collect()
}

/// All tokens as words with one space between, `::` in one piece.
fn flat(tokens: &[TokenTree]) -> String {
    let mut words = Vec::new();
    flatten(tokens, &mut words);
    words.join(" ").replace(": :", "::")
}

fn flatten(tokens: &[TokenTree], words: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                words.push(open.to_owned());
                flatten(&group.stream().into_iter().collect::<Vec<_>>(), words);
                words.push(close.to_owned());
            }
            TokenTree::Literal(_) => words.push("literal".to_owned()),
            other => words.push(other.to_string()),
        }
    }
}

fn strings_of(tokens: &[TokenTree]) -> BTreeSet<String> {
    let mut strings = BTreeSet::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                strings.extend(strings_of(&group.stream().into_iter().collect::<Vec<_>>()));
            }
            TokenTree::Literal(literal) => {
                strings.insert(literal.to_string().trim_matches('"').to_owned());
            }
            _ => {}
        }
    }
    strings
}

/// Name, first line and number of lines of every function.
fn functions_of(tokens: &[TokenTree], found: &mut Vec<(String, usize, usize)>) {
    let mut current: Option<(String, usize)> = None;
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "fn" => {
                if let Some(TokenTree::Ident(name)) = tokens.peek() {
                    current = Some((name.to_string(), word.span().start().line));
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => current = None,
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Brace
                    && let Some((name, first)) = current.take()
                {
                    let last = group.span_close().end().line;
                    found.push((name, first, last + 1 - first));
                }
                functions_of(&group.stream().into_iter().collect::<Vec<_>>(), found);
            }
            _ => {}
        }
    }
}
