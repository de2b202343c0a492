//! Every function of every file gets a name of its own before anything is evaluated.
//!
//! The interpreter looks for a function by its bare name in all files that the call has come through,
//! the innermost first, and remembers what it found for all of them. So a closure that a script passes to
//! a module would call that module's `run` instead of its own, and modules each other's. A function with
//! a name that no other file has can only be found where it is meant.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use foldhash::HashMap;
use rhai::{AST, ASTNode, Engine, Expr, FnCallExpr, Position, Stmt, Token};

use crate::trace::look::names_of_values;
use crate::trace::modules::{Aliases, Shelf};
use crate::trace::recorder::Desk;

/// Between a name and the number of its file.
const BETWEEN: &str = "__";

/// The name of a function of the file with this number, for the interpreter.
pub(super) fn unique(name: &str, file: usize) -> String {
    format!("{name}{BETWEEN}{file}")
}

/// The name as it was written.
pub(super) fn written(name: &str) -> &str {
    match name.rsplit_once(BETWEEN) {
        Some((written, file)) if file.bytes().all(|byte| byte.is_ascii_digit()) => written,
        _ => name,
    }
}

/// What the parser is to read instead of what is written; for the file that it reads now.
#[derive(Default)]
struct Instead {
    /// At the calls.
    calls: HashMap<Position, String>,
    /// Where a function is defined, by its name.
    definitions: BTreeMap<String, String>,
    /// The word before was `fn`.
    defines: Cell<bool>,
}

/// Parses files again, with the new names.
#[derive(Clone, Default)]
pub(super) struct Namer(Rc<RefCell<Instead>>);

impl Namer {
    /// Lets the interpreter read what this says.
    pub(super) fn bind(&self, engine: &mut Engine) {
        let instead = self.0.clone();
        #[expect(deprecated, reason = "not deprecated, says its text, but free to change")]
        engine.on_parse_token(move |token, at, _| {
            let instead = instead.borrow();
            let defines = instead.defines.replace(token == Token::Fn);
            let Token::Identifier(name) = &token else { return token };
            let new = if defines {
                instead.definitions.get(name.as_str())
            } else {
                instead.calls.get(&at)
            };
            new.map_or(token, |new| Token::Identifier(Box::new(new.into())))
        });
    }

    /// Every file with its new names.
    pub(super) fn apart(
        &self,
        engine: &Engine,
        desk: &Desk,
        shelf: &Shelf,
        aliases: &Aliases,
    ) -> Shelf {
        let files: Files<'_> = shelf
            .iter()
            .zip(0..)
            .map(|((key, ast), nth)| (&**key, (nth, functions_of(ast))))
            .collect();
        let parse = |(key, ast): (&String, &AST)| {
            let (file, own) = &files[key.as_str()];
            let definitions = own.iter().map(|(name, _)| (name.clone(), unique(name, *file)));
            let (definitions, calls) = (definitions.collect(), calls_of(key, ast, &files, aliases));
            *self.0.borrow_mut() = Instead { calls, definitions, defines: Cell::new(false) };
            let text = desk.open().sources.padded(key).expect("BUG: it was parsed once");
            let mut named = engine.compile(&text).expect("BUG: other names parse as well");
            named.set_source(ast.source().unwrap_or_default());
            (key.clone(), named)
        };
        let named = shelf.iter().map(parse).collect();
        *self.0.borrow_mut() = Instead::default();
        named
    }
}

/// Functions by name and number of parameters.
type Functions = BTreeSet<(String, usize)>;

/// Number and functions of each file, by its key.
type Files<'a> = BTreeMap<&'a str, (usize, Functions)>;

/// The calls of functions of files, with the name that each is called by.
fn calls_of(
    key: &str,
    ast: &AST,
    files: &Files<'_>,
    aliases: &Aliases,
) -> HashMap<Position, String> {
    let held = names_of_values(ast);
    let mut calls = HashMap::default();
    each_call(ast, |call, at, is_method| {
        let mut modules = call.namespace.path.iter().map(rhai::Ident::as_str);
        let of = match (modules.next(), modules.next()) {
            // A map of that name may hold what is called.
            (None, _) if is_method && held.contains(call.name.as_str()) => None,
            (None, _) => Some(key),
            (Some(module), None) => {
                aliases.get(&(key.to_owned(), module.to_owned())).map(String::as_str)
            }
            _ => None,
        };
        let Some((file, functions)) = of.map(|of| &files[of]) else { return };
        if functions.contains(&(call.name.to_string(), call.args.len())) {
            calls.insert(at, unique(&call.name, *file));
        }
    });
    calls
}

/// Closures have no name; a function for one kind of `this` is found by that.
fn functions_of(ast: &AST) -> Functions {
    let named = ast.iter_functions();
    let named = named.filter(|one| one.this_type.is_none() && !one.name.contains('$'));
    named.map(|one| (one.name.to_owned(), one.params.len())).collect()
}

fn each_call(ast: &AST, mut seen: impl FnMut(&FnCallExpr, Position, bool)) {
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Expr(Expr::MethodCall(call, at))) => seen(call, *at, true),
            Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                seen(call, *at, false);
            }
            _ => {}
        }
        true
    });
}
