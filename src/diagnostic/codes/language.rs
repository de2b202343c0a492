//! H1xx: mistakes in a script, its parameters or its imports. H150 to H159 are mistakes of the command line.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[
    CodeText {
        code: "H101",
        title: "the script does not parse",
        text: "The text is no script: a bracket, a comma, a reserved word. The place is where the parser gave up; the mistake is there or right before it.",
        wrong: Some(r#"snapshot(vm("web-01")"#),
        right: Some(r#"snapshot(vm("web-01"));"#),
    },
    CodeText {
        code: "H102",
        title: "no such function",
        text: "Neither the plan language, nor the script, nor what it imports has a function of this name. Functions of a module are called with its name: `failback::planned(m)`.",
        wrong: Some(r#"snapshto(vm("web-01"));"#),
        right: Some(r#"snapshot(vm("web-01"));"#),
    },
    CodeText {
        code: "H103",
        title: "no such name",
        text: "A variable or a key of a map that does not exist here. Functions do not see the variables around them: pass them in as arguments.",
        wrong: Some(
            r#"let web = vm("web-01");
fn copy() { snapshot(web); }
copy();"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
fn copy(m) { snapshot(m); }
copy(web);"#,
        ),
    },
    CodeText {
        code: "H104",
        title: "the wrong kind of value",
        text: "A value of another kind is needed here: a truth after `if`, a machine in a list of machines.",
        wrong: Some(
            r#"let web = vm("web-01");
if web.replica { snapshot(web); }"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
if web.replica == "stale" { snapshot(web); }"#,
        ),
    },
    CodeText {
        code: "H105",
        title: "the script fails",
        text: "The script stops by itself: it throws, divides by zero, asks for the fourth of three machines, or its machines need each other in a circle.",
        wrong: Some(
            r#"let web = vms("tier=web")[5];
snapshot(web);"#,
        ),
        right: Some(r#"for web in vms("tier=web") { snapshot(web); }"#),
    },
    CodeText {
        code: "H107",
        title: "known only while the plan runs",
        text: "A script is evaluated once, when the plan is made. What a step will find out (bytes sent, a check's answer) is not known then: `if`, `&&`, `||`, `in`, an option or an id cannot use it. It may stand in conditions (`when`, `fail_if`, `wait_until`), built with `== != < <= > >= + - * / & | !`, and in the text of a message. To decide now, read facts.",
        wrong: Some(
            r#"let last = transfer_delta(vm("web-01"));
if last.bytes_sent > 0 { approve("much"); }"#,
        ),
        right: Some(
            r#"let last = transfer_delta(vm("web-01"));
approve(`${last.bytes_sent} bytes are home: go on?`, #{ timeout: "8h" });"#,
        ),
    },
    CodeText {
        code: "H108",
        title: "a function hides a word of the plan language",
        text: "A function of the script with the name of a primitive would silently be called instead of it. Give it another name.",
        wrong: Some("fn commit(m) { }"),
        right: Some("fn finish(m) { commit(m); }"),
    },
    CodeText {
        code: "H109",
        title: "the plan ends early",
        text: "`return` at the top level ends the plan: what is written below is no part of it. Use `if` where that is meant.",
        wrong: Some(
            r#"let web = vm("web-01");
if web.replica == "stale" { return; }
snapshot(web);"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
if web.replica != "stale" { snapshot(web); }"#,
        ),
    },
    CodeText {
        code: "H110",
        title: "no such machine",
        text: "The inventory has no machine of this name.",
        wrong: Some(r#"commit(vm("wbe-01"));"#),
        right: Some(r#"commit(vm("web-01"));"#),
    },
    CodeText {
        code: "H111",
        title: "no selection",
        text: "`vms` selects by tags: `tier=web`, `tier=web, os!=windows`; an empty text is every machine.",
        wrong: Some(r#"vms("web");"#),
        right: Some(r#"vms("tier=web");"#),
    },
    CodeText {
        code: "H112",
        title: "a selection is empty",
        text: "No machine has all of these tags, or none is where it was asked for. A plan for nobody is seldom meant: say `allow_empty: true` where it is.",
        wrong: Some(r#"vms("tier=cache");"#),
        right: Some(r#"vms("tier=cache", #{ allow_empty: true });"#),
    },
    CodeText {
        code: "H113",
        title: "no such property",
        text: "A machine or a step has no value of this name. `homing primitives` lists all.",
        wrong: Some(r#"vm("web-01").replika;"#),
        right: Some(r#"vm("web-01").replica;"#),
    },
    CodeText {
        code: "H114",
        title: "a step is not a value",
        text: "Steps, groups and sets of machines are ordered and passed on; they are not compared, printed or computed with. The interpreter would answer `false` without a word.",
        wrong: Some(
            r#"let s = snapshot(vm("web-01"));
if s == 3 { }"#,
        ),
        right: Some(
            r#"let s = snapshot(vm("web-01"));
transfer_delta(s);"#,
        ),
    },
    CodeText {
        code: "H115",
        title: "a wrong argument",
        text: "A primitive was given too little, too much, or another kind of value. The help shows how it is called.",
        wrong: Some(r#"commit("web-01");"#),
        right: Some(r#"commit(vm("web-01"));"#),
    },
    CodeText {
        code: "H116",
        title: "no such option",
        text: "The options map has a key that nobody reads.",
        wrong: Some(r#"shutdown_azure_vm(vm("web-01"), #{ grase: "1m" });"#),
        right: Some(r#"shutdown_azure_vm(vm("web-01"), #{ grace: "1m" });"#),
    },
    CodeText {
        code: "H117",
        title: "a wrong option",
        text: "An option has another kind of value, is out of range, or is needed and missing. Durations are texts (`\"90s\"`, `\"5m\"`), sizes and rates too (`\"64MiB\"`, `\"200MiB/s\"`).",
        wrong: Some(r#"snapshot(vm("web-01"), #{ timeout: 5 });"#),
        right: Some(r#"snapshot(vm("web-01"), #{ timeout: "5m" });"#),
    },
    CodeText {
        code: "H118",
        title: "a parameter declared twice",
        text: "One parameter is declared in two ways. Declare it once, and pass its value on.",
        wrong: Some(
            r#"let tier = param("tier", "web");
let again = param("tier", "db");"#,
        ),
        right: Some(
            r#"let tier = param("tier", "web");
let again = tier;"#,
        ),
    },
    CodeText {
        code: "H119",
        title: "an id is used twice",
        text: "Ids of steps and names of gates are how people speak of them: each has one meaning. In a loop put the machine's name into it.",
        wrong: Some(
            r#"approve("a", #{ name: "go" });
approve("b", #{ name: "go" });"#,
        ),
        right: Some(
            r#"approve("a", #{ name: "go" });
approve("b", #{ name: "go-on" });"#,
        ),
    },
    CodeText {
        code: "H120",
        title: "an import cannot be read",
        text: "There is no such module, or its file cannot be read. Paths are relative to the importing file and leave `.rhai` out; `std/..` is the standard library.",
        wrong: Some(r#"import "std/fallback" as f;"#),
        right: Some(r#"import "std/failback" as f;"#),
    },
    CodeText {
        code: "H121",
        title: "an import leaves the plan's folder",
        text: "A plan reads its own folder and the standard library, nothing else: no absolute path, no `..` above the folder, no symbolic link out of it.",
        wrong: Some(r#"import "../elsewhere" as e;"#),
        right: Some(r#"import "lib/elsewhere" as e;"#),
    },
    CodeText {
        code: "H122",
        title: "a circular import",
        text: "Files that import each other in a circle have no beginning. Move what both need into a third.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H123",
        title: "an import that is computed, or whose name means another module already",
        text: "An import names its module as a plain text, so that what a plan is made of can be seen without running it. A name of a module means the same in the whole file.",
        wrong: Some(
            r#"let name = "std/failback";
import name as f;"#,
        ),
        right: Some(r#"import "std/failback" as f;"#),
    },
    CodeText {
        code: "H124",
        title: "a step at the top level of a module",
        text: "A module is evaluated once, however often it is imported; its steps would appear where nobody wrote them. Put them into a function.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H125",
        title: "`${..}` in double quotes",
        text: "Only texts in backticks fill `${..}` in.",
        wrong: Some(r#"approve("Commit ${1}");"#),
        right: Some("approve(`Commit ${1}`);"),
    },
    CodeText {
        code: "H126",
        title: "a loop that serialises",
        text: "A step that names no machine is a barrier. Written once per machine it makes each machine wait for the one before.",
        wrong: Some(r#"for m in vms() { snapshot(m); wait("1m"); }"#),
        right: Some(r#"for m in vms() { snapshot(m); wait(m, "1m"); }"#),
    },
    CodeText {
        code: "H127",
        title: "waiting for a later step",
        text: "A step waits for steps written before it. Write them in the order in which they wait.",
        wrong: Some(
            r#"let stop = shutdown_azure_vm(vm("web-01"));
let copy = snapshot(vm("db-01"));
stop.after(copy);"#,
        ),
        right: Some(
            r#"let copy = snapshot(vm("db-01"));
shutdown_azure_vm(vm("web-01")).after(copy);"#,
        ),
    },
    CodeText {
        code: "H128",
        title: "`print` shows nothing",
        text: "A script is evaluated when the plan is made, not while it runs: `print` would speak at the wrong time. Use `notify`.",
        wrong: Some(r#"print("home");"#),
        right: Some(r#"notify(#{ text: "home", command: ["/usr/local/bin/page"] });"#),
    },
    CodeText {
        code: "H140",
        title: "a limit",
        text: "A script is traced within limits on operations, time, memory, depth, sizes and steps, so that no script can hang the machine that plans. `[limits]` in the inventory raises those on steps and memory. The processor time is 3.5 s for all rounds of planning together, and a little more for each step that is written: it cannot be raised.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H141",
        title: "a part of an attempt or branch out of place",
        text: "`.on_failure(..)`, `.always(..)` and `.then_continue()` belong to the `attempt(..)` right before them, `.otherwise(..)` to its `when(..)`: each at most once, `on_failure` before `always`, `then_continue` behind an `on_failure`, and nothing written in between.",
        wrong: Some(
            r#"let web = vm("web-01");
attempt(|| { check(web, #{ side: "cloud" }); })
    .always(|| { notify(#{ text: "tried", command: ["/bin/true"] }); })
    .then_continue();"#,
        ),
        right: Some(
            r#"attempt(|| { approve("go on?", #{ timeout: "8h" }); })
    .on_failure(|| { notify(#{ text: "no", command: ["/bin/true"] }); })
    .always(|| { notify(#{ text: "asked", command: ["/bin/true"] }); });"#,
        ),
    },
    CodeText {
        code: "H142",
        title: "a rule of a scope said twice",
        text: "What `policy` says beyond `retry` and `timeout` holds for the whole scope that it stands in, so it is said once. An inner scope (`group`) may have rules of its own.",
        wrong: Some("policy(#{ at_most: 4 });\npolicy(#{ at_most: 8 });"),
        right: Some("policy(#{ at_most: 8 });\ngroup(\"db\", || { policy(#{ at_most: 4 }); });"),
    },
    CodeText {
        code: "H143",
        title: "an answer to no warning",
        text: "`acknowledge` answers a warning by its code, with a reason that whoever reviews the plan will read. It counts for the scope that it stands in; a warning that is about no step is answered outside every scope. Errors cannot be answered: what they refuse loses data or means nothing.",
        wrong: Some(r#"acknowledge("H001", "we are in a hurry");"#),
        right: Some(r#"acknowledge("H013", "the night shift answers when it comes");"#),
    },
    CodeText {
        code: "H144",
        title: "an undo that nothing would do",
        text: "`undo` of a command says how it is taken back where the `attempt` around it fails. Outside an attempt nothing ever would.",
        wrong: Some(
            r#"run_command(#{ argv: ["/usr/local/bin/dns-switch", "home"], undo: ["/usr/local/bin/dns-switch", "cloud"] });"#,
        ),
        right: Some(
            r#"attempt(|| {
    run_command(#{ argv: ["/usr/local/bin/dns-switch", "home"], undo: ["/usr/local/bin/dns-switch", "cloud"] });
});"#,
        ),
    },
    CodeText {
        code: "H145",
        title: "an output that may be missing",
        text: "The step whose output is read may not have run there: it is optional, or stands in a branch of `when` or in a handler. `.or(default)` says what holds then; a step that works with the other's handle belongs into the same branch.",
        wrong: Some(
            r#"let probe = check(vm("web-01"), #{ optional: true, timeout: "1m" });
approve(`web-01 says ${probe.detail}`, #{ timeout: "8h" });"#,
        ),
        right: Some(
            r#"let probe = check(vm("web-01"), #{ optional: true, timeout: "1m" });
approve(`web-01 says ${probe.detail.or("nothing")}`, #{ timeout: "8h" });"#,
        ),
    },
    CodeText {
        code: "H146",
        title: "a requirement does not hold",
        text: "The script says with `require` what must hold when the plan is made, and it does not. The words are the script's own.",
        wrong: Some(
            r#"let web = vm("web-01");
require(web.tags.tier == "db", "this plan is for databases");"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
require(web.tags.tier == "web", "this plan is for web servers");"#,
        ),
    },
    CodeText {
        code: "H147",
        title: "a function kept for later sees the last of a loop",
        text: "A function that is written in a loop and put into a list sees the loop's variable itself, not its value then: all of them see the last one. Functions that are called at once (`group`, a check) are not concerned.",
        wrong: Some(
            r#"let all = [];
for m in vms() { all.push(|| snapshot(m)); }
for one in all { one.call(); }"#,
        ),
        right: Some("for m in vms() { group(m.name, || { snapshot(m); }); }"),
    },
    CodeText {
        code: "H148",
        title: "a variable is changed inside `when`",
        text: "A script is evaluated once, when the plan is made: both branches of a condition that is known only later are written down then. A variable changed in one of them is changed, whatever the condition will be.",
        wrong: Some(
            r#"let probe = check(vm("web-01"), #{ assert: false, timeout: "1m" });
let bad = 0;
when(!probe.ok, || { bad += 1; });"#,
        ),
        right: Some(
            r#"let probe = check(vm("web-01"), #{ assert: false, timeout: "1m" });
when(!probe.ok, || { notify(#{ text: "bad", command: ["/bin/true"] }); });"#,
        ),
    },
    CodeText {
        code: "H149",
        title: "a character that nobody sees",
        text: "A script, or a text that it gives to a step, holds a character that is not shown, or that changes the direction or the place of what is: a control character, a mark of direction, a space without width. A reviewer would sign another text than the one that runs.",
        wrong: Some("approve(\"Complete\\u202E failover\");"),
        right: Some("approve(\"Complete failover\");"),
    },
    CodeText {
        code: "H150",
        title: "no such script",
        text: "The script that the command names cannot be read.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H151",
        title: "no such parameter",
        text: "`-p` gives a value for a parameter that the script does not declare. `homing check --params` lists those it has.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H152",
        title: "a parameter of the wrong kind",
        text: "The value given with `-p` is none of the kind that the script's default has.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H153",
        title: "a parameter out of range",
        text: "The value given with `-p` is none that the script allows.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H154",
        title: "a parameter is missing",
        text: "The script needs a value for this parameter: give it with `-p name=value`.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H155",
        title: "a module that cannot be run",
        text: "Only modules of the standard library with a `fn main()` run without a script.",
        wrong: None,
        right: None,
    },
    CodeText {
        code: "H190",
        title: "arguments that do not go together",
        text: "Each argument is of the right type, but together they mean nothing: two ways where one is wanted, an option that needs another, a `hold` as long as its `timeout`, an address that cannot be one. The help says what to write instead.",
        wrong: Some("check(vm(\"web-01\"), #{ tcp: 443, ledger: true });"),
        right: Some("check(vm(\"web-01\"), #{ tcp: 443 });"),
    },
];
