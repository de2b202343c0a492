//! What the engine itself costs: steps that do nothing, in chains of ten, with a durable journal on the
//! disk that holds the build. `cargo bench --bench engine`; by hand, never in the tests.

#![expect(clippy::print_stdout, reason = "a report for whoever ran it")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use camino::Utf8Path;
use homing::base::{MachineName, PlanId, StepId};
use homing::execute::{Attempt, Line, Recheck, Saved, Setup, Workers, resume, start};
use homing::journal::Journal;
use homing::plan::args::Args;
use homing::plan::effect::Effect;
use homing::plan::facts::{Fact, FactLog, Facts};
use homing::plan::graph::{Plan, index};
use homing::plan::inventory::Inventory;
use homing::plan::policy::Policy;
use homing::plan::step::{Kind, Origin, Reversibility, Step};
use homing::run::command::Asker;
use homing::run::failure::Failure;
use homing::run::outcome::Outcome;
use homing::schedule::{Changes, OnGate, Order};
use homing::source::Span;
use homing::verify::{VerifiedPlan, verify};
use tokio_util::sync::CancellationToken;

const CHAIN: usize = 10;

/// Does nothing, at once; stands still at the last step while told to.
struct Idle {
    last: StepId,
    stands_still: AtomicBool,
    reached: CancellationToken,
}

struct Shared(Arc<Idle>);

impl Workers for Shared {
    fn run(&self, order: Order, line: Line) -> Attempt {
        let idle = self.0.clone();
        Box::pin(async move {
            if order.step == idle.last && idle.stands_still.load(Ordering::SeqCst) {
                idle.reached.cancel();
                line.cancelled.cancelled().await;
                return Err(Failure::cancelled());
            }
            Ok(serde_json::json!({}))
        })
    }
}

struct Unchanged;

#[async_trait]
impl Recheck for Unchanged {
    async fn changed(
        &self,
        _: &BTreeSet<Fact>,
        _: &BTreeSet<MachineName>,
        _: &BTreeSet<MachineName>,
    ) -> Changes {
        Changes::default()
    }
}

fn ticket(count: usize) -> VerifiedPlan {
    let args = Args::from(serde_json::json!({}));
    let policy = Arc::new(Policy::ONCE);
    let origin = Arc::new(Origin { at: Span::point("bench".into(), 1, 1), via: Arc::new([]) });
    let step = |at: usize| Step {
        id: StepId::new(format!("app-{:05}.nothing.{}", at / CHAIN, at % CHAIN)).expect("an id"),
        primitive: "nothing",
        kind: Kind::Act,
        machine: None,
        args: args.clone(),
        // The very last step waits for every chain's end, so that it is the last.
        needs: if at == count - 1 {
            (0..count - 1).filter(|b| b % CHAIN == CHAIN - 1 || *b == at - 1).map(index).collect()
        } else {
            (!at.is_multiple_of(CHAIN)).then(|| index(at - 1)).into_iter().collect()
        },
        waits: Vec::new(),
        follows: Vec::new(),
        scope: Default::default(),
        undoes: None,
        effect: Effect::Nothing,
        reversibility: Reversibility::Reversible,
        optional: false,
        policy: policy.clone(),
        origin: origin.clone(),
    };
    let steps = (0..count).map(step).collect();
    let plan = Plan { script: "bench".into(), steps, ..Plan::default() };
    let facts = Facts::default();
    verify(plan, &FactLog::new(&facts), &Inventory::default()).plan.expect("nothing to refuse")
}

fn setup(state: &Utf8Path, plan: VerifiedPlan, idle: &Arc<Idle>) -> Setup {
    Setup {
        journal: Journal::open(state).expect("a journal"),
        plan,
        step_s: Vec::new(),
        inventory: Arc::default(),
        sites: Arc::new(|_| None),
        recheck: Arc::new(Unchanged),
        workers: Some(Arc::new(Shared(idle.clone()))),
        approve: Vec::new(),
        on_gate: OnGate::Exit,
        inject: Vec::new(),
        by: Asker { who: "bench".into(), from: "here".into() },
        interrupt: CancellationToken::new(),
    }
}

async fn measure(count: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let state = Utf8Path::from_path(folder.path()).expect("a UTF-8 path");
    let plan = ticket(count);
    let last = plan.plan().steps[count - 1].id.clone();
    let reached = CancellationToken::new();
    let idle = Arc::new(Idle { last, stands_still: AtomicBool::new(true), reached });

    let setup_one = setup(state, plan.clone(), &idle);
    let interrupt = setup_one.interrupt.clone();
    let saved =
        Saved { plan_id: PlanId::new("p").expect("an id"), text: "{}".into(), again: false };
    let begun = Instant::now();
    let run = start(setup_one, saved).await.expect("a run");
    idle.reached.cancelled().await;
    let ran_s = begun.elapsed().as_secs_f64();
    interrupt.cancel();
    let ended = run.done.await.expect("no panic").expect("a journal");
    assert_eq!(ended.outcome, Outcome::Interrupted);

    idle.stands_still.store(false, Ordering::SeqCst);
    let begun = Instant::now();
    let run = resume(setup(state, plan, &idle), &run.id).await.expect("a run");
    let taken_s = begun.elapsed().as_secs_f64();
    let ended = run.done.await.expect("no panic").expect("a journal");
    let resumed_s = begun.elapsed().as_secs_f64();
    assert_eq!(ended.outcome, Outcome::Succeeded);
    println!(
        "{count} steps: run {ran_s:.2} s ({:.0} steps/s, {} durable events); \
         resume {taken_s:.2} s to the first decision, {resumed_s:.2} s to the end",
        count as f64 / ran_s,
        ended.state.seq,
    );
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for count in [10_000, 100_000] {
        runtime.block_on(measure(count));
    }
}
