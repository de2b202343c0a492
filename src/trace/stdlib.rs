//! The standard library: scripts that are part of homing, what they are helped with, and their docs.

#![expect(clippy::needless_pass_by_value, reason = "the interpreter passes arguments by value")]

use include_dir::{Dir, include_dir};
use rhai::{Array, Engine, FnAccess, ImmutableString, Map, NativeCallContext};

use crate::base::units::{parse_duration, parse_size};
use crate::diagnostic::Diagnostic;
use crate::trace::literal;
use crate::trace::recorder::{Answer, Desk};
use crate::trace::sources::Part;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/stdlib");

/// What its modules are called by.
pub(super) const PREFIX: &str = "std/";

/// The text of a module by its whole name, `std/failback`.
pub(super) fn text(module: &str) -> Option<&'static str> {
    FILES.get_file(format!("{module}.rhai"))?.contents_utf8()
}

/// All modules, sorted.
pub fn modules() -> Vec<String> {
    let files = FILES.dirs().flat_map(Dir::files);
    let mut names: Vec<String> =
        files.map(|file| file.path().with_extension("").display().to_string()).collect();
    names.sort();
    names
}

/// One function of the standard library, for the reference.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FunctionDoc {
    /// `std/failback`.
    pub module: String,
    /// `planned`.
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<String>,
    /// Its doc comment; Markdown.
    pub doc: String,
}

/// Every public function of the standard library.
pub fn stdlib_docs() -> Vec<FunctionDoc> {
    let mut engine = Engine::new_raw();
    // Our own text is no stranger's: without limits, whose defaults depend on how homing was built.
    engine.set_max_expr_depths(0, 0);
    let of_module = |module: String| {
        let text = text(&module).expect("BUG: a listed module has a text");
        let ast = engine.compile(text).expect("BUG: the standard library parses");
        // A closure is a function without a name of its own to call it by.
        let named = ast.iter_functions().filter(|function| !function.name.contains('$'));
        let public = named.filter(|function| function.access == FnAccess::Public);
        let docs: Vec<FunctionDoc> = public
            .map(|function| FunctionDoc {
                module: module.clone(),
                name: function.name.to_owned(),
                params: function.params.iter().map(|&param| param.to_owned()).collect(),
                doc: doc_text(&function.comments),
            })
            .collect();
        docs
    };
    let mut docs: Vec<FunctionDoc> = modules().into_iter().flat_map(of_module).collect();
    docs.sort_by(|a, b| {
        (&a.module, &a.name, a.params.len()).cmp(&(&b.module, &b.name, b.params.len()))
    });
    docs
}

fn doc_text(comments: &[&str]) -> String {
    let lines = comments.iter().flat_map(|comment| comment.lines());
    let lines = lines.map(|line| line.trim_start_matches('/').trim_start_matches(' '));
    lines.collect::<Vec<_>>().join("\n")
}

/// Binds what the library is helped with.
pub(super) fn bind(engine: &mut Engine) {
    engine.register_fn("longer", longer);
    engine.register_fn("options", options).register_fn("size", size).register_fn(
        "pick",
        |given: Map, names: Array| {
            let wanted: Vec<ImmutableString> = names.iter().filter_map(literal::text).collect();
            let mut given = given;
            given.retain(|key, value| !value.is_unit() && wanted.iter().any(|name| name == key));
            given
        },
    );
}

/// Two durations together: `longer("30m", "5m")`.
fn longer(
    ctx: NativeCallContext<'_>,
    one: ImmutableString,
    more: ImmutableString,
) -> Answer<ImmutableString> {
    let sum = || -> Result<_, String> {
        let one = parse_duration(&one).map_err(|wrong| wrong.to_string())?;
        let more = parse_duration(&more).map_err(|wrong| wrong.to_string())?;
        Ok(format!("{}ms", (one + more).as_millis()).into())
    };
    sum().or_else(|wrong| {
        let mistake = Diagnostic::error("H117", wrong);
        Desk::of(&ctx).open().refuse(&ctx, Part::Whole, mistake)
    })
}

/// How many bytes a text like `64MiB` is.
fn size(ctx: NativeCallContext<'_>, text: ImmutableString) -> Answer<i64> {
    let bytes = parse_size(&text).map_err(|wrong| wrong.to_string());
    let small = |bytes: u64| i64::try_from(bytes).map_err(|_| format!("`{text}` is too large"));
    bytes.and_then(small).or_else(|wrong| {
        let mistake = Diagnostic::error("H117", wrong);
        Desk::of(&ctx).open().refuse(&ctx, Part::Whole, mistake)
    })
}

/// The options of a library function with its defaults filled in. A default that is a list of texts
/// names all that are allowed, the first one holds; `()` takes anything.
fn options(
    ctx: NativeCallContext<'_>,
    function: ImmutableString,
    given: Map,
    defaults: Map,
) -> Answer<Map> {
    let desk = Desk::of(&ctx);
    let recorder = &mut *desk.open();
    let known: Vec<&str> = defaults.keys().map(rhai::Identifier::as_str).collect();
    let mut chosen = Map::new();
    for (key, default) in &defaults {
        let first = default.as_array_ref().ok().and_then(|words| words.first().cloned());
        chosen.insert(key.clone(), first.unwrap_or_else(|| default.clone()));
    }
    for (key, value) in given {
        let Some(default) = defaults.get(&key) else {
            let mistake = literal::unknown_option(&function, &key, &known);
            recorder.say(&ctx, Part::Key(&key), mistake);
            continue;
        };
        let wanted = match default.as_array_ref() {
            Ok(words) if !words.iter().any(|word| literal::text(word) == literal::text(&value)) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                Some(words.join(" or "))
            }
            Err(_) if !default.is_unit() && default.type_id() != value.type_id() => {
                Some(literal::kind(&ctx, default))
            }
            _ => None,
        };
        match wanted {
            Some(wanted) => {
                let found = literal::show(&ctx, &value);
                let message = format!("`{key}` of `{function}` must be {wanted}, and is {found}");
                recorder.say(&ctx, Part::Value(&key), Diagnostic::error("H117", message));
            }
            None => {
                chosen.insert(key, value);
            }
        }
    }
    Ok(chosen)
}
