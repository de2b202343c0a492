//! Scripts and their imports. All of them are read and parsed before anything is evaluated: a missing,
//! forbidden or circular import is found whether or not the line is ever reached.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use rhai::{
    AST, ASTNode, Engine, EvalAltResult, Expr, GlobalRuntimeState, ImmutableString, Module,
    Position, Scope, Shared, Stmt,
};

use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{Unreadable, World};
use crate::trace::engine::MODULES_MAX;
use crate::trace::look;
use crate::trace::recorder::{Desk, stop};
use crate::trace::sources::{LINES_MAX, Part};
use crate::trace::stdlib;
use crate::trace::{mistakes, unseen};

/// A parsed file by its key: its path below the plan's folder without `.rhai`, or `std/..`.
pub(super) type Shelf = BTreeMap<String, AST>;

/// The module that a file means by a name; by the file's key and that name.
pub(super) type Aliases = BTreeMap<(String, String), String>;

/// Reads scripts, and what they import.
pub(super) struct Loader<'a> {
    pub(super) engine: &'a Engine,
    pub(super) world: &'a dyn World,
    pub(super) desk: &'a Desk,
    /// Names that functions of scripts must not have.
    pub(super) reserved: &'a [&'static str],
    pub(super) shelf: Shelf,
    pub(super) aliases: Aliases,
    pub(super) files: BTreeSet<Utf8PathBuf>,
    /// Files being loaded, each imported by the one before it.
    pub(super) loading: Vec<String>,
}

/// One `import`.
struct Import {
    path: Option<ImmutableString>,
    /// What it is called in the importing file.
    alias: ImmutableString,
    at: Position,
}

impl Loader<'_> {
    /// Reads the script itself. Its key, when it could be read and parsed.
    pub(super) fn script(&mut self, path: &Utf8Path) -> Option<String> {
        let of_library = stdlib::text(path.as_str());
        let key = path.as_str().strip_suffix(".rhai").unwrap_or(path.as_str()).to_owned();
        let (text, name) = match of_library {
            Some(text) => (text.to_owned(), key.clone()),
            None => match self.world.read(path) {
                Ok(text) => {
                    self.files.insert(path.to_owned());
                    (text, self.world.show(path))
                }
                Err(why) => {
                    let mistake =
                        Diagnostic::error("H150", format!("cannot read the script: {why}"));
                    let mistake = if path.as_str().starts_with(stdlib::PREFIX) {
                        mistake.help(format!(
                            "the standard library has {}",
                            stdlib::modules().join(", ")
                        ))
                    } else {
                        mistake.help("name a script that exists; `homing init` writes a first one")
                    };
                    self.desk.open().push(mistake);
                    return None;
                }
            },
        };
        self.load(&key, &name, &text, of_library.is_none(), None)
    }

    /// Parses one file, and everything it imports.
    fn load(
        &mut self,
        key: &str,
        name: &str,
        text: &str,
        of_user: bool,
        from: Option<Position>,
    ) -> Option<String> {
        let padded = self.desk.open().sources.add(name, key, text, of_user);
        let Some(padded) = padded else {
            let message = format!(
                "`{name}` and what it imports have more than {LINES_MAX} lines, or a line is as long"
            );
            let help = "make lists of machines with tags and `vms(..)` instead of writing them out";
            self.say(from, Diagnostic::error("H140", message).help(help));
            return None;
        };
        if let Some((at, unseen)) = unseen::find(text.strip_prefix('\u{FEFF}').unwrap_or(text)) {
            let mut recorder = self.desk.open();
            let mut mistake = mistakes::unseen(unseen);
            mistake.at = recorder.sources.newest(at);
            recorder.push(mistake);
            return None;
        }
        let mut ast = match self.engine.compile(&padded) {
            Ok(ast) => ast,
            Err(error) => {
                let mut recorder = self.desk.open();
                let mistake = mistakes::of_parser(&recorder, &error);
                recorder.push(mistake);
                return None;
            }
        };
        ast.set_source(name);
        look::for_conditions(&mut self.desk.open(), &ast);
        if of_user {
            look::over(&mut self.desk.open(), &ast, key, self.reserved);
        }
        self.loading.push(key.to_owned());
        let mut whole = true;
        for import in imports(&ast) {
            whole &= self.import(key, &import).is_some();
        }
        self.loading.pop();
        self.shelf.insert(key.to_owned(), ast);
        whole.then(|| key.to_owned())
    }

    fn import(&mut self, importer: &str, import: &Import) -> Option<()> {
        let Some(path) = &import.path else {
            let mistake =
                Diagnostic::error("H123", "an import must name its module as a plain text");
            self.say(Some(import.at), mistake.help("write `import \"std/failback\" as failback;`"));
            return None;
        };
        let key = match resolve(importer, path) {
            Ok(key) if import.alias.is_empty() => key,
            Ok(key) => {
                let name = (importer.to_owned(), import.alias.to_string());
                let before = self.aliases.insert(name, key.clone());
                if let Some(other) = before.filter(|other| *other != key) {
                    let message = format!("`{}` means \"{other}\" in this file", import.alias);
                    let mistake = Diagnostic::error("H123", message);
                    self.say(Some(import.at), mistake.help("give each module a name of its own"));
                    return None;
                }
                key
            }
            Err(mistake) => {
                self.say(Some(import.at), *mistake);
                return None;
            }
        };
        if self.loading.contains(&key) {
            let circle = self.loading.iter().skip_while(|loading| **loading != key);
            let circle: Vec<&str> = circle.map(String::as_str).chain([key.as_str()]).collect();
            let message = format!("circular import: {}", circle.join(" -> "));
            let help = "move what both need into a third file";
            self.say(Some(import.at), Diagnostic::error("H122", message).help(help));
            return None;
        }
        if self.shelf.contains_key(&key) {
            return Some(());
        }
        if self.shelf.len() + self.loading.len() >= MODULES_MAX {
            let message = format!("more than {MODULES_MAX} files");
            self.say(Some(import.at), Diagnostic::error("H140", message));
            return None;
        }
        let (text, name, of_user) = self.text(&key, path, import.at)?;
        self.load(&key, &name, &text, of_user, Some(import.at)).map(drop)
    }

    fn text(&mut self, key: &str, path: &str, at: Position) -> Option<(String, String, bool)> {
        if key.starts_with(stdlib::PREFIX) {
            let text = stdlib::text(key);
            if text.is_none() {
                let known = stdlib::modules();
                let close = did_you_mean(key, known.iter().map(String::as_str));
                let help = close.map_or_else(
                    || format!("there are {}", known.join(", ")),
                    |close| format!("did you mean \"{close}\"?"),
                );
                let message = format!("the standard library has no \"{key}\"");
                self.say(Some(at), Diagnostic::error("H120", message).help(help));
            }
            return text.map(|text| (text.to_owned(), key.to_owned(), false));
        }
        let file = Utf8PathBuf::from(format!("{key}.rhai"));
        match self.world.read(&file) {
            Ok(text) => {
                let name = self.world.show(&file);
                self.files.insert(file);
                Some((text, name, true))
            }
            Err(why) => {
                // It may come into being: whoever watches the files must know.
                if !matches!(why, Unreadable::Outside(_)) {
                    self.files.insert(file);
                }
                let code = if matches!(why, Unreadable::Outside(_)) { "H121" } else { "H120" };
                let known: Vec<String> =
                    self.shelf.keys().cloned().chain(stdlib::modules()).collect();
                let help = format!(
                    "paths are relative to the importing file, without `.rhai`; known are {}",
                    known.join(", ")
                );
                let message = format!("cannot import \"{path}\": {why}");
                self.say(Some(at), Diagnostic::error(code, message).help(help));
                None
            }
        }
    }

    fn say(&self, at: Option<Position>, mistake: Diagnostic) {
        let places: Vec<Position> = at.into_iter().collect();
        self.desk.open().say_at(&places, Part::Whole, mistake);
    }
}

fn imports(ast: &AST) -> Vec<Import> {
    let mut imports = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, at))) = path.last() {
            let alias = import.1.name.clone();
            imports.push(match &import.0 {
                Expr::StringConstant(path, at) => {
                    Import { path: Some(path.clone()), alias, at: *at }
                }
                _ => Import { path: None, alias, at: *at },
            });
        }
        true
    });
    imports
}

/// The key of what `path` means in the file `importer`.
fn resolve(importer: &str, path: &str) -> Result<String, Box<Diagnostic>> {
    let outside = || {
        let message = format!("\"{path}\" is outside the plan's folder");
        let help = "a plan imports from its own folder and below, and from \"std/\"";
        Box::new(Diagnostic::error("H121", message).help(help))
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if path.starts_with('/') || path.contains('\\') || path.contains(':') {
        return Err(outside());
    }
    let mut folders: Vec<&str> = if path.starts_with(stdlib::PREFIX) {
        Vec::new()
    } else {
        importer.rsplit_once('/').map_or_else(Vec::new, |(folder, _)| folder.split('/').collect())
    };
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => drop(folders.pop().ok_or_else(outside)?),
            name if !name.is_empty() && name.chars().all(legal) => folders.push(name),
            _ => {
                let message = format!("\"{path}\" is no name of a module");
                let help = "names of letters, digits, `-` and `_` between `/`; leave `.rhai` out";
                return Err(Box::new(Diagnostic::error("H120", message).help(help)));
            }
        }
    }
    Ok(folders.join("/"))
}

/// Gives the interpreter what was loaded. Module code shares the limits of the whole evaluation.
pub(super) struct Resolver {
    shelf: Shelf,
    desk: Desk,
    known: std::cell::RefCell<BTreeMap<String, Shared<Module>>>,
}

impl Resolver {
    pub(super) fn new(shelf: Shelf, desk: Desk) -> Resolver {
        Resolver { shelf, desk, known: std::cell::RefCell::default() }
    }

    fn missing(path: &str, at: Position) -> Box<EvalAltResult> {
        EvalAltResult::ErrorModuleNotFound(path.to_owned(), at).into()
    }
}

impl rhai::ModuleResolver for Resolver {
    fn resolve(
        &self,
        _: &Engine,
        _: Option<&str>,
        path: &str,
        at: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        Err(Resolver::missing(path, at))
    }

    fn resolve_raw(
        &self,
        engine: &Engine,
        global: &mut GlobalRuntimeState,
        _: &mut Scope<'_>,
        path: &str,
        at: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let importer = self.desk.open().sources.file(at).map(|file| file.key.clone());
        let key = importer.and_then(|importer| resolve(&importer, path).ok());
        let key = key.ok_or_else(|| Resolver::missing(path, at))?;
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(known.clone());
        }
        let ast = self.shelf.get(&key).ok_or_else(|| stop(at))?;
        self.desk.open().importing += 1;
        let module = Module::eval_ast_as_new_raw(engine, &mut Scope::new(), global, ast);
        self.desk.open().importing -= 1;
        let module = Shared::new(module?);
        self.known.borrow_mut().insert(key, module.clone());
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn imports_stay_in_the_plan_s_folder() {
        let key = |importer, path| resolve(importer, path).map_err(|mistake| mistake.code);
        assert_eq!(key("main", "lib/tiers").unwrap(), "lib/tiers");
        assert_eq!(key("lib/a", "b").unwrap(), "lib/b");
        assert_eq!(key("lib/a", "../b").unwrap(), "b");
        assert_eq!(key("lib/a", "std/failback").unwrap(), "std/failback");
        for outside in ["../b", "lib/../../b", "/etc/passwd", "c:/x"] {
            assert_eq!(key("main", outside).unwrap_err(), "H121", "{outside}");
        }
        for odd in ["", "a//b", "a.rhai", "a b"] {
            assert_eq!(key("main", odd).unwrap_err(), "H120", "{odd}");
        }
    }
}
