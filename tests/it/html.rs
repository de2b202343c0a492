//! The page for a review board, as a browser shows it; and the graph, as Graphviz draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Ground, have};

/// Longest time that a browser may take.
const LIMIT: Duration = Duration::from_secs(120);
const BROWSER: (&str, &str) = ("chromium", "apt-get install chromium");
const GRAPHVIZ: (&str, &str) = ("dot", "apt-get install graphviz");

/// An inventory of five hundred machines that are alike.
const RANGE: &str = r#"
[site.azure]
provider = "lab"
path = ".homing/lab/azure"
bandwidth = "400MiB/s"

[site.dc1]
provider = "lab"
path = ".homing/lab/dc1"
hosts = { hv-01 = { switches = ["prod"] } }

[machines."app-{001..500}"]
cloud = "azure"
onprem = "dc1/hv-01"
disks = ["8MiB"]
rto = "10s"
lab = { writes_per_second = 10, failed_over = "12 days ago" }
"#;

/// The page of a script, written beside it; and the plan as data.
fn page(ground: &Ground, script: &str) -> (String, Value) {
    let html = ground.homing(&["plan", script, "--format", "html"]).exit(0).out;
    ground.write("page.html", &html);
    (html, ground.homing(&["plan", script, "--format", "json"]).exit(0).json())
}

/// Runs the browser over the page of a ground, a folder of its own beside it; what it printed, and what it
/// complained of.
#[track_caller]
fn browse(ground: &Ground, args: &[&str]) -> (String, String) {
    let profile = ground.path().join("profile");
    let mut command = Command::new(BROWSER.0);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // What it would ask for of its own accord stays here.
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .args(["--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(args)
        .arg(format!("file://{}", ground.path().join("page.html").display()));
    let err = std::fs::File::create(ground.path().join("browser.err")).unwrap();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(err).spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (sender, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        // Nobody listens any more where it took too long.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    let said = said.recv_timeout(LIMIT);
    if said.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    std::fs::remove_dir_all(&profile).ok();
    let err = ground.read_lossy("browser.err");
    assert!(status.success(), "{status:?}: {err}");
    (said.expect("it took too long"), err)
}

/// The values of an attribute, in order.
fn values<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
    let begin = format!(" {attribute}=\"");
    page.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// What stands between these tags, in order.
fn inside<'p>(page: &'p str, open: &str, close: &str) -> Vec<&'p str> {
    page.split(open).skip(1).map(|rest| rest.split(close).next().unwrap()).collect()
}

/// Fails the test unless links lead somewhere, ids are unique, headings are in order, and there is no script.
#[track_caller]
fn is_sound(dom: &str) {
    let ids = values(dom, "id");
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "an id twice");
    let links = values(dom, "href");
    assert!(links.len() > 50, "{links:?}");
    for link in links {
        let target = link.strip_prefix('#').unwrap_or_else(|| panic!("a link outside: {link}"));
        assert!(unique.contains(target), "no target: {link}");
    }
    for named in values(dom, "aria-labelledby").iter().flat_map(|names| names.split(' ')) {
        assert!(unique.contains(named), "no name: {named}");
    }
    assert!(!dom.contains("<script") && !dom.contains(" src=") && !dom.contains("@import"));
    let mut last = 0;
    for heading in dom.split("<h").skip(1).filter_map(|rest| rest.get(..1)?.parse::<u8>().ok()) {
        assert!(heading <= last + 1, "h{heading} after h{last}");
        last = heading;
    }
    assert_eq!(dom.matches("<h1").count(), 1);
    for landmark in ["<header", "<nav", "<main", "<footer"] {
        assert_eq!(dom.matches(landmark).count(), 1, "{landmark}");
    }
    assert_eq!(dom.matches("<table").count(), dom.matches("<caption").count());
    assert_eq!(
        dom.matches("<svg").count(),
        dom.matches("role=\"img\"").count() + dom.matches("<svg width").count()
    );
}

/// Fails the test unless every step of the plan stands on the page: by itself, or in a group with its machine.
#[track_caller]
fn has_every_step(dom: &str, plan: &Value) {
    let mut shown: BTreeSet<String> = BTreeSet::new();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for article in inside(dom, "<article", "</article>") {
        let ids: Vec<&str> =
            values(article, "id").into_iter().filter_map(|id| id.strip_prefix("step-")).collect();
        let title = inside(article, "<h4", "</h4>")[0].split('>').nth(1).unwrap();
        let listed = inside(article, "</summary><p>", "</p>");
        let list = listed.first().copied().unwrap_or(title.rsplit(": ").next().unwrap());
        let machines: Vec<String> = list.split(", ").map(str::to_owned).collect();
        for id in ids {
            shown.insert(id.to_owned());
            let first = machines[0].as_str();
            if let Some(rest) = id.strip_prefix(first) {
                names.entry(rest.to_owned()).or_default().extend(machines.iter().cloned());
            }
        }
    }
    let names: BTreeMap<String, BTreeSet<String>> =
        names.into_iter().map(|(rest, all)| (rest, all.into_iter().collect())).collect();
    for step in plan["steps"].as_array().unwrap() {
        let id = step["id"].as_str().unwrap();
        let grouped = step["machine"].as_str().is_some_and(|machine| {
            let rest = id.strip_prefix(machine).unwrap_or(id);
            names.get(rest).is_some_and(|all| all.contains(machine))
        });
        assert!(shown.contains(id) || grouped, "{id} is missing");
    }
}

/// What a page asked for over the network. What the browser asks for of its own accord has no origin.
fn asked(log: &Path) -> Vec<String> {
    let log: Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
    let start = &log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"];
    assert!(start.is_u64());
    let events = log["events"].as_array().unwrap().iter().filter(|event| event["type"] == *start);
    let ours = events.filter(|event| event["params"]["initiator"] != "not an origin");
    let urls = ours.filter_map(|event| event["params"]["url"].as_str());
    urls.filter(|url| !url.starts_with("file:")).map(str::to_owned).collect()
}

const SECTIONS: [&str; 8] =
    ["summary", "machines", "timeline", "graph", "steps", "script", "facts", "rules"];

/// Fails the test unless the browser shows the page whole, alone, and without a complaint.
#[track_caller]
fn is_shown(ground: &Ground, plan: &Value) -> String {
    let log = ground.path().join("net.json");
    let (dom, err) = browse(ground, &["--dump-dom", &format!("--log-net-log={}", log.display())]);
    assert!(!err.contains("CONSOLE"), "{err}");
    assert_eq!(asked(&log), Vec::<String>::new(), "it asks for something else");
    for section in SECTIONS {
        assert!(dom.contains(&format!("<section id=\"{section}\"")), "{section}");
    }
    assert_eq!(dom.matches(plan["digest"].as_str().unwrap()).count(), 2, "top and bottom");
    for rule in plan["rules"].as_array().unwrap() {
        assert!(dom.contains(&format!("<code>{}</code>", rule.as_str().unwrap())), "{rule}");
    }
    is_sound(&dom);
    has_every_step(&dom, plan);
    dom
}

#[test]
fn a_page_that_asks_for_more_is_noticed() {
    if !have(&[BROWSER.0], BROWSER.1) {
        return;
    }
    let ground = Ground::new();
    ground.write("page.html", "<!doctype html><img src=\"http://else.invalid/x.png\">");
    let log = ground.path().join("net.json");
    browse(&ground, &["--dump-dom", &format!("--log-net-log={}", log.display())]);
    assert_eq!(asked(&log), ["http://else.invalid/x.png"]);
}

#[test]
fn three_machines_on_a_page() {
    if !have(&[BROWSER.0], BROWSER.1) {
        return;
    }
    let ground = Ground::new();
    let (html, plan) = page(&ground, "failback.rhai");
    assert_eq!(html, page(&ground, "failback.rhai").0, "the same plan, the same bytes");
    let dom = is_shown(&ground, &plan);
    assert!(dom.contains("href=\"#failback.rhai-15\"") && dom.contains("id=\"failback.rhai-15\""));
    assert!(dom.contains("azure → dc1"));
    let picture = ground.path().join("page.png");
    for size in ["1200,1000", "360,800"] {
        let shot = format!("--screenshot={}", picture.display());
        browse(&ground, &[&shot, &format!("--window-size={size}")]);
        assert!(std::fs::metadata(&picture).unwrap().len() > 10_000, "{size}");
        std::fs::remove_file(&picture).unwrap();
    }
    let paper = ground.path().join("page.pdf");
    browse(&ground, &[&format!("--print-to-pdf={}", paper.display()), "--no-pdf-header-footer"]);
    assert!(std::fs::read(&paper).unwrap().starts_with(b"%PDF"));
}

#[test]
fn five_hundred_machines_on_a_page() {
    if !have(&[BROWSER.0], BROWSER.1) {
        return;
    }
    let ground = Ground::new();
    ground.write("homing.toml", RANGE);
    let (html, plan) = page(&ground, "failback.rhai");
    assert!(plan["steps"].as_array().unwrap().len() > 4000);
    assert!(html.len() < 400_000, "{} bytes", html.len());
    let dom = is_shown(&ground, &plan);
    assert!(dom.contains("The downtime of 500 machines exceeds its rto."));
    assert!(dom.contains("500: app-{001..500}"));
}

#[test]
fn nothing_wide_makes_the_page_scroll_sideways() {
    if !have(&[BROWSER.0], BROWSER.1) {
        return;
    }
    let ground = Ground::new();
    let (html, _) = page(&ground, "failback.rhai");
    // A page has no script; this one, made for the test, measures itself.
    let measured = html
        .replacen("default-src 'none'; style", "default-src 'none'; script-src 'unsafe-inline'; style", 1)
        .replacen(
            "</body>",
            "<script>document.title = 'wide ' + (document.documentElement.scrollWidth - innerWidth)</script></body>",
            1,
        );
    ground.write("page.html", &measured);
    let (dom, _) = browse(&ground, &["--dump-dom", "--window-size=360,800"]);
    let wide: i64 = inside(&dom, "<title>wide ", "<")[0].parse().unwrap();
    assert!(wide <= 0, "{wide} pixels too wide");
}

/// The text of a graph as Graphviz draws it.
#[track_caller]
fn drawn(dot: &str, folder: &Path) -> String {
    let mut command = Command::new(GRAPHVIZ.0);
    command.arg("-Tsvg").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(dot.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{dot}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn graphviz_draws_every_script() {
    if !have(&[GRAPHVIZ.0], GRAPHVIZ.1) {
        return;
    }
    let ground = Ground::new();
    let qemu = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/qemu.toml");
    std::fs::copy(qemu, ground.path().join("qemu.toml")).unwrap();
    for script in
        ["failback", "failback-one", "alternate-host", "full-download", "commit", "qemu-drill"]
    {
        let file = format!("{script}.rhai");
        let mut args = vec!["plan", &file, "--format", "dot"];
        if script == "qemu-drill" {
            args.extend(["--config", "qemu.toml"]);
        }
        let said = ground.homing(&args).exit(0);
        drawn(&said.out, ground.path());
        args.push("--full");
        let full = ground.homing(&args).exit(0).out;
        drawn(&full, ground.path());
        assert!(full.matches(" [label=").count() >= said.out.matches(" [label=").count());
    }
}

#[test]
fn graphviz_draws_hostile_names() {
    if !have(&[GRAPHVIZ.0], GRAPHVIZ.1) {
        return;
    }
    let ground = Ground::new();
    ground.write(
        "a\"] b\\.rhai",
        "approve(\"\\\"]; } digraph { x [label=\\\"\\\\N\", #{ name: \"ok\", timeout: \"1h\" });\nsnapshot(vm(\"web-01\"));\n",
    );
    let dot = ground.homing(&["plan", "a\"] b\\.rhai", "--format", "dot"]).exit(0).out;
    let svg = drawn(&dot, ground.path());
    assert!(svg.contains("Plan of a&quot;] b\\.rhai"), "{svg}");
    assert_eq!(svg.matches("<g id=\"node").count(), 2, "{svg}");
}

#[test]
fn a_page_of_what_people_write_stays_text() {
    let ground = Ground::new();
    ground.write(
        "hostile.rhai",
        "// </code></pre><script>alert(1)</script>\napprove(\"<img src=x onerror=alert(1)>\", #{ name: \"go\", timeout: \"1h\" });\nsnapshot(vm(\"web-01\"));\n",
    );
    let (html, _) = page(&ground, "hostile.rhai");
    assert!(html.contains("&lt;script&gt;alert(1)") && html.contains("&lt;img src=x"));
    is_sound_text(&html);
}

fn is_sound_text(html: &str) {
    assert!(!html.contains("<script") && !html.contains("<img"));
}
