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
               holds for going back to a side whose twin has run, and written, since.\n\n\
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
               has started from a final transfer, the cloud machine is the only good copy.\n\n\
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
];
