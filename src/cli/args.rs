//! The command line, as data. Nothing else.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::base::RunId;
use crate::cli::accept::AcceptArgs;
use crate::cli::adopt::AdoptArgs;
use crate::cli::answer::{AnswerArgs, CancelArgs, ExcludeArgs, RetryArgs};
use crate::cli::audit::AuditArgs;
use crate::cli::instead::{ReplanArgs, RollbackArgs};
use crate::cli::rehearse::RehearseArgs;
use crate::cli::runbook::RunbookArgs;
use crate::cli::skip::SkipArgs;

/// Brings virtual machines home after a disaster: recovery plans as code, proved, reviewed, run, resumable.
#[derive(Debug, Parser)]
#[command(name = "homing", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 succeeded, 1 failed (every machine up), 2 usage or inventory, 3 the plan has errors,
4 waiting at a gate, 5 stale or changed, 6 busy, 7 succeeded with exceptions, 8 interrupted or cancelled,
9 failed and a machine is down or half done, 10 a gate was rejected, 70 a bug, 74 journal not writable.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The inventory; else `homing.toml` beside the script or above it.
    #[arg(long, global = true, env = "HOMING_CONFIG", value_name = "FILE")]
    pub config: Option<Utf8PathBuf>,
    /// The state folder (journal, locks); else `.homing` beside the inventory.
    #[arg(long, global = true, env = "HOMING_STATE", value_name = "FOLDER")]
    pub state: Option<Utf8PathBuf>,
    /// Colours.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// Say more (twice: everything).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what went wrong.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// How to print what a command lists or shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; stable.
    Json,
}

/// How to print a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people, on a terminal.
    Text,
    /// For programs; stable.
    Json,
    /// One page for a review board: readable offline, on paper, with scripts off.
    Html,
    /// The graph for Graphviz.
    Dot,
}

/// How the steps of a plan are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Gate after gate, and below that machine after machine.
    Wave,
    /// Machine after machine.
    Machine,
    /// By when they begin, as far as estimates tell.
    Timeline,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find every mistake in a script without running anything.
    #[command(after_help = "Example: homing check scripts/failback.rhai -p tier=web")]
    Check(CheckArgs),
    /// Show what a script would do: the dry run.
    #[command(after_help = "\
Examples: homing plan scripts/failback.rhai --out plan.json
          homing plan scripts/failback.rhai --format html > plan.html
          homing plan plan.json --by timeline     (what was saved; no site is asked)
          homing plan scripts/failback.rhai --diff plan.json     (exit 5: it means something else)")]
    Plan(PlanArgs),
    /// Show what one saved plan does differently than another; exit 5 when it means something else.
    #[command(after_help = "\
Examples: homing diff reviewed.json plan.json
          homing diff reviewed.json plan.json --format json
          homing plan scripts/failback.rhai --diff reviewed.json     (the script as it is now)

Exit codes: 0 both mean the same (their digests are equal; estimates may differ), 5 they do not,
2 a file cannot be read, 3 it is no saved plan as it was written. Needs no inventory.")]
    Diff(DiffArgs),
    /// Print the plan as a procedure by hand, for the day when homing itself cannot run.
    #[command(after_help = "\
Print it before the disaster, and again at every change of script, inventory or machines: like `plan` it
looks at the sites, which may not answer on the day. A saved plan needs no site to answer.

Examples: homing runbook scripts/failback.rhai --out failback.html
          homing runbook plan.json > failback.md")]
    Runbook(RunbookArgs),
    /// Rehearse a plan: the failback drill. Nothing real is touched.
    #[command(after_help = "\
The plan is played as `run` would, with every primitive, at sites in memory that begin as the real ones are
seen now. Those fail as sites do: they lose contact, answer late or not at all, throttle, lose power, break
disks; with `--kill` the process dies in the middle and is resumed. Every boot, deletion and outcome is judged.
What reaches beyond the sites (webhooks, commands, network checks) is taken as good.

Examples: homing rehearse scripts/failback.rhai
          homing rehearse plan.json --runs 1000 --kill --people
          homing rehearse scripts/failback.rhai --runs 1 --seed 17     (what that seed does)

Exit codes: 0 no promise was broken, 1 one was, 2 and 3 there is no plan, 5 a saved plan is stale.")]
    Rehearse(RehearseArgs),
    /// Run a script, or a saved plan exactly as it was reviewed.
    #[command(after_help = "\
Examples: homing run scripts/failback.rhai
          homing run plan.json --approve complete
          homing run scripts/failback.rhai --on-gate exit     (cron, systemd: exit 4 at a gate)")]
    Run(RunArgs),
    /// Go on with a run that waits, failed, was interrupted or killed.
    #[command(after_help = "Example: homing resume r1122-k3f9xw")]
    Resume(ResumeArgs),
    /// Open a gate of a run, from any terminal.
    #[command(after_help = "Example: homing approve r1122-k3f9xw complete --comment CHG-4711")]
    Approve(AnswerArgs),
    /// Say no at a gate of a run.
    #[command(after_help = "Example: homing reject r1122-k3f9xw commit --comment \"tests failed\"")]
    Reject(AnswerArgs),
    /// End a run for good, at safe points.
    #[command(after_help = "\
Example: homing cancel r1122-k3f9xw --reason \"wrong weekend\"

Exit codes: 0 it is over or was told to end, 2 no such run, or a machine is half committed, 9 it is over, and a
machine is down or its replica dirty.")]
    Cancel(CancelArgs),
    /// Try a failed step again, or the start of a machine that has died since.
    #[command(after_help = "Example: homing retry r1122-k3f9xw web-01.start_onprem_vm.1")]
    Retry(RetryArgs),
    /// Leave a step out that failed or was never begun, if every rule holds without it; it shows in the outcome.
    #[command(after_help = "\
Example: homing skip r1122-k3f9xw web-02.check.1 --reason \"looked at it myself\"

Exit codes: 0 left out, 2 no such run or step, or it cannot be left out, 3 a rule breaks without it.")]
    Skip(SkipArgs),
    /// Go on although a fact is no longer what it was at the review: the plan is proved with its new value.
    #[command(after_help = "\
Example: homing accept r1122-k3f9xw 'web-01: replica' --reason \"synchronized by hand\"

Exit codes: 0 accepted, 2 no such run or it is over, or that fact has not changed, 3 a rule refuses the plan with it.")]
    Accept(AcceptArgs),
    /// Let machines take no further step in a run; what waited for them goes on without them, and they are free.
    #[command(after_help = "\
Examples: homing exclude r1122-k3f9xw web-07 --reason \"its host is broken\"
          homing exclude r1122-k3f9xw db-01 web-01 --reason \"not tonight\"

Exit codes: 0 asked, 2 no such run or machine, 3 others would be stopped and not started again without them.")]
    Exclude(ExcludeArgs),
    /// Take the machines of a run back to the side that they left, as long as they are not committed.
    #[command(after_help = "\
With MACHINE the run goes on without it; else the run ends. Proved before anything is begun; a gate asks before
what was written since the switch is given up. To look at it first:
          homing plan std/rollback -p machines=web-01,web-02

Examples: homing rollback r1122-k3f9xw
          homing rollback r1122-k3f9xw web-07 --approve rollback

Exit codes: 2 no such run or machine, or all are committed, 3 there is no safe way back; else as of `run`.")]
    Rollback(RollbackArgs),
    /// Run another script on the machines of a run, instead of the rest of it.
    #[command(after_help = "\
The script is planned from where the machines are now. Only if nothing refuses it the run ends, at safe points,
and the script runs. `homing plan SCRIPT` shows it first.

Example: homing replan r1122-k3f9xw scripts/by-hand.rhai --reason \"hv-02 is broken\"

Exit codes: 2 no such run, 3 the plan is refused or does nothing about a machine that is down, 5 another plan than
expected: then the run is as it was; else as of `run`.")]
    Replan(ReplanArgs),
    /// Take over machines whose run's state folder is lost, from the marks at their sites.
    #[command(after_help = "\
Lists them; with --yes they are free for the next run, and snapshots that such runs left are deleted. A replica
that a lost run left dirty stays dirty: no plan boots it before another transfer has finished.

Example: homing adopt --yes

Exit codes: 0 listed or taken over, 1 a site cannot be asked and the others hold nothing to take over, 6 another
was faster.")]
    Adopt(AdoptArgs),
    /// Where every machine runs, whether its data is safe, what to type next.
    #[command(after_help = "Example: homing status")]
    Status(StatusArgs),
    /// List runs.
    #[command(after_help = "\
Examples: homing runs --format json
          homing runs --pending     (switched over, not committed: each pays for two machines)")]
    Runs(ListArgs),
    /// Show one run, step by step.
    #[command(after_help = "Example: homing show r1122-k3f9xw")]
    Show(RunAndFormat),
    /// Print a run's events.
    #[command(after_help = "Example: homing logs r1122-k3f9xw --follow")]
    Logs(LogsArgs),
    /// Prove that a run's plan and events are what was written, and derive its outcome from them anew.
    #[command(after_help = "\
Names every event that was changed, moved or removed. An end that was cut off together with the journal's own
record of it shows only against a head that was printed before: `homing show` and every summary print it.

Examples: homing audit r1122-k3f9xw
          homing audit r1122-k3f9xw --head 57:0f3a9c27d1b44e81

Exit codes: 0 nothing was altered, 2 there is no such run, 5 it was altered, 74 the journal cannot be read.")]
    Audit(AuditArgs),
    /// Explain a code, with a wrong and a right example.
    #[command(after_help = "Example: homing explain H003")]
    Explain(ExplainArgs),
    /// The language reference: what a script can call.
    #[command(after_help = "Example: homing primitives transfer_delta")]
    Primitives(PrimitivesArgs),
    /// The practice ground: real disks and real processes in a folder.
    #[command(subcommand, after_help = "Example: homing lab verify")]
    Lab(LabCommand),
    /// Write a commented inventory and a first script.
    #[command(after_help = "Example: homing init my-plans")]
    Init(InitArgs),
    /// Check and plan again on every save, and show what changed.
    #[command(after_help = "Example: homing watch scripts/failback.rhai")]
    Watch(CompileArgs),
    /// Print the JSON Schema (draft 2020-12) of saved plans: what `plan --out` and `plan --format json` write.
    #[command(after_help = "Example: homing schema > plan.schema.json")]
    Schema,
    /// Print completions for a shell.
    #[command(after_help = "Example: homing completions bash > /etc/bash_completion.d/homing")]
    Completions(CompletionsArgs),
    /// Print the manual page.
    #[command(after_help = "Example: homing man | man -l -")]
    Man,
}

/// A script and its parameters.
#[derive(Debug, Clone, Args)]
pub struct CompileArgs {
    /// A script, a module of the standard library (`std/failback`), or a saved plan to show or run.
    #[arg(value_name = "SCRIPT")]
    pub script: Utf8PathBuf,
    /// A parameter of the script; `homing check --params` lists them.
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub param: Vec<String>,
    /// Warnings refuse the plan too (exit 3), but those that the script answers with `acknowledge`.
    #[arg(long)]
    pub strict: bool,
}

/// `check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// What to check.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// List the script's parameters.
    #[arg(long)]
    pub params: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What to plan.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// How to print.
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    pub format: PlanFormat,
    /// Put the steps in order by gates, by machine, or by when they begin.
    #[arg(long, value_enum, default_value_t = By::Wave)]
    pub by: By,
    /// List every machine and step, also those that do the same.
    #[arg(long)]
    pub full: bool,
    /// Save the plan: `homing run FILE` runs exactly that, once.
    #[arg(long, value_name = "FILE")]
    pub out: Option<Utf8PathBuf>,
    /// Show only what is different than in this saved plan; exit 5 when the script means something else now.
    #[arg(long, value_name = "FILE")]
    pub diff: Option<Utf8PathBuf>,
}

/// `diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The plan to start from: what was reviewed.
    #[arg(value_name = "OLD")]
    pub old: Utf8PathBuf,
    /// The plan to compare it with.
    #[arg(value_name = "NEW")]
    pub new: Utf8PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// What a run is told before it begins.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Answer a gate in advance; `all` answers every one. What `run` is given counts for every `resume` too.
    #[arg(long, value_name = "NAME|all")]
    pub approve: Vec<String>,
    /// What to do at a gate; without a terminal the default is `exit`.
    #[arg(long, value_enum)]
    pub on_gate: Option<OnGate>,
    /// What to print on standard output.
    #[arg(long, value_enum, default_value_t = Output::Auto)]
    pub output: Output,
    /// Make a step fail, to see what happens: `web-01.transfer_delta=fail:2`, `=permanent`, `=stall`, `=kill`.
    #[arg(long, value_name = "STEP=FAULT")]
    pub inject: Vec<String>,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub compile: CompileArgs,
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
    /// Refuse unless the script still means this.
    #[arg(long, value_name = "DIGEST")]
    pub expect: Option<String>,
    /// Run a saved plan that already ran and is over.
    #[arg(long)]
    pub again: bool,
    /// Resume the open run on these machines if there is one.
    #[arg(long)]
    pub resume_or_run: bool,
}

/// `resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run; the newest open one when left out.
    pub run: Option<RunId>,
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
}

/// What to do at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnGate {
    /// Ask on the terminal; `homing approve` from elsewhere counts too.
    Ask,
    /// Wait for `homing approve` from elsewhere.
    Wait,
    /// End with exit code 4 once nothing else can run.
    Exit,
}

/// What to print while running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A live view on a terminal, else plain lines.
    Auto,
    /// Plain lines.
    Plain,
    /// One event per line, as JSON.
    Jsonl,
}

/// `status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The run; the newest open one when left out, else the newest.
    pub run: Option<RunId>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `runs`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Instead the machines that run at home and wait for their commit, longest first. Asks the sites.
    #[arg(long)]
    pub pending: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `show`
#[derive(Debug, Args)]
pub struct RunAndFormat {
    /// The run.
    pub run: RunId,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The run.
    pub run: RunId,
    /// Go on until the run's process leaves it.
    #[arg(long)]
    pub follow: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A code, like `H003`; all of them when left out.
    pub code: Option<String>,
}

/// `primitives`
#[derive(Debug, Args)]
pub struct PrimitivesArgs {
    /// One of them.
    pub name: Option<String>,
    /// The whole reference as Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// `lab`
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Create the lab: failed over and committed, running in the cloud, a stale replica at home.
    #[command(after_help = "Example: homing lab init")]
    Init,
    /// What runs where.
    #[command(after_help = "Example: homing lab status")]
    Status(ListArgs),
    /// Measure what a failback promises: acknowledged writes lost, downtime, never on both sides.
    #[command(after_help = "Example: homing lab verify --format json")]
    Verify(ListArgs),
    /// Cancel the runs that are not over, stop every lab machine and delete the lab.
    #[command(after_help = "Example: homing lab reset --yes")]
    Reset {
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Where; it is created.
    #[arg(default_value = ".")]
    pub folder: Utf8PathBuf,
}

/// `completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: clap_complete::Shell,
}
