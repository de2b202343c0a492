//! A saved plan, field by field: the one description of the format. What is written, what is read and the
//! JSON Schema all come from these types; their comments are the schema's descriptions.
//!
//! Fields stand in alphabetical order, as they do in the file: the seal is over the text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::base::{Digest, Json, MachineName, PlanId, StepId};
use crate::diagnostic::flat::Flat;
use crate::plan::estimate::{Basis, Estimates, MachineEstimate, StepEstimate};
use crate::plan::expr::Expr;
use crate::plan::graph::Plan;
use crate::plan::policy::Policy;
use crate::plan::scope::Rules;
use crate::plan::step::Reversibility;

/// The version of the format. The second one has scopes: who knows only the first would take a step of a
/// handler for one that is always done.
pub(super) const VERSION: u64 = 2;

/// A plan as `homing plan --out FILE` saves it and `--format json` prints it. Objects have their fields in
/// alphabetical order. Fields may be added within a version: readers ignore those that they do not know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// Warnings that the script answers in advance, in the order written.
    pub(super) acknowledged: Vec<AcknowledgementRecord>,
    /// Warnings about the script's text that it answers; those about the plan are found again by proving it.
    #[serde(default)]
    pub(super) answered: Vec<AnsweredRecord>,
    /// The ids of the steps on the longest path, in order.
    pub(super) critical_path: Vec<StepId>,
    /// What the plan means: BLAKE3 over steps, edges, options, policy, parameters, facts. Comments, places,
    /// names of groups and estimates are not in it.
    pub(super) digest: Digest,
    /// What was observed, or read of the inventory, that the plan rests on. A run observes it again.
    pub(super) facts: Vec<FactRecord>,
    /// The ids of its gates: a person is asked at each.
    pub(super) gates: Vec<StepId>,
    /// Its named groups that hold steps.
    pub(super) groups: Vec<GroupRecord>,
    /// The version of the format.
    #[schemars(extend("const" = VERSION))]
    pub(super) homing_plan: u64,
    /// What each machine will cost, by name. Estimates.
    pub(super) machines: BTreeMap<MachineName, MachineRecord>,
    /// From the first start to the last end, waits for people left out, seconds. An estimate.
    pub(super) makespan_s: f64,
    /// Every parameter of the script with the value that it had.
    pub(super) params: BTreeMap<String, Json>,
    /// The plan's own id: a saved plan runs once.
    pub(super) plan_id: PlanId,
    /// The id of the first step after which there is only forward; `null` where everything can be taken back.
    pub(super) point_of_no_return: Option<StepId>,
    /// Machines that are stopped together, where they are more than may be copied at once: some of them wait
    /// for their last changes while they are down. An estimate.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) queued: u32,
    /// The codes of the rules that the plan was proved against.
    pub(super) rules: Vec<Cow<'static, str>>,
    /// Runs of steps with a meaning of their own, an outer one before those in it; the first is the plan.
    pub(super) scopes: Vec<ScopeRecord>,
    /// The script, as it was named on the command line.
    pub(super) script: String,
    /// BLAKE3 over the document without this field, on one line without spaces. No signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(equal = 64))]
    pub(super) seal: Option<String>,
    /// In the order written: each waits only for steps before it.
    pub(super) steps: Vec<StepRecord>,
    /// What somebody should look at before it runs, and nobody has answered.
    pub(super) warnings: Vec<Flat>,
}

impl Document {
    /// What its plan was thought to cost when it was saved; of a file that says less, as far as it does.
    pub(super) fn estimates(&self, plan: &Plan) -> Estimates {
        let step = |one: &StepRecord| {
            let seconds = one.estimate_s.unwrap_or_default();
            StepEstimate {
                start_s: one.start_s,
                seconds,
                slow_s: one.slow_s.unwrap_or(seconds),
                basis: match one.basis {
                    Some(BasisRecord::Runs(runs)) => Basis::Runs(runs),
                    Some(BasisRecord::Sizes) | None => Basis::Sizes,
                },
            }
        };
        let machine = |(name, one): (&MachineName, &MachineRecord)| {
            let MachineRecord { bytes, down_from_s, downtime_s, sync_s } = *one;
            (name.clone(), MachineEstimate { downtime_s, down_from_s, sync_s, bytes })
        };
        let places = plan.by_id();
        let path = self.critical_path.iter().filter_map(|id| places.get(id)).map(|ix| ix.0);
        Estimates {
            steps: self.steps.iter().map(step).collect(),
            makespan_s: self.makespan_s,
            machines: self.machines.iter().map(machine).collect(),
            critical_path: path.collect(),
            queued: self.queued,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the serializer passes references")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// One use of a primitive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Step")]
pub(super) struct StepRecord {
    /// Arguments and options by name, defaults left out. The result of another step stands as `{"step": ID}`,
    /// a value known only at run time as `{"deferred": EXPRESSION}`, a text with such values in it as
    /// `{"text": [..]}`.
    #[schemars(with = "BTreeMap<String, Json>")]
    pub args: Arc<Json>,
    /// Where the estimate comes from; `null` where there is none.
    #[serde(default)]
    pub basis: Option<BasisRecord>,
    /// How long it takes, seconds: half of the times no longer. `null` where there is no estimate.
    pub estimate_s: Option<f64>,
    /// Ids of steps of which nothing more is to come before it begins, whatever came of them.
    pub follows: Vec<StepId>,
    /// Why it may be left out; `null` of a step that is always done.
    pub guard: Option<GuardRecord>,
    /// Its id, unique in the plan: `MACHINE.PRIMITIVE.N`, or as the script calls it.
    pub id: StepId,
    /// The machine that it is about; `null` of gates, barriers, waits and what else is about none.
    pub machine: Option<MachineName>,
    /// Ids of steps that have to succeed before it begins.
    pub needs: Vec<StepId>,
    /// Its failure is an exception, not a failure of the run.
    pub optional: bool,
    /// Retries and time limits.
    pub policy: Arc<Policy>,
    /// What it does: `homing primitives NAME` explains it.
    pub primitive: Cow<'static, str>,
    /// Whether it can be taken back.
    pub reversibility: Reversibility,
    /// The id of the innermost scope that it stands in.
    pub scope: Arc<str>,
    /// Nine times of ten it takes no longer, seconds. `null` where there is no estimate.
    #[serde(default)]
    pub slow_s: Option<f64>,
    /// Where it was written.
    pub source: SourceRecord,
    /// When it starts, seconds after the run's start, waits for people left out; `null` of a step that is
    /// left out where all goes well. An estimate.
    #[serde(default)]
    pub start_s: Option<f64>,
    /// The id of the step that it takes back: skipped when that one was never begun.
    pub undoes: Option<StepId>,
    /// Ids of steps that have to be settled before it begins: done, skipped or failed.
    pub waits: Vec<StepId>,
}

/// Where an estimate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Basis")]
pub(super) enum BasisRecord {
    /// Sizes, rates, and round numbers.
    Sizes,
    /// How long it took in that many earlier runs.
    Runs(u32),
}

impl From<Basis> for BasisRecord {
    fn from(basis: Basis) -> BasisRecord {
        match basis {
            Basis::Sizes => BasisRecord::Sizes,
            Basis::Runs(runs) => BasisRecord::Runs(runs),
        }
    }
}

/// Why a step may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Guard")]
pub(super) struct GuardRecord {
    /// The ids of the scopes that decide, outermost first.
    pub scopes: Vec<Arc<str>>,
    /// In words.
    pub text: String,
}

/// A place in a script. Lines and columns count from 1, columns count characters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Place")]
pub(super) struct PlaceRecord {
    /// The column.
    pub column: u32,
    /// The script, or `std/NAME` of the library.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
}

/// Where a step was written. Lines and columns count from 1, columns count characters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Source")]
pub(super) struct SourceRecord {
    /// The column.
    pub column: u32,
    /// The script, or `std/NAME` of the library.
    pub file: Arc<str>,
    /// The line.
    pub line: u32,
    /// From there inwards: the calls through the library, the primitive's own call last. Empty when that
    /// place is it.
    pub via: Vec<PlaceRecord>,
}

/// A run of steps with a meaning of its own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Scope", extend("allOf" = kinds()))]
pub(super) struct ScopeRecord {
    /// Of an attempt: one failure rolls every machine back, and nothing new of it starts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub all: Option<bool>,
    /// Of a `when`: the condition.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "sorted")]
    #[schemars(with = "Expr")]
    pub cond: Option<Arc<Expr>>,
    /// The id of its first step, or where it has none of the one behind it; `null` at the plan's end.
    pub first: Option<StepId>,
    /// What it is called in this file: what it is, and a number among its like.
    pub id: Arc<str>,
    /// Of a `when`: what the condition must be; `false` of its `otherwise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub is: Option<bool>,
    /// What it is.
    pub kind: KindRecord,
    /// Of a group: its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub name: Option<String>,
    /// Of a handler and a clean-up: the id of the attempt that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub of: Option<Arc<str>>,
    /// What `policy` says in it, beyond what its steps carry themselves.
    pub rules: Rules,
    /// How many steps it holds.
    pub steps: usize,
    /// Of an attempt: a machine whose handler succeeded goes on behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub then_continue: Option<bool>,
    /// The id of the scope around it; `null` of the plan.
    pub within: Option<Arc<str>>,
}

/// What a scope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ScopeKind")]
pub(super) enum KindRecord {
    /// The plan.
    Plan,
    /// Steps with a name.
    Group,
    /// Steps of one machine in it are not ordered among each other.
    Parallel,
    /// Steps whose failure starts the handlers behind them.
    Attempt,
    /// Done where the attempt failed.
    Handler,
    /// Done after success and after failure.
    Always,
    /// Done where a condition holds, or (`otherwise`) where it does not.
    When,
}

/// What a scope of each kind has beside what all have.
fn kinds() -> Json {
    let lacking = |(kind, fields): (&str, &[&str])| {
        serde_json::json!({
            "if": { "properties": { "kind": { "const": kind } } },
            "then": { "required": fields },
        })
    };
    let own: [(&str, &[&str]); 5] = [
        ("group", &["name"]),
        ("attempt", &["all", "then_continue"]),
        ("handler", &["of"]),
        ("always", &["of"]),
        ("when", &["cond", "is"]),
    ];
    own.into_iter().map(lacking).collect()
}

/// As all else in the file, an expression has its fields in alphabetical order.
fn sorted<S: Serializer>(cond: &Option<Arc<Expr>>, out: S) -> Result<S::Ok, S::Error> {
    serde_json::to_value(cond).map_err(serde::ser::Error::custom)?.serialize(out)
}

/// A named group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Group")]
pub(super) struct GroupRecord {
    /// Its name; several groups may share one.
    pub name: String,
    /// The ids of its steps, in order.
    pub steps: Vec<StepId>,
}

/// `acknowledge(code, reason)`: a warning that the script answers, for one scope.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Acknowledgement")]
pub(super) struct AcknowledgementRecord {
    /// The warning's code: `homing explain CODE` explains it.
    pub code: String,
    /// Why it is accepted.
    pub reason: String,
    /// The id of the scope that it counts for.
    pub scope: Arc<str>,
    /// Where it was written.
    pub source: PlaceRecord,
}

/// A warning with the script's answer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Answered")]
pub(super) struct AnsweredRecord {
    /// Why it is accepted.
    pub reason: String,
    /// The warning.
    pub warning: Flat,
}

/// Something that the plan rests on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Fact")]
pub(super) struct FactRecord {
    /// The fact, with its argument: `replica`, `away_over("30d")`; of a selection its terms.
    pub fact: Arc<str>,
    /// A machine, a host as `SITE/HOST`, or `vms` for a selection.
    pub subject: Arc<str>,
    /// The value that it had; of a selection the names that it found.
    pub value: Json,
}

/// What one machine will cost. Estimates.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Machine")]
pub(super) struct MachineRecord {
    /// Bytes to move at most.
    pub bytes: u64,
    /// When it goes down, seconds after the run's start, waits for people left out; `null`: it never does.
    #[serde(default)]
    pub down_from_s: Option<f64>,
    /// From its shutdown to its start and check, waits for people left out, seconds.
    pub downtime_s: f64,
    /// Copying while it runs, seconds.
    pub sync_s: f64,
}

impl From<&MachineEstimate> for MachineRecord {
    fn from(one: &MachineEstimate) -> MachineRecord {
        let MachineEstimate { downtime_s, down_from_s, sync_s, bytes } = *one;
        MachineRecord { bytes, down_from_s, downtime_s, sync_s }
    }
}
