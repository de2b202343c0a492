//! What is seen in a parsed script before it is evaluated: what the interpreter would do silently, or
//! stop at one by one.

use std::collections::BTreeSet;

use rhai::{AST, ASTFlags, ASTNode, Engine, Expr, FnAccess, Position, Stmt};

use crate::diagnostic::Diagnostic;
use crate::trace::mistakes::no_function;
use crate::trace::modules::{Aliases, Shelf};
use crate::trace::recorder::Recorder;
use crate::trace::sources::Part;

/// Functions that the interpreter has without listing them.
const BUILT_IN: [&str; 7] =
    ["call", "curry", "debug", "is_def_var", "is_shared", "print", "type_of"];
/// What keeps a function for later.
const KEEPS: [&str; 3] = ["insert", "push", "set"];

/// A file of the user's own.
pub(super) fn over(recorder: &mut Recorder, ast: &AST, key: &str, reserved: &[&str]) {
    for function in ast.iter_functions() {
        if reserved.contains(&function.name) {
            let message = format!("`{}` is a word of the plan language", function.name);
            let help = "your function would silently take its place: give it another name";
            let mut mistake = Diagnostic::error("H108", message).help(help);
            mistake.at = recorder.sources.function(key, function.name);
            recorder.push(mistake);
        }
    }
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Expr(Expr::StringConstant(text, at))) => {
                uninterpolated(recorder, text, *at);
            }
            Some(ASTNode::Stmt(Stmt::Share(shared))) => {
                for (name, ..) in shared.iter() {
                    kept_for_later(recorder, path, name.as_str(), name.pos);
                }
            }
            _ => {}
        }
        true
    });
    for statement in ast.statements() {
        statement.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
            if let Some(ASTNode::Stmt(Stmt::Return(_, flags, at))) = path.last()
                && !flags.contains(ASTFlags::BREAK)
            {
                let message = "`return` ends the plan here: nothing below it is part of the plan";
                let help = "put the rest into an `if`";
                let mistake = Diagnostic::warning("H109", message).help(help);
                recorder.say_at(&[*at], Part::Whole, mistake);
            }
            true
        });
    }
}

/// Remembers which word asks for a truth at which place: the interpreter's error names the place only.
pub(super) fn for_conditions(recorder: &mut Recorder, ast: &AST) {
    let asks = &mut recorder.asks;
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::If(flow, _))) => drop(asks.insert(flow.expr.position(), "if")),
            Some(ASTNode::Stmt(Stmt::While(flow, _) | Stmt::Do(flow, ..))) => {
                asks.insert(flow.expr.position(), "while");
            }
            Some(ASTNode::Expr(Expr::And(both, _))) => {
                asks.extend(both.iter().map(|one| (one.position(), "&&")));
            }
            Some(ASTNode::Expr(Expr::Or(both, _))) => {
                asks.extend(both.iter().map(|one| (one.position(), "||")));
            }
            _ => {}
        }
        true
    });
}

/// A function kept for later sees the loop's variable as it is then: the last value, each of them.
fn kept_for_later(recorder: &mut Recorder, path: &[ASTNode<'_>], name: &str, at: Position) {
    let of_loop = path.iter().rposition(|node| {
        matches!(node, ASTNode::Stmt(Stmt::For(parts, _))
            if parts.0.as_str() == name || parts.1.as_ref().is_some_and(|nth| nth.as_str() == name))
    });
    let Some(of_loop) = of_loop else { return };
    let keeps = |node: &ASTNode<'_>| match node {
        ASTNode::Expr(Expr::MethodCall(call, _) | Expr::FnCall(call, _))
        | ASTNode::Stmt(Stmt::FnCall(call, _)) => KEEPS.contains(&call.name.as_str()),
        ASTNode::Stmt(Stmt::Assignment(..)) | ASTNode::Expr(Expr::Array(..)) => true,
        _ => false,
    };
    if path[of_loop..].iter().any(keeps) {
        let message = format!("this function is kept, and sees only the last `{name}` of the loop");
        let help = "call it inside the loop; or keep the value, and call one function with each";
        let mistake = Diagnostic::warning("H147", message).help(help);
        recorder.say_at(&[at], Part::Whole, mistake);
    }
}

fn uninterpolated(recorder: &mut Recorder, text: &str, at: Position) {
    if text.contains("${") {
        let message = "`${..}` in double quotes stands for itself: only backticks fill it in";
        let mistake = Diagnostic::warning("H125", message).help("write the text in backticks");
        recorder.say_at(&[at], Part::Whole, mistake);
    }
}

/// All calls of functions that do not exist, of every file at once: an evaluation ends at the first.
pub(super) fn for_unknown_functions(
    recorder: &mut Recorder,
    engine: &Engine,
    shelf: &Shelf,
    aliases: &Aliases,
) {
    let signatures = engine.gen_fn_signatures(true);
    let native = signatures.iter().filter_map(|text| text.split('(').next()).map(str::trim);
    let native: BTreeSet<&str> = native.chain(BUILT_IN).collect();
    for (key, ast) in shelf {
        let own = ast.iter_functions().map(|function| function.name);
        let known: BTreeSet<&str> = native.iter().copied().chain(own).collect();
        let held = names_of_values(ast);
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            let (call, at) = match path.last() {
                Some(ASTNode::Expr(Expr::MethodCall(call, at) | Expr::FnCall(call, at)))
                | Some(ASTNode::Stmt(Stmt::FnCall(call, at))) => (call, *at),
                _ => return true,
            };
            let name = call.name.as_str();
            let is_word = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
            if call.op_token.is_some() || !is_word || !recorder.sources.is_of_user(at) {
                return true;
            }
            let mut modules = call.namespace.path.iter().map(rhai::Ident::as_str);
            match (modules.next(), modules.next()) {
                (None, _) if !known.contains(name) && !held.contains(name) => {
                    recorder.say_at(&[at], Part::Whole, no_function(name, known.iter().copied()));
                }
                (Some(module), None) => {
                    let of = aliases.get(&(key.clone(), module.to_owned()));
                    let Some(of) = of.and_then(|of| shelf.get(of)) else { return true };
                    let public =
                        of.iter_functions().filter(|known| known.access == FnAccess::Public);
                    let public: BTreeSet<&str> = public.map(|known| known.name).collect();
                    if !public.contains(name) {
                        let whole = format!("{module}::{name}");
                        let public = public.iter().map(|known| format!("{module}::{known}"));
                        let public: Vec<String> = public.collect();
                        let mistake = no_function(&whole, public.iter().map(String::as_str));
                        recorder.say_at(&[at], Part::Whole, mistake);
                    }
                }
                _ => {}
            }
            true
        });
    }
}

/// What may hold a function without being one: variables, and keys of maps.
pub(super) fn names_of_values(ast: &AST) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(parts, ..))) => {
                names.insert(parts.0.as_str().to_owned());
            }
            Some(ASTNode::Expr(Expr::Map(entries, _))) => {
                names.extend(entries.0.iter().map(|(key, _)| key.as_str().to_owned()));
            }
            Some(ASTNode::Expr(Expr::Property(parts, _))) => {
                names.insert(parts.2.to_string());
            }
            _ => {}
        }
        true
    });
    names
}
