//! H0xx: what the verifier proves.

use super::CodeText;

pub(super) const CODES: &[CodeText] = &[
    CodeText {
        code: "H001",
        title: "split brain: a machine starts while its other side may be running",
        text: "Two copies of one machine that run at once both take writes, and neither has all of them. \
               No later transfer can merge the two.\n\n\
               A side counts as running until a step has turned it off for certain: when it was observed \
               running, when nobody could say, and when the step that turns it off failed but the plan \
               goes on (because that step is `optional`, or because the start does not depend on it).\n\n\
               Way out: turn the other side off before the start, on the same machine's chain, with a \
               step that must succeed.",
        wrong: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
"#,
        ),
    },
    CodeText {
        code: "H002",
        title: "lost writes: a machine starts from disks older than its last writes",
        text: "A snapshot of a running machine is of one moment; everything the machine writes afterwards \
               is missing from the replica. Starting from it silently loses acknowledged writes. The same \
               holds for going back, once its switch is committed, to a side whose twin has run, and \
               written, since; before that it is a way back (H016).\n\n\
               Way out: once the machine is off, transfer the final changes from its stopped disks (or \
               from a snapshot taken after the stop), then start.",
        wrong: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
shutdown_azure_vm(web);
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
"#,
        ),
    },
    CodeText {
        code: "H003",
        title: "dirty boot: a machine starts from a replica that may be half written",
        text: "A transfer that began and was not verified leaves disks that mix two moments. Such a \
               machine may not boot, or boot and be wrong. It happens when a transfer fails and the plan \
               goes on (because it is `optional`), when an earlier run was interrupted (its durable mark \
               at the site names the run and the step), and when the replica was booted or written by \
               something else.\n\n\
               Way out: finish the interrupted transfer (`homing resume RUN`), or transfer again before \
               the start, with a step that must succeed. `mode: \"full\"` compares nothing and always \
               helps.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web, #{ optional: true });
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
"#,
        ),
    },
    CodeText {
        code: "H004",
        title: "a commit before the on-prem machine runs, or of the active side",
        text: "A commit deletes the cloud machine with its disks and snapshots. Before the on-prem machine \
               has started from a final transfer, the cloud machine is the only good copy. While the cloud \
               machine runs beside the on-prem one it may hold writes of its own. The same holds for \
               `declare_lost`: a side is not given up while what is left can never be started.\n\n\
               Way out: commit after the start, and better after a check and a person's approval.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
commit(web);
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
check(web);
commit(web);
"#,
        ),
    },
    CodeText {
        code: "H005",
        title: "a commit before which nobody has looked",
        text: "A commit deletes the cloud machine: after it there is no way back. Between the start \
               on-prem and the commit somebody should have looked: a `check` that must succeed, or a \
               person's `approve`.\n\n\
               A check whose outcome is ignored does not count; that is H020, an error.\n\n\
               Way out: a check after the start, a gate before the commit, or both.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
commit(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
check(web);
commit(web);
"#,
        ),
    },
    CodeText {
        code: "H006",
        title: "protected in the other direction before the commit",
        text: "Replicating from on-prem to the cloud again builds on what the commit keeps of the cloud \
               disks. Before it, the cloud machine still exists and would be written over while it is the \
               way back.\n\n\
               Way out: `commit`, then `reverse_replicate`.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
reverse_replicate(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
check(web);
commit(web);
reverse_replicate(web);
"#,
        ),
    },
    CodeText {
        code: "H007",
        title: "a step uses what an earlier step deleted",
        text: "After a commit the cloud machine and its snapshots are gone; after `delete_snapshot` that \
               snapshot is. A step that needs them can only fail, and by then there is no way back.\n\n\
               Way out: put the step before the deletion, or leave it out.",
        wrong: Some(
            r#"let web = vm("web-01");
let before = snapshot(web);
delete_snapshot(before);
transfer_delta(before);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
let before = snapshot(web);
transfer_delta(before);
delete_snapshot(before);
"#,
        ),
    },
    CodeText {
        code: "H008",
        title: "changes alone cannot make a replica that is not there",
        text: "`mode: \"delta\"` sends what differs from the replica. Where the replica does not exist \
               (its machine was deleted, or it comes home to another host) there is nothing to apply \
               changes to.\n\n\
               Way out: leave `mode` at its default `\"auto\"`, which then copies in full, or say \
               `\"full\"`; where the machine itself is missing, `create_onprem_vm` first. Whether a \
               plan breaks this rule depends on what is observed.",
        wrong: Some(
            r#"// facts: web-01 replica=absent
let web = vm("web-01");
transfer_delta(snapshot(web), #{ mode: "delta" });
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web), #{ mode: "full" });
"#,
        ),
    },
    CodeText {
        code: "H009",
        title: "a prerequisite does not hold",
        text: "Something that the step takes for granted is not so: the on-prem host is not connected, the \
               machine was never observed, the last failover (or failback) still waits for its commit, the \
               side it acts on does not exist, or the disks it reads or writes may be in use by a running \
               machine.\n\n\
               Way out: the message names it. A failback that stopped between start and commit is finished \
               with `homing resume RUN`, or with a new plan that commits.",
        wrong: Some(
            r#"let web = vm("web-01");
transfer_delta(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
"#,
        ),
    },
    CodeText {
        code: "H010",
        title: "encrypted disks and no key",
        text: "The machine's disks are encrypted. A transfer reads and writes them with a key; without \
               its name it would be refused before the first byte, in the middle of the run.\n\n\
               Way out: `key` as an option of the transfer (or of the library's function), or `key` at \
               the machine in the inventory.",
        wrong: Some(
            r#"// facts: web-01 encrypted=true
let web = vm("web-01");
transfer_delta(snapshot(web));
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
"#,
        ),
    },
    CodeText {
        code: "H011",
        title: "the way of copying does not fit",
        text: "Two things make a copy longer than it needs to be. After 30 days or more in the cloud \
               comparing disks costs more than it saves, so everything should be sent; before that only \
               what changed. And everything that is sent while the machine is down is downtime.\n\n\
               Way out: leave `mode` at its default `\"auto\"`. Copy from a snapshot before the stop, so \
               that only the last changes are left for the downtime. Where a full copy in the downtime \
               is meant, say `in_downtime: true` (the library's `synchronize: \"during\"`).",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web, #{ mode: "full" });
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web, #{ mode: "full", in_downtime: true });
start_onprem_vm(web);
"#,
        ),
    },
    CodeText {
        code: "H012",
        title: "the host cannot take the machine",
        text: "A machine or a copy is to be created on a host that its site does not know, that is not \
               connected, that lacks the virtual switch, or that has not enough room for the disks. A \
               machine that is given no `network` goes on the switch that it is on at home, where home has \
               only that one; a copy goes on an isolated switch, where it meets no machine at work. What \
               only the host itself can tell, its role among it, is checked when the step runs.\n\n\
               Way out: the message says what is missing; name another host or switch, or put it right \
               and make the plan again.",
        wrong: Some(
            r#"// facts: web-01 onprem.exists=false replica=absent
let web = vm("web-01");
create_onprem_vm(web, #{ host: "hv-02", network: "test" });
"#,
        ),
        right: Some(
            r#"// facts: web-01 onprem.exists=false replica=absent
let web = vm("web-01");
create_onprem_vm(web, #{ host: "hv-02", network: "prod" });
"#,
        ),
    },
    CodeText {
        code: "H013",
        title: "it may wait for ever",
        text: "A gate without `timeout` stays open until somebody answers, and a wait for a condition \
               goes on until it holds. Nobody is told that the run stands still, and machines may be \
               down meanwhile.\n\n\
               Way out: give it a `timeout`. A gate that nobody answers in time is rejected, the run \
               ends and says so; it can be resumed.",
        wrong: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
approve("Complete failover", #{ name: "complete" });
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
approve("Complete failover", #{ name: "complete", timeout: "8h" });
"#,
        ),
    },
    CodeText {
        code: "H014",
        title: "a snapshot that nothing uses",
        text: "A snapshot holds space and slows its disks down. One that no transfer and no copy reads \
               was probably meant for the transfer after it, which then reads the machine instead.\n\n\
               Way out: pass its handle, `transfer_delta(snapshot(m))`, or leave it out.",
        wrong: Some(
            r#"let web = vm("web-01");
snapshot(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
transfer_delta(snapshot(web));
"#,
        ),
    },
    CodeText {
        code: "H015",
        title: "two steps at once, of which one changes the machine",
        text: "Inside `parallel` the steps of one machine are not ordered. That is for checks and \
               commands. Where one of two such steps turns the machine on or off, writes its disks or \
               deletes something, what comes of it depends on chance.\n\n\
               Way out: take the step out of the `parallel`, or order the two with `.after(..)`.",
        wrong: Some(
            r#"let web = vm("web-01");
parallel(|| {
    check(web);
    shutdown_azure_vm(web);
});
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
parallel(|| {
    check(web);
    check(web, #{ ledger: true });
});
"#,
        ),
    },
    CodeText {
        code: "H016",
        title: "going back loses what was written since",
        text: "Until a switch is committed, the side it came from can be started again as it was left. \
               What the machine wrote on the other side since then is lost: no transfer brings it back.\n\n\
               This is a warning because the way back is meant, and may be right: in a handler, when \
               the application does not come up, or after a person decided. It is H002, an error, where \
               no switch waits for its commit: then older disks are started by mistake.\n\n\
               Way out: decide before the start on-prem takes writes (a failed shutdown or transfer \
               goes back without loss), or accept the loss and say why: `acknowledge(\"H016\", \
               \"reason\")`.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
shutdown_onprem_vm(web);
start_azure_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_azure_vm(web);
"#,
        ),
    },
    CodeText {
        code: "H017",
        title: "it will be down for longer than it may",
        text: "The inventory says how long the machine may be down (`rto`). By the estimate, from the \
               journal's history or from sizes and rates, its stop, the last transfer, its start and \
               its check take longer. What people take at gates inside the downtime comes on top.\n\n\
               Way out: synchronize shortly before the stop so that little is left to copy, raise a \
               bandwidth limit, stop fewer machines at once; or raise the `rto`.",
        wrong: Some(
            r#"let db = vm("db-01");
shutdown_azure_vm(db);
transfer_delta(db, #{ mode: "full", in_downtime: true, bandwidth: "64KiB/s" });
start_onprem_vm(db);
check(db);
"#,
        ),
        right: Some(
            r#"let db = vm("db-01");
shutdown_azure_vm(db);
transfer_delta(db);
start_onprem_vm(db);
check(db);
"#,
        ),
    },
    CodeText {
        code: "H018",
        title: "a machine starts before one that it needs",
        text: "The inventory says that the machine `needs` another one. Where the plan moves that one \
               too, its start and a check that must succeed have to come before this start; `assert: \
               false` does not count, and neither does an `optional` step. Where the plan leaves it \
               alone it must be observed running, on either side. Starts in handlers are a way back and \
               do not wait.\n\n\
               Way out: let this start come `.after` that check, or let `std/waves` write the order: \
               `waves::tiers(list)`.",
        wrong: Some(
            r#"for m in vms("tier=db") { shutdown_azure_vm(m); transfer_delta(m); start_onprem_vm(m); check(m); }
let web = vm("web-02");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let db = vm("db-01");
shutdown_azure_vm(db);
transfer_delta(db);
start_onprem_vm(db);
let alive = check(db);
let web = vm("web-02");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web).after(alive);
"#,
        ),
    },
    CodeText {
        code: "H019",
        title: "a failure leaves the machine down",
        text: "Between its stop and its start the machine is down. Where the transfer fails then, or a \
               person says no, nothing starts it again: it stays down until somebody acts.\n\n\
               That the start itself, or a check after it, fails is not meant: by then the machine may \
               have taken writes, and going back by itself would lose them (H016).\n\n\
               Way out: put stop and transfer into an `attempt` whose `on_failure` starts the side that \
               was turned off, as the library's `switch_over` does.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
attempt(|| {
    shutdown_azure_vm(web);
    transfer_delta(web);
}).on_failure(|| start_azure_vm(web));
start_onprem_vm(web);
"#,
        ),
    },
    CodeText {
        code: "H020",
        title: "safety rests on a step that may fail",
        text: "A commit, or the declaration that a side is lost, rests on a check or a gate, and that \
               one is `optional`, goes on without an answer (`on_timeout: \"go_on\"`), or fails inside an \
               attempt that continues all the same. Then it proves nothing, and the plan looks safer \
               than it is.\n\n\
               Where a shutdown or a transfer may fail and the plan goes on, the rule that then breaks \
               says so itself: H001, H002 or H003.\n\n\
               Way out: let that step be required, and let what rests on it need its success.",
        wrong: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
check(web, #{ optional: true });
commit(web);
"#,
        ),
        right: Some(
            r#"let web = vm("web-01");
shutdown_azure_vm(web);
transfer_delta(web);
start_onprem_vm(web);
check(web);
commit(web);
"#,
        ),
    },
];
