//! Conditions, limits and retries in words.

use crate::base::units::show_seconds;
use crate::plan::expr::{Expr, Op};
use crate::plan::graph::Plan;
use crate::plan::scope::{Rules, ScopeIx, ScopeKind};
use crate::plan::step::Step;
use crate::primitives::find;

/// A condition as a person says it: `web-01.check.1.ok and not db-01.check.1.ok`.
pub fn condition(expr: &Expr) -> String {
    match expr {
        Expr::Value { .. } | Expr::Output { .. } => expr.to_string(),
        Expr::Apply { op, args } => match args.as_slice() {
            [value, default] if *op == Op::Default => {
                format!("{} (or {} without it)", inner(value), inner(default))
            }
            [one] => format!("{}{}", if *op == Op::Not { "not " } else { "-" }, inner(one)),
            [left, right] => format!("{} {} {}", inner(left), word(*op), inner(right)),
            _ => expr.to_string(),
        },
    }
}

fn inner(expr: &Expr) -> String {
    match expr {
        Expr::Apply { op, args } if args.len() == 2 && *op != Op::Default => {
            format!("({})", condition(expr))
        }
        plain => condition(plain),
    }
}

fn word(op: Op) -> &'static str {
    match op {
        Op::Eq => "is",
        Op::Ne => "is not",
        Op::Lt => "is less than",
        Op::Le => "is at most",
        Op::Gt => "is more than",
        Op::Ge => "is at least",
        Op::And => "and",
        Op::Or => "or",
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Not | Op::Default => op.as_str(),
    }
}

/// What `policy` said of a scope; empty where it said nothing.
pub fn rules(rules: &Rules) -> Vec<String> {
    let seconds = |ms: u64| show_seconds(ms as f64 / 1000.0);
    let changed = |drop: bool| {
        if drop {
            "a machine whose facts changed is left out"
        } else {
            "the run holds when a fact changed"
        }
    };
    let halt = "after a failure nothing new begins but ways back and clean-up";
    let window = |what: &str, at: &Option<String>| at.as_ref().map(|at| format!("{what} {at}"));
    [
        rules.at_most.map(|most| format!("at most {most} at once")),
        rules.at_most_per_host.map(|most| format!("at most {most} at once per host")),
        window("nothing begins before", &rules.not_before),
        window("no machine is shut down after", &rules.no_shutdown_after),
        rules
            .deadline_ms
            .map(|ms| format!("nothing begins later than {} into the run", seconds(ms))),
        rules.halt.then(|| halt.to_owned()),
        rules.drop_changed.map(|drop| changed(drop).to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// How a step is tried, where the script says otherwise than its primitive: `5 tries`, `at most 2m`.
pub fn tries(step: &Step) -> Option<String> {
    let spec = find(step.primitive)?.spec();
    let (own, usual) = (&*step.policy, &spec.policy);
    let tries = (own.attempts != usual.attempts).then(|| match own.attempts {
        1 => "one try".to_owned(),
        tries => format!("up to {tries} tries"),
    });
    let timeout = (own.timeout_ms != usual.timeout_ms).then(|| {
        let seconds = own.timeout_ms.map(|ms| show_seconds(ms as f64 / 1000.0));
        match seconds {
            None => "no time limit".to_owned(),
            Some(limit) if spec.timeout_is_stall => format!("at most {limit} without progress"),
            Some(limit) => format!("at most {limit}"),
        }
    });
    let told: Vec<String> = tries.into_iter().chain(timeout).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// How a step is tried, in full: `up to 5 tries, each at most 2m`.
pub fn policy(step: &Step) -> String {
    let stall = find(step.primitive).is_some_and(|known| known.spec().timeout_is_stall);
    let seconds = |ms: u64| show_seconds(ms as f64 / 1000.0);
    let policy = &*step.policy;
    let tries = match policy.attempts {
        1 => "one try".to_owned(),
        tries => format!(
            "up to {tries} tries, pauses from {} to {}",
            seconds(policy.first_ms),
            seconds(policy.max_ms)
        ),
    };
    match policy.timeout_ms {
        None => format!("{tries}, no time limit"),
        Some(ms) if stall => format!("{tries}, at most {} without progress", seconds(ms)),
        Some(ms) => format!("{tries}, at most {}", seconds(ms)),
    }
}

/// A scope as far as it changes what is done; its limits are told by themselves.
pub fn matters(plan: &Plan, ix: ScopeIx) -> Option<String> {
    let all = |of: ScopeIx| matches!(plan.scope(of).kind, ScopeKind::Attempt { all: true, .. });
    match &plan.scope(ix).kind {
        ScopeKind::Plan | ScopeKind::Group { .. } | ScopeKind::Parallel => None,
        ScopeKind::Attempt { then_continue, .. } => {
            let all = if all(ix) { ", all machines or none" } else { "" };
            let goes_on = if *then_continue { ", then go on" } else { "" };
            Some(format!("in an attempt{all}{goes_on}"))
        }
        ScopeKind::Handler { of } => Some(format!(
            "if {} failed",
            if all(*of) { "anything of the attempt" } else { "the attempt" }
        )),
        ScopeKind::Always { .. } => Some("behind the attempt, failed or not".to_owned()),
        ScopeKind::When { cond, is: true } => Some(format!("when {}", condition(cond))),
        ScopeKind::When { cond, is: false } => Some(format!("unless {}", condition(cond))),
    }
}

/// The line above the steps of a scope: `when web-01.check.1.ok:`. `after` is the scope that was shown
/// just before it, at the same depth.
pub fn heading(plan: &Plan, ix: ScopeIx, after: Option<ScopeIx>) -> String {
    let scope = plan.scope(ix);
    let title = match &scope.kind {
        ScopeKind::Plan => "the plan".to_owned(),
        ScopeKind::Group { name } => format!("group \"{name}\""),
        ScopeKind::Parallel => "side by side".to_owned(),
        ScopeKind::Attempt { all: true, .. } => "attempt, all machines or none".to_owned(),
        ScopeKind::Attempt { all: false, .. } => "attempt".to_owned(),
        ScopeKind::Handler { of } => {
            let goes_on = match plan.scope(*of).kind {
                ScopeKind::Attempt { then_continue: true, .. } => ", and then go on",
                _ => "",
            };
            format!("if this fails{goes_on}")
        }
        ScopeKind::Always { .. } => "whether it fails or not".to_owned(),
        ScopeKind::When { cond, is: true } => format!("when {}", condition(cond)),
        ScopeKind::When { cond, is: false } => {
            let same = |before: ScopeIx| match &plan.scope(before).kind {
                ScopeKind::When { cond: other, is: true } => other == cond,
                _ => false,
            };
            if after.is_some_and(same) {
                "otherwise".to_owned()
            } else {
                format!("unless {}", condition(cond))
            }
        }
    };
    let rules = rules(&scope.rules);
    if rules.is_empty() { format!("{title}:") } else { format!("{title} ({}):", rules.join("; ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_read_like_sentences() {
        let says = |expr| condition(&serde_json::from_value::<Expr>(expr).unwrap());
        let ok = json!({ "of": "web-01.check.1", "output": "ok" });
        let sent = json!({ "of": "web-01.t.1", "output": "bytes_sent" });
        let less = json!({ "op": "<=", "args": [sent, { "value": 5 }] });
        let not = json!({ "op": "!", "args": [less] });
        assert_eq!(says(not), "not (web-01.t.1.bytes_sent is at most 5)");
        let or = json!({ "op": "or", "args": [ok, { "value": false }] });
        let both =
            json!({ "op": "&", "args": [or, { "op": "!=", "args": [ok, { "value": true }] }] });
        assert_eq!(
            says(both),
            "web-01.check.1.ok (or false without it) and (web-01.check.1.ok is not true)"
        );
    }

    #[test]
    fn every_rule_is_told() {
        let all = Rules {
            halt: true,
            at_most: Some(4),
            at_most_per_host: Some(1),
            deadline_ms: Some(18_000_000),
            not_before: Some("Sat 22:00 Europe/Berlin".into()),
            no_shutdown_after: Some("Sun 04:00 Europe/Berlin".into()),
            drop_changed: Some(true),
        };
        let told = rules(&all);
        assert_eq!(
            told,
            [
                "at most 4 at once",
                "at most 1 at once per host",
                "nothing begins before Sat 22:00 Europe/Berlin",
                "no machine is shut down after Sun 04:00 Europe/Berlin",
                "nothing begins later than 5h into the run",
                "after a failure nothing new begins but ways back and clean-up",
                "a machine whose facts changed is left out",
            ]
        );
        assert!(rules(&Rules::default()).is_empty());
    }
}
