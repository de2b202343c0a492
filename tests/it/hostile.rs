//! Scripts that mean harm: each ends with a diagnostic and exit 3, in a few seconds and under 512 MiB.
//!
//! Time is the processor's, as the sandbox counts it: here others want the processor as well. Memory is
//! all that the process had at most: the heap, the stack, and the program itself. The product's bounds are
//! asserted of a release build, by hand: `cargo test --release --test it hostile`.

use std::fmt::Write;
use std::process::Command;

use crate::support::Ground;

/// Without optimisation each call needs several times the stack.
const MEMORY_BYTES_MAX: u64 = if cfg!(debug_assertions) { 640 << 20 } else { 512 << 20 };
/// Without optimisation what is not the interpreter's own work takes several times as long.
const SECONDS_MAX: f64 = if cfg!(debug_assertions) { 20.0 } else { 5.0 };
/// What a person can be expected to scroll through.
const WORDS_MAX: usize = 150_000;

/// Runs `check` on what is there.
#[track_caller]
fn refused_in(ground: &Ground, script: &str, parts: &[&str]) {
    // The shell says what its child took of the processor.
    let timed = "\"$0\" -v check \"$1\" >/dev/null; code=$?; times; exit $code";
    let output = Command::new("sh")
        .args(["-c", timed, env!("CARGO_BIN_EXE_homing"), script])
        .env("RUST_BACKTRACE", "0")
        .current_dir(ground.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let begins: String = ground.read_lossy(script).chars().take(200).collect();
    let shown: String = said.chars().take(2_000).collect();
    let script = format!("{script}: {begins}");
    assert_eq!(output.status.code(), Some(3), "{script}: {shown}");
    for part in parts {
        assert!(said.contains(part), "no `{part}` for {script}: {shown}");
    }
    assert!(said.len() < WORDS_MAX, "{} bytes for {script}: {shown}", said.len());
    let memory = said.split(" bytes of memory at most").next().and_then(|t| t.rsplit(' ').next());
    let memory: u64 = memory.and_then(|bytes| bytes.parse().ok()).expect("its peak is told");
    assert!(memory < MEMORY_BYTES_MAX, "{memory} bytes for {script}");
    let times = String::from_utf8(output.stdout).unwrap();
    let of_child = times.lines().last().expect("two lines of times");
    let seconds: f64 = of_child.split_whitespace().map(seconds).sum();
    assert!(seconds < SECONDS_MAX, "{seconds} s for {script}");
}

/// `1m2.50s`
fn seconds(time: &str) -> f64 {
    let (minutes, seconds) = time.split_once('m').expect("minutes");
    let seconds: f64 = seconds.trim_end_matches('s').parse().expect("seconds");
    minutes.parse::<f64>().expect("minutes") * 60.0 + seconds
}

#[track_caller]
fn refused(script: &str, parts: &[&str]) {
    let ground = Ground::new();
    ground.write("hostile.rhai", script);
    refused_in(&ground, "hostile.rhai", parts);
}

/// Scripts that are stopped by the clock: without optimisation the first of them stands for the others,
/// which the same tests try with it.
fn in_time<'s>(scripts: &[&'s str]) -> Vec<&'s str> {
    let count = if cfg!(debug_assertions) { 1 } else { scripts.len() };
    scripts.iter().copied().take(count).collect()
}

#[test]
fn what_never_ends() {
    for script in [
        "loop { }",
        "for i in 0..9223372036854775807 { }",
        "for i in range(0, 10, 0) { }\nthrow 1",
        "let f = |f| f.call(f); f.call(f);",
        "fn f() { group(\"g\", || f()) } f();",
        "fn f() { attempt(|| f()) } f();",
        "fn f() { attempt(|| 1).always(|| f()) } f();",
        "fn f(c) { when(c, || f(c)) } f(check(vm(\"web-01\")).ok);",
        "fn f() { parallel(|| f()) } f();",
        "fn f() { [3, 2, 1].sort(|a, b| { f(); a - b }) } f();",
        "fn f(n) { [1].map(|x| [2].filter(|y| { f(n + 1); true })) } f(0);",
        "fn f() { this.f() } let x = 1; x.f();",
    ] {
        refused(script, &["H1", "hostile.rhai:"]);
    }
}

#[test]
fn one_operation_that_is_the_work_of_millions() {
    for script in in_time(&[
        "let a = []; a.pad(10000, 7); a[5000] = 3; loop { a.sort(); a.reverse(); }",
        "let s = \"\"; s.pad(1000000, 'a'); loop { s.replace(\"a\", \"b\"); s.replace(\"b\", \"a\"); }",
        "let a = []; a.pad(9990, 7); for i in 0..9990 { a[i] = i; } loop { a.dedup(); }",
        "let a = []; a.pad(9990, 7); loop { a.zip(a, |x, y| x); }",
        "let a = []; a.pad(9990, 7); loop { a == a; a.contains(8); a.index_of(8); }",
        // Each round has only what the one before left.
        "let a = []; a.pad(9990, 7); for i in 0..600 { a.contains(8); } vm(\"web-01\").replica;",
    ]) {
        refused(script, &["H140", "longer than"]);
    }
    for script in [
        "let s = \"\"; s.pad(1000000, 'a'); let t = s; s.replace(\"a\", t);",
        "let s = \"\"; s.pad(1000000, 'a'); s.replace('a', \"bbbbbbbbbbbbbbbbbbbbbbbbbbb\");",
        "let s = \"\"; s.pad(1000000, 'a'); s.replace(\"\", s);",
        "let s = \"x\"; s.pad(9223372036854775807, 'a');",
        "let a = []; a.pad(9223372036854775807, 1);",
        "let b = []; b.pad(10000, 0); let a = []; a.pad(10000, b);",
        "let s = \"\"; s.pad(1000000, 'a'); let a = s.split(\"\");",
        "let s = \"\"; s.pad(1000000, 'ß'); s.make_upper(); s += s;",
    ] {
        refused(script, &["H140", "too large"]);
    }
}

#[test]
fn memory_a_little_at_a_time() {
    let mut script = "fn f(a) {\n".to_owned();
    for nth in 0..900 {
        writeln!(script, "let v{nth} = a;").unwrap();
    }
    script.push_str("f(a);\n}\nlet a = []; a.pad(9999, 0); f(a);");
    refused(&script, &["H140"]);

    let mut script = "let s = \"\"; s.pad(1000000, 'x');\n".to_owned();
    for nth in 0..900 {
        writeln!(script, "let v{nth} = s + \"y\";").unwrap();
    }
    refused(&script, &["H140", "needed more than"]);
    let steps = "let s = \"\"; s.pad(999990, 'x'); let i = 0;
        loop { i += 1; approve(s + `${i}`, #{ name: `g${i}` }); }";
    for script in in_time(&[steps]) {
        refused(script, &["H140"]);
    }
}

#[test]
fn values_that_grow_by_themselves() {
    for script in [
        "let s = \"x\"; loop { s += s; }",
        "let s = \"x\"; loop { s = `${s}${s}`; }",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a = [a, a]; }",
        "let a = []; a.pad(9999, 1); loop { a.append(a); }",
        "let m = #{ a: 1 }; loop { m = #{ a: m, b: m }; }",
        "let f = |x| 0; loop { f = f.curry(f); }",
    ] {
        refused(script, &["H140", "hostile.rhai:1"]);
    }
}

#[test]
fn functions_that_hold_functions() {
    // To drop them the interpreter goes as deep as they are.
    for script in [
        "let f = || 0; for i in 0..100000 { let g = f; f = || g; } throw \"end\";",
        "fn w(g) { || g } let f = || 0; for i in 0..100000 { f = w(f); } throw \"end\";",
        "fn w(g) { [|| g] } let f = []; for i in 0..100000 { f = w(f); } throw \"end\";",
        "let f = || 0; for i in 0..100000 { let h = (); let g = || h; h = f; f = g; } throw \"end\";",
        "let f = || 0; for i in 0..100000 { const G = f; f = || G; } throw \"end\";",
        "let f = |x| 0; for i in 0..3000 { let g = |x| 0; f = g.curry(f); } throw \"end\";",
        "let a = []; for i in 0..3000 { a = [a]; } throw \"end\";",
    ] {
        refused(script, &["H105"]);
    }
    // As many as fit into memory: they must be dropped all the same.
    for script in in_time(&[
        "fn w(g) { [|| g] } let f = []; loop { f = w(f); }",
        "fn w(g) { #{ a: || g } } let f = #{}; loop { f = w(f); }",
        "let f = || 0; loop { let g = f; f = || g; }",
        "let f = || 0; loop { let h = (); let g = || h; h = f; f = g; }",
    ]) {
        refused(script, &["H140"]);
    }
}

#[test]
fn depth_upon_depth() {
    for (open, times, close) in
        [("{", 50, "}"), ("if true {", 28, "}"), ("for i in 0..1 {", 28, "}")]
    {
        let script = format!("fn f() {{ {}f(){} }} f();", open.repeat(times), close.repeat(times));
        refused(&script, &["H140"]);
    }
    let script =
        format!("fn f() {{ let x = {}f(){}; x }} f();", "(1 + ".repeat(28), ")".repeat(28));
    refused(&script, &["H140"]);
    let scopes = ["group(\"g\", || {", "attempt(|| {", "parallel(|| {"];
    for open in scopes {
        let script = format!("fn f() {{ {}f(){} }} f();", open.repeat(14), "})".repeat(14));
        refused(&script, &["H140"]);
    }
}

#[test]
fn plans_without_end() {
    for script in in_time(&[
        "let m = vm(\"web-01\"); loop { snapshot(m); }",
        "let m = vm(\"web-01\"); loop { group(\"g\", || { check(m); check(vm(\"db-01\")); }); }",
        "let i = 0; loop { approve(\"x\", #{ name: `g${i}` }); i += 1; }",
        "let m = vm(\"web-01\"); let all = []; for i in 0..3000 { all.push(check(m)); }
         loop { check(m).after(all); }",
        "let i = 0; loop { vm(`web-${i}`); i += 1; }",
        "let m = vm(\"web-01\"); let all = []; for i in 0..9999 { all.push(check(m)); }
         loop { barrier(all); }",
        "let m = vm(\"web-01\"); let e = check(m).ok; loop { e = e & e; }",
        "let i = 0; loop { param(`p${i}`, 1); i += 1; }",
    ]) {
        refused(script, &["H1"]);
    }
}

#[test]
fn mistakes_without_end() {
    for script in in_time(&[
        "loop { vm(\"web-02x\"); }",
        "let s = \"\"; s.pad(900000, 'a'); let i = 0; loop { i += 1; vm(s + `${i}`); }",
        "let s = \"\"; s.pad(900000, 'a'); let m = vm(\"web-01\"); let i = 0;
         loop { i += 1; snapshot(m, #{ id: s + `${i}` }); }",
        "let m = vm(\"web-01\"); let i = 0; loop { i += 1; let o = #{}; o[`k${i}`] = 1; snapshot(m, o); }",
        "let o = #{}; for i in 0..9999 { o[`k${i}`] = 1; } snapshot(vm(\"web-01\"), o);",
        "let s = \"\"; s.pad(1000000, 'a'); throw s;",
        "let s = \"\"; s.pad(1000000, 'a'); vms(s);",
        "let s = \"a=b\"; for i in 0..100000 { s += \",a=b\"; } vms(s);",
        "let s = \"\"; s.pad(1000000, 'é'); loop { s[999]; s.sub_string(5, 900000); }",
    ]) {
        refused(script, &["hostile.rhai:"]);
    }
}

#[test]
fn texts_that_are_hard_to_read() {
    let deep = [("(", 500), ("[", 20_000), ("{", 20_000), ("!", 20_000), ("-", 20_000)];
    for (part, times) in deep {
        refused(&format!("let x = {};", part.repeat(times)), &["H1"]);
    }
    for part in ["`${", "#{a:", "||", "|a|", "if ", "do { ", "throw ", "return ", "x = "] {
        refused(&format!("let x = 1; x = {}", part.repeat(10_000)), &["H1"]);
    }
    for part in [" + 1", " ** 1", " ?? 1", " && true"] {
        refused(&format!("let x = true{};", part.repeat(10_000)), &["H1"]);
    }
    refused(&format!("let x = #{{}}; x{};", ".a".repeat(20_000)), &["H1"]);
    refused(&format!("let x = []; x{};", "[0]".repeat(20_000)), &["H1"]);
    refused(&format!("if 1 == 2 {{}} {}", "else if 1 == 2 {} ".repeat(20_000)), &["H1"]);
    refused(&"let x = 1;\n".repeat(70_000), &["H1"]);
    refused(&format!("let x = \"{}\";", "a".repeat(70_000)), &["H140"]);
    refused(&"/*".repeat(500_000), &["H1"]);
    let names = |count: u32, line: fn(u32) -> String| (0..count).map(line).collect::<String>();
    refused(&names(5_000, |n| format!("let v{n} = {n};\n")), &["H140", "variables"]);
    refused(&names(5_000, |n| format!("fn f{n}() {{ {n} }}\n")), &["H1"]);
    let options = names(20_000, |n| format!("k{n}: 1,\n"));
    refused(&format!("snapshot(vm(\"web-01\"), #{{ {options} }});"), &["H140"]);
}

#[test]
fn characters_that_lie() {
    for script in [
        "approve(\"a\u{202e} b\");",
        "/* \u{2066} */ check(vm(\"web-01\"));",
        "check(vm(\"web-01\")); // \u{200b}",
        "approve(\"\u{1b}[2J\u{1b}[31mhello\");",
        "approve(\"\\u202e hello\");",
        "approve(\"\\x1b[2Jhello\");",
        "approve(\"a\0b\");",
        "check(vm(\"web-01\"));\0",
        "approve(\"\u{fdd0}0\u{fdd1}\");",
    ] {
        refused(script, &["H149", "hostile.rhai:1"]);
    }
    refused("let m = vm(\"wеb-01\");", &["H110"]);
}

#[test]
fn numbers_at_their_ends() {
    for script in [
        "let x = 2 ** 9223372036854775807;",
        "let x = -9223372036854775807 - 1; x / -1",
        "let x = -9223372036854775807 - 1; x.abs()",
        "let x = -9223372036854775807 - 1; -x",
        "let x = 1; x <<= 70; throw x",
        "parse_int(\"12\", 99)",
        "1 / 0",
        "1 % 0",
        "let s = \"aé\"; s.crop(1, 9223372036854775807); s.sub_string(-9223372036854775807, 9); throw s",
        "let a = [1]; a.insert(9223372036854775807, 1); a.splice(-5, 9223372036854775807, [1]); throw a",
        "for i in range(0, 9223372036854775807, 9223372036854775806) { } throw 1",
    ] {
        refused(script, &["H1"]);
    }
}

#[test]
fn a_function_that_fails_or_answers_nonsense_is_not_ignored() {
    for script in [
        "let m = vm(\"web-01\"); [3, 1, 2].sort(|a, b| a.nope < b.nope); check(m);",
        "let m = vm(\"web-01\"); [3, 1, 2].sort(|a, b| \"x\"); check(m);",
        "let m = vm(\"web-01\"); let l = [m].filter(|x| check(x).ok); check(m);",
        "let m = vm(\"web-01\"); let l = [m]; l.retain(|x| 1); check(m);",
        "let m = vm(\"web-01\"); if [m].some(|x| \"yes\") { check(m); }",
        "let m = vm(\"web-01\"); [m, m].dedup(|a, b| 1); check(m);",
    ] {
        refused(script, &["H1", "hostile.rhai:1"]);
    }
    let ground = Ground::new();
    ground.write(
        "kind.rhai",
        r#"let n = [3, 1, 2]; n.sort(|a, b| b - a);
           let m = [1, 2, 3]; m.sort(|a, b| a > b); let all = [];
           for i in 0..300 { all.push(i); } all.sort(|a, b| -1); all.sort(|a, b| true);
           let d = [1, 1, 2]; d.dedup(|a, b| a == b); let r = [1, 2, 3]; let gone = r.drain(|x| x < 3);
           let t = "a-b"; t.replace("-", "+"); t.replace('b', "cc");
           let found = [n, m, d, r, gone, t, [5, 6].filter(|x, i| i == 1), [5, 6].find(|x| x > 5),
               [5, 6].index_of(|x| x == 6), [5].some(|x| x == 5), [5].all(|x| x == 6), all.len()];
           throw found"#,
    );
    let wanted =
        ["[[3, 2, 1], [3, 2, 1], [1, 2], [3], [1, 2], a+cc,", "[6], 6, 1, true, false, 300]"];
    ground.homing(&["check", "kind.rhai"]).exit(3).says(&wanted);
}

#[test]
fn sets_of_twenty_thousand_machines() {
    let ground = Ground::new();
    let machine = "cloud = \"azure\"\nonprem = \"dc1/hv-01\"\ndisks = [\"1MiB\"]\n";
    let more = format!("\n[machines.\"app-{{00001..19997}}\"]\n{machine}needs = [\"db-01\"]\n");
    let inventory = ground.read("homing.toml");
    ground.write("homing.toml", &format!("{inventory}{more}"));
    for (nth, script) in in_time(&[
        "let all = vms(\"\"); for a in all { for b in all { a == b; } }",
        "let all = vms(\"\"); loop { levels(all); }",
        "let all = vms(\"\"); let db = vm(\"db-01\"); loop { needed_by(db, all); }",
        "let all = vms(\"\"); let l = []; for m in all { l.push(m); }",
        "let all = vms(\"\"); loop { both(all, all); machines(all); }",
        "let all = vms(\"\"); for m in all { for i in 0..100 { check(m); } }",
    ])
    .iter()
    .enumerate()
    {
        let name = format!("sets{nth}.rhai");
        ground.write(&name, script);
        refused_in(&ground, &name, &["H140"]);
    }
}

#[test]
fn files_that_are_no_scripts() {
    let ground = Ground::new();
    let path = |name: &str| ground.path().join(name);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("fifo.rhai"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    std::fs::create_dir(path("folder.rhai")).unwrap();
    std::fs::write(path("binary.rhai"), [0x7f, b'E', b'L', b'F', 0, 0xff, 0xfe]).unwrap();
    std::fs::write(path("latin.rhai"), b"// caf\xe9\n").unwrap();
    std::fs::write(path("giant.rhai"), "// x\n".repeat(1 << 20)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", path("zero.rhai")).unwrap();
    std::os::unix::fs::symlink("me.rhai", path("me.rhai")).unwrap();
    for name in ["fifo", "folder", "binary", "latin", "giant", "zero", "me"] {
        // What cannot be read at all is a mistake in the command.
        ground.homing(&["check", &format!("{name}.rhai")]).exit(2).says(&["H150"]);
        let import = format!("import \"{name}\" as it;\ncheck(vm(\"web-01\"));");
        ground.write("plan.rhai", &import);
        refused_in(&ground, "plan.rhai", &["H12", "plan.rhai:1"]);
    }
}

#[test]
fn imports_that_go_round_or_never_end() {
    let ground = Ground::new();
    ground.write("me.rhai", "import \"me\" as me;");
    refused_in(&ground, "me.rhai", &["H122", "me -> me"]);
    ground.write("a.rhai", "import \"lib/b\" as b;");
    ground.write("lib/b.rhai", "import \"../a\" as a;");
    refused_in(&ground, "a.rhai", &["H122", "a -> lib/b -> a"]);
    for nth in 0..150 {
        ground.write(&format!("c{nth}.rhai"), &format!("import \"c{}\" as next;", nth + 1));
    }
    refused_in(&ground, "c0.rhai", &["H140", "more than 100 files"]);
    let wide: String = (0..150).map(|n| format!("import \"w{n}\" as w{n};\n")).collect();
    for nth in 0..150 {
        ground.write(&format!("w{nth}.rhai"), "fn f() { 1 }");
    }
    ground.write("wide.rhai", &wide);
    refused_in(&ground, "wide.rhai", &["H140", "more than 100 files"]);
    for nth in 0..20 {
        ground.write(&format!("long{nth}.rhai"), &"// a line\n".repeat(5_000));
    }
    let long: String = (0..20).map(|n| format!("import \"long{n}\" as l{n};\n")).collect();
    ground.write("long.rhai", &long);
    refused_in(&ground, "long.rhai", &["H140", "lines"]);
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
    link("/dev/zero", "plans/lib/zero.rhai");
    for (import, code) in [
        ("lib/real", 0),
        ("lib/inside", 0),
        ("lib/escape", 3),
        ("lib/up/outside", 3),
        ("lib/loop", 3),
        ("lib/zero", 3),
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
