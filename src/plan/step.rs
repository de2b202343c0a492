//! One step: one use of a primitive.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Json, MachineName, StepId};
use crate::plan::args::Args;
use crate::plan::effect::Effect;
use crate::plan::policy::Policy;
use crate::plan::scope::ScopeIx;
use crate::plan::settle::Edge;
use crate::source::Span;

/// A step's place in [`crate::plan::graph::Plan::steps`]. Never leaves memory: ids go to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIx(pub u32);

impl StepIx {
    /// For indexing.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// What the engine does with a step. It reads this and never the primitive's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Does something; has attempts, retries, a timeout.
    Act,
    /// Probes until it holds; an attempt that times out is a failure, not an error.
    Poll,
    /// Waits for a person.
    Gate,
    /// Waits for time to pass.
    Timer,
    /// Waits for other steps.
    Barrier,
    /// Tells someone; never holds back what follows.
    Notify,
}

/// Whether a step can be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reversibility {
    /// Changes nothing that matters, or can simply be done again.
    Reversible,
    /// Another step takes it back.
    Compensable,
    /// Nothing takes it back.
    Irreversible,
}

/// Where a step was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The call that a reader of the script would point at: in the user's script where there is one.
    pub at: Span,
    /// From there inwards: the calls through the stdlib, the primitive's own call last. Empty when `at` is it.
    pub via: Arc<[Span]>,
}

/// One use of a primitive.
#[derive(Clone, Debug)]
pub struct Step {
    /// `web-01.transfer_delta.2`; a gate has its name.
    pub id: StepId,
    /// The primitive's name; `crate::primitives` knows it.
    pub primitive: &'static str,
    /// What the engine does with it.
    pub kind: Kind,
    /// The machine whose chain it joins.
    pub machine: Option<MachineName>,
    /// What it was given.
    pub args: Args,
    /// Edges that require success: same machine, data, `.after`, out of a barrier. Sorted, unique, all earlier.
    pub needs: Vec<StepIx>,
    /// Edges that require settled: into a barrier or gate. Sorted, unique, all earlier.
    pub waits: Vec<StepIx>,
    /// Edges that require that nothing more is to come, whatever came of it: into handlers and clean-up.
    /// Sorted, unique, all earlier.
    pub follows: Vec<StepIx>,
    /// The innermost scope that it was written in.
    pub scope: ScopeIx,
    /// The step that it takes back: skipped when that one was never begun.
    pub undoes: Option<StepIx>,
    /// What it does to its machine, as the verifier sees it.
    pub effect: Effect,
    /// Whether it can be taken back.
    pub reversibility: Reversibility,
    /// Its failure is an exception, not a failure of the run.
    pub optional: bool,
    /// Retries and time limits.
    pub policy: Arc<Policy>,
    /// Where it was written.
    pub origin: Arc<Origin>,
}

impl Step {
    /// Every earlier step that it waits for, and how.
    pub fn edges(&self) -> impl Iterator<Item = (StepIx, Edge)> {
        let needs = self.needs.iter().map(|ix| (*ix, Edge::Needs));
        let waits = self.waits.iter().map(|ix| (*ix, Edge::Waits));
        needs.chain(waits).chain(self.follows.iter().map(|ix| (*ix, Edge::Follows)))
    }

    /// Whether a person who types `name` means this gate: by its id, or all machines' gates of that name
    /// (`complete` for `web-01.complete`).
    pub fn is_called(&self, name: &str) -> bool {
        let id = self.id.as_str();
        id == name || id.rsplit_once('.').is_some_and(|(_, gate)| gate == name)
    }
}

/// A handle inside [`Step::args`], as data: the step whose outputs are meant.
pub fn handle_to_json(step: &StepId) -> Json {
    serde_json::json!({ "step": step.as_str() })
}

/// The step that a handle inside [`Step::args`] names.
pub fn handle_from_json(value: &Json) -> Option<&str> {
    let object = value.as_object()?;
    (object.len() == 1).then(|| object.get("step"))?.and_then(Json::as_str)
}
