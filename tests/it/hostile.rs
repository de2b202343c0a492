//! Scripts that mean harm: each ends with a diagnostic and exit 3, in a few seconds and under 512 MiB.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::Ground;

const MEMORY_KIB_MAX: u32 = 512 << 10;
/// What the sandbox counts itself is processor time; here others want the processor as well.
const LONGEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 5 });

/// Runs `check` on a script, with no more memory than it may take.
#[track_caller]
fn refused(script: &str, parts: &[&str]) {
    let ground = Ground::new();
    ground.write("hostile.rhai", script);
    let begun = Instant::now();
    let limited = format!("ulimit -d {MEMORY_KIB_MAX}; exec \"$0\" check hostile.rhai");
    let output = Command::new("sh")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_homing")])
        .current_dir(ground.path())
        .output()
        .unwrap();
    let took = begun.elapsed();
    let said = String::from_utf8(output.stderr).unwrap();
    let script: String = script.chars().take(200).collect();
    assert_eq!(output.status.code(), Some(3), "{script}\n{said}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` for {script}\n{said}");
    }
    assert!(took < LONGEST, "{took:?} for {script}");
}

#[test]
fn what_never_ends() {
    for script in [
        "loop { }",
        "for i in 0..9223372036854775807 { }",
        "let f = |f| f.call(f); f.call(f);",
        "fn f() { group(\"g\", || f()) } f();",
    ] {
        refused(script, &["H140", "hostile.rhai:1"]);
    }
}

#[test]
fn one_operation_that_is_the_work_of_millions() {
    refused(
        "let a = []; a.pad(10000, 7); a[5000] = 3; loop { a.sort(); a.reverse(); }",
        &["H140", "longer than"],
    );
    refused(
        "let s = \"\"; s.pad(4000000, 'a'); loop { s.replace(\"a\", \"b\"); s.replace(\"b\", \"a\"); }",
        &["H140", "longer than"],
    );
}

#[test]
fn memory_a_little_at_a_time() {
    let mut script = "fn f(a) {\n".to_owned();
    for nth in 0..900 {
        writeln!(script, "let v{nth} = a;").unwrap();
    }
    script.push_str("f(a);\n}\nlet a = []; a.pad(9999, 0); f(a);");
    refused(&script, &["H140", "needed more than"]);

    let mut script = "let s = \"\"; s.pad(4000000, 'x');\n".to_owned();
    for nth in 0..900 {
        writeln!(script, "let v{nth} = s + \"y\";").unwrap();
    }
    refused(&script, &["H140", "needed more than"]);
}

#[test]
fn values_that_grow_by_themselves() {
    for script in [
        "let s = \"x\"; loop { s += s; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a = [a, a]; }",
        "let m = #{ a: 1 }; loop { m = #{ a: m, b: m }; }",
    ] {
        refused(script, &["H140", "hostile.rhai:1"]);
    }
}

#[test]
fn plans_without_end() {
    for script in [
        "let m = vm(\"web-01\"); loop { snapshot(m); }",
        "let m = vm(\"web-01\"); loop { group(\"g\", || { check(m); check(vm(\"db-01\")); }); }",
        "let i = 0; loop { approve(\"x\", #{ name: `g${i}` }); i += 1; }",
        "let m = vm(\"web-01\"); let all = []; for i in 0..3000 { all.push(check(m)); }
         loop { check(m).after(all); }",
        "let i = 0; loop { vm(`web-${i}`); i += 1; }",
    ] {
        refused(script, &["H1"]);
    }
}

#[test]
fn texts_that_are_hard_to_read() {
    let deep = [("(", 500), ("[", 20_000), ("{", 20_000), ("!", 20_000), ("-", 20_000)];
    for (part, times) in deep {
        refused(&format!("let x = {};", part.repeat(times)), &["H1"]);
    }
    refused(&format!("let x = 1{};", " + 1".repeat(20_000)), &["H1"]);
    refused(&format!("let x = #{{}}; x{};", ".a".repeat(20_000)), &["H1"]);
    refused(&format!("if 1 == 2 {{}} {}", "else if 1 == 2 {} ".repeat(20_000)), &["H1"]);
    refused(&"let x = 1;\n".repeat(70_000), &["H1"]);
}

#[test]
fn imports_stay_in_the_folder_of_the_plan() {
    let ground = Ground::new();
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, ground.path().join(at)).unwrap();
    ground.write("outside.rhai", "fn f() { 1 }");
    ground.write("plans/lib/real.rhai", "fn f() { 1 }");
    link("../../outside.rhai", "plans/lib/escape.rhai");
    link("../..", "plans/lib/up");
    link("real.rhai", "plans/lib/inside.rhai");
    link("loop.rhai", "plans/lib/loop.rhai");
    for (import, code) in [
        ("lib/real", 0),
        ("lib/inside", 0),
        ("lib/escape", 3),
        ("lib/up/outside", 3),
        ("lib/loop", 3),
        ("/etc/hostname", 3),
        ("../outside", 3),
    ] {
        let script = format!("import \"{import}\" as it;\nif it::f() == 1 {{ barrier(); }}");
        ground.write("plans/plan.rhai", &script);
        let said = ground.homing(&["--config", "homing.toml", "check", "plans/plan.rhai"]);
        let said = said.exit(code);
        if code != 0 {
            said.says(&["plans/plan.rhai:1"]);
        }
    }
}
