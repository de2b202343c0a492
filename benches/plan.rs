//! What making a plan costs: scripts/failback.rhai over ever more machines, twelve steps each (it
//! synchronizes twice here), all facts observed; and a script of attempts and conditions. The inventory
//! and the facts are there before and are not counted. Then what saving it costs and loading it again,
//! in time of one processor. By hand: `cargo bench --bench plan [-- [failback|attempts] MACHINES ..]`.

#![expect(clippy::print_stdout, reason = "a report for whoever ran it")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use homing::base::{HostName, MachineName, PlanId, Side, SiteName};
use homing::cli::memory::{Counting, allocated_bytes};
use homing::compile::saved::{load, save};
use homing::compile::waves::waves;
use homing::compile::{compile, point_of_no_return};
use homing::plan::digest::digest;
use homing::plan::estimate::History;
use homing::plan::facts::{
    CommitState, FactLog, Facts, HostFacts, MachineFacts, Power, Protection, ReplicaState,
    SideFacts,
};
use homing::plan::inventory::{Addresses, Inventory, MachineEntry};
use homing::render::Review;
use homing::render::html::html;
use homing::render::style::Style;
use homing::render::text::{By, text};
use homing::source::MemoryWorld;
use homing::trace::{Request, trace};
use homing::verify::verify;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: usize = 5;
/// A little more than any script here writes.
const STEPS_PER_MACHINE_MAX: usize = 13;
const HOSTS: usize = 100;
/// One of these as an argument leaves the other out.
const SCRIPTS: [&str; 2] = ["failback", "attempts"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|word| word.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 100_000];
    }
    for (name, script) in [("failback, by the library", failback()), ("attempts", attempts())] {
        if arguments.iter().any(|word| SCRIPTS.contains(&word.as_str()) && !name.starts_with(word))
        {
            continue;
        }
        println!("{name}");
        println!(
            "  machines      steps     trace  verify (proof, digest)   compile (processor)      kept      peak    per step"
        );
        let mut before = None;
        for machines in &sizes {
            let per_step = row(*machines, &script);
            let growth = before.map_or(String::new(), |before| {
                format!(", {:.2} times the row above", per_step / before)
            });
            println!(" {per_step:5.2} us{growth}");
            before = Some(per_step);
        }
        println!(
            "  machines       file      save                       load (from nothing observed)"
        );
        sizes.iter().for_each(|machines| saved(*machines, &script));
        println!("  machines      text                              html");
        sizes.iter().for_each(|machines| pages(*machines, &script));
    }
}

/// Saving a plan as `run` does it, and loading it again.
fn saved(machines: usize, script: &str) {
    let (inventory, facts) = (inventory(machines), facts(machines));
    let world = MemoryWorld([("failback.rhai".into(), script.to_owned())].into());
    let log = FactLog::new(&facts);
    let compiled = compile(&request(&world, &inventory, &log), &History::default());
    let (plan, estimates) = (compiled.plan.expect("nothing to refuse"), compiled.estimates);
    let plan_id = PlanId::new("p-bench").expect("an id");
    let (mut save_s, mut load_s) = (Duration::MAX, Duration::MAX);
    let (mut save_peak, mut load_peak, mut bytes) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let before = allocated_bytes();
        let began = thread_time();
        let (text, most) = watched(|| save(&plan, &estimates, &plan_id).text());
        save_s = save_s.min(thread_time() - began);
        (save_peak, bytes) = (most - before, text.len());
        let before = allocated_bytes();
        let began = thread_time();
        let (loaded, most) =
            watched(|| load(&text, &inventory, &Facts::default(), &|_| History::default()));
        load_s = load_s.min(thread_time() - began);
        load_peak = most - before;
        assert!(loaded.plan.is_some(), "{:?}", loaded.diagnostics);
    }
    let [save_s, load_s] = [save_s, load_s].map(|time| time.as_secs_f64() * 1e3);
    let [save_peak, load_peak, file] = [save_peak, load_peak, bytes as u64].map(|b| b >> 20);
    println!(
        "{machines:10} {file:6} MiB {save_s:6.0} ms, {save_peak:5} MiB peak {load_s:6.0} ms, {load_peak:5} MiB peak"
    );
}

/// Showing a plan as text and as a page, its sentences and waves included.
fn pages(machines: usize, script: &str) {
    let (inventory, facts) = (inventory(machines), facts(machines));
    let world = MemoryWorld([("failback.rhai".into(), script.to_owned())].into());
    let log = FactLog::new(&facts);
    let compiled = compile(&request(&world, &inventory, &log), &History::default());
    let plan = compiled.plan.expect("nothing to refuse");
    print!("{machines:10}");
    for is_html in [false, true] {
        let (before, began) = (allocated_bytes(), thread_time());
        let (page, most) = watched(|| {
            let sentences = Review::sentences(plan.plan(), &inventory, &facts);
            let waves = waves(plan.plan());
            let no_return = point_of_no_return(plan.plan());
            let (estimates, inventory) = (&compiled.estimates, &inventory);
            let review = Review::new(&plan, estimates, inventory, sentences, waves, no_return);
            if is_html {
                html(&review, &compiled.texts)
            } else {
                text(&review, By::Wave, Style::PLAIN)
            }
        });
        let ms = (thread_time() - began).as_secs_f64() * 1e3;
        let (kib, peak) = (page.len() >> 10, (most - before) >> 20);
        print!("{ms:8.0} ms {kib:6} KiB, {peak:4} MiB peak");
    }
    println!();
}

/// The best of some rounds.
struct Best {
    trace: Duration,
    verify: Duration,
    /// The same in processor time, without the digest, which another thread makes.
    proof: Duration,
    digest: Duration,
    compile: Duration,
    /// The same in processor time, which other work on the machine does not lengthen.
    processor: Duration,
}

/// Prints all but the last column; returns that: microseconds of compiling per step.
fn row(machines: usize, script: &str) -> f64 {
    let (inventory, facts) = (inventory(machines), facts(machines));
    let world = MemoryWorld([("failback.rhai".into(), script.to_owned())].into());
    let mut best = Best {
        trace: Duration::MAX,
        verify: Duration::MAX,
        proof: Duration::MAX,
        digest: Duration::MAX,
        compile: Duration::MAX,
        processor: Duration::MAX,
    };
    let (mut steps, mut kept, mut peak) = (0, 0, 0);
    for _ in 0..ROUNDS {
        let log = FactLog::new(&facts);
        let began = Instant::now();
        let traced = trace(&request(&world, &inventory, &log));
        best.trace = best.trace.min(began.elapsed());
        let (began, began_processor) = (Instant::now(), thread_time());
        let verdict = verify(traced.plan, &log, &inventory);
        best.verify = best.verify.min(began.elapsed());
        best.proof = best.proof.min(thread_time() - began_processor);
        let plan = verdict.plan.expect("nothing to refuse");
        let began = Instant::now();
        assert_eq!(digest(plan.plan()), *plan.digest());
        best.digest = best.digest.min(began.elapsed());
        drop(plan);

        let log = FactLog::new(&facts);
        let before = allocated_bytes();
        let (began, began_processor) = (Instant::now(), thread_time());
        let (compiled, most) =
            watched(|| compile(&request(&world, &inventory, &log), &History::default()));
        best.compile = best.compile.min(began.elapsed());
        best.processor = best.processor.min(thread_time() - began_processor);
        assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
        steps = compiled.plan.as_ref().expect("nothing to refuse").plan().steps.len();
        assert!(steps > machines * 8, "{steps}");
        drop(log);
        kept = allocated_bytes() - before;
        peak = most - before;
    }
    let Best { trace, verify, proof, digest, compile, processor } = best;
    let [trace, verify, proof, digest, compile, processor] =
        [trace, verify, proof, digest, compile, processor].map(|time| time.as_secs_f64() * 1e3);
    let [kept, peak] = [kept, peak].map(|bytes| bytes >> 20);
    print!(
        "{machines:10} {steps:10} {trace:6.0} ms {verify:4.0} ms ({proof:3.0}, {digest:3.0}) {compile:6.0} ms ({processor:5.0} ms) {kept:5} MiB {peak:5} MiB"
    );
    compile * 1e3 / steps as f64
}

fn request<'a>(
    world: &'a MemoryWorld,
    inventory: &'a Inventory,
    facts: &'a FactLog<'a>,
) -> Request<'a> {
    static NO_PARAMS: BTreeMap<String, String> = BTreeMap::new();
    Request {
        world,
        script: "failback.rhai".into(),
        params: &NO_PARAMS,
        inventory,
        facts,
        allocated: Some(allocated_bytes),
        spent: Duration::ZERO,
    }
}

fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time runs forwards")
}

/// Runs `work`; the most bytes that were allocated meanwhile, looked at every millisecond.
#[expect(clippy::disallowed_methods, reason = "samples while something else works")]
fn watched<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(allocated_bytes());
                std::thread::sleep(Duration::from_millis(1));
            }
            most
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, watcher.join().expect("no panic").max(allocated_bytes()))
    })
}

/// What a careful author writes by hand: a way back, a condition, an order of starts.
fn attempts() -> String {
    r#"
        let machines = vms("", #{ where: "cloud" });
        for m in machines { transfer_delta(snapshot(m)); }
        approve("Go", #{ name: "go", timeout: "1h" });
        for m in machines {
            attempt(|| {
                shutdown_azure_vm(m);
                transfer_delta(m);
            }).on_failure(|| {
                start_azure_vm(m);
            });
            start_onprem_vm(m).after(both(m.needs, machines));
            let seen = check(m);
            when(seen.ok, || { notify(m, #{ webhook: "https://pager.example/home", text: `${m} is home` }); });
        }
        approve("Commit", #{ name: "commit", timeout: "1h" });
        for m in machines { commit(m); }
    "#
    .to_owned()
}

fn failback() -> String {
    let text = include_str!("../scripts/failback.rhai");
    let once = "failback::synchronize(m);";
    assert!(text.contains(once), "the script synchronizes");
    text.replace(once, &format!("{once} {once}"))
}

fn name(nth: usize) -> MachineName {
    MachineName::new(format!("web-{nth:06}")).expect("a name")
}

fn host(nth: usize) -> HostName {
    HostName::new(format!("hv-{:03}", nth % HOSTS)).expect("a name")
}

fn site(name: &str) -> SiteName {
    SiteName::new(name).expect("a name")
}

/// Every tenth machine is needed by the nine after it.
fn inventory(machines: usize) -> Inventory {
    let entry = |nth: usize| MachineEntry {
        cloud: site("azure"),
        onprem: site("dc1"),
        host: host(nth),
        disks: vec![64 << 30],
        tags: [("tier".to_owned(), "web".to_owned())].into(),
        needs: if nth.is_multiple_of(10) { Vec::new() } else { vec![name(nth / 10 * 10)] },
        rto_s: None,
        key: None,
        address: Addresses::default(),
        settings: BTreeMap::new(),
    };
    let mut inventory = Inventory {
        machines: (0..machines).map(|nth| (name(nth), entry(nth))).collect(),
        ..Inventory::default()
    };
    let limits = &mut inventory.limits;
    let steps = u32::try_from(machines * STEPS_PER_MACHINE_MAX).expect("not that many");
    limits.steps_max = limits.steps_max.max(steps);
    limits.script_memory_bytes_max = (u64::from(steps) << 11).max(512 << 20);
    inventory
}

fn facts(machines: usize) -> Facts {
    let side = |power, generation: &str| SideFacts {
        exists: true,
        power,
        fenced: false,
        generation: generation.to_owned(),
    };
    let away = |nth: usize| MachineFacts {
        active: Side::Cloud,
        cloud: side(Power::On, "c1"),
        onprem: side(Power::Off, "o1"),
        host: host(nth),
        replica: ReplicaState::Stale,
        dirty: None,
        commit: CommitState::Committed,
        protection: Protection::None,
        encrypted: false,
        disk_bytes: 64 << 30,
        failed_over_at: Some("2026-11-10T00:00:00Z".parse().expect("a time")),
        synced_at: None,
    };
    let reached = HostFacts {
        connected: true,
        switches: Default::default(),
        isolated: Default::default(),
        free_bytes: 1 << 40,
    };
    Facts {
        now: Some("2026-11-22T00:00:00Z".parse().expect("a time")),
        machines: (0..machines).map(|nth| (name(nth), away(nth))).collect(),
        hosts: (0..HOSTS).map(|nth| ((site("dc1"), host(nth)), reached.clone())).collect(),
    }
}
