//! A saved plan: the JSON of `plan --out`, and the way back. What is read is proved again.

mod args;
mod document;
mod read;
mod schema;
mod scopes;
mod seal;
mod unproved;
mod write;

pub use document::Document;
pub use read::{Loaded, load};
pub use schema::schema;
pub use unproved::Unproved;
pub use write::save;

/// Largest saved plan that is read, in bytes: more than a million steps.
pub const PLAN_BYTES_MAX: u64 = 1 << 30;

#[cfg(test)]
pub(crate) mod tests {
    //! A plan goes out and comes back the same, or not at all.

    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::base::{HostName, Json, MachineName, PlanId, SiteName, StepId};
    use crate::compile::estimate::estimate;
    use crate::diagnostic::{Diagnostic, any_error};
    use crate::plan::estimate::{Estimates, History};
    use crate::plan::expr::Expr;
    use crate::plan::facts::tests::away;
    use crate::plan::facts::{FactLog, Facts, HostFacts};
    use crate::plan::graph::tests::machine;
    use crate::plan::graph::{Plan, index};
    use crate::plan::inventory::{Inventory, MachineEntry};
    use crate::plan::scope::{Acknowledgement, Rules, Scope, ScopeIx, ScopeKind};
    use crate::plan::step::{Origin, Step, handle_to_json};
    use crate::primitives::contract::Subject;
    use crate::source::Span;
    use crate::verify::{Acknowledged, Verdict, VerifiedPlan, verify};

    /// Two machines; `web-01` needs `db-01`.
    pub(crate) fn inventory() -> Inventory {
        let site = |name: &str| SiteName::new(name).unwrap();
        let entry = |tier: &str, needs: Vec<MachineName>| MachineEntry {
            cloud: site("azure"),
            onprem: site("dc1"),
            host: HostName::new("hv-01").unwrap(),
            disks: vec![64 << 20],
            tags: [("tier".to_owned(), tier.to_owned())].into(),
            needs,
            rto_s: None,
            key: None,
            address: Default::default(),
            settings: Default::default(),
        };
        let (web, db) = (machine("web-01"), machine("db-01"));
        let machines =
            [(web, entry("web", vec![db.clone()])), (db, entry("db", Vec::new()))].into();
        Inventory { machines, ..Inventory::default() }
    }

    /// Both machines away, their host connected.
    pub(crate) fn facts() -> Facts {
        let host = HostFacts {
            connected: true,
            switches: Default::default(),
            isolated: Default::default(),
            free_bytes: 1 << 40,
        };
        let key = (SiteName::new("dc1").unwrap(), HostName::new("hv-01").unwrap());
        Facts {
            now: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            machines: [(machine("web-01"), away()), (machine("db-01"), away())].into(),
            hosts: [(key, host)].into(),
        }
    }

    /// A whole failback of one machine, with the catalogue's own primitives.
    pub(crate) fn proved() -> VerifiedPlan {
        let (inventory, facts) = (inventory(), facts());
        let log = FactLog::new(&facts);
        let snapshot = json!({ "from": handle_to_json(&id("web-01.snapshot")) });
        let steps = [
            ("web-01.snapshot", "snapshot", json!({})),
            ("web-01.first", "transfer_delta", snapshot),
            ("go", "approve", json!({ "message": "Go", "name": "go" })),
            ("web-01.stop", "shutdown_azure_vm", json!({})),
            ("web-01.final", "transfer_delta", json!({})),
            ("web-01.boot", "start_onprem_vm", json!({})),
            ("web-01.check", "check", json!({})),
            ("web-01.commit", "commit", json!({})),
        ];
        let mut plan = Plan { script: "draft.rhai".into(), ..Plan::default() };
        plan.params.insert("rate".into(), json!(0.30000000000000004));
        for (at, (name, primitive, args)) in steps.into_iter().enumerate() {
            let step = step(at, name, primitive, args, &inventory, &log);
            plan.steps.push(step);
        }
        let kind = ScopeKind::Group { name: "home".into() };
        plan.scopes.push(Scope { kind, first: index(3), end: index(7), ..Scope::plan() });
        plan.steps[3..7].iter_mut().for_each(|step| step.scope = ScopeIx(1));
        let verdict = verify(plan, &log, &inventory);
        assert!(!any_error(&verdict.diagnostics), "{:?}", verdict.diagnostics);
        verdict.plan.unwrap()
    }

    fn id(text: &str) -> StepId {
        StepId::new(text).unwrap()
    }

    fn step(
        at: usize,
        name: &str,
        primitive: &str,
        args: Json,
        inventory: &Inventory,
        log: &FactLog<'_>,
    ) -> Step {
        let primitive = crate::primitives::find(primitive).unwrap();
        let spec = primitive.spec();
        let own = name.starts_with("web-01").then(|| machine("web-01"));
        let subject = Subject { machine: own.as_ref(), inventory, facts: log };
        let effect = primitive.effect(&args, &spec.policy, &subject).unwrap();
        let before = |at: usize| at.checked_sub(1).map(index);
        // The gate waits; what follows it needs it, and the machine's step before.
        let after_gate = (at == 3).then(|| index(1));
        Step {
            id: id(name),
            primitive: spec.name,
            kind: spec.kind,
            args: args.into(),
            needs: after_gate.into_iter().chain(before(at).filter(|_| own.is_some())).collect(),
            waits: before(at).filter(|_| own.is_none()).into_iter().collect(),
            machine: own,
            follows: Vec::new(),
            scope: ScopeIx::PLAN,
            undoes: None,
            effect,
            reversibility: spec.reversibility,
            optional: false,
            policy: Arc::new(spec.policy.clone()),
            origin: Arc::new(Origin { at: Span::point("draft.rhai".into(), 1, 1), via: [].into() }),
        }
    }

    /// What such a plan costs.
    pub(crate) fn costs(plan: &VerifiedPlan, history: &History) -> Estimates {
        let facts = facts();
        let log = FactLog::resting_on(&facts, &plan.plan().facts);
        estimate(plan.plan(), &inventory(), &log, history).estimates
    }

    /// The document of a plan of these tests.
    pub(crate) fn document(plan: &VerifiedPlan) -> Document {
        save(plan, &costs(plan, &History::default()), &PlanId::new("p1").unwrap())
    }

    /// Nothing has been observed, and nothing ran before.
    fn read(text: &str) -> Loaded {
        load(text, &inventory(), &Facts::default(), &|_| History::default())
    }

    fn saved() -> Json {
        serde_json::to_value(document(&proved())).unwrap()
    }

    fn codes(diagnostics: &[Diagnostic]) -> Vec<&str> {
        diagnostics.iter().filter(|one| one.is_error()).map(|one| &*one.code).collect()
    }

    #[test]
    fn it_comes_back_as_it_went_out_on_one_line_or_pretty() {
        let before = proved();
        let document = document(&before);
        for text in [document.text(), document.pretty()] {
            // Nothing has been observed yet: the plan is proved from what it rests on.
            let loaded = read(&text);
            assert!(!any_error(&loaded.diagnostics), "{:?}", loaded.diagnostics);
            let plan = loaded.plan.unwrap();
            assert_eq!(plan.digest(), before.digest());
            assert_eq!(plan.plan().scopes, before.plan().scopes);
            assert_eq!(loaded.facts, before.plan().facts);
            assert_eq!(loaded.plan_id.unwrap().as_str(), "p1");
            assert_eq!(loaded.machines, [machine("web-01")].into());
            let effects =
                |plan: &Plan| plan.steps.iter().map(|step| step.effect).collect::<Vec<_>>();
            assert_eq!(effects(plan.plan()), effects(before.plan()));
        }
    }

    #[test]
    fn the_document_is_as_other_tools_expect_it() {
        let document = saved();
        assert_eq!(document["homing_plan"], 2);
        assert_eq!(document["gates"], json!(["go"]));
        assert_eq!(document["point_of_no_return"], "web-01.commit");
        assert_eq!(document["steps"][2]["machine"], Json::Null);
        assert_eq!(document["steps"][3]["needs"], json!(["web-01.first", "go"]));
        assert_eq!(document["steps"][7]["reversibility"], "irreversible");
        assert_eq!(document["groups"][0]["steps"].as_array().unwrap().len(), 4);
        assert!(document["machines"]["web-01"]["downtime_s"].as_f64().unwrap() > 0.0);
        let replica = document["facts"].as_array().unwrap().iter().find(|f| f["fact"] == "replica");
        assert_eq!(replica.unwrap()["value"], "stale");
    }

    #[test]
    fn every_field_stands_in_alphabetical_order() {
        for plan in [proved(), proved_scoped()] {
            let document = document(&plan);
            let sorted = serde_json::to_value(&document).unwrap();
            assert_eq!(document.text(), sorted.to_string());
            assert_eq!(document.pretty(), format!("{sorted:#}\n"));
        }
    }

    #[test]
    fn a_warning_about_the_text_that_the_script_answers_comes_back() {
        let answered = |plan: VerifiedPlan, reason: &str| {
            let warning = Diagnostic::warning("H126", "once per machine").at(Span::point(
                "draft.rhai".into(),
                4,
                1,
            ));
            let answered = Acknowledged { warning, reason: reason.into() };
            let diagnostics = Vec::new();
            Verdict { plan: Some(plan), diagnostics }.and_answered(vec![answered]).plan.unwrap()
        };
        let mut plan = scoped();
        plan.acknowledged[0].code = "H126".into();
        let proved = verify(plan, &FactLog::new(&facts()), &inventory()).plan.unwrap();
        let before = answered(proved.clone(), "looked at");
        let text = document(&before).text();
        let loaded = read(&text);
        let plan = loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        assert_eq!(plan.acknowledged(), before.acknowledged());
        assert_eq!(plan.acknowledged().len(), 1);
        // One that the script does not answer is none.
        let text = document(&answered(proved, "whatever")).text();
        assert_eq!(codes(&read(&text).diagnostics), ["H164"]);
    }

    #[test]
    fn a_plan_is_read_for_comparison_without_an_inventory_but_not_a_changed_one() {
        for plan in [proved(), proved_scoped()] {
            let document = document(&plan);
            let read = Unproved::read(&document.pretty()).unwrap();
            assert_eq!(read.digest(), plan.digest());
            assert_eq!(read.plan().scopes, plan.plan().scopes);
            let estimates = costs(&plan, &History::default());
            assert_eq!(read.estimates(), &estimates);
            assert_eq!(read.no_return(), crate::compile::point_of_no_return(plan.plan()));
            let changed = document.text().replacen("draft", "graft", 1);
            assert_eq!(codes(&Unproved::read(&changed).unwrap_err()), ["H162"]);
        }
        let mut lying = saved();
        lying.as_object_mut().unwrap().remove("seal");
        lying["steps"][1]["args"]["mode"] = json!("full");
        lying["seal"] = json!(seal::seal(&lying));
        assert_eq!(codes(&Unproved::read(&lying.to_string()).unwrap_err()), ["H165"]);
    }

    #[test]
    fn any_byte_changed_is_refused() {
        any_byte_counts(&document(&proved()).text(), 1);
    }

    #[test]
    fn any_byte_of_a_pretty_plan_changed_is_refused() {
        let text = document(&proved()).pretty();
        // Its last newline may be missing.
        any_byte_counts(text.trim_end(), 7);
        for edited in [
            text.replacen("  ", " ", 1),
            text.replacen("\n  ", "\n   ", 1),
            text.replacen("\n  ", "\n \t", 1),
            text.replacen(": ", ":", 1),
            text.replacen("{}", "{ }", 1),
            text.replacen(",\n", ", \n", 1),
            text.replace('\n', "\r\n"),
            text.replace('\n', " "),
        ] {
            assert_ne!(edited, text);
            assert!(read(&edited).plan.is_none());
        }
    }

    #[test]
    fn the_seal_counts_only_in_its_place() {
        let mut plan = saved();
        let sealed = plan["seal"].take();
        plan.as_object_mut().unwrap().remove("seal");
        let first = format!("{{\"seal\":{sealed},{}", &plan.to_string()[1..]);
        let twice = saved().to_string().replacen('{', &format!("{{\"seal\":{sealed},"), 1);
        for text in [first, twice] {
            let loaded = read(&text);
            assert_eq!(codes(&loaded.diagnostics), ["H162"]);
        }
    }

    fn any_byte_counts(text: &str, every: usize) {
        let text = text.to_owned();
        for at in (0..text.len()).step_by(every) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
            let edited = String::from_utf8(bytes).unwrap();
            let loaded = read(&edited);
            assert!(loaded.plan.is_none(), "byte {at}");
            assert!(!loaded.diagnostics.is_empty(), "byte {at}");
        }
        for edited in
            [format!("{text} "), format!(" {text}"), text.replacen(':', ": ", 1), String::new()]
        {
            assert!(read(&edited).plan.is_none());
        }
    }

    /// Edits the document and seals it again, as somebody with this source could.
    fn forged(edit: impl FnOnce(&mut Json)) -> Vec<String> {
        forged_of(saved(), edit)
    }

    fn forged_of(mut document: Json, edit: impl FnOnce(&mut Json)) -> Vec<String> {
        document.as_object_mut().unwrap().remove("seal");
        edit(&mut document);
        document["seal"] = json!(seal::seal(&document));
        let loaded = read(&document.to_string());
        assert!(loaded.plan.is_none());
        codes(&loaded.diagnostics).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn what_a_forger_seals_again_is_proved_again() {
        assert_eq!(forged(|plan| plan["homing_plan"] = json!(1)), ["H161"]);
        assert_eq!(forged(|plan| plan["steps"][0]["primitive"] = json!("teleport")), ["H163"]);
        assert_eq!(forged(|plan| plan["steps"][1]["args"]["mood"] = json!("good")), ["H163"]);
        assert_eq!(forged(|plan| plan["steps"][1]["args"]["mode"] = json!("sideways")), ["H163"]);
        assert_eq!(forged(|plan| plan["steps"][1]["machine"] = json!("app-01")), ["H163"]);
        assert_eq!(forged(|plan| plan["steps"][3]["machine"] = Json::Null), ["H163"]);
        assert_eq!(forged(|plan| plan["steps"][1]["needs"] = json!(["web-01.commit"])), ["H163"]);
        assert_eq!(forged(|plan| plan["steps"][1]["guard"] = json!("x")), ["H160"]);
        let guard = json!({ "text": "x", "scopes": [] });
        assert_eq!(forged(|plan| plan["steps"][1]["guard"] = guard), ["H164"]);
        assert_eq!(forged(|plan| plan["steps"][1]["id"] = json!("web-01.snapshot")), ["H164"]);
        assert_eq!(forged(|plan| plan["steps"][4]["policy"]["attempts"] = json!(99)), ["H165"]);
        assert_eq!(forged(|plan| plan["steps"][4]["optional"] = json!(true)), ["H003"]);
        assert_eq!(forged(|plan| plan["plan_id"] = json!("")), ["H160"]);
    }

    /// A plan with every kind of scope, rule, edge and deferred value: checks, waits and messages, which
    /// no rule minds.
    pub(crate) fn scoped() -> Plan {
        let (inventory, facts) = (inventory(), facts());
        let log = FactLog::new(&facts);
        let ok = json!({ "of": "web-01.probe", "output": "ok" });
        let text = json!({ "text": ["it says ", { "deferred": { "of": "web-01.probe", "output": "detail" } }] });
        let steps = [
            ("web-01.probe", "check", json!({ "assert": false })),
            ("web-01.body", "check", json!({})),
            ("web-01.body2", "wait", json!({ "duration": "1s" })),
            ("web-01.undo", "wait", json!({ "duration": "2s" })),
            ("told", "approve", json!({ "message": text, "name": "told" })),
            ("web-01.always", "wait", json!({ "duration": "3s" })),
            ("web-01.then", "wait", json!({ "duration": "4s" })),
            ("web-01.else", "wait", json!({ "duration": "5s" })),
            ("web-01.end", "check", json!({})),
        ];
        let mut plan = Plan { script: "draft.rhai".into(), ..Plan::default() };
        for (at, (name, primitive, args)) in steps.into_iter().enumerate() {
            let mut step = step(at, name, primitive, args, &inventory, &log);
            (step.needs, step.waits) = (Vec::new(), Vec::new());
            plan.steps.push(step);
        }
        let cond: Arc<Expr> = Arc::new(
            serde_json::from_value(json!({ "op": "&", "args": [ok, { "value": true }] })).unwrap(),
        );
        let rules = Rules {
            halt: true,
            at_most: Some(4),
            at_most_per_host: Some(2),
            deadline_ms: Some(90_000),
            not_before: Some("Sat 22:00 Europe/Berlin".into()),
            no_shutdown_after: Some("Sun 04:00 Europe/Berlin".into()),
            drop_changed: Some(true),
        };
        let of = ScopeIx(1);
        let scopes = [
            (ScopeKind::Attempt { all: true, then_continue: false }, 0, 1, 3),
            (ScopeKind::Parallel, 1, 2, 3),
            (ScopeKind::Handler { of }, 0, 3, 4),
            (ScopeKind::Handler { of }, 0, 4, 5),
            (ScopeKind::Always { of }, 0, 5, 6),
            (ScopeKind::Group { name: "either".into() }, 0, 6, 8),
            (ScopeKind::When { cond: cond.clone(), is: true }, 6, 6, 7),
            (ScopeKind::When { cond, is: false }, 6, 7, 8),
            (ScopeKind::Group { name: "empty".into() }, 0, 9, 9),
        ];
        for (kind, parent, first, end) in scopes {
            let (first, end) = (index(first), index(end));
            plan.scopes.push(Scope {
                kind,
                parent: ScopeIx(parent),
                first,
                end,
                rules: rules.clone(),
            });
        }
        plan.scopes[0].rules = Rules { halt: true, ..Rules::default() };
        for (at, scope) in [0, 1, 2, 3, 4, 5, 7, 8, 0].into_iter().enumerate() {
            plan.steps[at].scope = ScopeIx(scope);
        }
        for (at, before) in [(1, 0), (2, 1), (6, 2), (7, 6), (8, 7)] {
            plan.steps[at].needs = vec![index(before)];
        }
        for (at, before) in [(3, 2), (4, 2), (5, 2)] {
            plan.steps[at].follows = vec![index(before)];
        }
        plan.steps[3].undoes = Some(index(2));
        plan.acknowledged.push(Acknowledgement {
            code: "H013".into(),
            reason: "looked at".into(),
            scope: ScopeIx(6),
            at: Span::point("draft.rhai".into(), 3, 1),
        });
        plan
    }

    pub(crate) fn proved_scoped() -> VerifiedPlan {
        let verdict = verify(scoped(), &FactLog::new(&facts()), &inventory());
        verdict.plan.unwrap_or_else(|| panic!("{:?}", verdict.diagnostics))
    }

    fn saved_scoped() -> Json {
        serde_json::to_value(document(&proved_scoped())).unwrap()
    }

    #[test]
    fn every_kind_of_scope_and_of_deferred_value_comes_back_as_it_went_out() {
        let before = proved_scoped();
        let loaded = read(&saved_scoped().to_string());
        let plan = loaded.plan.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        assert_eq!(plan.digest(), before.digest());
        let (plan, before) = (plan.plan(), before.plan());
        assert_eq!(plan.scopes, before.scopes);
        assert_eq!(plan.acknowledged, before.acknowledged);
        for (back, out) in plan.steps.iter().zip(&before.steps) {
            assert_eq!(
                (&back.id, &back.args, back.scope, back.undoes),
                (&out.id, &out.args, out.scope, out.undoes)
            );
            assert_eq!(
                (&back.needs, &back.waits, &back.follows),
                (&out.needs, &out.waits, &out.follows)
            );
        }
        assert_eq!(document(&proved_scoped()).text(), saved_scoped().to_string());
    }

    #[test]
    fn a_guard_is_in_words() {
        let document = saved_scoped();
        let guard = |at: usize| &document["steps"][at]["guard"];
        assert_eq!(*guard(0), Json::Null);
        let undo = "if attempt.1 failed, and if web-01.body2 was begun";
        assert_eq!(*guard(3), json!({ "text": undo, "scopes": ["handler.1"] }));
        let not = "when not web-01.probe.ok & true";
        assert_eq!(*guard(7), json!({ "text": not, "scopes": ["when.2"] }));
        assert_eq!(document["groups"].as_array().unwrap().len(), 1, "an empty one is none");
    }

    #[test]
    fn scopes_that_do_not_fit_the_steps_are_refused() {
        type Edit = fn(&mut Json);
        let edits: &[(&str, Edit)] = &[
            ("H164", |plan| plan["scopes"][1]["steps"] = json!(3)),
            ("H164", |plan| plan["scopes"][1]["steps"] = json!(99)),
            ("H164", |plan| plan["scopes"][1]["first"] = json!("web-01.probe")),
            ("H164", |plan| plan["scopes"][1]["first"] = json!("nobody")),
            ("H164", |plan| plan["scopes"][2]["within"] = json!("plan")),
            ("H164", |plan| plan["scopes"][2]["within"] = json!("when.1")),
            ("H164", |plan| plan["scopes"][2]["within"] = Json::Null),
            ("H164", |plan| plan["scopes"][3]["of"] = json!("parallel.1")),
            ("H164", |plan| plan["scopes"][3]["of"] = json!("attempt.7")),
            ("H164", |plan| plan["scopes"][3]["id"] = json!("handler.2")),
            ("H164", |plan| plan["scopes"][3]["kind"] = json!("always")),
            ("H164", |plan| plan["scopes"][7]["is"] = json!(false)),
            ("H164", |plan| {
                plan["scopes"][7]["cond"] = json!({ "of": "web-01.end", "output": "ok" });
            }),
            ("H164", |plan| {
                plan["scopes"][7]["cond"] = json!({ "of": "web-01.probe", "output": "mood" });
            }),
            ("H164", |plan| plan["scopes"][7]["cond"]["op"] = json!("!")),
            ("H164", |plan| plan["scopes"][0]["rules"]["at_most"] = json!(0)),
            ("H164", |plan| plan["steps"][1]["scope"] = json!("plan")),
            ("H164", |plan| plan["steps"][1]["scope"] = json!("attempt.2")),
            ("H164", |plan| plan["steps"][5]["undoes"] = json!("web-01.body")),
            ("H164", |plan| plan["steps"][5]["undoes"] = json!("web-01.body2")),
            ("H164", |plan| plan["steps"][3]["undoes"] = Json::Null),
            ("H163", |plan| plan["steps"][3]["undoes"] = json!("web-01.end")),
            ("H163", |plan| plan["steps"][3]["follows"] = json!(["web-01.end"])),
            ("H164", |plan| plan["groups"] = json!([])),
            ("H164", |plan| plan["gates"] = json!([])),
            ("H164", |plan| plan["acknowledged"][0]["scope"] = json!("group.9")),
            ("H160", |plan| plan["scopes"][1]["kind"] = json!("mood")),
            ("H160", |plan| plan["scopes"][1]["rules"]["mood"] = json!(true)),
            ("H163", |plan| {
                plan["steps"][2]["args"]["duration"] = json!({ "deferred": { "value": "1s" } });
            }),
            ("H163", |plan| {
                plan["steps"][4]["args"]["message"] =
                    json!({ "text": [{ "deferred": { "of": "web-01.end", "output": "ok" } }] });
            }),
            ("H163", |plan| plan["steps"][4]["args"]["message"] = json!({ "text": [7] })),
            ("H163", |plan| {
                plan["steps"][4]["args"]["message"] =
                    json!({ "deferred": { "op": "!", "args": [] } });
            }),
            ("H165", |plan| plan["scopes"][1]["rules"]["halt"] = json!(false)),
            ("H165", |plan| plan["scopes"][1]["then_continue"] = json!(true)),
            ("H165", |plan| plan["acknowledged"][0]["reason"] = json!("whatever")),
        ];
        for (at, (code, edit)) in edits.iter().enumerate() {
            assert_eq!(forged_of(saved_scoped(), edit), [*code], "edit {at}");
        }
    }

    #[test]
    fn other_files_are_refused_with_a_sentence() {
        for text in ["", "let web = vm(\"web-01\");", "[]", "{}", "{\"homing_plan\": 2}"] {
            let loaded = read(text);
            assert!(loaded.plan.is_none());
            assert!(["H160", "H162"].contains(&codes(&loaded.diagnostics)[0]), "{text}");
        }
    }
}
