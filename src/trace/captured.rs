//! The variables that functions have captured, kept until nothing is evaluated any more.
//!
//! A function that holds a function that holds a function is dropped one inside the other: a script could
//! need more of the stack for that than it may have of memory. While the variables in between are held
//! here as well, each is dropped by itself.

use rhai::{ASTNode, Dynamic, Expr, Scope, Stmt};

use crate::trace::recorder::Desk;

/// What the interpreter calls to make a function with captured variables.
pub(super) const CAPTURES: &str = "curry";

/// Every captured variable.
#[derive(Default)]
pub(super) struct Captured(Vec<Dynamic>);

impl Captured {
    /// Keeps what the function captures that `node` makes, if it makes one. Called before it is evaluated;
    /// by then the variables are shared.
    pub(super) fn keep(desk: &Desk, node: ASTNode<'_>, scope: &Scope<'_>) {
        let (ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = node
        else {
            return;
        };
        if call.name != CAPTURES {
            return;
        }
        let values = call.args.iter().filter_map(|arg| match arg {
            Expr::Variable(variable, ..) => scope.get(&variable.1),
            _ => None,
        });
        desk.open().captured.0.extend(values.filter(|value| value.is_shared()).cloned());
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        for variable in &mut self.0 {
            // All variables are still held here: what this one holds goes no deeper than the next.
            if let Some(mut value) = variable.write_lock::<Dynamic>() {
                *value = Dynamic::UNIT;
            }
        }
    }
}
