//! One table, edge × outcome, shared by the scheduler and the verifier.

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
