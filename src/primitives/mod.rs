//! The catalogue: one file per primitive, holding its whole truth.
//!
//! In: what a script wrote. Out: specs to bind, sentences to show, work done at sites. Refuses to know:
//! Rhai, the journal, who schedules. Script binding, option checks, docs, dry run, rules and run all
//! derive from here; adding one touches its file and one line of the registry. Every file here but the
//! contract and the spec is a primitive; what several share stands in `work/`.

mod approve;
mod barrier;
mod check;
mod commit;
mod commit_failover;
pub mod contract;
mod create_onprem_vm;
mod declare_lost;
mod delete_copy;
mod delete_snapshot;
mod fail_if;
mod notify;
mod reverse_replicate;
mod run_command;
mod shutdown_azure_vm;
mod shutdown_onprem_vm;
mod snapshot;
pub mod spec;
mod start_azure_vm;
mod start_copy;
mod start_onprem_vm;
mod transfer_delta;
mod wait;
mod wait_until;
mod work;

use crate::primitives::contract::{AnyPrimitive, Erased};

/// Every primitive, sorted by name.
pub static ALL: &[&dyn AnyPrimitive] = &[
    &Erased::<approve::Approve>::new(),
    &Erased::<barrier::Barrier>::new(),
    &Erased::<check::Check>::new(),
    &Erased::<commit::Commit>::new(),
    &Erased::<commit_failover::CommitFailover>::new(),
    &Erased::<create_onprem_vm::CreateOnpremVm>::new(),
    &Erased::<declare_lost::DeclareLost>::new(),
    &Erased::<delete_copy::DeleteCopy>::new(),
    &Erased::<delete_snapshot::DeleteSnapshot>::new(),
    &Erased::<fail_if::FailIf>::new(),
    &Erased::<notify::Notify>::new(),
    &Erased::<reverse_replicate::ReverseReplicate>::new(),
    &Erased::<run_command::RunCommand>::new(),
    &Erased::<shutdown_azure_vm::ShutdownAzureVm>::new(),
    &Erased::<shutdown_onprem_vm::ShutdownOnpremVm>::new(),
    &Erased::<snapshot::Snapshot>::new(),
    &Erased::<start_azure_vm::StartAzureVm>::new(),
    &Erased::<start_copy::StartCopy>::new(),
    &Erased::<start_onprem_vm::StartOnpremVm>::new(),
    &Erased::<transfer_delta::TransferDelta>::new(),
    &Erased::<wait::Wait>::new(),
    &Erased::<wait_until::WaitUntil>::new(),
];

/// The primitive of that name.
pub fn find(name: &str) -> Option<&'static dyn AnyPrimitive> {
    let at = ALL.binary_search_by(|known| known.spec().name.cmp(name)).ok()?;
    Some(ALL[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Json, MachineName, Side};
    use crate::plan::facts::tests::away;
    use crate::plan::facts::{FactLog, Facts};
    use crate::plan::inventory::Inventory;
    use crate::plan::step::{Kind, Reversibility};
    use crate::primitives::contract::{ByHand, Standing, Subject};
    use crate::sites::look::tests::entry;

    #[test]
    fn the_registry_and_every_option_list_are_sorted() {
        let names: Vec<_> = ALL.iter().map(|known| known.spec().name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for primitive in ALL {
            let spec = primitive.spec();
            let options: Vec<_> = spec.options.iter().map(|option| option.name).collect();
            assert!(options.is_sorted(), "{}: {options:?}", spec.name);
            let outputs: Vec<_> = spec.outputs.iter().map(|output| output.name).collect();
            assert!(spec.example.contains(spec.name), "{}", spec.name);
            assert!(!spec.doc.is_empty() && outputs.iter().all(|name| !name.is_empty()));
            assert!(find(spec.name).is_some());
        }
        assert!(find("teleport").is_none());
    }

    /// What a reviewer reads of a step, for each shape of its arguments that reads differently.
    const SHAPES: &[(&str, &str)] = &[
        ("approve", r#"{"message": "Complete failover"}"#),
        ("approve", r#"{"message": "Commit", "approvers": ["ann", "bob"], "on_timeout": "go_on"}"#),
        ("barrier", "{}"),
        ("check", "{}"),
        ("check", r#"{"tcp": 443, "side": "cloud", "hold": "30s"}"#),
        ("check", r#"{"http": ":8080/health", "status": 204, "assert": false}"#),
        ("check", r#"{"machine": {"step": "web-01.start_copy.1"}}"#),
        ("check", r#"{"command": ["/bin/probe", "web"]}"#),
        ("check", r#"{"target": "10.0.0.4:22"}"#),
        ("check", r#"{"target": "https://10.0.0.4/up", "status": 204}"#),
        ("check", r#"{"target": "http://10.0.0.4/up"}"#),
        ("commit", "{}"),
        ("commit_failover", "{}"),
        ("create_onprem_vm", "{}"),
        (
            "create_onprem_vm",
            r#"{"host": "hv-02", "network": "prod", "cpus": 4, "memory": "8GiB", "path": "/vm"}"#,
        ),
        ("declare_lost", r#"{"side": "onprem", "reason": "it burns"}"#),
        ("delete_copy", r#"{"copy": {"step": "web-01.start_copy.1"}}"#),
        ("delete_snapshot", r#"{"snapshot": {"step": "web-01.snapshot.1"}}"#),
        (
            "fail_if",
            r#"{"condition": {"deferred": {"op": ">", "args": [{"of": "web-01.transfer_delta.1", "output": "bytes_sent"}, {"value": 9}]}}, "message": {"text": ["sent ", {"deferred": {"of": "web-01.transfer_delta.1", "output": "bytes_sent"}}]}}"#,
        ),
        ("notify", r#"{"text": "web is home", "command": ["/bin/page", "ops"]}"#),
        ("notify", r#"{"text": "web is home", "webhook": "http://10.0.0.9/hook"}"#),
        ("reverse_replicate", "{}"),
        ("reverse_replicate", r#"{"allow_initial": true}"#),
        ("run_command", r#"{"argv": ["/bin/dns", "home"], "undo": ["/bin/dns", "cloud"]}"#),
        ("run_command", r#"{"argv": ["/bin/dns", "x"], "on": "host", "repeatable": true}"#),
        ("shutdown_azure_vm", r#"{"grace": "90s"}"#),
        ("shutdown_onprem_vm", "{}"),
        ("snapshot", "{}"),
        ("start_azure_vm", "{}"),
        ("start_copy", r#"{"snapshot": {"step": "web-01.snapshot.1"}}"#),
        (
            "start_copy",
            r#"{"snapshot": {"step": "web-01.snapshot.1"}, "host": "hv-02", "network": "drill"}"#,
        ),
        ("start_onprem_vm", "{}"),
        ("start_onprem_vm", r#"{"host": "hv-02"}"#),
        ("transfer_delta", "{}"),
        ("transfer_delta", r#"{"from": {"step": "web-01.snapshot.1"}, "bandwidth": "200MiB/s"}"#),
        ("transfer_delta", r#"{"mode": "full", "in_downtime": true, "key": "tier1"}"#),
        ("wait", r#"{"duration": "90s"}"#),
        (
            "wait_until",
            r#"{"condition": {"until": {"of": "web-01.check.1", "output": "ok"}}, "probes": [{"step": "web-01.check.1", "primitive": "check", "machine": "web-01", "args": {}}], "every": "10s"}"#,
        ),
    ];

    fn described(primitive: &str, args: &str) -> String {
        let machine = MachineName::new("web-01").unwrap();
        let inventory =
            Inventory { machines: [(machine.clone(), entry())].into(), ..Inventory::default() };
        let observed = Facts {
            now: Some("2026-11-22T00:00:00Z".parse().unwrap()),
            machines: [(machine.clone(), away())].into(),
            ..Facts::default()
        };
        let facts = FactLog::new(&observed);
        let subject = Subject { machine: Some(&machine), inventory: &inventory, facts: &facts };
        let args: Json = serde_json::from_str(args).unwrap();
        let primitive = find(primitive).unwrap();
        let sentence = primitive.describe(&args, &subject);
        assert!(facts.finish().0.is_empty(), "a sentence rests a plan on nothing");
        sentence
    }

    #[test]
    fn every_primitive_says_what_it_will_do() {
        let said: Vec<String> = SHAPES
            .iter()
            .map(|(primitive, args)| format!("{primitive}: {}", described(primitive, args)))
            .collect();
        assert!(ALL.iter().all(|known| SHAPES.iter().any(|(name, _)| *name == known.spec().name)));
        insta::assert_snapshot!(said.join("\n"), @r"
        approve: wait for a person: Complete failover
        approve: wait for ann or bob: Commit (unanswered, it goes on)
        barrier: wait for the steps before
        check: check that its application gives a sign of life
        check: check that port 443 answers on its cloud side, and goes on for 30s
        check: check that http :8080/health answers 204 (only noted, never a failure)
        check: check that the isolated copy's application gives a sign of life
        check: check that /bin/probe web succeeds
        check: check that 10.0.0.4:22 answers
        check: check that https://10.0.0.4:443/up answers 204
        check: check that http://10.0.0.4:80/up answers
        commit: DELETE the cloud machine for good, with its snapshots and its disks but for the base that protection builds on
        commit_failover: commit the failover: on-prem becomes the replica; nothing is deleted
        create_onprem_vm: create the on-prem machine on hv-01, if it does not exist
        create_onprem_vm: create the on-prem machine on hv-02, switch prod, 4 processors, 8.0 GiB of memory, in /vm, and give up its replica on hv-01
        declare_lost: GIVE UP the onprem side with what it wrote since the last transfer, and when that was is not on record: it burns
        delete_copy: delete the isolated copy with its disks
        delete_snapshot: delete the snapshot
        fail_if: fail if ⟨web-01.transfer_delta.1.bytes_sent > 9⟩: sent ⟨web-01.transfer_delta.1.bytes_sent⟩
        notify: tell /bin/page ops: web is home
        notify: tell http://10.0.0.9:80/hook: web is home
        reverse_replicate: protect on-prem towards the cloud again: send changes since the switch; the machine keeps running
        reverse_replicate: protect on-prem towards the cloud again: send changes (or everything) since the switch; the machine keeps running
        run_command: run /bin/dns home, once (taken back by /bin/dns cloud)
        run_command: run /bin/dns x on hv-01
        shutdown_azure_vm: shut down the cloud machine (hard after 1m 30s) and keep it off; its downtime begins
        shutdown_onprem_vm: shut down the on-prem machine (hard after 2m) and keep it off; its downtime begins
        snapshot: take a snapshot of the cloud disks; the machine keeps running
        start_azure_vm: start the cloud machine again from its own disks; its downtime ends
        start_copy: boot an isolated copy from the snapshot on hv-01, apart from every network (64.0 MiB of disks); the machine is not touched
        start_copy: boot an isolated copy from the snapshot on hv-02, on switch drill (64.0 MiB of disks); the machine is not touched
        start_onprem_vm: boot the on-prem machine on hv-01; its downtime ends
        start_onprem_vm: boot the on-prem machine on hv-02; its downtime ends
        transfer_delta: send what changed on the stopped disks to the replica (auto: there is a replica to compare with; 64.0 MiB of disks)
        transfer_delta: send what changed in the snapshot to the replica (auto: there is a replica to compare with; 64.0 MiB of disks, 200.0 MiB/s at most)
        transfer_delta: send everything on the stopped disks to the replica (as the script says; 64.0 MiB of disks, key `tier1`, in the downtime if need be)
        wait: wait 1m 30s
        wait_until: wait until web-01.check.1.ok, looking every 10s
        ");
    }

    fn by_hand(primitive: &str, args: &str, live: Option<Side>) -> ByHand {
        let machine = MachineName::new("web-01").unwrap();
        let inventory =
            Inventory { machines: [(machine.clone(), entry())].into(), ..Inventory::default() };
        let observed = Facts { machines: [(machine.clone(), away())].into(), ..Facts::default() };
        let facts = FactLog::new(&observed);
        let subject = Subject { machine: Some(&machine), inventory: &inventory, facts: &facts };
        let standing = Standing { live, ..Standing::default() };
        find(primitive).unwrap().by_hand(&serde_json::from_str(args).unwrap(), &subject, &standing)
    }

    /// The names in a line.
    fn named(line: &'static str) -> impl Iterator<Item = &'static str> {
        line.split('{').skip(1).map(|rest| rest.split_once('}').expect(line).0)
    }

    #[test]
    fn every_primitive_tells_how_a_person_does_it() {
        for (primitive, args) in SHAPES {
            for live in [None, Some(Side::Cloud), Some(Side::Onprem)] {
                let hand = by_hand(primitive, args, live);
                let spec = find(primitive).unwrap().spec();
                assert!(!hand.title.is_empty() && !hand.act.is_empty(), "{primitive} {args}");
                let is_seen = !hand.verify.is_empty();
                let needs = matches!(spec.kind, Kind::Act | Kind::Poll | Kind::Barrier);
                assert!(is_seen || !needs, "{primitive} {args}: nobody sees that it is done");
                let changes = spec.reversibility != Reversibility::Reversible;
                let warns = !hand.danger.is_empty() || args.contains("repeatable");
                assert!(warns || !changes, "{primitive} {args}: nothing is dangerous?");
                for line in hand.lines() {
                    assert_eq!(line.matches('`').count() % 2, 0, "{primitive}: {line}");
                    for name in named(line) {
                        assert!(
                            hand.value(name).is_some(),
                            "{primitive} {args}: `{name}` in {line}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_procedure_holds_no_secret() {
        let key = r#"{"mode": "full", "key": "tier1"}"#;
        assert_eq!(by_hand("transfer_delta", key, None).value("key"), Some("tier1"));
        let env = r#"{"argv": ["/bin/dns", "it's"], "env": {"TOKEN": "s3cret"}}"#;
        let hook = r#"{"text": "home", "webhook": "https://hooks.example/T0/s3cret"}"#;
        for (primitive, args) in [("run_command", env), ("notify", hook)] {
            let hand = by_hand(primitive, args, None);
            assert!(hand.given.iter().all(|(_, value)| !value.contains("s3cret")), "{hand:?}");
        }
        let words = by_hand("run_command", env, None);
        assert_eq!(words.value("words"), Some(r"/bin/dns 'it'\''s'"));
        assert_eq!(by_hand("notify", hook, None).value("place"), Some("hooks.example"));
    }

    #[test]
    fn options_that_contradict_each_other_are_mistakes_with_a_way_out() {
        let mistakes = [
            ("approve", r#"{"message": "  "}"#, "asks nothing"),
            ("check", r#"{"tcp": 443, "http": "/"}"#, "asks one thing"),
            ("check", r#"{"target": "db:22", "ledger": true}"#, "asks one thing"),
            ("check", r#"{"tcp": 443, "status": 200}"#, "needs an http probe"),
            ("check", r#"{"http": "health"}"#, "is no path"),
            ("check", r#"{"target": "db"}"#, "is no address"),
            ("check", r#"{"target": "ftp://db/"}"#, "is no address"),
            ("check", r#"{"command": []}"#, "without a program"),
            ("declare_lost", r#"{"side": "cloud", "reason": ""}"#, "without a reason"),
            (
                "check",
                r#"{"machine": {"step": "web-01.start_copy.1"}, "tcp": 22}"#,
                "in no network",
            ),
            ("delete_copy", "{}", "no copy was given"),
            ("delete_snapshot", "{}", "no snapshot was given"),
            ("fail_if", r#"{"condition": true, "message": " "}"#, "says nothing"),
            ("fail_if", r#"{"condition": 3, "message": "m"}"#, "was given 3"),
            ("run_command", r#"{"argv": []}"#, "without a program"),
            ("run_command", r#"{"argv": ["a"], "env": {"LD_PRELOAD": "x"}}"#, "may not set"),
            ("run_command", r#"{"argv": ["a"], "env": {"HOMING_RUN": "x"}}"#, "may not set"),
            ("wait_until", r#"{"condition": true}"#, "no condition"),
            ("notify", r#"{"text": "hi"}"#, "goes one way"),
            ("notify", r#"{"text": "hi", "command": []}"#, "goes one way"),
            ("notify", r#"{"text": "a", "command": ["b"], "webhook": "http://c"}"#, "goes one way"),
            ("notify", r#"{"text": "hi", "webhook": "c"}"#, "is no address"),
            ("start_copy", "{}", "no snapshot was given"),
            ("transfer_delta", r#"{"mode": "fast"}"#, "no mode is called `fast`"),
        ];
        let (inventory, observed) = (Inventory::default(), Facts::default());
        let facts = FactLog::new(&observed);
        let subject = Subject { machine: None, inventory: &inventory, facts: &facts };
        for (primitive, args, words) in mistakes {
            let args: Json = serde_json::from_str(args).unwrap();
            let found = find(primitive).unwrap();
            let policy = &found.spec().policy;
            let wrong = found.effect(&args, policy, &subject).unwrap_err();
            let [one] = wrong.as_slice() else { panic!("{primitive} {args}: {wrong:?}") };
            assert!(one.message.contains(words), "{primitive} {args}: {}", one.message);
            assert!(one.code == "H190" && one.help.is_some(), "{primitive} {args}: {one:?}");
        }
    }
}
