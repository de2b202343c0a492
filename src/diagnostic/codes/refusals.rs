//! H3xx: what a provider or a step refuses while it runs, whatever the plan says.

use super::CodeText;

const fn code(code: &'static str, title: &'static str, text: &'static str) -> CodeText {
    CodeText { code, title, text, wrong: None, right: None }
}

pub(super) const CODES: &[CodeText] = &[
    code(
        "H301",
        "another run holds the machine",
        "Before a run changes a machine it claims it at the machine's sites. Another run has done so and \
         is not over: waiting at a gate, interrupted, failed and resumable, or at work right now, perhaps \
         on another computer. Two runs on one machine could start it on both sides.\n\nNothing was \
         changed. `homing runs` lists open runs; `homing resume RUN` finishes the one that holds it, \
         `homing cancel RUN` ends it for good and gives the machine back.",
    ),
    code(
        "H302",
        "this process lost the machine",
        "Every change that a run makes carries the token of its claim, and the site's claim has another \
         one by now: the run was resumed by another process, or cancelled, or another run took the \
         machine. What this process still wants to do was decided on old knowledge.\n\nNothing was \
         changed, and this process ends: `homing status RUN`, with the state folder of whoever took the \
         machine over, shows where the run stands.",
    ),
    code(
        "H303",
        "the replica is dirty",
        "A transfer into this replica began and was never verified, so it may be a mixture of two \
         moments: a machine that boots from it may not come up, or come up with corrupted data. The mark \
         lies at the replica's own site, so it holds for every run and every computer.\n\nThe machine was \
         not started; its data is safe on the other side. `homing resume RUN` with the run that the \
         message names finishes the transfer from its checkpoint. If that run is over, plan a new \
         transfer: it clears the mark once it has verified.",
    ),
    code(
        "H304",
        "the disks are not the verified final state",
        "A machine boots from a replica only as a verified transfer of its *stopped* twin left it. These \
         disks are something else: they were booted or written since, they were synchronized by another \
         transfer than the one that this step builds on, that transfer read a running machine, or no \
         transfer was named at all.\n\nThe machine was not started. Shut the twin down, transfer again, \
         start then: `homing plan` on the script shows what that does.",
    ),
    code(
        "H305",
        "a running machine's disks were to be read as they are",
        "Disks that are written to while they are copied give a copy of no moment at all.\n\nNothing was \
         read. Transfer from a `snapshot`, or shut the machine down first. If the plan did shut it down, \
         somebody has started it since: find out who before you go on.",
    ),
    code(
        "H306",
        "a running machine was to be overwritten",
        "A transfer was to write to the disks of a machine that runs there. It would destroy live \
         data.\n\nNothing was written. If it should not run there, shut it down on that side; `homing \
         status` shows where every machine runs. Then look at both sides before anything is transferred: \
         a machine that ran on both sides has two histories, and only a person can choose.",
    ),
    code(
        "H307",
        "another transfer owns the replica",
        "The replica's mark is not this transfer's: it was never begun, it is verified already, or a \
         later one took the replica over. Its checkpoint says nothing about these blocks any more.\n\n\
         Nothing was written under the wrong mark. Run the transfer again from its start.",
    ),
    code(
        "H308",
        "the key does not open the disks",
        "The disks are encrypted, and no key was given, or one that they were not encrypted with.\n\n\
         Nothing was read or written. Name the right key in the plan (`key: \"NAME\"`), and see in the \
         inventory that `[key.NAME]` says where that secret comes from.",
    ),
    code(
        "H309",
        "the host is unknown or not connected",
        "The machine lives, or was to be created, on a host that its site does not have or cannot reach \
         now.\n\nNothing was changed. Connect the host and `homing resume RUN`; or bring the machine to \
         another host, where it gets new disks and a full transfer.",
    ),
    code(
        "H310",
        "the virtual switch is missing on the host",
        "A machine created on another host keeps the name of its network. The host has no virtual switch \
         of that name: the machine would come up without a network.\n\nNothing was created. Create the \
         switch on that host, or name another one, then `homing resume RUN`.",
    ),
    code(
        "H311",
        "the machine to delete is not the one that was meant",
        "Deleting is for good, so it is done only to a machine that is off and unchanged since the step \
         announced it. This one runs, or was booted or written since: it may hold the only copy of \
         something.\n\nNothing was deleted. `homing status` shows where the machine runs. If both sides \
         have written since the switch, a person has to choose; if somebody only looked, shut it down and \
         plan again.",
    ),
    code(
        "H312",
        "the twin runs",
        "The other side of the machine runs, or nobody can say that it does not. Two running sides take different writes, and one of the two is lost.\n\nShut the other side down, transfer what it wrote, then start.",
    ),
    code(
        "H313",
        "the source booted after the final transfer",
        "The replica is a verified copy of the stopped source, but the source has booted or was written since: its newer writes would be lost.\n\nShut it down and transfer again; then start.",
    ),
    code(
        "H314",
        "the replica is not final",
        "The replica is a verified copy of a moment when the source still ran. What the source wrote after that moment would be lost.\n\nShut the source down and transfer from its stopped disks; then start.",
    ),
    code(
        "H315",
        "commit without a boot from a final transfer",
        "The on-prem side did not come to run by homing booting it from a verified final transfer, so the cloud side may be the only good copy. Nothing is deleted.\n\nShut the cloud side down, transfer, start on-prem, check; then commit.",
    ),
    code(
        "H316",
        "commit while on-prem does not run",
        "Nothing shows that the on-prem side can run. Nothing is deleted.\n\nStart it and check it; or go back by starting the cloud side.",
    ),
    code(
        "H317",
        "commit while the cloud side runs",
        "Both sides run, or may be running, and both may take writes. Homing deletes neither.\n\nDecide by hand which side is right and shut the other one down.",
    ),
    code(
        "H318",
        "the cloud side changed since the final transfer",
        "The cloud side booted or was written after the final transfer: it may hold writes that on-prem lacks. Homing does not delete it.\n\nLook at what it wrote first; then switch over again, with a final transfer.",
    ),
    code(
        "H319",
        "replication before the commit",
        "Until a switch of sides is committed the other side is the way back: replicating over it would destroy it.\n\nCommit first, then protect.",
    ),
    code(
        "H320",
        "reverse replication would send everything",
        "There is no usable base of the machine in the cloud, so all of its disks would have to be sent.\n\nIf that is meant, write `reverse_replicate(m, #{ allow_initial: true })`.",
    ),
    code(
        "H322",
        "no way back after the commit",
        "The switch of this machine to on-prem is committed: its cloud side is deleted, or about to be. From here there is only forward.\n\nStart the on-prem side; to go to the cloud again, fail over anew from its current state.",
    ),
    code(
        "H323",
        "a command that is not on the allow-list",
        "Scripts start only programs that the inventory lists under `[commands.*]`, argument by argument; `*` stands for any one argument.\n\nAdd the command there, or use a listed one.",
    ),
    code(
        "H324",
        "the replica is on another host",
        "The step names a host, and the replica is not there. Nothing was started.\n\nLeave `host` out, or create the machine on that host and transfer there first.",
    ),
    code(
        "H325",
        "nothing there to work on",
        "The machine, or the disks that this step needs, do not exist on that side.\n\nOn-prem: create the machine and transfer to it. In the cloud: look at the site, somebody deleted it outside homing. Bring it back if the site can; what is left at home is a replica, which homing does not take for the machine by itself. To start it all the same, a plan says `declare_lost(m, #{ side: \"cloud\", reason: \"..\" })` behind a gate: whatever the other side wrote after the last transfer is given up.",
    ),
    code(
        "H326",
        "a snapshot of the wrong side",
        "The snapshot was taken of the side that held the live data then; the machine was switched over since. Transferring it would overwrite newer data with older.\n\nTake a new snapshot and transfer that.",
    ),
    code(
        "H327",
        "a site that cannot be asked",
        "A plan rests on what its machines are now, and the site of one of them did not answer. Nothing was changed.\n\nSee that the site can be reached, and that its entry in the inventory is right; then try again.\n\nWhere only one side of a machine is silent and will never answer again, a person may give that side up: a plan that says `declare_lost(m, #{ side: \"..\", reason: \"..\" })` behind a gate is made from what the other side says.",
    ),
    code(
        "H328",
        "a script that asks for ever more machines",
        "Homing compiles a script, observes the machines that it asked for, and compiles it again. This one chose further machines by the facts of the ones before, more often than that is done.\n\nSelect machines by their tags, and read their facts once.",
    ),
    code(
        "H329",
        "a command whose end nobody saw",
        "An earlier attempt of this step began the command, and homing died, was stopped or killed it before \
         its end was written down. It may have done all of its work, half of it, or none. Commands are \
         not run again unless their author said that this does no harm.\n\nLook at what it was to do. If it \
         is done, or you do the rest by hand, end the run with `homing cancel RUN` and plan what is left. If it may run \
         any number of times (the step's key is in its environment as `HOMING_STEP_KEY`), write \
         `repeatable: true`.",
    ),
    code(
        "H330",
        "a condition of the script's own",
        "`fail_if` was told to stop the plan when this is so. The message is the author's; `homing show RUN` \
         has the outputs that were looked at.\n\nWhat was done before stays done. Mend the cause and go on with a new plan, or \
         end the run with `homing cancel RUN`.",
    ),
    code(
        "H331",
        "a side that runs is not lost",
        "`declare_lost` gives up whatever a side wrote after the last transfer. That is for a side that \
         nobody can shut down; this one was seen to run, so it can be shut down and all of its writes \
         brought over.\n\nNothing was changed. Shut it down, transfer from its stopped disks and start the \
         other side. If it runs but must be given up all the same (its data is corrupt), shut it down first: a side \
         that is off may be declared lost.",
    ),
    code(
        "H332",
        "a failover that cannot be committed",
        "`commit_failover` ends a switch to the cloud, after which on-prem's disks may be written over. It \
         does so only when homing booted the cloud side, that side runs, and the on-prem side is off or was \
         declared lost.\n\nNothing was committed. The message says which of these is missing; before the \
         commit `start_onprem_vm` is the way back.",
    ),
    code(
        "H336",
        "a copy on a network that leads out",
        "An isolated copy has the name, the addresses and the data of the machine at work. On a network \
         where others can reach it, it would answer in the machine's place.\n\nNothing was started. Name a \
         virtual switch that leads nowhere (in a lab: `isolated = [\"drill\"]` of the host), or leave \
         `network` out: the copy is then connected to the host's isolated switch, or to nothing.",
    ),
    code(
        "H337",
        "no room for a copy",
        "An isolated copy has whole disks of its own, so the host needs room for as much as the machine's \
         disks can hold.\n\nNothing was written. Make room there, or name another `host`.",
    ),
    code(
        "H340",
        "no such run, or one that is over",
        "Runs are named by their ids; `homing runs` lists them. A run that succeeded, was cancelled or was \
         rejected is over: it holds no machine and cannot be taken up again. A saved plan runs once; \
         `--again` runs it once more.",
    ),
    code(
        "H341",
        "busy",
        "Another process works on the run, or a run that is not over holds one of the machines, in this \
         state folder or at the machine's own site. Nothing was changed.\n\n`homing status RUN` shows where \
         it stands; `homing resume RUN` finishes it, `homing cancel RUN` ends it for good.",
    ),
    code(
        "H342",
        "not what was reviewed",
        "A fact that the plan rests on, its digest, or the journal of its run is no longer what it was. The \
         message names what changed. Nothing was changed.\n\nIf a run that is not over began the change, \
         `homing resume RUN` finishes it; else plan again and review what is new.",
    ),
    code(
        "H343",
        "the journal cannot be written",
        "What happens in a run is written to the journal in the state folder before anything is done. If \
         that cannot be, no new step starts. What was acknowledged before is safe.\n\nMend what the message \
         names (room, permissions, the disk), then `homing resume`.",
    ),
    code(
        "H344",
        "no such gate",
        "A gate is answered by its name, as the dry run and `homing status RUN` print it.",
    ),
    code(
        "H345",
        "there is no lab",
        "The inventory describes a practice ground that has not been created. `homing lab init` creates it; \
         so does the first `homing run`.",
    ),
    code(
        "H346",
        "a disk is in use by another program",
        "QEMU locks the disk files that it has open. Another program holds such a lock: a virtual machine that \
         was started by hand, a backup, a mounted image. Its writes and homing's would destroy each other.\n\n\
         Nothing was read or written. Find the program (`fuser -v` on the file that the message names), end it \
         or wait for it, then `homing retry` the step.",
    ),
    code(
        "H347",
        "another program counts on this disk",
        "A qcow2 file can hold dirty bitmaps: notes of what changed, by which backup programs copy only that. \
         This one holds a bitmap that is not homing's and that was left in use: its program ended without closing \
         the disk, or still counts on it.\n\nNothing was written. When that program is done with the disk, remove \
         its bitmap (`qemu-img bitmap --remove FILE NAME`) or let it make a full copy next time; then try again.",
    ),
    code(
        "H350",
        "the window has closed",
        "`policy(#{ no_shutdown_after: .. })` says until when machines may be turned off. The step came later: \
         what was before it took longer, or the run was resumed after the window. It was not tried; its \
         machine runs where it ran.\n\nA handler and clean-up still do their work. What is left needs a plan \
         for the next window: `homing retry` of the step is refused by the same clock.",
    ),
    code(
        "H351",
        "the deadline has passed",
        "`policy(#{ deadline: .. })` says how long after the run's start steps of that scope may begin. What \
         had begun went on, and handlers and clean-up still do their work; this step was not tried.\n\nWhat \
         is left needs a plan and a run of its own.",
    ),
];
