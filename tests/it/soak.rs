//! `kill -9` at random moments, and inside chosen system calls: writes and syncs of the journal, writes of
//! disks, deletions of a commit; half of these as a power cut, which loses writes that were not synced. The
//! seeds are fixed; where a kill lands is up to the machine. Set `HOMING_SOAK` to make it 200 kills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::support::dying::Call;
use crate::support::{Ground, tell};

/// What is run, over which link, the longest that a process may live before it is killed, and who is home
/// at the end.
struct Job {
    args: &'static [&'static str],
    bandwidth: &'static str,
    life_ms: u64,
    home: &'static [&'static str],
}

const JOBS: [Job; 5] = [
    Job {
        args: &["failback.rhai"],
        bandwidth: "400MiB/s",
        life_ms: 1500,
        home: &["db-01", "web-01", "web-02"],
    },
    Job {
        args: &["commit.rhai"],
        bandwidth: "400MiB/s",
        life_ms: 500,
        home: &["db-01", "web-01", "web-02"],
    },
    // Slow enough that kills land behind its checkpoints, which are two seconds apart.
    Job {
        args: &["full-download.rhai"],
        bandwidth: "5MiB/s",
        life_ms: 3500,
        home: &["web-01", "web-02"],
    },
    Job {
        args: &["alternate-host.rhai", "-p", "machine=web-01", "-p", "host=hv-02"],
        bandwidth: "60MiB/s",
        life_ms: 1000,
        home: &["web-01"],
    },
    Job { args: &["failback-one.rhai"], bandwidth: "400MiB/s", life_ms: 1000, home: &["web-01"] },
];

/// What `commit.rhai` finds.
const SWITCHED: &str = "import \"std/waves\" as waves;\n\
    for m in vms() { transfer_delta(snapshot(m)); }\n\
    waves::tiers(vms());\n";

/// The same numbers for the same seed.
struct Luck(u64);

impl Luck {
    fn below(&mut self, most: u64) -> u64 {
        // Steele, Lea and Flood's SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// The calls that processes end in, and of how many of each one is chosen.
const CALLS: [(&str, &str, u64); 6] = [
    ("write", "homing.db-wal", 160),
    ("remove", "/azure/", 16),
    ("sync", "homing.db-wal", 40),
    ("write", "/dc1/", 48),
    ("sync", "/dc1/", 24),
    ("write", "/azure/", 24),
];

/// How a process ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    After(Duration),
    In(Call),
}

impl Death {
    fn drawn(round: u32, job: &Job, luck: &mut Luck) -> Death {
        if round.is_multiple_of(2) {
            return Death::After(Duration::from_millis(30 + luck.below(job.life_ms)));
        }
        let (name, path, most) = CALLS[luck.below(CALLS.len() as u64) as usize];
        let (nth, lots) = (1 + luck.below(most), luck.below(u64::MAX));
        let power_cut = lots * luck.below(2);
        Death::In(Call { name, path, nth, power_cut, error: None })
    }
}

#[derive(Debug, Default)]
struct Counts {
    rounds: u32,
    kills: u32,
    /// Of those, in which calls.
    inside: BTreeMap<(&'static str, &'static str), u32>,
    power_cuts: u32,
    /// Kills between the announcement of a deletion and its end.
    in_deletions: u32,
    /// Processes that had ended before their time came.
    too_late: u32,
    /// Transfers that a later process took up from their checkpoint.
    taken_up: u32,
}

#[test]
fn at_random_moments_nothing_is_lost_and_nothing_done_twice() {
    let wanted = if std::env::var_os("HOMING_SOAK").is_some() { 200 } else { 4 };
    let mut counts = Counts::default();
    while counts.kills < wanted {
        let seed = u64::from(counts.rounds);
        round(&JOBS[counts.rounds as usize % JOBS.len()], &mut Luck(seed), &mut counts);
        counts.rounds += 1;
    }
    tell(&format!("{counts:?}\n"));
}

/// One run, killed up to three times, then left to finish.
fn round(job: &Job, luck: &mut Luck, counts: &mut Counts) {
    let ground = Ground::with_bandwidth(job.bandwidth);
    ground.homing(&["lab", "init"]).exit(0);
    if job.args[0] == "commit.rhai" {
        ground.write("switched.rhai", SWITCHED);
        ground.homing(&["run", "switched.rhai"]).exit(0);
    }
    let tail = ["--approve", "all", "--output", "jsonl"];
    let mut heard: Vec<Vec<Value>> = Vec::new();
    for _ in 0..=luck.below(3) {
        let run = open_run(&ground, job);
        if run.is_none() && !runs(&ground, job).is_empty() {
            // It was killed once its success was written: there is nothing left to resume.
            break;
        }
        let args = match &run {
            Some(run) => vec!["resume", run.as_str()],
            None => [&["run"], job.args].concat(),
        };
        let death = Death::drawn(counts.rounds, job, luck);
        let (said, ended) = died(&ground, &[&args[..], &tail].concat(), death);
        heard.push(said);
        if let Some(code) = ended {
            assert_eq!(code, 0, "{}", ground.read("stderr.txt"));
            counts.too_late += 1;
            break;
        }
        counts.died(death, &heard);
    }
    if let Some(run) = open_run(&ground, job) {
        let said = ground.homing(&[&["resume", run.as_str()][..], &tail].concat()).exit(0);
        heard.push(said.lines());
    } else if runs(&ground, job).is_empty() {
        ground.homing(&[&["run"], job.args, &tail].concat()).exit(0);
    }
    take_up_checkpoints(&heard, counts);
    all_is_well(&ground, job);
    all_that_was_told_is_journalled(&ground, &heard);
}

fn died(ground: &Ground, args: &[&str], death: Death) -> (Vec<Value>, Option<i32>) {
    match death {
        Death::After(life) => ground.start(args).live_for(life),
        Death::In(call) => {
            ground.start_with(args, &call.environment(ground.path())).live_for(FOR_EVER)
        }
    }
}

/// No run here takes as long.
const FOR_EVER: Duration = Duration::from_secs(300);

impl Counts {
    fn died(&mut self, death: Death, heard: &[Vec<Value>]) {
        self.kills += 1;
        if let Death::In(call) = death {
            *self.inside.entry((call.name, call.path)).or_default() += 1;
            self.power_cuts += u32::from(call.power_cut != 0);
        }
        let mut deletes = BTreeSet::new();
        for said in heard.iter().flatten() {
            match said["event"].as_str() {
                Some("intent") => drop(deletes.insert(said["step"].as_str())),
                Some("step_succeeded") => drop(deletes.remove(&said["step"].as_str())),
                _ => {}
            }
        }
        self.in_deletions += u32::from(!deletes.is_empty());
    }
}

/// Nothing is shown before it is durable: what a process told before it died is in the journal as it was told.
#[track_caller]
fn all_that_was_told_is_journalled(ground: &Ground, heard: &[Vec<Value>]) {
    let journalled = ground.events(&ground.newest_run());
    for said in heard.iter().flatten().filter(|said| said["seq"].is_u64()) {
        let at = usize::try_from(said["seq"].as_u64().unwrap()).unwrap() - 1;
        assert_eq!(Some(said), journalled.get(at), "told, and not there");
    }
}

fn runs(ground: &Ground, job: &Job) -> Vec<Value> {
    let mut runs = ground.runs();
    runs.retain(|run| run["script"] == job.args[0]);
    runs
}

fn open_run(ground: &Ground, job: &Job) -> Option<String> {
    let open = runs(ground, job).into_iter().find(|run| run["outcome"] != "succeeded");
    open.map(|run| run["run"].as_str().unwrap().to_owned())
}

/// A transfer goes on at least from where the process before said that it was.
fn take_up_checkpoints(heard: &[Vec<Value>], counts: &mut Counts) {
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for process in heard {
        let mut first: BTreeMap<String, u64> = BTreeMap::new();
        let mut last = known.clone();
        for said in process {
            let (step, done) = (said["step"].as_str(), said["progress"]["done"].as_u64());
            let (Some(step), Some(done)) = (step, done) else { continue };
            first.entry(step.to_owned()).or_insert(done);
            last.insert(step.to_owned(), done);
        }
        for (step, done) in first {
            if let Some(before) = known.get(&step).filter(|before| **before > 0) {
                counts.taken_up += 1;
                // Progress is told only once its checkpoint is durable.
                assert!(done >= *before, "{step} was at {before} bytes, and went on from {done}");
            }
        }
        known = last;
    }
}

#[track_caller]
fn all_is_well(ground: &Ground, job: &Job) {
    for machine in ground.verified() {
        assert_eq!(machine["lost"], 0, "{machine}");
        assert_eq!(machine["overlap"], false, "{machine}");
        if job.home.contains(&machine["machine"].as_str().unwrap()) {
            assert_eq!(machine["running_on"], "dc1", "{machine}");
            assert_eq!(machine["cloud"], "deleted", "{machine}");
            assert_eq!(machine["protected"], "onprem_to_cloud", "{machine}");
        }
    }
    let run = ground.newest_run();
    ground.nothing_ran_twice(&run);
    ground.homing(&["show", &run]).exit(0);
    for event in ground.events(&run) {
        let event_name = event["event"].as_str().unwrap();
        assert!(!event_name.ends_with("_failed"), "a kill is no failure: {event}");
    }
    ground.homing(&["audit", &run]).exit(0);
    assert_eq!(ground.snapshots(), Vec::<String>::new(), "left over");
    assert!(ground.homing(&["adopt"]).exit(0).out.contains("nothing to adopt"), "claims are left");
    // A machine that runs has one process, and one socket to speak to it; nobody else has any.
    let running = ground.verified().len();
    assert_eq!((ground.processes().len(), ground.sockets().len()), (running, running));
}
