//! One table, edge × outcome, shared by the scheduler and the verifier; and what a barrier makes of
//! casualties.

use crate::base::Json;
use crate::plan::step::{Kind, Step};

/// The kinds of edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// Same machine, data, `.after`, out of a barrier: requires success.
    Needs,
    /// Into a barrier or gate: requires that nothing more is to come.
    Waits,
    /// Into a handler or clean-up: requires that nothing more is to come, whatever came of it.
    Follows,
}

/// How a step ended, for those that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    /// Its postcondition held.
    Succeeded,
    /// Its guard, or the success of its attempt, left it out.
    GuardFalse,
    /// A person took its place.
    SkippedByPerson,
    /// It failed, and was allowed to.
    OptionalFailed,
    /// It failed for good.
    Failed,
    /// Something it needs failed: it will never start.
    Blocked,
    /// Its machine was taken out of the run.
    Excluded,
    /// A person said no, or nobody answered in time.
    Rejected,
}

/// What an edge makes of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Passage {
    /// The dependent may go on.
    Open,
    /// The dependent may go on, but the machine behind this edge is a casualty.
    Casualty,
    /// The dependent will never start.
    Closed,
}

/// The table.
pub fn passage(edge: Edge, outcome: Settled) -> Passage {
    match (edge, outcome) {
        (Edge::Follows, _) => Passage::Open,
        (
            _,
            Settled::Succeeded
            | Settled::GuardFalse
            | Settled::SkippedByPerson
            | Settled::OptionalFailed,
        ) => Passage::Open,
        (_, Settled::Rejected) => Passage::Closed,
        (Edge::Waits, Settled::Excluded) => Passage::Open,
        (Edge::Waits, Settled::Failed | Settled::Blocked) => Passage::Casualty,
        (Edge::Needs, Settled::Failed | Settled::Blocked | Settled::Excluded) => Passage::Closed,
    }
}

/// What becomes of a step when machines behind its `waits` edges failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It holds until somebody decides.
    Hold,
    /// It goes on without them.
    GoOn,
    /// It fails.
    Fail,
}

/// What `on_failed` and `max_failed` of a barrier say over so many casualties (machines; a step without a
/// machine counts as one). Whatever is no barrier holds over the first.
pub fn over(step: &Step, casualties: usize) -> Over {
    if casualties == 0 {
        return Over::GoOn;
    }
    if step.kind != Kind::Barrier {
        return Over::Hold;
    }
    let most = step.args.get("max_failed").and_then(Json::as_u64);
    if most.is_some_and(|most| casualties as u64 <= most) {
        return Over::GoOn;
    }
    match step.args.get("on_failed").and_then(Json::as_str) {
        Some("go_on") if most.is_none() => Over::GoOn,
        Some("fail") => Over::Fail,
        _ => Over::Hold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_as_the_design_says() {
        use Passage::{Casualty, Closed, Open};
        let table = [
            (Settled::Succeeded, Open, Open),
            (Settled::GuardFalse, Open, Open),
            (Settled::SkippedByPerson, Open, Open),
            (Settled::OptionalFailed, Open, Open),
            (Settled::Failed, Closed, Casualty),
            (Settled::Blocked, Closed, Casualty),
            (Settled::Excluded, Closed, Open),
            (Settled::Rejected, Closed, Closed),
        ];
        for (outcome, needs, waits) in table {
            assert_eq!(passage(Edge::Needs, outcome), needs, "{outcome:?}");
            assert_eq!(passage(Edge::Waits, outcome), waits, "{outcome:?}");
            assert_eq!(passage(Edge::Follows, outcome), Open, "{outcome:?}");
        }
    }
}
