//! Scripts that nobody would write, made of the language's own pieces, and what must hold of each: it ends
//! in time, either with a mistake that has a code and a help, or with a plan; and always with the same.
//! Also used by the fuzz target, so it uses nothing of the suite but what was observed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use homing::base::MachineName;
use homing::cli::memory::allocated_bytes;
use homing::compile::{Compiled, compile};
use homing::diagnostic::{any_error, codes};
use homing::plan::estimate::History;
use homing::plan::facts::FactLog;
use homing::plan::inventory::Inventory;
use homing::source::MemoryWorld;
use homing::trace::Request;

use super::observed::{away, machine};

/// Longest that one script may take: the sandbox's own limit, and others that want the processor.
const LONGEST: Duration = Duration::from_secs(60);
/// Statements inside each other, and values inside each other.
const DEPTH_MAX: u32 = 5;

/// A script made of what the bytes choose. The same bytes make the same script.
pub fn script(bytes: &[u8]) -> String {
    let mut pen = Pen { bytes, at: 0, depth: 0, out: String::new() };
    pen.out.push_str("import \"std/failback\" as failback;\nimport \"std/waves\" as waves;\n");
    pen.out.push_str(
        "import \"std/drill\" as drill;\nlet web = vm(\"web-01\");\nlet db = vm(\"db-01\");\n",
    );
    pen.out.push_str("let n = 3;\nlet t = \"text\";\nlet c = check(web);\nlet s = snapshot(db);\nlet all = vms(\"\");\n");
    pen.out.push_str("let f = |x| x;\nlet list = [1, 2, 3];\nlet o = #{ a: 1 };\n");
    while pen.at < pen.bytes.len() {
        pen.statement();
    }
    pen.out
}

struct Pen<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    out: String,
}

impl Pen<'_> {
    /// The next choice; the first one of all once the bytes are used up.
    fn pick<'p>(&mut self, from: &[&'p str]) -> &'p str {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        from[usize::from(byte) % from.len()]
    }

    /// Writes a piece: `%e` is a value, `%v` a name, `%s` a statement, `%o` an option map.
    fn piece(&mut self, piece: &str) {
        let mut rest = piece;
        while let Some((before, after)) = rest.split_once('%') {
            self.out.push_str(before);
            let (kind, after) = after.split_at(1);
            match kind {
                "e" => self.value(),
                "v" => {
                    let name = self.pick(NAMES);
                    self.out.push_str(name);
                }
                "s" => self.statement(),
                "o" => {
                    let options = self.pick(OPTIONS);
                    self.nested(options);
                }
                other => self.out.push_str(other),
            }
            rest = after;
        }
        self.out.push_str(rest);
    }

    fn nested(&mut self, piece: &str) {
        self.depth += 1;
        self.piece(piece);
        self.depth -= 1;
    }

    fn value(&mut self) {
        let from = if self.depth < DEPTH_MAX { VALUES } else { NAMES };
        let piece = self.pick(from);
        self.nested(piece);
    }

    fn statement(&mut self) {
        let from = if self.depth < DEPTH_MAX { STATEMENTS } else { SIMPLE };
        let piece = self.pick(from);
        self.nested(piece);
        self.out.push('\n');
    }
}

const NAMES: &[&str] =
    &["web", "db", "n", "t", "c", "s", "all", "f", "list", "o", "x", "this", "i"];

const SIMPLE: &[&str] = &[
    "check(%v);",
    "snapshot(%v);",
    "%v = %v;",
    "();",
    "notify(#{ text: t, webhook: \"http://a/\" });",
];

const STATEMENTS: &[&str] = &[
    "check(%e);",
    "%e;",
    "let x = %e;",
    "%v = %e;",
    "%v += %e;",
    "if %e { %s } else { %s }",
    "for x in %e { %s %s }",
    "while n > 0 { n -= 1; %s }",
    "fn g%v(x) { %s x }",
    "group(t, || { %s %s });",
    "parallel(|| { %s %s });",
    "attempt(|| { %s %s }).on_failure(|| { %s });",
    "attempt(#{ scope: %e }, || { %s }).on_failure(|| { %s }).always(|| { %s }).then_continue();",
    "attempt(|| { s = snapshot(%v); %s }).always(|| { delete_snapshot(s); });",
    "when(%e, || { %s }).otherwise(|| { %s });",
    "when(c.ok & %e, || %s);",
    "fail_if(%e, %e);",
    "require(%e, %e);",
    "wait_until(%e, %o);",
    "policy(%o);",
    "acknowledge(\"H016\", %e);",
    "approve(%e, %o);",
    "approve(web, `${%e} and ${%e}`, %o);",
    "transfer_delta(%e, %o);",
    "shutdown_azure_vm(%v, %o);",
    "start_onprem_vm(%v).after(%e);",
    "commit(%v); reverse_replicate(%v);",
    "run_command(%e, %o);",
    "barrier(%e, %o);",
    "let x = start_copy(s, %o); check(x); delete_copy(x);",
    "drill::rehearse(%v, %o);",
    "failback::switch_over(%v, %o);",
    "failback::planned(%e);",
    "waves::tiers(%e);",
    "waves::run(all, %o, |x| { %s });",
    "list.for_each(|x| { %s });",
    "list.sort(|a, b| %e);",
    "return %e;",
    "throw %e;",
    "break;",
    "{ %s %s }",
    "const C = %e;",
    "wait(%e);",
    "param(%e, %e, %o);",
];

const VALUES: &[&str] = &[
    "web",
    "%v",
    "%v",
    "vm(%e)",
    "vms(%e)",
    "vms(\"tier=web\", %o)",
    "check(%v, %o)",
    "check(%v, %o).ok",
    "c.ok",
    "c.detail",
    "c.nope",
    "snapshot(%v)",
    "transfer_delta(%v).bytes_sent",
    "(%e + %e)",
    "(%e == %e)",
    "(%e & %e)",
    "(%e | !%e)",
    "(%e < %e)",
    "(%e && %e)",
    "(%e / %e - %e * %e)",
    "(%e in %e)",
    "%v.replica",
    "%v.cloud.power",
    "%v.away_over(%e)",
    "%v.tags",
    "%v.needs",
    "[%e, %e]",
    "#{ a: %e, b: %e }",
    "`a ${%e} b`",
    "\"${x}\"",
    "|x| %e",
    "|| { %s }",
    "%v.map(|x| %e)",
    "%v.filter(|x| %e)",
    "%v.len()",
    "%v[%e]",
    "%v.a",
    "%v.call(%e)",
    "Fn(\"check\")",
    "if %e { %e } else { %e }",
    "do { %s } while false",
    "levels(%e)",
    "needed_by(%e, %e)",
    "both(%e, %e)",
    "chunks(%e, %e)",
    "machines(%e)",
    "group(t, || { %s })",
    "%v.after(%e)",
    "%v.or(%e)",
    "()",
    "1",
    "-1",
    "9223372036854775807",
    "1.5",
    "true",
    "\"web-02\"",
    "\"5m\"",
    "\"64MiB\"",
    "'x'",
    "options(%e, %e, %e, %e)",
    "pick(%e, %e)",
    "longer(%e, %e)",
    "param(\"p\", %e)",
];

const OPTIONS: &[&str] = &[
    "#{}",
    "#{ timeout: \"5m\" }",
    "#{ timeout: %e, retry: #{ attempts: %e } }",
    "#{ id: %e, optional: %e }",
    "#{ name: %e, on_timeout: \"go_on\" }",
    "#{ mode: \"full\", bandwidth: %e }",
    "#{ check: |x| %e, host: %e, hold: %e }",
    "#{ size: 2, pipeline: true }",
    "#{ argv: [\"true\"], on: \"homing\", undo: [\"true\"] }",
    "#{ scope: \"all\", %v: %e }",
    "#{ at_most: %e, on_failure: \"halt\", deadline: %e }",
    "#{ not_before: %e, no_shutdown_after: \"Sun 04:00 Europe/Berlin\" }",
    "#{ max_failed: %e, on_failed: %e }",
    "#{ where: %e, allow_empty: true }",
    "%e",
];

/// Compiles a script twice and fails when it does not end as every script must.
pub fn judge(script: &str) {
    let began = Instant::now();
    let first = outcome(script);
    let took = began.elapsed();
    assert!(took < LONGEST, "{took:?} for\n{script}");
    // A limit of time is met sooner or later by chance: what was found until then is not compared.
    let limited = first.diagnostics.iter().any(|mistake| mistake.code == "H140");
    if limited {
        return;
    }
    let again = outcome(script);
    assert_eq!(first.diagnostics, again.diagnostics, "for\n{script}");
    let digest = |one: &Compiled| one.plan.as_ref().map(|plan| plan.digest().clone());
    assert_eq!(digest(&first), digest(&again), "for\n{script}");
}

fn outcome(script: &str) -> Compiled {
    let world = MemoryWorld([("plan.rhai".into(), script.to_owned())].into());
    let inventory = inventory();
    let observed = away(&inventory);
    let compiled = compile(
        &Request {
            world: &world,
            script: "plan.rhai".into(),
            params: &BTreeMap::new(),
            inventory: &inventory,
            facts: &FactLog::new(&observed),
            allocated: Some(allocated_bytes),
            spent: Duration::ZERO,
        },
        &History::default(),
    );
    let failed = any_error(&compiled.diagnostics);
    assert_eq!(failed, compiled.plan.is_none(), "silent: {:?}\n{script}", compiled.diagnostics);
    for mistake in &compiled.diagnostics {
        assert!(codes::find(&mistake.code).is_some(), "{mistake:?}\n{script}");
        assert!(!mistake.message.trim().is_empty(), "{mistake:?}\n{script}");
        let ours = mistake.message.contains("homing::") && !script.contains("homing::");
        assert!(!ours, "a type of ours: {mistake:?}\n{script}");
    }
    compiled
}

fn inventory() -> Inventory {
    let machine = |tier: &str, needs: &[&str]| machine(&[("tier", tier)], needs);
    let machines = [
        ("db-01", machine("db", &[])),
        ("web-01", machine("web", &["db-01"])),
        ("web-02", machine("web", &["db-01"])),
    ];
    let machines = machines.map(|(name, entry)| (MachineName::new(name).unwrap(), entry)).into();
    let mut inventory = Inventory { machines, ..Inventory::default() };
    inventory.limits.steps_max = 2_000;
    inventory
}
