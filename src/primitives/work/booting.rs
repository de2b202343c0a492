//! What both starts share: which disks a side may boot, and everything that forbids it.

use serde::Serialize;

use crate::base::{MachineName, Side};
use crate::plan::facts::Power;
use crate::plan::policy::Policy;
use crate::primitives::contract::Ctx;
use crate::primitives::spec::Output;
use crate::primitives::work::sides::{Sides, active};
use crate::run::failure::Failure;
use crate::sites::{Boot, Booted, NewMachine, ReplicaMark, SideView};

pub const POLICY: Policy =
    Policy { attempts: 3, first_ms: 2_000, max_ms: 60_000, timeout_ms: Some(1_800_000) };

pub const OUTPUTS: &[Output] = &[
    Output {
        name: "already_running",
        ty: "bool",
        doc: "it ran before this step; nothing was done",
    },
    Output { name: "generation", ty: "text", doc: "the side's token after the boot" },
];

/// How it came to run.
#[derive(Serialize)]
pub struct Started {
    already_running: bool,
    generation: String,
}

/// Boots `side`, or finds it running, or refuses.
pub async fn start(sides: &Sides<'_>, side: Side, ctx: &dyn Ctx) -> Result<Started, Failure> {
    let (cloud, onprem) = sides.look_both().await?;
    let (own, twin) = match side {
        Side::Cloud => (&cloud, &onprem),
        Side::Onprem => (&onprem, &cloud),
    };
    twin_is_off(sides.machine, side, own, twin, ctx.run().as_str())?;
    sides.end_loss(side.other(), twin).await?;
    let is_active = active(&cloud, &onprem) == side;
    if own.power == Power::On {
        if !is_active && own.replica.is_some() {
            // Somebody booted the copy itself: it never was the machine, and nobody decided for it.
            return Err(diverged(sides.machine, side));
        }
        if !is_active {
            // It was the machine, and was given up, or started again: whoever says "start" decides for what it wrote.
            let boot = Boot { turn: next_turn(own, twin), from: None };
            sides.power(side)?.start(sides.at(side), &boot, &sides.fence(side)?).await?;
            supersede(sides, side.other(), twin).await?;
        }
        return Ok(Started { already_running: true, generation: own.generation.clone() });
    }
    let boot = allowed_boot(sides.machine, side, own, twin, is_active, ctx.run().as_str())?;
    let fence = sides.fence(side)?;
    if !own.exists {
        ctx.progress(0, 0, 0, "creating the machine from its kept disks");
        sides.machines(side)?.create(sides.at(side), &NewMachine::default(), &fence).await?;
    }
    ctx.progress(0, 0, 0, "booting");
    if !is_active && boot.from.is_none() {
        supersede(sides, side.other(), twin).await?;
    }
    let view = sides.power(side)?.start(sides.at(side), &boot, &fence).await?;
    Ok(Started { already_running: false, generation: view.generation })
}

/// A switch is taken back, or decided against: what the twin wrote is no copy of anything from now on, and it has to
/// know that itself, should its site be the only one that answers one day.
async fn supersede(sides: &Sides<'_>, side: Side, twin: &SideView) -> Result<(), Failure> {
    // Of a twin that this run did not claim nothing is changed: nobody sees it.
    let Some(fence) = sides.fence(side).ok().filter(|_| twin.exists && !twin.superseded) else {
        return Ok(());
    };
    sides.machines(side)?.set_superseded(sides.at(side), true, &fence).await
}

/// Refuses a split brain: unknown counts as on, unless a person declared that side lost.
fn twin_is_off(
    machine: &MachineName,
    side: Side,
    own: &SideView,
    twin: &SideView,
    run: &str,
) -> Result<(), Failure> {
    let is_lost = twin.power == Power::Unknown && own.lost_twin.is_some();
    if !twin.exists || twin.power == Power::Off || is_lost {
        return Ok(());
    }
    let other = side.other();
    let seen = if twin.power == Power::On { "runs" } else { "may be running" };
    let both =
        if own.power == Power::On { "; BOTH SIDES RUN NOW" } else { "; nothing was started" };
    Err(Failure::refused(
        "H312",
        format!("`{machine}` {seen} on its {other} side: starting the {side} side would split it in two{both}"),
    )
    .help(format!("shut the {other} side down first, transfer what it wrote, then start: `homing cancel {run}`, then run a plan with `{}(m); transfer_delta(m);` before the start (`declare_lost` is for a side that nobody can reach)", shutdown(other))))
}

/// What this side may boot from.
fn allowed_boot(
    machine: &MachineName,
    side: Side,
    own: &SideView,
    twin: &SideView,
    is_active: bool,
    run: &str,
) -> Result<Boot, Failure> {
    // What a commit left in the cloud: a base, which a transfer has brought up to date since.
    let is_kept = side == Side::Cloud && own.replica.is_some();
    if !own.has_disks || !(own.exists || is_kept) {
        return Err(absent(machine, side, twin));
    }
    if is_active {
        return Ok(Boot { turn: own.turn, from: None });
    }
    let turn = next_turn(own, twin);
    match &own.replica {
        Some(mark) => {
            let from = Some(verified(machine, side, own, twin, mark, run)?);
            Ok(Boot { turn, from })
        }
        // The side that the switch came from: its own disks are as it left them. What the twin wrote
        // since is given up; its disks are no replica of anything then.
        None if came_from(own, twin) && (!twin.committed || own.lost_twin.is_some()) => {
            Ok(Boot { turn, from: None })
        }
        None if came_from(own, twin) => Err(Failure::refused(
            "H322",
            format!(
                "the switch of `{machine}` to its {} side is committed: its {side} side is no way back any more",
                side.other()
            ),
        )
        .help("from here there is only forward: start the other side again, or switch over anew from its current state")),
        None => Err(diverged(machine, side)),
    }
}

/// The turn of a side that takes over.
fn next_turn(own: &SideView, twin: &SideView) -> u64 {
    // A twin that somebody deleted had the higher turn: should it come back, it must not have it again.
    let twin_turn = if twin.exists { twin.turn } else { twin.turn.max(own.turn + 1) };
    own.turn.max(twin_turn) + 1
}

/// Whether the twin runs on from this side's disks, which rest since. After a loss was declared they may
/// hold more than the twin got; they are whole all the same.
fn came_from(own: &SideView, twin: &SideView) -> bool {
    let is_named = |booted: &Booted| booted.source_generation == own.generation;
    twin.booted.as_ref().is_some_and(is_named)
}

/// The replica is a verified copy of the stopped twin, which has not booted since.
fn verified(
    machine: &MachineName,
    side: Side,
    own: &SideView,
    twin: &SideView,
    mark: &ReplicaMark,
    run: &str,
) -> Result<Booted, Failure> {
    let (stamp, own_generation) = match mark {
        ReplicaMark::Dirty { mark, .. } => {
            return Err(Failure::refused(
                "H303",
                format!(
                    "the {side} disks of `{machine}` are dirty: the transfer `{}` of run {} began and was never verified; booting them may not work",
                    mark.step, mark.run
                ),
            )
            .help(format!("`homing resume {}` finishes that transfer; or run a plan that transfers again before the start", mark.run)));
        }
        ReplicaMark::Synced { stamp, own_generation } => (stamp, own_generation),
    };
    if *own_generation != own.generation {
        return Err(diverged(machine, side));
    }
    // Whatever the twin wrote after this copy was given up with it.
    let is_given_up = own.lost_twin.is_some();
    if !stamp.is_final && !is_given_up {
        return Err(Failure::refused(
            "H314",
            format!("the {side} disks of `{machine}` are a copy of a moment when the {} side still ran: what it wrote since would be lost", side.other()),
        )
        .help(format!("shut the {} side down and `transfer_delta(m)` from its stopped disks; then start", side.other())));
    }
    let is_same = stamp.source_generation == twin.generation;
    if !(is_given_up || twin.exists && twin.has_disks) {
        return Err(twin_gone(machine, side, run));
    }
    if !is_same && !is_given_up {
        return Err(Failure::refused(
            "H313",
            format!("the {} side of `{machine}` booted or was written after the final transfer: its newer writes would be lost", side.other()),
        )
        .help(format!("transfer again, from its stopped disks: `homing cancel {run}`, then run a plan with `{}(m); transfer_delta(m);` before the start", shutdown(side.other()))));
    }
    Ok(Booted {
        sync: stamp.sync.clone(),
        source_generation: stamp.source_generation.clone(),
        is_final: stamp.is_final && is_same,
        run: run.to_owned(),
    })
}

/// The copy is good; but nobody can see any more whether its source wrote on after it.
fn twin_gone(machine: &MachineName, side: Side, run: &str) -> Failure {
    let (other, start) = match side {
        Side::Onprem => (Side::Cloud, "start_onprem_vm"),
        Side::Cloud => (Side::Onprem, "start_azure_vm"),
    };
    Failure::refused(
        "H325",
        format!("the {other} side of `{machine}` is gone: somebody deleted it outside homing after the final transfer. Its {side} disks are that transfer, verified; nothing was started"),
    )
    .help(format!("if nobody started the {other} side since, nothing is lost: `homing cancel {run}`, then run a plan with `approve(\"..\"); declare_lost(m, #{{ side: \"{other}\", reason: \"..\" }}); {start}(m);`"))
}

fn absent(machine: &MachineName, side: Side, twin: &SideView) -> Failure {
    let message =
        format!("`{machine}` does not exist on its {side} side: there is nothing to boot");
    let help = match side {
        Side::Onprem => "`create_onprem_vm(m)` and `transfer_delta(m)` first",
        Side::Cloud if twin.committed => {
            "its commit deleted it; from here there is only forward: start the on-prem side"
        }
        Side::Cloud => "look at the site: somebody deleted it outside homing",
    };
    let code = if side == Side::Cloud && twin.committed { "H322" } else { "H325" };
    Failure::refused(code, message).help(help)
}

fn diverged(machine: &MachineName, side: Side) -> Failure {
    Failure::refused(
        "H304",
        format!("the {side} disks of `{machine}` were booted or written outside a transfer: they are no copy of the {} side", side.other()),
    )
    .help("run a plan that transfers again (it compares checksums, or copies in full) before the start")
}

fn shutdown(side: Side) -> &'static str {
    match side {
        Side::Cloud => "shutdown_azure_vm",
        Side::Onprem => "shutdown_onprem_vm",
    }
}
