//! The words of the plan language that are no primitives: for the reference, and so that no script takes
//! them for its own functions.

use crate::trace::bind::Table;

/// A word of the plan language that is no primitive.
pub struct Word {
    /// Its name.
    pub name: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// The words of the plan language, for the reference.
pub static WORDS: &[Word] = &[
    Word {
        name: "acknowledge",
        usage: "acknowledge(code, reason)",
        doc: "answers the warnings of that code (`H0..` of a rule, `H1..` of the language) in the scope that it stands in, or in the whole plan; one that is about no step only where it stands in no scope; the reason is shown in the review, and satisfies `--strict`",
    },
    Word {
        name: "after",
        usage: "step.after(step, group or list)",
        doc: "this step starts only when those have succeeded; returns the step",
    },
    Word {
        name: "always",
        usage: ".always(|| { .. })",
        doc: "behind `attempt`: done after success and after failure, once nothing of it is going on any more; clean-up",
    },
    Word {
        name: "attempt",
        usage: "attempt([#{ scope }], || { .. })",
        doc: "steps with a way back, which `.on_failure(..)` behind it says; `scope: \"machine\"` (the default): each machine by itself, `\"all\"`: one failure takes every machine back. A machine that was taken back takes no further step, unless `.then_continue()`",
    },
    Word {
        name: "group",
        usage: "group(name, || { .. })",
        doc: "a scope of its own: barriers and gates inside hold back only what is in it; returns a handle to all of it",
    },
    Word {
        name: "on_failure",
        usage: ".on_failure(|| { .. })",
        doc: "behind `attempt`: done for the machines for which it failed, once their steps in it have settled",
    },
    Word {
        name: "or",
        usage: "step.output.or(default)",
        doc: "the output, or `default` where its step did not run: it is optional, or in another branch",
    },
    Word {
        name: "otherwise",
        usage: ".otherwise(|| { .. })",
        doc: "behind `when`: done where the condition does not hold",
    },
    Word {
        name: "parallel",
        usage: "parallel(|| { .. })",
        doc: "steps of one machine that stand directly in it do not wait for each other; a group in it keeps its order. For checks and commands",
    },
    Word {
        name: "param",
        usage: "param(name, default, #{ help, one_of, min, max })",
        doc: "what `-p name=value` gives, else the default; `()` as default: it must be given",
    },
    Word {
        name: "policy",
        usage: "policy(#{ retry, timeout, on_failure, at_most, at_most_per_host, deadline, not_before, no_shutdown_after, on_changed_fact })",
        doc: "`retry` and `timeout` of the steps written after it in its scope that do work or probe, where they say none themselves; the others hold for the whole scope: `on_failure: \"isolate\"` or `\"halt\"`, steps at once (`at_most`, `at_most_per_host`), a `deadline` counted from the run's beginning, a window (`\"Sun 04:00 Europe/Berlin\"`, `\"04:00 Europe/Berlin\"` or RFC 3339), `on_changed_fact: \"refuse\"` or `\"drop_machine\"`",
    },
    Word {
        name: "require",
        usage: "require(cond, message)",
        doc: "refuses to be planned where the condition does not hold now; for what is known only while the plan runs there is `fail_if`",
    },
    Word {
        name: "then_continue",
        usage: ".then_continue()",
        doc: "behind `.on_failure(..)`: a machine whose way back succeeded goes on behind the attempt",
    },
    Word { name: "vm", usage: "vm(name)", doc: "one machine of the inventory" },
    Word {
        name: "vms",
        usage: "vms(terms, #{ where, allow_empty })",
        doc: "every machine with all of these tags (`\"tier=web, os!=windows\"`; `\"\"` is all), sorted by name; `where: \"cloud\"` or `\"home\"`; none is an error unless `allow_empty: true`",
    },
    Word {
        name: "when",
        usage: "when(cond, || { .. })",
        doc: "steps that are skipped where the condition does not hold while the plan runs; a condition that is known now is a plain `if`",
    },
];

/// Names that a script must not give to its own functions: theirs would silently win.
pub(super) fn reserved(table: Table) -> Vec<&'static str> {
    let own = WORDS.iter().map(|word| word.name);
    let helpers = [
        "both",
        "chunks",
        "levels",
        "longer",
        "machines",
        "needed_by",
        "options",
        "pick",
        "size",
        "switched",
        "without",
    ];
    let primitives = table.iter().map(|known| known.spec().name);
    own.chain(helpers).chain(primitives).collect()
}
