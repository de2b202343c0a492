//! What a primitive says of itself.

use crate::plan::policy::Policy;
use crate::plan::step::{Kind, Reversibility};

/// A primitive's whole description, as data.
#[derive(Debug)]
pub struct Spec {
    /// As scripts call it.
    pub name: &'static str,
    /// What it does: the first line is the summary. Markdown.
    pub doc: &'static str,
    /// What the engine does with its steps.
    pub kind: Kind,
    /// Positional arguments, in order; the options map comes after them.
    pub params: &'static [Param],
    /// Options, sorted by name. Those that every step has are in [`COMMON_OPTIONS`].
    pub options: &'static [Opt],
    /// What its handle offers once it ran.
    pub outputs: &'static [Output],
    /// What its handle is, where another primitive asks for it.
    pub yields: Yields,
    /// Whether it can be taken back.
    pub reversibility: Reversibility,
    /// Retries and time limits when the script says nothing.
    pub policy: Policy,
    /// `timeout` is the longest time without progress, not the longest time.
    pub timeout_is_stall: bool,
    /// Its failure is an exception by default.
    pub optional: bool,
    /// One line that uses it.
    pub example: &'static str,
}

/// One positional argument.
#[derive(Debug)]
pub struct Param {
    /// Its name in docs and in the step's `args`.
    pub name: &'static str,
    /// What is accepted.
    pub takes: Takes,
    /// It may be left out (only leading machines and trailing arguments may).
    pub optional: bool,
    /// What it is.
    pub doc: &'static str,
}

/// What a positional argument accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A machine: the step joins its chain. It is the step's machine and not part of `args`.
    Machine,
    /// A snapshot's handle: the step joins that machine's chain. Stands in `args` as `{"step": id}`.
    Snapshot,
    /// A machine or a snapshot's handle.
    MachineOrSnapshot,
    /// A text.
    Text,
    /// A duration.
    Duration,
    /// A list of handles or groups: the step waits for just those.
    Handles,
    /// A text that may hold values known only at run time; stands in `args` as `{"text": [..]}` then.
    Message,
    /// A condition known only at run time; stands in `args` as `{"deferred": ..}`. The step joins the
    /// machine of the steps that it reads.
    Condition,
    /// A condition that is looked at again and again; stands in `args` as `{"until": expression}`, beside
    /// `probes`: the polls that it reads, each as `{"step", "primitive", "machine", "args"}`.
    Until,
    /// An isolated copy's handle: the step joins its machine's chain. Stands in `args` as `{"step": id}`.
    Copy,
    /// A machine or an isolated copy's handle.
    MachineOrCopy,
}

/// What a handle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Yields {
    /// Only a step, to order by.
    Step,
    /// A snapshot, to transfer from.
    Snapshot,
    /// An isolated copy, to check and to delete.
    Copy,
}

/// One option.
#[derive(Debug)]
pub struct Opt {
    /// Its key in the map.
    pub name: &'static str,
    /// What is accepted.
    pub ty: OptType,
    /// What holds when it is left out, for the docs.
    pub default: &'static str,
    /// It cannot be left out.
    pub required: bool,
    /// What it does.
    pub doc: &'static str,
}

/// The type of an option. All but `Bool`, `Int` and `Texts` are texts in a script and in `args`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptType {
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Int {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Any text.
    Text,
    /// A text that may hold values known only at run time.
    Message,
    /// A list of texts.
    Texts,
    /// A map of texts.
    TextMap,
    /// A name that can stand in an id: letters, digits, `-`, `_`.
    Name,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `90s`, `5m`.
    Duration,
    /// `64MiB`.
    Size,
    /// `200MiB/s`.
    Rate,
    /// A host of the machine's on-prem site.
    Host,
    /// A key of the inventory.
    Key,
    /// `#{ attempts, first, max }`.
    Retry,
}

/// Options that every step accepts; tracing takes them out of `args` into the step itself.
pub static COMMON_OPTIONS: &[Opt] = &[
    Opt {
        name: "id",
        ty: OptType::Name,
        default: "the primitive's name and a number",
        required: false,
        doc: "the step's id after the machine's name",
    },
    Opt {
        name: "optional",
        ty: OptType::Bool,
        default: "false",
        required: false,
        doc: "its failure is an exception, not a failure of the run",
    },
    Opt {
        name: "retry",
        ty: OptType::Retry,
        default: "the primitive's",
        required: false,
        doc: "`attempts` in all, the longest wait before the second try (`first`) and between any two (`max`)",
    },
    Opt {
        name: "timeout",
        ty: OptType::Duration,
        default: "the primitive's",
        required: false,
        doc: "longest time of one attempt; for a transfer the longest time without progress; for a gate how long it stays open",
    },
];

/// One value that a step has once it ran.
#[derive(Debug)]
pub struct Output {
    /// As scripts read it from the handle.
    pub name: &'static str,
    /// `bool`, `int`, `text`, `seconds`, `bytes`.
    pub ty: &'static str,
    /// What it says.
    pub doc: &'static str,
}
